/* report.c: the words in which the result stands. */
#include "report.h"

#include <inttypes.h>
#include <time.h>

#include "base/json.h"

void report(const struct options *options, const char *file, const char *outcome,
            const char *sentence, json_t *details)
{
    if (!options->json) {
        printf("%s: %s\n", file, sentence);
        fflush(stdout);
        json_decref(details);
        return;
    }
    json_t *line = details ? details : json_object();
    json_object_set_new(line, "file", owm_json_text(file));
    json_object_set_new(line, "outcome", json_string(outcome));
    json_object_set_new(line, "text", owm_json_text(sentence));
    json_dumpf(line, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

int report_failure(const struct options *options, const char *file, const struct owm_error *error)
{
    char sentence[OWM_ERROR_BYTES_MAX + 32];
    snprintf(sentence, sizeof sentence, "fails because %s", error->text);
    report(options, file, "failed", sentence, NULL);
    return EXIT_FAILED;
}

static int confirmed(const struct options *options, const char *file,
                     const struct owm_ots_verdict *verdict)
{
    char when[32], sentence[128];
    time_t seconds = (time_t)verdict->time_s;
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    snprintf(sentence, sizeof sentence, "confirmed in block %" PRIu64 " at %s", verdict->height,
             when);
    json_t *details = json_pack("{s:I, s:s, s:I}", "height", (json_int_t)verdict->height, "time",
                                when, "confirmations", (json_int_t)verdict->confirmations);
    report(options, file, "confirmed", sentence, details);
    return EXIT_DONE;
}

int report_verdict(const struct options *options, const char *file,
                   const struct owm_ots_verdict *verdict)
{
    char sentence[OWM_ERROR_BYTES_MAX + 32];
    switch (verdict->outcome) {
    case OWM_OTS_CONFIRMED:
        return confirmed(options, file, verdict);
    case OWM_OTS_WAITING:
        snprintf(sentence, sizeof sentence, "pending: %s", verdict->why.text);
        report(options, file, "pending", sentence, NULL);
        return EXIT_PENDING;
    default:
        return report_failure(options, file, &verdict->why);
    }
}

int report_worse(int a, int b)
{
    if (a == EXIT_FAILED || b == EXIT_FAILED) return EXIT_FAILED;
    return a == EXIT_DONE ? b : a;
}

/* admin.c: see admin.h. */
#include "admin.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recompute.h"

#define DAY_S 86400

enum { EXIT_EQUAL, EXIT_DIFFERENT, EXIT_USAGE, EXIT_FAILED };

owm_status owm_day_parse(const char *text, int32_t *day)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm parts = {0};
        const char *end = strptime(text, forms[i], &parts);
        if (!end || *end) continue;
        struct tm again = parts;
        time_t when = timegm(&again);
        if (again.tm_mday != parts.tm_mday || again.tm_mon != parts.tm_mon || when < 0)
            return OWM_E_PROTO; /* The 31st of February. */
        *day = (int32_t)(when / DAY_S);
        return OWM_OK;
    }
    return OWM_E_PROTO;
}

static int usage(const char *what)
{
    fprintf(stderr, "%s\n%s", what, OWM_RECOMPUTE_USAGE);
    return EXIT_USAGE;
}

static int parse(int argc, char *const argv[], struct owm_recompute_options *options)
{
    bool from = false, to = false;
    for (int i = 0; i + 1 < argc; i += 2) {
        bool bad = false;
        if (strcmp(argv[i], "--from") == 0)
            from = !(bad = owm_day_parse(argv[i + 1], &options->from_day) != OWM_OK);
        else if (strcmp(argv[i], "--to") == 0)
            to = !(bad = owm_day_parse(argv[i + 1], &options->to_day) != OWM_OK);
        else if (strcmp(argv[i], "--journal") == 0)
            options->journal = argv[i + 1];
        else
            return usage(argv[i]);
        if (bad) return usage("that is no day");
    }
    if (!from || !to || argc % 2 != 0) return usage("both --from and --to are needed");
    if (options->from_day > options->to_day) return usage("--from is after --to");
    return EXIT_EQUAL;
}

int owm_admin_recompute(const char *database_url, int argc, char *const argv[])
{
    struct owm_recompute_options options = {.out = stdout};
    struct owm_recompute_result result;
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    int code = parse(argc, argv, &options);
    if (code != EXIT_EQUAL) return code;
    owm_status status = owm_pg_open(database_url, &pg, &error);
    if (status == OWM_OK) status = owm_recompute(pg, &options, &result, &error);
    owm_pg_close(pg);
    if (status != OWM_OK) {
        fprintf(stderr, "recompute: %s\n", error.text[0] ? error.text : owm_status_text(status));
        return EXIT_FAILED;
    }
    return result.differences == 0 ? EXIT_EQUAL : EXIT_DIFFERENT;
}

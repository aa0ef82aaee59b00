/* source.c: block headers for one run: whatever the node has more is fetched first. */
#include "source.h"

#include <unistd.h>

#include "commands.h"
#include "report.h"

#define FETCHED_MAX 1000 /* Headers between two signs of life. */

static owm_status refresh(struct source *source, struct owm_error *error)
{
    owm_status status;
    bool shown = false;
    while ((status =
                owm_ots_header_source_refresh(source->origin, FETCHED_MAX, &source->headers, error))
           == OWM_E_AGAIN) {
        shown = isatty(2) == 1;
        if (shown) fprintf(stderr, "\r%s", error->text);
    }
    if (shown) fprintf(stderr, "\n");
    return status;
}

owm_status source_open(const struct options *options, struct source *source,
                       struct owm_error *error)
{
    const struct owm_ots_header_options headers = {.bitcoin_rpc = options->bitcoin_rpc,
                                                   .bitcoin_cookie = options->bitcoin_cookie,
                                                   .headers_file = options->headers,
                                                   .network = options->network};
    *source = (struct source){.given = options->headers || options->bitcoin_rpc};
    if (!source->given) return OWM_OK;
    owm_status status = owm_ots_header_source_open(&headers, &source->origin, error);
    if (status == OWM_OK) status = refresh(source, error);
    if (status == OWM_OK) status = owm_ots_header_source_save(source->origin, error);
    if (status != OWM_OK) source_close(source);
    return status;
}

void source_close(struct source *source)
{
    owm_ots_header_source_close(source->origin);
    source->origin = NULL;
}

int command_headers(const struct options *options)
{
    struct source source;
    struct owm_error error = {.text = ""};
    uint64_t tip = 0;
    owm_status status = source_open(options, &source, &error);
    if (status == OWM_OK) status = source.headers.tip(source.headers.ctx, &tip, &error);
    if (status != OWM_OK) {
        source_close(&source);
        return report_failure(options, options->headers, &error);
    }
    char sentence[64];
    snprintf(sentence, sizeof sentence, "block headers 0 to %llu", (unsigned long long)tip);
    report(options, options->headers, "written", sentence,
           json_pack("{s:I}", "height", (json_int_t)tip));
    source_close(&source);
    return EXIT_DONE;
}

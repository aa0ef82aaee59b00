/* command.c: open from the disk up, wait for a signal, close from the net down. */
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/signals.h"
#include "config.h"
#include "ots/options.h"
#include "serve.h"

#define TEND_MS  1000
#define DRAIN_MS 1500 /* Within this, whoever submitted something is told of his promise. */

struct calendar {
    struct calendar_config config;
    char *folder;
    struct key *key;
    struct journal *journal;
    struct anchor *anchor;
    struct aggregate *aggregate;
    struct serve *serve;
};

static void allow_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    rlim_t wanted = 2 * SERVE_CONNECTIONS_MAX;
    if (limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* With fewer, others wait. */
}

static owm_status open_disk(struct calendar *calendar, struct owm_error *error)
{
    bool made;
    owm_status status = owm_fs_expand(calendar->config.folder, &calendar->folder, error);
    if (status == OWM_OK) status = journal_open(calendar->folder, &calendar->journal, error);
    if (status == OWM_OK) status = key_open(calendar->folder, &calendar->key, &made, error);
    if (status != OWM_OK) return status;
    uint32_t count = journal_count(calendar->journal);
    if (made && count > 0)
        owm_log(OWM_LOG_WARN,
                "new_key note=\"hmac-key was not there; promises that are not in the file "
                "commitments are not known any more\"");
    owm_log(OWM_LOG_INFO, "opened folder=%s promises=%u", calendar->folder, count);
    return OWM_OK;
}

static owm_status open_all(struct calendar *calendar, struct owm_error *error)
{
    struct calendar_config *config = &calendar->config;
    owm_status status = open_disk(calendar, error);
    if (status != OWM_OK) return status;
    config->anchor.folder = calendar->folder;
    config->anchor.journal = calendar->journal;
    const struct aggregate_options gather = {
        .journal = calendar->journal, .key = calendar->key, .uri = config->uri};
    status = anchor_open(&config->anchor, &calendar->anchor, error);
    if (status == OWM_OK) status = aggregate_open(&gather, &calendar->aggregate, error);
    if (status != OWM_OK) return status;
    const struct serve_options serve = {
        .bind = config->bind,
        .port = config->port,
        .uri = config->uri,
        .network = config->network_name,
        .proxy = config->proxy,
        .per_minute = config->per_minute,
        .per_second = config->per_second,
        .interval_s = config->anchor.interval_s,
        .journal = calendar->journal,
        .key = calendar->key,
        .aggregate = calendar->aggregate,
        .anchor = calendar->anchor,
    };
    return serve_open(&serve, &calendar->serve, error);
}

static void close_all(struct calendar *calendar)
{
    serve_close(calendar->serve);
    aggregate_close(calendar->aggregate);
    anchor_close(calendar->anchor);
    key_close(calendar->key);
    journal_close(calendar->journal);
    free(calendar->folder);
}

static void drain(struct aggregate *aggregate)
{
    struct aggregate_figures figures;
    aggregate_stop(aggregate);
    aggregate_figures(aggregate, &figures);
    uint64_t passed_ms = owm_clock_mono_ms() - figures.added_ms;
    if (passed_ms < DRAIN_MS) (void)owm_signals_wait((uint32_t)(DRAIN_MS - passed_ms));
}

static int run(struct calendar *calendar, struct owm_error *error)
{
    owm_signals_block();
    allow_connections();
    if (open_all(calendar, error) != OWM_OK) {
        fprintf(stderr, "owm-ots: %s\n", error->text);
        return EXIT_FAILED;
    }
    owm_log(OWM_LOG_INFO, "listening address=%s port=%u uri=%s network=%s", calendar->config.bind,
            serve_port(calendar->serve), calendar->config.uri, calendar->config.network_name);
    if (!calendar->config.anchor.bitcoin_rpc)
        owm_log(OWM_LOG_WARN, "not_anchoring note=\"promises wait until there is --bitcoin-rpc\"");
    while (!owm_signals_wait(TEND_MS)) {
    }
    owm_log(OWM_LOG_INFO, "stopping note=\"a second signal stops at once\"");
    drain(calendar->aggregate);
    return EXIT_DONE;
}

int calendar_command(int argc, char **argv)
{
    struct calendar calendar = {.folder = NULL};
    struct owm_error error = {.text = ""};
    if (calendar_config_parse(argc, argv, &calendar.config, &error) != OWM_OK) {
        fprintf(stderr, "owm-ots: %s\n", error.text);
        return EXIT_OPTIONS;
    }
    if (calendar.config.help) {
        calendar_config_help(stdout);
        return EXIT_DONE;
    }
    int code = run(&calendar, &error);
    close_all(&calendar);
    if (code == EXIT_DONE) owm_log(OWM_LOG_INFO, "stopped");
    return code;
}

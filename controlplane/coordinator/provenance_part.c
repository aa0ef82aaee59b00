/* provenance_part.c: see provenance_part.h. */
#include "provenance_part.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/provenance/provenance.h"
#include "controlplane/provenance/versions.h"
#include "driver.h"

struct owm_provenance_part {
    struct owm_driver *driver;
    struct owm_provenance *provenance; /* NULL: no calendars */
    struct owm_versions *versions;
};

static void tell_engine(void *ctx, const struct owm_proven *proven)
{
    struct owm_provenance_part *part = ctx;
    struct owm_post *post = owm_post_new(OWM_EVENT_PROVEN);
    if (!post) { /* it would not be said again before the next start */
        atomic_store(&part->driver->failed, true);
        return;
    }
    struct owm_proven_event *event = &post->event.proven;
    memcpy(event->model_hash, proven->model_hash, 32);
    event->model_bytes = proven->model_bytes;
    event->round = proven->round;
    event->training = proven->training;
    event->serving = proven->serving;
    owm_inbox_put_own(part->driver->inbox, post);
}

static void note(void *ctx, const char *text)
{
    struct owm_provenance_part *part = ctx;
    owm_page_note(part->driver->page, OWM_PAGE_NOTE_PROOFS, text);
}

const char *owm_coordinator_ots_policy(const struct owm_coordinator_config *config)
{
    if (!owm_coordinator_calendars(config)[0])
        return "none: checkpoints are accepted without an OpenTimestamps proof";
    if (config->serve_pending)
        return "a checkpoint is trained, and answers, as soon as calendars have promised it a "
               "Bitcoin block; that is for development networks alone";
    return "a checkpoint is trained once calendars have promised it a Bitcoin block; questions are "
           "answered with the newest one that stands in a block";
}

static owm_status open_provenance(struct owm_provenance_part *part, struct owm_error *error)
{
    const struct owm_driver *driver = part->driver;
    const struct owm_coordinator_config *config = driver->config;
    const struct owm_provenance_options options = {
        .database_url = config->database_url,
        .identity = driver->identity,
        .store = driver->store,
        .calendars = owm_coordinator_calendars(config),
        .calendars_needed = (unsigned)config->calendars_needed,
        .bitcoin_rpc = config->bitcoin_rpc,
        .bitcoin_cookie = config->bitcoin_cookie,
        .headers_file = config->headers_file,
        .bitcoin_network = (enum owm_network)config->bitcoin_network,
        .serve_pending = config->serve_pending,
        .retry_min_s = (unsigned)config->proof_retry_min_s,
        .retry_max_s = (unsigned)config->proof_retry_max_s,
        .alarm_hours = (unsigned)config->proof_alarm_hours,
        .metrics = driver->metrics,
        .proven = tell_engine,
        .note = note,
        .ctx = part,
    };
    if (!options.calendars[0]) return OWM_OK;
    return owm_provenance_open(&options, &part->provenance, error);
}

owm_status owm_provenance_part_open(struct owm_driver *driver, struct owm_error *error)
{
    struct owm_provenance_part *part = calloc(1, sizeof(*part));
    if (!part) return OWM_E_NOMEM;
    part->driver = driver;
    driver->provenance = part;
    owm_status status =
        owm_versions_open(driver->config->database_url, owm_coordinator_ots_policy(driver->config),
                          driver->store, &part->versions);
    if (status == OWM_OK) status = open_provenance(part, error);
    if (status != OWM_OK) return status;
    struct owm_http_route routes[OWM_VERSIONS_ROUTES];
    owm_versions_routes(part->versions, routes);
    for (size_t i = 0; i < OWM_VERSIONS_ROUTES; i++) owm_page_route(driver->page, &routes[i]);
    return OWM_OK;
}

void owm_provenance_part_wake(struct owm_provenance_part *part)
{
    if (part) owm_provenance_wake(part->provenance);
}

void owm_provenance_part_stop(struct owm_provenance_part *part)
{
    if (!part) return;
    owm_provenance_close(part->provenance);
    part->provenance = NULL;
}

void owm_provenance_part_close(struct owm_provenance_part *part)
{
    if (!part) return;
    owm_versions_close(part->versions);
    free(part);
}

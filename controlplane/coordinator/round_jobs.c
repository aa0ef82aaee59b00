/* round_jobs.c: the heavy steps of a round as jobs on worker threads. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "controlplane/provenance/manifest.h"
#include "controlplane/provenance/provenance.h"
#include "driver.h"

#define VERSION_FORMAT "owm-v0.1.%u"
#define SUB_MODEL      "owm-lm"
#define TRIES_MAX      5
#define TRY_PAUSE_MS   500

/* ---------------------------------------------------------------------------- manifest */

/* SRS 4.5.2; malloc'ed text, NULL: out of memory. Where the proof will stand is known before there
 * is one: beside the checkpoint. */
static char *make_manifest(const struct owm_driver *driver, const char *version, uint32_t round,
                           const struct owm_lab_checkpoint *checkpoint)
{
    char proof[PATH_MAX], notes[96] = "first checkpoint: random weights";
    size_t folder = strlen(driver->config->data_dir) + 1;
    if (owm_provenance_path(driver->store, checkpoint->hash, proof, sizeof(proof)) != OWM_OK)
        return NULL;
    if (round && isfinite(checkpoint->bits_per_byte))
        snprintf(notes, sizeof(notes), "round %u, %.4f bits per byte on held-out text", round,
                 checkpoint->bits_per_byte);
    else if (round)
        snprintf(notes, sizeof(notes), "round %u", round);
    struct owm_manifest_facts facts = {.version = version,
                                       .sub_model = SUB_MODEL,
                                       .round = round,
                                       .created_ms = owm_clock_wall_ms(),
                                       .bytes = checkpoint->bytes,
                                       .ots_proof = proof + folder,
                                       .notes = notes};
    memcpy(facts.sha256, checkpoint->hash, 32);
    return owm_manifest_make(driver->identity, &facts);
}

static void fill_model(struct owm_model_row *row, uint32_t round,
                       const struct owm_lab_checkpoint *checkpoint, const char *manifest)
{
    snprintf(row->version, sizeof(row->version), VERSION_FORMAT, round);
    row->round = round;
    row->created_ms = owm_clock_wall_ms();
    memcpy(row->model_hash, checkpoint->hash, 32);
    row->model_bytes = checkpoint->bytes;
    row->heldout_bits_per_byte = (float)checkpoint->bits_per_byte;
    row->is_current = true;
    row->manifest = manifest;
    row->manifest_bytes = strlen(manifest);
}

/* ---------------------------------------------------------------------------- genesis */

static void make_genesis(void *ctx, void *arg)
{
    (void)arg;
    struct owm_driver *driver = ctx;
    struct owm_lab_checkpoint checkpoint = {0};
    struct owm_error error = {""};
    char version[OWM_VERSION_BYTES];
    snprintf(version, sizeof(version), VERSION_FORMAT, 0u);
    owm_status status = owm_lab_genesis(driver->lab, &checkpoint, &error);
    char *manifest = status == OWM_OK ? make_manifest(driver, version, 0, &checkpoint) : NULL;
    struct owm_post *post = manifest ? owm_post_new(OWM_EVENT_MODEL) : NULL;
    if (!post) {
        free(manifest);
        owm_log(OWM_LOG_ERROR, "no_first_checkpoint reason=\"%s\"", error.text);
        atomic_store(&driver->failed, true);
        return;
    }
    post->memory = manifest;
    fill_model(&post->event.model, 0, &checkpoint, manifest);
    owm_log(OWM_LOG_INFO, "first_checkpoint version=%s parameters=%llu bits_per_byte=%.4f", version,
            (unsigned long long)checkpoint.parameters, checkpoint.bits_per_byte);
    owm_inbox_put_own(driver->inbox, post);
}

static void run_job(struct owm_driver *driver, struct owm_workers *workers, owm_work_fn *fn,
                    void *arg)
{
    if (owm_workers_run(workers, fn, driver, arg) == OWM_OK) return;
    owm_log(OWM_LOG_ERROR, "no_worker_for_round");
    free(arg);
    atomic_store(&driver->failed, true); /* a restart emits the job again */
}

void owm_round_genesis(struct owm_driver *driver)
{
    run_job(driver, driver->lab_worker, make_genesis, NULL);
}

/* ---------------------------------------------------------------------------- verify */

static struct owm_lab_order make_order(const struct owm_driver *driver, uint32_t round,
                                       const uint8_t base[32], const uint8_t key[32],
                                       const uint8_t nonce[16])
{
    struct owm_lab_order order = {.round = round,
                                  .topk_permille = (uint32_t)driver->config->topk_permille,
                                  .package_bytes_max =
                                      (uint64_t)driver->config->package_mb_max * 1024 * 1024};
    memcpy(order.base_hash, base, 32);
    memcpy(order.node_key, key, 32);
    memcpy(order.nonce, nonce, 16);
    return order;
}

/* A disk that fails for a moment is our fault and not the node's: look again. */
static void verify(void *ctx, void *arg)
{
    struct owm_driver *driver = ctx;
    struct owm_verify_output *output = arg;
    char reason[OWM_LAB_REASON_BYTES] = "";
    struct owm_error error = {""};
    struct owm_lab_order order =
        make_order(driver, output->round, output->base_hash, output->public_key, output->nonce);
    owm_status status = OWM_E_IO;
    for (int i = 0; i < TRIES_MAX && status != OWM_OK; i++) {
        if (i) owm_clock_sleep_ms(TRY_PAUSE_MS);
        status = owm_lab_check(driver->lab, &order, output->package_hash, reason, &error);
    }
    if (status != OWM_OK) {
        owm_log(OWM_LOG_ERROR, "package_not_checked reason=\"%s\"", error.text);
        snprintf(reason, sizeof(reason), "NOT_CHECKED");
    }
    if (reason[0]) {
        owm_counter_add(
            owm_metrics_counter(driver->metrics, "owm_refusals_total",
                                "Requests that were refused, by reason.",
                                (const char *const[]){"method", "Delta", "reason", reason, NULL}),
            1);
        owm_log(OWM_LOG_INFO, "delta_refused round=%u reason=%s detail=\"%s\"", output->round,
                reason, error.text);
    }
    struct owm_post *post = owm_post_new(OWM_EVENT_JUDGED);
    if (post) {
        struct owm_judged_event *event = &post->event.judged;
        event->round = output->round;
        memcpy(event->node_id, output->node_id, 16);
        memcpy(event->package_hash, output->package_hash, 32);
        event->ok = reason[0] == 0;
        snprintf(event->reason, sizeof(event->reason), "%s", reason);
        owm_inbox_put_own(driver->inbox, post);
    }
    free(output);
}

void owm_round_verify(struct owm_driver *driver, const struct owm_verify_output *output)
{
    struct owm_verify_output *copy = malloc(sizeof(*copy));
    if (!copy) {
        atomic_store(&driver->failed, true);
        return;
    }
    *copy = *output;
    run_job(driver, driver->workers, verify, copy);
}

/* ---------------------------------------------------------------------------- aggregate */

struct aggregation {
    struct owm_round_row round;
    size_t count;
    struct owm_participant_row participants[];
};

static const struct owm_participant_row *part_of(const struct aggregation *work,
                                                 const uint8_t key[32])
{
    for (size_t i = 0; i < work->count; i++)
        if (memcmp(work->participants[i].public_key, key, 32) == 0) return &work->participants[i];
    return NULL;
}

static void fill_entries(const struct owm_driver *driver, const struct aggregation *work,
                         struct owm_lab_entry *entries)
{
    static const double weight[] = {1.0, 1.0, 2.5, 8.0}; /* by tier, SRS 4.2.3 step 7 */
    for (size_t i = 0; i < work->count; i++) {
        const struct owm_participant_row *part = &work->participants[i];
        entries[i].order = make_order(driver, work->round.round, work->round.base_hash,
                                      part->public_key, part->nonce);
        memcpy(entries[i].package_hash, part->package_hash, 32);
        entries[i].prior = weight[part->tier <= OWM_TIER_T3 ? part->tier : 0];
        entries[i].arrival_ms = (uint64_t)part->arrived_ms;
    }
}

/* manifest NULL: no package was included, so there are verdicts and no checkpoint. */
static struct owm_post *aggregated_post(const struct aggregation *work,
                                        const struct owm_lab_entry *entries,
                                        const struct owm_lab_result *result, const char *manifest)
{
    struct owm_post *post = owm_post_new(OWM_EVENT_AGGREGATED);
    size_t verdict_bytes = work->count * sizeof(struct owm_verdict);
    size_t manifest_bytes = manifest ? strlen(manifest) + 1 : 0;
    uint8_t *memory = calloc(1, verdict_bytes + manifest_bytes + 1);
    if (!post || !memory) {
        free(memory);
        owm_post_free(post);
        return NULL;
    }
    struct owm_verdict *verdicts = (struct owm_verdict *)(void *)memory;
    if (manifest) memcpy(memory + verdict_bytes, manifest, manifest_bytes);
    for (size_t i = 0; i < work->count; i++) {
        memcpy(verdicts[i].node_id, part_of(work, entries[i].order.node_key)->node_id, 16);
        verdicts[i].included = entries[i].included;
        verdicts[i].weight = entries[i].weight;
        snprintf(verdicts[i].reason, sizeof(verdicts[i].reason), "%s", entries[i].reason);
        memcpy(verdicts[i].evidence_hash, entries[i].evidence_hash, 32);
    }
    struct owm_aggregated_event *event = &post->event.aggregated;
    post->memory = memory;
    event->round = work->round.round;
    event->ok = true;
    event->verdicts = verdicts;
    event->verdict_count = (uint32_t)work->count;
    event->heldout_before = (float)result->bits_before;
    event->heldout_after = (float)result->checkpoint.bits_per_byte;
    memcpy(event->certificate_hash, result->certificate_hash, 32);
    if (manifest)
        fill_model(&event->model, work->round.round, &result->checkpoint,
                   (const char *)memory + verdict_bytes);
    return post;
}

static struct owm_post *failed_post(const struct aggregation *work, const char *reason)
{
    struct owm_post *post = owm_post_new(OWM_EVENT_AGGREGATED);
    if (!post) return NULL;
    post->event.aggregated.round = work->round.round;
    snprintf(post->event.aggregated.reason, sizeof(post->event.aggregated.reason), "%.90s", reason);
    return post;
}

/* The event that a finished aggregation is: new checkpoint, verdicts alone, or a failure. */
static struct owm_post *outcome(const struct owm_driver *driver, const struct aggregation *work,
                                const struct owm_lab_entry *entries,
                                const struct owm_lab_result *result, owm_status status)
{
    char version[OWM_VERSION_BYTES], *manifest = NULL;
    struct owm_post *post = NULL;
    snprintf(version, sizeof(version), VERSION_FORMAT, work->round.round);
    if (status == OWM_OK)
        manifest = make_manifest(driver, version, work->round.round, &result->checkpoint);
    if (manifest || status == OWM_E_STATE) post = aggregated_post(work, entries, result, manifest);
    free(manifest);
    return post;
}

static void aggregate(void *ctx, void *arg)
{
    struct owm_driver *driver = ctx;
    struct aggregation *work = arg;
    struct owm_lab_result result;
    struct owm_error error = {""};
    struct owm_post *post = NULL;
    struct owm_lab_entry *entries = calloc(work->count + 1, sizeof(*entries));
    if (entries) {
        fill_entries(driver, work, entries);
        uint64_t begin_ms = owm_clock_mono_ms();
        owm_status status = owm_lab_aggregate(driver->lab, work->round.base_hash, work->round.round,
                                              entries, work->count, &result, &error);
        post = outcome(driver, work, entries, &result, status);
        /* Of a round without a checkpoint no row will name it, and evidence does. */
        if (status == OWM_E_STATE && work->count)
            owm_services_publish(driver->services, result.certificate_hash);
        owm_log(OWM_LOG_INFO, "aggregated round=%u packages=%zu ms=%llu status=\"%s\"",
                work->round.round, work->count,
                (unsigned long long)(owm_clock_mono_ms() - begin_ms),
                status == OWM_OK        ? "ok"
                : status == OWM_E_STATE ? "no package is left after screening"
                                        : error.text);
    }
    if (!post) post = failed_post(work, error.text[0] ? error.text : "out of memory");
    if (post) owm_inbox_put_own(driver->inbox, post);
    free(entries);
    free(work);
}

void owm_round_aggregate(struct owm_driver *driver, const struct owm_aggregate_output *output)
{
    size_t bytes = output->count * sizeof(*output->participants);
    struct aggregation *work = malloc(sizeof(*work) + bytes);
    if (!work) {
        atomic_store(&driver->failed, true);
        return;
    }
    work->round = output->round;
    work->count = output->count;
    if (bytes) memcpy(work->participants, output->participants, bytes);
    run_job(driver, driver->lab_worker, aggregate, work);
}

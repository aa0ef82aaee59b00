/* lab_aggregate.c: packages of one round to a new checkpoint, with certificate and evidence. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "lab_internal.h"

/* What one aggregation holds; `entry` is the caller's array, sorted; package i came from entry
 * from[i]. */
struct work {
    struct owm_lab *lab;
    struct owm_lab_entry *entry;
    size_t entry_count;
    struct owm_delta *delta;
    struct owm_fl_package *package;
    size_t *from;
    uint32_t count;
    struct owm_model_config config;
    float *weights, *momentum;
    uint32_t n;
};

static int by_node_key(const void *a, const void *b)
{
    const struct owm_lab_entry *x = a, *y = b;
    return memcmp(x->order.node_key, y->order.node_key, 32);
}

static void work_free(struct work *work)
{
    for (uint32_t i = 0; i < work->count; i++) owm_delta_free(&work->delta[i]);
    free(work->delta);
    free(work->package);
    free(work->from);
    free(work->weights);
    free(work->momentum);
}

static owm_status decode_all(struct work *work, struct owm_error *error)
{
    for (size_t i = 0; i < work->entry_count; i++) {
        struct owm_lab_entry *entry = &work->entry[i];
        entry->included = false;
        entry->severity = OWM_SCREEN_REJECT_ONLY;
        entry->weight = 0;
        memset(entry->evidence_hash, 0, 32);
        struct owm_delta *delta = &work->delta[work->count];
        owm_status status = owm_lab_decode(work->lab, &entry->order, entry->package_hash, delta,
                                           entry->reason, error);
        if (status != OWM_OK) return status;
        if (entry->reason[0]) continue;
        struct owm_fl_package *package = &work->package[work->count];
        memcpy(package->node_key, entry->order.node_key, 32);
        memcpy(package->sha256, entry->package_hash, 32);
        package->sparse = delta->sparse;
        package->arrival_ms = entry->arrival_ms;
        package->prior = entry->prior;
        package->loss_change = NAN;
        work->from[work->count++] = i;
    }
    return OWM_OK;
}

/* Held-out loss with this update alone, at the weight it would have in the sum, minus without any,
 * on the first part of the text. At full weight honest updates overshoot, and a flipped one hides
 * among them (docs/fl-protocol.md). */
static owm_status try_updates(struct work *work, struct owm_error *error)
{
    struct owm_lab *lab = work->lab;
    if (!lab->loss_screen || !lab->heldout) return OWM_OK;
    double before = 0;
    owm_status status =
        owm_lab_measure(lab, &work->config, work->weights, OWM_LAB_SCREEN_BYTES, &before, error);
    float *trial = malloc((size_t)work->n * sizeof(*trial));
    if (!trial) return OWM_E_NOMEM;
    float share = work->count ? lab->policy.learning_rate / (float)work->count : 0;
    for (uint32_t i = 0; status == OWM_OK && i < work->count; i++) {
        const struct owm_sparse *sparse = &work->package[i].sparse;
        memcpy(trial, work->weights, (size_t)work->n * sizeof(*trial));
        for (uint32_t j = 0; j < sparse->count; j++)
            trial[sparse->index[j]] += share * sparse->value[j];
        double with = 0;
        owm_status measured =
            owm_lab_measure(lab, &work->config, trial, OWM_LAB_SCREEN_BYTES, &with, NULL);
        /* Weights so wild that the loss is not finite are as bad as it gets. */
        work->package[i].loss_change = measured == OWM_OK ? with - before : 1e3;
    }
    free(trial);
    return status;
}

static void momentum_path(const struct owm_lab *lab, const uint8_t hash[32], char *path)
{
    char hex[65];
    owm_hex_encode(hash, 32, hex);
    snprintf(path, OWM_LAB_PATH_BYTES, "%s/%s", lab->momentum_dir, hex);
}

static owm_status load_momentum(struct work *work, const uint8_t base[32], struct owm_error *error)
{
    struct owm_lab *lab = work->lab;
    if (lab->policy.momentum <= 0) return OWM_OK;
    size_t bytes = (size_t)work->n * sizeof(*work->momentum), found = 0;
    work->momentum = calloc(work->n, sizeof(*work->momentum));
    if (!work->momentum) return OWM_E_NOMEM;
    char path[OWM_LAB_PATH_BYTES];
    uint8_t *data = NULL;
    momentum_path(lab, base, path);
    owm_status status = owm_fs_read(path, bytes, &data, &found, error);
    if (status == OWM_E_NOTFOUND) return OWM_OK; /* the first round starts without */
    if (status == OWM_OK && found == bytes) memcpy(work->momentum, data, bytes);
    free(data);
    return status;
}

static owm_status save_momentum(const struct work *work, const uint8_t hash[32],
                                struct owm_error *error)
{
    if (!work->momentum) return OWM_OK;
    char path[OWM_LAB_PATH_BYTES];
    momentum_path(work->lab, hash, path);
    return owm_fs_write_atomic(path, work->momentum, (size_t)work->n * sizeof(*work->momentum),
                               0600, error);
}

/* The bundle that a signal points to: anyone with the packages that the certificate names can
 * measure the same again (owm-admin evidence verify). */
static owm_status put_evidence(struct work *work, uint32_t at, const struct owm_lab_result *made,
                               const struct owm_aggregate_result *result, struct owm_error *error)
{
    struct owm_lab_entry *entry = &work->entry[work->from[at]];
    const struct owm_screen_verdict *verdict = &result->screen.verdict[at];
    char node[65], package[65], base[65], certificate[65];
    owm_hex_encode(entry->order.node_key, 32, node);
    owm_hex_encode(entry->package_hash, 32, package);
    owm_hex_encode(entry->order.base_hash, 32, base);
    owm_hex_encode(made->certificate_hash, 32, certificate);
    json_t *bundle = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:f, s:f, s:f, s:f, s:i}", "kind", "poisoned_gradient",
        "node_key", node, "package_sha256", package, "base_sha256", base, "certificate_sha256",
        certificate, "round", (int)entry->order.round, "reason",
        owm_screen_reason_name(verdict->reason), "norm",
        isfinite(verdict->norm) ? verdict->norm : -1.0, "median_norm", result->screen.median_norm,
        "robust_z", isfinite(verdict->robust_z) ? verdict->robust_z : 0.0, "loss_change",
        isfinite(work->package[at].loss_change) ? work->package[at].loss_change : 0.0, "packages",
        (int)work->count);
    char *text = NULL;
    size_t bytes = 0;
    owm_status status = bundle ? owm_json_canonical(bundle, &text, &bytes) : OWM_E_NOMEM;
    json_decref(bundle);
    if (status == OWM_OK)
        status = owm_blob_put(work->lab->store, text, bytes, entry->evidence_hash, error);
    free(text);
    return status;
}

static owm_status take_verdicts(struct work *work, const struct owm_lab_result *made,
                                const struct owm_aggregate_result *result, struct owm_error *error)
{
    for (uint32_t i = 0; i < work->count; i++) {
        struct owm_lab_entry *entry = &work->entry[work->from[i]];
        const struct owm_screen_verdict *verdict = &result->screen.verdict[i];
        entry->included = verdict->reason == OWM_SCREEN_NONE;
        entry->severity = verdict->severity;
        entry->weight = entry->included ? result->alpha[i] : 0;
        snprintf(entry->reason, sizeof(entry->reason), "%s",
                 entry->included ? "" : owm_screen_reason_name(verdict->reason));
        if (entry->included || entry->severity < OWM_SCREEN_SIGNAL) continue;
        owm_status status = put_evidence(work, i, made, result, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

static owm_status put_certificate(const struct work *work, const uint8_t base[32], uint32_t round,
                                  const struct owm_aggregate_result *aggregated,
                                  struct owm_lab_result *result, struct owm_error *error)
{
    struct owm_certificate certificate = {.round = round, .parameter_count = work->n};
    memcpy(certificate.base_sha256, base, 32);
    memcpy(certificate.new_sha256, result->checkpoint.hash, 32);
    char *json = NULL;
    owm_status status =
        owm_certificate_json(&certificate, &work->lab->policy, work->package, aggregated, &json);
    if (status != OWM_OK) return owm_fail(error, status, "no memory for the certificate");
    status = owm_blob_put(work->lab->store, json, strlen(json), result->certificate_hash, error);
    free(json);
    return status;
}

static owm_status work_start(struct work *work, const uint8_t base[32], struct owm_error *error)
{
    size_t count = work->entry_count ? work->entry_count : 1;
    work->delta = calloc(count, sizeof(*work->delta));
    work->package = calloc(count, sizeof(*work->package));
    work->from = calloc(count, sizeof(*work->from));
    if (!work->delta || !work->package || !work->from) return OWM_E_NOMEM;
    owm_status status = owm_lab_load(work->lab, base, &work->config, &work->weights, error);
    if (status != OWM_OK) return status;
    work->n = (uint32_t)owm_model_config_params(&work->config);
    return decode_all(work, error);
}

/* Everything between the loaded packages and the stored checkpoint; needs the lock. */
static owm_status run(struct work *work, const uint8_t base[32], uint32_t round,
                      struct owm_lab_result *result, struct owm_error *error)
{
    struct owm_lab *lab = work->lab;
    struct owm_aggregate_result aggregated = {0};
    owm_status status =
        owm_lab_measure(lab, &work->config, work->weights, SIZE_MAX, &result->bits_before, error);
    if (status == OWM_OK) status = try_updates(work, error);
    if (status == OWM_OK) status = load_momentum(work, base, error);
    if (status != OWM_OK) return status;
    owm_status done = owm_aggregate_round(lab->device, &lab->policy, work->package, work->count,
                                          work->n, work->weights, work->momentum, &aggregated);
    if (done != OWM_OK && done != OWM_E_STATE)
        return owm_fail(error, done, "aggregation: %s", owm_status_text(done));
    if (done == OWM_OK)
        status = owm_lab_save(lab, &work->config, work->weights, &result->checkpoint, error);
    if (status == OWM_OK && done == OWM_OK)
        status = owm_lab_measure(lab, &work->config, work->weights, SIZE_MAX,
                                 &result->checkpoint.bits_per_byte, error);
    if (status == OWM_OK && done == OWM_OK)
        status = save_momentum(work, result->checkpoint.hash, error);
    if (status == OWM_OK) status = put_certificate(work, base, round, &aggregated, result, error);
    if (status == OWM_OK) status = take_verdicts(work, result, &aggregated, error);
    owm_aggregate_free(&aggregated);
    return status != OWM_OK ? status : done;
}

owm_status owm_lab_aggregate(struct owm_lab *lab, const uint8_t base_hash[32], uint32_t round,
                             struct owm_lab_entry *entries, size_t count,
                             struct owm_lab_result *result, struct owm_error *error)
{
    struct work work = {.lab = lab, .entry = entries, .entry_count = count};
    memset(result, 0, sizeof(*result));
    result->bits_before = result->checkpoint.bits_per_byte = NAN;
    memcpy(result->checkpoint.hash, base_hash, 32);
    qsort(entries, count, sizeof(*entries), by_node_key);
    owm_status status = work_start(&work, base_hash, error);
    /* Only screening may say OWM_E_STATE: to the caller it means that the verdicts are complete. */
    if (status == OWM_E_STATE) status = OWM_E_IO;
    if (status == OWM_OK && work.count == 0) status = OWM_E_STATE;
    if (status == OWM_OK) {
        pthread_mutex_lock(&lab->lock);
        status = run(&work, base_hash, round, result, error);
        pthread_mutex_unlock(&lab->lock);
    }
    work_free(&work);
    return status;
}

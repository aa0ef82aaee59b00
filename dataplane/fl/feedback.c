/* feedback.c: error feedback on arrays: pick what is sent, keep the rest, restore what was not
 * used. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/fl/feedback.h"
#include "delta_format.h"

struct owm_feedback_config owm_feedback_defaults(void)
{
    return (struct owm_feedback_config){
        .decay = 1.0f, .density_ppm = 100000, .values = OWM_DELTA_INT8};
}

uint32_t owm_feedback_k(const struct owm_feedback_config *config, uint32_t n)
{
    uint64_t k = (uint64_t)n * config->density_ppm / 1000000;
    return k == 0 ? 1 : k > n ? n : (uint32_t)k;
}

/* Gather, quantise and take out of the residual, block by block as the package stores them. */
static owm_status quantise_picked(const struct owm_feedback_config *config, float *residual,
                                  struct owm_sparse *sparse, float *value)
{
    float largest = 0;
    for (uint32_t i = 0; i < sparse->count; i++) {
        value[i] = residual[sparse->index[i]];
        largest = fmaxf(largest, fabsf(value[i]));
    }
    if (largest > ldexpf(127, OWM_QUANT_EXPONENT_MAX)) return OWM_E_ARG;
    struct delta_scratch *scratch = malloc(sizeof *scratch);
    if (!scratch) return OWM_E_NOMEM;
    sparse->exponent = owm_quant_floor(largest);
    owm_status status = OWM_OK;
    for (uint32_t at = 0, next; at < sparse->count && status == OWM_OK; at = next) {
        next = delta_block_end(sparse, at, sparse->index[at] / OWM_DELTA_BLOCK);
        memcpy(scratch->value, value + at, (next - at) * sizeof *value);
        status = delta_quantise_block(scratch, next - at, config->values, sparse->exponent);
        memcpy(value + at, scratch->value, (next - at) * sizeof *value);
    }
    free(scratch);
    if (status != OWM_OK) return status;
    for (uint32_t i = 0; i < sparse->count; i++) residual[sparse->index[i]] -= value[i];
    return OWM_OK;
}

owm_status owm_feedback_pick(struct owm_device *device, const struct owm_feedback_config *config,
                             float *residual, const float *delta, uint32_t n, uint32_t *index,
                             float *value, struct owm_sparse *sparse)
{
    float *before = malloc(n * sizeof *before); /* so that a failure leaves no trace */
    if (!before) return OWM_E_NOMEM;
    memcpy(before, residual, n * sizeof *before);
    *sparse = (struct owm_sparse){.index = index, .value = value};
    owm_status status =
        device->backend->topk(device, &(struct owm_topk){residual, delta, index, &sparse->count, n,
                                                         owm_feedback_k(config, n), config->decay});
    if (status == OWM_OK && sparse->count == 0) status = OWM_E_ARG;
    if (status == OWM_OK) status = quantise_picked(config, residual, sparse, value);
    if (status != OWM_OK) memcpy(residual, before, n * sizeof *before);
    free(before);
    return status;
}

owm_status owm_feedback_restore(float *residual, uint32_t n, const struct owm_sparse *sparse)
{
    for (uint32_t i = 0; i < sparse->count; i++)
        if (sparse->index[i] >= n) return OWM_E_ARG;
    for (uint32_t i = 0; i < sparse->count; i++) residual[sparse->index[i]] += sparse->value[i];
    return OWM_OK;
}

static owm_status encode_picked(const struct owm_delta_header *header,
                                const struct owm_sparse *sparse, uint8_t **package, size_t *bytes)
{
    size_t capacity = owm_delta_bytes_max(header->parameter_count, sparse->count, header->values);
    uint8_t *out = malloc(capacity);
    if (!out) return OWM_E_NOMEM;
    owm_status status = owm_delta_encode(header, sparse, out, capacity, bytes);
    if (status != OWM_OK) {
        free(out);
        return status;
    }
    *package = out;
    return OWM_OK;
}

owm_status owm_feedback_package(struct owm_device *device, const struct owm_feedback_config *config,
                                const struct owm_delta_header *header, float *residual,
                                const float *delta, uint8_t **package, size_t *bytes)
{
    uint32_t n = header->parameter_count, k = owm_feedback_k(config, n);
    if (n == 0 || n > OWM_DELTA_PARAMETERS_MAX || header->values != config->values)
        return OWM_E_ARG;
    uint32_t *index = malloc(k * sizeof *index);
    float *value = malloc(k * sizeof *value);
    struct owm_sparse sparse;
    owm_status status = OWM_E_NOMEM;
    if (index && value) {
        status = owm_feedback_pick(device, config, residual, delta, n, index, value, &sparse);
        if (status == OWM_OK) {
            status = encode_picked(header, &sparse, package, bytes);
            /* Exact: each of these was just subtracted without rounding. */
            if (status != OWM_OK && owm_feedback_restore(residual, n, &sparse) != OWM_OK)
                status = OWM_E_STATE;
        }
    }
    free(index);
    free(value);
    return status;
}

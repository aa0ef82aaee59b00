/* feedback.c: error feedback on arrays: pick what is sent, keep the rest, restore what was not
 * used. */
#include <stdlib.h>

#include "dataplane/fl/feedback.h"

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

owm_status owm_feedback_pick(struct owm_device *device, const struct owm_feedback_config *config,
                             float *residual, const float *delta, uint32_t n, uint32_t *index,
                             float *value, struct owm_sparse *sparse)
{
    uint32_t k = owm_feedback_k(config, n);
    bool int8 = config->values == OWM_DELTA_INT8;
    /* Codes and scales are worked out again by the encoder; nobody keeps these. */
    void *code = malloc(k * (int8 ? sizeof(int8_t) : sizeof(uint16_t)));
    int8_t *exponent = malloc((size_t)n / OWM_QUANT_GROUP + 1);
    int floor_exponent = 0;
    owm_status status = OWM_E_NOMEM;
    *sparse = (struct owm_sparse){.index = index, .value = value};
    if (code && exponent)
        status = device->backend->feedback(
            device, &(struct owm_feedback_step){.residual = residual,
                                                .gradient = delta,
                                                .index = index,
                                                .value = value,
                                                .code = code,
                                                .exponent = exponent,
                                                .count = &sparse->count,
                                                .floor_exponent = &floor_exponent,
                                                .n = n,
                                                .k = k,
                                                .decay = config->decay,
                                                .quant = int8 ? OWM_QUANT_I8 : OWM_QUANT_BF16});
    free(code);
    free(exponent);
    sparse->exponent = floor_exponent;
    return status == OWM_OK && sparse->count == 0 ? OWM_E_ARG : status;
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

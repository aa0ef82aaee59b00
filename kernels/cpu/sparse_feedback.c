/* sparse_feedback.c: error feedback, one step after the other: add, select, quantise, subtract. */
#include "kernels/check.h"
#include "sparse_ref.h"

/* s goes into the residual wherever it can be sent. Returns whether it was so everywhere. */
static bool add_all(const struct owm_feedback_step *op, uint32_t *largest)
{
    bool good = true;
    *largest = 0;
    for (uint32_t i = 0; i < op->n; i++) {
        float s = decayed_sum(op->residual[i], op->decay, op->gradient[i]);
        uint32_t bits = magnitude_bits(s);
        if (bits > SENDABLE_BITS) {
            good = false;
            continue;
        }
        op->residual[i] = s;
        *largest = bits > *largest ? bits : *largest;
    }
    return good;
}

owm_status ref_feedback(struct owm_device *device, const struct owm_feedback_step *op)
{
    uint32_t largest;
    owm_status status = owm_check_feedback(op);
    if (status != OWM_OK) return status;
    if (!add_all(op, &largest)) return OWM_E_ARG;
    status = ref_topk(device, &(struct owm_topk){op->residual, op->index, op->count, op->n, op->k});
    if (status != OWM_OK) return status;
    float top;
    memcpy(&top, &largest, sizeof top);
    *op->floor_exponent = owm_quant_floor(top);
    for (uint32_t i = 0; i < *op->count; i++) op->value[i] = op->residual[op->index[i]];
    if (*op->count == 0) {
        if (op->quant == OWM_QUANT_I8) /* All is 0: quantise takes no empty vector. */
            memset(op->exponent, OWM_QUANT_EXPONENT_MIN,
                   ((size_t)op->n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP);
        return OWM_OK;
    }
    status = ref_quantise(device, &(struct owm_quantise){op->value, op->index, op->code,
                                                         op->exponent, *op->count, op->n,
                                                         *op->floor_exponent, op->quant});
    if (status != OWM_OK) return status;
    for (uint32_t i = 0; i < *op->count; i++) op->residual[op->index[i]] -= op->value[i];
    return OWM_OK;
}

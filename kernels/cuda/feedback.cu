/* feedback.cu: one step of error feedback: add, select, quantise, keep what is not sent. */
#include <string.h>

#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/ops_cuda.h"

#define THREADS 256

struct add_state {
    uint32_t bad, largest;
};

/* s goes into the residual wherever it can be sent. */
static __global__ void __launch_bounds__(THREADS)
    add_gradient(float *residual, const float *gradient, uint64_t n, float decay, bool wide,
                 add_state *state)
{
    uint32_t largest = 0;
    bool bad = false;
    uint64_t step = (uint64_t)gridDim.x * THREADS * 4;
    for (uint64_t at = ((uint64_t)blockIdx.x * THREADS + threadIdx.x) * 4; at < n; at += step) {
        gpu_quad r = gpu_load4(residual, at, n, wide), g = gpu_load4(gradient, at, n, wide);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float s = __fmaf_rn(r.v[i], decay, g.v[i]);
            uint32_t bits = magnitude_bits(s);
            if (bits > SENDABLE_BITS) {
                bad = true;
                continue;
            }
            r.v[i] = s;
            largest = bits > largest ? bits : largest;
        }
        gpu_store4(residual, at, n, wide, r);
    }
    if (bad) state->bad = 1;
    block_largest(&state->largest, largest);
}

static __global__ void __launch_bounds__(THREADS)
    gather(float *value, const float *x, const uint32_t *index, uint32_t count)
{
    uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count) value[i] = x[index[i]];
}

static __global__ void __launch_bounds__(THREADS)
    subtract(float *x, const float *value, const uint32_t *index, uint32_t count)
{
    uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count) x[index[i]] = __fsub_rn(x[index[i]], value[i]);
}

static owm_status add(struct owm_device *device, const struct owm_feedback_step *op,
                      add_state *state)
{
    add_state *shared = (add_state *)gpu_scratch(device, sizeof *shared);
    cudaStream_t stream = gpu_stream(device);
    if (!shared) return OWM_E_LIMIT;
    owm_status status = gpu_status(cudaMemsetAsync(shared, 0, sizeof *shared, stream));
    if (status) return status;
    OWM_LAUNCH(add_gradient, gpu_flat_blocks(device, op->n, THREADS), THREADS, 0, stream,
               op->residual, op->gradient, op->n, op->decay,
               gpu_wide(op->residual, 0) && gpu_wide(op->gradient, 0), shared);
    status = gpu_launched();
    if (status == OWM_OK) status = gpu_fetch(device, state, shared, sizeof *state);
    return status;
}

/* The residual is s: select, quantise, subtract, one after the other. */
static owm_status send(struct owm_device *device, const struct owm_feedback_step *op)
{
    cudaStream_t stream = gpu_stream(device);
    struct owm_topk topk = {op->residual, op->index, op->count, op->n, op->k};
    owm_status status = gpu_topk(device, &topk);
    if (status) return status;
    uint32_t count = *op->count, blocks = gpu_blocks(count, THREADS);
    if (count == 0) {
        size_t groups = ((size_t)op->n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP;
        if (!op->exponent) return OWM_OK;
        return gpu_status(
            cudaMemsetAsync(op->exponent, OWM_QUANT_EXPONENT_MIN & 0xff, groups, stream));
    }
    OWM_LAUNCH(gather, blocks, THREADS, 0, stream, op->value, op->residual, op->index, count);
    struct owm_quantise quantise = {op->value, op->index,           op->code, op->exponent, count,
                                    op->n,     *op->floor_exponent, op->quant};
    status = gpu_quantise(device, &quantise);
    if (status) return status;
    OWM_LAUNCH(subtract, blocks, THREADS, 0, stream, op->residual, op->value, op->index, count);
    return gpu_launched();
}

extern "C" owm_status gpu_feedback(struct owm_device *device, const struct owm_feedback_step *op)
{
    add_state state = {};
    owm_status status = owm_check_feedback(op);
    if (status == OWM_OK) status = add(device, op, &state);
    if (status) return status;
    if (state.bad) return OWM_E_ARG;
    *op->floor_exponent = floor_of_bits(state.largest);
    return send(device, op);
}

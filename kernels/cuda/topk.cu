/* topk.cu: the exact K largest magnitudes: three histograms of 11, 10 and 10 bits narrow down the
 * pattern of the K-th largest (digits.cuh), a fourth pass collects the indices in order. */
#include "kernels/cuda/collect.cuh"
#include "kernels/cuda/digits.cuh"
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/quad.cuh"

static __global__ void __launch_bounds__(DIGIT_THREADS)
    count_digits(uint32_t *bins, const float *x, uint64_t n, const collect_state *state, int digit,
                 bool wide)
{
    OWM_SHARED(uint32_t, local, DIGIT_BINS * DIGIT_COPIES);
    digits_begin(local);
    uint32_t prefix = state->threshold;
    uint64_t step = (uint64_t)gridDim.x * DIGIT_THREADS * 4;
    for (uint64_t at = ((uint64_t)blockIdx.x * DIGIT_THREADS + threadIdx.x) * 4; at < n;
         at += step) {
        gpu_quad q = gpu_load4(x, at, n, wide);
        for (int i = 0; i < 4; i++)
            if (at + i < n) digits_count(local, magnitude_bits(q.v[i]), prefix, digit);
    }
    digits_end(bins, local);
}

/* After the first digit it is known whether all is finite. */
static __global__ void __launch_bounds__(DIGIT_THREADS)
    narrow(uint32_t *bins, collect_state *state, int digit)
{
    if (digit == 0)
        for (uint32_t b = (INFINITY_BITS >> digit_shift(0)) + threadIdx.x; b < DIGIT_BINS;
             b += DIGIT_THREADS)
            if (bins[b]) state->bad = 1;
    digits_narrow(bins, &state->threshold, &state->ties, digit);
}

extern "C" owm_status gpu_topk(struct owm_device *device, const struct owm_topk *op)
{
    owm_status status = owm_check_topk(op);
    if (status) return status;
    collect_state state = {}, *shared;
    state.ties = op->k;
    uint64_t tiles = collect_tiles(op->n);
    size_t words = gpu_lookback_bytes(tiles), bytes = words + DIGIT_BINS * sizeof(uint32_t);
    uint8_t *scratch = (uint8_t *)gpu_scratch(device, bytes);
    if (!scratch) return OWM_E_LIMIT;
    uint32_t *bins = (uint32_t *)(scratch + words);
    cudaStream_t stream = gpu_stream(device);
    status = gpu_stage(device, &state, sizeof state, (void **)&shared);
    if (status == OWM_OK) status = gpu_status(cudaMemsetAsync(scratch, 0, bytes, stream));
    if (status) return status;
    for (int digit = 0; digit < DIGITS; digit++) {
        OWM_LAUNCH(count_digits, gpu_flat_blocks(device, op->n, DIGIT_THREADS), DIGIT_THREADS, 0,
                   stream, bins, op->x, op->n, shared, digit, gpu_wide(op->x, 0));
        OWM_LAUNCH(narrow, 1, DIGIT_THREADS, 0, stream, bins, shared, digit);
    }
    OWM_LAUNCH(collect, (unsigned)tiles, COLLECT_THREADS, 0, stream, op->index, op->k, op->x, op->n,
               gpu_wide(op->x, 0), shared, gpu_lookback_at(scratch, tiles));
    status = gpu_launched();
    if (status == OWM_OK) status = gpu_fetch(device, &state, shared, sizeof state);
    if (status) return status;
    if (state.bad) return OWM_E_ARG;
    *op->count = (uint32_t)state.count;
    return OWM_OK;
}

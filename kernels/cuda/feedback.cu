/* feedback.cu: one step of error feedback: add, select, quantise, keep what is not sent.
 *
 * Long vectors take the way of one pass (feedback_pass.cuh); short ones, and those that the pass
 * finds out of the ordinary, go step by step: the sums into the residual, then the ops topk and
 * quantise.
 */
#include <math.h>

#include "kernels/cuda/feedback_pass.cuh"
#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/ops_cuda.h"

#define THREADS       256
#define PASS_MIN      16384 /* coordinates */
#define SAMPLE_MAX    32768
#define SAMPLE_SIGMAS 5.0

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
        if (op->quant != OWM_QUANT_I8) return OWM_OK;
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

/* Of the sample, the ranks between which the K-th largest lies, five standard deviations off. */
static void bracket_ranks(pass_job *job)
{
    double share = (double)job->op.k / job->op.n, samples = job->sample_count;
    double margin = SAMPLE_SIGMAS * sqrt(samples * share * (1 - share)) + 2;
    double hi = floor(samples * share - margin), lo = ceil(samples * share + margin);
    job->rank_hi = hi >= 1 ? (uint32_t)hi : 0;
    job->rank_lo = lo <= samples ? (uint32_t)lo : 0;
}

/* The work space of a pass in scratch; what must begin as zeros is its first zero_bytes. */
struct pass_space {
    pass_job job;
    gpu_lookback select, merge;
    uint32_t tiles;
    size_t zero_bytes;
};

static bool lay_out(struct owm_device *device, const struct owm_feedback_step *op,
                    struct pass_space *space)
{
    pass_job *job = &space->job;
    uint64_t tiles = collect_tiles(op->n);
    size_t words = gpu_lookback_bytes(tiles), bins = 2 * DIGIT_BINS * sizeof(uint32_t);
    size_t samples = SAMPLE_MAX * sizeof(uint32_t), room = gpu_of(device)->scratch_bytes;
    space->tiles = (uint32_t)tiles;
    space->zero_bytes = PASS_STATE_BYTES + 2 * words + bins;
    size_t fixed = space->zero_bytes + samples + tiles * sizeof(pass_tile);
    if (fixed >= room) return false;
    uint8_t *at = (uint8_t *)gpu_scratch(device, room);
    job->op = *op;
    job->state = (pass_state *)at;
    space->select = gpu_lookback_at(at + PASS_STATE_BYTES, tiles);
    space->merge = gpu_lookback_at(at + PASS_STATE_BYTES + words, tiles);
    job->bins = (uint32_t *)(at + PASS_STATE_BYTES + 2 * words);
    job->samples = (uint32_t *)(at + space->zero_bytes);
    job->tiles = (pass_tile *)(at + space->zero_bytes + samples);
    uint64_t most = (room - fixed) / (sizeof(uint32_t) + sizeof(float));
    job->candidates_max = most < op->n ? (uint32_t)most : op->n;
    job->candidate = (uint32_t *)(at + fixed);
    job->candidate_s = (float *)(job->candidate + job->candidates_max);
    job->sample_count = op->n / 16 < SAMPLE_MAX ? op->n / 16 : SAMPLE_MAX;
    job->wide = gpu_wide(op->residual, 0) && gpu_wide(op->gradient, 0);
    bracket_ranks(job);
    return true;
}

template <bool BF16>
static void launch_pass(struct owm_device *device, const struct pass_space *space)
{
    const pass_job &job = space->job;
    cudaStream_t stream = gpu_stream(device);
    unsigned few = (unsigned)gpu_of(device)->processors * 2;
    OWM_LAUNCH(pass_sample, gpu_blocks(job.sample_count, THREADS), THREADS, 0, stream, job);
    OWM_LAUNCH(pass_bracket, 2, DIGIT_THREADS, 0, stream, job);
    OWM_LAUNCH(pass_select<BF16>, space->tiles, THREADS, 0, stream, job, space->select);
    OWM_LAUNCH(pass_decide, 1, 1, 0, stream, job, BF16);
    for (int digit = 0; digit < DIGITS; digit++) {
        OWM_LAUNCH(pass_digits, few, DIGIT_THREADS, 0, stream, job, digit);
        OWM_LAUNCH(pass_narrow, 1, DIGIT_THREADS, 0, stream, job, digit);
    }
    OWM_LAUNCH(pass_merge<BF16>, space->tiles, THREADS, 0, stream, job, space->merge);
    OWM_LAUNCH(pass_values<BF16>, gpu_blocks(job.op.k, THREADS), THREADS, 0, stream, job);
}

/* One pass; *state says how it went. If not well, the residual is s again. */
static owm_status pass(struct owm_device *device, const struct pass_space *space, pass_state *state)
{
    bool bf16 = space->job.op.quant == OWM_QUANT_BF16;
    cudaStream_t stream = gpu_stream(device);
    owm_status status = gpu_status(cudaMemsetAsync(space->job.state, 0, space->zero_bytes, stream));
    if (status) return status;
    if (bf16)
        launch_pass<true>(device, space);
    else
        launch_pass<false>(device, space);
    status = gpu_launched();
    if (status == OWM_OK) status = gpu_fetch(device, state, space->job.state, sizeof *state);
    if (status || state->go) return status;
    if (bf16)
        OWM_LAUNCH(pass_restore<true>, space->tiles, THREADS, 0, stream, space->job);
    else
        OWM_LAUNCH(pass_restore<false>, space->tiles, THREADS, 0, stream, space->job);
    return gpu_launched();
}

extern "C" owm_status gpu_feedback(struct owm_device *device, const struct owm_feedback_step *op)
{
    owm_status status = owm_check_feedback(op);
    if (status) return status;
    struct pass_space space = {};
    if (op->n < PASS_MIN || !lay_out(device, op, &space)) {
        add_state state = {};
        status = add(device, op, &state);
        if (status) return status;
        if (state.bad) return OWM_E_ARG;
        *op->floor_exponent = floor_of_bits(state.largest);
        return send(device, op);
    }
    pass_state state = {};
    status = pass(device, &space, &state);
    if (status) return status;
    if (state.select.bad) return OWM_E_ARG;
    *op->floor_exponent = floor_of_bits(state.select.largest);
    if (!state.go) return send(device, op);
    *op->count = (uint32_t)state.select.count;
    return OWM_OK;
}

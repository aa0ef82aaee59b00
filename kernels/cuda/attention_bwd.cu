/* attention_bwd.cu: the gradient of attention, without atomics: the same bits on every run.
 *
 * delta[row] = dout . out comes first. Then two passes recompute the weights from the saved
 * log-sum-exp: one over blocks of 64 queries for dQ, one over blocks of 64 keys for dK and dV,
 * which takes the query heads of its group, and their queries, in order. */
#include "attention_tile.cuh"
#include "ops_cuda.h"

#define DELTA_THREADS 128

/* A warp per head of a row: delta[batch][head][time]. */
static __global__ void __launch_bounds__(DELTA_THREADS)
    dot_out(float *delta, const float *dout, const float *out, attention_shape shape, size_t all)
{
    size_t i = ((size_t)blockIdx.x * DELTA_THREADS + threadIdx.x) / warpSize;
    if (i >= all) return;
    uint32_t dim = shape.head_dim;
    float sum = 0;
    for (uint32_t e = gpu_lane(); e < dim; e += warpSize)
        sum = fmaf(dout[i * dim + e], out[i * dim + e], sum);
    sum = gpu_warp_sum(sum);
    size_t row = i / shape.heads, head = i % shape.heads;
    size_t batch = row / shape.time, t = row % shape.time;
    if (gpu_lane() == 0) delta[(batch * shape.heads + head) * shape.time + t] = sum;
}

/** What a pass has of the saved sums: of one head of one sequence. */
struct saved {
    const float *lse, *delta;
};

/** weight: of a score, from the log-sum-exp of its query; 0 for a key after it. */
static __device__ __forceinline__ float weight(float score, float scale, float lse, bool seen)
{
    return seen ? exp2f((score * scale - lse) * TILE_LOG2E) : 0.0f;
}

template <int EACH, int WIDE>
static __global__ void __launch_bounds__(TILE_THREADS(EACH))
    query_pass(float *dqkv, const float *qkv, const float *dout, saved all, attention_shape shape)
{
    OWM_SHARED(float, work, TILE_WORK);
    OWM_SHARED(float, weights, TILE_WEIGHTS);
    uint32_t tile = gridDim.x - 1 - blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    uint32_t group = shape.heads + head / (shape.heads / shape.kv_heads), dim = shape.head_dim;
    view_deep query = shape.view(qkv, batch, head), key = shape.view(qkv, batch, group);
    view_deep value = shape.view(qkv, batch, group + shape.kv_heads);
    view_deep dresult = shape.out_view(dout, batch, head);
    size_t saved_at = ((size_t)batch * shape.heads + head) * shape.time;
    uint32_t first = tile * TILE_EDGE, row = first + tile_row<EACH>();
    float score[EACH][4], dweight[EACH][4], sum[EACH][4 * WIDE], lse[EACH], delta[EACH], one[EACH];
    float scale = 1.0f / sqrtf((float)dim);
    tile_clear(sum);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        lse[i] = row + i < shape.time ? all.lse[saved_at + row + i] : 0;
        delta[i] = row + i < shape.time ? all.delta[saved_at + row + i] : 0;
        one[i] = scale;
    }
    for (uint32_t col = 0; col <= first; col += TILE_EDGE) {
        tile_scores<EACH>(score, work, query, first, key, col, dim);
        tile_scores<EACH>(dweight, work, dresult, first, value, col, dim);
#pragma unroll
        for (int i = 0; i < EACH; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                score[i][j] = weight(score[i][j], scale, lse[i], col + tile_col() + j <= row + i)
                              * (dweight[i][j] - delta[i]);
        tile_put<EACH>(weights, score);
        tile_add<EACH, WIDE>(sum, work, weights, key, col, dim);
    }
    tile_store<EACH, WIDE>(dqkv + shape.at(batch, head), shape.stride(), first, shape.time, dim,
                           shape.wide, sum, one);
}

/** key_step: what 64 queries of one head add to dK and dV of 64 keys; rows are keys here, columns
 *  queries. */
template <int EACH, int WIDE, typename Shared, typename Weights>
static __device__ __forceinline__ void
key_step(float (&dkey)[EACH][4 * WIDE], float (&dvalue)[EACH][4 * WIDE], Shared &work,
         Weights &weights, const view_deep &query, const view_deep &key, const view_deep &value,
         const view_deep &dresult, const saved &head, uint32_t first, uint32_t col, uint32_t dim)
{
    float score[EACH][4], dweight[EACH][4], delta[4];
    float scale = 1.0f / sqrtf((float)dim);
    uint32_t row = first + tile_row<EACH>();
    tile_scores<EACH>(score, work, key, first, query, col, dim);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t t = col + tile_col() + j;
        bool inside = t < query.items;
        float lse = inside ? head.lse[t] : 0;
        delta[j] = inside ? head.delta[t] : 0;
#pragma unroll
        for (int i = 0; i < EACH; i++)
            score[i][j] = weight(score[i][j], scale, lse, inside && row + i <= t);
    }
    tile_put<EACH>(weights, score);
    tile_add<EACH, WIDE>(dvalue, work, weights, dresult, col, dim);
    tile_scores<EACH>(dweight, work, value, first, dresult, col, dim);
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) score[i][j] *= dweight[i][j] - delta[j];
    tile_put<EACH>(weights, score);
    tile_add<EACH, WIDE>(dkey, work, weights, query, col, dim);
}

template <int EACH, int WIDE>
static __global__ void __launch_bounds__(TILE_THREADS(EACH))
    key_pass(float *dqkv, const float *qkv, const float *dout, saved all, attention_shape shape)
{
    OWM_SHARED(float, work, TILE_WORK);
    OWM_SHARED(float, weights, TILE_WEIGHTS);
    uint32_t group = blockIdx.y, batch = blockIdx.z, dim = shape.head_dim;
    uint32_t first = blockIdx.x * TILE_EDGE, each = shape.heads / shape.kv_heads;
    uint32_t key_head = shape.heads + group, value_head = key_head + shape.kv_heads;
    view_deep key = shape.view(qkv, batch, key_head), value = shape.view(qkv, batch, value_head);
    float dkey[EACH][4 * WIDE], dvalue[EACH][4 * WIDE], one[EACH];
    tile_clear(dkey);
    tile_clear(dvalue);
    for (uint32_t h = group * each; h < (group + 1) * each; h++) {
        view_deep query = shape.view(qkv, batch, h), dresult = shape.out_view(dout, batch, h);
        size_t at = ((size_t)batch * shape.heads + h) * shape.time;
        saved head = {all.lse + at, all.delta + at};
        for (uint32_t col = first; col < shape.time; col += TILE_EDGE)
            key_step<EACH, WIDE>(dkey, dvalue, work, weights, query, key, value, dresult, head,
                                 first, col, dim);
    }
    for (int i = 0; i < EACH; i++) one[i] = 1.0f;
    tile_store<EACH, WIDE>(dqkv + shape.at(batch, value_head), shape.stride(), first, shape.time,
                           dim, shape.wide, dvalue, one);
    for (int i = 0; i < EACH; i++) one[i] = 1.0f / sqrtf((float)dim);
    tile_store<EACH, WIDE>(dqkv + shape.at(batch, key_head), shape.stride(), first, shape.time, dim,
                           shape.wide, dkey, one);
}

/* A head of 128 needs twice the sums: half the rows to a thread keep them in registers. */
template <int KEY_EACH, int WIDE>
static void both_passes(struct owm_device *device, const struct owm_attention_bwd *a,
                        const saved &all, const attention_shape &shape)
{
    cudaStream_t stream = gpu_stream(device);
    dim3 queries(gpu_blocks(a->time, TILE_EDGE), a->heads, a->batch);
    dim3 keys(gpu_blocks(a->time, TILE_EDGE), a->kv_heads, a->batch);
    OWM_LAUNCH((query_pass<8, WIDE>), queries, TILE_THREADS(8), 0, stream, a->dqkv, a->qkv, a->dout,
               all, shape);
    OWM_LAUNCH((key_pass<KEY_EACH, WIDE>), keys, TILE_THREADS(KEY_EACH), 0, stream, a->dqkv, a->qkv,
               a->dout, all, shape);
}

extern "C" owm_status gpu_attention_bwd(struct owm_device *device,
                                        const struct owm_attention_bwd *a)
{
    owm_status status = owm_check_attention_bwd(a);
    if (status != OWM_OK) return status;
    size_t sums = (size_t)a->batch * a->time * a->heads;
    float *delta = (float *)gpu_scratch(device, sums * sizeof(float));
    if (!delta) return OWM_E_LIMIT;
    uint32_t dim = a->head_dim;
    bool wide = gpu_wide(a->qkv, dim) && gpu_wide(a->dqkv, dim) && gpu_wide(a->dout, dim);
    attention_shape shape = {a->time, a->heads, a->kv_heads, dim, wide};
    unsigned rows_each = DELTA_THREADS / (unsigned)gpu_of(device)->warp;
    OWM_LAUNCH(dot_out, gpu_blocks(sums, rows_each), DELTA_THREADS, 0, gpu_stream(device), delta,
               a->dout, a->out, shape, sums);
    saved all = {a->lse, delta};
    if (dim <= 64)
        both_passes<8, 1>(device, a, all, shape);
    else
        both_passes<4, 2>(device, a, all, shape);
    return gpu_launched();
}

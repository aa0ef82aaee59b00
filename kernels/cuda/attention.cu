/* attention.cu: causal grouped-query attention, after FlashAttention-2 (Dao, 2023), in f32.
 *
 * Block (tile, head, sequence) owns 64 queries and walks over the keys up to them in tiles of 64,
 * with a running maximum and sum per row. Exponentials are powers of 2: log2(e) is in the scale.
 * The tiles with most keys start first. */
#include "attention_tile.cuh"
#include "ops_cuda.h"
#include "softmax_row.cuh"

#define EACH 8

struct softmax_state {
    float max[EACH], sum[EACH]; /* sum: this thread's columns alone, until the end. */
};

/** absorb: scores become weights, and what was summed before shrinks to the new maximum. */
template <int COLS>
static __device__ __forceinline__ void absorb(float (&score)[EACH][4], softmax_state &state,
                                              float (&sum)[EACH][COLS], uint32_t row, uint32_t col,
                                              float scale)
{
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        float top = state.max[i];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            score[i][j] = col + j <= row + i ? score[i][j] * scale : GPU_LOWEST;
            top = fmaxf(top, score[i][j]);
        }
        top = tile_team_max(top);
        float shrink = exp2f(state.max[i] - top);
        state.max[i] = top;
        state.sum[i] *= shrink;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            score[i][j] = exp2f(score[i][j] - top);
            state.sum[i] += score[i][j];
        }
#pragma unroll
        for (int j = 0; j < COLS; j++) sum[i][j] *= shrink;
    }
}

template <int WIDE>
static __global__ void __launch_bounds__(TILE_THREADS(EACH))
    attention_kernel(float *out, float *lse, const float *qkv, attention_shape shape)
{
    OWM_SHARED(float, work, TILE_WORK);
    OWM_SHARED(float, weights, TILE_WEIGHTS);
    uint32_t tile = gridDim.x - 1 - blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    uint32_t group = shape.heads + head / (shape.heads / shape.kv_heads), dim = shape.head_dim;
    view_deep query = shape.view(qkv, batch, head), key = shape.view(qkv, batch, group);
    view_deep value = shape.view(qkv, batch, group + shape.kv_heads);
    float score[EACH][4], sum[EACH][4 * WIDE], scale = TILE_LOG2E / sqrtf((float)dim);
    softmax_state state;
    for (int i = 0; i < EACH; i++) state.max[i] = GPU_LOWEST, state.sum[i] = 0;
    tile_clear(sum);
    uint32_t first = tile * TILE_EDGE, row = first + tile_row<EACH>();
    for (uint32_t col = 0; col <= first; col += TILE_EDGE) {
        tile_scores<EACH>(score, work, query, first, key, col, dim);
        absorb(score, state, sum, row, col + tile_col(), scale);
        tile_put<EACH>(weights, score);
        tile_add<EACH, WIDE>(sum, work, weights, value, col, dim);
    }
    float inverse[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        float total = tile_team_sum(state.sum[i]);
        inverse[i] = 1.0f / total;
        if (tile_col() == 0 && row + i < shape.time)
            lse[((size_t)batch * shape.heads + head) * shape.time + row + i] =
                (state.max[i] + log2f(total)) * TILE_LN2;
    }
    tile_store<EACH, WIDE>(out + shape.out_at(batch, head), shape.heads * dim, first, shape.time,
                           dim, shape.wide, sum, inverse);
}

extern "C" owm_status gpu_attention(struct owm_device *device, const struct owm_attention *a)
{
    owm_status status = owm_check_attention(a);
    if (status != OWM_OK) return status;
    attention_shape shape = {a->time, a->heads, a->kv_heads, a->head_dim,
                             gpu_wide(a->qkv, a->head_dim) && gpu_wide(a->out, a->head_dim)};
    dim3 grid(gpu_blocks(a->time, TILE_EDGE), a->heads, a->batch);
    if (a->head_dim <= 64)
        OWM_LAUNCH(attention_kernel<1>, grid, TILE_THREADS(EACH), 0, gpu_stream(device), a->out,
                   a->lse, a->qkv, shape);
    else
        OWM_LAUNCH(attention_kernel<2>, grid, TILE_THREADS(EACH), 0, gpu_stream(device), a->out,
                   a->lse, a->qkv, shape);
    return gpu_launched();
}

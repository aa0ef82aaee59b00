/* embedding.cu: lookup, and its gradient without a race.
 *
 * Lookup: one block per row. Gradient: rows of the same token form a chain in the order of rows; a
 * warp per row looks for the next row of its token, 32 at a time; then the first of each chain
 * walks it with a block, each thread its columns. No atomics: the same bits on every run. */
#include "ops_cuda.h"
#include "quad.cuh"

#define LINK_THREADS 256
#define CHAIN_END    0xffffffffu

static __global__ void __launch_bounds__(1024)
    embedding_kernel(float *out, const float *table, const uint16_t *tokens, uint32_t cols,
                     bool wide)
{
    const float *from = table + (size_t)tokens[blockIdx.x] * cols;
    float *to = out + (size_t)blockIdx.x * cols;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4)
        gpu_store4(to, c, cols, wide, gpu_load4(from, c, cols, wide));
}

extern "C" owm_status gpu_embedding(struct owm_device *device, const struct owm_embedding *a)
{
    owm_status status = owm_check_embedding(a);
    if (status != OWM_OK) return status;
    void *tokens;
    status = gpu_stage(device, a->tokens, a->rows * sizeof *a->tokens, &tokens);
    if (status != OWM_OK) return status;
    bool wide = gpu_wide(a->out, a->cols) && gpu_wide(a->table, a->cols);
    OWM_LAUNCH(embedding_kernel, a->rows, gpu_row_threads(a->cols), 0, gpu_stream(device), a->out,
               a->table, (const uint16_t *)tokens, a->cols, wide);
    return gpu_launched();
}

static __global__ void __launch_bounds__(LINK_THREADS) clear_chains(uint8_t *follows, uint32_t rows)
{
    uint32_t r = blockIdx.x * LINK_THREADS + threadIdx.x;
    if (r < rows) follows[r] = 0;
}

/* A warp per row: next[r] is the next row of the same token; follows[] marks those found. */
static __global__ void __launch_bounds__(LINK_THREADS)
    link_rows(uint32_t *next, uint8_t *follows, const uint16_t *tokens, uint32_t rows)
{
    uint32_t row = (blockIdx.x * LINK_THREADS + threadIdx.x) / warpSize;
    if (row >= rows) return;
    uint16_t token = tokens[row];
    uint32_t found = CHAIN_END;
    for (uint32_t base = row + 1; base < rows && found == CHAIN_END; base += warpSize) {
        uint32_t r = base + gpu_lane();
        gpu_lanes same = gpu_ballot(r < rows && tokens[r] == token);
        if (same) found = base + (uint32_t)(gpu_count((same & (~same + 1)) - 1));
    }
    if (gpu_lane() != 0) return;
    next[row] = found;
    if (found != CHAIN_END) follows[found] = 1;
}

static __global__ void __launch_bounds__(1024)
    add_chains(float *dtable, const float *dout, const uint16_t *tokens, const uint32_t *next,
               const uint8_t *follows, uint32_t cols, bool wide)
{
    if (follows[blockIdx.x]) return;
    float *to = dtable + (size_t)tokens[blockIdx.x] * cols;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad sum = gpu_load4(to, c, cols, wide);
        for (uint32_t r = blockIdx.x; r != CHAIN_END; r = next[r]) {
            gpu_quad d = gpu_load4(dout + (size_t)r * cols, c, cols, wide);
            for (int i = 0; i < 4; i++) sum.v[i] += d.v[i];
        }
        gpu_store4(to, c, cols, wide, sum);
    }
}

extern "C" owm_status gpu_embedding_bwd(struct owm_device *device,
                                        const struct owm_embedding_bwd *a)
{
    owm_status status = owm_check_embedding_bwd(a);
    if (status != OWM_OK) return status;
    uint32_t *next = (uint32_t *)gpu_scratch(device, a->rows * (sizeof(uint32_t) + 1));
    if (!next) return OWM_E_LIMIT;
    uint8_t *follows = (uint8_t *)(next + a->rows);
    void *staged;
    status = gpu_stage(device, a->tokens, a->rows * sizeof *a->tokens, &staged);
    if (status != OWM_OK) return status;
    const uint16_t *tokens = (const uint16_t *)staged;
    bool wide = gpu_wide(a->dtable, a->cols) && gpu_wide(a->dout, a->cols);
    cudaStream_t stream = gpu_stream(device);
    unsigned rows_each = LINK_THREADS / (unsigned)gpu_of(device)->warp;
    OWM_LAUNCH(clear_chains, gpu_blocks(a->rows, LINK_THREADS), LINK_THREADS, 0, stream, follows,
               a->rows);
    OWM_LAUNCH(link_rows, gpu_blocks(a->rows, rows_each), LINK_THREADS, 0, stream, next, follows,
               tokens, a->rows);
    OWM_LAUNCH(add_chains, a->rows, gpu_row_threads(a->cols), 0, stream, a->dtable, a->dout, tokens,
               next, follows, a->cols, wide);
    return gpu_launched();
}

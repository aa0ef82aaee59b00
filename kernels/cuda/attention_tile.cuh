/* attention_tile.cuh: the two products of attention by tiles of 64 x 64, for it and its gradient.
 *
 * A block of 1024 / EACH threads holds 64 rows (of queries, or of keys) in sixteenths: a thread has
 * EACH rows and, of 64 columns, 4; the 16 threads of a row are neighbours in a warp. Scores live in
 * registers, pass through shared memory once, as [column][row], and are gone: nothing of size T x T
 * exists. */
#ifndef OWM_KERNELS_CUDA_ATTENTION_TILE_CUH
#define OWM_KERNELS_CUDA_ATTENTION_TILE_CUH

#include "view.cuh"

#define TILE_EDGE    64
#define TILE_DEPTH   32
#define TILE_TEAM    16 /* Threads of a row. */
#define TILE_ROW     (TILE_EDGE + 4)
#define TILE_WORK    (2 * TILE_DEPTH * TILE_ROW) /* Floats: two slices, or 32 rows of values. */
#define TILE_WEIGHTS (TILE_EDGE * TILE_ROW)
#define TILE_LOG2E   1.4426950408889634f
#define TILE_LN2     0.6931471805599453f

#define TILE_THREADS(each) (TILE_EDGE / (each)*TILE_TEAM)

/** The first row of this thread, and the first of its four columns. */
template <int EACH> static __device__ __forceinline__ unsigned tile_row()
{
    return threadIdx.x / TILE_TEAM * EACH;
}

static __device__ __forceinline__ unsigned tile_col()
{
    return threadIdx.x % TILE_TEAM * 4;
}

/** tile_clear: all 0. */
template <int ROWS, int COLS>
static __device__ __forceinline__ void tile_clear(float (&x)[ROWS][COLS])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < COLS; j++) x[i][j] = 0;
}

/** tile_slice: 64 items of 32 depths into work[base ..], as [depth][item]. */
template <int EACH, typename Shared>
static __device__ __forceinline__ void tile_slice(Shared &work, unsigned base,
                                                  const view_deep &view, uint32_t first,
                                                  uint32_t depth, uint32_t end)
{
#pragma unroll
    for (int l = 0; l < EACH / 2; l++) {
        unsigned i = threadIdx.x + l * TILE_THREADS(EACH), at = i / 8, d = i % 8 * 4;
        gpu_quad q = view.quad(first + at, depth + d, end);
        for (int j = 0; j < 4; j++) work[base + (d + j) * TILE_ROW + at] = q.v[j];
    }
}

/** tile_scores: score = a b^T over `dim` depths, of 64 items of each from a_first and b_first.
 *  Begins with a barrier. */
template <int EACH, typename Shared>
static __device__ __forceinline__ void
tile_scores(float (&score)[EACH][4], Shared &work, const view_deep &a, uint32_t a_first,
            const view_deep &b, uint32_t b_first, uint32_t dim)
{
    const unsigned other = TILE_DEPTH * TILE_ROW;
    tile_clear(score);
    for (uint32_t depth = 0; depth < dim; depth += TILE_DEPTH) {
        __syncthreads();
        tile_slice<EACH>(work, 0, a, a_first, depth, dim);
        tile_slice<EACH>(work, other, b, b_first, depth, dim);
        __syncthreads();
#pragma unroll 8
        for (unsigned d = 0; d < TILE_DEPTH; d++) {
            gpu_quad x[EACH / 4], y = gpu_shared_get4(work, other + d * TILE_ROW + tile_col());
#pragma unroll
            for (int h = 0; h < EACH / 4; h++)
                x[h] = gpu_shared_get4(work, d * TILE_ROW + tile_row<EACH>() + h * 4);
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    score[i][j] = fmaf(x[i / 4].v[i % 4], y.v[j], score[i][j]);
        }
    }
}

/** tile_put: the scores into weights[column][row], for tile_add. */
template <int EACH, typename Shared>
static __device__ __forceinline__ void tile_put(Shared &weights, const float (&score)[EACH][4])
{
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < EACH; i += 4) {
            gpu_quad q = {{score[i][j], score[i + 1][j], score[i + 2][j], score[i + 3][j]}};
            gpu_shared_put4(weights, (tile_col() + j) * TILE_ROW + tile_row<EACH>() + i, q);
        }
}

/** tile_add: sum[row][e] += weights[column][row] * value[first + column][e] over the 64 columns, e
 *  below `dim` <= 64 * WIDE: of this thread tile_col() + 64 h. Begins with a barrier. */
template <int EACH, int WIDE, typename Shared, typename Weights>
static __device__ __forceinline__ void tile_add(float (&sum)[EACH][4 * WIDE], Shared &work,
                                                Weights &weights, const view_deep &value,
                                                uint32_t first, uint32_t dim)
{
    const unsigned row = 64 * WIDE;
    for (unsigned half = 0; half < TILE_EDGE; half += TILE_DEPTH) {
        __syncthreads();
        for (unsigned i = threadIdx.x; i < TILE_DEPTH * row / 4; i += TILE_THREADS(EACH)) {
            unsigned item = i / (row / 4), e = i % (row / 4) * 4;
            gpu_shared_put4(work, item * row + e, value.quad(first + half + item, e, dim));
        }
        __syncthreads();
#pragma unroll 4
        for (unsigned c = 0; c < TILE_DEPTH; c++) {
            gpu_quad x[EACH / 4], y[WIDE];
#pragma unroll
            for (int h = 0; h < EACH / 4; h++)
                x[h] = gpu_shared_get4(weights, (half + c) * TILE_ROW + tile_row<EACH>() + h * 4);
#pragma unroll
            for (int h = 0; h < WIDE; h++)
                y[h] = gpu_shared_get4(work, c * row + tile_col() + h * 64);
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < 4 * WIDE; j++)
                    sum[i][j] = fmaf(x[i / 4].v[i % 4], y[j / 4].v[j % 4], sum[i][j]);
        }
    }
}

/** tile_store: rows below `items` of the result, each times its factor. */
template <int EACH, int WIDE>
static __device__ __forceinline__ void
tile_store(float *out, uint32_t stride, uint32_t first, uint32_t items, uint32_t dim, bool wide,
           const float (&sum)[EACH][4 * WIDE], const float (&factor)[EACH])
{
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        uint32_t r = first + tile_row<EACH>() + i;
        if (r >= items) continue;
#pragma unroll
        for (int h = 0; h < WIDE; h++) {
            gpu_quad q;
            for (int j = 0; j < 4; j++) q.v[j] = sum[i][h * 4 + j] * factor[i];
            gpu_store4(out + (size_t)r * stride, tile_col() + h * 64, dim, wide, q);
        }
    }
}

/** tile_team_sum, tile_team_max: over the threads of a row. */
static __device__ __forceinline__ float tile_team_sum(float x)
{
    for (int step = TILE_TEAM / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(GPU_FULL, x, step, TILE_TEAM);
    return x;
}

static __device__ __forceinline__ float tile_team_max(float x)
{
    for (int step = TILE_TEAM / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(GPU_FULL, x, step, TILE_TEAM));
    return x;
}

/** One head's queries, keys, values inside the rows of qkv: what a block reads. */
struct attention_shape {
    uint32_t time, heads, kv_heads, head_dim;
    bool wide;

    __device__ __forceinline__ uint32_t stride() const
    {
        return (heads + 2 * kv_heads) * head_dim;
    }

    /** Columns of head `head` of all (queries, then keys, then values) of sequence `batch`. */
    __device__ __forceinline__ size_t at(uint32_t batch, uint32_t head) const
    {
        return (size_t)batch * time * stride() + (size_t)head * head_dim;
    }

    __device__ __forceinline__ view_deep view(const float *qkv, uint32_t batch, uint32_t head) const
    {
        view_deep v = {qkv + at(batch, head), stride(), time, wide};
        return v;
    }

    /** The same of out and dout, whose rows are heads * head_dim. */
    __device__ __forceinline__ size_t out_at(uint32_t batch, uint32_t head) const
    {
        return ((size_t)batch * time * heads + head) * head_dim;
    }

    __device__ __forceinline__ view_deep out_view(const float *out, uint32_t batch,
                                                  uint32_t head) const
    {
        view_deep v = {out + out_at(batch, head), heads * head_dim, time, wide};
        return v;
    }
};

#endif

/* linear_tile.cuh: many rows of activations against packed weights, by the matrix instructions.
 *
 * A block owns TILE_M rows of activations and as many rows of weights as its shape says, its 8
 * groups of 32 threads a part each. The depth goes by in slices of 64 bytes of activations (32 of
 * bf16, two groups of int8); TILE_STAGES slices are in shared memory or on their way there.
 *
 * BF16: the matrix instruction truncates as it adds, so its sums are kept short: every TILE_FOLD
 * slices they are added to others, with rounding. Q8_0 and Q4_0: one instruction sums one group
 * exactly; then both scales. Nibbles become bytes on the way from shared memory. */
#ifndef OWM_KERNELS_CUDA_LINEAR_TILE_CUH
#define OWM_KERNELS_CUDA_LINEAR_TILE_CUH

#include "linear_few.cuh"
#include "mma.cuh"

#define TILE_THREADS 256
#define TILE_M       64
#define TILE_STAGES  3
#define TILE_FOLD    8
#define TILE_GROUPS  2 /* Steps of 32 bytes, that is groups, in a slice. */

/** tile_shape: a group of 32 threads has M_EACH x 16 rows, N_EACH x 8 columns; N_GROUPS of the 8
 *  lie side by side. */
template <int M_EACH_, int N_EACH_, int N_GROUPS_> struct tile_shape {
    static constexpr int M_EACH = M_EACH_, N_EACH = N_EACH_, N_GROUPS = N_GROUPS_;
    static constexpr int N = N_EACH * 8 * N_GROUPS;
    static_assert(M_EACH * 16 * (TILE_THREADS / MMA_LANES / N_GROUPS) == TILE_M, "rows of a block");
};

/** Chunks of weights in a row of a slice: nibbles take half. */
template <enum owm_format FORMAT> static __device__ __forceinline__ constexpr int tile_chunks()
{
    return FORMAT == OWM_FORMAT_Q4_0 ? MMA_ROW / 2 : MMA_ROW;
}

/** Where a chunk of weights lies; rows of two chunks swap them every four rows. */
template <enum owm_format FORMAT>
static __device__ __forceinline__ unsigned tile_at(unsigned row, unsigned chunk)
{
    return FORMAT == OWM_FORMAT_Q4_0 ? row * 2 + (chunk ^ (row / 4 & 1)) : mma_at(row, chunk);
}

/** tile_stage: the shared memory of a slice; `of` gives that of one of the TILE_STAGES. */
struct tile_stage {
    uint4 *x, *w;
    float *x_scale;    /* [TILE_M][TILE_GROUPS] */
    uint16_t *w_scale; /* [N][TILE_GROUPS] */

    template <enum owm_format FORMAT, typename Shape>
    __device__ __forceinline__ tile_stage of(uint32_t slice) const
    {
        unsigned s = slice % TILE_STAGES;
        tile_stage stage = {x + s * TILE_M * MMA_ROW, w + s * Shape::N * tile_chunks<FORMAT>(),
                            x_scale + s * TILE_M * TILE_GROUPS,
                            w_scale + s * Shape::N * TILE_GROUPS};
        return stage;
    }
};

/** tile_fetch: slice `slice` into its stage. */
template <enum owm_format FORMAT, typename Shape>
static __device__ __forceinline__ void tile_fetch(const tile_stage &to, const linear_output &out,
                                                  const linear_input &x, const packed_view &w,
                                                  uint32_t slice)
{
    const int chunks = tile_chunks<FORMAT>();
    uint32_t row0 = blockIdx.y * TILE_M, col0 = blockIdx.x * Shape::N;
    for (unsigned i = threadIdx.x; i < TILE_M * MMA_ROW; i += TILE_THREADS) {
        uint32_t r = row0 + i / MMA_ROW, c = slice * MMA_ROW + i % MMA_ROW;
        bool inside = r < out.m && c < x.chunks;
        mma_copy<16>(&to.x[mma_at(i / MMA_ROW, i % MMA_ROW)],
                     x.chunk + (inside ? (size_t)r * x.chunks + c : 0), inside);
    }
    for (unsigned i = threadIdx.x; i < (unsigned)(Shape::N * chunks); i += TILE_THREADS) {
        uint32_t r = col0 + i / chunks, c = slice * chunks + i % chunks;
        bool inside = r < out.n && c < w.chunks;
        mma_copy<16>(&to.w[tile_at<FORMAT>(i / chunks, i % chunks)],
                     w.chunk + (inside ? (size_t)r * w.chunks + c : 0), inside);
    }
    if (FORMAT == OWM_FORMAT_BF16) return;
    uint32_t group = slice * TILE_GROUPS; /* Rows of scales are padded to even numbers. */
    for (unsigned i = threadIdx.x; i < TILE_M + Shape::N; i += TILE_THREADS) {
        bool of_x = i < TILE_M;
        uint32_t r = of_x ? row0 + i : col0 + i - TILE_M;
        bool inside = of_x ? r < out.m : r < out.n;
        size_t at = inside ? (size_t)r * w.scales + group : 0;
        if (of_x)
            mma_copy<8>(&to.x_scale[i * TILE_GROUPS], x.scale + at, inside);
        else
            mma_copy<4>(&to.w_scale[(i - TILE_M) * TILE_GROUPS], w.scale + at, inside);
    }
}

/** tile_weights: N_EACH fragments of step `step` of a slice, from weight row `row`. */
template <enum owm_format FORMAT, typename Shape>
static __device__ __forceinline__ void
tile_weights(mma_b (&b)[Shape::N_EACH], const tile_stage &stage, unsigned row, unsigned step)
{
#pragma unroll
    for (int j = 0; j < Shape::N_EACH; j += 2) {
        if constexpr (FORMAT == OWM_FORMAT_Q4_0) {
            for (int i = j; i < j + 2; i++) {
                unsigned at = tile_at<FORMAT>(row + i * 8 + mma_lane() / 4, step);
                uint32_t word = mma_word(&stage.w[at], mma_lane() % 4);
                b[i].v[0] = packed_low(word), b[i].v[1] = packed_high(word);
            }
        } else {
            mma_load_b(&b[j], stage.w, row + j * 8, step * 2);
        }
    }
}

/** tile_scaled: sum += product times the scales of its row and column, of one fragment. */
static __device__ __forceinline__ void tile_scaled(float (&sum)[4], const int (&product)[4],
                                                   const float (&of_row)[2],
                                                   const float (&of_col)[2])
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        sum[i] = fmaf((float)product[i], of_row[i / 2] * of_col[i % 2], sum[i]);
}

/** tile_step: 32 bytes of depth. `part` is what the matrix instruction adds to, of BF16. */
template <enum owm_format FORMAT, typename Shape>
static __device__ __forceinline__ void tile_step(float (&sum)[Shape::M_EACH][Shape::N_EACH][4],
                                                 float (&part)[Shape::M_EACH][Shape::N_EACH][4],
                                                 const tile_stage &stage, unsigned row,
                                                 unsigned col, unsigned step)
{
    mma_b b[Shape::N_EACH];
    unsigned g = mma_lane() / 4, t = mma_lane() % 4;
    tile_weights<FORMAT, Shape>(b, stage, col, step);
    float of_col[Shape::N_EACH][2];
    if (FORMAT != OWM_FORMAT_BF16)
#pragma unroll
        for (int j = 0; j < Shape::N_EACH; j++)
            for (int i = 0; i < 2; i++)
                of_col[j][i] =
                    gpu_half_widen(stage.w_scale[(col + j * 8 + t * 2 + i) * TILE_GROUPS + step]);
#pragma unroll
    for (int i = 0; i < Shape::M_EACH; i++) {
        mma_a a = mma_load_a(stage.x, row + i * 16, step * 2);
        float of_row[2] = {};
        if (FORMAT != OWM_FORMAT_BF16)
            for (int h = 0; h < 2; h++)
                of_row[h] = stage.x_scale[(row + i * 16 + h * 8 + g) * TILE_GROUPS + step];
#pragma unroll
        for (int j = 0; j < Shape::N_EACH; j++) {
            if (FORMAT == OWM_FORMAT_BF16) {
                mma_add(part[i][j], a, b[j]);
            } else {
                int product[4] = {};
                mma_add(product, a, b[j]);
                tile_scaled(sum[i][j], product, of_row, of_col[j]);
            }
        }
    }
}

template <typename Shape>
static __device__ __forceinline__ void tile_fold(float (&sum)[Shape::M_EACH][Shape::N_EACH][4],
                                                 float (&part)[Shape::M_EACH][Shape::N_EACH][4])
{
#pragma unroll
    for (int i = 0; i < Shape::M_EACH; i++)
#pragma unroll
        for (int j = 0; j < Shape::N_EACH; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) sum[i][j][e] += part[i][j][e], part[i][j][e] = 0;
}

template <enum owm_format FORMAT, typename Shape>
static __device__ __forceinline__ void
tile_write(const linear_output &out, const float (&sum)[Shape::M_EACH][Shape::N_EACH][4],
           unsigned row, unsigned col)
{
    uint32_t r0 = blockIdx.y * TILE_M + row + mma_lane() / 4;
    uint32_t c0 = blockIdx.x * Shape::N + col + mma_lane() % 4 * 2;
#pragma unroll
    for (int i = 0; i < Shape::M_EACH; i++)
#pragma unroll
        for (int j = 0; j < Shape::N_EACH; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                uint32_t r = r0 + i * 16 + e / 2 * 8, c = c0 + j * 8 + e % 2;
                if (r >= out.m || c >= out.n) continue;
                float *to = out.y + (size_t)r * out.stride + c;
                *to = (out.accumulate ? *to : 0.0f) + sum[i][j][e] * packed_unit(FORMAT);
            }
}

template <enum owm_format FORMAT, typename Shape>
static __global__ void __launch_bounds__(TILE_THREADS)
    linear_tile_kernel(linear_output out, linear_input x, packed_view w)
{
    OWM_SHARED(uint4, x_chunks, TILE_STAGES * TILE_M * MMA_ROW);
    OWM_SHARED(uint4, w_chunks, TILE_STAGES * Shape::N * tile_chunks<FORMAT>());
    OWM_SHARED(uint2, x_scales, TILE_STAGES * TILE_M); /* Copied 8 and 4 bytes at a time. */
    OWM_SHARED(uint32_t, w_scales, TILE_STAGES * Shape::N);
    static_assert(TILE_GROUPS == 2, "two scales in each");
    tile_stage all = {x_chunks, w_chunks, (float *)x_scales, (uint16_t *)w_scales};
    unsigned group = threadIdx.x / MMA_LANES;
    unsigned row = group / Shape::N_GROUPS * Shape::M_EACH * 16;
    unsigned col = group % Shape::N_GROUPS * Shape::N_EACH * 8;
    float sum[Shape::M_EACH][Shape::N_EACH][4] = {}, part[Shape::M_EACH][Shape::N_EACH][4] = {};
    uint32_t slices = (x.chunks + MMA_ROW - 1) / MMA_ROW;
    for (uint32_t s = 0; s < TILE_STAGES - 1; s++) {
        if (s < slices) tile_fetch<FORMAT, Shape>(all.of<FORMAT, Shape>(s), out, x, w, s);
        mma_copies_end();
    }
    for (uint32_t s = 0; s < slices; s++) {
        mma_copies_wait<TILE_STAGES - 2>();
        __syncthreads();
        uint32_t next = s + TILE_STAGES - 1;
        if (next < slices) tile_fetch<FORMAT, Shape>(all.of<FORMAT, Shape>(next), out, x, w, next);
        mma_copies_end();
        tile_stage stage = all.of<FORMAT, Shape>(s);
#pragma unroll
        for (unsigned step = 0; step < TILE_GROUPS; step++)
            tile_step<FORMAT, Shape>(sum, part, stage, row, col, step);
        if (FORMAT == OWM_FORMAT_BF16 && (s % TILE_FOLD == TILE_FOLD - 1 || s + 1 == slices))
            tile_fold<Shape>(sum, part);
    }
    tile_write<FORMAT, Shape>(out, sum, row, col);
}

/** linear_tiles: blocks of 128 columns where they fill the device, of 32 where they would not. */
template <enum owm_format FORMAT>
static void linear_tiles(struct owm_device *device, const linear_output &out, const linear_input &x,
                         const packed_view &w)
{
    typedef tile_shape<2, 4, 4> broad;
    typedef tile_shape<1, 2, 2> narrow;
    dim3 grid(gpu_blocks(out.n, broad::N), gpu_blocks(out.m, TILE_M));
    cudaStream_t stream = gpu_stream(device);
    if ((uint64_t)grid.x * grid.y >= (uint64_t)gpu_of(device)->processors) {
        OWM_LAUNCH((linear_tile_kernel<FORMAT, broad>), grid, TILE_THREADS, 0, stream, out, x, w);
        return;
    }
    grid.x = gpu_blocks(out.n, narrow::N);
    OWM_LAUNCH((linear_tile_kernel<FORMAT, narrow>), grid, TILE_THREADS, 0, stream, out, x, w);
}

#endif

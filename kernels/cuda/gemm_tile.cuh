/* gemm_tile.cuh: one tile of a matrix product by one block, in f32.
 *
 * 256 threads own a tile of EDGE x EDGE results, EDGE = 64 * HALVES; each has 4 * HALVES rows and
 * as many columns of it, in 4 x 4 pieces 64 apart, so that the lanes of a warp read neighbouring
 * 16 bytes of shared memory. The depth goes by in slices of GEMM_DEPTH: while one slice is used,
 * the next is on its way into registers and then into the other of two buffers; one barrier per
 * slice.
 *
 * Where the numbers come from is a view: rows whose depth lies side by side (view_deep), rows of
 * the depth (view_flat), or whatever else has `deep` and `quad` (view.cuh). */
#ifndef OWM_KERNELS_CUDA_GEMM_TILE_CUH
#define OWM_KERNELS_CUDA_GEMM_TILE_CUH

#include "view.cuh"

#define GEMM_THREADS 256
#define GEMM_DEPTH   16
#define GEMM_PAD     4 /* Floats after each row of a slice: rows begin in other banks. */

/** What the parts of a product whose depth is shared by blocks may take of the scratch memory. */
#define GEMM_PARTS_BYTES ((uint64_t)16 << 20)

/** A slice's buffer, in floats. */
#define GEMM_SLICE(halves) (GEMM_DEPTH * (64 * (halves) + GEMM_PAD))

/** gemm_fetch: this thread's part of a slice, items first .., depths from `depth` to below `end`.
 */
template <int HALVES, typename View>
static __device__ __forceinline__ void gemm_fetch(gpu_quad (&held)[HALVES], const View &view,
                                                  uint32_t first, uint32_t depth, uint32_t end)
{
#pragma unroll
    for (int l = 0; l < HALVES; l++) {
        unsigned i = threadIdx.x + l * GEMM_THREADS;
        if (View::deep)
            held[l] = view.quad(first + i / 4, depth + i % 4 * 4, end);
        else
            held[l] = view.quad(first + i % (16 * HALVES) * 4, depth + i / (16 * HALVES), end);
    }
}

/** gemm_keep: put it into the buffer that begins at `base`: [depth][item]. */
template <int HALVES, typename View, typename Shared>
static __device__ __forceinline__ void gemm_keep(Shared &slice, unsigned base,
                                                 const gpu_quad (&held)[HALVES])
{
    const unsigned row = 64 * HALVES + GEMM_PAD;
#pragma unroll
    for (int l = 0; l < HALVES; l++) {
        unsigned i = threadIdx.x + l * GEMM_THREADS;
        unsigned at =
            View::deep ? i % 4 * 4 * row + i / 4 : i / (16 * HALVES) * row + i % (16 * HALVES) * 4;
        if (View::deep)
            for (int j = 0; j < 4; j++) slice[base + at + j * row] = held[l].v[j];
        else
            gpu_shared_put4(slice, base + at, held[l]);
    }
}

/** The first row (column) of this thread in the tile; the other half is 64 further. */
static __device__ __forceinline__ unsigned gemm_row()
{
    return threadIdx.x / 64 * 16 + threadIdx.x % 32 / 8 * 4;
}

static __device__ __forceinline__ unsigned gemm_col()
{
    return threadIdx.x / 32 % 2 * 32 + threadIdx.x % 8 * 4;
}

/** gemm_slice: sum += a^T b of one slice. */
template <int HALVES, typename Shared>
static __device__ __forceinline__ void gemm_slice(float (&sum)[4 * HALVES][4 * HALVES],
                                                  const Shared &a, const Shared &b, unsigned base)
{
    const unsigned row = 64 * HALVES + GEMM_PAD;
#pragma unroll
    for (int d = 0; d < GEMM_DEPTH; d++) {
        gpu_quad x[HALVES], y[HALVES];
#pragma unroll
        for (int h = 0; h < HALVES; h++) {
            x[h] = gpu_shared_get4(a, base + d * row + h * 64 + gemm_row());
            y[h] = gpu_shared_get4(b, base + d * row + h * 64 + gemm_col());
        }
#pragma unroll
        for (int i = 0; i < 4 * HALVES; i++)
#pragma unroll
            for (int j = 0; j < 4 * HALVES; j++)
                sum[i][j] = fmaf(x[i / 4].v[i % 4], y[j / 4].v[j % 4], sum[i][j]);
    }
}

/** gemm_tile: sum = a b over the depths begin .. end, of the tile whose first row and column are
 *  named. */
template <int HALVES, typename A, typename B>
static __device__ __forceinline__ void gemm_tile(float (&sum)[4 * HALVES][4 * HALVES], const A &a,
                                                 const B &b, uint32_t row, uint32_t col,
                                                 uint32_t begin, uint32_t end)
{
    OWM_SHARED(float, a_slice, 2 * GEMM_SLICE(HALVES));
    OWM_SHARED(float, b_slice, 2 * GEMM_SLICE(HALVES));
    gpu_quad a_held[HALVES], b_held[HALVES];
#pragma unroll
    for (int i = 0; i < 4 * HALVES; i++)
#pragma unroll
        for (int j = 0; j < 4 * HALVES; j++) sum[i][j] = 0;
    gemm_fetch(a_held, a, row, begin, end);
    gemm_fetch(b_held, b, col, begin, end);
    unsigned base = 0;
    for (uint32_t depth = begin; depth < end; depth += GEMM_DEPTH) {
        gemm_keep<HALVES, A>(a_slice, base, a_held);
        gemm_keep<HALVES, B>(b_slice, base, b_held);
        __syncthreads();
        if (depth + GEMM_DEPTH < end) {
            gemm_fetch(a_held, a, row, depth + GEMM_DEPTH, end);
            gemm_fetch(b_held, b, col, depth + GEMM_DEPTH, end);
        }
        gemm_slice<HALVES>(sum, a_slice, b_slice, base);
        base = GEMM_SLICE(HALVES) - base;
    }
}

/** gemm_out: where a tile goes. With `splits` > 1 the blocks of grid.z share the depth and c is
 *  their part [splits][m][n] in scratch, which gemm_join adds up in order. */
struct gemm_out {
    float *c;
    uint32_t stride, m, n, k, split_depth;
    bool accumulate, wide;
};

template <int HALVES>
static __device__ __forceinline__ void gemm_write(const float (&sum)[4 * HALVES][4 * HALVES],
                                                  const gemm_out &out, uint32_t row, uint32_t col)
{
    float *c = out.c + (size_t)blockIdx.z * out.m * out.n;
#pragma unroll
    for (int i = 0; i < 4 * HALVES; i++) {
        uint32_t r = row + gemm_row() + i / 4 * 64 + i % 4;
        if (r >= out.m) continue;
        float *line = c + (size_t)r * out.stride;
#pragma unroll
        for (int h = 0; h < HALVES; h++) {
            uint32_t at = col + gemm_col() + h * 64;
            gpu_quad q = out.accumulate ? gpu_load4(line, at, out.n, out.wide) : view_nothing();
            for (int j = 0; j < 4; j++) q.v[j] += sum[i][h * 4 + j];
            gpu_store4(line, at, out.n, out.wide, q);
        }
    }
}

/** Block (x, y, z): columns, rows, part of the depth. */
template <int HALVES, typename A, typename B>
static __global__ void __launch_bounds__(GEMM_THREADS, HALVES == 2 ? 1 : 2)
    gemm_kernel(gemm_out out, A a, B b)
{
    float sum[4 * HALVES][4 * HALVES];
    uint32_t row = blockIdx.y * 64 * HALVES, col = blockIdx.x * 64 * HALVES;
    uint32_t begin = blockIdx.z * out.split_depth;
    uint32_t end = out.k - begin < out.split_depth ? out.k : begin + out.split_depth;
    gemm_tile<HALVES>(sum, a, b, row, col, begin, end);
    gemm_write<HALVES>(sum, out, row, col);
}

/** gemm_join: c = the parts in order, on top of what c held when `accumulate`. */
static __global__ void __launch_bounds__(GEMM_THREADS)
    gemm_join(float *c, const float *part, uint32_t splits, uint32_t m, uint32_t n, uint32_t stride,
              bool accumulate)
{
    size_t at = (size_t)blockIdx.x * GEMM_THREADS + threadIdx.x, all = (size_t)m * n;
    if (at >= all) return;
    float sum = 0;
    for (uint32_t s = 0; s < splits; s++) sum += part[s * all + at];
    float *to = c + at / n * stride + at % n;
    *to = accumulate ? *to + sum : sum;
}

/** gemm_splits: into how many parts to cut the depth so that the device is full: 1 if the tiles
 *  fill it. It depends on nothing that may differ between two runs on one device. */
static inline uint32_t gemm_splits(struct owm_device *device, uint64_t tiles, const gemm_out &out)
{
    uint64_t splits = (uint64_t)gpu_of(device)->processors * 2 / tiles;
    uint64_t most = out.k / (4 * GEMM_DEPTH), one = (uint64_t)out.m * out.n * sizeof(float);
    if (splits > most) splits = most;
    if (splits > GEMM_PARTS_BYTES / one) splits = GEMM_PARTS_BYTES / one;
    return splits > 1 ? (uint32_t)splits : 1;
}

/** gemm_launch: the whole product. Returns: OWM_OK; OWM_E_LIMIT; OWM_E_DEVICE. */
template <int HALVES, typename A, typename B>
static owm_status gemm_launch(struct owm_device *device, gemm_out out, const A &a, const B &b)
{
    gemm_out direct = out;
    dim3 grid(gpu_blocks(out.n, 64 * HALVES), gpu_blocks(out.m, 64 * HALVES));
    uint32_t splits = gemm_splits(device, (uint64_t)grid.x * grid.y, out);
    uint32_t slices = (out.k + GEMM_DEPTH - 1) / GEMM_DEPTH;
    out.split_depth = (slices + splits - 1) / splits * GEMM_DEPTH;
    grid.z = splits = gpu_blocks(out.k, out.split_depth);
    if (splits > 1) {
        out.c = (float *)gpu_scratch(device, (size_t)splits * out.m * out.n * sizeof(float));
        if (!out.c) return OWM_E_LIMIT;
        out.stride = out.n;
        out.accumulate = false;
        out.wide = gpu_wide(out.c, out.n);
    }
    cudaStream_t stream = gpu_stream(device);
    OWM_LAUNCH((gemm_kernel<HALVES, A, B>), grid, GEMM_THREADS, 0, stream, out, a, b);
    if (splits > 1)
        OWM_LAUNCH(gemm_join, gpu_blocks((uint64_t)out.m * out.n, GEMM_THREADS), GEMM_THREADS, 0,
                   stream, direct.c, out.c, splits, out.m, out.n, direct.stride, direct.accumulate);
    return gpu_launched();
}

/** gemm_pick: tiles of 128 where they fill the device, of 64 where they would leave it idle. */
template <typename A, typename B>
static owm_status gemm_pick(struct owm_device *device, const gemm_out &out, const A &a, const B &b)
{
    uint64_t tiles = (uint64_t)gpu_blocks(out.m, 128) * gpu_blocks(out.n, 128);
    if (tiles >= (uint64_t)gpu_of(device)->processors) return gemm_launch<2>(device, out, a, b);
    return gemm_launch<1>(device, out, a, b);
}

#endif

/* gram.cu: dot products of all pairs of dense vectors, in the order of the contract.
 *
 * A block has one chunk of OWM_AGG_CHUNK coordinates and a tile of TILE x TILE pairs. Of its
 * threads, OWM_AGG_LANES in a row are the lanes of the contract; each holds SIDE x SIDE pairs of
 * its lane in registers and goes through the chunk, which comes to shared memory by slabs. Then the
 * lanes meet in halves, by shuffles, and the chunk's sums go to scratch; another kernel adds up the
 * chunks in order in f64. Scratch holds some of the chunks, so the two kernels take turns.
 */
#include "kernels/cuda/gpu.cuh"
#include "kernels/cuda/ops_cuda.h"

#define THREADS 256
#define SIDES   4                      /* THREADS = OWM_AGG_LANES * SIDES * SIDES */
#define SLAB    64                     /* coordinates in shared memory at a time */
#define PITCH   (SLAB + OWM_AGG_LANES) /* so that two rows of lanes are in different banks */

struct gram_job {
    const float *const *x;
    uint32_t count, n;
    uint32_t tiles; /* in a row */
};

/* Tile number t of the lower half, row by row. */
static __device__ __forceinline__ void tile_of(uint32_t t, uint32_t *row, uint32_t *col)
{
    uint32_t r = 0;
    while ((r + 1) * (r + 2) / 2 <= t) r++;
    *row = r;
    *col = t - r * (r + 1) / 2;
}

template <int SIDE, class SHARED>
static __device__ __forceinline__ void load_slab(const gram_job &job, SHARED &slab, uint32_t vector,
                                                 uint64_t at)
{
    for (uint32_t i = threadIdx.x; i < SIDE * SIDES * SLAB; i += THREADS) {
        uint32_t v = i / SLAB, k = i % SLAB;
        bool inside = vector + v < job.count && at + k < job.n;
        slab[v * PITCH + k] = inside ? job.x[vector + v][at + k] : 0.0f;
    }
}

template <int SIDE>
static __global__ void __launch_bounds__(THREADS)
    gram_chunks(const gram_job job, uint32_t first_chunk, float *sums)
{
    constexpr uint32_t tile = SIDE * SIDES;
    OWM_SHARED(float, a, tile *PITCH);
    OWM_SHARED(float, b, tile *PITCH);
    uint32_t lane = threadIdx.x % OWM_AGG_LANES, row = threadIdx.x / OWM_AGG_LANES % SIDES;
    uint32_t col = threadIdx.x / OWM_AGG_LANES / SIDES, tile_row, tile_col;
    tile_of(blockIdx.x, &tile_row, &tile_col);
    uint64_t begin = (uint64_t)(first_chunk + blockIdx.y) * OWM_AGG_CHUNK;
    uint64_t end = begin + OWM_AGG_CHUNK < job.n ? begin + OWM_AGG_CHUNK : job.n;
    float sum[SIDE][SIDE] = {};
    for (uint64_t at = begin; at < end; at += SLAB) {
        load_slab<SIDE>(job, a, tile_row * tile, at);
        load_slab<SIDE>(job, b, tile_col * tile, at);
        __syncthreads();
        /* Beyond the end the contract adds nothing, not even fma(0, 0, sum). */
        uint32_t here = end - at < SLAB ? (uint32_t)(end - at) : SLAB;
        for (uint32_t k = lane; k < here; k += OWM_AGG_LANES) {
            float x[SIDE], y[SIDE];
#pragma unroll
            for (int i = 0; i < SIDE; i++) x[i] = a[(i * SIDES + row) * PITCH + k];
#pragma unroll
            for (int j = 0; j < SIDE; j++) y[j] = b[(j * SIDES + col) * PITCH + k];
#pragma unroll
            for (int i = 0; i < SIDE; i++)
#pragma unroll
                for (int j = 0; j < SIDE; j++) sum[i][j] = __fmaf_rn(x[i], y[j], sum[i][j]);
        }
        __syncthreads();
    }
    float *out = sums + ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * tile * tile;
#pragma unroll
    for (int i = 0; i < SIDE; i++)
#pragma unroll
        for (int j = 0; j < SIDE; j++) {
            float s = sum[i][j];
#pragma unroll
            for (int half = OWM_AGG_LANES / 2; half > 0; half /= 2)
                s = __fadd_rn(s, __shfl_down_sync(GPU_FULL, s, half, OWM_AGG_LANES));
            if (lane == 0) out[(i * SIDES + row) * tile + j * SIDES + col] = s;
        }
}

/* A thread has one pair: total += the sums of `chunks` chunks, in order. */
static __global__ void __launch_bounds__(THREADS)
    add_chunks(double *total, const float *sums, uint32_t pairs, uint32_t chunks)
{
    uint32_t pair = blockIdx.x * THREADS + threadIdx.x;
    if (pair >= pairs) return;
    double sum = total[pair];
#pragma unroll 8
    for (uint32_t c = 0; c < chunks; c++)
        sum = __dadd_rn(sum, (double)sums[(size_t)c * pairs + pair]);
    total[pair] = sum;
}

/* The tiles' totals as one symmetric matrix. */
static __global__ void __launch_bounds__(THREADS)
    place(double *gram, const double *total, uint32_t count, uint32_t tile)
{
    uint32_t at = blockIdx.x * THREADS + threadIdx.x, i = at / count, j = at % count;
    if (i >= count || j > i) return;
    uint32_t row = i / tile, t = row * (row + 1) / 2 + j / tile;
    double sum = total[(size_t)t * tile * tile + i % tile * tile + j % tile];
    gram[(size_t)i * count + j] = sum;
    gram[(size_t)j * count + i] = sum;
}

static void launch_chunks(struct owm_device *device, const gram_job &job, uint32_t tile, dim3 grid,
                          uint32_t first_chunk, float *sums)
{
    cudaStream_t stream = gpu_stream(device);
    if (tile == 8)
        OWM_LAUNCH(gram_chunks<2>, grid, THREADS, 0, stream, job, first_chunk, sums);
    else if (tile == 16)
        OWM_LAUNCH(gram_chunks<4>, grid, THREADS, 0, stream, job, first_chunk, sums);
    else
        OWM_LAUNCH(gram_chunks<8>, grid, THREADS, 0, stream, job, first_chunk, sums);
}

extern "C" owm_status gpu_gram(struct owm_device *device, const struct owm_gram *op)
{
    owm_status status = owm_check_gram(op);
    if (status) return status;
    void *x;
    status = gpu_stage(device, op->x, op->count * sizeof *op->x, &x);
    if (status) return status;
    uint32_t tile = op->count <= 8 ? 8 : op->count <= 16 ? 16 : 32;
    gram_job job = {(const float *const *)x, op->count, op->n, (op->count + tile - 1) / tile};
    uint32_t tiles = job.tiles * (job.tiles + 1) / 2, pairs = tiles * tile * tile;
    size_t gram_bytes = (size_t)op->count * op->count * sizeof(double);
    size_t total_bytes = pairs * sizeof(double), chunk_bytes = pairs * sizeof(float);
    size_t fixed = (gram_bytes + total_bytes + 255) & ~(size_t)255;
    size_t room = gpu_of(device)->scratch_bytes;
    uint8_t *scratch = (uint8_t *)gpu_scratch(device, fixed + chunk_bytes);
    if (!scratch) return OWM_E_LIMIT;
    double *gram = (double *)scratch, *total = (double *)(scratch + gram_bytes);
    float *sums = (float *)(scratch + fixed);
    cudaStream_t stream = gpu_stream(device);
    uint64_t chunks = ((uint64_t)op->n + OWM_AGG_CHUNK - 1) / OWM_AGG_CHUNK;
    uint64_t most = (room - fixed) / chunk_bytes;
    if (most > 65535) most = 65535; /* of gridDim.y */
    status = gpu_status(cudaMemsetAsync(total, 0, total_bytes, stream));
    for (uint64_t c = 0; c < chunks && status == OWM_OK; c += most) {
        uint32_t here = (uint32_t)(chunks - c < most ? chunks - c : most);
        launch_chunks(device, job, tile, dim3(tiles, here), (uint32_t)c, sums);
        OWM_LAUNCH(add_chunks, gpu_blocks(pairs, THREADS), THREADS, 0, stream, total, sums, pairs,
                   here);
        status = gpu_launched();
    }
    OWM_LAUNCH(place, gpu_blocks((uint64_t)op->count * op->count, THREADS), THREADS, 0, stream,
               gram, total, op->count, tile);
    if (status == OWM_OK) status = gpu_launched();
    return status == OWM_OK ? gpu_fetch(device, op->gram, gram, gram_bytes) : status;
}

/* sparse_gram.cu: exact dot products of all pairs of sparse vectors, as integers of 128 bits.
 *
 * A block has GROUP x GROUP pairs, one per thread, and a strip of the coordinates. It takes the
 * strip by tiles: the values of 2 * GROUP packages as integers in shared memory, and for each
 * package a mask of the coordinates it has; a thread multiplies where both masks have a bit. Tiles
 * in which no package has a value are stepped over. Blocks add their sums to those of the others in
 * limbs of 32 bits, so that neither order nor carries matter.
 */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/sparse.cuh"

#define GROUP   16
#define SLOTS   (2 * GROUP) /* packages of a block: the rows', then the columns' */
#define THREADS (GROUP * GROUP)
#define TILE    128 /* coordinates */
#define MASKS   (TILE / 32)
#define LIMBS   4
#define NONE    0xffffffffu /* no coordinate */

struct part {
    const uint32_t *index;
    const float *value;
    uint32_t count;
    int32_t exponent;
};

struct gram_job {
    const part *parts;
    uint32_t count;
    const uint32_t *last;      /* highest coordinate of all */
    unsigned long long *limbs; /* [tiles of pairs][THREADS][LIMBS] */
};

static __global__ void __launch_bounds__(THREADS)
    highest_coordinate(uint32_t *last, const part *parts, uint32_t count)
{
    uint32_t highest = 0;
    for (uint32_t p = threadIdx.x; p < count; p += THREADS) {
        uint32_t at = parts[p].count ? parts[p].index[parts[p].count - 1] : 0;
        highest = at > highest ? at : highest;
    }
    highest = gpu_block_max(highest);
    if (threadIdx.x == 0) *last = highest;
}

/* value / 2^exponent, which is an integer below 2^40. */
static __device__ __forceinline__ long long as_integer(float value, int exponent)
{
    uint32_t bits = magnitude_bits(value);
    int e = (int)(bits >> 23);
    long long m = bits & 0x7fffffu;
    if (e)
        m |= 0x800000;
    else
        e = 1;
    int shift = e - 150 - exponent;
    m = shift >= 0 ? m << (shift & 63) : m >> (-shift & 63);
    return value < 0 ? -m : m;
}

/* Pairs number t of the lower half, row by row. */
static __device__ __forceinline__ uint32_t row_of(uint32_t t)
{
    uint32_t r = 0;
    while ((r + 1) * (r + 2) / 2 <= t) r++;
    return r;
}

static __device__ __forceinline__ void add_limbs(unsigned long long *limbs, __int128 sum)
{
    for (int i = 0; i < LIMBS; i++) {
        uint32_t limb = (uint32_t)(sum >> (32 * i));
        /* The highest one carries the sign. */
        unsigned long long wide = i == LIMBS - 1 ? (unsigned long long)(long long)(int)limb : limb;
        if (wide) atomicAdd(&limbs[i], wide);
    }
}

static __global__ void __launch_bounds__(THREADS) gram_strip(const gram_job job)
{
    OWM_SHARED(long long, value, SLOTS *TILE);
    OWM_SHARED(uint32_t, mask, SLOTS * MASKS);
    OWM_SHARED(uint32_t, cursor, SLOTS);
    OWM_SHARED(uint32_t, next, 1);
    constexpr uint32_t loaders = THREADS / SLOTS;
    uint32_t slot = threadIdx.x / loaders, tile_row = row_of(blockIdx.x);
    uint32_t tile_col = blockIdx.x - tile_row * (tile_row + 1) / 2;
    uint32_t p = (slot < GROUP ? tile_row * GROUP : tile_col * GROUP - GROUP) + slot;
    part own = {};
    if (p < job.count) own = job.parts[p];
    uint64_t all = (uint64_t)*job.last + 1;
    uint64_t strip = (all + gridDim.y - 1) / gridDim.y, begin = strip * blockIdx.y;
    uint64_t end = begin + strip < all ? begin + strip : all;
    bool leads = threadIdx.x % loaders == 0;
    if (leads) cursor[slot] = lower_bound(own.index, own.count, begin);
    uint32_t row = threadIdx.x / GROUP, col = GROUP + threadIdx.x % GROUP;
    __int128 sum = 0;
    for (;;) {
        __syncthreads();
        if (threadIdx.x == 0) next[0] = NONE;
        for (uint32_t i = threadIdx.x; i < SLOTS * MASKS; i += THREADS) mask[i] = 0;
        __syncthreads();
        uint32_t at = cursor[slot], stored = 0;
        if (leads && at < own.count && own.index[at] < end) atomicMin(&next[0], own.index[at]);
        __syncthreads();
        if (next[0] == NONE) break;
        uint32_t first = next[0] / TILE * TILE;
        uint64_t behind = (uint64_t)first + TILE < end ? (uint64_t)first + TILE : end;
        for (at += threadIdx.x % loaders; at < own.count && own.index[at] < behind; at += loaders) {
            uint32_t t = own.index[at] - first;
            value[slot * TILE + t] = as_integer(own.value[at], own.exponent);
            atomicOr(&mask[slot * MASKS + t / 32], 1u << t % 32);
            stored++;
        }
        if (stored) atomicAdd(&cursor[slot], stored);
        __syncthreads();
        for (uint32_t w = 0; w < MASKS; w++)
            for (uint32_t both = mask[row * MASKS + w] & mask[col * MASKS + w]; both;
                 both &= both - 1) {
                uint32_t t = w * 32 + (uint32_t)__ffs((int)both) - 1;
                sum += (__int128)value[row * TILE + t] * value[col * TILE + t];
            }
    }
    add_limbs(job.limbs + ((size_t)blockIdx.x * THREADS + threadIdx.x) * LIMBS, sum);
}

/* To the nearest double, ties to even: the highest 64 bits, the lowest of which stands for all
 * below. */
static __device__ double rounded(__int128 sum, int exponent)
{
    unsigned __int128 size = sum < 0 ? -(unsigned __int128)sum : (unsigned __int128)sum;
    int shift = 0;
    unsigned long long high = (unsigned long long)(size >> 64), top = (unsigned long long)size;
    if (high) {
        shift = 64 - __clzll((long long)high);
        top = (unsigned long long)(size >> shift);
        if ((unsigned __int128)top << shift != size) top |= 1;
    }
    double x = ldexp(__ull2double_rn(top), shift + exponent);
    return sum < 0 ? -x : x;
}

static __global__ void __launch_bounds__(THREADS) place(double *gram, const gram_job job)
{
    uint32_t at = blockIdx.x * THREADS + threadIdx.x, i = at / job.count, j = at % job.count;
    if (i >= job.count || j > i) return;
    uint32_t row = i / GROUP, tile = row * (row + 1) / 2 + j / GROUP;
    const unsigned long long *limbs =
        job.limbs + ((size_t)tile * THREADS + i % GROUP * GROUP + j % GROUP) * LIMBS;
    unsigned __int128 sum = 0;
    for (int k = 0; k < LIMBS; k++) sum += (unsigned __int128)limbs[k] << (32 * k);
    double x = rounded((__int128)sum, job.parts[i].exponent + job.parts[j].exponent);
    gram[(size_t)i * job.count + j] = x;
    gram[(size_t)j * job.count + i] = x;
}

static owm_status stage_parts(struct owm_device *device, const struct owm_sparse_gram *op,
                              void **parts)
{
    part host[OWM_SPARSE_PACKAGES_MAX] = {};
    for (uint32_t p = 0; p < op->count; p++) {
        const struct owm_sparse *x = &op->package[p];
        host[p] = {x->index, x->value, x->count, x->exponent};
    }
    return gpu_stage(device, host, op->count * sizeof *host, parts);
}

extern "C" owm_status gpu_sparse_gram(struct owm_device *device, const struct owm_sparse_gram *op)
{
    owm_status status = owm_check_sparse_gram(op);
    void *parts = NULL;
    if (status == OWM_OK) status = stage_parts(device, op, &parts);
    if (status) return status;
    uint32_t side = (op->count + GROUP - 1) / GROUP, tiles = side * (side + 1) / 2;
    size_t limb_bytes = (size_t)tiles * THREADS * LIMBS * sizeof(unsigned long long);
    size_t gram_bytes = (size_t)op->count * op->count * sizeof(double);
    uint8_t *scratch = (uint8_t *)gpu_scratch(device, 256 + limb_bytes + gram_bytes);
    if (!scratch) return OWM_E_LIMIT;
    double *gram = (double *)(scratch + 256 + limb_bytes);
    gram_job job = {(const part *)parts, op->count, (const uint32_t *)scratch,
                    (unsigned long long *)(scratch + 256)};
    cudaStream_t stream = gpu_stream(device);
    uint32_t strips = (uint32_t)gpu_of(device)->processors * 16 / tiles;
    status = gpu_status(cudaMemsetAsync(job.limbs, 0, limb_bytes, stream));
    if (status) return status;
    OWM_LAUNCH(highest_coordinate, 1, THREADS, 0, stream, (uint32_t *)scratch, job.parts,
               op->count);
    OWM_LAUNCH(gram_strip, dim3(tiles, strips + 1), THREADS, 0, stream, job);
    OWM_LAUNCH(place, gpu_blocks((uint64_t)op->count * op->count, THREADS), THREADS, 0, stream,
               gram, job);
    status = gpu_launched();
    return status == OWM_OK ? gpu_fetch(device, op->gram, gram, gram_bytes) : status;
}

/* sparse_sum.cu: the weighted sum of sparse vectors over a range of coordinates.
 *
 * A block has a tile of the range in shared memory and adds the packages to it, one after the
 * other; the values of one package have different coordinates, so its threads never meet. Where a
 * package's part of the tile begins and ends is looked up by one thread for each package
 * beforehand.
 */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/sparse.cuh"

#define THREADS 256
#define TILE    8192 /* coordinates: 32 KiB */

struct part {
    const uint32_t *index;
    const float *value;
    uint32_t count;
    float alpha;
};

static __global__ void __launch_bounds__(THREADS)
    sparse_sum(float *out, const part *parts, uint32_t count, uint32_t first, uint32_t last)
{
    OWM_SHARED(float, sum, TILE);
    OWM_SHARED(uint32_t, begin, THREADS);
    OWM_SHARED(uint32_t, end, THREADS);
    uint64_t low = (uint64_t)first + (uint64_t)blockIdx.x * TILE;
    uint64_t high = low + TILE < last ? low + TILE : last;
    for (uint32_t i = threadIdx.x; i < TILE; i += THREADS) sum[i] = 0;
    for (uint32_t some = 0; some < count; some += THREADS) {
        uint32_t p = some + threadIdx.x;
        __syncthreads();
        begin[threadIdx.x] = p < count ? lower_bound(parts[p].index, parts[p].count, low) : 0;
        end[threadIdx.x] = p < count ? lower_bound(parts[p].index, parts[p].count, high) : 0;
        for (uint32_t q = 0; q < THREADS && some + q < count; q++) {
            __syncthreads();
            part x = parts[some + q];
            if (x.alpha == 0) continue;
            for (uint32_t i = begin[q] + threadIdx.x; i < end[q]; i += THREADS) {
                uint32_t at = (uint32_t)(x.index[i] - low);
                sum[at] = __fmaf_rn(x.alpha, x.value[i], sum[at]);
            }
        }
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < high - low; i += THREADS) out[low - first + i] = sum[i];
}

extern "C" owm_status gpu_sparse_sum(struct owm_device *device, const struct owm_sparse_sum *op)
{
    owm_status status = owm_check_sparse_sum(op);
    if (status) return status;
    part host[OWM_SPARSE_PACKAGES_MAX] = {};
    for (uint32_t p = 0; p < op->count; p++) {
        const struct owm_sparse *x = &op->package[p];
        host[p] = {x->index, x->value, x->count, op->alpha[p]};
    }
    void *parts;
    status = gpu_stage(device, host, (op->count ? op->count : 1) * sizeof *host, &parts);
    if (status) return status;
    OWM_LAUNCH(sparse_sum, gpu_blocks(op->last - op->first, TILE), THREADS, 0, gpu_stream(device),
               op->out, (const part *)parts, op->count, op->first, op->last);
    return gpu_launched();
}

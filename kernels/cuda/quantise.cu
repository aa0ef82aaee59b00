/* quantise.cu: the values of a sparse vector rounded to int8 or bfloat16.
 *
 * int8: a warp has a group of coordinates, looks up its values, and passes over them twice: for the
 * largest, then for the codes. The whole vector is looked at first, so that a bad one changes
 * nothing.
 */
#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/ops_cuda.h"

#define THREADS 256

static __global__ void __launch_bounds__(THREADS)
    quantise_i8(const struct owm_quantise op, uint32_t groups)
{
    uint32_t group = (blockIdx.x * THREADS + threadIdx.x) / warpSize;
    if (group >= groups) return;
    uint64_t first = (uint64_t)group * OWM_QUANT_GROUP;
    uint32_t begin = lower_bound(op.index, op.count, first);
    uint32_t end = begin + lower_bound(op.index + begin, op.count - begin, first + OWM_QUANT_GROUP);
    uint32_t largest = 0;
    for (uint32_t i = begin + gpu_lane(); i < end; i += warpSize) {
        uint32_t bits = magnitude_bits(op.value[i]);
        largest = bits > largest ? bits : largest;
    }
    int e = exponent_of_bits(gpu_warp_max(largest));
    if (e < op.floor_exponent) e = op.floor_exponent;
    if (begin == end) e = OWM_QUANT_EXPONENT_MIN;
    if (gpu_lane() == 0) op.exponent[group] = (int8_t)e;
    for (uint32_t i = begin + gpu_lane(); i < end; i += warpSize) {
        int code = code_i8(op.value[i], e);
        static_cast<int8_t *>(op.code)[i] = (int8_t)code;
        op.value[i] = value_i8(code, e);
    }
}

static __global__ void __launch_bounds__(THREADS) quantise_bf16(const struct owm_quantise op)
{
    uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= op.count) return;
    uint32_t code = code_bf16(op.value[i], bf16_smallest_bits(op.floor_exponent));
    static_cast<uint16_t *>(op.code)[i] = (uint16_t)code;
    op.value[i] = value_bf16(code);
}

static owm_status quantisable(struct owm_device *device, const struct owm_quantise *op)
{
    uint32_t *largest = (uint32_t *)gpu_scratch(device, sizeof *largest), bits = 0;
    if (!largest) return OWM_E_LIMIT;
    owm_status status = gpu_status(cudaMemsetAsync(largest, 0, sizeof bits, gpu_stream(device)));
    if (status) return status;
    OWM_LAUNCH(largest_magnitude, gpu_flat_blocks(device, op->count, LARGEST_THREADS),
               LARGEST_THREADS, 0, gpu_stream(device), largest, op->value, op->count,
               gpu_wide(op->value, 0));
    status = gpu_launched();
    if (status == OWM_OK) status = gpu_fetch(device, &bits, largest, sizeof bits);
    if (status) return status;
    return bits <= SENDABLE_BITS ? OWM_OK : OWM_E_ARG;
}

extern "C" owm_status gpu_quantise(struct owm_device *device, const struct owm_quantise *op)
{
    owm_status status = owm_check_quantise(op);
    if (status == OWM_OK) status = quantisable(device, op);
    if (status) return status;
    uint32_t groups = (uint32_t)(((uint64_t)op->n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP);
    cudaStream_t stream = gpu_stream(device);
    if (op->quant == OWM_QUANT_I8)
        OWM_LAUNCH(quantise_i8, gpu_blocks((uint64_t)groups * gpu_of(device)->warp, THREADS),
                   THREADS, 0, stream, *op, groups);
    else
        OWM_LAUNCH(quantise_bf16, gpu_blocks(op->count, THREADS), THREADS, 0, stream, *op);
    return gpu_launched();
}

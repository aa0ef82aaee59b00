/* backend_cuda.c: the table of a GPU plug-in; cuda and hip are made of the same. An op that has no
 * kernel yet has no line here. */
#include "kernels/cuda/gpu_vendor.h"
#include "kernels/cuda/ops_cuda.h"

const struct owm_backend owm_plugin_backend = {
    .abi = OWM_BACKEND_ABI,
    .name = GPU_BACKEND_NAME,
    .device_count = gpu_device_count,
    .device_info = gpu_device_info,
    .open = gpu_open,
    .close = gpu_close,
    .mem_alloc = gpu_mem_alloc,
    .mem_free = gpu_mem_free,
    .mem_put = gpu_mem_put,
    .mem_get = gpu_mem_get,
    .mem_zero = gpu_mem_zero,
    .sync = gpu_sync,
    .host_alloc = gpu_host_alloc,
    .host_free = gpu_host_free,
    .put_async = gpu_put_async,
    .get_async = gpu_get_async,
    .event_record = gpu_event_record,
    .event_wait = gpu_event_wait,
    .event_elapsed = gpu_event_elapsed,
    .all_sum = gpu_all_sum,
    .gemm = gpu_gemm,
    .rmsnorm = gpu_rmsnorm,
    .rmsnorm_bwd = gpu_rmsnorm_bwd,
    .rope = gpu_rope,
    .swiglu = gpu_swiglu,
    .swiglu_bwd = gpu_swiglu_bwd,
    .embedding = gpu_embedding,
    .embedding_bwd = gpu_embedding_bwd,
    .cross_entropy = gpu_cross_entropy,
    .adamw = gpu_adamw,
    .add = gpu_add,
    .sum_squares = gpu_sum_squares,
};

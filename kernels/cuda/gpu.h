/* gpu.h: an opened GPU, as backend_cuda.c keeps it and the launchers see it.
 *
 * <cuda_runtime.h> is CUDA's in the cuda plug-in, a map of names in the hip plug-in (kernels/hip),
 * and the emulator's in tests: the files of this folder are compiled unchanged for all three.
 */
#ifndef OWM_KERNELS_CUDA_GPU_H
#define OWM_KERNELS_CUDA_GPU_H

#include <cuda_runtime.h>

#include "kernels/backend.h"
#include "kernels/check.h"

struct gpu_library; /* cuBLAS or rocBLAS, loaded when a product is large enough to use it. */

struct gpu_device {
    struct owm_device base;
    cudaStream_t stream[OWM_QUEUES];
    cudaEvent_t event[OWM_EVENTS_MAX];
    bool recorded[OWM_EVENTS_MAX];
    int processors;      /* Streaming multiprocessors, compute units. */
    int capability;      /* 90 for sm_90; 0 in the hip plug-in. */
    int warp;            /* 32, or 64 on GCN and CDNA. */
    size_t shared_bytes; /* What a block may ask for at most. */
    uint8_t *scratch;    /* Device memory of the op under way; gpu_scratch. */
    size_t scratch_bytes;
    uint8_t *stage_host, *stage_dev; /* Rings for host arguments; gpu_stage. */
    size_t stage_bytes, stage_at;
    struct gpu_library *blas;
    bool blas_tried;
};

/* Bounds of what a device keeps for itself; less on one with little free memory. */
#define GPU_SCRATCH_BYTES ((size_t)128 << 20)
#define GPU_STAGE_BYTES   ((size_t)32 << 20)

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gpu_device *gpu_of(struct owm_device *device)
{
    return (struct gpu_device *)device;
}

/** gpu_stream: the queue of the ops; its device becomes the calling thread's, as launches need. */
static inline cudaStream_t gpu_stream(struct owm_device *device)
{
    (void)cudaSetDevice(device->index);
    return gpu_of(device)->stream[OWM_QUEUE_COMPUTE];
}

/** gpu_status: the one place where CUDA's codes become ours. */
owm_status gpu_status(cudaError_t error);

/** gpu_launched: what became of the launches before it, as far as known now: OWM_OK, OWM_E_DEVICE.
 */
owm_status gpu_launched(void);

/** gpu_scratch: the device's work space, 256-byte aligned; each op starts anew at its beginning,
 * since ops run one after another. NULL when it is smaller than `bytes`: return OWM_E_LIMIT. */
void *gpu_scratch(struct owm_device *device, size_t bytes);

/** gpu_stage: copy host arguments (tokens, tables, pointers) to the device for the launches that
 *  follow in this op. The host array may change as soon as it returns.
 *  Returns: OWM_OK; OWM_E_LIMIT if they are above an eighth of the ring (4 MiB); OWM_E_DEVICE. */
owm_status gpu_stage(struct owm_device *device, const void *host, size_t bytes, void **dev);

/** gpu_fetch: wait for the ops so far and copy a result to the host. */
owm_status gpu_fetch(struct owm_device *device, void *host, const void *dev, size_t bytes);

/** gpu_blas_gemm: the product by the vendor's library, if it is large enough for that to pay.
 *  Returns: OWM_OK; OWM_E_UNSUPPORTED: too small, or no library: use the kernel; OWM_E_DEVICE. */
owm_status gpu_blas_gemm(struct owm_device *device, const struct owm_gemm *g);

#ifdef __cplusplus
}
#endif
#endif

/* gpu_vendor.h: what differs between NVIDIA and AMD on the host side: names, one table each. */
#ifndef OWM_KERNELS_CUDA_GPU_VENDOR_H
#define OWM_KERNELS_CUDA_GPU_VENDOR_H

#include <cuda_runtime.h>

#include "kernels/backend.h"

/* The hip plug-in is compiled with another. */
#ifndef GPU_BACKEND_NAME
#define GPU_BACKEND_NAME "cuda"
#endif

#define GPU_LIBRARY_NAMES_MAX 4

struct gpu_vendor {
    /** absent: the sentence for a machine where the runtime finds no device: `error` is its code.
     */
    void (*absent)(cudaError_t error, char *refusal, size_t refusal_bytes);

    /** describe: fill info->arch, info->driver and, for a device that our kernels were not compiled
     *  for, info->refusal. Returns: the capability, 90 for sm_90; 0 where there is none. */
    int (*describe)(const struct cudaDeviceProp *found, struct owm_device_info *info);

    /* The library of dense products: files in the order to try, and its functions. */
    const char *blas_file[GPU_LIBRARY_NAMES_MAX];
    const char *blas_create, *blas_destroy, *blas_stream, *blas_sgemm;
    int blas_plain, blas_transposed;

    /* The library of sums over devices: NCCL's functions, which RCCL has too. */
    const char *sum_file[GPU_LIBRARY_NAMES_MAX];
};

extern const struct gpu_vendor gpu_vendor;

/** The one symbol that a plug-in shows: backend_cuda.c. */
extern __attribute__((visibility("default"))) const struct owm_backend owm_plugin_backend;

/* gpu_device.c: the table's entries for devices. */
int gpu_device_count(void);
owm_status gpu_device_info(int index, struct owm_device_info *info);
owm_status gpu_open(struct owm_device **, const struct owm_device_config *, struct owm_error *);
void gpu_close(struct owm_device *device);

/* gpu_memory.c: the table's entries for memory, copies and queues. */
owm_status gpu_mem_alloc(struct owm_device *, void **mem, size_t bytes);
void gpu_mem_free(struct owm_device *, void *mem);
owm_status gpu_mem_put(struct owm_device *, void *dst_dev, const void *src, size_t bytes);
owm_status gpu_mem_get(struct owm_device *, void *dst, const void *src_dev, size_t bytes);
owm_status gpu_mem_zero(struct owm_device *, void *mem, size_t bytes);
owm_status gpu_sync(struct owm_device *);
owm_status gpu_host_alloc(struct owm_device *, void **mem, size_t bytes);
void gpu_host_free(struct owm_device *, void *mem);
owm_status gpu_put_async(struct owm_device *, void *dst_dev, const void *src, size_t bytes);
owm_status gpu_get_async(struct owm_device *, void *dst, const void *src_dev, size_t bytes);
owm_status gpu_event_record(struct owm_device *, enum owm_queue queue, unsigned event);
owm_status gpu_event_wait(struct owm_device *, enum owm_queue queue, unsigned event);
owm_status gpu_event_elapsed(struct owm_device *, unsigned from, unsigned to, double *ms);

/* gpu_blas.c, gpu_sum.c: the libraries. */
struct gpu_device;
void gpu_blas_close(struct gpu_device *gpu);
owm_status gpu_all_sum(struct owm_device *const *device, float *const *buffer, uint32_t count,
                       size_t n);
/** gpu_dlopen: the first of the names that the system has; NULL if none. */
void *gpu_dlopen(const char *const name[GPU_LIBRARY_NAMES_MAX]);

#endif

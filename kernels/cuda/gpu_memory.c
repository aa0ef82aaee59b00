/* gpu_memory.c: memory of a GPU, its three queues, events, and the rings that ops use for their
 * host arguments. The one place where CUDA's codes become ours. */
#include <string.h>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/gpu_vendor.h"

/* Copies up to this size go through pinned memory of our own, so that the caller need not wait. */
#define SMALL_COPY_BYTES ((size_t)64 << 10)
#define STAGE_ALIGN      256

owm_status gpu_status(cudaError_t error)
{
    if (error == cudaSuccess) return OWM_OK;
    (void)cudaGetLastError(); /* It was told; the next launch must not be blamed for it. */
    return error == cudaErrorMemoryAllocation ? OWM_E_NOMEM : OWM_E_DEVICE;
}

owm_status gpu_launched(void)
{
    return cudaGetLastError() == cudaSuccess ? OWM_OK : OWM_E_DEVICE;
}

/* A thread has a current device; every entry of the table makes its own current first. */
static struct gpu_device *use(struct owm_device *device)
{
    (void)cudaSetDevice(device->index);
    return gpu_of(device);
}

void *gpu_scratch(struct owm_device *device, size_t bytes)
{
    struct gpu_device *gpu = gpu_of(device);
    return bytes <= gpu->scratch_bytes ? gpu->scratch : NULL;
}

/* The next free place of the rings. At their end we wait for what still reads them: once in many
 * thousands of ops. An eighth at most, so that the few arguments of one op never meet. */
static owm_status stage_take(struct gpu_device *gpu, size_t bytes, size_t *at)
{
    if (bytes > gpu->stage_bytes / 8) return OWM_E_LIMIT;
    if (gpu->stage_at + bytes > gpu->stage_bytes) {
        owm_status status = gpu_status(cudaStreamSynchronize(gpu->stream[OWM_QUEUE_COMPUTE]));
        if (status != OWM_OK) return status;
        gpu->stage_at = 0;
    }
    *at = gpu->stage_at;
    gpu->stage_at += (bytes + STAGE_ALIGN - 1) & ~(size_t)(STAGE_ALIGN - 1);
    return OWM_OK;
}

static owm_status stage_copy(struct gpu_device *gpu, void *dst_dev, const void *src, size_t at,
                             size_t bytes)
{
    memcpy(gpu->stage_host + at, src, bytes);
    return gpu_status(cudaMemcpyAsync(dst_dev, gpu->stage_host + at, bytes, cudaMemcpyHostToDevice,
                                      gpu->stream[OWM_QUEUE_COMPUTE]));
}

owm_status gpu_stage(struct owm_device *device, const void *host, size_t bytes, void **dev)
{
    struct gpu_device *gpu = use(device);
    size_t at;
    owm_status status = stage_take(gpu, bytes, &at);
    if (status != OWM_OK) return status;
    *dev = gpu->stage_dev + at;
    return stage_copy(gpu, *dev, host, at, bytes);
}

owm_status gpu_fetch(struct owm_device *device, void *host, const void *dev, size_t bytes)
{
    return gpu_mem_get(device, host, dev, bytes);
}

owm_status gpu_mem_alloc(struct owm_device *device, void **mem, size_t bytes)
{
    struct gpu_device *gpu = use(device);
    cudaStream_t stream = gpu->stream[OWM_QUEUE_COMPUTE];
    size_t asked = bytes ? bytes : 1;
    owm_status status = gpu_status(cudaMalloc(mem, asked));
    if (status != OWM_OK) return status;
    status = gpu_status(cudaMemsetAsync(*mem, 0, asked, stream));
    /* The other queues may write there at once, so the zeros must be there first. */
    if (status == OWM_OK) status = gpu_status(cudaStreamSynchronize(stream));
    if (status != OWM_OK) (void)cudaFree(*mem);
    return status;
}

void gpu_mem_free(struct owm_device *device, void *mem)
{
    (void)use(device);
    if (mem) (void)cudaFree(mem); /* cudaFree waits for what is still using it. */
}

owm_status gpu_mem_put(struct owm_device *device, void *dst_dev, const void *src, size_t bytes)
{
    struct gpu_device *gpu = use(device);
    cudaStream_t stream = gpu->stream[OWM_QUEUE_COMPUTE];
    if (bytes == 0) return OWM_OK;
    if (bytes <= SMALL_COPY_BYTES) {
        size_t at;
        owm_status status = stage_take(gpu, bytes, &at);
        return status == OWM_OK ? stage_copy(gpu, dst_dev, src, at, bytes) : status;
    }
    owm_status status =
        gpu_status(cudaMemcpyAsync(dst_dev, src, bytes, cudaMemcpyHostToDevice, stream));
    /* The source is the caller's again when we return, pinned or not. */
    return status == OWM_OK ? gpu_status(cudaStreamSynchronize(stream)) : status;
}

owm_status gpu_mem_get(struct owm_device *device, void *dst, const void *src_dev, size_t bytes)
{
    struct gpu_device *gpu = use(device);
    cudaStream_t stream = gpu->stream[OWM_QUEUE_COMPUTE];
    void *to = dst;
    if (bytes == 0) return OWM_OK;
    if (bytes <= SMALL_COPY_BYTES) {
        size_t at;
        owm_status status = stage_take(gpu, bytes, &at);
        if (status != OWM_OK) return status;
        to = gpu->stage_host + at;
    }
    owm_status status =
        gpu_status(cudaMemcpyAsync(to, src_dev, bytes, cudaMemcpyDeviceToHost, stream));
    if (status == OWM_OK) status = gpu_status(cudaStreamSynchronize(stream));
    if (status == OWM_OK && to != dst) memcpy(dst, to, bytes);
    return status;
}

owm_status gpu_mem_zero(struct owm_device *device, void *mem, size_t bytes)
{
    struct gpu_device *gpu = use(device);
    if (bytes == 0) return OWM_OK;
    return gpu_status(cudaMemsetAsync(mem, 0, bytes, gpu->stream[OWM_QUEUE_COMPUTE]));
}

owm_status gpu_sync(struct owm_device *device)
{
    struct gpu_device *gpu = use(device);
    owm_status worst = OWM_OK;
    for (int q = 0; q < OWM_QUEUES; q++) {
        owm_status status = gpu_status(cudaStreamSynchronize(gpu->stream[q]));
        if (status != OWM_OK) worst = status;
    }
    return worst;
}

owm_status gpu_host_alloc(struct owm_device *device, void **mem, size_t bytes)
{
    (void)use(device);
    return gpu_status(cudaMallocHost(mem, bytes ? bytes : 1));
}

void gpu_host_free(struct owm_device *device, void *mem)
{
    (void)use(device);
    if (mem) (void)cudaFreeHost(mem);
}

owm_status gpu_put_async(struct owm_device *device, void *dst_dev, const void *src, size_t bytes)
{
    struct gpu_device *gpu = use(device);
    if (bytes == 0) return OWM_OK;
    return gpu_status(cudaMemcpyAsync(dst_dev, src, bytes, cudaMemcpyHostToDevice,
                                      gpu->stream[OWM_QUEUE_UPLOAD]));
}

owm_status gpu_get_async(struct owm_device *device, void *dst, const void *src_dev, size_t bytes)
{
    struct gpu_device *gpu = use(device);
    if (bytes == 0) return OWM_OK;
    return gpu_status(cudaMemcpyAsync(dst, src_dev, bytes, cudaMemcpyDeviceToHost,
                                      gpu->stream[OWM_QUEUE_DOWNLOAD]));
}

owm_status gpu_event_record(struct owm_device *device, enum owm_queue queue, unsigned event)
{
    struct gpu_device *gpu = use(device);
    if (event >= OWM_EVENTS_MAX || (unsigned)queue >= OWM_QUEUES) return OWM_E_ARG;
    owm_status status = gpu_status(cudaEventRecord(gpu->event[event], gpu->stream[queue]));
    if (status == OWM_OK) gpu->recorded[event] = true;
    return status;
}

owm_status gpu_event_wait(struct owm_device *device, enum owm_queue queue, unsigned event)
{
    struct gpu_device *gpu = use(device);
    if (event >= OWM_EVENTS_MAX || (unsigned)queue >= OWM_QUEUES) return OWM_E_ARG;
    if (!gpu->recorded[event]) return OWM_E_STATE;
    return gpu_status(cudaStreamWaitEvent(gpu->stream[queue], gpu->event[event], 0));
}

owm_status gpu_event_elapsed(struct owm_device *device, unsigned from, unsigned to, double *ms)
{
    struct gpu_device *gpu = use(device);
    if (from >= OWM_EVENTS_MAX || to >= OWM_EVENTS_MAX || !ms) return OWM_E_ARG;
    if (!gpu->recorded[from] || !gpu->recorded[to]) return OWM_E_STATE;
    owm_status status = gpu_status(cudaEventSynchronize(gpu->event[from]));
    if (status == OWM_OK) status = gpu_status(cudaEventSynchronize(gpu->event[to]));
    float elapsed = 0;
    if (status == OWM_OK)
        status = gpu_status(cudaEventElapsedTime(&elapsed, gpu->event[from], gpu->event[to]));
    *ms = elapsed;
    return status;
}

/* gpu_device.c: which GPUs there are, why one is refused, and the opening of one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/gpu_vendor.h"

/* Below this a device is of no use: the smallest model and its work space. */
#define FREE_BYTES_MIN ((size_t)256 << 20)

int gpu_device_count(void)
{
    int count = 0;
    if (gpu_status(cudaGetDeviceCount(&count)) != OWM_OK) return 0;
    return count;
}

static int attribute(enum cudaDeviceAttr which, int index)
{
    int value = 0;
    return gpu_status(cudaDeviceGetAttribute(&value, which, index)) == OWM_OK ? value : 0;
}

/* Asking for free memory makes a context, so it comes after the cheap refusals. */
static void look_inside(int index, struct owm_device_info *info)
{
    if (attribute(cudaDevAttrComputeMode, index) == cudaComputeModeProhibited) {
        snprintf(info->refusal, sizeof info->refusal,
                 "its compute mode is Prohibited; an administrator can set it to Default");
        return;
    }
    size_t free_bytes = 0, total_bytes = 0;
    cudaError_t error = cudaSetDevice(index);
    if (error == cudaSuccess) error = cudaMemGetInfo(&free_bytes, &total_bytes);
    if (error != cudaSuccess) {
        snprintf(info->refusal, sizeof info->refusal, "it does not answer: %s",
                 cudaGetErrorString(error));
        (void)gpu_status(error);
        return;
    }
    info->memory_free_bytes = free_bytes;
    if (free_bytes >= FREE_BYTES_MIN) return;
    snprintf(info->refusal, sizeof info->refusal,
             "only %zu MiB of its memory are free, %zu are needed; end what else uses it",
             free_bytes >> 20, FREE_BYTES_MIN >> 20);
}

/* What the runtime says when there is nothing to list. */
static owm_status unknown_index(int index, int count, cudaError_t error,
                                struct owm_device_info *info)
{
    if (error != cudaSuccess || count == 0)
        gpu_vendor.absent(error, info->refusal, sizeof info->refusal);
    else
        snprintf(info->refusal, sizeof info->refusal, "there are %d devices, from 0, and no %d",
                 count, index);
    (void)gpu_status(error);
    return OWM_E_ARG;
}

owm_status gpu_device_info(int index, struct owm_device_info *info)
{
    int count = 0;
    *info = (struct owm_device_info){0};
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || index < 0 || index >= count)
        return unknown_index(index, count, error, info);
    struct cudaDeviceProp found;
    memset(&found, 0, sizeof found);
    error = cudaGetDeviceProperties(&found, index);
    if (error != cudaSuccess) {
        snprintf(info->refusal, sizeof info->refusal, "it does not answer: %s",
                 cudaGetErrorString(error));
        (void)gpu_status(error);
        return OWM_OK;
    }
    snprintf(info->name, sizeof info->name, "%.*s", (int)sizeof info->name - 1, found.name);
    info->memory_bytes = found.totalGlobalMem;
    (void)gpu_vendor.describe(&found, info);
    if (!*info->refusal) look_inside(index, info);
    info->usable = !*info->refusal;
    return OWM_OK;
}

/* Everything an op will need later, so that none allocates. */
static owm_status make_work_space(struct gpu_device *gpu, size_t free_bytes)
{
    owm_status status = OWM_OK;
    for (int q = 0; q < OWM_QUEUES && status == OWM_OK; q++)
        status = gpu_status(cudaStreamCreateWithFlags(&gpu->stream[q], cudaStreamNonBlocking));
    for (int e = 0; e < OWM_EVENTS_MAX && status == OWM_OK; e++)
        status = gpu_status(cudaEventCreate(&gpu->event[e]));
    gpu->scratch_bytes = free_bytes / 8 < GPU_SCRATCH_BYTES ? free_bytes / 8 : GPU_SCRATCH_BYTES;
    gpu->stage_bytes = GPU_STAGE_BYTES;
    if (status == OWM_OK)
        status = gpu_status(cudaMalloc((void **)&gpu->scratch, gpu->scratch_bytes));
    if (status == OWM_OK)
        status = gpu_status(cudaMalloc((void **)&gpu->stage_dev, gpu->stage_bytes));
    if (status == OWM_OK)
        status = gpu_status(cudaMallocHost((void **)&gpu->stage_host, gpu->stage_bytes));
    return status;
}

static void read_limits(struct gpu_device *gpu, int index)
{
    struct cudaDeviceProp found;
    struct owm_device_info unused = {0};
    memset(&found, 0, sizeof found);
    if (gpu_status(cudaGetDeviceProperties(&found, index)) == OWM_OK)
        gpu->capability = gpu_vendor.describe(&found, &unused);
    gpu->processors = attribute(cudaDevAttrMultiProcessorCount, index);
    gpu->warp = attribute(cudaDevAttrWarpSize, index);
    size_t usual = (size_t)attribute(cudaDevAttrMaxSharedMemoryPerBlock, index);
    size_t asked = (size_t)attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
    gpu->shared_bytes = asked > usual ? asked : usual;
}

owm_status gpu_open(struct owm_device **device, const struct owm_device_config *config,
                    struct owm_error *error)
{
    struct owm_device_info info;
    owm_status status = gpu_device_info(config->index, &info);
    if (status != OWM_OK || !info.usable)
        return owm_fail(error, status != OWM_OK ? status : OWM_E_UNSUPPORTED,
                        "%s device %d%s%s cannot be used: %s", GPU_BACKEND_NAME, config->index,
                        *info.name ? ", " : "", info.name, info.refusal);
    struct gpu_device *gpu = calloc(1, sizeof *gpu);
    if (!gpu) return owm_fail(error, OWM_E_NOMEM, "no memory for a %s device", GPU_BACKEND_NAME);
    gpu->base = (struct owm_device){
        .backend = &owm_plugin_backend, .pool = config->pool, .index = config->index};
    status = gpu_status(cudaSetDevice(config->index));
    if (status == OWM_OK) {
        read_limits(gpu, config->index);
        bool known = gpu->processors > 0 && gpu->warp > 0;
        status = known ? make_work_space(gpu, info.memory_free_bytes) : OWM_E_DEVICE;
    }
    if (status != OWM_OK) {
        gpu_close(&gpu->base);
        return owm_fail(error, status, "%s device %d, %s: its work space was refused: %s",
                        GPU_BACKEND_NAME, config->index, info.name, owm_status_text(status));
    }
    *device = &gpu->base;
    return OWM_OK;
}

void gpu_close(struct owm_device *device)
{
    if (!device) return;
    struct gpu_device *gpu = gpu_of(device);
    (void)cudaSetDevice(device->index);
    for (int q = 0; q < OWM_QUEUES; q++)
        if (gpu->stream[q]) (void)cudaStreamSynchronize(gpu->stream[q]);
    gpu_blas_close(gpu);
    if (gpu->stage_host) (void)cudaFreeHost(gpu->stage_host);
    if (gpu->stage_dev) (void)cudaFree(gpu->stage_dev);
    if (gpu->scratch) (void)cudaFree(gpu->scratch);
    for (int e = 0; e < OWM_EVENTS_MAX; e++)
        if (gpu->event[e]) (void)cudaEventDestroy(gpu->event[e]);
    for (int q = 0; q < OWM_QUEUES; q++)
        if (gpu->stream[q]) (void)cudaStreamDestroy(gpu->stream[q]);
    free(gpu);
}

/* vendor_hip.c: AMD's names, and what it says of a machine or a device that cannot be used. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/gpu_vendor.h"

/* The architectures that the kernels were compiled for, "gfx906;gfx908;…": the build says. */
#ifndef GPU_ARCHS
#define GPU_ARCHS ""
#endif

static void absent(cudaError_t error, char *refusal, size_t refusal_bytes)
{
    if (access("/dev/kfd", F_OK) != 0)
        snprintf(refusal, refusal_bytes,
                 "the AMD driver (amdgpu, /dev/kfd) is not on this machine");
    else if (access("/dev/kfd", R_OK | W_OK) != 0)
        snprintf(refusal, refusal_bytes,
                 "this user may not open /dev/kfd; add it to the group 'render'");
    else if (error == cudaSuccess || error == cudaErrorNoDevice)
        snprintf(refusal, refusal_bytes, "the AMD driver is there and finds no GPU");
    else
        snprintf(refusal, refusal_bytes, "the AMD driver does not start: %s",
                 cudaGetErrorString(error));
}

/* "gfx90a:sramecc+:xnack-" is compiled for as gfx90a. */
static bool compiled_for(const char *arch)
{
    size_t bytes = strcspn(arch, ":");
    for (const char *at = GPU_ARCHS; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == bytes && strncmp(at, arch, bytes) == 0) return true;
    return false;
}

static int describe(const struct cudaDeviceProp *found, struct owm_device_info *info)
{
    int version = 0;
    if (hipRuntimeGetVersion(&version) == hipSuccess)
        snprintf(info->driver, sizeof info->driver, "HIP runtime %d.%d", version / 10000000,
                 version / 100000 % 100);
    snprintf(info->arch, sizeof info->arch, "%.*s", (int)strcspn(found->gcnArchName, ":"),
             found->gcnArchName);
    if (!compiled_for(found->gcnArchName))
        snprintf(info->refusal, sizeof info->refusal,
                 "it is a %.15s and this plug-in was compiled for " GPU_ARCHS
                 "; build with -DOWM_HIP_ARCHS=%.15s",
                 info->arch, info->arch);
    return 0;
}

const struct gpu_vendor gpu_vendor = {
    .absent = absent,
    .describe = describe,
    .blas_file = {"librocblas.so.4", "librocblas.so.0", "librocblas.so"},
    .blas_create = "rocblas_create_handle",
    .blas_destroy = "rocblas_destroy_handle",
    .blas_stream = "rocblas_set_stream",
    .blas_sgemm = "rocblas_sgemm",
    .blas_plain = 111,
    .blas_transposed = 112,
    .sum_file = {"librccl.so.1", "librccl.so"},
};

/* vendor_cuda.c: NVIDIA's names, and what it says of a machine or a device that cannot be used. */
#include <stdio.h>

#include "kernels/cuda/gpu_vendor.h"

#define CAPABILITY_MIN 75

static int major_of(int version)
{
    return version / 1000;
}

static int minor_of(int version)
{
    return version % 1000 / 10;
}

static void absent(cudaError_t error, char *refusal, size_t refusal_bytes)
{
    int driver = 0, runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        snprintf(refusal, refusal_bytes, "no NVIDIA driver is installed on this machine");
    else if (major_of(driver) < major_of(runtime))
        snprintf(
            refusal, refusal_bytes,
            "the NVIDIA driver knows CUDA %d.%d and this program needs %d.0; update the driver",
            major_of(driver), minor_of(driver), major_of(runtime));
    else if (error == cudaSuccess || error == cudaErrorNoDevice)
        snprintf(refusal, refusal_bytes, "the NVIDIA driver is there and finds no GPU");
    else
        snprintf(refusal, refusal_bytes, "the NVIDIA driver does not start: %s",
                 cudaGetErrorString(error));
}

static int describe(const struct cudaDeviceProp *found, struct owm_device_info *info)
{
    int driver = 0, capability = found->major * 10 + found->minor;
    (void)cudaDriverGetVersion(&driver);
    snprintf(info->driver, sizeof info->driver, "CUDA driver %d.%d", major_of(driver),
             minor_of(driver));
    snprintf(info->arch, sizeof info->arch, "sm_%d", capability);
    if (capability < CAPABILITY_MIN)
        snprintf(info->refusal, sizeof info->refusal,
                 "its compute capability is %d.%d; 7.5 (Turing) or newer is needed", found->major,
                 found->minor);
    return capability;
}

const struct gpu_vendor gpu_vendor = {
    .absent = absent,
    .describe = describe,
    .blas_file = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"},
    .blas_create = "cublasCreate_v2",
    .blas_destroy = "cublasDestroy_v2",
    .blas_stream = "cublasSetStream_v2",
    .blas_sgemm = "cublasSgemm_v2",
    .blas_plain = 0,
    .blas_transposed = 1,
    .sum_file = {"libnccl.so.2", "libnccl.so"},
};

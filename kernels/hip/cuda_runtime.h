/* cuda_runtime.h: the names of CUDA as HIP has them. The hip plug-in finds this file where the cuda
 * plug-in finds the one of CUDA, so that both compile the sources of kernels/cuda unchanged, the C
 * of the host side and the kernels. Only names that are used stand here; HIP 5.2 and newer.
 */
#ifndef OWM_KERNELS_HIP_CUDA_RUNTIME_H
#define OWM_KERNELS_HIP_CUDA_RUNTIME_H

#ifdef __HIP__
#include <hip/hip_runtime.h>
#else
#include <hip/hip_runtime_api.h>
#endif

/* Types. */
#define cudaDeviceAttr hipDeviceAttribute_t
#define cudaDeviceProp hipDeviceProp_t
#define cudaError_t    hipError_t
#define cudaEvent_t    hipEvent_t
#define cudaStream_t   hipStream_t

/* Values. */
#define cudaComputeModeProhibited               hipComputeModeProhibited
#define cudaDevAttrComputeMode                  hipDeviceAttributeComputeMode
#define cudaDevAttrMaxSharedMemoryPerBlock      hipDeviceAttributeMaxSharedMemoryPerBlock
#define cudaDevAttrMaxSharedMemoryPerBlockOptin hipDeviceAttributeMaxSharedMemoryPerBlock
#define cudaDevAttrMultiProcessorCount          hipDeviceAttributeMultiprocessorCount
#define cudaDevAttrWarpSize                     hipDeviceAttributeWarpSize
#define cudaErrorMemoryAllocation               hipErrorOutOfMemory
#define cudaErrorNoDevice                       hipErrorNoDevice
#define cudaMemcpyDeviceToDevice                hipMemcpyDeviceToDevice
#define cudaMemcpyDeviceToHost                  hipMemcpyDeviceToHost
#define cudaMemcpyHostToDevice                  hipMemcpyHostToDevice
#define cudaStreamNonBlocking                   hipStreamNonBlocking
#define cudaSuccess                             hipSuccess

/* Functions of the host. */
#define cudaDeviceGetAttribute     hipDeviceGetAttribute
#define cudaEventCreate            hipEventCreate
#define cudaEventDestroy           hipEventDestroy
#define cudaEventElapsedTime       hipEventElapsedTime
#define cudaEventRecord            hipEventRecord
#define cudaEventSynchronize       hipEventSynchronize
#define cudaFree                   hipFree
#define cudaFreeHost               hipHostFree
#define cudaGetDeviceCount         hipGetDeviceCount
#define cudaGetDeviceProperties    hipGetDeviceProperties
#define cudaGetErrorString         hipGetErrorString
#define cudaGetLastError           hipGetLastError
#define cudaMalloc                 hipMalloc
#define cudaMallocHost(mem, bytes) hipHostMalloc((mem), (bytes), hipHostMallocDefault)
#define cudaMemGetInfo             hipMemGetInfo
#define cudaMemcpyAsync            hipMemcpyAsync
#define cudaMemsetAsync            hipMemsetAsync
#define cudaSetDevice              hipSetDevice
#define cudaStreamCreateWithFlags  hipStreamCreateWithFlags
#define cudaStreamDestroy          hipStreamDestroy
#define cudaStreamSynchronize      hipStreamSynchronize
#define cudaStreamWaitEvent        hipStreamWaitEvent

#ifdef __HIP__
/* A wavefront runs in step, so masks are not needed: every lane that is active takes part. */
#define __shfl_sync(mask, ...)      __shfl(__VA_ARGS__)
#define __shfl_xor_sync(mask, ...)  __shfl_xor(__VA_ARGS__)
#define __shfl_up_sync(mask, ...)   __shfl_up(__VA_ARGS__)
#define __shfl_down_sync(mask, ...) __shfl_down(__VA_ARGS__)
#define __ballot_sync(mask, vote)   __ballot(vote) /* 64 bits: gpu_lanes. */
#define __any_sync(mask, vote)      __any(vote)
#define __all_sync(mask, vote)      __all(vote)

/* HIP's own is the fast square root; kernels that ask for _rn want IEEE's. */
#define __fsqrt_rn(x) sqrtf(x)

/* Lanes in step still need their writes to shared memory ordered for each other. */
static __device__ __forceinline__ void __syncwarp(unsigned = 0xffffffffu)
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

/* Four products of signed bytes, added: one instruction where the architecture has it. */
static __device__ __forceinline__ int __dp4a(int a, int b, int sum)
{
#if defined(__gfx906__) || defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx1030__)
    return __builtin_amdgcn_sdot4(a, b, sum, false);
#else
    for (int shift = 0; shift < 32; shift += 8)
        sum += (int)(signed char)(a >> shift) * (int)(signed char)(b >> shift);
    return sum;
#endif
}
#endif

#endif

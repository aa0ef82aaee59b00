/* digits.cuh: the K-th largest of many 31-bit patterns, by histograms of its digits from the top.
 */
#ifndef OWM_KERNELS_CUDA_DIGITS_CUH
#define OWM_KERNELS_CUDA_DIGITS_CUH

#include "kernels/cuda/gpu.cuh"

#define DIGITS        3 /* of 11, 10 and 10 bits */
#define DIGIT_BINS    2048
#define DIGIT_THREADS 256
/* Gradients crowd into few bins: neighbours count into histograms of their own. */
#define DIGIT_COPIES 4

static __host__ __device__ __forceinline__ constexpr int digit_shift(int digit)
{
    return digit == 0 ? 20 : digit == 1 ? 10 : 0;
}

static __host__ __device__ __forceinline__ constexpr uint32_t digit_mask(int digit)
{
    return digit == 0 ? 0x7ffu : 0x3ffu;
}

template <class SHARED> static __device__ __forceinline__ void digits_begin(SHARED &local)
{
    for (uint32_t b = threadIdx.x; b < DIGIT_BINS * DIGIT_COPIES; b += DIGIT_THREADS) local[b] = 0;
    __syncthreads();
}

/** Count a pattern whose digits before this one are those of `prefix`. */
template <class SHARED>
static __device__ __forceinline__ void digits_count(SHARED &local, uint32_t bits, uint32_t prefix,
                                                    int digit)
{
    int shift = digit_shift(digit);
    if (digit > 0 && (bits ^ prefix) >> digit_shift(digit - 1)) return;
    uint32_t bin = bits >> shift & digit_mask(digit);
    atomicAdd(&local[bin * DIGIT_COPIES + threadIdx.x % DIGIT_COPIES], 1u);
}

template <class SHARED>
static __device__ __forceinline__ void digits_end(uint32_t *bins, SHARED &local)
{
    __syncthreads();
    for (uint32_t b = threadIdx.x; b < DIGIT_BINS; b += DIGIT_THREADS) {
        uint32_t count = 0;
        for (int c = 0; c < DIGIT_COPIES; c++) count += local[b * DIGIT_COPIES + c];
        if (count) atomicAdd(&bins[b], count);
    }
}

/** One block finds the bin of the *wanted-th largest, puts it into the prefix, leaves in *wanted
 *  which one of that bin it is, and clears the bins. */
static __device__ __forceinline__ void digits_narrow(uint32_t *bins, uint32_t *prefix,
                                                     uint32_t *wanted, int digit)
{
    constexpr uint32_t each = DIGIT_BINS / DIGIT_THREADS;
    OWM_SHARED(uint32_t, sum, DIGIT_THREADS);
    uint32_t first = threadIdx.x * each, own[each], mine = 0, want = *wanted;
#pragma unroll
    for (uint32_t i = 0; i < each; i++) mine += own[i] = bins[first + i];
    sum[threadIdx.x] = mine;
    for (uint32_t step = 1; step < DIGIT_THREADS; step *= 2) {
        __syncthreads();
        uint32_t more = threadIdx.x + step < DIGIT_THREADS ? sum[threadIdx.x + step] : 0;
        __syncthreads();
        sum[threadIdx.x] += more;
    }
    __syncthreads();
    uint32_t above = sum[threadIdx.x] - mine;
    if (above < want && want <= above + mine) {
        uint32_t bin = each;
        uint32_t left = want - above;
#pragma unroll
        for (uint32_t i = each; i-- > 0;) {
            if (bin != each) continue;
            if (left <= own[i])
                bin = i;
            else
                left -= own[i];
        }
        *prefix |= (first + bin) << digit_shift(digit);
        *wanted = left;
    }
#pragma unroll
    for (uint32_t i = 0; i < each; i++) bins[first + i] = 0;
}

#endif

/* device.h: the language of kernels, for a C++ compiler: qualifiers, built-in variables, launches,
 * shared memory, synchronisation, votes, shuffles, atomics. vectors.h and arithmetic.h join it. */
#ifndef OWM_TESTS_KERNELS_EMU_DEVICE_H
#define OWM_TESTS_KERNELS_EMU_DEVICE_H

#include <cmath>
#include <cstring>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#define __restrict__ __restrict
#endif

/* Not told to the emulator: its own accesses, and those that were told already. */
#define EMU_PLAIN __attribute__((no_sanitize("thread")))
#define EMU_HERE  const char *file = __builtin_FILE(), int line = __builtin_LINE()

#include "arithmetic.h"
#include "vectors.h"

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};

/* Constant to the thread that reads them, so no access of them is told. */
#define EMU_BUILT_IN extern const __attribute__((visibility("hidden")))
EMU_BUILT_IN uint3 threadIdx __asm__("emu_thread_index");
EMU_BUILT_IN uint3 blockIdx __asm__("emu_block_index");
EMU_BUILT_IN uint3 blockDim __asm__("emu_block_dim");
EMU_BUILT_IN uint3 gridDim __asm__("emu_grid_dim");
EMU_BUILT_IN int warpSize __asm__("emu_warp_lanes");

/* Launches: the arguments are converted to the kernel's parameters, as a call would. */
#define OWM_LAUNCH(kernel, grid, block, shared, stream, ...)                                       \
    emu_start(#kernel, __FILE__, __LINE__, emu_size(grid), emu_size(block), shared, stream,        \
              kernel, ##__VA_ARGS__)

static inline emu_dim emu_size(dim3 d)
{
    return {d.x, d.y, d.z};
}

/* A number that would not fit is no launch: 0 is refused. */
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
static inline emu_dim emu_size(T n)
{
    return {n < 0 || (uint64_t)n > UINT32_MAX ? 0u : (unsigned)n, 1, 1};
}

template <typename... P> struct emu_params {
    void (*kernel)(P...);
    std::tuple<std::decay_t<P>...> values;
};

template <typename... P> static EMU_PLAIN void emu_entry(const void *params)
{
    auto *p = static_cast<const emu_params<P...> *>(params);
    std::apply(p->kernel, p->values);
}

template <typename... P, typename... A>
static inline void emu_start(const char *name, const char *file, int line, emu_dim grid,
                             emu_dim block, size_t shared, cudaStream_t stream,
                             void (*kernel)(P...), A &&...args)
{
    static_assert(sizeof(emu_params<P...>) <= EMU_PARAM_BYTES_MAX, "too many bytes of arguments");
    emu_params<P...> params = {kernel, {std::forward<A>(args)...}};
    emu_call call = {name,
                     file,
                     line,
                     grid,
                     block,
                     shared,
                     reinterpret_cast<const void *>(kernel),
                     emu_entry<P...>,
                     sizeof params};
    emu_launch(&call, &params, stream);
}

template <typename F>
static inline cudaError_t cudaFuncSetAttribute(F *kernel, cudaFuncAttribute which, int value)
{
    if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    return emu_function_shared(reinterpret_cast<const void *>(kernel), value);
}

template <typename F>
static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, F *,
                                                                        int threads, size_t)
{
    *blocks = threads > 0 ? 2048 / threads : 0;
    return threads > 0 ? cudaSuccess : cudaErrorInvalidValue;
}

/* Shared memory. */
#define OWM_SHARED(type, name, count)                                                              \
    static emu_array emu_array_##name = {                                                          \
        #name,        #type,         __FILE__, __LINE__, sizeof(type[count]),                      \
        sizeof(type), alignof(type), 0,        nullptr};                                           \
    type(&name)[count] = *static_cast<type(*)[count]>(emu_shared(&emu_array_##name))

#define OWM_SHARED_DYNAMIC(type, name) type *name = static_cast<type *>(emu_shared_dynamic())

/* Synchronisation. */
static inline void __syncthreads(EMU_HERE)
{
    emu_barrier(file, line);
}

static inline int __syncthreads_count(int predicate, EMU_HERE)
{
    return emu_barrier_count(EMU_COUNT, predicate, file, line);
}

static inline int __syncthreads_or(int predicate, EMU_HERE)
{
    return emu_barrier_count(EMU_COUNT_ANY, predicate, file, line);
}

static inline int __syncthreads_and(int predicate, EMU_HERE)
{
    return emu_barrier_count(EMU_COUNT_ALL, predicate, file, line);
}

static inline void __syncwarp(unsigned long long mask = 0xffffffffu, EMU_HERE)
{
    (void)emu_vote(EMU_SYNC, mask, 0, 0, file, line);
}

static inline void __threadfence()
{
    __asm__ volatile("" ::: "memory");
}

static inline void __threadfence_block()
{
    __threadfence();
}

static inline void __threadfence_system()
{
    __threadfence();
}

static inline void __nanosleep(unsigned)
{
}

static inline void __trap(EMU_HERE)
{
    emu_trap(file, line);
}

/* Votes. 64 bits hold the lanes of any warp. */
static inline unsigned long long __ballot_sync(unsigned long long mask, int predicate, EMU_HERE)
{
    return emu_vote(EMU_BALLOT, mask, predicate != 0, 0, file, line);
}

static inline int __any_sync(unsigned long long mask, int predicate, EMU_HERE)
{
    return emu_vote(EMU_ANY, mask, predicate != 0, 0, file, line) != 0;
}

static inline int __all_sync(unsigned long long mask, int predicate, EMU_HERE)
{
    return emu_vote(EMU_ALL, mask, predicate != 0, 0, file, line) != 0;
}

/* Through memory: a value's bits in a word, and back. */
template <typename T> static inline EMU_PLAIN uint64_t emu_bits(T value)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "a word or two");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    return bits;
}

template <typename T> static inline EMU_PLAIN T emu_value(uint64_t bits)
{
    T value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T>
static inline unsigned long long __match_any_sync(unsigned long long mask, T value, EMU_HERE)
{
    return emu_vote(EMU_MATCH, mask, emu_bits(value), 0, file, line);
}

static inline unsigned __reduce_add_sync(unsigned long long mask, unsigned value, EMU_HERE)
{
    return (unsigned)emu_vote(EMU_ADD, mask, value, 0, file, line);
}

static inline unsigned __reduce_min_sync(unsigned long long mask, unsigned value, EMU_HERE)
{
    return (unsigned)emu_vote(EMU_MIN, mask, value, 0, file, line);
}

static inline unsigned __reduce_max_sync(unsigned long long mask, unsigned value, EMU_HERE)
{
    return (unsigned)emu_vote(EMU_MAX, mask, value, 0, file, line);
}

static inline unsigned __reduce_and_sync(unsigned long long mask, unsigned value, EMU_HERE)
{
    return (unsigned)emu_vote(EMU_AND, mask, value, 0, file, line);
}

static inline unsigned __reduce_or_sync(unsigned long long mask, unsigned value, EMU_HERE)
{
    return (unsigned)emu_vote(EMU_OR, mask, value, 0, file, line);
}

static inline unsigned __reduce_xor_sync(unsigned long long mask, unsigned value, EMU_HERE)
{
    return (unsigned)emu_vote(EMU_XOR, mask, value, 0, file, line);
}

/* Shuffles. */
static inline unsigned emu_lane()
{
    unsigned rank = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    return rank % (unsigned)warpSize;
}

template <typename T>
static inline T emu_shuffle(unsigned long long mask, T value, unsigned source, const char *file,
                            int line)
{
    return emu_value<T>(emu_vote(EMU_SHUFFLE_LANE, mask, emu_bits(value), source, file, line));
}

template <typename T>
static inline T __shfl_sync(unsigned long long mask, T value, int source, int width = warpSize,
                            EMU_HERE)
{
    unsigned first = emu_lane() & ~((unsigned)width - 1);
    return emu_shuffle(mask, value, first + ((unsigned)source & ((unsigned)width - 1)), file, line);
}

template <typename T>
static inline T __shfl_up_sync(unsigned long long mask, T value, unsigned delta,
                               int width = warpSize, EMU_HERE)
{
    unsigned lane = emu_lane(), within = lane & ((unsigned)width - 1);
    return emu_shuffle(mask, value, within >= delta ? lane - delta : lane, file, line);
}

template <typename T>
static inline T __shfl_down_sync(unsigned long long mask, T value, unsigned delta,
                                 int width = warpSize, EMU_HERE)
{
    unsigned lane = emu_lane(), within = lane & ((unsigned)width - 1);
    unsigned source = within + delta < (unsigned)width ? lane + delta : lane;
    return emu_shuffle(mask, value, source, file, line);
}

template <typename T>
static inline T __shfl_xor_sync(unsigned long long mask, T value, int turn, int width = warpSize,
                                EMU_HERE)
{
    unsigned lane = emu_lane(), first = lane & ~((unsigned)width - 1);
    unsigned source = lane ^ (unsigned)turn;
    return emu_shuffle(mask, value, source < first + (unsigned)width ? source : lane, file, line);
}

/* Atomics: `change` makes the new value of the old. */
template <typename T, typename F> static inline EMU_PLAIN T emu_change(T *mem, F change)
{
    emu_atomic(mem, sizeof *mem);
    T old = *mem;
    *mem = change(old);
    return old;
}

template <typename T> using emu_same = std::common_type_t<T>; /* Converted to what mem points to. */

template <typename T> static inline T atomicAdd(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return static_cast<T>(old + value); });
}

template <typename T> static inline T atomicSub(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return static_cast<T>(old - value); });
}

template <typename T> static inline T atomicExch(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T) { return value; });
}

template <typename T> static inline T atomicMin(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return old < value ? old : value; });
}

template <typename T> static inline T atomicMax(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return old > value ? old : value; });
}

template <typename T> static inline T atomicAnd(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return static_cast<T>(old & value); });
}

template <typename T> static inline T atomicOr(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return static_cast<T>(old | value); });
}

template <typename T> static inline T atomicXor(T *mem, emu_same<T> value)
{
    return emu_change(mem, [value](T old) { return static_cast<T>(old ^ value); });
}

static inline unsigned atomicInc(unsigned *mem, unsigned limit)
{
    return emu_change(mem, [limit](unsigned old) { return old >= limit ? 0 : old + 1; });
}

static inline unsigned atomicDec(unsigned *mem, unsigned limit)
{
    return emu_change(mem,
                      [limit](unsigned old) { return old == 0 || old > limit ? limit : old - 1; });
}

template <typename T> static inline T atomicCAS(T *mem, emu_same<T> expected, emu_same<T> value)
{
    return emu_change(mem, [=](T old) { return old == expected ? value : old; });
}

#endif

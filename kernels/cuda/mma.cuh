/* mma.cuh: products of small matrices by 32 neighbouring threads, and copies that go on meanwhile.
 *
 * A fragment is spread over 32 threads, g = lane / 4, t = lane % 4, as mma.sync of sm_80 has it; in
 * bytes it is the same for bf16 (depth 16) and int8 (depth 32):
 *   a  16 rows of 32 bytes: row g bytes 4t, row g + 8 bytes 4t, row g bytes 16 + 4t, row g + 8 ...
 *   b   8 rows of 32 bytes: row g bytes 4t, row g bytes 16 + 4t
 *   c  16 x 8: row g columns 2t, 2t + 1; row g + 8 the same columns
 * Where the instructions are missing (sm_75, AMD, the emulator) shuffles bring the same numbers
 * together; 32 threads stay a group there, whatever the warp.
 *
 * Tiles lie in shared memory as chunks of 16 bytes (uint4), MMA_ROW of them in a row. Rows two
 * apart begin with another chunk (mma_at), so that eight rows at once touch all banks once. */
#ifndef OWM_KERNELS_CUDA_MMA_CUH
#define OWM_KERNELS_CUDA_MMA_CUH

#include "gpu.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MMA_NATIVE 1
#else
#define MMA_NATIVE 0
#endif

#define MMA_LANES 32
#define MMA_ROW   4 /* Chunks. */

struct mma_a {
    uint32_t v[4];
};

struct mma_b {
    uint32_t v[2];
};

static __device__ __forceinline__ unsigned mma_lane()
{
    return threadIdx.x % MMA_LANES;
}

static __device__ __forceinline__ unsigned mma_at(unsigned row, unsigned chunk)
{
    return row * MMA_ROW + (chunk ^ (row / 2 & 3));
}

/** mma_copy: `bytes` (4, 8, 16) into shared memory without waiting; zeros where not `inside`. */
template <int BYTES>
static __device__ __forceinline__ void mma_copy(void *shared, const void *global, bool inside)
{
#if MMA_NATIVE
    uint32_t to = (uint32_t)__cvta_generic_to_shared(shared), bytes = inside ? BYTES : 0;
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global),
                     "r"(bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global),
                     "n"(BYTES), "r"(bytes)
                     : "memory");
#else
    const uint32_t *from = (const uint32_t *)global;
    uint32_t *to = (uint32_t *)shared;
    if (BYTES == 16)
        *(uint4 *)shared = inside ? *(const uint4 *)global : make_uint4(0, 0, 0, 0);
    else
        for (int i = 0; i < BYTES / 4; i++) to[i] = inside ? from[i] : 0;
#endif
}

/** mma_copies_end: the copies since the last call form a batch. */
static __device__ __forceinline__ void mma_copies_end()
{
#if MMA_NATIVE
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/** mma_copies_wait: until at most `LEFT` batches of this thread are under way. */
template <int LEFT> static __device__ __forceinline__ void mma_copies_wait()
{
#if MMA_NATIVE
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}

#if MMA_NATIVE
/** mma_rows: four 8 x 16 byte matrices; this lane names the row whose address it gives. */
static __device__ __forceinline__ void mma_rows(uint32_t (&v)[4], const uint4 *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(at)
                 : "memory"); /* It may not move over a barrier. */
}
#endif

static __device__ __forceinline__ uint32_t mma_word(const uint4 *chunk, unsigned t)
{
    return reinterpret_cast<const uint32_t *>(chunk)[t];
}

/** mma_load_a: 16 rows from `row`, chunks `chunk` and the next. */
static __device__ __forceinline__ mma_a mma_load_a(const uint4 *tile, unsigned row, unsigned chunk)
{
    mma_a a;
    unsigned lane = mma_lane();
#if MMA_NATIVE
    mma_rows(a.v, &tile[mma_at(row + lane % 16, chunk + lane / 16)]);
#else
    for (unsigned i = 0; i < 4; i++)
        a.v[i] = mma_word(&tile[mma_at(row + lane / 4 + i % 2 * 8, chunk + i / 2)], lane % 4);
#endif
    return a;
}

/** mma_load_b: two fragments, of 8 rows each from `row`. */
static __device__ __forceinline__ void mma_load_b(mma_b *b, const uint4 *tile, unsigned row,
                                                  unsigned chunk)
{
    unsigned lane = mma_lane();
#if MMA_NATIVE
    uint32_t v[4];
    mma_rows(v, &tile[mma_at(row + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2)]);
    b[0].v[0] = v[0], b[0].v[1] = v[1], b[1].v[0] = v[2], b[1].v[1] = v[3];
#else
    for (unsigned i = 0; i < 4; i++)
        b[i / 2].v[i % 2] =
            mma_word(&tile[mma_at(row + i / 2 * 8 + lane / 4, chunk + i % 2)], lane % 4);
#endif
}

#if !MMA_NATIVE
static __device__ __forceinline__ float mma_dot(uint32_t a, uint32_t b, float sum)
{
    sum = fmaf(__uint_as_float(a << 16), __uint_as_float(b << 16), sum);
    return fmaf(__uint_as_float(a & 0xffff0000u), __uint_as_float(b & 0xffff0000u), sum);
}

static __device__ __forceinline__ int mma_dot(uint32_t a, uint32_t b, int sum)
{
    return __dp4a((int)a, (int)b, sum);
}

/** mma_gather: c += a b: each word of the two rows and two columns that this lane answers for comes
 *  from the lane that holds it. */
template <typename T>
static __device__ __forceinline__ void mma_gather(T (&c)[4], const mma_a &a, const mma_b &b)
{
    unsigned g = mma_lane() / 4, t = mma_lane() % 4;
    for (unsigned half = 0; half < 2; half++)
        for (unsigned w = 0; w < 4; w++) {
            uint32_t low = __shfl_sync(GPU_FULL, a.v[2 * half], (int)(g * 4 + w), MMA_LANES);
            uint32_t high = __shfl_sync(GPU_FULL, a.v[2 * half + 1], (int)(g * 4 + w), MMA_LANES);
            uint32_t even = __shfl_sync(GPU_FULL, b.v[half], (int)(t * 8 + w), MMA_LANES);
            uint32_t odd = __shfl_sync(GPU_FULL, b.v[half], (int)(t * 8 + 4 + w), MMA_LANES);
            c[0] = mma_dot(low, even, c[0]), c[1] = mma_dot(low, odd, c[1]);
            c[2] = mma_dot(high, even, c[2]), c[3] = mma_dot(high, odd, c[3]);
        }
}
#endif

/** mma_add: c += a b, of bf16 in f32, or of int8 in int32. */
static __device__ __forceinline__ void mma_add(float (&c)[4], const mma_a &a, const mma_b &b)
{
#if MMA_NATIVE
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]));
#else
    mma_gather(c, a, b);
#endif
}

static __device__ __forceinline__ void mma_add(int (&c)[4], const mma_a &a, const mma_b &b)
{
#if MMA_NATIVE
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]));
#else
    mma_gather(c, a, b);
#endif
}

#endif

/* peak.c: one loop per pipe, in assembly, so that no compiler has a say in what is measured.
 *
 * Twelve accumulators cover the latency of every instruction here at two a cycle. */
#include <string.h>
#include <time.h>

#include "peak.h"

#define LOOPS 400000 /* About 0.6 ms at two instructions a cycle; TILE_LOOPS the like. */

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TWELVE(op, v)                                                                              \
    op " %%" v "14, %%" v "15, %%" v "0\n" op " %%" v "14, %%" v "15, %%" v "1\n" op " %%" v       \
       "14, %%" v "15, %%" v "2\n" op " %%" v "14, %%" v "15, %%" v "3\n" op " %%" v "14, %%" v    \
       "15, %%" v "4\n" op " %%" v "14, %%" v "15, %%" v "5\n" op " %%" v "14, %%" v "15, %%" v    \
       "6\n" op " %%" v "14, %%" v "15, %%" v "7\n" op " %%" v "14, %%" v "15, %%" v "8\n" op      \
       " %%" v "14, %%" v "15, %%" v "9\n" op " %%" v "14, %%" v "15, %%" v "10\n" op " %%" v      \
       "14, %%" v "15, %%" v "11\n"
#define VECTORS                                                                                    \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* Zeroed first: denormals, and they alone, would cost time. */
#define PIPE(name, op, v)                                                                          \
    static void name(void *ctx, size_t begin, size_t end, unsigned worker)                         \
    {                                                                                              \
        (void)ctx, (void)begin, (void)end, (void)worker;                                           \
        __asm__ volatile("vzeroall" : : : VECTORS);                                                \
        for (int i = 0; i < LOOPS; i++) __asm__ volatile(TWELVE(op, v) : : : VECTORS);             \
        __asm__ volatile("vzeroupper" : : : VECTORS);                                              \
    }

PIPE(fma_f32_zmm, "vfmadd231ps", "zmm")
PIPE(fma_f32_ymm, "vfmadd231ps", "ymm")
PIPE(fma_f64_zmm, "vfmadd231pd", "zmm")
PIPE(fma_f64_ymm, "vfmadd231pd", "ymm")
PIPE(dot_bf16_zmm, "vdpbf16ps", "zmm")
PIPE(dot_i8_zmm, "vpdpbusd", "zmm")
PIPE(dot_i8_ymm, "%{vex%} vpdpbusd", "ymm")

#define TILE_LOOPS (LOOPS / 40)

/* Palette 1: eight tiles of 16 rows of 64 bytes; tiles 4 to 7 are read, 0 to 3 accumulate. */
static void tiles_begin(void)
{
    uint8_t config[64] __attribute__((aligned(64))) = {1};
    for (int t = 0; t < 8; t++) config[16 + 2 * t] = 64, config[48 + t] = 16;
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
    __asm__ volatile("tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
                     "tilezero %%tmm4\n tilezero %%tmm5\n tilezero %%tmm6\n tilezero %%tmm7" ::);
}

#define TILES(name, op)                                                                            \
    static void name(void *ctx, size_t begin, size_t end, unsigned worker)                         \
    {                                                                                              \
        (void)ctx, (void)begin, (void)end, (void)worker;                                           \
        tiles_begin();                                                                             \
        for (int i = 0; i < TILE_LOOPS; i++)                                                       \
            __asm__ volatile(op " %%tmm4, %%tmm6, %%tmm0\n" op " %%tmm5, %%tmm6, %%tmm1\n" op      \
                                " %%tmm4, %%tmm7, %%tmm2\n" op " %%tmm5, %%tmm7, %%tmm3\n" ::);    \
        __asm__ volatile("tilerelease" ::);                                                        \
    }

TILES(tile_bf16, "tdpbf16ps")
TILES(tile_i8, "tdpbssd")

static bool leaf_7(unsigned subleaf, unsigned edx_bit, unsigned eax_bit)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, subleaf, &a, &b, &c, &d)) return false;
    return subleaf ? a >> eax_bit & 1 : d >> edx_bit & 1;
}

/* Linux gives a process its tiles only when it asks (arch_prctl, ARCH_REQ_XCOMP_PERM). */
static bool has_tiles(unsigned bit)
{
    return leaf_7(0, bit, 0) && leaf_7(0, 24, 0) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_fma(void)
{
    return __builtin_cpu_supports("fma");
}

static bool has_bf16(void)
{
    return has_avx512() && leaf_7(1, 0, 5);
}

static bool has_vnni(void)
{
    return __builtin_cpu_supports("avx512vnni");
}

static bool has_vnni_256(void)
{
    return leaf_7(1, 0, 4);
}

static bool has_tile_bf16(void)
{
    return has_tiles(22);
}

static bool has_tile_i8(void)
{
    return has_tiles(25);
}

/* Best first for each pipe; operations of one instruction: lanes, two for multiply and add. */
static const struct {
    enum bench_pipe pipe;
    bool (*here)(void);
    struct bench_pipe_loop loop;
} loops[] = {
    {BENCH_FMA_F32, has_avx512, {fma_f32_zmm, 12.0 * LOOPS * 16 * 2}},
    {BENCH_FMA_F32, has_fma, {fma_f32_ymm, 12.0 * LOOPS * 8 * 2}},
    {BENCH_FMA_F64, has_avx512, {fma_f64_zmm, 12.0 * LOOPS * 8 * 2}},
    {BENCH_FMA_F64, has_fma, {fma_f64_ymm, 12.0 * LOOPS * 4 * 2}},
    {BENCH_DOT_BF16, has_bf16, {dot_bf16_zmm, 12.0 * LOOPS * 32 * 2}},
    {BENCH_DOT_I8, has_vnni, {dot_i8_zmm, 12.0 * LOOPS * 64 * 2}},
    {BENCH_DOT_I8, has_vnni_256, {dot_i8_ymm, 12.0 * LOOPS * 32 * 2}},
    {BENCH_TILE_BF16, has_tile_bf16, {tile_bf16, 4.0 * TILE_LOOPS * 16 * 16 * 32 * 2}},
    {BENCH_TILE_I8, has_tile_i8, {tile_i8, 4.0 * TILE_LOOPS * 16 * 16 * 64 * 2}},
};

#elif defined(__aarch64__)
#define TWELVE                                                                                     \
    "fmla v0.4s, v14.4s, v15.4s\n fmla v1.4s, v14.4s, v15.4s\n fmla v2.4s, v14.4s, v15.4s\n"       \
    "fmla v3.4s, v14.4s, v15.4s\n fmla v4.4s, v14.4s, v15.4s\n fmla v5.4s, v14.4s, v15.4s\n"       \
    "fmla v6.4s, v14.4s, v15.4s\n fmla v7.4s, v14.4s, v15.4s\n fmla v16.4s, v14.4s, v15.4s\n"      \
    "fmla v17.4s, v14.4s, v15.4s\n fmla v18.4s, v14.4s, v15.4s\n fmla v19.4s, v14.4s, v15.4s\n"

static void fma_f32_neon(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)ctx, (void)begin, (void)end, (void)worker;
    __asm__ volatile("movi v14.4s, #0\n movi v15.4s, #0" : : : "v14", "v15");
    for (int i = 0; i < LOOPS; i++)
        __asm__ volatile(TWELVE
                         :
                         :
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18",
                           "v19");
}

static bool always(void)
{
    return true;
}

static const struct {
    enum bench_pipe pipe;
    bool (*here)(void);
    struct bench_pipe_loop loop;
} loops[] = {{BENCH_FMA_F32, always, {fma_f32_neon, 12.0 * LOOPS * 4 * 2}}};
#else
static const struct {
    enum bench_pipe pipe;
    bool (*here)(void);
    struct bench_pipe_loop loop;
} loops[1];
#endif

const struct bench_pipe_loop *bench_pipe_loop(enum bench_pipe pipe)
{
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (loops[i].here && loops[i].pipe == pipe && loops[i].here()) return &loops[i].loop;
    return NULL;
}

/* Dependent multiplications, three cycles each; by the thread's own time, so that a neighbour does
 * not count. */
double bench_clock_hz(void)
{
#if defined(__x86_64__)
    struct timespec from, to;
    unsigned long x = 3;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < 1000000; i++)
        __asm__ volatile("imul $3, %0, %0\n imul $3, %0, %0\n imul $3, %0, %0\n imul $3, %0, %0\n"
                         : "+r"(x));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return 12e6 / ((double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
#else
    return 0;
#endif
}

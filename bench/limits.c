/* limits.c: what the memory and the vector units of this machine give at best.
 *
 * A limit is the best of some short passes, since only a neighbour can make a pass slower than the
 * machine is. What it is divided by is a median.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bench.h"
#include "peak.h"

#define PASSES      7
#define BLOCK_BYTES ((size_t)4 << 20)
#define ARRAY_BYTES ((size_t)512 << 20) /* Far above any last-level cache's share of one guest. */

typedef float vector __attribute__((vector_size(64), aligned(64)));

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best rate of some passes over [0, count). */
static double best_rate(owm_pool *pool, size_t count, size_t grain, owm_pool_fn fn, void *ctx,
                        double work)
{
    double best = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        double start = now();
        owm_pool_for(pool, count, grain, fn, ctx);
        double rate = work / (now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2,fma", "default")))
#else
#define WIDEST
#endif

WIDEST static void read_block(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const vector *at = (const vector *)((const char *)ctx + begin);
    vector a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i < (end - begin) / sizeof *at; i += 4)
        a += at[i], b += at[i + 1], c += at[i + 2], d += at[i + 3];
    vector sum = a + b + c + d;
    __asm__ volatile("" : : "m"(sum));
}

struct arrays {
    char *updated;
    const char *read;
};

WIDEST static void update_block(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const struct arrays *arrays = ctx;
    vector *updated = (vector *)(arrays->updated + begin);
    const vector *read = (const vector *)(arrays->read + begin);
    for (size_t i = 0; i < (end - begin) / sizeof *updated; i += 2) {
        updated[i] = updated[i] * 0.5f + read[i];
        updated[i + 1] = updated[i + 1] * 0.5f + read[i + 1];
    }
}

static void *huge(size_t bytes)
{
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED) return NULL;
    (void)madvise(mem, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096) ((char *)mem)[i] = 1;
    return mem;
}

/* Bytes a second of copying inside the device, both directions counted. */
static double device_copy(struct owm_device *device);

static bool on_host(const struct bench_device *opened)
{
    const char *name = opened->device->backend->name;
    return strcmp(name, "cpu") == 0 || strcmp(name, "reference") == 0;
}

double bench_bandwidth(const struct bench_device *opened)
{
    if (!on_host(opened)) return device_copy(opened->device);
    char *mem = huge(ARRAY_BYTES);
    if (!mem) return 0;
    double rate =
        best_rate(opened->pool, ARRAY_BYTES, BLOCK_BYTES, read_block, mem, (double)ARRAY_BYTES);
    (void)munmap(mem, ARRAY_BYTES);
    return rate;
}

double bench_stream(const struct bench_device *opened)
{
    if (!on_host(opened)) return device_copy(opened->device);
    char *mem = huge(ARRAY_BYTES);
    if (!mem) return 0;
    struct arrays arrays = {mem, mem + ARRAY_BYTES / 2};
    double rate = best_rate(opened->pool, ARRAY_BYTES / 2, BLOCK_BYTES, update_block, &arrays,
                            1.5 * (double)ARRAY_BYTES);
    (void)munmap(mem, ARRAY_BYTES);
    return rate;
}

struct copy {
    struct owm_device *device;
    struct owm_weighted_sum sum;
};

static void copy_once(void *ctx)
{
    struct copy *copy = ctx;
    (void)!copy->device->backend->weighted_sum(copy->device, &copy->sum);
}

/* The table has no copy inside a device; a weighted sum of one array reads and writes as a copy
 * does. */
static double device_copy(struct owm_device *device)
{
    const struct owm_backend *b = device->backend;
    const uint32_t n = ARRAY_BYTES / sizeof(float);
    const float one = 1;
    void *from = NULL, *to = NULL;
    double rate = 0;
    if (b->mem_alloc(device, &from, ARRAY_BYTES) == OWM_OK
        && b->mem_alloc(device, &to, ARRAY_BYTES) == OWM_OK) {
        const float *x = from;
        struct copy copy = {device, {.out = to, .x = &x, .alpha = &one, .count = 1, .n = n}};
        rate = 2.0 * ARRAY_BYTES / bench_time(device, copy_once, &copy).low;
    }
    b->mem_free(device, from);
    b->mem_free(device, to);
    return rate;
}

/* A pipe of a GPU, in operations: a fused multiply-add is two. */
static double device_peak(struct owm_device *device, enum bench_pipe pipe)
{
    double rate = 0;
    if ((pipe != BENCH_FMA_F32 && pipe != BENCH_INTEGER) || !device->backend->pipe_rate) return 0;
    enum owm_pipe wanted = pipe == BENCH_INTEGER ? OWM_PIPE_INTEGER : OWM_PIPE_FMA;
    if (device->backend->pipe_rate(device, wanted, &rate) != OWM_OK) return 0;
    return pipe == BENCH_INTEGER ? rate : 2 * rate;
}

double bench_peak(const struct bench_device *opened, enum bench_pipe pipe)
{
    if (!on_host(opened)) return device_peak(opened->device, pipe);
    const struct bench_pipe_loop *loop = bench_pipe_loop(pipe);
    if (!loop) return 0;
    unsigned threads = opened->pool ? owm_pool_threads(opened->pool) : 1;
    return best_rate(opened->pool, threads, 1, loop->run, NULL, loop->operations * threads);
}

/* agg_mean.c: weighted_sum at the speed of reading.
 *
 * A tile of out stays in L1 while all packages pass over it, four at a time: so the memory sees a
 * few long runs, not P short ones, and it is known what comes next: the same tile of the next four,
 * which is asked for meanwhile. out itself is written once, past the caches when it is large. */
#include <stdint.h>

#include "simd.h"

#define GRAIN      ((size_t)32768) /* Coordinates a worker takes at once. */
#define TILE       ((size_t)2048)
#define GROUP      4
#define STREAM_MIN (1u << 21) /* Coordinates of an out that is not worth a place in a cache. */
#define LINE       16         /* Floats of a cache line. */

struct sum_job {
    const struct owm_weighted_sum *a;
    bool stream;
};

/** pass: one group over one tile. */
struct pass {
    float *out;
    const float *sum; /* What the groups before left; NULL: this is the first. */
    const float *x[GROUP], *next[GROUP];
    const float *alpha;
};

static inline __attribute__((always_inline)) vf pass_at(const struct pass *t, int group, vf sum,
                                                        size_t i, size_t count)
{
    for (int g = 0; g < group; g++)
        sum = v_fmadd(v_set(t->alpha[g]), v_load_part(t->x[g] + i, count, 0), sum);
    return sum;
}

static inline __attribute__((always_inline)) void run_pass(const struct pass *given, int group,
                                                           size_t n, bool stream)
{
    const struct pass copy = *given,
                      *t = &copy; /* Stores cannot change it: it stays in registers. */
    size_t i = 0;
    for (; i + LINE <= n; i += LINE) {
        for (int g = 0; g < GROUP; g++) __builtin_prefetch(t->next[g] + i, 0, 2);
        for (size_t k = i; k < i + LINE; k += W) {
            vf sum = pass_at(t, group, t->sum ? v_load(t->sum + k) : (vf){0}, k, W);
            stream ? v_stream(t->out + k, sum) : v_store(t->out + k, sum);
        }
    }
    for (; i < n; i += W) {
        size_t count = n - i < W ? n - i : W;
        vf sum = t->sum ? v_load_part(t->sum + i, count, 0) : (vf){0};
        v_store_part(t->out + i, pass_at(t, group, sum, i, count), count);
    }
}

/* The number of packages is a constant in each branch, so that the loop over them is unrolled. */
static void pass_of(const struct pass *t, uint32_t group, size_t n, bool stream)
{
    switch (group) {
    case 1:
        run_pass(t, 1, n, stream);
        return;
    case 2:
        run_pass(t, 2, n, stream);
        return;
    case 3:
        run_pass(t, 3, n, stream);
        return;
    default:
        stream ? run_pass(t, 4, n, true) : run_pass(t, 4, n, false);
    }
}

static void sum_tile(const struct sum_job *j, size_t first, size_t n)
{
    const struct owm_weighted_sum *a = j->a;
    _Alignas(64) float tile[TILE];
    struct pass t = {.out = tile};
    for (uint32_t p = 0; p < a->count;) {
        /* The odd ones come first, so that most passes are of a full group. */
        uint32_t group = p || a->count % GROUP == 0 ? GROUP : a->count % GROUP;
        for (uint32_t g = 0; g < GROUP; g++) {
            t.x[g] = g < group ? a->x[p + g] + first : NULL;
            bool last = p + group == a->count;
            t.next[g] = last ? a->x[g < a->count ? g : 0] + first + n : a->x[p + group + g] + first;
        }
        t.alpha = a->alpha + p;
        bool last = p + group == a->count;
        if (last) t.out = a->out + first;
        pass_of(&t, group, n, last && j->stream);
        t.sum = tile;
        p += group;
    }
}

static void sum_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct sum_job *j = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i += TILE) sum_tile(j, i, end - i < TILE ? end - i : TILE);
    if (j->stream) v_stream_end();
}

owm_status SIMD(weighted_sum)(struct owm_device *device, const struct owm_weighted_sum *a)
{
    owm_status status = owm_check_weighted_sum(a);
    if (status != OWM_OK) return status;
    struct sum_job job = {.a = a, .stream = a->n >= STREAM_MIN && (uintptr_t)a->out % 64 == 0};
    owm_pool_for(device->pool, a->n, GRAIN, sum_job, &job);
    return OWM_OK;
}

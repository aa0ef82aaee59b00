/* agg_clip.c: sum_squares and clip: one reading of the vector, and one updating it if need be. */
#include <math.h>

#include "simd.h"

#define GRAIN     8 /* Chunks a worker takes at once. */
#define SUMS      (CPU_SCRATCH_FLOATS * sizeof(float) / sizeof(double)) /* Chunks of a batch. */
#define HALF      (W / 2)
#define REGISTERS (OWM_AGG_LANES / HALF)

typedef double vd __attribute__((vector_size(HALF * 8)));
typedef float vh __attribute__((vector_size(HALF * 4)));
typedef float vh_mem __attribute__((vector_size(HALF * 4), aligned(4), may_alias));

/* The square of a float is exact in a double: fused with the addition or not, the bits are those
 * of the contract. */
static inline void add_squares(vd sum[REGISTERS], const float *x)
{
    for (int r = 0; r < REGISTERS; r++) {
        vh half = *(const vh_mem *)(x + r * HALF);
        vd wide = __builtin_convertvector(half, vd);
        sum[r] += wide * wide;
    }
}

static double chunk_squares(const float *x, size_t n)
{
    vd sum[REGISTERS] = {0};
    size_t i = 0;
    for (; i + OWM_AGG_LANES <= n; i += OWM_AGG_LANES) add_squares(sum, x + i);
    if (i < n) {
        float rest[OWM_AGG_LANES] = {0}; /* Adds +0 to sums that are not below it: no change. */
        memcpy(rest, x + i, (n - i) * sizeof *x);
        add_squares(sum, rest);
    }
    double lane[OWM_AGG_LANES];
    memcpy(lane, sum, sizeof lane);
    for (int half = OWM_AGG_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

struct squares_job {
    const float *x;
    size_t n;
    double *sums; /* of each chunk */
};

static void squares_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct squares_job *j = ctx;
    (void)worker;
    for (size_t c = begin; c < end; c++) {
        size_t first = c * OWM_AGG_CHUNK, left = j->n - first;
        j->sums[c] = chunk_squares(j->x + first, left < OWM_AGG_CHUNK ? left : OWM_AGG_CHUNK);
    }
}

owm_status SIMD(sum_squares)(struct owm_device *device, double *sum, const float *x, size_t count)
{
    if (!sum || !x || !count) return OWM_E_ARG;
    struct squares_job job = {.sums = (double *)cpu_of(device)->scratch};
    *sum = 0;
    for (size_t i = 0; i < count; i += job.n) {
        job.x = x + i;
        job.n = count - i < SUMS * OWM_AGG_CHUNK ? count - i : SUMS * OWM_AGG_CHUNK;
        size_t chunks = (job.n + OWM_AGG_CHUNK - 1) / OWM_AGG_CHUNK;
        owm_pool_for(device->pool, chunks, GRAIN, squares_job, &job);
        for (size_t c = 0; c < chunks; c++) *sum += job.sums[c];
    }
    return OWM_OK;
}

struct scale_job {
    float *x, scale;
};

static void scale_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct scale_job *j = ctx;
    float *x = j->x, scale = j->scale;
    (void)worker;
    for (size_t i = begin; i < end; i++) x[i] *= scale;
}

owm_status SIMD(clip)(struct owm_device *device, const struct owm_clip *a)
{
    double squares;
    owm_status status = owm_check_clip(a);
    if (status == OWM_OK) status = SIMD(sum_squares)(device, &squares, a->x, a->n);
    if (status != OWM_OK) return status;
    *a->norm = sqrt(squares);
    if (!isfinite(*a->norm)) return OWM_E_ARG;
    if (*a->norm <= a->max_norm) return OWM_OK;
    struct scale_job job = {a->x, (float)(a->max_norm / *a->norm)};
    owm_pool_for(device->pool, a->n, GRAIN * OWM_AGG_CHUNK, scale_job, &job);
    return OWM_OK;
}

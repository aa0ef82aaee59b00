/* vector.c: ops over flat vectors: addition, AdamW. */
#include <math.h>

#include "simd.h"

#define GRAIN ((size_t)32768) /* Elements a worker takes at once: large against waking it. */

struct add_job {
    float *out;
    const float *a, *b;
};

static void add_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct add_job *j = ctx;
    (void)worker;
    size_t i = begin;
    for (; i + W <= end; i += W) v_store(j->out + i, v_load(j->a + i) + v_load(j->b + i));
    for (; i < end; i++) j->out[i] = j->a[i] + j->b[i];
}

owm_status SIMD(add)(struct owm_device *device, float *out, const float *a, const float *b,
                     size_t count)
{
    if (!out || !a || !b || !count) return OWM_E_ARG;
    owm_pool_for(device->pool, count, GRAIN, add_job, &(struct add_job){out, a, b});
    return OWM_OK;
}

struct adamw_job {
    const struct owm_adamw *a;
    float keep, rate, root2; /* 1 - lr * decay; lr / correct1; 1 / sqrt(correct2). */
};

/* w = w * keep - rate * m / (sqrt(v) * root2 + eps), which is the reference with the bias
 * corrections taken out of the loop. */
static inline vf adamw_step(const struct adamw_job *j, vf w, vf g, vf *m, vf *v)
{
    const struct owm_adamw *a = j->a;
    g *= a->grad_scale;
    *m = a->beta1 * *m + (1 - a->beta1) * g;
    *v = a->beta2 * *v + (1 - a->beta2) * g * g;
    return w * j->keep - j->rate * *m / (v_sqrt(*v) * j->root2 + a->eps);
}

static void adamw_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct adamw_job *j = ctx;
    const struct owm_adamw *a = j->a;
    (void)worker;
    size_t i = begin;
    for (; i + W <= end; i += W) {
        vf m = v_load(a->m + i), v = v_load(a->v + i);
        v_store(a->params + i, adamw_step(j, v_load(a->params + i), v_load(a->grad + i), &m, &v));
        v_store(a->m + i, m);
        v_store(a->v + i, v);
    }
    if (i == end) return;
    size_t rest = end - i;
    vf m = v_load_part(a->m + i, rest, 0), v = v_load_part(a->v + i, rest, 1);
    vf w = v_load_part(a->params + i, rest, 0), g = v_load_part(a->grad + i, rest, 0);
    v_store_part(a->params + i, adamw_step(j, w, g, &m, &v), rest);
    v_store_part(a->m + i, m, rest);
    v_store_part(a->v + i, v, rest);
}

owm_status SIMD(adamw)(struct owm_device *device, const struct owm_adamw *a)
{
    owm_status status = owm_check_adamw(a);
    if (status != OWM_OK) return status;
    double correct1 = 1 - pow((double)a->beta1, (double)a->step);
    double correct2 = 1 - pow((double)a->beta2, (double)a->step);
    struct adamw_job job = {
        .a = a,
        .keep = 1 - a->lr * a->weight_decay,
        .rate = (float)((double)a->lr / correct1),
        .root2 = (float)(1 / sqrt(correct2)),
    };
    owm_pool_for(device->pool, a->count, GRAIN, adamw_job, &job);
    return OWM_OK;
}

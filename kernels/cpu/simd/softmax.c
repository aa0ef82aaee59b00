/* softmax.c: softmax of rows in three passes: maximum, exponentials and their sum, division. */
#include <math.h>

#include "simd.h"

#define RUN ((size_t)64 * W) /* Summed in f32; runs are added up in double. */

static float row_max(const float *x, size_t count, float scale)
{
    vf max = v_set(-INFINITY);
    for (size_t i = 0; i < count; i += W) {
        size_t part = count - i < W ? count - i : W;
        max = v_max(max, v_load_part(x + i, part, x[i]) * scale);
    }
    return v_highest(max);
}

/** run_of: e^(x * scale - max) of at most RUN numbers; their sum. */
static float run_of(float *out, const float *x, size_t count, float scale, float max)
{
    vf sum = {0};
    size_t i = 0;
    for (; i + W <= count; i += W) {
        vf p = v_exp(v_load(x + i) * scale - max);
        v_store(out + i, p);
        sum += p;
    }
    if (i == count) return v_sum(sum);
    vf p = v_exp(v_load_part(x + i, count - i, x[i]) * scale - max);
    v_store_part(out + i, p, count - i);
    float total = v_sum(sum);
    for (size_t k = 0; k < count - i; k++) total += p[k];
    return total;
}

static void softmax_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_softmax *a = ctx;
    size_t cols = a->cols;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *x = a->x + r * cols;
        float *out = a->out + r * cols, max = row_max(x, cols, a->scale);
        double sum = 0;
        for (size_t c = 0; c < cols; c += RUN)
            sum += (double)run_of(out + c, x + c, cols - c < RUN ? cols - c : RUN, a->scale, max);
        float inverse = (float)(1 / sum);
        for (size_t c = 0; c < cols; c++) out[c] *= inverse;
    }
}

owm_status SIMD(softmax)(struct owm_device *device, const struct owm_softmax *a)
{
    owm_status status = owm_check_softmax(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, 1 + 16384 / a->cols, softmax_job, (void *)a);
    return OWM_OK;
}

/* rows.c: ops that treat each row by itself: norm, rope, swiglu, embedding, cross-entropy. */
#include <math.h>

#include "simd.h"

/** grain: rows a worker takes at once, so that a piece is some 16 thousand elements. */
static size_t grain(size_t cols)
{
    return 1 + 16384 / cols;
}

/** row_dot: sum of a[i] * b[i] * (w ? w[i] : 1). */
static float row_dot(const float *a, const float *b, const float *w, size_t count)
{
    vf sum = {0};
    size_t i = 0;
    for (; i + W <= count; i += W) {
        vf ab = v_load(a + i) * v_load(b + i);
        sum += w ? ab * v_load(w + i) : ab;
    }
    float total = v_sum(sum);
    for (; i < count; i++) total += a[i] * b[i] * (w ? w[i] : 1);
    return total;
}

static float inverse_rms(const float *x, size_t cols, float eps)
{
    return 1 / sqrtf(row_dot(x, x, NULL, cols) / (float)cols + eps);
}

static void rmsnorm_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_rmsnorm *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *x = a->x + r * a->cols;
        float *out = a->out + r * a->cols, s = inverse_rms(x, a->cols, a->eps);
        size_t c = 0;
        for (; c + W <= a->cols; c += W)
            v_store(out + c, v_load(x + c) * s * v_load(a->weight + c));
        for (; c < a->cols; c++) out[c] = x[c] * s * a->weight[c];
    }
}

owm_status SIMD(rmsnorm)(struct owm_device *device, const struct owm_rmsnorm *a)
{
    owm_status status = owm_check_rmsnorm(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, grain(a->cols), rmsnorm_job, (void *)a);
    return OWM_OK;
}

struct norm_bwd_job {
    const struct owm_rmsnorm_bwd *a;
    float *partials; /* [CPU_PARTS][cols] */
    size_t part_rows;
};

static void norm_bwd_row(const struct owm_rmsnorm_bwd *a, size_t r, float *dweight)
{
    size_t cols = a->cols, c = 0;
    const float *x = a->x + r * cols, *dout = a->dout + r * cols, *w = a->weight;
    float *dx = a->dx + r * cols, s = inverse_rms(x, cols, a->eps);
    float pull = s * s * s * row_dot(dout, x, w, cols) / (float)cols;
    for (; c + W <= cols; c += W) {
        vf d = v_load(dout + c), v = v_load(x + c);
        v_store(dx + c, v_load(dx + c) + d * v_load(w + c) * s - v * pull);
        v_store(dweight + c, v_load(dweight + c) + d * v * s);
    }
    for (; c < cols; c++) {
        dx[c] += dout[c] * w[c] * s - x[c] * pull;
        dweight[c] += dout[c] * x[c] * s;
    }
}

static void norm_bwd_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct norm_bwd_job *j = ctx;
    (void)worker;
    for (size_t p = begin; p < end; p++) {
        float *dweight = j->partials + p * j->a->cols;
        size_t r = p * j->part_rows, stop = r + j->part_rows;
        memset(dweight, 0, j->a->cols * sizeof(float));
        for (; r < stop && r < j->a->rows; r++) norm_bwd_row(j->a, r, dweight);
    }
}

owm_status SIMD(rmsnorm_bwd)(struct owm_device *device, const struct owm_rmsnorm_bwd *a)
{
    owm_status status = owm_check_rmsnorm_bwd(a);
    if (status != OWM_OK) return status;
    struct norm_bwd_job job = {a, cpu_of(device)->partials, (a->rows + CPU_PARTS - 1) / CPU_PARTS};
    owm_pool_for(device->pool, CPU_PARTS, 1, norm_bwd_job, &job);
    for (size_t p = 0; p < CPU_PARTS; p++)
        for (size_t c = 0; c < a->cols; c++) a->dweight[c] += job.partials[p * a->cols + c];
    return OWM_OK;
}

static void rope_head(float *x, const float *cosine, size_t half, float sign)
{
    const float *sine = cosine + half;
    size_t i = 0;
    for (; i + W <= half; i += W) {
        vf re = v_load(x + i), im = v_load(x + half + i);
        vf c = v_load(cosine + i), s = v_load(sine + i) * sign;
        v_store(x + i, re * c - im * s);
        v_store(x + half + i, re * s + im * c);
    }
    for (; i < half; i++) {
        float re = x[i], im = x[half + i], s = sine[i] * sign;
        x[i] = re * cosine[i] - im * s;
        x[half + i] = re * s + im * cosine[i];
    }
}

static void rope_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_rope *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *table = a->cos_sin + (a->first + r % a->period) * a->head_dim;
        for (size_t h = 0; h < a->heads; h++)
            rope_head(a->x + r * a->stride + h * a->head_dim, table, a->head_dim / 2,
                      a->inverse ? -1.0f : 1.0f);
    }
}

owm_status SIMD(rope)(struct owm_device *device, const struct owm_rope *a)
{
    owm_status status = owm_check_rope(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, grain(a->heads * a->head_dim), rope_job, (void *)a);
    return OWM_OK;
}

static inline vf sigmoid(vf x)
{
    return 1.0f / (1.0f + v_exp(-x));
}

static void swiglu_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_swiglu *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *gate = a->gate_up + r * 2 * a->cols, *up = gate + a->cols;
        float *out = a->out + r * a->cols;
        size_t c = 0;
        for (; c + W <= a->cols; c += W) {
            vf g = v_load(gate + c);
            v_store(out + c, g * sigmoid(g) * v_load(up + c));
        }
        if (c == a->cols) continue;
        size_t rest = a->cols - c;
        vf g = v_load_part(gate + c, rest, 0), u = v_load_part(up + c, rest, 0);
        v_store_part(out + c, g * sigmoid(g) * u, rest);
    }
}

owm_status SIMD(swiglu)(struct owm_device *device, const struct owm_swiglu *a)
{
    owm_status status = owm_check_swiglu(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, grain(a->cols), swiglu_job, (void *)a);
    return OWM_OK;
}

static void swiglu_bwd_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_swiglu_bwd *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *gate = a->gate_up + r * 2 * a->cols, *dout = a->dout + r * a->cols;
        float *dgate = a->dgate_up + r * 2 * a->cols;
        for (size_t c = 0; c < a->cols; c += W) {
            size_t n = a->cols - c < W ? a->cols - c : W;
            vf g = v_load_part(gate + c, n, 0), u = v_load_part(gate + a->cols + c, n, 0);
            vf d = v_load_part(dout + c, n, 0), s = sigmoid(g);
            v_store_part(dgate + c, d * u * s * (1.0f + g * (1.0f - s)), n);
            v_store_part(dgate + a->cols + c, d * g * s, n);
        }
    }
}

owm_status SIMD(swiglu_bwd)(struct owm_device *device, const struct owm_swiglu_bwd *a)
{
    owm_status status = owm_check_swiglu_bwd(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, grain(a->cols), swiglu_bwd_job, (void *)a);
    return OWM_OK;
}

static void embedding_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_embedding *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++)
        memcpy(a->out + r * a->cols, a->table + (size_t)a->tokens[r] * a->cols,
               a->cols * sizeof(float));
}

owm_status SIMD(embedding)(struct owm_device *device, const struct owm_embedding *a)
{
    owm_status status = owm_check_embedding(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, grain(a->cols), embedding_job, (void *)a);
    return OWM_OK;
}

/* The workers share out columns, so that every sum is taken over rows in order. */
static void embedding_bwd_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_embedding_bwd *a = ctx;
    (void)worker;
    for (size_t r = 0; r < a->rows; r++) {
        float *to = a->dtable + (size_t)a->tokens[r] * a->cols;
        const float *from = a->dout + r * a->cols;
        size_t c = begin;
        for (; c + W <= end; c += W) v_store(to + c, v_load(to + c) + v_load(from + c));
        for (; c < end; c++) to[c] += from[c];
    }
}

owm_status SIMD(embedding_bwd)(struct owm_device *device, const struct owm_embedding_bwd *a)
{
    owm_status status = owm_check_embedding_bwd(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->cols, 64, embedding_bwd_job, (void *)a);
    return OWM_OK;
}

/** row_max and row_exp_sum: the two passes of a stable softmax. */
static float row_max(const float *x, size_t count)
{
    vf max = v_set(-INFINITY);
    for (size_t i = 0; i < count; i += W) {
        size_t n = count - i < W ? count - i : W;
        max = v_max(max, n == W ? v_load(x + i) : v_load_part(x + i, n, -INFINITY));
    }
    return v_highest(max);
}

static float row_exp_sum(const float *x, size_t count, float max)
{
    vf sum = {0};
    size_t i = 0;
    for (; i + W <= count; i += W) sum += v_exp(v_load(x + i) - max);
    float total = v_sum(sum);
    if (i == count) return total;
    vf last = v_exp(v_load_part(x + i, count - i, 0) - max);
    for (size_t k = 0; k < count - i; k++) total += last[k];
    return total;
}

static void cross_entropy_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_cross_entropy *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *x = a->logits + r * a->vocab;
        float *dx = a->dlogits ? a->dlogits + r * a->vocab : NULL;
        float max = row_max(x, a->vocab), sum = row_exp_sum(x, a->vocab, max);
        a->losses[r] = max + logf(sum) - x[a->targets[r]];
        if (!dx) continue;
        float scale = a->scale / sum;
        for (size_t v = 0; v < a->vocab; v += W) {
            size_t n = a->vocab - v < W ? a->vocab - v : W;
            v_store_part(dx + v, v_exp(v_load_part(x + v, n, 0) - max) * scale, n);
        }
        dx[a->targets[r]] -= a->scale;
    }
}

owm_status SIMD(cross_entropy)(struct owm_device *device, const struct owm_cross_entropy *a)
{
    owm_status status = owm_check_cross_entropy(a);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, a->rows, grain(a->vocab), cross_entropy_job, (void *)a);
    return OWM_OK;
}

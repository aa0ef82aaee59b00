/* attention.c: causal grouped-query attention by blocks of queries, forward, backward and decode.
 *
 * Mapping: one item is one sequence and one key/value head with the query heads that share it, so
 * no two workers write the same gradient. Its keys and values are packed once; then for each query
 * head and each block of Q rows the scores against the keys up to the block's end are one small
 * product into per-worker scratch, soft-maxed, and multiplied with the values. Backward does the
 * same with five products and recomputes the probabilities from the saved log-sum-exp. Key blocks
 * behind the diagonal are never touched, which halves the work.
 */
#include <math.h>

#include "simd.h"

#define Q                                                                                          \
    ((size_t)32) /* Query rows in a block; the score block [Q][T] stays in L2 up to T = 4096. */

struct attention_job {
    const float *qkv, *dout;
    float *out, *lse, *dqkv;
    size_t time, heads, kv_heads, head_dim;
    struct cpu_device *cpu;
};

/** item: where the parts of one (sequence, key/value head) are. */
struct item {
    size_t row0, group, first_head, kv_head, sequence;
    size_t stride, out_stride; /* Of qkv and of out. */
    const float *k, *v;
    float *dk, *dv; /* NULL in forward. */
    float scale;
};

static struct item item_at(const struct attention_job *j, size_t index)
{
    struct item t = {.sequence = index / j->kv_heads, .kv_head = index % j->kv_heads};
    size_t E = j->head_dim;
    t.row0 = t.sequence * j->time;
    t.group = j->heads / j->kv_heads;
    t.first_head = t.kv_head * t.group;
    t.stride = (j->heads + 2 * j->kv_heads) * E;
    t.out_stride = j->heads * E;
    size_t k_at = t.row0 * t.stride + (j->heads + t.kv_head) * E, v_at = k_at + j->kv_heads * E;
    t.k = j->qkv + k_at;
    t.v = j->qkv + v_at;
    t.dk = j->dqkv ? j->dqkv + k_at : NULL;
    t.dv = j->dqkv ? j->dqkv + v_at : NULL;
    t.scale = 1 / sqrtf((float)E);
    return t;
}

static size_t round_up(size_t n)
{
    return simd_panels(n) * SIMD_NR;
}

/** pack: all panels of b [depth][cols]; returns the floats used. */
static size_t pack(float *packed, struct simd_view b, size_t depth, size_t cols)
{
    SIMD(pack_panels)(packed, b, depth, 0, simd_panels(cols), cols);
    return depth * round_up(cols);
}

/** softmax_row: s[0..n) to probabilities of scale * s, zeros up to `end`; returns log-sum-exp. */
static float softmax_row(float *s, size_t n, size_t end, float scale)
{
    vf max = v_set(-INFINITY), sum = {0};
    size_t i = 0, full = (n + W - 1) / W * W;
    for (size_t k = n; k < full; k++) s[k] = -INFINITY;
    for (; i < full; i += W) max = v_max(max, v_load(s + i));
    float top = v_highest(max) * scale;
    for (i = 0; i < full; i += W) {
        vf p = v_exp(v_load(s + i) * scale - top);
        v_store(s + i, p);
        sum += p;
    }
    for (size_t k = n; k < full; k++) s[k] = 0; /* They were e^-87, too little to count in `sum`. */
    float total = v_sum(sum), inverse = 1 / total;
    for (i = 0; i < full; i += W) v_store(s + i, v_load(s + i) * inverse);
    if (full < end) memset(s + full, 0, (end - full) * sizeof(float));
    return top + logf(total);
}

static void forward_head(const struct attention_job *j, const struct item *t, size_t head,
                         const float *kt, const float *v, float *s)
{
    size_t E = j->head_dim, T = j->time, ld = round_up(T);
    for (size_t i0 = 0; i0 < T; i0 += Q) {
        size_t rows = T - i0 < Q ? T - i0 : Q, keys = i0 + rows;
        const float *q = j->qkv + (t->row0 + i0) * t->stride + head * E;
        float *out = j->out + (t->row0 + i0) * t->out_stride + head * E;
        SIMD(block_gemm)
        (&(struct simd_block){.c = s,
                              .ldc = ld,
                              .a = {q, t->stride, 1},
                              .packed = kt,
                              .panel = E * SIMD_NR,
                              .m = rows,
                              .n = round_up(keys),
                              .k = E});
        for (size_t i = 0; i < rows; i++)
            j->lse[(t->sequence * j->heads + head) * T + i0 + i] =
                softmax_row(s + i * ld, i0 + i + 1, keys, t->scale);
        SIMD(block_gemm)
        (&(struct simd_block){.c = out,
                              .ldc = t->out_stride,
                              .a = {s, ld, 1},
                              .packed = v,
                              .panel = T * SIMD_NR,
                              .m = rows,
                              .n = E,
                              .k = keys});
    }
}

static void forward_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct attention_job *j = ctx;
    for (size_t index = begin; index < end; index++) {
        struct item t = item_at(j, index);
        float *kt = cpu_scratch(j->cpu, worker);
        float *v = kt + pack(kt, (struct simd_view){t.k, 1, t.stride}, j->head_dim, j->time);
        float *s = v + pack(v, (struct simd_view){t.v, t.stride, 1}, j->time, j->head_dim);
        for (size_t h = 0; h < t.group; h++) forward_head(j, &t, t.first_head + h, kt, v, s);
    }
}

owm_status SIMD(attention)(struct owm_device *device, const struct owm_attention *a)
{
    owm_status status = owm_check_attention(a);
    if (status != OWM_OK) return status;
    struct attention_job job = {.qkv = a->qkv,
                                .out = a->out,
                                .lse = a->lse,
                                .time = a->time,
                                .heads = a->heads,
                                .kv_heads = a->kv_heads,
                                .head_dim = a->head_dim,
                                .cpu = cpu_of(device)};
    owm_pool_for(device->pool, (size_t)a->batch * a->kv_heads, 1, forward_job, &job);
    return OWM_OK;
}

/** scratch: the parts of backward, laid out in a worker's memory. */
struct scratch {
    float *kt, *vt, *k;        /* Packed: keys and values transposed, keys as they are. */
    float *s, *ds;             /* [Q][round_up(T)]: probabilities, and gradients of the scores. */
    float *q_block, *do_block; /* Packed [Q][E]. */
};

/** probabilities_bwd: s to probabilities, ds (which holds dout . v) to gradients of q . k. */
static void probabilities_bwd(float *s, float *ds, size_t n, size_t end, float scale, float lse,
                              float delta)
{
    size_t i = 0;
    for (; i < n; i += W) {
        size_t part = n - i < W ? n - i : W;
        vf p = v_exp(v_load(s + i) * scale - lse);
        v_store(s + i, p);
        v_store(ds + i, p * (v_load(ds + i) - delta) * scale);
        for (size_t k = part; k < W; k++) s[i + k] = ds[i + k] = 0;
    }
    if (i >= end) return;
    memset(s + i, 0, (end - i) * sizeof(float));
    memset(ds + i, 0, (end - i) * sizeof(float));
}

static void backward_block(const struct attention_job *j, const struct item *t,
                           const struct scratch *w, size_t head, size_t i0)
{
    size_t E = j->head_dim, T = j->time, ld = round_up(T);
    size_t rows = T - i0 < Q ? T - i0 : Q, keys = i0 + rows;
    size_t q_at = (t->row0 + i0) * t->stride + head * E;
    size_t out_at = (t->row0 + i0) * t->out_stride + head * E;
    const float *lse = j->lse + (t->sequence * j->heads + head) * T + i0;
    struct simd_view q = {j->qkv + q_at, t->stride, 1}, dout = {j->dout + out_at, t->out_stride, 1};

    SIMD(block_gemm)
    (&(struct simd_block){.c = w->s,
                          .ldc = ld,
                          .a = q,
                          .packed = w->kt,
                          .panel = E * SIMD_NR,
                          .m = rows,
                          .n = round_up(keys),
                          .k = E});
    SIMD(block_gemm)
    (&(struct simd_block){.c = w->ds,
                          .ldc = ld,
                          .a = dout,
                          .packed = w->vt,
                          .panel = E * SIMD_NR,
                          .m = rows,
                          .n = round_up(keys),
                          .k = E});
    for (size_t i = 0; i < rows; i++) {
        float delta = 0;
        for (size_t e = 0; e < E; e++)
            delta += dout.at[i * t->out_stride + e] * j->out[out_at + i * t->out_stride + e];
        probabilities_bwd(w->s + i * ld, w->ds + i * ld, i0 + i + 1, keys, t->scale, lse[i], delta);
    }
    pack(w->q_block, q, rows, E);
    pack(w->do_block, dout, rows, E);
    SIMD(block_gemm)
    (&(struct simd_block){.c = j->dqkv + q_at,
                          .ldc = t->stride,
                          .a = {w->ds, ld, 1},
                          .packed = w->k,
                          .panel = T * SIMD_NR,
                          .m = rows,
                          .n = E,
                          .k = keys});
    SIMD(block_gemm)
    (&(struct simd_block){.c = t->dk,
                          .ldc = t->stride,
                          .a = {w->ds, 1, ld},
                          .packed = w->q_block,
                          .panel = rows * SIMD_NR,
                          .m = keys,
                          .n = E,
                          .k = rows,
                          .accumulate = true});
    SIMD(block_gemm)
    (&(struct simd_block){.c = t->dv,
                          .ldc = t->stride,
                          .a = {w->s, 1, ld},
                          .packed = w->do_block,
                          .panel = rows * SIMD_NR,
                          .m = keys,
                          .n = E,
                          .k = rows,
                          .accumulate = true});
}

static void backward_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct attention_job *j = ctx;
    size_t E = j->head_dim, T = j->time;
    for (size_t index = begin; index < end; index++) {
        struct item t = item_at(j, index);
        struct scratch w = {.kt = cpu_scratch(j->cpu, worker)};
        w.vt = w.kt + pack(w.kt, (struct simd_view){t.k, 1, t.stride}, E, T);
        w.k = w.vt + pack(w.vt, (struct simd_view){t.v, 1, t.stride}, E, T);
        w.s = w.k + pack(w.k, (struct simd_view){t.k, t.stride, 1}, T, E);
        w.ds = w.s + Q * round_up(T);
        w.q_block = w.ds + Q * round_up(T);
        w.do_block = w.q_block + Q * round_up(E);
        for (size_t i = 0; i < T; i++) {
            memset(t.dk + i * t.stride, 0, E * sizeof(float));
            memset(t.dv + i * t.stride, 0, E * sizeof(float));
        }
        for (size_t h = 0; h < t.group; h++)
            for (size_t i0 = 0; i0 < T; i0 += Q) backward_block(j, &t, &w, t.first_head + h, i0);
    }
}

owm_status SIMD(attention_bwd)(struct owm_device *device, const struct owm_attention_bwd *a)
{
    owm_status status = owm_check_attention_bwd(a);
    if (status != OWM_OK) return status;
    struct attention_job job = {.qkv = a->qkv,
                                .dout = a->dout,
                                .out = (float *)a->out,
                                .lse = (float *)a->lse,
                                .dqkv = a->dqkv,
                                .time = a->time,
                                .heads = a->heads,
                                .kv_heads = a->kv_heads,
                                .head_dim = a->head_dim,
                                .cpu = cpu_of(device)};
    owm_pool_for(device->pool, (size_t)a->batch * a->kv_heads, 1, backward_job, &job);
    return OWM_OK;
}

struct decode_job {
    const struct owm_attention_decode *a;
    struct cpu_device *cpu;
};

/* Scores first, then values: both read the cache once, row by row. */
static void decode_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct decode_job *j = ctx;
    const struct owm_attention_decode *a = j->a;
    size_t E = a->head_dim, stride = a->kv_heads * E;
    float *s = cpu_scratch(j->cpu, worker);
    for (size_t h = begin; h < end; h++) {
        size_t at = h / (a->heads / a->kv_heads) * E;
        float *out = a->out + h * E;
        for (size_t i = 0; i < a->length; i++) {
            const float *q = a->q + h * E, *k = a->k_cache + i * stride + at;
            float dot = 0;
            for (size_t e = 0; e < E; e++) dot += q[e] * k[e];
            s[i] = dot;
        }
        (void)softmax_row(s, a->length, a->length, 1 / sqrtf((float)E));
        memset(out, 0, E * sizeof(float));
        for (size_t i = 0; i < a->length; i++) {
            const float *v = a->v_cache + i * stride + at;
            for (size_t e = 0; e < E; e++) out[e] += s[i] * v[e];
        }
    }
}

owm_status SIMD(attention_decode)(struct owm_device *device, const struct owm_attention_decode *a)
{
    owm_status status = owm_check_attention_decode(a);
    if (status != OWM_OK) return status;
    struct decode_job job = {a, cpu_of(device)};
    size_t per_head = (size_t)a->length * a->head_dim;
    owm_pool_for(device->pool, a->heads, 1 + 65536 / per_head, decode_job, &job);
    return OWM_OK;
}

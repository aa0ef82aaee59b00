/* staged.c: the adapter of staged.h: per op, which of its arrays lie on the device, and how large
 * the contract says they are.
 *
 * Arguments that the op must refuse are passed on as they are: it has nothing to read then. An
 * array keeps its place within 64 bytes, so that what is not aligned for a test is not on the
 * device; arrays that overlap do so there. */
#include "staged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check.h"

#define LOANS_MAX 4096
#define KEEP      64 /* Bytes within which an array keeps its place. */

struct loan {
    char *host, *dev;
    void *mem;
    size_t bytes;
    bool written;
};

struct request {
    void *field;
    char *host;
    size_t bytes;
    bool written;
};

struct staged {
    struct owm_device base;
    struct owm_device *real;
    struct owm_backend table;
    struct request requests[LOANS_MAX];
    struct loan loans[LOANS_MAX];
    uint32_t request_count, count;
    void *lists[4]; /* Arrays of pointers that were rewritten; freed with the loans. */
    uint32_t list_count;
};

static void need(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "staged: %s\n", what);
    exit(1);
}

static struct staged *staged_of(struct owm_device *device)
{
    return (struct staged *)device;
}

/* `field` points to the pointer, of whatever type; it is rewritten by borrow(). */
static void lend(struct staged *s, void *field, size_t bytes, bool written)
{
    struct request r = {.field = field, .bytes = bytes, .written = written};
    memcpy(&r.host, field, sizeof r.host);
    if (!r.host || !bytes) return;
    need(s->request_count < LOANS_MAX, "too many arrays");
    s->requests[s->request_count++] = r;
}

/* Arrays that overlap become one loan. */
static void merge(struct staged *s, const struct request *r)
{
    struct loan all = {.host = r->host, .bytes = r->bytes, .written = r->written};
    for (uint32_t i = 0; i < s->count;) {
        struct loan *l = &s->loans[i];
        if (all.host + all.bytes <= l->host || all.host >= l->host + l->bytes) {
            i++;
            continue;
        }
        char *end_all = all.host + all.bytes, *end_l = l->host + l->bytes;
        all.host = all.host < l->host ? all.host : l->host;
        all.bytes = (size_t)((end_all > end_l ? end_all : end_l) - all.host);
        all.written |= l->written;
        *l = s->loans[--s->count];
        i = 0;
    }
    s->loans[s->count++] = all;
}

static void borrow(struct staged *s)
{
    const struct owm_backend *b = s->real->backend;
    for (uint32_t i = 0; i < s->request_count; i++) merge(s, &s->requests[i]);
    for (uint32_t i = 0; i < s->count; i++) {
        struct loan *l = &s->loans[i];
        size_t keep = (uintptr_t)l->host % KEEP;
        need(b->mem_alloc(s->real, &l->mem, keep + l->bytes) == OWM_OK, "no memory on the device");
        l->dev = (char *)l->mem + keep;
        need(b->mem_put(s->real, l->dev, l->host, l->bytes) == OWM_OK, "mem_put failed");
    }
    for (uint32_t i = 0; i < s->request_count; i++) {
        const struct request *r = &s->requests[i];
        const struct loan *l = s->loans;
        while (r->host < l->host || r->host >= l->host + l->bytes) l++;
        char *dev = l->dev + (r->host - l->host);
        memcpy(r->field, &dev, sizeof dev);
    }
    s->request_count = 0;
}

static owm_status end(struct staged *s, owm_status status)
{
    const struct owm_backend *b = s->real->backend;
    for (uint32_t i = 0; i < s->count; i++) {
        struct loan *l = &s->loans[i];
        if (l->written)
            need(b->mem_get(s->real, l->host, l->dev, l->bytes) == OWM_OK, "mem_get failed");
        b->mem_free(s->real, l->mem);
    }
    while (s->list_count) free(s->lists[--s->list_count]);
    s->count = 0;
    return status;
}

static void *copy_list(struct staged *s, const void *list, size_t bytes)
{
    void *copy = malloc(bytes);
    need(copy && s->list_count < sizeof s->lists / sizeof *s->lists, "too many lists");
    s->lists[s->list_count++] = copy;
    return memcpy(copy, list, bytes);
}

/* P pointers to vectors of n floats. */
static const float *const *lend_vectors(struct staged *s, const float *const *x, uint32_t count,
                                        uint32_t n)
{
    const float **copy = copy_list(s, x, count * sizeof *copy);
    for (uint32_t p = 0; p < count; p++) lend(s, &copy[p], (size_t)n * sizeof(float), false);
    return (const float *const *)copy;
}

static const struct owm_sparse *lend_packages(struct staged *s, const struct owm_sparse *package,
                                              uint32_t count)
{
    struct owm_sparse *copy = copy_list(s, package, count * sizeof *copy);
    for (uint32_t p = 0; p < count; p++) {
        lend(s, &copy[p].index, (size_t)copy[p].count * sizeof(uint32_t), false);
        lend(s, &copy[p].value, (size_t)copy[p].count * sizeof(float), false);
    }
    return copy;
}

/* Floats of `rows` rows that are `stride` apart; the last ends after `cols`. */
static size_t rows_of(size_t rows, size_t stride, size_t cols)
{
    return (rows - 1) * stride + cols;
}

#define READ(field, floats)       lend(s, &(field), (floats) * sizeof(float), false)
#define WRITE(field, floats)      lend(s, &(field), (floats) * sizeof(float), true)
#define READ_BYTES(field, bytes)  lend(s, &(field), bytes, false)
#define WRITE_BYTES(field, bytes) lend(s, &(field), bytes, true)

/* OP(name, struct, what to lend of `a`): an entry of the table. */
#define OP_AS(op, type, check, ...)                                                                \
    static owm_status staged_##op(struct owm_device *device, const struct type *args)              \
    {                                                                                              \
        struct staged *s = staged_of(device);                                                      \
        struct type a = *args;                                                                     \
        if (check(args) == OWM_OK) {                                                               \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        borrow(s);                                                                                 \
        return end(s, s->real->backend->op(s->real, &a));                                          \
    }
#define OP(op, ...) OP_AS(op, owm_##op, owm_check_##op, __VA_ARGS__)

OP(gemm, WRITE(a.c, rows_of(a.m, a.ldc, a.n)),
   READ(a.a, a.trans_a ? rows_of(a.k, a.lda, a.m) : rows_of(a.m, a.lda, a.k)),
   READ(a.b, a.trans_b ? rows_of(a.n, a.ldb, a.k) : rows_of(a.k, a.ldb, a.n)))

OP(rmsnorm, WRITE(a.out, (size_t)a.rows *a.cols), READ(a.x, (size_t)a.rows *a.cols),
   READ(a.weight, a.cols))

OP(rmsnorm_bwd, WRITE(a.dx, (size_t)a.rows *a.cols), WRITE(a.dweight, a.cols),
   READ(a.dout, (size_t)a.rows *a.cols), READ(a.x, (size_t)a.rows *a.cols), READ(a.weight, a.cols))

OP(rope, WRITE(a.x, rows_of(a.rows, a.stride, (size_t)a.heads *a.head_dim)),
   READ(a.cos_sin, (size_t)a.positions *a.head_dim))

OP(swiglu, READ(a.gate_up, (size_t)a.rows *a.cols * 2), WRITE(a.out, (size_t)a.rows *a.cols))

OP(swiglu_bwd, WRITE(a.dgate_up, (size_t)a.rows *a.cols * 2),
   READ(a.gate_up, (size_t)a.rows *a.cols * 2), READ(a.dout, (size_t)a.rows *a.cols))

static size_t qkv_of(size_t rows, size_t heads, size_t kv_heads, size_t head_dim)
{
    return rows * (heads + 2 * kv_heads) * head_dim;
}

OP(attention, size_t rows = (size_t)a.batch * a.time; WRITE(a.out, rows *a.heads *a.head_dim);
   WRITE(a.lse, rows *a.heads); READ(a.qkv, qkv_of(rows, a.heads, a.kv_heads, a.head_dim)))

OP(attention_bwd, size_t rows = (size_t)a.batch * a.time;
   WRITE(a.dqkv, qkv_of(rows, a.heads, a.kv_heads, a.head_dim));
   READ(a.qkv, qkv_of(rows, a.heads, a.kv_heads, a.head_dim));
   READ(a.dout, rows *a.heads *a.head_dim); READ(a.out, rows *a.heads *a.head_dim);
   READ(a.lse, rows *a.heads))

OP(attention_decode, WRITE(a.out, (size_t)a.heads *a.head_dim),
   READ(a.q, (size_t)a.heads *a.head_dim),
   READ(a.k_cache, (size_t)a.length *a.kv_heads *a.head_dim),
   READ(a.v_cache, (size_t)a.length *a.kv_heads *a.head_dim))

OP(embedding, WRITE(a.out, (size_t)a.rows *a.cols), READ(a.table, (size_t)a.vocab *a.cols))

OP(embedding_bwd, WRITE(a.dtable, (size_t)a.vocab *a.cols), READ(a.dout, (size_t)a.rows *a.cols))

OP(cross_entropy, WRITE(a.losses, a.rows), READ(a.logits, (size_t)a.rows *a.vocab),
   WRITE(a.dlogits, (size_t)a.rows *a.vocab))

OP(adamw, WRITE(a.params, a.count), WRITE(a.m, a.count), WRITE(a.v, a.count), READ(a.grad, a.count))

static owm_status staged_add(struct owm_device *device, float *out, const float *a, const float *b,
                             size_t count)
{
    struct staged *s = staged_of(device);
    if (out && a && b && count) WRITE(out, count), READ(a, count), READ(b, count);
    borrow(s);
    return end(s, s->real->backend->add(s->real, out, a, b, count));
}

static owm_status staged_sum_squares(struct owm_device *device, double *sum, const float *x,
                                     size_t count)
{
    struct staged *s = staged_of(device);
    if (sum && x && count) READ(x, count);
    borrow(s);
    return end(s, s->real->backend->sum_squares(s->real, sum, x, count));
}

static size_t staged_packed_bytes(struct owm_device *device, enum owm_format format, uint32_t rows,
                                  uint32_t cols)
{
    struct staged *s = staged_of(device);
    return s->real->backend->packed_bytes(s->real, format, rows, cols);
}

OP(pack, WRITE_BYTES(a.packed, staged_packed_bytes(device, a.format, a.rows, a.cols)))

OP(linear, WRITE(a.y, rows_of(a.m, a.ldy, a.n)), READ(a.x, rows_of(a.m, a.ldx, a.k)),
   READ_BYTES(a.weights, staged_packed_bytes(device, a.format, a.n, a.k)))

OP(linear_bwd, WRITE(a.dx, rows_of(a.m, a.lddx, a.k)), READ(a.dy, rows_of(a.m, a.lddy, a.n)),
   READ_BYTES(a.weights, staged_packed_bytes(device, a.format, a.n, a.k)))

static size_t cache_bytes(const struct owm_kv_cache *c)
{
    return (size_t)c->pages * OWM_PAGE_TOKENS * c->kv_heads * c->head_dim
           * (c->bf16 ? sizeof(uint16_t) : sizeof(float));
}

OP(kv_put, WRITE_BYTES(a.cache.k, cache_bytes(&a.cache)),
   WRITE_BYTES(a.cache.v, cache_bytes(&a.cache)),
   READ(a.k, rows_of(a.rows, a.stride, (size_t)a.cache.kv_heads *a.cache.head_dim)),
   READ(a.v, rows_of(a.rows, a.stride, (size_t)a.cache.kv_heads *a.cache.head_dim)))

OP(attention_paged, WRITE(a.out, (size_t)a.rows *a.heads *a.cache.head_dim),
   READ(a.q, rows_of(a.rows, a.stride, (size_t)a.heads *a.cache.head_dim)),
   READ_BYTES(a.cache.k, cache_bytes(&a.cache)), READ_BYTES(a.cache.v, cache_bytes(&a.cache)))

OP(softmax, WRITE(a.out, (size_t)a.rows *a.cols), READ(a.x, (size_t)a.rows *a.cols))

OP(sample, READ(a.logits, (size_t)a.rows *a.vocab))

OP(weighted_sum, WRITE(a.out, a.n), a.x = lend_vectors(s, a.x, a.count, a.n))
OP(trimmed_mean, WRITE(a.out, a.n), a.x = lend_vectors(s, a.x, a.count, a.n))
OP(gram, a.x = lend_vectors(s, a.x, a.count, a.n))
OP(clip, WRITE(a.x, a.n))

static size_t code_bytes(enum owm_quant quant, size_t count)
{
    return count * (quant == OWM_QUANT_I8 ? sizeof(int8_t) : sizeof(uint16_t));
}

static size_t groups_of(uint32_t n)
{
    return ((size_t)n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP;
}

OP(topk, READ(a.x, a.n), WRITE(a.index, a.k))
OP(threshold, READ(a.x, a.n), WRITE(a.index, a.index_max))

OP_AS(feedback, owm_feedback_step, owm_check_feedback, WRITE(a.residual, a.n),
      READ(a.gradient, a.n), WRITE(a.index, a.k), WRITE(a.value, a.k),
      WRITE_BYTES(a.code, code_bytes(a.quant, a.k)), WRITE_BYTES(a.exponent, groups_of(a.n)))

OP(quantise, WRITE(a.value, a.count), READ(a.index, a.count),
   WRITE_BYTES(a.code, code_bytes(a.quant, a.count)), WRITE_BYTES(a.exponent, groups_of(a.n)))

OP(scatter_add, WRITE(a.x, a.n), a.package = lend_packages(s, a.package, 1))
OP(sparse_sum, WRITE(a.out, (size_t)a.last - a.first),
   a.package = lend_packages(s, a.package, a.count))
OP(sparse_gram, a.package = lend_packages(s, a.package, a.count))
OP(apply_update, WRITE(a.w, a.n), WRITE(a.m, a.n), READ(a.u, a.n))

OP(sha256d_scan, (void)s)
OP(sha256d_batch, WRITE_BYTES(a.hash, (size_t)a.count * 32),
   READ_BYTES(a.message, rows_of(a.count, a.stride, a.bytes)))
OP(sha256d_merkle, WRITE_BYTES(a.root, (size_t)a.count * 32),
   READ_BYTES(a.coinbase, rows_of(a.count, a.stride, a.bytes)),
   READ_BYTES(a.branch, (size_t)a.branches * 32))

/* Memory is the host's. */

static owm_status mem_alloc(struct owm_device *device, void **mem, size_t bytes)
{
    (void)device;
    size_t whole = (bytes + KEEP) / KEEP * KEEP;
    *mem = aligned_alloc(KEEP, whole);
    need(*mem, "no memory");
    memset(*mem, 0, whole);
    return OWM_OK;
}

static void mem_free(struct owm_device *device, void *mem)
{
    (void)device;
    free(mem);
}

static owm_status mem_copy(struct owm_device *device, void *dst, const void *src, size_t bytes)
{
    (void)device;
    memcpy(dst, src, bytes);
    return OWM_OK;
}

static owm_status mem_zero(struct owm_device *device, void *mem, size_t bytes)
{
    (void)device;
    memset(mem, 0, bytes);
    return OWM_OK;
}

static owm_status sync_real(struct owm_device *device)
{
    struct staged *s = staged_of(device);
    return s->real->backend->sync(s->real);
}

static void close_staged(struct owm_device *device)
{
    if (!device) return;
    struct staged *s = staged_of(device);
    s->real->backend->close(s->real);
    free(s);
}

#define EACH_OP(X)                                                                                 \
    X(gemm)                                                                                        \
    X(rmsnorm)                                                                                     \
    X(rmsnorm_bwd)                                                                                 \
    X(rope)                                                                                        \
    X(swiglu)                                                                                      \
    X(swiglu_bwd)                                                                                  \
    X(attention)                                                                                   \
    X(attention_bwd)                                                                               \
    X(attention_decode)                                                                            \
    X(embedding)                                                                                   \
    X(embedding_bwd)                                                                               \
    X(cross_entropy)                                                                               \
    X(adamw)                                                                                       \
    X(add)                                                                                         \
    X(sum_squares)                                                                                 \
    X(packed_bytes)                                                                                \
    X(pack)                                                                                        \
    X(linear)                                                                                      \
    X(linear_bwd)                                                                                  \
    X(kv_put)                                                                                      \
    X(attention_paged)                                                                             \
    X(softmax)                                                                                     \
    X(sample)                                                                                      \
    X(weighted_sum)                                                                                \
    X(trimmed_mean)                                                                                \
    X(gram)                                                                                        \
    X(clip)                                                                                        \
    X(topk)                                                                                        \
    X(threshold)                                                                                   \
    X(feedback)                                                                                    \
    X(quantise)                                                                                    \
    X(scatter_add)                                                                                 \
    X(sparse_sum)                                                                                  \
    X(sparse_gram)                                                                                 \
    X(apply_update)                                                                                \
    X(sha256d_scan)                                                                                \
    X(sha256d_batch)                                                                               \
    X(sha256d_merkle)

struct owm_device *staged_open(struct owm_device *real)
{
    struct staged *s = calloc(1, sizeof *s);
    need(s, "no memory");
    s->real = real;
    s->table = (struct owm_backend){.abi = OWM_BACKEND_ABI,
                                    .name = real->backend->name,
                                    .close = close_staged,
                                    .mem_alloc = mem_alloc,
                                    .mem_free = mem_free,
                                    .mem_put = mem_copy,
                                    .mem_get = mem_copy,
                                    .mem_zero = mem_zero,
                                    .sync = sync_real};
#define TABLE(op)                                                                                  \
    if (real->backend->op) s->table.op = staged_##op;
    EACH_OP(TABLE)
#undef TABLE
    s->base = (struct owm_device){&s->table, real->pool, real->index};
    return &s->base;
}

/* test_ops.c: every op of training of a backend against the plain-C reference.
 *
 * In each instruction set that this machine has, on one thread and on three: sizes 1, odd, around
 * the blocks, large; outputs poisoned first; the same bits from one thread and three; and every
 * refusal. */
#include "check.h"

static struct owm_device *device, *reference;

/** array: the same data on the device under test and on the reference. */
struct array {
    float *dev, *ref;
    size_t count;
};

static struct array array(size_t count, bool poison)
{
    struct array a = {.count = count};
    float *data = check_data(count);
    for (size_t i = 0; poison && i < count; i++) data[i] = NAN;
    CHECK(device->backend->mem_alloc(device, (void **)&a.dev, count * sizeof(float)) == OWM_OK);
    CHECK(reference->backend->mem_alloc(reference, (void **)&a.ref, count * sizeof(float))
          == OWM_OK);
    CHECK(device->backend->mem_put(device, a.dev, data, count * sizeof(float)) == OWM_OK);
    CHECK(reference->backend->mem_put(reference, a.ref, data, count * sizeof(float)) == OWM_OK);
    free(data);
    return a;
}

static struct array input(size_t count)
{
    return array(count, false);
}

static struct array output(size_t count)
{
    return array(count, true);
}

static void drop(struct array *a)
{
    device->backend->mem_free(device, a->dev);
    reference->backend->mem_free(reference, a->ref);
}

/** close_to: max |dev - ref| <= tolerance * max |ref|, and nothing left poisoned. */
static void close_to(const char *what, const struct array *a, double tolerance)
{
    float *got = malloc(a->count * sizeof *got);
    CHECK(got && device->backend->sync(device) == OWM_OK);
    CHECK(device->backend->mem_get(device, got, a->dev, a->count * sizeof *got) == OWM_OK);
    double top = 0.1, worst = 0; /* Sums of numbers near 1 may cancel: 0 is no scale. */
    for (size_t i = 0; i < a->count; i++) {
        CHECK(isfinite(a->ref[i]) && isfinite(got[i]));
        top = fmax(top, fabs((double)a->ref[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)a->ref[i]));
    }
    if (worst > tolerance * top) {
        fprintf(stderr, "%s: off by %g of %g\n", what, worst, top);
        exit(1);
    }
    free(got);
}

#define BOTH(op, args_dev, args_ref)                                                               \
    do {                                                                                           \
        CHECK(device->backend->op(device, &(args_dev)) == OWM_OK);                                 \
        CHECK(reference->backend->op(reference, &(args_ref)) == OWM_OK);                           \
    } while (0)

static void gemm_case(uint32_t m, uint32_t n, uint32_t k, int flags)
{
    struct owm_gemm d = {.m = m,
                         .n = n,
                         .k = k,
                         .trans_a = flags & 1,
                         .trans_b = flags & 2,
                         .accumulate = flags & 4};
    uint32_t pad = flags & 1 ? 3 : 0;
    d.lda = (d.trans_a ? m : k) + pad;
    d.ldb = (d.trans_b ? k : n) + pad;
    d.ldc = n;
    struct array a = input((size_t)d.lda * (d.trans_a ? k : m));
    struct array b = input((size_t)d.ldb * (d.trans_b ? n : k));
    struct array c = d.accumulate ? input((size_t)m * n) : output((size_t)m * n);
    struct owm_gemm r = d;
    d.a = a.dev, d.b = b.dev, d.c = c.dev;
    r.a = a.ref, r.b = b.ref, r.c = c.ref;
    BOTH(gemm, d, r);
    close_to("gemm", &c, 2e-5);
    d.m = 0;
    CHECK(device->backend->gemm(device, &d) == OWM_E_ARG);
    d.m = m, d.lda = 0;
    CHECK(device->backend->gemm(device, &d) == OWM_E_ARG);
    drop(&a), drop(&b), drop(&c);
}

static void test_gemm(void)
{
    static const uint32_t sizes[][3] = {
        {1, 1, 1},     {1, 33, 17},    {2, 7, 129},     {3, 5, 7},
        {7, 31, 255},  {8, 32, 256},   {9, 33, 257},    {47, 127, 64},
        {48, 128, 31}, {49, 129, 513}, {130, 1030, 70}, {256, 256, 300},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int flags = 0; flags < 8; flags++)
            gemm_case(sizes[i][0], sizes[i][1], sizes[i][2], flags);
    /* Large enough for a GPU to ask its vendor's library. */
    const char *name = device->backend->name;
    bool gpu = strcmp(name, "cuda") == 0 || strcmp(name, "hip") == 0;
    for (int flags = 0; flags < 8 && gpu && !check_small(); flags++)
        gemm_case(515, 520, 523, flags);
}

static void norm_case(uint32_t rows, uint32_t cols)
{
    size_t n = (size_t)rows * cols;
    struct array x = input(n), w = input(cols), out = output(n), dx = input(n), dw = input(cols),
                 dout = input(n);
    struct owm_rmsnorm d = {out.dev, x.dev, w.dev, rows, cols, 1e-5f};
    struct owm_rmsnorm r = {out.ref, x.ref, w.ref, rows, cols, 1e-5f};
    BOTH(rmsnorm, d, r);
    close_to("rmsnorm", &out, 1e-5);
    struct owm_rmsnorm_bwd db = {dx.dev, dw.dev, dout.dev, x.dev, w.dev, rows, cols, 1e-5f};
    struct owm_rmsnorm_bwd rb = {dx.ref, dw.ref, dout.ref, x.ref, w.ref, rows, cols, 1e-5f};
    BOTH(rmsnorm_bwd, db, rb);
    close_to("rmsnorm_bwd dx", &dx, 1e-4);
    close_to("rmsnorm_bwd dweight", &dw, 1e-4);
    d.rows = 0;
    CHECK(device->backend->rmsnorm(device, &d) == OWM_E_ARG);
    db.dx = NULL;
    CHECK(device->backend->rmsnorm_bwd(device, &db) == OWM_E_ARG);
    db.dx = dx.dev, db.cols = OWM_NORM_COLS_MAX + 1;
    CHECK(device->backend->rmsnorm_bwd(device, &db) == OWM_E_LIMIT);
    drop(&x), drop(&w), drop(&out), drop(&dx), drop(&dw), drop(&dout);
}

static void rope_case(uint32_t batch, uint32_t time, uint32_t heads, uint32_t head_dim)
{
    uint32_t stride = heads * head_dim + 5;
    struct array x = input((size_t)batch * time * stride), table = input((time + 3) * head_dim);
    owm_rope_table(table.ref, time + 3, head_dim, 10000);
    CHECK(device->backend->mem_put(device, table.dev, table.ref, table.count * 4) == OWM_OK);
    struct owm_rope d = {.x = x.dev,
                         .cos_sin = table.dev,
                         .rows = batch * time,
                         .stride = stride,
                         .heads = heads,
                         .head_dim = head_dim,
                         .first = 3,
                         .period = time,
                         .positions = time + 3};
    struct owm_rope r = d;
    r.x = x.ref, r.cos_sin = table.ref;
    float *before = malloc(x.count * 4);
    CHECK(before);
    memcpy(before, x.ref, x.count * 4);
    BOTH(rope, d, r);
    close_to("rope", &x, 1e-6);
    d.inverse = r.inverse = true;
    BOTH(rope, d, r);
    close_to("rope back", &x, 1e-6);
    for (size_t i = 0; i < x.count; i++) CHECK(fabsf(before[i] - x.ref[i]) < 1e-5f);
    d.positions--;
    CHECK(device->backend->rope(device, &d) == OWM_E_LIMIT);
    d.head_dim = 3;
    CHECK(device->backend->rope(device, &d) == OWM_E_ARG);
    free(before);
    drop(&x), drop(&table);
}

static void swiglu_case(uint32_t rows, uint32_t cols)
{
    size_t n = (size_t)rows * cols;
    struct array x = input(2 * n), out = output(n), dx = output(2 * n), dout = input(n);
    for (size_t i = 0; i < 2 * n; i++) x.ref[i] *= 12; /* Into the flat ends of the sigmoid. */
    CHECK(device->backend->mem_put(device, x.dev, x.ref, 2 * n * 4) == OWM_OK);
    struct owm_swiglu d = {out.dev, x.dev, rows, cols}, r = {out.ref, x.ref, rows, cols};
    BOTH(swiglu, d, r);
    close_to("swiglu", &out, 1e-6);
    struct owm_swiglu_bwd db = {dx.dev, dout.dev, x.dev, rows, cols};
    struct owm_swiglu_bwd rb = {dx.ref, dout.ref, x.ref, rows, cols};
    BOTH(swiglu_bwd, db, rb);
    close_to("swiglu_bwd", &dx, 1e-6);
    d.cols = 0, db.dout = NULL;
    CHECK(device->backend->swiglu(device, &d) == OWM_E_ARG);
    CHECK(device->backend->swiglu_bwd(device, &db) == OWM_E_ARG);
    drop(&x), drop(&out), drop(&dx), drop(&dout);
}

static void attention_case(uint32_t batch, uint32_t time, uint32_t heads, uint32_t kv_heads,
                           uint32_t head_dim)
{
    size_t rows = (size_t)batch * time, out_n = rows * heads * head_dim;
    size_t qkv_n = rows * (heads + 2 * kv_heads) * head_dim;
    struct array qkv = input(qkv_n), out = output(out_n), lse = output(rows * heads),
                 dqkv = output(qkv_n), dout = input(out_n);
    for (size_t i = 0; i < qkv_n; i++) qkv.ref[i] *= 3;
    CHECK(device->backend->mem_put(device, qkv.dev, qkv.ref, qkv_n * 4) == OWM_OK);
    struct owm_attention d = {out.dev, lse.dev, qkv.dev, batch, time, heads, kv_heads, head_dim};
    struct owm_attention r = {out.ref, lse.ref, qkv.ref, batch, time, heads, kv_heads, head_dim};
    BOTH(attention, d, r);
    close_to("attention", &out, 1e-5);
    close_to("attention lse", &lse, 1e-5);
    struct owm_attention_bwd db = {dqkv.dev, dout.dev, out.dev, lse.dev,  qkv.dev,
                                   batch,    time,     heads,   kv_heads, head_dim};
    struct owm_attention_bwd rb = {dqkv.ref, dout.ref, out.ref, lse.ref,  qkv.ref,
                                   batch,    time,     heads,   kv_heads, head_dim};
    BOTH(attention_bwd, db, rb);
    close_to("attention_bwd", &dqkv, 1e-4);
    d.time = OWM_ATTENTION_TIME_MAX + 1;
    CHECK(device->backend->attention(device, &d) == OWM_E_LIMIT);
    db.kv_heads = heads + 1;
    CHECK(device->backend->attention_bwd(device, &db) == OWM_E_ARG);
    drop(&qkv), drop(&out), drop(&lse), drop(&dqkv), drop(&dout);
}

static void decode_case(uint32_t length, uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    size_t cache = (size_t)length * kv_heads * head_dim;
    struct array q = input(heads * head_dim), out = output(heads * head_dim), k = input(cache),
                 v = input(cache);
    struct owm_attention_decode d = {out.dev, q.dev, k.dev,    v.dev,
                                     length,  heads, kv_heads, head_dim};
    struct owm_attention_decode r = {out.ref, q.ref, k.ref,    v.ref,
                                     length,  heads, kv_heads, head_dim};
    BOTH(attention_decode, d, r);
    close_to("attention_decode", &out, 1e-5);
    d.length = 0;
    CHECK(device->backend->attention_decode(device, &d) == OWM_E_ARG);
    drop(&q), drop(&out), drop(&k), drop(&v);
}

static void embedding_case(uint32_t rows, uint32_t cols, uint32_t vocab)
{
    uint16_t *tokens = check_tokens(rows, vocab);
    struct array table = input((size_t)vocab * cols), x = output((size_t)rows * cols);
    struct owm_embedding d = {x.dev, table.dev, tokens, rows, cols, vocab};
    struct owm_embedding r = {x.ref, table.ref, tokens, rows, cols, vocab};
    BOTH(embedding, d, r);
    close_to("embedding", &x, 0);
    struct owm_embedding_bwd db = {table.dev, x.dev, tokens, rows, cols, vocab};
    struct owm_embedding_bwd rb = {table.ref, x.ref, tokens, rows, cols, vocab};
    BOTH(embedding_bwd, db, rb);
    close_to("embedding_bwd", &table, 1e-5);
    tokens[rows - 1] = (uint16_t)vocab;
    CHECK(device->backend->embedding(device, &d) == OWM_E_ARG);
    CHECK(device->backend->embedding_bwd(device, &db) == OWM_E_ARG);
    free(tokens);
    drop(&table), drop(&x);
}

static void cross_entropy_case(uint32_t rows, uint32_t vocab)
{
    uint16_t *targets = check_tokens(rows, vocab);
    struct array x = input((size_t)rows * vocab), losses = output(rows);
    struct array dx = output((size_t)rows * vocab);
    for (size_t i = 0; i < x.count; i++) x.ref[i] *= 20;
    CHECK(device->backend->mem_put(device, x.dev, x.ref, x.count * 4) == OWM_OK);
    struct owm_cross_entropy d = {losses.dev, dx.dev, x.dev, targets, rows, vocab, 0.25f};
    struct owm_cross_entropy r = {losses.ref, dx.ref, x.ref, targets, rows, vocab, 0.25f};
    BOTH(cross_entropy, d, r);
    if (vocab > 1) close_to("cross_entropy", &losses, 1e-5);
    if (vocab > 1) close_to("cross_entropy dlogits", &dx, 1e-5);
    d.dlogits = r.dlogits = NULL;
    BOTH(cross_entropy, d, r);
    if (vocab > 1) close_to("cross_entropy, loss only", &losses, 1e-5);
    targets[0] = (uint16_t)vocab;
    CHECK(device->backend->cross_entropy(device, &d) == OWM_E_ARG);
    free(targets);
    drop(&x), drop(&losses), drop(&dx);
}

static void vector_case(size_t count)
{
    struct array w = input(count), m = input(count), v = input(count), g = input(count),
                 sum = output(count);
    for (size_t i = 0; i < count; i++) v.ref[i] = fabsf(v.ref[i]);
    CHECK(device->backend->mem_put(device, v.dev, v.ref, count * 4) == OWM_OK);
    struct owm_adamw d = {.params = w.dev,
                          .m = m.dev,
                          .v = v.dev,
                          .grad = g.dev,
                          .count = count,
                          .step = 3,
                          .lr = 0.01f,
                          .beta1 = 0.9f,
                          .beta2 = 0.95f,
                          .eps = 1e-8f,
                          .weight_decay = 0.1f,
                          .grad_scale = 0.5f};
    struct owm_adamw r = d;
    r.params = w.ref, r.m = m.ref, r.v = v.ref, r.grad = g.ref;
    BOTH(adamw, d, r);
    close_to("adamw params", &w, 1e-5);
    close_to("adamw m", &m, 1e-6);
    close_to("adamw v", &v, 1e-6);
    d.step = 0;
    CHECK(device->backend->adamw(device, &d) == OWM_E_ARG);

    CHECK(device->backend->add(device, sum.dev, w.dev, g.dev, count) == OWM_OK);
    CHECK(reference->backend->add(reference, sum.ref, w.ref, g.ref, count) == OWM_OK);
    close_to("add", &sum, 1e-5);
    CHECK(device->backend->add(device, sum.dev, w.dev, g.dev, 0) == OWM_E_ARG);

    double got = -1, want = -2;
    CHECK(device->backend->sum_squares(device, &got, g.dev, count) == OWM_OK);
    CHECK(reference->backend->sum_squares(reference, &want, g.ref, count) == OWM_OK);
    CHECK(fabs(got - want) <= 1e-6 * want);
    CHECK(device->backend->sum_squares(device, &got, NULL, count) == OWM_E_ARG);
    drop(&w), drop(&m), drop(&v), drop(&g), drop(&sum);
}

static void test_attention(void)
{
    static const uint32_t sizes[] = {1, 7, 15, 16, 17, 33, 130};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i];
        decode_case(n, 4, 2, 32), decode_case(9, 3, 1, 2 * n < 128 ? 2 * n : 128);
        attention_case(2, n, 4, 2, 32);
    }
    attention_case(1, 1, 1, 1, 2), attention_case(2, 31, 6, 2, 10),
        attention_case(1, 65, 8, 1, 128);
}

static void test_all(void)
{
    static const uint32_t sizes[] = {1, 7, 15, 16, 17, 33, 130};
    test_gemm();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i];
        norm_case(n, 33), norm_case(5, n), norm_case(300, n);
        swiglu_case(3, n), swiglu_case(n, 300);
        embedding_case(n, 17, 9), embedding_case(9, n, 300);
        cross_entropy_case(3, n), cross_entropy_case(n, 256);
    }
    rope_case(1, 1, 1, 2), rope_case(2, 5, 3, 6), rope_case(3, 40, 4, 32), rope_case(1, 9, 2, 128);
    vector_case(1), vector_case(15), vector_case(257), vector_case(32769), vector_case(200001);
    if (CHECK_HAS(device, attention)) test_attention();
}

/* What test_threads compares: results of one device. */
struct results {
    float c[96 * 96], dw[96], dx[200 * 96];
    double sum;
};

static void compute(struct owm_device *on, const float *a, const float *b, struct results *r)
{
    enum { ROWS = 200, COLS = 96 };
    float *x = check_put(on, a, sizeof r->dx), *y = check_put(on, b, sizeof r->dx);
    memset(r, 0, sizeof *r);
    float *c = check_put(on, r->c, sizeof r->c), *dw = check_put(on, r->dw, sizeof r->dw);
    float *dx = check_put(on, r->dx, sizeof r->dx);
    struct owm_gemm g = {.c = c,
                         .a = x,
                         .b = y,
                         .m = COLS,
                         .n = COLS,
                         .k = ROWS,
                         .ldc = COLS,
                         .lda = COLS,
                         .ldb = COLS,
                         .trans_a = true};
    struct owm_rmsnorm_bwd n = {dx, dw, x, y, x, ROWS, COLS, 1e-5f};
    CHECK(on->backend->gemm(on, &g) == OWM_OK && on->backend->rmsnorm_bwd(on, &n) == OWM_OK);
    CHECK(on->backend->sum_squares(on, &r->sum, x, ROWS * COLS) == OWM_OK);
    check_get(on, r->c, c, sizeof r->c), check_get(on, r->dw, dw, sizeof r->dw);
    check_get(on, r->dx, dx, sizeof r->dx);
    void *all[] = {x, y, c, dw, dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) on->backend->mem_free(on, all[i]);
}

/** Exact: the same bits on one thread and on three, and when done again. */
static void test_threads(struct owm_device *one, struct owm_device *three)
{
    static struct results of_one, of_three;
    float *a = check_data(200 * 96), *b = check_data(200 * 96);
    compute(one, a, b, &of_one), compute(three, a, b, &of_three);
    CHECK(memcmp(&of_one, &of_three, sizeof of_one) == 0);
    free(a), free(b);
}

static void test_pick(void)
{
    struct owm_error error = {""};
    CHECK(owm_backend_pick("auto", &error) == &owm_backend_cpu);
    CHECK(owm_backend_pick("reference", &error) == &owm_backend_reference);
    CHECK(owm_backend_pick("cuda", &error) == NULL && strstr(error.text, "'cuda'"));
    struct owm_device *opened = NULL;
    struct owm_device_config second = {.index = 1}, unknown = {.isa = "mmx"};
    CHECK(owm_backend_cpu.open(&opened, &second, &error) == OWM_E_ARG);
    CHECK(owm_backend_cpu.open(&opened, &unknown, &error) == OWM_E_UNSUPPORTED);
    CHECK(strstr(error.text, "mmx"));
    owm_backend_cpu.close(NULL);
}

static void run(const struct check_device *d)
{
    reference = d->reference;
    test_threads(d->one, d->three);
    device = d->one, test_all();
    if (!check_small()) device = d->three, test_all();
}

int main(void)
{
    check_seed();
    if (strcmp(check_backend_name(), "cpu") == 0) test_pick();
    check_each(run);
    return 0;
}

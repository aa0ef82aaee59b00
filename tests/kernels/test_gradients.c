/* test_gradients.c: every backward op of the reference against central differences of its forward;
 * test_ops then ties the fast ones to the reference. The loss is the sum of out * dout in double.
 */
#include "check.h"

static struct owm_device *dev;
static const struct owm_backend *ops;

static double weighted(const float *out, const float *dout, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)out[i] * (double)dout[i];
    return sum;
}

/** differences: checks `gradient` of loss() in every element of x. Outputs are rounded to f32, so
 * the step is wide and the tolerance is that of a second-order formula. */
static void differences(const char *what, float *x, const float *gradient, size_t count,
                        double (*loss)(void *), void *ctx)
{
    const float step = 4e-3f;
    double top = 1e-3;
    for (size_t i = 0; i < count; i++) top = fmax(top, fabs((double)gradient[i]));
    for (size_t i = 0; i < count; i++) {
        float was = x[i];
        x[i] = was + step;
        double up = loss(ctx), width = (double)x[i];
        x[i] = was - step;
        double slope = (up - loss(ctx)) / (width - (double)x[i]);
        x[i] = was;
        if (fabs(slope - (double)gradient[i]) > 2e-3 * top) {
            fprintf(stderr, "%s[%zu]: slope %g, gradient %g\n", what, i, slope,
                    (double)gradient[i]);
            exit(1);
        }
    }
}

enum { ROWS = 3, COLS = 6, N = ROWS * COLS };

struct norm {
    float *x, *w, *dout, out[N];
};

static double norm_loss(void *ctx)
{
    struct norm *n = ctx;
    struct owm_rmsnorm a = {n->out, n->x, n->w, ROWS, COLS, 1e-2f};
    CHECK(ops->rmsnorm(dev, &a) == OWM_OK);
    return weighted(n->out, n->dout, N);
}

static void test_rmsnorm(void)
{
    struct norm n = {check_data(N), check_data(COLS), check_data(N), {0}};
    float dx[N] = {0}, dw[COLS] = {0};
    struct owm_rmsnorm_bwd b = {dx, dw, n.dout, n.x, n.w, ROWS, COLS, 1e-2f};
    CHECK(ops->rmsnorm_bwd(dev, &b) == OWM_OK);
    differences("rmsnorm dx", n.x, dx, N, norm_loss, &n);
    differences("rmsnorm dweight", n.w, dw, COLS, norm_loss, &n);
    CHECK(ops->rmsnorm_bwd(dev, &b) == OWM_OK); /* Adds: now twice the gradient. */
    for (int i = 0; i < N; i++) dx[i] /= 2;
    differences("rmsnorm dx, added", n.x, dx, N, norm_loss, &n);
    free(n.x), free(n.w), free(n.dout);
}

struct glu {
    float *x, *dout, out[N];
};

static double glu_loss(void *ctx)
{
    struct glu *g = ctx;
    struct owm_swiglu a = {g->out, g->x, ROWS, COLS};
    CHECK(ops->swiglu(dev, &a) == OWM_OK);
    return weighted(g->out, g->dout, N);
}

static void test_swiglu(void)
{
    struct glu g = {check_data(2 * N), check_data(N), {0}};
    float dx[2 * N];
    struct owm_swiglu_bwd b = {dx, g.dout, g.x, ROWS, COLS};
    CHECK(ops->swiglu_bwd(dev, &b) == OWM_OK);
    differences("swiglu", g.x, dx, 2 * N, glu_loss, &g);
    free(g.x), free(g.dout);
}

enum { B = 2, T = 5, H = 4, G = 2, E = 4, QKV = B * T * (H + 2 * G) * E, OUT = B * T * H * E };

struct attend {
    float *qkv, *dout, out[OUT], lse[B * H * T];
};

static double attention_loss(void *ctx)
{
    struct attend *t = ctx;
    struct owm_attention a = {t->out, t->lse, t->qkv, B, T, H, G, E};
    CHECK(ops->attention(dev, &a) == OWM_OK);
    return weighted(t->out, t->dout, OUT);
}

static void test_attention(void)
{
    struct attend t = {.qkv = check_data(QKV), .dout = check_data(OUT)};
    static float dqkv[QKV];
    (void)attention_loss(&t);
    struct owm_attention_bwd b = {dqkv, t.dout, t.out, t.lse, t.qkv, B, T, H, G, E};
    CHECK(ops->attention_bwd(dev, &b) == OWM_OK);
    differences("attention", t.qkv, dqkv, QKV, attention_loss, &t);
    free(t.qkv), free(t.dout);
}

struct entropy {
    float *x, losses[ROWS], scale;
    uint16_t *targets;
};

static double entropy_loss(void *ctx)
{
    struct entropy *e = ctx;
    struct owm_cross_entropy a = {e->losses, NULL, e->x, e->targets, ROWS, COLS, 1};
    double sum = 0;
    CHECK(ops->cross_entropy(dev, &a) == OWM_OK);
    for (int r = 0; r < ROWS; r++) sum += (double)e->losses[r] * (double)e->scale;
    return sum;
}

static void test_cross_entropy(void)
{
    struct entropy e = {.x = check_data(N), .targets = check_tokens(ROWS, COLS), .scale = 0.5f};
    float dx[N];
    struct owm_cross_entropy a = {e.losses, dx, e.x, e.targets, ROWS, COLS, e.scale};
    CHECK(ops->cross_entropy(dev, &a) == OWM_OK);
    differences("cross_entropy", e.x, dx, N, entropy_loss, &e);
    free(e.x), free(e.targets);
}

struct rope {
    float *x, *dout, table[ROWS * COLS], out[N];
};

static double rope_loss(void *ctx)
{
    struct rope *r = ctx;
    memcpy(r->out, r->x, sizeof r->out);
    struct owm_rope a = {.x = r->out,
                         .cos_sin = r->table,
                         .rows = ROWS,
                         .stride = COLS,
                         .heads = 1,
                         .head_dim = COLS,
                         .period = ROWS,
                         .positions = ROWS};
    CHECK(ops->rope(dev, &a) == OWM_OK);
    return weighted(r->out, r->dout, N);
}

static void test_rope(void)
{
    struct rope r = {.x = check_data(N), .dout = check_data(N)};
    float dx[N];
    owm_rope_table(r.table, ROWS, COLS, 100);
    memcpy(dx, r.dout, sizeof dx);
    struct owm_rope a = {.x = dx,
                         .cos_sin = r.table,
                         .rows = ROWS,
                         .stride = COLS,
                         .heads = 1,
                         .head_dim = COLS,
                         .period = ROWS,
                         .positions = ROWS,
                         .inverse = true};
    CHECK(ops->rope(dev, &a) == OWM_OK);
    differences("rope", r.x, dx, N, rope_loss, &r);
    free(r.x), free(r.dout);
}

struct lookup {
    float *table, *dout, out[N];
    uint16_t *tokens;
};

static double lookup_loss(void *ctx)
{
    struct lookup *l = ctx;
    struct owm_embedding a = {l->out, l->table, l->tokens, ROWS, COLS, ROWS};
    CHECK(ops->embedding(dev, &a) == OWM_OK);
    return weighted(l->out, l->dout, N);
}

static void test_embedding(void)
{
    struct lookup l = {.table = check_data(N), .dout = check_data(N)};
    float dtable[N] = {0};
    l.tokens = check_tokens(ROWS, ROWS);
    struct owm_embedding_bwd b = {dtable, l.dout, l.tokens, ROWS, COLS, ROWS};
    CHECK(ops->embedding_bwd(dev, &b) == OWM_OK);
    differences("embedding", l.table, dtable, N, lookup_loss, &l);
    free(l.table), free(l.dout), free(l.tokens);
}

static void run(const struct check_device *d)
{
    dev = d->one, ops = dev->backend;
    test_rmsnorm();
    test_swiglu();
    test_attention();
    test_cross_entropy();
    test_rope();
    test_embedding();
}

int main(void)
{
    check_seed();
    if (strcmp(check_backend_name(), "cpu") != 0) {
        check_each_staged(run);
        return 0;
    }
    /* Those of the cpu are held against the reference by test_ops. */
    struct check_device reference = {.one = check_open(&owm_backend_reference, NULL, NULL)};
    run(&reference);
    reference.one->backend->close(reference.one);
    return 0;
}

/* test_sparse.c: the ops of sparse.h against their plain-C reference, to the bit.
 *
 * In each instruction set that this machine has, on one thread and on three: sizes 1, odd, around
 * groups, tiles and the size where sampling begins; outputs poisoned first; data on which a sample
 * misleads, and every refusal. */
#include "check.h"

static struct owm_device *device, *reference;
static const char *doing = "";

#define SAME(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, doing, #cond);                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* --- data ---------------------------------------------------------------------------------------
 */

enum shape { NORMAL, EQUAL, SORTED, SPIKE, ZEROS, FEW, DENORMAL, LAYERS, TIES, LATE, WIDE, SHAPES };

static const char *const shape_names[SHAPES] = {"normal", "equal", "sorted",   "spike",
                                                "zeros",  "few",   "denormal", "layers",
                                                "ties",   "late",  "wide"};

static float normal(void)
{
    return (float)owm_rng_normal(&check_rng);
}

static float shaped(enum shape shape, uint32_t i, uint32_t n)
{
    switch (shape) {
    case EQUAL:
        return i % 2 ? -0.37f : 0.37f;
    case SORTED:
        return (float)i / (float)n - 0.3f;
    case SPIKE: /* far above: the floor of the scales lies above everything else */
        return i == n / 3 ? 1e30f : normal();
    case ZEROS:
        return i % 2 ? 0.0f : -0.0f;
    case FEW: /* fewer than K are not zero */
        return owm_rng_below(&check_rng, 100) ? 0 : normal();
    case DENORMAL:
        return normal() * 1e-41f;
    case LAYERS: /* scales that change every few thousand coordinates */
        return normal() * exp2f((float)(i / 5000 % 9) - 4);
    case TIES:
        return (float)((int)owm_rng_below(&check_rng, 41) - 20);
    case LATE: /* all that counts at the end */
        return i > n - n / 50 ? 100 * normal() : normal();
    case WIDE: /* scales below the floor in a few groups */
        return i / 2048 % 7 == 3 ? normal() * 1e-12f : normal();
    default:
        return normal();
    }
}

/* --- error feedback -----------------------------------------------------------------------------
 */

struct step {
    struct owm_feedback_step op;
    uint32_t count;
    int floor_exponent;
    size_t code_bytes, groups;
};

static struct step new_step(uint32_t n, uint32_t k, float decay, enum owm_quant quant,
                            const float *residual, const float *gradient)
{
    struct step s = {.code_bytes = k * (quant == OWM_QUANT_I8 ? sizeof(int8_t) : sizeof(uint16_t)),
                     .groups = ((size_t)n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP};
    s.op = (struct owm_feedback_step){.residual = malloc(n * sizeof(float)),
                                      .gradient = gradient,
                                      .index = malloc(k * sizeof(uint32_t)),
                                      .value = malloc(k * sizeof(float)),
                                      .code = malloc(s.code_bytes),
                                      .exponent = malloc(s.groups),
                                      .n = n,
                                      .k = k,
                                      .decay = decay,
                                      .quant = quant};
    memcpy(s.op.residual, residual, n * sizeof(float));
    memset(s.op.index, 0xee, k * sizeof(uint32_t));
    memset(s.op.value, 0xee, k * sizeof(float));
    memset(s.op.code, 0xee, s.code_bytes);
    memset(s.op.exponent, 0xee, s.groups);
    return s;
}

static void free_step(struct step *s)
{
    free(s->op.residual);
    free(s->op.index);
    free(s->op.value);
    free(s->op.code);
    free(s->op.exponent);
}

static owm_status run_step(struct owm_device *on, struct step *s)
{
    s->op.count = &s->count;
    s->op.floor_exponent = &s->floor_exponent;
    return on->backend->feedback(on, &s->op);
}

static void same_step(const struct step *a, const struct step *b)
{
    size_t k = b->count;
    SAME(a->count == b->count && a->floor_exponent == b->floor_exponent);
    SAME(memcmp(a->op.index, b->op.index, k * sizeof(uint32_t)) == 0);
    SAME(memcmp(a->op.value, b->op.value, k * sizeof(float)) == 0);
    SAME(memcmp(a->op.code, b->op.code, k * (a->code_bytes / a->op.k)) == 0);
    SAME(memcmp(a->op.exponent, b->op.exponent, a->groups) == 0);
    SAME(memcmp(a->op.residual, b->op.residual, a->op.n * sizeof(float)) == 0);
}

static void feedback_case(enum shape shape, uint32_t n, uint32_t k, float decay,
                          enum owm_quant quant)
{
    char what[96];
    (void)snprintf(what, sizeof what, "feedback %s n=%u k=%u decay=%g %s", shape_names[shape], n, k,
                   (double)decay, quant == OWM_QUANT_I8 ? "i8" : "bf16");
    doing = what;
    float *residual = malloc(n * sizeof(float)), *gradient = malloc(n * sizeof(float));
    for (uint32_t i = 0; i < n; i++) {
        gradient[i] = shaped(shape, i, n);
        residual[i] = shape == NORMAL ? normal() / 3 : 0;
    }
    struct step a = new_step(n, k, decay, quant, residual, gradient);
    struct step b = new_step(n, k, decay, quant, residual, gradient);
    for (int round = 0; round < 2; round++) { /* the second begins with a residual of the first */
        owm_status status = run_step(reference, &b);
        SAME(run_step(device, &a) == status && status == OWM_OK);
        same_step(&a, &b);
    }
    struct owm_topk top = {gradient, a.op.index, &a.count, n, k};
    SAME(device->backend->topk(device, &top) == OWM_OK);
    top.index = b.op.index;
    top.count = &b.count;
    SAME(reference->backend->topk(reference, &top) == OWM_OK);
    SAME(a.count == b.count && memcmp(a.op.index, b.op.index, a.count * sizeof(uint32_t)) == 0);
    free_step(&a);
    free_step(&b);
    free(residual);
    free(gradient);
}

static void test_feedback(void)
{
    static const uint32_t sizes[] = {1, 17, 2047, 2049, 32769, 131071, 131101, 400011};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i];
        if (check_small() && n > 140000) continue;
        for (enum shape shape = 0; shape < SHAPES; shape++) {
            if (check_small() && n > 40000 && shape != NORMAL) continue;
            enum owm_quant quant = owm_rng_below(&check_rng, 2) ? OWM_QUANT_I8 : OWM_QUANT_BF16;
            feedback_case(shape, n, n / 10 ? n / 10 : 1, 1, quant);
            feedback_case(shape, n, n / 1000 ? n / 1000 : 1, 0.95f, OWM_QUANT_I8);
        }
        feedback_case(NORMAL, n, n, 1, OWM_QUANT_I8);
        feedback_case(NORMAL, n, 1, 1, OWM_QUANT_BF16);
    }
}

/* A sum that cannot be sent, anywhere: nothing is sent, every other sum is kept. */
static void bad_case(uint32_t n, float bad, float before)
{
    static const float offset[] = {0, 0.5f, 0.999f};
    for (int i = 0; i < 3; i++) {
        uint32_t at = (uint32_t)((float)n * offset[i]);
        float *residual = check_data(n), *gradient = check_data(n);
        residual[at] = before;
        gradient[at] = bad;
        struct step a = new_step(n, n / 10 + 1, 1, OWM_QUANT_I8, residual, gradient);
        doing = "a bad sum";
        SAME(run_step(device, &a) == OWM_E_ARG);
        for (uint32_t c = 0; c < n; c++) {
            float expected = c == at ? before : residual[c] + gradient[c];
            SAME(memcmp(&a.op.residual[c], &expected, sizeof expected) == 0);
        }
        free_step(&a);
        free(residual);
        free(gradient);
    }
}

static void test_bad_sums(void)
{
    static const uint32_t sizes[] = {1, 33, 4099, 200001, 700001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (check_small() && sizes[i] > 10000) continue;
        bad_case(sizes[i], NAN, 1);
        bad_case(sizes[i], -INFINITY, 1);
        bad_case(sizes[i], 3e38f, 3e38f);
        bad_case(sizes[i], 1e38f, 0); /* finite, but beyond 127 * 2^119 */
        bad_case(sizes[i], 0, NAN);
    }
}

static void test_feedback_refusals(void)
{
    float x[4] = {1, 2, 3, 4}, g[4] = {0};
    doing = "feedback refusals";
    for (int bad = 0; bad < 13; bad++) {
        struct step s = new_step(4, 2, 1, OWM_QUANT_I8, x, g), kept = s;
        s.op.count = &s.count;
        s.op.floor_exponent = &s.floor_exponent;
        if (bad == 0) s.op.residual = NULL;
        if (bad == 1) s.op.gradient = NULL;
        if (bad == 2) s.op.gradient = s.op.residual;
        if (bad == 3) s.op.index = NULL;
        if (bad == 4) s.op.value = NULL;
        if (bad == 5) s.op.code = NULL;
        if (bad == 6) s.op.exponent = NULL;
        if (bad == 7) s.op.count = NULL;
        if (bad == 8) s.op.n = 0;
        if (bad == 9) s.op.k = 0;
        if (bad == 10) s.op.k = 5;
        if (bad == 11) s.op.decay = NAN;
        if (bad == 12) s.op.quant = (enum owm_quant)2;
        SAME(device->backend->feedback(device, &s.op) == OWM_E_ARG);
        SAME(memcmp(kept.op.residual, x, sizeof x) == 0);
        free_step(&kept);
    }
}

/* --- topk, threshold ----------------------------------------------------------------------------
 */

static void threshold_case(uint32_t n, float bound, uint32_t room)
{
    doing = "threshold";
    float *x = check_data(n);
    x[n / 2] = INFINITY;
    uint32_t *a = malloc((size_t)(room + 1) * sizeof *a),
             *b = malloc((size_t)(room + 1) * sizeof *b);
    memset(a, 0xee, (size_t)(room + 1) * sizeof *a);
    memset(b, 0xee, (size_t)(room + 1) * sizeof *b);
    uint32_t count_a = 0, count_b = 0;
    struct owm_threshold op = {x, b, &count_b, n, room, bound};
    owm_status status = reference->backend->threshold(reference, &op);
    op.index = a;
    op.count = &count_a;
    SAME(device->backend->threshold(device, &op) == status);
    SAME(count_a == count_b && status == (count_b > room ? OWM_E_LIMIT : OWM_OK));
    SAME(memcmp(a, b, (size_t)(room + 1) * sizeof *a) == 0);
    op.bound = 0;
    SAME(device->backend->threshold(device, &op) == OWM_E_ARG);
    op.bound = NAN;
    SAME(device->backend->threshold(device, &op) == OWM_E_ARG);
    free(x);
    free(a);
    free(b);
}

static void test_threshold(void)
{
    static const uint32_t sizes[] = {1, 13, 32767, 32768, 32769, 400003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (check_small() && sizes[i] > 100000) continue;
        threshold_case(sizes[i], 0.9f, sizes[i]);
        threshold_case(sizes[i], 0.9f, sizes[i] / 20);
        threshold_case(sizes[i], 1e-45f, sizes[i]);
        threshold_case(sizes[i], 0.5f, 0);
        threshold_case(sizes[i], INFINITY, sizes[i]);
    }
}

static void test_topk_refusals(void)
{
    static const uint32_t sizes[] = {3, 140007};
    doing = "topk refusals";
    for (int i = 0; i < 2; i++) {
        uint32_t n = sizes[i], count, *index = malloc(n * sizeof *index);
        float *x = check_data(n);
        struct owm_topk op = {x, index, &count, n, n / 3};
        x[n - 1] = INFINITY;
        SAME(device->backend->topk(device, &op) == OWM_E_ARG);
        x[n - 1] = NAN;
        SAME(device->backend->topk(device, &op) == OWM_E_ARG);
        x[n - 1] = 3.4e38f;
        SAME(device->backend->topk(device, &op) == OWM_OK && index[count - 1] == n - 1);
        op.k = n + 1;
        SAME(device->backend->topk(device, &op) == OWM_E_ARG);
        op.k = 0;
        SAME(device->backend->topk(device, &op) == OWM_E_ARG);
        op.k = 1;
        op.x = NULL;
        SAME(device->backend->topk(device, &op) == OWM_E_ARG);
        free(index);
        free(x);
    }
}

/* --- sparse vectors --------------------------------------------------------------------------- */

/* A sparse vector with about one in `every` of n coordinates. */
struct vector {
    uint32_t *index;
    float *value;
    struct owm_sparse view;
};

enum kind { INT8, BFLOAT, LONG, KINDS }; /* LONG: integers of 40 bits, as far as a float goes */

static float drawn(enum kind kind, int exponent)
{
    float x =
        ldexpf((float)owm_rng_below(&check_rng, 128), exponent + (int)owm_rng_below(&check_rng, 3));
    if (kind == BFLOAT)
        x = ldexpf((float)(128 + owm_rng_below(&check_rng, 128)),
                   exponent + (int)owm_rng_below(&check_rng, 32));
    if (kind == LONG)
        x = ldexpf((float)owm_rng_below(&check_rng, 1 << 24),
                   exponent + (int)owm_rng_below(&check_rng, 16));
    return owm_rng_below(&check_rng, 2) ? x : -x;
}

static struct vector new_vector(uint32_t n, uint32_t every, enum kind kind, int exponent)
{
    struct vector v = {malloc(n * sizeof(uint32_t)), malloc(n * sizeof(float)), {0}};
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (owm_rng_below(&check_rng, every)) continue;
        v.index[count] = i;
        v.value[count++] = drawn(kind, exponent);
    }
    v.view = (struct owm_sparse){count, exponent, v.index, v.value};
    return v;
}

static void free_vector(struct vector *v)
{
    free(v->index);
    free(v->value);
}

static void gram_case(uint32_t n, uint32_t count, uint32_t every)
{
    char what[64];
    (void)snprintf(what, sizeof what, "gram n=%u P=%u one in %u", n, count, every);
    doing = what;
    struct vector *v = malloc(count * sizeof *v);
    struct owm_sparse *view = malloc(count * sizeof *view);
    double *a = malloc((size_t)count * count * sizeof *a),
           *b = malloc((size_t)count * count * sizeof *b);
    for (uint32_t p = 0; p < count; p++) {
        enum kind kind = (enum kind)owm_rng_below(&check_rng, KINDS);
        v[p] = new_vector(n, every, kind, (int)owm_rng_below(&check_rng, 60) - 40);
        view[p] = v[p].view;
    }
    memset(a, 0xee, (size_t)count * count * sizeof *a);
    struct owm_sparse_gram op = {a, view, count};
    SAME(device->backend->sparse_gram(device, &op) == OWM_OK);
    op.gram = b;
    SAME(reference->backend->sparse_gram(reference, &op) == OWM_OK);
    SAME(memcmp(a, b, (size_t)count * count * sizeof *a) == 0);
    op.count = 0;
    SAME(device->backend->sparse_gram(device, &op) == OWM_E_ARG);
    op.count = OWM_SPARSE_PACKAGES_MAX + 1;
    SAME(device->backend->sparse_gram(device, &op) == OWM_E_ARG);
    for (uint32_t p = 0; p < count; p++) free_vector(&v[p]);
    free(v);
    free(view);
    free(a);
    free(b);
}

/* The largest sums there can be: every product of full size and of one sign. */
static void gram_at_the_limit(void)
{
    enum { n = 70000 };
    uint32_t *index = malloc(n * sizeof *index);
    float *value = malloc(n * sizeof *value);
    double a[1], b[1];
    for (int kind = 0; kind < 2; kind++) {
        for (uint32_t i = 0; i < n; i++) {
            index[i] = i;
            value[i] = kind ? ldexpf(-16777215, 16) : -1016; /* digits of 1024, codes of 1016 */
        }
        struct owm_sparse view = {n, 0, index, value};
        struct owm_sparse_gram op = {a, &view, 1};
        SAME(device->backend->sparse_gram(device, &op) == OWM_OK);
        op.gram = b;
        SAME(reference->backend->sparse_gram(reference, &op) == OWM_OK);
        SAME(memcmp(a, b, sizeof a) == 0);
    }
    free(index);
    free(value);
}

static void test_gram(void)
{
    static const uint32_t sizes[] = {1, 17, 1023, 1024, 1025, 70001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (check_small() && sizes[i] > 2000) continue;
        gram_case(sizes[i], 1, 1);
        gram_case(sizes[i], 7, 3);
        gram_case(sizes[i], 9, 10);
        gram_case(sizes[i], 4, 5000);
    }
    gram_case(3000, 300, 9); /* smaller tiles */
    gram_at_the_limit();
}

static void sum_case(uint32_t n, uint32_t count)
{
    doing = "sparse_sum, scatter_add";
    struct vector v[8];
    struct owm_sparse view[8];
    float alpha[8], *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    for (uint32_t p = 0; p < count; p++) {
        v[p] = new_vector(n, 1 + p, LONG, -30);
        view[p] = v[p].view;
        alpha[p] = p == 2 ? 0 : normal();
    }
    uint32_t first = n / 3, last = n - n / 5;
    struct owm_sparse_sum op = {a, view, alpha, count, first, last > first ? last : n};
    memset(a, 0xee, n * sizeof *a);
    memset(b, 0xee, n * sizeof *b);
    SAME(device->backend->sparse_sum(device, &op) == OWM_OK);
    op.out = b;
    SAME(reference->backend->sparse_sum(reference, &op) == OWM_OK);
    SAME(memcmp(a, b, n * sizeof *a) == 0);
    op.first = op.last;
    SAME(device->backend->sparse_sum(device, &op) == OWM_E_ARG);
    op.first = 0;
    op.count = OWM_SPARSE_PACKAGES_MAX + 1;
    SAME(device->backend->sparse_sum(device, &op) == OWM_E_ARG);
    op.count = count;
    alpha[0] = NAN;
    SAME(count == 0 || device->backend->sparse_sum(device, &op) == OWM_E_ARG);
    for (uint32_t i = 0; i < n; i++) a[i] = b[i] = normal();
    for (uint32_t p = 0; p < count; p++) {
        struct owm_scatter_add add = {a, &view[p], 0.3f, n};
        SAME(device->backend->scatter_add(device, &add) == OWM_OK);
        add.x = b;
        SAME(reference->backend->scatter_add(reference, &add) == OWM_OK);
        SAME(memcmp(a, b, n * sizeof *a) == 0);
        add.alpha = INFINITY;
        SAME(device->backend->scatter_add(device, &add) == OWM_E_ARG);
        add.alpha = 1;
        add.n = 0;
        SAME(device->backend->scatter_add(device, &add) == OWM_E_ARG);
        free_vector(&v[p]);
    }
    free(a);
    free(b);
}

static void apply_case(uint32_t n, bool with_momentum)
{
    doing = "apply_update";
    float *w = check_data(n), *m = check_data(n), *u = check_data(n);
    float *w2 = malloc(n * sizeof *w2), *m2 = malloc(n * sizeof *m2);
    memcpy(w2, w, n * sizeof *w);
    memcpy(m2, m, n * sizeof *m);
    struct owm_apply_update op = {w, with_momentum ? m : NULL, u, n, 0.7f, 0.9f};
    SAME(device->backend->apply_update(device, &op) == OWM_OK);
    op.w = w2;
    op.m = with_momentum ? m2 : NULL;
    SAME(reference->backend->apply_update(reference, &op) == OWM_OK);
    SAME(memcmp(w, w2, n * sizeof *w) == 0 && memcmp(m, m2, n * sizeof *m) == 0);
    op.lr = NAN;
    SAME(device->backend->apply_update(device, &op) == OWM_E_ARG);
    op.lr = 1;
    op.n = 0;
    SAME(device->backend->apply_update(device, &op) == OWM_E_ARG);
    free(w);
    free(m);
    free(u);
    free(w2);
    free(m2);
}

static void quantise_case(uint32_t n, uint32_t every, enum owm_quant quant)
{
    doing = "quantise";
    struct vector v = new_vector(n, every, INT8, 0);
    if (v.view.count == 0) v.index[v.view.count++] = n - 1;
    uint32_t count = v.view.count;
    for (uint32_t i = 0; i < count; i++) v.value[i] = shaped(WIDE, v.index[i], n);
    size_t groups = ((size_t)n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP;
    float *other = malloc(count * sizeof *other);
    memcpy(other, v.value, count * sizeof *other);
    uint16_t *code = calloc(count, 4), *code2 = code + count;
    int8_t *exponent = calloc(groups, 2), *exponent2 = exponent + groups;
    struct owm_quantise op = {v.value, v.index, code, exponent, count, n, owm_quant_floor(3),
                              quant};
    SAME(device->backend->quantise(device, &op) == OWM_OK);
    op.value = other;
    op.code = code2;
    op.exponent = exponent2;
    SAME(reference->backend->quantise(reference, &op) == OWM_OK);
    SAME(memcmp(v.value, other, count * sizeof *other) == 0);
    SAME(memcmp(code, code2, count * sizeof *code) == 0);
    SAME(memcmp(exponent, exponent2, groups) == 0);
    op.floor_exponent = OWM_QUANT_EXPONENT_MAX + 1;
    SAME(device->backend->quantise(device, &op) == OWM_E_ARG);
    op.floor_exponent = 0;
    other[count - 1] = quant == OWM_QUANT_I8 ? NAN : 2e38f;
    SAME(device->backend->quantise(device, &op) == OWM_E_ARG);
    op.count = 0;
    SAME(device->backend->quantise(device, &op) == OWM_E_ARG);
    free(code);
    free(exponent);
    free(other);
    free_vector(&v);
}

static void test_sums(void)
{
    static const uint32_t sizes[] = {1, 31, 2048, 8193, 65537, 200003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (check_small() && sizes[i] > 10000) continue;
        sum_case(sizes[i], 0);
        sum_case(sizes[i], 8);
        apply_case(sizes[i], false);
        apply_case(sizes[i], true);
        for (uint32_t every = 1; every < 20000; every = every * 11) {
            quantise_case(sizes[i], every, OWM_QUANT_I8);
            quantise_case(sizes[i], every, OWM_QUANT_BF16);
        }
    }
}

/* --- all instruction sets -----------------------------------------------------------------------
 */

static void run_all(struct owm_device *on)
{
    device = on;
    if (CHECK_HAS(device, feedback)) test_feedback(), test_bad_sums(), test_feedback_refusals();
    if (CHECK_HAS(device, threshold)) test_threshold();
    if (CHECK_HAS(device, topk)) test_topk_refusals();
    if (CHECK_HAS(device, sparse_gram)) test_gram();
    if (CHECK_HAS(device, sparse_sum)) test_sums();
}

static void run(const struct check_device *d)
{
    reference = d->reference;
    run_all(d->one);
    if (!check_small()) run_all(d->three);
}

int main(void)
{
    check_seed();
    check_each_staged(run);
    return 0;
}

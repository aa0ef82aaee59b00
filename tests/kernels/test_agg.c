/* test_agg.c: dense aggregation: known answers, the same bits as the reference on every instruction
 * set and number of threads, what hostile vectors may do, and every refusal. */
#include "check.h"

static struct owm_device *device, *reference;

/** vectors: P vectors of N, all in one block, each `pad` floats further than it need be, so that
 *  not all of them are aligned. */
struct vectors {
    float *block, *x[OWM_AGG_VECTORS_MAX];
    uint32_t count, n;
};

static struct vectors *vectors(uint32_t count, uint32_t n, uint32_t pad)
{
    struct vectors *v = malloc(sizeof *v);
    CHECK(v);
    v->block = check_data(((size_t)n + pad) * count);
    v->count = count, v->n = n;
    for (uint32_t p = 0; p < count; p++) v->x[p] = v->block + ((size_t)n + pad) * p;
    return v;
}

static void vectors_free(struct vectors *v)
{
    free(v->block);
    free(v);
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** odd_value: what is easy to get wrong: both zeros, denormals, infinities, NaN of both signs. */
static float odd_value(void)
{
    static const uint32_t bits[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff,
                                    0x00800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
                                    0x7fc00000, 0xffc00000, 0x7f800001, 0xff923456};
    return from_bits(bits[owm_rng_below(&check_rng, sizeof bits / sizeof *bits)]);
}

/** same_bits: one may be any NaN where the other is. */
static void same_bits(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isnan(got[i]) && isnan(want[i])) continue;
        if (memcmp(&got[i], &want[i], sizeof *got) == 0) continue;
        fprintf(stderr, "%s [%zu] of %zu: %a, not %a\n", what, i, n, got[i], want[i]);
        exit(1);
    }
}

static float *poisoned(size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    CHECK(x);
    for (size_t i = 0; i <= n; i++) x[i] = 12345.678f;
    return x;
}

/* --- against the reference -------------------------------------------------------------------- */

static void sum_case(const struct vectors *v, bool in_place)
{
    float alpha[OWM_AGG_VECTORS_MAX];
    for (uint32_t p = 0; p < v->count; p++) alpha[p] = owm_rng_f32(&check_rng) - 0.3f;
    float *got = poisoned(v->n), *want = poisoned(v->n);
    struct owm_weighted_sum a = {want, (const float *const *)v->x, alpha, v->count, v->n};
    CHECK(reference->backend->weighted_sum(reference, &a) == OWM_OK);
    const float *x[OWM_AGG_VECTORS_MAX];
    memcpy(x, v->x, v->count * sizeof *x);
    if (in_place) {
        size_t p = owm_rng_below(&check_rng, v->count);
        memcpy(got, v->x[p], v->n * sizeof *got);
        x[p] = got;
    }
    a.out = got, a.x = x;
    CHECK(device->backend->weighted_sum(device, &a) == OWM_OK);
    same_bits("weighted_sum", got, want, v->n);
    CHECK(got[v->n] == 12345.678f);
    free(got), free(want);
}

static void trim_case(const struct vectors *v, uint32_t trim)
{
    float *got = poisoned(v->n), *want = poisoned(v->n);
    struct owm_trimmed_mean a = {want, (const float *const *)v->x, v->count, trim, v->n};
    CHECK(reference->backend->trimmed_mean(reference, &a) == OWM_OK);
    a.out = got;
    CHECK(device->backend->trimmed_mean(device, &a) == OWM_OK);
    same_bits("trimmed_mean", got, want, v->n);
    CHECK(got[v->n] == 12345.678f);
    free(got), free(want);
}

static void gram_case(const struct vectors *v)
{
    size_t entries = (size_t)v->count * v->count;
    double *got = malloc(entries * sizeof *got), *want = malloc(entries * sizeof *want);
    CHECK(got && want);
    for (size_t i = 0; i < entries; i++) got[i] = want[i] = 12345.678;
    struct owm_gram a = {want, (const float *const *)v->x, v->count, v->n};
    CHECK(reference->backend->gram(reference, &a) == OWM_OK);
    a.gram = got;
    CHECK(device->backend->gram(device, &a) == OWM_OK);
    for (size_t i = 0; i < entries; i++)
        CHECK((isnan(got[i]) && isnan(want[i])) || memcmp(&got[i], &want[i], sizeof *got) == 0);
    free(got), free(want);
}

static void clip_case(uint32_t n, double share)
{
    float *got = check_data(n), *want = malloc(n * sizeof *want);
    CHECK(want);
    memcpy(want, got, n * sizeof *want);
    double squares = -1, again = -2, norm[2] = {-1, -2};
    CHECK(device->backend->sum_squares(device, &squares, got, n) == OWM_OK);
    CHECK(reference->backend->sum_squares(reference, &again, want, n) == OWM_OK);
    CHECK(memcmp(&squares, &again, sizeof squares) == 0);
    struct owm_clip a = {want, &norm[0], n, share * sqrt(squares) + 1e-30};
    CHECK(reference->backend->clip(reference, &a) == OWM_OK);
    a.x = got, a.norm = &norm[1];
    CHECK(device->backend->clip(device, &a) == OWM_OK);
    CHECK(memcmp(&norm[0], &norm[1], sizeof norm[0]) == 0 && norm[0] == sqrt(squares));
    same_bits("clip", got, want, n);
    free(got), free(want);
}

/** Values as a round has them: many zeros of both signs, and for `odd` in 64 anything at all. */
static void spoil(struct vectors *v, uint32_t zeros, uint32_t odd)
{
    for (uint32_t p = 0; p < v->count; p++)
        for (uint32_t i = 0; i < v->n; i++) {
            uint64_t dice = owm_rng_below(&check_rng, 64);
            if (dice < odd)
                v->x[p][i] = odd_value();
            else if (dice < odd + zeros)
                v->x[p][i] = dice % 2 ? 0.0f : -0.0f;
        }
}

static void all_of(uint32_t count, uint32_t n, uint32_t pad, uint32_t zeros, uint32_t odd)
{
    struct vectors *v = vectors(count, n, pad);
    spoil(v, zeros, odd);
    sum_case(v, false), sum_case(v, true);
    trim_case(v, 0), trim_case(v, (count - 1) / 2), trim_case(v, (count - 1) / 4);
    gram_case(v);
    vectors_free(v);
}

static void test_sizes(void)
{
    static const uint32_t sizes[] = {1, 7, 15, 16, 17, 63, 64, 65, 250, 1023, 1024, 1025};
    static const uint32_t counts[] = {1,  2,  3,  4,  5,  7,  8,  9,  15,
                                      16, 17, 31, 32, 33, 47, 64, 65, 100};
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        all_of(5, sizes[i], i % 3, 8, 0), all_of(32, sizes[i], i % 2, 8, 1);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        all_of(counts[i], 333, 0, 0, 0);
        all_of(counts[i], 37, 1, 60, 0); /* mostly zeros, as updates are */
        all_of(counts[i], 130, 3, 9, 9);
    }
    all_of(3, 4095, 0, 4, 0), all_of(3, 4096, 0, 4, 0), all_of(3, 4097, 0, 4, 0);
    all_of(6, check_small() ? 8195 : 100003, 1, 4, 0);
    if (!check_small()) all_of(32, 20000, 0, 4, 0);
    all_of(257, 40, 0, 4, 1);
    if (!check_small()) all_of(OWM_AGG_VECTORS_MAX, 21, 0, 4, 0);
    size_t longest = check_small() ? 7 : 9;
    static const uint32_t lengths[] = {1, 15, 16, 17, 4095, 4096, 4097, 100003, 300000};
    for (size_t i = 0; i < longest; i++)
        clip_case(lengths[i], 0.25), clip_case(lengths[i], 4), clip_case(lengths[i], 1);
}

/* --- known answers ---------------------------------------------------------------------------- */

static void test_known(void)
{
    const float a[] = {1, -2, 4}, b[] = {3, 5, -1}, c[] = {-8, 1, 100}, *x[] = {a, b, c};
    const float alpha[] = {0.5f, 0.25f, 2};
    float out[3];
    CHECK(device->backend->weighted_sum(device, &(struct owm_weighted_sum){out, x, alpha, 3, 3})
          == OWM_OK);
    CHECK(out[0] == -14.75f && out[1] == 2.25f && out[2] == 201.75f);
    CHECK(device->backend->trimmed_mean(device, &(struct owm_trimmed_mean){out, x, 3, 1, 3})
          == OWM_OK);
    CHECK(out[0] == 1 && out[1] == 1 && out[2] == 4);
    CHECK(device->backend->trimmed_mean(device, &(struct owm_trimmed_mean){out, x, 2, 0, 3})
          == OWM_OK);
    CHECK(out[0] == 2 && out[1] == 1.5f && out[2] == 1.5f);
    double gram[9];
    static const double want[9] = {21, -11, 390, -11, 35, -119, 390, -119, 10065};
    CHECK(device->backend->gram(device, &(struct owm_gram){gram, x, 3, 3}) == OWM_OK);
    CHECK(memcmp(gram, want, sizeof want) == 0);
    float y[] = {3, 4};
    double norm;
    CHECK(device->backend->clip(device, &(struct owm_clip){y, &norm, 2, 2.5}) == OWM_OK);
    CHECK(norm == 5 && y[0] == 1.5f && y[1] == 2);
}

/** Up to `trim` participants may send anything: the rest decides. */
static void test_hostile(void)
{
    enum { P = 9, TRIM = 2, N = 100 };
    struct vectors *v = vectors(P, N, 0);
    for (int i = 0; i < N; i++) v->x[1][i] = odd_value(), v->x[7][i] = NAN;
    float out[N];
    struct owm_trimmed_mean a = {out, (const float *const *)v->x, P, TRIM, N};
    CHECK(device->backend->trimmed_mean(device, &a) == OWM_OK);
    for (int i = 0; i < N; i++) CHECK(out[i] > -1 && out[i] < 1);
    /* Not a number in what is kept is not hidden. */
    for (uint32_t p = 0; p < P; p++) v->x[p][5] = NAN;
    CHECK(device->backend->trimmed_mean(device, &a) == OWM_OK && isnan(out[5]));
    vectors_free(v);
}

static void test_refusals(void)
{
    float a[4] = {1, 2, 3, 4}, out[4];
    const float *x[3] = {a, a, a}, *hole[3] = {a, NULL, a}, alpha[3] = {1, 1, 1};
    const float bad[3] = {1, INFINITY, 1};
    double gram[9], norm = 0;
    const struct owm_backend *b = device->backend;
    const struct owm_weighted_sum sums[] = {{NULL, x, alpha, 3, 4}, {out, NULL, alpha, 3, 4},
                                            {out, x, NULL, 3, 4},   {out, x, alpha, 0, 4},
                                            {out, x, alpha, 3, 0},  {out, x, alpha, 1025, 4},
                                            {out, x, bad, 3, 4},    {out, hole, alpha, 3, 4}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        CHECK(b->weighted_sum(device, &sums[i]) == OWM_E_ARG);
    const struct owm_trimmed_mean trims[] = {
        {NULL, x, 3, 1, 4}, {out, NULL, 3, 1, 4},    {out, x, 0, 0, 4},    {out, x, 3, 1, 0},
        {out, x, 3, 2, 4},  {out, x, 2, 1, 4},       {out, x, 1025, 1, 4}, {out, hole, 3, 1, 4},
        {a, x, 3, 1, 4},    {out, x, 3, 1u << 31, 4}};
    for (size_t i = 0; i < sizeof trims / sizeof *trims; i++)
        CHECK(b->trimmed_mean(device, &trims[i]) == OWM_E_ARG);
    const struct owm_gram grams[] = {{NULL, x, 3, 4}, {gram, NULL, 3, 4}, {gram, x, 0, 4},
                                     {gram, x, 3, 0}, {gram, hole, 3, 4}, {gram, x, 1025, 4}};
    for (size_t i = 0; i < sizeof grams / sizeof *grams; i++)
        CHECK(b->gram(device, &grams[i]) == OWM_E_ARG);
    const struct owm_clip clips[] = {{NULL, &norm, 4, 1}, {a, NULL, 4, 1},   {a, &norm, 0, 1},
                                     {a, &norm, 4, 0},    {a, &norm, 4, -1}, {a, &norm, 4, NAN}};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++)
        CHECK(b->clip(device, &clips[i]) == OWM_E_ARG);
    a[2] = INFINITY;
    CHECK(b->clip(device, &(struct owm_clip){a, &norm, 4, 1}) == OWM_E_ARG);
    CHECK(isinf(norm) && a[0] == 1 && a[1] == 2 && a[3] == 4);
    CHECK(b->sum_squares(device, NULL, a, 4) == OWM_E_ARG);
    CHECK(b->sum_squares(device, &norm, NULL, 4) == OWM_E_ARG);
    CHECK(b->sum_squares(device, &norm, a, 0) == OWM_E_ARG);
}

/* --- Krum ------------------------------------------------------------------------------------- */

static void krum_gram(double *gram, const double *at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++) gram[i * count + j] = at[i] * at[j];
}

static void test_krum(void)
{
    /* On a line: distances are what they look like. f = 1 of 5: the two nearest others count. */
    const double at[5] = {0, 1, 3, 100, -2};
    double gram[25], score[5];
    krum_gram(gram, at, 5);
    CHECK(owm_krum_scores(score, gram, 5, 1) == OWM_OK);
    CHECK(score[0] == 1 + 4 && score[1] == 1 + 4 && score[2] == 4 + 9 && score[4] == 4 + 9);
    CHECK(score[3] == 97.0 * 97 + 99 * 99);
    /* A vector that is not a number is nobody's neighbour. */
    for (int i = 0; i < 5; i++) gram[3 * 5 + i] = gram[i * 5 + 3] = NAN;
    CHECK(owm_krum_scores(score, gram, 5, 1) == OWM_OK);
    CHECK(score[0] == 5 && isinf(score[3]) && score[3] > 0);
    CHECK(owm_krum_scores(score, gram, 5, 2) == OWM_OK && score[0] == 1);
    CHECK(owm_krum_scores(score, gram, 5, 3) == OWM_E_ARG);
    CHECK(owm_krum_scores(score, gram, 5, UINT32_MAX) == OWM_E_ARG);
    CHECK(owm_krum_scores(NULL, gram, 5, 1) == OWM_E_ARG);
    CHECK(owm_krum_scores(score, NULL, 5, 1) == OWM_E_ARG);
    CHECK(owm_krum_scores(score, gram, OWM_AGG_VECTORS_MAX + 1, 1) == OWM_E_ARG);
}

static void test_device(struct owm_device *under_test)
{
    device = under_test;
    test_known();
    test_hostile();
    test_refusals();
    test_sizes();
}

static void run(const struct check_device *d)
{
    reference = d->reference;
    test_device(d->one);
    if (!check_small()) test_device(d->three);
}

static void test_reference(void)
{
    device = check_open(&owm_backend_reference, NULL, NULL);
    test_known(), test_hostile(), test_refusals();
    owm_backend_reference.close(device);
}

int main(void)
{
    check_seed();
    test_krum();
    test_reference();
    check_each_staged(run);
    return 0;
}

/* test_decode.c: the ops of inference in each instruction set that this machine has, on one thread
 * and on three, against the plain-C reference and, for sampling, against crafted rows whose answer
 * is known: sizes 1, odd, around the blocks, large; outputs poisoned; every refusal. */
#include "check.h"

static struct owm_device *device, *three, *reference;

static float f32_of(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void close_to(const char *what, const float *got, const float *want, size_t count,
                     double tolerance)
{
    double top = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(isfinite(got[i]) && isfinite(want[i]));
        top = fmax(top, fabs((double)want[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    if (worst <= tolerance * top) return;
    fprintf(stderr, "%s: off by %g of %g\n", what, worst, top);
    exit(1);
}

static float *poisoned(size_t count)
{
    float *x = malloc(count * sizeof *x);
    CHECK(x);
    for (size_t i = 0; i < count; i++) x[i] = NAN;
    return x;
}

static uint32_t below(uint32_t bound)
{
    return (uint32_t)owm_rng_below(&check_rng, bound);
}

/** shuffled: 0 .. count - 1 in random order. */
static uint32_t *shuffled(uint32_t count)
{
    uint32_t *x = malloc(count * sizeof *x);
    CHECK(x);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = below(i + 1);
        x[i] = x[j];
        x[j] = i;
    }
    return x;
}

static size_t cache_values(const struct owm_kv_cache *c)
{
    return (size_t)c->pages * OWM_PAGE_TOKENS * c->kv_heads * c->head_dim;
}

/** new_cache: every place of it a NaN, so that one read without need is seen. */
static struct owm_kv_cache new_cache(uint32_t pages, uint32_t kv_heads, uint32_t head_dim,
                                     bool bf16)
{
    struct owm_kv_cache c = {
        .pages = pages, .kv_heads = kv_heads, .head_dim = head_dim, .bf16 = bf16};
    size_t bytes = cache_values(&c) * (bf16 ? 2 : 4);
    c.k = malloc(bytes);
    c.v = malloc(bytes);
    CHECK(c.k && c.v);
    memset(c.k, 0xff, bytes);
    memset(c.v, 0xff, bytes);
    return c;
}

static void drop_cache(struct owm_kv_cache *c)
{
    free(c->k);
    free(c->v);
}

static void put_case(uint32_t rows, uint32_t kv_heads, uint32_t head_dim, bool bf16)
{
    uint32_t pages = rows / OWM_PAGE_TOKENS + 2, count = kv_heads * head_dim, stride = count + 3;
    struct owm_kv_cache got = new_cache(pages, kv_heads, head_dim, bf16);
    struct owm_kv_cache want = new_cache(pages, kv_heads, head_dim, bf16);
    uint32_t *slot = shuffled(pages * OWM_PAGE_TOKENS);
    float *k = check_data((size_t)rows * stride), *v = check_data((size_t)rows * stride);
    static const float hard[] = {0.0f, -0.0f, 1.00390625f, 1.01171875f, 3.4e38f, -1e-40f, 1e-45f};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) k[below(rows * stride)] = hard[i];
    struct owm_kv_put a = {
        .cache = got, .k = k, .v = v, .slot = slot, .rows = rows, .stride = stride};
    CHECK(three->backend->kv_put(three, &a) == OWM_OK);
    CHECK(device->backend->kv_put(device, &a) == OWM_OK);
    a.cache = want;
    CHECK(reference->backend->kv_put(reference, &a) == OWM_OK);
    size_t bytes = cache_values(&got) * (bf16 ? 2 : 4);
    CHECK(!memcmp(got.k, want.k, bytes) && !memcmp(got.v, want.v, bytes));
    free(slot), free(k), free(v);
    drop_cache(&got), drop_cache(&want);
}

/* Ties to even, carries into the exponent, what becomes infinite, NaN. */
static void test_rounding(void)
{
    static const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001,
                                    0x3fffffff, 0x7f7fffff, 0xff7fffff, 0x7f7f7fff,
                                    0x7f800000, 0x00008000, 0x80018000, 0x00000001};
    static const uint16_t want[] = {0x3f80, 0x3f82, 0x3f80, 0x3f81, 0x4000, 0x7f80,
                                    0xff80, 0x7f7f, 0x7f80, 0x0000, 0x8002, 0x0000};
    enum { N = sizeof bits / sizeof *bits };
    float k[N + 1];
    memcpy(k, bits, sizeof bits);
    k[N] = NAN;
    struct owm_kv_cache cache = new_cache(1, 1, N + 1, true);
    uint32_t slot = 5;
    struct owm_kv_put a = {
        .cache = cache, .k = k, .v = k, .slot = &slot, .rows = 1, .stride = N + 1};
    CHECK(device->backend->kv_put(device, &a) == OWM_OK);
    const uint16_t *got = (const uint16_t *)cache.k + (size_t)slot * (N + 1);
    CHECK(!memcmp(got, want, sizeof want) && isnan(f32_of(got[N])));
    drop_cache(&cache);
}

static void put_refusals(void)
{
    struct owm_kv_cache cache = new_cache(2, 2, 4, false);
    float row[8] = {0};
    uint32_t slot = 31;
    const struct owm_kv_put good = {cache, row, row, &slot, 1, 8};
    struct owm_kv_put bad[10];
    for (int i = 0; i < 10; i++) bad[i] = good;
    bad[0].cache.k = NULL, bad[1].cache.v = NULL, bad[2].k = NULL, bad[3].v = NULL;
    bad[4].slot = NULL, bad[5].rows = 0, bad[6].stride = 7, bad[7].cache.kv_heads = 0;
    bad[8].cache.head_dim = 0, bad[9].cache.pages = 1;
    CHECK(device->backend->kv_put(device, &good) == OWM_OK);
    for (int i = 0; i < 10; i++) CHECK(device->backend->kv_put(device, &bad[i]) == OWM_E_ARG);
    drop_cache(&cache);
}

static void test_kv_put(void)
{
    static const uint32_t rows[] = {1, 3, 15, 16, 17, 100};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            put_case(rows[i], 1, 1, bf16), put_case(rows[i], 2, 7, bf16);
            put_case(rows[i], 3, 32, bf16), put_case(rows[i], 8, 128, bf16);
        }
    test_rounding();
    put_refusals();
}

/** book: sequences of given lengths laid into a cache in pages of random order. */
struct book {
    struct owm_kv_cache cache;
    uint32_t *page, pages_each, sequences;
};

static struct book new_book(const uint32_t *length, uint32_t sequences, uint32_t kv_heads,
                            uint32_t head_dim, bool bf16)
{
    struct book b = {.sequences = sequences};
    uint32_t used = 0, count = kv_heads * head_dim;
    for (uint32_t s = 0; s < sequences; s++) {
        uint32_t pages = (length[s] + OWM_PAGE_TOKENS - 1) / OWM_PAGE_TOKENS;
        b.pages_each = pages > b.pages_each ? pages : b.pages_each;
        used += pages;
    }
    b.cache = new_cache(used + 1, kv_heads, head_dim, bf16);
    b.page = malloc((size_t)sequences * b.pages_each * sizeof *b.page);
    CHECK(b.page);
    memset(b.page, 0xff, (size_t)sequences * b.pages_each * sizeof *b.page);
    uint32_t *order = shuffled(used + 1), next = 0;
    for (uint32_t s = 0; s < sequences; s++)
        for (uint32_t t = 0; t < length[s]; t++) {
            uint32_t *page = &b.page[s * b.pages_each + t / OWM_PAGE_TOKENS];
            if (t % OWM_PAGE_TOKENS == 0) *page = order[next++];
            uint32_t slot = *page * OWM_PAGE_TOKENS + t % OWM_PAGE_TOKENS;
            float *k = check_data(count), *v = check_data(count);
            for (uint32_t i = 0; i < count; i++) k[i] *= 4; /* Peaked: the maximum moves. */
            struct owm_kv_put put = {b.cache, k, v, &slot, 1, count};
            CHECK(reference->backend->kv_put(reference, &put) == OWM_OK);
            free(k), free(v);
        }
    free(order);
    return b;
}

static void drop_book(struct book *b)
{
    drop_cache(&b->cache);
    free(b->page);
}

/** attend: rows (sequence, position) of a book on one thread, on three, and by the reference. */
static void attend(const struct book *b, const uint32_t *sequence, const uint32_t *position,
                   uint32_t rows, uint32_t heads)
{
    uint32_t dim = b->cache.head_dim, stride = heads * dim + 5;
    size_t count = (size_t)rows * heads * dim;
    float *q = check_data((size_t)rows * stride);
    float *got = poisoned(count), *threads = poisoned(count), *want = poisoned(count);
    struct owm_attention_paged a = {.out = got,
                                    .q = q,
                                    .cache = b->cache,
                                    .page = b->page,
                                    .sequence = sequence,
                                    .position = position,
                                    .rows = rows,
                                    .stride = stride,
                                    .heads = heads,
                                    .sequences = b->sequences,
                                    .pages_each = b->pages_each};
    CHECK(device->backend->attention_paged(device, &a) == OWM_OK);
    a.out = threads;
    CHECK(three->backend->attention_paged(three, &a) == OWM_OK);
    a.out = want;
    CHECK(reference->backend->attention_paged(reference, &a) == OWM_OK);
    close_to("attention_paged", got, want, count, 1e-5);
    CHECK(!memcmp(got, threads, count * sizeof *got));
    free(q), free(got), free(threads), free(want);
}

/* All positions of one sequence at once, then its last one alone. */
static void prefill_case(uint32_t length, uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
                         bool bf16)
{
    struct book b = new_book(&length, 1, kv_heads, head_dim, bf16);
    uint32_t *sequence = calloc(length, sizeof *sequence), *position = shuffled(length);
    CHECK(sequence);
    for (uint32_t i = 0; i < length; i++) position[i] = i;
    attend(&b, sequence, position, length, heads);
    attend(&b, sequence, position + length - 1, 1, heads);
    free(sequence), free(position);
    drop_book(&b);
}

/* Rows of several sequences in any order: runs, single rows, positions that fall. */
static void mixed_case(uint32_t heads, uint32_t kv_heads, uint32_t head_dim, bool bf16)
{
    enum { S = 7, R = 90 };
    static const uint32_t length[S] = {1, 16, 17, 33, 300, 64, 65};
    uint32_t sequence[R], position[R];
    struct book b = new_book(length, S, kv_heads, head_dim, bf16);
    for (uint32_t r = 0; r < R; r++) {
        sequence[r] = r > 40 && r < 70 ? 4 : below(S);
        position[r] = below(length[sequence[r]]);
    }
    attend(&b, sequence, position, R, heads);
    drop_book(&b);
}

static void long_case(uint32_t length, uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    struct book b = new_book(&length, 1, kv_heads, head_dim, true);
    uint32_t sequence[3] = {0}, position[3] = {length - 1, length / 2, length - 2};
    attend(&b, sequence, position, 1, heads);
    attend(&b, sequence, position, 3, heads);
    drop_book(&b);
}

static void attention_refusals(void)
{
    uint32_t length[2] = {17, 20}, sequence[1] = {1}, position[1] = {19};
    struct book b = new_book(length, 2, 2, 4, false);
    float q[16] = {0}, out[16];
    const struct owm_attention_paged good = {.out = out,
                                             .q = q,
                                             .cache = b.cache,
                                             .page = b.page,
                                             .sequence = sequence,
                                             .position = position,
                                             .rows = 1,
                                             .stride = 16,
                                             .heads = 4,
                                             .sequences = 2,
                                             .pages_each = 2};
    CHECK(device->backend->attention_paged(device, &good) == OWM_OK);
    struct owm_attention_paged bad[18];
    for (int i = 0; i < 18; i++) bad[i] = good;
    bad[0].out = NULL, bad[1].q = NULL, bad[2].cache.k = NULL, bad[3].cache.v = NULL;
    bad[4].page = NULL, bad[5].sequence = NULL, bad[6].position = NULL, bad[7].rows = 0;
    bad[8].stride = 15, bad[9].heads = 3, bad[10].sequences = 1, bad[11].pages_each = 1;
    bad[12].cache.kv_heads = 0, bad[13].cache.head_dim = 0, bad[14].heads = 0;
    bad[15].cache.pages = 1, bad[15].page = (const uint32_t[]){0, 0, 0, 1};
    bad[16].cache.head_dim = OWM_ATTENTION_DIM_MAX + 1, bad[16].stride = 1024;
    bad[17].rows = OWM_PAGED_ROWS_MAX + 1;
    for (int i = 0; i < 18; i++)
        CHECK(device->backend->attention_paged(device, &bad[i])
              == (i < 16 ? OWM_E_ARG : OWM_E_LIMIT));
    drop_book(&b);
}

static void test_attention(void)
{
    static const uint32_t lengths[] = {1, 2, 15, 16, 17, 63, 64, 65, 130};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i += check_small() ? 2 : 1)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            prefill_case(lengths[i], 1, 1, 2, bf16), prefill_case(lengths[i], 6, 2, 10, bf16);
            prefill_case(lengths[i], 4, 4, 64, bf16), prefill_case(lengths[i], 5, 1, 33, bf16);
        }
    for (int bf16 = 0; bf16 < 2; bf16++) {
        mixed_case(8, 2, 64, bf16), mixed_case(3, 3, 40, bf16), mixed_case(7, 1, 128, bf16);
        prefill_case(40, 150, 2, 16, bf16); /* More heads in a group than a tile has rows. */
    }
    if (check_small()) return long_case(600, 9, 3, 64), attention_refusals();
    long_case(4097, 9, 3, 64), long_case(3000, 2, 2, 128), long_case(8192, 4, 1, 32);
    attention_refusals();
}

static void softmax_case(uint32_t rows, uint32_t cols, float scale)
{
    size_t count = (size_t)rows * cols;
    float *x = check_data(count), *got = poisoned(count), *want = poisoned(count);
    for (size_t i = 0; i < count; i++) x[i] *= 20;
    struct owm_softmax a = {want, x, rows, cols, scale};
    CHECK(reference->backend->softmax(reference, &a) == OWM_OK);
    a.out = got;
    CHECK(device->backend->softmax(device, &a) == OWM_OK);
    close_to("softmax", got, want, count, 2e-6);
    a.out = x; /* In place, on three threads: the same bits. */
    CHECK(three->backend->softmax(three, &a) == OWM_OK && !memcmp(x, got, count * sizeof *x));
    free(x), free(got), free(want);
}

static void test_softmax(void)
{
    static const uint32_t sizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 33, 130, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        softmax_case(3, sizes[i], 1), softmax_case(2, sizes[i], -0.5f);
        softmax_case(1, sizes[i], 0), softmax_case(sizes[i], 21, 0.125f);
    }
    softmax_case(2, 49152, 1);
    float x[2] = {3.0e38f, -3.0e38f}, out[2];
    const struct owm_softmax good = {out, x, 1, 2, 1};
    CHECK(device->backend->softmax(device, &good) == OWM_OK && out[0] == 1 && out[1] < 1e-30f);
    struct owm_softmax bad[6] = {good, good, good, good, good, good};
    bad[0].out = NULL, bad[1].x = NULL, bad[2].rows = 0, bad[3].cols = 0;
    bad[4].scale = NAN, bad[5].scale = INFINITY;
    for (int i = 0; i < 6; i++) CHECK(device->backend->softmax(device, &bad[i]) == OWM_E_ARG);
}

static uint32_t draw(const float *logits, uint32_t vocab, float temperature, uint32_t top_k,
                     float top_p, float uniform)
{
    uint32_t token[3];
    struct owm_device *devices[3] = {device, three, reference};
    for (int i = 0; i < 3; i++) {
        token[i] = UINT32_MAX;
        struct owm_sample a = {token + i, logits, &uniform, 1, vocab, top_k, temperature, top_p};
        CHECK(devices[i]->backend->sample(devices[i], &a) == OWM_OK);
    }
    CHECK(token[0] == token[1] && token[0] == token[2]);
    return token[0];
}

/* Rows whose answer is known without any implementation. */
static void test_sample_crafted(void)
{
    const float last = 0.99999994f, ln2 = 0.69314718f;
    float one[] = {-3};
    CHECK(draw(one, 1, 0, 0, 1, 0) == 0 && draw(one, 1, 1, 1, 0.5f, last) == 0);
    float tie[] = {1, 5, 2, 5, 5, -1};
    CHECK(draw(tie, 6, 0, 0, 1, 0.9f) == 1);
    CHECK(draw(tie, 6, 1, 2, 1, 0.49f) == 1 && draw(tie, 6, 1, 2, 1, 0.51f) == 3);
    CHECK(draw(tie, 6, 1, 2, 1, last) == 3 && draw(tie, 6, 1, 1, 1, last) == 1);
    CHECK(draw(tie, 6, 1, 3, 0.5f, last) == 3 && draw(tie, 6, 1, 3, 0.7f, last) == 4);
    CHECK(draw(tie, 6, 1, 3, 0.2f, last) == 1 && draw(tie, 6, 1, 6, 1, last) == 5);
    float zeros[] = {-1, -0.0f, 0.0f, -0.0f};
    CHECK(draw(zeros, 4, 0, 0, 1, 0) == 1 && draw(zeros, 4, 1, 3, 1, 0.5f) == 2);
    /* Shares 8, 4, 2, 1 of 15, at places 2, 0, 3, 1. */
    float power[] = {2 * ln2, 0, 3 * ln2, ln2};
    CHECK(draw(power, 4, 1, 0, 1, 0) == 2 && draw(power, 4, 1, 0, 1, 7.9f / 15) == 2);
    CHECK(draw(power, 4, 1, 0, 1, 8.1f / 15) == 0 && draw(power, 4, 1, 0, 1, 12.1f / 15) == 3);
    CHECK(draw(power, 4, 1, 0, 1, 13.9f / 15) == 3 && draw(power, 4, 1, 0, 1, 14.1f / 15) == 1);
    CHECK(draw(power, 4, 1, 0, 7.9f / 15, last) == 2 && draw(power, 4, 1, 0, 8.1f / 15, last) == 0);
    CHECK(draw(power, 4, 1, 3, 11.9f / 14, last) == 0);
    CHECK(draw(power, 4, 1, 3, 12.1f / 14, last) == 3);
    /* Half the temperature: shares 64, 16, 4, 1 of 85. */
    CHECK(draw(power, 4, 0.5f, 0, 1, 63.9f / 85) == 2
          && draw(power, 4, 0.5f, 0, 1, 64.1f / 85) == 0);
    CHECK(draw(power, 4, 1e-30f, 0, 1, last) == 2 && draw(power, 4, 1e-45f, 0, 1, last) == 2);
    CHECK(draw(power, 4, 3e38f, 0, 1, 0.74f) == 3 && draw(power, 4, 3e38f, 0, 1, 0.76f) == 1);
    float wide[] = {-3.0e38f, 3.0e38f, 0};
    CHECK(draw(wide, 3, 1, 0, 1, last) == 1 && draw(wide, 3, 1, 0, 0.5f, 0) == 1);
}

/* All equal: the order is that of the tokens, through every block of an implementation. */
static void test_sample_flat(uint32_t vocab)
{
    float *x = malloc(vocab * sizeof *x);
    CHECK(x);
    for (uint32_t v = 0; v < vocab; v++) x[v] = -7.25f;
    for (int i = 0; i < 8; i++) {
        uint32_t want = below(vocab), k = want + 1 + below(vocab - want);
        float middle = (float)(((double)want + 0.5) / k);
        if (k < 65536) CHECK(draw(x, vocab, 1.5f, k, 1, middle) == want);
    }
    CHECK(draw(x, vocab, 0, 0, 1, 0.5f) == 0);
    free(x);
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/** on_border: whether top_p or uniform is within 1e-5 of where another token begins. */
static bool on_border(const float *logits, const struct owm_sample *a)
{
    uint32_t count = a->top_k && a->top_k < a->vocab ? a->top_k : a->vocab, keep = 0;
    double *p = malloc(a->vocab * sizeof *p), all = 0, sum = 0, mass = 0;
    bool border = false;
    CHECK(p);
    for (uint32_t v = 0; v < a->vocab; v++) p[v] = (double)logits[v];
    qsort(p, a->vocab, sizeof *p, falling);
    for (uint32_t v = a->vocab; v-- > 0;) p[v] = exp((p[v] - p[0]) / (double)a->temperature);
    for (uint32_t v = 0; v < count; v++) all += p[v];
    while (keep < count && (a->top_p == 1 || mass < (double)a->top_p * all)) {
        mass += p[keep++];
        if (a->top_p < 1) border |= fabs(mass / all - (double)a->top_p) < 1e-5;
    }
    for (uint32_t v = 0; v < keep; v++) {
        sum += p[v];
        border |= fabs(sum / mass - (double)*a->uniform) < 1e-5;
    }
    free(p);
    return border;
}

/** sample_rows: random rows, as sharp as `spread` makes them; few distinct values if `ties`. */
static void sample_rows(uint32_t rows, uint32_t vocab, float spread, bool ties)
{
    static const uint32_t ks[] = {0, 1, 2, 40, 1000, UINT32_MAX};
    static const float ps[] = {1, 0.95f, 0.5f, 0.01f}, temperatures[] = {1, 0.7f, 0, 3};
    size_t count = (size_t)rows * vocab;
    float *x = check_data(count), *uniform = malloc(rows * sizeof *uniform);
    uint32_t *token[3], wrong = 0;
    CHECK(uniform);
    for (int i = 0; i < 3; i++) CHECK((token[i] = malloc(rows * sizeof **token)));
    for (size_t i = 0; i < count; i++)
        x[i] = ties ? roundf(x[i] * 8) : spread * (x[i] + x[i] * x[i] * x[i]);
    for (size_t c = 0; c < (vocab > 65536 ? 2 : 12); c++) {
        struct owm_sample a = {NULL,     x, uniform, rows, vocab, ks[c % 6], temperatures[c % 4],
                               ps[c / 3]};
        for (uint32_t r = 0; r < rows; r++) uniform[r] = owm_rng_f32(&check_rng);
        struct owm_device *devices[3] = {device, three, reference};
        for (int i = 0; i < 3; i++) {
            memset(token[i], 0xff, rows * sizeof **token);
            a.token = token[i];
            CHECK(devices[i]->backend->sample(devices[i], &a) == OWM_OK);
        }
        CHECK(!memcmp(token[0], token[1], rows * sizeof **token));
        for (uint32_t r = 0; r < rows; r++) {
            CHECK(token[0][r] < vocab);
            struct owm_sample row = a;
            row.uniform = uniform + r;
            if (token[0][r] == token[2][r]) continue;
            wrong++;
            CHECK(a.temperature > 0 && on_border(x + (size_t)r * vocab, &row));
        }
    }
    if (vocab < 1000) CHECK(wrong <= 1 + rows / 20); /* Borders are rare there. */
    free(x), free(uniform);
    for (int i = 0; i < 3; i++) free(token[i]);
}

static void sample_refusals(void)
{
    float x[3] = {1, 2, 3}, uniform[1] = {0.5f};
    uint32_t token[1];
    const struct owm_sample good = {token, x, uniform, 1, 3, 0, 1, 1};
    struct owm_sample bad[15];
    for (int i = 0; i < 15; i++) bad[i] = good;
    bad[0].token = NULL, bad[1].logits = NULL, bad[2].uniform = NULL, bad[3].rows = 0;
    bad[4].vocab = 0, bad[5].temperature = -1, bad[6].temperature = NAN;
    bad[7].temperature = INFINITY, bad[8].top_p = 0, bad[9].top_p = 1.5f, bad[10].top_p = NAN;
    bad[11].uniform = (const float[]){1}, bad[12].uniform = (const float[]){-0.1f};
    bad[13].uniform = (const float[]){NAN}, bad[14].vocab = OWM_SAMPLE_VOCAB_MAX + 1;
    CHECK(device->backend->sample(device, &good) == OWM_OK);
    for (int i = 0; i < 15; i++)
        CHECK(device->backend->sample(device, &bad[i]) == (i < 14 ? OWM_E_ARG : OWM_E_LIMIT));
}

static void test_sample(void)
{
    static const uint32_t sizes[] = {1, 2, 3, 15, 16, 17, 63, 64, 65, 255, 257, 1000};
    test_sample_crafted();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_sample_flat(sizes[i]);
        sample_rows(9, sizes[i], 6, false), sample_rows(9, sizes[i], 30, false);
        sample_rows(5, sizes[i], 1, true);
    }
    test_sample_flat(49152), sample_rows(2, 49152, 8, false), sample_rows(1, 49152, 1, true);
    sample_rows(1, 49152, 1e-6f, false);
    if (!check_small()) sample_rows(1, OWM_SAMPLE_VOCAB_MAX, 12, false);
    sample_refusals();
}

static void run(const struct check_device *d)
{
    device = d->one, three = d->three, reference = d->reference;
    if (CHECK_HAS(device, kv_put)) test_kv_put();
    if (CHECK_HAS(device, attention_paged)) test_attention();
    if (CHECK_HAS(device, softmax)) test_softmax();
    if (CHECK_HAS(device, sample)) test_sample();
}

int main(void)
{
    check_seed();
    check_each_staged(run);
    return 0;
}

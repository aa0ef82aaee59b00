/* test_linear.c: products with packed weights against the reference.
 *
 * Each instruction set and each path of it that this machine has, on one thread and on three: every
 * format; shapes odd, around the panels and blocks, large; outputs poisoned first; the same bits
 * from one thread and three; groups of zeros, of subnormals, of huge numbers; blocks laid out by
 * hand; and every refusal. */
#include "check.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear_path.h"

static struct owm_device *device, *three, *reference;

static const enum owm_format formats[] = {OWM_FORMAT_BF16, OWM_FORMAT_Q8_0, OWM_FORMAT_Q4_0};

static size_t row_bytes(enum owm_format format, uint32_t k)
{
    return format == OWM_FORMAT_BF16   ? (size_t)k * 2
           : format == OWM_FORMAT_Q8_0 ? (size_t)k / 32 * OWM_BLOCK_BYTES_Q8_0
                                       : (size_t)k / 32 * OWM_BLOCK_BYTES_Q4_0;
}

/** Random rows: scales between 2^-9 and 2^6 of either sign, some 0, some subnormal. */
static uint8_t *source_of(enum owm_format format, uint32_t n, uint32_t k)
{
    size_t bytes = n * row_bytes(format, k);
    uint8_t *source = malloc(bytes);
    CHECK(source);
    for (size_t i = 0; i < bytes; i++) source[i] = (uint8_t)owm_rng_u64(&check_rng);
    size_t step = format == OWM_FORMAT_Q8_0 ? OWM_BLOCK_BYTES_Q8_0 : OWM_BLOCK_BYTES_Q4_0;
    for (size_t i = 0; i < bytes; i += format == OWM_FORMAT_BF16 ? 2 : step) {
        uint16_t value = (uint16_t)owm_rng_u64(&check_rng);
        if (format == OWM_FORMAT_BF16)
            value = bf16_of(2 * owm_rng_f32(&check_rng) - 1);
        else if (value % 16 == 0)
            value &= 0x83ff; /* Subnormal. */
        else
            value = (uint16_t)((value & 0x83ff) | (6 + value % 16) << 10);
        if (owm_rng_below(&check_rng, 32) == 0) value = 0;
        memcpy(source + i, &value, 2);
    }
    return source;
}

struct matrix {
    enum owm_format format;
    uint32_t n, k;
    uint8_t *source;
    void *dev, *ref;
};

static void *packed_on(struct owm_device *d, const struct matrix *w)
{
    size_t bytes = d->backend->packed_bytes(d, w->format, w->n, w->k);
    void *packed;
    CHECK(bytes > 0 && d->backend->mem_alloc(d, &packed, bytes) == OWM_OK);
    struct owm_pack pack = {packed, w->source, w->format, w->n, w->k};
    CHECK(d->backend->pack(d, &pack) == OWM_OK);
    return packed;
}

static struct matrix matrix_from(enum owm_format format, uint32_t n, uint32_t k, uint8_t *source)
{
    struct matrix w = {.format = format, .n = n, .k = k, .source = source};
    w.dev = packed_on(device, &w);
    w.ref = packed_on(reference, &w);
    return w;
}

static struct matrix matrix(enum owm_format format, uint32_t n, uint32_t k)
{
    return matrix_from(format, n, k, source_of(format, n, k));
}

static void drop(struct matrix *w)
{
    device->backend->mem_free(device, w->dev);
    reference->backend->mem_free(reference, w->ref);
    free(w->source);
}

/** The same row-major matrix without its numbers' signs: |x| |W|^T is the scale of an error. */
static double *magnitudes(const struct matrix *w, const float *x, uint32_t m, bool backward)
{
    struct matrix a = *w;
    size_t bytes = w->n * row_bytes(w->format, w->k);
    a.source = malloc(bytes);
    CHECK(a.source);
    memcpy(a.source, w->source, bytes);
    size_t inputs = (size_t)m * (backward ? w->n : w->k),
           outputs = (size_t)m * (backward ? w->k : w->n);
    float *y = malloc(outputs * sizeof *y), *abs_x = malloc(inputs * sizeof *abs_x);
    double *sum = malloc(outputs * sizeof *sum);
    CHECK(y && abs_x && sum);
    for (size_t i = 0; i < inputs; i++) abs_x[i] = fabsf(x[i]);
    if (w->format == OWM_FORMAT_BF16) {
        for (size_t i = 1; i < bytes; i += 2) a.source[i] &= 0x7f;
    } else {
        size_t step = w->format == OWM_FORMAT_Q8_0 ? OWM_BLOCK_BYTES_Q8_0 : OWM_BLOCK_BYTES_Q4_0;
        for (size_t i = 0; i < bytes; i += step) {
            a.source[i + 1] &= 0x7f;
            for (size_t j = 2; j < step; j++) {
                int q = (int8_t)a.source[i + j], low = (q & 15) - 8, high = (q >> 4 & 15) - 8;
                if (w->format == OWM_FORMAT_Q8_0)
                    a.source[i + j] = (uint8_t)(abs(q) > 127 ? 127 : abs(q));
                else
                    a.source[i + j] = (uint8_t)((abs(low) > 7 ? 15 : abs(low) + 8)
                                                | (abs(high) > 7 ? 15 : abs(high) + 8) << 4);
            }
        }
    }
    a.ref = packed_on(reference, &a);
    struct owm_linear l = {y, abs_x, a.ref, w->format, m, w->n, w->k, w->n, w->k, false};
    struct owm_linear_bwd b = {y, abs_x, a.ref, w->format, m, w->n, w->k, w->k, w->n, false};
    CHECK((backward ? reference->backend->linear_bwd(reference, &b)
                    : reference->backend->linear(reference, &l))
          == OWM_OK);
    for (size_t i = 0; i < outputs; i++) sum[i] = (double)y[i];
    reference->backend->mem_free(reference, a.ref);
    free(a.source), free(y), free(abs_x);
    return sum;
}

/** Runs linear or linear_bwd on both devices and compares. `tolerance` times the magnitudes. */
static void compare(const struct matrix *w, const float *x, uint32_t m, bool backward,
                    bool accumulate)
{
    uint32_t in = backward ? w->n : w->k, out = backward ? w->k : w->n, ld = out + 3;
    size_t count = (size_t)m * ld;
    float *before = check_data(count), *got = malloc(count * 4), *again = malloc(count * 4),
          *want = malloc(count * 4);
    CHECK(got && again && want);
    for (size_t i = 0; !accumulate && i < count; i++) before[i] = NAN;
    memcpy(got, before, count * 4), memcpy(again, before, count * 4);
    memcpy(want, before, count * 4);
    double *scale = magnitudes(w, x, m, backward), tolerance = backward ? 1e-2 : 1e-5;
    struct owm_linear l = {NULL, x, NULL, w->format, m, w->n, w->k, ld, in, accumulate};
    struct owm_linear_bwd b = {NULL, x, NULL, w->format, m, w->n, w->k, ld, in, accumulate};
    struct {
        struct owm_device *on;
        float *y;
        const void *weights;
    } runs[] = {{device, got, w->dev}, {three, again, w->dev}, {reference, want, w->ref}};
    for (size_t i = 0; i < 3; i++) {
        l.y = b.dx = runs[i].y;
        l.weights = b.weights = runs[i].weights;
        CHECK((backward ? runs[i].on->backend->linear_bwd(runs[i].on, &b)
                        : runs[i].on->backend->linear(runs[i].on, &l))
              == OWM_OK);
    }
    CHECK(memcmp(got, again, count * 4) == 0);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < ld; j++) {
            size_t at = i * ld + j;
            if (j >= out) { /* Between the rows nothing is written. */
                CHECK(memcmp(&got[at], &before[at], 4) == 0);
                continue;
            }
            double off = fabs((double)got[at] - (double)want[at]), limit = scale[i * out + j];
            if (accumulate) limit += fabs((double)before[at]);
            if (!(off <= tolerance * limit + 1e-37)) {
                fprintf(stderr, "%s format %d m %u n %u k %u at %zu, %zu: %g, not %g (of %g)\n",
                        backward ? "linear_bwd" : "linear", (int)w->format, m, w->n, w->k, i, j,
                        (double)got[at], (double)want[at], limit);
                exit(1);
            }
        }
    free(before), free(got), free(again), free(want), free(scale);
}

static void shape(enum owm_format format, uint32_t m, uint32_t n, uint32_t k)
{
    struct matrix w = matrix(format, n, k);
    float *x = check_data((size_t)m * k), *dy = check_data((size_t)m * n);
    bool accumulate = owm_rng_below(&check_rng, 2);
    compare(&w, x, m, false, accumulate);
    compare(&w, dy, m, true, !accumulate);
    free(x), free(dy);
    drop(&w);
}

static void test_shapes(void)
{
    static const uint32_t shapes[][3] = {
        {1, 1, 32},    {1, 16, 32},    {1, 33, 256},   {2, 15, 64},   {3, 17, 96},  {4, 47, 288},
        {5, 31, 320},  {7, 32, 64},    {8, 48, 128},   {9, 33, 32},   {15, 65, 96}, {16, 64, 512},
        {17, 63, 544}, {31, 129, 160}, {32, 48, 1056}, {33, 48, 544}, {49, 80, 64}, {100, 144, 96},
    };
    for (size_t f = 0; f < OWM_FORMATS; f++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i += check_small() ? 2 : 1)
            shape(formats[f], shapes[i][0], shapes[i][1], shapes[i][2]);
    static const uint32_t odd[][3] = {{1, 1, 1}, {3, 19, 33}, {17, 40, 95}, {35, 33, 127}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        shape(OWM_FORMAT_BF16, odd[i][0], odd[i][1], odd[i][2]);
    for (int i = 0; i < 6; i++) /* Anew on each run. */
        shape(formats[i % 3], 1 + (uint32_t)owm_rng_below(&check_rng, 50),
              1 + (uint32_t)owm_rng_below(&check_rng, 150),
              32 * (1 + (uint32_t)owm_rng_below(&check_rng, 12)));
}

/** More rows than a chunk of prepared activations holds, and the widest matrix there is. */
static void test_large(void)
{
    for (size_t f = 0; f < OWM_FORMATS; f++) {
        shape(formats[f], 210, 2, 4096);
        shape(formats[f], 1, 3, OWM_LINEAR_COLS_MAX);
        if (!check_small()) shape(formats[f], 18, 2, OWM_LINEAR_COLS_MAX);
    }
}

/** Groups of activations that are 0, subnormal, or so large that their squares are not finite. */
static void test_ranges(void)
{
    enum { M = 19, N = 40, K = 256 };
    static const float scales[] = {0, 1e-44f, 1e-40f, 3e-38f, 1e-20f, 1e20f, 1e32f, 1};
    for (size_t f = 0; f < OWM_FORMATS; f++) {
        struct matrix w = matrix(formats[f], N, K);
        float *x = check_data((size_t)M * K);
        for (size_t i = 0; i < (size_t)M * K; i++) x[i] *= scales[(i / 32 + i / K) % 8];
        compare(&w, x, M, false, false);
        for (size_t i = 0; i < (size_t)M * K; i++) x[i] = i / K % 2 ? 1e36f : 1e-45f;
        for (size_t i = 0; i < w.n * row_bytes(w.format, K); i++)
            if (i % row_bytes(w.format, 32) == 1) w.source[i] &= 0x83;
        struct matrix small = matrix_from(w.format, N, K, w.source); /* Scales are subnormal now. */
        w.source = NULL;
        if (formats[f] != OWM_FORMAT_BF16) compare(&small, x, M, false, false);
        free(x);
        drop(&w), drop(&small);
    }
}

/** Full-scale integers of one sign: the sums that saturate where a kernel is careless. */
static void test_extremes(void)
{
    enum { M = 17, N = 33, K = 128 };
    for (size_t f = 1; f < OWM_FORMATS; f++)
        for (int fill = 0; fill < 4; fill++) {
            struct matrix w = {.format = formats[f], .n = N, .k = K};
            uint8_t *source = source_of(formats[f], N, K);
            size_t step = row_bytes(formats[f], 32);
            static const uint8_t fills[] = {0x80, 0x7f, 0x00, 0xff};
            for (size_t i = 0; i < N * row_bytes(formats[f], K); i++)
                if (i % step >= 2) source[i] = fills[fill];
            w = matrix_from(formats[f], N, K, source);
            float x[M * K];
            for (size_t i = 0; i < M * K; i++) x[i] = i / K % 2 ? -1 : 1;
            compare(&w, x, M, false, false);
            drop(&w);
        }
}

/** A row of each format written down byte by byte, read back with unit vectors. */
static void known_row(enum owm_format format, const uint8_t *row, const float want[32])
{
    uint8_t *source = malloc(row_bytes(format, 32));
    CHECK(source);
    memcpy(source, row, row_bytes(format, 32));
    struct matrix w = matrix_from(format, 1, 32, source);
    float x[32 * 32] = {0}, y[32], dx[32], one = 1;
    for (int i = 0; i < 32; i++) x[i * 32 + i] = 1;
    struct owm_device *on[] = {device, reference};
    for (int d = 0; d < 2; d++) {
        const void *weights = d ? w.ref : w.dev;
        struct owm_linear l = {y, x, weights, format, 32, 1, 32, 1, 32, false};
        struct owm_linear_bwd b = {dx, &one, weights, format, 1, 1, 32, 32, 1, false};
        CHECK(on[d]->backend->linear(on[d], &l) == OWM_OK);
        for (int i = 0; i < 32; i++) CHECK(fabsf(y[i] - want[i]) <= 1e-6f * fabsf(want[i]));
        CHECK(on[d]->backend->linear_bwd(on[d], &b) == OWM_OK);
        for (int i = 0; i < 32; i++) CHECK(fabsf(dx[i] - want[i]) <= 4e-3f * fabsf(want[i]));
    }
    drop(&w);
}

static void test_known_rows(void)
{
    float want[32];
    uint8_t q8[34] = {0x00, 0xb8}, q4[18] = {0x00, 0x3c}, bf16[64] = {0};
    for (int i = 0; i < 32; i++) { /* d = -0.5; q = -128, -119, …, 127 at the end. */
        int q = i == 31 ? 127 : -128 + 8 * i + i / 8;
        q8[2 + i] = (uint8_t)q;
        want[i] = -0.5f * (float)q;
    }
    known_row(OWM_FORMAT_Q8_0, q8, want);
    for (int i = 0; i < 16; i++) { /* d = 1; q - 8 = -8 … 7, then 7 … -8. */
        q4[2 + i] = (uint8_t)(i | (15 - i) << 4);
        want[i] = (float)(i - 8);
        want[16 + i] = (float)(7 - i);
    }
    known_row(OWM_FORMAT_Q4_0, q4, want);
    q4[0] = 0x01, q4[1] = 0x80; /* The smallest negative f16: -2^-24. */
    for (int i = 0; i < 32; i++) want[i] *= -0x1p-24f;
    known_row(OWM_FORMAT_Q4_0, q4, want);
    for (int i = 0; i < 32; i++) { /* 2^-i of alternating sign: exponent 127 - i. */
        uint16_t bits = (uint16_t)((i % 2 ? 0x8000 : 0) | (127 - i) << 7);
        memcpy(bf16 + 2 * i, &bits, 2);
        want[i] = (i % 2 ? -1.0f : 1.0f) / (float)(1ull << i);
    }
    known_row(OWM_FORMAT_BF16, bf16, want);
}

static void test_refusals(struct owm_device *d)
{
    const struct owm_backend *b = d->backend;
    CHECK(b->packed_bytes(d, OWM_FORMATS, 16, 32) == 0);
    CHECK(b->packed_bytes(d, OWM_FORMAT_BF16, 0, 32) == 0);
    CHECK(b->packed_bytes(d, OWM_FORMAT_BF16, 16, 0) == 0);
    CHECK(b->packed_bytes(d, OWM_FORMAT_Q8_0, 16, 33) == 0);
    CHECK(b->packed_bytes(d, OWM_FORMAT_Q4_0, 16, 16) == 0);
    CHECK(b->packed_bytes(d, OWM_FORMAT_BF16, 1, OWM_LINEAR_COLS_MAX + 1) == 0);
    CHECK(b->packed_bytes(d, OWM_FORMAT_Q8_0, 16, 64) == 16 * 68);
    CHECK(b->packed_bytes(d, OWM_FORMAT_Q4_0, 32, 64) == 32 * 36);
    CHECK(b->packed_bytes(d, OWM_FORMAT_BF16, 16, 96) == 16 * 192);
    float y[64], x[64] = {0};
    uint8_t memory[2048] = {0};
    const struct owm_pack p = {memory, memory + 1024, OWM_FORMAT_Q8_0, 1, 32};
    const struct owm_linear l = {y, x, memory, OWM_FORMAT_Q8_0, 2, 3, 32, 3, 32, false};
    const struct owm_linear_bwd g = {y, x, memory, OWM_FORMAT_Q8_0, 2, 3, 32, 32, 3, false};
#define REFUSED(op, type, good, change)                                                            \
    do {                                                                                           \
        struct type bad = good;                                                                    \
        bad.change;                                                                                \
        CHECK(b->op(d, &bad) == OWM_E_ARG);                                                        \
    } while (0)
    REFUSED(pack, owm_pack, p, packed = NULL);
    REFUSED(pack, owm_pack, p, source = NULL);
    REFUSED(pack, owm_pack, p, rows = 0);
    REFUSED(pack, owm_pack, p, cols = 0);
    REFUSED(pack, owm_pack, p, cols = 31);
    REFUSED(pack, owm_pack, p, format = OWM_FORMATS);
    REFUSED(linear, owm_linear, l, y = NULL);
    REFUSED(linear, owm_linear, l, x = NULL);
    REFUSED(linear, owm_linear, l, weights = NULL);
    REFUSED(linear, owm_linear, l, format = OWM_FORMATS);
    REFUSED(linear, owm_linear, l, m = 0);
    REFUSED(linear, owm_linear, l, n = 0);
    REFUSED(linear, owm_linear, l, k = 0);
    REFUSED(linear, owm_linear, l, k = 31);
    REFUSED(linear, owm_linear, l, ldy = 2);
    REFUSED(linear, owm_linear, l, ldx = 31);
    REFUSED(linear_bwd, owm_linear_bwd, g, dx = NULL);
    REFUSED(linear_bwd, owm_linear_bwd, g, dy = NULL);
    REFUSED(linear_bwd, owm_linear_bwd, g, weights = NULL);
    REFUSED(linear_bwd, owm_linear_bwd, g, format = OWM_FORMATS);
    REFUSED(linear_bwd, owm_linear_bwd, g, m = 0);
    REFUSED(linear_bwd, owm_linear_bwd, g, n = 0);
    REFUSED(linear_bwd, owm_linear_bwd, g, k = 33);
    REFUSED(linear_bwd, owm_linear_bwd, g, lddx = 31);
    REFUSED(linear_bwd, owm_linear_bwd, g, lddy = 2);
}

/** bf16 and f16 conversions of the reference, against values written down. */
static void test_conversions(void)
{
    CHECK(linear_half(0x3c00) == 1 && linear_half(0xc000) == -2 && linear_half(0x7bff) == 65504);
    CHECK(linear_half(0x0001) == 0x1p-24f && linear_half(0x03ff) == 1023 * 0x1p-24f);
    CHECK(linear_half(0x0400) == 0x1p-14f && isinf(linear_half(0xfc00))
          && isnan(linear_half(0x7e00)));
    CHECK(bf16_of(1) == 0x3f80 && bf16_of(-2) == 0xc000);
    CHECK(bf16_of(1.00390625f) == 0x3f80);   /* A tie: down to even. */
    CHECK(bf16_of(1.01171875f) == 0x3f82);   /* A tie: up to even. */
    CHECK(bf16_of(3.4028235e38f) == 0x7f80); /* Rounds to infinity. */
    CHECK((bf16_of(NAN) & 0x7fff) > 0x7f80);
}

static void test_all(void)
{
    test_known_rows();
    test_shapes();
    test_ranges();
    test_extremes();
    test_large();
    test_refusals(device);
}

/* The paths of the cpu are more than its instruction sets: each is put into opened devices. */
static void test_cpu(void)
{
    struct owm_pool *pool;
    CHECK(owm_pool_open(3, &pool) == OWM_OK);
    reference = check_open(&owm_backend_reference, NULL, NULL);
    test_refusals(reference);
    for (size_t i = 0; linear_path_at(i); i++) {
        const struct linear_path *path = linear_path_at(i);
        if (!path->here()) continue;
        printf("%s\n", path->name);
        device = check_open(&owm_backend_cpu, path->isa, NULL);
        three = check_open(&owm_backend_cpu, path->isa, pool);
        CHECK(device && three);
        cpu_of(device)->linear = cpu_of(three)->linear = path;
        test_all();
        device->backend->close(device);
        three->backend->close(three);
    }
    reference->backend->close(reference);
    owm_pool_close(pool);
}

static void run(const struct check_device *d)
{
    device = d->one, three = d->three, reference = d->reference;
    if (CHECK_HAS(device, linear)) test_all();
}

int main(void)
{
    check_seed();
    test_conversions();
    if (strcmp(check_backend_name(), "cpu") == 0)
        test_cpu();
    else
        check_each_staged(run);
    return 0;
}

/* test_ops.c: the ops of kernels/sparse.h against the obvious way to do them (SRS-MODEL-06). */
#include "fl_test.h"

static struct owm_device *device;

static float magnitude_of[70000];

static int by_magnitude(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (magnitude_of[i] != magnitude_of[j]) return magnitude_of[i] > magnitude_of[j] ? -1 : 1;
    return (i > j) - (i < j);
}

static int by_number(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    return (i > j) - (i < j);
}

static void check_topk(uint32_t n, uint32_t k, uint64_t seed, int levels)
{
    static float x[70000];
    static uint32_t order[70000], index[70000];
    struct owm_rng rng;
    uint32_t count, zeros = 0;
    owm_rng_seed(&rng, seed);
    fill_normal(&rng, x, n, 1);
    for (uint32_t i = 0; i < n && levels; i++) /* many ties, and zeros */
        x[i] = (float)((int)owm_rng_below(&rng, 2 * (uint64_t)levels + 1) - levels);
    for (uint32_t i = 0; i < n; i++) {
        magnitude_of[i] = fabsf(x[i]);
        zeros += x[i] == 0;
        order[i] = i;
    }
    qsort(order, n, sizeof *order, by_magnitude);
    uint32_t wanted = k < n - zeros ? k : n - zeros;
    qsort(order, wanted, sizeof *order, by_number);
    assert_ok(device->backend->topk(device, &(struct owm_topk){x, index, &count, n, k}));
    assert_int_equal(count, wanted);
    assert_memory_equal(index, order, wanted * sizeof *index);
}

static void topk_is_exact_with_ties_to_the_lowest_index(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 7, 255, 256, 257, 4095, 65536, 69999};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t n = sizes[s];
        for (uint32_t part = 1; part <= 10; part += 3) {
            uint32_t k = (n * part + 9) / 10;
            check_topk(n, k, n + part, 0);
            check_topk(n, k, n + part, 2);
        }
    }
}

static void topk_refuses_what_it_cannot_rank(void **state)
{
    (void)state;
    float x[3] = {1, 2, 3};
    uint32_t index[3], count;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct owm_topk op = {x, index, &count, 3, 1};
    for (int i = 0; i < 3; i++) {
        x[1] = bad[i];
        assert_int_equal(device->backend->topk(device, &op), OWM_E_ARG);
    }
    x[1] = 1;
    op.k = 4;
    assert_int_equal(device->backend->topk(device, &op), OWM_E_ARG);
    op.k = 0;
    assert_int_equal(device->backend->topk(device, &op), OWM_E_ARG);
    /* Denormals are numbers like others. */
    float tiny[2] = {1e-42f, -1e-41f};
    assert_ok(device->backend->topk(device, &(struct owm_topk){tiny, index, &count, 2, 1}));
    assert_true(count == 1 && index[0] == 1);
}

static void quantising_rounds_to_nearest_is_exact_and_idempotent(void **state)
{
    (void)state;
    enum { COUNT = 1000, COORDINATES = 10 * COUNT };
    static float value[COUNT], before[COUNT], again[COUNT];
    static uint32_t index[COUNT];
    static int8_t code[COUNT], exponent[COORDINATES / OWM_QUANT_GROUP + 1];
    static uint16_t half[COUNT];
    struct owm_rng rng;
    owm_rng_seed(&rng, 7);
    for (uint32_t i = 0; i < COUNT; i++) index[i] = 10 * i + (uint32_t)owm_rng_below(&rng, 10);
    for (int scale = -30; scale < 30; scale += 7) {
        float largest = 0;
        fill_normal(&rng, value, COUNT, ldexp(1, 4 * scale));
        value[17] = 0;
        for (int i = 0; i < COUNT; i++) largest = fmaxf(largest, fabsf(value[i]));
        memcpy(before, value, sizeof value);
        int floor_exponent = owm_quant_floor(largest);
        struct owm_quantise op = {value, index,       code,           exponent,
                                  COUNT, COORDINATES, floor_exponent, OWM_QUANT_I8};
        assert_ok(device->backend->quantise(device, &op));
        for (int i = 0; i < COUNT; i++) {
            float step = ldexpf(1, exponent[index[i] / OWM_QUANT_GROUP]);
            float error = before[i] - value[i];
            assert_true(value[i] == (float)code[i] * step && code[i] >= -127);
            assert_true(fabsf(error) <= step / 2);
            assert_true(value[i] + error == before[i]); /* nothing is lost */
        }
        memcpy(again, value, sizeof value);
        op.value = again;
        assert_ok(device->backend->quantise(device, &op));
        assert_memory_equal(again, value, sizeof value);

        struct owm_quantise bf16 = {before, index,       half,           NULL,
                                    COUNT,  COORDINATES, floor_exponent, OWM_QUANT_BF16};
        memcpy(again, before, sizeof before);
        assert_ok(device->backend->quantise(device, &bf16));
        for (int i = 0; i < COUNT; i++)
            assert_true(fabsf(again[i] - before[i]) <= fabsf(again[i]) / 256
                        || fabsf(again[i]) < ldexpf(1, floor_exponent + 7));
        memcpy(again, before, sizeof before);
        assert_ok(device->backend->quantise(device, &bf16));
        assert_memory_equal(again, before, sizeof before);
    }
    value[3] = NAN;
    struct owm_quantise bad = {value, index, code, exponent, COUNT, COORDINATES, 0, OWM_QUANT_I8};
    assert_int_equal(device->backend->quantise(device, &bad), OWM_E_ARG);
}

#define N 200000u
#define P 7u

static void sum_and_gram_have_the_same_bits_in_every_split_and_order(void **state)
{
    (void)state;
    static float dense[P][N], one[N], other[N], expected[N];
    struct test_sparse sparse[P];
    struct owm_sparse view[P];
    double gram[P * P], threaded[P * P], exact;
    float alpha[P];
    struct owm_rng rng;
    owm_pool *pool;
    owm_rng_seed(&rng, 3);
    assert_ok(owm_pool_open(2, &pool));
    struct owm_device *two = test_device(pool);
    for (uint32_t p = 0; p < P; p++) {
        fill_normal(&rng, dense[p], N, ldexp(1, (int)p));
        sparse[p] = test_pick(device, dense[p], N, 100000, p % 2 ? OWM_DELTA_BF16 : OWM_DELTA_INT8);
        view[p] = sparse[p].view;
        alpha[p] = owm_rng_f32(&rng);
    }
    struct owm_sparse_sum op = {one, view, alpha, P, 0, N};
    assert_ok(device->backend->sparse_sum(device, &op));
    op.out = other;
    assert_ok(two->backend->sparse_sum(two, &op));
    assert_memory_equal(one, other, sizeof one);
    for (uint32_t first = 0; first < N; first += 33333) { /* ranges */
        uint32_t last = first + 33333 < N ? first + 33333 : N;
        assert_ok(device->backend->sparse_sum(
            device, &(struct owm_sparse_sum){other + first, view, alpha, P, first, last}));
    }
    assert_memory_equal(one, other, sizeof one);
    memset(expected, 0, sizeof expected);
    for (uint32_t p = 0; p < P; p++)
        for (uint32_t i = 0; i < view[p].count; i++)
            expected[view[p].index[i]] =
                fmaf(alpha[p], view[p].value[i], expected[view[p].index[i]]);
    assert_memory_equal(one, expected, sizeof one);

    assert_ok(device->backend->sparse_gram(device, &(struct owm_sparse_gram){gram, view, P}));
    assert_ok(two->backend->sparse_gram(two, &(struct owm_sparse_gram){threaded, view, P}));
    assert_memory_equal(gram, threaded, sizeof gram);
    for (uint32_t p = 0; p < P; p++) {
        exact = 0;
        for (uint32_t i = 0; i < view[p].count; i++)
            exact += (double)view[p].value[i] * (double)view[p].value[i];
        assert_true(fabs(gram[p * P + p] - exact) <= 1e-12 * exact);
    }
    for (uint32_t p = 0; p < P; p++) test_sparse_free(&sparse[p]);
    two->backend->close(two);
    owm_pool_close(pool);
}

static void gram_is_exact_where_doubles_are_not(void **state)
{
    (void)state;
    /* 2^20 * 2^20 + 1 * 1 - 2^20 * 2^20 = 1, and with a span of 2^30: sums that cancel. */
    uint32_t index[3] = {0, 1, 2};
    float a[3] = {ldexpf(127, 24), 1, ldexpf(127, 24)},
          b[3] = {ldexpf(127, 24), 1, ldexpf(-127, 24)};
    struct owm_sparse view[2] = {{3, 0, index, a}, {3, 0, index, b}};
    double gram[4];
    assert_ok(device->backend->sparse_gram(device, &(struct owm_sparse_gram){gram, view, 2}));
    assert_true(gram[1] == 1 && gram[2] == 1);
}

static void server_step_is_plain_or_nesterov(void **state)
{
    (void)state;
    float w[2] = {1, 2}, m[2] = {0.5f, 0}, u[2] = {1, -1};
    assert_ok(
        device->backend->apply_update(device, &(struct owm_apply_update){w, NULL, u, 2, 0.5f, 0}));
    assert_true(w[0] == 1.5f && w[1] == 1.5f);
    assert_ok(
        device->backend->apply_update(device, &(struct owm_apply_update){w, m, u, 2, 1.0f, 0.5f}));
    assert_true(m[0] == 1.25f && m[1] == -1.0f);
    assert_true(w[0] == 1.5f + 1.625f && w[1] == 1.5f - 1.5f);
    assert_int_equal(
        device->backend->apply_update(device, &(struct owm_apply_update){w, m, u, 2, NAN, 0.5f}),
        OWM_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topk_is_exact_with_ties_to_the_lowest_index),
        cmocka_unit_test(topk_refuses_what_it_cannot_rank),
        cmocka_unit_test(quantising_rounds_to_nearest_is_exact_and_idempotent),
        cmocka_unit_test(sum_and_gram_have_the_same_bits_in_every_split_and_order),
        cmocka_unit_test(gram_is_exact_where_doubles_are_not),
        cmocka_unit_test(server_step_is_plain_or_nesterov),
    };
    device = test_device(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device->backend->close(device);
    return failed;
}

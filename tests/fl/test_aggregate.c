/* test_aggregate.c: exact bits, weights, rules and the certificate (SRS-MODEL-06, SRS-MODEL-07,
 * SRS-SEC-05; design promise 5). */
#include "fl_test.h"

#define N 150000u
#define P 7u

static struct owm_device *device;
static struct test_sparse sparse[P];
static struct owm_fl_package package[P];

static void honest_packages(uint32_t count, uint64_t seed)
{
    static float common[N], dense[N];
    struct owm_rng rng;
    owm_rng_seed(&rng, seed);
    fill_normal(&rng, common, N, 1);
    for (uint32_t p = 0; p < count; p++) {
        fill_normal(&rng, dense, N, 1);
        for (uint32_t i = 0; i < N; i++) dense[i] += common[i];
        sparse[p] = test_pick(device, dense, N, 100000, OWM_DELTA_INT8);
        memset(&package[p], 0, sizeof package[p]);
        package[p].node_key[0] = (uint8_t)(40 + p);
        package[p].sha256[0] = (uint8_t)p;
        package[p].sparse = sparse[p].view;
        package[p].arrival_ms = p;
        package[p].prior = 1 + p % 3;
        package[p].loss_change = NAN;
    }
}

static void free_packages(uint32_t count)
{
    for (uint32_t p = 0; p < count; p++) test_sparse_free(&sparse[p]);
}

static void aggregates_are_the_same_bits_in_any_order_and_with_two_threads(void **state)
{
    (void)state;
    static float one[N], other[N], momentum[2][N];
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result a, b;
    struct owm_certificate certificate = {.round = 9, .parameter_count = N};
    char *text, *again;
    owm_pool *pool;
    policy.momentum = 0.5f;
    assert_ok(owm_pool_open(2, &pool));
    struct owm_device *two = test_device(pool);
    honest_packages(P, 1);
    memset(momentum, 0, sizeof momentum);
    assert_ok(owm_aggregate_round(device, &policy, package, P, N, one, momentum[0], &a));
    assert_true(a.faults == 1); /* floor(0.2 * 7): the robust rule, not the mean */
    assert_ok(owm_certificate_json(&certificate, &policy, package, &a, &text));
    for (uint32_t i = 0; i < P / 2; i++) { /* reversed */
        struct owm_fl_package swap = package[i];
        package[i] = package[P - 1 - i];
        package[P - 1 - i] = swap;
    }
    assert_ok(owm_aggregate_round(two, &policy, package, P, N, other, momentum[1], &b));
    assert_memory_equal(one, other, sizeof one);
    assert_memory_equal(momentum[0], momentum[1], sizeof momentum[0]);
    assert_ok(owm_certificate_json(&certificate, &policy, package, &b, &again));
    assert_string_equal(text, again); /* how anyone verifies a round */
    assert_true(text[0] == '{' && strstr(text, "\"verdict\":\"NONE\""));
    free(text);
    free(again);
    owm_aggregate_free(&a);
    owm_aggregate_free(&b);
    free_packages(P);
    two->backend->close(two);
    owm_pool_close(pool);
}

static void with_no_faults_it_is_the_weighted_mean_bit_for_bit(void **state)
{
    (void)state;
    static float weights[N], expected[N];
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result result;
    policy.clip = false;
    policy.weight_max = 1;
    for (uint32_t count = 1; count <= 4; count++) { /* floor(0.2 * 4) is 0 */
        double sum = 0;
        honest_packages(count, count);
        memset(weights, 0, sizeof weights);
        memset(expected, 0, sizeof expected);
        assert_ok(owm_aggregate_round(device, &policy, package, count, N, weights, NULL, &result));
        assert_int_equal(result.faults, 0);
        for (uint32_t p = 0; p < count; p++) sum += package[p].prior;
        for (uint32_t p = 0; p < count; p++) {
            float alpha = (float)(package[p].prior / sum);
            const struct owm_sparse *x = &package[p].sparse;
            assert_true((float)result.alpha[p] == alpha);
            for (uint32_t i = 0; i < x->count; i++)
                expected[x->index[i]] = fmaf(alpha, x->value[i], expected[x->index[i]]);
        }
        assert_memory_equal(weights, expected, sizeof weights);
        owm_aggregate_free(&result);
        free_packages(count);
    }
}

/* SRS-MODEL-07 */
static void norms_are_clipped_to_the_median_or_to_the_threshold(void **state)
{
    (void)state;
    static float weights[N];
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result result;
    honest_packages(4, 3);
    for (int fixed = 0; fixed < 2; fixed++) {
        policy.clip_norm = fixed ? 0.5 : 0;
        memset(weights, 0, sizeof weights);
        assert_ok(owm_aggregate_round(device, &policy, package, 4, N, weights, NULL, &result));
        double limit = fixed ? 0.5 : result.screen.median_norm, total = 0;
        for (uint32_t p = 0; p < 4; p++) {
            const struct owm_screen_verdict *v = &result.screen.verdict[p];
            assert_true(v->norm * v->clip <= limit * (1 + 1e-12));
            total += result.alpha[p] * v->norm;
        }
        double norm = 0;
        for (uint32_t i = 0; i < N; i++) norm += (double)weights[i] * (double)weights[i];
        assert_true(sqrt(norm) <= limit * 1.000001 && total <= limit * (1 + 1e-12));
        owm_aggregate_free(&result);
    }
    free_packages(4);
}

static void one_node_cannot_carry_the_round(void **state)
{
    (void)state;
    static float weights[N];
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result result;
    policy.clip = false;
    policy.fault_share = 0;
    honest_packages(4, 4);
    package[2].prior = 1e9; /* the richest stake there is */
    assert_ok(owm_aggregate_round(device, &policy, package, 4, N, weights, NULL, &result));
    double sum = 0, largest = 0;
    for (uint32_t p = 0; p < 4; p++) {
        sum += result.alpha[p];
        largest = fmax(largest, result.alpha[p]);
    }
    assert_true(fabs(sum - 1) < 1e-12 && largest <= 1.5 / 4 + 1e-12);
    owm_aggregate_free(&result);
    free_packages(4);
}

static void every_rule_works_from_one_to_seven_packages(void **state)
{
    (void)state;
    static float weights[N];
    for (int rule = OWM_RULE_STACK; rule <= OWM_RULE_MEDIAN; rule++) {
        for (uint32_t count = 1; count <= P; count++) {
            struct owm_aggregate_policy policy = owm_aggregate_defaults();
            struct owm_aggregate_result result;
            policy.rule = (enum owm_rule)rule;
            honest_packages(count, 5);
            memset(weights, 0, sizeof weights);
            owm_status status =
                owm_aggregate_round(device, &policy, package, count, N, weights, NULL, &result);
            bool krum = rule == OWM_RULE_KRUM || rule == OWM_RULE_MULTI_KRUM;
            /* Krum needs n > 2 f + 2; f is 0 below five packages and 1 from there. */
            bool enough = !krum || (count < 5 ? count > 2 : count > 4);
            assert_int_equal(status, enough ? OWM_OK : OWM_E_STATE);
            double sum = 0;
            for (uint32_t p = 0; p < count; p++)
                sum += result.alpha[p] / result.screen.verdict[p].clip;
            if (enough) assert_true(fabs(sum - 1) < 1e-9);
            owm_aggregate_free(&result);
            free_packages(count);
        }
    }
}

static void coordinate_rules_drop_the_extremes(void **state)
{
    (void)state;
    /* Five packages, all with the coordinates 1 and 3; the last two extreme in coordinate 3. */
    uint32_t index[2] = {1, 3};
    float value[5][2] = {{4, 1}, {4, 2}, {4, 3}, {4, 90}, {4, -90}};
    float weights[4];
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result result;
    policy.screening = false;
    policy.clip = false;
    for (uint32_t p = 0; p < 5; p++) {
        memset(&package[p], 0, sizeof package[p]);
        package[p].node_key[0] = (uint8_t)p;
        package[p].prior = 1;
        package[p].loss_change = NAN;
        package[p].sparse = (struct owm_sparse){2, 0, index, value[p]};
    }
    static const enum owm_rule rules[] = {OWM_RULE_TRIMMED_MEAN, OWM_RULE_MEDIAN};
    for (int i = 0; i < 2; i++) {
        memset(weights, 0, sizeof weights);
        policy.rule = rules[i];
        assert_ok(owm_aggregate_round(device, &policy, package, 5, 4, weights, NULL, &result));
        assert_true(weights[0] == 0 && weights[1] == 4 && weights[2] == 0 && weights[3] == 2);
        owm_aggregate_free(&result);
    }
}

static void with_nobody_left_the_weights_stay(void **state)
{
    (void)state;
    uint32_t index[1] = {0};
    float zero[1] = {0}, weights[2] = {1, 2};
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result result;
    memset(package, 0, sizeof package);
    package[0].prior = 1;
    package[0].sparse = (struct owm_sparse){1, 0, index, zero};
    assert_int_equal(owm_aggregate_round(device, &policy, package, 1, 2, weights, NULL, &result),
                     OWM_E_STATE);
    assert_int_equal(result.screen.verdict[0].reason, OWM_SCREEN_NOT_FINITE);
    assert_true(weights[0] == 1 && weights[1] == 2);
    owm_aggregate_free(&result);
    index[0] = 2; /* outside the model */
    assert_int_equal(owm_aggregate_round(device, &policy, package, 1, 2, weights, NULL, &result),
                     OWM_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregates_are_the_same_bits_in_any_order_and_with_two_threads),
        cmocka_unit_test(with_no_faults_it_is_the_weighted_mean_bit_for_bit),
        cmocka_unit_test(norms_are_clipped_to_the_median_or_to_the_threshold),
        cmocka_unit_test(one_node_cannot_carry_the_round),
        cmocka_unit_test(every_rule_works_from_one_to_seven_packages),
        cmocka_unit_test(coordinate_rules_drop_the_extremes),
        cmocka_unit_test(with_nobody_left_the_weights_stay),
    };
    device = test_device(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device->backend->close(device);
    return failed;
}

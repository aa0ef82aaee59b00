/* test_reward.c: SRS 4.4.2 against rational arithmetic, and the rolling window of SRS-SCHED-04. */
#include "test.h"

#include "controlplane/engine/reliability.h"
#include "controlplane/engine/reward.h"

/* The oracle: an unreduced fraction, multiplied factor by factor as the spec writes them. */
struct fraction {
    unsigned __int128 top, bottom;
};

static unsigned __int128 gcd(unsigned __int128 a, unsigned __int128 b)
{
    while (b) {
        unsigned __int128 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static struct fraction times(struct fraction a, uint64_t top, uint64_t bottom)
{
    a.top *= top;
    a.bottom *= bottom;
    unsigned __int128 common = gcd(a.top, a.bottom);
    if (common > 1) {
        a.top /= common;
        a.bottom /= common;
    }
    return a;
}

static int64_t oracle(const struct owm_reward_factors *f)
{
    static const uint64_t tier[4][2] = {{0, 1}, {1, 1}, {5, 2}, {8, 1}};
    static const uint64_t weight[OWM_TASK_TYPES] = {1, 3, 5, 1, 1, 1};
    struct fraction r = {1, 1};
    r = times(r, (uint64_t)f->base_msat, 1);
    r = times(r, tier[f->tier][0], tier[f->tier][1]);
    r = times(r, weight[f->type], 1);
    r = times(r, f->quality_ppm, 1000000);
    uint64_t above = f->uptime_ppm > 900000 ? f->uptime_ppm - 900000 : 0;
    r = times(r, 1000000 + 5 * above, 1000000);
    r = times(r, f->stake_bonus_ppm, 1000000);
    return (int64_t)(r.top / r.bottom);
}

/* SRS 4.4.2: every combination of a shrunk domain. */
static void test_reward_is_the_formula(void **state)
{
    (void)state;
    static const int64_t base[] = {0, 1, 7, 999, 10000, 1000003};
    static const uint32_t ppm[] = {0,      1,      333333, 500000, 899999,
                                   900000, 900001, 950000, 999999, 1000000};
    static const uint32_t bonus[] = {1000000, 1000001, 1333333, 1999999, 2000000};
    struct owm_reward_factors f;
    for (size_t b = 0; b < sizeof(base) / sizeof(base[0]); b++)
        for (int tier = 1; tier <= 3; tier++)
            for (int type = 0; type < OWM_TASK_TYPES; type++)
                for (size_t q = 0; q < 10; q++)
                    for (size_t u = 0; u < 10; u++)
                        for (size_t s = 0; s < 5; s++) {
                            f = (struct owm_reward_factors){base[b],
                                                            (enum owm_tier)tier,
                                                            (enum owm_task_type)type,
                                                            ppm[q],
                                                            ppm[u],
                                                            bonus[s]};
                            assert_int_equal(owm_reward_msat(&f), oracle(&f));
                        }
}

/* SRS 4.4.2 as numbers of the page: 10 sats base, T3, fl_round, full quality, uptime and stake. */
static void test_reward_examples(void **state)
{
    (void)state;
    struct owm_reward_factors f = {10000,   OWM_TIER_T1, OWM_TASK_INFERENCE,
                                   1000000, 900000,      1000000};
    assert_int_equal(owm_reward_msat(&f), 10000);
    f = (struct owm_reward_factors){10000,   OWM_TIER_T3, OWM_TASK_FL_ROUND,
                                    1000000, 1000000,     2000000};
    assert_int_equal(owm_reward_msat(&f), 10000 * 8 * 3 * 3 / 2 * 2);
    f.base_msat = OWM_REWARD_BASE_MSAT_MAX;
    f.type = OWM_TASK_GRADIENT_AGG;
    assert_int_equal(owm_reward_msat(&f), OWM_REWARD_BASE_MSAT_MAX * 8 * 5 * 3);
    f.quality_ppm = 0;
    assert_int_equal(owm_reward_msat(&f), 0);
}

/* No drift: the sum of n rewards is never more than, and within n millisats of, the exact total. */
static void test_reward_never_drifts(void **state)
{
    (void)state;
    struct owm_reward_factors f = {333, OWM_TIER_T2, OWM_TASK_INFERENCE, 777777, 912345, 1234567};
    int64_t sum = 0;
    const int64_t n = 100000;
    for (int64_t i = 0; i < n; i++) sum += owm_reward_msat(&f);
    f.base_msat *= n;
    int64_t exact = oracle(&f);
    assert_true(sum <= exact && exact - sum < n);
    assert_true(owm_reward_msat(&f) == exact);
}

/* More of anything never pays less. */
static void test_reward_is_monotone(void **state)
{
    (void)state;
    int64_t last = -1;
    for (uint32_t uptime = 0; uptime <= 1000000; uptime += 997) {
        struct owm_reward_factors f = {10000,   OWM_TIER_T2, OWM_TASK_FL_ROUND,
                                       1000000, uptime,      1500000};
        int64_t reward = owm_reward_msat(&f);
        assert_true(reward >= last);
        last = reward;
    }
}

/* TST-12: stake bonus 1.0 at the tier minimum. TST-13: 2.0 at three times, and no more. */
static void test_stake_bonus_TST_12_TST_13(void **state)
{
    (void)state;
    for (enum owm_tier tier = OWM_TIER_T1; tier <= OWM_TIER_T3; tier++) {
        int64_t least = owm_tier_stake_sats(tier);
        assert_int_equal(owm_stake_bonus_ppm(0, least), 1000000);
        assert_int_equal(owm_stake_bonus_ppm(least, least), 1000000);
        assert_int_equal(owm_stake_bonus_ppm(2 * least, least), 1500000);
        assert_int_equal(owm_stake_bonus_ppm(3 * least, least), 2000000);
        assert_int_equal(owm_stake_bonus_ppm(1000 * least, least), 2000000);
        assert_int_equal(owm_stake_bonus_ppm(INT64_MAX, least), 2000000);
    }
    assert_int_equal(owm_stake_bonus_ppm(5, 0), 1000000);
    for (int64_t least = 1; least <= 40; least++) /* exhaustive on small numbers */
        for (int64_t stake = 0; stake <= 5 * least; stake++) {
            double exact = 1.0 + (double)(stake - least) / (double)least * 0.5;
            exact = exact < 1 ? 1 : exact > 2 ? 2 : exact;
            int64_t got = owm_stake_bonus_ppm(stake, least);
            assert_true((double)got <= exact * 1e6 + 1e-6 && (double)got > exact * 1e6 - 1);
        }
}

#define HOUR (3600 * INT64_C(1000))

/* SRS-SCHED-04: (successful / total) x uptime over 7 days, and nothing older. */
static void test_reliability_SRS_SCHED_04(void **state)
{
    (void)state;
    struct owm_reliability r = {0};
    int64_t now = 20000 * 24 * HOUR;
    assert_int_equal(owm_reliability_ppm(&r, now), 1000000);
    for (int i = 0; i < 4; i++) owm_reliability_task(&r, i != 0, now);
    assert_int_equal(owm_reliability_tasks_ppm(&r, now), 750000);
    owm_reliability_watched(&r, true, 3 * HOUR, now);
    owm_reliability_watched(&r, false, HOUR, now);
    assert_int_equal(owm_reliability_uptime_ppm(&r, now), 750000);
    assert_int_equal(owm_reliability_ppm(&r, now), 562500);
    assert_int_equal(owm_reliability_ppm(&r, now + 6 * 24 * HOUR), 562500);
    assert_int_equal(owm_reliability_ppm(&r, now + 7 * 24 * HOUR), 1000000);
    owm_reliability_task(&r, true, now + 3 * 24 * HOUR);
    assert_int_equal(owm_reliability_tasks_ppm(&r, now + 3 * 24 * HOUR), 800000);
    assert_int_equal(owm_reliability_tasks_ppm(&r, now + 8 * 24 * HOUR), 1000000);
    owm_reliability_task(&r, false, now + 100 * 24 * HOUR);
    assert_int_equal(owm_reliability_tasks_ppm(&r, now + 100 * 24 * HOUR), 0);
}

static void test_reliability_codec(void **state)
{
    (void)state;
    struct owm_reliability r = {0};
    struct owm_reliability back;
    int64_t now = 20000 * 24 * HOUR;
    for (int i = 0; i < 40; i++) {
        owm_reliability_task(&r, i % 3, now + i * 6 * HOUR);
        owm_reliability_watched(&r, i % 5, 6 * HOUR, now + i * 6 * HOUR);
    }
    uint8_t bytes[OWM_RELIABILITY_BYTES];
    owm_reliability_encode(&r, bytes);
    assert_ok(owm_reliability_decode(bytes, sizeof(bytes), &back));
    assert_memory_equal(&r, &back, sizeof(r));
    assert_int_equal(owm_reliability_decode(bytes, sizeof(bytes) - 1, &back), OWM_E_PROTO);
    bytes[8] = 0xff; /* more good tasks than tasks */
    assert_int_equal(owm_reliability_decode(bytes, sizeof(bytes), &back), OWM_E_PROTO);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(owm_reliability_decode(bytes, sizeof(bytes), &back), OWM_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reward_is_the_formula),
        cmocka_unit_test(test_reward_examples),
        cmocka_unit_test(test_reward_never_drifts),
        cmocka_unit_test(test_reward_is_monotone),
        cmocka_unit_test(test_stake_bonus_TST_12_TST_13),
        cmocka_unit_test(test_reliability_SRS_SCHED_04),
        cmocka_unit_test(test_reliability_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

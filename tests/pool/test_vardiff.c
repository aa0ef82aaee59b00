/* test_vardiff.c: the estimate against simulated miners, with a clock of the test's own. */
#include <math.h>

#include "base/rng.h"
#include "pool/vardiff.h"
#include "test.h"

#define TRUE_RATE 1e12
#define IDEAL     (TRUE_RATE * 60 / OWM_VARDIFF_SHARES_PER_MINUTE)
#define CHECK_MS  5000

static const struct owm_vardiff_limits no_limits = {.easiest = 1, .hardest = UINT64_MAX};

/** miner: what mines with `rate`, at random or (steady) at even distances. */
struct miner {
    struct owm_vardiff vardiff;
    struct owm_vardiff_policy policy;
    struct owm_vardiff_limits limits;
    struct owm_rng rng;
    double rate, next_ms; /* Of the next share. */
    bool steady;
    int64_t now_ms;
    unsigned changes;
    uint64_t shares;
};

static void plan_share(struct miner *miner)
{
    double mean_ms = (double)miner->vardiff.hashes / miner->rate * 1000;
    double draw = miner->steady ? 1 : -log(1 - owm_rng_f64(&miner->rng));
    miner->next_ms = (double)miner->now_ms + draw * mean_ms;
}

static void begin(struct miner *miner, float said, uint64_t seed)
{
    owm_vardiff_policy_complete(&miner->policy);
    if (!miner->limits.hardest) miner->limits = no_limits;
    if (miner->rate == 0) miner->rate = TRUE_RATE;
    owm_rng_seed(&miner->rng, seed);
    miner->now_ms = 1000000;
    owm_vardiff_start(&miner->vardiff, &miner->policy, &miner->limits, said, miner->now_ms);
    plan_share(miner);
}

static void check(struct miner *miner)
{
    if (!owm_vardiff_check(&miner->vardiff, &miner->policy, &miner->limits, miner->now_ms)) return;
    miner->changes++;
    plan_share(miner); /* Memoryless: what was mined so far does not count. */
}

static void run(struct miner *miner, double seconds)
{
    int64_t end_ms = miner->now_ms + (int64_t)(seconds * 1000);
    while (miner->now_ms < end_ms) {
        int64_t tick_ms = (miner->now_ms / CHECK_MS + 1) * CHECK_MS;
        bool share = miner->next_ms < (double)tick_ms;
        miner->now_ms = share ? (int64_t)miner->next_ms : tick_ms;
        if (!share) {
            check(miner);
            continue;
        }
        miner->shares++;
        if (owm_vardiff_share(&miner->vardiff, miner->vardiff.hashes, miner->now_ms)) check(miner);
        double before = miner->next_ms;
        plan_share(miner);
        if (miner->next_ms <= before) miner->next_ms = before + 0.01; /* Whole ms would pile up. */
    }
}

static double off(const struct miner *miner)
{
    return (double)miner->vardiff.hashes / (miner->rate * 60 / OWM_VARDIFF_SHARES_PER_MINUTE) - 1;
}

/* From a thousand times too easy to a thousand times too hard: within 20 % in five minutes. */
static void converges_from_far_away(void **state)
{
    (void)state;
    static const double wrong[] = {1e-3, 1e-2, 0.1, 0.3, 1, 3, 10, 100, 1e3};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct miner miner = {.steady = true};
        begin(&miner, (float)(TRUE_RATE * wrong[i]), 1);
        run(&miner, 300);
        if (fabs(off(&miner)) > 0.2) fail_msg("from %g: off by %g", wrong[i], off(&miner));
    }
}

/* With arrivals as they really are: nine of ten are within 25 % after ten minutes. */
static void converges_with_random_arrivals(void **state)
{
    (void)state;
    static const double wrong[] = {1e-3, 0.1, 1, 10, 1e3};
    unsigned runs = 0, good = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        for (uint64_t seed = 0; seed < 100; seed++, runs++) {
            struct miner miner = {0};
            begin(&miner, (float)(TRUE_RATE * wrong[i]), seed);
            run(&miner, 600);
            good += fabs(off(&miner)) < 0.25;
        }
    if (good * 10 < runs * 9) fail_msg("%u of %u", good, runs);
}

/* Noise alone moves a target now and then and by little, and never in circles. */
static void does_not_oscillate(void **state)
{
    (void)state;
    unsigned changes = 0, runs = 50;
    double worst = 0;
    uint64_t shares = 0;
    for (uint64_t seed = 0; seed < runs; seed++) {
        struct miner miner = {0};
        begin(&miner, (float)TRUE_RATE, seed);
        run(&miner, 1800);
        unsigned before = miner.changes;
        uint64_t shares_before = miner.shares;
        run(&miner, 7200);
        changes += miner.changes - before;
        shares += miner.shares - shares_before;
        worst = fmax(worst, fabs(off(&miner)));
    }
    double per_hour = (double)changes / runs / 2, per_minute = (double)shares / runs / 120;
    if (per_hour > 8) fail_msg("%g changes an hour", per_hour);
    if (worst > 0.5) fail_msg("off by %g", worst);
    assert_true(per_minute > 16 && per_minute < 20);
}

static void follows_a_change_of_hashrate(void **state)
{
    (void)state;
    static const double factor[] = {0.01, 0.3, 4, 200};
    for (size_t i = 0; i < 4; i++) {
        struct miner miner = {.steady = true};
        begin(&miner, (float)TRUE_RATE, 3);
        run(&miner, 3600);
        miner.rate = TRUE_RATE * factor[i];
        plan_share(&miner);
        run(&miner, 1200);
        if (fabs(off(&miner)) > 0.25) fail_msg("factor %g: off by %g", factor[i], off(&miner));
    }
}

/* A bounded number of messages, whatever comes: no more than one in hurry_s. */
static void rate_of_changes_is_bounded(void **state)
{
    (void)state;
    struct miner miner = {0};
    begin(&miner, (float)TRUE_RATE, 5);
    for (int i = 0; i < 20000; i++) { /* 200 s in which everything is wrong all the time. */
        miner.now_ms += 10;
        uint64_t hashes = owm_rng_u64(&miner.rng) >> owm_rng_below(&miner.rng, 60);
        owm_vardiff_share(&miner.vardiff, hashes, miner.now_ms);
        if (owm_vardiff_check(&miner.vardiff, &miner.policy, &miner.limits, miner.now_ms))
            miner.changes++;
    }
    assert_true(miner.changes <= 200 / 5);
}

static void keeps_within_limits(void **state)
{
    (void)state;
    struct miner miner = {.limits = {.easiest = 1000, .hardest = 50000}, .rate = 1e3};
    begin(&miner, 1e3f, 1);
    assert_int_equal(miner.vardiff.hashes, 3333);
    miner.rate = 1e9;
    plan_share(&miner);
    run(&miner, 300);
    assert_int_equal(miner.vardiff.hashes, 50000);
    miner.rate = 1e-3;
    plan_share(&miner);
    run(&miner, 3600);
    assert_int_equal(miner.vardiff.hashes, 1000);
    miner.limits.easiest = 2000;
    assert_true(owm_vardiff_clamp(&miner.vardiff, &miner.limits, miner.now_ms));
    assert_int_equal(miner.vardiff.hashes, 2000);
    miner.limits = (struct owm_vardiff_limits){.easiest = 9000, .hardest = 5000};
    assert_true(owm_vardiff_clamp(&miner.vardiff, &miner.limits, miner.now_ms));
    assert_int_equal(miner.vardiff.hashes, 9000); /* The miner refuses easier ones. */
}

/* What a miner says of itself may be anything (f9c5101b of the reference implementation). */
static void nominal_rates_that_are_none(void **state)
{
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY, -1, 0, -0.0f, 1e-45f, 3e38f, 1e-30f};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct miner miner = {.steady = true};
        begin(&miner, odd[i], 1);
        assert_true(miner.vardiff.hashes > 0);
        owm_vardiff_hint(&miner.vardiff, &miner.policy, odd[i], miner.now_ms);
        run(&miner, 900);
        assert_true(isfinite(owm_vardiff_rate(&miner.vardiff)));
        if (odd[i] < 1e38f && fabs(off(&miner)) > 0.2)
            fail_msg("%g: off by %g", odd[i], off(&miner));
    }
    assert_false(owm_vardiff_rate_valid(NAN));
    assert_false(owm_vardiff_rate_valid(INFINITY));
    assert_false(owm_vardiff_rate_valid(-1));
    assert_true(owm_vardiff_rate_valid(0));
}

static void hints_are_followed_at_once(void **state)
{
    (void)state;
    struct miner miner = {.steady = true};
    begin(&miner, (float)TRUE_RATE, 1);
    run(&miner, 7);
    miner.rate = TRUE_RATE * 8;
    owm_vardiff_hint(&miner.vardiff, &miner.policy, (float)miner.rate, miner.now_ms);
    check(&miner);
    assert_int_equal(miner.changes, 1);
    assert_true(fabs(off(&miner)) < 0.01);
    owm_vardiff_hint(&miner.vardiff, &miner.policy, (float)miner.rate * 1.5f, miner.now_ms);
    check(&miner);
    assert_int_equal(miner.changes, 1);
}

static void clock_may_step_back(void **state)
{
    (void)state;
    struct miner miner = {.steady = true};
    begin(&miner, (float)TRUE_RATE, 1);
    run(&miner, 600);
    uint64_t hashes = miner.vardiff.hashes;
    miner.now_ms -= 3600 * 1000;
    check(&miner);
    assert_int_equal(miner.vardiff.hashes, hashes);
    plan_share(&miner);
    run(&miner, 600);
    assert_true(fabs(off(&miner)) < 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converges_from_far_away),
        cmocka_unit_test(converges_with_random_arrivals),
        cmocka_unit_test(does_not_oscillate),
        cmocka_unit_test(follows_a_change_of_hashrate),
        cmocka_unit_test(rate_of_changes_is_bounded),
        cmocka_unit_test(keeps_within_limits),
        cmocka_unit_test(nominal_rates_that_are_none),
        cmocka_unit_test(hints_are_followed_at_once),
        cmocka_unit_test(clock_may_step_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_screen.c: verdicts (SRS-MODEL-08, TST-02; design promise 6: an odd node is not punished). */
#include "fl_test.h"

#define MAX 100u

static struct owm_fl_package package[MAX];
static double gram[MAX * MAX];
static struct owm_screen_report report;
static struct owm_screen_policy policy;

/* n packages, orthogonal, with these norms. */
static void orthogonal(uint32_t n, const double *norm)
{
    memset(gram, 0, sizeof gram);
    memset(package, 0, sizeof package);
    policy = owm_screen_defaults();
    for (uint32_t i = 0; i < n; i++) {
        package[i].node_key[0] = (uint8_t)i;
        package[i].prior = 1;
        package[i].loss_change = NAN;
        package[i].arrival_ms = 1000 - i;
        gram[i * n + i] = norm[i] * norm[i];
    }
}

static void alike(uint32_t n, double *norm)
{
    for (uint32_t i = 0; i < n; i++) norm[i] = 1 + 0.1 * ((i * 7) % 5) / 4.0;
}

static void screen(uint32_t n)
{
    assert_ok(owm_screen(&policy, package, n, gram, &report));
}

static void alike_norms_pass_whatever_their_number(void **state)
{
    (void)state;
    double norm[MAX];
    for (uint32_t n = 1; n <= MAX; n++) {
        alike(n, norm);
        orthogonal(n, norm);
        screen(n);
        assert_int_equal(report.rejected, 0);
        for (uint32_t i = 0; i < n; i++) norm[i] = 3; /* MAD is 0 */
        norm[0] = 4;                                  /* inside the dead-band */
        orthogonal(n, norm);
        screen(n);
        assert_int_equal(report.rejected, 0);
    }
}

/* SRS-MODEL-08: what mean +- 3 sigma misses below 11 packages, median and MAD find. */
static void a_hundredfold_norm_is_found_from_three_packages_on(void **state)
{
    (void)state;
    double norm[MAX];
    for (uint32_t n = 3; n <= 20; n++) {
        alike(n, norm);
        norm[n - 1] = 100;
        orthogonal(n, norm);
        screen(n);
        assert_int_equal(report.rejected, 1);
        assert_int_equal(report.verdict[n - 1].reason, OWM_SCREEN_NORM_HIGH);
        if (n < 11) assert_true(report.verdict[n - 1].naive_z < 3.17);
        if (n < 10) assert_true(report.verdict[n - 1].naive_z < 3);
        /* Below five there are no statistics: no mark for the node. */
        assert_int_equal(report.verdict[n - 1].severity,
                         n < 5 ? OWM_SCREEN_REJECT_ONLY : OWM_SCREEN_SIGNAL);
    }
}

static void thirty_percent_colluders_do_not_mask_each_other(void **state)
{
    (void)state;
    double norm[20];
    alike(20, norm);
    for (uint32_t i = 0; i < 6; i++) norm[i] = 10;
    orthogonal(20, norm);
    screen(20);
    assert_int_equal(report.rejected, 6);
    for (uint32_t i = 0; i < 6; i++) assert_true(report.verdict[i].naive_z < 3);
}

static void zero_and_tiny_updates_are_refused_without_a_mark(void **state)
{
    (void)state;
    double norm[6] = {1, 1.1, 0.9, 0.05, 0, 1};
    orthogonal(6, norm);
    screen(6);
    assert_int_equal(report.verdict[3].reason, OWM_SCREEN_NORM_LOW);
    assert_int_equal(report.verdict[4].reason, OWM_SCREEN_NOT_FINITE);
    assert_int_equal(report.rejected, 2);
    assert_int_equal(report.verdict[3].severity, OWM_SCREEN_REJECT_ONLY);
    assert_int_equal(report.verdict[4].severity, OWM_SCREEN_REJECT_ONLY);
}

static void of_two_packages_none_is_refused_by_norm(void **state)
{
    (void)state;
    double norm[2] = {1, 1000};
    orthogonal(2, norm);
    screen(2);
    assert_int_equal(report.rejected, 0);
    norm[0] = 0;
    orthogonal(1, norm);
    screen(1);
    assert_int_equal(report.rejected, 1);
}

static void honest_lognormal_norms_are_rarely_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {5, 7, 10, 20, 32, 100};
    struct owm_rng rng;
    double norm[MAX];
    owm_rng_seed(&rng, 1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t n = sizes[s], rounds = 2000, alarms = 0;
        for (uint32_t round = 0; round < rounds; round++) {
            for (uint32_t i = 0; i < n; i++) norm[i] = exp(0.3 * owm_rng_normal(&rng));
            orthogonal(n, norm);
            screen(n);
            alarms += report.rejected > 0;
        }
        assert_true(alarms <= rounds / 50); /* promised: < 1 % of rounds */
    }
}

static void duplicates_lose_to_the_earlier_and_only_copies_are_marked(void **state)
{
    (void)state;
    double norm[6] = {1, 1, 1, 1, 1, 1};
    orthogonal(6, norm);
    gram[0 * 6 + 3] = gram[3 * 6 + 0] = 1;    /* identical; 3 arrived before 0 */
    gram[1 * 6 + 4] = gram[4 * 6 + 1] = 0.99; /* alike */
    gram[2 * 6 + 5] = gram[5 * 6 + 2] = 0.9;  /* as honest nodes may be */
    screen(6);
    assert_int_equal(report.rejected, 2);
    assert_int_equal(report.verdict[0].reason, OWM_SCREEN_DUPLICATE);
    assert_int_equal(report.verdict[0].duplicate_of, 3);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_SIGNAL);
    assert_int_equal(report.verdict[1].reason, OWM_SCREEN_DUPLICATE);
    assert_int_equal(report.verdict[1].severity, OWM_SCREEN_REJECT_ONLY);
}

/* Boosted sign flip among four: too few for statistics, but too large and harmful is evidence. */
static void too_large_and_harmful_is_marked_among_four(void **state)
{
    (void)state;
    double norm[4] = {10, 1, 1.1, 0.9};
    orthogonal(4, norm);
    screen(4);
    assert_int_equal(report.verdict[0].reason, OWM_SCREEN_NORM_HIGH);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_REJECT_ONLY);
    for (int i = 0; i < 4; i++) package[i].loss_change = i == 0 ? 2 : -0.2;
    screen(4);
    assert_int_equal(report.verdict[0].reason, OWM_SCREEN_NORM_HIGH);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_SIGNAL);
    assert_int_equal(report.rejected, 1);
}

/* The attack that norms cannot show: same norm, other sign, among four nodes. */
static void a_raised_held_out_loss_is_refused(void **state)
{
    (void)state;
    double norm[4] = {1, 1, 1, 1};
    orthogonal(4, norm);
    package[0].loss_change = 0.5;
    package[1].loss_change = -0.3;
    package[2].loss_change = -0.2;
    package[3].loss_change = 0.04; /* within the margin: an odd shard */
    screen(4);
    assert_int_equal(report.rejected, 1);
    assert_int_equal(report.verdict[0].reason, OWM_SCREEN_LOSS);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_SIGNAL);
    package[0].loss_change = 0.1;
    screen(4);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_REJECT_ONLY);
    package[0].loss_change = INFINITY;
    screen(4);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_SIGNAL);
    /* In a fast round a package that hardly helps is refused, without a mark. */
    for (int i = 0; i < 4; i++) package[i].loss_change = i == 0 ? -0.3 : -2.5;
    screen(4);
    assert_int_equal(report.verdict[0].reason, OWM_SCREEN_LOSS);
    assert_int_equal(report.verdict[0].severity, OWM_SCREEN_REJECT_ONLY);
    assert_int_equal(report.rejected, 1);
    /* Where nobody lowers the loss it is not one node's fault. */
    for (int i = 0; i < 4; i++) package[i].loss_change = 0.5;
    screen(4);
    assert_int_equal(report.rejected, 0);
    for (int i = 0; i < 4; i++) package[i].loss_change = NAN;
    screen(4);
    assert_int_equal(report.rejected, 0);
}

static void bad_arguments_are_named(void **state)
{
    (void)state;
    double norm[3] = {1, 1, 1};
    orthogonal(3, norm);
    package[1].node_key[0] = 0;
    assert_int_equal(owm_screen(&policy, package, 3, gram, &report), OWM_E_ARG);
    orthogonal(3, norm);
    package[1].prior = 0;
    assert_int_equal(owm_screen(&policy, package, 3, gram, &report), OWM_E_ARG);
    package[1].prior = NAN;
    assert_int_equal(owm_screen(&policy, package, 3, gram, &report), OWM_E_ARG);
    orthogonal(3, norm);
    policy.dead_band = 0.5;
    assert_int_equal(owm_screen(&policy, package, 3, gram, &report), OWM_E_ARG);
    assert_int_equal(owm_screen(&policy, package, OWM_SPARSE_PACKAGES_MAX + 1, gram, &report),
                     OWM_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alike_norms_pass_whatever_their_number),
        cmocka_unit_test(a_hundredfold_norm_is_found_from_three_packages_on),
        cmocka_unit_test(thirty_percent_colluders_do_not_mask_each_other),
        cmocka_unit_test(zero_and_tiny_updates_are_refused_without_a_mark),
        cmocka_unit_test(of_two_packages_none_is_refused_by_norm),
        cmocka_unit_test(honest_lognormal_norms_are_rarely_refused),
        cmocka_unit_test(duplicates_lose_to_the_earlier_and_only_copies_are_marked),
        cmocka_unit_test(too_large_and_harmful_is_marked_among_four),
        cmocka_unit_test(a_raised_held_out_loss_is_refused),
        cmocka_unit_test(bad_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

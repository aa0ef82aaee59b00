/* test_attacks.c: poisoned updates against the default stack and against the plain mean (TST-02,
 * SRS-SEC-05, SRS-MODEL-06, SRS-MODEL-07, SRS-MODEL-08; facts 2.5).
 *
 * Task: twenty nodes, node i pulls towards its own optimum o_i = o + spread. The best model is the
 * mean of the honest optima, known exactly; the distance to it, relative to the start, is the
 * score.
 */
#include "fl_test.h"

#define N       3000u
#define NODES   20u
#define ROUNDS  80
#define RATE    0.3f /* local progress per round */
#define SPREAD  0.5  /* of the nodes' optima; that of the common part is 1 */
#define NOISE   0.05
#define K_SHARE 100000
#define LOST    1e6 /* a score from which nothing comes back */

enum attack {
    NONE,
    ZERO,
    FLIP,
    FLIP_10,
    FLIP_100,
    GAUSS,
    ALIE,
    IPM,
    REPLAY,
    SYBIL,
    LONELY,
    ATTACKS
};
static const char *const names[ATTACKS] = {
    "none", "zero", "flip",   "flip x10", "flip x100",         "gauss",
    "alie", "ipm",  "replay", "sybil",    "lonely coordinates"};

struct game {
    struct owm_rng rng;
    float optimum[NODES][N], residual[NODES][N], delta[NODES][N];
    float best[N], model[N], old[N], evil[N];
    struct test_sparse sent[NODES];
    struct owm_fl_package package[NODES];
};

static struct owm_device *device;
static struct game *g;

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (uint32_t i = 0; i < N; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

static void set_up(uint32_t nodes, uint32_t attackers)
{
    static float common[N];
    memset(g, 0, sizeof *g);
    owm_rng_seed(&g->rng, 42);
    fill_normal(&g->rng, common, N, 1);
    for (uint32_t p = 0; p < nodes; p++) {
        fill_normal(&g->rng, g->optimum[p], N, SPREAD);
        for (uint32_t i = 0; i < N; i++) {
            g->optimum[p][i] += common[i];
            if (p >= attackers) g->best[i] += g->optimum[p][i] / (float)(nodes - attackers);
        }
    }
}

static double norm_of(const struct owm_sparse *x)
{
    double sum = 0;
    for (uint32_t i = 0; i < x->count; i++) sum += (double)x->value[i] * (double)x->value[i];
    return sqrt(sum);
}

/* Mean and deviation of what the honest would send, as colluders who know everything see it. */
static void honest_moments(uint32_t nodes, uint32_t attackers, float *mean, float *deviation)
{
    for (uint32_t i = 0; i < N; i++) {
        double sum = 0, squares = 0, count = nodes - attackers;
        for (uint32_t p = attackers; p < nodes; p++) {
            sum += (double)g->delta[p][i];
            squares += (double)g->delta[p][i] * (double)g->delta[p][i];
        }
        mean[i] = (float)(sum / count);
        deviation[i] = (float)sqrt(fmax(0, squares / count - sum / count * sum / count));
    }
}

static void make_evil(enum attack attack, uint32_t who, uint32_t nodes, uint32_t attackers)
{
    static float mean[N], deviation[N];
    honest_moments(nodes, attackers, mean, deviation);
    for (uint32_t i = 0; i < N; i++) {
        float noise = (float)owm_rng_normal(&g->rng);
        switch (attack) {
        case ZERO:
            g->evil[i] = i == who ? 1e-6f : 0;
            break;
        case FLIP:
        case FLIP_10:
        case FLIP_100:
            g->evil[i] = -g->delta[who][i];
            break;
        case GAUSS:
            g->evil[i] = noise;
            break;
        case ALIE:
            g->evil[i] = mean[i] - 1.5f * deviation[i];
            break;
        case IPM:
            g->evil[i] = -mean[i] + 0.3f * deviation[i] * noise;
            break;
        case REPLAY:
            g->evil[i] = g->old[i] * (1 + 0.5f * noise);
            break;
        case SYBIL:
            g->evil[i] = -mean[i];
            break;
        case LONELY:
            g->evil[i] = i % 50 == 0 ? 10 + noise : 0;
            break;
        case NONE:
        case ATTACKS:
            break;
        }
    }
}

/* Attackers bring their norm to that of an honest package, times 1, 10 or 100. */
static void send_evil(enum attack attack, uint32_t who, double honest_norm)
{
    double factor = attack == FLIP_10 ? 10 : attack == FLIP_100 ? 100 : 1;
    g->sent[who] = test_pick(device, g->evil, N, K_SHARE, OWM_DELTA_INT8);
    if (attack == ZERO) return;
    float scale = (float)(factor * honest_norm / norm_of(&g->sent[who].view));
    for (uint32_t i = 0; i < N; i++) g->evil[i] *= scale;
    test_sparse_free(&g->sent[who]);
    g->sent[who] = test_pick(device, g->evil, N, K_SHARE, OWM_DELTA_INT8);
}

static void send_honest(uint32_t who)
{
    struct owm_feedback_config config = owm_feedback_defaults();
    uint32_t k = owm_feedback_k(&config, N);
    struct test_sparse *s = &g->sent[who];
    s->index = malloc(k * sizeof *s->index);
    s->value = malloc(k * sizeof *s->value);
    assert_ok(owm_feedback_pick(device, &config, g->residual[who], g->delta[who], N, s->index,
                                s->value, &s->view));
}

static void collect(enum attack attack, uint32_t nodes, uint32_t attackers, int round)
{
    for (uint32_t p = 0; p < nodes; p++)
        for (uint32_t i = 0; i < N; i++)
            g->delta[p][i] =
                RATE * (g->optimum[p][i] - g->model[i]) + (float)(NOISE * owm_rng_normal(&g->rng));
    if (round == 0) memcpy(g->old, g->delta[0], sizeof g->old);
    for (uint32_t p = attackers; p < nodes; p++) send_honest(p);
    double honest_norm = norm_of(&g->sent[attackers].view);
    for (uint32_t p = 0; p < attackers; p++) {
        make_evil(attack, p, nodes, attackers);
        send_evil(attack, p, honest_norm);
    }
    for (uint32_t p = 0; p < nodes; p++) {
        memset(&g->package[p], 0, sizeof g->package[p]);
        g->package[p].node_key[0] = (uint8_t)(p * 37); /* attackers are spread over the order */
        g->package[p].node_key[1] = (uint8_t)p;
        g->package[p].arrival_ms = nodes - p;
        g->package[p].sparse = g->sent[p].view;
        g->package[p].prior = 1;
        g->package[p].loss_change = NAN;
    }
}

/* The coordinator's own test: what does this package do to the loss, at its weight in the mean? */
static void measure_losses(uint32_t nodes)
{
    static float with[N];
    double before = distance(g->model, g->best);
    for (uint32_t p = 0; p < nodes; p++) {
        const struct owm_sparse *x = &g->package[p].sparse;
        memcpy(with, g->model, sizeof with);
        for (uint32_t i = 0; i < x->count; i++) with[x->index[i]] += x->value[i] / (float)nodes;
        g->package[p].loss_change = distance(with, g->best) - before;
    }
}

struct outcome {
    double score; /* distance to the best model, 1 at the start */
    uint32_t caught, punished_honest, refused_honest;
};

static struct outcome play(const struct owm_aggregate_policy *policy, enum attack attack,
                           uint32_t nodes, uint32_t attackers, bool root)
{
    struct outcome out = {0};
    set_up(nodes, attackers);
    double start = distance(g->model, g->best);
    for (int round = 0; round < ROUNDS && out.score < LOST; round++) {
        struct owm_aggregate_result result;
        collect(attack, nodes, attackers, round);
        if (root) measure_losses(nodes);
        assert_ok(
            owm_aggregate_round(device, policy, g->package, nodes, N, g->model, NULL, &result));
        for (uint32_t i = 0; i < nodes; i++) {
            const struct owm_screen_verdict *v = &result.screen.verdict[i];
            uint32_t who = g->package[i].node_key[1];
            bool bad = who < attackers, refused = v->reason != OWM_SCREEN_NONE;
            out.caught += bad && refused;
            out.refused_honest += !bad && refused;
            out.punished_honest += !bad && v->severity == OWM_SCREEN_SIGNAL;
            if (!bad && refused) /* the receipt gives the mass back */
                assert_ok(owm_feedback_restore(g->residual[who], N, &g->package[i].sparse));
        }
        owm_aggregate_free(&result);
        for (uint32_t p = 0; p < nodes; p++) test_sparse_free(&g->sent[p]);
        out.score = distance(g->model, g->best) / start;
    }
    return out;
}

static struct owm_aggregate_policy plain_mean(void)
{
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    policy.rule = OWM_RULE_FEDAVG;
    policy.screening = false;
    policy.clip = false;
    return policy;
}

/* SRS-SEC-05, TST-02: four attackers among twenty. */
static void the_stack_converges_under_each_attack(void **state)
{
    (void)state;
    struct owm_aggregate_policy stack = owm_aggregate_defaults(), mean = plain_mean();
    double clean = play(&stack, NONE, NODES, 0, false).score;
    print_message("no attack: stack %.3f, mean %.3f\n", clean,
                  play(&mean, NONE, NODES, 0, false).score);
    assert_true(clean < 0.2);
    for (int attack = ZERO; attack < ATTACKS; attack++) {
        struct outcome s = play(&stack, (enum attack)attack, NODES, 4, false);
        struct outcome m = play(&mean, (enum attack)attack, NODES, 4, false);
        print_message("%-18s stack %.3f (caught %.0f %%, honest refused %u) mean %.3f\n",
                      names[attack], s.score, 100.0 * s.caught / (4 * ROUNDS), s.refused_honest,
                      m.score);
        assert_true(s.score < 0.35);
        assert_int_equal(s.punished_honest, 0);
        assert_true(s.refused_honest <= NODES * ROUNDS / 100);
        if (attack == FLIP_10 || attack == FLIP_100) {
            assert_int_equal(s.caught, 4 * ROUNDS);
            assert_true(m.score > 2); /* the mean is lost */
        }
        if (attack == ZERO) assert_int_equal(s.caught, 4 * ROUNDS);
    }
}

/* The demo's case: one sign flip with an honest norm among four nodes. Only held-out data shows it.
 */
static void a_norm_matched_flip_among_four_is_caught_with_root_data(void **state)
{
    (void)state;
    struct owm_aggregate_policy stack = owm_aggregate_defaults(), mean = plain_mean();
    struct outcome s = play(&stack, FLIP, 4, 1, true);
    struct outcome m = play(&mean, FLIP, 4, 1, false);
    print_message("flip, 1 of 4: stack with root data %.3f (caught %u of %d), mean %.3f\n", s.score,
                  s.caught, ROUNDS, m.score);
    assert_true(s.score < 0.2 && s.score < m.score);
    assert_true(s.caught >= ROUNDS / 2); /* all, until the model is so good that it does no harm */
    assert_int_equal(s.punished_honest, 0);
}

/* Plain Krum takes the empty package (facts 2.3): the reason for the floor on norms. */
static void plain_krum_follows_a_tiny_package_and_the_guard_prevents_it(void **state)
{
    (void)state;
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    policy.rule = OWM_RULE_KRUM;
    policy.screening = false;
    policy.clip = false;
    double lost = play(&policy, ZERO, NODES, 4, false).score;
    policy.screening = true;
    struct outcome guarded = play(&policy, ZERO, NODES, 4, false);
    print_message("krum against tiny packages: %.3f, all caught by the guard: %d\n", lost,
                  guarded.caught == 4 * ROUNDS);
    assert_true(lost > 0.95); /* it never moved */
    assert_int_equal(guarded.caught, 4 * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stack_converges_under_each_attack),
        cmocka_unit_test(a_norm_matched_flip_among_four_is_caught_with_root_data),
        cmocka_unit_test(plain_krum_follows_a_tiny_package_and_the_guard_prevents_it),
    };
    g = malloc(sizeof *g);
    if (!g) return 1;
    device = test_device(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device->backend->close(device);
    free(g);
    return failed;
}

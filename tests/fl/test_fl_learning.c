/* test_fl_learning.c: four nodes learn one transformer from different shards of real text, through
 * the packages, receipts and aggregation of the product (issue 2; SRS-MODEL-06, SRS-MODEL-08,
 * TST-02).
 *
 * Text: /usr/share/doc/<package>/copyright and /usr/share/common-licenses. Sorted by name and cut
 * into quarters, so that shards differ; each sixteenth file is held out.
 */
#include <glob.h>

#include "dataplane/model/train.h"
#include "fl_test.h"

#define NODES     4
#define HELD_OUT  65536 /* bytes */
#define ROOT      16384 /* bytes on which the coordinator measures a package */
#define FILES_MIN 40

struct settings {
    uint32_t rounds, steps, batch;
    float lr, server_lr, momentum;
    uint32_t density_ppm;
    uint32_t flippers; /* nodes that send minus what they learned */
};

struct node {
    owm_identity *identity;
    struct owm_text text;
    float *residual;
};

static owm_pool *pool;
static struct owm_device *device;
static owm_model *model;
static struct node node[NODES];
static struct owm_text held_out;
static uint32_t n;
static float *initial;

/* --- text ------------------------------------------------------------------------------------- */

static bool list_files(glob_t *files)
{
    int status = glob("/usr/share/common-licenses/*", 0, NULL, files);
    if (status != 0 && status != GLOB_NOMATCH) return false;
    status = glob("/usr/share/doc/*/copyright", status == 0 ? GLOB_APPEND : 0, NULL, files);
    return status == 0 && files->gl_pathc >= FILES_MIN;
}

static bool load_text(void)
{
    glob_t files;
    struct owm_error error;
    if (!list_files(&files)) return false;
    const char **path = malloc(files.gl_pathc * sizeof *path);
    assert_non_null(path);
    size_t taken = 0;
    for (size_t i = 15; i < files.gl_pathc; i += 16) path[taken++] = files.gl_pathv[i];
    assert_ok(owm_text_from_files(&held_out, path, taken, HELD_OUT, &error));
    for (size_t s = 0; s < NODES; s++) {
        size_t first = s * files.gl_pathc / NODES, last = (s + 1) * files.gl_pathc / NODES;
        taken = 0;
        for (size_t i = first; i < last; i++)
            if (i % 16 != 15) path[taken++] = files.gl_pathv[i];
        assert_ok(owm_text_from_files(&node[s].text, path, taken, 4 << 20, &error));
    }
    free(path);
    globfree(&files);
    return true;
}

/* --- a round ---------------------------------------------------------------------------------- */

static double loss_of(const float *weights, size_t bytes)
{
    double bits;
    struct owm_error error;
    assert_ok(owm_model_put_params(model, weights));
    size_t count = bytes < held_out.count ? bytes : held_out.count;
    assert_ok(owm_model_bits_per_byte(model, held_out.bytes, count, &bits, &error));
    return bits;
}

/* Train from `base` and make this node's signed package. */
static uint8_t *work(struct node *me, uint32_t number, const struct settings *s, uint64_t round,
                     const float *base, size_t *bytes)
{
    struct owm_train_options options = owm_train_options_default();
    struct owm_train_result trained;
    struct owm_feedback_config config = owm_feedback_defaults();
    struct owm_delta_header header = {.round = round, .parameter_count = n};
    struct owm_error error;
    float *delta = malloc(n * sizeof *delta);
    uint8_t *package;
    assert_non_null(delta);
    options.steps = s->steps;
    options.batch = s->batch;
    options.lr = s->lr;
    options.warmup_steps = s->steps / 10;
    options.seed = round * NODES + number;
    config.density_ppm = s->density_ppm;
    assert_ok(owm_model_put_params(model, base));
    assert_ok(owm_train_run(model, &me->text, &options, NULL, NULL, NULL, &trained, &error));
    assert_ok(owm_model_get_params(model, delta));
    for (uint32_t i = 0; i < n; i++) delta[i] -= base[i];
    if (number < s->flippers)
        for (uint32_t i = 0; i < n; i++) delta[i] = -delta[i];
    memcpy(header.node_key, owm_identity_public_key(me->identity), 32);
    header.tokens = (uint32_t)trained.tokens;
    assert_ok(owm_feedback_package(device, &config, &header, me->residual, delta, &package, bytes));
    assert_ok(owm_delta_sign(package, *bytes, me->identity));
    free(delta);
    return package;
}

static void receive(struct owm_fl_package *package, struct owm_delta *delta, const uint8_t *bytes,
                    size_t count, uint64_t round, const owm_identity *from)
{
    struct owm_delta_expect expect = {.round = round, .parameter_count = n, .k_max = n / 10};
    enum owm_delta_reason reason;
    struct owm_error error;
    memcpy(expect.node_key, owm_identity_public_key(from), 32);
    assert_ok(owm_delta_decode(bytes, count, &expect, delta, &reason, &error));
    memset(package, 0, sizeof *package);
    memcpy(package->node_key, delta->header.node_key, 32);
    memcpy(package->sha256, delta->sha256, 32);
    package->sparse = delta->sparse;
    package->prior = 1;
}

/* What this package does to the held-out loss at its weight in the mean. */
static double loss_with(const struct owm_fl_package *package, const float *weights, float weight,
                        double loss_before)
{
    float *with = malloc(n * sizeof *with);
    assert_non_null(with);
    memcpy(with, weights, n * sizeof *with);
    for (uint32_t i = 0; i < package->sparse.count; i++)
        with[package->sparse.index[i]] += weight * package->sparse.value[i];
    double loss = loss_of(with, ROOT);
    free(with);
    return loss - loss_before;
}

static uint32_t node_of(const struct owm_fl_package *package)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (memcmp(owm_identity_public_key(node[i].identity), package->node_key, 32) == 0) return i;
    fail_msg("a package of nobody");
    return 0;
}

/* Returns how many of the flippers were caught; fails if an honest node was. */
static uint32_t run_round(const struct settings *s, uint64_t round, float *weights, float *momentum)
{
    struct owm_aggregate_policy policy = owm_aggregate_defaults();
    struct owm_aggregate_result result;
    struct owm_fl_package package[NODES];
    struct owm_delta delta[NODES];
    uint32_t caught = 0;
    size_t total = 0;
    double before = loss_of(weights, ROOT);
    policy.learning_rate = s->server_lr;
    policy.momentum = s->momentum;
    for (uint32_t i = 0; i < NODES; i++) {
        size_t bytes;
        uint8_t *wire = work(&node[i], i, s, round, weights, &bytes);
        receive(&package[i], &delta[i], wire, bytes, round, node[i].identity);
        package[i].arrival_ms = i;
        package[i].loss_change = loss_with(&package[i], weights, s->server_lr / NODES, before);
        total += bytes;
        free(wire);
    }
    assert_ok(owm_aggregate_round(device, &policy, package, NODES, n, weights, momentum, &result));
    double cosine = 0;
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < i; j++)
            cosine = fmax(cosine, result.gram[i * NODES + j] / result.screen.verdict[i].norm
                                      / result.screen.verdict[j].norm);
    print_message("round %u: %zu bytes, largest cosine %.2f, loss changes", (unsigned)round, total,
                  cosine);
    for (uint32_t i = 0; i < NODES; i++) {
        const struct owm_screen_verdict *v = &result.screen.verdict[i];
        print_message(" %+.3f%s", package[i].loss_change, v->reason ? "!" : "");
        uint32_t who = node_of(&package[i]);
        if (v->reason == OWM_SCREEN_NONE) continue;
        if (who >= s->flippers)
            fail_msg("honest node refused: %s", owm_screen_reason_text(v->reason));
        caught++;
        assert_ok(owm_feedback_restore(node[who].residual, n, &package[i].sparse));
    }
    print_message("\n");
    for (uint32_t i = 0; i < NODES; i++) owm_delta_free(&delta[i]);
    owm_aggregate_free(&result);
    return caught;
}

static double learn(const struct settings *s, uint32_t *caught)
{
    float *weights = malloc(n * sizeof *weights), *momentum = calloc(n, sizeof *momentum);
    assert_non_null(weights);
    assert_non_null(momentum);
    memcpy(weights, initial, n * sizeof *weights);
    for (uint32_t i = 0; i < NODES; i++) memset(node[i].residual, 0, n * sizeof(float));
    *caught = 0;
    double loss = loss_of(weights, HELD_OUT);
    print_message("start: %.3f bits per byte\n", loss);
    for (uint64_t round = 1; round <= s->rounds; round++) {
        *caught += run_round(s, round, weights, momentum);
        loss = loss_of(weights, HELD_OUT);
        print_message("round %u: %.3f bits per byte\n", (unsigned)round, loss);
    }
    free(weights);
    free(momentum);
    return loss;
}

/* --- tests ------------------------------------------------------------------------------------ */

/* Short forms of the demo, which trains 160 steps in a round and five rounds: 2.75 bits per byte.
 */
static void four_nodes_learn_one_model(void **state)
{
    (void)state;
    static const struct settings s = {.rounds = 2,
                                      .steps = 40,
                                      .batch = 4,
                                      .lr = 3e-3f,
                                      .server_lr = 2.0f,
                                      .density_ppm = 100000};
    uint32_t caught;
    double loss = learn(&s, &caught);
    assert_int_equal(caught, 0);
    assert_true(loss < 4.8);
}

/* A node that sends minus what it learned has an honest norm; held-out text shows it each round. */
static void a_flipping_node_is_caught_each_round_and_the_others_learn(void **state)
{
    (void)state;
    static const struct settings s = {.rounds = 3,
                                      .steps = 40,
                                      .batch = 4,
                                      .lr = 3e-3f,
                                      .server_lr = 2.0f,
                                      .density_ppm = 100000,
                                      .flippers = 1};
    uint32_t caught;
    double loss = learn(&s, &caught);
    assert_int_equal(caught, s.rounds);
    assert_true(loss < 4.8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_nodes_learn_one_model),
        cmocka_unit_test(a_flipping_node_is_caught_each_round_and_the_others_learn),
    };
    struct owm_model_config config = owm_model_config_default();
    struct owm_error error = {""};
    if (!load_text()) return TEST_SKIP;
    n = (uint32_t)owm_model_config_params(&config);
    initial = malloc(n * sizeof *initial);
    owm_model_init_params(&config, 1, initial);
    if (owm_pool_open(0, &pool) != OWM_OK) return 1;
    device = test_device(pool);
    struct owm_model_options options = {
        .device = device, .batch_max = 16, .seq_max = config.context, .train = true};
    if (owm_model_open(&model, &config, &options, &error) != OWM_OK) {
        print_message("%s\n", error.text);
        return 1;
    }
    for (uint8_t i = 0; i < NODES; i++) {
        node[i].identity = test_identity((uint8_t)(i + 1));
        node[i].residual = calloc(n, sizeof(float));
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (uint32_t i = 0; i < NODES; i++) {
        owm_identity_close(node[i].identity);
        owm_text_close(&node[i].text);
        free(node[i].residual);
    }
    owm_text_close(&held_out);
    free(initial);
    owm_model_close(model);
    device->backend->close(device);
    owm_pool_close(pool);
    return failed;
}

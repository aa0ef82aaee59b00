/* round_steps.c: see round_steps.h. */
#include "round_steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/pool.h"
#include "dataplane/model/model.h"
#include "kernels/backend.h"
#include "test.h"

struct pg_fixture database;
struct coordinator network;
struct fake_node node[NODES];

int64_t rounds_complete(void)
{
    return coordinator_count(&network, "SELECT count(*) FROM fl_rounds WHERE status = 'complete'");
}

/* A node that says nothing for three periods is not invited. */
void beat(void)
{
    for (int i = 0; i < NODES; i++) fake_node_heartbeat(&node[i], NULL);
}

static void fail_no_task(int i)
{
    PBI(NetworkStatusResponse) *status = ask_network(&network);
    for (size_t n = 0; n < status->n_nodes; n++)
        print_message("%s: %s, %s, running %u: %s\n", status->nodes[n]->alias,
                      status->nodes[n]->status, status->nodes[n]->connected ? "connected" : "away",
                      status->nodes[n]->running_tasks, status->nodes[n]->note);
    owm__internal__v1__network_status_response__free_unpacked(status, NULL);
    fail_msg("no task for node %d; see %s", i, network.log);
}

PB(Task) * next_task(int i, uint8_t **plain, size_t *bytes)
{
    beat();
    PB(Task) *task = fake_node_task(&node[i], 15000, plain, bytes);
    if (!task) fail_no_task(i);
    assert_string_equal(task->task_type, "fl_round");
    return task;
}

const char *work(int i, struct wrong wrong)
{
    uint8_t *plain = NULL;
    size_t bytes = 0;
    PB(Task) *task = next_task(i, &plain, &bytes);
    const char *code = fake_node_train(&node[i], task, plain, bytes, wrong);
    free(plain);
    owm__coordinator__v1__task__free_unpacked(task, NULL);
    return code;
}

void wait_for_rounds(int64_t complete)
{
    for (int i = 0; i < 400 && rounds_complete() < complete; i++) owm_clock_sleep_ms(50);
    assert_true(rounds_complete() >= complete);
}

void assert_sound(void)
{
    PBI(AuditResponse) *audit = ask_audit(&network);
    if (!audit->ok) fail_msg("audit: %s", audit->findings[0]);
    assert_int_equal(audit->double_completions, 0);
    owm__internal__v1__audit_response__free_unpacked(audit, NULL);
    /* Each included package is paid once, and nothing else is. */
    assert_int_equal(
        coordinator_count(&network, "SELECT count(*) FROM payments"),
        coordinator_count(&network,
                          "SELECT count(*) FROM fl_participants WHERE state = 'included'"));
    assert_int_equal(
        coordinator_count(&network, "SELECT count(*) FROM model_versions WHERE is_current"), 1);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM model_versions"),
                     rounds_complete() + 1);
}

void reconnect_all(void)
{
    for (int i = 0; i < NODES; i++) fake_node_reconnect(&node[i]);
}

struct owm_model_config model_shape(void)
{
    struct owm_model_config config = owm_model_config_default();
    config.dim = 32;
    config.layers = 1;
    config.heads = 2;
    config.kv_heads = 1;
    config.ffn_dim = 64;
    config.context = 64;
    return config;
}

static void set_parameters(void)
{
    char text[24];
    struct owm_model_config config = model_shape();
    snprintf(text, sizeof(text), "%llu", (unsigned long long)owm_model_config_params(&config));
    setenv("OWM_TEST_PARAMETERS", text, 1);
}

bool open_all(const char *name, const char *const *options)
{
    static const char *const common[] = {
        "--policy.network=devnet", "--policy.stake=none",  "--rounds.min_participants=3",
        "--rounds.pause_ms=0",     "--rounds.rule=fedavg", "--heartbeat.period_ms=1000",
        "--heartbeat.grace_ms=0",  "--model.dim=32",       "--model.layers=1",
        "--model.heads=2",         "--model.kv_heads=1",   "--model.ffn_dim=64",
        "--model.context=64"};
    if (!pg_fixture_start(&database)) return false;
    assert_true(pg_fixture_database(&database, name, network.url));
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        coordinator_option(&network, common[i]);
    for (; *options; options++) coordinator_option(&network, *options);
    set_parameters();
    coordinator_start(&network);
    for (int i = 0; i < NODES; i++) {
        char alias[16];
        snprintf(alias, sizeof(alias), "node-%d", i);
        fake_node_open(&node[i], &network, alias);
        fake_node_register(&node[i], FAULT_NONE);
    }
    for (int i = 0; i < NODES; i++) fake_node_stream(&node[i]);
    return true;
}

int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) fake_node_close(&node[i]);
    coordinator_close(&network);
    pg_fixture_stop(&database);
    return 0;
}

void find_gradient(void)
{
    static const char line[] = HELDOUT_LINE;
    static float gradient[1 << 15];
    struct owm_model_config config = model_shape();
    const struct owm_backend *backend = owm_backend_pick("cpu", NULL);
    struct owm_device *device = NULL;
    struct owm_pool *pool = NULL;
    owm_model *model = NULL;
    uint16_t tokens[sizeof(line) - 1];
    double loss = 0, norm = 0;
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) tokens[i] = (uint8_t)line[i];
    assert_true(owm_model_config_params(&config) <= sizeof(gradient) / sizeof(gradient[0]));
    owm_model_init_params(&config, 1, gradient);
    assert_ok(owm_pool_open(1, &pool));
    assert_ok(backend->open(&device, &(struct owm_device_config){.pool = pool}, NULL));
    assert_ok(owm_model_open(
        &model, &config,
        &(struct owm_model_options){.device = device, .batch_max = 1, .train = true}, NULL));
    assert_ok(owm_model_put_params(model, gradient));
    assert_ok(owm_model_grad(model, tokens, 1, config.context, &loss, &norm, NULL));
    assert_ok(owm_model_get_grad(model, gradient));
    owm_model_close(model);
    backend->close(device);
    owm_pool_close(pool);
    fake_node_gradient = gradient;
}

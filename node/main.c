/* main.c: owm-node, the operator's daemon: start, status, doctor, init-config, earnings. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "node/doctor.h"
#include "node/page.h"

static const char usage[] =
    "owm-node: earn sats by running tasks for the OWM network on this machine.\n"
    "\n"
    "  owm-node start [--config owm.toml]     run until SIGTERM or Ctrl-C\n"
    "  owm-node doctor [--json]               what keeps this machine from earning, and the fix\n"
    "  owm-node status [--json]               how the running node is\n"
    "  owm-node earnings [--json]             tasks and payments of this node\n"
    "  owm-node init-config [FILE]            an example owm.toml, printed or written to FILE\n"
    "  owm-node --help                        every setting\n"
    "\n"
    "Settings come from owm.toml, OWM_* variables and --section.key=value, the last one wins.\n";

#define DELIVERY_MS 10000

static int fail(const struct owm_error *error)
{
    fprintf(stderr, "owm-node: %s\n", error->text);
    return 1;
}

/* -------------------------------------------------------------------------------- start */

/** run: until the first signal, then drain until idle, the limit, or the second (SRS-NODE-09). */
static void run(struct node *node)
{
    while (!owm_signals_wait(60000))
        ;
    uint64_t until = owm_clock_mono_ms() + (uint64_t)node->config.shutdown_s * 1000;
    owm_log(OWM_LOG_INFO,
            "stopping running_tasks=%u limit_s=%" PRId64 " note=\"a second signal "
            "stops at once\"",
            node_slots_busy(node), node->config.shutdown_s);
    node_drain(node);
    /* One look of grace, so that the farewell heartbeat can leave. Results that the coordinator
     * does not take within DELIVERY_MS are kept for the next start. */
    bool now = owm_signals_wait(300);
    uint64_t idle_ms = 0;
    while (!now && !node_idle(node) && owm_clock_mono_ms() < until) {
        now = owm_signals_wait(100);
        if (node_slots_busy(node) > 0) continue;
        if (idle_ms == 0) idle_ms = owm_clock_mono_ms();
        if (owm_clock_mono_ms() - idle_ms > DELIVERY_MS) break;
    }
    if (!node_idle(node))
        owm_log(OWM_LOG_WARN, "stopped_early note=\"unfinished tasks go to other nodes; finished "
                              "results are sent at the next start\"");
}

static int start(struct owm_node_config *config)
{
    struct owm_error error = {""};
    struct node *node = NULL;
    owm_http_server *server = NULL;
    owm_signals_block();
    int64_t reconnect_ms = config->reconnect_max_s * 1000;
    struct node_timing timing = node_timing_default;
    if (reconnect_ms < (int64_t)timing.reconnect_max) timing.reconnect_max = (unsigned)reconnect_ms;
    if (node_open(config, &timing, &node, &error) != OWM_OK) return fail(&error);
    owm_status status = page_serve(node, &server, &error);
    if (status == OWM_OK) {
        char port[8];
        snprintf(port, sizeof port, "%u", owm_http_server_port(server));
        status = owm_task_log_set(node->log, "http_port", port);
        owm_log(OWM_LOG_INFO, "started coordinator=%s slots=%u page=http://127.0.0.1:%s/",
                node->target, node->slot_count, port);
    }
    if (status == OWM_OK) status = node_start(node, &error);
    if (status == OWM_OK) run(node);
    owm_http_server_close(server);
    node_close(node);
    if (status == OWM_OK) owm_log(OWM_LOG_INFO, "stopped");
    return status == OWM_OK ? 0 : fail(&error);
}

/* ------------------------------------------------------------------------------- status */

static owm_task_log *peek(const struct owm_node_config *config, struct owm_error *error)
{
    owm_task_log *log = NULL;
    char *path = NULL;
    if (asprintf(&path, "%s/tasks.sqlite", config->data_dir) < 0) return NULL;
    owm_status status = owm_task_log_peek(path, &log, error);
    free(path);
    return status == OWM_OK ? log : NULL;
}

static void print_status(const json_t *health)
{
    static const char *const fields[] = {"status",  "link",         "node_id", "node_status",
                                         "network", "stake_policy", "tier",    "device"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        printf("%-14s %s\n", fields[i], json_string_value(json_object_get(health, fields[i])));
    const char *const numbers[] = {"owed_msat", "settled_msat", "round", "results_unsent"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        printf("%-14s %" PRId64 "\n", numbers[i],
               (int64_t)json_integer_value(json_object_get(health, numbers[i])));
    size_t index;
    const json_t *item;
    json_array_foreach(json_object_get(health, "running"), index, item)
        printf("running        %s\n", json_string_value(json_object_get(item, "doing")));
    json_array_foreach(json_object_get(health, "reasons"), index, item)
        printf("reason         %s\n", json_string_value(item));
}

static int status(const struct owm_node_config *config, bool as_json)
{
    struct owm_error error = {""};
    char port[8], url[64];
    snprintf(port, sizeof port, "%" PRId64, config->http_port);
    owm_task_log *log = peek(config, &error);
    if (log != NULL && owm_task_log_get(log, "http_port", port, sizeof port) != OWM_OK)
        snprintf(port, sizeof port, "%" PRId64, config->http_port);
    owm_task_log_close(log);
    snprintf(url, sizeof url, "http://127.0.0.1:%s/health", port);
    const struct owm_http_call call = {.url = url, .deadline_ms = 5000};
    struct owm_http_result result;
    if (owm_http_fetch(&call, &result, &error) != OWM_OK) {
        fprintf(stderr,
                "owm-node: not running (%s does not answer). Start it with "
                "`owm-node start`; if it should run, see its log.\n",
                url);
        return 1;
    }
    json_t *health = NULL;
    owm_status parsed =
        owm_json_parse((const char *)result.body, result.body_bytes, 1 << 20, &health, &error);
    if (as_json)
        printf("%s\n", (const char *)result.body);
    else if (parsed == OWM_OK)
        print_status(health);
    else
        fail(&error);
    int code = result.status == 200 ? 0 : 1;
    json_decref(health);
    owm_http_result_deinit(&result);
    return code;
}

/* ----------------------------------------------------------------------------- earnings */

#define EARNINGS_ROWS 50

static void print_earnings(const struct owm_task_totals *t, const struct owm_task_row *rows,
                           size_t count)
{
    printf("owed %" PRId64 ".%03" PRId64 " sats, in flight %" PRId64 ".%03" PRId64 ", paid %" PRId64
           ".%03" PRId64 ", failed %" PRId64 ".%03" PRId64 "\n",
           t->owed_msat / 1000, t->owed_msat % 1000, t->in_flight_msat / 1000,
           t->in_flight_msat % 1000, t->settled_msat / 1000, t->settled_msat % 1000,
           t->failed_msat / 1000, t->failed_msat % 1000);
    printf("tasks %" PRId64 ", accepted %" PRId64 ", refused %" PRId64 ", waiting %" PRId64 "\n\n",
           t->tasks, t->accepted, t->refused, t->unsent);
    for (size_t i = 0; i < count; i++)
        printf("%.8s  %-10s %-9s %8" PRId64 " ms  %6" PRId64 ".%03" PRId64 " sats %-9s %s\n",
               rows[i].task_id, rows[i].type, rows[i].state, rows[i].execution_ms,
               rows[i].payment_msat / 1000, rows[i].payment_msat % 1000, rows[i].payment_state,
               rows[i].reason);
}

static void json_earnings(const struct owm_task_totals *t, const struct owm_task_row *rows,
                          size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:I,s:I,s:s,s:o,s:I,s:I}", "task_id", rows[i].task_id,
                            "type", rows[i].type, "state", rows[i].state, "execution_ms",
                            (json_int_t)rows[i].execution_ms, "amount_msat",
                            (json_int_t)rows[i].payment_msat, "payment", rows[i].payment_state,
                            "reason", owm_json_text(rows[i].reason), "received_ms",
                            (json_int_t)rows[i].received_ms, "round", (json_int_t)rows[i].round));
    json_t *root =
        json_pack("{s:I,s:I,s:I,s:I,s:o}", "owed_msat", (json_int_t)t->owed_msat, "in_flight_msat",
                  (json_int_t)t->in_flight_msat, "settled_msat", (json_int_t)t->settled_msat,
                  "failed_msat", (json_int_t)t->failed_msat, "tasks", list);
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
}

static int earnings(const struct owm_node_config *config, bool as_json)
{
    struct owm_error error = {""};
    struct owm_task_totals totals;
    static struct owm_task_row rows[EARNINGS_ROWS];
    size_t count = 0;
    owm_task_log *log = peek(config, &error);
    if (log == NULL) return fail(&error);
    owm_status status = owm_task_log_totals(log, &totals);
    if (status == OWM_OK) status = owm_task_log_recent(log, rows, EARNINGS_ROWS, &count);
    owm_task_log_close(log);
    if (status != OWM_OK) {
        owm_fail(&error, status, "the task log in %s cannot be read", config->data_dir);
        return fail(&error);
    }
    if (as_json)
        json_earnings(&totals, rows, count);
    else
        print_earnings(&totals, rows, count);
    return 0;
}

/* ------------------------------------------------------------------------- other commands */

static int init_config(const char *path)
{
    if (path == NULL) {
        owm_conf_print(&owm_node_table, OWM_CONF_PRINT, stdout);
        return 0;
    }
    char *text = NULL;
    size_t bytes = 0;
    struct owm_error error = {""};
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) return 1;
    owm_conf_print(&owm_node_table, OWM_CONF_PRINT, out);
    fclose(out);
    owm_status status = owm_fs_create_atomic(path, text, bytes, 0600, &error);
    free(text);
    if (status != OWM_OK) return fail(&error);
    printf("%s written. Set network.coordinator_url, network.coordinator_cert and "
           "data.shard_paths in it, then: owm-node doctor --config %s\n",
           path, path);
    return 0;
}

static int doctor(const struct owm_node_config *config, bool as_json)
{
    static struct doctor_report report;
    owm_log_level_set(OWM_LOG_ERROR);
    doctor_run(config, &report);
    return doctor_print(&report, as_json, stdout) ? 0 : 1;
}

static int dispatch(const char *command, struct owm_node_config *config, bool as_json)
{
    int code = 2;
    if (strcmp(command, "start") == 0) return start(config); /* Takes config. */
    if (strcmp(command, "status") == 0)
        code = status(config, as_json);
    else if (strcmp(command, "doctor") == 0)
        code = doctor(config, as_json);
    else if (strcmp(command, "earnings") == 0)
        code = earnings(config, as_json);
    else
        fprintf(stderr, "owm-node: there is no command '%s'\n\n%s", command, usage);
    owm_conf_deinit(&owm_node_table, config);
    return code;
}

/** take_json: remove --json from argv. */
static bool take_json(int *argc, char **argv)
{
    bool found = false;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            found = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    *argc = kept;
    return found;
}

int main(int argc, char **argv)
{
    owm_log_program_set("owm-node");
    bool as_json = take_json(&argc, argv);
    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    const char *command = argv[1];
    if (strcmp(command, "init-config") == 0) return init_config(argc > 2 ? argv[2] : NULL);
    bool is_flag = command[0] == '-'; /* --help and --print-config need no command. */
    char *program = realpath("/proc/self/exe", NULL);
    struct owm_node_config config;
    struct owm_error error = {""};
    enum owm_conf_action action;
    int skip = is_flag ? 0 : 1;
    owm_status loaded =
        owm_conf_load(&owm_node_table, argc - skip, argv + skip, &config, &action, NULL, &error);
    if (loaded != OWM_OK) {
        free(program);
        return fail(&error);
    }
    int code = 2;
    if (action != OWM_CONF_RUN) {
        if (action == OWM_CONF_HELP) printf("%s\n", usage);
        owm_conf_print(&owm_node_table, action, stdout);
        owm_conf_deinit(&owm_node_table, &config);
        code = 0;
    } else if (owm_node_config_check(&config, program, &error) != OWM_OK) {
        owm_conf_deinit(&owm_node_table, &config);
        code = fail(&error);
    } else {
        owm_log_level_set((enum owm_log_level)config.log_level);
        code = dispatch(is_flag ? "" : command, &config, as_json);
    }
    free(program);
    return code;
}

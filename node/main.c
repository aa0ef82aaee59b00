/* main.c: owm-node, the operator's daemon: start, status, doctor, stake, earnings, init-config. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "node/beside.h"
#include "node/doctor.h"
#include "node/earnings.h"
#include "node/page.h"
#include "node/stake_command.h"

static const char usage[] =
    "owm-node: earn sats by running tasks for the OWM network on this machine.\n"
    "\n"
    "  owm-node start [--config owm.toml]     run until SIGTERM or Ctrl-C\n"
    "  owm-node doctor [--json]               what keeps this machine from earning, and the fix\n"
    "  owm-node status [--json]               how the running node is\n"
    "  owm-node stake [--json]                the next step to a stake, with its command lines\n"
    "  owm-node stake statement               the text that your Lightning node signs\n"
    "  owm-node stake prove SIGNATURE         take the signature, where it was made by hand\n"
    "  owm-node stake can-join [--tier tN] [--base-sats N]   what joining needs, earns, costs\n"
    "  owm-node stake bond [hold|paid SATS] [--leave]        what else can be forfeited\n"
    "  owm-node earnings [--json|--csv]       every sat, its state and the reason for it\n"
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
    const char *name;
    json_t *model;
    json_object_foreach(json_object_get(health, "models"), name, model)
        printf("model          %s: %s\n", name, json_string_value(json_object_get(model, "text")));
    json_array_foreach(json_object_get(health, "reasons"), index, item)
        printf("reason         %s\n", json_string_value(item));
}

static int status(const struct owm_node_config *config, bool as_json)
{
    struct owm_error error = {""};
    json_t *health = NULL;
    bool healthy = false;
    if (node_beside_health(config, &health, &healthy, &error) != OWM_OK) return fail(&error);
    if (as_json) {
        json_dumpf(health, stdout, JSON_INDENT(2));
        printf("\n");
    } else
        print_status(health);
    json_decref(health);
    return healthy ? 0 : 1;
}

static int earnings(const struct owm_node_config *config, enum earnings_form form)
{
    struct owm_error error = {""};
    return node_earnings(config, form, stdout, &error) == OWM_OK ? 0 : fail(&error);
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

/* ------------------------------------------------------------------------- command line */

/** request: a command line without the settings, which owm_conf_load reads. */
struct request {
    const char *command;
    struct stake_options stake; /* its words are those of every command */
    bool csv;
    size_t words;
};

/** take_flag: whether argv[at] is `--name` or `--name VALUE`, which fills the request; *used words
 *  of argv. */
static bool take_flag(struct request *request, int argc, char **argv, int at, int *used)
{
    const char **value = strcmp(argv[at], "--tier") == 0        ? &request->stake.tier
                         : strcmp(argv[at], "--base-sats") == 0 ? &request->stake.base_sats
                                                                : NULL;
    bool *flag = strcmp(argv[at], "--json") == 0    ? &request->stake.json
                 : strcmp(argv[at], "--csv") == 0   ? &request->csv
                 : strcmp(argv[at], "--leave") == 0 ? &request->stake.leave
                                                    : NULL;
    *used = value && at + 1 < argc ? 2 : 1;
    if (*used == 2) *value = argv[at + 1];
    if (flag) *flag = true;
    return flag || *used == 2;
}

/** awaits_value: `--section.key` and `--config` without "=": the next argument is its value. */
static bool awaits_value(const char *argument)
{
    if (argument[0] != '-' || strchr(argument, '=')) return false;
    return strchr(argument, '.') || strcmp(argument, "--config") == 0;
}

/** take: move the command, its words and flags from argv into the request. What is left is for
 *  owm_conf_load, which also complains about what nobody knows. */
static void take(struct request *request, int *argc, char **argv)
{
    int kept = 1, used = 1;
    bool is_value = false; /* of the setting before it */
    for (int i = 1; i < *argc; i += used) {
        used = 1;
        bool is_word = argv[i][0] != '-' && !is_value;
        is_value = !is_value && awaits_value(argv[i]);
        if (is_word && request->command == NULL)
            request->command = argv[i];
        else if (is_word && request->words < STAKE_WORDS_MAX)
            request->stake.word[request->words++] = argv[i];
        else if (!take_flag(request, *argc, argv, i, &used))
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    *argc = kept;
}

static int dispatch(const struct request *request, struct owm_node_config *config)
{
    const char *command = request->command;
    bool is_stake = strcmp(command, "stake") == 0;
    int code = 2;
    if (request->words > 0 && !is_stake)
        fprintf(stderr, "owm-node: %s takes no '%s'\n\n%s", command, request->stake.word[0], usage);
    else if (strcmp(command, "start") == 0)
        return start(config); /* Takes config. */
    else if (strcmp(command, "status") == 0)
        code = status(config, request->stake.json);
    else if (strcmp(command, "doctor") == 0)
        code = doctor(config, request->stake.json);
    else if (is_stake)
        code = node_stake_command(config, &request->stake);
    else if (strcmp(command, "earnings") == 0)
        code = earnings(config, request->csv          ? EARNINGS_CSV
                                : request->stake.json ? EARNINGS_JSON
                                                      : EARNINGS_TABLE);
    else
        fprintf(stderr, "owm-node: there is no command '%s'\n\n%s", command, usage);
    owm_conf_deinit(&owm_node_table, config);
    return code;
}

int main(int argc, char **argv)
{
    owm_log_program_set("owm-node");
    struct request request = {0};
    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    take(&request, &argc, argv);
    const char *command = request.command ? request.command : ""; /* --help needs none. */
    request.command = command;
    if (strcmp(command, "init-config") == 0) return init_config(request.stake.word[0]);
    char *program = realpath("/proc/self/exe", NULL);
    struct owm_node_config config;
    struct owm_error error = {""};
    enum owm_conf_action action;
    owm_status loaded = owm_conf_load(&owm_node_table, argc, argv, &config, &action, NULL, &error);
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
        code = dispatch(&request, &config);
    }
    free(program);
    return code;
}

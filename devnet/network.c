/* network.c: start in order, start again what falls, stop in the reverse order. */
#include "network.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "corpus.h"
#include "places.h"
#include "running.h"

#define READY_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS  90000

static owm_status start_coordinator(struct network *network, unsigned index,
                                    struct owm_error *error)
{
    (void)index;
    char program[DEVNET_PATH_MAX + 32], config[DEVNET_PATH_MAX + 64], log[DEVNET_PATH_MAX + 64];
    snprintf(program, sizeof program, "%s/owm-coordinator", network->programs);
    snprintf(config, sizeof config, "%s/coordinator/coordinator.toml", network->folder);
    snprintf(log, sizeof log, "%s/logs/coordinator.log", network->folder);
    const char *const argv[] = {program, "--config", config, NULL};
    return process_start(
        &network->coordinator, "coordinator", argv,
        &(struct process_options){.log_path = log, .database_url = network->database_url}, error);
}

static owm_status start_node(struct network *network, unsigned index, struct owm_error *error)
{
    char program[DEVNET_PATH_MAX + 32], config[DEVNET_PATH_MAX + 64], log[DEVNET_PATH_MAX + 64];
    char name[32];
    snprintf(name, sizeof name, "node-%u", index + 1);
    snprintf(program, sizeof program, "%s/owm-node", network->programs);
    snprintf(config, sizeof config, "%s/%s/owm.toml", network->folder, name);
    snprintf(log, sizeof log, "%s/logs/%s.log", network->folder, name);
    const char *const argv[] = {program, "start", "--config", config, NULL};
    return process_start(&network->nodes[index], name, argv,
                         &(struct process_options){.log_path = log}, error);
}

static owm_status start_database(struct network *network, struct owm_error *error)
{
    const char *given = getenv("DATABASE_URL");
    if (given && *given) {
        network->database_url = given;
        puts("database     the one in DATABASE_URL");
    } else {
        owm_status status = postgres_start(&network->postgres, network->folder, error);
        if (status) return status;
        network->database_url = network->postgres.url;
        printf("database     private PostgreSQL, unix socket in %s\n", network->postgres.folder);
    }
    network->rounds_before = postgres_rounds(network->database_url, network->folder);
    return mining_database(network, error);
}

static owm_status deal_text(struct network *network, struct owm_error *error)
{
    char folder[DEVNET_PATH_MAX + 16];
    struct corpus_summary summary;
    snprintf(folder, sizeof folder, "%s/shards", network->folder);
    owm_status status = corpus_write(folder, network->options.nodes, &summary, error);
    if (status) return status;
    printf("text         %.1f MB from %u files of this machine in %u shards, %llu kB held out\n",
           (double)summary.bytes / 1e6, summary.files, network->options.nodes,
           (unsigned long long)summary.heldout_bytes / 1000);
    return OWM_OK;
}

/* Ready: its internal service answers. Until then its certificate may not even exist. */
static owm_status wait_for_coordinator(struct network *network, struct owm_error *error)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + READY_TIMEOUT_MS;
    while (owm_clock_mono_ms() < give_up_ms) {
        if (!process_alive(&network->coordinator))
            return owm_fail(error, OWM_E_STATE, "owm-coordinator ended with %s; see %s/logs",
                            process_end_text(&network->coordinator), network->folder);
        struct client *client = NULL;
        Owm__Internal__V1__NetworkStatusResponse *reply = NULL;
        owm_status status = network_client(network->folder, &client, NULL, error);
        if (status == OWM_OK) status = client_network(client, &reply, error);
        if (reply) owm__internal__v1__network_status_response__free_unpacked(reply, NULL);
        client_close(client);
        if (status == OWM_OK) return OWM_OK;
        owm_clock_sleep_ms(200);
    }
    return owm_fail(error, OWM_E_TIMEOUT, "owm-coordinator was not ready within %d s; see %s/logs",
                    READY_TIMEOUT_MS / 1000, network->folder);
}

static owm_status start_nodes(struct network *network, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (unsigned i = 0; status == OWM_OK && i < network->options.nodes; i++) {
        status = places_node_config(network, i, error);
        if (status == OWM_OK) status = start_node(network, i, error);
        if (status == OWM_OK)
            printf("node-%-7u http://127.0.0.1:%u/%s\n", i + 1, network->ports.node_page[i],
                   i >= network->options.nodes - network->options.poison ? "  (poisoned)" : "");
    }
    return status;
}

owm_status network_up(struct network *network, const struct options *options,
                      struct owm_error *error)
{
    *network = (struct network){.options = *options, .lock_fd = -1};
    owm_status status = places_open(network, error);
    if (status == OWM_OK) status = deal_text(network, error);
    if (status == OWM_OK) status = start_database(network, error);
    if (status) return status;

    places_ports(network);
    status = mining_choose(network, options->lightning != NULL, error);
    if (status == OWM_OK) status = paying_up(network, error);
    if (status == OWM_OK) status = anchoring_up(network, error);
    if (status == OWM_OK) status = places_coordinator_config(network, error);
    if (status == OWM_OK) status = places_write_addresses(network, error);
    if (status == OWM_OK) status = start_coordinator(network, 0, error);
    if (status == OWM_OK) status = wait_for_coordinator(network, error);
    if (status) return status;
    printf("coordinator  gRPC 127.0.0.1:%u (mTLS), page http://127.0.0.1:%u/\n",
           network->ports.nodes, network->ports.page);
    status = paying_slasher(network, error);
    if (status == OWM_OK) status = mining_up(network, error);
    if (status == OWM_OK) status = anchoring_wallet(network, error);
    if (status == OWM_OK) status = places_write_addresses(network, error); /* With the pool's. */
    return status ? status : start_nodes(network, error);
}

typedef owm_status (*start_function)(struct network *network, unsigned index,
                                     struct owm_error *error);

/** tended: a program, and what starts it again. */
struct tended {
    struct process *process;
    start_function start;
    unsigned index;
};

static void tend(struct network *network, const struct tended *program, char trouble[static 256])
{
    struct process *process = program->process;
    struct owm_error error = {""};
    if (process->pid == 0 || process_alive(process)) return;
    char end[64];
    snprintf(end, sizeof end, "%s", process_end_text(process));
    char name[32];
    snprintf(name, sizeof name, "%s", process->name);
    network->restarts++;
    owm_status status = program->start(network, program->index, &error);
    snprintf(trouble, 256, "%s ended with %s and %s%.100s", name, end,
             status ? "cannot be started again: " : "was started again", error.text);
}

void network_tend(struct network *network, char trouble[static 256])
{
    const struct tended programs[] = {
        {&network->coordinator, start_coordinator, 0},
        {&network->mining.source.process, mining_start_source, 0},
        {&network->mining.pool, mining_start_pool, 0},
        {&network->mining.miner, mining_start_miner, 0},
        {&network->paying.slasher, paying_start_slasher, 0},
        {&network->anchoring.calendar, anchoring_start, 0},
    };
    trouble[0] = 0;
    if (paying_tend(network)) {
        network->restarts++;
        snprintf(trouble, 256,
                 "a program of the Lightning network ended, or makes no block; its logs "
                 "are in lightning/logs");
    }
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        tend(network, &programs[i], trouble);
    for (unsigned i = 0; i < network->options.nodes; i++)
        tend(network, &(struct tended){&network->nodes[i], start_node, i}, trouble);
    struct process *server = &network->postgres.process;
    if (server->pid > 0 && !process_alive(server)) {
        struct owm_error error = {""};
        network->restarts++;
        owm_status status = postgres_start(&network->postgres, network->folder, &error);
        snprintf(trouble, 256, "PostgreSQL ended and %s%.150s",
                 status ? "cannot be started again: " : "was started again", error.text);
    }
}

void network_down(struct network *network)
{
    char path[DEVNET_PATH_MAX + 32];
    for (unsigned i = 0; i < network->options.nodes; i++)
        if (process_alive(&network->nodes[i])) kill(network->nodes[i].pid, SIGTERM);
    mining_down(&network->mining);
    for (unsigned i = 0; i < network->options.nodes; i++)
        process_stop(&network->nodes[i], 0, STOP_TIMEOUT_MS);
    process_stop(&network->coordinator, SIGTERM, STOP_TIMEOUT_MS);
    anchoring_down(&network->anchoring);
    paying_down(network);
    postgres_stop(&network->postgres);
    snprintf(path, sizeof path, "%s/devnet.json", network->folder);
    if (network->lock_fd >= 0) {
        unlink(path);
        close(network->lock_fd);
    }
    network->lock_fd = -1;
}

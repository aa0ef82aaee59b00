/* network.c: start in order, start again what falls, stop in the reverse order. */
#include "network.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "corpus.h"
#include "places.h"

#define READY_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS  90000

static owm_status start_coordinator(struct network *network, struct owm_error *error)
{
    char program[DEVNET_PATH_MAX + 32], config[DEVNET_PATH_MAX + 64], log[DEVNET_PATH_MAX + 64];
    snprintf(program, sizeof program, "%s/owm-coordinator", network->programs);
    snprintf(config, sizeof config, "%s/coordinator/coordinator.toml", network->folder);
    snprintf(log, sizeof log, "%s/logs/coordinator.log", network->folder);
    const char *const argv[] = {program, "--config", config, NULL};
    return process_start(&network->coordinator, "coordinator", argv,
                         &(struct process_options){.log_path = log}, error);
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
        setenv("DATABASE_URL", network->postgres.url, 1); /* How the coordinator learns of it. */
        printf("database     private PostgreSQL, unix socket in %s\n", network->postgres.folder);
    }
    network->rounds_before = postgres_rounds(network->database_url, network->folder);
    return OWM_OK;
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
    status = places_coordinator_config(network, error);
    if (status == OWM_OK) status = places_write_addresses(network, error);
    if (status == OWM_OK) status = start_coordinator(network, error);
    if (status == OWM_OK) status = wait_for_coordinator(network, error);
    if (status) return status;
    printf("coordinator  gRPC 127.0.0.1:%u (mTLS), page http://127.0.0.1:%u/\n",
           network->ports.nodes, network->ports.page);
    return start_nodes(network, error);
}

static void tend(struct network *network, struct process *process, int index,
                 char trouble[static 256])
{
    struct owm_error error = {""};
    if (process->pid == 0 || process_alive(process)) return;
    char end[64];
    snprintf(end, sizeof end, "%s", process_end_text(process));
    char name[32];
    snprintf(name, sizeof name, "%s", process->name);
    network->restarts++;
    owm_status status = index < 0 ? start_coordinator(network, &error)
                                  : start_node(network, (unsigned)index, &error);
    snprintf(trouble, 256, "%s ended with %s and %s%.100s", name, end,
             status ? "cannot be started again: " : "was started again", error.text);
}

void network_tend(struct network *network, char trouble[static 256])
{
    trouble[0] = 0;
    tend(network, &network->coordinator, -1, trouble);
    for (unsigned i = 0; i < network->options.nodes; i++)
        tend(network, &network->nodes[i], (int)i, trouble);
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
    for (unsigned i = 0; i < network->options.nodes; i++)
        process_stop(&network->nodes[i], 0, STOP_TIMEOUT_MS);
    process_stop(&network->coordinator, SIGTERM, STOP_TIMEOUT_MS);
    postgres_stop(&network->postgres);
    snprintf(path, sizeof path, "%s/devnet.json", network->folder);
    if (network->lock_fd >= 0) {
        unlink(path);
        close(network->lock_fd);
    }
    network->lock_fd = -1;
}

owm_status network_client(const char *folder, struct client **client, char *page_url,
                          struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 64], key[DEVNET_PATH_MAX + 64];
    uint8_t *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/devnet.json", folder);
    if (owm_fs_read(path, 4096, &text, &bytes, NULL))
        return owm_fail(error, OWM_E_NOTFOUND,
                        "no network runs in %s: start one with ./owm up in another terminal",
                        folder);
    json_t *addresses = NULL;
    const char *internal, *page;
    owm_status status = owm_json_parse((const char *)text, bytes, 4096, &addresses, error);
    if (status == OWM_OK) status = owm_json_string(addresses, "", "internal", &internal, error);
    if (status == OWM_OK) status = owm_json_string(addresses, "", "page", &page, error);
    if (status == OWM_OK && page_url) snprintf(page_url, 128, "%s", page);
    if (status == OWM_OK) {
        snprintf(path, sizeof path, "%s/coordinator/coordinator.crt", folder);
        snprintf(key, sizeof key, "%s/operator.key", folder);
        status = client_open(client, internal, path, key, error);
    }
    json_decref(addresses);
    free(text);
    return status;
}

/* services.c: the method tables, the listeners, and outputs to their answers. */
#include "services_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define NODE(name)     "/owm.coordinator.v1.CoordinatorService/" name
#define INTERNAL(name) "/owm.internal.v1.InternalService/" name
#define SMALL_BYTES    (16 * 1024)
#define RESULT_BYTES   (1024 * 1024 + 4096)
#define HOUR_MS        3600000
#define BONDS_WAITING  64

/* Whatever a node may hold at once fits into its stream, so that a dispatch is only ever lost with
 * the stream itself, or on a node that reads nothing for as long as a lease lasts. */
static_assert(OWM_RPC_QUEUE_MAX >= OWM_NODE_SLOTS_MAX, "a node's slots fit into its task stream");

static const struct owm_rpc_method node_methods[] = {
    {.path = NODE("Hello"), .request_bytes_max = 1024, .on_message = on_hello},
    {.path = NODE("RegisterNode"), .request_bytes_max = SMALL_BYTES, .on_message = on_register},
    {.path = NODE("Heartbeat"), .request_bytes_max = SMALL_BYTES, .on_message = on_heartbeat},
    {.path = NODE("StreamTasks"),
     .kind = OWM_RPC_SERVER_STREAM,
     .request_bytes_max = SMALL_BYTES,
     .send_queue_max = OWM_NODE_SLOTS_MAX,
     .on_message = on_stream,
     .on_end = on_stream_end},
    {.path = NODE("ReportProgress"), .request_bytes_max = 64 * 1024, .on_message = on_progress},
    {.path = NODE("SubmitTaskResult"), .request_bytes_max = RESULT_BYTES, .on_message = on_result},
    {.path = NODE("GetModelVersion"), .request_bytes_max = 1024, .on_message = on_get_model},
    {.path = NODE("GetReceipt"), .request_bytes_max = 1024, .on_message = on_get_receipt},
    {.path = NODE("GetEarnings"), .request_bytes_max = 1024, .on_message = on_get_earnings},
    {.path = NODE("NodeBond"), .request_bytes_max = 1024, .on_message = on_bond},
    {.path = NODE("UploadBlob"),
     .kind = OWM_RPC_CLIENT_STREAM,
     .on_message = on_upload,
     .on_half_close = on_upload_half_close,
     .on_end = on_upload_end},
    {.path = NODE("DownloadBlob"),
     .kind = OWM_RPC_SERVER_STREAM,
     .request_bytes_max = 1024,
     .on_message = on_download,
     .on_writable = on_download_writable,
     .on_end = on_download_end},
};

static const struct owm_rpc_method internal_methods[] = {
    {.path = INTERNAL("SubmitTask"), .on_start = on_internal_start, .on_message = on_submit},
    {.path = INTERNAL("WatchTask"),
     .kind = OWM_RPC_SERVER_STREAM,
     .on_start = on_internal_start,
     .on_message = on_watch,
     .on_end = on_watch_end},
    {.path = INTERNAL("NetworkStatus"), .on_start = on_internal_start, .on_message = on_network},
    {.path = INTERNAL("ListRounds"), .on_start = on_internal_start, .on_message = on_rounds},
    {.path = INTERNAL("ListVersions"), .on_start = on_internal_start, .on_message = on_versions},
    {.path = INTERNAL("AuditLedger"), .on_start = on_internal_start, .on_message = on_audit},
    {.path = INTERNAL("ListCases"), .on_start = on_case_start, .on_message = on_cases},
    {.path = INTERNAL("DecideCase"), .on_start = on_case_start, .on_message = on_decide},
    {.path = NODE("DownloadBlob"), /* whoever judges evidence sees all that it was made from */
     .kind = OWM_RPC_SERVER_STREAM,
     .request_bytes_max = 1024,
     .on_start = on_case_start,
     .on_message = on_any_download,
     .on_writable = on_download_writable,
     .on_end = on_download_end},
};

owm_status owm_services_open(const struct owm_services_config *config, struct owm_services **out,
                             struct owm_error *error)
{
    struct owm_services *services = calloc(1, sizeof(*services));
    if (!services) return OWM_E_NOMEM;
    services->config = *config;
    services->started_ms = owm_clock_wall_ms();
    pthread_mutex_init(&services->reader_lock, NULL);
    pthread_mutex_init(&services->public_lock, NULL);
    struct owm_metrics *metrics = config->metrics;
    services->heartbeats_fast =
        owm_metrics_counter(metrics, "owm_heartbeats_total", "Heartbeats accepted, by path.",
                            (const char *const[]){"path", "table", NULL});
    services->heartbeats_slow =
        owm_metrics_counter(metrics, "owm_heartbeats_total", "Heartbeats accepted, by path.",
                            (const char *const[]){"path", "engine", NULL});
    services->registrations =
        owm_metrics_counter(metrics, "owm_registrations_total", "Registrations accepted.", NULL);
    services->results =
        owm_metrics_counter(metrics, "owm_results_total", "Task results accepted.", NULL);
    owm_status status = owm_challenges_open(OWM_CHALLENGE_USED_MAX, &services->challenges);
    if (status == OWM_OK && config->stake)
        status =
            owm_stake_binding_init(&services->binding, config->identity, config->network, error);
    if (status == OWM_OK && config->registrations_per_hour)
        status = owm_rate_open(config->registrations_per_hour, HOUR_MS, &services->rate);
    if (status == OWM_OK && config->registrations_of_key_per_hour)
        status = owm_rate_open(config->registrations_of_key_per_hour, HOUR_MS, &services->again);
    if (status == OWM_OK) status = owm_pg_open(config->database_url, &services->reader, error);
    if (status != OWM_OK) {
        owm_services_close(services);
        return status;
    }
    *out = services;
    return OWM_OK;
}

owm_status owm_services_bonds(struct owm_services *services, struct owm_bonds *bonds)
{
    services->bonds = bonds;
    return bonds ? owm_workers_open(1, BONDS_WAITING, &services->bonds_worker) : OWM_OK;
}

void owm_services_close(struct owm_services *services)
{
    if (!services) return;
    watch_close_all(services);
    owm_pg_close(services->reader);
    owm_rate_close(services->rate);
    owm_rate_close(services->again);
    owm_challenges_close(services->challenges);
    owm_stake_binding_deinit(&services->binding);
    pthread_mutex_destroy(&services->reader_lock);
    pthread_mutex_destroy(&services->public_lock);
    free(services);
}

/* ---------------------------------------------------------------------------- listeners */

/* Splits "a, b" in place; returns how many, at most OWM_RPC_ADDRESSES_MAX. */
static size_t split(char *text, const char *words[OWM_RPC_ADDRESSES_MAX])
{
    size_t count = 0;
    while (*text && count < OWM_RPC_ADDRESSES_MAX) {
        size_t length = strcspn(text, ", ");
        char *end = text + length;
        bool last = *end == 0;
        *end = 0;
        if (length) words[count++] = text;
        if (last) break;
        text = end + 1;
    }
    return count;
}

static owm_status listen_on(struct owm_services *services, const char *list,
                            const struct owm_rpc_method *methods, size_t count,
                            struct owm_rpc_server **server, struct owm_error *error)
{
    char text[1024];
    const char *addresses[OWM_RPC_ADDRESSES_MAX];
    snprintf(text, sizeof(text), "%s", list);
    const struct owm_rpc_server_config config = {
        .address_count = split(text, addresses),
        .addresses = addresses,
        .certificate_pem = services->config.cert->cert_pem,
        .key_pem = services->config.cert->key_pem,
        .methods = methods,
        .method_count = count,
        .app = services,
        .threads = methods == node_methods ? services->config.threads : 1,
        .calls_max = services->config.calls_max,
        .send_queue_max = OWM_SEND_QUEUE,
    };
    return owm_rpc_server_open(server, &config, error);
}

/* SRS-COORD-08: clearnet and Tor are two addresses of one server. */
owm_status owm_services_listen(struct owm_services *services, struct owm_error *error)
{
    const struct owm_services_config *config = &services->config;
    size_t nodes = sizeof(node_methods) / sizeof(node_methods[0]);
    size_t internal = sizeof(internal_methods) / sizeof(internal_methods[0]);
    char list[1024];
    snprintf(list, sizeof(list), "%s,%s", config->listen, config->tor_listen);
    owm_status status = listen_on(services, list, node_methods, nodes, &services->nodes, error);
    if (status == OWM_OK)
        status = listen_on(services, config->internal_listen, internal_methods, internal,
                           &services->internal, error);
    return status;
}

void owm_services_shut(struct owm_services *services, unsigned drain_ms)
{
    owm_rpc_server_close(services->internal, drain_ms);
    owm_rpc_server_close(services->nodes, drain_ms);
    services->nodes = services->internal = NULL;
    owm_workers_close(services->bonds_worker);
    services->bonds_worker = NULL;
}

int owm_services_port(const struct owm_services *services, int listener)
{
    const struct owm_rpc_server *server = listener == 0 ? services->nodes : services->internal;
    return server ? owm_rpc_server_port(server, 0) : 0;
}

/* What Tor forwards comes from this machine, and nodes elsewhere do not. */
bool wire_is_tor(const struct owm_services *services, const struct owm_rpc_call *call)
{
    return services->config.tor_listen[0] && strncmp(owm_rpc_peer_address(call), "127.", 4) == 0;
}

uint64_t owm_services_bytes_down(struct owm_services *services, bool take)
{
    return take ? atomic_exchange(&services->bytes_down, 0) : atomic_load(&services->bytes_down);
}

/* ---------------------------------------------------------------------------- outputs */

void owm_services_perform(struct owm_services *services, const struct owm_output *output)
{
    struct owm_ask *ask = (struct owm_ask *)(uintptr_t)output->cookie;
    switch (output->kind) {
    case OWM_OUTPUT_REGISTERED:
    case OWM_OUTPUT_HEARTBEAT:
    case OWM_OUTPUT_SUBMITTED:
    case OWM_OUTPUT_RESULT:
    case OWM_OUTPUT_DONE:
        if (ask) ask->answer(ask, output);
        break;
    case OWM_OUTPUT_DISPATCH:
        dispatch_task(services, &output->dispatch);
        break;
    case OWM_OUTPUT_TASK_CHANGED:
        watch_changed(services, &output->task);
        break;
    case OWM_OUTPUT_ROUND_CHANGED:
    case OWM_OUTPUT_VERIFY:
    case OWM_OUTPUT_AGGREGATE:
    case OWM_OUTPUT_STAKE_WANTED:
        break; /* the driver's */
    }
}

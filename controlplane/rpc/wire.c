/* wire.c: the steps that every method shares: pack, refuse, find the peer, post, ask the database.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "services_internal.h"

#define PACKED_ON_STACK 1024

void wire_refuse(struct owm_services *services, const char *method, const char *code,
                 const struct owm_rpc_call *call)
{
    owm_counter *counter = owm_metrics_counter(
        services->config.metrics, "owm_refusals_total", "Requests that were refused, by reason.",
        (const char *const[]){"method", method, "reason", code, NULL});
    owm_counter_add(counter, 1);
    owm_log(OWM_LOG_INFO, "refused method=%s reason=%s peer=%s", method, code,
            owm_rpc_peer_address(call));
}

void wire_fail(struct owm_services *services, struct owm_rpc_call *call, const char *method,
               enum owm_rpc_code rpc, const char *code, const char *sentence)
{
    char text[OWM_RPC_TEXT_BYTES_MAX];
    wire_refuse(services, method, code, call);
    snprintf(text, sizeof(text), "%s: %s", code, sentence);
    owm_rpc_fail(call, rpc, text);
}

void wire_busy(struct owm_services *services, struct owm_rpc_call *call, const char *method)
{
    wire_fail(services, call, method, OWM_RPC_RESOURCE_EXHAUSTED, "BUSY",
              "the coordinator has too much to do or is stopping; try again in a moment");
}

void wire_away(struct owm_services *services, struct owm_rpc_call *call, const char *method)
{
    wire_fail(services, call, method, OWM_RPC_UNAVAILABLE, "DATABASE_AWAY",
              "the coordinator's database is away; try again in a moment");
}

void *wire_unpack(struct owm_services *services, struct owm_rpc_call *call, const char *method,
                  const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t length)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, length, bytes);
    if (!message)
        wire_fail(services, call, method, OWM_RPC_INVALID_ARGUMENT, "MALFORMED",
                  "the message does not parse");
    return message;
}

static uint8_t *pack(const ProtobufCMessage *message, uint8_t *space, size_t *bytes)
{
    *bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *out = *bytes <= PACKED_ON_STACK ? space : malloc(*bytes);
    if (out) protobuf_c_message_pack(message, out);
    return out;
}

void wire_reply(struct owm_rpc_call *call, const ProtobufCMessage *message)
{
    uint8_t space[PACKED_ON_STACK];
    size_t bytes;
    uint8_t *packed = pack(message, space, &bytes);
    if (packed)
        owm_rpc_reply(call, packed, bytes);
    else
        owm_rpc_fail(call, OWM_RPC_RESOURCE_EXHAUSTED, "out of memory");
    if (packed != space) free(packed);
}

owm_status wire_send(struct owm_rpc_call *call, const ProtobufCMessage *message)
{
    uint8_t space[PACKED_ON_STACK];
    size_t bytes;
    uint8_t *packed = pack(message, space, &bytes);
    owm_status status = packed ? owm_rpc_send(call, packed, bytes) : OWM_E_NOMEM;
    if (packed != space) free(packed);
    return status;
}

struct owm_peer *wire_peer(struct owm_services *services, struct owm_rpc_call *call,
                           const char *method, const char *node_id)
{
    uint8_t key[32];
    owm_rpc_peer_key(call, key);
    struct owm_peer *peer = owm_peers_find(services->config.peers, key);
    if (!peer) {
        wire_fail(services, call, method, OWM_RPC_NOT_FOUND, "UNKNOWN_NODE",
                  "no node is registered with the key of this connection; register first");
        return NULL;
    }
    if (node_id && strcmp(node_id, peer->node_id_text) != 0) {
        wire_fail(services, call, method, OWM_RPC_PERMISSION_DENIED, "WRONG_KEY",
                  "this node_id belongs to another key than the one of this connection");
        return NULL;
    }
    return peer;
}

void wire_post(struct owm_services *services, struct owm_rpc_call *call, const char *method,
               struct owm_post *post)
{
    post->event.cookie = (uint64_t)(uintptr_t)post->ask;
    if (owm_inbox_put(services->config.inbox, post) != OWM_OK) wire_busy(services, call, method);
}

/* ---------------------------------------------------------------------------- capabilities */

static float sane(float value)
{
    return isfinite(value) && value > 0 ? fminf(value, 1e6f) : 0;
}

static void copy(char *out, size_t bytes, const char *text)
{
    snprintf(out, bytes, "%s", text ? text : "");
}

/* The tier that SRS 4.1.3 gives this hardware; 0: below the first. */
static int tier_of(const PB(NodeCapabilities) * c)
{
    static const struct {
        int tier;
        float vram, ram, bandwidth;
    } table[] = {{3, 80, 256, 1000}, {2, 24, 64, 200}, {1, 8, 16, 50}};
    /* A card sold as 24 GB reports a little less; a line sold as 1 Gbit/s carries less. */
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (c->vram_gb >= table[i].vram * 0.9f && c->ram_gb >= table[i].ram * 0.9f
            && c->bandwidth_mbps >= table[i].bandwidth * 0.9f)
            return table[i].tier;
    return 0;
}

owm_status wire_capabilities(const struct owm_services *services, const PB(NodeCapabilities) * in,
                             struct owm_capabilities *out, struct owm_error *error)
{
    memset(out, 0, sizeof(*out));
    if (!in) return owm_fail(error, OWM_E_PROTO, "capabilities are missing");
    if (owm_tier_parse(in->tier, &out->tier) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "capabilities.tier is '%.16s'; it must be t1, t2 or t3",
                        in->tier);
    if (in->tier_overridden && !services->config.tier_override_allowed)
        return owm_fail(error, OWM_E_PROTO,
                        "capabilities.tier was set by hand, which this network does not allow; "
                        "empty node.tier_override");
    if (!in->tier_overridden && (int)out->tier > tier_of(in))
        return owm_fail(error, OWM_E_PROTO,
                        "capabilities.tier is %s, but the hardware that is named is below it",
                        in->tier);
    if (in->n_supported_task_types > 64)
        return owm_fail(error, OWM_E_PROTO, "more than 64 supported_task_types");
    for (size_t i = 0; i < in->n_supported_task_types; i++) {
        enum owm_task_type type; /* names of a newer version are passed over */
        if (owm_task_type_parse(in->supported_task_types[i], &type) == OWM_OK)
            out->task_types |= 1u << type;
    }
    if (!out->task_types)
        return owm_fail(error, OWM_E_PROTO, "supported_task_types has no type that is known here");
    out->tier_overridden = in->tier_overridden;
    out->vram_gb = sane(in->vram_gb);
    out->ram_gb = sane(in->ram_gb);
    out->bandwidth_mbps = sane(in->bandwidth_mbps);
    out->slots = in->max_concurrent_tasks ? in->max_concurrent_tasks : 1;
    copy(out->device, sizeof(out->device), in->device);
    copy(out->backend, sizeof(out->backend), in->backend);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- database questions
 */

struct reading {
    struct owm_services *services;
    const char *method;
    read_fn *fn;
    struct owm_ask *ask;
};

static void read_now(void *ctx, void *arg)
{
    (void)ctx;
    struct reading *reading = arg;
    struct owm_services *services = reading->services;
    struct owm_error error = {""};
    pthread_mutex_lock(&services->reader_lock);
    /* A restarted server is noticed by asking only. */
    owm_status status = owm_pg_exec(services->reader, "SELECT 1", &error);
    if (status != OWM_OK) status = owm_pg_reopen(services->reader, &error);
    if (status == OWM_OK)
        reading->fn(services, reading->ask, services->reader);
    else
        wire_away(services, reading->ask->call, reading->method);
    pthread_mutex_unlock(&services->reader_lock);
    owm_ask_free(reading->ask);
    free(reading);
}

void wire_read(struct owm_services *services, struct owm_rpc_call *call, const char *method,
               read_fn *fn, const void *data, size_t bytes)
{
    struct reading *reading = calloc(1, sizeof(*reading));
    struct owm_ask *ask = owm_ask_new(NULL, services, call);
    if (ask && bytes) ask->data = malloc(bytes);
    if (!reading || !ask || (bytes && !ask->data)) {
        free(reading);
        owm_ask_free(ask);
        wire_busy(services, call, method);
        return;
    }
    if (bytes) memcpy(ask->data, data, bytes);
    ask->data_bytes = bytes;
    *reading = (struct reading){services, method, fn, ask};
    if (owm_workers_run(services->config.workers, read_now, NULL, reading) == OWM_OK) return;
    free(reading);
    owm_ask_free(ask);
    wire_busy(services, call, method);
}

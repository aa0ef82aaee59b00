/* sim_node.c: callbacks that chain one call to the next. */
#include "sim_node.h"

#include <coordinator.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "proto/canonical.h"

#define CALL_TIMEOUT_MS 60000

static void refuse(struct sim_fleet *fleet, const char *what, const char *why)
{
    if (atomic_fetch_add(&fleet->refused, 1) == 0)
        snprintf(fleet->refusal, sizeof fleet->refusal, "%s: %.200s", what, why);
}

static owm_status open_node(struct sim_fleet *fleet, struct sim_node *node, const char *target,
                            struct owm_error *error)
{
    struct owm_cert cert = {0};
    node->fleet = fleet;
    owm_status status = owm_identity_generate(&node->identity);
    if (status == OWM_OK)
        status = owm_identity_cert(node->identity, "owm-sim-node", NULL, &cert, error);
    if (status == OWM_OK) {
        struct owm_rpc_client_config config = {.target = target,
                                               .server_certificate_pem = fleet->certificate_pem,
                                               .certificate_pem = cert.cert_pem,
                                               .key_pem = cert.key_pem,
                                               .cq = fleet->cq,
                                               .keepalive_ms = 600000,
                                               .wait_for_ready = true};
        status = owm_rpc_client_open(&node->rpc, &config, error);
    }
    owm_cert_deinit(&cert);
    return status;
}

owm_status sim_fleet_open(struct sim_fleet *fleet, unsigned count, const char *target,
                          const char *certificate_pem, struct owm_error *error)
{
    *fleet = (struct sim_fleet){.certificate_pem = certificate_pem};
    fleet->nodes = calloc(count, sizeof *fleet->nodes);
    owm_status status = fleet->nodes ? owm_rpc_cq_open(&fleet->cq, 1) : OWM_E_NOMEM;
    for (; status == OWM_OK && fleet->count < count; fleet->count++)
        status = open_node(fleet, &fleet->nodes[fleet->count], target, error);
    return status;
}

void sim_fleet_close(struct sim_fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        owm_rpc_client_close(fleet->nodes[i].rpc);
        owm_identity_close(fleet->nodes[i].identity);
    }
    owm_rpc_cq_close(fleet->cq);
    free(fleet->nodes);
    *fleet = (struct sim_fleet){0};
}

/* --- registration: Hello, then RegisterNode, then the next node ---------------------------------
 */

static void register_next(struct sim_fleet *fleet);

static void on_registered(void *user, owm_status status, const struct owm_rpc_reply *reply)
{
    struct sim_node *node = user;
    Owm__Coordinator__V1__RegisterNodeResponse *response = NULL;
    if (status == OWM_OK)
        response =
            owm__coordinator__v1__register_node_response__unpack(NULL, reply->length, reply->bytes);
    if (!response || *response->error) {
        refuse(node->fleet, "RegisterNode", response ? response->message : reply->text);
    } else {
        snprintf(node->node_id, sizeof node->node_id, "%s", response->node_id);
        Owm__Coordinator__V1__HeartbeatRequest beat = OWM__COORDINATOR__V1__HEARTBEAT_REQUEST__INIT;
        beat.node_id = node->node_id;
        beat.boot_id = 1;
        beat.free_slots = 1;
        node->heartbeat_bytes =
            owm__coordinator__v1__heartbeat_request__pack(&beat, node->heartbeat);
    }
    if (response) owm__coordinator__v1__register_node_response__free_unpacked(response, NULL);
    register_next(node->fleet);
    atomic_fetch_sub(&node->fleet->running, 1);
}

static owm_status send_registration(struct sim_node *node,
                                    const Owm__Coordinator__V1__HelloResponse *hello)
{
    char key_hex[65];
    char *types[] = {"inference", "fl_round"};
    uint8_t text[OWM_CANONICAL_BYTES_MAX], signature[64], packed[2048];
    size_t bytes;
    Owm__Coordinator__V1__NodeCapabilities capabilities =
        OWM__COORDINATOR__V1__NODE_CAPABILITIES__INIT;
    capabilities.tier = "t1";
    capabilities.vram_gb = 8;
    capabilities.ram_gb = 16;
    capabilities.bandwidth_mbps = 100;
    capabilities.supported_task_types = types;
    capabilities.n_supported_task_types = 2;
    capabilities.device = "simulated";
    capabilities.backend = "cpu";
    capabilities.max_concurrent_tasks = 1;
    capabilities.tier_overridden = true;

    owm_hex_encode(owm_identity_public_key(node->identity), 32, key_hex);
    Owm__Coordinator__V1__RegisterNodeRequest request =
        OWM__COORDINATOR__V1__REGISTER_NODE_REQUEST__INIT;
    request.public_key = key_hex;
    request.capabilities = &capabilities;
    request.challenge = hello->challenge;
    request.timestamp_ms = hello->server_time_ms;
    request.protocol = hello->protocol;
    request.alias = "sim";
    if (hello->coordinator_key.len != 32) return OWM_E_PROTO;
    owm_status status = owm_canonical_register(text, &bytes, &request, hello->coordinator_key.data);
    if (status) return status;
    owm_identity_sign(node->identity, OWM_DOMAIN_REGISTER, text, bytes, signature);
    request.signature = (ProtobufCBinaryData){.len = sizeof signature, .data = signature};
    bytes = owm__coordinator__v1__register_node_request__get_packed_size(&request);
    if (bytes > sizeof packed) return OWM_E_LIMIT;
    owm__coordinator__v1__register_node_request__pack(&request, packed);
    return owm_rpc_call_unary_async(node->rpc, SIM_COORDINATOR "RegisterNode", packed, bytes,
                                    CALL_TIMEOUT_MS, on_registered, node);
}

static void on_hello(void *user, owm_status status, const struct owm_rpc_reply *reply)
{
    struct sim_node *node = user;
    Owm__Coordinator__V1__HelloResponse *hello = NULL;
    if (status == OWM_OK)
        hello = owm__coordinator__v1__hello_response__unpack(NULL, reply->length, reply->bytes);
    if (hello) status = send_registration(node, hello);
    if (hello && hello->coordinator_key.len == 32)
        memcpy(node->fleet->coordinator_key, hello->coordinator_key.data, 32);
    if (!hello || status) {
        refuse(node->fleet, "Hello", hello ? owm_status_text(status) : reply->text);
        register_next(node->fleet);
        atomic_fetch_sub(&node->fleet->running, 1);
    }
    if (hello) owm__coordinator__v1__hello_response__free_unpacked(hello, NULL);
}

static void register_next(struct sim_fleet *fleet)
{
    unsigned index = atomic_fetch_add(&fleet->next, 1);
    if (index >= fleet->count) return;
    Owm__Coordinator__V1__HelloRequest hello = OWM__COORDINATOR__V1__HELLO_REQUEST__INIT;
    hello.protocol_min = 1;
    hello.protocol_max = 1;
    hello.software = "owm-bench";
    uint8_t packed[64];
    size_t bytes = owm__coordinator__v1__hello_request__pack(&hello, packed);
    atomic_fetch_add(&fleet->running, 1);
    if (owm_rpc_call_unary_async(fleet->nodes[index].rpc, SIM_COORDINATOR "Hello", packed, bytes,
                                 CALL_TIMEOUT_MS, on_hello, &fleet->nodes[index])) {
        atomic_fetch_sub(&fleet->running, 1);
        refuse(fleet, "Hello", "out of memory");
    }
}

static owm_status wait_all(struct sim_fleet *fleet, struct owm_error *error)
{
    while (atomic_load(&fleet->running) > 0) owm_clock_sleep_ms(2);
    if (atomic_load(&fleet->refused) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_STATE, "%u calls were refused, the first: %s",
                    atomic_load(&fleet->refused), fleet->refusal);
}

owm_status sim_fleet_register(struct sim_fleet *fleet, unsigned window, struct owm_error *error)
{
    atomic_store(&fleet->next, 0);
    for (unsigned i = 0; i < window; i++) register_next(fleet);
    return wait_all(fleet, error);
}

/* --- heartbeats ----------------------------------------------------------------------------------
 */

static void beat_next(struct sim_fleet *fleet);

static void on_beat(void *user, owm_status status, const struct owm_rpc_reply *reply)
{
    struct sim_node *node = user;
    if (status == OWM_OK)
        atomic_fetch_add(&node->fleet->accepted, 1);
    else
        refuse(node->fleet, "Heartbeat", reply->text);
    beat_next(node->fleet);
    atomic_fetch_sub(&node->fleet->running, 1);
}

static void beat_next(struct sim_fleet *fleet)
{
    if (atomic_load(&fleet->stop)) return;
    struct sim_node *node = &fleet->nodes[atomic_fetch_add(&fleet->next, 1) % fleet->count];
    atomic_fetch_add(&fleet->running, 1);
    if (owm_rpc_call_unary_async(node->rpc, SIM_COORDINATOR "Heartbeat", node->heartbeat,
                                 node->heartbeat_bytes, CALL_TIMEOUT_MS, on_beat, node)) {
        atomic_fetch_sub(&fleet->running, 1);
        refuse(fleet, "Heartbeat", "out of memory");
    }
}

owm_status sim_fleet_heartbeats(struct sim_fleet *fleet, unsigned window, unsigned seconds,
                                double *rate, struct owm_error *error)
{
    atomic_store(&fleet->next, 0);
    atomic_store(&fleet->accepted, 0);
    atomic_store(&fleet->stop, false);
    for (unsigned i = 0; i < window; i++) beat_next(fleet);
    owm_clock_sleep_ms(500); /* Warm-up. */
    unsigned long long before = atomic_load(&fleet->accepted);
    uint64_t start_ns = owm_clock_mono_ns();
    owm_clock_sleep_ms(seconds * 1000);
    unsigned long long after = atomic_load(&fleet->accepted);
    *rate = (double)(after - before) * 1e9 / (double)(owm_clock_mono_ns() - start_ns);
    atomic_store(&fleet->stop, true);
    return wait_all(fleet, error);
}

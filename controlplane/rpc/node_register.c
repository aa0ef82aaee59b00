/* node_register.c: Hello and RegisterNode: version, challenge, signature, limits (SRS-SEC-03, -04).
 *
 * Cheap checks come first; the challenge is spent only once the signature over it is good. What has
 * to do with stakes is in register_stake.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "proto/canonical.h"
#include "services_internal.h"

#define HOUR_MS 3600000

void on_hello(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    PB(HelloRequest) *request = wire_unpack(
        services, call, "Hello", &owm__coordinator__v1__hello_request__descriptor, bytes, length);
    if (!request) return;
    PB(HelloResponse) response = OWM__COORDINATOR__V1__HELLO_RESPONSE__INIT;
    uint8_t key[32], challenge[OWM_CHALLENGE_BYTES];
    struct stake_hello stake;
    char message[160] = "";
    int64_t now_ms = owm_clock_wall_ms();
    if (request->protocol_min <= OWM_PROTOCOL_VERSION
        && request->protocol_max >= OWM_PROTOCOL_VERSION) {
        response.protocol = OWM_PROTOCOL_VERSION;
    } else {
        wire_refuse(services, "Hello", "PROTOCOL_VERSION", call);
        snprintf(message, sizeof(message),
                 "this coordinator speaks protocol %d, you speak %u to %u; update %s",
                 OWM_PROTOCOL_VERSION, request->protocol_min, request->protocol_max,
                 request->protocol_max < OWM_PROTOCOL_VERSION ? "owm-node" : "the coordinator");
    }
    owm_rpc_peer_key(call, key);
    owm_challenge_issue(services->challenges, key, now_ms, challenge,
                        &response.challenge_expires_ms);
    response.message = message;
    response.challenge = (ProtobufCBinaryData){sizeof(challenge), challenge};
    response.coordinator_key =
        (ProtobufCBinaryData){32, (uint8_t *)owm_identity_public_key(services->config.identity)};
    response.server_time_ms = now_ms;
    response.network = (char *)services->config.network;
    response.stake_policy = (char *)services->config.stake_name;
    stake_hello(services, key, &response, &stake);
    wire_reply(call, &response.base);
    owm__coordinator__v1__hello_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- RegisterNode */

void wire_refuse_registration(struct owm_services *services, struct owm_rpc_call *call,
                              const char *code, const char *sentence)
{
    PB(RegisterNodeResponse) response = OWM__COORDINATOR__V1__REGISTER_NODE_RESPONSE__INIT;
    wire_refuse(services, "RegisterNode", code, call);
    response.status = (char *)"refused";
    response.error = (char *)code;
    response.message = (char *)sentence;
    wire_reply(call, &response.base);
}

static void answer_registered(struct owm_ask *ask, const struct owm_output *output)
{
    struct owm_services *services = ask->ctx;
    if (!output) {
        wire_busy(services, ask->call, "RegisterNode");
        owm_ask_free(ask);
        return;
    }
    const struct owm_registered_output *out = &output->registered;
    static const uint8_t none[16];
    PB(RegisterNodeResponse) response = OWM__COORDINATOR__V1__REGISTER_NODE_RESPONSE__INIT;
    struct stake_answer stake;
    char node_id[37] = "";
    if (memcmp(out->node_id, none, 16) != 0) owm_uuid_format(out->node_id, node_id);
    response.node_id = node_id;
    response.status = (char *)(node_id[0] ? owm_node_status_name(out->status) : "refused");
    response.error = (char *)owm_code_name(out->code);
    response.required_stake_sats = out->required_stake_sats;
    stake_answer(services, ask, out, &response, &stake);
    response.heartbeat_period_ms = services->config.heartbeat_ms;
    response.manifest_period_ms = services->config.manifest_ms;
    if (out->code != OWM_CODE_NONE)
        wire_refuse(services, "RegisterNode", owm_code_name(out->code), ask->call);
    else
        owm_counter_add(services->registrations, 1);
    wire_reply(ask->call, &response.base);
    owm_ask_free(ask);
}

static const char *check_challenge(struct owm_services *services, const uint8_t key[32],
                                   const PB(RegisterNodeRequest) * request, const char **sentence)
{
    owm_status status = owm_challenge_use(services->challenges, key, owm_clock_wall_ms(),
                                          request->challenge.data, request->challenge.len);
    *sentence = "ask for a new challenge with Hello and sign that one";
    if (status == OWM_OK) return NULL;
    if (status == OWM_E_EXISTS) {
        *sentence = "this challenge was used before: a registration cannot be sent twice";
        return "REPLAYED";
    }
    if (status == OWM_E_TIMEOUT) return "CHALLENGE_EXPIRED";
    if (status == OWM_E_LIMIT) {
        *sentence = "too many nodes register at this moment; try again in a minute";
        return "BUSY";
    }
    return "UNKNOWN_CHALLENGE";
}

/* Everything about the request itself. Returns the code of the refusal, or NULL. */
static const char *check_request(struct owm_services *services, const uint8_t key[32],
                                 const PB(RegisterNodeRequest) * request, const char **sentence)
{
    uint8_t declared[32], text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    int64_t now_ms = owm_clock_wall_ms(), skew_ms = services->config.clock_skew_ms;
    if (request->protocol != OWM_PROTOCOL_VERSION) {
        *sentence = "the protocol version is not the one agreed in Hello; update owm-node";
        return "PROTOCOL_VERSION";
    }
    if (owm_hex_decode(request->public_key, declared, 32) != OWM_OK
        || !owm_bytes_equal(declared, key, 32)) {
        *sentence = "public_key is not the key of this connection's certificate";
        return "WRONG_KEY";
    }
    if (request->timestamp_ms > now_ms + skew_ms || request->timestamp_ms < now_ms - skew_ms) {
        *sentence = "the time in the request is too far from ours; set this machine's clock";
        return "STALE_TIMESTAMP";
    }
    if (request->signature.len != OWM_SIGNATURE_BYTES
        || owm_canonical_register(text, &bytes, request,
                                  owm_identity_public_key(services->config.identity))
               != OWM_OK
        || owm_verify(key, OWM_DOMAIN_REGISTER, text, bytes, request->signature.data) != OWM_OK) {
        *sentence = "the signature does not fit the request and the key";
        return "BAD_SIGNATURE";
    }
    return NULL;
}

/* SRS-SEC-04: new nodes per address; behind Tor all come from one address, so per key there
 * (SRS-NET-07). */
static const char *check_new(struct owm_services *services, const struct owm_rpc_call *call,
                             const uint8_t key[32], struct owm_error *error)
{
    char source[OWM_RATE_SOURCE_BYTES_MAX];
    int64_t wait_ms = HOUR_MS;
    if (!services->rate) return NULL;
    if (wire_is_tor(services, call))
        owm_hex_encode(key, 32, source);
    else
        snprintf(source, sizeof(source), "%s", owm_rpc_peer_address(call));
    if (owm_rate_take(services->rate, source, owm_clock_wall_ms(), &wait_ms) == OWM_OK) return NULL;
    owm_fail(error, OWM_E_LIMIT,
             "at most %u new nodes per address and hour; try again in %" PRId64 " minutes",
             services->config.registrations_per_hour, wait_ms / 60000 + 1);
    return "TOO_MANY_NODES";
}

/* Each registration asks the treasury's node three things, so one key may not come back without
 * end. More keys within an hour than are counted are a network that was restarted: they may. */
static const char *check_again(struct owm_services *services, const uint8_t key[32],
                               struct owm_error *error)
{
    char source[OWM_RATE_SOURCE_BYTES_MAX];
    int64_t wait_ms = 0;
    if (!services->again) return NULL;
    owm_hex_encode(key, 32, source);
    if (owm_rate_take(services->again, source, owm_clock_wall_ms(), &wait_ms) != OWM_E_LIMIT)
        return NULL;
    owm_fail(error, OWM_E_LIMIT,
             "this node has registered %u times within an hour; look why it does, and try again in "
             "%" PRId64 " minutes",
             services->config.registrations_of_key_per_hour, wait_ms / 60000 + 1);
    return "TOO_MANY_REGISTRATIONS";
}

static void post_registration(struct owm_services *services, struct owm_rpc_call *call,
                              const uint8_t key[32], const PB(RegisterNodeRequest) * request,
                              const struct owm_register_event *checked)
{
    struct owm_post *post = owm_post_new(OWM_EVENT_REGISTER);
    if (post) post->ask = owm_ask_new(answer_registered, services, call);
    if (!post || !post->ask) {
        owm_post_free(post);
        wire_busy(services, call, "RegisterNode");
        return;
    }
    struct owm_register_event *event = &post->event.reg;
    *event = *checked;
    owm_uuid_random(event->node_id);
    memcpy(event->public_key, key, 32);
    snprintf(event->ln_node_uri, sizeof(event->ln_node_uri), "%s", request->ln_node_uri);
    snprintf(event->onion_address, sizeof(event->onion_address), "%s", request->onion_address);
    snprintf(event->alias, sizeof(event->alias), "%s", request->alias);
    snprintf(event->payout_to, sizeof(event->payout_to), "%s", request->payout_to);
    if (services->config.stake)
        stake_post(services, call, post);
    else
        wire_post(services, call, "RegisterNode", post);
}

/* Returns the code of the refusal with a sentence in error, or NULL with what was learnt. The
 * challenge is spent last. */
static const char *check(struct owm_services *services, const struct owm_rpc_call *call,
                         const uint8_t key[32], const PB(RegisterNodeRequest) * request,
                         struct owm_register_event *checked, struct owm_error *error)
{
    const char *sentence = "";
    const char *code = check_request(services, key, request, &sentence);
    if (!code) {
        code = stake_check(services, key, request, checked->ln_key, error);
        if (code) return code;
        code = check_challenge(services, key, request, &sentence);
    }
    if (code) {
        owm_fail(error, OWM_E_PROTO, "%s", sentence);
        return code;
    }
    if (wire_capabilities(services, request->capabilities, &checked->capabilities, error) != OWM_OK)
        return "BAD_CAPABILITIES";
    return owm_peers_find(services->config.peers, key) ? check_again(services, key, error)
                                                       : check_new(services, call, key, error);
}

void on_register(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    PB(RegisterNodeRequest) *request =
        wire_unpack(services, call, "RegisterNode",
                    &owm__coordinator__v1__register_node_request__descriptor, bytes, length);
    if (!request) return;
    uint8_t key[32];
    struct owm_register_event checked = {0};
    struct owm_error error = {""};
    owm_rpc_peer_key(call, key);
    const char *code = check(services, call, key, request, &checked, &error);
    if (code)
        wire_refuse_registration(services, call, code, error.text);
    else
        post_registration(services, call, key, request, &checked);
    owm__coordinator__v1__register_node_request__free_unpacked(request, NULL);
}

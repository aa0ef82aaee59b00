/* node_heartbeat.c: Heartbeat, StreamTasks and what goes out on the stream.
 *
 * A heartbeat with no news (same boot, slots, draining; no lease, no manifest, node active) is
 * answered at once; see peers.h. Any other goes through the engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "controlplane/bonds/bonds.h"
#include "proto/canonical.h"
#include "services_internal.h"

/* ---------------------------------------------------------------------------- answers */

#define NOTICE_BYTES 320

static void put_utc(int64_t at_ms, char text[32])
{
    time_t second = (time_t)(at_ms / 1000);
    struct tm utc;
    gmtime_r(&second, &utc);
    strftime(text, 32, "%Y-%m-%d %H:%M UTC", &utc);
}

/* SRS-STAKE-02: how much is missing, where to, until when, and what happens then. */
static void notice_of_stake(const struct owm_services *services,
                            const struct owm_heartbeat_output *out, char notice[NOTICE_BYTES])
{
    long long missing_sats = out->required_stake_sats - out->stake_sats;
    char until[32];
    put_utc(out->degraded_until_ms, until);
    if (out->status == OWM_NODE_DEGRADED)
        snprintf(notice, NOTICE_BYTES,
                 "the stake is %lld sats, %lld below the minimum of %lld: no tasks until the "
                 "channel to the treasury has them again; if not by %s, this node is suspended "
                 "(nothing is taken from it)",
                 (long long)out->stake_sats, missing_sats, (long long)out->required_stake_sats,
                 until);
    else if (out->status == OWM_NODE_SUSPENDED)
        snprintf(notice, NOTICE_BYTES,
                 "suspended: the stake stayed below the minimum, %lld of %lld sats; nothing was "
                 "taken, and with %lld more in a channel to the treasury it is active again",
                 (long long)out->stake_sats, (long long)out->required_stake_sats, missing_sats);
    else if (services->config.stake)
        snprintf(notice, NOTICE_BYTES,
                 "waiting for its stake: the treasury sees %lld of %lld sats in confirmed channels "
                 "of this node",
                 (long long)out->stake_sats, (long long)out->required_stake_sats);
}

static bool notice_of_bond(const struct owm_services *services, const uint8_t node_id[16],
                           char notice[NOTICE_BYTES])
{
    static_assert(NOTICE_BYTES >= OWM_BOND_NOTICE_BYTES, "a bond's notice fits");
    return services->bonds && owm_bonds_notice(services->bonds, node_id, notice);
}

static void notice_of(const struct owm_services *services, const uint8_t node_id[16],
                      const struct owm_heartbeat_output *out, char notice[NOTICE_BYTES])
{
    notice[0] = 0;
    if (out->status == OWM_NODE_SUSPENDED && out->cooldown_until_ms) {
        char until[32];
        put_utc(out->cooldown_until_ms, until);
        snprintf(notice, NOTICE_BYTES,
                 "suspended for misbehaviour: look at the evidence with the operator of the "
                 "network; no tasks until the cooldown ends, %s",
                 until);
    } else if (out->status != OWM_NODE_ACTIVE) {
        notice_of_stake(services, out, notice);
    } else if (!notice_of_bond(services, node_id, notice) && out->why != OWM_WHY_BUSY) {
        snprintf(notice, NOTICE_BYTES, "%s", owm_why_text(out->why));
    }
}

static void answer_heartbeat(struct owm_ask *ask, const struct owm_output *output)
{
    struct owm_services *services = ask->ctx;
    const struct owm_heartbeat_output *out = output ? &output->heartbeat : NULL;
    if (!out) {
        wire_busy(services, ask->call, "Heartbeat");
    } else if (out->code != OWM_CODE_NONE) {
        wire_fail(services, ask->call, "Heartbeat", OWM_RPC_NOT_FOUND, owm_code_name(out->code),
                  owm_code_text(out->code));
    } else {
        PB(HeartbeatResponse) response = OWM__COORDINATOR__V1__HEARTBEAT_RESPONSE__INIT;
        char notice[NOTICE_BYTES], lost[OWM_LOST_LEASES_MAX][37], *lost_list[OWM_LOST_LEASES_MAX];
        for (uint32_t i = 0; i < out->lost_count; i++) {
            owm_uuid_format(out->lost[i], lost[i]);
            lost_list[i] = lost[i];
        }
        response.status = (char *)owm_node_status_name(out->status);
        response.pending_tasks = out->pending_tasks;
        response.lost_leases = lost_list;
        response.n_lost_leases = out->lost_count;
        response.server_time_ms = owm_clock_wall_ms();
        response.next_heartbeat_ms = services->config.heartbeat_ms;
        notice_of(services, ask->id, out, notice);
        response.notice = notice;
        response.model_hash = (ProtobufCBinaryData){32, (uint8_t *)out->model_hash};
        response.round = out->round;
        response.stake_sats = out->stake_sats;
        response.required_stake_sats = out->required_stake_sats;
        response.degraded_until_ms = out->degraded_until_ms;
        wire_reply(ask->call, &response.base);
    }
    owm_ask_free(ask);
}

static void answer_at_once(struct owm_services *services, struct owm_rpc_call *call,
                           const struct owm_peer *peer)
{
    PB(HeartbeatResponse) response = OWM__COORDINATOR__V1__HEARTBEAT_RESPONSE__INIT;
    struct owm_network_view view;
    char notice[NOTICE_BYTES];
    owm_peers_view(services->config.peers, &view);
    response.status = (char *)owm_node_status_name(OWM_NODE_ACTIVE);
    response.pending_tasks = view.pending_tasks;
    response.server_time_ms = owm_clock_wall_ms();
    response.next_heartbeat_ms = services->config.heartbeat_ms;
    response.model_hash = (ProtobufCBinaryData){32, view.model_hash};
    response.round = view.round;
    response.stake_sats = atomic_load(&peer->stake_sats);
    response.required_stake_sats = atomic_load(&peer->required_stake_sats);
    if (notice_of_bond(services, peer->node_id, notice)) response.notice = notice;
    wire_reply(call, &response.base);
}

/* ---------------------------------------------------------------------------- manifest */

/* SRS-NODE-04. Returns false when the manifest was refused (the heartbeat itself still counts). */
static void take_manifest(struct owm_services *services, struct owm_rpc_call *call,
                          const struct owm_peer *peer, const PB(CapabilityManifest) * manifest)
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    struct owm_error error = {""};
    int64_t skew_ms = manifest->timestamp_ms - owm_clock_wall_ms();
    const char *code = NULL;
    struct owm_post *post = owm_post_new(OWM_EVENT_MANIFEST);
    if (!post) return;
    if (strcmp(manifest->node_id, peer->node_id_text) != 0)
        code = "WRONG_KEY";
    else if (skew_ms > services->config.clock_skew_ms || skew_ms < -services->config.clock_skew_ms)
        code = "STALE_TIMESTAMP";
    else if (manifest->signature.len != OWM_SIGNATURE_BYTES
             || owm_canonical_manifest(text, &bytes, manifest,
                                       owm_identity_public_key(services->config.identity))
                    != OWM_OK
             || owm_verify(peer->public_key, OWM_DOMAIN_MANIFEST, text, bytes,
                           manifest->signature.data)
                    != OWM_OK)
        code = "BAD_SIGNATURE";
    else if (wire_capabilities(services, manifest->capabilities, &post->event.manifest.capabilities,
                               &error)
             != OWM_OK)
        code = "BAD_CAPABILITIES";
    if (code) {
        wire_refuse(services, "Manifest", code, call);
        owm_post_free(post);
        return;
    }
    memcpy(post->event.manifest.node_id, peer->node_id, 16);
    post->event.manifest.sequence = manifest->sequence;
    if (owm_inbox_put(services->config.inbox, post) != OWM_OK)
        wire_refuse(services, "Manifest", "BUSY", call);
}

/* ---------------------------------------------------------------------------- Heartbeat */

static bool is_news(const struct owm_peer *peer, const PB(HeartbeatRequest) * request)
{
    return request->n_leases > 0 || request->manifest || !atomic_load(&peer->settled)
           || atomic_load(&peer->boot_id) != request->boot_id
           || atomic_load(&peer->free_slots) != request->free_slots
           || atomic_load(&peer->draining) != (bool)request->draining
           || atomic_load(&peer->status) != OWM_NODE_ACTIVE;
}

static void remember(struct owm_peer *peer, const PB(HeartbeatRequest) * request)
{
    atomic_store(&peer->settled, false);
    atomic_store(&peer->boot_id, request->boot_id);
    atomic_store(&peer->free_slots, request->free_slots);
    atomic_store(&peer->draining, request->draining);
    atomic_store(&peer->settled, request->n_leases == 0);
}

/* The event's leases, in the post's memory. Malformed task ids are passed over: such a lease is
 * not ours. */
static struct owm_post *heartbeat_post(enum owm_event_kind kind, const struct owm_peer *peer,
                                       const PB(HeartbeatRequest) * request)
{
    struct owm_post *post = owm_post_new(kind);
    if (!post) return NULL;
    struct owm_heartbeat_event *event = &post->event.heartbeat;
    memcpy(event->node_id, peer->node_id, 16);
    event->boot_id = request->boot_id;
    event->free_slots = request->free_slots;
    event->draining = request->draining;
    size_t count = request->n_leases < OWM_RENEWALS_MAX ? request->n_leases : OWM_RENEWALS_MAX;
    struct owm_lease *leases = count ? calloc(count, sizeof(*leases)) : NULL;
    if (count && !leases) {
        owm_post_free(post);
        return NULL;
    }
    post->memory = leases;
    event->leases = leases;
    for (size_t i = 0; i < count; i++) {
        if (owm_uuid_parse(request->leases[i]->task_id, leases[event->lease_count].task_id)
            != OWM_OK)
            continue;
        leases[event->lease_count++].lease_token = request->leases[i]->lease_token;
    }
    return post;
}

void on_heartbeat(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    PB(HeartbeatRequest) *request =
        wire_unpack(services, call, "Heartbeat",
                    &owm__coordinator__v1__heartbeat_request__descriptor, bytes, length);
    if (!request) return;
    struct owm_peer *peer = wire_peer(services, call, "Heartbeat", request->node_id);
    if (peer && !is_news(peer, request)) {
        atomic_store_explicit(&peer->seen, true, memory_order_relaxed);
        answer_at_once(services, call, peer);
        owm_counter_add(services->heartbeats_fast, 1);
    } else if (peer) {
        if (request->manifest) take_manifest(services, call, peer, request->manifest);
        struct owm_post *post = heartbeat_post(OWM_EVENT_HEARTBEAT, peer, request);
        if (post) post->ask = owm_ask_new(answer_heartbeat, services, call);
        if (post && post->ask) {
            memcpy(post->ask->id, peer->node_id, 16);
            wire_post(services, call, "Heartbeat", post);
            remember(peer, request);
            owm_counter_add(services->heartbeats_slow, 1);
        } else {
            owm_post_free(post);
            wire_busy(services, call, "Heartbeat");
        }
    }
    owm__coordinator__v1__heartbeat_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- StreamTasks */

struct stream_user {
    struct owm_peer *peer;
    uint64_t stream;
};

static void answer_stream(struct owm_ask *ask, const struct owm_output *output)
{
    if (!output)
        owm_rpc_fail(ask->call, OWM_RPC_UNAVAILABLE, "the coordinator is stopping");
    else if (output->done.code != OWM_CODE_NONE)
        wire_fail(ask->ctx, ask->call, "StreamTasks", OWM_RPC_NOT_FOUND,
                  owm_code_name(output->done.code), owm_code_text(output->done.code));
    owm_ask_free(ask);
}

void on_stream(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    PB(HeartbeatRequest) *request =
        wire_unpack(services, call, "StreamTasks",
                    &owm__coordinator__v1__heartbeat_request__descriptor, bytes, length);
    if (!request) return;
    struct owm_peer *peer = wire_peer(services, call, "StreamTasks", request->node_id);
    struct stream_user *user = peer ? calloc(1, sizeof(*user)) : NULL;
    struct owm_post *post = user ? heartbeat_post(OWM_EVENT_STREAM_OPENED, peer, request) : NULL;
    if (post) post->ask = owm_ask_new(answer_stream, services, call);
    if (post && post->ask) {
        user->peer = peer;
        user->stream = owm_peer_set_stream(services->config.peers, peer, call);
        owm_rpc_call_set_user(call, user);
        post->event.heartbeat.stream = user->stream;
        remember(peer, request);
        wire_post(services, call, "StreamTasks", post);
    } else {
        owm_post_free(post);
        free(user);
        if (peer) wire_busy(services, call, "StreamTasks");
    }
    owm__coordinator__v1__heartbeat_request__free_unpacked(request, NULL);
}

void on_stream_end(void *app, struct owm_rpc_call *call, bool cancelled)
{
    (void)cancelled;
    struct owm_services *services = app;
    struct stream_user *user = owm_rpc_call_user(call);
    if (!user) return;
    owm_rpc_call_set_user(call, NULL);
    owm_peer_drop_stream(services->config.peers, user->peer, user->stream);
    struct owm_post *post = owm_post_new(OWM_EVENT_STREAM_CLOSED);
    if (post) {
        memcpy(post->event.closed.node_id, user->peer->node_id, 16);
        post->event.closed.stream = user->stream;
        owm_inbox_put_own(services->config.inbox, post);
    }
    free(user);
}

/* ---------------------------------------------------------------------------- dispatch */

/* Plain payload of a task, malloc'ed: an fl_round's is made here from the round's orders. */
static uint8_t *plain_payload(const struct owm_services *services,
                              const struct owm_dispatch_output *dispatch, size_t *bytes)
{
    if (dispatch->type != OWM_TASK_FL_ROUND) {
        uint8_t *copy = malloc(dispatch->payload_bytes ? dispatch->payload_bytes : 1);
        if (copy) memcpy(copy, dispatch->payload, dispatch->payload_bytes);
        *bytes = dispatch->payload_bytes;
        return copy;
    }
    const struct owm_round_orders *orders = &services->config.orders;
    PB(FlRoundPayload) payload = OWM__COORDINATOR__V1__FL_ROUND_PAYLOAD__INIT;
    payload.round = dispatch->round;
    payload.model_hash = (ProtobufCBinaryData){32, (uint8_t *)dispatch->base_hash};
    payload.model_bytes = dispatch->base_bytes;
    payload.steps = orders->steps;
    payload.batch = orders->batch;
    payload.seq = orders->seq;
    payload.lr = orders->lr;
    payload.weight_decay = orders->weight_decay;
    payload.topk_permille = orders->topk_permille;
    payload.value_type = (char *)orders->value_type;
    payload.nonce = (ProtobufCBinaryData){16, (uint8_t *)dispatch->nonce};
    memcpy(&payload.seed, dispatch->nonce, sizeof(payload.seed));
    payload.package_bytes_max = orders->package_bytes_max;
    payload.warmup_steps = orders->warmup_steps;
    *bytes = owm__coordinator__v1__fl_round_payload__get_packed_size(&payload);
    uint8_t *packed = malloc(*bytes);
    if (packed) owm__coordinator__v1__fl_round_payload__pack(&payload, packed);
    return packed;
}

/* A dispatch that cannot be written needs no care: its stream is gone, or is full (it holds as many
 * as the node has slots) because the node reads nothing; the lease runs out and the task goes to
 * another. */
void dispatch_task(struct owm_services *services, const struct owm_dispatch_output *dispatch)
{
    struct owm_peer *peer = owm_peers_by_id(services->config.peers, dispatch->node_id);
    PB(Task) task = OWM__COORDINATOR__V1__TASK__INIT;
    uint8_t hash[32], *plain = NULL, *boxed = NULL, *packed = NULL;
    char task_id[37];
    size_t bytes = 0;
    owm_status status = OWM_E_NOMEM;
    if (!peer) return;
    plain = plain_payload(services, dispatch, &bytes);
    boxed = malloc(bytes + OWM_BOX_EXTRA_BYTES);
    if (!plain || !boxed) goto out;
    status = owm_identity_box(services->config.identity, peer->public_key, plain, bytes, boxed);
    if (status != OWM_OK) goto out;
    owm_sha256(plain, bytes, hash);
    owm_uuid_format(dispatch->task_id, task_id);
    task.task_id = task_id;
    task.task_type = (char *)owm_task_type_name(dispatch->type);
    task.payload = (ProtobufCBinaryData){bytes + OWM_BOX_EXTRA_BYTES, boxed};
    task.timeout_seconds = (int32_t)(dispatch->timeout_ms / 1000);
    task.reward_sats = dispatch->reward_msat / 1000;
    task.lease_token = dispatch->lease_token;
    task.attempt = dispatch->attempt;
    task.input_hash = (ProtobufCBinaryData){32, hash};
    task.deadline_ms = dispatch->deadline_ms;
    size_t packed_bytes = owm__coordinator__v1__task__get_packed_size(&task);
    packed = malloc(packed_bytes);
    if (!packed) goto out;
    owm__coordinator__v1__task__pack(&task, packed);
    status = owm_peer_send(services->config.peers, peer, dispatch->stream, packed, packed_bytes);
out:
    if (status != OWM_OK && status != OWM_E_STATE)
        owm_log(OWM_LOG_WARN, "dispatch_not_sent node=%s reason=\"%s\"", peer->node_id_text,
                owm_status_text(status));
    free(packed);
    free(boxed);
    free(plain);
}

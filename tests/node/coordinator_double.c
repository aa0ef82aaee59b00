/* coordinator_double.c: the scripted coordinator of the node's tests. */
#include "coordinator_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/lightning/lightning.h"
#include "base/sha256.h"
#include "dataplane/fl/receipt.h"
#include "proto/canonical.h"
#include "proto/model_manifest.h"
#include "proto/statement.h"

#define PB(name) Owm__Coordinator__V1__##name
#define PATH     "/owm.coordinator.v1.CoordinatorService/"

static void must(owm_status status, const char *what)
{
    if (status == OWM_OK) return;
    fprintf(stderr, "coordinator double: %s: %s\n", what, owm_status_text(status));
    abort();
}

static void reply(struct owm_rpc_call *call, const ProtobufCMessage *message)
{
    uint8_t *bytes = malloc(protobuf_c_message_get_packed_size(message) + 1);
    size_t count = protobuf_c_message_pack(message, bytes);
    owm_rpc_reply(call, bytes, count);
    free(bytes);
}

/** statement: of this double about the node that speaks; or, as a liar would, about another. */
static void statement(struct coordinator_double *d, struct owm_rpc_call *call,
                      char text[OWM_STATEMENT_BYTES])
{
    struct owm_statement said = {.expires_s = owm_clock_wall_ms() / 1000 + 86400,
                                 .seal = "sealed by double"};
    snprintf(said.network, sizeof said.network, "%s", d->network);
    memcpy(said.coordinator, owm_identity_public_key(d->identity), sizeof said.coordinator);
    owm_rpc_peer_key(call, said.node_key);
    if (d->foreign_statement) said.node_key[0] ^= 1;
    must(owm_statement_format(&said, text), "statement");
}

static void on_hello(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    (void)bytes;
    (void)count;
    uint8_t key[32];
    memcpy(key, owm_identity_public_key(d->identity), 32);
    PB(HelloResponse) r = OWM__COORDINATOR__V1__HELLO_RESPONSE__INIT;
    char network[64], policy[32], treasury[200], stake[OWM_STATEMENT_BYTES] = "", t1[] = "t1";
    PB(TierStake) tier = OWM__COORDINATOR__V1__TIER_STAKE__INIT, *tiers[] = {&tier};
    pthread_mutex_lock(&d->lock);
    d->hellos++;
    if (d->wrong_key) key[0] ^= 1;
    for (size_t i = 0; i < sizeof d->challenge; i++)
        d->challenge[i] = (uint8_t)(owm_clock_mono_ns() >> i);
    snprintf(network, sizeof network, "%s", d->network);
    snprintf(policy, sizeof policy, "%s", d->stake_policy);
    snprintf(treasury, sizeof treasury, "%s", d->treasury_uri);
    if (strcmp(policy, "lightning") == 0) {
        statement(d, call, stake);
        tier.tier = t1;
        tier.minimum_sats = d->minimum_sats;
        r.tiers = tiers;
        r.n_tiers = 1;
    }
    r.stake_bound = d->stake_bound;
    r.server_time_ms = d->server_time_ms ? d->server_time_ms : owm_clock_wall_ms();
    pthread_mutex_unlock(&d->lock);
    r.protocol = 1;
    r.challenge = (ProtobufCBinaryData){32, d->challenge};
    r.coordinator_key = (ProtobufCBinaryData){32, key};
    r.network = network;
    r.stake_policy = policy;
    r.stake_statement = stake;
    r.treasury_uri = treasury;
    reply(call, &r.base);
}

static bool registration_holds(struct coordinator_double *d,
                               const PB(RegisterNodeRequest) * request)
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    return request->signature.len == 64 && request->challenge.len == 32
           && memcmp(request->challenge.data, d->challenge, 32) == 0
           && owm_hex_decode(request->public_key, d->node_key, 32) == OWM_OK
           && owm_canonical_register(text, &bytes, request, owm_identity_public_key(d->identity))
                  == OWM_OK
           && owm_verify(d->node_key, OWM_DOMAIN_REGISTER, text, bytes, request->signature.data)
                  == OWM_OK;
}

/** stake_holds: bound already, or the Lightning node of ln_node_uri signed the statement. */
static bool stake_holds(struct coordinator_double *d, const PB(RegisterNodeRequest) * request)
{
    uint8_t named[OWM_LIGHTNING_KEY_BYTES], signer[OWM_LIGHTNING_KEY_BYTES];
    struct owm_error error;
    const char *host;
    if (strcmp(d->stake_policy, "lightning") != 0) return request->stake_statement[0] == '\0';
    if (request->stake_statement[0] == '\0') return d->stake_bound;
    if (owm_statement_names(request->stake_statement, d->network,
                            owm_identity_public_key(d->identity), d->node_key, &error)
            != OWM_OK
        || owm_lightning_uri_parse(request->ln_node_uri, named, &host) != OWM_OK
        || owm_lightning_recover(request->stake_statement, request->stake_signature, signer)
               != OWM_OK
        || memcmp(named, signer, sizeof named) != 0)
        return false;
    d->stake_proofs++;
    return true;
}

static void on_register(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(RegisterNodeRequest) *request =
        owm__coordinator__v1__register_node_request__unpack(NULL, count, bytes);
    PB(RegisterNodeResponse) r = OWM__COORDINATOR__V1__REGISTER_NODE_RESPONSE__INIT;
    char id[] = DOUBLE_NODE_ID, active[32], refused[] = "refused", error[64] = "";
    char message[] = "lock the stake", treasury[200], note[128];
    pthread_mutex_lock(&d->lock);
    if (request == NULL || !registration_holds(d, request)) {
        d->bad_signatures++;
        snprintf(error, sizeof error, "BAD_SIGNATURE");
    } else if (!stake_holds(d, request))
        snprintf(error, sizeof error, "BAD_STAKE_SIGNATURE");
    else
        snprintf(error, sizeof error, "%s", d->register_error);
    snprintf(treasury, sizeof treasury, "%s", d->treasury_uri);
    snprintf(note, sizeof note, "%s", d->stake_note);
    snprintf(active, sizeof active, "%s", d->register_status);
    if (request) snprintf(d->payout_to, sizeof d->payout_to, "%s", request->payout_to);
    r.required_stake_sats = d->minimum_sats;
    r.stake_sats = d->stake_sats;
    r.stake_note = note;
    r.stake_bonus = 1.25;
    if (error[0]) {
        r.treasury_uri = treasury;
        r.message = message;
        r.status = refused;
    } else {
        d->forget_node = false;
        r.node_id = id;
        r.status = active;
        r.heartbeat_period_ms = d->heartbeat_ms;
        r.manifest_period_ms = d->manifest_ms;
    }
    d->registrations++;
    pthread_mutex_unlock(&d->lock);
    r.error = error;
    reply(call, &r.base);
    if (request) protobuf_c_message_free_unpacked(&request->base, NULL);
}

static void note_manifest(struct coordinator_double *d, const PB(CapabilityManifest) * m)
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    if (m->signature.len != 64
        || owm_canonical_manifest(text, &bytes, m, owm_identity_public_key(d->identity)) != OWM_OK
        || owm_verify(d->node_key, OWM_DOMAIN_MANIFEST, text, bytes, m->signature.data) != OWM_OK
        || m->sequence <= d->last_sequence)
        d->bad_signatures++;
    d->last_sequence = m->sequence;
    d->manifests++;
}

static void on_heartbeat(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(HeartbeatRequest) *request =
        owm__coordinator__v1__heartbeat_request__unpack(NULL, count, bytes);
    PB(HeartbeatResponse) r = OWM__COORDINATOR__V1__HEARTBEAT_RESPONSE__INIT;
    char status[64], notice[64], lost[64], *list[1] = {lost};
    pthread_mutex_lock(&d->lock);
    bool forgotten = d->forget_node;
    d->heartbeats++;
    d->draining = request->draining;
    d->boot_id = request->boot_id;
    d->leases = request->n_leases;
    d->free_slots = request->free_slots;
    if (request->manifest) note_manifest(d, request->manifest);
    r.next_heartbeat_ms = d->heartbeat_ms;
    r.round = d->round;
    r.stake_sats = d->stake_sats;
    r.required_stake_sats = d->minimum_sats;
    r.degraded_until_ms = d->degraded_until_ms;
    if (d->lost_lease && request->n_leases > 0) {
        snprintf(lost, sizeof lost, "%s", d->lost_lease);
        r.lost_leases = list;
        r.n_lost_leases = 1;
    }
    bool swap = d->swap_lease && r.n_lost_leases > 0;
    if (swap) {
        d->swap_lease = false;
        d->lost_lease = NULL;
    }
    r.server_time_ms = d->server_time_ms ? d->server_time_ms : owm_clock_wall_ms();
    snprintf(status, sizeof status, "%s", d->status);
    snprintf(notice, sizeof notice, "%s", d->notice);
    pthread_mutex_unlock(&d->lock);
    r.status = status;
    r.notice = notice;
    if (swap) {
        double_send_inference(d, lost, 2, "once", 2000);
        owm_clock_sleep_ms(300); /* The node takes it before it reads our answer. */
    }
    if (forgotten)
        owm_rpc_fail(call, OWM_RPC_NOT_FOUND, "unknown node");
    else
        reply(call, &r.base);
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

static void on_stream(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    (void)bytes;
    (void)count;
    pthread_mutex_lock(&d->lock);
    owm_rpc_call_ref(call);
    if (d->stream) owm_rpc_call_unref(d->stream);
    d->stream = call;
    d->streams++;
    pthread_mutex_unlock(&d->lock);
}

static void on_progress(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(TaskProgress) *p = owm__coordinator__v1__task_progress__unpack(NULL, count, bytes);
    pthread_mutex_lock(&d->lock);
    size_t plain = p->chunk.len - OWM_BOX_EXTRA_BYTES;
    if (d->text_bytes + plain <= sizeof d->text
        && owm_identity_unbox(d->identity, d->node_key, p->chunk.data, p->chunk.len,
                              (uint8_t *)d->text + d->text_bytes)
               == OWM_OK)
        d->text_bytes += plain;
    else
        d->bad_signatures++;
    d->progresses++;
    pthread_mutex_unlock(&d->lock);
    PB(TaskProgressAck) r = OWM__COORDINATOR__V1__TASK_PROGRESS_ACK__INIT;
    r.keep_going = true;
    reply(call, &r.base);
    protobuf_c_message_free_unpacked(&p->base, NULL);
}

static void read_result(struct coordinator_double *d, const PB(TaskResult) * m)
{
    struct double_result *r = &d->result[d->result_count % DOUBLE_RESULTS_MAX];
    memset(r, 0, sizeof *r);
    snprintf(r->task_id, sizeof r->task_id, "%s", m->task_id);
    snprintf(r->error, sizeof r->error, "%s", m->error);
    r->lease_token = m->lease_token;
    uint8_t text[OWM_CANONICAL_BYTES_MAX], hash[32];
    size_t bytes = 0;
    bool boxed = m->output.len > OWM_BOX_EXTRA_BYTES
                 && m->output.len - OWM_BOX_EXTRA_BYTES <= sizeof r->output;
    if (boxed
        && owm_identity_unbox(d->identity, d->node_key, m->output.data, m->output.len, r->output)
               == OWM_OK)
        r->output_bytes = m->output.len - OWM_BOX_EXTRA_BYTES;
    owm_sha256(r->output, r->output_bytes, hash);
    r->verified =
        m->signature.len == 64 && m->output_hash.len == 32
        && memcmp(hash, m->output_hash.data, 32) == 0 && strcmp(m->node_id, DOUBLE_NODE_ID) == 0
        && owm_canonical_result(text, &bytes, m, owm_identity_public_key(d->identity)) == OWM_OK
        && owm_verify(d->node_key, OWM_DOMAIN_RESULT, text, bytes, m->signature.data) == OWM_OK;
    d->result_count++;
}

static void on_result(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(TaskResult) *m = owm__coordinator__v1__task_result__unpack(NULL, count, bytes);
    PB(TaskResultAck) r = OWM__COORDINATOR__V1__TASK_RESULT_ACK__INIT;
    char reason[] = "STALE_LEASE", message[] = "another node has it";
    pthread_mutex_lock(&d->lock);
    d->submits++;
    bool mute = d->mute;
    if (!mute) read_result(d, m);
    r.accepted = !d->refuse_results;
    pthread_mutex_unlock(&d->lock);
    r.reward_msat = r.accepted ? 10000 : 0;
    if (!r.accepted) {
        r.reason = reason;
        r.message = message;
    }
    if (mute)
        owm_rpc_fail(call, OWM_RPC_UNAVAILABLE, "not now");
    else
        reply(call, &r.base);
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void on_chunk(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    (void)call;
    PB(BlobChunk) *c = owm__coordinator__v1__blob_chunk__unpack(NULL, count, bytes);
    pthread_mutex_lock(&d->lock);
    if (c->offset == 0) {
        free(d->upload);
        d->upload = malloc(c->total_bytes + 1);
        d->upload_bytes = 0;
    }
    memcpy(d->upload + d->upload_bytes, c->data.data, c->data.len);
    d->upload_bytes += c->data.len;
    pthread_mutex_unlock(&d->lock);
    protobuf_c_message_free_unpacked(&c->base, NULL);
}

static void on_uploaded(void *app, struct owm_rpc_call *call)
{
    struct coordinator_double *d = app;
    PB(BlobAck) r = OWM__COORDINATOR__V1__BLOB_ACK__INIT;
    pthread_mutex_lock(&d->lock);
    d->uploads++;
    r.bytes = d->upload_bytes;
    pthread_mutex_unlock(&d->lock);
    r.accepted = true;
    reply(call, &r.base);
}

#define PIECE 4096

static void on_download(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(BlobRequest) *m = owm__coordinator__v1__blob_request__unpack(NULL, count, bytes);
    pthread_mutex_lock(&d->lock);
    d->download_offset = m->offset;
    d->downloads++;
    size_t end = d->blob_break ? d->blob_break : d->blob_bytes;
    bool broken = d->blob_break != 0;
    d->blob_break = 0;
    /* The send queue of the server takes 64 messages; test checkpoints are smaller than that. */
    for (size_t at = m->offset; at < end; at += PIECE) {
        PB(BlobChunk) c = OWM__COORDINATOR__V1__BLOB_CHUNK__INIT;
        c.offset = at;
        c.data.len = end - at < PIECE ? end - at : PIECE;
        c.data.data = (uint8_t *)(uintptr_t)(d->blob + at);
        uint8_t packed[PIECE + 64];
        size_t n = owm__coordinator__v1__blob_chunk__pack(&c, packed);
        if (d->changed_blob && at + PIECE >= end) packed[n - 1] ^= 1; /* The data comes last. */
        must(owm_rpc_send(call, packed, n), "send chunk");
    }
    pthread_mutex_unlock(&d->lock);
    owm_rpc_finish(call); /* A broken one ends early: the node must notice by the hash. */
    (void)broken;
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void on_receipt(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(ReceiptRequest) *m = owm__coordinator__v1__receipt_request__unpack(NULL, count, bytes);
    PB(ReceiptResponse) r = OWM__COORDINATOR__V1__RECEIPT_RESPONSE__INIT;
    uint8_t packed[OWM_RECEIPT_BYTES];
    char verdict[24];
    pthread_mutex_lock(&d->lock);
    d->receipts++;
    snprintf(verdict, sizeof verdict, "%s", d->verdict);
    bool included = strcmp(verdict, "included") == 0;
    if (included || strcmp(verdict, "not_included") == 0) {
        struct owm_receipt receipt = {.round = m->round,
                                      .verdict = included ? OWM_RECEIPT_INCLUDED
                                                          : OWM_RECEIPT_NOT_INCLUDED,
                                      .reason = included ? 0 : 1,
                                      .weight = included ? 0.5f : 0};
        memcpy(receipt.node_key, d->node_key, 32);
        memcpy(receipt.package_sha256, m->package_hash.data, 32);
        must(owm_receipt_make(&receipt, d->identity, packed), "receipt");
        r.receipt = (ProtobufCBinaryData){sizeof packed, packed};
    }
    pthread_mutex_unlock(&d->lock);
    r.verdict = verdict;
    reply(call, &r.base);
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void on_earnings(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    (void)bytes;
    (void)count;
    PB(EarningsResponse) r = OWM__COORDINATOR__V1__EARNINGS_RESPONSE__INIT;
    PB(Earning) e[DOUBLE_RESULTS_MAX], *list[DOUBLE_RESULTS_MAX];
    PB(Earning) empty = OWM__COORDINATOR__V1__EARNING__INIT;
    char purpose[] = "inference", state[24], reason[128];
    uint8_t preimage[32] = {42}, hash[32];
    owm_sha256(preimage, sizeof preimage, hash);
    pthread_mutex_lock(&d->lock);
    d->earnings++;
    snprintf(state, sizeof state, "%s", d->payment_state);
    snprintf(reason, sizeof reason, "%s", d->payment_reason);
    for (size_t i = 0; i < d->result_count && i < DOUBLE_RESULTS_MAX; i++) {
        if (d->result[i].error[0]) continue;
        list[r.n_earnings] = &e[r.n_earnings];
        e[r.n_earnings] = empty;
        e[r.n_earnings].task_id = d->result[i].task_id;
        e[r.n_earnings].purpose = purpose;
        e[r.n_earnings].state = state;
        e[r.n_earnings].reason = reason;
        e[r.n_earnings].attempts = 2;
        e[r.n_earnings].updated_ms = owm_clock_wall_ms();
        if (d->payment_proven) {
            e[r.n_earnings].payment_hash = (ProtobufCBinaryData){sizeof hash, hash};
            e[r.n_earnings].preimage = (ProtobufCBinaryData){sizeof preimage, preimage};
        }
        e[r.n_earnings].amount_msat = 10000;
        e[r.n_earnings].created_ms = owm_clock_wall_ms();
        r.n_earnings++;
    }
    r.earnings = list;
    reply(call, &r.base);
    pthread_mutex_unlock(&d->lock);
}

/** signed_manifest: as proto/model_manifest.h says. */
static char *signed_manifest(struct coordinator_double *d)
{
    uint8_t hash[32], signature[64];
    char hex[65], text[OWM_BASE64_CHARS(64) + 1], member[128];
    owm_sha256(d->blob, d->blob_bytes, hash);
    owm_hex_encode(hash, 32, hex);
    json_t *m =
        json_pack("{s:s,s:i,s:{s:{s:s,s:I}}}", "version", "test", "round", (int)d->model_round,
                  "sub_models", "owm-code", "sha256", hex, "size_bytes", (json_int_t)d->blob_bytes);
    char *canonical = NULL;
    size_t bytes = 0;
    must(owm_json_canonical(m, &canonical, &bytes), "canonical");
    owm_identity_sign(d->identity, OWM_DOMAIN_MODEL, canonical, bytes, signature);
    free(canonical);
    if (d->bad_manifest) signature[3] ^= 1;
    owm_base64_encode(signature, 64, text);
    snprintf(member, sizeof member, "ed25519:%s", text);
    json_object_set_new(m, "coordinator_signature", json_string(member));
    if (d->changed_manifest) json_object_set_new(m, "round", json_integer(d->model_round + 1));
    char *out = json_dumps(m, 0);
    json_decref(m);
    return out;
}

static void on_version(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    (void)bytes;
    (void)count;
    PB(ModelVersion) r = OWM__COORDINATOR__V1__MODEL_VERSION__INIT;
    pthread_mutex_lock(&d->lock);
    d->versions++;
    bool none = d->no_manifest;
    r.manifest = signed_manifest(d);
    /* What a test offers lives as long as the double. */
    r.ots_proof = (ProtobufCBinaryData){d->proof_bytes, (uint8_t *)(uintptr_t)d->proof};
    pthread_mutex_unlock(&d->lock);
    if (none)
        owm_rpc_fail(call, OWM_RPC_NOT_FOUND, "no such version");
    else
        reply(call, &r.base);
    free(r.manifest);
}

static void on_bond(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t count)
{
    struct coordinator_double *d = app;
    PB(BondRequest) *m = owm__coordinator__v1__bond_request__unpack(NULL, count, bytes);
    PB(BondResponse) r = OWM__COORDINATOR__V1__BOND_RESPONSE__INIT;
    PB(Bond) bond = OWM__COORDINATOR__V1__BOND__INIT, *list[] = {&bond};
    char id[] = "bond-1", asked[] = "asked", leaving[] = "leaving", invoice[4096];
    char error[] = "UNKNOWN_NODE", message[] = "register first";
    pthread_mutex_lock(&d->lock);
    d->bonds++;
    d->bond_leave = m->leave;
    d->bond_sats = m->amount_sats;
    snprintf(d->bond_kind, sizeof d->bond_kind, "%s", m->kind);
    snprintf(invoice, sizeof invoice, "%s", d->bond_invoice);
    bool known = strcmp(m->node_id, DOUBLE_NODE_ID) == 0;
    pthread_mutex_unlock(&d->lock);
    bond.bond_id = id;
    bond.kind = m->kind;
    bond.amount_sats = m->amount_sats;
    bond.state = m->leave ? leaving : asked;
    bond.invoice = invoice;
    r.bonds = list;
    r.n_bonds = known && m->kind[0] ? 1 : 0;
    if (!known) {
        r.error = error;
        r.message = message;
    }
    reply(call, &r.base);
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

static const struct owm_rpc_method methods[] = {
    {.path = PATH "Hello", .kind = OWM_RPC_UNARY, .on_message = on_hello},
    {.path = PATH "RegisterNode", .kind = OWM_RPC_UNARY, .on_message = on_register},
    {.path = PATH "Heartbeat", .kind = OWM_RPC_UNARY, .on_message = on_heartbeat},
    {.path = PATH "StreamTasks", .kind = OWM_RPC_SERVER_STREAM, .on_message = on_stream},
    {.path = PATH "ReportProgress", .kind = OWM_RPC_UNARY, .on_message = on_progress},
    {.path = PATH "SubmitTaskResult", .kind = OWM_RPC_UNARY, .on_message = on_result},
    {.path = PATH "UploadBlob",
     .kind = OWM_RPC_CLIENT_STREAM,
     .on_message = on_chunk,
     .on_half_close = on_uploaded},
    {.path = PATH "DownloadBlob", .kind = OWM_RPC_SERVER_STREAM, .on_message = on_download},
    {.path = PATH "GetReceipt", .kind = OWM_RPC_UNARY, .on_message = on_receipt},
    {.path = PATH "GetEarnings", .kind = OWM_RPC_UNARY, .on_message = on_earnings},
    {.path = PATH "NodeBond", .kind = OWM_RPC_UNARY, .on_message = on_bond},
    {.path = PATH "GetModelVersion", .kind = OWM_RPC_UNARY, .on_message = on_version},
};

static void open_server(struct coordinator_double *d)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", d->port);
    const char *addresses[] = {address};
    struct owm_error error = {""};
    const struct owm_rpc_server_config config = {.addresses = addresses,
                                                 .address_count = 1,
                                                 .certificate_pem = d->cert.cert_pem,
                                                 .key_pem = d->cert.key_pem,
                                                 .methods = methods,
                                                 .method_count = sizeof methods / sizeof methods[0],
                                                 .app = d,
                                                 .send_queue_max = OWM_RPC_QUEUE_MAX};
    owm_status status = owm_rpc_server_open(&d->server, &config, &error);
    if (status != OWM_OK) fprintf(stderr, "%s\n", error.text);
    must(status, "server");
    d->port = owm_rpc_server_port(d->server, 0);
}

void double_open(struct coordinator_double *d)
{
    memset(d, 0, sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    d->network = "devnet";
    d->register_error = "";
    d->status = "active";
    d->notice = "";
    d->verdict = "unknown";
    d->payment_state = "owed";
    d->payment_reason = "waits for its turn";
    d->stake_policy = "none";
    d->treasury_uri = "02ab@treasury:9735";
    d->minimum_sats = 100000;
    d->stake_note = "";
    d->register_status = "active";
    d->bond_invoice = "";
    d->heartbeat_ms = 200;
    d->manifest_ms = 500;
    struct owm_error error;
    must(owm_identity_generate(&d->identity), "identity");
    must(owm_identity_cert(d->identity, "owm-coordinator", NULL, &d->cert, &error), "cert");
    open_server(d);
}

void double_drop_stream(struct coordinator_double *d)
{
    pthread_mutex_lock(&d->lock);
    if (d->stream) {
        owm_rpc_fail(d->stream, OWM_RPC_UNAVAILABLE, "dropped by the test");
        owm_rpc_call_unref(d->stream);
    }
    d->stream = NULL;
    pthread_mutex_unlock(&d->lock);
}

void double_stop(struct coordinator_double *d)
{
    double_drop_stream(d);
    owm_rpc_server_close(d->server, 0);
    d->server = NULL;
    if (d->stream) owm_rpc_call_unref(d->stream); /* One that came in between. */
    d->stream = NULL;
}

void double_restart(struct coordinator_double *d)
{
    open_server(d);
}

void double_close(struct coordinator_double *d)
{
    if (d->server) double_stop(d);
    owm_cert_deinit(&d->cert);
    owm_identity_close(d->identity);
    free(d->upload);
    pthread_mutex_destroy(&d->lock);
}

void double_send(struct coordinator_double *d, const struct double_task *task)
{
    PB(Task) m = OWM__COORDINATOR__V1__TASK__INIT;
    uint8_t hash[32];
    char id[64], type[32];
    snprintf(id, sizeof id, "%s", task->id);
    snprintf(type, sizeof type, "%s", task->type);
    size_t boxed = task->payload_bytes + OWM_BOX_EXTRA_BYTES;
    uint8_t *box = malloc(boxed);
    pthread_mutex_lock(&d->lock);
    must(owm_identity_box(d->identity, d->node_key, task->payload, task->payload_bytes, box),
         "box");
    owm_sha256(task->payload, task->payload_bytes, hash);
    if (task->wrong_hash) hash[0] ^= 1;
    if (task->wrong_box) box[boxed - 1] ^= 1;
    m.task_id = id;
    m.task_type = type;
    m.payload = (ProtobufCBinaryData){boxed, box};
    m.input_hash = (ProtobufCBinaryData){32, hash};
    m.timeout_seconds = task->timeout_s ? task->timeout_s : 60;
    m.deadline_ms = owm_clock_wall_ms() + (int64_t)m.timeout_seconds * 1000;
    m.lease_token = task->lease_token;
    m.attempt = 1;
    m.reward_sats = 10;
    uint8_t *packed = malloc(owm__coordinator__v1__task__get_packed_size(&m));
    size_t n = owm__coordinator__v1__task__pack(&m, packed);
    must(d->stream ? owm_rpc_send(d->stream, packed, n) : OWM_E_STATE, "send task");
    pthread_mutex_unlock(&d->lock);
    free(packed);
    free(box);
}

void double_send_inference(struct coordinator_double *d, const char *id, uint64_t lease_token,
                           const char *prompt, uint32_t max_tokens)
{
    PB(InferencePayload) p = OWM__COORDINATOR__V1__INFERENCE_PAYLOAD__INIT;
    uint8_t hash[32], packed[40000];
    owm_sha256(d->blob, d->blob_bytes, hash);
    p.prompt = (char *)(uintptr_t)prompt;
    p.max_tokens = max_tokens;
    p.temperature = 1;
    p.seed = 7;
    p.model_hash = (ProtobufCBinaryData){32, hash};
    p.model_bytes = d->blob_bytes;
    size_t n = owm__coordinator__v1__inference_payload__pack(&p, packed);
    double_send(d, &(struct double_task){id, "inference", lease_token, 60, packed, n, 0, 0});
}

void double_send_round(struct coordinator_double *d, const char *id, uint64_t lease_token,
                       uint32_t round, uint32_t steps)
{
    PB(FlRoundPayload) p = OWM__COORDINATOR__V1__FL_ROUND_PAYLOAD__INIT;
    uint8_t hash[32], nonce[16] = {1, 2, 3}, packed[1024];
    char type[] = "int8";
    nonce[4] = (uint8_t)round;
    owm_sha256(d->blob, d->blob_bytes, hash);
    p.round = round;
    p.model_hash = (ProtobufCBinaryData){32, hash};
    p.model_bytes = d->blob_bytes;
    p.steps = steps;
    p.batch = 2;
    p.seq = 16;
    p.lr = 1e-3f;
    p.topk_permille = 100;
    p.value_type = type;
    p.nonce = (ProtobufCBinaryData){16, nonce};
    p.seed = 5;
    size_t n = owm__coordinator__v1__fl_round_payload__pack(&p, packed);
    double_send(d, &(struct double_task){id, "fl_round", lease_token, 60, packed, n, 0, 0});
}

bool double_wait(struct coordinator_double *d, const unsigned *counter, unsigned count,
                 unsigned timeout_ms)
{
    for (uint64_t end = owm_clock_mono_ms() + timeout_ms; owm_clock_mono_ms() < end;) {
        pthread_mutex_lock(&d->lock);
        bool reached = *counter >= count;
        pthread_mutex_unlock(&d->lock);
        if (reached) return true;
        owm_clock_sleep_ms(10);
    }
    return false;
}

bool double_wait_results(struct coordinator_double *d, size_t count, unsigned timeout_ms)
{
    for (uint64_t end = owm_clock_mono_ms() + timeout_ms; owm_clock_mono_ms() < end;) {
        pthread_mutex_lock(&d->lock);
        bool reached = d->result_count >= count;
        pthread_mutex_unlock(&d->lock);
        if (reached) return true;
        owm_clock_sleep_ms(10);
    }
    return false;
}

void double_write_cert(const struct coordinator_double *d, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(d->cert.cert_pem, file) < 0 || fclose(file) != 0) abort();
}

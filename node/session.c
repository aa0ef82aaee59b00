/* session.c: Hello, RegisterNode, the task stream and the heartbeats.
 *
 *     connecting ─Hello, Register→ registered ─stream ends, or we are unknown→ connecting
 *          └─INSUFFICIENT_STAKE, version, key: refused, try again later
 *
 * Each registration signs a fresh challenge (SRS-SEC-03). Pauses are full jitter: uniform between 0
 * and the growing bound, so that a thousand nodes do not come back in one second.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/node.h"
#include "node/provenance.h"
#include "node/stake.h"
#include "node/stake_watch.h"
#include "proto/canonical.h"

#define STREAM_POLL_MS   250
#define HEARTBEAT_MIN_MS 100
#define CLOCK_MS_MAX     ((int64_t)1 << 48) /* the year 10889 */

static void set_word(char word[static NODE_WORD_MAX], const char *text)
{
    snprintf(word, NODE_WORD_MAX, "%s", text);
}

/** set_link: change of state, with the sentence for the page ("" when registered). */
static void set_link(struct node *node, enum node_link link, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void set_link(struct node *node, enum node_link link, const char *format, ...)
{
    char text[OWM_ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&node->lock);
    struct node_view *view = &node->view;
    if (view->link != link) view->link_since_ms = owm_clock_wall_ms();
    bool news = view->link != link || strcmp(view->last_error, text) != 0;
    view->link = link;
    memcpy(view->last_error, text, sizeof text);
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
    owm_gauge_set(node->count.registered, link == NODE_REGISTERED);
    if (news && text[0]) owm_log(OWM_LOG_WARN, "not_registered reason=\"%s\"", text);
}

/* ----------------------------------------------------------------------------- manifest */

/** described: NodeCapabilities with the texts it points to. */
struct described {
    PB(NodeCapabilities) capabilities;
    char *types[2];
    char tier[8], device[OWM_DEVICE_NAME_MAX], backend[sizeof((struct node *)0)->backend];
    char inference[16], fl_round[16];
};

static void describe(const struct node *node, struct described *d)
{
    PB(NodeCapabilities) empty = OWM__COORDINATOR__V1__NODE_CAPABILITIES__INIT;
    d->capabilities = empty;
    snprintf(d->tier, sizeof d->tier, "%s", owm_tier_code(node->tier.tier));
    snprintf(d->device, sizeof d->device, "%s", node->machine.device);
    /* What tasks run on, whatever card was found. */
    memcpy(d->backend, node->backend, sizeof d->backend);
    snprintf(d->inference, sizeof d->inference, "inference");
    snprintf(d->fl_round, sizeof d->fl_round, "fl_round");
    d->types[0] = d->inference;
    d->types[1] = d->fl_round;
    PB(NodeCapabilities) *c = &d->capabilities;
    c->tier = d->tier;
    c->vram_gb = (float)((double)node->machine.vram_bytes / 1e9);
    c->ram_gb = (float)((double)node->machine.ram_bytes / 1e9);
    c->bandwidth_mbps = (float)node->machine.bandwidth_mbps;
    c->supported_task_types = d->types;
    c->n_supported_task_types = node->shard.fd >= 0 ? 2 : 1;
    c->device = d->device;
    c->backend = d->backend;
    c->max_concurrent_tasks = node->slot_count;
    c->tier_overridden = node->tier.overridden;
}

/** sign_manifest: fill and sign the manifest of now (SRS-NODE-04). */
static owm_status sign_manifest(struct node *node, const struct node_view *view,
                                struct described *d, PB(CapabilityManifest) * manifest,
                                uint8_t signature[64])
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    manifest->capabilities = &d->capabilities;
    manifest->timestamp_ms = owm_clock_wall_ms() + view->clock_offset_ms;
    /* Grows over restarts too, without being stored, because the clock does; and also when someone
     * sets that back. */
    uint64_t now = (uint64_t)owm_clock_wall_ms(), last = view->manifest_sequence;
    manifest->sequence = now > last ? now : last + 1;
    owm_status status = owm_canonical_manifest(text, &bytes, manifest, node->coordinator_key);
    if (status != OWM_OK) return status;
    owm_identity_sign(node->identity, OWM_DOMAIN_MANIFEST, text, bytes, signature);
    manifest->signature = (ProtobufCBinaryData){64, signature};
    return OWM_OK;
}

/** clock_offset: the coordinator's clock minus ours; what no clock can say counts as none. */
static int64_t clock_offset(int64_t server_time_ms)
{
    if (server_time_ms <= 0 || server_time_ms > CLOCK_MS_MAX) return 0;
    return server_time_ms - owm_clock_wall_ms();
}

/* ----------------------------------------------------------------------------- register */

/** say_hello: version, the challenge, and whether this is the coordinator we trust. */
static owm_status say_hello(struct node *node, PB(HelloResponse) * *hello, struct owm_error *error)
{
    PB(HelloRequest) request = OWM__COORDINATOR__V1__HELLO_REQUEST__INIT;
    char software[] = NODE_SOFTWARE;
    request.protocol_min = NODE_PROTOCOL_MIN;
    request.protocol_max = NODE_PROTOCOL_MAX;
    request.software = software;
    owm_status status = link_hello(node->rpc, &request, hello, error);
    if (status != OWM_OK) return status;
    const PB(HelloResponse) *h = *hello;
    if (h->protocol < NODE_PROTOCOL_MIN || h->protocol > NODE_PROTOCOL_MAX)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "the coordinator speaks another protocol version: %.300s; update owm-node",
                        h->message);
    if (h->coordinator_key.len != 32
        || !owm_bytes_equal(h->coordinator_key.data, node->coordinator_key, 32))
        return owm_fail(error, OWM_E_CRYPTO,
                        "the coordinator's key is not the one in network.coordinator_cert; get its "
                        "current certificate from its operator");
    if (h->challenge.len == 0 || h->challenge.len > 64)
        return owm_fail(error, OWM_E_PROTO, "the coordinator's challenge has %zu bytes",
                        h->challenge.len);
    status = node_proofs_allowed(node, h->network, error);
    if (status != OWM_OK) return status;
    pthread_mutex_lock(&node->lock);
    set_word(node->view.network, h->network);
    set_word(node->view.stake_policy, h->stake_policy);
    node_stake_hello(&node->view.stake, h, owm_tier_code(node->tier.tier));
    node->view.clock_offset_ms = clock_offset(h->server_time_ms);
    pthread_mutex_unlock(&node->lock);
    return OWM_OK;
}

static owm_status send_registration(struct node *node, const PB(HelloResponse) * hello,
                                    PB(RegisterNodeResponse) * *answer, struct owm_error *error)
{
    PB(RegisterNodeRequest) r = OWM__COORDINATOR__V1__REGISTER_NODE_REQUEST__INIT;
    struct described d;
    struct node_stake_proof proof;
    owm_status status = node_stake_prove(node, hello, &proof, error);
    if (status != OWM_OK) return status;
    describe(node, &d);
    char key[65];
    owm_hex_encode(owm_identity_public_key(node->identity), 32, key);
    r.public_key = key;
    r.ln_node_uri = node->config.node_uri;
    r.capabilities = &d.capabilities;
    r.challenge = hello->challenge;
    r.timestamp_ms = hello->server_time_ms ? hello->server_time_ms : owm_clock_wall_ms();
    r.protocol = hello->protocol;
    r.onion_address = node->config.onion_address;
    r.alias = node->config.alias;
    r.stake_statement = proof.statement;
    r.stake_signature = proof.signature;
    r.payout_to = node->config.payout_to;
    uint8_t text[OWM_CANONICAL_BYTES_MAX], signature[64];
    size_t bytes = 0;
    status = owm_canonical_register(text, &bytes, &r, node->coordinator_key);
    if (status != OWM_OK) return owm_fail(error, status, "the registration is too long to sign");
    owm_identity_sign(node->identity, OWM_DOMAIN_REGISTER, text, bytes, signature);
    r.signature = (ProtobufCBinaryData){sizeof signature, signature};
    return link_register(node->rpc, &r, answer, error);
}

static void note_registered(struct node *node, const PB(RegisterNodeResponse) * answer)
{
    pthread_mutex_lock(&node->lock);
    struct node_view *view = &node->view;
    snprintf(view->node_id, sizeof view->node_id, "%s", answer->node_id);
    set_word(view->status, answer->status);
    if (answer->heartbeat_period_ms) view->heartbeat_period_ms = answer->heartbeat_period_ms;
    if (answer->manifest_period_ms) view->manifest_period_ms = answer->manifest_period_ms;
    view->manifest_ms = 0; /* Due with the first heartbeat. */
    node_stake_registered(&view->stake, answer);
    snprintf(view->notice, sizeof view->notice, "%s", answer->message);
    node->register_now = false;
    node->beat_now = node->deliver_now = true;
    pthread_mutex_unlock(&node->lock);
    owm_counter_add(node->count.sessions, 1);
    if (owm_task_log_set(node->log, "node_id", answer->node_id) != OWM_OK)
        node_trouble(node, "the node id could not be written to the task log");
    owm_log(OWM_LOG_INFO, "registered node=%s status=%s network=%s stake_policy=%s",
            answer->node_id, answer->status, node->view.network, node->view.stake_policy);
}

/** refused: what to tell the operator, and how long to wait. */
static unsigned refused(struct node *node, const PB(RegisterNodeResponse) * answer)
{
    if (strcmp(answer->error, "INSUFFICIENT_STAKE") != 0) {
        /* The operator has moved to another Lightning node: that one has to sign. */
        if (strcmp(answer->error, "LN_KEY_MISMATCH") == 0) node->rebind = true;
        set_link(node, NODE_REFUSED, "registration refused, %.40s: %.300s", answer->error,
                 answer->message);
        return 0;
    }
    pthread_mutex_lock(&node->lock);
    node_stake_registered(&node->view.stake, answer);
    pthread_mutex_unlock(&node->lock);
    set_link(node, NODE_REFUSED,
             "INSUFFICIENT_STAKE: open a Lightning channel of at least %lld sats from your node to "
             "%.150s and set lightning.node_uri (`owm-node stake` has the command lines); the "
             "registration is tried again by itself. %.150s",
             (long long)answer->required_stake_sats, answer->treasury_uri, answer->message);
    return node->timing.stake_retry;
}

/** register_node: OWM_OK; otherwise *pause_ms may hold a longer pause than usual. */
static owm_status register_node(struct node *node, unsigned *pause_ms)
{
    struct owm_error error = {""};
    PB(HelloResponse) *hello = NULL;
    PB(RegisterNodeResponse) *answer = NULL;
    owm_status status = say_hello(node, &hello, &error);
    if (status == OWM_OK) status = send_registration(node, hello, &answer, &error);
    bool no_answer = status == OWM_E_NET || status == OWM_E_TIMEOUT;
    if (no_answer)
        set_link(node, NODE_CONNECTING, "no connection to %s: %.300s%s", node->target, error.text,
                 strstr(error.text, "certificate")
                     ? ". Get the coordinator's current certificate (network.coordinator_cert)"
                     : "");
    else if (status != OWM_OK)
        set_link(node, NODE_REFUSED, "%s", error.text);
    else if (answer->node_id[0] == '\0' || answer->error[0] != '\0') {
        *pause_ms = refused(node, answer);
        status = OWM_E_PERM;
    } else if (strlen(answer->node_id) >= NODE_ID_MAX) {
        set_link(node, NODE_REFUSED, "the coordinator gave a node id that is too long");
        status = OWM_E_PROTO;
    } else
        note_registered(node, answer);
    if (status == OWM_OK) node->rebind = false;
    link_free(hello);
    link_free(answer);
    return status;
}

/* -------------------------------------------------------------------------------- tasks */

/** log_begin: OWM_E_EXISTS: this attempt is known, by a repeated dispatch. */
static owm_status log_begin(struct node *node, const struct node_task *task, const char *type)
{
    struct owm_task_row row = {.lease_token = task->lease_token,
                               .received_ms = task->received_ms,
                               .input_bytes = (int64_t)task->input_bytes};
    memcpy(row.task_id, task->id, sizeof row.task_id);
    memcpy(row.input_hash, task->input_hash, 32);
    snprintf(row.type, sizeof row.type, "%s", type);
    if (task->payload != NULL && task->type == TASK_FL_ROUND) row.round = task->fl_round->round;
    return owm_task_log_begin(node->log, &row);
}

/** decline: report at once that the task is not done, and why. */
static void decline(struct node *node, const struct node_task *task, const char *why)
{
    const struct node_outcome outcome = {.failure = why};
    owm_log(OWM_LOG_WARN, "task_declined task=%s reason=\"%s\"", task->id, why);
    if (node_result(node, task, &outcome) != OWM_OK)
        node_trouble(node, "task %.8s was declined, but that could not be logged", task->id);
}

static bool is_draining(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    bool draining = node->draining;
    pthread_mutex_unlock(&node->lock);
    return draining;
}

static void take_task(struct node *node, const PB(Task) * message)
{
    struct node_view view;
    node_look(node, &view);
    const struct task_reader reader = {.identity = node->identity,
                                       .coordinator_key = node->coordinator_key,
                                       .clock_offset_ms = view.clock_offset_ms,
                                       .can_train = node->shard.fd >= 0};
    struct node_task task;
    struct owm_error error = {""};
    owm_status status = task_read(&reader, message, &task, &error);
    if (status != OWM_OK) owm_counter_add(node->count.tasks_refused, 1);
    if (status == OWM_E_PROTO) {
        node_trouble(node, "a task without usable id was dropped: %s", error.text);
        return;
    }
    const char *type = status == OWM_OK ? task_type_name(task.type) : "invalid";
    owm_status logged = log_begin(node, &task, type);
    /* A new attempt of a task that runs here: the lease of the old one is dead. */
    if (logged == OWM_OK && status == OWM_OK) node_slots_lost(node, task.id, 0);
    if (logged == OWM_E_EXISTS)
        owm_log(OWM_LOG_INFO, "task_repeated task=%s", task.id);
    else if (logged != OWM_OK)
        node_trouble(node, "task %.8s is not begun: the task log cannot be written", task.id);
    else if (status != OWM_OK)
        decline(node, &task, error.text);
    else if (is_draining(node))
        decline(node, &task, "DRAINING: owm-node is shutting down");
    else if (node_slots_give(node, &task) != OWM_OK)
        decline(node, &task, "BUSY: all task slots of the node are taken");
    else
        owm_log(OWM_LOG_INFO, "task_begun task=%s type=%s attempt=%u", task.id, type, task.attempt);
    node_task_deinit(&task);
}

/** read_tasks: until the stream ends, we are unknown, or the daemon stops. */
static void read_tasks(struct node *node, struct owm_rpc_stream *stream, struct owm_error *error)
{
    for (;;) {
        PB(Task) *task = NULL;
        owm_status status = link_next(stream, STREAM_POLL_MS, &task, error);
        if (status == OWM_OK) take_task(node, task);
        if (status == OWM_E_PROTO) node_trouble(node, "%s", error->text);
        link_free(task);
        pthread_mutex_lock(&node->lock);
        bool again = node->register_now;
        pthread_mutex_unlock(&node->lock);
        if (again) owm_fail(error, OWM_E_STATE, "the coordinator asks for a new registration");
        if (again || status == OWM_E_NOTFOUND || atomic_load(&node->stop)) return;
    }
}

/* ---------------------------------------------------------------------------- heartbeat */

/** beat: one heartbeat message with everything it points to. */
struct beat {
    PB(HeartbeatRequest) request;
    PB(LeaseRenewal) renewals[OWM_NODE_SLOTS_MAX];
    PB(LeaseRenewal) * list[OWM_NODE_SLOTS_MAX];
    char ids[OWM_NODE_SLOTS_MAX][OWM_TASK_ID_MAX];
    char node_id[NODE_ID_MAX];
    PB(CapabilityManifest) manifest;
    struct described described;
    uint8_t signature[64];
};

/** fill_beat: who we are and what we work on. */
static void fill_beat(struct node *node, struct beat *beat)
{
    PB(HeartbeatRequest) request = OWM__COORDINATOR__V1__HEARTBEAT_REQUEST__INIT;
    PB(LeaseRenewal) renewal = OWM__COORDINATOR__V1__LEASE_RENEWAL__INIT;
    beat->request = request;
    pthread_mutex_lock(&node->lock);
    memcpy(beat->node_id, node->view.node_id, sizeof beat->node_id);
    size_t count = 0;
    for (unsigned i = 0; i < node->slot_count; i++) {
        const struct node_slot *slot = &node->slots[i];
        if (!slot->busy) continue;
        beat->renewals[count] = renewal;
        memcpy(beat->ids[count], slot->task.id, OWM_TASK_ID_MAX);
        beat->renewals[count].task_id = beat->ids[count];
        beat->renewals[count].lease_token = slot->task.lease_token;
        beat->list[count] = &beat->renewals[count];
        count++;
    }
    beat->request.draining = node->draining;
    pthread_mutex_unlock(&node->lock);
    beat->request.node_id = beat->node_id;
    beat->request.leases = beat->list;
    beat->request.n_leases = count;
    beat->request.boot_id = node->boot_id;
    beat->request.free_slots = beat->request.draining ? 0 : node->slot_count - (unsigned)count;
}

static void add_manifest(struct node *node, struct beat *beat, const struct node_view *view)
{
    PB(CapabilityManifest) manifest = OWM__COORDINATOR__V1__CAPABILITY_MANIFEST__INIT;
    beat->manifest = manifest;
    beat->manifest.node_id = beat->node_id;
    describe(node, &beat->described);
    if (sign_manifest(node, view, &beat->described, &beat->manifest, beat->signature) == OWM_OK)
        beat->request.manifest = &beat->manifest;
}

/** note_lost: only the leases that this heartbeat named can be meant: a new one of the same task
 * may have come since. */
static void note_lost(struct node *node, const struct beat *beat, const char *task_id)
{
    for (size_t i = 0; i < beat->request.n_leases; i++)
        if (strcmp(beat->ids[i], task_id) == 0)
            node_slots_lost(node, task_id, beat->renewals[i].lease_token);
}

/** note_beat: what the coordinator answered. Returns the pause until the next one. */
static unsigned note_beat(struct node *node, const struct beat *beat,
                          const PB(HeartbeatResponse) * answer)
{
    bool with_manifest = beat->request.manifest != NULL;
    for (size_t i = 0; i < answer->n_lost_leases; i++)
        note_lost(node, beat, answer->lost_leases[i]);
    int64_t now = owm_clock_wall_ms();
    pthread_mutex_lock(&node->lock);
    struct node_view *view = &node->view;
    view->heartbeat_ms = now;
    if (with_manifest) {
        view->manifest_ms = now;
        view->manifest_sequence = beat->manifest.sequence;
    }
    if (answer->server_time_ms) view->clock_offset_ms = clock_offset(answer->server_time_ms);
    bool moved = strcmp(view->status, answer->status) != 0;
    set_word(view->status, answer->status);
    snprintf(view->notice, sizeof view->notice, "%s", answer->notice);
    if (answer->model_hash.len == 32) {
        memcpy(view->model_hash, answer->model_hash.data, 32);
        view->model_known = true;
    }
    view->round = answer->round;
    node_stake_beat(&view->stake, answer);
    unsigned pause =
        answer->next_heartbeat_ms ? answer->next_heartbeat_ms : view->heartbeat_period_ms;
    pthread_mutex_unlock(&node->lock);
    if (moved)
        owm_log(strcmp(answer->status, "active") == 0 ? OWM_LOG_INFO : OWM_LOG_WARN,
                "status_changed status=%.32s notice=\"%.300s\"", answer->status, answer->notice);
    owm_counter_add(node->count.heartbeats, 1);
    if (pause > node->timing.heartbeat_max) pause = node->timing.heartbeat_max;
    return pause > HEARTBEAT_MIN_MS ? pause : HEARTBEAT_MIN_MS;
}

/** send_beat: returns the pause until the next one. */
static unsigned send_beat(struct node *node, struct beat *beat)
{
    struct node_view view;
    node_look(node, &view);
    fill_beat(node, beat);
    bool with_manifest = owm_clock_wall_ms() - view.manifest_ms >= (int64_t)view.manifest_period_ms;
    if (with_manifest) add_manifest(node, beat, &view);
    PB(HeartbeatResponse) *answer = NULL;
    struct owm_error error;
    owm_status status = link_heartbeat(node->rpc, &beat->request, &answer, &error);
    if (status == OWM_OK) {
        unsigned pause = note_beat(node, beat, answer);
        link_free(answer);
        return pause;
    }
    owm_counter_add(node->count.heartbeats_failed, 1);
    owm_log(OWM_LOG_WARN, "heartbeat_failed reason=\"%s\"", error.text);
    if (status == OWM_E_NOTFOUND || status == OWM_E_PERM || status == OWM_E_STATE) {
        pthread_mutex_lock(&node->lock);
        node->register_now = true;
        pthread_mutex_unlock(&node->lock);
    }
    return view.heartbeat_period_ms < 2000 ? view.heartbeat_period_ms : 2000;
}

void *node_heartbeat_main(void *ctx)
{
    struct node *node = ctx;
    struct beat *beat = calloc(1, sizeof *beat);
    OWM_ASSERT(beat != NULL); /* A few kB at the start of the process. */
    uint64_t due_ms = 0;
    pthread_mutex_lock(&node->lock);
    while (!atomic_load(&node->stop)) {
        uint64_t now = owm_clock_mono_ms();
        bool due = node->view.link == NODE_REGISTERED && (node->beat_now || now >= due_ms);
        if (!due) {
            uint64_t left = due_ms > now ? due_ms - now : 1000;
            node_wait(node, left < 1000 ? (unsigned)left : 1000);
            continue;
        }
        node->beat_now = false;
        pthread_mutex_unlock(&node->lock);
        unsigned pause = send_beat(node, beat);
        due_ms = owm_clock_mono_ms() + pause;
        pthread_mutex_lock(&node->lock);
    }
    pthread_mutex_unlock(&node->lock);
    free(beat);
    return NULL;
}

/* ------------------------------------------------------------------------------ session */

/** serve: one registered session. */
static void serve(struct node *node, struct beat *beat)
{
    struct owm_error error = {""};
    struct owm_rpc_stream *stream = NULL;
    fill_beat(node, beat);
    if (link_stream(node->rpc, &beat->request, &stream, &error) == OWM_OK) {
        set_link(node, NODE_REGISTERED, "%s", "");
        read_tasks(node, stream, &error);
        owm_rpc_stream_close(stream);
    }
    if (!atomic_load(&node->stop)) set_link(node, NODE_CONNECTING, "%s", error.text);
}

/** jitter: uniform in [0, bound]. */
static unsigned jitter(unsigned bound)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random) random = UINT32_MAX / 2;
    return (unsigned)((uint64_t)random * bound >> 32);
}

static void pause_for(struct node *node, unsigned pause_ms)
{
    uint64_t until = owm_clock_mono_ms() + pause_ms;
    pthread_mutex_lock(&node->lock);
    node->view.next_try_ms = owm_clock_wall_ms() + pause_ms;
    while (!atomic_load(&node->stop) && owm_clock_mono_ms() < until) {
        uint64_t left = until - owm_clock_mono_ms();
        node_wait(node, left < 500 ? (unsigned)left : 500);
    }
    pthread_mutex_unlock(&node->lock);
}

void *node_session_main(void *ctx)
{
    struct node *node = ctx;
    struct beat *beat = calloc(1, sizeof *beat);
    OWM_ASSERT(beat != NULL);
    unsigned max = (unsigned)node->config.reconnect_max_s * 1000;
    if (max > node->timing.reconnect_max) max = node->timing.reconnect_max;
    unsigned bound = node->timing.reconnect_min;
    while (!atomic_load(&node->stop)) {
        unsigned pause_ms = 0;
        uint64_t begin_ms = owm_clock_mono_ms();
        if (register_node(node, &pause_ms) == OWM_OK) serve(node, beat);
        /* A session that lasted was a good one: begin again with short pauses. */
        if (owm_clock_mono_ms() - begin_ms > max) bound = node->timing.reconnect_min;
        if (pause_ms == 0) {
            pause_ms = jitter(bound);
            bound = bound < max / 2 ? bound * 2 : max;
        }
        pause_for(node, pause_ms);
    }
    free(beat);
    return NULL;
}

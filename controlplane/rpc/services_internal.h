/* services_internal.h: what the files of this folder share. */
#ifndef OWM_RPC_SERVICES_INTERNAL_H
#define OWM_RPC_SERVICES_INTERNAL_H

#include <pthread.h>

#include <coordinator.pb-c.h>
#include <internal.pb-c.h>

#include "controlplane/rpc/challenge.h"
#include "controlplane/rpc/rate.h"
#include "controlplane/rpc/services.h"
#include "controlplane/stake/binding.h"

#define PB(name)  Owm__Coordinator__V1__##name
#define PBI(name) Owm__Internal__V1__##name

struct watcher;

struct owm_services {
    struct owm_services_config config;
    struct owm_challenges *challenges;
    struct owm_rate *rate;            /* new nodes; NULL: no limit */
    struct owm_rate *again;           /* nodes that are known; NULL: no limit */
    struct owm_stake_binding binding; /* with a stake policy only */
    struct owm_rpc_server *nodes, *internal;
    struct owm_bonds *bonds;          /* NULL: none */
    struct owm_workers *bonds_worker; /* one, because bonds are asked one by one and wait for the
                                         treasury's node: nothing else waits with them */
    int64_t started_ms;

    pthread_mutex_t reader_lock; /* one connection for questions */
    struct owm_pg *reader;

    pthread_mutex_t public_lock;
    uint8_t public_blobs[OWM_PUBLIC_BLOBS_MAX][32];
    uint64_t public_count;
    atomic_ullong bytes_down;

    struct watcher *watchers; /* engine's thread only */
    size_t watcher_count;

    owm_counter *heartbeats_fast, *heartbeats_slow, *registrations, *results;
};

/** wire_refuse: count and log a refusal: code is a short literal such as "WRONG_KEY". */
void wire_refuse(struct owm_services *services, const char *method, const char *code,
                 const struct owm_rpc_call *call);

/** wire_fail: the same, and end the call with "CODE: sentence". */
void wire_fail(struct owm_services *services, struct owm_rpc_call *call, const char *method,
               enum owm_rpc_code rpc, const char *code, const char *sentence);

/** wire_refuse_registration: the answer to a registration that was refused. */
void wire_refuse_registration(struct owm_services *services, struct owm_rpc_call *call,
                              const char *code, const char *sentence);

/** wire_reply: pack and answer. */
void wire_reply(struct owm_rpc_call *call, const ProtobufCMessage *message);

/** wire_send: pack and queue on a stream. */
owm_status wire_send(struct owm_rpc_call *call, const ProtobufCMessage *message);

/** wire_peer: the registered node behind a call whose node_id says the same; else the call is
 *  failed with UNKNOWN_NODE or WRONG_KEY, and NULL. node_id NULL: the message has none. */
struct owm_peer *wire_peer(struct owm_services *services, struct owm_rpc_call *call,
                           const char *method, const char *node_id);

/** wire_post: put into the inbox; failed with RESOURCE_EXHAUSTED when it is full. */
void wire_post(struct owm_services *services, struct owm_rpc_call *call, const char *method,
               struct owm_post *post);

/** wire_busy: end the call: out of memory or a full queue; the peer may try again. */
void wire_busy(struct owm_services *services, struct owm_rpc_call *call, const char *method);

/** wire_away: end the call: the database does not answer. */
void wire_away(struct owm_services *services, struct owm_rpc_call *call, const char *method);

/** wire_unpack: the message, to be freed with its own function; NULL: the call was failed with
 *  MALFORMED. */
void *wire_unpack(struct owm_services *services, struct owm_rpc_call *call, const char *method,
                  const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t length);

bool wire_is_tor(const struct owm_services *services, const struct owm_rpc_call *call);

/** wire_capabilities: from the wire. Returns: OWM_OK; OWM_E_PROTO with the field. */
owm_status wire_capabilities(const struct owm_services *services, const PB(NodeCapabilities) * in,
                             struct owm_capabilities *out, struct owm_error *error);

/** Questions to the database run on a worker with the reading connection: fn(services, ask, pg)
 *  answers ask->call and must not free ask. */
typedef void read_fn(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg);
void wire_read(struct owm_services *services, struct owm_rpc_call *call, const char *method,
               read_fn *fn, const void *data, size_t bytes);

/** stake_hello: what Hello says about stakes; the memory is the caller's. */
struct stake_hello {
    PB(TierStake) tier[OWM_TIERS], *tiers[OWM_TIERS];
    char treasury_uri[OWM_LIGHTNING_TEXT_BYTES], statement[OWM_STATEMENT_BYTES];
};
void stake_hello(struct owm_services *services, const uint8_t key[static 32],
                 PB(HelloResponse) * response, struct stake_hello *memory);

/** stake_check: who stands behind a registration: ln_node_uri, the proof of its key, payout_to.
 *  Returns the code of the refusal with a sentence in error, or NULL with the Lightning key. */
const char *stake_check(struct owm_services *services, const uint8_t key[static 32],
                        const PB(RegisterNodeRequest) * request,
                        uint8_t ln_key[static OWM_LIGHTNING_KEY_BYTES], struct owm_error *error);

/** stake_post: read the stake of a registration's ln_key, then put it into the inbox. Takes post.
 */
void stake_post(struct owm_services *services, struct owm_rpc_call *call, struct owm_post *post);

/** stake_answer: what the answer to a registration says of the stake; the caller's memory. */
struct stake_answer {
    char note[OWM_STAKE_NOTE_BYTES], message[640];
    char treasury_uri[OWM_LIGHTNING_TEXT_BYTES];
};
void stake_answer(struct owm_services *services, const struct owm_ask *ask,
                  const struct owm_registered_output *out, PB(RegisterNodeResponse) * response,
                  struct stake_answer *memory);

/** watch_*: who watches a task. Engine's thread only. */
void watch_changed(struct owm_services *services, const struct owm_task_changed_output *task);
void watch_close_all(struct owm_services *services);

/** Method rows, one function each: on_message of the row. */
void on_hello(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_register(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_heartbeat(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_stream(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_stream_end(void *app, struct owm_rpc_call *call, bool cancelled);
void on_progress(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_result(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_get_model(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_get_receipt(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_get_earnings(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_bond(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_upload(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_upload_half_close(void *app, struct owm_rpc_call *call);
void on_upload_end(void *app, struct owm_rpc_call *call, bool cancelled);
void on_download(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_download_writable(void *app, struct owm_rpc_call *call);
void on_download_end(void *app, struct owm_rpc_call *call, bool cancelled);

void on_internal_start(void *app, struct owm_rpc_call *call);
void on_submit(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_watch(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_watch_end(void *app, struct owm_rpc_call *call, bool cancelled);
void on_network(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_rounds(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_versions(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_audit(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_case_start(void *app, struct owm_rpc_call *call);
void on_cases(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_decide(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
void on_any_download(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);

void dispatch_task(struct owm_services *services, const struct owm_dispatch_output *dispatch);
void watch_progress(struct owm_services *services, const uint8_t task_id[16], uint32_t attempt,
                    const uint8_t *chunk, size_t bytes);

#endif

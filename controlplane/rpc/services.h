/* services.h: CoordinatorService (nodes) and InternalService (our own services) over base/rpc.
 *
 *   RPC thread: decode, check key, signature, hash -> inbox -> engine's thread: step, commit,
 *   owm_services_perform(output) -> the answer.
 *
 * Nothing here decides anything about nodes, tasks or money: the engine does.
 */
#ifndef OWM_RPC_SERVICES_H
#define OWM_RPC_SERVICES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/identity.h"
#include "base/metrics.h"
#include "base/pg/pg.h"
#include "base/rpc/rpc.h"
#include "controlplane/engine/engine.h"
#include "controlplane/rpc/inbox.h"
#include "controlplane/rpc/peers.h"
#include "controlplane/rpc/workers.h"
#include "controlplane/slashing/case.h"
#include "controlplane/stake/stake.h"
#include "dataplane/store/blob_store.h"

#define OWM_PROTOCOL_VERSION  1
#define OWM_BLOB_CHUNK_BYTES  (128 * 1024)
#define OWM_SEND_QUEUE        16 /* messages on a stream: chunks of a blob, news of a task */
#define OWM_INTERNAL_KEYS_MAX 16
#define OWM_WATCHERS_MAX      4096
#define OWM_PUBLIC_BLOBS_MAX  1024 /* newest checkpoints, certificates, evidence served */

/** owm_round_orders: what a participant is told (FlRoundPayload). */
struct owm_round_orders {
    uint32_t steps, batch, seq, topk_permille, warmup_steps;
    float lr, weight_decay;
    const char *value_type; /* int8 | bf16 */
    uint64_t package_bytes_max;
};

/** owm_services_config: everything is borrowed until close. */
struct owm_services_config {
    const char *listen; /* comma-separated */
    const char *internal_listen, *tor_listen;
    const struct owm_cert *cert;
    const owm_identity *identity;
    const char *network, *stake_name, *treasury_uri, *database_url;
    const char *ots_policy;  /* what provenance a checkpoint needs, in words */
    const char *owed_note;   /* why what is owed is not paid, while nobody has tried; "" */
    struct owm_stake *stake; /* NULL: stake policy "none" */
    int64_t tier_sats[OWM_TIERS + 1];
    unsigned registrations_per_hour;        /* of new nodes, per address; 0: no limit */
    unsigned registrations_of_key_per_hour; /* of a node that is known; 0: no limit */
    int64_t clock_skew_ms;
    bool tier_override_allowed;
    uint32_t heartbeat_ms, manifest_ms;
    uint32_t nodes_max;
    size_t payload_bytes_max;
    unsigned threads, calls_max;
    struct owm_round_orders orders;
    const uint8_t (*internal_keys)[32];
    size_t internal_key_count;
    struct owm_blob_store *store;
    struct owm_inbox *inbox;
    struct owm_workers *workers;
    struct owm_peers *peers;
    struct owm_metrics *metrics;
    /* Slashing cases (controlplane/slashing); NULL: none are kept. case_said: somebody has signed
       something. Thread: a worker's. */
    const struct owm_case_policy *cases;
    void (*case_said)(void *case_ctx);
    void *case_ctx;
};

struct owm_services;
struct owm_bonds;

/** owm_services_open: the tables; owm_services_listen: start to hear. Between the two the engine is
 *  restored and its nodes are told to the peers.
 *  Returns: OWM_OK; OWM_E_NET an address cannot be bound; OWM_E_DB, OWM_E_NET the reading
 * connection to the database; OWM_E_NOMEM; OWM_E_CRYPTO. */
OWM_MUST_USE owm_status owm_services_open(const struct owm_services_config *config,
                                          struct owm_services **services, struct owm_error *error);
OWM_MUST_USE owm_status owm_services_listen(struct owm_services *services, struct owm_error *error);

/** owm_services_bonds: who keeps bonds, until _shut; before _listen. NULL, or not said: this
 *  network has none. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_services_bonds(struct owm_services *services, struct owm_bonds *bonds);

/** owm_services_shut: stop hearing; calls in flight are answered or cancelled. Then the engine's
 *  thread may end, then owm_services_close. */
void owm_services_shut(struct owm_services *services, unsigned drain_ms);
void owm_services_close(struct owm_services *services);

/** owm_services_port: the first of listener 0 (nodes) or 1 (internal). */
int owm_services_port(const struct owm_services *services, int listener);

/** owm_services_perform: an output of the engine that is for a peer: answers, dispatches, watchers.
 *  Engine's thread. */
void owm_services_perform(struct owm_services *services, const struct owm_output *output);

/** owm_services_publish: from now on anyone registered may download this blob. Thread: any. */
void owm_services_publish(struct owm_services *services, const uint8_t hash[static 32]);

/** owm_services_bytes_down: served to nodes since the last call with take = true. */
uint64_t owm_services_bytes_down(struct owm_services *services, bool take);

#endif

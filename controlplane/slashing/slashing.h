/* slashing.h: the slashing manager of owm-coordinator: cases from open to closed, the public log.
 *
 *   signals (rows) --> case --> decision, signed --> engine suspends; bond forfeited; owed rewards
 *   of the false work cancelled --> appeal window --> owm-slasher evicts --> closed
 *
 * One thread with one connection of its own. Everything it does follows from durable rows and is
 * one transaction per step, so it may be killed between any two of them: the next coordinator's
 * manager finds the same rows and goes on. What it tells the engine it tells again until the
 * engine's row says that it happened. In the grace window after a start it decides nothing and
 * suspends nobody (promise 6). Only the coordinator that holds the engine's lock runs one.
 */
#ifndef OWM_SLASHING_SLASHING_H
#define OWM_SLASHING_SLASHING_H

#include "base/http_server.h"
#include "base/metrics.h"
#include "controlplane/engine/event.h"
#include "controlplane/slashing/bonds.h"
#include "controlplane/slashing/case.h"
#include "dataplane/store/blob_store.h"

/** owm_slashing_config: everything is borrowed until close. */
struct owm_slashing_config {
    const char *database_url;
    const owm_identity *identity; /* of the coordinator: signs decisions and the log */
    struct owm_case_policy policy;
    int64_t grace_ms; /* from owm_slashing_open on */
    struct owm_blob_store *store;
    struct owm_metrics *metrics;
    const struct owm_bonds_hooks *bonds; /* NULL: none */
    void *ctx;
    /* Thread: the manager's. say: SLASH or REINSTATE for the engine. publish: a blob that anyone
       may read from now on. */
    void (*say)(void *ctx, enum owm_event_kind kind, const struct owm_slash_event *event);
    void (*publish)(void *ctx, const uint8_t hash[32]);
};

struct owm_slashing;

/** owm_slashing_open: connect and start the thread. A database that goes away later is waited for.
 *  Returns: OWM_OK; as owm_pg_open; OWM_E_CONFIG the policy (owm_case_policy_check); OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_slashing_open(const struct owm_slashing_config *config,
                                          struct owm_slashing **slashing, struct owm_error *error);
void owm_slashing_close(struct owm_slashing *slashing); /* NULL is allowed */

/** owm_slashing_wake: look now: somebody has said something. Thread: any. */
void owm_slashing_wake(struct owm_slashing *slashing);

/** owm_slashing_route: GET /v1/network/slashing-log[?after=N&limit=N] (SRS-STAKE-06). */
struct owm_http_route owm_slashing_route(struct owm_slashing *slashing);

#endif

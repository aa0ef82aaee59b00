/* evict.h: what owm-slasher does: check a decision by itself, then force-close the node's channels.
 *
 *   want_close --(the node broadcast our commitment)--> broadcast --(one confirmation)--> confirmed
 *
 * A row is committed before the node is asked, and before every asking the node's own channels are
 * looked at, so a crash between any two steps costs nothing: what is closing is seen to be closing.
 * The database is not trusted: what is evicted follows from bytes that the coordinator signed and,
 * for T2 and T3, from signatures of maintainers that this program's own configuration lists
 * (SRS-SEC-13, SRS-SEC-14). Thread: one at a time.
 */
#ifndef OWM_SLASHING_EVICT_H
#define OWM_SLASHING_EVICT_H

#include "base/lightning/lightning.h"
#include "base/metrics.h"
#include "base/pg/pg.h"
#include "controlplane/slashing/case.h"

struct owm_evictor_config {
    struct owm_pg *pg;        /* borrowed, as all of this */
    owm_lightning *lightning; /* role SLASH */
    struct owm_metrics *metrics;
    struct owm_case_policy policy; /* appeal_ms: waited for whatever the decision says */
    uint32_t closes_per_day; /* a stolen coordinator key must not empty the treasury's channels
                                      at once; what is above waits */
};

struct owm_evictor;

OWM_MUST_USE owm_status owm_evictor_open(const struct owm_evictor_config *config,
                                         struct owm_evictor **evictor);
void owm_evictor_close(struct owm_evictor *evictor); /* NULL is allowed */

/** owm_evictor_turn: one look at every case that is to be evicted. A case that does not hold is
 * left alone, logged and counted, and does not hold up the others. Returns: OWM_OK; as
 * owm_pg_query; OWM_E_NET, OWM_E_TIMEOUT, OWM_E_AGAIN, OWM_E_PERM of the node: try again later. */
OWM_MUST_USE owm_status owm_evictor_turn(struct owm_evictor *evictor, struct owm_error *error);

/** owm_eviction_check: whether this case may be evicted now. c is from owm_decision_open, with the
 *  overturning acts of the database added.
 *  Returns: OWM_OK; OWM_E_AGAIN the appeal window is open; OWM_E_STATE overturned; OWM_E_PERM too
 *  few signals or valid acknowledgements. */
OWM_MUST_USE owm_status owm_eviction_check(const struct owm_case *c,
                                           const struct owm_case_policy *policy, int64_t now_ms,
                                           struct owm_error *error);

#endif

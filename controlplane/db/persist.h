/* persist.h: the engine's effects as one transaction.
 *
 * Rows are absolute and the statements upsert, so the same batch twice is the same as once: after a
 * lost connection, where nobody knows whether COMMIT arrived, it is simply written again.
 */
#ifndef OWM_DB_PERSIST_H
#define OWM_DB_PERSIST_H

#include "base/outbox.h"
#include "base/pg/pg.h"
#include "controlplane/engine/effect.h"

/** owm_persist_prepare: prepare the statements on this connection (kept for owm_pg_reopen). */
OWM_MUST_USE owm_status owm_persist_prepare(struct owm_pg *pg, struct owm_error *error);

/** owm_persist: write all effects, commit, wait.
 *
 *  secret  fixes the payment hash of each payable row.
 *  Returns: OWM_OK durable; what owm_pg_transient says may be tried again with the same effects;
 *  else a defect: nothing of the batch is written. */
OWM_MUST_USE owm_status owm_persist(struct owm_pg *pg, const struct owm_effect *effects,
                                    size_t count, const struct owm_payment_secret *secret,
                                    struct owm_error *error);

/** owm_persist_traffic: bytes of checkpoints served during a round, an absolute value. */
OWM_MUST_USE owm_status owm_persist_traffic(struct owm_pg *pg, uint32_t round, uint64_t bytes_down,
                                            struct owm_error *error);

/** owm_engine_lock_take: become the one coordinator that decides: the session's advisory lock and a
 *  new epoch. OWM_E_EXISTS: another one holds it, stand by.
 *  owm_engine_lock_retake: after owm_pg_reopen; OWM_E_EXISTS another session holds it: maybe our
 *  own old one that the server has not given up yet; OWM_E_STATE another coordinator was active in
 *  between: what this process remembers is out of date, it must start over. */
OWM_MUST_USE owm_status owm_engine_lock_take(struct owm_pg *pg, int64_t *epoch,
                                             struct owm_error *error);
OWM_MUST_USE owm_status owm_engine_lock_retake(struct owm_pg *pg, int64_t epoch,
                                               struct owm_error *error);

#endif

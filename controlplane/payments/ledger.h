/* ledger.h: an outbox as the dispatcher sees it: the coordinator's (nodes) or a pool's (miners).
 *
 * 1. Whoever holds the advisory lock of a database dispatches its payments; the others stand by.
 *    The lock is the session's, so whoever loses the connection has lost it, too, and begins again.
 * 2. An attempt and its payment's state change together, in one transaction.
 * 3. The schema refuses a second attempt while one is alive, and an invoice that was used before,
 *    whatever this program believes (0007_payments.sql, 0003_attempts.sql).
 * Thread: one.
 */
#ifndef OWM_PAYMENTS_LEDGER_H
#define OWM_PAYMENTS_LEDGER_H

#include "attempt.h"
#include "base/outbox.h"
#include "base/pg/pg.h"

#define OWM_PAY_PAYEE_BYTES 256
#define OWM_PAY_TEXT_BYTES  512 /* of a name, URI or offer, with terminator */
#define OWM_PAY_CLAIM_MAX   256 /* rows of one claim */

/* The reason of a row that is put off because its invoice is being asked for. Whoever leads next
 * asks again at once. */
#define OWM_PAY_RESOLVING "its invoice is asked for"

enum owm_pay_ledger_kind { OWM_PAY_NODES, OWM_PAY_MINERS };

/** Whom a row is for, as the ledger knows it. */
enum owm_pay_account { OWM_PAY_NAME, OWM_PAY_NODE, OWM_PAY_TREASURY };

/** owm_payment: a row, with its attempt if one is alive. */
struct owm_payment {
    uint8_t payment_id[16], source_id[16], payment_hash[32];
    char purpose[OWM_PAYMENT_PURPOSE_BYTES_MAX + 1];
    char payee[OWM_PAY_PAYEE_BYTES]; /* node id, or the account's name */
    int64_t amount_msat, created_ms;
    unsigned attempts, failures;
    enum owm_pay_account account;
    char ln_node_uri[OWM_PAY_TEXT_BYTES], payout_to[OWM_PAY_TEXT_BYTES]; /* NODE */
    /* the attempt */
    enum owm_attempt_kind kind;
    uint8_t attempt_hash[32];
    uint8_t destination[OWM_LIGHTNING_KEY_BYTES];
    int64_t expires_ms, fee_limit_msat, started_ms;
    char *invoice; /* malloc'ed; NULL: none */
};

void owm_payment_deinit(struct owm_payment *payment);

struct owm_pay_ledger;

/** owm_pay_ledger_open: no connection yet. nodes_url  MINERS: the coordinator's database, which
 *  knows where nodes are paid; borrowed as url is, for the life of the ledger.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pay_ledger_open(enum owm_pay_ledger_kind kind, const char *url,
                                            const char *nodes_url, struct owm_pay_ledger **ledger);
void owm_pay_ledger_close(struct owm_pay_ledger *ledger);             /* NULL is allowed */
const char *owm_pay_ledger_name(const struct owm_pay_ledger *ledger); /* "nodes" or "miners" */

/** owm_pay_ledger_lead: connect and become the one. Forget all rows read before.
 *  Returns: OWM_OK; OWM_E_EXISTS another leads; OWM_E_STATE the database has not the tables of this
 *  version (the sentence says what makes them); as owm_pg_open. */
OWM_MUST_USE owm_status owm_pay_ledger_lead(struct owm_pay_ledger *ledger, struct owm_error *error);

/** owm_pay_ledger_fd: readable when a payment was written; -1: not connected. _heard: takes it. */
int owm_pay_ledger_fd(const struct owm_pay_ledger *ledger);
void owm_pay_ledger_heard(struct owm_pay_ledger *ledger);

/** owm_pay_ledger_flying: every payment in flight, oldest first. *list malloc'ed [*count]; each
 *  deinit'ed and the list freed by the caller. Returns: as owm_pg_exec; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pay_ledger_flying(struct owm_pay_ledger *ledger,
                                              struct owm_payment **list, size_t *count,
                                              struct owm_error *error);

/** A transaction. After a failure in it: rollback. */
OWM_MUST_USE owm_status owm_pay_ledger_begin(struct owm_pay_ledger *ledger,
                                             struct owm_error *error);
OWM_MUST_USE owm_status owm_pay_ledger_commit(struct owm_pay_ledger *ledger,
                                              struct owm_error *error);
void owm_pay_ledger_rollback(struct owm_pay_ledger *ledger);

/** owm_pay_ledger_due: inside a transaction: up to `max` owed rows whose time has come, locked, the
 *  oldest payees first and at most `per_payee` of one payee in flight. Results as _flying. */
struct owm_pay_claim {
    int64_t now_ms;
    unsigned max, per_payee;
};
OWM_MUST_USE owm_status owm_pay_ledger_due(struct owm_pay_ledger *ledger,
                                           const struct owm_pay_claim *claim,
                                           struct owm_payment **list, size_t *count,
                                           struct owm_error *error);

/** owm_pay_ledger_attempt: write the payment's attempt, number attempts + 1. Returns: OWM_OK;
 *  OWM_E_EXISTS the row is not owed any more, or the invoice's hash was used before; as
 *  owm_pg_exec. */
OWM_MUST_USE owm_status owm_pay_ledger_attempt(struct owm_pay_ledger *ledger,
                                               const struct owm_payment *payment, int64_t now_ms,
                                               struct owm_error *error);

/** owm_pay_ledger_settled: the attempt succeeded. _dead: it failed: owed again from step->at_ms, or
 *  failed for good. _later: no attempt is alive: only from until_ms on, with this reason and number
 *  of failures; `state` "owed" or "failed". May be repeated. */
OWM_MUST_USE owm_status owm_pay_ledger_settled(struct owm_pay_ledger *ledger,
                                               const struct owm_payment *payment,
                                               const struct owm_lightning_outcome *outcome,
                                               struct owm_error *error);
OWM_MUST_USE owm_status owm_pay_ledger_dead(struct owm_pay_ledger *ledger,
                                            const struct owm_payment *payment,
                                            const struct owm_step *step, struct owm_error *error);
struct owm_pay_later {
    int64_t until_ms;
    unsigned failures;
    const char *state, *reason;
};
OWM_MUST_USE owm_status owm_pay_ledger_later(struct owm_pay_ledger *ledger,
                                             const struct owm_payment *payment,
                                             const struct owm_pay_later *later,
                                             struct owm_error *error);

/** owm_pay_ledger_payee_waits: where this payment goes does not answer: what else its payee is owed
 *  waits until then, too. */
OWM_MUST_USE owm_status owm_pay_ledger_payee_waits(struct owm_pay_ledger *ledger,
                                                   const struct owm_payment *payment,
                                                   int64_t until_ms, struct owm_error *error);

/** owm_pay_sums: the ledger at one moment. */
struct owm_pay_sums {
    int64_t owed_count, owed_msat, oldest_owed_ms; /* 0: nothing is owed */
    int64_t flying_count, flying_msat;
    int64_t failed_count, failed_msat;
    int64_t spent_msat; /* since since_ms: paid or under way, with fees or their limit */
};
OWM_MUST_USE owm_status owm_pay_ledger_sums(struct owm_pay_ledger *ledger, int64_t since_ms,
                                            struct owm_pay_sums *sums, struct owm_error *error);

#endif

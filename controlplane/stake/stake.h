/* stake.h: the stake manager: asks the treasury's Lightning node what each node has locked, and
 * tells the engine (SRS 4.12).
 *
 *   registration ------------> asker   -> answer within OWM_STAKE_ANSWER_MS, maybe "unreadable"
 *   STAKE_WANTED, sweep, new nodes,
 *   watch (channels changed) -> reader  -> OWM_EVENT_STAKE, rows of node_stakes
 *
 * Asker (short deadlines), reader (long lists) and watcher are threads, each with a handle of role
 * STAKE of its own; a fourth answers asks whose time is over. A treasury that does not answer is
 * asked again until it does; meanwhile nothing is said about any node: what is not known is held
 * against nobody (promise 6).
 *
 * The rows are written by the reader with a connection of its own, not as effects of the engine:
 * they say what the treasury's node showed, channel by channel, and decide nothing; what decides is
 * nodes.stake_sats, which the engine writes.
 */
#ifndef OWM_STAKE_STAKE_H
#define OWM_STAKE_STAKE_H

#include "base/lightning/lightning.h"
#include "base/metrics.h"
#include "controlplane/engine/event.h"
#include "controlplane/stake/assess.h"

#define OWM_STAKE_ANSWER_MS 4500 /* SRS-PERF-13 asks for less than 5,000 */
#define OWM_STAKE_ASKS_MAX  256  /* registrations that wait for the treasury at a time */

/** owm_stake_config: everything is borrowed until close. Of `lightning` role and timeout are set
 *  here. */
struct owm_stake_config {
    struct owm_lightning_config lightning;
    const char *treasury_uri; /* "": what the treasury's node says of itself */
    const char *database_url;
    uint32_t nodes_max, confirmations;
    int64_t recheck_ms, sweep_ms;
    int64_t tier_sats[OWM_TIERS + 1];
    owm_metrics *metrics;
    /* Reader's thread: a reading for the engine. */
    void (*deliver)(void *ctx, const struct owm_stake_event *event);
    void *ctx;
};

struct owm_stake;

/** owm_stake_open: the first contact, so that what is configured wrongly is said at once. A node
 *  that is away or not ready is no reason to fail: that is logged.
 *  Returns: OWM_OK; as owm_lightning_open, but for NET, TIMEOUT and AGAIN; OWM_E_CONFIG
 *  treasury_uri names another node than the one that answers; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_stake_open(const struct owm_stake_config *config,
                                       struct owm_stake **stake, struct owm_error *error);

/** owm_stake_start: the threads; the nodes that were restored are known by then. OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_stake_start(struct owm_stake *stake);

/** owm_stake_stop: end the threads; who still waits is answered with OWM_E_CANCELLED. May be called
 *  twice, as by owm_stake_close, which allows NULL. */
void owm_stake_stop(struct owm_stake *stake);
void owm_stake_close(struct owm_stake *stake);

/** owm_stake_node: a node's row, new or changed. owm_stake_want: STAKE_WANTED. Thread: any; in the
 *  order of commits. */
void owm_stake_node(struct owm_stake *stake, const struct owm_node_row *row);
void owm_stake_want(struct owm_stake *stake, const uint8_t node_id[static 16]);

/** owm_stake_bound: the Lightning key that this identity is bound to; false: none. Thread: any. */
bool owm_stake_bound(struct owm_stake *stake, const uint8_t public_key[static 32],
                     uint8_t ln_key[static OWM_LIGHTNING_KEY_BYTES]);

/** owm_stake_answer_fn: once per ask, on a thread of the manager. status OWM_OK: reading is set;
 *  OWM_E_TIMEOUT: the treasury could not be asked in time, why says what is wrong; OWM_E_CANCELLED:
 *  stopping. */
typedef void owm_stake_answer_fn(void *ctx, owm_status status,
                                 const struct owm_stake_reading *reading, const char *why);

/** owm_stake_ask: what this Lightning node has locked now. Thread: any.
 *  Returns: OWM_OK; OWM_E_LIMIT OWM_STAKE_ASKS_MAX wait; OWM_E_STATE stopping; OWM_E_NOMEM: no
 *  answer will come. */
OWM_MUST_USE owm_status owm_stake_ask(struct owm_stake *stake,
                                      const uint8_t ln_key[static OWM_LIGHTNING_KEY_BYTES],
                                      owm_stake_answer_fn *answer, void *ctx);

/** owm_stake_treasury_uri: where channels are opened to; "" while it is not known. Thread: any. */
void owm_stake_treasury_uri(struct owm_stake *stake, char uri[OWM_LIGHTNING_TEXT_BYTES]);

/** owm_stake_state_text: one sentence for people: "lnd 0.21.2, synced at block 812, treasury 02…@…"
 *  or why the treasury cannot be asked. Returns whether it can. Thread: any. */
bool owm_stake_state_text(struct owm_stake *stake, char *text, size_t bytes);

#endif

/* anchor.h: our calendar's promises, put into Bitcoin's chain and remembered.
 *
 *   waiting --interval, a transaction--> sent --OWM_OTS_CONFIRMATIONS blocks--> anchored
 *                                         `--fee too low--> replaced (BIP 125), still sent
 *
 * All commitments that wait go under one root (dataplane/ots/merkle.h, each through sha256 first),
 * which stands in an OP_RETURN of a transaction that the Bitcoin node's wallet pays for. What is
 * under which root is on disk before the transaction is sent, so after kill -9 the same one is
 * found or sent again, and no root is lost. A block that leaves the chain makes its anchor "sent"
 * again.
 *
 *   folder/anchors   8 bytes "OWMANCH1", then checksummed records; only grows
 *
 * Thread: one of its own talks to the wallet; the functions below from any.
 */
#ifndef OWM_OTS_CALENDAR_ANCHOR_H
#define OWM_OTS_CALENDAR_ANCHOR_H

#include "dataplane/chain/template.h"
#include "dataplane/ots/tree.h"
#include "ots/calendar/journal.h"

struct anchor;

/** anchor_options: borrowed until anchor_close. */
struct anchor_options {
    const char *folder;
    struct journal *journal;
    const char *bitcoin_rpc;    /* http://user:password@host:port[/wallet/NAME]; NULL: nothing is
                                   anchored, promises wait */
    const char *bitcoin_cookie; /* NULL: none */
    enum owm_network network;
    unsigned interval_s;   /* Between two transactions. */
    unsigned replace_s;    /* An unconfirmed one is replaced after this, with a higher fee. */
    unsigned poll_ms;      /* Between two looks at the chain. */
    uint64_t fee_sat_max;  /* Of one transaction, replacements included: never above. */
    uint64_t fee_rate_max; /* sat/vB. */
};

/** anchor_open: reads what is remembered; starts the thread. A node that is away, locked or without
 *  a wallet is waited for and shown in the figures.
 *  Returns: OWM_OK; OWM_E_PROTO damaged, with what to do; OWM_E_CONFIG; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status anchor_open(const struct anchor_options *options, struct anchor **anchor,
                                    struct owm_error *error);
void anchor_close(struct anchor *anchor); /**< NULL is allowed. */

enum anchor_state { ANCHOR_WAITING, ANCHOR_SENT, ANCHOR_DONE };

struct anchor_view {
    enum anchor_state state;
    char txid[65];          /* "": none yet */
    uint64_t confirmations; /* of it; wanted: OWM_OTS_CONFIRMATIONS */
    uint64_t height;        /* ANCHOR_DONE */
};

/** anchor_look: where a commitment of the journal stands. */
void anchor_look(struct anchor *anchor, uint32_t index, struct anchor_view *view);

/** anchor_proof: from a commitment that is ANCHOR_DONE to its block: a tree whose root is the
 *  commitment and which ends in one Bitcoin attestation.
 *  tree   written; caller deinits.
 *  Returns: OWM_OK; OWM_E_NOTFOUND not done; OWM_E_PROTO the journal is another one;
 *  OWM_E_NOMEM, OWM_E_LIMIT. */
OWM_MUST_USE owm_status anchor_proof(struct anchor *anchor, uint32_t index,
                                     struct owm_ots_tree *tree, struct owm_error *error);

/** anchor_figures: for the page and the metrics. Times are Unix ms, 0: never. */
struct anchor_figures {
    uint32_t commitments, waiting, sent, done; /* of the journal */
    uint64_t transactions, replacements, fees_sat;
    int64_t balance_sat; /* -1: not known */
    char last_txid[65];
    bool has_tip;    /* A transaction is sent and not done: */
    uint8_t tip[32]; /* the root in the last one. */
    uint64_t last_height;
    int64_t last_done_ms, next_ms;
    char trouble[OWM_ERROR_BYTES_MAX]; /* "" or why nothing can be anchored now, with the fix */
};
void anchor_look_at_all(struct anchor *anchor, struct anchor_figures *figures);

#endif

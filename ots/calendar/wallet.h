/* wallet.h: what an anchor needs of a Bitcoin node and its wallet, in Bitcoin Core's calls (24 and
 * newer). Every sentence says what a person can do. Private to ots/calendar.
 *
 * Thread: one makes calls; cancel is for any.
 * Returns of all: OWM_OK; what owm_ots_bitcoin_call returns; OWM_E_PROTO also for an answer of the
 * wrong shape.
 */
#ifndef OWM_OTS_CALENDAR_WALLET_H
#define OWM_OTS_CALENDAR_WALLET_H

#include "anchors.h"
#include "dataplane/ots/bitcoin_headers.h"

#define WALLET_CONFLICTS_MAX 16
#define WALLET_HEX_BYTES     (2 * ANCHOR_TRANSACTION_BYTES + 1)

struct wallet;

/** wallet_open: asks once whether the node is of the network.
 *  Returns: also OWM_E_CONFIG another network; OWM_E_ARG the URL. */
OWM_MUST_USE owm_status wallet_open(const char *url, const char *cookie, enum owm_network network,
                                    struct wallet **wallet, struct owm_error *error);
void wallet_close(struct wallet *wallet); /**< NULL is allowed. */
void wallet_cancel(struct wallet *wallet);

/** wallet_look: Returns: also OWM_E_STATE the node is still downloading blocks. */
struct wallet_view {
    uint64_t height;
    uint8_t tip[32];
    int64_t balance_sat;
};
OWM_MUST_USE owm_status wallet_look(struct wallet *wallet, struct wallet_view *view,
                                    struct owm_error *error);

/** wallet_rates: sat/vB, rounded up.
 *  wanted  what confirms within `blocks`; least, where the node cannot tell.
 *  least   what the node's mempool takes at all. */
OWM_MUST_USE owm_status wallet_rates(struct wallet *wallet, unsigned blocks, uint64_t *wanted,
                                     uint64_t *least, struct owm_error *error);

/** wallet_fund: a transaction with "OP_RETURN root", not signed and not sent. */
struct wallet_order {
    const uint8_t *root;                       /* [32] */
    const struct anchor_transaction *replaced; /* Whose inputs it spends; NULL: none. */
    uint64_t rate;                             /* sat/vB */
};
struct wallet_draft {
    char hex[WALLET_HEX_BYTES];
    uint64_t fee_sat;
};
OWM_MUST_USE owm_status wallet_fund(struct wallet *wallet, const struct wallet_order *order,
                                    struct wallet_draft *draft, struct owm_error *error);

/** wallet_sign: data  [ANCHOR_TRANSACTION_BYTES] written, *bytes of it. */
OWM_MUST_USE owm_status wallet_sign(struct wallet *wallet, const struct wallet_draft *draft,
                                    uint8_t *data, uint32_t *bytes, struct owm_error *error);

/** wallet_send: to the node's mempool and peers, again too.
 *  code  of the node's error, as OWM_OTS_BITCOIN_REJECTED; 0. */
OWM_MUST_USE owm_status wallet_send(struct wallet *wallet,
                                    const struct anchor_transaction *transaction, int *code,
                                    struct owm_error *error);

/** wallet_find: a transaction as the wallet knows it.   Returns: OWM_E_NOTFOUND it does not. */
struct wallet_found {
    int64_t confirmations; /* Below 0: another one, that deep, spends the same. */
    uint8_t block[32];     /* confirmations above 0. */
    uint64_t fee_sat;
    uint32_t conflict_count;
    uint8_t conflicts[WALLET_CONFLICTS_MAX][32]; /* txids */
    uint8_t data[ANCHOR_TRANSACTION_BYTES];
    uint32_t bytes;
};
OWM_MUST_USE owm_status wallet_find(struct wallet *wallet, const uint8_t txid[static 32],
                                    struct wallet_found *found, struct owm_error *error);

/** wallet_block: a block by its hash. txids  malloc'ed, in order; caller frees. */
struct wallet_block {
    uint8_t header[OWM_OTS_HEADER_BYTES];
    uint32_t height, count;
    uint8_t (*txids)[32];
};
OWM_MUST_USE owm_status wallet_block(struct wallet *wallet, const uint8_t hash[static 32],
                                     struct wallet_block *block, struct owm_error *error);

/** wallet_hash: of the block at a height. Returns: OWM_E_NOTFOUND there is none. */
OWM_MUST_USE owm_status wallet_hash(struct wallet *wallet, uint64_t height, uint8_t hash[static 32],
                                    struct owm_error *error);

/** wallet_headers: borrowed from the wallet. */
struct owm_ots_headers wallet_headers(struct wallet *wallet);

#endif

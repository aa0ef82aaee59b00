/* wallet_double.h: a Bitcoin node with a wallet, a mempool and blocks, for tests: Bitcoin Core's
 * calls as far as a calendar makes them, over real transactions whose signatures nobody checks.
 */
#ifndef OWM_TEST_WALLET_DOUBLE_H
#define OWM_TEST_WALLET_DOUBLE_H

#include "node_double.h"

#define WALLET_PLACES_MAX 200 /* Inputs, and outputs, of a transaction. */
#define WALLET_BLOCKS_MAX 4096

enum { WALLET_IN_MEMPOOL = -1, WALLET_NOWHERE = -2 };

struct wallet_outpoint {
    uint8_t txid[32];
    uint32_t index;
};

/** wallet_tx: one that somebody sent. height: of its block, or one of the two above. */
struct wallet_tx {
    uint8_t *data;
    uint32_t bytes, vbytes, inputs, outputs;
    uint8_t txid[32];
    struct wallet_outpoint input[WALLET_PLACES_MAX];
    uint64_t value[WALLET_PLACES_MAX];
    bool mine[WALLET_PLACES_MAX], known;
    uint64_t fee_sat;
    int height;
};

struct wallet_mined {
    uint8_t *raw; /* The whole block. */
    uint32_t raw_bytes, count;
    uint8_t (*txids)[32];
};

/** wallet_double: knobs and counts are read and set under node.lock. */
struct wallet_double {
    struct node_double node;
    struct wallet_tx *txs;
    uint32_t tx_count, tx_room, sent_count;
    struct wallet_mined blocks[WALLET_BLOCKS_MAX];
    uint64_t seed;
    /* Knobs. */
    bool locked, no_wallet, no_method, downloading, forgets; /* forgets: no transaction is known. */
    uint64_t min_rate, estimate;                             /* sat/vB; estimate 0: none. */
    uint32_t others_max;   /* Transactions of others in a block, at most. */
    uint32_t mine_at_send; /* Blocks mined when a transaction is taken that is not held back; */
    uint32_t held_sends;   /* so many of them are held back first. */
    uint64_t squeeze_rate; /* One that is held back is forgotten, and no other is taken for less. */
    /** watch: before and after each call; after: with its result already there. NULL: none. */
    void (*watch)(void *ctx, const char *method, bool after);
    void *watch_ctx;
};

/** wallet_open_double: a chain of `blocks`, and coins of so much each. */
void wallet_open_double(struct wallet_double *wallet, uint32_t blocks, uint32_t coins,
                        uint64_t value_sat);
void wallet_close_double(struct wallet_double *wallet);

/** wallet_mine: so many blocks; what is in the mempool goes into the first. */
void wallet_mine(struct wallet_double *wallet, uint32_t blocks);

/** wallet_cut: the chain ends before block `count`; what was mined is in the mempool again, or, if
 *  `lost`, nowhere. */
void wallet_cut(struct wallet_double *wallet, uint32_t count, bool lost);

/** wallet_forget_mempool: as a node that starts without its file. */
void wallet_forget_mempool(struct wallet_double *wallet);

/** wallet_mempool: how many transactions wait. wallet_sent: how many were ever taken. */
uint32_t wallet_mempool(struct wallet_double *wallet);
uint32_t wallet_sent(struct wallet_double *wallet);

/** wallet_one_can_confirm: whatever was sent, any two of them spend the same coin. */
bool wallet_one_can_confirm(struct wallet_double *wallet);

/** wallet_spend: the coins of the newest transaction go elsewhere, with a higher fee; with its root
 *  again if `same_root`. */
void wallet_spend(struct wallet_double *wallet, bool same_root);

/** wallet_add_coins: mined at once. */
void wallet_add_coins(struct wallet_double *wallet, uint32_t coins, uint64_t value_sat);

#endif

/* check.h: the rules of Bitcoin on a block, in Bitcoin Core's order and words. Each returns NULL,
 * or the reason as submitblock gives it. What is not judged: scripts other than OP_TRUE (coins.h),
 * which are refused where one is spent.
 */
#ifndef OWM_DEVNET_BLOCKS_CHECK_H
#define OWM_DEVNET_BLOCKS_CHECK_H

#include "coins.h"
#include "wire.h"

#define CHECK_HALVING_INTERVAL  150 /* Of regtest. */
#define CHECK_COINBASE_MATURITY 100
#define CHECK_FUTURE_S_MAX      7200

/** What stands before a block. */
struct check_context {
    uint32_t height, bits;  /* That the block must have. */
    uint32_t median_time_s; /* Of the eleven blocks before (BIP 113). */
    uint32_t now_s;
    bool proposal; /* BIP 23: neither proof of work nor merkle root yet. */
};

/** check_alone: what needs no other block: CheckBlock. */
const char *check_alone(const struct wire_block *block, bool proposal);

/** check_transaction: the same for one of block->tx. */
const char *check_transaction(const struct wire_block *block, const struct wire_tx *tx);
bool check_is_coinbase(const struct wire_block *block, const struct wire_tx *tx);
/** check_sigop_cost: of all transactions (BIP 141). */
uint64_t check_sigop_cost(const struct wire_block *block);

/** check_header, check_content: what needs the blocks before: ContextualCheckBlockHeader and
 *  ContextualCheckBlock. */
const char *check_header(const struct wire_block *block, const struct check_context *context);
const char *check_content(const struct wire_block *block, const struct check_context *context);

/** check_is_final: by its lock time, in a block of context's height. */
bool check_is_final(const struct wire_block *block, const struct wire_tx *tx,
                    const struct check_context *context);

/** check_subsidy_sats: of a height. */
int64_t check_subsidy_sats(uint32_t height);

/** check_connect: spends and makes coins: ConnectBlock. If it returns a reason, coins are as
 * before.
 */
struct check_connection {
    struct coins *coins;
    uint32_t height;
    enum coin_owner owner;  /* Of what the coinbase pays. */
    uint32_t median_time_s; /* Of the eleven blocks before. */
    /* Median time before the block of a height: what a lock in time counts from (BIP 68). */
    uint32_t (*median_time_before)(void *ctx, uint32_t height);
    void *ctx;
    bool dry; /* Coins are as before in any case. */
};
const char *check_connect(const struct wire_block *block, const struct check_connection *to);

/** check_row: transactions that stand in no block yet, one behind the other. The coins are those
 *  behind the last one until check_row_end, and then as before. */
struct check_row;
struct check_spend {
    int64_t fee_sats;
    enum coin_owner owner; /* Of all that it spends, or COIN_NOBODY. */
};
struct check_row *check_row_begin(const struct check_connection *to); /* NULL without memory. */
/** check_row_add: block->tx[0]. If it returns a reason, nothing was added. */
const char *check_row_add(struct check_row *row, const struct wire_block *block,
                          struct check_spend *spend);
void check_row_end(struct check_row *row); /* NULL is allowed. */

#endif

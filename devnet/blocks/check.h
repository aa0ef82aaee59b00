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

/** check_header, check_content: what needs the blocks before: ContextualCheckBlockHeader and
 *  ContextualCheckBlock. */
const char *check_header(const struct wire_block *block, const struct check_context *context);
const char *check_content(const struct wire_block *block, const struct check_context *context);

/** check_subsidy_sats: of a height. */
int64_t check_subsidy_sats(uint32_t height);

/** check_connect: spends and makes coins: ConnectBlock. If it returns a reason, coins are as
 * before.
 */
struct check_connection {
    struct coins *coins;
    uint32_t height;
    bool ours;              /* What the coinbase pays becomes ours. */
    uint32_t median_time_s; /* Of the eleven blocks before. */
    /* Median time before the block of a height: what a lock in time counts from (BIP 68). */
    uint32_t (*median_time_before)(void *ctx, uint32_t height);
    void *ctx;
    bool dry; /* Coins are as before in any case. */
};
const char *check_connect(const struct wire_block *block, const struct check_connection *to);

#endif

/* wallet.h: the coins that are the wallet's (coins.h), and transactions that they pay for.
 *
 * There are no keys: whoever can call may spend. Nothing is kept here; all follows from chain and
 * pool, so that it is right after any restart.
 * Thread: that of the chain.
 */
#ifndef OWM_DEVNET_BLOCKS_WALLET_H
#define OWM_DEVNET_BLOCKS_WALLET_H

#include "edit.h"
#include "mempool.h"

#define WALLET_DUST_SATS 330 /* Change below it goes to the fee. */

struct wallet_balance {
    int64_t trusted_sats, immature_sats; /* Trusted: in blocks, or change of our own in the pool. */
    uint32_t coins;
};

/** wallet_balance: behind the pool. Returns: false without memory. */
bool wallet_balance(const struct mempool *pool, struct wallet_balance *balance);

/** wallet_know: kinds and values of the inputs, also of those that the pool spends.
 *  Returns: how many are not known. */
uint32_t wallet_know(const struct mempool *pool, struct edit *edit);

struct wallet_fund {
    int64_t fee_rate;    /* sat/kvB */
    int change_position; /* -1: behind the others. Out: where it is; -1: there is none. */
    bool replaceable;
    bool confirmed;   /* Only coins of blocks. */
    int64_t fee_sats; /* Out. */
};

/** wallet_fund: adds inputs until they pay for the outputs and the fee, and change.
 *  Returns: NULL; or why not. */
const char *wallet_fund(const struct mempool *pool, struct edit *edit, struct wallet_fund *fund);

/** wallet_bump: what bumpfee does: the same outputs, a higher fee, change made anew; sent.
 *
 *  fee_rate  sat/kvB; 0: what it had and WALLET_BUMP_RATE more.
 *  bumped    out: the replacement, in the pool.
 *  Returns: NULL; or why not: WALLET_HAS_CHILDREN, WALLET_FEE_TOO_LOW, others. */
#define WALLET_BUMP_RATE 5000
extern const char WALLET_HAS_CHILDREN[], WALLET_FEE_TOO_LOW[];
const char *wallet_bump(struct mempool *pool, const struct mempool_tx *tx, int64_t fee_rate,
                        const struct mempool_tx **bumped);

/** wallet_paid_sats: what a transaction of ours gives to scripts that are not the wallet's. */
int64_t wallet_paid_sats(const struct mempool_tx *tx);

#endif

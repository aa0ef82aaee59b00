/* mempool.h: transactions that were sent here: those that wait for a block, and which block the
 * others are in.
 *
 * All of them are kept, in the order in which they came, so that parents stand before children:
 * some wait ("in the pool"), some are in a block of the active chain, and some are neither, since
 * another one replaced them (BIP 125) or a block spent what they spend. The pool holds less than a
 * block does, so each template has all of it. After a change of branches, and after a restart, what
 * is in no block is judged again.
 *
 * The file is a row of records: magic, length, time, fee, owner, transaction. It only grows; a
 * record is there before the transaction is accepted, and one that a crash cut off is removed. It
 * is not synced, as that of the blocks.
 * Thread: one.
 */
#ifndef OWM_DEVNET_BLOCKS_MEMPOOL_H
#define OWM_DEVNET_BLOCKS_MEMPOOL_H

#include "chain.h"

#define MEMPOOL_WAITING_MAX   200
#define MEMPOOL_KNOWN_MAX     100000
#define MEMPOOL_WEIGHT_MAX    3900000
#define MEMPOOL_REPLACED_MAX  100  /* BIP 125, rule 5. */
#define MEMPOOL_RELAY_RATE    1000 /* sat/kvB: the least, and the least more of a replacement. */
#define MEMPOOL_SEQUENCE_OPEN 0xfffffffd /* An input with this or less may be replaced (BIP 125). */

struct mempool;

struct mempool_tx {
    uint8_t *data;
    struct wire_block read; /* read.tx[0] */
    int64_t fee_sats;
    enum coin_owner owner;
    uint64_t time_s;                /* When it came. */
    const struct chain_node *block; /* Maybe of another branch; ask mempool_block. */
    const struct mempool_tx *replaces, *replaced_by; /* NULL: none. Not known behind a restart. */
    bool waiting;
};

/** mempool_open: reads the file or begins one. `chain` outlives it.
 *  Returns: OWM_OK; OWM_E_PROTO the file holds something else, with what to do; OWM_E_IO;
 *  OWM_E_NOMEM. */
OWM_MUST_USE owm_status mempool_open(const char *path, struct chain *chain, struct mempool **pool,
                                     struct owm_error *error);
void mempool_close(struct mempool *pool); /* NULL is allowed. */

struct chain *mempool_chain(const struct mempool *pool);

/** mempool_follow: to the chain's tip, after it has changed. */
void mempool_follow(struct mempool *pool);

/** mempool_send: what sendrawtransaction does with a transaction.
 *
 *  fee_rate_max  sat/kvB; 0: any.
 *  tx            out: it, also if it was in the pool before; borrowed until mempool_close.
 *  Returns: NULL; or why not, in Bitcoin Core's words: "" cannot be read, MEMPOOL_MINED it is in
 *  the chain, MEMPOOL_FEE_TOO_HIGH, MEMPOOL_MISSING what it spends is not there, others. */
const char *mempool_send(struct mempool *pool, const uint8_t *data, size_t bytes,
                         int64_t fee_rate_max, const struct mempool_tx **tx);
extern const char MEMPOOL_MINED[], MEMPOOL_FEE_TOO_HIGH[], MEMPOOL_MISSING[];

/** mempool_waiting: [*count] of the pool, parents first; borrowed until the next change. */
const struct mempool_tx *const *mempool_waiting(const struct mempool *pool, uint32_t *count);
/** mempool_known: all, by index; NULL: no more. */
const struct mempool_tx *mempool_known(const struct mempool *pool, uint32_t index);
const struct mempool_tx *mempool_find(const struct mempool *pool, const uint8_t txid[32]);

/** mempool_block: which block of the active chain it is in; NULL: none. */
const struct chain_node *mempool_block(const struct mempool *pool, const struct mempool_tx *tx);

/** mempool_spender: who in the pool spends a coin; NULL: nobody. */
const struct mempool_tx *mempool_spender(const struct mempool *pool, const struct coin_key *key);

/** mempool_row: the chain's coins become those behind the pool, until check_row_end. NULL without
 *  memory. */
struct check_row *mempool_row(const struct mempool *pool);

/** mempool_changes: grows with each transaction that is accepted, also over restarts. */
uint32_t mempool_changes(const struct mempool *pool);

/** mempool_conflict: whether the two spend one coin. */
bool mempool_conflict(const struct mempool_tx *a, const struct mempool_tx *b);

/** mempool_replaceable: by its own word, or that of one it descends from in the pool (BIP 125). */
bool mempool_replaceable(const struct mempool *pool, const struct mempool_tx *tx);

#endif

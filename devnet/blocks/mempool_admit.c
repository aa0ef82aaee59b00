/* mempool_admit.c: who comes into the pool, and who goes for it: Bitcoin Core's rules and words, as
 * far as they are about more than what is customary among its users (regtest has none of that).
 */
#include <stdlib.h>
#include <string.h>

#include "mempool_internal.h"

#define WEIGHT_MAX         400000
#define STRIPPED_BYTES_MIN 65 /* CVE-2017-12842. */
#define SIGOP_COST_MAX     16000
#define SIGOP_COST_ALL_MAX 78000 /* Of a block's 80000; its coinbase has some. */

const char MEMPOOL_MINED[] = "Transaction outputs already in utxo set";
const char MEMPOOL_FEE_TOO_HIGH[] =
    "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)";
const char MEMPOOL_MISSING[] = "bad-txns-inputs-missingorspent";

/* Which of the pool a transaction would replace, with all that descends from them. */
struct leaving {
    bool leaves[MEMPOOL_WAITING_MAX], direct[MEMPOOL_WAITING_MAX];
    uint32_t count;
    int64_t fees_sats;
};

static bool is_child(const struct mempool_tx *tx, const struct mempool_tx *parent)
{
    for (uint32_t i = 0; i < tx->read.ins; i++)
        if (memcmp(tx->read.in[i].txid, parent->read.tx[0].txid, 32) == 0) return true;
    return false;
}

static void find_leaving(const struct mempool *pool, const struct mempool_tx *tx,
                         struct leaving *leaving)
{
    *leaving = (struct leaving){0};
    for (uint32_t i = 0; i < pool->waiting_count; i++) {
        const struct mempool_tx *other = pool->waiting[i];
        bool leaves = leaving->direct[i] = mempool_conflict(tx, other);
        for (uint32_t k = 0; !leaves && k < i; k++)
            leaves = leaving->leaves[k] && is_child(other, pool->waiting[k]);
        leaving->leaves[i] = leaves;
        leaving->count += leaves;
        if (leaves) leaving->fees_sats += other->fee_sats;
    }
}

static bool says_replaceable(const struct mempool_tx *tx)
{
    for (uint32_t i = 0; i < tx->read.ins; i++)
        if (tx->read.in[i].sequence <= MEMPOOL_SEQUENCE_OPEN) return true;
    return false;
}

bool mempool_replaceable(const struct mempool *pool, const struct mempool_tx *tx)
{
    bool ancestor[MEMPOOL_WAITING_MAX] = {false}, replaceable = says_replaceable(tx);
    for (uint32_t i = pool->waiting_count; i-- > 0;) { /* Children stand behind their parents. */
        ancestor[i] = is_child(tx, pool->waiting[i]);
        for (uint32_t k = i + 1; !ancestor[i] && k < pool->waiting_count; k++)
            ancestor[i] = ancestor[k] && is_child(pool->waiting[k], pool->waiting[i]);
        replaceable |= ancestor[i] && says_replaceable(pool->waiting[i]);
    }
    return replaceable;
}

/* sat/kvB of a, compared with b's, without division. */
static bool pays_more(const struct mempool_tx *a, const struct mempool_tx *b)
{
    return a->fee_sats * (int64_t)wire_tx_vbytes(b->read.tx)
           > b->fee_sats * (int64_t)wire_tx_vbytes(a->read.tx);
}

static int64_t fee_at(const struct mempool_tx *tx, int64_t rate)
{
    return ((int64_t)wire_tx_vbytes(tx->read.tx) * rate + 999) / 1000;
}

/* BIP 125, rules 1, 2 and 5: what can be said before the fee is known. */
static const char *judge_replacement(const struct mempool *pool, const struct mempool_tx *tx,
                                     const struct leaving *leaving)
{
    if (leaving->count > MEMPOOL_REPLACED_MAX) return "too many potential replacements";
    for (uint32_t i = 0; i < pool->waiting_count; i++) {
        const struct mempool_tx *other = pool->waiting[i];
        if (leaving->direct[i] && !says_replaceable(other)) return "txn-mempool-conflict";
        if (leaving->count == 0 || leaving->leaves[i] || !is_child(tx, other)) continue;
        bool had = false;
        for (uint32_t k = 0; k < pool->waiting_count; k++)
            had |= leaving->direct[k] && is_child(pool->waiting[k], other);
        if (!had) return "replacement-adds-unconfirmed";
    }
    return NULL;
}

/* And rules 3 and 4. */
static const char *judge_fee(const struct mempool *pool, const struct mempool_tx *tx,
                             const struct leaving *leaving, int64_t fee_rate_max)
{
    if (fee_rate_max > 0 && tx->fee_sats > fee_at(tx, fee_rate_max)) return MEMPOOL_FEE_TOO_HIGH;
    if (tx->fee_sats < fee_at(tx, MEMPOOL_RELAY_RATE)) return "min relay fee not met";
    for (uint32_t i = 0; i < pool->waiting_count; i++)
        if (leaving->direct[i] && !pays_more(tx, pool->waiting[i]))
            return "insufficient fee, rejecting replacement; its fee rate is not higher";
    if (tx->fee_sats < leaving->fees_sats)
        return "insufficient fee, rejecting replacement; less fees than conflicting txs";
    if (leaving->count && tx->fee_sats < leaving->fees_sats + fee_at(tx, MEMPOOL_RELAY_RATE))
        return "insufficient fee, rejecting replacement; not enough additional fees to relay";
    return NULL;
}

static const char *judge_room(const struct mempool *pool, const struct mempool_tx *tx,
                              const struct leaving *leaving)
{
    uint64_t weight = wire_tx_weight(tx->read.tx), sigop_cost = check_sigop_cost(&tx->read);
    if (pool->waiting_count - leaving->count == MEMPOOL_WAITING_MAX) return "mempool full";
    for (uint32_t i = 0; i < pool->waiting_count; i++) {
        if (leaving->leaves[i]) continue;
        weight += wire_tx_weight(pool->waiting[i]->read.tx);
        sigop_cost += check_sigop_cost(&pool->waiting[i]->read);
    }
    return weight > MEMPOOL_WEIGHT_MAX || sigop_cost > SIGOP_COST_ALL_MAX ? "mempool full" : NULL;
}

static const char *judge_alone(const struct mempool *pool, const struct mempool_tx *tx)
{
    const struct wire_tx *read = tx->read.tx;
    const struct chain_node *tip = chain_tip(pool->chain);
    const struct check_context next = {.height = tip->height + 1,
                                       .median_time_s = chain_median_time_s(tip)};
    const char *reason = check_transaction(&tx->read, read);
    if (reason) return reason;
    if (check_is_coinbase(&tx->read, read)) return "coinbase";
    if (read->stripped_bytes < STRIPPED_BYTES_MIN) return "tx-size-small";
    if (wire_tx_weight(read) > WEIGHT_MAX) return "tx-size";
    if (check_sigop_cost(&tx->read) > SIGOP_COST_MAX) return "bad-txns-too-many-sigops";
    return check_is_final(&tx->read, read, &next) ? NULL : "non-final";
}

/* Behind all of the pool that stays. */
static const char *connect(const struct mempool *pool, struct mempool_tx *tx,
                           const struct leaving *leaving)
{
    const struct check_connection next = chain_next(pool->chain);
    struct check_row *row = check_row_begin(&next);
    struct check_spend spend;
    const char *reason = row ? NULL : "out of memory";
    for (uint32_t i = 0; !reason && i < pool->waiting_count; i++)
        if (!leaving->leaves[i]) reason = check_row_add(row, &pool->waiting[i]->read, &spend);
    if (!reason) reason = check_row_add(row, &tx->read, &spend);
    check_row_end(row);
    if (reason) return strcmp(reason, "bad-txns-BIP30") == 0 ? MEMPOOL_MINED : reason;
    tx->fee_sats = spend.fee_sats;
    tx->owner = spend.owner;
    return NULL;
}

static bool is_mined(const struct mempool *pool, const struct mempool_tx *tx)
{
    struct coin_key key = {.index = 0};
    memcpy(key.txid, tx->read.tx[0].txid, 32);
    for (; key.index < tx->read.outs; key.index++)
        if (coins_find(chain_coins(pool->chain), &key)) return true;
    return false;
}

static const char *judge(const struct mempool *pool, struct mempool_tx *tx, int64_t fee_rate_max,
                         struct leaving *leaving)
{
    find_leaving(pool, tx, leaving);
    const char *reason = judge_alone(pool, tx);
    if (!reason && is_mined(pool, tx)) reason = MEMPOOL_MINED;
    if (!reason) reason = judge_replacement(pool, tx, leaving);
    if (!reason) reason = connect(pool, tx, leaving);
    if (!reason) reason = judge_fee(pool, tx, leaving, fee_rate_max);
    return reason ? reason : judge_room(pool, tx, leaving);
}

const char *mempool_judge(const struct mempool *pool, struct mempool_tx *tx, int64_t fee_rate_max)
{
    struct leaving leaving;
    return judge(pool, tx, fee_rate_max, &leaving);
}

const char *mempool_admit(struct mempool *pool, struct mempool_tx *tx, int64_t fee_rate_max)
{
    struct leaving leaving;
    const char *reason = judge(pool, tx, fee_rate_max, &leaving);
    uint32_t stay = 0;
    if (reason) return reason;
    tx->replaces = tx->replaced_by = NULL;
    for (uint32_t i = 0; i < pool->waiting_count; i++) {
        struct mempool_tx *other = pool->waiting[i];
        if (!leaving.leaves[i]) pool->waiting[stay++] = other;
        if (leaving.direct[i]) {
            other->replaced_by = tx;
            tx->replaces = other;
        }
        other->waiting = !leaving.leaves[i];
    }
    pool->waiting[stay] = tx;
    pool->waiting_count = stay + 1;
    tx->waiting = true;
    return NULL;
}

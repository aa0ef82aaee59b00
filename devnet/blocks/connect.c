/* connect.c: a block's transactions against the coins: existence, maturity, locks, amounts,
 * scripts. Every change is noted, so that a refused block leaves no trace.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define MONEY_SATS_MAX     INT64_C(2100000000000000)
#define SUBSIDY_SATS_FIRST INT64_C(5000000000)
#define RELATIVE_OFF       0x80000000 /* BIP 68. */
#define RELATIVE_IS_TIME   0x00400000
#define RELATIVE_MASK      0x0000ffff
#define RELATIVE_UNIT_BITS 9 /* 512 seconds. */

struct change {
    struct coin_key key;
    struct coin coin;
    bool added;
};

struct work {
    const struct wire_block *block;
    const struct check_connection *to;
    struct change *change; /* [changes_max] */
    uint32_t changes;
    int64_t fees_sats;
};

int64_t check_subsidy_sats(uint32_t height)
{
    uint32_t halvings = height / CHECK_HALVING_INTERVAL;
    return halvings < 64 ? SUBSIDY_SATS_FIRST >> halvings : 0;
}

static void undo(struct work *work)
{
    while (work->changes > 0) {
        const struct change *change = &work->change[--work->changes];
        if (change->added)
            coins_remove(work->to->coins, &change->key);
        else
            OWM_ASSERT(coins_add(work->to->coins, &change->key, &change->coin)); /* It had room. */
    }
}

static struct coin_key key_of(const uint8_t *txid, uint32_t index)
{
    struct coin_key key = {.index = index};
    memcpy(key.txid, txid, 32);
    return key;
}

/* BIP 68. */
static bool relative_lock_holds(const struct work *work, const struct wire_tx *tx,
                                const struct wire_in *in, const struct coin *coin)
{
    const struct check_connection *to = work->to;
    if (tx->version < 2 || in->sequence & RELATIVE_OFF) return true;
    uint64_t distance = in->sequence & RELATIVE_MASK;
    if (!(in->sequence & RELATIVE_IS_TIME)) return coin->height + distance <= to->height;
    uint64_t from_s = to->median_time_before(to->ctx, coin->height);
    return from_s + (distance << RELATIVE_UNIT_BITS) <= to->median_time_s;
}

/* The two scripts of coins.h: nothing to show for one, the script itself for the other. */
static bool script_holds(const struct wire_in *in, enum coin_kind kind)
{
    static const uint8_t shown[] = {1, 0x51};
    if (in->script.bytes != 0) return false;
    if (kind == COIN_TRUE) return in->witness_items == 0;
    return kind == COIN_WITNESS_TRUE && in->witness_items == 1 && in->witness.bytes == sizeof shown
           && memcmp(in->witness.data, shown, sizeof shown) == 0;
}

static const char *spend(struct work *work, const struct wire_tx *tx, int64_t *in_sats, bool *ours)
{
    for (uint32_t i = 0; i < tx->ins; i++) {
        const struct wire_in *in = &work->block->in[tx->first_in + i];
        const struct coin_key key = key_of(in->txid, in->index);
        const struct coin *found = coins_find(work->to->coins, &key);
        if (!found) return "bad-txns-inputs-missingorspent";
        const struct coin coin = *found;
        if (coin.coinbase && work->to->height - coin.height < CHECK_COINBASE_MATURITY)
            return "bad-txns-premature-spend-of-coinbase";
        if (!relative_lock_holds(work, tx, in, &coin)) return "bad-txns-nonfinal";
        if (!script_holds(in, coin.kind))
            return "block-script-verify-flag-failed (this block source knows OP_TRUE alone)";
        *in_sats += coin.value_sats;
        if (*in_sats > MONEY_SATS_MAX) return "bad-txns-inputvalues-outofrange";
        *ours &= coin.ours;
        coins_remove(work->to->coins, &key);
        work->change[work->changes++] = (struct change){.key = key, .coin = coin};
    }
    return NULL;
}

static const char *make(struct work *work, const struct wire_tx *tx, bool coinbase, bool ours)
{
    for (uint32_t i = 0; i < tx->outs; i++) {
        const struct wire_out *out = &work->block->out[tx->first_out + i];
        const struct coin_key key = key_of(tx->txid, i);
        if (out->script.bytes && out->script.data[0] == 0x6a) continue; /* OP_RETURN. */
        if (coins_find(work->to->coins, &key)) return "bad-txns-BIP30";
        const struct coin coin = {.value_sats = out->value_sats,
                                  .height = work->to->height,
                                  .kind = coin_kind_of(out->script),
                                  .coinbase = coinbase,
                                  .ours = ours};
        if (!coins_add(work->to->coins, &key, &coin)) return "out of memory";
        work->change[work->changes++] = (struct change){.key = key, .added = true};
    }
    return NULL;
}

static int64_t out_sats(const struct wire_block *block, const struct wire_tx *tx)
{
    int64_t sum_sats = 0; /* check_alone kept it below MONEY_SATS_MAX. */
    for (uint32_t i = 0; i < tx->outs; i++) sum_sats += block->out[tx->first_out + i].value_sats;
    return sum_sats;
}

static const char *connect_tx(struct work *work, const struct wire_tx *tx)
{
    int64_t in_sats = 0;
    bool ours = true;
    const char *reason = spend(work, tx, &in_sats, &ours);
    if (reason) return reason;
    const int64_t fee_sats = in_sats - out_sats(work->block, tx);
    if (fee_sats < 0) return "bad-txns-in-belowout";
    work->fees_sats += fee_sats;
    if (work->fees_sats > MONEY_SATS_MAX) return "bad-txns-accumulated-fee-outofrange";
    return make(work, tx, false, ours);
}

static const char *connect_all(struct work *work)
{
    const struct wire_block *block = work->block;
    for (uint32_t i = 1; i < block->txs; i++) {
        const char *reason = connect_tx(work, &block->tx[i]);
        if (reason) return reason;
    }
    if (out_sats(block, &block->tx[0]) > check_subsidy_sats(work->to->height) + work->fees_sats)
        return "bad-cb-amount";
    return make(work, &block->tx[0], true, work->to->ours);
}

const char *check_connect(const struct wire_block *block, const struct check_connection *to)
{
    struct work work = {.block = block, .to = to};
    work.change = malloc((block->ins + block->outs) * sizeof *work.change);
    if (!work.change) return "out of memory";
    const char *reason = connect_all(&work);
    if (reason || to->dry) undo(&work);
    free(work.change);
    return reason;
}

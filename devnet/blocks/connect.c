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

/* Also what a block is checked with: its transactions are a row. */
struct check_row {
    const struct wire_block *block; /* Of the transaction at hand. */
    const struct check_connection *to;
    struct check_connection own; /* Where `to` points in a row that outlives its caller's. */
    struct change *change;       /* [room] */
    uint32_t changes, room;
    int64_t fees_sats;
};

int64_t check_subsidy_sats(uint32_t height)
{
    uint32_t halvings = height / CHECK_HALVING_INTERVAL;
    return halvings < 64 ? SUBSIDY_SATS_FIRST >> halvings : 0;
}

static void undo(struct check_row *row, uint32_t changes)
{
    while (row->changes > changes) {
        const struct change *change = &row->change[--row->changes];
        if (change->added)
            coins_remove(row->to->coins, &change->key);
        else
            OWM_ASSERT(coins_add(row->to->coins, &change->key, &change->coin)); /* It had room. */
    }
}

static struct coin_key key_of(const uint8_t *txid, uint32_t index)
{
    struct coin_key key = {.index = index};
    memcpy(key.txid, txid, 32);
    return key;
}

/* BIP 68. */
static bool relative_lock_holds(const struct check_row *row, const struct wire_tx *tx,
                                const struct wire_in *in, const struct coin *coin)
{
    const struct check_connection *to = row->to;
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

static const char *spend(struct check_row *row, const struct wire_tx *tx, int64_t *in_sats,
                         enum coin_owner *owner)
{
    for (uint32_t i = 0; i < tx->ins; i++) {
        const struct wire_in *in = &row->block->in[tx->first_in + i];
        const struct coin_key key = key_of(in->txid, in->index);
        const struct coin *found = coins_find(row->to->coins, &key);
        if (!found) return "bad-txns-inputs-missingorspent";
        const struct coin coin = *found;
        if (coin.coinbase && row->to->height - coin.height < CHECK_COINBASE_MATURITY)
            return "bad-txns-premature-spend-of-coinbase";
        if (!relative_lock_holds(row, tx, in, &coin)) return "bad-txns-nonfinal";
        if (!script_holds(in, coin.kind))
            return "block-script-verify-flag-failed (this block source knows OP_TRUE alone)";
        *in_sats += coin.value_sats;
        if (*in_sats > MONEY_SATS_MAX) return "bad-txns-inputvalues-outofrange";
        *owner = i == 0 || coin.owner == *owner ? coin.owner : COIN_NOBODY;
        coins_remove(row->to->coins, &key);
        row->change[row->changes++] = (struct change){.key = key, .coin = coin};
    }
    return NULL;
}

static const char *make(struct check_row *row, const struct wire_tx *tx, bool coinbase,
                        enum coin_owner owner)
{
    for (uint32_t i = 0; i < tx->outs; i++) {
        const struct wire_out *out = &row->block->out[tx->first_out + i];
        const struct coin_key key = key_of(tx->txid, i);
        if (out->script.bytes && out->script.data[0] == 0x6a) continue; /* OP_RETURN. */
        if (coins_find(row->to->coins, &key)) return "bad-txns-BIP30";
        const struct coin coin = {.value_sats = out->value_sats,
                                  .height = row->to->height,
                                  .kind = coin_kind_of(out->script),
                                  .owner = owner,
                                  .coinbase = coinbase};
        if (!coins_add(row->to->coins, &key, &coin)) return "out of memory";
        row->change[row->changes++] = (struct change){.key = key, .added = true};
    }
    return NULL;
}

static int64_t out_sats(const struct wire_block *block, const struct wire_tx *tx)
{
    int64_t sum_sats = 0; /* check_alone kept it below MONEY_SATS_MAX. */
    for (uint32_t i = 0; i < tx->outs; i++) sum_sats += block->out[tx->first_out + i].value_sats;
    return sum_sats;
}

static const char *connect_tx(struct check_row *row, const struct wire_tx *tx,
                              struct check_spend *spent)
{
    int64_t in_sats = 0;
    *spent = (struct check_spend){.owner = COIN_NOBODY};
    const char *reason = spend(row, tx, &in_sats, &spent->owner);
    if (reason) return reason;
    spent->fee_sats = in_sats - out_sats(row->block, tx);
    if (spent->fee_sats < 0) return "bad-txns-in-belowout";
    row->fees_sats += spent->fee_sats;
    if (row->fees_sats > MONEY_SATS_MAX) return "bad-txns-accumulated-fee-outofrange";
    return make(row, tx, false, spent->owner);
}

static const char *connect_all(struct check_row *row)
{
    const struct wire_block *block = row->block;
    for (uint32_t i = 1; i < block->txs; i++) {
        struct check_spend spent;
        const char *reason = connect_tx(row, &block->tx[i], &spent);
        if (reason) return reason;
    }
    if (out_sats(block, &block->tx[0]) > check_subsidy_sats(row->to->height) + row->fees_sats)
        return "bad-cb-amount";
    return make(row, &block->tx[0], true, row->to->owner);
}

/* Room for all that a block or a transaction alone can change. */
static bool widen(struct check_row *row, const struct wire_block *block)
{
    const uint32_t need = row->changes + block->ins + block->outs;
    if (need <= row->room) return true;
    struct change *wider = realloc(row->change, 2 * (size_t)need * sizeof *wider);
    if (!wider) return false;
    row->change = wider;
    row->room = 2 * need;
    return true;
}

const char *check_connect(const struct wire_block *block, const struct check_connection *to)
{
    struct check_row row = {.block = block, .to = to};
    if (!widen(&row, block)) return "out of memory";
    const char *reason = connect_all(&row);
    if (reason || to->dry) undo(&row, 0);
    free(row.change);
    return reason;
}

struct check_row *check_row_begin(const struct check_connection *to)
{
    struct check_row *row = calloc(1, sizeof *row);
    if (!row) return NULL;
    row->own = *to;
    row->to = &row->own;
    return row;
}

const char *check_row_add(struct check_row *row, const struct wire_block *block,
                          struct check_spend *spent)
{
    const uint32_t changes = row->changes;
    const int64_t fees_sats = row->fees_sats;
    if (!widen(row, block)) return "out of memory";
    row->block = block;
    const char *reason = connect_tx(row, &block->tx[0], spent);
    if (!reason) return NULL;
    undo(row, changes);
    row->fees_sats = fees_sats;
    return reason;
}

void check_row_end(struct check_row *row)
{
    if (!row) return;
    undo(row, 0);
    free(row->change);
    free(row);
}

/* wallet.c: which coins, how much, what remains. */
#include "wallet.h"

#include <stdlib.h>
#include <string.h>

const char WALLET_HAS_CHILDREN[] = "Transaction has descendants in the mempool";
const char WALLET_FEE_TOO_LOW[] =
    "Insufficient total fee: it must be at least oldFee + incrementalFee";

struct candidate {
    struct coin_key key;
    struct coin coin;
};

static bool is_mature(const struct coin *coin, uint32_t height)
{
    return !coin->coinbase || height - coin->height >= CHECK_COINBASE_MATURITY;
}

static bool is_ours(const struct coin *coin)
{
    return coin->owner == COIN_WALLET && coin->kind != COIN_OTHER;
}

bool wallet_balance(const struct mempool *pool, struct wallet_balance *balance)
{
    struct chain *chain = mempool_chain(pool);
    const uint32_t height = chain_tip(chain)->height + 1;
    struct coin_key key;
    struct coin coin;
    size_t at = 0;
    *balance = (struct wallet_balance){0};
    struct check_row *row = mempool_row(pool);
    if (!row) return false;
    while (coins_next(chain_coins(chain), &at, &key, &coin)) {
        if (!is_ours(&coin)) continue;
        const bool mature = is_mature(&coin, height);
        *(mature ? &balance->trusted_sats : &balance->immature_sats) += coin.value_sats;
        balance->coins += mature;
    }
    check_row_end(row);
    return true;
}

static bool know(const struct mempool *pool, struct edit_in *in)
{
    const struct coin *coin = coins_find(chain_coins(mempool_chain(pool)), &in->key);
    if (coin) {
        in->kind = coin->kind;
        in->value_sats = coin->value_sats;
        return coin->kind != COIN_OTHER;
    }
    const struct mempool_tx *parent = mempool_find(pool, in->key.txid);
    if (!parent || !parent->waiting || in->key.index >= parent->read.outs) return false;
    in->kind = coin_kind_of(parent->read.out[in->key.index].script);
    in->value_sats = parent->read.out[in->key.index].value_sats;
    return in->kind != COIN_OTHER;
}

uint32_t wallet_know(const struct mempool *pool, struct edit *edit)
{
    uint32_t unknown = 0;
    for (uint32_t i = 0; i < edit->ins; i++) unknown += !know(pool, &edit->in[i]);
    return unknown;
}

/* The largest first, then the oldest, and always the same ones. */
static int by_use(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->coin.value_sats != y->coin.value_sats)
        return x->coin.value_sats > y->coin.value_sats ? -1 : 1;
    if (x->coin.height != y->coin.height) return x->coin.height < y->coin.height ? -1 : 1;
    int order = memcmp(x->key.txid, y->key.txid, 32);
    return order ? order : (x->key.index > y->key.index) - (x->key.index < y->key.index);
}

static bool has_in(const struct edit *edit, const struct coin_key *key)
{
    for (uint32_t i = 0; i < edit->ins; i++)
        if (edit->in[i].key.index == key->index && memcmp(edit->in[i].key.txid, key->txid, 32) == 0)
            return true;
    return false;
}

/* Those of blocks, or those that the pool makes. malloc'ed; NULL without memory. */
static struct candidate *list(const struct mempool *pool, const struct edit *edit, bool in_blocks,
                              uint32_t *count)
{
    struct coins *coins = chain_coins(mempool_chain(pool));
    const uint32_t height = chain_tip(mempool_chain(pool))->height + 1;
    struct candidate one, *all = NULL;
    struct check_row *row = mempool_row(pool);
    uint32_t room = 0;
    *count = 0;
    if (!row) return NULL;
    for (size_t at = 0; coins_next(coins, &at, &one.key, &one.coin);)
        room += one.coin.owner == COIN_WALLET;
    all = malloc((room + 1) * sizeof *all);
    for (size_t at = 0; all && coins_next(coins, &at, &one.key, &one.coin);)
        if (is_ours(&one.coin) && is_mature(&one.coin, height) && !has_in(edit, &one.key)
            && (one.coin.height < height) == in_blocks)
            all[(*count)++] = one;
    check_row_end(row);
    if (all) qsort(all, *count, sizeof *all, by_use);
    return all;
}

static int64_t fee_at(const struct edit *edit, int64_t rate)
{
    return (edit_vbytes(edit) * rate + 999) / 1000;
}

static bool is_paid(const struct edit *edit, int64_t rate)
{
    return edit->ins && edit_in_sats(edit) >= edit_out_sats(edit) + fee_at(edit, rate);
}

static const char *add_coins(const struct mempool *pool, struct edit *edit,
                             const struct wallet_fund *fund, bool in_blocks)
{
    uint32_t count;
    struct candidate *all = list(pool, edit, in_blocks, &count);
    bool room = true;
    if (!all) return "out of memory";
    for (uint32_t i = 0; room && i < count && !is_paid(edit, fund->fee_rate); i++) {
        const struct edit_in in = {.key = all[i].key,
                                   .sequence = fund->replaceable ? MEMPOOL_SEQUENCE_OPEN
                                                                 : MEMPOOL_SEQUENCE_OPEN + 1,
                                   .kind = all[i].coin.kind,
                                   .value_sats = all[i].coin.value_sats};
        room = edit_add_in(edit, &in);
    }
    free(all);
    return room ? NULL : "Transaction too large";
}

/* The script that all change goes to; it outlives every edit. */
static struct wire_view change_script(void)
{
    static uint8_t script[34];
    return (struct wire_view){script, coin_script(COIN_WITNESS_TRUE, script)};
}

static void add_change(struct edit *edit, struct wallet_fund *fund)
{
    const uint32_t at = fund->change_position < 0 ? edit->outs : (uint32_t)fund->change_position;
    struct edit with = *edit;
    struct edit_out change = {0, change_script()};
    fund->change_position = -1;
    if (!edit_add_out(&with, at, &change)) return;
    change.value_sats = edit_in_sats(edit) - edit_out_sats(edit) - fee_at(&with, fund->fee_rate);
    if (change.value_sats < WALLET_DUST_SATS) return;
    with.out[at].value_sats = change.value_sats;
    *edit = with;
    fund->change_position = (int)at;
}

const char *wallet_fund(const struct mempool *pool, struct edit *edit, struct wallet_fund *fund)
{
    if (fund->change_position > (int)edit->outs) return "changePosition out of bounds";
    if (wallet_know(pool, edit)) return "Not solvable pre-selected input COutPoint";
    const char *reason = add_coins(pool, edit, fund, true);
    if (!reason && !fund->confirmed) reason = add_coins(pool, edit, fund, false);
    if (reason) return reason;
    if (!is_paid(edit, fund->fee_rate)) return "Insufficient funds";
    add_change(edit, fund);
    fund->fee_sats = edit_in_sats(edit) - edit_out_sats(edit);
    return NULL;
}

int64_t wallet_paid_sats(const struct mempool_tx *tx)
{
    int64_t sum_sats = 0;
    for (uint32_t i = 0; i < tx->read.outs; i++)
        if (coin_kind_of(tx->read.out[i].script) == COIN_OTHER)
            sum_sats += tx->read.out[i].value_sats;
    return sum_sats;
}

static const char *may_bump(const struct mempool *pool, const struct mempool_tx *tx)
{
    uint32_t count;
    const struct mempool_tx *const *waiting = mempool_waiting(pool, &count);
    if (tx->replaced_by) return "Cannot bump transaction which was already bumped";
    if (!tx->waiting)
        return "Transaction has been mined, or is conflicted with a mined transaction";
    if (!mempool_replaceable(pool, tx)) return "Transaction is not BIP 125 replaceable";
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < waiting[i]->read.ins; k++)
            if (memcmp(waiting[i]->read.in[k].txid, tx->read.tx[0].txid, 32) == 0)
                return WALLET_HAS_CHILDREN;
    return NULL;
}

/* Out with the change: the last output that is the wallet's. Where it was, or -1. */
static int take_change(struct edit *edit)
{
    for (uint32_t i = edit->outs; edit->outs > 1 && i-- > 0;) {
        if (coin_kind_of(edit->out[i].script) == COIN_OTHER) continue;
        edit->outs--;
        memmove(&edit->out[i], &edit->out[i + 1], (edit->outs - i) * sizeof *edit->out);
        return (int)i;
    }
    return -1;
}

const char *wallet_bump(struct mempool *pool, const struct mempool_tx *tx, int64_t fee_rate,
                        const struct mempool_tx **bumped)
{
    struct edit edit;
    const int64_t vbytes = (int64_t)wire_tx_vbytes(tx->read.tx);
    const char *reason = may_bump(pool, tx);
    size_t bytes;
    if (reason) return reason;
    if (!edit_read(&edit, &tx->read)) return "Transaction too large";
    struct wallet_fund fund = {.change_position = take_change(&edit),
                               .replaceable = true,
                               .confirmed = true,
                               .fee_rate = fee_rate};
    if (!fee_rate) fund.fee_rate = (1000 * tx->fee_sats + vbytes - 1) / vbytes + WALLET_BUMP_RATE;
    if ((reason = wallet_fund(pool, &edit, &fund))) return reason;
    if (fund.fee_sats < tx->fee_sats + (vbytes * MEMPOOL_RELAY_RATE + 999) / 1000)
        return WALLET_FEE_TOO_LOW;
    uint8_t *data = edit_write(&edit, true, &bytes);
    if (!data) return "out of memory";
    reason = mempool_send(pool, data, bytes, 0, bumped);
    free(data);
    return reason;
}

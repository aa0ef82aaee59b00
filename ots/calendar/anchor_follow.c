/* anchor_follow.c: a batch on its way, from the first send to the last confirmation.
 *
 *   on disk --sent--> in the mempool --mined--> in a block --OWM_OTS_CONFIRMATIONS--> done
 *                        |  replace_s, or the node takes it no more
 *                        `--> replaced: spends the same, pays more
 *
 * All transactions of a batch are asked for, because any of them may be mined. A second one that
 * spends other coins is made only when the first has been impossible for OWM_OTS_CONFIRMATIONS
 * blocks, for the coins are gone elsewhere.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "anchor_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "dataplane/chain/hash.h"
#include "dataplane/ots/verify.h"

/* --- done ------------------------------------------------------------------------------------- */

/* The place of a transaction in its block. */
static owm_status find_end(const struct anchor_transaction *transaction, struct wallet_block *block,
                           struct anchor_end *end, struct owm_error *error)
{
    uint8_t root[32];
    uint32_t at = 0;
    while (at < block->count && memcmp(block->txids[at], transaction->read.txid, 32) != 0) at++;
    if (at == block->count)
        return owm_fail(error, OWM_E_PROTO, "the block does not hold the transaction");
    end->position = at;
    end->height = block->height;
    memcpy(end->header, block->header, sizeof end->header);
    if (!anchor_branches(block->txids, block->count, end))
        return owm_fail(error, OWM_E_LIMIT, "the block holds too many transactions");
    anchor_fold(transaction->read.txid, end, root);
    if (memcmp(root, end->header + 36, 32) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_PROTO, "the block's transactions do not lead to its header");
}

/* The proof of the batch's first promise, as anybody would verify it. */
static owm_status check_proof(struct anchor *anchor, const struct anchor_batch *batch,
                              const struct anchor_end *end, struct owm_error *error)
{
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES], tops[ANCHOR_CHUNK][32], root[32];
    struct journal *journal = anchor->options.journal;
    struct owm_ots_tree tree;
    struct owm_ots_verdict verdict;
    const struct owm_ots_headers headers = wallet_headers(anchor->wallet);
    const struct anchor_place place = {journal,
                                       batch->first,
                                       batch->count,
                                       batch->first,
                                       (const uint8_t(*)[32])tops,
                                       &batch->transactions[end->transaction],
                                       end};
    anchor_tops(journal, batch->first, batch->count, tops, root);
    journal_get(journal, batch->first, commitment);
    owm_status status =
        owm_ots_tree_init(&tree, (struct owm_ots_bytes){commitment, sizeof commitment}, error);
    if (status != OWM_OK) return status;
    status = anchor_path(&place, &tree, error);
    if (status == OWM_OK) status = owm_ots_verify(&tree, &headers, &verdict, error);
    if (status == OWM_OK && verdict.outcome != OWM_OTS_CONFIRMED)
        status =
            owm_fail(error, OWM_E_PROTO, "its proof does not verify: %.300s", verdict.why.text);
    owm_ots_tree_deinit(&tree);
    return status;
}

static owm_status end_batch(struct anchor *anchor, uint32_t number, uint32_t transaction,
                            struct owm_error *error)
{
    const struct anchor_batch *batch = &anchor->anchors.batches[number];
    struct anchor_end end = {.transaction = transaction, .time_ms = owm_clock_wall_ms()};
    struct wallet_block block;
    owm_status status = wallet_block(anchor->wallet, anchor->scratch->found.block, &block, error);
    if (status != OWM_OK) return status;
    status = find_end(&batch->transactions[transaction], &block, &end, error);
    if (status == OWM_OK) status = check_proof(anchor, batch, &end, error);
    free(block.txids);
    if (status != OWM_OK) return status;
    size_t bytes = anchors_done_record(number, &end, anchor->scratch->record);
    status = anchors_append(anchor, anchor->scratch->record, bytes, error);
    if (status == OWM_OK)
        owm_log(OWM_LOG_INFO, "anchor done batch=%u promises=%u height=%u", number, batch->count,
                end.height);
    return status;
}

/* --- where is it? ----------------------------------------------------------------------------- */

/* Another transaction with the same root: somebody raised the fee by hand, or changed the txid on
 * its way. It counts as ours. */
static owm_status adopt(struct anchor *anchor, uint32_t number, struct owm_error *error)
{
    const struct anchor_batch *batch = &anchor->anchors.batches[number];
    struct wallet_found *found = &anchor->scratch->found;
    struct owm_transaction read;
    uint8_t stripped[ANCHOR_STRIPPED_BYTES_MAX];
    uint32_t root_at;
    owm_status status = owm_transaction_read(found->data, found->bytes, &read, error);
    if (status != OWM_OK) return status;
    if (read.stripped_bytes > sizeof stripped) return OWM_OK;
    owm_transaction_strip(found->data, &read, stripped);
    if (!anchors_root_at(stripped, read.stripped_bytes, batch->root, &root_at)) return OWM_OK;
    const struct anchors_sent sent = {.batch = number,
                                      .first = batch->first,
                                      .count = batch->count,
                                      .root = batch->root,
                                      .time_ms = owm_clock_wall_ms(),
                                      .fee_sat = found->fee_sat,
                                      .data = found->data,
                                      .bytes = found->bytes};
    size_t bytes = anchors_sent_record(&sent, anchor->scratch->record);
    return anchors_append(anchor, anchor->scratch->record, bytes, error);
}

static bool ours(const struct anchor_batch *batch, const uint8_t txid[32])
{
    for (uint32_t i = 0; i < batch->transaction_count; i++)
        if (memcmp(batch->transactions[i].read.txid, txid, 32) == 0) return true;
    return false;
}

static owm_status look_at_conflicts(struct anchor *anchor, uint32_t number, struct owm_error *error)
{
    struct wallet_found *found = &anchor->scratch->found;
    uint8_t conflicts[WALLET_CONFLICTS_MAX][32];
    uint32_t count = found->conflict_count;
    owm_status status = OWM_OK;
    memcpy(conflicts, found->conflicts, sizeof conflicts);
    for (uint32_t i = 0; i < count && status == OWM_OK; i++) {
        const struct anchor_batch *batch = &anchor->anchors.batches[number];
        if (ours(batch, conflicts[i]) || batch->transaction_count == ANCHOR_TRANSACTIONS_MAX)
            continue;
        status = wallet_find(anchor->wallet, conflicts[i], found, error);
        if (status == OWM_OK) status = adopt(anchor, number, error);
        if (status == OWM_E_NOTFOUND) status = OWM_OK;
    }
    return status;
}

static void set_confirmations(struct anchor *anchor, uint32_t number, uint64_t confirmations)
{
    pthread_mutex_lock(&anchor->lock);
    anchor->anchors.batches[number].confirmations = confirmations;
    pthread_mutex_unlock(&anchor->lock);
}

/* The newest first. *mined: one of them is in a block, and found is what the wallet says of it. */
static owm_status find_mined(struct anchor *anchor, uint32_t number, uint32_t *transaction,
                             bool *mined, struct owm_error *error)
{
    struct wallet_found *found = &anchor->scratch->found;
    *mined = false;
    for (uint32_t k = anchor->anchors.batches[number].transaction_count; k-- > 0;) {
        const struct anchor_batch *batch = &anchor->anchors.batches[number];
        owm_status status =
            wallet_find(anchor->wallet, batch->transactions[k].read.txid, found, error);
        if (status == OWM_E_NOTFOUND) continue;
        if (status != OWM_OK) return status;
        *transaction = k;
        *mined = found->confirmations > 0;
        if (*mined) return OWM_OK;
        status = look_at_conflicts(anchor, number, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

/* --- it is in no block ------------------------------------------------------------------------ */

/* What the node said to all transactions of a batch: rejected for a fee that is too low; missing
 * inputs, for another transaction spent them. */
struct offers {
    bool taken, rejected, missing;
};

static owm_status offer_each(struct anchor *anchor, const struct anchor_batch *batch,
                             struct offers *offers, struct owm_error *error)
{
    *offers = (struct offers){.taken = false};
    for (uint32_t k = batch->transaction_count; k-- > 0 && !offers->taken;) {
        int code = 0;
        struct owm_error why = {.text = ""};
        owm_status status = wallet_send(anchor->wallet, &batch->transactions[k], &code, &why);
        offers->taken = status == OWM_OK;
        if (code == OWM_OTS_BITCOIN_REJECTED && strstr(why.text, "fee"))
            offers->rejected = true;
        else if (code == OWM_OTS_BITCOIN_TRANSACTION && strcasestr(why.text, "missing"))
            offers->missing = true;
        else if (code == OWM_OTS_BITCOIN_IN_CHAIN)
            return owm_fail(error, OWM_E_AGAIN,
                            "a transaction is in the chain and the wallet does not know it yet; if "
                            "this stays, load the wallet that made it, or 'bitcoin-cli "
                            "rescanblockchain'");
        else if (status != OWM_OK)
            return owm_fail(error, status, "sendrawtransaction: %.450s", why.text);
    }
    return OWM_OK;
}

/* Tell the node, once for each newest block: it may have forgotten. */
static owm_status offer(struct anchor *anchor, struct anchor_batch *batch, struct owm_error *error)
{
    struct offers offers;
    owm_status status = offer_each(anchor, batch, &offers, error);
    if (status != OWM_OK) return status;
    batch->offered = true;
    batch->rejected = !offers.taken && offers.rejected;
    bool missing = !offers.taken && !offers.rejected && offers.missing;
    if (!missing)
        batch->missing_since = 0;
    else if (batch->missing_since == 0)
        batch->missing_since = anchor->seen.height + 1;
    if (offers.taken) return OWM_OK;
    batch->offered = false; /* It is tried at each look until one is taken. */
    if (batch->rejected) return OWM_OK;
    return owm_fail(error, OWM_E_AGAIN,
                    "the coins of a transaction were spent by another one; a new one follows when "
                    "that is %d blocks deep",
                    OWM_OTS_CONFIRMATIONS);
}

static bool impossible(const struct anchor *anchor, const struct anchor_batch *batch)
{
    return batch->missing_since > 0
           && anchor->seen.height + 1 >= batch->missing_since + OWM_OTS_CONFIRMATIONS;
}

static bool replacement_due(const struct anchor *anchor, const struct anchor_batch *batch)
{
    const int64_t wait_ms = (int64_t)anchor->options.replace_s * 1000;
    const int64_t since_ms =
        owm_clock_wall_ms() - batch->transactions[batch->transaction_count - 1].time_ms;
    /* A clock that was set back far must not stop us. */
    return batch->rejected || since_ms >= wait_ms || since_ms <= -wait_ms;
}

static owm_status replace(struct anchor *anchor, uint32_t number, bool same_coins,
                          struct owm_error *error)
{
    struct anchor_batch *batch = &anchor->anchors.batches[number];
    if (batch->transaction_count == ANCHOR_TRANSACTIONS_MAX)
        return owm_fail(error, OWM_E_LIMIT,
                        "a batch has %d transactions and none confirms; it waits for the last one",
                        ANCHOR_TRANSACTIONS_MAX);
    const struct anchor_wish wish = {
        .batch = number,
        .first = batch->first,
        .count = batch->count,
        .root = batch->root,
        .replaced = same_coins ? &batch->transactions[batch->transaction_count - 1] : NULL};
    owm_status status = anchor_make(anchor, &wish, error);
    return status == OWM_OK ? offer(anchor, batch, error) : status;
}

owm_status anchor_follow(struct anchor *anchor, uint32_t number, struct owm_error *error)
{
    struct anchor_batch *batch = &anchor->anchors.batches[number];
    uint32_t transaction = 0, known = batch->transaction_count;
    bool mined = false;
    owm_status status = find_mined(anchor, number, &transaction, &mined, error);
    if (status != OWM_OK) return status;
    if (batch->transaction_count > known) return OWM_OK; /* Adopted; the next look asks for it. */
    uint64_t confirmations = mined ? (uint64_t)anchor->scratch->found.confirmations : 0;
    set_confirmations(anchor, number, confirmations);
    if (confirmations >= OWM_OTS_CONFIRMATIONS)
        return end_batch(anchor, number, transaction, error);
    if (mined) {
        batch->missing_since = 0;
        return OWM_OK;
    }
    if (anchor->moved) batch->offered = false;
    if (!batch->offered) status = offer(anchor, batch, error);
    if (impossible(anchor, batch)) return replace(anchor, number, false, error);
    if (status != OWM_OK || !replacement_due(anchor, batch)) return status;
    return replace(anchor, number, true, error);
}

/* anchor_make.c: a transaction within the limits of its fee, on disk before anybody sees it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "anchor_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "dataplane/chain/hash.h"

#define BLOCKS_FIRST       12 /* Within which the first transaction should confirm; */
#define BLOCKS_REPLACEMENT 3  /* one that replaces it. */

static uint64_t vbytes(const struct owm_transaction *transaction)
{
    return (transaction->weight + 3) / 4;
}

/* A replacement pays at least a quarter more, and 1 sat/vB more: what nodes relay (BIP 125). */
static uint64_t rate_above(const struct anchor_transaction *replaced)
{
    uint64_t bytes = vbytes(&replaced->read), rate = (replaced->fee_sat + bytes - 1) / bytes;
    return rate + (rate / 4 > 0 ? rate / 4 : 1);
}

/* What should be paid, within what may be; in sat/vB. */
struct rates {
    uint64_t wanted, least;
};

static owm_status find_rates(struct anchor *anchor, const struct anchor_wish *wish,
                             struct rates *rates, struct owm_error *error)
{
    const uint64_t most = anchor->options.fee_rate_max;
    const unsigned blocks = wish->replaced ? BLOCKS_REPLACEMENT : BLOCKS_FIRST;
    owm_status status = wallet_rates(anchor->wallet, blocks, &rates->wanted, &rates->least, error);
    if (status != OWM_OK) return status;
    if (wish->replaced && rates->least < rate_above(wish->replaced))
        rates->least = rate_above(wish->replaced);
    if (rates->least > most)
        return owm_fail(error, OWM_E_LIMIT,
                        "%s needs %" PRIu64 " sat/vB, more than the limit of %" PRIu64
                        "; it waits until fees fall, or raise --fee-rate-max",
                        wish->replaced ? "a replacement" : "the next transaction", rates->least,
                        most);
    if (rates->wanted < rates->least) rates->wanted = rates->least;
    if (rates->wanted > most) rates->wanted = most;
    return OWM_OK;
}

static owm_status too_dear(const struct anchor *anchor, const struct anchor_wish *wish,
                           uint64_t fee_sat, struct owm_error *error)
{
    return owm_fail(error, OWM_E_LIMIT,
                    "the fee of %s would be %" PRIu64 " sat, more than the limit of %" PRIu64
                    "; it waits until fees fall, or raise --fee-max",
                    wish->replaced ? "a replacement" : "the next transaction", fee_sat,
                    anchor->options.fee_sat_max);
}

/* A draft whose fee is within the limit: at the wanted rate, else at what the limit pays. */
static owm_status fund(struct anchor *anchor, const struct anchor_wish *wish,
                       const struct rates *rates, struct owm_error *error)
{
    const uint64_t most = anchor->options.fee_sat_max;
    struct wallet_draft *draft = &anchor->scratch->draft;
    struct wallet_order order = {wish->root, wish->replaced, rates->wanted};
    owm_status status = wallet_fund(anchor->wallet, &order, draft, error);
    if (status != OWM_OK || draft->fee_sat <= most) return status;
    order.rate = rates->wanted * most / draft->fee_sat;
    if (order.rate < rates->least) return too_dear(anchor, wish, draft->fee_sat, error);
    status = wallet_fund(anchor->wallet, &order, draft, error);
    if (status != OWM_OK || draft->fee_sat <= most) return status;
    return too_dear(anchor, wish, draft->fee_sat, error);
}

static bool spends(const uint8_t *stripped, const struct owm_transaction *read,
                   const uint8_t *outpoint, size_t bytes)
{
    for (uint32_t i = 0; i < read->inputs; i++)
        if (memcmp(owm_transaction_outpoint(stripped, read->stripped_bytes, i), outpoint, bytes)
            == 0)
            return true;
    return false;
}

/* A replacement spends all that the first one does, so that only one can confirm, and nothing that
 * only a replaced one would have made. */
static bool replaces(const struct anchor_batch *batch, const struct anchor_transaction *replaced,
                     const uint8_t *stripped, const struct owm_transaction *read)
{
    for (uint32_t i = 0; i < replaced->read.inputs; i++)
        if (!spends(stripped, read,
                    owm_transaction_outpoint(anchors_stripped(replaced),
                                             replaced->read.stripped_bytes, i),
                    OWM_OUTPOINT_BYTES))
            return false;
    for (uint32_t k = 0; k < batch->transaction_count; k++)
        if (spends(stripped, read, batch->transactions[k].read.txid, 32)) return false;
    return true;
}

/* What the wallet signed is what was ordered. */
static owm_status check(const struct anchor *anchor, const struct anchor_wish *wish,
                        const uint8_t *data, uint32_t bytes, struct owm_error *error)
{
    struct owm_transaction read;
    uint8_t stripped[ANCHOR_STRIPPED_BYTES_MAX];
    uint32_t root_at;
    owm_status status = owm_transaction_read(data, bytes, &read, error);
    if (status != OWM_OK) return status;
    if (read.stripped_bytes > sizeof stripped)
        return owm_fail(error, OWM_E_LIMIT,
                        "the wallet pays with %u coins, which makes the transaction too large for "
                        "proofs; join its coins by sending them to itself",
                        read.inputs);
    owm_transaction_strip(data, &read, stripped);
    if (!anchors_root_at(stripped, read.stripped_bytes, wish->root, &root_at))
        return owm_fail(error, OWM_E_PROTO, "the wallet's transaction does not hold the root");
    if (wish->replaced
        && !replaces(&anchor->anchors.batches[wish->batch], wish->replaced, stripped, &read))
        return owm_fail(error, OWM_E_PROTO,
                        "the wallet's replacement does not spend the same coins; send it some more "
                        "bitcoin so that it can pay the higher fee");
    return OWM_OK;
}

static owm_status record(struct anchor *anchor, const struct anchor_wish *wish, uint32_t bytes,
                         struct owm_error *error)
{
    struct anchor_scratch *scratch = anchor->scratch;
    const struct anchors_sent sent = {.batch = wish->batch,
                                      .first = wish->first,
                                      .count = wish->count,
                                      .root = wish->root,
                                      .time_ms = owm_clock_wall_ms(),
                                      .fee_sat = scratch->draft.fee_sat,
                                      .data = scratch->data,
                                      .bytes = bytes};
    size_t record_bytes = anchors_sent_record(&sent, scratch->record);
    return anchors_append(anchor, scratch->record, record_bytes, error);
}

owm_status anchor_make(struct anchor *anchor, const struct anchor_wish *wish,
                       struct owm_error *error)
{
    struct anchor_scratch *scratch = anchor->scratch;
    const char *what = wish->replaced ? "replaced" : "made";
    struct rates rates;
    uint32_t bytes = 0;
    owm_status status = find_rates(anchor, wish, &rates, error);
    if (status == OWM_OK) status = fund(anchor, wish, &rates, error);
    if (status == OWM_OK)
        status = wallet_sign(anchor->wallet, &scratch->draft, scratch->data, &bytes, error);
    if (status == OWM_OK) status = check(anchor, wish, scratch->data, bytes, error);
    if (status == OWM_OK) status = record(anchor, wish, bytes, error);
    if (status == OWM_OK)
        owm_log(OWM_LOG_INFO, "anchor %s batch=%u promises=%u fee_sat=%" PRIu64, what, wish->batch,
                wish->count, scratch->draft.fee_sat);
    return status;
}

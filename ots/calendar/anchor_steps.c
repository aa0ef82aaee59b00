/* anchor_steps.c: one look: is the node of use, is what was done still in the chain, where is what
 * was sent, and is it time for the next transaction?
 *
 * One batch is on its way at a time: the next transaction is made when all before are done, so none
 * spends what another may still take back.
 */
#include <string.h>

#include "anchor_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "dataplane/chain/hash.h"

static owm_status connect_wallet(struct anchor *anchor, struct owm_error *error)
{
    const struct anchor_options *options = &anchor->options;
    struct wallet *wallet = NULL;
    if (anchor->wallet) return OWM_OK;
    owm_status status = wallet_open(options->bitcoin_rpc, options->bitcoin_cookie, options->network,
                                    &wallet, error);
    if (status != OWM_OK) return status;
    pthread_mutex_lock(&anchor->lock);
    anchor->wallet = wallet;
    if (anchor->stop) wallet_cancel(wallet);
    pthread_mutex_unlock(&anchor->lock);
    return OWM_OK;
}

/* The next look connects anew and asks for the network again: another node may be there. */
static void disconnect(struct anchor *anchor)
{
    pthread_mutex_lock(&anchor->lock);
    wallet_close(anchor->wallet);
    anchor->wallet = NULL;
    pthread_mutex_unlock(&anchor->lock);
}

static owm_status look(struct anchor *anchor, struct owm_error *error)
{
    struct wallet_view view = {.balance_sat = -1};
    owm_status status = wallet_look(anchor->wallet, &view, error);
    pthread_mutex_lock(&anchor->lock);
    if (status == OWM_OK) {
        anchor->moved = memcmp(view.tip, anchor->seen.tip, 32) != 0;
        anchor->seen = view;
    } else {
        anchor->seen.balance_sat = -1;
    }
    pthread_mutex_unlock(&anchor->lock);
    return status;
}

/* A batch that is done, in a block that the chain has left. */
static owm_status watch(struct anchor *anchor, uint32_t number, struct owm_error *error)
{
    const struct anchor_end *end = anchor->anchors.batches[number].end;
    uint8_t ours[32], theirs[32];
    uint32_t height = end->height;
    owm_sha256d(end->header, sizeof end->header, ours);
    owm_status status = wallet_hash(anchor->wallet, height, theirs, error);
    if (status == OWM_OK && memcmp(ours, theirs, 32) == 0) return OWM_OK;
    if (status != OWM_OK && status != OWM_E_NOTFOUND) return status;
    size_t bytes = anchors_lost_record(number, anchor->scratch->record);
    status = anchors_append(anchor, anchor->scratch->record, bytes, error);
    if (status == OWM_OK)
        owm_log(OWM_LOG_WARN, "anchor lost: its block left the chain batch=%u height=%u", number,
                height);
    return status;
}

/* Promises that wait, up to a tree's size, into a transaction. */
static owm_status begin(struct anchor *anchor, struct owm_error *error)
{
    const uint32_t first = anchors_covered(&anchor->anchors);
    const uint32_t waiting = journal_count(anchor->options.journal) - first;
    const uint32_t count = waiting < OWM_OTS_LEAVES_MAX ? waiting : OWM_OTS_LEAVES_MAX;
    uint8_t tops[ANCHOR_CHUNK][32], root[32];
    anchor_tops(anchor->options.journal, first, count, tops, root);
    const struct anchor_wish wish = {
        .batch = anchor->anchors.batch_count, .first = first, .count = count, .root = root};
    owm_status status = anchor_make(anchor, &wish, error);
    return status == OWM_OK ? anchor_follow(anchor, wish.batch, error) : status;
}

int64_t anchor_due_ms(const struct anchor *anchor)
{
    const struct anchors *anchors = &anchor->anchors;
    const int64_t now_ms = owm_clock_wall_ms();
    if (anchors->batch_count == 0) return now_ms;
    int64_t last_ms = anchors->batches[anchors->batch_count - 1].transactions[0].time_ms;
    /* A clock that was set back must not stop us. */
    return last_ms > now_ms ? now_ms : last_ms + (int64_t)anchor->options.interval_s * 1000;
}

static bool begin_due(const struct anchor *anchor)
{
    return anchor->anchors.open_count == 0
           && journal_count(anchor->options.journal) > anchors_covered(&anchor->anchors)
           && owm_clock_wall_ms() >= anchor_due_ms(anchor);
}

owm_status anchor_step(struct anchor *anchor, struct owm_error *error)
{
    owm_status status = connect_wallet(anchor, error);
    if (status == OWM_OK) {
        status = look(anchor, error);
        if (status == OWM_E_NET || status == OWM_E_TIMEOUT) disconnect(anchor);
    }
    for (uint32_t i = 0; i < anchor->anchors.batch_count && status == OWM_OK; i++) {
        const struct anchor_end *end = anchor->anchors.batches[i].end;
        if (end && anchor->moved && end->height + ANCHOR_WATCH_BLOCKS > anchor->seen.height)
            status = watch(anchor, i, error);
    }
    for (uint32_t i = 0; i < anchor->anchors.batch_count && status == OWM_OK; i++)
        if (!anchor->anchors.batches[i].end) status = anchor_follow(anchor, i, error);
    if (status == OWM_OK && begin_due(anchor)) status = begin(anchor, error);
    return status;
}

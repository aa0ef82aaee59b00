/* anchor.c: the thread, and the questions that others ask. */
#include "anchor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anchor_internal.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "dataplane/chain/hash.h"
#include "dataplane/ots/verify.h"

/* --- the thread ------------------------------------------------------------------------------- */

static void set_trouble(struct anchor *anchor, owm_status status, const struct owm_error *error)
{
    struct owm_error now = {.text = ""};
    if (status != OWM_OK)
        now = error->text[0] ? *error : (struct owm_error){.text = "something failed"};
    pthread_mutex_lock(&anchor->lock);
    bool changed = strcmp(anchor->trouble.text, now.text) != 0 && !anchor->stop;
    anchor->trouble = now;
    pthread_mutex_unlock(&anchor->lock);
    if (!changed) return;
    if (status == OWM_OK)
        owm_log(OWM_LOG_INFO, "anchor trouble is over");
    else
        owm_log(OWM_LOG_WARN, "anchor trouble: %s", now.text);
}

/* Until poll_ms have passed. false: the thread is to end. */
static bool pause_for(struct anchor *anchor)
{
    const uint64_t until_ms = owm_clock_mono_ms() + anchor->options.poll_ms;
    pthread_mutex_lock(&anchor->lock);
    while (!anchor->stop && owm_cond_wait(&anchor->wake, &anchor->lock, until_ms)) continue;
    bool goes_on = !anchor->stop;
    pthread_mutex_unlock(&anchor->lock);
    return goes_on;
}

static void *run(void *ctx)
{
    struct anchor *anchor = ctx;
    do {
        struct owm_error error = {.text = ""};
        owm_status status = anchor_step(anchor, &error);
        set_trouble(anchor, status, &error);
    } while (pause_for(anchor));
    return NULL;
}

static owm_status start(struct anchor *anchor, struct owm_error *error)
{
    if (!anchor->options.bitcoin_rpc) {
        (void)owm_fail(&anchor->trouble, OWM_OK,
                       "no Bitcoin node is named, so promises wait; start with --bitcoin-rpc URL");
        return OWM_OK;
    }
    anchor->scratch = malloc(sizeof *anchor->scratch);
    if (!anchor->scratch) return owm_fail(error, OWM_E_NOMEM, "no memory for the calendar");
    anchor->has_thread = pthread_create(&anchor->thread, NULL, run, anchor) == 0;
    return anchor->has_thread ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "no thread for the calendar");
}

static owm_status check(const struct anchor_options *options, struct owm_error *error)
{
    if (options->poll_ms == 0 || options->replace_s == 0 || options->fee_sat_max == 0
        || options->fee_rate_max == 0)
        return owm_fail(error, OWM_E_CONFIG,
                        "times and fees of the calendar must be above 0: poll, replacement, fee of "
                        "a transaction, fee rate");
    return OWM_OK;
}

owm_status anchor_open(const struct anchor_options *options, struct anchor **out,
                       struct owm_error *error)
{
    *out = NULL;
    owm_status status = check(options, error);
    if (status != OWM_OK) return status;
    struct anchor *anchor = calloc(1, sizeof *anchor);
    if (!anchor) return owm_fail(error, OWM_E_NOMEM, "no memory for the calendar");
    owm_cond_init(&anchor->wake);
    pthread_mutex_init(&anchor->lock, NULL);
    pthread_mutex_init(&anchor->tops_lock, NULL);
    anchor->options = *options;
    anchor->seen.balance_sat = -1;
    anchor->fd = -1;
    status = anchors_open(anchor, error);
    if (status == OWM_OK) status = start(anchor, error);
    if (status == OWM_OK)
        *out = anchor;
    else
        anchor_close(anchor);
    return status;
}

void anchor_close(struct anchor *anchor)
{
    if (!anchor) return;
    pthread_mutex_lock(&anchor->lock);
    anchor->stop = true;
    if (anchor->wallet) wallet_cancel(anchor->wallet);
    pthread_cond_signal(&anchor->wake);
    pthread_mutex_unlock(&anchor->lock);
    if (anchor->has_thread) pthread_join(anchor->thread, NULL);
    wallet_close(anchor->wallet);
    if (anchor->fd >= 0) close(anchor->fd);
    anchors_deinit(&anchor->anchors);
    for (uint32_t i = 0; i < anchor->tops_room; i++) free(anchor->tops[i]);
    free(anchor->tops);
    pthread_cond_destroy(&anchor->wake);
    pthread_mutex_destroy(&anchor->lock);
    pthread_mutex_destroy(&anchor->tops_lock);
    free(anchor->scratch);
    free(anchor);
}

/* --- questions -------------------------------------------------------------------------------- */

void anchor_look(struct anchor *anchor, uint32_t index, struct anchor_view *view)
{
    *view = (struct anchor_view){.state = ANCHOR_WAITING};
    pthread_mutex_lock(&anchor->lock);
    uint32_t number = anchors_find(&anchor->anchors, index);
    if (number < anchor->anchors.batch_count) {
        const struct anchor_batch *batch = &anchor->anchors.batches[number];
        const struct anchor_end *end = batch->end;
        uint32_t which = end ? end->transaction : batch->transaction_count - 1;
        owm_hash_text(batch->transactions[which].read.txid, view->txid);
        view->state = end ? ANCHOR_DONE : ANCHOR_SENT;
        view->confirmations = batch->confirmations;
        if (end) view->height = end->height;
    }
    pthread_mutex_unlock(&anchor->lock);
}

/* What a proof needs of a batch, so that the lock is not held while it is made. */
struct copy {
    uint32_t number, first, count;
    uint8_t root[32];
    struct anchor_end end;
    struct anchor_transaction transaction;
};

static owm_status copy_batch(struct anchor *anchor, uint32_t index, struct copy *copy)
{
    owm_status status = OWM_E_NOTFOUND;
    pthread_mutex_lock(&anchor->lock);
    copy->number = anchors_find(&anchor->anchors, index);
    if (copy->number < anchor->anchors.batch_count && anchor->anchors.batches[copy->number].end) {
        const struct anchor_batch *batch = &anchor->anchors.batches[copy->number];
        copy->first = batch->first;
        copy->count = batch->count;
        memcpy(copy->root, batch->root, 32);
        copy->end = *batch->end;
        copy->transaction = batch->transactions[copy->end.transaction];
        size_t bytes = copy->transaction.bytes + copy->transaction.read.stripped_bytes;
        copy->transaction.data = malloc(bytes);
        status = copy->transaction.data ? OWM_OK : OWM_E_NOMEM;
        if (status == OWM_OK)
            memcpy(copy->transaction.data, batch->transactions[copy->end.transaction].data, bytes);
    }
    pthread_mutex_unlock(&anchor->lock);
    return status;
}

/* Under tops_lock. Those of a batch that is done never change, and are kept: whoever asks for one
 * old promise after another must not cost a tree each. */
static owm_status find_tops(struct anchor *anchor, const struct copy *copy,
                            const uint8_t (**tops)[32])
{
    uint8_t root[32];
    if (copy->number >= anchor->tops_room) {
        uint32_t room = 2 * copy->number + 16;
        void *grown = reallocarray(anchor->tops, room, sizeof *anchor->tops);
        if (!grown) return OWM_E_NOMEM;
        anchor->tops = grown;
        memset(anchor->tops + anchor->tops_room, 0,
               (room - anchor->tops_room) * sizeof *anchor->tops);
        anchor->tops_room = room;
    }
    if (!anchor->tops[copy->number]) {
        uint8_t(*made)[32] = calloc(anchor_chunks(copy->count), 32);
        if (!made) return OWM_E_NOMEM;
        anchor_tops(anchor->options.journal, copy->first, copy->count, made, root);
        if (memcmp(root, copy->root, 32) != 0) {
            free(made);
            return OWM_E_PROTO;
        }
        anchor->tops[copy->number] = made;
    }
    *tops = (const uint8_t(*)[32])anchor->tops[copy->number];
    return OWM_OK;
}

static owm_status build(struct anchor *anchor, uint32_t index, const struct copy *copy,
                        struct owm_ots_tree *tree, struct owm_error *error)
{
    struct anchor_place place = {.journal = anchor->options.journal,
                                 .first = copy->first,
                                 .count = copy->count,
                                 .index = index,
                                 .transaction = &copy->transaction,
                                 .end = &copy->end};
    pthread_mutex_lock(&anchor->tops_lock);
    owm_status status = find_tops(anchor, copy, &place.tops);
    pthread_mutex_unlock(&anchor->tops_lock);
    if (status != OWM_OK)
        return owm_fail(error, status, "%s",
                        status == OWM_E_PROTO ? "the calendar's promises are not those that it put "
                                                "into the block: its files do not belong together"
                                              : "no memory for a proof");
    return anchor_path(&place, tree, error);
}

owm_status anchor_proof(struct anchor *anchor, uint32_t index, struct owm_ots_tree *tree,
                        struct owm_error *error)
{
    struct copy copy;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    owm_status status = copy_batch(anchor, index, &copy);
    if (status != OWM_OK) return owm_fail(error, status, "the promise is in no block yet");
    journal_get(anchor->options.journal, index, commitment);
    status = owm_ots_tree_init(tree, (struct owm_ots_bytes){commitment, sizeof commitment}, error);
    if (status == OWM_OK) {
        status = build(anchor, index, &copy, tree, error);
        if (status != OWM_OK) owm_ots_tree_deinit(tree);
    }
    free(copy.transaction.data);
    return status;
}

static void count_batches(const struct anchors *anchors, struct anchor_figures *figures)
{
    for (uint32_t i = 0; i < anchors->batch_count; i++) {
        const struct anchor_batch *batch = &anchors->batches[i];
        const struct anchor_end *end = batch->end;
        uint32_t which = end ? end->transaction : batch->transaction_count - 1;
        figures->transactions++;
        figures->replacements += batch->transaction_count - 1;
        figures->fees_sat += batch->transactions[which].fee_sat;
        *(end ? &figures->done : &figures->sent) += batch->count;
        owm_hash_text(batch->transactions[which].read.txid, figures->last_txid);
        figures->has_tip = !end;
        if (!end) memcpy(figures->tip, batch->root, 32);
        if (!end) continue;
        figures->last_height = end->height;
        figures->last_done_ms = end->time_ms;
    }
}

void anchor_look_at_all(struct anchor *anchor, struct anchor_figures *figures)
{
    *figures = (struct anchor_figures){.balance_sat = -1};
    pthread_mutex_lock(&anchor->lock);
    figures->commitments = journal_count(anchor->options.journal);
    count_batches(&anchor->anchors, figures);
    figures->waiting = figures->commitments - figures->sent - figures->done;
    figures->balance_sat = anchor->seen.balance_sat;
    if (figures->waiting > 0) figures->next_ms = anchor_due_ms(anchor);
    memcpy(figures->trouble, anchor->trouble.text, sizeof figures->trouble);
    pthread_mutex_unlock(&anchor->lock);
}

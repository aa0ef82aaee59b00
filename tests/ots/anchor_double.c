/* anchor_double.c: see anchor_double.h. */
#include "anchor_double.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct anchor {
    pthread_mutex_t lock;
    struct journal *journal;
    struct anchor_view view;
    bool hidden;
    char trouble[OWM_ERROR_BYTES_MAX];
};

owm_status anchor_open(const struct anchor_options *options, struct anchor **anchor,
                       struct owm_error *error)
{
    *anchor = calloc(1, sizeof **anchor);
    if (!*anchor) return owm_fail(error, OWM_E_NOMEM, "no memory");
    pthread_mutex_init(&(*anchor)->lock, NULL);
    (*anchor)->journal = options->journal;
    return OWM_OK;
}

void anchor_close(struct anchor *anchor)
{
    if (!anchor) return;
    pthread_mutex_destroy(&anchor->lock);
    free(anchor);
}

void anchor_double_set(struct anchor *anchor, enum anchor_state state, uint64_t confirmations,
                       const char *trouble)
{
    pthread_mutex_lock(&anchor->lock);
    anchor->view = (struct anchor_view){.state = state, .confirmations = confirmations};
    if (state != ANCHOR_WAITING)
        snprintf(anchor->view.txid, sizeof anchor->view.txid, ANCHOR_DOUBLE_TXID);
    if (state == ANCHOR_DONE) anchor->view.height = ANCHOR_DOUBLE_HEIGHT;
    snprintf(anchor->trouble, sizeof anchor->trouble, "%s", trouble);
    pthread_mutex_unlock(&anchor->lock);
}

void anchor_double_hide(struct anchor *anchor, bool hidden)
{
    pthread_mutex_lock(&anchor->lock);
    anchor->hidden = hidden;
    pthread_mutex_unlock(&anchor->lock);
}

void anchor_look(struct anchor *anchor, uint32_t index, struct anchor_view *view)
{
    (void)index;
    pthread_mutex_lock(&anchor->lock);
    *view = anchor->view;
    pthread_mutex_unlock(&anchor->lock);
}

owm_status anchor_proof(struct anchor *anchor, uint32_t index, struct owm_ots_tree *tree,
                        struct owm_error *error)
{
    struct anchor_view view;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    uint32_t node = OWM_OTS_ROOT;
    const struct owm_ots_op sha256 = {.tag = OWM_OTS_SHA256};
    const struct owm_ots_attestation block = owm_ots_bitcoin(ANCHOR_DOUBLE_HEIGHT);
    anchor_look(anchor, index, &view);
    pthread_mutex_lock(&anchor->lock);
    bool hidden = anchor->hidden;
    pthread_mutex_unlock(&anchor->lock);
    if (view.state != ANCHOR_DONE || hidden) return owm_fail(error, OWM_E_NOTFOUND, "not done");
    journal_get(anchor->journal, index, commitment);
    const struct owm_ots_bytes message = {commitment, sizeof commitment};
    owm_status status = owm_ots_tree_init(tree, message, error);
    if (status != OWM_OK) return status;
    status = owm_ots_add_op(tree, node, sha256, &node, error);
    if (status == OWM_OK) status = owm_ots_add_attestation(tree, node, &block, NULL, error);
    if (status != OWM_OK) owm_ots_tree_deinit(tree);
    return status;
}

void anchor_look_at_all(struct anchor *anchor, struct anchor_figures *figures)
{
    uint32_t count = journal_count(anchor->journal);
    pthread_mutex_lock(&anchor->lock);
    *figures = (struct anchor_figures){.commitments = count, .balance_sat = 123456};
    if (anchor->view.state == ANCHOR_WAITING) figures->waiting = count;
    if (anchor->view.state == ANCHOR_DONE) figures->done = count;
    if (anchor->view.state == ANCHOR_SENT) {
        figures->sent = count;
        figures->has_tip = true;
        memset(figures->tip, 7, sizeof figures->tip);
    }
    if (anchor->view.state != ANCHOR_WAITING) {
        figures->transactions = 3;
        figures->replacements = 1;
        figures->fees_sat = 4321;
        snprintf(figures->last_txid, sizeof figures->last_txid, ANCHOR_DOUBLE_TXID);
    }
    snprintf(figures->trouble, sizeof figures->trouble, "%s", anchor->trouble);
    pthread_mutex_unlock(&anchor->lock);
}

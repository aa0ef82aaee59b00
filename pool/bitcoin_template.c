/* bitcoin_template.c: the node in use, its templates, and when to ask for one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "bitcoin_internal.h"

#define LONGPOLL_PAUSE_MS 1000 /* At least this long between two that bring no new tip, */
#define LONGPOLL_RETRY_MS 500  /* and after one that failed. */

/* The time of day alone is no news for a while: a miner rolls it by itself. */
static bool same_work(const struct owm_template *a, const struct owm_template *b)
{
    return a->height == b->height && a->version == b->version && a->bits == b->bits
           && a->coinbase_value_sats == b->coinbase_value_sats && a->transactions == b->transactions
           && a->branches == b->branches && a->commitment_bytes == b->commitment_bytes
           && memcmp(a->previous, b->previous, sizeof a->previous) == 0
           && memcmp(a->commitment, b->commitment, a->commitment_bytes) == 0
           && memcmp(a->branch, b->branch, a->branches * sizeof a->branch[0]) == 0;
}

/* A reply that crossed a newer tip on its way, or comes from a node that is not in use any more. */
static bool outdated(const struct owm_bitcoin *bitcoin, const struct bitcoin_node *node,
                     const struct owm_template *block, uint64_t tips)
{
    if (bitcoin->active != node) return true;
    return bitcoin->current && tips != bitcoin->tips
           && memcmp(bitcoin->current->previous, block->previous, sizeof block->previous) != 0;
}

static void replace(struct owm_bitcoin *bitcoin, struct bitcoin_node *node,
                    struct owm_template *block, bool new_tip)
{
    owm_template_release(bitcoin->current);
    bitcoin->current = owm_template_retain(block);
    bitcoin->source = node;
    bitcoin->fetched_ms = owm_clock_mono_ms();
    snprintf(bitcoin->longpoll_id, sizeof bitcoin->longpoll_id, "%s", block->longpoll_id);
    if (new_tip) {
        bitcoin->tips++;
        bitcoin->follow_due = true;
    }
    if (bitcoin->height) owm_gauge_set(bitcoin->height, block->height - 1);
    if (bitcoin->age) owm_gauge_set(bitcoin->age, 0);
    pthread_cond_broadcast(&bitcoin->changed);
}

bool bitcoin_publish(struct bitcoin_node *node, struct owm_template *block, uint64_t tips)
{
    struct owm_bitcoin *bitcoin = node->owner;
    bool new_tip = false, news = false;
    pthread_mutex_lock(&bitcoin->publishing);
    pthread_mutex_lock(&bitcoin->lock);
    if (outdated(bitcoin, node, block, tips)) {
        bitcoin->wanted = true;
        pthread_cond_broadcast(&bitcoin->changed);
    } else {
        const struct owm_template *before = bitcoin->current;
        new_tip = !before || memcmp(before->previous, block->previous, sizeof block->previous) != 0;
        uint64_t now_ms = owm_clock_mono_ms();
        news = !before || !same_work(before, block)
               || now_ms - bitcoin->published_ms >= OWM_BITCOIN_SAME_S * 1000;
        if (news) bitcoin->published_ms = now_ms;
        replace(bitcoin, node, block, new_tip);
    }
    news = news && !bitcoin->closing;
    pthread_mutex_unlock(&bitcoin->lock);
    if (new_tip) owm_log(OWM_LOG_INFO, "bitcoin_new_tip height=%" PRIu32, block->height - 1);
    if (news)
        bitcoin->events.on_template(bitcoin->events.ctx, block, new_tip);
    else
        owm_template_release(block);
    pthread_mutex_unlock(&bitcoin->publishing);
    return new_tip;
}

/* --- the template thread: under lock, save while it asks ------------------------------------- */

static void pick_node(struct owm_bitcoin *bitcoin)
{
    struct bitcoin_node *pick = NULL;
    for (size_t i = 0; i < bitcoin->node_count && !pick; i++)
        if (bitcoin->nodes[i].usable) pick = &bitcoin->nodes[i];
    if (pick == bitcoin->active) return;
    if (bitcoin->longpoll) owm_bitcoin_rpc_cancel(bitcoin->longpoll);
    bitcoin->active = pick;
    bitcoin->wanted = true;
    if (pick)
        owm_log(OWM_LOG_INFO, "bitcoin_node_in_use node=%s", pick->name);
    else
        owm_log(OWM_LOG_ERROR, "bitcoin_no_node: none is usable; the last template is kept");
}

static void ask(struct owm_bitcoin *bitcoin)
{
    struct bitcoin_node *node = bitcoin->active;
    struct owm_template *block = NULL;
    struct owm_error error = {""};
    uint64_t tips = bitcoin->tips;
    bitcoin->wanted = false;
    pthread_mutex_unlock(&bitcoin->lock);
    owm_status status = bitcoin_fetch(node, node->clients[BITCOIN_ASK], NULL, &block, &error);
    if (status == OWM_OK)
        bitcoin_publish(node, block, tips);
    else if (status != OWM_E_CANCELLED)
        bitcoin_node_bad(node, error.text);
    pthread_mutex_lock(&bitcoin->lock);
}

void *bitcoin_template_run(void *argument)
{
    struct owm_bitcoin *bitcoin = argument;
    uint64_t asked_ms = owm_clock_mono_ms();
    pthread_mutex_lock(&bitcoin->lock);
    while (!bitcoin->closing) {
        uint64_t now_ms = owm_clock_mono_ms();
        if (bitcoin->age) owm_gauge_set(bitcoin->age, (double)(now_ms - bitcoin->fetched_ms) / 1e3);
        pick_node(bitcoin);
        if (bitcoin->active && (bitcoin->wanted || now_ms - asked_ms >= bitcoin->refresh_ms)) {
            asked_ms = now_ms;
            ask(bitcoin);
        } else {
            bitcoin_wait(bitcoin, now_ms + BITCOIN_TICK_MS);
        }
    }
    pthread_mutex_unlock(&bitcoin->lock);
    return NULL;
}

/* --- the longpoll thread ---------------------------------------------------------------------- */

static void drop_client(struct owm_bitcoin *bitcoin)
{
    struct owm_bitcoin_rpc *rpc = bitcoin->longpoll;
    bitcoin->longpoll = NULL;
    owm_bitcoin_rpc_close(rpc);
}

/* One longpoll, from under lock to under lock. Returns how long to pause. */
static uint32_t longpoll(struct owm_bitcoin *bitcoin, struct bitcoin_node *node)
{
    char id[OWM_LONGPOLL_ID_BYTES];
    struct owm_template *block = NULL;
    struct owm_error error = {""};
    uint64_t tips = bitcoin->tips, started_ms = owm_clock_mono_ms();
    memcpy(id, bitcoin->longpoll_id, sizeof id);
    pthread_mutex_unlock(&bitcoin->lock);
    owm_status status = bitcoin_fetch(node, bitcoin->longpoll, id, &block, &error);
    bool new_tip = status == OWM_OK && bitcoin_publish(node, block, tips);
    if (status == OWM_OK && bitcoin->longpolls) owm_counter_add(bitcoin->longpolls, 1);
    bool quick = owm_clock_mono_ms() - started_ms < LONGPOLL_PAUSE_MS;
    pthread_mutex_lock(&bitcoin->lock);
    if (status == OWM_OK) return new_tip || !quick ? 0 : LONGPOLL_PAUSE_MS;
    drop_client(bitcoin);
    if (status == OWM_E_CANCELLED) return 0;
    if (node->failures) owm_counter_add(node->failures, 1);
    owm_log(OWM_LOG_DEBUG, "bitcoin_longpoll_failed node=%s why=\"%s\"", node->name, error.text);
    bitcoin->wanted = true; /* The template thread finds out whether the node is alive. */
    pthread_cond_broadcast(&bitcoin->changed);
    return LONGPOLL_RETRY_MS;
}

/* Waits under lock, whatever else happens, unless the node in use changes. */
static void pause_longpoll(struct owm_bitcoin *bitcoin, uint32_t pause_ms)
{
    const struct bitcoin_node *node = bitcoin->active;
    uint64_t until_ms = owm_clock_mono_ms() + pause_ms;
    while (!bitcoin->closing && bitcoin->active == node && owm_clock_mono_ms() < until_ms)
        bitcoin_wait(bitcoin, until_ms);
}

void *bitcoin_longpoll_run(void *argument)
{
    struct owm_bitcoin *bitcoin = argument;
    struct bitcoin_node *node = NULL; /* Of the client. */
    pthread_mutex_lock(&bitcoin->lock);
    while (!bitcoin->closing) {
        if (bitcoin->longpoll && node != bitcoin->active) drop_client(bitcoin);
        node = bitcoin->active;
        bool ready = node && node == bitcoin->source && bitcoin->longpoll_id[0];
        if (ready && !bitcoin->longpoll)
            ready = owm_bitcoin_rpc_open(&node->config, &bitcoin->longpoll) == OWM_OK;
        if (ready)
            pause_longpoll(bitcoin, longpoll(bitcoin, node));
        else
            bitcoin_wait(bitcoin, owm_clock_mono_ms() + BITCOIN_TICK_MS);
    }
    drop_client(bitcoin);
    pthread_mutex_unlock(&bitcoin->lock);
    return NULL;
}

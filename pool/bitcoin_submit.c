/* bitcoin_submit.c: a node's own thread: blocks to it before anything else, and checks of the node
 * while it gives no templates. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "bitcoin_internal.h"
#include "dataplane/chain/hash.h"

#define LABEL_BYTES 40

/* A label that a node cannot make many of: BIP 22's reasons are short words. */
static void label_of(const char *reason, char label[static LABEL_BYTES])
{
    size_t length = strlen(reason);
    bool word = length > 0 && length < LABEL_BYTES;
    for (size_t i = 0; word && i < length; i++)
        word = islower((unsigned char)reason[i]) || reason[i] == '-' || reason[i] == '_';
    snprintf(label, LABEL_BYTES, "%.39s", word ? reason : "other");
}

static void tell(struct bitcoin_node *node, const uint8_t hash[32],
                 const struct owm_bitcoin_verdict *verdict)
{
    struct owm_bitcoin *bitcoin = node->owner;
    bool accepted = verdict->opinion == OWM_BITCOIN_ACCEPTED;
    char hex[OWM_HASH_TEXT_BYTES], label[LABEL_BYTES];
    owm_hash_text(hash, hex);
    label_of(verdict->reason, label);
    owm_log(accepted ? OWM_LOG_INFO : OWM_LOG_ERROR,
            "block_submitted hash=%s node=%s result=\"%s\"", hex, node->name, verdict->reason);
    if (bitcoin->metrics)
        owm_counter_add(owm_metrics_counter(bitcoin->metrics, "owm_bitcoin_submits_total",
                                            "Blocks sent to a node, by its answer",
                                            (const char *const[]){"result", label, NULL}),
                        1);
    pthread_mutex_lock(&bitcoin->telling);
    bitcoin->events.on_submitted(bitcoin->events.ctx, hash, node->name, accepted, verdict->reason);
    pthread_mutex_unlock(&bitcoin->telling);
}

/* A node that cannot read a block will not learn it, nor a call that it does not know. What else
 * goes wrong there, such as a full disk, says nothing of the block and may pass. */
static bool is_final(const struct owm_bitcoin_reply *reply)
{
    return reply->failed
           && (reply->code == OWM_BITCOIN_UNREADABLE || reply->code == OWM_BITCOIN_UNKNOWN_METHOD);
}

/* The node's word on a block; false: it has none yet. */
static bool send_block(struct bitcoin_node *node, const struct bitcoin_block *block,
                       struct owm_bitcoin_verdict *verdict)
{
    struct owm_bitcoin_answer answer;
    struct owm_error error = {""};
    const struct owm_bitcoin_call call = {
        .method = "submitblock", .params = block->params, .deadline_ms = node->owner->timeout_ms};
    owm_status status = owm_bitcoin_rpc_call(node->clients[BITCOIN_WORK], &call, &answer, &error);
    if (status == OWM_OK) {
        status = owm_bitcoin_verdict_read(answer.reply.result, answer.reply.result_bytes, verdict,
                                          &error);
        owm_bitcoin_answer_deinit(&answer);
        if (status == OWM_OK) return true;
    } else if (is_final(&answer.reply)) {
        verdict->opinion = OWM_BITCOIN_REJECTED;
        snprintf(verdict->reason, sizeof verdict->reason, "%s", answer.reply.message);
        return true;
    }
    if (status == OWM_E_CANCELLED) return false;
    if (status == OWM_E_NET)
        bitcoin_node_bad(node, error.text);
    else if (node->failures)
        owm_counter_add(node->failures, 1);
    owm_log(OWM_LOG_WARN, "block_not_sent node=%s why=\"%s\"", node->name, error.text);
    return false;
}

void bitcoin_block_drop(struct bitcoin_block *block)
{
    if (--block->references > 0) return;
    free(block->params);
    free(block);
}

static bool too_deep(const struct owm_bitcoin *bitcoin, const struct bitcoin_block *block)
{
    return bitcoin->current && bitcoin->current->height > block->height + BITCOIN_DEPTH_MAX;
}

/* Under lock, which is left for the call and the callback. */
static void submit_first(struct bitcoin_node *node)
{
    struct owm_bitcoin *bitcoin = node->owner;
    struct bitcoin_block *block = node->queue[node->first];
    struct owm_bitcoin_verdict verdict = {OWM_BITCOIN_REJECTED, "not-delivered"};
    bool over = too_deep(bitcoin, block);
    pthread_mutex_unlock(&bitcoin->lock);
    if (!over) over = send_block(node, block, &verdict);
    if (over) tell(node, block->hash, &verdict);
    pthread_mutex_lock(&bitcoin->lock);
    if (!over) {
        uint32_t pause_ms = BITCOIN_RETRY_MS << (node->attempts < 8 ? node->attempts : 8);
        node->attempts++;
        node->retry_ms = owm_clock_mono_ms()
                         + (pause_ms < BITCOIN_RETRY_MS_MAX ? pause_ms : BITCOIN_RETRY_MS_MAX);
        return;
    }
    node->first = (node->first + 1) % OWM_BITCOIN_SUBMITS_MAX;
    node->count--;
    node->attempts = 0;
    node->retry_ms = 0;
    bitcoin_block_drop(block);
    if (verdict.opinion == OWM_BITCOIN_ACCEPTED) { /* Its successor is wanted, longpoll or not. */
        bitcoin->wanted = true;
        bitcoin->follow_due = true;
    }
    pthread_cond_broadcast(&bitcoin->changed);
}

static void check_node(struct bitcoin_node *node)
{
    struct owm_template *block = NULL;
    struct owm_error error = {""};
    pthread_mutex_unlock(&node->owner->lock);
    if (bitcoin_try(node, BITCOIN_WORK, &block, &error) == OWM_OK) owm_template_release(block);
    pthread_mutex_lock(&node->owner->lock);
}

void *bitcoin_node_run(void *argument)
{
    struct bitcoin_node *node = argument;
    struct owm_bitcoin *bitcoin = node->owner;
    pthread_mutex_lock(&bitcoin->lock);
    while (!bitcoin->closing) {
        uint64_t now_ms = owm_clock_mono_ms();
        bool in_use = node == bitcoin->active && node->usable;
        if (node->count > 0 && now_ms >= node->retry_ms) {
            submit_first(node);
        } else if (!in_use && now_ms >= node->check_ms) {
            check_node(node);
        } else {
            uint64_t until_ms = in_use ? now_ms + BITCOIN_STANDBY_MS : node->check_ms;
            if (node->count > 0 && node->retry_ms < until_ms) until_ms = node->retry_ms;
            bitcoin_wait(bitcoin, until_ms);
        }
    }
    pthread_mutex_unlock(&bitcoin->lock);
    return NULL;
}

/* --- the door --------------------------------------------------------------------------------- */

/* Takes: hex. NULL: no memory. */
static struct bitcoin_block *make_block(const uint8_t hash[32], char *hex)
{
    struct bitcoin_block *block = calloc(1, sizeof *block);
    if (block && asprintf(&block->params, "[\"%s\"]", hex) < 0) {
        free(block);
        block = NULL;
    }
    if (block) memcpy(block->hash, hash, sizeof block->hash);
    free(hex);
    return block;
}

static bool enqueue(struct bitcoin_node *node, struct bitcoin_block *block)
{
    if (node->count == OWM_BITCOIN_SUBMITS_MAX) {
        owm_log(OWM_LOG_ERROR, "block_not_queued node=%s: %d blocks wait for it", node->name,
                OWM_BITCOIN_SUBMITS_MAX);
        return false;
    }
    node->queue[(node->first + node->count++) % OWM_BITCOIN_SUBMITS_MAX] = block;
    block->references++;
    return true;
}

owm_status owm_bitcoin_submit(struct owm_bitcoin *bitcoin, const uint8_t hash[32], char *hex)
{
    struct bitcoin_block *block = make_block(hash, hex);
    if (!block) return OWM_E_LIMIT;
    size_t queued = 0;
    pthread_mutex_lock(&bitcoin->lock);
    block->references = 1;
    block->height = bitcoin->current->height;
    for (size_t i = 0; i < bitcoin->node_count; i++)
        if (enqueue(&bitcoin->nodes[i], block)) queued++;
    bitcoin_block_drop(block);
    pthread_cond_broadcast(&bitcoin->changed);
    pthread_mutex_unlock(&bitcoin->lock);
    return queued > 0 ? OWM_OK : OWM_E_LIMIT;
}

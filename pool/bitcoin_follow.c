/* bitcoin_follow.c: what became of blocks, asked with each new tip. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "bitcoin_internal.h"
#include "dataplane/chain/hash.h"

/* btcd keeps a header beside the chain, but says of it what is an error elsewhere. */
static bool beside_the_chain(const struct owm_bitcoin_reply *reply)
{
    return reply->failed && reply->code == OWM_BITCOIN_INTERNAL
           && strstr(reply->message, "is not in the main chain");
}

/* fate and confirmations of block. Returns: OWM_OK; else the node had no answer. */
static owm_status ask_fate(struct bitcoin_node *node, struct bitcoin_followed *block)
{
    char params[80], hex[OWM_HASH_TEXT_BYTES];
    struct owm_bitcoin_answer answer;
    struct owm_error error = {""};
    int64_t confirmations = 0;
    owm_hash_text(block->hash, hex);
    snprintf(params, sizeof params, "[\"%s\"]", hex);
    const struct owm_bitcoin_call call = {
        .method = "getblockheader", .params = params, .deadline_ms = node->owner->timeout_ms};
    owm_status status = owm_bitcoin_rpc_call(node->clients[BITCOIN_FOLLOW], &call, &answer, &error);
    block->confirmations = 0;
    block->fate = OWM_BLOCK_UNKNOWN;
    if (status == OWM_E_NOTFOUND) return OWM_OK;
    if (beside_the_chain(&answer.reply)) {
        block->fate = OWM_BLOCK_ORPHANED;
        return OWM_OK;
    }
    if (status == OWM_OK) {
        status = owm_bitcoin_confirmations_read(answer.reply.result, answer.reply.result_bytes,
                                                &confirmations, &error);
        owm_bitcoin_answer_deinit(&answer);
    }
    if (status != OWM_OK) return status;
    block->fate = confirmations > 0 ? OWM_BLOCK_ACTIVE : OWM_BLOCK_ORPHANED;
    block->confirmations = confirmations > 0 ? (uint32_t)confirmations : 0;
    return OWM_OK;
}

/* A block beside the chain is given up when it would have its confirmations on it. */
static bool settled(const struct owm_bitcoin *bitcoin, const struct bitcoin_followed *block)
{
    if (block->fate == OWM_BLOCK_ACTIVE) return block->confirmations >= block->wanted;
    return bitcoin->current->height >= block->height + block->wanted;
}

/* Notes what the node said of entry i; removes what is settled. Returns whether it is news. */
static bool note(struct owm_bitcoin *bitcoin, size_t i, const struct bitcoin_followed *now)
{
    struct bitcoin_followed *entry = &bitcoin->followed[i];
    bool news =
        !entry->told || entry->fate != now->fate || entry->confirmations != now->confirmations;
    *entry = *now;
    entry->told = true;
    if (settled(bitcoin, now)) *entry = bitcoin->followed[--bitcoin->followed_count];
    return news;
}

/* Asks for every block, from the last so that removing one moves none that is still to come. Under
 * lock, which is left for calls and callbacks; new entries are added behind. */
static owm_status sweep(struct owm_bitcoin *bitcoin, struct bitcoin_node *node)
{
    owm_status status = OWM_OK;
    for (size_t i = bitcoin->followed_count; i-- > 0 && status == OWM_OK && !bitcoin->closing;) {
        struct bitcoin_followed block = bitcoin->followed[i];
        pthread_mutex_unlock(&bitcoin->lock);
        status = ask_fate(node, &block);
        pthread_mutex_lock(&bitcoin->lock);
        if (status != OWM_OK || !note(bitcoin, i, &block)) continue;
        pthread_mutex_unlock(&bitcoin->lock);
        bitcoin->events.on_block(bitcoin->events.ctx, block.hash, block.fate, block.confirmations);
        pthread_mutex_lock(&bitcoin->lock);
    }
    return status;
}

void *bitcoin_follow_run(void *argument)
{
    struct owm_bitcoin *bitcoin = argument;
    uint64_t retry_ms = 0;
    pthread_mutex_lock(&bitcoin->lock);
    while (!bitcoin->closing) {
        uint64_t now_ms = owm_clock_mono_ms();
        struct bitcoin_node *node = bitcoin->active;
        if (!node || !bitcoin->follow_due || now_ms < retry_ms) {
            bitcoin_wait(bitcoin, now_ms + BITCOIN_TICK_MS);
            continue;
        }
        bitcoin->follow_due = false;
        retry_ms = 0;
        if (sweep(bitcoin, node) == OWM_OK) continue;
        bitcoin->follow_due = true;
        retry_ms = owm_clock_mono_ms() + BITCOIN_RECHECK_MS;
    }
    pthread_mutex_unlock(&bitcoin->lock);
    return NULL;
}

owm_status owm_bitcoin_follow(struct owm_bitcoin *bitcoin, const uint8_t hash[32],
                              uint32_t confirmations)
{
    owm_status status = OWM_E_LIMIT;
    pthread_mutex_lock(&bitcoin->lock);
    if (bitcoin->followed_count < OWM_BITCOIN_FOLLOWED_MAX) {
        struct bitcoin_followed *block = &bitcoin->followed[bitcoin->followed_count++];
        *block =
            (struct bitcoin_followed){.wanted = confirmations, .height = bitcoin->current->height};
        memcpy(block->hash, hash, sizeof block->hash);
        bitcoin->follow_due = true;
        pthread_cond_broadcast(&bitcoin->changed);
        status = OWM_OK;
    }
    pthread_mutex_unlock(&bitcoin->lock);
    return status;
}

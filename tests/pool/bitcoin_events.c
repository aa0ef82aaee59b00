/* bitcoin_events.c: the callbacks, under one lock. */
#include "pool/bitcoin_events.h"

#include "test.h"

static void on_template(void *ctx, struct owm_template *block, bool new_tip)
{
    struct bitcoin_events *events = ctx;
    pthread_mutex_lock(&events->lock);
    owm_template_release(events->last);
    events->last = block;
    events->template_ns = owm_clock_mono_ns();
    events->templates++;
    if (new_tip) events->tips++;
    pthread_mutex_unlock(&events->lock);
}

static void on_submitted(void *ctx, const uint8_t hash[32], const char *node, bool accepted,
                         const char *reason)
{
    struct bitcoin_events *events = ctx;
    pthread_mutex_lock(&events->lock);
    if (events->submits < EVENTS_MAX) {
        struct told_submit *told = &events->submit[events->submits++];
        memcpy(told->hash, hash, 32);
        snprintf(told->node, sizeof told->node, "%s", node);
        snprintf(told->reason, sizeof told->reason, "%s", reason);
        told->accepted = accepted;
    }
    pthread_mutex_unlock(&events->lock);
}

static void on_block(void *ctx, const uint8_t hash[32], enum owm_block_fate fate,
                     uint32_t confirmations)
{
    struct bitcoin_events *events = ctx;
    pthread_mutex_lock(&events->lock);
    if (events->blocks < EVENTS_MAX) {
        struct told_block *told = &events->block[events->blocks++];
        memcpy(told->hash, hash, 32);
        told->fate = fate;
        told->confirmations = confirmations;
    }
    pthread_mutex_unlock(&events->lock);
}

void bitcoin_events_init(struct bitcoin_events *events)
{
    memset(events, 0, sizeof *events);
    pthread_mutex_init(&events->lock, NULL);
}

void bitcoin_events_deinit(struct bitcoin_events *events)
{
    owm_template_release(events->last);
    pthread_mutex_destroy(&events->lock);
}

struct owm_bitcoin_events bitcoin_events_of(struct bitcoin_events *events)
{
    return (struct owm_bitcoin_events){on_template, on_submitted, on_block, events};
}

static unsigned count_of(struct bitcoin_events *events, const unsigned *counter)
{
    pthread_mutex_lock(&events->lock);
    unsigned count = *counter;
    pthread_mutex_unlock(&events->lock);
    return count;
}

void bitcoin_events_have(struct bitcoin_events *events, const unsigned *counter, unsigned wanted,
                         unsigned limit_ms)
{
    WAIT_FOR(count_of(events, counter) >= wanted, limit_ms);
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

uint64_t bitcoin_events_median(uint64_t *took_ns, size_t count)
{
    qsort(took_ns, count, sizeof took_ns[0], by_size);
    return took_ns[count / 2];
}

uint32_t bitcoin_events_height(struct bitcoin_events *events)
{
    pthread_mutex_lock(&events->lock);
    uint32_t height = events->last ? events->last->height : 0;
    pthread_mutex_unlock(&events->lock);
    return height;
}

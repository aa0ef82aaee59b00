/* workers.c: a fixed table of miners and workers; linear probing over an index of hashes. */
#include "workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/** slot: an entry, and its place among those that nobody holds, longest unused first. */
struct slot {
    struct owm_worker_entry entry;
    uint32_t held, before, after;
    bool resting;
};

struct owm_workers {
    struct slot *slot;
    uint32_t *index; /* [mask + 1]: slot + 1; 0: empty. */
    uint32_t max, mask, first_resting, last_resting;
    _Atomic uint32_t count; /* Slots 0 .. count - 1 are in use. */
    pthread_mutex_t lock;   /* For texts of entries against owm_workers_copy. */
};

owm_status owm_workers_open(uint32_t max, struct owm_workers **out)
{
    if (!max || max > OWM_WORKERS_MAX) return OWM_E_ARG;
    struct owm_workers *workers = calloc(1, sizeof *workers);
    if (!workers) return OWM_E_NOMEM;
    uint32_t size = 2;
    while (size < max * 2) size *= 2;
    workers->slot = calloc(max, sizeof *workers->slot);
    workers->index = calloc(size, sizeof *workers->index);
    workers->max = max;
    workers->mask = size - 1;
    workers->first_resting = workers->last_resting = OWM_WORKER_NONE;
    pthread_mutex_init(&workers->lock, NULL);
    if (!workers->slot || !workers->index) {
        owm_workers_close(workers);
        return OWM_E_NOMEM;
    }
    *out = workers;
    return OWM_OK;
}

void owm_workers_close(struct owm_workers *workers)
{
    if (!workers) return;
    pthread_mutex_destroy(&workers->lock);
    free(workers->slot);
    free(workers->index);
    free(workers);
}

/** Ids are cut SHA-256: any part of them is a good hash. */
static uint32_t home_of(const struct owm_workers *workers, const uint8_t *miner_id,
                        const uint8_t *worker_id)
{
    uint32_t a, b;
    memcpy(&a, miner_id, sizeof a);
    memcpy(&b, worker_id, sizeof b);
    return (a ^ b) & workers->mask;
}

static uint32_t home_of_slot(const struct owm_workers *workers, uint32_t i)
{
    const struct owm_worker_entry *entry = &workers->slot[i].entry;
    return home_of(workers, entry->miner.id, entry->worker.id);
}

static void rest(struct owm_workers *workers, uint32_t i)
{
    struct slot *slot = &workers->slot[i];
    slot->resting = true;
    slot->after = OWM_WORKER_NONE;
    slot->before = workers->last_resting;
    if (slot->before == OWM_WORKER_NONE)
        workers->first_resting = i;
    else
        workers->slot[slot->before].after = i;
    workers->last_resting = i;
}

static void unrest(struct owm_workers *workers, uint32_t i)
{
    struct slot *slot = &workers->slot[i];
    if (!slot->resting) return;
    slot->resting = false;
    if (slot->before == OWM_WORKER_NONE)
        workers->first_resting = slot->after;
    else
        workers->slot[slot->before].after = slot->after;
    if (slot->after == OWM_WORKER_NONE)
        workers->last_resting = slot->before;
    else
        workers->slot[slot->after].before = slot->before;
}

/** Take a slot out of the index; those behind it move up so that no probe ends early. */
static void unindex(struct owm_workers *workers, uint32_t i)
{
    uint32_t hole = home_of_slot(workers, i);
    while (workers->index[hole] != i + 1) hole = (hole + 1) & workers->mask;
    for (uint32_t at = (hole + 1) & workers->mask; workers->index[at];
         at = (at + 1) & workers->mask) {
        uint32_t home = home_of_slot(workers, workers->index[at] - 1);
        if (((at - home) & workers->mask) < ((at - hole) & workers->mask)) continue;
        workers->index[hole] = workers->index[at];
        hole = at;
    }
    workers->index[hole] = 0;
}

/** A slot for a new pair: one never used, else the one that rests longest. */
static uint32_t take(struct owm_workers *workers)
{
    uint32_t count = atomic_load_explicit(&workers->count, memory_order_relaxed);
    if (count < workers->max) return count;
    uint32_t i = workers->first_resting;
    if (i == OWM_WORKER_NONE) return i;
    unrest(workers, i);
    unindex(workers, i);
    return i;
}

static void name(struct owm_workers *workers, uint32_t i, const struct owm_miner *miner,
                 const struct owm_worker *worker, int64_t now_ms)
{
    struct owm_worker_entry *entry = &workers->slot[i].entry;
    pthread_mutex_lock(&workers->lock);
    entry->miner = *miner;
    entry->worker = *worker;
    entry->accepted = entry->rejected = entry->hashes = entry->best = 0;
    entry->last_share_ms = 0;
    entry->channels = 0;
    owm_rate_init(&entry->rate, now_ms);
    if (i == workers->count) workers->count = i + 1;
    pthread_mutex_unlock(&workers->lock);
    workers->slot[i].held = 0;
}

static bool is(const struct owm_worker_entry *entry, const struct owm_miner *miner,
               const struct owm_worker *worker)
{
    return memcmp(entry->miner.id, miner->id, sizeof miner->id) == 0
           && memcmp(entry->worker.id, worker->id, sizeof worker->id) == 0;
}

uint32_t owm_workers_claim(struct owm_workers *workers, const struct owm_miner *miner,
                           const struct owm_worker *worker, int64_t now_ms)
{
    uint32_t at = home_of(workers, miner->id, worker->id);
    while (workers->index[at] && !is(&workers->slot[workers->index[at] - 1].entry, miner, worker))
        at = (at + 1) & workers->mask;
    uint32_t i = workers->index[at] - 1;
    if (i == OWM_WORKER_NONE) {
        i = take(workers);
        if (i == OWM_WORKER_NONE) return i;
        name(workers, i, miner, worker, now_ms);
        at = home_of(workers, miner->id, worker->id); /* take() may have moved the index. */
        while (workers->index[at]) at = (at + 1) & workers->mask;
        workers->index[at] = i + 1;
    }
    owm_workers_hold(workers, i);
    workers->slot[i].entry.channels++;
    return i;
}

void owm_workers_release(struct owm_workers *workers, uint32_t i)
{
    if (i == OWM_WORKER_NONE) return;
    workers->slot[i].entry.channels--;
    owm_workers_drop(workers, i);
}

void owm_workers_hold(struct owm_workers *workers, uint32_t i)
{
    unrest(workers, i);
    workers->slot[i].held++;
}

void owm_workers_drop(struct owm_workers *workers, uint32_t i)
{
    struct slot *slot = &workers->slot[i];
    OWM_ASSERT(slot->held > 0);
    if (--slot->held == 0) rest(workers, i);
}

struct owm_worker_entry *owm_workers_at(struct owm_workers *workers, uint32_t i)
{
    return &workers->slot[i].entry;
}

uint32_t owm_workers_count(const struct owm_workers *workers)
{
    return atomic_load_explicit(&workers->count, memory_order_relaxed);
}

static void copy(const struct owm_worker_entry *entry, struct owm_worker_view *view, int64_t now_ms)
{
    *view = (struct owm_worker_view){
        .miner = entry->miner,
        .worker = entry->worker,
        .accepted = atomic_load_explicit(&entry->accepted, memory_order_relaxed),
        .rejected = atomic_load_explicit(&entry->rejected, memory_order_relaxed),
        .hashes = atomic_load_explicit(&entry->hashes, memory_order_relaxed),
        .best = atomic_load_explicit(&entry->best, memory_order_relaxed),
        .channels = atomic_load_explicit(&entry->channels, memory_order_relaxed),
    };
    int64_t last_ms = atomic_load_explicit(&entry->last_share_ms, memory_order_relaxed);
    view->last_share_age_ms = last_ms ? now_ms - last_ms : -1;
    for (int w = 0; w < OWM_RATE_WINDOWS; w++)
        view->hashes_per_s[w] = owm_rate_get(&entry->rate, (enum owm_rate_window)w, now_ms);
}

uint32_t owm_workers_copy(struct owm_workers *workers, uint32_t from, struct owm_worker_view *out,
                          uint32_t max, int64_t now_ms)
{
    uint32_t written = 0;
    if (max > OWM_WORKERS_COPY) max = OWM_WORKERS_COPY;
    pthread_mutex_lock(&workers->lock);
    for (uint32_t i = from; i < workers->count && written < max; i++, written++)
        copy(&workers->slot[i].entry, &out[written], now_ms);
    pthread_mutex_unlock(&workers->lock);
    return written;
}

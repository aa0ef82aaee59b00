/* journal_internal.h: what the loop's half (journal.c) and the thread's half (journal_thread.c) of
 * a journal share.
 *
 * The ring is bytes of whole records. `head` is where the loop appends, `published` how far the
 * thread may write, `taken` how far it has copied out; all three only grow, positions are modulo
 * OWM_JOURNAL_BUFFER_BYTES. rotate_at is where the loop began to count names afresh: from there on
 * records belong into the next segment.
 */
#ifndef OWM_POOL_JOURNAL_INTERNAL_H
#define OWM_POOL_JOURNAL_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "journal.h"
#include "journal_format.h"
#include "journal_names.h"

#define CACHE_LINE       64
#define ROTATE_NEVER     UINT64_MAX
#define SEGMENT_MS_MAX   (60 * 60 * 1000)
#define ALLOCATE_BYTES   (16u << 20) /* Ahead, so that most syncs change no file size. */
#define DISK_NEEDS_BYTES (64u << 20) /* What we tell people to make free. */

struct owm_journal {
    char *folder;
    unsigned loop;
    uint64_t segment_bytes;
    void (*on_durable)(void *ctx);
    void *ctx;
    int lock_fd;
    uint8_t *ring;

    /* The loop's own. */
    _Alignas(CACHE_LINE) uint64_t head;
    uint64_t sequence, taken_seen, segment_used;
    int64_t segment_since_ms; /* 0: no share in it yet. */
    struct journal_names miners, workers;
    struct owm_basis *bases;
    uint32_t base_count, base_last;

    _Alignas(CACHE_LINE) _Atomic uint64_t published;
    _Atomic uint64_t rotate_at;
    _Atomic bool stopping;

    _Alignas(CACHE_LINE) _Atomic uint64_t taken;
    _Atomic uint64_t durable;
    _Atomic(const char *) failed;
    _Atomic bool asleep;
    _Atomic uint64_t stat_shares, stat_batches, stat_bytes, stat_sync_ns, stat_sync_ns_max;

    /* The thread's own. */
    _Alignas(CACHE_LINE) int fd;
    uint64_t number, offset, allocated, written_sequence;
    uint32_t chain;
    uint8_t *batch; /* [JOURNAL_BATCH_BYTES_MAX + a commit] */
    char *path;
    char failure[OWM_ERROR_BYTES_MAX];
    sem_t wake;
    pthread_t thread;
    bool started;
};

/** journal_segment_begin: make the next segment, durable with its header. */
OWM_MUST_USE owm_status journal_segment_begin(struct owm_journal *journal, struct owm_error *error);

/** journal_thread: its main; ends when stopping is set and all is written, or on failure. */
void *journal_thread(void *journal);

#endif

/* journal.h: accepted shares on disk before anyone is told that they were accepted (promise 2).
 *
 * One append-only file per loop, in segments. The loop appends to memory; a thread of the journal
 * writes and syncs whatever has gathered (group commit) and then moves `durable` on. The loop
 * answers SubmitShares.Success up to there and no further.
 *
 *   loop:    append, append, … commit        durable? -> Success
 *   thread:  write(all), fdatasync, durable = end, on_durable()
 *
 * Format: a segment begins with a header; records follow, each with type, length and CRC-32C, and
 * each batch ends in a commit record. A tail that a crash has torn is cut off at the last whole
 * batch when the segment is read. Miners, workers and bases are records of their own before their
 * first use in a segment, so that each segment can be read by itself. When full, or an hour old, a
 * segment is closed and the next begun; closed segments that the feeder (feeder.h) has brought into
 * the database are compressed and kept as many days as the configuration says.
 *
 * Thread: append, commit: the loop that owns it. durable: any.
 */
#ifndef OWM_POOL_JOURNAL_H
#define OWM_POOL_JOURNAL_H

#include "base/status.h"
#include "share.h"

#define OWM_JOURNAL_SEGMENT_BYTES_DEFAULT (256u << 20)
#define OWM_JOURNAL_BUFFER_BYTES          (8u << 20) /* Appended and not yet written. */

struct owm_journal;

struct owm_journal_options {
    const char *folder;     /* Made if missing, mode 0700. */
    unsigned loop;          /* Part of the file's name. */
    uint64_t segment_bytes; /* 0: the default. */
    /** Called by the journal's thread after durable has moved or the journal has failed; must not
     *  block (owm_net_wake). */
    void (*on_durable)(void *ctx);
    void *ctx;
};

/** owm_journal_open: go on in a new segment behind those that exist.
 *  Returns: OWM_OK; OWM_E_IO, OWM_E_PERM with path and cause (disk full: how much is needed);
 *  OWM_E_EXISTS another process has the folder's lock; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_journal_open(const struct owm_journal_options *options,
                                         struct owm_journal **journal, struct owm_error *error);

/** owm_journal_close: write and sync what was appended, end the segment. NULL is allowed. */
void owm_journal_close(struct owm_journal *journal);

/** owm_journal_append: take a share into the next batch. miner and worker are written as records
 *  of their own if this segment does not have them yet.
 *  Returns: OWM_OK and *sequence, which counts from 1: the share is safe once
 *  owm_journal_durable() >= *sequence; OWM_E_LIMIT the buffer is full because the disk does not
 *  keep up: the share must be refused ("journal-busy"); OWM_E_IO the journal has failed (disk
 *  full, I/O error): nothing is acknowledged any more until the program is started again. */
OWM_MUST_USE owm_status owm_journal_append(struct owm_journal *journal,
                                           const struct owm_share *share,
                                           const struct owm_miner *miner,
                                           const struct owm_worker *worker, uint64_t *sequence);

/** owm_journal_commit: hand over what was appended. Cheap: once a turn. */
void owm_journal_commit(struct owm_journal *journal);

/** owm_journal_durable: highest sequence that a power cut cannot take back. */
uint64_t owm_journal_durable(const struct owm_journal *journal);

/** owm_journal_failed: why nothing more can be written; NULL while it can. */
const char *owm_journal_failed(const struct owm_journal *journal);

struct owm_journal_stats {
    uint64_t shares, batches, bytes, sync_ns_total, sync_ns_max;
};
void owm_journal_stats_get(const struct owm_journal *journal, struct owm_journal_stats *stats);

#endif

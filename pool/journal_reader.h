/* journal_reader.h: a segment's bytes back into shares. Sans-IO: the caller brings the bytes.
 *
 * Nothing in them is trusted: no length, no reference, no text. A batch counts as a whole or not at
 * all, and nothing behind one that does not count is looked at.
 * Thread: one at a time.
 */
#ifndef OWM_POOL_JOURNAL_READER_H
#define OWM_POOL_JOURNAL_READER_H

#include <stddef.h>

#include "base/status.h"
#include "share.h"

#define OWM_JOURNAL_HEADER_BYTES 64
/** A window of this many bytes always holds a whole batch. */
#define OWM_JOURNAL_WINDOW_BYTES ((1u << 20) + 64)

struct owm_journal_header {
    unsigned loop;
    uint64_t number;
    int64_t created_ms;
    uint8_t id[16]; /* Random: the segment's name wherever its file goes. */
};

/** owm_journal_entry: a share with what it refers to. The numbers count within the segment.
 *  share.basis, miner, worker: valid during the call. */
struct owm_journal_entry {
    struct owm_share share;
    const struct owm_miner *miner;
    const struct owm_worker *worker;
    uint32_t miner_number, worker_number, basis_number;
};

struct owm_journal_sink {
    void (*share)(void *ctx, const struct owm_journal_entry *entry);
    void *ctx;
};

struct owm_journal_reader;

/** owm_journal_header_read: Returns: OWM_OK; OWM_E_PROTO no header of a segment. */
OWM_MUST_USE owm_status owm_journal_header_read(const uint8_t bytes[OWM_JOURNAL_HEADER_BYTES],
                                                struct owm_journal_header *header);

/** owm_journal_reader_open: for the batches behind `header`.
 *  Returns: OWM_OK; OWM_E_PROTO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_journal_reader_open(const uint8_t header[OWM_JOURNAL_HEADER_BYTES],
                                                struct owm_journal_reader **reader);
void owm_journal_reader_close(struct owm_journal_reader *reader); /* NULL is allowed. */

/** owm_journal_reader_batch: read the batch that `data` [bytes] begins with.
 *
 *  used  how many bytes it takes.
 *  sink  called for each of its shares, in order; never for a part of a batch. NULL: go past it.
 *  Returns: OWM_OK; OWM_E_NOTFOUND no whole batch here: it is torn, damaged, or not yet written
 *  (call again with more); OWM_E_CANCELLED the segment's end (*used is written); OWM_E_PROTO a
 *  batch whose checksums are right and whose content is not; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_journal_reader_batch(struct owm_journal_reader *reader,
                                                 const uint8_t *data, size_t bytes, size_t *used,
                                                 const struct owm_journal_sink *sink);

/** owm_journal_has_commit: whether a commit lies anywhere in `data`: behind a batch that does not
 *  count it means damage, where a crash alone leaves none (unless a power cut kept the end of the
 *  last batch and not its middle: then nothing that was durable is missing). */
bool owm_journal_has_commit(const uint8_t *data, size_t bytes);

#endif

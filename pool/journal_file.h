/* journal_file.h: the segments of a folder: list, read one after the other, compress, remove.
 *
 * "03-0001764432000123.owj" is a segment of loop 3; with ".zst" behind it, it is compressed. Only
 * the newest segment of a loop can still grow: its writer begins the next one after the last is
 * complete, and a writer that starts again begins a new one.
 * Thread: any; one source one thread at a time.
 */
#ifndef OWM_POOL_JOURNAL_FILE_H
#define OWM_POOL_JOURNAL_FILE_H

#include "base/status.h"
#include "journal_reader.h"

#define OWM_JOURNAL_SEGMENTS_MAX   65536
#define OWM_JOURNAL_NAME_BYTES_MAX 48

struct owm_journal_segment {
    unsigned loop;
    uint64_t number;
    bool compressed;
    bool newest; /* Of its loop. */
    char name[OWM_JOURNAL_NAME_BYTES_MAX];
};

/** owm_journal_list: the segments of a folder by loop and number. *segments: malloc'ed.
 *  Returns: OWM_OK, also for a folder that is missing; OWM_E_LIMIT; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_journal_list(const char *folder, struct owm_journal_segment **segments,
                                         size_t *count, struct owm_error *error);

struct owm_journal_source;

/** owm_journal_source_open: Returns: OWM_OK; OWM_E_NOTFOUND the file is gone, or was begun and has
 *  no header yet; OWM_E_PROTO its header is damaged; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_journal_source_open(const char *folder,
                                                const struct owm_journal_segment *segment,
                                                struct owm_journal_source **source,
                                                struct owm_error *error);
void owm_journal_source_close(struct owm_journal_source *source); /* NULL is allowed. */

const struct owm_journal_header *owm_journal_source_header(const struct owm_journal_source *source);

/** owm_journal_source_offset: bytes before the next batch, counted without compression. */
uint64_t owm_journal_source_offset(const struct owm_journal_source *source);

/** owm_journal_source_next: read one batch. Returns: as owm_journal_reader_batch; OWM_E_IO. */
OWM_MUST_USE owm_status owm_journal_source_next(struct owm_journal_source *source,
                                                const struct owm_journal_sink *sink,
                                                struct owm_error *error);

/** owm_journal_source_damaged: after OWM_E_NOTFOUND of a segment that does not grow any more:
 *  whether whole batches lie behind, so that this is damage and not what a crash tore off. */
OWM_MUST_USE owm_status owm_journal_source_damaged(struct owm_journal_source *source, bool *damaged,
                                                   struct owm_error *error);

/** owm_journal_compress: replace a segment by its compressed form; whole or not at all.
 *  Returns: OWM_OK, also if it is compressed already; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_journal_compress(const char *folder,
                                             const struct owm_journal_segment *segment,
                                             struct owm_error *error);

/** owm_journal_remove: Returns: OWM_OK; OWM_E_IO. */
OWM_MUST_USE owm_status owm_journal_remove(const char *folder,
                                           const struct owm_journal_segment *segment,
                                           struct owm_error *error);

#endif

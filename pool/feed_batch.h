/* feed_batch.h: one transaction of the feeder: rows gathered in memory, then all of their effects.
 *
 *   add, add, … (the first begins) -> flush -> (segments advance) -> commit | abandon
 *
 * Thread: one at a time.
 */
#ifndef OWM_POOL_FEED_BATCH_H
#define OWM_POOL_FEED_BATCH_H

#include "base/pg/pg.h"
#include "journal_names.h"
#include "journal_reader.h"

#define FEED_ROWS_TARGET 20000 /* A batch of the journal on top of it still fits. */
#define FEED_ROWS_MAX    65536
#define FEED_BASES_MAX   8192

/** feed_refs: what the numbers of one segment are in the database; learned as they come. */
struct feed_refs {
    int32_t *accounts;          /* [JOURNAL_MINERS_MAX], 0: not known yet */
    int32_t *bases;             /* [JOURNAL_BASES_MAX] */
    struct journal_names pairs; /* (miner, worker) -> index of workers[] */
    int32_t *workers;
};
OWM_MUST_USE owm_status feed_refs_init(struct feed_refs *refs);
void feed_refs_deinit(struct feed_refs *refs);

struct feed_basis {
    int32_t id, day; /* day: since 1970 */
    struct owm_basis basis;
};

struct feed_row {
    uint8_t hash[32];
    int64_t time_ms;
    uint64_t hashes;
    int32_t account, worker, basis, day;
    bool block;
};

struct feed_batch {
    struct owm_pg *pg;
    struct feed_row *rows;    /* [FEED_ROWS_MAX] */
    struct feed_basis *bases; /* [FEED_BASES_MAX], of this and earlier batches. */
    uint32_t row_count, base_count;
    char *text; /* COPY's input */
    size_t text_bytes, text_room;
    bool open;
    uint64_t fresh; /* Rows of the last flush that were no duplicates. */
};

/** feed_batch_init: prepares its statements. Returns: OWM_OK; as owm_pg_prepare; OWM_E_NOMEM. */
OWM_MUST_USE owm_status feed_batch_init(struct feed_batch *batch, struct owm_pg *pg,
                                        struct owm_error *error);
void feed_batch_deinit(struct feed_batch *batch);

/** feed_batch_session: what a new connection needs: temporary tables. */
OWM_MUST_USE owm_status feed_batch_session(struct feed_batch *batch, struct owm_error *error);

OWM_MUST_USE owm_status feed_batch_begin(struct feed_batch *batch, struct owm_error *error);
OWM_MUST_USE owm_status feed_batch_add(struct feed_batch *batch, struct feed_refs *refs,
                                       const struct owm_journal_entry *entry,
                                       struct owm_error *error);
OWM_MUST_USE owm_status feed_batch_flush(struct feed_batch *batch, struct owm_error *error);
OWM_MUST_USE owm_status feed_batch_commit(struct feed_batch *batch, struct owm_error *error);

/** feed_batch_abandon: roll back; what was learned from the database is forgotten. */
void feed_batch_abandon(struct feed_batch *batch);

#endif

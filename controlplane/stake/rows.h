/* rows.h: table node_stakes: each channel that the treasury's node showed, and what it counted for.
 * Not for other folders; reader's thread only.
 *
 * A database that is away delays rows and nothing else: what was not written is written with a
 * later reading.
 */
#ifndef OWM_STAKE_ROWS_H
#define OWM_STAKE_ROWS_H

#include "base/pg/pg.h"
#include "controlplane/stake/nodes.h"

struct stake_rows {
    const char *url;
    struct owm_pg *pg;
    int64_t retry_ms; /* monotonic */
};

/** stake_rows_of: the channels of one node, and when they were read (wall clock). */
struct stake_rows_of {
    const struct stake_node *node;
    const struct owm_lightning_channel *channels;
    size_t count;
    uint32_t confirmations;
    int64_t minimum_sats, read_ms;
};

/** stake_rows_digest: changes when the rows would; never 0. */
uint64_t stake_rows_digest(const struct stake_rows_of *of);

/** stake_rows_write: a channel that is not among them any more becomes "closed".
 *  Returns: OWM_OK; as owm_pg_open and owm_pg_pipeline_commit; OWM_E_AGAIN: the database was away a
 *  moment ago and was not tried. */
OWM_MUST_USE owm_status stake_rows_write(struct stake_rows *rows, const struct stake_rows_of *of,
                                         struct owm_error *error);

/** stake_rows_slashings: entries of the slashing log in the last 7 days (SRS-STAKE-09). */
OWM_MUST_USE owm_status stake_rows_slashings(struct stake_rows *rows, int64_t *count,
                                             struct owm_error *error);
void stake_rows_close(struct stake_rows *rows);

#endif

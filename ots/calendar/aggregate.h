/* aggregate.h: all digests of one second under one commitment, promised when it is on disk.
 *
 *   digest ─ append 16 random bytes ─ sha256 ─ merkle tree ─ prepend time ─ append keyed hash
 *                                                                             └ promise of our URI
 *
 * A digest is gathered until the second ends; then the thread builds the tree, appends one
 * commitment to the journal, and only when that is durable the answers can be had. Whoever submits
 * the same digest again meanwhile gets the same answer.
 * Thread: one of its own; the functions below from any.
 */
#ifndef OWM_OTS_CALENDAR_AGGREGATE_H
#define OWM_OTS_CALENDAR_AGGREGATE_H

#include <stddef.h>

#include "journal.h"
#include "key.h"

#define AGGREGATE_DIGEST_BYTES_MAX 64    /* As in the reference. */
#define AGGREGATE_DIGESTS_MAX      4096  /* Of one second. */
#define AGGREGATE_KEPT_MS          10000 /* How long an answer waits to be fetched. */
#define AGGREGATE_RECOVERED_MAX    64    /* Of one second. */
#define AGGREGATE_ANSWER_BYTES_MAX 8192

struct aggregate;

/** aggregate_options: borrowed until aggregate_close. */
struct aggregate_options {
    struct journal *journal;
    const struct key *key;
    const char *uri; /* Of the promises. */
};

/** aggregate_open: Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status aggregate_open(const struct aggregate_options *options,
                                       struct aggregate **aggregate, struct owm_error *error);

/** aggregate_close: what is gathered is promised first. NULL is allowed. */
void aggregate_close(struct aggregate *aggregate);

/** aggregate_state: what became of a digest. */
enum aggregate_state {
    AGGREGATE_UNKNOWN,  /* Not submitted, or long ago. */
    AGGREGATE_GATHERED, /* Its second is not over. */
    AGGREGATE_WORKING,  /* On its way to the disk. */
    AGGREGATE_PROMISED, /* Durable. */
    AGGREGATE_FAILED,   /* Not promised: the disk or memory. */
};

struct aggregate_digest {
    const uint8_t *data;
    size_t bytes; /* 1 to AGGREGATE_DIGEST_BYTES_MAX. */
};

/** aggregate_look: AGGREGATE_PROMISED: answer [AGGREGATE_ANSWER_BYTES_MAX] written, *bytes of it, a
 *  tree in its bytes from the digest to the promise. */
enum aggregate_state aggregate_look(struct aggregate *aggregate,
                                    const struct aggregate_digest *digest, uint8_t *answer,
                                    size_t *bytes);

/** aggregate_add: a digest that is AGGREGATE_UNKNOWN.
 *  Returns: OWM_OK it is gathered; OWM_E_LIMIT this second is full; OWM_E_STATE stopping, or
 *  nothing can be written. */
OWM_MUST_USE owm_status aggregate_add(struct aggregate *aggregate,
                                      const struct aggregate_digest *digest);

/** aggregate_recover: a commitment that bears our seal and is not in the journal is put there, for
 *  an earlier disk had it. It can be found soon after.
 *  Returns: as aggregate_add. */
OWM_MUST_USE owm_status aggregate_recover(
    struct aggregate *aggregate, const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES]);

/** aggregate_wait_ms: when to look again at what is AGGREGATE_GATHERED or AGGREGATE_WORKING. */
unsigned aggregate_wait_ms(enum aggregate_state state);

/** aggregate_stop: no new digests; what is gathered is promised at once, and can still be had. */
void aggregate_stop(struct aggregate *aggregate);

struct aggregate_figures {
    uint64_t digests, commitments, recovered; /* Since the start. */
    uint32_t gathered;                        /* For the next commitment. */
    uint64_t added_ms;                        /* When the last digest came, monotonic; 0: none. */
    char failed[OWM_ERROR_BYTES_MAX];         /* "" or why nothing is promised. */
};
void aggregate_figures(struct aggregate *aggregate, struct aggregate_figures *figures);

#endif

/* dedup.h: which headers were accepted already, for the current tip and the two before it.
 *
 * One fixed table per tip, keyed by the tip's hash, so that a tip that comes back after a reorg
 * (A, B, A) finds what it had accepted; with more tips than tables the one that was left longest
 * ago is emptied. A header's hash names its tip, so a proof of work counts once whatever job,
 * channel or message carried it. Nothing is ever pushed out of a table: when it is full, shares
 * are refused, because forgetting one would pay for it twice.
 *
 * An entry is 112 bits of the hash and 16 of the table's turn, which empties it without touching
 * it. Thread: one loop.
 */
#ifndef OWM_POOL_DEDUP_H
#define OWM_POOL_DEDUP_H

#include "base/status.h"

#include <stdint.h>

#define OWM_DEDUP_TIPS            3
#define OWM_DEDUP_ENTRIES_DEFAULT (UINT32_C(1) << 20) /* Of one tip: 16 MiB each. */
#define OWM_DEDUP_ENTRIES_MAX     (UINT32_C(1) << 28)

struct owm_dedup;

/** owm_dedup_open: `entries` places for each tip, rounded up to a power of two; three quarters of
 *  them can be filled. 0: the default. Returns: OWM_OK; OWM_E_ARG above the limit; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_dedup_open(uint32_t entries, struct owm_dedup **dedup);
void owm_dedup_close(struct owm_dedup *dedup); /* NULL is allowed. */

/** owm_dedup_tip: the tip that shares are for from now on: hash of the block before. */
void owm_dedup_tip(struct owm_dedup *dedup, const uint8_t previous[32]);

/** owm_dedup_prefetch: this hash will be asked for soon. */
void owm_dedup_prefetch(const struct owm_dedup *dedup, const uint8_t hash[32]);

enum owm_dedup_answer { OWM_DEDUP_NEW, OWM_DEDUP_KNOWN, OWM_DEDUP_FULL };

/** owm_dedup_find: is this header's hash there? NEW: *place is where owm_dedup_put takes it, if
 *  nothing else is put before. */
enum owm_dedup_answer owm_dedup_find(const struct owm_dedup *dedup, const uint8_t hash[32],
                                     uint32_t *place);
void owm_dedup_put(struct owm_dedup *dedup, const uint8_t hash[32], uint32_t place);

/** owm_dedup_count: entries of the current tip; owm_dedup_room: what is still free, 0 to 1. */
uint32_t owm_dedup_count(const struct owm_dedup *dedup);
double owm_dedup_room(const struct owm_dedup *dedup);

#endif

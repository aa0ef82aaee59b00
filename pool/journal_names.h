/* journal_names.h: which ids a segment has already, and as what number: a table of fixed size.
 * Nothing is allocated after init. Thread: one at a time.
 */
#ifndef OWM_POOL_JOURNAL_NAMES_H
#define OWM_POOL_JOURNAL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define JOURNAL_NAME_NONE UINT32_MAX

struct journal_names {
    uint8_t *keys;    /* [slots][key_bytes] */
    uint32_t *values; /* [slots], number + 1; 0 is free. */
    uint32_t key_bytes, slots, count, max;
    uint64_t seed; /* So that nobody can choose ids that collide. */
};

/** journal_names_init: for `max` keys of key_bytes (at least 8, random as hashes are).
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status journal_names_init(struct journal_names *names, uint32_t max,
                                           uint32_t key_bytes);
void journal_names_deinit(struct journal_names *names);

/** journal_names_find: the number of `key`; if it is new it gets the next one and *added is set.
 *  JOURNAL_NAME_NONE: the table is full. */
uint32_t journal_names_find(struct journal_names *names, const uint8_t *key, bool *added);
bool journal_names_full(const struct journal_names *names);
void journal_names_clear(struct journal_names *names);

#endif

/* index.h: hash table from a 32-byte key to a slot number; fixed size, no deletion marks.
 *
 * Keys come from strangers, so the hash is keyed. Linear probing at half load; an entry that leaves
 * moves its followers back, so lookups never slow down. Not for other folders.
 */
#ifndef OWM_ENGINE_INDEX_H
#define OWM_ENGINE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define INDEX_NONE UINT32_MAX

struct index_entry {
    uint8_t key[32];
    uint32_t slot; /* INDEX_NONE: empty */
};

struct index {
    struct index_entry *entry;
    uint32_t mask, count, capacity;
    uint64_t secret[2];
    size_t key_bytes; /* 16 or 32 */
};

owm_status index_init(struct index *index, uint32_t capacity, size_t key_bytes,
                      const uint8_t secret[static 16]) OWM_MUST_USE;
void index_deinit(struct index *index);
uint32_t index_find(const struct index *index, const uint8_t *key); /* INDEX_NONE: not there */
void index_put(struct index *index, const uint8_t *key,
               uint32_t slot);                              /* not there yet, not full */
void index_remove(struct index *index, const uint8_t *key); /* it is there */

#endif

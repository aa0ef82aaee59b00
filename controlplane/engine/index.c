/* index.c: linear probing with backward shift (Knuth 6.4, algorithm R). */
#include "index.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x) /* splitmix64's finaliser */
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint32_t home(const struct index *index, const uint8_t *key)
{
    uint64_t hash = index->secret[0];
    for (size_t at = 0; at < index->key_bytes; at += 8) {
        uint64_t word;
        memcpy(&word, key + at, 8);
        hash = mix(hash + word) ^ index->secret[1];
    }
    return (uint32_t)hash & index->mask;
}

owm_status index_init(struct index *index, uint32_t capacity, size_t key_bytes,
                      const uint8_t secret[static 16])
{
    uint64_t size = 4;
    while (size < 2 * (uint64_t)capacity) size *= 2;
    *index =
        (struct index){.mask = (uint32_t)(size - 1), .capacity = capacity, .key_bytes = key_bytes};
    memcpy(index->secret, secret, 16);
    index->entry = malloc(size * sizeof(index->entry[0]));
    if (!index->entry) return OWM_E_NOMEM;
    for (uint64_t i = 0; i < size; i++) index->entry[i].slot = INDEX_NONE;
    return OWM_OK;
}

void index_deinit(struct index *index)
{
    free(index->entry);
    index->entry = NULL;
}

static uint32_t place_of(const struct index *index, const uint8_t *key)
{
    uint32_t at = home(index, key);
    while (index->entry[at].slot != INDEX_NONE
           && memcmp(index->entry[at].key, key, index->key_bytes) != 0)
        at = (at + 1) & index->mask;
    return at;
}

uint32_t index_find(const struct index *index, const uint8_t *key)
{
    return index->entry[place_of(index, key)].slot;
}

void index_put(struct index *index, const uint8_t *key, uint32_t slot)
{
    OWM_ASSERT(index->count < index->capacity);
    struct index_entry *entry = &index->entry[place_of(index, key)];
    OWM_ASSERT(entry->slot == INDEX_NONE);
    memcpy(entry->key, key, index->key_bytes);
    entry->slot = slot;
    index->count++;
}

void index_remove(struct index *index, const uint8_t *key)
{
    uint32_t hole = place_of(index, key);
    OWM_ASSERT(index->entry[hole].slot != INDEX_NONE);
    for (uint32_t at = (hole + 1) & index->mask; index->entry[at].slot != INDEX_NONE;
         at = (at + 1) & index->mask) {
        uint32_t distance = (at - home(index, index->entry[at].key)) & index->mask;
        if (distance >= ((at - hole) & index->mask)) {
            index->entry[hole] = index->entry[at];
            hole = at;
        }
    }
    index->entry[hole].slot = INDEX_NONE;
    index->count--;
}

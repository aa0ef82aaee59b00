/* table.c: arrays that grow, and their index by hash. */
#include <stdlib.h>
#include <string.h>

#include "double.h"

void *table_grow(void *array, size_t count, size_t *room, size_t bytes)
{
    if (count < *room) return array;
    *room = *room ? 2 * *room : 64;
    void *grown = realloc(array, *room * bytes);
    OWM_ASSERT(grown);
    return grown;
}

uint32_t *index_slot(const struct index *index, const uint8_t hash[32], const uint8_t *hashes,
                     size_t stride)
{
    if (index->room == 0) return NULL;
    uint64_t start;
    memcpy(&start, hash, sizeof start);
    for (size_t i = start & (index->room - 1);; i = (i + 1) & (index->room - 1)) {
        uint32_t at = index->slots[i];
        if (at == 0 || memcmp(hashes + (at - 1) * stride, hash, 32) == 0) return &index->slots[i];
    }
}

/* The last of `count` entries is new. */
void index_add(struct index *index, size_t count, const uint8_t *hashes, size_t stride)
{
    size_t from = count - 1;
    if (2 * count > index->room) {
        free(index->slots);
        index->room = index->room ? 4 * index->room : 256;
        index->slots = calloc(index->room, sizeof *index->slots);
        OWM_ASSERT(index->slots);
        from = 0;
    }
    for (size_t i = from; i < count; i++)
        *index_slot(index, hashes + i * stride, hashes, stride) = (uint32_t)(i + 1);
}

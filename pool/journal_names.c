/* journal_names.c: open addressing over ids; see journal_names.h. */
#include "journal_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

owm_status journal_names_init(struct journal_names *names, uint32_t max, uint32_t key_bytes)
{
    memset(names, 0, sizeof(*names));
    names->max = max;
    names->key_bytes = key_bytes;
    names->slots = 16;
    while (names->slots < 2 * max) names->slots *= 2;
    names->keys = calloc(names->slots, key_bytes);
    names->values = calloc(names->slots, sizeof(*names->values));
    if (getrandom(&names->seed, sizeof(names->seed), 0) != (ssize_t)sizeof(names->seed))
        return OWM_E_IO;
    return names->keys && names->values ? OWM_OK : OWM_E_NOMEM;
}

void journal_names_deinit(struct journal_names *names)
{
    free(names->keys);
    free(names->values);
}

static uint32_t slot_of(const struct journal_names *names, const uint8_t *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof(word));
    word = (word ^ names->seed) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(word >> 32) & (names->slots - 1);
}

uint32_t journal_names_find(struct journal_names *names, const uint8_t *key, bool *added)
{
    *added = false;
    uint32_t slot = slot_of(names, key);
    for (; names->values[slot] != 0; slot = (slot + 1) & (names->slots - 1))
        if (memcmp(names->keys + (size_t)slot * names->key_bytes, key, names->key_bytes) == 0)
            return names->values[slot] - 1;
    if (journal_names_full(names)) return JOURNAL_NAME_NONE;
    memcpy(names->keys + (size_t)slot * names->key_bytes, key, names->key_bytes);
    names->values[slot] = ++names->count;
    *added = true;
    return names->count - 1;
}

bool journal_names_full(const struct journal_names *names)
{
    return names->count == names->max;
}

void journal_names_clear(struct journal_names *names)
{
    names->count = 0;
    memset(names->values, 0, names->slots * sizeof(*names->values));
}

/* tally.c: linear probing; what is behind a key that leaves moves up. */
#include "tally.h"

#include <stdlib.h>
#include <sys/random.h>

owm_status owm_tally_open(uint32_t keys_max, struct owm_tally *tally)
{
    if (!keys_max || keys_max > OWM_TALLY_KEYS_MAX) return OWM_E_ARG;
    uint32_t size = 2;
    unsigned bits = 1;
    for (; size < 2 * keys_max; size *= 2) bits++;
    *tally = (struct owm_tally){.mask = size - 1, .keys_max = keys_max, .shift = 64 - bits};
    if (getrandom(&tally->factor, sizeof tally->factor, 0) != (ssize_t)sizeof tally->factor)
        return OWM_E_CRYPTO;
    tally->factor |= 1;
    tally->place = calloc(size, sizeof *tally->place);
    return tally->place ? OWM_OK : OWM_E_NOMEM;
}

void owm_tally_close(struct owm_tally *tally)
{
    free(tally->place);
    *tally = (struct owm_tally){0};
}

static uint32_t home_of(const struct owm_tally *tally, uint64_t key)
{
    return (uint32_t)(key * tally->factor >> tally->shift);
}

/** The place of the key, or the free one where it would be. */
static uint32_t find(const struct owm_tally *tally, uint64_t key)
{
    uint32_t at = home_of(tally, key);
    while (tally->place[at].count && tally->place[at].key != key) at = (at + 1) & tally->mask;
    return at;
}

uint32_t owm_tally_count(const struct owm_tally *tally, uint64_t key)
{
    return tally->place[find(tally, key)].count;
}

bool owm_tally_add(struct owm_tally *tally, uint64_t key)
{
    struct owm_tally_place *place = &tally->place[find(tally, key)];
    if (!place->count) {
        if (tally->keys == tally->keys_max) return false;
        tally->keys++;
        place->key = key;
    }
    place->count++;
    return true;
}

static void close_hole(struct owm_tally *tally, uint32_t hole)
{
    uint32_t at = (hole + 1) & tally->mask;
    for (; tally->place[at].count; at = (at + 1) & tally->mask) {
        uint32_t home = home_of(tally, tally->place[at].key);
        if (((at - home) & tally->mask) < ((at - hole) & tally->mask)) continue;
        tally->place[hole] = tally->place[at];
        hole = at;
    }
    tally->place[hole] = (struct owm_tally_place){0};
}

void owm_tally_drop(struct owm_tally *tally, uint64_t key)
{
    uint32_t at = find(tally, key);
    OWM_ASSERT(tally->place[at].count > 0);
    if (--tally->place[at].count) return;
    tally->keys--;
    close_hole(tally, at);
}

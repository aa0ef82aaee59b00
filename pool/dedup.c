/* dedup.c: open addressing over the lowest bytes of header hashes, one table per tip. */
#include "dedup.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TURN_MASK UINT64_C(0xffff)

/** entry: 64 bits of the hash; 48 of it and the turn of its table (0: never used). */
struct entry {
    uint64_t low, high;
};

struct table {
    struct entry *entry;
    uint8_t previous[32];
    uint64_t left; /* When it was left for another tip; counts tips. */
    uint32_t count;
    uint16_t turn;
    bool used;
};

struct owm_dedup {
    struct table table[OWM_DEDUP_TIPS];
    struct table *now;
    uint64_t tips;
    uint32_t mask, full;
};

/** Zeroed, there from the start, and on large pages where the kernel has them: shares land
 * anywhere,
 *  and what they wait for is memory. NULL: none. */
static struct entry *take_entries(size_t count)
{
    size_t bytes = count * sizeof(struct entry);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* Both are advice: older kernels do without. */
#ifdef MADV_POPULATE_WRITE
    (void)madvise(memory, bytes, MADV_POPULATE_WRITE);
#endif
    return memory;
}

owm_status owm_dedup_open(uint32_t entries, struct owm_dedup **out)
{
    if (!entries) entries = OWM_DEDUP_ENTRIES_DEFAULT;
    if (entries > OWM_DEDUP_ENTRIES_MAX) return OWM_E_ARG;
    struct owm_dedup *dedup = calloc(1, sizeof *dedup);
    if (!dedup) return OWM_E_NOMEM;
    uint32_t size = 4;
    while (size < entries) size *= 2;
    dedup->mask = size - 1;
    dedup->full = size / 4 * 3;
    dedup->now = &dedup->table[0];
    bool whole = true;
    for (int i = 0; i < OWM_DEDUP_TIPS; i++) {
        dedup->table[i].entry = take_entries(size);
        dedup->table[i].turn = 1;
        whole = whole && dedup->table[i].entry;
    }
    if (!whole) {
        owm_dedup_close(dedup);
        return OWM_E_NOMEM;
    }
    *out = dedup;
    return OWM_OK;
}

void owm_dedup_close(struct owm_dedup *dedup)
{
    if (!dedup) return;
    for (int i = 0; i < OWM_DEDUP_TIPS; i++)
        if (dedup->table[i].entry)
            munmap(dedup->table[i].entry, ((size_t)dedup->mask + 1) * sizeof(struct entry));
    free(dedup);
}

static void empty(struct owm_dedup *dedup, struct table *table)
{
    table->count = 0;
    if (++table->turn) return;
    memset(table->entry, 0, ((size_t)dedup->mask + 1) * sizeof(struct entry));
    table->turn = 1;
}

/** The table of this tip, or the one that was left longest ago. */
static struct table *table_for(struct owm_dedup *dedup, const uint8_t *previous, bool *known)
{
    struct table *oldest = NULL;
    *known = true;
    for (int i = 0; i < OWM_DEDUP_TIPS; i++) {
        struct table *table = &dedup->table[i];
        if (table->used && memcmp(table->previous, previous, 32) == 0) return table;
        if (!oldest || table->left < oldest->left) oldest = table;
    }
    *known = false;
    return oldest;
}

void owm_dedup_tip(struct owm_dedup *dedup, const uint8_t previous[32])
{
    bool known;
    if (dedup->now->used) dedup->now->left = ++dedup->tips;
    struct table *table = table_for(dedup, previous, &known);
    if (!known && table->used) empty(dedup, table);
    memcpy(table->previous, previous, 32);
    table->used = true;
    dedup->now = table;
}

static struct entry entry_of(const struct table *table, const uint8_t *hash)
{
    struct entry entry;
    memcpy(&entry, hash, sizeof entry);
    entry.high = (entry.high & ~TURN_MASK) | table->turn;
    return entry;
}

void owm_dedup_prefetch(const struct owm_dedup *dedup, const uint8_t hash[32])
{
    uint64_t low;
    memcpy(&low, hash, sizeof low);
    __builtin_prefetch(&dedup->now->entry[(uint32_t)low & dedup->mask], 1);
}

enum owm_dedup_answer owm_dedup_find(const struct owm_dedup *dedup, const uint8_t hash[32],
                                     uint32_t *place)
{
    const struct table *table = dedup->now;
    struct entry wanted = entry_of(table, hash);
    uint32_t at = (uint32_t)wanted.low & dedup->mask;
    while ((table->entry[at].high & TURN_MASK) == table->turn) {
        if (table->entry[at].low == wanted.low && table->entry[at].high == wanted.high)
            return OWM_DEDUP_KNOWN;
        at = (at + 1) & dedup->mask;
    }
    *place = at;
    return table->count < dedup->full ? OWM_DEDUP_NEW : OWM_DEDUP_FULL;
}

void owm_dedup_put(struct owm_dedup *dedup, const uint8_t hash[32], uint32_t place)
{
    dedup->now->entry[place] = entry_of(dedup->now, hash);
    dedup->now->count++;
}

uint32_t owm_dedup_count(const struct owm_dedup *dedup)
{
    return dedup->now->count;
}

double owm_dedup_room(const struct owm_dedup *dedup)
{
    return 1 - (double)dedup->now->count / dedup->full;
}

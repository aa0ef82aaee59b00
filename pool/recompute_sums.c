/* recompute_sums.c: see recompute_sums.h. */
#include "recompute_sums.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal_file.h"

#define SUMS_MERGE 65536 /* Merged again whenever it has doubled since: memory follows accounts. */
#define SEEN_BYTES 16
#define SEEN_FIRST (1u << 16)

/* Room for one more item. */
static owm_status grow(void **items, size_t count, size_t *room, size_t item_bytes)
{
    if (count < *room) return OWM_OK;
    size_t wanted = *room ? 2 * *room : 256;
    void *more = realloc(*items, wanted * item_bytes);
    if (!more) return OWM_E_NOMEM;
    *items = more;
    *room = wanted;
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- sums */

int recompute_compare(const struct recompute_key *a, const struct recompute_key *b)
{
    if (a->day != b->day) return a->day < b->day ? -1 : 1;
    return a->account < b->account ? -1 : a->account > b->account;
}

static int compare_items(const void *a, const void *b)
{
    return recompute_compare(&((const struct recompute_item *)a)->key,
                             &((const struct recompute_item *)b)->key);
}

void recompute_sums_sort(struct recompute_sums *sums)
{
    size_t kept = 0;
    if (sums->count == 0) return;
    qsort(sums->items, sums->count, sizeof(*sums->items), compare_items);
    for (size_t i = 1; i < sums->count; i++) {
        struct recompute_item *last = &sums->items[kept];
        if (recompute_compare(&last->key, &sums->items[i].key) != 0) {
            sums->items[++kept] = sums->items[i];
            continue;
        }
        last->sum.shares += sums->items[i].sum.shares;
        last->sum.hashes += sums->items[i].sum.hashes;
        last->sum.psat += sums->items[i].sum.psat;
    }
    sums->count = kept + 1;
}

owm_status recompute_sums_add(struct recompute_sums *sums, struct recompute_key key,
                              const struct recompute_sum *sum)
{
    if (sums->count == sums->room && sums->count >= SUMS_MERGE) {
        recompute_sums_sort(sums);
        if (sums->count < sums->room / 2) goto add; /* That made enough room. */
    }
    owm_status status = grow((void **)&sums->items, sums->count, &sums->room, sizeof(*sums->items));
    if (status != OWM_OK) return status;
add:
    sums->items[sums->count++] = (struct recompute_item){key, *sum};
    return OWM_OK;
}

void recompute_sums_deinit(struct recompute_sums *sums)
{
    free(sums->items);
}

char *recompute_day_text(int32_t day, char text[16])
{
    time_t when = (time_t)day * 86400;
    struct tm parts;
    if (!gmtime_r(&when, &parts) || strftime(text, 16, "%Y-%m-%d", &parts) == 0)
        memcpy(text, "?", 2);
    return text;
}

/* ---------------------------------------------------------------------------- bases */

owm_status recompute_bases_add(struct recompute_bases *bases, const struct recompute_basis *basis)
{
    owm_status status =
        grow((void **)&bases->items, bases->count, &bases->room, sizeof(*bases->items));
    if (status == OWM_OK) bases->items[bases->count++] = *basis;
    return status;
}

static int compare_basis(const void *key, const void *item)
{
    int32_t id = *(const int32_t *)key, other = ((const struct recompute_basis *)item)->id;
    return id < other ? -1 : id > other;
}

const struct recompute_basis *recompute_bases_find(const struct recompute_bases *bases, int32_t id)
{
    if (bases->count == 0) return NULL;
    return bsearch(&id, bases->items, bases->count, sizeof(*bases->items), compare_basis);
}

const struct recompute_basis *recompute_bases_of_tip(const struct recompute_bases *bases,
                                                     const uint8_t previous[32])
{
    for (size_t i = bases->count; i-- > 0;)
        if (memcmp(bases->items[i].basis.previous, previous, 32) == 0) return &bases->items[i];
    return NULL;
}

void recompute_bases_deinit(struct recompute_bases *bases)
{
    free(bases->items);
}

/* ---------------------------------------------------------------------------- accounts */

owm_status recompute_accounts_add(struct recompute_accounts *accounts,
                                  const uint8_t id[OWM_MINER_ID_BYTES], int32_t account)
{
    owm_status status =
        grow((void **)&accounts->items, accounts->count, &accounts->room, sizeof(*accounts->items));
    if (status != OWM_OK) return status;
    struct recompute_account *item = &accounts->items[accounts->count++];
    memcpy(item->id, id, sizeof(item->id));
    item->account = account;
    return OWM_OK;
}

static int compare_account(const void *key, const void *item)
{
    return memcmp(key, ((const struct recompute_account *)item)->id, OWM_MINER_ID_BYTES);
}

int32_t recompute_accounts_find(const struct recompute_accounts *accounts,
                                const uint8_t id[OWM_MINER_ID_BYTES])
{
    if (accounts->count == 0) return 0;
    const struct recompute_account *item =
        bsearch(id, accounts->items, accounts->count, sizeof(*accounts->items), compare_account);
    return item ? item->account : 0;
}

void recompute_accounts_deinit(struct recompute_accounts *accounts)
{
    free(accounts->items);
}

/* ---------------------------------------------------------------------------- hashes */

static uint8_t *seen_slot(uint8_t *slots, size_t room, const uint8_t *key)
{
    static const uint8_t none[SEEN_BYTES];
    uint64_t word;
    memcpy(&word, key, sizeof(word));
    for (size_t at = (size_t)(word % room);; at = (at + 1) % room) {
        uint8_t *slot = slots + at * SEEN_BYTES;
        if (memcmp(slot, none, SEEN_BYTES) == 0 || memcmp(slot, key, SEEN_BYTES) == 0) return slot;
    }
}

static owm_status seen_grow(struct recompute_seen *seen)
{
    static const uint8_t none[SEEN_BYTES];
    size_t room = seen->room ? 2 * seen->room : SEEN_FIRST;
    if (room > RECOMPUTE_SEEN_MAX) return OWM_E_LIMIT;
    uint8_t *slots = calloc(room, SEEN_BYTES);
    if (!slots) return OWM_E_NOMEM;
    for (size_t i = 0; i < seen->room; i++) {
        const uint8_t *key = seen->slots + i * SEEN_BYTES;
        if (memcmp(key, none, SEEN_BYTES) != 0)
            memcpy(seen_slot(slots, room, key), key, SEEN_BYTES);
    }
    free(seen->slots);
    seen->slots = slots;
    seen->room = room;
    return OWM_OK;
}

owm_status recompute_seen_add(struct recompute_seen *seen, const uint8_t hash[32], bool *fresh)
{
    if (2 * seen->count >= seen->room) {
        owm_status status = seen_grow(seen);
        if (status != OWM_OK) return status;
    }
    /* The last bytes of a hash are the ones that proof of work makes small. */
    uint8_t *slot = seen_slot(seen->slots, seen->room, hash);
    *fresh = memcmp(slot, hash, SEEN_BYTES) != 0;
    memcpy(slot, hash, SEEN_BYTES);
    seen->count += *fresh;
    return OWM_OK;
}

void recompute_seen_deinit(struct recompute_seen *seen)
{
    free(seen->slots);
}

/* ---------------------------------------------------------------------------- journal */

static owm_status read_segment(const char *folder, const struct owm_journal_segment *segment,
                               const struct owm_journal_sink *sink, struct owm_error *error)
{
    struct owm_journal_source *source = NULL;
    bool damaged = false;
    owm_status status = owm_journal_source_open(folder, segment, &source, error);
    if (status == OWM_E_NOTFOUND) return OWM_OK;
    if (status != OWM_OK) return status;
    while (status == OWM_OK) status = owm_journal_source_next(source, sink, error);
    bool whole = status == OWM_E_CANCELLED;
    if (status == OWM_E_NOTFOUND) status = owm_journal_source_damaged(source, &damaged, error);
    if (damaged)
        status = owm_fail(error, OWM_E_PROTO, "journal: %s/%s is damaged", folder, segment->name);
    owm_journal_source_close(source);
    return whole ? OWM_OK : status;
}

owm_status recompute_read_folder(const char *folder, const struct owm_journal_sink *sink,
                                 struct owm_error *error)
{
    struct owm_journal_segment *segments;
    size_t count;
    owm_status status = owm_journal_list(folder, &segments, &count, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++)
        status = read_segment(folder, &segments[i], sink, error);
    free(segments);
    return status;
}

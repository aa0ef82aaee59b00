/* coins.c: open addressing with linear probing; a removal moves what stood behind it forward. */
#include "coins.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "base/status.h"

#define SLOTS_FIRST 1024

struct slot {
    struct coin_key key;
    struct coin coin;
    bool used;
};

struct coins {
    struct slot *slot;
    size_t slots, used; /* slots is a power of two. */
};

struct coins *coins_open(void)
{
    struct coins *coins = calloc(1, sizeof *coins);
    if (!coins) return NULL;
    coins->slots = SLOTS_FIRST;
    coins->slot = calloc(coins->slots, sizeof *coins->slot);
    if (coins->slot) return coins;
    free(coins);
    return NULL;
}

void coins_close(struct coins *coins)
{
    if (!coins) return;
    free(coins->slot);
    free(coins);
}

void coins_clear(struct coins *coins)
{
    memset(coins->slot, 0, coins->slots * sizeof *coins->slot);
    coins->used = 0;
}

/* A txid is a hash already. */
static size_t home(const struct coins *coins, const struct coin_key *key)
{
    size_t start;
    memcpy(&start, key->txid, sizeof start);
    return (start + key->index) & (coins->slots - 1);
}

static bool same(const struct coin_key *a, const struct coin_key *b)
{
    return a->index == b->index && memcmp(a->txid, b->txid, 32) == 0;
}

/* Where the key is, or the free slot where it would be. */
static size_t seek(const struct coins *coins, const struct coin_key *key)
{
    size_t at = home(coins, key);
    while (coins->slot[at].used && !same(&coins->slot[at].key, key))
        at = (at + 1) & (coins->slots - 1);
    return at;
}

const struct coin *coins_find(const struct coins *coins, const struct coin_key *key)
{
    const struct slot *slot = &coins->slot[seek(coins, key)];
    return slot->used ? &slot->coin : NULL;
}

static bool widen(struct coins *coins)
{
    struct coins wider = {.slots = 2 * coins->slots, .used = coins->used};
    wider.slot = calloc(wider.slots, sizeof *wider.slot);
    if (!wider.slot) return false;
    for (size_t i = 0; i < coins->slots; i++)
        if (coins->slot[i].used) wider.slot[seek(&wider, &coins->slot[i].key)] = coins->slot[i];
    free(coins->slot);
    *coins = wider;
    return true;
}

bool coins_add(struct coins *coins, const struct coin_key *key, const struct coin *coin)
{
    if (2 * (coins->used + 1) > coins->slots && !widen(coins)) return false;
    struct slot *slot = &coins->slot[seek(coins, key)];
    OWM_ASSERT(!slot->used);
    *slot = (struct slot){.key = *key, .coin = *coin, .used = true};
    coins->used++;
    return true;
}

void coins_remove(struct coins *coins, const struct coin_key *key)
{
    const size_t mask = coins->slots - 1;
    size_t hole = seek(coins, key);
    OWM_ASSERT(coins->slot[hole].used);
    for (size_t at = (hole + 1) & mask; coins->slot[at].used; at = (at + 1) & mask) {
        /* It may fill the hole unless its home lies between the hole and it. */
        size_t from = home(coins, &coins->slot[at].key);
        if (((at - from) & mask) < ((at - hole) & mask)) continue;
        coins->slot[hole] = coins->slot[at];
        hole = at;
    }
    coins->slot[hole].used = false;
    coins->used--;
}

bool coins_next(const struct coins *coins, size_t *at, struct coin_key *key, struct coin *coin)
{
    while (*at < coins->slots && !coins->slot[*at].used) (*at)++;
    if (*at == coins->slots) return false;
    *key = coins->slot[*at].key;
    *coin = coins->slot[*at].coin;
    (*at)++;
    return true;
}

uint32_t coin_script(enum coin_kind kind, uint8_t script[34])
{
    static const uint8_t op_true = 0x51;
    script[0] = op_true;
    if (kind == COIN_TRUE) return 1;
    OWM_ASSERT(kind == COIN_WITNESS_TRUE);
    script[0] = 0; /* Witness version 0, and the hash of the script that the witness shows. */
    script[1] = 32;
    owm_sha256(&op_true, 1, script + 2);
    return 34;
}

enum coin_kind coin_kind_of(struct wire_view script)
{
    uint8_t known[34];
    for (enum coin_kind kind = COIN_TRUE; kind <= COIN_WITNESS_TRUE; kind++) {
        uint32_t bytes = coin_script(kind, known);
        if (bytes == script.bytes && memcmp(known, script.data, bytes) == 0) return kind;
    }
    return COIN_OTHER;
}

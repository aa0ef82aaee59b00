/* coins.h: unspent outputs of the active chain, in memory. */
#ifndef OWM_DEVNET_BLOCKS_COINS_H
#define OWM_DEVNET_BLOCKS_COINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/** What this program can judge of a spend: OP_TRUE, bare or behind a witness hash. All else is
 * kept, so that amounts are right, but never spent. */
enum coin_kind { COIN_OTHER, COIN_TRUE, COIN_WITNESS_TRUE };

/** Who spends it: the invented transactions of our templates, or the wallet. What neither was
 *  premined for nor made of such coins is nobody's. */
enum coin_owner { COIN_NOBODY, COIN_TEMPLATES, COIN_WALLET };

struct coin_key {
    uint8_t txid[32];
    uint32_t index;
};

struct coin {
    int64_t value_sats;
    uint32_t height;
    enum coin_kind kind;
    enum coin_owner owner;
    bool coinbase;
};

struct coins;

/** coins_open: NULL without memory. */
struct coins *coins_open(void);
void coins_close(struct coins *coins); /* NULL is allowed. */
void coins_clear(struct coins *coins);

/** coins_find: borrowed until the next change; NULL: not there. */
const struct coin *coins_find(const struct coins *coins, const struct coin_key *key);

/** coins_add: the key is not there yet. Returns false without memory. */
bool coins_add(struct coins *coins, const struct coin_key *key, const struct coin *coin);
void coins_remove(struct coins *coins, const struct coin_key *key); /* It is there. */

/** coins_next: walks all of them, in no order that means anything; *at starts with 0. false: end.
 * */
bool coins_next(const struct coins *coins, size_t *at, struct coin_key *key, struct coin *coin);

/** coin_script: the script of a kind that can be spent. [34] written; returns its length. */
uint32_t coin_script(enum coin_kind kind, uint8_t script[34]);
enum coin_kind coin_kind_of(struct wire_view script);

#endif

/* share_maker.h: shares for tests: the n-th one is the same each time, and its hash tells n. */
#ifndef OWM_TESTS_SHARE_MAKER_H
#define OWM_TESTS_SHARE_MAKER_H

#include "pool/share.h"

#define MAKER_MINERS  5
#define MAKER_WORKERS 3

struct made_share {
    struct owm_share share;
    struct owm_miner miner;
    struct owm_worker worker;
    struct owm_basis basis; /* share.basis points here. */
};

/** make_share: number n, accepted at time_ms, on the tip that `tip` stands for. */
void make_share(uint64_t n, int64_t time_ms, uint32_t tip, struct made_share *made);

/** share_number: the n of a hash that make_share made. */
uint64_t share_number(const uint8_t hash[32]);

/** make_folder: a fresh folder below /tmp; path [64]. remove_folder: with everything in it. */
void make_folder(char *path);
void remove_folder(const char *path);

#endif

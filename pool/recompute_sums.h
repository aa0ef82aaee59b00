/* recompute_sums.h: the tables that a recomputation holds in memory: sums, bases, accounts, hashes.
 * Each starts as zeros. Thread: one at a time.
 */
#ifndef OWM_POOL_RECOMPUTE_SUMS_H
#define OWM_POOL_RECOMPUTE_SUMS_H

#include <stddef.h>

#include "base/status.h"
#include "journal_reader.h"
#include "share.h"

#define RECOMPUTE_SEEN_MAX (1u << 26) /* Hashes of one run over a journal: 1 GiB. */

struct recompute_key {
    int32_t day, account;
};
struct recompute_sum {
    uint64_t shares;
    unsigned __int128 hashes, psat;
};
struct recompute_item {
    struct recompute_key key;
    struct recompute_sum sum;
};

/** Sums by (day, account): added in any order; sorted and merged by recompute_sums_sort. */
struct recompute_sums {
    struct recompute_item *items;
    size_t count, room;
};
OWM_MUST_USE owm_status recompute_sums_add(struct recompute_sums *sums, struct recompute_key key,
                                           const struct recompute_sum *sum);
void recompute_sums_sort(struct recompute_sums *sums);
void recompute_sums_deinit(struct recompute_sums *sums);
int recompute_compare(const struct recompute_key *a, const struct recompute_key *b);

/** recompute_day_text: "2026-11-29". Returns text. */
char *recompute_day_text(int32_t day, char text[16]);

struct recompute_basis {
    int32_t id, day;
    struct owm_basis basis;
};
struct recompute_bases {
    struct recompute_basis *items; /* By id. */
    size_t count, room;
};
OWM_MUST_USE owm_status recompute_bases_add(struct recompute_bases *bases,
                                            const struct recompute_basis *basis);
const struct recompute_basis *recompute_bases_find(const struct recompute_bases *bases, int32_t id);

/** recompute_bases_of_tip: one of the bases on this tip: tells the day of its shares. */
const struct recompute_basis *recompute_bases_of_tip(const struct recompute_bases *bases,
                                                     const uint8_t previous[32]);
void recompute_bases_deinit(struct recompute_bases *bases);

struct recompute_accounts {
    struct recompute_account {
        uint8_t id[OWM_MINER_ID_BYTES];
        int32_t account;
    } * items; /* By id. */
    size_t count, room;
};
OWM_MUST_USE owm_status recompute_accounts_add(struct recompute_accounts *accounts,
                                               const uint8_t id[OWM_MINER_ID_BYTES],
                                               int32_t account);
/** recompute_accounts_find: 0: unknown. */
int32_t recompute_accounts_find(const struct recompute_accounts *accounts,
                                const uint8_t id[OWM_MINER_ID_BYTES]);
void recompute_accounts_deinit(struct recompute_accounts *accounts);

/** Hashes of shares, by 16 of their bytes that no miner can choose. OWM_E_LIMIT: more than
 *  RECOMPUTE_SEEN_MAX / 2 of them. */
struct recompute_seen {
    uint8_t *slots; /* [room][16] */
    size_t count, room;
};
OWM_MUST_USE owm_status recompute_seen_add(struct recompute_seen *seen, const uint8_t hash[32],
                                           bool *fresh);
void recompute_seen_deinit(struct recompute_seen *seen);

/** recompute_read_folder: every share of every segment, compressed ones too. A segment's torn end
 *  is its end. Returns: OWM_OK; OWM_E_IO; OWM_E_NOMEM; OWM_E_PROTO damage, with the file. */
OWM_MUST_USE owm_status recompute_read_folder(const char *folder,
                                              const struct owm_journal_sink *sink,
                                              struct owm_error *error);

#endif

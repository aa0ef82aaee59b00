/* share.h: an accepted share, and what fixes its price: the unit that the journal keeps, the
 * database holds for 30 days and the recomputation pays by.
 *
 * Price of a share of h hashes, in picosats (1e-12 sat), one floor division per share:
 *
 *   whole = floor((subsidy_sats + fees_sats) * 1e12 * h / network_hashes)
 *   miner = floor(whole * pay_basis_points / 10000),   treasury = whole - miner
 *
 * network_hashes = owm_target_hashes(target of bits). Sums of whole numbers never drift, whatever
 * the order in which shares are added (SRS-POOL-04, by the share's difficulty).
 */
#ifndef OWM_POOL_SHARE_H
#define OWM_POOL_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define OWM_MINER_ID_BYTES    16
#define OWM_WORKER_ID_BYTES   8
#define OWM_MINER_TEXT_BYTES  256 /* With its terminator. */
#define OWM_WORKER_TEXT_BYTES 64
#define OWM_PAY_BASIS_POINTS  8000 /* 80 % to miners (SRS-POOL-04, 08). */
#define OWM_BASIS_POINTS      10000
#define OWM_PRICE_BITS        96 /* No price is above 2^96 picosats: more than all bitcoin. */

/** owm_basis: what a share on one tip is worth. */
struct owm_basis {
    uint8_t previous[32]; /* The tip: hash of the block before. */
    uint32_t height, bits;
    uint64_t subsidy_sats;
    uint64_t fees_sats; /* Counted into the price; 0 where the pool keeps to the subsidy. */
    uint16_t pay_basis_points;
};

/** Who a share belongs to. A node has proven its Ed25519 key in the connection (SRS-POOL-02); a
 *  name is what a stock miner said in user_identity, up to its first dot. */
enum owm_miner_kind { OWM_MINER_NAMED = 0, OWM_MINER_NODE = 1 };

struct owm_miner {
    uint8_t id[OWM_MINER_ID_BYTES]; /* SHA-256(kind || text), cut. */
    enum owm_miner_kind kind;
    char text[OWM_MINER_TEXT_BYTES]; /* Node: 64 hex digits of its key; named: printable UTF-8. */
};
struct owm_worker {
    uint8_t id[OWM_WORKER_ID_BYTES]; /* SHA-256(text), cut. */
    char text[OWM_WORKER_TEXT_BYTES];
};

/** owm_miner_of/owm_worker_of: fill from kind and text. text is checked: 1 to the limit of
 *  printable UTF-8 bytes, no control characters. Returns false otherwise. A worker may be empty. */
bool owm_miner_of(enum owm_miner_kind kind, const char *text, struct owm_miner *miner);
bool owm_worker_of(const char *text, struct owm_worker *worker);

/** owm_share: one accepted proof of work. */
struct owm_share {
    uint8_t hash[32]; /* Of its header: what makes it one share and not two. */
    int64_t time_ms;  /* Wall clock, when it was accepted. */
    uint64_t hashes;  /* Its credit: of the target of its job, not of its own hash. */
    uint8_t miner[OWM_MINER_ID_BYTES];
    uint8_t worker[OWM_WORKER_ID_BYTES];
    const struct owm_basis *basis;
    bool block; /* It solved a block. */
};

/** owm_price: picosats of one share; miner + treasury = whole. Bits that stand for no target make
 *  it 0, and a price above 2^96 (a test network's) is 2^96, so that sums stay within 128 bits. */
struct owm_price {
    unsigned __int128 whole, miner;
};
void owm_share_price(const struct owm_basis *basis, uint64_t hashes, struct owm_price *price);

#endif

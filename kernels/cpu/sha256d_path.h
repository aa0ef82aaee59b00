/* sha256d_path.h: the ways in which this processor can do SHA-256d, and what they share.
 *
 * A path is a scan and a batch on one thread; sha256d.c cuts the ops into pieces for it. A scan
 * only finds candidates: nonces whose hash has its highest word at or below the target's. Whether a
 * candidate is a hit is decided in one place, sha256d_candidate.
 */
#ifndef OWM_KERNELS_CPU_SHA256D_PATH_H
#define OWM_KERNELS_CPU_SHA256D_PATH_H

#include <stdatomic.h>

#include "base/pool.h"
#include "kernels/backend.h"

/* Most midstates in one call of scan_rolled: the schedule of a nonce costs a path with 16 lanes
 * 1/64 of a compression, and the starts fit the first-level cache. */
#define SHA256D_ROLLED_MAX 64

/* Messages whose hashes are folded at once on the stack. */
#define SHA256D_MERKLE_ROWS 32

/* FIPS 180-4, 4.2.2 and 5.3.3. In the header, so that constants fold where they are used. */
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t sha256_iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static inline uint32_t sha256_ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* Lower-case sigma of 4.1.2: the message schedule. */
static inline uint32_t sha256_s0(uint32_t x)
{
    return sha256_ror(x, 7) ^ sha256_ror(x, 18) ^ x >> 3;
}

static inline uint32_t sha256_s1(uint32_t x)
{
    return sha256_ror(x, 17) ^ sha256_ror(x, 19) ^ x >> 10;
}

/** The state after round 0 of a hash, taking W0 as 0: a and e, by addition, are what it enters. */
static inline void sha256_after_round_0(uint32_t out[8])
{
    const uint32_t *h = sha256_iv;
    uint32_t big0 = sha256_ror(h[0], 2) ^ sha256_ror(h[0], 13) ^ sha256_ror(h[0], 22);
    uint32_t big1 = sha256_ror(h[4], 6) ^ sha256_ror(h[4], 11) ^ sha256_ror(h[4], 25);
    uint32_t t1 = h[7] + big1 + (h[6] ^ (h[4] & (h[5] ^ h[6]))) + sha256_k[0];
    uint32_t t2 = big0 + ((h[0] & h[1]) ^ (h[0] & h[2]) ^ (h[1] & h[2]));
    for (int i = 7; i > 0; i--) out[i] = h[i - 1];
    out[4] += t1;
    out[0] = t1 + t2;
}

static inline uint32_t sha256_load_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void sha256_store_be(uint8_t *p, uint32_t x)
{
    x = __builtin_bswap32(
        x); /* All our targets are little-endian (static_assert in sha256d_ref.c). */
    __builtin_memcpy(p, &x, sizeof x);
}

/** sha256d_search: one sha256d_scan under way on one or several threads. */
struct sha256d_search {
    const struct owm_sha256d_scan *op;
    uint32_t word[3]; /* The tail as words of the schedule: W0..W2 of the second block. */
    uint32_t top;     /* The target's highest four bytes: a candidate's are at most this. */
    atomic_uint_least64_t found;
};

struct sha256d_path {
    const char *name;
    bool (*here)(void);

    /** scan: candidates among nonces first.. (count of them, modulo 2^32) of one midstate. */
    void (*scan)(struct sha256d_search *search, uint32_t midstate, uint32_t first, uint32_t count);

    /** scan_rolled: the same for midstates midstate.. (rolled of them: a multiple of `lanes`, at
     *  most SHA256D_ROLLED_MAX), which share the schedule. NULL: scan serves. */
    void (*scan_rolled)(struct sha256d_search *search, uint32_t midstate, uint32_t rolled,
                        uint32_t first, uint32_t count);
    uint32_t lanes; /* Of scan_rolled. */

    /** batch: as the op, on one thread. */
    void (*batch)(const struct owm_sha256d_batch *op);

    /** blocks: state after `count` more blocks of 64 bytes of one message. NULL: lanes do not help
     *  one message, so another path has to. */
    void (*blocks)(uint32_t state[8], const uint8_t *message, size_t count);
};

/** sha256d_path_at: the paths in this build, fastest first; NULL past the end. Not each is here. */
const struct sha256d_path *sha256d_path_at(size_t index);

/** sha256d_path_best: the first one here of those that an isa of owm_device_config allows; "avx2"
 *  allows the SHA extensions too, NULL all. */
const struct sha256d_path *sha256d_path_best(const char *isa);

/** sha256_path_best: likewise, of those with `blocks`. */
const struct sha256d_path *sha256_path_best(const char *isa);

/** sha256d_start: state after rounds 0..3 of the second block, taking the nonce's word W3 as 0; it
 *  goes into a and e by addition alone, so the rest of the start is the same for all nonces. */
void sha256d_start(uint32_t start[8], const uint32_t midstate[8], const uint32_t word[3]);

/** sha256d_candidate: hash the header in full and note a hit. Thread: any. */
void sha256d_candidate(struct sha256d_search *search, uint32_t midstate, uint32_t nonce);

/** sha256d_last_blocks: the end of a padded message (FIPS 180-4, 5.1.1): what follows its last
 *  whole block. Returns: how many blocks, 1 or 2. */
size_t sha256d_last_blocks(uint8_t block[128], const uint8_t *message, size_t bytes);

/* The ops by way of one path, cut into pieces for the pool (NULL: none). */
OWM_MUST_USE owm_status sha256d_scan_by(const struct sha256d_path *path, struct owm_pool *pool,
                                        const struct owm_sha256d_scan *op);
OWM_MUST_USE owm_status sha256d_batch_by(const struct sha256d_path *path, struct owm_pool *pool,
                                         const struct owm_sha256d_batch *op);
OWM_MUST_USE owm_status sha256d_merkle_by(const struct sha256d_path *path, struct owm_pool *pool,
                                          const struct owm_sha256d_merkle *op);

OWM_MUST_USE owm_status sha256_by(const struct sha256d_path *path, const struct owm_sha256 *op);

/** sha256_blocks_c: `blocks` in plain C. */
void sha256_blocks_c(uint32_t state[8], const uint8_t *message, size_t count);

/* The ops of the cpu backend: by the device's path and pool. */
owm_status cpu_sha256d_scan(struct owm_device *, const struct owm_sha256d_scan *);
owm_status cpu_sha256d_batch(struct owm_device *, const struct owm_sha256d_batch *);
owm_status cpu_sha256d_merkle(struct owm_device *, const struct owm_sha256d_merkle *);
owm_status cpu_sha256(struct owm_device *, const struct owm_sha256 *);

/* sha256d_ref.c: FIPS 180-4 word by word; the judge. */
void ref_sha256_compress(uint32_t state[8], const uint8_t block[64]);
void ref_sha256(uint8_t hash[32], const void *message, size_t bytes);
owm_status ref_sha256d_scan(struct owm_device *, const struct owm_sha256d_scan *);
owm_status ref_sha256d_batch(struct owm_device *, const struct owm_sha256d_batch *);
owm_status ref_sha256d_merkle(struct owm_device *, const struct owm_sha256d_merkle *);
owm_status ref_sha256_op(struct owm_device *, const struct owm_sha256 *);

#endif

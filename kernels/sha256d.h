/* sha256d.h: contracts of the SHA-256 ops (a part of ops.h): mining, share validation, merkle
 * roots, checkpoints. SHA-256 is FIPS 180-4; SHA-256d is SHA-256 of the SHA-256.
 *
 * Letters: N messages, M midstates, B branches. A hash is its 32 bytes as SHA-256 writes them; read
 * as a number for a target, byte 31 is the highest (Bitcoin's uint256). Bitcoin shows them
 * reversed. Null pointers not marked optional, and counts of 0, are OWM_E_ARG. Exact:  same bits on
 * every backend and any number of threads.
 */
#ifndef OWM_KERNELS_SHA256D_H
#define OWM_KERNELS_SHA256D_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWM_HEADER_BYTES              80
#define OWM_HEADER_TAIL_BYTES         12
#define OWM_SHA256D_MIDSTATES_MAX     65536 /* What 16 version bits give (BIP 320). */
#define OWM_SHA256D_NONCES            (UINT64_C(1) << 32)
#define OWM_MERKLE_BRANCHES_MAX       32
#define OWM_MERKLE_COINBASE_BYTES_MAX 1000000 /* A block's non-witness data is never more. */

/** owm_sha256d_hit: midstate[midstate] with this nonce meets the target. */
struct owm_sha256d_hit {
    uint32_t midstate, nonce;
};

/** sha256d_scan: find all nonces whose block header hashes to the target or below.
 *
 *  hit       [hit_max], host; written: in no particular order.
 *  found     1 u32, host; written: how many there are, also when the buffer is too small.
 *  midstate  [M][8] u32, host: state after the first 64 bytes of the header (owm_header_midstate);
 *                 several where only the version differs (overt AsicBoost, BIP 320): they share the
 *                 message schedule of the rest.
 *  tail      [12], host: bytes 64..75 of the header: end of the merkle root, time, bits.
 *  target    [32], host: compared as a number; equal is a hit.
 *  Nonces first, first + 1, ... (count of them, at most 2^32; after 2^32 - 1 comes 0), each with
 *  every midstate. A nonce's four bytes in the header are little-endian.
 *  Synchronous: the caller chooses `count` for the latency it wants.
 *  Returns: OWM_OK; OWM_E_ARG also for count > 2^32, M above its limit; OWM_E_LIMIT: *found >
 *           hit_max, and hit holds hit_max of them, which ones is not said; OWM_E_DEVICE. */
struct owm_sha256d_scan {
    struct owm_sha256d_hit *hit;
    uint32_t *found;
    const uint32_t (*midstate)[8];
    const uint8_t *tail, *target;
    uint64_t count;
    uint32_t first, midstates, hit_max;
};

/** sha256d_batch: SHA-256d of N messages of one length; for block headers `bytes` is 80.
 *
 *  hash     [N][32] u8; written; does not overlap message.
 *  message  [N][stride] u8; the first `bytes` of each row are hashed.
 *  Returns: OWM_OK; OWM_E_ARG also for stride < bytes; OWM_E_DEVICE. */
struct owm_sha256d_batch {
    uint8_t *hash;
    const uint8_t *message;
    size_t stride;
    uint32_t count, bytes;
};

/** sha256d_merkle: merkle roots of N blocks that differ in the coinbase alone: the SHA-256d of each
 *  coinbase, folded with the branches from the left: h = SHA-256d(h || branch[i]).
 *
 *  root      [N][32] u8; written; does not overlap coinbase.
 *  coinbase  [N][stride] u8; the first `bytes` of each row: the transaction without its witness.
 *  branch    [B][32] u8; B may be 0 (then NULL is allowed): a block of one transaction.
 *  Returns: OWM_OK; OWM_E_ARG also for stride < bytes; OWM_E_LIMIT: bytes or B above its limit;
 *           OWM_E_DEVICE. */
struct owm_sha256d_merkle {
    uint8_t *root;
    const uint8_t *coinbase, *branch;
    size_t stride;
    uint32_t count, bytes, branches;
};

/** sha256: SHA-256 of one message, once. For checkpoints and other large things in memory; what the
 *  control plane hashes goes by base/sha256.h, on the library that it links anyway.
 *
 *  hash     [32], host; written.
 *  message  [bytes], host; may be NULL if bytes is 0, which is allowed here.
 *  Synchronous, on the calling thread: a message has one order.
 *  Returns: OWM_OK; OWM_E_ARG; OWM_E_LIMIT: bytes above OWM_SHA256_MESSAGE_MAX. */
struct owm_sha256 {
    uint8_t *hash;
    const void *message;
    uint64_t bytes;
};
#define OWM_SHA256_MESSAGE_MAX ((UINT64_C(1) << 61) - 1) /* Its bits are counted in 64 bits. */

#ifdef __cplusplus
extern "C" {
#endif

/** owm_header_midstate: the state of SHA-256 after the first 64 bytes of a block header. */
void owm_header_midstate(uint32_t midstate[8], const uint8_t header[OWM_HEADER_BYTES]);

/** owm_sha256d_meets: hash <= target, both as numbers. */
bool owm_sha256d_meets(const uint8_t hash[32], const uint8_t target[32]);

#ifdef __cplusplus
}
#endif
#endif

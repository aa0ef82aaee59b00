/* sha256d_ref.c: SHA-256 (FIPS 180-4) word by word, and the SHA-256d ops on it, without a shortcut:
 * the judge of every other path. */
#include <string.h>

#include "kernels/check.h"
#include "sha256d_path.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are swapped without asking");

static uint32_t big_sigma0(uint32_t x)
{
    return sha256_ror(x, 2) ^ sha256_ror(x, 13) ^ sha256_ror(x, 22);
}

static uint32_t big_sigma1(uint32_t x)
{
    return sha256_ror(x, 6) ^ sha256_ror(x, 11) ^ sha256_ror(x, 25);
}

static uint32_t choose(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (~x & z);
}

static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}

/* s = {a, b, c, d, e, f, g, h} of 6.2.2 step 3. */
static void one_round(uint32_t s[8], uint32_t k, uint32_t w)
{
    uint32_t t1 = s[7] + big_sigma1(s[4]) + choose(s[4], s[5], s[6]) + k + w;
    uint32_t t2 = big_sigma0(s[0]) + majority(s[0], s[1], s[2]);
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += t1;
    s[0] = t1 + t2;
}

void ref_sha256_compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64], s[8];
    for (int t = 0; t < 16; t++) w[t] = sha256_load_be(block + 4 * t);
    for (int t = 16; t < 64; t++)
        w[t] = sha256_s1(w[t - 2]) + w[t - 7] + sha256_s0(w[t - 15]) + w[t - 16];
    memcpy(s, state, sizeof s);
    for (int t = 0; t < 64; t++) one_round(s, sha256_k[t], w[t]);
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

void sha256d_start(uint32_t start[8], const uint32_t midstate[8], const uint32_t word[3])
{
    memcpy(start, midstate, 8 * sizeof *start);
    for (int t = 0; t < 4; t++) one_round(start, sha256_k[t], t < 3 ? word[t] : 0);
}

size_t sha256d_last_blocks(uint8_t block[128], const uint8_t *message, size_t bytes)
{
    size_t rest = bytes % 64, blocks = rest < 56 ? 1 : 2;
    memset(block, 0, 128);
    memcpy(block, message + bytes - rest, rest);
    block[rest] = 0x80;
    uint64_t bits = __builtin_bswap64((uint64_t)bytes * 8);
    memcpy(block + 64 * blocks - 8, &bits, 8);
    return blocks;
}

/* The end of a message from `state`, which has taken all but the last bytes % 64. */
static void finish(uint8_t hash[32], uint32_t state[8], const uint8_t *message, size_t bytes)
{
    uint8_t block[128];
    size_t blocks = sha256d_last_blocks(block, message, bytes);
    for (size_t i = 0; i < blocks; i++) ref_sha256_compress(state, block + 64 * i);
    for (int i = 0; i < 8; i++) sha256_store_be(hash + 4 * i, state[i]);
}

void ref_sha256(uint8_t hash[32], const void *message, size_t bytes)
{
    const uint8_t *at = message;
    uint32_t state[8];
    memcpy(state, sha256_iv, sizeof state);
    for (size_t i = 0; i < bytes / 64; i++) ref_sha256_compress(state, at + 64 * i);
    finish(hash, state, at, bytes);
}

static void ref_sha256d(uint8_t hash[32], const void *message, size_t bytes)
{
    uint8_t once[32];
    ref_sha256(once, message, bytes);
    ref_sha256(hash, once, sizeof once);
}

void owm_header_midstate(uint32_t midstate[8], const uint8_t header[OWM_HEADER_BYTES])
{
    memcpy(midstate, sha256_iv, 8 * sizeof *midstate);
    ref_sha256_compress(midstate, header);
}

bool owm_sha256d_meets(const uint8_t hash[32], const uint8_t target[32])
{
    for (int i = 31; i >= 0; i--)
        if (hash[i] != target[i]) return hash[i] < target[i];
    return true;
}

static void hash_nonce(uint8_t hash[32], const struct owm_sha256d_scan *op, uint32_t midstate,
                       uint32_t nonce)
{
    uint8_t header[OWM_HEADER_BYTES] = {0}, once[32];
    uint32_t state[8];
    memcpy(header + 64, op->tail, OWM_HEADER_TAIL_BYTES);
    memcpy(header + 76, &nonce, 4);
    memcpy(state, op->midstate[midstate], sizeof state);
    finish(once, state, header, sizeof header);
    ref_sha256(hash, once, sizeof once);
}

void sha256d_candidate(struct sha256d_search *search, uint32_t midstate, uint32_t nonce)
{
    const struct owm_sha256d_scan *op = search->op;
    uint8_t hash[32];
    hash_nonce(hash, op, midstate, nonce);
    if (!owm_sha256d_meets(hash, op->target)) return;
    uint64_t at = atomic_fetch_add_explicit(&search->found, 1, memory_order_relaxed);
    if (at < op->hit_max) op->hit[at] = (struct owm_sha256d_hit){midstate, nonce};
}

owm_status ref_sha256d_scan(struct owm_device *device, const struct owm_sha256d_scan *op)
{
    (void)device;
    owm_status status = owm_check_sha256d_scan(op);
    if (status) return status;
    uint64_t found = 0;
    for (uint64_t i = 0; i < op->count; i++) {
        uint32_t nonce = op->first + (uint32_t)i;
        for (uint32_t m = 0; m < op->midstates; m++) {
            uint8_t hash[32];
            hash_nonce(hash, op, m, nonce);
            if (!owm_sha256d_meets(hash, op->target)) continue;
            if (found < op->hit_max) op->hit[found] = (struct owm_sha256d_hit){m, nonce};
            found++;
        }
    }
    *op->found = found > UINT32_MAX ? UINT32_MAX : (uint32_t)found;
    return found > op->hit_max ? OWM_E_LIMIT : OWM_OK;
}

owm_status ref_sha256d_batch(struct owm_device *device, const struct owm_sha256d_batch *op)
{
    (void)device;
    owm_status status = owm_check_sha256d_batch(op);
    for (uint32_t i = 0; status == OWM_OK && i < op->count; i++)
        ref_sha256d(op->hash + (size_t)32 * i, op->message + i * op->stride, op->bytes);
    return status;
}

owm_status ref_sha256d_merkle(struct owm_device *device, const struct owm_sha256d_merkle *op)
{
    (void)device;
    owm_status status = owm_check_sha256d_merkle(op);
    for (uint32_t i = 0; status == OWM_OK && i < op->count; i++) {
        uint8_t *root = op->root + (size_t)32 * i, pair[64];
        ref_sha256d(root, op->coinbase + i * op->stride, op->bytes);
        for (uint32_t b = 0; b < op->branches; b++) {
            memcpy(pair, root, 32);
            memcpy(pair + 32, op->branch + (size_t)32 * b, 32);
            ref_sha256d(root, pair, sizeof pair);
        }
    }
    return status;
}

owm_status ref_sha256_op(struct owm_device *device, const struct owm_sha256 *op)
{
    (void)device;
    owm_status status = owm_check_sha256(op);
    if (status == OWM_OK) ref_sha256(op->hash, op->bytes ? op->message : "", (size_t)op->bytes);
    return status;
}

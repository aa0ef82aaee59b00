/* selftest_sha256d.c: the Bitcoin ops against the chain itself, and against the reference where the
 * chain has no answer. */
#include <string.h>

#include "selftest_trial.h"

/* The first block, and block 125552, which the Bitcoin wiki takes to explain hashing. Their hashes
 * are as SHA-256 writes them, the reverse of what people are shown. */
static const uint8_t block_0[OWM_HEADER_BYTES] = {
    0x01, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
    0,    0,    0,    0,    0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e,
    0x67, 0x76, 0x8f, 0x61, 0x7f, 0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa,
    0x4b, 0x1e, 0x5e, 0x4a, 0x29, 0xab, 0x5f, 0x49, 0xff, 0xff, 0x00, 0x1d, 0x1d, 0xac, 0x2b, 0x7c};
static const uint8_t hash_0[32] = {0x6f, 0xe2, 0x8c, 0x0a, 0xb6, 0xf1, 0xb3, 0x72, 0xc1, 0xa6, 0xa2,
                                   0x46, 0xae, 0x63, 0xf7, 0x4f, 0x93, 0x1e, 0x83, 0x65, 0xe1, 0x5a,
                                   0x08, 0x9c, 0x68, 0xd6, 0x19, 0x00, 0x00, 0x00, 0x00, 0x00};
static const uint8_t block_125552[OWM_HEADER_BYTES] = {
    0x01, 0x00, 0x00, 0x00, 0x81, 0xcd, 0x02, 0xab, 0x7e, 0x56, 0x9e, 0x8b, 0xcd, 0x93, 0x17, 0xe2,
    0xfe, 0x99, 0xf2, 0xde, 0x44, 0xd4, 0x9a, 0xb2, 0xb8, 0x85, 0x1b, 0xa4, 0xa3, 0x08, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xe3, 0x20, 0xb6, 0xc2, 0xff, 0xfc, 0x8d, 0x75, 0x04, 0x23, 0xdb, 0x8b,
    0x1e, 0xb9, 0x42, 0xae, 0x71, 0x0e, 0x95, 0x1e, 0xd7, 0x97, 0xf7, 0xaf, 0xfc, 0x88, 0x92, 0xb0,
    0xf1, 0xfc, 0x12, 0x2b, 0xc7, 0xf5, 0xd7, 0x4d, 0xf2, 0xb9, 0x44, 0x1a, 0x42, 0xa1, 0x46, 0x95};
static const uint8_t hash_125552[32] = {
    0x1d, 0xbd, 0x98, 0x1f, 0xe6, 0x98, 0x57, 0x76, 0xb6, 0x44, 0xb1, 0x73, 0xa4, 0xd0, 0x38, 0x5d,
    0xdc, 0x1a, 0xa2, 0xa8, 0x29, 0x68, 0x8d, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

#define NONCE_0 2083236893u

/* The first block's nonce among its neighbours, with its own target: that one and no other. */
static owm_status scan_block_0(struct trial *t)
{
    uint32_t midstate[1][8], found = 99;
    uint8_t target[32] = {[26] = 0xff, [27] = 0xff}; /* 1d00ffff */
    struct owm_sha256d_hit hit[4] = {{9, 9}};
    const struct owm_sha256d_hit right = {.midstate = 0, .nonce = NONCE_0};
    owm_header_midstate(midstate[0], block_0);
    struct owm_sha256d_scan a = {.hit = hit,
                                 .found = &found,
                                 .midstate = midstate,
                                 .tail = block_0 + 64,
                                 .target = target,
                                 .count = 300,
                                 .first = NONCE_0 - 177,
                                 .midstates = 1,
                                 .hit_max = 4};
    TRIAL_CALL(t, TRIED, sha256d_scan, &a);
    const uint32_t one = 1;
    TRIAL_ALL(trial_host(t, &found, &one, sizeof found));
    return trial_host(t, hit, &right, sizeof right);
}

/* Many hits on an easy target, over two midstates and the wrap of the nonce: as a set, since their
 * order is not promised. */
static owm_status scan_many(struct trial *t)
{
    enum { HITS = 256 };
    uint32_t midstate[2][8], found[SIDES] = {0};
    uint8_t target[32], seen[SIDES][2][256] = {{{0}}};
    struct owm_sha256d_hit hit[HITS];
    memset(target, 0xff, 32);
    target[31] = 0x1f; /* One hash in eight. */
    owm_header_midstate(midstate[0], block_0);
    owm_header_midstate(midstate[1], block_125552);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sha256d_scan a = {.hit = hit,
                                     .found = &found[s],
                                     .midstate = midstate,
                                     .tail = block_0 + 64,
                                     .target = target,
                                     .count = 200,
                                     .first = (uint32_t)-100,
                                     .midstates = 2,
                                     .hit_max = HITS};
        TRIAL_CALL(t, s, sha256d_scan, &a);
        for (uint32_t i = 0; i < found[s] && i < HITS; i++)
            if (hit[i].midstate < 2) seen[s][hit[i].midstate][(hit[i].nonce + 100) & 255]++;
    }
    TRIAL_ALL(trial_host(t, &found[TRIED], &found[JUDGE], sizeof found[0]));
    return trial_host(t, seen[TRIED], seen[JUDGE], sizeof seen[0]);
}

static owm_status try_sha256d_scan(struct trial *t)
{
    TRIAL_ALL(scan_block_0(t));
    return scan_many(t);
}

static owm_status try_sha256d_batch(struct trial *t)
{
    enum { COUNT = 67, STRIDE = 96 };
    uint8_t message[COUNT][STRIDE], hash[COUNT][32];
    for (int i = 0; i < COUNT; i++)
        for (int b = 0; b < STRIDE; b++) message[i][b] = (uint8_t)owm_rng_u64(&t->rng);
    memcpy(message[3], block_0, sizeof block_0);
    memcpy(message[COUNT - 1], block_125552, sizeof block_125552);
    struct tensor in = trial_bytes(t, message, sizeof message), out = trial_poison(t, sizeof hash);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sha256d_batch a = {.hash = out.at[s],
                                      .message = in.at[s],
                                      .stride = STRIDE,
                                      .count = COUNT,
                                      .bytes = OWM_HEADER_BYTES};
        TRIAL_CALL(t, s, sha256d_batch, &a);
    }
    TRIAL_ALL(trial_fetch(t, hash, out));
    TRIAL_ALL(trial_host(t, hash[3], hash_0, 32));
    TRIAL_ALL(trial_host(t, hash[COUNT - 1], hash_125552, 32));
    return trial_same(t, out);
}

static owm_status try_sha256d_merkle(struct trial *t)
{
    enum { COUNT = 35, STRIDE = 160, BYTES = 131, BRANCHES = 3 };
    struct tensor coinbase = trial_numbers(t, COUNT * STRIDE / sizeof(float));
    struct tensor branch = trial_numbers(t, BRANCHES * 32 / sizeof(float));
    struct tensor root = trial_poison(t, COUNT * 32);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sha256d_merkle a = {.root = root.at[s],
                                       .coinbase = coinbase.at[s],
                                       .branch = branch.at[s],
                                       .stride = STRIDE,
                                       .count = COUNT,
                                       .bytes = BYTES,
                                       .branches = BRANCHES};
        TRIAL_CALL(t, s, sha256d_merkle, &a);
    }
    return trial_same(t, root);
}

/* One message, in host memory. */
static owm_status try_sha256(struct trial *t)
{
    static const uint8_t hash_abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                         0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                         0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                         0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t hash[SIDES][32] = {{0}}, message[300];
    for (size_t i = 0; i < sizeof message; i++) message[i] = (uint8_t)(7 * i);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sha256 abc = {.hash = hash[s], .message = "abc", .bytes = 3};
        struct owm_sha256 more = {.hash = hash[s], .message = message, .bytes = sizeof message};
        TRIAL_CALL(t, s, sha256, &abc);
        TRIAL_ALL(trial_host(t, hash[s], hash_abc, 32));
        TRIAL_CALL(t, s, sha256, &more);
    }
    return trial_host(t, hash[TRIED], hash[JUDGE], 32);
}

const struct trial_case trial_sha256d[] = {TRIAL_CASE(sha256d_scan),
                                           TRIAL_CASE(sha256d_batch),
                                           TRIAL_CASE(sha256d_merkle),
                                           TRIAL_CASE(sha256),
                                           {0}};

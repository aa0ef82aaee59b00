/* sha256d_arm.c: the SHA-2 extension of 64-bit ARM: four rounds in two instructions, two messages
 * at once, so that one works while the other waits for its result.
 *
 * The state is two registers, (a b c d) and (e f g h) from the lowest element up. The scan leaves
 * out what sha256d_ni.c does: it starts after round 3, and of the second hash does round 0 by two
 * additions and ends after round 60. Rounds 1..60 come in fours that begin at odd words, which
 * costs one instruction each to put the words together.
 */
#include <arm_neon.h>
#include <sys/auxv.h>

#include "sha256d_path.h"

#define INLINE static inline __attribute__((always_inline))

/* Two messages side by side. */
struct two {
    uint32x4_t x[2];
};

struct state {
    struct two abcd, efgh;
};

INLINE struct two both(uint32x4_t x)
{
    return (struct two){{x, x}};
}

INLINE uint32x4_t words(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3)
{
    return (uint32x4_t){w0, w1, w2, w3};
}

INLINE struct two load_k(int t)
{
    return both(vld1q_u32(sha256_k + t));
}

INLINE struct two add(struct two a, struct two b)
{
    return (struct two){{vaddq_u32(a.x[0], b.x[0]), vaddq_u32(a.x[1], b.x[1])}};
}

/** Four rounds with K + W in kw. */
INLINE void rounds_4(struct state *s, struct two kw)
{
    struct two abcd = s->abcd;
    for (int i = 0; i < 2; i++) s->abcd.x[i] = vsha256hq_u32(abcd.x[i], s->efgh.x[i], kw.x[i]);
    for (int i = 0; i < 2; i++) s->efgh.x[i] = vsha256h2q_u32(s->efgh.x[i], abcd.x[i], kw.x[i]);
}

/** The last three words of a and the first of b. */
INLINE struct two from_second(struct two a, struct two b)
{
    return (struct two){{vextq_u32(a.x[0], b.x[0], 1), vextq_u32(a.x[1], b.x[1], 1)}};
}

/** Words t..t+3 in place of t-16..t-13, where w[q & 3] are those. */
INLINE void next_words(struct two w[4], int q)
{
    for (int i = 0; i < 2; i++) {
        uint32x4_t old = vsha256su0q_u32(w[q & 3].x[i], w[(q + 1) & 3].x[i]);
        w[q & 3].x[i] = vsha256su1q_u32(old, w[(q + 2) & 3].x[i], w[(q + 3) & 3].x[i]);
    }
}

/** Rounds 4 * from .. 63 of a block, whose words 0..15 are in w. */
INLINE void rounds_from(struct state *s, struct two w[4], int from)
{
#pragma GCC unroll 16
    for (int q = from; q < 16; q++) {
        if (q >= 4) next_words(w, q);
        rounds_4(s, add(w[q & 3], load_k(4 * q)));
    }
}

INLINE struct state state_of(const uint32_t h[8])
{
    return (struct state){both(vld1q_u32(h)), both(vld1q_u32(h + 4))};
}

/** What follows the 32 bytes of a hash that is hashed. */
INLINE void pad_hash(struct two w[4])
{
    w[2] = both(words(0x80000000, 0, 0, 0));
    w[3] = both(words(0, 0, 0, 256));
}

/** Rounds 1..60 of a hash of w[0], w[1], and its last word in element 0. */
INLINE struct two second_hash_end(struct two w[4])
{
    uint32_t after0[8];
    sha256_after_round_0(after0);
    struct state s = state_of(after0);
    pad_hash(w);
    for (int i = 0; i < 2; i++) {
        uint32x4_t word0 = vandq_u32(w[0].x[i], words(~0u, 0, 0, 0));
        s.abcd.x[i] = vaddq_u32(s.abcd.x[i], word0);
        s.efgh.x[i] = vaddq_u32(s.efgh.x[i], word0);
    }
#pragma GCC unroll 16
    for (int q = 0; q < 15; q++) {
        if (q >= 3) next_words(w, q + 1);
        rounds_4(&s, add(from_second(w[q & 3], w[(q + 1) & 3]), load_k(4 * q + 1)));
    }
    return add(s.efgh, both(words(sha256_iv[7], 0, 0, 0)));
}

static void scan(struct sha256d_search *search, uint32_t midstate, uint32_t first, uint32_t count)
{
    const uint32_t *word = search->word, *mid = search->op->midstate[midstate];
    uint32_t from[8];
    sha256d_start(from, mid, word);
    const struct state start = state_of(from), middle = state_of(mid);
    for (uint32_t done = 0; done < count; done += 2) {
        struct state s = start;
        struct two w[4];
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t word3 = __builtin_bswap32(first + done + i);
            w[0].x[i] = words(word[0], word[1], word[2], word3);
            s.abcd.x[i] = vaddq_u32(s.abcd.x[i], words(word3, 0, 0, 0));
            s.efgh.x[i] = vaddq_u32(s.efgh.x[i], words(word3, 0, 0, 0));
        }
        w[1] = both(words(0x80000000, 0, 0, 0));
        w[2] = both(words(0, 0, 0, 0));
        w[3] = both(words(0, 0, 0, 640));
        rounds_from(&s, w, 1);
        w[0] = add(s.abcd, middle.abcd);
        w[1] = add(s.efgh, middle.efgh);
        struct two end = second_hash_end(w);
        for (uint32_t i = 0; i < 2 && i < count - done; i++) {
            uint32_t last = vgetq_lane_u32(end.x[i], 0);
            if (__builtin_expect(__builtin_bswap32(last) <= search->top, 0))
                sha256d_candidate(search, midstate, first + done + i);
        }
    }
}

static void compress(struct state *state, struct two w[4])
{
    struct state s = *state;
    rounds_from(&s, w, 0);
    state->abcd = add(state->abcd, s.abcd);
    state->efgh = add(state->efgh, s.efgh);
}

INLINE uint32x4_t load_be(const uint8_t *p)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p)));
}

INLINE void store_be(uint8_t *p, uint32x4_t x)
{
    vst1q_u8(p, vrev32q_u8(vreinterpretq_u8_u32(x)));
}

INLINE void compress_bytes(struct state *state, const uint8_t *const place[2], size_t offset)
{
    struct two w[4];
    for (int q = 0; q < 4; q++)
        for (int i = 0; i < 2; i++) w[q].x[i] = load_be(place[i] + offset + 16 * q);
    compress(state, w);
}

/** Two messages; with `rows` 1 the second repeats the first and is not written. */
static void batch_rows(const struct owm_sha256d_batch *op, uint32_t at, uint32_t rows)
{
    uint8_t end[2][128];
    const uint8_t *place[2], *end_place[2] = {end[0], end[1]};
    size_t end_blocks = 0;
    for (uint32_t i = 0; i < 2; i++) {
        place[i] = op->message + (at + (i < rows ? i : 0)) * op->stride;
        end_blocks = sha256d_last_blocks(end[i], place[i], op->bytes);
    }
    struct state s = state_of(sha256_iv);
    for (size_t b = 0; b < op->bytes / 64; b++) compress_bytes(&s, place, 64 * b);
    for (size_t b = 0; b < end_blocks; b++) compress_bytes(&s, end_place, 64 * b);
    struct two w[4] = {s.abcd, s.efgh};
    pad_hash(w);
    s = state_of(sha256_iv);
    compress(&s, w);
    for (uint32_t i = 0; i < rows; i++) {
        store_be(op->hash + (size_t)32 * (at + i), s.abcd.x[i]);
        store_be(op->hash + (size_t)32 * (at + i) + 16, s.efgh.x[i]);
    }
}

static void batch(const struct owm_sha256d_batch *op)
{
    for (uint32_t at = 0; at < op->count; at += 2) batch_rows(op, at, op->count - at < 2 ? 1 : 2);
}

/** One message: nothing to interleave it with. */
static void blocks(uint32_t state[8], const uint8_t *message, size_t count)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; count > 0; count--, message += 64) {
        uint32x4_t w[4], a = abcd, e = efgh;
        for (int q = 0; q < 4; q++) w[q] = load_be(message + 16 * q);
#pragma GCC unroll 16
        for (int q = 0; q < 16; q++) {
            if (q >= 4)
                w[q & 3] = vsha256su1q_u32(vsha256su0q_u32(w[q & 3], w[(q + 1) & 3]),
                                           w[(q + 2) & 3], w[(q + 3) & 3]);
            uint32x4_t kw = vaddq_u32(w[q & 3], vld1q_u32(sha256_k + 4 * q)), was = a;
            a = vsha256hq_u32(a, e, kw);
            e = vsha256h2q_u32(e, was, kw);
        }
        abcd = vaddq_u32(abcd, a);
        efgh = vaddq_u32(efgh, e);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

static bool here(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
}

extern const struct sha256d_path sha256d_path_sha2;
const struct sha256d_path sha256d_path_sha2 = {
    .name = "sha2",
    .here = here,
    .scan = scan, /* No scan_rolled: the schedule hides behind the rounds. */
    .batch = batch,
    .blocks = blocks,
};

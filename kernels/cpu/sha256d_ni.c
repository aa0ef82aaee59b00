/* sha256d_ni.c: the SHA extensions of x86: two rounds in an instruction, two messages at once, so
 * that one works while the other waits for its result.
 *
 * An instruction keeps the state as two registers, (a b e f) and (c d g h) from the top down. The
 * scan leaves out what sha256d.c of the SIMD paths does: it starts after round 3, and of the second
 * hash does round 0 by two additions and ends after round 60. Rounds 1..60 come in pairs that begin
 * at odd words; the schedule shifts words by one place anyway (W[t-7]), so that costs nothing.
 */
#include <cpuid.h>
#include <immintrin.h>

#include "sha256d_path.h"

#define INLINE static inline __attribute__((always_inline))

/* Two messages side by side. */
struct two {
    __m128i x[2];
};

struct state {
    struct two abef, cdgh;
};

INLINE struct two both(__m128i x)
{
    return (struct two){{x, x}};
}

INLINE __m128i words(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3)
{
    return _mm_set_epi32((int)w3, (int)w2, (int)w1, (int)w0);
}

INLINE __m128i load_k(int t)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(sha256_k + t));
}

INLINE struct two add(struct two a, struct two b)
{
    return (struct two){{_mm_add_epi32(a.x[0], b.x[0]), _mm_add_epi32(a.x[1], b.x[1])}};
}

/** Four rounds with K + W in kw. */
INLINE void rounds_4(struct state *s, struct two kw)
{
    for (int i = 0; i < 2; i++)
        s->cdgh.x[i] = _mm_sha256rnds2_epu32(s->cdgh.x[i], s->abef.x[i], kw.x[i]);
    for (int i = 0; i < 2; i++)
        s->abef.x[i] =
            _mm_sha256rnds2_epu32(s->abef.x[i], s->cdgh.x[i], _mm_shuffle_epi32(kw.x[i], 0x0e));
}

/** The last three words of a and the first of b. */
INLINE struct two from_second(struct two a, struct two b)
{
    return (struct two){{_mm_alignr_epi8(b.x[0], a.x[0], 4), _mm_alignr_epi8(b.x[1], a.x[1], 4)}};
}

/** Words t..t+3 in place of t-16..t-13, where w[i] are the last sixteen, by fours, oldest first.
 *  *shifted: words t-7..t-4. */
INLINE struct two next_words(struct two w0, struct two w1, struct two w2, struct two w3,
                             struct two *shifted)
{
    struct two out;
    *shifted = from_second(w2, w3);
    for (int i = 0; i < 2; i++) {
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0.x[i], w1.x[i]), shifted->x[i]);
        out.x[i] = _mm_sha256msg2_epu32(sum, w3.x[i]);
    }
    return out;
}

/** Rounds 4 * from .. 63 of a block, whose words 0..15 are in w. */
INLINE void rounds_from(struct state *s, struct two w[4], int from)
{
    struct two shifted;
#pragma GCC unroll 16
    for (int q = from; q < 4; q++) rounds_4(s, add(w[q], both(load_k(4 * q))));
#pragma GCC unroll 16
    for (int q = 4; q < 16; q++) {
        w[q & 3] = next_words(w[q & 3], w[(q + 1) & 3], w[(q + 2) & 3], w[(q + 3) & 3], &shifted);
        rounds_4(s, add(w[q & 3], both(load_k(4 * q))));
    }
}

/** (a b e f), (c d g h) to words 0..3 and 4..7. */
INLINE void to_words(struct two w[2], const struct state *s)
{
    for (int i = 0; i < 2; i++) {
        __m128i feba = _mm_shuffle_epi32(s->abef.x[i], 0x1b); /* a b e f, lowest first */
        __m128i ghcd = _mm_shuffle_epi32(s->cdgh.x[i], 0x1b);
        w[0].x[i] = _mm_unpacklo_epi64(feba, ghcd); /* a b c d */
        w[1].x[i] = _mm_unpackhi_epi64(feba, ghcd); /* e f g h */
    }
}

INLINE struct state state_of(const uint32_t h[8])
{
    return (struct state){both(words(h[5], h[4], h[1], h[0])), both(words(h[7], h[6], h[3], h[2]))};
}

/** Rounds 1..60 of a hash of w[0], w[1], and its last word in element 1. */
INLINE struct two second_hash_end(struct two w[4])
{
    uint32_t after0[8];
    struct two shifted;
    sha256_after_round_0(after0);
    struct state s = state_of(after0);
    w[2] = both(words(0x80000000, 0, 0, 0));
    w[3] = both(words(0, 0, 0, 256));
    for (int i = 0; i < 2; i++) {
        __m128i word0 = _mm_shuffle_epi32(w[0].x[i], 0);
        s.abef.x[i] = _mm_add_epi32(s.abef.x[i], _mm_and_si128(word0, words(0, ~0u, 0, ~0u)));
    }
    rounds_4(&s, add(from_second(w[0], w[1]), both(load_k(1))));
    rounds_4(&s, add(from_second(w[1], w[2]), both(load_k(5))));
#pragma GCC unroll 16
    for (int q = 4; q < 16; q++) {
        w[q & 3] = next_words(w[q & 3], w[(q + 1) & 3], w[(q + 2) & 3], w[(q + 3) & 3], &shifted);
        rounds_4(&s, add(shifted, both(load_k(4 * q - 7))));
    }
    rounds_4(&s, add(from_second(w[2], w[3]), both(load_k(57))));
    return add(s.abef, both(_mm_set1_epi32((int)sha256_iv[7])));
}

static void scan(struct sha256d_search *search, uint32_t midstate, uint32_t first, uint32_t count)
{
    const uint32_t *word = search->word, *mid = search->op->midstate[midstate];
    uint32_t from[8];
    sha256d_start(from, mid, word);
    const struct state start = state_of(from);
    const struct two mid_low = both(words(mid[0], mid[1], mid[2], mid[3]));
    const struct two mid_high = both(words(mid[4], mid[5], mid[6], mid[7]));
    for (uint32_t done = 0; done < count; done += 2) {
        struct state s = start;
        struct two w[4];
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t word3 = __builtin_bswap32(first + done + i);
            w[0].x[i] = words(word[0], word[1], word[2], word3);
            s.abef.x[i] = _mm_add_epi32(s.abef.x[i], words(0, word3, 0, word3));
        }
        w[1] = both(words(0x80000000, 0, 0, 0));
        w[2] = both(_mm_setzero_si128());
        w[3] = both(words(0, 0, 0, 640));
        rounds_from(&s, w, 1);
        to_words(w, &s);
        w[0] = add(w[0], mid_low);
        w[1] = add(w[1], mid_high);
        struct two end = second_hash_end(w);
        for (uint32_t i = 0; i < 2 && i < count - done; i++) {
            uint32_t last = (uint32_t)_mm_extract_epi32(end.x[i], 1);
            if (__builtin_expect(__builtin_bswap32(last) <= search->top, 0))
                sha256d_candidate(search, midstate, first + done + i);
        }
    }
}

static void compress(struct state *state, struct two w[4])
{
    struct state s = *state;
    rounds_from(&s, w, 0);
    state->abef = add(state->abef, s.abef);
    state->cdgh = add(state->cdgh, s.cdgh);
}

INLINE __m128i swap(__m128i x)
{
    return _mm_shuffle_epi8(x, _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
}

INLINE void compress_bytes(struct state *state, const uint8_t *const place[2], size_t offset)
{
    struct two w[4];
    for (int q = 0; q < 4; q++)
        for (int i = 0; i < 2; i++) {
            const void *at = place[i] + offset + 16 * q;
            w[q].x[i] = swap(_mm_loadu_si128((const __m128i *)at));
        }
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
    struct two w[4];
    to_words(w, &s);
    w[2] = both(words(0x80000000, 0, 0, 0));
    w[3] = both(words(0, 0, 0, 256));
    s = state_of(sha256_iv);
    compress(&s, w);
    to_words(w, &s);
    for (uint32_t i = 0; i < rows; i++)
        for (int q = 0; q < 2; q++) {
            void *out = op->hash + (size_t)32 * (at + i) + 16 * q;
            _mm_storeu_si128((__m128i *)out, swap(w[q].x[i]));
        }
}

static void batch(const struct owm_sha256d_batch *op)
{
    for (uint32_t at = 0; at < op->count; at += 2) batch_rows(op, at, op->count - at < 2 ? 1 : 2);
}

/** One message: nothing to interleave it with. */
static void blocks(uint32_t state[8], const uint8_t *message, size_t count)
{
    __m128i abef = words(state[5], state[4], state[1], state[0]);
    __m128i cdgh = words(state[7], state[6], state[3], state[2]), w[4];
    for (; count > 0; count--, message += 64) {
        __m128i x = abef, y = cdgh;
        for (int q = 0; q < 4; q++)
            w[q] = swap(_mm_loadu_si128((const __m128i *)(const void *)(message + 16 * q)));
#pragma GCC unroll 16
        for (int q = 0; q < 16; q++) {
            if (q >= 4) {
                __m128i older = _mm_alignr_epi8(w[(q + 3) & 3], w[(q + 2) & 3], 4); /* t-7 on. */
                older = _mm_add_epi32(older, _mm_sha256msg1_epu32(w[q & 3], w[(q + 1) & 3]));
                w[q & 3] = _mm_sha256msg2_epu32(older, w[(q + 3) & 3]);
            }
            __m128i kw = _mm_add_epi32(w[q & 3], load_k(4 * q));
            y = _mm_sha256rnds2_epu32(y, x, kw);
            x = _mm_sha256rnds2_epu32(x, y, _mm_shuffle_epi32(kw, 0x0e));
        }
        abef = _mm_add_epi32(abef, x);
        cdgh = _mm_add_epi32(cdgh, y);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), ghcd = _mm_shuffle_epi32(cdgh, 0x1b);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_unpacklo_epi64(feba, ghcd));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_unpackhi_epi64(feba, ghcd));
}

/* __builtin_cpu_supports does not know "sha" in the compilers we support: leaf 7, EBX bit 29. */
static bool here(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!__builtin_cpu_supports("sse4.1")) return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx >> 29 & 1;
}

extern const struct sha256d_path sha256d_path_sha_ni;
const struct sha256d_path sha256d_path_sha_ni = {
    .name = "sha-ni",
    .here = here,
    .scan = scan, /* No scan_rolled: the schedule hides behind the rounds. */
    .batch = batch,
    .blocks = blocks,
};

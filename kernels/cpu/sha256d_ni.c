/* sha256d_ni.c: the SHA extensions of x86: two rounds in an instruction, four messages in turn, so
 * that the others work while one waits for its result.
 *
 * An instruction keeps the state as two registers, (a b e f) and (c d g h) from the top down. The
 * scan leaves out what sha256d.c of the SIMD paths does: it starts after round 3, and of the second
 * hash does round 0 by two additions and ends after round 60. Rounds 1..60 come in pairs that begin
 * at odd words; the schedule shifts words by one place anyway (W[t-7]), so that costs nothing.
 *
 * Twelve registers hold the states and the newest words of the four, one holds what the rounds
 * take, and three are left to compute with. So older words wait in memory, where they are operands.
 */
#include <cpuid.h>
#include <immintrin.h>

#include "sha256d_path.h"

#define INLINE  static inline __attribute__((always_inline))
#define STREAMS 4
#define EACH(i) _Pragma("GCC unroll 4") for (uint32_t i = 0; i < STREAMS; i++)

/* A message under way: w[q % 4] are words 4q..4q+3 of its schedule, newest the last of them. */
struct stream {
    __m128i abef, cdgh, newest, w[4];
};

INLINE __m128i words(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3)
{
    return _mm_set_epi32((int)w3, (int)w2, (int)w1, (int)w0);
}

INLINE __m128i add_k(__m128i w, int t)
{
    return _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)(sha256_k + t)));
}

/** Four rounds with K + W in kw. */
INLINE void rounds_4(struct stream *s, __m128i kw)
{
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, kw);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(kw, 0x0e));
}

/** The last three words of a and the first of b. */
INLINE __m128i from_second(__m128i a, __m128i b)
{
    return _mm_alignr_epi8(b, a, 4);
}

INLINE void set_words(struct stream *s, __m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    s->w[0] = w0, s->w[1] = w1, s->w[2] = w2, s->w[3] = s->newest = w3;
}

/** Words 4q..4q+3 become the newest. Returns words 4q-7..4q-4. */
INLINE __m128i next_words(struct stream *s, int q)
{
    __m128i *w = &s->w[q & 3], last = s->newest, shifted = from_second(s->w[(q + 2) & 3], last);
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*w, s->w[(q + 1) & 3]), shifted);
    *w = s->newest = _mm_sha256msg2_epu32(sum, last);
    __asm__("" : "+m"(*w)); /* Is read from memory from now on. */
    return shifted;
}

/** Rounds 4 * from .. 63 of a block, whose words 0..15 are in w. */
INLINE void rounds_from(struct stream s[STREAMS], int from)
{
#pragma GCC unroll 16
    for (int q = from; q < 4; q++) EACH(i) rounds_4(&s[i], add_k(s[i].w[q], 4 * q));
#pragma GCC unroll 16
    for (int q = 4; q < 16; q++) EACH(i)
        {
            (void)next_words(&s[i], q);
            rounds_4(&s[i], add_k(s[i].newest, 4 * q));
        }
}

/** (a b e f), (c d g h) to words 0..3 and 4..7. */
INLINE void to_words(__m128i w[2], __m128i abef, __m128i cdgh)
{
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b); /* a b e f, lowest first */
    __m128i ghcd = _mm_shuffle_epi32(cdgh, 0x1b);
    w[0] = _mm_unpacklo_epi64(feba, ghcd); /* a b c d */
    w[1] = _mm_unpackhi_epi64(feba, ghcd); /* e f g h */
}

INLINE void set_state(struct stream *s, const uint32_t h[8])
{
    s->abef = words(h[5], h[4], h[1], h[0]);
    s->cdgh = words(h[7], h[6], h[3], h[2]);
}

/** A block that holds a hash and nothing else. */
INLINE void set_hash(struct stream *s, __m128i low, __m128i high)
{
    set_words(s, low, high, words(0x80000000, 0, 0, 0), words(0, 0, 0, 256));
}

/** Rounds 1..8 of a hash, with what round 0 adds. */
INLINE void second_hash_begin(struct stream *s)
{
    uint32_t after0[8];
    sha256_after_round_0(after0);
    set_state(s, after0);
    __m128i word0 = _mm_shuffle_epi32(s->w[0], 0);
    s->abef = _mm_add_epi32(s->abef, _mm_and_si128(word0, words(0, ~0u, 0, ~0u)));
    rounds_4(s, add_k(from_second(s->w[0], s->w[1]), 1));
    rounds_4(s, add_k(from_second(s->w[1], s->w[2]), 5));
}

/** Rounds 1..60 of the hash that set_hash took. Element 1 of abef is its last word, less the
 *  start's. */
INLINE void second_hash(struct stream s[STREAMS])
{
    EACH(i) second_hash_begin(&s[i]);
#pragma GCC unroll 16
    for (int q = 4; q < 16; q++) EACH(i)
        {
            __m128i shifted = next_words(&s[i], q);
            rounds_4(&s[i], add_k(shifted, 4 * q - 7));
        }
    EACH(i) rounds_4(&s[i], add_k(from_second(s[i].w[2], s[i].newest), 57));
}

/** The header's second block after round 3, for a nonce. */
INLINE void set_nonce(struct stream *s, const uint32_t start[8], const uint32_t word[3],
                      uint32_t nonce)
{
    uint32_t word3 = __builtin_bswap32(nonce);
    set_state(s, start);
    s->abef = _mm_add_epi32(s->abef, words(0, word3, 0, word3));
    set_words(s, words(word[0], word[1], word[2], word3), words(0x80000000, 0, 0, 0),
              _mm_setzero_si128(), words(0, 0, 0, 640));
}

static void scan(struct sha256d_search *search, uint32_t midstate, uint32_t first, uint32_t count)
{
    const uint32_t *word = search->word, *mid = search->op->midstate[midstate];
    const __m128i mid_low = words(mid[0], mid[1], mid[2], mid[3]);
    const __m128i mid_high = words(mid[4], mid[5], mid[6], mid[7]);
    uint32_t start[8];
    sha256d_start(start, mid, word);
    for (uint32_t done = 0; done < count; done += STREAMS) {
        struct stream s[STREAMS];
        EACH(i) set_nonce(&s[i], start, word, first + done + i);
        rounds_from(s, 1);
        EACH(i)
        {
            __m128i hash[2];
            to_words(hash, s[i].abef, s[i].cdgh);
            set_hash(&s[i], _mm_add_epi32(hash[0], mid_low), _mm_add_epi32(hash[1], mid_high));
        }
        second_hash(s);
        for (uint32_t i = 0; i < STREAMS && i < count - done; i++) {
            uint32_t last = (uint32_t)_mm_extract_epi32(s[i].abef, 1) + sha256_iv[7];
            if (__builtin_expect(__builtin_bswap32(last) <= search->top, 0))
                sha256d_candidate(search, midstate, first + done + i);
        }
    }
}

static void compress(struct stream s[STREAMS])
{
    __m128i abef[STREAMS], cdgh[STREAMS];
    EACH(i) abef[i] = s[i].abef, cdgh[i] = s[i].cdgh;
    rounds_from(s, 0);
    EACH(i) s[i].abef = _mm_add_epi32(s[i].abef, abef[i]);
    EACH(i) s[i].cdgh = _mm_add_epi32(s[i].cdgh, cdgh[i]);
}

INLINE __m128i swap(__m128i x)
{
    return _mm_shuffle_epi8(x, _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
}

INLINE __m128i load_swapped(const uint8_t *at)
{
    return swap(_mm_loadu_si128((const __m128i *)(const void *)at));
}

static void compress_bytes(struct stream s[STREAMS], const uint8_t *const place[STREAMS],
                           size_t offset)
{
    EACH(i)
    {
        const uint8_t *at = place[i] + offset;
        set_words(&s[i], load_swapped(at), load_swapped(at + 16), load_swapped(at + 32),
                  load_swapped(at + 48));
    }
    compress(s);
}

/** Some messages; those beyond `rows` repeat the last one and are not written. */
static void batch_rows(const struct owm_sha256d_batch *op, uint32_t at, uint32_t rows)
{
    uint8_t end[STREAMS][128];
    const uint8_t *place[STREAMS], *end_place[STREAMS];
    struct stream s[STREAMS];
    size_t end_blocks = 0;
    for (uint32_t i = 0; i < STREAMS; i++) {
        place[i] = op->message + (at + (i < rows ? i : rows - 1)) * op->stride;
        end_place[i] = end[i];
        end_blocks = sha256d_last_blocks(end[i], place[i], op->bytes);
        set_state(&s[i], sha256_iv);
    }
    for (size_t b = 0; b < op->bytes / 64; b++) compress_bytes(s, place, 64 * b);
    for (size_t b = 0; b < end_blocks; b++) compress_bytes(s, end_place, 64 * b);
    for (uint32_t i = 0; i < STREAMS; i++) {
        __m128i hash[2];
        to_words(hash, s[i].abef, s[i].cdgh);
        set_hash(&s[i], hash[0], hash[1]);
        set_state(&s[i], sha256_iv);
    }
    compress(s);
    for (uint32_t i = 0; i < rows; i++) {
        __m128i hash[2];
        void *out = op->hash + (size_t)32 * (at + i);
        to_words(hash, s[i].abef, s[i].cdgh);
        _mm_storeu_si128(out, swap(hash[0]));
        _mm_storeu_si128((__m128i *)out + 1, swap(hash[1]));
    }
}

static void batch(const struct owm_sha256d_batch *op)
{
    for (uint32_t at = 0; at < op->count; at += STREAMS)
        batch_rows(op, at, op->count - at < STREAMS ? op->count - at : STREAMS);
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
            __m128i kw = add_k(w[q & 3], 4 * q);
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

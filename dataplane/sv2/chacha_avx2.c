/* chacha_avx2.c: four blocks of ChaCha20 side by side with AVX2.
 *
 * A register holds one row (four words) of two blocks. Two such sets take turns, so that the
 * latency of one pair is the time of both. AVX-512 holds all four in one set and was no faster
 * (measured on Zen 4: 119 ns against 122), so there is none.
 */
#ifdef __x86_64__
#include <immintrin.h>

#include "aead.h"

static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

#define FN2 __attribute__((target("avx2"), always_inline)) static inline

FN2 __m256i turn(__m256i x, int left)
{
    return _mm256_or_si256(_mm256_slli_epi32(x, left), _mm256_srli_epi32(x, 32 - left));
}

/* By whole bytes: one shuffle. */
FN2 __m256i turn_16(__m256i x)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    return _mm256_shuffle_epi8(x, order);
}

FN2 __m256i turn_8(__m256i x)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
    return _mm256_shuffle_epi8(x, order);
}

FN2 void half_round_2(__m256i x[4])
{
    x[0] = _mm256_add_epi32(x[0], x[1]);
    x[3] = turn_16(_mm256_xor_si256(x[3], x[0]));
    x[2] = _mm256_add_epi32(x[2], x[3]);
    x[1] = turn(_mm256_xor_si256(x[1], x[2]), 12);
    x[0] = _mm256_add_epi32(x[0], x[1]);
    x[3] = turn_8(_mm256_xor_si256(x[3], x[0]));
    x[2] = _mm256_add_epi32(x[2], x[3]);
    x[1] = turn(_mm256_xor_si256(x[1], x[2]), 7);
}

FN2 void diagonals(__m256i x[4])
{
    x[1] = _mm256_shuffle_epi32(x[1], 0x39);
    x[2] = _mm256_shuffle_epi32(x[2], 0x4e);
    x[3] = _mm256_shuffle_epi32(x[3], 0x93);
}

FN2 void columns(__m256i x[4])
{
    x[1] = _mm256_shuffle_epi32(x[1], 0x93);
    x[2] = _mm256_shuffle_epi32(x[2], 0x4e);
    x[3] = _mm256_shuffle_epi32(x[3], 0x39);
}

/* Rows of two blocks become two blocks of rows. */
FN2 void store_2(uint8_t *out, const __m256i x[4])
{
    __m256i *to = (__m256i *)(void *)out;
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(x[0], x[1], 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(x[2], x[3], 0x20));
    _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(x[0], x[1], 0x31));
    _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(x[2], x[3], 0x31));
}

__attribute__((target("avx2"))) void owm_sv2_chacha_avx2(uint8_t *out, const uint8_t *key,
                                                         const struct owm_sv2_row *rows)
{
    const __m128i *k = (const __m128i *)(const void *)key;
    const __m256i *last = (const __m256i *)(const void *)rows;
    const __m256i row0 =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)constants));
    const __m256i row1 = _mm256_broadcastsi128_si256(_mm_loadu_si128(k));
    const __m256i row2 = _mm256_broadcastsi128_si256(_mm_loadu_si128(k + 1));
    const __m256i row3[2] = {_mm256_loadu_si256(last), _mm256_loadu_si256(last + 1)};
    __m256i x[4] = {row0, row1, row2, row3[0]}, y[4] = {row0, row1, row2, row3[1]};
    for (int i = 0; i < 10; i++) {
        half_round_2(x), half_round_2(y);
        diagonals(x), diagonals(y);
        half_round_2(x), half_round_2(y);
        columns(x), columns(y);
    }
    __m256i *sets[2] = {x, y};
    for (int i = 0; i < 2; i++) {
        sets[i][0] = _mm256_add_epi32(sets[i][0], row0);
        sets[i][1] = _mm256_add_epi32(sets[i][1], row1);
        sets[i][2] = _mm256_add_epi32(sets[i][2], row2);
        sets[i][3] = _mm256_add_epi32(sets[i][3], row3[i]);
        store_2(out + 128 * i, sets[i]);
    }
}
#endif

/* chacha.c: four blocks of ChaCha20 (RFC 8439 section 2.3) in portable C, and which path runs. */
#include <string.h>

#include "aead.h"

/* Word i of all four blocks: compilers have 16-byte vectors for every machine we run on. */
typedef uint32_t words __attribute__((vector_size(16)));

static inline words turn(words x, int left)
{
    return x << left | x >> (32 - left);
}

static inline void quarter(words *x, int a, int b, int c, int d)
{
    x[a] += x[b], x[d] = turn(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = turn(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = turn(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = turn(x[b] ^ x[c], 7);
}

static void rounds(words x[16])
{
    for (int i = 0; i < 10; i++) {
        for (int column = 0; column < 4; column++)
            quarter(x, column, 4 + column, 8 + column, 12 + column);
        for (int column = 0; column < 4; column++)
            quarter(x, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4);
    }
}

void owm_sv2_chacha_c(uint8_t *out, const uint8_t *key, const struct owm_sv2_row *rows)
{
    static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    words start[16], x[16];
    uint32_t k[8];
    memcpy(k, key, sizeof k);
    for (int i = 0; i < 4; i++) {
        start[i] = (words){0} + constants[i];
        start[4 + i] = (words){0} + k[i];
        start[8 + i] = (words){0} + k[4 + i];
        start[12 + i] = (words){rows[0].word[i], rows[1].word[i], rows[2].word[i], rows[3].word[i]};
    }
    memcpy(x, start, sizeof x);
    rounds(x);
    for (int i = 0; i < 16; i++) x[i] += start[i];
    for (int block = 0; block < 4; block++)
        for (int i = 0; i < 16; i++)
            memcpy(out + OWM_SV2_BLOCK_BYTES * block + 4 * i, &(uint32_t){x[i][block]}, 4);
}

size_t owm_sv2_chacha_paths(struct owm_sv2_chacha_path paths[OWM_SV2_CHACHA_PATHS_MAX])
{
    size_t count = 0;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        paths[count++] = (struct owm_sv2_chacha_path){"avx2", owm_sv2_chacha_avx2};
#endif
    paths[count++] = (struct owm_sv2_chacha_path){"c", owm_sv2_chacha_c};
    return count;
}

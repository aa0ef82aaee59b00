/* sha256.c: SHA-256 of one long message, and the compression in plain C that keeps its state in
 * registers: each round is written with the names that it gives to the eight words, so nothing is
 * moved.
 */
#include <string.h>

#include "cpu.h"
#include "kernels/check.h"
#include "sha256d_path.h"

#define BIG0(x) (sha256_ror(x, 2) ^ sha256_ror(x, 13) ^ sha256_ror(x, 22))
#define BIG1(x) (sha256_ror(x, 6) ^ sha256_ror(x, 11) ^ sha256_ror(x, 25))

#define ROUND(a, b, c, d, e, f, g, h, t)                                                           \
    do {                                                                                           \
        h += BIG1(e) + ((g) ^ ((e) & ((f) ^ (g)))) + sha256_k[t] + w[(t)&15];                      \
        d += h;                                                                                    \
        h += BIG0(a) + (((a) & (b)) | ((c) & ((a) | (b))));                                        \
    } while (0)

#define ROUNDS_8(t)                                                                                \
    do {                                                                                           \
        ROUND(a, b, c, d, e, f, g, h, t);                                                          \
        ROUND(h, a, b, c, d, e, f, g, (t) + 1);                                                    \
        ROUND(g, h, a, b, c, d, e, f, (t) + 2);                                                    \
        ROUND(f, g, h, a, b, c, d, e, (t) + 3);                                                    \
        ROUND(e, f, g, h, a, b, c, d, (t) + 4);                                                    \
        ROUND(d, e, f, g, h, a, b, c, (t) + 5);                                                    \
        ROUND(c, d, e, f, g, h, a, b, (t) + 6);                                                    \
        ROUND(b, c, d, e, f, g, h, a, (t) + 7);                                                    \
    } while (0)

static void one_block(uint32_t state[8], const uint8_t *message)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7], w[16];
    for (int t = 0; t < 16; t++) w[t] = sha256_load_be(message + 4 * t);
    for (int t = 0; t < 64; t += 16) {
        for (int i = 0; t > 0 && i < 16; i++)
            w[i] += sha256_s1(w[(i + 14) & 15]) + w[(i + 9) & 15] + sha256_s0(w[(i + 1) & 15]);
        ROUNDS_8(t);
        ROUNDS_8(t + 8);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha256_blocks_c(uint32_t state[8], const uint8_t *message, size_t count)
{
    for (; count > 0; count--, message += 64) one_block(state, message);
}

owm_status sha256_by(const struct sha256d_path *path, const struct owm_sha256 *op)
{
    owm_status status = owm_check_sha256(op);
    if (status) return status;
    static const uint8_t nothing[1] = {0};
    const uint8_t *message = op->bytes ? op->message : nothing;
    uint32_t state[8];
    uint8_t end[128];
    memcpy(state, sha256_iv, sizeof state);
    path->blocks(state, message, (size_t)(op->bytes / 64));
    path->blocks(state, end, sha256d_last_blocks(end, message, (size_t)op->bytes));
    for (int i = 0; i < 8; i++) sha256_store_be(op->hash + 4 * i, state[i]);
    return OWM_OK;
}

owm_status cpu_sha256(struct owm_device *device, const struct owm_sha256 *op)
{
    return sha256_by(cpu_of(device)->sha256, op);
}

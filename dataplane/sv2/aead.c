/* aead.c: ChaCha20-Poly1305 of short messages; long ones go to libsodium. */
#include "aead.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#define MAC_BYTES  16
#define POLY_BYTES 16   /* Block of Poly1305. */
#define LONG_BYTES 1536 /* From here libsodium is faster, whose code is wider (measured). */
#define LIMB_BITS  44
#define LIMB_MASK  0xfffffffffffu
#define TOP_MASK   0x3ffffffffffu /* The third limb has 42 bits. */
#define BLOCK_BIT  (1ull << 40)   /* 2^128 in the third limb. */

typedef unsigned __int128 u128;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are copied as they lie");

/* Poly1305: h = (h + block) * r modulo 2^130 - 5, in limbs of 44, 44 and 42 bits. */
struct poly {
    uint64_t r[3], h[3];
    uint64_t r1_20, r2_20; /* r * 5 * 4: what a product over 2^132 comes back as. */
    uint64_t pad[2];
};

static inline uint64_t load(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

static inline void store(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, 8);
}

static inline void poly_init(struct poly *p, const uint8_t key[32])
{
    uint64_t low = load(key), high = load(key + 8);
    /* The clamp of RFC 8439 section 2.5, cut into limbs. */
    p->r[0] = low & 0xffc0fffffff;
    p->r[1] = (low >> 44 | high << 20) & 0xfffffc0ffff;
    p->r[2] = high >> 24 & 0x00ffffffc0f;
    p->r1_20 = p->r[1] * 20;
    p->r2_20 = p->r[2] * 20;
    memset(p->h, 0, sizeof p->h);
    p->pad[0] = load(key + 16);
    p->pad[1] = load(key + 24);
}

static inline void poly_block(struct poly *p, uint64_t low, uint64_t high)
{
    uint64_t h0 = p->h[0] + (low & LIMB_MASK);
    uint64_t h1 = p->h[1] + ((low >> LIMB_BITS | high << 20) & LIMB_MASK);
    uint64_t h2 = p->h[2] + (high >> 24 | BLOCK_BIT);
    u128 d0 = (u128)h0 * p->r[0] + (u128)h1 * p->r2_20 + (u128)h2 * p->r1_20;
    u128 d1 = (u128)h0 * p->r[1] + (u128)h1 * p->r[0] + (u128)h2 * p->r2_20;
    u128 d2 = (u128)h0 * p->r[2] + (u128)h1 * p->r[1] + (u128)h2 * p->r[0];
    d1 += (uint64_t)(d0 >> LIMB_BITS);
    d2 += (uint64_t)(d1 >> LIMB_BITS);
    h0 = ((uint64_t)d0 & LIMB_MASK) + (uint64_t)(d2 >> 42) * 5;
    p->h[0] = h0 & LIMB_MASK;
    p->h[1] = ((uint64_t)d1 & LIMB_MASK) + (h0 >> LIMB_BITS);
    p->h[2] = (uint64_t)d2 & TOP_MASK;
}

/* The message, its last block filled up with zeros. */
static inline void poly_padded(struct poly *p, const uint8_t *data, size_t bytes)
{
    for (; bytes >= POLY_BYTES; data += POLY_BYTES, bytes -= POLY_BYTES)
        poly_block(p, load(data), load(data + 8));
    if (bytes == 0) return;
    uint8_t last[POLY_BYTES] = {0};
    memcpy(last, data, bytes);
    poly_block(p, load(last), load(last + 8));
}

static inline void carry(uint64_t h[3])
{
    h[1] += h[0] >> LIMB_BITS, h[0] &= LIMB_MASK;
    h[2] += h[1] >> LIMB_BITS, h[1] &= LIMB_MASK;
    h[0] += (h[2] >> 42) * 5, h[2] &= TOP_MASK;
}

static inline void poly_finish(struct poly *p, uint8_t mac[MAC_BYTES])
{
    uint64_t *h = p->h, g[3];
    carry(h);
    carry(h);
    h[1] += h[0] >> LIMB_BITS, h[0] &= LIMB_MASK;
    /* g = h - (2^130 - 5); taken instead of h if that is not negative, without a branch. */
    g[0] = h[0] + 5;
    g[1] = h[1] + (g[0] >> LIMB_BITS), g[0] &= LIMB_MASK;
    g[2] = h[2] + (g[1] >> LIMB_BITS) - (1ull << 42), g[1] &= LIMB_MASK;
    uint64_t keep = (uint64_t)0 - (g[2] >> 63);
    for (int i = 0; i < 3; i++) h[i] = (h[i] & keep) | (g[i] & ~keep);
    u128 low = (u128)(h[0] | h[1] << LIMB_BITS) + p->pad[0];
    uint64_t high = (h[1] >> 20 | h[2] << 24) + p->pad[1] + (uint64_t)(low >> 64);
    store(mac, (uint64_t)low);
    store(mac + 8, high);
}

void owm_sv2_poly1305(const uint8_t key[32], const uint8_t *data, size_t bytes, uint8_t mac[16])
{
    struct poly p;
    poly_init(&p, key);
    poly_padded(&p, data, bytes);
    poly_finish(&p, mac);
}

/* RFC 8439 section 2.8: the cipher text, padded, then the lengths of nothing and of it. */
static inline void make_mac(const uint8_t key[32], const uint8_t *data, size_t bytes,
                            uint8_t mac[MAC_BYTES])
{
    struct poly p;
    poly_init(&p, key);
    poly_padded(&p, data, bytes);
    poly_block(&p, 0, bytes);
    poly_finish(&p, mac);
}

static owm_sv2_chacha first_use;
static owm_sv2_chacha *_Atomic chacha = first_use;

static void first_use(uint8_t *out, const uint8_t *key, const struct owm_sv2_row *rows)
{
    struct owm_sv2_chacha_path paths[OWM_SV2_CHACHA_PATHS_MAX];
    owm_sv2_chacha_paths(paths);
    atomic_store_explicit(&chacha, paths[0].run, memory_order_relaxed);
    paths[0].run(out, key, rows);
}

static inline void four_blocks(uint8_t *out, const uint8_t *key, const struct owm_sv2_row *rows)
{
    atomic_load_explicit(&chacha, memory_order_relaxed)(out, key, rows);
}

static inline struct owm_sv2_row row_of(uint64_t nonce, uint32_t counter)
{
    return (struct owm_sv2_row){{counter, 0, (uint32_t)nonce, (uint32_t)(nonce >> 32)}};
}

void owm_sv2_pads_make(struct owm_sv2_pads *pads, const uint8_t key[32], uint64_t nonce)
{
    _Static_assert(sizeof *pads == 4 * OWM_SV2_BLOCK_BYTES, "four blocks, in their order");
    const struct owm_sv2_row rows[4] = {row_of(nonce, 0), row_of(nonce + 1, 0), row_of(nonce, 1),
                                        row_of(nonce + 1, 1)};
    four_blocks(pads->mac_key[0], key, rows);
}

/* out = in ^ stream, eight bytes at a time; the two may be the same. */
static inline void apply(uint8_t *out, const uint8_t *in, const uint8_t *stream, size_t bytes)
{
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) store(out + i, load(in + i) ^ load(stream + i));
    for (; i < bytes; i++) out[i] = in[i] ^ stream[i];
}

/* What lies behind the first 64 bytes: blocks 2 and up of the same nonce. */
static void apply_rest(const struct owm_sv2_message *m, uint8_t *out, const uint8_t *in,
                       size_t bytes)
{
    uint8_t stream[4 * OWM_SV2_BLOCK_BYTES];
    for (uint32_t block = 2; bytes > 0; block += 4) {
        size_t now = bytes < sizeof stream ? bytes : sizeof stream;
        const struct owm_sv2_row rows[4] = {row_of(m->nonce, block), row_of(m->nonce, block + 1),
                                            row_of(m->nonce, block + 2),
                                            row_of(m->nonce, block + 3)};
        four_blocks(stream, m->key, rows);
        apply(out, in, stream, now);
        out += now, in += now, bytes -= now;
    }
}

static inline void apply_all(const struct owm_sv2_message *m, uint8_t *out, const uint8_t *in,
                             size_t bytes)
{
    const uint8_t *first = m->pads->stream[m->pad];
    if (bytes <= OWM_SV2_BLOCK_BYTES) {
        apply(out, in, first, bytes);
        return;
    }
    apply(out, in, first, OWM_SV2_BLOCK_BYTES);
    apply_rest(m, out + OWM_SV2_BLOCK_BYTES, in + OWM_SV2_BLOCK_BYTES, bytes - OWM_SV2_BLOCK_BYTES);
}

static void long_nonce(uint64_t nonce, uint8_t out[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
    memset(out, 0, 4);
    store(out + 4, nonce);
}

void owm_sv2_aead_seal(const struct owm_sv2_message *message, const uint8_t *in, size_t bytes,
                       uint8_t *out)
{
    if (bytes >= LONG_BYTES) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
        long_nonce(message->nonce, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(out, out + bytes, NULL, in, bytes, NULL,
                                                           0, NULL, nonce, message->key);
        return;
    }
    apply_all(message, out, in, bytes);
    make_mac(message->pads->mac_key[message->pad], out, bytes, out + bytes);
}

bool owm_sv2_aead_open(const struct owm_sv2_message *message, uint8_t *data, size_t bytes)
{
    uint8_t mac[MAC_BYTES];
    if (bytes >= LONG_BYTES) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
        long_nonce(message->nonce, nonce);
        return !crypto_aead_chacha20poly1305_ietf_decrypt_detached(
            data, NULL, data, bytes, data + bytes, NULL, 0, nonce, message->key);
    }
    make_mac(message->pads->mac_key[message->pad], data, bytes, mac);
    if ((load(mac) ^ load(data + bytes)) | (load(mac + 8) ^ load(data + bytes + 8))) return false;
    apply_all(message, data, data, bytes);
    return true;
}

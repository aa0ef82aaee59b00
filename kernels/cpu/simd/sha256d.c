/* sha256d.c: W messages at once, one in each lane of a register.
 *
 * The scan leaves out what does not depend on the nonce (rounds 0..3 of the second block but for
 * one addition, W16, W17, and what is constant of W18..W32) and what the answer does not need: of
 * the second hash only its last word decides, which is e after round 60, so rounds 61..63 and the
 * a of rounds 57..60 are never computed. Additions are in the order in which their terms are ready,
 * and all is straight-line code of at most 20 KiB, so that it stays in a first-level cache.
 */
#include "kernels/cpu/sha256d_path.h"
#include "simd.h"

typedef uint32_t vu __attribute__((vector_size(W * 4)));

static inline vu vset(uint32_t x)
{
    return x - (vu){0};
}

/* In memory at any address: messages are bytes. */
typedef uint32_t vu_mem __attribute__((vector_size(W * 4), aligned(1), may_alias));

static inline vu vu_load(const void *p)
{
    return *(const vu_mem *)p;
}

static inline void vu_store(uint32_t p[W], vu x)
{
    *(vu_mem *)p = x;
}

#if SIMD_avx512
#define ROR(x, n) ((vu)_mm512_ror_epi32((__m512i)(x), n))
#define TERN(x, y, z, f)                                                                           \
    ((vu)_mm512_ternarylogic_epi32((__m512i)(x), (__m512i)(y), (__m512i)(z), f))
#define XOR3(x, y, z) TERN(x, y, z, 0x96)
#define CH(x, y, z)   TERN(x, y, z, 0xca)
#define MAJ(x, y, z)  TERN(x, y, z, 0xe8)
#define BEFORE_ROUNDS(b, c)
#else
#define ROR(x, n)           ((x) >> (n) | (x) << (32 - (n)))
#define XOR3(x, y, z)       ((x) ^ (y) ^ (z))
#define CH(x, y, z)         ((z) ^ ((x) & ((y) ^ (z))))
/* Maj(x, y, z) = y ^ ((x ^ y) & (y ^ z)), and this round's x ^ y is the next one's y ^ z. */
#define MAJ(x, y, z)        (was = now, now = (x) ^ (y), (y) ^ (now & was))
#define BEFORE_ROUNDS(b, c) vu was, now = (b) ^ (c)
#endif

#define BIG0(x) XOR3(ROR(x, 2), ROR(x, 13), ROR(x, 22))
#define BIG1(x) XOR3(ROR(x, 6), ROR(x, 11), ROR(x, 25))
#define SIG0(x) XOR3(ROR(x, 7), ROR(x, 18), (x) >> 3)
#define SIG1(x) XOR3(ROR(x, 17), ROR(x, 19), (x) >> 10)

static inline vu v_bswap(vu x)
{
#if SIMD_avx512 || SIMD_avx2
    const __m128i order = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
#if SIMD_avx512
    return (vu)_mm512_shuffle_epi8((__m512i)x, _mm512_broadcast_i32x4(order));
#else
    return (vu)_mm256_shuffle_epi8((__m256i)x, _mm256_broadcastsi128_si256(order));
#endif
#else
    return x >> 24 | (x >> 8 & 0xff00) | (x & 0xff00) << 8 | x << 24;
#endif
}

/** Bit i: lane i of x is at most that of y. */
static inline uint32_t v_at_most(vu x, vu y)
{
#if SIMD_avx512
    return _mm512_cmple_epu32_mask((__m512i)x, (__m512i)y);
#elif SIMD_avx2
    __m256i less = _mm256_cmpeq_epi32(_mm256_min_epu32((__m256i)x, (__m256i)y), (__m256i)x);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(less));
#else
    uint32_t mask = 0;
    for (int i = 0; i < W; i++) mask |= (uint32_t)(x[i] <= y[i]) << i;
    return mask;
#endif
}

#define INLINE static inline __attribute__((always_inline))

/* One round of 6.2.2; kw is K + W. The eight names turn by one from round to round, so nothing is
 * moved. With AVX-512 one addition more shortens the way from e to the next e to three
 * instructions: for processors whose results take two cycles (Zen 5); where they take one it costs
 * at most 1.4%. */
#if SIMD_avx512
#define ROUND(a, b, c, d, e, f, g, h, kw)                                                          \
    do {                                                                                           \
        vu maj_d = MAJ(a, b, c) - d;                                                               \
        d = ((d + ((h) + (kw))) + CH(e, f, g)) + BIG1(e);                                          \
        h = (d + maj_d) + BIG0(a);                                                                 \
    } while (0)
#else
#define ROUND(a, b, c, d, e, f, g, h, kw)                                                          \
    do {                                                                                           \
        vu t1 = (h) + (kw) + CH(e, f, g) + BIG1(e);                                                \
        d += t1;                                                                                   \
        h = t1 + (MAJ(a, b, c) + BIG0(a));                                                         \
    } while (0)
#endif

/* A round whose a nobody asks for. */
#define ROUND_E(d, e, f, g, h, kw) (d += (h) + (kw) + CH(e, f, g) + BIG1(e))

/* Four rounds from t on, for t a multiple of 8, and four from t = 4 modulo 8. */
#define ROUNDS_LOW(t, KW)                                                                          \
    do {                                                                                           \
        ROUND(a, b, c, d, e, f, g, h, KW(t));                                                      \
        ROUND(h, a, b, c, d, e, f, g, KW((t) + 1));                                                \
        ROUND(g, h, a, b, c, d, e, f, KW((t) + 2));                                                \
        ROUND(f, g, h, a, b, c, d, e, KW((t) + 3));                                                \
    } while (0)
#define ROUNDS_HIGH(t, KW)                                                                         \
    do {                                                                                           \
        ROUND(e, f, g, h, a, b, c, d, KW(t));                                                      \
        ROUND(d, e, f, g, h, a, b, c, KW((t) + 1));                                                \
        ROUND(c, d, e, f, g, h, a, b, KW((t) + 2));                                                \
        ROUND(b, c, d, e, f, g, h, a, KW((t) + 3));                                                \
    } while (0)
#define ROUNDS(t, KW)                                                                              \
    do {                                                                                           \
        ROUNDS_LOW(t, KW);                                                                         \
        ROUNDS_HIGH((t) + 4, KW);                                                                  \
    } while (0)
#define ROUNDS_8_55(KW)                                                                            \
    do {                                                                                           \
        ROUNDS(8, KW);                                                                             \
        ROUNDS(16, KW);                                                                            \
        ROUNDS(24, KW);                                                                            \
        ROUNDS(32, KW);                                                                            \
        ROUNDS(40, KW);                                                                            \
        ROUNDS(48, KW);                                                                            \
    } while (0)

/** W of round t >= 16, in the place of W of round t - 16. */
INLINE vu next_word(vu w[16], int t)
{
    vu old = SIG0(w[(t - 15) & 15]) + w[t & 15];
    return w[t & 15] = SIG1(w[(t - 2) & 15]) + (w[(t - 7) & 15] + old);
}

/* The second block of a header: what of its schedule is the same for all nonces. */
struct tail {
    uint32_t start[8];
    uint32_t w16, w17, w18, w19, w31, w32; /* w18.. without the terms that depend on the nonce. */
};

static struct tail make_tail(const struct sha256d_search *search, uint32_t midstate)
{
    const uint32_t *w = search->word;
    struct tail tail;
    sha256d_start(tail.start, search->op->midstate[midstate], w);
    tail.w16 = sha256_s0(w[1]) + w[0];
    tail.w17 = sha256_s1(640) + sha256_s0(w[2]) + w[1];
    tail.w18 = sha256_s1(tail.w16) + w[2];
    tail.w19 = sha256_s1(tail.w17) + sha256_s0(0x80000000);
    tail.w31 = sha256_s0(tail.w16) + 640;
    tail.w32 = sha256_s0(tail.w17) + tail.w16;
    return tail;
}

/** K + W of round t >= 4 of the header's second block; t is a constant, so one case is left. Of w
 *  only w[3], the nonce, must be there at first. */
INLINE vu kw_header(vu w[16], int t, const struct tail *tail)
{
    vu *at = &w[t & 15], s1 = (vu){0};
    if (t < 16) return vset(sha256_k[t] + (t == 4 ? 0x80000000 : t == 15 ? 640 : 0));
    if (t >= 20) s1 = SIG1(w[(t - 2) & 15]);
    switch (t) {
    case 16:
        *at = vset(tail->w16);
        break;
    case 17:
        *at = vset(tail->w17);
        break;
    case 18:
        *at = vset(tail->w18) + SIG0(w[3]);
        break;
    case 19:
        *at = vset(tail->w19) + w[3];
        break;
    case 20:
        *at = s1 + vset(0x80000000);
        break;
    case 21:
        *at = s1;
        break;
    case 22:
        *at = s1 + vset(640);
        break;
    case 30:
        *at = s1 + (w[23 & 15] + vset(sha256_s0(640)));
        break;
    case 31:
        *at = s1 + (w[24 & 15] + vset(tail->w31));
        break;
    case 32:
        *at = s1 + (w[25 & 15] + vset(tail->w32));
        break;
    default:
        if (t > 32)
            (void)next_word(w, t);
        else
            *at = s1 + w[(t - 7) & 15];
    }
    return vset(sha256_k[t]) + *at;
}

/** K + W of round t of a block that holds a hash w[0..7] of 32 bytes and nothing else. */
INLINE vu kw_hash(vu w[16], int t)
{
    vu *at = &w[t & 15];
    if (t < 8) return vset(sha256_k[t]) + *at;
    if (t < 16) return vset(sha256_k[t] + (t == 8 ? 0x80000000 : t == 15 ? 256 : 0));
    vu s1 = t >= 18 ? SIG1(w[(t - 2) & 15]) : (vu){0};
    vu s0 = t <= 22 ? SIG0(w[t - 15]) + w[t - 16] : (vu){0};
    switch (t) {
    case 16:
        *at = s0;
        break;
    case 17:
        *at = s0 + vset(sha256_s1(256));
        break;
    case 22:
        *at = s1 + (s0 + vset(256));
        break;
    case 23:
        *at = s1 + (w[0] + w[7] + vset(sha256_s0(0x80000000)));
        break;
    case 24:
        *at = s1 + (w[1] + vset(0x80000000));
        break;
    case 30:
        *at = s1 + (w[7] + vset(sha256_s0(256)));
        break;
    case 31:
        *at = s1 + (w[8] + (SIG0(w[0]) + vset(256)));
        break;
    default:
        if (t > 31)
            (void)next_word(w, t);
        else
            *at = s1 + (t <= 21 ? s0 : w[(t - 7) & 15]);
    }
    return vset(sha256_k[t]) + *at;
}

/** The last word of the second hash, of the first hash w[0..7]. */
INLINE vu second_hash_end(vu w[16])
{
#define KW(t) kw_hash(w, t)
    uint32_t s[8];
    sha256_after_round_0(s);
    vu h = vset(s[0]) + w[0], a = vset(s[1]), b = vset(s[2]), c = vset(s[3]);
    vu d = vset(s[4]) + w[0], e = vset(s[5]), f = vset(s[6]), g = vset(s[7]);
    BEFORE_ROUNDS(a, b);
    ROUND(h, a, b, c, d, e, f, g, KW(1));
    ROUND(g, h, a, b, c, d, e, f, KW(2));
    ROUND(f, g, h, a, b, c, d, e, KW(3));
    ROUNDS_HIGH(4, KW);
    ROUNDS_8_55(KW);
    ROUND(a, b, c, d, e, f, g, h, KW(56));
    ROUND_E(c, d, e, f, g, KW(57));
    ROUND_E(b, c, d, e, f, KW(58));
    ROUND_E(a, b, c, d, e, KW(59));
    ROUND_E(h, a, b, c, d, KW(60));
#undef KW
    return h + vset(sha256_iv[7]);
}

/* The header's second block after round 3; s is the state there, in the order of 6.2.2, and x[0..7]
 * become the first hash less the midstate. */
#define FIRST_HASH(x, s, KW)                                                                       \
    do {                                                                                           \
        vu e = (s)[0], f = (s)[1], g = (s)[2], h = (s)[3];                                         \
        vu a = (s)[4], b = (s)[5], c = (s)[6], d = (s)[7];                                         \
        BEFORE_ROUNDS(f, g);                                                                       \
        ROUNDS_HIGH(4, KW);                                                                        \
        ROUNDS_8_55(KW);                                                                           \
        ROUNDS(56, KW);                                                                            \
        (x)[0] = a, (x)[1] = b, (x)[2] = c, (x)[3] = d;                                            \
        (x)[4] = e, (x)[5] = f, (x)[6] = g, (x)[7] = h;                                            \
    } while (0)

static vu lane_numbers(void)
{
    uint32_t lane[W];
    for (uint32_t i = 0; i < W; i++) lane[i] = i;
    return vu_load(lane);
}

static void scan(struct sha256d_search *search, uint32_t midstate, uint32_t first, uint32_t count)
{
#define KW(t) kw_header(w, t, &tail)
    const struct tail tail = make_tail(search, midstate);
    const uint32_t *mid = search->op->midstate[midstate], *from = tail.start;
    const vu top = vset(search->top);
    vu nonce = lane_numbers() + vset(first);
    for (uint32_t done = 0; done < count; done += W, nonce += vset(W)) {
        vu w[16], start[8];
        w[3] = v_bswap(nonce);
        for (int i = 0; i < 8; i++) start[i] = vset(from[i]);
        start[0] += w[3];
        start[4] += w[3];
        FIRST_HASH(w, start, KW);
        for (int i = 0; i < 8; i++) w[i] += vset(mid[i]);
        uint32_t hits = v_at_most(v_bswap(second_hash_end(w)), top);
        if (__builtin_expect(hits == 0, 1)) continue;
        for (uint32_t i = 0; i < W && i < count - done; i++)
            if (hits >> i & 1) sha256d_candidate(search, midstate, first + done + i);
    }
#undef KW
}

/* Midstates in lanes: rows of W, one for each word. */
struct rolled {
    uint32_t start[8][W], mid[8][W];
};

/** The schedule of the header's second block for W nonces: kw[t] is K + W of round t. */
static void fill_schedule(uint32_t kw[64][W], vu word3, const struct tail *tail)
{
    vu w[16];
    w[3] = word3;
#pragma GCC unroll 64
    for (int t = 4; t < 64; t++) vu_store(kw[t], kw_header(w, t, tail));
}

static uint32_t rolled_hits(const struct rolled *rolled, const uint32_t kw[64][W], uint32_t lane,
                            vu word3, vu top)
{
#define KW(t) vset(kw[t][lane])
    vu w[16], start[8];
    for (int i = 0; i < 8; i++) start[i] = vu_load(rolled->start[i]);
    start[0] += word3;
    start[4] += word3;
    FIRST_HASH(w, start, KW);
    for (int i = 0; i < 8; i++) w[i] += vu_load(rolled->mid[i]);
    return v_at_most(v_bswap(second_hash_end(w)), top);
#undef KW
}

static void scan_rolled(struct sha256d_search *search, uint32_t midstate, uint32_t count_rolled,
                        uint32_t first, uint32_t count)
{
    struct rolled rolled[SHA256D_ROLLED_MAX / W];
    uint32_t kw[64][W], groups = count_rolled / W, word3[W];
    for (uint32_t m = 0; m < count_rolled; m++) {
        uint32_t start[8];
        sha256d_start(start, search->op->midstate[midstate + m], search->word);
        for (int i = 0; i < 8; i++) {
            rolled[m / W].start[i][m % W] = start[i];
            rolled[m / W].mid[i][m % W] = search->op->midstate[midstate + m][i];
        }
    }
    const struct tail tail = make_tail(search, midstate);
    const vu top = vset(search->top);
    for (uint32_t done = 0; done < count; done++) {
        uint32_t lane = done % W;
        if (lane == 0) {
            vu nonces = v_bswap(lane_numbers() + vset(first + done));
            vu_store(word3, nonces);
            fill_schedule(kw, nonces, &tail);
        }
        for (uint32_t group = 0; group < groups; group++) {
            uint32_t hits = rolled_hits(&rolled[group], kw, lane, vset(word3[lane]), top);
            for (; hits; hits &= hits - 1)
                sha256d_candidate(search, midstate + group * W + (uint32_t)__builtin_ctz(hits),
                                  first + done);
        }
    }
}

/** K + W of round t of any block. */
INLINE vu kw_block(vu w[16], int t)
{
    return vset(sha256_k[t]) + (t < 16 ? w[t] : next_word(w, t));
}

static void compress(vu state[8], vu w[16])
{
#define KW(t) kw_block(w, t)
    vu a = state[0], b = state[1], c = state[2], d = state[3];
    vu e = state[4], f = state[5], g = state[6], h = state[7];
    BEFORE_ROUNDS(b, c);
    ROUNDS(0, KW);
    ROUNDS_8_55(KW);
    ROUNDS(56, KW);
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
#undef KW
}

/** One block from each of W places, `offset` bytes into it. */
static void load_block(vu w[16], const uint8_t *const place[W], size_t offset)
{
    for (int part = 0; part < 16; part += W) {
        vf row[W];
        for (int i = 0; i < W; i++) row[i] = (vf)vu_load(place[i] + offset + 4 * part);
        v_transpose(row);
        for (int i = 0; i < W; i++) w[part + i] = v_bswap((vu)row[i]);
    }
}

static void load_iv(vu state[8])
{
    for (int i = 0; i < 8; i++) state[i] = vset(sha256_iv[i]);
}

/** W messages; those beyond `rows` repeat the last one and are not written. */
static void batch_rows(const struct owm_sha256d_batch *op, uint32_t at, uint32_t rows)
{
    const uint8_t *place[W];
    uint8_t end[W][128];
    size_t end_blocks = 0;
    for (uint32_t i = 0; i < W; i++) {
        place[i] = op->message + (at + (i < rows ? i : rows - 1)) * op->stride;
        end_blocks = sha256d_last_blocks(end[i], place[i], op->bytes);
    }
    vu state[8], w[16];
    load_iv(state);
    for (size_t b = 0; b < op->bytes / 64; b++) {
        load_block(w, place, 64 * b);
        compress(state, w);
    }
    for (uint32_t i = 0; i < W; i++) place[i] = end[i];
    for (size_t b = 0; b < end_blocks; b++) {
        load_block(w, place, 64 * b);
        compress(state, w);
    }
    for (int i = 0; i < 16; i++) w[i] = i < 8 ? state[i] : (vu){0};
    w[8] = vset(0x80000000);
    w[15] = vset(256);
    load_iv(state);
    compress(state, w);
    uint32_t word[8][W];
    for (int i = 0; i < 8; i++) vu_store(word[i], state[i]);
    for (uint32_t r = 0; r < rows; r++)
        for (int i = 0; i < 8; i++)
            sha256_store_be(op->hash + (size_t)32 * (at + r) + 4 * i, word[i][r]);
}

static void batch(const struct owm_sha256d_batch *op)
{
    for (uint32_t at = 0; at < op->count; at += W)
        batch_rows(op, at, op->count - at < W ? op->count - at : W);
}

static bool here(void)
{
#if SIMD_avx512
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#elif SIMD_avx2
    return __builtin_cpu_supports("avx2");
#else
    return true;
#endif
}

#define TEXT(set)      #set
#define TEXT_NAME(set) TEXT(set)

extern const struct sha256d_path SIMD(sha256d_path);
const struct sha256d_path SIMD(sha256d_path) = {
    .name = TEXT_NAME(SIMD_SET),
    .here = here,
    .scan = scan,
    .scan_rolled = scan_rolled,
    .lanes = W,
    .batch = batch,
#if !SIMD_avx512 && !SIMD_avx2
    .blocks = sha256_blocks_c,
#endif
};

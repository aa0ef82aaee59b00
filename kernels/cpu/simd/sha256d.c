/* sha256d.c: W messages at once, one in each lane of a register.
 *
 * The scan leaves out what does not depend on the nonce (rounds 0..3 of the second block but for
 * one addition, W16, W17, and what is constant of W18..W32) and what the answer does not need: of
 * the second hash only its last word decides, which is e after round 60, so rounds 61..63 and the
 * a of rounds 57..60 are never computed. Instructions are in an order that has been measured.
 *
 * A round is a chain of instructions that wait for each other. Where registers suffice, the first
 * hash of some nonces is computed beside the second hash of those before: two chains, in code that
 * is no longer than that of one. It is straight-line and below 28 KiB, so that it stays in a
 * first-level cache.
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
#else
#define ROR(x, n)     ((x) >> (n) | (x) << (32 - (n)))
#define XOR3(x, y, z) ((x) ^ (y) ^ (z))
#define CH(x, y, z)   ((z) ^ ((x) & ((y) ^ (z))))
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

/* A hash under way: before round t, variable i of a..h is state[(i - t) mod 8], so that nothing is
 * moved from round to round, and W of round t comes into w[t mod 16]. */
struct hash {
    vu state[8], w[16];
    vu last; /* a ^ b of the round before, which is b ^ c of this one */
};

#define VAR(i) hash->state[((i)-t) & 7]

/** The hash goes on at round t from here, a..h. */
INLINE void begin(struct hash *hash, int t, const vu from[8])
{
    for (int i = 0; i < 8; i++) VAR(i) = from[i];
    hash->last = from[1] ^ from[2];
}

INLINE vu majority(struct hash *hash, int t)
{
#if SIMD_avx512
    return TERN(VAR(0), VAR(1), VAR(2), 0xe8);
#else
    vu was = hash->last;
    hash->last = VAR(0) ^ VAR(1);
    return VAR(1) ^ (hash->last & was);
#endif
}

/** Round t of 6.2.2 but for its a; kw is K + W. Returns T1. */
INLINE vu round_e(struct hash *hash, int t, vu kw)
{
    vu big = BIG1(VAR(4)), t1 = VAR(7) + kw + CH(VAR(4), VAR(5), VAR(6)) + big;
    VAR(3) += t1;
    return t1;
}

INLINE void round_both(struct hash *hash, int t, vu kw)
{
    vu t1 = round_e(hash, t, kw);
    VAR(7) = t1 + (majority(hash, t) + BIG0(VAR(0)));
}

/* round(t) for so many rounds from t on. */
#define ROUNDS_4(round, t)  round(t) round((t) + 1) round((t) + 2) round((t) + 3)
#define ROUNDS_8(round, t)  ROUNDS_4(round, t) ROUNDS_4(round, (t) + 4)
#define ROUNDS_16(round, t) ROUNDS_8(round, t) ROUNDS_8(round, (t) + 8)
#define ROUNDS_56(round, t)                                                                        \
    ROUNDS_8(round, t)                                                                             \
    ROUNDS_16(round, (t) + 8) ROUNDS_16(round, (t) + 24) ROUNDS_16(round, (t) + 40)

/** W of round t >= 16, in the place of W of round t - 16. */
INLINE vu next_word(vu w[16], int t)
{
    vu old = SIG0(w[(t - 15) & 15]) + w[t & 15];
    return w[t & 15] = SIG1(w[(t - 2) & 15]) + (w[(t - 7) & 15] + old);
}

/** The constants of 4.2.2. AVX-512 has them as operands in memory, if the compiler does not know
 *  their values: it would make registers of what it knows. */
INLINE const uint32_t *round_constants(void)
{
    const uint32_t *k = sha256_k;
#if SIMD_avx512
    __asm__("" : "+r"(k));
#endif
    return k;
}

/* The second block of a header: what of its schedule is the same for all nonces. */
struct tail {
    uint32_t start[8];
    uint32_t w16, w17, w18, w19, w31, w32; /* w18.. without the terms that depend on the nonce. */
    const uint32_t *k;
};

static struct tail make_tail(const struct sha256d_search *search, uint32_t midstate)
{
    const uint32_t *w = search->word;
    struct tail tail = {.k = round_constants()};
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
    const uint32_t *k = tail->k;
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
    return vset(k[t]) + *at;
}

/** K + W of round t of a block that holds a hash w[0..7] of 32 bytes and nothing else. */
INLINE vu kw_hash(vu w[16], int t, const uint32_t *k)
{
    vu *at = &w[t & 15];
    if (t < 8) return vset(k[t]) + *at;
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
    return vset(k[t]) + *at;
}

/** The second hash before round 1, of the first hash in its w. */
INLINE void begin_second(struct hash *hash)
{
    uint32_t after0[8];
    vu from[8];
    sha256_after_round_0(after0);
    for (int i = 0; i < 8; i++) from[i] = vset(after0[i]);
    from[0] += hash->w[0];
    from[4] += hash->w[0];
    begin(hash, 1, from);
}

INLINE uint32_t second_hits(const struct hash *hash, uint32_t top)
{
    vu last = hash->state[(3 - 60) & 7] + vset(sha256_iv[7]);
    return v_at_most(v_bswap(last), vset(top));
}

/* Rounds 4..63 of the hash `now`, by KW(t), and 1..60 of the hash `before`, by the constants k. */
#define FIRST(t)       round_both(&now, t, KW(t));
#define SECOND(t)      round_both(&before, (t)-3, kw_hash(before.w, (t)-3, k));
#define SECOND_LAST(t) (void)round_e(&before, (t)-3, kw_hash(before.w, (t)-3, k));
#define BOTH(t)        SECOND(t) FIRST(t)
#define BOTH_LAST(t)   SECOND_LAST(t) FIRST(t)
#if SIMD_avx512
#define TWO_HASHES ROUNDS_56(BOTH, 4) ROUNDS_4(BOTH_LAST, 60)
#else
#define TWO_HASHES                                                                                 \
    ROUNDS_56(SECOND, 4) ROUNDS_4(SECOND_LAST, 60) ROUNDS_56(FIRST, 4) ROUNDS_4(FIRST, 60)
#endif

static vu lane_numbers(void)
{
    uint32_t lane[W];
    for (uint32_t i = 0; i < W; i++) lane[i] = i;
    return vu_load(lane);
}

/* Nonces are judged one turn of the loop after their first hash, which waits in `before`. */
static void scan(struct sha256d_search *search, uint32_t midstate, uint32_t first, uint32_t count)
{
#define KW(t) kw_header(now.w, t, &tail)
    const struct tail tail = make_tail(search, midstate);
    const uint32_t *mid = search->op->midstate[midstate], *k = tail.k;
    vu nonce = lane_numbers() + vset(first), from[8];
    struct hash now, before = {0};
    for (uint64_t done = 0; done < (uint64_t)count + W; done += W, nonce += vset(W)) {
        now.w[3] = v_bswap(nonce);
        for (int i = 0; i < 8; i++) from[i] = vset(tail.start[i]);
        from[0] += now.w[3];
        from[4] += now.w[3];
        begin(&now, 4, from);
        begin_second(&before);
        TWO_HASHES
        uint32_t hits = second_hits(&before, search->top);
        for (int i = 0; i < 8; i++) before.w[i] = now.state[i] + vset(mid[i]);
        if (__builtin_expect(hits == 0, 1) || done == 0) continue;
        uint32_t judged = (uint32_t)done - W;
        for (uint32_t i = 0; i < W && i < count - judged; i++)
            if (hits >> i & 1) sha256d_candidate(search, midstate, first + judged + i);
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

/* Groups of W midstates for each nonce; they too are judged one turn later. `of` is the first
 * midstate of the group in `before`. */
static void scan_rows(struct sha256d_search *search, uint32_t midstate, const struct rolled *rolled,
                      uint32_t groups, uint32_t first, uint32_t count)
{
#define KW(t) vset(kw[t][lane])
    const struct tail tail = make_tail(search, midstate);
    const uint32_t *k = tail.k;
    uint32_t kw[64][W], word3[W], of = 0;
    struct hash now, before = {0};
    for (uint64_t done = 0; done <= count; done++) {
        uint32_t lane = done % W, nonce = first + (uint32_t)done;
        if (lane == 0) {
            vu nonces = v_bswap(lane_numbers() + vset(nonce));
            vu_store(word3, nonces);
            fill_schedule(kw, nonces, &tail);
        }
        for (uint32_t group = 0; group < (done < count ? groups : 1); group++) {
            vu from[8];
            for (int i = 0; i < 8; i++) from[i] = vu_load(rolled[group].start[i]);
            from[0] += vset(word3[lane]);
            from[4] += vset(word3[lane]);
            begin(&now, 4, from);
            begin_second(&before);
            TWO_HASHES
            uint32_t hits = second_hits(&before, search->top);
            if (done == 0 && group == 0) hits = 0;
            for (; hits; hits &= hits - 1)
                sha256d_candidate(search, of + (uint32_t)__builtin_ctz(hits), nonce - !group);
            for (int i = 0; i < 8; i++) before.w[i] = now.state[i] + vu_load(rolled[group].mid[i]);
            of = midstate + group * W;
        }
    }
#undef KW
}

static void scan_rolled(struct sha256d_search *search, uint32_t midstate, uint32_t count_rolled,
                        uint32_t first, uint32_t count)
{
    struct rolled rolled[SHA256D_ROLLED_MAX / W];
    for (uint32_t m = 0; m < count_rolled; m++) {
        uint32_t start[8];
        sha256d_start(start, search->op->midstate[midstate + m], search->word);
        for (int i = 0; i < 8; i++) {
            rolled[m / W].start[i][m % W] = start[i];
            rolled[m / W].mid[i][m % W] = search->op->midstate[midstate + m][i];
        }
    }
    scan_rows(search, midstate, rolled, count_rolled / W, first, count);
}

/** K + W of round t of any block. */
INLINE vu kw_block(vu w[16], int t, const uint32_t *k)
{
    return vset(k[t]) + (t < 16 ? w[t] : next_word(w, t));
}

static void compress(vu state[8], vu w[16])
{
#define BLOCK(t) round_both(&hash, t, kw_block(hash.w, t, k));
    const uint32_t *k = round_constants();
    struct hash hash;
    for (int i = 0; i < 16; i++) hash.w[i] = w[i];
    begin(&hash, 0, state);
    ROUNDS_56(BLOCK, 0)
    ROUNDS_8(BLOCK, 56)
    for (int i = 0; i < 8; i++) state[i] += hash.state[i];
#undef BLOCK
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

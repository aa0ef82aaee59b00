/* sha256d_scan.cu: nonces whose block header hashes to the target or below.
 *
 * The limit of an NVIDIA GPU is its ALU pipe: rotates, three-input logic and additions share it,
 * 64 a clock and processor, while the multiplier beside it is idle. So
 *  1. additions are x * 1 + y with a 1 that the compiler cannot see: they run on the multiplier;
 *  2. so are the shifts of the schedule: the upper half of x * 2^(32 - n);
 *  3. and, by SCAN_WIDE, some rotates: both halves of such a product added up, which costs two
 *     there to save one here.
 * What is left on the ALU is three-input logic and most rotates. On top of that:
 *  4. rounds 0..2 and the words of the schedule that no nonce enters are computed once (prepare);
 *     round 3 is one addition into a and one into e;
 *  5. the second hash ends with e of round 60, which alone makes its last word; a nonce is a
 *     candidate if the bits of that word that any hash below the target has at zero are zero;
 *     candidates are hashed in full by another kernel;
 *  6. midstates that differ by the version alone share the first schedule (scan_rolled): a block
 *     computes K + W of a batch of nonces into shared memory, then every thread is a midstate.
 *
 * The host cuts the work into launches of some 20 ms and looks at the hits after each.
 */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/sha256.cuh"

#define SCAN_THREADS 256
#define SCAN_ROUNDS  16 /* scan_single: nonces of a thread. */
#define SCAN_LANES   32 /* Midstates of a group. */
#define SCAN_GROUPS  (SCAN_THREADS / SCAN_LANES)
#define SCAN_BATCH   128 /* scan_rolled: nonces of a block. */
#define SCAN_WORDS                                                                                 \
    13 /* uint4 of a nonce: K + W of rounds 18..63, W3, itself; one more, so that                  \
          neighbours are in other banks. */
#define SCAN_STAGED    1024
#define CANDIDATES_MAX 65536
/* Double hashes of a launch per processor: some 30 ms on an H200. */
#define LAUNCH_HASHES (UINT64_C(1) << 21)

/* From which round of each hash on one rotate of each big sigma runs on the multiplier; 64: none.
 * It depends on the rate of 64-bit products, so on the device. */
#ifndef SCAN_WIDE_FROM
#define SCAN_WIDE_FROM 64
#endif
#ifndef SCAN_SHIFTS
#define SCAN_SHIFTS 1 /* Whether the shifts of the schedule do. */
#endif

struct scan_job {
    uint32_t one;                   /* 1 */
    uint32_t left[32];              /* left[n] = 2^(32 - n) */
    uint32_t word[3], target[8];    /* W0..W2; the target's words, lowest first. */
    uint32_t w16, w17, kw16, kw17;  /* W and K + W: no nonce enters them, */
    uint32_t c18, c19, c31, c32;    /* nor these parts of W18, W19, W31, W32. */
    uint32_t must_be_0;             /* bits of the last word of a hash that meets the target */
    uint32_t first, count;          /* nonces */
    uint32_t base, groups;          /* first midstate; scan_rolled: 32 * groups of them */
    uint32_t start[8], midstate[8]; /* scan_single: state after round 3 with W3 = 0, and before */
    uint32_t hkw[3];                /* scan_single: h + K + W of rounds 4..6 */
};

struct scan_results {
    uint32_t candidates, found;
    owm_sha256d_hit candidate[CANDIDATES_MAX], hit[CANDIDATES_MAX];
};

#ifdef __CUDA_ARCH__
#define ON_MULTIPLIER 1
#else
#define ON_MULTIPLIER 0
#endif

/* x + y */
static __device__ __forceinline__ uint32_t add(const scan_job &job, uint32_t x, uint32_t y)
{
#if ON_MULTIPLIER
    uint32_t sum;
    asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "r"(job.one), "r"(y));
    return sum;
#else
    (void)job;
    return x + y;
#endif
}

/* x >> N */
template <int N> static __device__ __forceinline__ uint32_t shift(const scan_job &job, uint32_t x)
{
#if ON_MULTIPLIER && SCAN_SHIFTS
    uint32_t high;
    asm("mul.hi.u32 %0, %1, %2;" : "=r"(high) : "r"(x), "r"(job.left[N]));
    return high;
#else
    (void)job;
    return x >> N;
#endif
}

template <int N, bool WIDE>
static __device__ __forceinline__ uint32_t rotate(const scan_job &job, uint32_t x)
{
#if ON_MULTIPLIER
    if constexpr (WIDE) {
        uint32_t low, high;
        asm("{.reg .u64 p; mul.wide.u32 p, %2, %3; mov.b64 {%0, %1}, p;}"
            : "=r"(low), "=r"(high)
            : "r"(x), "r"(job.left[N]));
        return add(job, low, high);
    } else
        return __funnelshift_r(x, x, N);
#else
    (void)job;
    return sha256_ror(x, N);
#endif
}

static __device__ __forceinline__ uint32_t s0(const scan_job &job, uint32_t x)
{
    return rotate<7, false>(job, x) ^ rotate<18, false>(job, x) ^ shift<3>(job, x);
}

static __device__ __forceinline__ uint32_t s1(const scan_job &job, uint32_t x)
{
    return rotate<17, false>(job, x) ^ rotate<19, false>(job, x) ^ shift<10>(job, x);
}

/* A message of 4 * FROM bytes ends with W[FROM] = the mark, zeros, and its length in W15. */
template <int FROM> static __device__ constexpr bool padded(int t)
{
    return t >= FROM && t < 16;
}

template <int FROM> static __device__ constexpr uint32_t padding(int t)
{
    return t == FROM ? 0x80000000u : t == 15 ? (FROM == 4 ? 640u : 256u) : 0;
}

/* What the padding adds to W[t] for t >= 16. */
template <int FROM> static __device__ constexpr uint32_t padding_sum(int t)
{
    return (padded<FROM>(t - 2) ? sha256_s1(padding<FROM>(t - 2)) : 0)
           + (padded<FROM>(t - 7) ? padding<FROM>(t - 7) : 0)
           + (padded<FROM>(t - 15) ? sha256_s0(padding<FROM>(t - 15)) : 0)
           + (padded<FROM>(t - 16) ? padding<FROM>(t - 16) : 0);
}

/* W[T] for T >= 16 from the words before it; where words are known, they fold to one constant. */
template <int FROM, int T>
static __device__ __forceinline__ uint32_t next_word(const scan_job &job, const uint32_t (&w)[16])
{
    constexpr uint32_t constant = padding_sum<FROM>(T);
    uint32_t sum = constant;
    bool none = constant == 0;
    auto plus = [&](uint32_t x) {
        sum = none ? x : add(job, x, sum);
        none = false;
    };
    if (!padded<FROM>(T - 16)) plus(w[T & 15]);
    if (!padded<FROM>(T - 15)) plus(s0(job, w[(T - 15) & 15]));
    if (!padded<FROM>(T - 7)) plus(w[(T - 7) & 15]);
    if (!padded<FROM>(T - 2)) plus(s1(job, w[(T - 2) & 15]));
    return sum;
}

/* The first hash's schedule for T >= 18: W0..W2, W16 and W17 are the same for every nonce. */
template <int T>
static __device__ __forceinline__ uint32_t next_first(const scan_job &job, const uint32_t (&w)[16])
{
    if constexpr (T == 18)
        return add(job, s0(job, w[3]), job.c18);
    else if constexpr (T == 19)
        return add(job, w[3], job.c19);
    else if constexpr (T == 31 || T == 32) {
        uint32_t sum = add(job, w[(T - 7) & 15], T == 31 ? job.c31 : job.c32);
        return add(job, s1(job, w[(T - 2) & 15]), sum);
    } else
        return next_word<4, T>(job, w);
}

/* e and a of a round, when h + K + W is known: newest values enter last. E_ONLY: a is not wanted.
 */
template <int T, bool E_ONLY>
static __device__ __forceinline__ void one_round(const scan_job &job, uint32_t (&s)[8],
                                                 uint32_t hkw)
{
    constexpr bool wide = T >= SCAN_WIDE_FROM;
    uint32_t &d = s[(3 - T) & 7], &h = s[(7 - T) & 7];
    uint32_t e = s[(4 - T) & 7], a = s[-T & 7];
    uint32_t choose = sha256_choose(e, s[(5 - T) & 7], s[(6 - T) & 7]);
    uint32_t big1 = rotate<6, false>(job, e) ^ rotate<11, wide>(job, e) ^ rotate<25, false>(job, e);
    uint32_t t1 = add(job, big1, add(job, choose, hkw));
    d = add(job, t1, d);
    if constexpr (!E_ONLY) {
        uint32_t majority = sha256_majority(a, s[(1 - T) & 7], s[(2 - T) & 7]);
        uint32_t big0 =
            rotate<2, false>(job, a) ^ rotate<13, wide>(job, a) ^ rotate<22, false>(job, a);
        h = add(job, t1, add(job, big0, majority));
    }
}

/* h + constant, for the round T to come. */
template <int T>
static __device__ __forceinline__ uint32_t h_plus(const scan_job &job, const uint32_t (&s)[8],
                                                  uint32_t constant)
{
    return add(job, s[(7 - T) & 7], constant);
}

/* Rounds T.. of the first hash of one midstate. */
template <int T>
static __device__ __forceinline__ void first_rounds(const scan_job &job, uint32_t (&s)[8],
                                                    uint32_t (&w)[16])
{
    if constexpr (T < 64) {
        uint32_t hkw;
        if constexpr (T < 7)
            hkw = job.hkw[T - 4];
        else if constexpr (T < 16)
            hkw = h_plus<T>(job, s, sha256_k(T) + padding<4>(T));
        else if constexpr (T < 18)
            hkw = h_plus<T>(job, s, T == 16 ? job.kw16 : job.kw17);
        else {
            w[T & 15] = next_first<T>(job, w);
            hkw = h_plus<T>(job, s, add(job, w[T & 15], sha256_k(T)));
        }
        one_round<T, false>(job, s, hkw);
        first_rounds<T + 1>(job, s, w);
    }
}

/* The same for one of many midstates: K + W from round 18 on are in shared memory, from `row` on.
 */
template <int T, class SHARED>
static __device__ __forceinline__ void rolled_rounds(const scan_job &job, uint32_t (&s)[8],
                                                     const SHARED &shared, unsigned row, uint4 four)
{
    if constexpr (T < 64) {
        constexpr int place = (T - 18) & 3;
        uint32_t kw = job.kw16;
        if constexpr (T == 17)
            kw = job.kw17;
        else if constexpr (T >= 18) {
            if constexpr (place == 0) four = shared[row + (T - 18) / 4];
            kw = place == 0 ? four.x : place == 1 ? four.y : place == 2 ? four.z : four.w;
        }
        if constexpr (T < 16) kw = sha256_k(T) + padding<4>(T);
        one_round<T, false>(job, s, h_plus<T>(job, s, kw));
        rolled_rounds<T + 1>(job, s, shared, row, four);
    }
}

/* Write such a row: four words at a time, W3 and the nonce last. */
template <int T, class SHARED>
static __device__ __forceinline__ void store_row(const scan_job &job, uint32_t (&w)[16],
                                                 SHARED &shared, unsigned row, uint32_t nonce,
                                                 uint4 four)
{
    if constexpr (T < 64) {
        constexpr int place = (T - 18) & 3;
        w[T & 15] = next_first<T>(job, w);
        (place == 0   ? four.x
         : place == 1 ? four.y
         : place == 2 ? four.z
                      : four.w) = add(job, w[T & 15], sha256_k(T));
        if constexpr (place == 3) shared[row + (T - 18) / 4] = four;
        store_row<T + 1>(job, w, shared, row, nonce, four);
    } else {
        four.z = sha256_swap(nonce);
        four.w = nonce;
        shared[row + 11] = four;
    }
}

/* Rounds T.. of the second hash: a is last wanted in round 56. */
template <int T>
static __device__ __forceinline__ void second_rounds(const scan_job &job, uint32_t (&s)[8],
                                                     uint32_t (&w)[16])
{
    if constexpr (T <= 60) {
        uint32_t hkw;
        if constexpr (padded<8>(T))
            hkw = h_plus<T>(job, s, sha256_k(T) + padding<8>(T));
        else {
            if constexpr (T >= 16) w[T & 15] = next_word<8, T>(job, w);
            hkw = h_plus<T>(job, s, add(job, w[T & 15], sha256_k(T)));
        }
        one_round<T, (T > 56)>(job, s, hkw);
        second_rounds<T + 1>(job, s, w);
    }
}

/* The last word of the hash of the eight words w[0..7]. Round 0 is two additions: all it meets but
 * W0 is constant. */
static __device__ __forceinline__ uint32_t last_word(const scan_job &job, uint32_t (&w)[16])
{
    constexpr uint32_t t1 = sha256_iv(7) + sha256_big1(sha256_iv(4))
                            + sha256_choose(sha256_iv(4), sha256_iv(5), sha256_iv(6)) + sha256_k(0);
    constexpr uint32_t t2 =
        sha256_big0(sha256_iv(0)) + sha256_majority(sha256_iv(0), sha256_iv(1), sha256_iv(2));
    uint32_t s[8];
#pragma unroll
    for (int i = 0; i < 7; i++) s[i] = sha256_iv(i);
    s[3] = add(job, w[0], sha256_iv(3) + t1);
    s[7] = add(job, w[0], t1 + t2);
    second_rounds<1>(job, s, w);
    return add(job, s[(3 - 60) & 7], sha256_iv(7));
}

/* The second hash of state + midstate, and whether it may meet the target. */
template <class STATE>
static __device__ __forceinline__ bool promising(const scan_job &job, const uint32_t (&s)[8],
                                                 const STATE &midstate)
{
    uint32_t w[16];
#pragma unroll
    for (int i = 0; i < 8; i++) w[i] = add(job, s[i], midstate[i]);
    return (last_word(job, w) & job.must_be_0) == 0;
}

static __device__ void note(scan_results *results, uint32_t midstate, uint32_t nonce)
{
    uint32_t at = atomicAdd(&results->candidates, 1u);
    if (at >= CANDIDATES_MAX) return;
    results->candidate[at].midstate = midstate;
    results->candidate[at].nonce = nonce;
}

/* One midstate; a block has SCAN_THREADS * SCAN_ROUNDS nonces. */
static __global__ void __launch_bounds__(SCAN_THREADS)
    scan_single(const scan_job job, scan_results *results)
{
    uint32_t at = blockIdx.x * (SCAN_THREADS * SCAN_ROUNDS) + threadIdx.x;
#pragma unroll 1
    for (int i = 0; i < SCAN_ROUNDS && at < job.count; i++, at += SCAN_THREADS) {
        uint32_t nonce = job.first + at, s[8], w[16];
#pragma unroll
        for (int j = 0; j < 8; j++) s[(j + 4) & 7] = job.start[j];
        w[3] = sha256_swap(nonce);
        s[4] = add(job, w[3], job.start[0]);
        s[0] = add(job, w[3], job.start[4]);
        w[0] = job.w16;
        w[1] = job.w17;
        first_rounds<4>(job, s, w);
        if (promising(job, s, job.midstate)) note(results, job.base, nonce);
    }
}

/* 32 * groups midstates; a block has SCAN_BATCH nonces and 1, 2, 4 or 8 groups. */
static __global__ void __launch_bounds__(SCAN_THREADS)
    scan_rolled(const scan_job job, const uint32_t (*midstates)[8], scan_results *results)
{
    OWM_SHARED(uint4, rows, SCAN_BATCH * SCAN_WORDS);
    uint32_t begin = blockIdx.x * SCAN_BATCH, left = job.count - begin;
    uint32_t nonces = left < SCAN_BATCH ? left : SCAN_BATCH;
    if (threadIdx.x < nonces) {
        uint32_t w[16];
        uint32_t nonce = job.first + begin + threadIdx.x;
        w[0] = job.w16;
        w[1] = job.w17;
        w[3] = sha256_swap(nonce);
        store_row<18>(job, w, rows, threadIdx.x * SCAN_WORDS, nonce, uint4());
    }
    __syncthreads();
    uint32_t group = threadIdx.x / SCAN_LANES % job.groups;
    uint32_t index = job.base + group * SCAN_LANES + threadIdx.x % SCAN_LANES;
    uint32_t start[8], midstate[8];
#pragma unroll
    for (int i = 0; i < 8; i++) start[i] = midstate[i] = midstates[index][i];
#pragma unroll
    for (int t = 0; t < 4; t++) sha256_round(start, t, sha256_k(t) + (t < 3 ? job.word[t] : 0));
    uint32_t step = SCAN_GROUPS / job.groups;
#pragma unroll 1
    for (uint32_t n = threadIdx.x / SCAN_LANES / job.groups; n < nonces; n += step) {
        uint32_t s[8];
        uint4 last = rows[n * SCAN_WORDS + 11];
#pragma unroll
        for (int i = 0; i < 8; i++) s[i] = start[i];
        s[4] = add(job, last.z, s[4]);
        s[0] = add(job, last.z, s[0]);
        rolled_rounds<4>(job, s, rows, n * SCAN_WORDS, last);
        if (promising(job, s, midstate)) note(results, index, last.w);
    }
}

static __device__ bool meets(const scan_job &job, const uint32_t (&hash)[8])
{
    for (int i = 7; i >= 0; i--) {
        uint32_t word = sha256_swap(hash[i]);
        if (word != job.target[i]) return word < job.target[i];
    }
    return true;
}

/* Hash the candidates in full. */
static __global__ void __launch_bounds__(SCAN_THREADS)
    scan_check(const scan_job job, const uint32_t (*midstates)[8], scan_results *results)
{
    uint32_t count = results->candidates < CANDIDATES_MAX ? results->candidates : CANDIDATES_MAX;
    for (uint32_t at = blockIdx.x * SCAN_THREADS + threadIdx.x; at < count;
         at += gridDim.x * SCAN_THREADS) {
        owm_sha256d_hit candidate = results->candidate[at];
        uint32_t state[8], w[16];
#pragma unroll
        for (int i = 0; i < 8; i++) state[i] = midstates[candidate.midstate][i];
#pragma unroll
        for (int i = 0; i < 16; i++) w[i] = i < 3 ? job.word[i] : i < 4 ? 0 : padding<4>(i);
        w[3] = sha256_swap(candidate.nonce);
        sha256_compress(state, w);
        sha256_again(state);
        if (meets(job, state)) results->hit[atomicAdd(&results->found, 1u)] = candidate;
    }
}

/* scan: one op under way on the host. */
struct scan {
    struct owm_device *device;
    const struct owm_sha256d_scan *op;
    scan_results *results;
    uint32_t (*midstates)[8]; /* staged: those from `staged` on */
    uint32_t staged;
    scan_job job;
    uint64_t found;
};

/* The bits that must be 0 in the last word, as the hash writes it: those above the target's highest
 * one. It is the target's highest word, byte-swapped. */
static uint32_t zero_bits(uint32_t top)
{
    for (int i = 1; i < 32; i *= 2) top |= top >> i;
    return sha256_swap(~top);
}

static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void prepare(scan_job *job, const struct owm_sha256d_scan *op)
{
    *job = scan_job();
    job->one = 1;
    for (int n = 1; n < 32; n++) job->left[n] = UINT32_C(1) << (32 - n);
    for (int i = 0; i < 3; i++) job->word[i] = sha256_swap(load(op->tail + 4 * i));
    for (int i = 0; i < 8; i++) job->target[i] = load(op->target + 4 * i);
    job->must_be_0 = zero_bits(job->target[7]);
    job->w16 = sha256_s0(job->word[1]) + job->word[0];
    job->w17 = sha256_s1(640) + sha256_s0(job->word[2]) + job->word[1];
    job->kw16 = sha256_k(16) + job->w16;
    job->kw17 = sha256_k(17) + job->w17;
    job->c18 = sha256_s1(job->w16) + job->word[2];
    job->c19 = sha256_s1(job->w17) + sha256_s0(0x80000000u);
    job->c31 = sha256_s0(job->w16) + 640;
    job->c32 = sha256_s0(job->w17) + job->w16;
}

/* Rounds 0..3 of one midstate, and what its rounds 4..6 take from it. */
static void prepare_single(scan_job *job, const uint32_t midstate[8])
{
    for (int i = 0; i < 8; i++) job->start[i] = job->midstate[i] = midstate[i];
    for (int t = 0; t < 4; t++)
        sha256_round(job->start, t, sha256_k(t) + (t < 3 ? job->word[t] : 0));
    /* After round 3 the names are four places on: job->start[4] is a, [0] is e. */
    for (int i = 0; i < 4; i++) {
        uint32_t x = job->start[i];
        job->start[i] = job->start[i + 4];
        job->start[i + 4] = x;
    }
    job->hkw[0] = job->start[7] + sha256_k(4) + 0x80000000u;
    job->hkw[1] = job->start[6] + sha256_k(5);
    job->hkw[2] = job->start[5] + sha256_k(6);
}

/* Most nonces of a launch: bounded in time, and in the candidates to be expected. */
static uint32_t nonces_of_launch(const struct scan *scan, uint32_t midstates)
{
    uint64_t hashes = LAUNCH_HASHES * (uint64_t)gpu_of(scan->device)->processors;
    unsigned zeros = 0;
    for (uint32_t bits = scan->job.must_be_0; bits; bits &= bits - 1) zeros++;
    uint64_t likely = (uint64_t)(CANDIDATES_MAX / 2) << zeros;
    uint64_t nonces = (hashes < likely ? hashes : likely) / midstates;
    return nonces < UINT32_C(1) << 31 ? (uint32_t)nonces : UINT32_C(1) << 31;
}

static owm_status launch(struct scan *scan)
{
    const scan_job &job = scan->job;
    cudaStream_t stream = gpu_stream(scan->device);
    owm_status status = gpu_status(cudaMemsetAsync(scan->results, 0, 8, stream));
    if (status) return status;
    if (job.groups)
        OWM_LAUNCH(scan_rolled, gpu_blocks(job.count, SCAN_BATCH), SCAN_THREADS, 0, stream, job,
                   scan->midstates, scan->results);
    else
        OWM_LAUNCH(scan_single, gpu_blocks(job.count, SCAN_THREADS * SCAN_ROUNDS), SCAN_THREADS, 0,
                   stream, job, scan->results);
    OWM_LAUNCH(scan_check, 16, SCAN_THREADS, 0, stream, job, scan->midstates, scan->results);
    return gpu_launched();
}

/* The hits of a launch behind those before it. */
static owm_status take_hits(struct scan *scan, uint32_t found)
{
    const struct owm_sha256d_scan *op = scan->op;
    uint64_t room = scan->found < op->hit_max ? op->hit_max - scan->found : 0;
    struct owm_sha256d_hit *hit = op->hit + scan->found;
    scan->found += found;
    if (room > found) room = found;
    if (room == 0) return OWM_OK;
    owm_status status = gpu_fetch(scan->device, hit, scan->results->hit, room * sizeof *hit);
    for (uint64_t i = 0; i < room; i++) hit[i].midstate += scan->staged;
    return status;
}

/* All nonces with job.groups groups of midstates, or one. More candidates than the buffer holds are
 * all but impossible; then half as many nonces are tried. */
static owm_status scan_nonces(struct scan *scan)
{
    const struct owm_sha256d_scan *op = scan->op;
    uint32_t midstates = scan->job.groups ? scan->job.groups * SCAN_LANES : 1;
    uint32_t most = nonces_of_launch(scan, midstates);
    for (uint64_t at = 0; at < op->count;) {
        uint32_t counts[2];
        scan->job.first = op->first + (uint32_t)at;
        scan->job.count = op->count - at < most ? (uint32_t)(op->count - at) : most;
        owm_status status = launch(scan);
        if (status == OWM_OK)
            status = gpu_fetch(scan->device, counts, scan->results, sizeof counts);
        if (status) return status;
        if (counts[0] > CANDIDATES_MAX) {
            most /= 2;
            continue;
        }
        if (counts[1]) status = take_hits(scan, counts[1]);
        if (status) return status;
        at += scan->job.count;
    }
    return OWM_OK;
}

/* Staged midstates: as many as possible in the largest groups, the last few alone. */
static owm_status scan_midstates(struct scan *scan, uint32_t midstates)
{
    owm_status status = OWM_OK;
    uint32_t groups = SCAN_GROUPS;
    for (uint32_t at = 0; at < midstates && status == OWM_OK;) {
        while (groups && at + groups * SCAN_LANES > midstates) groups /= 2;
        scan->job.base = at;
        scan->job.groups = groups;
        if (groups == 0) prepare_single(&scan->job, scan->op->midstate[scan->staged + at]);
        status = scan_nonces(scan);
        at += groups ? groups * SCAN_LANES : 1;
    }
    return status;
}

extern "C" owm_status gpu_sha256d_scan(struct owm_device *device, const struct owm_sha256d_scan *op)
{
    owm_status status = owm_check_sha256d_scan(op);
    if (status) return status;
    struct scan scan = {};
    scan.device = device;
    scan.op = op;
    scan.results = (scan_results *)gpu_scratch(device, sizeof *scan.results);
    if (!scan.results) return OWM_E_LIMIT;
    prepare(&scan.job, op);
    for (; scan.staged < op->midstates && status == OWM_OK; scan.staged += SCAN_STAGED) {
        uint32_t count = op->midstates - scan.staged;
        if (count > SCAN_STAGED) count = SCAN_STAGED;
        status = gpu_stage(device, op->midstate[scan.staged], count * sizeof op->midstate[0],
                           (void **)&scan.midstates);
        if (status == OWM_OK) status = scan_midstates(&scan, count);
    }
    if (status) return status;
    *op->found = scan.found > UINT32_MAX ? UINT32_MAX : (uint32_t)scan.found;
    return scan.found > op->hit_max ? OWM_E_LIMIT : OWM_OK;
}

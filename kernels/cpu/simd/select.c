/* select.c: the K-th largest magnitude: from a sample, among candidates, and over all. */
#include "select.h"

#include <math.h>

#define BINS  2048u
#define TRASH BINS /* Where values outside the range are counted. */
#define BANKS 4u   /* Equal neighbours would wait for each other in one histogram. */
#define CHUNK 65536u

/* --- counting ----------------------------------------------------------------------------------
 */

struct histogram {
    uint32_t bins[BANKS][BINS + 1];
    uint32_t lowest, highest; /* of what was counted */
};

struct count_job {
    struct cpu_device *cpu;
    const float *x;
    uint32_t low, high;
    unsigned shift;
};

static struct histogram *histogram_of(struct cpu_device *cpu, unsigned worker)
{
    return (struct histogram *)cpu_scratch(cpu, worker);
}

static void count_chunk(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct count_job *job = ctx;
    struct histogram *h = histogram_of(job->cpu, worker);
    vi least = (vi){0} + (int32_t)MAGNITUDE_MASK, most = {0};
    int32_t low = (int32_t)job->low, high = (int32_t)(job->high - 1);
    for (size_t i = begin; i < end; i += W) {
        size_t lanes = end - i < W ? end - i : W;
        vi x = v_magnitude(v_load_part(job->x + i, lanes, 0));
        vi in = (x >= low) & (x <= high);
        if (!v_any(in)) continue;
        most = v_highest_of(most, x & in);
        /* The lowest is the highest of what each lacks to the largest there could be. */
        vi lack = ((int32_t)MAGNITUDE_MASK - x) & in;
        vi kept = (int32_t)MAGNITUDE_MASK - least;
        least = (int32_t)MAGNITUDE_MASK - v_highest_of(kept, lack);
        vi bin = (((x - low) >> (int)job->shift) & in) | (~in & (int32_t)TRASH);
        int32_t lane[W];
        memcpy(lane, &bin, sizeof lane);
        if (!v_any(bin != lane[0])) { /* equal values, which would wait for each other */
            h->bins[0][lane[0]] += W;
            continue;
        }
        for (unsigned j = 0; j < W; j++) h->bins[j % BANKS][lane[j]]++;
    }
    for (int j = 0; j < W; j++) {
        if ((uint32_t)least[j] < h->lowest) h->lowest = (uint32_t)least[j];
        if ((uint32_t)most[j] > h->highest) h->highest = (uint32_t)most[j];
    }
}

/* One histogram of all that lies in the range, in that of worker 0. */
static struct histogram *count_range(const struct count_job *job, size_t n)
{
    struct histogram *all = histogram_of(job->cpu, 0);
    for (unsigned w = 0; w < job->cpu->workers; w++) {
        memset(histogram_of(job->cpu, w), 0, sizeof *all);
        histogram_of(job->cpu, w)->lowest = MAGNITUDE_MASK;
    }
    owm_pool_for(job->cpu->base.pool, n, CHUNK, count_chunk, (void *)job);
    for (unsigned w = 0; w < job->cpu->workers; w++) {
        const struct histogram *h = histogram_of(job->cpu, w);
        for (unsigned b = w == 0; b < BANKS; b++)
            for (unsigned i = 0; i < BINS; i++) all->bins[0][i] += h->bins[b][i];
        if (h->lowest < all->lowest) all->lowest = h->lowest;
        if (h->highest > all->highest) all->highest = h->highest;
    }
    return all;
}

uint32_t SIMD(select_kth)(struct cpu_device *cpu, const float *x, size_t n,
                          struct select_range *range)
{
    for (;;) {
        unsigned shift = 0;
        while ((range->high - range->low - 1) >> shift >= BINS) shift++;
        struct count_job job = {cpu, x, range->low, range->high, shift};
        const struct histogram *h = count_range(&job, n);
        if (h->lowest >= h->highest) return h->highest; /* all that is there is equal */
        uint32_t bin = BINS - 1;
        while (bin > 0 && h->bins[0][bin] < range->wanted) range->wanted -= h->bins[0][bin--];
        uint32_t low = range->low + (bin << shift), high = low + (1u << shift);
        if (shift == 0) return low;
        range->low = low > h->lowest ? low : h->lowest;
        range->high = high <= h->highest ? high : h->highest + 1;
        if (range->high - range->low == 1) return range->low;
    }
}

/* --- the sample ---------------------------------------------------------------------------------
 */

#define LINE          16u /* floats that come from memory together */
#define LINES_MIN     1024u
#define LINES_MAX     (SELECT_SAMPLE_MAX / LINE)
#define LINES_PER_ONE 256u /* a line is looked at of this many */

static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

struct sample_job {
    const struct select *s;
    float *work;
    uint64_t lines, taken;
};

/* One line out of each of `taken` equal strata, anywhere in it, so that no period is followed. */
static void take_lines(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct sample_job *job = ctx;
    const struct owm_feedback_step *step = job->s->step;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        uint64_t first = i * job->lines / job->taken, next = (i + 1) * job->lines / job->taken;
        size_t at = LINE * (size_t)(first + mix((uint32_t)i) % (next - first));
        for (size_t j = 0; j < LINE; j += W) {
            vf x = v_load(job->s->x + at + j);
            if (step) x = v_fma(x, step->decay, v_load(step->gradient + at + j));
            /* What cannot be ranked is found in the pass. */
            x = v_select(v_magnitude(x) > (int32_t)job->s->limit, (vf){0}, x);
            v_store(job->work + i * LINE + j, x);
        }
    }
}

/* Two histograms of the sample: of all, and of one bin of the first. */
struct ranks {
    struct count_job all, fine;
    uint32_t count, bins[BINS];
};

/* The magnitude that `rank` of the sample are above, from below to one part in 2^14: one histogram
 * of all says in which bin it is, a second one of that bin says where. Neighbouring ranks mostly
 * share it, and it stays in the scratch of worker 0. */
static uint32_t rank_of(struct ranks *r, uint32_t rank)
{
    uint32_t bin = BINS - 1, wanted = rank + 1;
    while (bin > 0 && r->bins[bin] < wanted) wanted -= r->bins[bin--];
    const struct histogram *h = histogram_of(r->all.cpu, 0);
    uint32_t low = bin << r->all.shift, high = low + (1u << r->all.shift);
    if (low != r->fine.low || high != r->fine.high) {
        r->fine = r->all;
        r->fine.low = low;
        r->fine.high = high;
        r->fine.shift = r->all.shift - 11;
        h = count_range(&r->fine, r->count);
    }
    for (bin = BINS - 1; bin > 0 && h->bins[0][bin] < wanted;) wanted -= h->bins[0][bin--];
    return low + (bin << r->fine.shift);
}

/* The deviation of how many of the sample are above `bits`: from the differences of neighbouring
 * lines, since values in a line may be alike and strata take out slow trends. */
static double deviation_above(const float *work, uint32_t lines, uint32_t bits)
{
    double squares = 0;
    int before = 0;
    for (uint32_t i = 0; i < lines; i++) {
        int above = 0;
        for (uint32_t j = 0; j < LINE; j++) above += magnitude_bits(work[i * LINE + j]) > bits;
        if (i > 0) squares += (double)((above - before) * (above - before));
        before = above;
    }
    return sqrt(squares / 2);
}

void SIMD(select_bracket)(struct select *s, float *work)
{
    uint64_t lines = s->n / LINE, taken = lines / LINES_PER_ONE;
    if (taken < LINES_MIN) taken = LINES_MIN;
    if (taken > LINES_MAX) taken = LINES_MAX;
    struct sample_job job = {s, work, lines, taken};
    owm_pool_for(s->cpu->base.pool, taken, 256, take_lines, &job);
    uint32_t count = (uint32_t)taken * LINE;
    double rank = (double)s->k / s->n * count;
    struct ranks r = {.all = {s->cpu, work, 0, INFINITY_BITS, 20}, .count = count}; /* 2040 bins */
    memcpy(r.bins, count_range(&r.all, count)->bins[0], sizeof r.bins);
    uint32_t middle = rank_of(&r, (uint32_t)fmin(rank, count - 1));
    double slack = 3.5 * deviation_above(work, (uint32_t)taken, middle) + 4;
    s->low = rank + slack < count ? rank_of(&r, (uint32_t)(rank + slack)) : 1;
    s->high = rank > slack ? rank_of(&r, (uint32_t)(rank - slack)) : s->limit + 1;
    if (s->low == 0) s->low = 1;
    if (s->high <= s->low) s->high = s->low + 1;
}

/* --- the threshold ------------------------------------------------------------------------------
 */

bool SIMD(select_stage)(struct select *s)
{
    /* Many ties overflow the candidates, and are better counted. */
    s->candidates_max = s->n / 16 + 1024;
    size_t tile_bytes = ((size_t)s->tiles * sizeof *s->tile + 63) & ~(size_t)63;
    size_t candidates = ((size_t)s->candidates_max + 63) & ~(size_t)63;
    s->words_max = (size_t)s->k + candidates + (size_t)s->tiles * LINE;
    char *mem = cpu_arena(s->cpu, tile_bytes + candidates * (sizeof(float) + sizeof(uint16_t))
                                      + s->words_max * sizeof(uint32_t));
    if (!mem) return false;
    s->tile = (void *)mem;
    s->candidate = (void *)(mem + tile_bytes);
    s->word = (uint32_t *)(s->candidate + candidates);
    s->candidate_at = (uint16_t *)(s->word + s->words_max);
    return true;
}

/* Keep the list at `to`, and say where in it the candidates are: list->at, and their number. */
static uint32_t keep_list(struct select_list *list, uint32_t *to, bool stream)
{
    uint32_t count = 0;
    vi at = v_places(0);
    for (uint32_t i = 0; i < list->words; i += W) {
        vi word;
        memcpy(&word, list->word + i, sizeof word);
        v_put(to + i, word, stream);
        count = v_keep(list->at, count, at, (word & (int32_t)WORD_CANDIDATE) != 0);
        at += W;
    }
    v_fence();
    while (count > 0 && list->at[count - 1] >= list->words) count--; /* left from before */
    return count;
}

bool SIMD(select_put)(struct select *s, struct select_tile *tile, struct select_list *list,
                      const float *x)
{
    size_t room = ((size_t)list->words + LINE - 1) / LINE * LINE; /* a line is one tile's alone */
    tile->word_at = atomic_fetch_add(&s->words, room);
    if (tile->word_at + room > s->words_max) { /* more than K and candidates_max together */
        s->missed = true;
        return false;
    }
    uint32_t candidates = keep_list(list, s->word + tile->word_at, s->k >= SELECT_STREAM);
    uint32_t sure = list->words - candidates;
    uint64_t before = atomic_fetch_add(&s->sure, sure);
    tile->candidate_at = atomic_fetch_add(&s->candidates, candidates);
    if (before + sure > s->k || (uint64_t)tile->candidate_at + candidates > s->candidates_max) {
        s->missed = true;
        return false;
    }
    tile->words = list->words;
    tile->sure = sure;
    tile->candidates = candidates;
    for (uint32_t i = 0; i < candidates; i++) {
        s->candidate_at[tile->candidate_at + i] = (uint16_t)list->at[i];
        s->candidate[tile->candidate_at + i] = x[list->word[list->at[i]] & WORD_PLACE];
    }
    return true;
}

uint32_t SIMD(select_kept)(const uint32_t *words, uint32_t count, uint32_t *kept,
                           const uint32_t *fetched)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i += W) {
        vi word;
        memcpy(&word, words + i, sizeof word);
        if (fetched && i % LINE == 0) __builtin_prefetch(fetched + i, 1, 2);
        if (count - i < W) word |= (v_places(i) >= (int32_t)count) & (int32_t)WORD_CANDIDATE;
        at = v_keep(kept, at, word, (word & (int32_t)WORD_CANDIDATE) == 0);
    }
    return at;
}

uint32_t SIMD(select_choose)(const struct select *s, const struct select_tile *tile, uint32_t *at)
{
    const float *x = s->candidate + tile->candidate_at;
    uint32_t count = 0, ties = tile->ties;
    const int32_t threshold = (int32_t)s->threshold;
    for (uint32_t i = 0; i < tile->candidates; i += W) {
        uint32_t lanes = tile->candidates - i < W ? tile->candidates - i : W;
        vi m = v_magnitude(v_load_part(x + i, lanes, 0));
        if (!v_any(m == threshold)) {
            count = v_keep(at, count, v_places(i), m > threshold);
            continue;
        }
        for (uint32_t j = i; j < i + lanes; j++) { /* ties are counted */
            at[count] = j;
            count += select_chosen(s, x[j], &ties); /* as good as random: no jump depends on it */
        }
    }
    return count;
}

/* Each tile's part: what is above the threshold, and its share of the ties, lowest tiles first.
 * Before: `out` is how many are above, `ties` how many equal. */
static void share_out(struct select *s, uint32_t ties)
{
    uint32_t at = 0;
    for (uint32_t t = 0; t < s->tiles; t++) {
        struct select_tile *tile = &s->tile[t];
        uint32_t count = tile->out;
        if (tile->ties > ties) tile->ties = ties;
        ties -= tile->ties;
        tile->out = at;
        at += count + tile->ties;
    }
    s->count = at;
}

static void weigh_candidates(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct select *s = ctx;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        struct select_tile *tile = &s->tile[t];
        const float *x = s->candidate + tile->candidate_at;
        uint32_t above = 0, equal = 0;
        for (uint32_t i = 0; i < tile->candidates; i++) {
            above += magnitude_bits(x[i]) > s->threshold;
            equal += magnitude_bits(x[i]) == s->threshold;
        }
        tile->out = tile->sure + above;
        tile->ties = equal;
    }
}

bool SIMD(select_settle)(struct select *s)
{
    uint32_t sure = s->sure, candidates = s->candidates, ties = UINT32_MAX;
    if (s->missed || sure > s->k || (s->low > 1 && s->k - sure > candidates)) return false;
    s->threshold = s->low; /* all are chosen */
    if (s->k == sure) {
        s->threshold = s->high - 1; /* none is, not even those that equal it */
        ties = 0;
    } else if (s->k - sure < candidates) {
        struct select_range range = {s->low, s->high, s->k - sure};
        s->threshold = SIMD(select_kth)(s->cpu, s->candidate, candidates, &range);
        ties = range.wanted;
    }
    owm_pool_for(s->cpu->base.pool, s->tiles, 16, weigh_candidates, s);
    share_out(s, ties);
    return true;
}

/* How many are above the threshold, and how many equal it. */
static void weigh_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct select *s = ctx;
    struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    vi above = {0}, equal = {0};
    (void)worker;
    int32_t threshold = (int32_t)s->threshold;
    for (size_t i = begin; i < end; i += W) {
        vi x = v_magnitude(v_load_part(s->x + i, end - i < W ? end - i : W, 0));
        above -= x > threshold;
        equal -= x == threshold;
    }
    tile->out = tile->ties = 0;
    for (int j = 0; j < W; j++) {
        tile->out += (uint32_t)above[j];
        tile->ties += (uint32_t)equal[j];
    }
}

struct look {
    const struct select *s;
    atomic_uint largest;
    atomic_size_t zeros;
};

static void look_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct look *look = ctx;
    vi top = {0}, zeros = {0};
    (void)worker;
    for (size_t i = begin; i < end; i += W) {
        vi x = v_magnitude(v_load_part(look->s->x + i, end - i < W ? end - i : W, 0));
        top = v_highest_of(top, x);
        zeros -= x == 0;
    }
    size_t count = (W - (end - begin) % W) % W; /* of zeros that filled up the last vector */
    for (int j = 0; j < W; j++) look->zeros += (uint32_t)zeros[j];
    look->zeros -= count;
    uint32_t largest = look->largest, mine = v_top(top);
    while (mine > largest && !atomic_compare_exchange_weak(&look->largest, &largest, mine)) {
    }
}

bool SIMD(select_exact)(struct select *s)
{
    owm_pool *pool = s->cpu->base.pool;
    struct look look = {.s = s};
    owm_pool_for(pool, s->n, SELECT_TILE, look_tile, &look);
    if (look.largest > s->limit) return false;
    uint32_t ties = UINT32_MAX;
    s->threshold = 1;
    if (s->n - look.zeros > s->k) {
        struct select_range range = {1, s->limit + 1, s->k};
        s->threshold = SIMD(select_kth)(s->cpu, s->x, s->n, &range);
        ties = range.wanted;
    }
    s->largest = look.largest;
    owm_pool_for(pool, s->n, SELECT_TILE, weigh_tile, s);
    share_out(s, ties);
    return true;
}

#if SIMD_avx2
#define BIT(m, i)   ((m) >> (i)&1)
#define BELOW(m, i) ((m) & ((1 << (i)) - 1))
#define ONES(m)                                                                                    \
    (BIT(m, 0) + BIT(m, 1) + BIT(m, 2) + BIT(m, 3) + BIT(m, 4) + BIT(m, 5) + BIT(m, 6) + BIT(m, 7))
/* Which bit of m is the k-th one: the i with BIT(m, i) and k ones below it. */
#define AT(m, k, i) (BIT(m, i) && ONES(BELOW(m, i)) == (k) ? (i) : 0)
#define KTH(m, k)                                                                                  \
    (AT(m, k, 0) + AT(m, k, 1) + AT(m, k, 2) + AT(m, k, 3) + AT(m, k, 4) + AT(m, k, 5)             \
     + AT(m, k, 6) + AT(m, k, 7))
#define ROW(m)                                                                                     \
    {                                                                                              \
        KTH(m, 0), KTH(m, 1), KTH(m, 2), KTH(m, 3), KTH(m, 4), KTH(m, 5), KTH(m, 6), KTH(m, 7)     \
    }
#define ROWS4(m)  ROW(m), ROW(m + 1), ROW(m + 2), ROW(m + 3)
#define ROWS16(m) ROWS4(m), ROWS4(m + 4), ROWS4(m + 8), ROWS4(m + 12)
#define ROWS64(m) ROWS16(m), ROWS16(m + 16), ROWS16(m + 32), ROWS16(m + 48)
const uint8_t select_order[256][8] = {ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192)};
#endif

/* feedback.c: error feedback in one pass over memory: add, select, quantise, subtract.
 *
 * Residual and gradient are read once and the residual is written once. A group of 2048 coordinates
 * is added up; if its largest is sure to be sent (select.h) so is its scale, and what is sure is
 * quantised and subtracted while the group is in the cache and the next one is added up. What was
 * staged says what has been subtracted, so it can be added back without rounding: when the bracket
 * missed, when a scale fell below the floor, which is known at the end only, or when an s is bad.
 * The residual then holds s, and the step is finished from there by counting.
 */
#include "quantise.h"
#include "select.h"

#define I8   OWM_QUANT_I8
#define BF16 OWM_QUANT_BF16

/* --- quantising ---------------------------------------------------------------------------------
 */

/* What an entry of a list stands for. */
static inline float value_of(enum owm_quant quant, uint32_t word, const float *scale)
{
    if (quant == I8)
        return (float)(int8_t)(word >> WORD_CODE) * scale[(word & WORD_PLACE) >> WORD_GROUP];
    uint32_t bits = word & 0xffff0000u;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* --- the pass -----------------------------------------------------------------------------------
 */

/* Where the pass adds: x[i] = x[i] * decay + gradient[i] where the sum is good; top: the largest
 * sums, bad ones too. */
struct adding {
    float *x;
    const float *gradient;
    float decay;
    int32_t limit;
    vi top;
};

static inline void add_vector(struct adding *a, size_t i, size_t lanes)
{
    vf old = v_load_part(a->x + i, lanes, 0);
    vf sum = v_fma(old, a->decay, v_load_part(a->gradient + i, lanes, 0));
    vi m = v_magnitude(sum);
    v_store_part(a->x + i, v_select(m > a->limit, old, sum), lanes);
    a->top = v_highest_of(a->top, m);
}

static inline void add_line(struct adding *a, size_t i)
{
    if (i % 16 == 0) {
        select_fetch(a->x + i);
        select_fetch(a->gradient + i);
    }
    add_vector(a, i, W);
}

static struct adding adding_at(const struct select *s, size_t at)
{
    return (struct adding){
        s->step->residual + at, s->step->gradient + at, s->step->decay, (int32_t)s->limit, {0}};
}

/* Returns the largest sum of a group. */
static uint32_t add_group(const struct select *s, size_t at, size_t count)
{
    struct adding a = adding_at(s, at);
    size_t i = 0;
    for (; i + W <= count; i += W) add_line(&a, i);
    if (i < count) add_vector(&a, i, count - i);
    return v_top(a.top);
}

struct scaling {
    uint32_t low, high;
    float scale, inverse;
    enum owm_quant quant;
};

/* What W sums become when sent, and the list's words of them but for the places. Adding 1.5 * 2^23
 * rounds to an integer, ties to even, and leaves it in the lowest bits. */
static inline vi quantise_vector(vf s, const struct scaling *q, enum owm_quant quant, vf *sent)
{
    const float shift = 12582912.0f;
    if (quant == I8) {
        vf t = s * q->inverse + shift;
        *sent = (t - shift) * q->scale;
        return (vi)t << WORD_CODE;
    }
    vi bits = (vi)s;
    vi code = (bits + 0x7fff + (bits >> 16 & 1)) & (int32_t)0xffff0000;
    *sent = (vf)code;
    return code;
}

static inline uint32_t send_vector(float *x, size_t lanes, vi places, const struct scaling *q,
                                   enum owm_quant quant, uint32_t *list, uint32_t words)
{
    vf s = v_load_part(x, lanes, 0), sent;
    vi m = v_magnitude(s), sure = m >= (int32_t)q->high;
    vi word = quantise_vector(s, q, quant, &sent);
    word |= places | (~sure & (int32_t)WORD_CANDIDATE);
    v_store_part(x, v_select(sure, s - sent, s), lanes);
    return v_keep(list, words, word, m >= (int32_t)q->low);
}

/* A group of a tile, and what the groups before it have left behind. */
struct group {
    float *x;
    size_t at, count, next_count; /* next_count: of the group behind it, 0 at the end of a tile */
    uint32_t place, largest;      /* place: of its first coordinate in the tile */
    int lowest;                   /* exponent of all groups of the tile so far */
};

/* A group whose sums are known: list what is >= low, quantise and subtract what is >= high. While
 * that is worked out the next group is added up, so that memory is never waited for nor left idle.
 * Returns the next one's largest sum. */
static inline __attribute__((always_inline)) uint32_t
send_group(const struct group *g, const struct scaling *q, enum owm_quant quant,
           struct select_list *list, struct adding next)
{
    const struct scaling own = *q; /* in registers: the stores below could be to *q */
    const size_t count = g->count;
    float *x = g->x;
    uint32_t words = list->words;
    vi places = v_places(g->place);
    size_t i = 0;
    for (; next.x && i + W <= OWM_QUANT_GROUP; i += W) {
        add_line(&next, i);
        words = send_vector(x + i, W, places, &own, quant, list->word, words);
        places += W;
    }
    for (; i + W <= count; i += W) {
        words = send_vector(x + i, W, places, &own, quant, list->word, words);
        places += W;
    }
    if (i < count) words = send_vector(x + i, count - i, places, &own, quant, list->word, words);
    list->words = words;
    return v_top(next.top);
}

static void raise_to(atomic_uint *most, uint32_t x)
{
    uint32_t seen = atomic_load_explicit(most, memory_order_relaxed);
    while (x > seen && !atomic_compare_exchange_weak(most, &seen, x)) {
    }
}

static void lower_to(atomic_int *least, int x)
{
    int seen = atomic_load_explicit(least, memory_order_relaxed);
    while (x < seen && !atomic_compare_exchange_weak(least, &seen, x)) {
    }
}

/* Send from a group, and add up the next one. Returns the next one's largest sum. */
static uint32_t pass_group(struct select *s, struct select_list *list, struct group *g)
{
    const struct owm_feedback_step *step = s->step;
    size_t next_at = g->at + OWM_QUANT_GROUP;
    int exponent = OWM_QUANT_EXPONENT_MIN;
    uint32_t next = 0;
    bool sends = g->largest >= s->low && g->largest <= s->limit;
    bool together = sends && g->next_count == OWM_QUANT_GROUP;
    if (sends) {
        int e = exponent_of_bits(g->largest);
        struct scaling q = {s->low, s->high, power_of_two(e), power_of_two(-e), step->quant};
        struct adding adding = together ? adding_at(s, next_at) : (struct adding){.x = NULL};
        next = step->quant == I8 ? send_group(g, &q, I8, list, adding)
                                 : send_group(g, &q, BF16, list, adding);
        if (g->largest >= s->high) {
            exponent = e;
            g->lowest = e < g->lowest ? e : g->lowest;
        }
    }
    if (step->quant == I8) step->exponent[g->at / OWM_QUANT_GROUP] = (int8_t)exponent;
    return together || g->next_count == 0 ? next : add_group(s, next_at, g->next_count);
}

static void scales_of_tile(const struct select *s, size_t begin, float scale[SELECT_GROUPS])
{
    for (size_t g = 0; g < SELECT_GROUPS && begin + g * OWM_QUANT_GROUP < s->n; g++)
        scale[g] =
            s->step->quant == I8 ? power_of_two(s->step->exponent[begin / OWM_QUANT_GROUP + g]) : 0;
}

/* Add back what a tile has sent: s - value + value is s without rounding. */
static void restore(const struct select *s, size_t begin, const uint32_t *word, uint32_t words)
{
    float scale[SELECT_GROUPS] = {0}, *x = s->step->residual + begin;
    scales_of_tile(s, begin, scale);
    for (uint32_t i = 0; i < words; i++)
        if (!(word[i] & WORD_CANDIDATE))
            x[word[i] & WORD_PLACE] += value_of(s->step->quant, word[i], scale);
}

/* Coordinates of the group at `at`. */
static size_t count_at(size_t at, size_t end)
{
    return end - at < OWM_QUANT_GROUP ? end - at : OWM_QUANT_GROUP;
}

static void pass_tile(struct select *s, struct select_list *list, size_t t)
{
    struct select_tile *tile = &s->tile[t];
    size_t begin = t * SELECT_TILE, end = begin + SELECT_TILE < s->n ? begin + SELECT_TILE : s->n;
    bool only_add = s->missed || s->bad;
    uint32_t largest = 0, next = add_group(s, begin, count_at(begin, end));
    struct group g = {.lowest = OWM_QUANT_EXPONENT_MAX};
    *tile = (struct select_tile){0};
    list->words = 0;
    for (g.at = begin; g.at < end; g.at += OWM_QUANT_GROUP) {
        g.x = s->step->residual + g.at;
        g.count = count_at(g.at, end);
        g.next_count = count_at(g.at + g.count, end);
        g.place = (uint32_t)(g.at - begin);
        g.largest = next;
        largest = next > largest ? next : largest;
        if (!only_add)
            next = pass_group(s, list, &g);
        else if (g.next_count)
            next = add_group(s, g.at + g.count, g.next_count);
    }
    if (largest > s->limit) s->bad = true;
    raise_to(&s->largest, largest);
    lower_to(&s->lowest_exponent, g.lowest);
    if (!only_add && !SIMD(select_put)(s, tile, list, s->x + begin))
        restore(s, begin, list->word, list->words);
}

static void pass_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct select *s = ctx;
    for (size_t t = begin; t < end; t++) pass_tile(s, select_list(s, worker), t);
}

static void restore_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct select *s = ctx;
    (void)worker;
    for (size_t t = begin; t < end; t++)
        restore(s, t * SELECT_TILE, s->word + s->tile[t].word_at, s->tile[t].words);
}

/* --- the output ---------------------------------------------------------------------------------
 */

/* What W entries stand for. */
static inline vi values_of(enum owm_quant quant, vi word, const float *scale)
{
    if (quant == BF16) return word & (int32_t)0xffff0000;
    vi group = (word & (int32_t)WORD_PLACE) >> WORD_GROUP;
    vf code = __builtin_convertvector(word << 8 >> 24, vf);
#if SIMD_avx512
    return (vi)(code * (vf)_mm512_permutexvar_ps((__m512i)group, _mm512_loadu_ps(scale)));
#elif SIMD_avx2
    return (vi)(code * (vf)_mm256_i32gather_ps(scale, (__m256i)group, 4));
#else
    for (int i = 0; i < W; i++) code[i] *= scale[group[i]];
    return (vi)code;
#endif
}

/* Where a tile's entries are written. */
struct output {
    uint32_t *index;
    float *value;
    void *code;
    uint32_t base; /* of the tile */
    float scale[SELECT_GROUPS];
};

static inline void write_one(const struct output *o, uint32_t i, uint32_t word,
                             enum owm_quant quant)
{
    o->index[i] = o->base + (word & WORD_PLACE);
    o->value[i] = value_of(quant, word, o->scale);
    if (quant == I8)
        ((int8_t *)o->code)[i] = (int8_t)(word >> WORD_CODE);
    else
        ((uint16_t *)o->code)[i] = (uint16_t)(word >> WORD_CODE);
}

static inline void write_codes(const struct output *o, uint32_t i, vi word, enum owm_quant quant)
{
    typedef int8_t bytes __attribute__((vector_size(W)));
    typedef int16_t halves __attribute__((vector_size(W * 2)));
    if (quant == I8) {
        bytes code = __builtin_convertvector(word >> WORD_CODE, bytes);
        memcpy((int8_t *)o->code + i, &code, sizeof code);
    } else {
        halves code = __builtin_convertvector(word >> WORD_CODE, halves);
        memcpy((uint16_t *)o->code + i, &code, sizeof code);
    }
}

static inline __attribute__((always_inline)) void write_entries(const struct output *o,
                                                                const uint32_t *word,
                                                                uint32_t count, bool stream,
                                                                enum owm_quant quant)
{
    uint32_t i = 0;
    for (; i < count && (uintptr_t)(o->index + i) % sizeof(vi); i++)
        write_one(o, i, word[i], quant);
    stream = stream && (uintptr_t)(o->value + i) % sizeof(vi) == 0;
    for (; i + W <= count; i += W) {
        vi x;
        memcpy(&x, word + i, sizeof x);
        v_put(o->index + i, (x & (int32_t)WORD_PLACE) + (int32_t)o->base, stream);
        v_put(o->value + i, values_of(quant, x, o->scale), stream);
        write_codes(o, i, x, quant);
    }
    for (; i < count; i++) write_one(o, i, word[i], quant);
}

/* Write what a tile sends, entry by entry, behind `out`. */
static void write_tile(const struct select *s, size_t begin, const uint32_t *word, uint32_t count,
                       uint32_t out)
{
    const struct owm_feedback_step *step = s->step;
    struct output o = {step->index + out, step->value + out, NULL, (uint32_t)begin, {0}};
    bool stream = s->k >= SELECT_STREAM;
    scales_of_tile(s, begin, o.scale);
    if (step->quant == I8) {
        o.code = (int8_t *)step->code + out;
        write_entries(&o, word, count, stream, I8);
    } else {
        o.code = (uint16_t *)step->code + out;
        write_entries(&o, word, count, stream, BF16);
    }
}

/* Chosen ones of one group that are not quantised yet. */
struct chosen {
    uint32_t *word[OWM_QUANT_GROUP]; /* where they are listed */
    float s[OWM_QUANT_GROUP], sent[OWM_QUANT_GROUP];
    int8_t code_i8[OWM_QUANT_GROUP];
    uint16_t code_bf16[OWM_QUANT_GROUP];
    uint32_t count, largest;
};

static void choose(struct chosen *c, uint32_t *word, float x)
{
    uint32_t m = magnitude_bits(x);
    c->largest = m > c->largest ? m : c->largest;
    c->word[c->count] = word;
    c->s[c->count++] = x;
}

/* Quantise them with a scale that becomes that of their group, subtract them, and complete their
 * entries. */
static void send_chosen(const struct select *s, struct chosen *c, size_t tile_begin)
{
    if (c->count == 0) return;
    const struct owm_feedback_step *step = s->step;
    bool i8 = step->quant == I8;
    size_t group = tile_begin / OWM_QUANT_GROUP + ((*c->word[0] & WORD_PLACE) >> WORD_GROUP);
    if (i8) {
        int exponent = exponent_of_bits(c->largest);
        if (exponent < s->floor_exponent) exponent = s->floor_exponent;
        step->exponent[group] = (int8_t)exponent;
        quantise_i8(c->s, c->count, exponent, c->code_i8, c->sent);
    } else {
        quantise_bf16(c->s, c->count, bf16_smallest_bits(s->floor_exponent), c->code_bf16, c->sent);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t place = *c->word[i] & WORD_PLACE;
        uint32_t code = i8 ? (uint8_t)c->code_i8[i] : c->code_bf16[i];
        step->residual[tile_begin + place] = c->s[i] - c->sent[i];
        *c->word[i] = place | code << WORD_CODE;
    }
    c->count = c->largest = 0;
}

static uint32_t *words_of(const struct select *s, size_t t)
{
    return s->word + s->tile[t].word_at;
}

/* After a pass: which of a tile's candidates are sent, into `at`; returns how many. Their residuals
 * lie far from each other, and are on their way when they are needed. */
static uint32_t choose_of_tile(const struct select *s, size_t t, uint32_t *at)
{
    const uint16_t *candidate_at = s->candidate_at + s->tile[t].candidate_at;
    const uint32_t *word = words_of(s, t), count = SIMD(select_choose)(s, &s->tile[t], at);
    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch(s->x + t * SELECT_TILE + (word[candidate_at[at[i]]] & WORD_PLACE), 0, 2);
    return count;
}

/* Is the code that the pass gave a candidate of a group final? Not without a sure one in the group,
 * whose scale it shares. */
static inline bool has_code(const struct owm_feedback_step *step, size_t group)
{
    return step->quant == BF16 || step->exponent[group] > OWM_QUANT_EXPONENT_MIN;
}

static void send_of_tile(const struct select *s, size_t t, const uint32_t *at, uint32_t count,
                         struct chosen *chosen)
{
    const struct select_tile *tile = &s->tile[t];
    const float *candidate = s->candidate + tile->candidate_at;
    const uint16_t *candidate_at = s->candidate_at + tile->candidate_at;
    float scale[SELECT_GROUPS] = {0}, *x = s->step->residual + t * SELECT_TILE;
    uint32_t group = 0, *words = words_of(s, t);
    scales_of_tile(s, t * SELECT_TILE, scale);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *word = &words[candidate_at[at[i]]], of = (*word & WORD_PLACE) >> WORD_GROUP;
        if (of != group) send_chosen(s, chosen, t * SELECT_TILE);
        group = of;
        if (has_code(s->step, t * SELECT_GROUPS + of)) {
            *word &= ~WORD_CANDIDATE;
            x[*word & WORD_PLACE] -= value_of(s->step->quant, *word, scale);
        } else {
            choose(chosen, word, candidate[at[i]]);
        }
    }
    send_chosen(s, chosen, t * SELECT_TILE);
}

/* The candidates of a tile that are sent join the sure ones, and all are written. Meanwhile those
 * of the next one are chosen, and the list of the one behind it is fetched. */
static void merge_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct select *s = ctx;
    struct select_list *list = select_list(s, worker);
    struct chosen chosen;
    chosen.count = chosen.largest = 0;
    uint32_t *at = list->at, *next_at = list->word, count = choose_of_tile(s, begin, at);
    for (size_t t = begin; t < end; t++) {
        uint32_t next = t + 1 < end ? choose_of_tile(s, t + 1, next_at) : 0;
        send_of_tile(s, t, at, count, &chosen);
        const uint32_t *fetched = t + 2 < end ? words_of(s, t + 2) : NULL;
        uint32_t kept = SIMD(select_kept)(words_of(s, t), s->tile[t].words, list->kept, fetched);
        write_tile(s, t * SELECT_TILE, list->kept, kept, s->tile[t].out);
        uint32_t *done = at;
        at = next_at, next_at = done, count = next;
    }
    v_fence();
}

/* After select_exact: s is in the residual, nothing is sent yet. */
static void emit_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct select *s = ctx;
    const struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    struct select_list *list = select_list(s, worker);
    struct chosen chosen;
    uint32_t ties = tile->ties, kept = 0;
    for (size_t at = begin; at < end; at += OWM_QUANT_GROUP) {
        size_t size = end - at < OWM_QUANT_GROUP ? end - at : OWM_QUANT_GROUP;
        uint32_t hits = 0;
        int32_t low =
            (int32_t)s->threshold + (ties == 0); /* where all is equal, most is left out */
        for (size_t i = 0; i < size; i += W) {
            vi m = v_magnitude(v_load_part(s->x + at + i, size - i < W ? size - i : W, 0));
            hits = v_keep(list->word, hits, v_places((uint32_t)(at - begin + i)), m >= low);
        }
        chosen.count = chosen.largest = 0;
        if (s->step->quant == I8) s->step->exponent[at / OWM_QUANT_GROUP] = OWM_QUANT_EXPONENT_MIN;
        for (uint32_t i = 0; i < hits; i++) {
            float x = s->x[begin + list->word[i]];
            if (!select_chosen(s, x, &ties)) continue;
            list->kept[kept] = list->word[i];
            choose(&chosen, &list->kept[kept++], x);
        }
        send_chosen(s, &chosen, begin);
    }
    write_tile(s, begin, list->kept, kept, tile->out);
    v_fence();
}

/* --- the op -------------------------------------------------------------------------------------
 */

static void know_floor(struct select *s)
{
    uint32_t bits = s->largest;
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    s->floor_exponent = owm_quant_floor(largest);
}

/* Did what was given codes in the pass keep above the floor? */
static bool above_floor(const struct select *s)
{
    if (s->step->quant == I8) return s->lowest_exponent >= s->floor_exponent;
    return s->low >= bf16_smallest_bits(s->floor_exponent);
}

/* How far the pass came: all is written, or s is in the residual, with the threshold or without. */
enum progress { DONE, SETTLED, ADDED };

static enum progress one_pass(struct select *s)
{
    owm_pool *pool = s->cpu->base.pool;
    SIMD(select_bracket)(s, s->cpu->pack);
    s->lowest_exponent = OWM_QUANT_EXPONENT_MAX;
    owm_pool_for(pool, s->tiles, select_grain(s, 8), pass_tiles, s);
    know_floor(s);
    bool settled = !s->bad && SIMD(select_settle)(s);
    if (settled && above_floor(s)) {
        owm_pool_for(pool, s->tiles, select_grain(s, 32), merge_tiles, s);
        return DONE;
    }
    owm_pool_for(pool, s->tiles, 4, restore_tiles, s);
    return settled ? SETTLED : ADDED;
}

owm_status SIMD(feedback)(struct owm_device *device, const struct owm_feedback_step *op)
{
    owm_status status = owm_check_feedback(op);
    if (status != OWM_OK) return status;
    struct select s = {.cpu = cpu_of(device),
                       .x = op->residual,
                       .n = op->n,
                       .k = op->k,
                       .limit = SENDABLE_BITS,
                       .step = op,
                       .tiles = select_tiles(op->n)};
    if (!SIMD(select_stage)(&s)) return OWM_E_NOMEM;
    enum progress progress = ADDED;
    if (op->n < SELECT_SMALL) {
        s.missed = true; /* then the pass only adds */
        owm_pool_for(device->pool, s.tiles, 1, pass_tiles, &s);
    } else {
        progress = one_pass(&s);
    }
    if (s.bad || (progress == ADDED && !SIMD(select_exact)(&s))) return OWM_E_ARG;
    if (progress != DONE) {
        know_floor(&s);
        owm_pool_for(device->pool, op->n, SELECT_TILE, emit_tile, &s);
    }
    *op->count = s.count;
    *op->floor_exponent = s.floor_exponent;
    return OWM_OK;
}

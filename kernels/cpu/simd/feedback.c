/* feedback.c: error feedback in one pass over memory: add, select, quantise, subtract.
 *
 * Residual and gradient are read once and the residual is written once. A group of 2048 coordinates
 * is added up; if its largest is sure to be sent (select.h) so is its scale, and what is sure is
 * quantised and subtracted while the group is in the cache. What was staged says what has been
 * subtracted, so it can be added back without rounding: when the bracket missed, when a scale fell
 * below the floor, which is known at the end only, or when an s is bad. The residual then holds s,
 * and the step is finished from there by counting.
 */
#include "select.h"

#define I8 OWM_QUANT_I8

/* Work space of a thread: a group, and what a tile has to stage. */
struct lists {
    uint32_t hit[OWM_QUANT_GROUP + W];
    uint32_t chosen[OWM_QUANT_GROUP + W];
    float s[OWM_QUANT_GROUP + W], sent[OWM_QUANT_GROUP + W];
    uint16_t place[SELECT_TILE + OWM_QUANT_GROUP], candidate_place[SELECT_TILE + OWM_QUANT_GROUP];
    float candidate[SELECT_TILE + OWM_QUANT_GROUP];
    uint16_t code[SELECT_TILE + OWM_QUANT_GROUP]; /* or twice as many i8 */
};
_Static_assert(sizeof(struct lists) <= CPU_SCRATCH_FLOATS * sizeof(float), "fits the scratch");

static float power_of_two(int e)
{
    uint32_t bits = (uint32_t)(e + 127) << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* --- quantising ---------------------------------------------------------------------------------
 */

/* Codes of s[count] and what they stand for. Adding 1.5 * 2^23 rounds to an integer, ties to even.
 */
static void quantise_i8(const float *s, uint32_t count, int exponent, int8_t *code, float *sent)
{
    const float shift = 12582912.0f;
    float scale = power_of_two(exponent), inverse = power_of_two(-exponent);
    for (uint32_t i = 0; i < count; i++) {
        float rounded = s[i] * inverse + shift - shift;
        code[i] = (int8_t)rounded;
        sent[i] = rounded * scale;
    }
}

static void quantise_bf16(const float *s, uint32_t count, uint32_t smallest, uint16_t *code,
                          float *sent)
{
    const uint32_t *from = (const void *)s;
    uint32_t *to = (void *)sent;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
        rounded = (bits & MAGNITUDE_MASK) < smallest ? 0 : rounded;
        code[i] = (uint16_t)(rounded >> 16);
        memcpy(to + i, &rounded, sizeof rounded);
    }
}

static inline float value_of(const struct select *s, const void *code, size_t at, float scale)
{
    if (s->step->quant == I8) return (float)((const int8_t *)code)[at] * scale;
    uint32_t bits = (uint32_t)((const uint16_t *)code)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline size_t code_bytes(const struct select *s)
{
    return s->step->quant == I8 ? sizeof(int8_t) : sizeof(uint16_t);
}

/* --- the pass -----------------------------------------------------------------------------------
 */

/* x[0] += gradient where the sum is good; places with sums >= low; the largest sum, bad ones too.
 */
static uint32_t add_group(const struct select *s, size_t at, size_t count, uint32_t low,
                          uint32_t *hit, uint32_t *largest)
{
    float *x = s->step->residual + at;
    const float *gradient = s->step->gradient + at;
    float decay = s->step->decay;
    vi top = {0};
    uint32_t hits = 0;
    size_t i = 0;
    for (; i + W <= count; i += W) {
        vf old = v_load(x + i), sum = v_fma(old, decay, v_load(gradient + i));
        vi m = v_magnitude(sum);
        v_store(x + i, v_select(m > (int32_t)s->limit, old, sum));
        top = v_highest_of(top, m);
        hits = v_append(hit, hits, m, (int32_t)low, (uint32_t)i);
    }
    if (i < count) {
        vf old = v_load_part(x + i, count - i, 0);
        vf sum = v_fma(old, decay, v_load_part(gradient + i, count - i, 0));
        vi m = v_magnitude(sum);
        v_store_part(x + i, v_select(m > (int32_t)s->limit, old, sum), count - i);
        top = v_highest_of(top, m);
        hits = v_append(hit, hits, m, (int32_t)low, (uint32_t)i);
    }
    *largest = v_top(top);
    return hits;
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

struct counts {
    uint32_t sure, candidates;
};

/* Take apart what a group hits: sure ones to l->chosen and l->s, candidates to the tile's list. */
static uint32_t sort_hits(const struct select *s, struct lists *l, size_t at, uint32_t in_tile,
                          uint32_t hits, uint32_t *candidates)
{
    const float *x = s->x + at;
    uint32_t sure = 0, others = *candidates;
    for (uint32_t i = 0; i < hits; i++) {
        uint32_t place = l->hit[i];
        float value = x[place];
        bool is_sure = magnitude_bits(value) >= s->high;
        l->chosen[sure] = place;
        l->s[sure] = value;
        l->candidate_place[others] = (uint16_t)(in_tile + place);
        l->candidate[others] = value;
        sure += is_sure;
        others += !is_sure;
    }
    *candidates = others;
    return sure;
}

/* Quantise and subtract l->s[count]; codes and places go to the tile's lists. */
static void send_sure(const struct select *s, struct lists *l, size_t at, uint32_t in_tile,
                      uint32_t count, int exponent, uint32_t first)
{
    float *x = s->step->residual + at;
    if (s->step->quant == I8)
        quantise_i8(l->s, count, exponent, (int8_t *)l->code + first, l->sent);
    else
        quantise_bf16(l->s, count, 0, l->code + first, l->sent);
    for (uint32_t i = 0; i < count; i++) l->place[first + i] = (uint16_t)(in_tile + l->chosen[i]);
    for (uint32_t i = 0; i < count; i++) l->s[i] -= l->sent[i];
    for (uint32_t i = 0; i < count; i++) x[l->chosen[i]] = l->s[i];
}

static struct counts pass_groups(struct select *s, struct lists *l, struct select_tile *tile,
                                 size_t begin, size_t end)
{
    struct counts c = {0};
    uint32_t largest_of_all = 0;
    int lowest = OWM_QUANT_EXPONENT_MAX;
    for (size_t at = begin, g = 0; at < end; at += OWM_QUANT_GROUP, g++) {
        size_t count = end - at < OWM_QUANT_GROUP ? end - at : OWM_QUANT_GROUP;
        uint32_t largest, in_tile = (uint32_t)(at - begin), sure = 0;
        uint32_t hits = add_group(s, at, count, s->low, l->hit, &largest);
        largest_of_all = largest > largest_of_all ? largest : largest_of_all;
        int exponent = OWM_QUANT_EXPONENT_MIN;
        if (largest <= s->limit) {
            sure = sort_hits(s, l, at, in_tile, hits, &c.candidates);
            if (sure > 0) {
                exponent = exponent_of_bits(largest);
                lowest = exponent < lowest ? exponent : lowest;
                send_sure(s, l, at, in_tile, sure, exponent, c.sure);
            }
        }
        if (s->step->quant == I8) s->step->exponent[at / OWM_QUANT_GROUP] = (int8_t)exponent;
        tile->group_sure[g] = (uint16_t)sure;
        c.sure += sure;
    }
    if (largest_of_all > s->limit) s->bad = true;
    raise_to(&s->largest, largest_of_all);
    lower_to(&s->lowest_exponent, lowest);
    return c;
}

/* Add back what a tile has sent: s - value + value is s without rounding. */
static void restore(const struct select *s, const struct select_tile *tile, size_t begin,
                    const uint16_t *place, const void *code)
{
    float *x = s->step->residual + begin;
    size_t i = 0;
    for (uint32_t g = 0; g < SELECT_GROUPS; g++) {
        size_t end = i + tile->group_sure[g];
        if (i == end) continue;
        size_t group = begin / OWM_QUANT_GROUP + g;
        float scale = s->step->quant == I8 ? power_of_two(s->step->exponent[group]) : 0;
        for (; i < end; i++) x[place[i]] += value_of(s, code, i, scale);
    }
}

static void pass_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct select *s = ctx;
    struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    struct lists *l = (struct lists *)cpu_scratch(s->cpu, worker);
    memset(tile, 0, sizeof *tile);
    if (s->missed || s->bad) {
        uint32_t largest;
        for (size_t at = begin; at < end; at += OWM_QUANT_GROUP) {
            (void)add_group(s, at, end - at < OWM_QUANT_GROUP ? end - at : OWM_QUANT_GROUP,
                            INFINITY_BITS, l->hit, &largest);
            if (largest > s->limit) s->bad = true;
        }
        return;
    }
    struct counts c = pass_groups(s, l, tile, begin, end);
    tile->sure_at = atomic_fetch_add(&s->sure, c.sure);
    tile->candidate_at = atomic_fetch_add(&s->candidates, c.candidates);
    if ((uint64_t)tile->sure_at + c.sure > s->k
        || (uint64_t)tile->candidate_at + c.candidates > s->candidates_max) {
        s->missed = true;
        restore(s, tile, begin, l->place, l->code);
        return;
    }
    tile->sure = c.sure;
    tile->candidates = c.candidates;
    memcpy(s->place + tile->sure_at, l->place, c.sure * sizeof *l->place);
    memcpy((char *)s->code + tile->sure_at * code_bytes(s), l->code, c.sure * code_bytes(s));
    memcpy(s->candidate_place + tile->candidate_at, l->candidate_place,
           c.candidates * sizeof *l->candidate_place);
    memcpy(s->candidate + tile->candidate_at, l->candidate, c.candidates * sizeof *l->candidate);
}

static void restore_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct select *s = ctx;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        const struct select_tile *tile = &s->tile[t];
        if (tile->sure == 0) continue;
        restore(s, tile, t * SELECT_TILE, s->place + tile->sure_at,
                (const char *)s->code + tile->sure_at * code_bytes(s));
    }
}

/* --- the output ---------------------------------------------------------------------------------
 */

/* Quantise l->s[count] at l->chosen of the group at `at`, subtract it, and write it to the output
 * from `out` on. */
static void send_group(const struct select *s, struct lists *l, size_t at, uint32_t count,
                       int exponent, uint32_t out)
{
    const struct owm_feedback_step *step = s->step;
    float *x = step->residual + at;
    if (step->quant == I8)
        quantise_i8(l->s, count, exponent, (int8_t *)step->code + out, l->sent);
    else
        quantise_bf16(l->s, count, bf16_smallest_bits(s->floor_exponent),
                      (uint16_t *)step->code + out, l->sent);
    for (uint32_t i = 0; i < count; i++) step->index[out + i] = (uint32_t)at + l->chosen[i];
    memcpy(step->value + out, l->sent, count * sizeof *l->sent);
    for (uint32_t i = 0; i < count; i++) x[l->chosen[i]] = l->s[i] - l->sent[i];
}

static void set_exponent(const struct select *s, size_t group, int exponent, bool any)
{
    if (s->step->quant == I8)
        s->step->exponent[group] = (int8_t)(any ? exponent : OWM_QUANT_EXPONENT_MIN);
}

/* The chosen ones of a group out of what is >= threshold; the largest of them. */
static uint32_t choose(const struct select *s, struct lists *l, size_t at, uint32_t hits,
                       uint32_t *ties, uint32_t *largest)
{
    uint32_t count = 0;
    *largest = 0;
    for (uint32_t i = 0; i < hits; i++) {
        float x = s->x[at + l->hit[i]];
        uint32_t m = magnitude_bits(x);
        if (m == s->threshold && *ties == 0) continue;
        *ties -= m == s->threshold;
        *largest = m > *largest ? m : *largest;
        l->chosen[count] = l->hit[i];
        l->s[count++] = x;
    }
    return count;
}

/* After select_exact: s is in the residual, nothing is sent yet. */
static void emit_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct select *s = ctx;
    const struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    struct lists *l = (struct lists *)cpu_scratch(s->cpu, worker);
    uint32_t ties = tile->ties, out = tile->out;
    for (size_t at = begin; at < end; at += OWM_QUANT_GROUP) {
        size_t size = end - at < OWM_QUANT_GROUP ? end - at : OWM_QUANT_GROUP;
        uint32_t hits = 0, largest;
        for (size_t i = 0; i < size; i += W) {
            vf x = v_load_part(s->x + at + i, size - i < W ? size - i : W, 0);
            hits = v_append(l->hit, hits, v_magnitude(x), (int32_t)s->threshold, (uint32_t)i);
        }
        uint32_t count = choose(s, l, at, hits, &ties, &largest);
        int exponent = exponent_of_bits(largest);
        if (exponent < s->floor_exponent) exponent = s->floor_exponent;
        send_group(s, l, at, count, exponent, out);
        set_exponent(s, at / OWM_QUANT_GROUP, exponent, count > 0);
        out += count;
    }
}

/* W values of a sure run to the output's lists; more than `count` may be written. */
struct run {
    const uint16_t *place;
    const void *code;
    uint32_t at; /* the next sure one */
};

/* Merge a group's sure ones with those of its candidates that are chosen (l->chosen, l->s,
 * l->sent, new codes in l->code). */
static uint32_t merge_group(const struct select *s, const struct lists *l, struct run *run,
                            uint32_t sure, uint32_t count, size_t begin, float scale, uint32_t out)
{
    const struct owm_feedback_step *step = s->step;
    uint32_t end = run->at + sure;
    for (uint32_t c = 0; c <= count; c++) {
        uint32_t i = run->at, stop = end;
        if (c < count) {
            uint32_t next = l->chosen[c];
            for (stop = i; stop < end && run->place[stop] < next;) stop++;
        }
        uint32_t length = stop - i;
        for (uint32_t j = 0; j < length; j++)
            step->index[out + j] = (uint32_t)begin + run->place[i + j];
        for (uint32_t j = 0; j < length; j++)
            step->value[out + j] = value_of(s, run->code, i + j, scale);
        if (step->quant == I8)
            memcpy((int8_t *)step->code + out, (const int8_t *)run->code + i, length);
        else
            memcpy((uint16_t *)step->code + out, (const uint16_t *)run->code + i, 2 * length);
        out += length;
        run->at = stop;
        if (c == count) break;
        step->index[out] = (uint32_t)begin + l->chosen[c];
        step->value[out] = l->sent[c];
        if (step->quant == I8)
            ((int8_t *)step->code)[out++] = ((const int8_t *)l->code)[c];
        else
            ((uint16_t *)step->code)[out++] = l->code[c];
    }
    return out;
}

/* Those of the tile's candidates in this group that are chosen; *c moves behind the group. */
static uint32_t choose_candidates(const struct select *s, struct lists *l,
                                  const struct select_tile *tile, uint32_t group_end, uint32_t *c,
                                  uint32_t *ties, uint32_t *largest)
{
    const float *x = s->candidate + tile->candidate_at;
    const uint16_t *place = s->candidate_place + tile->candidate_at;
    uint32_t count = 0;
    *largest = 0;
    for (; *c < tile->candidates && place[*c] < group_end; ++*c) {
        uint32_t m = magnitude_bits(x[*c]);
        if (m < s->threshold || (m == s->threshold && *ties == 0)) continue;
        *ties -= m == s->threshold;
        *largest = m > *largest ? m : *largest;
        l->chosen[count] = place[*c];
        l->s[count++] = x[*c];
    }
    return count;
}

static void merge_one(const struct select *s, struct lists *l, size_t t)
{
    const struct owm_feedback_step *step = s->step;
    const struct select_tile *tile = &s->tile[t];
    size_t begin = t * SELECT_TILE;
    struct run run = {s->place + tile->sure_at,
                      (const char *)s->code + tile->sure_at * code_bytes(s), 0};
    uint32_t out = tile->out, c = 0, ties = tile->ties;
    for (uint32_t g = 0; g < SELECT_GROUPS && begin + g * OWM_QUANT_GROUP < s->n; g++) {
        size_t group = begin / OWM_QUANT_GROUP + g;
        uint32_t largest, sure = tile->group_sure[g];
        uint32_t count =
            choose_candidates(s, l, tile, (g + 1) * OWM_QUANT_GROUP, &c, &ties, &largest);
        int exponent = exponent_of_bits(largest);
        if (sure > 0 && step->quant == I8) exponent = step->exponent[group];
        if (exponent < s->floor_exponent) exponent = s->floor_exponent;
        if (step->quant == I8)
            quantise_i8(l->s, count, exponent, (int8_t *)l->code, l->sent);
        else
            quantise_bf16(l->s, count, bf16_smallest_bits(s->floor_exponent), l->code, l->sent);
        for (uint32_t i = 0; i < count; i++)
            step->residual[begin + l->chosen[i]] = l->s[i] - l->sent[i];
        set_exponent(s, group, exponent, sure + count > 0);
        out = merge_group(s, l, &run, sure, count, begin, power_of_two(exponent), out);
    }
}

static void merge_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct select *s = ctx;
    struct lists *l = (struct lists *)cpu_scratch(s->cpu, worker);
    for (size_t t = begin; t < end; t++) merge_one(s, l, t);
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

/* Did what was sent in the pass keep above the floor? */
static bool above_floor(const struct select *s)
{
    if (s->step->quant == I8) return s->lowest_exponent >= s->floor_exponent;
    return s->high >= bf16_smallest_bits(s->floor_exponent);
}

static bool one_pass(struct select *s)
{
    owm_pool *pool = s->cpu->base.pool;
    SIMD(select_bracket)(s, s->cpu->pack);
    s->lowest_exponent = OWM_QUANT_EXPONENT_MAX;
    owm_pool_for(pool, s->n, SELECT_TILE, pass_tile, s);
    know_floor(s);
    if (!s->bad && above_floor(s) && SIMD(select_settle)(s)) {
        owm_pool_for(pool, s->tiles, 4, merge_tiles, s);
        return true;
    }
    owm_pool_for(pool, s->tiles, 4, restore_tile, s);
    return false;
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
    if (!SIMD(select_stage)(&s, op->quant == I8 ? sizeof(int8_t) : sizeof(uint16_t)))
        return OWM_E_NOMEM;
    bool small = op->n < SELECT_SMALL;
    s.missed = small; /* then the pass only adds */
    if (small) owm_pool_for(device->pool, op->n, SELECT_TILE, pass_tile, &s);
    if (small || !one_pass(&s)) {
        if (s.bad || !SIMD(select_exact)(&s)) return OWM_E_ARG;
        know_floor(&s);
        owm_pool_for(device->pool, op->n, SELECT_TILE, emit_tile, &s);
    }
    *op->count = s.count;
    *op->floor_exponent = s.floor_exponent;
    return OWM_OK;
}

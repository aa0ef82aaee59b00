/* topk.c: the K largest magnitudes, and all above a bound, in one pass over memory.
 *
 * topk: see select.h. threshold: a tile is compacted in the cache, waits until the tile before it
 * has said where it ends, and is written behind it.
 */
#include <sched.h>

#include "select.h"

/* Places of x[count] with magnitudes >= low into list->word, those below high flagged. Returns the
 * largest magnitude. */
static uint32_t scan(const float *x, size_t count, uint32_t low, uint32_t high,
                     struct select_list *list)
{
    vi top = {0}, places = v_places(0);
    uint32_t words = 0, *word = list->word;
    size_t i = 0;
    for (; i + W <= count; i += W) {
        if (i % 16 == 0) select_fetch(x + i);
        vi m = v_magnitude(v_load(x + i));
        vi flag = (m < (int32_t)high) & (int32_t)WORD_CANDIDATE;
        top = v_highest_of(top, m);
        words = v_keep(word, words, places | flag, m >= (int32_t)low);
        places += W;
    }
    if (i < count) {
        vi m = v_magnitude(v_load_part(x + i, count - i, 0));
        vi flag = (m < (int32_t)high) & (int32_t)WORD_CANDIDATE;
        top = v_highest_of(top, m);
        words = v_keep(word, words, places | flag, m >= (int32_t)low);
    }
    list->words = words;
    return v_top(top);
}

/* --- topk ---------------------------------------------------------------------------------------
 */

static void pass_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct select *s = ctx;
    struct select_list *list = select_list(s, worker);
    for (size_t t = begin; t < end; t++) {
        const float *x = s->x + t * SELECT_TILE;
        size_t left = s->n - t * SELECT_TILE;
        s->tile[t] = (struct select_tile){0};
        if (s->missed || s->bad) continue;
        uint32_t largest = scan(x, left < SELECT_TILE ? left : SELECT_TILE, s->low, s->high, list);
        if (largest > s->limit)
            s->bad = true;
        else
            (void)SIMD(select_put)(s, &s->tile[t], list, x);
    }
}

struct write_job {
    const struct select *s;
    uint32_t *index;
};

static void merge_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct write_job *job = ctx;
    const struct select *s = job->s;
    struct select_list *list = select_list(s, worker);
    for (size_t t = begin; t < end; t++) {
        const struct select_tile *tile = &s->tile[t];
        uint32_t *words = s->word + tile->word_at, count = SIMD(select_choose)(s, tile, list->at);
        for (uint32_t i = 0; i < count; i++)
            words[s->candidate_at[tile->candidate_at + list->at[i]]] &= ~WORD_CANDIDATE;
        const uint32_t *next = t + 1 < end ? s->word + s->tile[t + 1].word_at : NULL;
        count = SIMD(select_kept)(words, tile->words, list->kept, next);
        uint32_t base = (uint32_t)t * SELECT_TILE, *index = job->index + tile->out;
        for (uint32_t i = 0; i < count; i++) index[i] = base + list->kept[i];
    }
}

static void emit_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct write_job *job = ctx;
    const struct select *s = job->s;
    const struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    struct select_list *list = select_list(s, worker);
    uint32_t ties = tile->ties, *index = job->index + tile->out;
    (void)scan(s->x + begin, end - begin, s->threshold, 0, list);
    for (uint32_t i = 0; i < list->words; i++)
        if (select_chosen(s, s->x[begin + list->word[i]], &ties))
            *index++ = (uint32_t)begin + list->word[i];
}

owm_status SIMD(topk)(struct owm_device *device, const struct owm_topk *op)
{
    owm_status status = owm_check_topk(op);
    if (status != OWM_OK) return status;
    struct select s = {.cpu = cpu_of(device),
                       .x = op->x,
                       .n = op->n,
                       .k = op->k,
                       .limit = INFINITY_BITS - 1,
                       .tiles = select_tiles(op->n)};
    struct write_job job = {&s, op->index};
    if (!SIMD(select_stage)(&s)) return OWM_E_NOMEM;
    bool settled = false;
    if (op->n >= SELECT_SMALL) {
        SIMD(select_bracket)(&s, s.cpu->pack);
        owm_pool_for(device->pool, s.tiles, select_grain(&s, 8), pass_tiles, &s);
        if (s.bad) return OWM_E_ARG;
        settled = SIMD(select_settle)(&s);
    }
    if (settled) {
        owm_pool_for(device->pool, s.tiles, select_grain(&s, 32), merge_tiles, &job);
    } else {
        if (!SIMD(select_exact)(&s)) return OWM_E_ARG;
        owm_pool_for(device->pool, op->n, SELECT_TILE, emit_tile, &job);
    }
    *op->count = s.count;
    return OWM_OK;
}

/* --- threshold ----------------------------------------------------------------------------------
 */

struct threshold_job {
    struct cpu_device *cpu;
    const struct owm_threshold *op;
    uint32_t low;
    atomic_uint tiles_done, count;
};

static void threshold_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct threshold_job *job = ctx;
    const struct owm_threshold *op = job->op;
    struct select_list *list = (struct select_list *)cpu_scratch(job->cpu, worker);
    uint32_t tile = (uint32_t)(begin / SELECT_TILE);
    (void)scan(op->x + begin, end - begin, job->low, 0, list);
    /* Tiles are begun in order, so the one before is done or under way in another thread. */
    while (atomic_load(&job->tiles_done) != tile) (void)sched_yield();
    uint32_t at = atomic_load(&job->count);
    atomic_store(&job->count, at + list->words);
    atomic_store(&job->tiles_done, tile + 1);
    uint32_t room = at < op->index_max ? op->index_max - at : 0;
    if (room > list->words) room = list->words;
    for (uint32_t i = 0; i < room; i++) op->index[at + i] = (uint32_t)begin + list->word[i];
}

owm_status SIMD(threshold)(struct owm_device *device, const struct owm_threshold *op)
{
    owm_status status = owm_check_threshold(op);
    if (status != OWM_OK) return status;
    struct threshold_job job = {.cpu = cpu_of(device), .op = op, .low = magnitude_bits(op->bound)};
    owm_pool_for(device->pool, op->n, SELECT_TILE, threshold_tile, &job);
    *op->count = job.count;
    return *op->count > op->index_max ? OWM_E_LIMIT : OWM_OK;
}

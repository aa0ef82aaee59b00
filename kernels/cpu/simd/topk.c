/* topk.c: the K largest magnitudes, and all above a bound, in one pass over memory.
 *
 * topk: see select.h. threshold: a tile is compacted in the cache, waits until the tile before it
 * has said where it ends, and is written behind it.
 */
#include <sched.h>

#include "select.h"

/* Work space of a thread. */
struct lists {
    uint32_t hit[SELECT_TILE + W];
    uint16_t place[SELECT_TILE], candidate_place[SELECT_TILE];
    float candidate[SELECT_TILE];
};
_Static_assert(sizeof(struct lists) <= CPU_SCRATCH_FLOATS * sizeof(float), "fits the scratch");

/* Places of x[count] with magnitudes >= low into hit, and their number. */
static uint32_t scan(const float *x, size_t count, uint32_t low, uint32_t *hit, uint32_t *largest)
{
    vi top = {0};
    uint32_t hits = 0;
    size_t i = 0;
    for (; i + W <= count; i += W) {
        vi m = v_magnitude(v_load(x + i));
        top = v_highest_of(top, m);
        hits = v_append(hit, hits, m, (int32_t)low, (uint32_t)i);
    }
    if (i < count) {
        vi m = v_magnitude(v_load_part(x + i, count - i, 0));
        top = v_highest_of(top, m);
        hits = v_append(hit, hits, m, (int32_t)low, (uint32_t)i);
    }
    *largest = v_top(top);
    return hits;
}

/* --- topk ---------------------------------------------------------------------------------------
 */

static void pass_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct select *s = ctx;
    struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    struct lists *l = (struct lists *)cpu_scratch(s->cpu, worker);
    uint32_t largest, sure = 0, candidates = 0;
    tile->sure = tile->candidates = 0;
    if (s->missed || s->bad) return;
    uint32_t hits = scan(s->x + begin, end - begin, s->low, l->hit, &largest);
    for (uint32_t i = 0; i < hits; i++) {
        uint16_t place = (uint16_t)l->hit[i];
        float x = s->x[begin + place];
        bool is_sure = magnitude_bits(x) >= s->high;
        l->place[sure] = place;
        l->candidate_place[candidates] = place;
        l->candidate[candidates] = x;
        sure += is_sure;
        candidates += !is_sure;
    }
    if (largest > s->limit) s->bad = true;
    tile->sure_at = atomic_fetch_add(&s->sure, sure);
    tile->candidate_at = atomic_fetch_add(&s->candidates, candidates);
    if ((uint64_t)tile->sure_at + sure > s->k
        || (uint64_t)tile->candidate_at + candidates > s->candidates_max) {
        s->missed = true;
        return;
    }
    tile->sure = sure;
    tile->candidates = candidates;
    memcpy(s->place + tile->sure_at, l->place, sure * sizeof *l->place);
    memcpy(s->candidate_place + tile->candidate_at, l->candidate_place,
           candidates * sizeof *l->candidate_place);
    memcpy(s->candidate + tile->candidate_at, l->candidate, candidates * sizeof *l->candidate);
}

struct merge_job {
    const struct select *s;
    uint32_t *index;
};

static void merge_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct merge_job *job = ctx;
    const struct select *s = job->s;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        const struct select_tile *tile = &s->tile[t];
        const uint16_t *place = s->place + tile->sure_at;
        uint32_t base = (uint32_t)t * SELECT_TILE, ties = tile->ties, at = 0;
        uint32_t *index = job->index + tile->out;
        for (uint32_t c = 0; c < tile->candidates; c++) {
            uint32_t m = magnitude_bits(s->candidate[tile->candidate_at + c]);
            if (m < s->threshold || (m == s->threshold && ties == 0)) continue;
            ties -= m == s->threshold;
            uint32_t next = s->candidate_place[tile->candidate_at + c];
            while (at < tile->sure && place[at] < next) *index++ = base + place[at++];
            *index++ = base + next;
        }
        for (; at < tile->sure; at++) *index++ = base + place[at];
    }
}

static void emit_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct merge_job *job = ctx;
    const struct select *s = job->s;
    const struct select_tile *tile = &s->tile[begin / SELECT_TILE];
    struct lists *l = (struct lists *)cpu_scratch(s->cpu, worker);
    uint32_t largest, ties = tile->ties, *index = job->index + tile->out;
    uint32_t hits = scan(s->x + begin, end - begin, s->threshold, l->hit, &largest);
    for (uint32_t i = 0; i < hits; i++) {
        bool tie = magnitude_bits(s->x[begin + l->hit[i]]) == s->threshold;
        if (tie && ties == 0) continue;
        ties -= tie;
        *index++ = (uint32_t)begin + l->hit[i];
    }
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
    struct merge_job job = {&s, op->index};
    if (!SIMD(select_stage)(&s, 0)) return OWM_E_NOMEM;
    bool settled = false;
    if (op->n >= SELECT_SMALL) {
        SIMD(select_bracket)(&s, s.cpu->pack);
        owm_pool_for(device->pool, op->n, SELECT_TILE, pass_tile, &s);
        if (s.bad) return OWM_E_ARG;
        settled = SIMD(select_settle)(&s);
    }
    if (settled) {
        owm_pool_for(device->pool, s.tiles, 4, merge_tile, &job);
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
    uint32_t *hit = ((struct lists *)cpu_scratch(job->cpu, worker))->hit, largest;
    uint32_t tile = (uint32_t)(begin / SELECT_TILE);
    uint32_t hits = scan(op->x + begin, end - begin, job->low, hit, &largest);
    /* Tiles are begun in order, so the one before is done or under way in another thread. */
    while (atomic_load(&job->tiles_done) != tile) (void)sched_yield();
    uint32_t at = atomic_load(&job->count);
    atomic_store(&job->count, at + hits);
    atomic_store(&job->tiles_done, tile + 1);
    uint32_t room = at < op->index_max ? op->index_max - at : 0;
    for (uint32_t i = 0; i < hits && i < room; i++) op->index[at + i] = (uint32_t)begin + hit[i];
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

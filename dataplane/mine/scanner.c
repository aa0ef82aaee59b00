/* scanner.c: one device's thread: parts of the work, cut into launches of a few milliseconds.
 *
 * Part p of a work is:
 *   versions may be rolled:  block p of SCANNER_MIDSTATES versions, all 2^32 nonces each;
 *   else, extended channel:  extranonce p, all nonces;
 *   else:                    the time p seconds after the first, as soon as the pool takes it.
 * When versions run out the extranonce goes on (extended), or the time. A rolled time is never
 * later than the pool allows: owm_mine_work_time.
 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine_internal.h"
#include "kernels/sha256d.h"

#define COUNT_MIN     1024
#define RATE_WINDOW_S 10.0

/* What a part stands for in the header. */
struct range {
    uint32_t versions; /* 1 .. SCANNER_MIDSTATES */
    uint32_t version[SCANNER_MIDSTATES];
    uint64_t extranonce;
    uint32_t time_s;
    uint8_t header[OWM_HEADER_BYTES];
    uint32_t midstate[SCANNER_MIDSTATES][8];
};

static void put_le(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

/* Spreads the bits of `number` over the bits of `mask`, lowest first. */
static uint32_t spread(uint64_t number, uint32_t mask)
{
    uint32_t out = 0;
    for (uint32_t bit = mask & -mask; bit != 0;
         bit = mask & ~(bit | (bit - 1)), bit &= -bit, number >>= 1)
        if (number & 1) out |= bit;
    return out;
}

/* false: the part's time has not come yet. */
static bool plan(const struct engine_part *part, struct range *range)
{
    const struct owm_mine_work *work = part->work;
    uint64_t blocks = (UINT64_C(1) << __builtin_popcount(work->version_mask)) / SCANNER_MIDSTATES;
    range->versions = blocks > 0 ? SCANNER_MIDSTATES : 1;
    if (blocks == 0) blocks = 1;
    uint64_t block = part->part % blocks, turn = part->part / blocks;
    uint32_t newest_s = owm_mine_work_time(work, (int64_t)owm_clock_mono_ms());
    range->extranonce = work->is_extended ? turn : 0;
    range->time_s = newest_s;
    if (!work->is_extended && work->version_mask == 0) {
        if (work->min_time_s + turn > newest_s) return false;
        range->time_s = work->min_time_s + (uint32_t)turn;
    }
    for (uint32_t i = 0; i < range->versions; i++)
        range->version[i] = (work->version & ~work->version_mask)
                            | spread(block * SCANNER_MIDSTATES + i, work->version_mask);
    if (work->version_mask == 0) range->version[0] = work->version;
    return true;
}

static void prepare(const struct owm_mine_work *work, struct range *range)
{
    uint8_t *header = range->header;
    memcpy(header + 4, work->previous, 32);
    owm_mine_work_root(work, range->extranonce, header + 36);
    put_le(header + 68, range->time_s);
    put_le(header + 72, work->bits);
    put_le(header + 76, 0);
    for (uint32_t i = 0; i < range->versions; i++) {
        put_le(header, range->version[i]);
        owm_header_midstate(range->midstate[i], header);
    }
}

/* Does this header meet the network's target? Shares are rare, so one more hash is nothing. */
static bool solves_block(struct scanner *scanner, struct range *range, uint32_t version,
                         uint32_t nonce, const uint8_t target[32])
{
    uint8_t hash[32];
    put_le(range->header, version);
    put_le(range->header + 76, nonce);
    struct owm_sha256d_batch batch = {.hash = hash,
                                      .message = range->header,
                                      .stride = OWM_HEADER_BYTES,
                                      .count = 1,
                                      .bytes = OWM_HEADER_BYTES};
    return scanner->device->backend->sha256d_batch(scanner->device, &batch) == OWM_OK
           && owm_sha256d_meets(hash, target);
}

static void give_hits(struct scanner *scanner, const struct engine_part *part, struct range *range,
                      const struct owm_sha256d_hit *hit, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t version = range->version[hit[i].midstate];
        struct owm_mine_share share = {
            .work = part->work,
            .extranonce = range->extranonce,
            .version = version,
            .time_s = range->time_s,
            .nonce = hit[i].nonce,
            .block =
                solves_block(scanner, range, version, hit[i].nonce, part->work->network_target),
        };
        engine_add_hit(scanner->engine, &share);
    }
    atomic_fetch_add_explicit(&scanner->hits, count, memory_order_relaxed);
}

static void account(struct scanner *scanner, uint64_t hashes, double seconds)
{
    atomic_fetch_add_explicit(&scanner->hashes, hashes, memory_order_relaxed);
    double rate = atomic_load_explicit(&scanner->rate, memory_order_relaxed);
    double keep = rate == 0 ? 0 : exp(-seconds / RATE_WINDOW_S);
    atomic_store(&scanner->rate, keep * rate + (1 - keep) * (double)hashes / seconds);
}

/* An intensity of i % works i and rests 100 - i. */
static void rest(const struct owm_mine_engine *engine, double worked_s)
{
    unsigned intensity = engine->options.intensity;
    if (intensity >= 100) return;
    double pause_ms = worked_s * 1e3 * (100 - intensity) / intensity;
    owm_clock_sleep_ms((uint32_t)(pause_ms < 1000 ? pause_ms + 0.5 : 1000));
}

/* Scans the nonces of a range until they are done or the work is replaced. *count: of a launch,
 * kept from range to range. */
static owm_status scan(struct scanner *scanner, const struct engine_part *part, struct range *range,
                       uint64_t *count)
{
    struct owm_sha256d_hit hit[SCANNER_HITS];
    uint64_t first = 0;
    while (first < OWM_SHA256D_NONCES && engine_is_current(scanner->engine, part->version)) {
        uint64_t left = OWM_SHA256D_NONCES - first;
        uint32_t found = 0;
        struct owm_sha256d_scan op = {
            .hit = hit,
            .found = &found,
            .midstate = (const uint32_t(*)[8])range->midstate,
            .tail = range->header + 64,
            .target = part->work->target,
            .count = *count < left ? *count : left,
            .first = (uint32_t)first,
            .midstates = range->versions,
            .hit_max = SCANNER_HITS,
        };
        uint64_t begin_ns = owm_clock_mono_ns();
        owm_status status = scanner->device->backend->sha256d_scan(scanner->device, &op);
        double worked_s = (double)(owm_clock_mono_ns() - begin_ns) / 1e9;
        if (status != OWM_OK && status != OWM_E_LIMIT) return status;
        give_hits(scanner, part, range, hit, found < SCANNER_HITS ? found : SCANNER_HITS);
        first += op.count;
        rest(scanner->engine, worked_s);
        double spent_s = (double)(owm_clock_mono_ns() - begin_ns) / 1e9;
        account(scanner, op.count * range->versions, spent_s > 1e-9 ? spent_s : 1e-9);
        double ratio = OWM_MINE_LAUNCH_MS / (worked_s * 1e3 + 1e-3);
        double next = (double)*count * (ratio > 4 ? 4 : ratio);
        *count = next < COUNT_MIN ? COUNT_MIN : next > 0x1p32 ? OWM_SHA256D_NONCES : (uint64_t)next;
    }
    return OWM_OK;
}

void *scanner_run(void *arg)
{
    struct scanner *scanner = arg;
    struct engine_part part = {0}, last = {0};
    struct range range;
    uint64_t count = COUNT_MIN;
    owm_status status = OWM_OK;
    while (status == OWM_OK && engine_next(scanner->engine, &last, &part)) {
        bool planned = plan(&part, &range);
        while (!planned && engine_is_current(scanner->engine, part.version)) {
            owm_clock_sleep_ms(OWM_MINE_LAUNCH_MS);
            planned = plan(&part, &range);
        }
        if (planned) {
            prepare(part.work, &range);
            status = scan(scanner, &part, &range, &count);
        }
        owm_mine_work_release(part.work);
        last = part;
    }
    if (status == OWM_OK) return NULL;
    atomic_store(&scanner->failed, true);
    atomic_store(&scanner->rate, 0);
    owm_log(OWM_LOG_ERROR, "device_failed device=%s reason=\"%s\"", scanner->label,
            owm_status_text(status));
    return NULL;
}

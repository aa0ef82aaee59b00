/* reliability.c: the rolling window. */
#include "reliability.h"

#include <string.h>

#include "base/bytes.h"

#define WINDOW OWM_RELIABILITY_BUCKETS

static struct owm_reliability_bucket *bucket_at(struct owm_reliability *r, int64_t now_ms)
{
    int64_t now = now_ms / OWM_RELIABILITY_BUCKET_MS;
    if (now > r->newest) {
        int64_t step = now - r->newest;
        if (step > WINDOW) step = WINDOW;
        for (int64_t i = 0; i < step; i++)
            memset(&r->bucket[(now - i) % WINDOW], 0, sizeof(r->bucket[0]));
        r->newest = now;
    }
    return &r->bucket[r->newest % WINDOW];
}

void owm_reliability_task(struct owm_reliability *reliability, bool good, int64_t now_ms)
{
    struct owm_reliability_bucket *bucket = bucket_at(reliability, now_ms);
    if (bucket->total == UINT32_MAX) return;
    bucket->total++;
    bucket->good += good;
}

void owm_reliability_watched(struct owm_reliability *reliability, bool up, int64_t span_ms,
                             int64_t now_ms)
{
    struct owm_reliability_bucket *bucket = bucket_at(reliability, now_ms);
    if (span_ms > OWM_RELIABILITY_BUCKET_MS - bucket->window_ms)
        span_ms = OWM_RELIABILITY_BUCKET_MS - bucket->window_ms;
    if (span_ms <= 0) return;
    bucket->window_ms += (uint32_t)span_ms;
    if (up) bucket->up_ms += (uint32_t)span_ms;
}

struct sums {
    uint64_t good, total, up_ms, window_ms;
};

static struct sums sum(const struct owm_reliability *r, int64_t now_ms)
{
    struct sums sums = {0};
    int64_t now = now_ms / OWM_RELIABILITY_BUCKET_MS;
    int64_t gone = now > r->newest ? now - r->newest : 0; /* buckets that have left the window */
    for (int64_t age = 0; age < WINDOW - gone && age <= r->newest; age++) {
        const struct owm_reliability_bucket *bucket = &r->bucket[(r->newest - age) % WINDOW];
        sums.good += bucket->good;
        sums.total += bucket->total;
        sums.up_ms += bucket->up_ms;
        sums.window_ms += bucket->window_ms;
    }
    return sums;
}

static uint32_t ratio_ppm(uint64_t part, uint64_t whole)
{
    return whole == 0 ? OWM_PPM : (uint32_t)((unsigned __int128)part * OWM_PPM / whole);
}

uint32_t owm_reliability_tasks_ppm(const struct owm_reliability *reliability, int64_t now_ms)
{
    struct sums sums = sum(reliability, now_ms);
    return ratio_ppm(sums.good, sums.total);
}

uint32_t owm_reliability_uptime_ppm(const struct owm_reliability *reliability, int64_t now_ms)
{
    struct sums sums = sum(reliability, now_ms);
    return ratio_ppm(sums.up_ms, sums.window_ms);
}

uint32_t owm_reliability_ppm(const struct owm_reliability *reliability, int64_t now_ms)
{
    struct sums sums = sum(reliability, now_ms);
    uint64_t tasks = ratio_ppm(sums.good, sums.total);
    return (uint32_t)(tasks * ratio_ppm(sums.up_ms, sums.window_ms) / OWM_PPM);
}

void owm_reliability_encode(const struct owm_reliability *reliability,
                            uint8_t out[static OWM_RELIABILITY_BYTES])
{
    struct owm_writer writer;
    owm_writer_init(&writer, out, OWM_RELIABILITY_BYTES);
    owm_write_u64_le(&writer, (uint64_t)reliability->newest);
    for (int i = 0; i < WINDOW; i++) {
        owm_write_u32_le(&writer, reliability->bucket[i].good);
        owm_write_u32_le(&writer, reliability->bucket[i].total);
        owm_write_u32_le(&writer, reliability->bucket[i].up_ms);
        owm_write_u32_le(&writer, reliability->bucket[i].window_ms);
    }
    OWM_ASSERT(owm_writer_ok(&writer) && writer.at == OWM_RELIABILITY_BYTES);
}

owm_status owm_reliability_decode(const uint8_t *bytes, size_t count, struct owm_reliability *out)
{
    struct owm_reader reader;
    owm_reader_init(&reader, bytes, count);
    struct owm_reliability r;
    r.newest = (int64_t)owm_read_u64_le(&reader);
    bool sane = r.newest >= 0 && r.newest <= INT64_MAX / OWM_RELIABILITY_BUCKET_MS;
    for (int i = 0; i < WINDOW; i++) {
        struct owm_reliability_bucket *bucket = &r.bucket[i];
        bucket->good = owm_read_u32_le(&reader);
        bucket->total = owm_read_u32_le(&reader);
        bucket->up_ms = owm_read_u32_le(&reader);
        bucket->window_ms = owm_read_u32_le(&reader);
        sane = sane && bucket->good <= bucket->total && bucket->up_ms <= bucket->window_ms
               && bucket->window_ms <= OWM_RELIABILITY_BUCKET_MS;
    }
    if (!owm_reader_done(&reader) || !sane) return OWM_E_PROTO;
    *out = r;
    return OWM_OK;
}

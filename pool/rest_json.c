/* rest_json.c: see rest_json.h; the shapes are those of rest.h. */
#include "rest_json.h"

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "page_figures.h"

#define DIFFICULTY_1 4294967296.0
#define NS_PER_MS    1e6

static const char *const fates[] = {
    [OWM_BLOCK_UNKNOWN] = "unknown",
    [OWM_BLOCK_ACTIVE] = "active",
    [OWM_BLOCK_ORPHANED] = "orphaned",
};

const char *owm_json_kind(enum owm_miner_kind kind)
{
    return kind == OWM_MINER_NODE ? "node" : "name";
}

json_t *owm_json_number(uint64_t value)
{
    return json_integer((json_int_t)(value < INT64_MAX ? value : INT64_MAX));
}

json_t *owm_json_windows(const double *hashes_per_s, enum owm_rate_window to)
{
    static const char *const names[OWM_RATE_WINDOWS] = {"1m", "10m", "1h", "24h"};
    json_t *object = json_object();
    for (int i = 0; i <= (int)to; i++)
        json_object_set_new(object, names[i], json_real(hashes_per_s[i]));
    return object;
}

static json_t *latency(const struct owm_latency *of)
{
    return json_pack("{s:o, s:f, s:f, s:f}", "count", owm_json_number(owm_counted(&of->count)),
                     "p50", (double)owm_latency_quantile(of, 0.5) / NS_PER_MS, "p99",
                     (double)owm_latency_quantile(of, 0.99) / NS_PER_MS, "max",
                     (double)owm_counted(&of->max_ns) / NS_PER_MS);
}

static json_t *shares(const struct owm_pool_stats *stats)
{
    uint64_t rejected = 0;
    json_t *reasons = json_object();
    for (int i = 0; i < OWM_REJECTS; i++) {
        uint64_t count = owm_counted(&stats->rejected[i]);
        rejected += count;
        json_object_set_new(reasons, owm_reject_text((enum owm_reject)i), owm_json_number(count));
    }
    return json_pack("{s:o, s:o, s:I, s:o}", "accepted",
                     owm_json_number(owm_counted(&stats->accepted)), "rejected",
                     owm_json_number(rejected), "waiting", (json_int_t)stats->shares_waiting,
                     "rejected_by_reason", reasons);
}

json_t *owm_json_live(const struct owm_report_now *now)
{
    const struct owm_report_live *live = now->live;
    const struct owm_pool_stats *stats = &live->stats;
    uint64_t mono_ms = owm_clock_mono_ms();
    return json_pack("{s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o, s:o}", "age_ms",
                     (json_int_t)(mono_ms - live->taken_mono_ms), "uptime_ms",
                     (json_int_t)(mono_ms - live->started_mono_ms), "hashes_per_s",
                     owm_json_windows(live->hashes_per_s, OWM_RATE_10M), "miners",
                     (json_int_t)live->miners, "workers", (json_int_t)live->workers, "connections",
                     (json_int_t)stats->sessions, "channels", (json_int_t)stats->channels,
                     "best_share_difficulty", (double)live->best_hashes / DIFFICULTY_1, "shares",
                     shares(stats), "verdict_ms", latency(&stats->verdict), "ack_ms",
                     latency(&stats->ack), "fanout_ms", latency(&stats->fanout));
}

json_t *owm_json_ledger(const struct owm_report_ledger *ledger)
{
    const struct owm_pool_summary *sum = &ledger->summary;
    if (ledger->taken_ms == 0) return json_null();
    return json_pack("{s:I, s:{s:f, s:f}, s:o, s:o, s:I, s:I, s:f, s:f, s:f}", "age_ms",
                     (json_int_t)(owm_clock_wall_ms() - ledger->taken_ms), "hashes_per_s", "1h",
                     sum->rate.hour, "24h", sum->rate.day, "shares_1h",
                     owm_json_number(sum->shares_hour), "shares_24h",
                     owm_json_number(sum->shares_day), "blocks_30d", (json_int_t)sum->blocks_month,
                     "orphans_30d", (json_int_t)sum->orphans_month, "earned_sats", sum->earned_sats,
                     "owed_sats", sum->owed_sats, "treasury_sats", sum->treasury_sats);
}

json_t *owm_json_price(const struct owm_report_now *now)
{
    const struct owm_report_price *price = &now->live->price;
    if (price->work_number == 0) return json_null();
    return json_pack(
        "{s:I, s:f, s:o, s:o, s:i, s:f, s:f}", "height", (json_int_t)price->height, "difficulty",
        price->difficulty, "subsidy_sats", owm_json_number(price->subsidy_sats), "fees_sats",
        owm_json_number(price->fees_sats), "pay_basis_points", (int)now->terms->pay_basis_points,
        "sats_per_difficulty", price->miner_sats_per_hash * DIFFICULTY_1, "sats_per_th_day",
        owm_report_day_sats(now, 1e12));
}

/* ---------------------------------------------------------------------------- lists */

static json_t *hash_text(const uint8_t hash[32])
{
    uint8_t reversed[32];
    char hex[65];
    for (int i = 0; i < 32; i++) reversed[i] = hash[31 - i];
    owm_hex_encode(reversed, 32, hex);
    return json_string(hex);
}

json_t *owm_json_blocks(const struct owm_block_line *lines, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct owm_block_line *line = &lines[i];
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:o}", "hash",
                            hash_text(line->hash), "height", (json_int_t)line->height,
                            "found_at_ms", (json_int_t)line->found_ms, "miner",
                            owm_json_text(line->miner), "worker", owm_json_text(line->worker),
                            "reward_sats", owm_json_number(line->reward_sats), "fate",
                            fates[line->fate], "confirmations", (json_int_t)line->confirmations,
                            "accepted_by", (json_int_t)line->accepted, "refused_by",
                            (json_int_t)line->refused, "reason", owm_json_text(line->reason)));
    }
    return list;
}

json_t *owm_json_payouts(const struct owm_payout_line *lines, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct owm_payout_line *line = &lines[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:o, s:s, s:I}", "payment_id", line->payment_id,
                                        "miner", owm_json_text(line->miner), "amount_msat",
                                        owm_json_number(line->amount_msat), "state", line->state,
                                        "created_at_ms", (json_int_t)line->created_ms));
    }
    return list;
}

/* ---------------------------------------------------------------------------- one miner */

static json_t *age_or_null(int64_t age_ms)
{
    return age_ms < 0 ? json_null() : json_integer(age_ms);
}

static json_t *worker(const struct owm_report_worker *of)
{
    return json_pack("{s:o, s:b, s:{s:f, s:f, s:f}, s:o, s:o, s:o, s:f, s:f, s:o}", "worker",
                     owm_json_text(of->name), "connected", of->channels > 0, "hashes_per_s", "10m",
                     of->live ? of->hashes_per_s[OWM_RATE_10M] : of->line.rate.ten_minutes, "1h",
                     of->line.rate.hour, "24h", of->line.rate.day, "accepted",
                     owm_json_number(of->accepted), "rejected", owm_json_number(of->rejected),
                     "shares", owm_json_number(of->line.shares), "difficulty",
                     (double)of->hashes / DIFFICULTY_1, "best_share_difficulty",
                     (double)of->best_hashes / DIFFICULTY_1, "last_share_age_ms",
                     age_or_null(of->last_share_age_ms));
}

static json_t *miner_live(const struct owm_report_view *view, const struct owm_report_now *now)
{
    const struct owm_report_miner *miner = &view->now;
    if (!view->live) return json_null();
    return json_pack("{s:o, s:I, s:o, s:o, s:f, s:o, s:f}", "hashes_per_s",
                     owm_json_windows(miner->hashes_per_s, OWM_RATE_10M), "workers",
                     (json_int_t)miner->workers, "accepted", owm_json_number(miner->accepted),
                     "rejected", owm_json_number(miner->rejected), "best_share_difficulty",
                     (double)miner->best_hashes / DIFFICULTY_1, "last_share_age_ms",
                     age_or_null(miner->last_share_age_ms), "estimated_sats_per_day",
                     owm_report_day_sats(now, miner->hashes_per_s[OWM_RATE_10M]));
}

static json_t *miner_ledger(const struct owm_report_view *view)
{
    const struct owm_miner_line *line = &view->line;
    if (!view->known) return json_null();
    return json_pack("{s:I, s:{s:f, s:f, s:f}, s:o, s:f, s:f, s:I}", "age_ms",
                     (json_int_t)(owm_clock_wall_ms() - view->taken_ms), "hashes_per_s", "10m",
                     line->rate.ten_minutes, "1h", line->rate.hour, "24h", line->rate.day, "shares",
                     owm_json_number(line->shares), "balance_sats", line->balance_sats, "paid_sats",
                     line->paid_sats, "last_share_at_ms", (json_int_t)line->last_ms);
}

json_t *owm_json_view(const struct owm_report_view *view, const struct owm_report_now *now)
{
    json_t *workers = json_array();
    for (size_t i = 0; i < view->worker_count; i++)
        json_array_append_new(workers, worker(&view->workers[i]));
    return json_pack("{s:o, s:s, s:b, s:o, s:o, s:o, s:I, s:o, s:o}", "miner",
                     owm_json_text(view->miner.text), "kind", owm_json_kind(view->miner.kind),
                     "connected", view->now.workers > 0, "live", miner_live(view, now), "ledger",
                     miner_ledger(view), "workers", workers, "workers_left_out",
                     (json_int_t)view->workers_left_out, "payouts",
                     owm_json_payouts(view->payouts, view->payout_count), "blocks",
                     owm_json_blocks(view->blocks, view->block_count));
}

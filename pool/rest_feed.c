/* rest_feed.c: the text of the WebSocket, once a second; shape in rest.h. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "page_figures.h"
#include "rest.h"
#include "rest_json.h"

static json_t *pool(const struct owm_report_now *now)
{
    const struct owm_report_live *live = now->live;
    const struct owm_rates *stored = &now->ledger->summary.rate;
    const double rates[OWM_RATE_WINDOWS] = {live->hashes_per_s[OWM_RATE_1M],
                                            live->hashes_per_s[OWM_RATE_10M], stored->hour,
                                            stored->day};
    return json_pack("{s:o, s:I, s:I, s:f}", "hashes_per_s", owm_json_windows(rates, OWM_RATE_24H),
                     "miners", (json_int_t)live->miners, "workers", (json_int_t)live->workers,
                     "estimated_sats_per_day",
                     owm_report_day_sats(now, live->hashes_per_s[OWM_RATE_10M]));
}

static json_t *shares(const struct owm_pool_stats *stats)
{
    uint64_t rejected = 0;
    for (int i = 0; i < OWM_REJECTS; i++) rejected += owm_counted(&stats->rejected[i]);
    return json_pack("{s:o, s:o}", "accepted", owm_json_number(owm_counted(&stats->accepted)),
                     "rejected", owm_json_number(rejected));
}

static json_t *miners(const struct owm_report_now *now)
{
    json_t *list = json_array();
    for (size_t i = 0; i < now->live->top_count; i++) {
        const struct owm_report_miner *miner = &now->live->top[i];
        json_array_append_new(
            list,
            json_pack("{s:o, s:s, s:o, s:o, s:o, s:I, s:f}", "miner",
                      owm_json_text(miner->miner.text), "kind", owm_json_kind(miner->miner.kind),
                      "hashes_per_s", owm_json_windows(miner->hashes_per_s, OWM_RATE_10M),
                      "accepted", owm_json_number(miner->accepted), "rejected",
                      owm_json_number(miner->rejected), "workers", (json_int_t)miner->workers,
                      "estimated_sats_per_day",
                      owm_report_day_sats(now, miner->hashes_per_s[OWM_RATE_10M])));
    }
    return list;
}

static json_t *shown(const struct owm_report_now *now)
{
    json_t *object = json_object();
    char text[OWM_FORMAT_BYTES], key[64];
    for (size_t i = 0; i < owm_figures_count; i++)
        json_object_set_new(object, owm_figures[i].key,
                            json_string(owm_figure_text(&owm_figures[i], now, text)));
    for (int i = 0; i < OWM_REJECTS; i++) {
        snprintf(key, sizeof key, "reject_%s", owm_reject_text((enum owm_reject)i));
        owm_format_count(owm_counted(&now->live->stats.rejected[i]), text);
        json_object_set_new(object, key, json_string(text));
    }
    return object;
}

char *owm_rest_feed(struct owm_report *report)
{
    struct owm_report_now now = owm_report_lock(report);
    json_t *value = json_pack(
        "{s:I, s:o, s:o, s:o, s:{s:I, s:o}, s:o}", "time_ms", (json_int_t)now.live->taken_ms,
        "pool", pool(&now), "shares", shares(&now.live->stats), "miners", miners(&now), "rest",
        "miners", (json_int_t)now.live->rest_miners, "hashes_per_s",
        owm_json_windows(now.live->rest_hashes_per_s, OWM_RATE_10M), "shown", shown(&now));
    owm_report_unlock(report);
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

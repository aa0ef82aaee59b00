/* report_live.c: what all loops say together, each second. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "report_internal.h"

/* ---------------------------------------------------------------------------- the table */

static bool make_room(struct report_table *table, size_t room)
{
    if (room <= table->room) return true;
    struct report_entry *entries = realloc(table->entries, room * sizeof *entries);
    if (!entries) return false;
    table->entries = entries;
    table->room = room;
    return true;
}

static void take_entry(struct report_table *table, const struct owm_worker_view *view,
                       uint32_t loop, uint32_t index)
{
    struct report_entry *entry = &table->entries[table->count++];
    memcpy(entry->miner, view->miner.id, sizeof entry->miner);
    memcpy(entry->worker, view->worker.id, sizeof entry->worker);
    memcpy(entry->hashes_per_s, view->hashes_per_s, sizeof entry->hashes_per_s);
    entry->loop = loop;
    entry->index = index;
    entry->channels = view->channels;
    entry->accepted = view->accepted;
    entry->rejected = view->rejected;
    entry->best_hashes = view->best;
    entry->last_share_age_ms = view->last_share_age_ms;
}

static void take_loop(struct owm_report *report, uint32_t loop, int64_t now_ms)
{
    struct owm_workers *workers = report->loops[loop].workers;
    struct report_table *table = &report->next_table;
    if (!make_room(table, table->count + owm_workers_count(workers))) return;
    for (uint32_t from = 0;;) {
        uint32_t got = owm_workers_copy(workers, from, report->views, OWM_WORKERS_COPY, now_ms);
        for (uint32_t i = 0; i < got && table->count < table->room; i++)
            take_entry(table, &report->views[i], loop, from + i);
        from += got;
        if (got < OWM_WORKERS_COPY) return;
    }
}

static int by_miner_and_worker(const void *a, const void *b)
{
    const struct report_entry *x = a, *y = b;
    int order = memcmp(x->miner, y->miner, sizeof x->miner);
    return order ? order : memcmp(x->worker, y->worker, sizeof x->worker);
}

/* ---------------------------------------------------------------------------- miners */

static void add_rates(double sum[OWM_RATE_WINDOWS], const double more[OWM_RATE_WINDOWS])
{
    for (int i = 0; i < OWM_RATE_WINDOWS; i++) sum[i] += more[i];
}

void report_sum_up(const struct report_entry *entries, size_t count, struct owm_report_miner *miner)
{
    bool counted = false;
    memset(miner, 0, sizeof *miner);
    miner->last_share_age_ms = -1;
    for (size_t i = 0; i < count; i++) {
        const struct report_entry *entry = &entries[i];
        if (i > 0 && memcmp(entry->worker, entry[-1].worker, sizeof entry->worker) != 0)
            counted = false;
        if (entry->channels && !counted) {
            miner->workers++;
            counted = true;
        }
        add_rates(miner->hashes_per_s, entry->hashes_per_s);
        miner->accepted += entry->accepted;
        miner->rejected += entry->rejected;
        if (entry->best_hashes > miner->best_hashes) miner->best_hashes = entry->best_hashes;
        if (entry->last_share_age_ms >= 0
            && (miner->last_share_age_ms < 0
                || entry->last_share_age_ms < miner->last_share_age_ms))
            miner->last_share_age_ms = entry->last_share_age_ms;
    }
}

static void name_of(struct owm_report *report, const struct report_entry *entry,
                    struct owm_miner *miner)
{
    struct owm_worker_view *view = &report->views[0];
    memcpy(miner->id, entry->miner, sizeof miner->id);
    if (owm_workers_copy(report->loops[entry->loop].workers, entry->index, view, 1, 0) == 1
        && memcmp(view->miner.id, entry->miner, sizeof miner->id) == 0)
        *miner = view->miner;
}

/** Keep the strongest; whoever falls out belongs to the rest. */
static void rank(struct owm_report_live *live, const struct owm_report_miner *miner)
{
    size_t at = live->top_count;
    const int by = OWM_RATE_10M;
    while (at > 0 && live->top[at - 1].hashes_per_s[by] < miner->hashes_per_s[by]) at--;
    const struct owm_report_miner *out = miner;
    if (live->top_count == OWM_REPORT_TOP && at < OWM_REPORT_TOP)
        out = &live->top[OWM_REPORT_TOP - 1];
    if (live->top_count == OWM_REPORT_TOP) {
        add_rates(live->rest_hashes_per_s, out->hashes_per_s);
        live->rest_miners++;
    } else {
        live->top_count++;
    }
    if (at == OWM_REPORT_TOP) return;
    memmove(&live->top[at + 1], &live->top[at], (live->top_count - at - 1) * sizeof live->top[0]);
    live->top[at] = *miner;
}

static void take_miners(struct owm_report *report)
{
    struct owm_report_live *live = report->next_live;
    const struct report_table *table = &report->next_table;
    struct owm_report_miner miner;
    for (size_t from = 0, to; from < table->count; from = to) {
        const struct report_entry *first = &table->entries[from];
        for (to = from + 1; to < table->count; to++)
            if (memcmp(table->entries[to].miner, first->miner, sizeof first->miner) != 0) break;
        report_sum_up(first, to - from, &miner);
        name_of(report, first, &miner.miner);
        if (miner.best_hashes > live->best_hashes) {
            live->best_hashes = miner.best_hashes;
            live->best_by = miner.miner;
        }
        if (miner.workers == 0) continue;
        live->miners++;
        live->workers += miner.workers;
        rank(live, &miner);
    }
}

/* ---------------------------------------------------------------------------- the rest */

static void take_journal(const struct owm_journal *journal, struct owm_report_live *live)
{
    struct owm_journal_stats stats;
    if (!journal) return;
    owm_journal_stats_get(journal, &stats);
    live->journal.shares += stats.shares;
    live->journal.batches += stats.batches;
    live->journal.bytes += stats.bytes;
    live->journal.sync_ns_total += stats.sync_ns_total;
    if (stats.sync_ns_max > live->journal.sync_ns_max)
        live->journal.sync_ns_max = stats.sync_ns_max;
    live->journal_failed |= owm_journal_failed(journal) != NULL;
}

static void take_loops(struct owm_report *report, int64_t now_ms)
{
    struct owm_report_live *live = report->next_live;
    report->next_table.count = 0;
    for (size_t i = 0; i < report->options.loop_count; i++) {
        const struct owm_report_loop *loop = &report->loops[i];
        owm_pool_stats_merge(&live->stats, loop->stats);
        for (int window = 0; window < OWM_RATE_WINDOWS; window++)
            live->hashes_per_s[window] +=
                owm_rate_get(&loop->stats->rate, (enum owm_rate_window)window, now_ms);
        take_journal(loop->journal, live);
        take_loop(report, (uint32_t)i, now_ms);
    }
    if (report->next_table.count > 1)
        qsort(report->next_table.entries, report->next_table.count, sizeof(struct report_entry),
              by_miner_and_worker);
    take_miners(report);
}

void report_collect(struct owm_report *report)
{
    struct owm_report_live *live = report->next_live;
    memset(live, 0, sizeof *live);
    live->taken_ms = owm_clock_wall_ms();
    live->taken_mono_ms = owm_clock_mono_ms();
    live->started_mono_ms = report->started_mono_ms;
    take_loops(report, (int64_t)live->taken_mono_ms);
    if (report->options.feeder) {
        live->has_feeder = true;
        owm_feeder_stats_get(report->options.feeder, &live->feeder);
    }
    if (report->options.bitcoin) {
        live->has_node = true;
        owm_bitcoin_health_get(report->options.bitcoin, &live->node);
    }
    pthread_mutex_lock(&report->lock);
    live->price = report->price;
    struct report_table table = report->table;
    report->next_live = report->live;
    report->live = live;
    report->table = report->next_table;
    report->next_table = table;
    pthread_mutex_unlock(&report->lock);
}

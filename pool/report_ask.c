/* report_ask.c: everything about one miner: live from the loops' tables, the rest from answers of
 * the ledger thread, which are kept for a while. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "report_internal.h"

#define ASKED_FAILED_MS 1000 /* Until the database is asked again after a failure. */
#define ASKED_WAIT_MS   3000 /* Nobody waits for it longer than this. */

/* ---------------------------------------------------------------------------- questions */

struct report_asked *report_waiting(struct owm_report *report)
{
    struct report_asked *oldest = NULL;
    for (size_t i = 0; i < OWM_REPORT_ASKED_MAX; i++) {
        struct report_asked *asked = &report->asked[i];
        if (asked->state == ASKED_WAITING && (!oldest || asked->since_ms < oldest->since_ms))
            oldest = asked;
    }
    return oldest;
}

static struct report_asked *find_asked(struct owm_report *report, const uint8_t *id)
{
    for (size_t i = 0; i < OWM_REPORT_ASKED_MAX; i++)
        if (report->asked[i].state != ASKED_FREE
            && memcmp(report->asked[i].miner, id, OWM_MINER_ID_BYTES) == 0)
            return &report->asked[i];
    return NULL;
}

/** A free place, or that of the oldest answer; NULL when too many wait. */
static struct report_asked *place_for(struct owm_report *report, const uint8_t *id)
{
    struct report_asked *place = NULL;
    unsigned waiting = 0;
    for (size_t i = 0; i < OWM_REPORT_ASKED_MAX; i++) {
        struct report_asked *asked = &report->asked[i];
        if (asked->state == ASKED_WAITING)
            waiting++;
        else if (!place || asked->since_ms < place->since_ms)
            place = asked;
    }
    if (!place || waiting >= OWM_REPORT_WAITING_MAX) return NULL;
    free(place->stored);
    *place = (struct report_asked){.state = ASKED_FREE};
    memcpy(place->miner, id, sizeof place->miner);
    return place;
}

static bool is_good(const struct report_asked *asked, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - asked->since_ms;
    return (asked->state == ASKED_READY && age_ms < OWM_REPORT_MINER_MS)
           || (asked->state == ASKED_FAILED && age_ms < ASKED_FAILED_MS)
           || (asked->state == ASKED_WAITING && age_ms >= ASKED_WAIT_MS);
}

/** The ledger's word. *stored: NULL when it does not answer. */
static owm_status ask_ledger(struct owm_report *report, const uint8_t *id,
                             const struct report_stored **stored)
{
    uint64_t now_ms = owm_clock_mono_ms();
    struct report_asked *asked = find_asked(report, id);
    *stored = NULL;
    if (asked && is_good(asked, now_ms)) {
        *stored = asked->stored;
        return OWM_OK;
    }
    if (asked && asked->state == ASKED_WAITING) return OWM_E_TIMEOUT;
    if (!asked) asked = place_for(report, id);
    if (!asked) return OWM_E_LIMIT;
    asked->state = ASKED_WAITING;
    asked->since_ms = now_ms;
    pthread_cond_broadcast(&report->changed);
    return OWM_E_TIMEOUT;
}

/* ---------------------------------------------------------------------------- live */

static int by_id(const void *key, const void *element)
{
    return memcmp(key, ((const struct report_entry *)element)->miner, OWM_MINER_ID_BYTES);
}

/** The entries of a miner; *count 0: none. */
static const struct report_entry *find_entries(const struct report_table *table, const uint8_t *id,
                                               size_t *count)
{
    *count = 0;
    if (table->count == 0) return NULL;
    const struct report_entry *end = table->entries + table->count;
    const struct report_entry *first =
        bsearch(id, table->entries, table->count, sizeof *first, by_id);
    if (!first) return NULL;
    while (first > table->entries && by_id(id, first - 1) == 0) first--;
    while (first + *count < end && by_id(id, first + *count) == 0) ++*count;
    return first;
}

static int stronger_first(const void *a, const void *b)
{
    const struct report_entry *x = *(const struct report_entry *const *)a,
                              *y = *(const struct report_entry *const *)b;
    double left = x->hashes_per_s[OWM_RATE_10M], right = y->hashes_per_s[OWM_RATE_10M];
    if ((x->channels > 0) != (y->channels > 0)) return x->channels > 0 ? -1 : 1;
    return (left < right) - (left > right);
}

static struct owm_report_worker *worker_named(struct owm_report_view *view, const char *name)
{
    for (size_t i = 0; i < view->worker_count; i++)
        if (strcmp(view->workers[i].name, name) == 0) return &view->workers[i];
    if (view->worker_count == OWM_REPORT_WORKERS) {
        view->workers_left_out++;
        return NULL;
    }
    struct owm_report_worker *worker = &view->workers[view->worker_count++];
    memcpy(worker->name, name, sizeof worker->name);
    worker->last_share_age_ms = -1;
    return worker;
}

/** The newer of two ages, of which -1 is none. */
static int64_t newer(int64_t a, int64_t b)
{
    if (a < 0 || b < 0) return a < 0 ? b : a;
    return a < b ? a : b;
}

static void add_live_worker(struct owm_report_view *view, const struct owm_worker_view *seen)
{
    struct owm_report_worker *worker = worker_named(view, seen->worker.text);
    if (!worker) return;
    worker->live = true;
    worker->channels += seen->channels;
    worker->accepted += seen->accepted;
    worker->rejected += seen->rejected;
    if (seen->channels || !worker->hashes) worker->hashes = seen->hashes;
    if (seen->best > worker->best_hashes) worker->best_hashes = seen->best;
    worker->last_share_age_ms = newer(worker->last_share_age_ms, seen->last_share_age_ms);
    for (int i = 0; i < OWM_RATE_WINDOWS; i++) worker->hashes_per_s[i] += seen->hashes_per_s[i];
}

static owm_status add_live(struct owm_report *report, struct owm_report_view *view)
{
    size_t count;
    const struct report_entry *first = find_entries(&report->table, view->miner.id, &count);
    int64_t now_ms = (int64_t)owm_clock_mono_ms();
    report_sum_up(first, count, &view->now);
    view->now.miner = view->miner;
    if (count == 0) return OWM_OK;
    const struct report_entry **order = malloc(count * sizeof *order);
    if (!order) return OWM_E_NOMEM;
    for (size_t i = 0; i < count; i++) order[i] = &first[i];
    qsort(order, count, sizeof *order, stronger_first);
    for (size_t i = 0; i < count && i < OWM_REPORT_WORKERS; i++) {
        struct owm_worker_view seen;
        if (owm_workers_copy(report->loops[order[i]->loop].workers, order[i]->index, &seen, 1,
                             now_ms)
                == 1
            && memcmp(seen.miner.id, view->miner.id, sizeof seen.miner.id) == 0)
            add_live_worker(view, &seen);
    }
    if (count > OWM_REPORT_WORKERS)
        view->workers_left_out += (uint32_t)(count - OWM_REPORT_WORKERS);
    view->live = true;
    free(order);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- both */

static void add_stored(struct owm_report_view *view, const struct report_stored *stored)
{
    view->taken_ms = stored->taken_ms;
    view->known = stored->known;
    if (!stored->known) return;
    view->line = stored->line;
    view->payout_count = stored->payout_count;
    view->block_count = stored->block_count;
    memcpy(view->payouts, stored->payouts, sizeof view->payouts);
    memcpy(view->blocks, stored->blocks, sizeof view->blocks);
    for (size_t i = 0; i < stored->worker_count; i++) {
        struct owm_report_worker *worker = worker_named(view, stored->workers[i].name);
        if (!worker) continue;
        worker->stored = true;
        worker->line = stored->workers[i];
    }
}

owm_status owm_report_ask(struct owm_report *report, const struct owm_miner *miner,
                          struct owm_report_view **out)
{
    const struct report_stored *stored;
    struct owm_report_view *view = NULL;
    pthread_mutex_lock(&report->lock);
    owm_status status = ask_ledger(report, miner->id, &stored);
    if (status == OWM_OK) {
        view = calloc(1, sizeof *view);
        status = view ? OWM_OK : OWM_E_NOMEM;
    }
    if (status == OWM_OK) {
        view->miner = *miner;
        status = add_live(report, view);
    }
    if (status == OWM_OK && stored) add_stored(view, stored);
    pthread_mutex_unlock(&report->lock);
    if (status == OWM_OK && !view->live && !view->known)
        status = stored ? OWM_E_NOTFOUND : OWM_E_NET;
    *out = view;
    if (status == OWM_OK) return OWM_OK;
    free(view);
    *out = NULL;
    return status;
}

/* reader.c: carries out the plan: one peer's channels or all, to readings, to the engine and the
 * table of channels. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "stake_internal.h"

#define HOUSEKEEPING_MS  1000
#define LOOK_MS          10000  /* at the treasury's node itself */
#define ROWS_VERIFIED_MS 600000 /* rows that did not change are written this seldom */

struct reading_job {
    struct owm_stake *stake;
    owm_lightning *handle;
    int64_t read_ms;                        /* wall clock, before the treasury was asked */
    struct owm_lightning_channel *channels; /* by peer and funding point */
    size_t count;
    uint32_t *gone; /* [nodes_max] nodes whose channels are not there any more */
    uint32_t gone_count;
    int64_t housekeeping_ms, look_ms, slashings_ms; /* when due, monotonic */
};

/* ---------------------------------------------------------------------------- one node */

static int by_peer(const void *a, const void *b)
{
    const struct owm_lightning_channel *x = a, *y = b;
    int order = memcmp(x->peer, y->peer, sizeof(x->peer));
    if (order == 0) order = memcmp(x->point.txid, y->point.txid, sizeof(x->point.txid));
    return order != 0 ? order
                      : (x->point.index > y->point.index) - (x->point.index < y->point.index);
}

/* The channels of one peer within all of them. */
static const struct owm_lightning_channel *slice(const struct reading_job *job, const uint8_t *peer,
                                                 size_t *count)
{
    size_t low = 0, high = job->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(job->channels[middle].peer, peer, OWM_LIGHTNING_KEY_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0;
         low + *count < job->count
         && memcmp(job->channels[low + *count].peer, peer, OWM_LIGHTNING_KEY_BYTES) == 0;)
        ++*count;
    return &job->channels[low];
}

/* Whether it has to be known who closed what is not there: not for nodes that never had any. A
 * channel that the treasury opened to the node is not the node's. */
static bool is_gone(const struct stake_node *node, const struct owm_lightning_channel *channels,
                    size_t count)
{
    size_t own = 0;
    for (size_t i = 0; i < count; i++) own += channels[i].opened_by_peer;
    return own == 0
           && (node->channels > 0 || node->status == OWM_NODE_ACTIVE
               || node->status == OWM_NODE_DEGRADED);
}

static void write_rows(struct reading_job *job, uint32_t number, const struct stake_node *node,
                       const struct owm_lightning_channel *channels, size_t count)
{
    struct owm_stake *stake = job->stake;
    struct owm_error error = {""};
    const struct stake_rows_of of = {.node = node,
                                     .channels = channels,
                                     .count = count,
                                     .confirmations = stake->config.confirmations,
                                     .minimum_sats = stake->config.tier_sats[node->tier],
                                     .read_ms = job->read_ms};
    uint64_t digest = stake_rows_digest(&of);
    if (digest == node->rows_digest && job->read_ms - node->rows_ms < ROWS_VERIFIED_MS) return;
    owm_status status = stake_rows_write(&stake->rows, &of, &error);
    if (status != OWM_OK && status != OWM_E_AGAIN)
        owm_log(OWM_LOG_WARN, "stake_rows_not_written reason=\"%s\"", error.text);
    if (status != OWM_OK) return;
    pthread_mutex_lock(&stake->lock);
    stake->nodes.node[number].rows_digest = digest;
    stake->nodes.node[number].rows_ms = job->read_ms;
    pthread_mutex_unlock(&stake->lock);
}

/* closed: the channels that are closed are among them. */
static void judge(struct reading_job *job, uint32_t number, bool closed)
{
    struct owm_stake *stake = job->stake;
    struct owm_stake_reading reading;
    size_t count = 0;
    pthread_mutex_lock(&stake->lock);
    struct stake_node node = stake->nodes.node[number];
    bool wanted = owm_stake_plan_wanted(stake->plan, number);
    pthread_mutex_unlock(&stake->lock);
    const struct owm_lightning_channel *channels = slice(job, node.ln_key, &count);
    if (!closed && is_gone(&node, channels, count)) {
        job->gone[job->gone_count++] = number;
        return;
    }
    owm_stake_assess(channels, count, node.ln_key, stake->config.confirmations, &reading);
    bool news = reading.stake_sats != node.stake_sats || reading.left != node.left;
    pthread_mutex_lock(&stake->lock);
    struct stake_node *kept = &stake->nodes.node[number];
    kept->stake_sats = node.stake_sats = reading.stake_sats;
    kept->left = reading.left;
    kept->channels = reading.counted;
    kept->read_ms = job->read_ms;
    pthread_mutex_unlock(&stake->lock);
    owm_counter_add(stake->metrics.readings, 1);
    if (news || wanted) {
        struct owm_stake_event event = {
            .read_ms = job->read_ms, .stake_sats = reading.stake_sats, .closed = reading.left};
        memcpy(event.node_id, node.node_id, sizeof(event.node_id));
        memcpy(event.ln_key, node.ln_key, sizeof(event.ln_key));
        stake->config.deliver(stake->config.ctx, &event);
    }
    if (news)
        owm_log(OWM_LOG_INFO, "stake_changed sats=%lld note=\"%s\"", (long long)reading.stake_sats,
                reading.note);
    write_rows(job, number, &node, channels, count);
}

/* ---------------------------------------------------------------------------- an order */

/* peer  NULL: all. A node without a Lightning key has no channels. */
static owm_status list(struct reading_job *job, const uint8_t *peer, bool closed,
                       struct owm_error *error)
{
    free(job->channels);
    job->channels = NULL;
    job->count = 0;
    if (peer && peer[0] == 0) return OWM_OK;
    owm_status status =
        owm_lightning_channels(job->handle, peer, closed, &job->channels, &job->count, error);
    if (status == OWM_OK && job->count)
        qsort(job->channels, job->count, sizeof(*job->channels), by_peer);
    return status;
}

/* The nodes of an order: all that are there now, or one. */
static void judge_order(struct reading_job *job, const struct owm_stake_order *order)
{
    pthread_mutex_lock(&job->stake->lock);
    uint32_t count = job->stake->nodes.count;
    pthread_mutex_unlock(&job->stake->lock);
    job->gone_count = 0;
    if (order->batch == OWM_STAKE_ONE)
        judge(job, order->node, false);
    else
        for (uint32_t i = 0; i < count; i++) judge(job, i, false);
}

static owm_status judge_gone(struct reading_job *job, struct owm_error *error)
{
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    if (job->gone_count == 0) return OWM_OK;
    pthread_mutex_lock(&job->stake->lock);
    memcpy(key, job->stake->nodes.node[job->gone[0]].ln_key, sizeof(key));
    pthread_mutex_unlock(&job->stake->lock);
    owm_status status = list(job, job->gone_count == 1 ? key : NULL, true, error);
    for (uint32_t i = 0; status == OWM_OK && i < job->gone_count; i++)
        judge(job, job->gone[i], true);
    return status;
}

static owm_status reach(struct reading_job *job, struct owm_error *error)
{
    if (job->handle) return OWM_OK;
    return treasury_open(job->stake, STAKE_LIST_TIMEOUT_MS, &job->handle, error);
}

static void note_failure(struct reading_job *job, owm_status status, const char *why)
{
    treasury_say(job->stake, false, why);
    owm_counter_add(job->stake->metrics.failures, 1);
    if (status == OWM_E_AGAIN) return;
    owm_lightning_close(job->handle);
    job->handle = NULL;
}

static void carry_out(struct reading_job *job, const struct owm_stake_order *order)
{
    struct owm_stake *stake = job->stake;
    struct owm_error error = {""};
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    int64_t began_ms = stake_mono_ms();
    pthread_mutex_lock(&stake->lock);
    if (order->batch == OWM_STAKE_ONE)
        memcpy(key, stake->nodes.node[order->node].ln_key, sizeof(key));
    pthread_mutex_unlock(&stake->lock);
    owm_status status = reach(job, &error);
    job->read_ms = owm_clock_wall_ms();
    if (status == OWM_OK)
        status = list(job, order->batch == OWM_STAKE_ONE ? key : NULL, false, &error);
    if (status == OWM_OK) {
        judge_order(job, order);
        status = judge_gone(job, &error);
    }
    if (status == OWM_OK)
        owm_histogram_observe(stake->metrics.seconds, (double)(stake_mono_ms() - began_ms) / 1e3);
    else
        note_failure(job, status, error.text);
    pthread_mutex_lock(&stake->lock);
    owm_stake_plan_done(stake->plan, stake_mono_ms(), status == OWM_OK);
    pthread_mutex_unlock(&stake->lock);
}

/* ---------------------------------------------------------------------------- housekeeping */

static void measure(struct owm_stake *stake)
{
    int64_t now_ms = owm_clock_wall_ms(), oldest_ms = now_ms, sats = 0;
    uint64_t channels = 0, degraded = 0;
    pthread_mutex_lock(&stake->lock);
    for (uint32_t i = 0; i < stake->nodes.count; i++) {
        const struct stake_node *node = &stake->nodes.node[i];
        channels += node->channels;
        sats += node->stake_sats;
        degraded += node->status == OWM_NODE_DEGRADED;
        if (node->read_ms < oldest_ms) oldest_ms = node->read_ms;
    }
    pthread_mutex_unlock(&stake->lock);
    owm_gauge_set(stake->metrics.channels, (double)channels);
    owm_gauge_set(stake->metrics.sats, (double)sats);
    owm_gauge_set(stake->metrics.degraded, (double)degraded);
    owm_gauge_set(stake->metrics.oldest_s, (double)(now_ms - oldest_ms) / 1e3);
}

static void look_at_treasury(struct reading_job *job)
{
    struct owm_error error = {""};
    owm_status status = reach(job, &error);
    if (status == OWM_OK) status = treasury_look(job->stake, job->handle, &error);
    if (status != OWM_OK) note_failure(job, status, error.text);
}

static void count_slashings(struct reading_job *job)
{
    int64_t count = 0;
    if (stake_rows_slashings(&job->stake->rows, &count, NULL) == OWM_OK)
        owm_gauge_set(job->stake->metrics.slashings, (double)count);
}

static void keep_house(struct reading_job *job)
{
    int64_t now_ms = stake_mono_ms();
    if (now_ms < job->housekeeping_ms) return;
    job->housekeeping_ms = now_ms + HOUSEKEEPING_MS;
    measure(job->stake);
    if (now_ms >= job->slashings_ms) count_slashings(job);
    if (now_ms >= job->slashings_ms) job->slashings_ms = now_ms + LOOK_MS;
    if (now_ms < job->look_ms) return;
    look_at_treasury(job);
    job->look_ms = stake_mono_ms() + LOOK_MS;
}

void *reader_main(void *ctx)
{
    struct reading_job job = {.stake = ctx};
    struct owm_stake *stake = ctx;
    struct owm_stake_order order;
    job.gone = calloc(stake->config.nodes_max, sizeof(*job.gone));
    OWM_ASSERT(job.gone);
    while (!stake_is_stopping(stake)) {
        pthread_mutex_lock(&stake->lock);
        owm_stake_plan_next(stake->plan, stake_mono_ms(), &order);
        if (order.batch == OWM_STAKE_WAIT)
            stake_wait(stake, &stake->reader_wakes,
                       order.wait_ms < HOUSEKEEPING_MS ? order.wait_ms : HOUSEKEEPING_MS);
        pthread_mutex_unlock(&stake->lock);
        if (order.batch != OWM_STAKE_WAIT) carry_out(&job, &order);
        keep_house(&job);
    }
    owm_lightning_close(job.handle);
    stake_rows_close(&stake->rows);
    free(job.channels);
    free(job.gone);
    return NULL;
}

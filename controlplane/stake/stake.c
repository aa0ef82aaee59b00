/* stake.c: the manager's life, and what others tell it; see stake.h. */
#include "stake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "stake_internal.h"

int64_t stake_mono_ms(void)
{
    return (int64_t)owm_clock_mono_ms();
}

void stake_wait(struct owm_stake *stake, pthread_cond_t *condition, int64_t wait_ms)
{
    if (stake->stopping || wait_ms <= 0) return;
    (void)owm_cond_wait(condition, &stake->lock, owm_clock_mono_ms() + (uint64_t)wait_ms);
}

bool stake_is_stopping(struct owm_stake *stake)
{
    pthread_mutex_lock(&stake->lock);
    bool stopping = stake->stopping;
    pthread_mutex_unlock(&stake->lock);
    return stopping;
}

/* --- open and close --------------------------------------------------------------------------- */

static void open_metrics(struct stake_metrics *m, owm_metrics *metrics)
{
    static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
    m->channels = owm_metrics_gauge(metrics, "owm_stake_channels",
                                    "Channels that count as stake (SRS-STAKE-09).", NULL);
    m->sats = owm_metrics_gauge(metrics, "owm_stake_sats", "Sum of all stakes.", NULL);
    m->degraded = owm_metrics_gauge(metrics, "owm_stake_nodes_degraded",
                                    "Nodes whose stake is below the minimum of their tier.", NULL);
    m->slashings = owm_metrics_gauge(metrics, "owm_slashing_events_7d",
                                     "Entries of the slashing log in the last 7 days.", NULL);
    m->oldest_s = owm_metrics_gauge(metrics, "owm_stake_oldest_reading_seconds",
                                    "Age of the oldest reading of a node's stake.", NULL);
    m->up = owm_metrics_gauge(metrics, "owm_treasury_up",
                              "1 if the treasury's Lightning node answers.", NULL);
    m->readings = owm_metrics_counter(metrics, "owm_stake_readings_total",
                                      "Readings of a node's stake.", NULL);
    m->failures = owm_metrics_counter(metrics, "owm_stake_failures_total",
                                      "Questions that the treasury's node did not answer.", NULL);
    m->seconds = owm_metrics_histogram(metrics, "owm_stake_reading_seconds",
                                       "From the question to the treasury's answer.", NULL, bounds,
                                       sizeof(bounds) / sizeof(bounds[0]));
}

static void open_conditions(struct owm_stake *stake)
{
    pthread_mutex_init(&stake->lock, NULL);
    owm_cond_init(&stake->reader_wakes);
    owm_cond_init(&stake->asker_wakes);
    owm_cond_init(&stake->expirer_wakes);
    owm_cond_init(&stake->watcher_wakes);
}

static owm_status take_treasury(struct owm_stake *stake, struct owm_error *error)
{
    struct stake_treasury *treasury = &stake->treasury;
    const char *uri = stake->config.treasury_uri, *host = NULL;
    if (!uri[0]) return OWM_OK;
    if (owm_lightning_uri_parse(uri, treasury->key, &host) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG, "policy.treasury_uri = \"%s\" is not pubkey@host:port",
                        uri);
    treasury->known = true;
    snprintf(treasury->uri, sizeof(treasury->uri), "%s", uri);
    return OWM_OK;
}

/* Everything that is configured wrongly shows here; a node that is away does not. */
static owm_status first_contact(struct owm_stake *stake, struct owm_error *error)
{
    owm_lightning *handle = NULL;
    owm_status status = treasury_open(stake, STAKE_ASK_TIMEOUT_MS, &handle, error);
    owm_lightning_close(handle);
    if (!treasury_is_away(status)) return status;
    treasury_say(stake, false, error->text);
    error->text[0] = 0;
    return OWM_OK;
}

owm_status owm_stake_open(const struct owm_stake_config *config, struct owm_stake **out,
                          struct owm_error *error)
{
    const struct owm_stake_plan_config plan = {.nodes_max = config->nodes_max,
                                               .recheck_ms = config->recheck_ms,
                                               .sweep_ms = config->sweep_ms,
                                               .follow_ms = STAKE_FOLLOW_MS,
                                               .list_pause_ms = STAKE_LIST_PAUSE_MS};
    struct owm_stake *stake = calloc(1, sizeof(*stake));
    if (!stake) return OWM_E_NOMEM;
    stake->config = *config;
    stake->rows.url = config->database_url;
    stake->last_ask = &stake->first_ask;
    open_conditions(stake);
    open_metrics(&stake->metrics, config->metrics);
    owm_status status = stake_nodes_init(&stake->nodes, config->nodes_max);
    if (status == OWM_OK) status = owm_stake_plan_open(&plan, stake_mono_ms(), &stake->plan);
    if (status == OWM_OK) status = take_treasury(stake, error);
    if (status == OWM_OK) status = first_contact(stake, error);
    if (status != OWM_OK) {
        owm_stake_close(stake);
        return status;
    }
    *out = stake;
    return OWM_OK;
}

/* Wake all, and wait for the first `count` threads. */
static void end_threads(struct owm_stake *stake, int count)
{
    pthread_mutex_lock(&stake->lock);
    stake->stopping = true;
    pthread_cond_broadcast(&stake->reader_wakes);
    pthread_cond_broadcast(&stake->asker_wakes);
    pthread_cond_broadcast(&stake->expirer_wakes);
    pthread_cond_broadcast(&stake->watcher_wakes);
    pthread_mutex_unlock(&stake->lock);
    while (count-- > 0) pthread_join(stake->thread[count], NULL);
}

owm_status owm_stake_start(struct owm_stake *stake)
{
    static void *(*const mains[STAKE_THREADS])(void *) = {reader_main, asker_main, expirer_main,
                                                          watcher_main};
    stake->running = true;
    for (int i = 0; i < STAKE_THREADS; i++)
        if (pthread_create(&stake->thread[i], NULL, mains[i], stake) != 0) {
            end_threads(stake, i);
            stake->running = false;
            return OWM_E_NOMEM;
        }
    return OWM_OK;
}

void owm_stake_stop(struct owm_stake *stake)
{
    if (!stake || !stake->running || stake->stopping) return;
    end_threads(stake, STAKE_THREADS);
    asker_cancel(stake);
}

void owm_stake_close(struct owm_stake *stake)
{
    if (!stake) return;
    owm_stake_stop(stake);
    owm_stake_plan_close(stake->plan);
    stake_nodes_deinit(&stake->nodes);
    pthread_cond_destroy(&stake->reader_wakes);
    pthread_cond_destroy(&stake->asker_wakes);
    pthread_cond_destroy(&stake->expirer_wakes);
    pthread_cond_destroy(&stake->watcher_wakes);
    pthread_mutex_destroy(&stake->lock);
    free(stake);
}

/* --- what others say and ask ------------------------------------------------------------------ */

/* Whom only the next reading moves on: it is not left to the sweep. Who is suspended for what it
 * did waits for its cooldown, and no stake helps. */
static bool is_followed(const struct owm_stake *stake, const struct owm_node_row *row)
{
    if (row->status == OWM_NODE_SUSPENDED) return row->cooldown_until_ms == 0;
    return row->status != OWM_NODE_ACTIVE
           || row->stake_sats < stake->config.tier_sats[row->capabilities.tier];
}

void owm_stake_node(struct owm_stake *stake, const struct owm_node_row *row)
{
    uint32_t number = 0;
    bool is_new = false;
    pthread_mutex_lock(&stake->lock);
    uint32_t before = stake->nodes.count;
    owm_status status = stake_nodes_put(&stake->nodes, row, &number, &is_new);
    if (status == OWM_OK) {
        if (stake->nodes.count > before) owm_stake_plan_add(stake->plan);
        if (is_new) owm_stake_plan_look(stake->plan, number);
        owm_stake_plan_follow(stake->plan, number, is_followed(stake, row));
        if (is_new) pthread_cond_signal(&stake->reader_wakes);
    }
    pthread_mutex_unlock(&stake->lock);
    if (status != OWM_OK) owm_log(OWM_LOG_ERROR, "stake_table_full");
}

void owm_stake_want(struct owm_stake *stake, const uint8_t node_id[static 16])
{
    pthread_mutex_lock(&stake->lock);
    uint32_t number = stake_nodes_by_id(&stake->nodes, node_id);
    if (number != STAKE_NODE_NONE) {
        owm_stake_plan_want(stake->plan, number);
        pthread_cond_signal(&stake->reader_wakes);
    }
    pthread_mutex_unlock(&stake->lock);
}

bool owm_stake_bound(struct owm_stake *stake, const uint8_t public_key[static 32],
                     uint8_t ln_key[static OWM_LIGHTNING_KEY_BYTES])
{
    pthread_mutex_lock(&stake->lock);
    uint32_t number = stake_nodes_by_public_key(&stake->nodes, public_key);
    bool bound = number != STAKE_NODE_NONE && stake->nodes.node[number].ln_key[0] != 0;
    if (bound) memcpy(ln_key, stake->nodes.node[number].ln_key, OWM_LIGHTNING_KEY_BYTES);
    pthread_mutex_unlock(&stake->lock);
    return bound;
}

void owm_stake_treasury_uri(struct owm_stake *stake, char uri[OWM_LIGHTNING_TEXT_BYTES])
{
    pthread_mutex_lock(&stake->lock);
    snprintf(uri, OWM_LIGHTNING_TEXT_BYTES, "%s", stake->treasury.uri);
    pthread_mutex_unlock(&stake->lock);
}

bool owm_stake_state_text(struct owm_stake *stake, char *text, size_t bytes)
{
    pthread_mutex_lock(&stake->lock);
    bool answers = stake->treasury.answers;
    snprintf(text, bytes, "%s", stake->treasury.text);
    pthread_mutex_unlock(&stake->lock);
    return answers;
}

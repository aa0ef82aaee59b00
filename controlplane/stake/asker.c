/* asker.c: registrations wait for an answer, so they are asked one by one with short deadlines, and
 * whatever the treasury does, a second thread answers those whose time is over (SRS-PERF-13).
 *
 * An ask stays at the head of the list while the treasury is asked for it; who takes it from there,
 * asker or expirer, answers it.
 */
#include <stdlib.h>
#include <string.h>

#include "stake_internal.h"

#define IDLE_MS 500 /* a treasury that is away is tried again even if nobody asks */

struct asking {
    struct owm_stake *stake;
    owm_lightning *handle;
    int64_t away_until_ms;
    struct owm_error error; /* why it is away */
};

owm_status owm_stake_ask(struct owm_stake *stake,
                         const uint8_t ln_key[static OWM_LIGHTNING_KEY_BYTES],
                         owm_stake_answer_fn *answer, void *ctx)
{
    struct stake_ask *ask = calloc(1, sizeof(*ask));
    if (!ask) return OWM_E_NOMEM;
    memcpy(ask->ln_key, ln_key, sizeof(ask->ln_key));
    ask->asked_ms = stake_mono_ms();
    ask->answer = answer;
    ask->ctx = ctx;
    pthread_mutex_lock(&stake->lock);
    owm_status status = stake->stopping || !stake->running       ? OWM_E_STATE
                        : stake->ask_count >= OWM_STAKE_ASKS_MAX ? OWM_E_LIMIT
                                                                 : OWM_OK;
    if (status == OWM_OK) {
        ask->number = ++stake->asks;
        *stake->last_ask = ask;
        stake->last_ask = &ask->next;
        stake->ask_count++;
        pthread_cond_signal(&stake->asker_wakes);
        pthread_cond_signal(&stake->expirer_wakes);
    }
    pthread_mutex_unlock(&stake->lock);
    if (status != OWM_OK) free(ask);
    return status;
}

/* With the lock held. */
static struct stake_ask *pop(struct owm_stake *stake)
{
    struct stake_ask *ask = stake->first_ask;
    stake->first_ask = ask->next;
    stake->ask_count--;
    if (!stake->first_ask) stake->last_ask = &stake->first_ask;
    return ask;
}

static void answer(struct stake_ask *ask, owm_status status,
                   const struct owm_stake_reading *reading, const char *why)
{
    ask->answer(ask->ctx, status, reading, why);
    free(ask);
}

/* A copy of the oldest; false: none within IDLE_MS, or stopping. */
static bool peek(struct owm_stake *stake, struct stake_ask *ask)
{
    pthread_mutex_lock(&stake->lock);
    if (!stake->first_ask) stake_wait(stake, &stake->asker_wakes, IDLE_MS);
    bool found = stake->first_ask && !stake->stopping;
    if (found) *ask = *stake->first_ask;
    pthread_mutex_unlock(&stake->lock);
    return found;
}

/* NULL: it has been answered. */
static struct stake_ask *take(struct owm_stake *stake, uint64_t number)
{
    pthread_mutex_lock(&stake->lock);
    bool there = stake->first_ask && stake->first_ask->number == number;
    struct stake_ask *ask = there ? pop(stake) : NULL;
    pthread_mutex_unlock(&stake->lock);
    return ask;
}

/* ---------------------------------------------------------------------------- the treasury */

static void note_failure(struct asking *asking, owm_status status)
{
    asking->away_until_ms = stake_mono_ms() + STAKE_AWAY_MS;
    if (status == OWM_E_AGAIN) return;
    owm_lightning_close(asking->handle);
    asking->handle = NULL;
}

static bool is_away(const struct asking *asking)
{
    return stake_mono_ms() < asking->away_until_ms;
}

static void reach(struct asking *asking)
{
    if (asking->handle || is_away(asking)) return;
    owm_status status =
        treasury_open(asking->stake, STAKE_ASK_TIMEOUT_MS, &asking->handle, &asking->error);
    if (status != OWM_OK) note_failure(asking, status);
}

/* OWM_E_TIMEOUT: asking->error says why it could not be read. */
static owm_status read_one(struct asking *asking, const uint8_t *ln_key,
                           struct owm_stake_reading *reading)
{
    struct owm_lightning_channel *channels = NULL;
    size_t count = 0;
    reach(asking);
    if (!asking->handle || is_away(asking)) return OWM_E_TIMEOUT;
    owm_status status =
        owm_lightning_channels(asking->handle, ln_key, false, &channels, &count, &asking->error);
    if (status == OWM_OK)
        owm_stake_assess(channels, count, ln_key, asking->stake->config.confirmations, reading);
    else
        note_failure(asking, status);
    free(channels);
    return status == OWM_OK ? OWM_OK : OWM_E_TIMEOUT;
}

static void serve(struct asking *asking, const struct stake_ask *oldest)
{
    struct owm_stake_reading reading;
    owm_status status = read_one(asking, oldest->ln_key, &reading);
    struct stake_ask *ask = take(asking->stake, oldest->number);
    if (!ask) return;
    if (status == OWM_OK)
        owm_histogram_observe(asking->stake->metrics.seconds,
                              (double)(stake_mono_ms() - ask->asked_ms) / 1e3);
    answer(ask, status, &reading, status == OWM_OK ? "" : asking->error.text);
}

void *asker_main(void *ctx)
{
    struct asking asking = {.stake = ctx};
    struct stake_ask oldest;
    while (!stake_is_stopping(asking.stake)) {
        if (peek(asking.stake, &oldest))
            serve(&asking, &oldest);
        else
            reach(&asking);
    }
    owm_lightning_close(asking.handle);
    return NULL;
}

/* ---------------------------------------------------------------------------- the end */

void *expirer_main(void *ctx)
{
    struct owm_stake *stake = ctx;
    pthread_mutex_lock(&stake->lock);
    while (!stake->stopping) {
        int64_t left_ms = stake->first_ask
                              ? stake->first_ask->asked_ms + OWM_STAKE_ANSWER_MS - stake_mono_ms()
                              : OWM_STAKE_ANSWER_MS;
        if (left_ms > 0) {
            stake_wait(stake, &stake->expirer_wakes, left_ms);
            continue;
        }
        struct stake_ask *ask = pop(stake);
        pthread_mutex_unlock(&stake->lock);
        answer(ask, OWM_E_TIMEOUT, NULL, "its answer takes too long");
        pthread_mutex_lock(&stake->lock);
    }
    pthread_mutex_unlock(&stake->lock);
    return NULL;
}

void asker_cancel(struct owm_stake *stake)
{
    while (stake->first_ask)
        answer(pop(stake), OWM_E_CANCELLED, NULL, "the coordinator is stopping");
}

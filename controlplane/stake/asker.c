/* asker.c: registrations wait for an answer, so they are asked one by one with a short deadline
 * (SRS-PERF-13). An ask that could not be answered in time any more is not begun. */
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
        *stake->last_ask = ask;
        stake->last_ask = &ask->next;
        stake->ask_count++;
        pthread_cond_signal(&stake->asker_wakes);
    }
    pthread_mutex_unlock(&stake->lock);
    if (status != OWM_OK) free(ask);
    return status;
}

/* The next one; NULL: none within IDLE_MS, or stopping. */
static struct stake_ask *take(struct owm_stake *stake)
{
    pthread_mutex_lock(&stake->lock);
    if (!stake->first_ask && !stake->stopping) stake_wait(stake, &stake->asker_wakes, IDLE_MS);
    struct stake_ask *ask = stake->stopping ? NULL : stake->first_ask;
    if (ask) {
        stake->first_ask = ask->next;
        stake->ask_count--;
        if (!stake->first_ask) stake->last_ask = &stake->first_ask;
    }
    pthread_mutex_unlock(&stake->lock);
    return ask;
}

static void note_failure(struct asking *asking, owm_status status)
{
    asking->away_until_ms = stake_mono_ms() + STAKE_AWAY_MS;
    if (status == OWM_E_AGAIN) return;
    owm_lightning_close(asking->handle);
    asking->handle = NULL;
}

static void reach(struct asking *asking)
{
    if (asking->handle || stake_mono_ms() < asking->away_until_ms) return;
    owm_status status =
        treasury_open(asking->stake, STAKE_ASK_TIMEOUT_MS, &asking->handle, &asking->error);
    if (status != OWM_OK) note_failure(asking, status);
}

static owm_status read_one(struct asking *asking, const uint8_t *ln_key,
                           struct owm_stake_reading *reading)
{
    struct owm_lightning_channel *channels = NULL;
    size_t count = 0;
    owm_status status =
        owm_lightning_channels(asking->handle, ln_key, false, &channels, &count, &asking->error);
    if (status == OWM_OK)
        owm_stake_assess(channels, count, ln_key, asking->stake->config.confirmations, reading);
    else
        note_failure(asking, status);
    free(channels);
    return status;
}

static bool in_time(const struct stake_ask *ask)
{
    return stake_mono_ms() - ask->asked_ms <= OWM_STAKE_ANSWER_MS - STAKE_ASK_TIMEOUT_MS;
}

static void answer(struct asking *asking, struct stake_ask *ask)
{
    struct owm_stake_reading reading;
    bool away = stake_mono_ms() < asking->away_until_ms;
    if (!away && in_time(ask)) reach(asking);
    if (!away && asking->handle && in_time(ask)
        && read_one(asking, ask->ln_key, &reading) == OWM_OK) {
        owm_histogram_observe(asking->stake->metrics.seconds,
                              (double)(stake_mono_ms() - ask->asked_ms) / 1e3);
        ask->answer(ask->ctx, OWM_OK, &reading, "");
    } else {
        ask->answer(ask->ctx, OWM_E_TIMEOUT, NULL, asking->error.text);
    }
    free(ask);
}

void *asker_main(void *ctx)
{
    struct asking asking = {.stake = ctx};
    while (!stake_is_stopping(asking.stake)) {
        struct stake_ask *ask = take(asking.stake);
        if (ask)
            answer(&asking, ask);
        else
            reach(&asking);
    }
    owm_lightning_close(asking.handle);
    return NULL;
}

void asker_cancel(struct owm_stake *stake)
{
    while (stake->first_ask) {
        struct stake_ask *ask = stake->first_ask;
        stake->first_ask = ask->next;
        ask->answer(ask->ctx, OWM_E_CANCELLED, NULL, "the coordinator is stopping");
        free(ask);
    }
    stake->last_ask = &stake->first_ask;
    stake->ask_count = 0;
}

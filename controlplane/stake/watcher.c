/* watcher.c: the treasury's node says when channels change, so that a reading is fresh at once. It
 * repeats nothing that was missed: after each new beginning all nodes are looked at. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "stake_internal.h"

#define TURN_MS 500
#define POLL_MS 30000 /* a node that cannot be watched is looked at this often */

struct watching {
    struct owm_stake *stake;
    owm_lightning *handle;
    struct owm_lightning_watch *watch;
    bool cannot;
};

static void look(struct owm_stake *stake, const uint8_t *ln_key)
{
    static const uint8_t unknown[OWM_LIGHTNING_KEY_BYTES];
    pthread_mutex_lock(&stake->lock);
    uint32_t number = stake_nodes_by_ln_key(&stake->nodes, ln_key);
    if (memcmp(ln_key, unknown, sizeof(unknown)) == 0)
        owm_stake_plan_look_all(stake->plan);
    else if (number != STAKE_NODE_NONE)
        owm_stake_plan_look(stake->plan, number);
    pthread_cond_signal(&stake->reader_wakes);
    pthread_mutex_unlock(&stake->lock);
}

static void look_all(struct owm_stake *stake)
{
    static const uint8_t unknown[OWM_LIGHTNING_KEY_BYTES];
    look(stake, unknown);
}

static void end(struct watching *watching)
{
    owm_lightning_watch_close(watching->watch);
    owm_lightning_close(watching->handle);
    watching->watch = NULL;
    watching->handle = NULL;
}

static void begin(struct watching *watching)
{
    struct owm_error error = {""};
    owm_status status =
        treasury_open(watching->stake, STAKE_ASK_TIMEOUT_MS, &watching->handle, &error);
    if (status == OWM_OK)
        status = owm_lightning_watch_channels(watching->handle, &watching->watch, &error);
    if (status == OWM_E_UNSUPPORTED && !watching->cannot) {
        watching->cannot = true;
        owm_log(OWM_LOG_WARN, "channels_not_watched every_s=%d reason=\"%s\"", POLL_MS / 1000,
                error.text);
    }
    if (status == OWM_OK) {
        owm_log(OWM_LOG_DEBUG, "channels_watched");
        look_all(watching->stake);
    } else {
        end(watching);
    }
}

static void pause_ms(struct owm_stake *stake, int64_t wait_ms)
{
    pthread_mutex_lock(&stake->lock);
    if (!stake->stopping) stake_wait(stake, &stake->watcher_wakes, wait_ms);
    pthread_mutex_unlock(&stake->lock);
}

static void turn(struct watching *watching)
{
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
    struct owm_error error = {""};
    owm_status status = owm_lightning_watch_next(watching->watch, TURN_MS, peer, &error);
    if (status == OWM_OK) {
        look(watching->stake, peer);
    } else if (status != OWM_E_TIMEOUT) {
        owm_log(OWM_LOG_INFO, "channels_watch_ended reason=\"%s\"", error.text);
        end(watching);
    }
}

void *watcher_main(void *ctx)
{
    struct watching watching = {.stake = ctx};
    while (!stake_is_stopping(watching.stake)) {
        if (watching.watch) {
            turn(&watching);
        } else if (watching.cannot) {
            pause_ms(watching.stake, POLL_MS);
            look_all(watching.stake);
        } else {
            begin(&watching);
            if (!watching.watch && !watching.cannot) pause_ms(watching.stake, STAKE_AWAY_MS);
        }
    }
    end(&watching);
    return NULL;
}

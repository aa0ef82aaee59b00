/* stake_part.c: the stake manager in the coordinator: opened from the configuration, its readings
 * as events of the engine. */
#include <string.h>

#include "base/log.h"
#include "driver.h"

/* Manager's thread. A reading that finds no memory is made again: the engine asks for it, or the
 * next sweep comes by. */
static void deliver(void *ctx, const struct owm_stake_event *event)
{
    struct owm_driver *driver = ctx;
    struct owm_post *post = owm_post_new(OWM_EVENT_STAKE);
    if (!post) return;
    post->event.stake = *event;
    owm_inbox_put_own(driver->inbox, post);
}

owm_status owm_driver_open_stake(struct owm_driver *driver, struct owm_error *error)
{
    const struct owm_coordinator_config *config = driver->config;
    struct owm_stake_config stake = {
        .treasury_uri = config->treasury_uri,
        .database_url = config->database_url,
        .nodes_max = (uint32_t)config->nodes_max,
        .confirmations = (uint32_t)config->stake_confirmations,
        .recheck_ms = (int64_t)(config->stake_recheck_hours * 3600000),
        .sweep_ms = config->stake_sweep_s * 1000,
        .metrics = driver->metrics,
        .deliver = deliver,
        .ctx = driver,
    };
    owm_coordinator_tier_sats(config, stake.tier_sats);
    if (config->stake == OWM_STAKE_NONE
        || !owm_coordinator_lightning(config, OWM_LIGHTNING_STAKE, &stake.lightning))
        return OWM_OK;
    return owm_stake_open(&stake, &driver->stake, error);
}

void owm_driver_tell_stake(struct owm_driver *driver, const struct owm_node_row *node)
{
    int64_t sats[OWM_TIERS + 1];
    if (!driver->stake) return;
    owm_stake_node(driver->stake, node);
    owm_coordinator_tier_sats(driver->config, sats);
    owm_peers_note_stake(driver->peers, node->public_key, node->stake_sats,
                         sats[node->capabilities.tier]);
}

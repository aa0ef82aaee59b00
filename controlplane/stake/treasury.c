/* treasury.c: reaching the treasury's Lightning node, and what is said about it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "stake_internal.h"

bool treasury_is_away(owm_status status)
{
    return status == OWM_E_NET || status == OWM_E_TIMEOUT || status == OWM_E_AGAIN;
}

void treasury_say(struct owm_stake *stake, bool answers, const char *text)
{
    struct stake_treasury *treasury = &stake->treasury;
    pthread_mutex_lock(&stake->lock);
    bool turned = treasury->answers != answers || treasury->text[0] == 0;
    bool news = turned || (!answers && strcmp(treasury->text, text) != 0);
    treasury->answers = answers;
    snprintf(treasury->text, sizeof(treasury->text), "%s", text);
    pthread_mutex_unlock(&stake->lock);
    owm_gauge_set(stake->metrics.up, answers ? 1 : 0);
    if (news && answers)
        owm_log(OWM_LOG_INFO, "treasury_answers node=\"%s\"", text);
    else if (news)
        owm_log(OWM_LOG_WARN, "treasury_away reason=\"%s\"", text);
}

/* Another node than before would show nobody's channels: it is not believed. */
static owm_status recognise(struct owm_stake *stake, const struct owm_lightning_info *info,
                            struct owm_error *error)
{
    struct stake_treasury *treasury = &stake->treasury;
    char known[2 * OWM_LIGHTNING_KEY_BYTES + 1], here[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    owm_status status = OWM_OK;
    pthread_mutex_lock(&stake->lock);
    if (!treasury->known) memcpy(treasury->key, info->key, sizeof(treasury->key));
    treasury->known = true;
    owm_hex_encode(treasury->key, sizeof(treasury->key), known);
    owm_hex_encode(info->key, sizeof(info->key), here);
    if (strcmp(known, here) != 0)
        status = owm_fail(error, OWM_E_CONFIG,
                          "the Lightning node at %s is %s, but the treasury is %s; set "
                          "lightning.address and policy.treasury_uri to the same node",
                          stake->config.lightning.address, here, known);
    else if (!treasury->uri[0])
        snprintf(treasury->uri, sizeof(treasury->uri), "%s", info->uri);
    pthread_mutex_unlock(&stake->lock);
    return status;
}

static void describe(struct owm_stake *stake, const struct owm_lightning_info *info)
{
    char text[OWM_ERROR_BYTES_MAX], uri[OWM_LIGHTNING_TEXT_BYTES];
    owm_stake_treasury_uri(stake, uri);
    snprintf(text, sizeof(text), "%s %.*s on %s, synced at block %" PRIu32 ", %s, treasury %s",
             stake->config.lightning.backend == OWM_LIGHTNING_LND ? "lnd" : "Core Lightning",
             (int)strcspn(info->version, " "), info->version, info->network, info->block_height,
             info->alias[0] ? info->alias : "without alias",
             uri[0] ? uri : "(it announces no address)");
    treasury_say(stake, true, text);
}

owm_status treasury_look(struct owm_stake *stake, owm_lightning *handle, struct owm_error *error)
{
    struct owm_lightning_info info;
    owm_status status = owm_lightning_get_info(handle, &info, error);
    if (status == OWM_OK) status = recognise(stake, &info, error);
    if (status == OWM_OK && !info.synced_to_chain)
        status = owm_fail(error, OWM_E_AGAIN,
                          "the treasury's Lightning node is not synced to the chain yet (block "
                          "%" PRIu32 "); nothing is read from it until it is",
                          info.block_height);
    if (status == OWM_OK) describe(stake, &info);
    return status;
}

owm_status treasury_open(struct owm_stake *stake, unsigned timeout_ms, owm_lightning **handle,
                         struct owm_error *error)
{
    struct owm_lightning_config config = stake->config.lightning;
    owm_lightning *opened = NULL;
    config.role = OWM_LIGHTNING_STAKE;
    config.timeout_ms = timeout_ms;
    owm_status status = owm_lightning_open(&config, &opened, error);
    if (status == OWM_OK) status = treasury_look(stake, opened, error);
    if (status != OWM_OK) {
        owm_lightning_close(opened);
        return status;
    }
    *handle = opened;
    return OWM_OK;
}

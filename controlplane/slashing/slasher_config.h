/* slasher_config.h: every key of owm-slasher; slasher_config.c has the table. */
#ifndef OWM_SLASHING_SLASHER_CONFIG_H
#define OWM_SLASHING_SLASHER_CONFIG_H

#include "base/conf.h"
#include "base/lightning/lightning.h"
#include "controlplane/slashing/case.h"

struct owm_slasher_config {
    char *database_url;
    int backend; /* enum owm_lightning_backend */
    char *address, *certificate, *network, *credential;
    char *coordinator_key, *maintainers;
    int64_t acks_needed, appeal_hours, poll_s, closes_per_day;
    char *http_bind;
    int64_t http_port;
    int log_level;
};

extern const struct owm_conf_table owm_slasher_table;

/** owm_slasher_policy: coordinator's key and maintainers, checked.
 *  keys [OWM_MAINTAINERS_MAX] written; policy borrows it.
 *  Returns: OWM_OK; OWM_E_CONFIG naming the key. */
OWM_MUST_USE owm_status owm_slasher_policy(const struct owm_slasher_config *config,
                                           uint8_t keys[OWM_MAINTAINERS_MAX][32],
                                           struct owm_case_policy *policy, struct owm_error *error);

#endif

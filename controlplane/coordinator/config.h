/* config.h: every key of owm-coordinator; config.c has the table with a sentence for each. */
#ifndef OWM_COORDINATOR_CONFIG_H
#define OWM_COORDINATOR_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/lightning/lightning.h"
#include "controlplane/engine/types.h"

#define OWM_COORDINATOR_KEYS_MAX 16 /* internal.allowed_keys */

enum owm_stake_policy { OWM_STAKE_LIGHTNING, OWM_STAKE_NONE };
enum owm_lightning_choice {
    OWM_LIGHTNING_CHOICE_NONE,
    OWM_LIGHTNING_CHOICE_LND,
    OWM_LIGHTNING_CHOICE_CLN
};

struct owm_coordinator_config {
    /* server */
    char *listen, *internal_listen, *tor_listen, *tor_hostname_file, *tls_names;
    char *data_dir, *identity_key;
    int64_t threads, workers;
    int log_level;
    /* database */
    char *database_url;
    /* policy */
    char *network, *treasury_uri;
    int stake;
    int64_t registrations_per_ip_hour, registrations_per_key_hour, clock_skew_s, base_rate_sats;
    bool tier_override_allowed;
    /* lightning: the treasury's node */
    int lightning_backend;
    char *lightning_address, *lightning_certificate, *lightning_network;
    char *stake_credential, *invoice_credential, *pay_credential;
    /* stake */
    int64_t stake_confirmations, stake_fresh_ms, stake_sweep_s, t1_sats, t2_sats, t3_sats;
    double stake_recheck_hours, stake_degraded_hours;
    /* payments */
    char *pool_database_url, *pool_payment_key, *treasury_destination;
    int64_t payments_concurrency, payments_in_flight_max, payments_deadline_s, fee_min_sats,
        fee_ppm, daily_budget_sats, payments_retry_min_s, payments_retry_max_s,
        payments_attempts_max, channel_sats, reserve_sats;
    bool payments_paused, open_channels;
    /* rounds */
    bool rounds_enabled;
    int64_t stop_after, steps, batch, seq, warmup_steps, topk_permille, participants_max,
        min_participants, quorum_percent, deadline_s, deadline_min_s, pause_ms;
    double lr, weight_decay, deadline_mad_k, server_lr, server_momentum;
    int value_type, rule;
    char *min_tier, *heldout_file;
    int64_t heldout_bytes_max;
    bool loss_screen;
    /* model */
    int64_t model_seed, model_dim, model_layers, model_heads, model_kv_heads, model_ffn_dim,
        model_context;
    /* provenance */
    char *calendars, *bitcoin_rpc, *bitcoin_cookie, *headers_file;
    int64_t calendars_needed, proof_retry_min_s, proof_retry_max_s, proof_alarm_hours;
    int bitcoin_network; /* enum owm_network */
    bool serve_pending;
    /* heartbeat */
    int64_t heartbeat_ms, manifest_ms, grace_ms, persist_ms;
    /* limits */
    int64_t nodes_max, tasks_max, calls_max, attempts_max, lease_s, package_mb_max,
        queue_events_max;
    /* bonds */
    bool bonds_enabled;
    int64_t bond_min_sats, bond_max_sats, unbonding_hours, hold_blocks, roll_blocks;
    /* slashing */
    char *maintainers;
    int64_t acks_needed, appeal_hours;
    /* internal, http */
    char *allowed_keys, *http_bind;
    int64_t http_port;
};

extern const struct owm_conf_table owm_coordinator_table;

/** owm_coordinator_config_check: what spans more than one key; fills empty paths from data_dir.
 *  Returns: OWM_OK; OWM_E_CONFIG with the keys and the fix; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_coordinator_config_check(struct owm_coordinator_config *config,
                                                     struct owm_error *error);

/** owm_coordinator_lightning: the treasury's node with one of the credentials, for a handle of this
 *  role; borrowed from config. false: lightning.backend is none. */
bool owm_coordinator_lightning(const struct owm_coordinator_config *config,
                               enum owm_lightning_role role,
                               struct owm_lightning_config *lightning);

/** owm_coordinator_calendars: who stamps checkpoints, with "auto" resolved: "public", URLs with
 *  commas, or "" for nobody: then no proof is asked for. */
const char *owm_coordinator_calendars(const struct owm_coordinator_config *config);

/** owm_coordinator_tier_sats: what each tier must have locked, by enum owm_tier; [0] unused. */
void owm_coordinator_tier_sats(const struct owm_coordinator_config *config,
                               int64_t sats[OWM_TIERS + 1]);

/** owm_coordinator_allowed_keys: internal.allowed_keys as raw keys; *count of them.
 *  Returns: OWM_OK; OWM_E_CONFIG naming the entry that is no 64-digit hex key. */
OWM_MUST_USE owm_status owm_coordinator_allowed_keys(const char *text,
                                                     uint8_t keys[OWM_COORDINATOR_KEYS_MAX][32],
                                                     size_t *count, struct owm_error *error);

#endif

/* slasher_config.c: the table of keys, and what they must be together. */
#include "controlplane/slashing/slasher_config.h"

#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "controlplane/engine/engine.h"

#define AT(field)   offsetof(struct owm_slasher_config, field)
#define NONE        0, 0, NULL, NULL
#define RANGE(a, b) a, b, NULL, NULL

static const struct owm_conf_row rows[] = {
    {"database.url", OWM_CONF_SECRET, AT(database_url), "", 0, 0, NULL, "DATABASE_URL",
     "The coordinator's PostgreSQL, as a role that may do no more than docs/slashing.md grants."},

    {"lightning.backend", OWM_CONF_CHOICE, AT(backend), "lnd", 0, 0, "lnd|cln", NULL,
     "The treasury's Lightning node."},
    {"lightning.address", OWM_CONF_STRING, AT(address), "127.0.0.1:10009", 1, 200, NULL, NULL,
     "LND: host:port of its gRPC; Core Lightning: the path of its socket lightning-rpc."},
    {"lightning.certificate", OWM_CONF_PATH, AT(certificate), "~/.lnd/tls.cert", NONE,
     "LND: its tls.cert, the only one that is accepted."},
    {"lightning.network", OWM_CONF_STRING, AT(network), "mainnet", 1, 32, NULL, NULL,
     "Chain that the node must be on: mainnet, testnet, testnet4, signet, regtest, simnet."},
    {"lightning.credential", OWM_CONF_PATH, AT(credential), "", NONE,
     "Macaroon (LND) or rune (Core Lightning) that closes and lists channels, and no more."},

    {"slashing.coordinator_key", OWM_CONF_STRING, AT(coordinator_key), "", 0, 64, NULL, NULL,
     "Ed25519 key (hex) whose decisions are executed; the coordinator logs it at its start."},
    {"slashing.maintainers", OWM_CONF_STRING, AT(maintainers), "", 0, 4096, NULL, NULL,
     "Comma-separated Ed25519 keys (hex) of the maintainers: our own list, not the coordinator's."},
    {"slashing.acks_needed", OWM_CONF_INT, AT(acks_needed), "2", RANGE(2, 16),
     "How many of them a T2 or T3 case takes (SRS-SEC-14)."},
    {"slashing.appeal_hours", OWM_CONF_INT, AT(appeal_hours), "24", RANGE(0, 720),
     "Least time between a decision and eviction, whatever the decision says."},

    {"slasher.poll_s", OWM_CONF_INT, AT(poll_s), "5", RANGE(1, 3600),
     "How often cases are looked at."},
    {"slasher.closes_per_day", OWM_CONF_INT, AT(closes_per_day), "20", RANGE(1, 100000),
     "Force-closes in 24 hours at most; the rest waits."},
    {"slasher.log_level", OWM_CONF_CHOICE, AT(log_level), "info", 0, 0, OWM_LOG_LEVEL_CHOICES,
     "OWM_LOG_LEVEL", "The least important event that is logged."},

    {"http.bind", OWM_CONF_STRING, AT(http_bind), "127.0.0.1", 1, 64, NULL, NULL,
     "Address of /health and /metrics."},
    {"http.port", OWM_CONF_INT, AT(http_port), "9101", RANGE(0, 65535),
     "Port; 0 picks a free one."},
};

const struct owm_conf_table owm_slasher_table = {
    .program = "owm-slasher",
    .about = "Evicts nodes whose slashing was decided: force-closes their stake channels, after it "
             "has checked every decision by itself (docs/slashing.md).",
    .file = "~/.owm-slasher/slasher.toml",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

owm_status owm_slasher_policy(const struct owm_slasher_config *config,
                              uint8_t keys[OWM_MAINTAINERS_MAX][32], struct owm_case_policy *policy,
                              struct owm_error *error)
{
    struct owm_engine_config engine;
    owm_engine_defaults(&engine);
    *policy = (struct owm_case_policy){.maintainers = (const uint8_t(*)[32])keys,
                                       .acks_needed = (uint32_t)config->acks_needed,
                                       .signals_needed = engine.signals_to_suspend,
                                       .appeal_ms = config->appeal_hours * 3600 * 1000,
                                       .cooldown_ms = engine.cooldown_ms};
    if (strlen(config->coordinator_key) != 64
        || owm_hex_decode(config->coordinator_key, policy->coordinator_key, 32) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG,
                        "slashing.coordinator_key must be the coordinator's key, 64 hex digits; "
                        "'owm-admin key --certificate coordinator.crt' prints it");
    owm_status status =
        owm_maintainers_parse(config->maintainers, keys, &policy->maintainer_count, error);
    return status == OWM_OK ? owm_case_policy_check(policy, error) : status;
}

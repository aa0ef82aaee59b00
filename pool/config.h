/* config.h: the pool operator's settings, one table row per key. */
#ifndef OWM_POOL_CONFIG_H
#define OWM_POOL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "bitcoin.h"
#include "dataplane/chain/template.h"

#define POOL_FILE_FALLBACK "~/.owm/pool.toml"
#define POOL_NETWORKS      "mainnet|testnet4|signet|regtest" /* In the order of enum owm_network. */
#define POOL_TRANSPORTS    "auto|io_uring|epoll" /* In the order of enum owm_net_transport. */

/** pool_config: filled by owm_conf_load from pool_table; freed by owm_conf_deinit. */
struct pool_config {
    /* [pool] */
    char *bind;
    int64_t port;
    int network, transport;
    int64_t loops; /* 0: one per core. */
    char *data_dir;
    char *authority_key; /* "": authority.key in data_dir */
    char *address;       /* Where blocks pay to. */
    char *tag;
    char *backend; /* Of the share check: "cpu" … */
    double shares_per_minute;
    int64_t connections_max, channels_per_connection, share_table;
    int64_t channels_per_miner;   /* 0: a quarter of the loop's. */
    int64_t channels_per_address; /* 0: three quarters of them. */
    int64_t handshakes_per_minute, connections_per_address;
    bool require_node;
    int log_level;

    /* [bitcoin] */
    char *rpc_url; /* One or more, with commas. */
    char *rpc_cookie, *rpc_user, *rpc_password;
    char *zmq_hashblock;
    int64_t refresh_s;

    /* [database] */
    char *database_url;

    /* [payout] */
    int64_t basis_points;
    bool pay_fees;
    int64_t threshold_sats, timer_s, minimum_sats;
    char *payment_secret; /* "": payment.key in data_dir */

    /* [journal] */
    char *journal_dir; /* "": journal in data_dir */
    int64_t segment_mb, keep_days;

    /* [http] */
    char *http_bind;
    int64_t http_port;
    char *public_host; /* Shown in the address that miners copy. */
};

extern const struct owm_conf_table pool_table;

/** pool_config_check: what a single row cannot say; fills the paths that are empty.
 *  Returns: OWM_OK; OWM_E_CONFIG with key, cause and fix; OWM_E_NOMEM. */
OWM_MUST_USE owm_status pool_config_check(struct pool_config *config, struct owm_error *error);

/** pool_config_nodes: the Bitcoin nodes. nodes [OWM_BITCOIN_NODES_MAX] written, *count of them;
 *  strings live as long as the config (rpc_url is cut at its commas).
 *  Returns: OWM_OK; OWM_E_CONFIG too many. */
OWM_MUST_USE owm_status pool_config_nodes(struct pool_config *config,
                                          struct owm_bitcoin_node *nodes, size_t *count,
                                          struct owm_error *error);

#endif

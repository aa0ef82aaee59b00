/* config.h: the operator's settings (SRS 4.1.4, SRS 10.3), one table row per key. */
#ifndef OWM_NODE_CONFIG_H
#define OWM_NODE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/status.h"

#define OWM_NODE_SLOTS_MAX     64
#define OWM_NODE_ALIAS_MAX     64
#define OWM_NODE_TARGET_MAX    272 /* host:port */
#define OWM_NODE_PORT_DEFAULT  9000
#define OWM_NODE_FILE_FALLBACK "~/.owm/owm.toml"
#define OWM_NODE_BACKENDS      "auto|cuda|hip|cpu"
#define OWM_NODE_LIGHTNING     "none|lnd|cln"

#define OWM_NODE_PROOFS  "auto|policy|pending|none"
#define OWM_NODE_BITCOIN "main|testnet4|signet|regtest" /* enum owm_network */

enum owm_node_proofs { OWM_PROOFS_AUTO, OWM_PROOFS_POLICY, OWM_PROOFS_PENDING, OWM_PROOFS_NONE };

enum owm_node_lightning { OWM_NODE_BY_HAND, OWM_NODE_LND, OWM_NODE_CLN };

/** owm_node_config: filled by owm_conf_load from owm_node_table; freed by owm_conf_deinit. */
struct owm_node_config {
    /* [node] */
    char *alias;
    char *tier_override; /* "", "t1", "t2", "t3" */
    char *data_dir;
    char *identity_key; /* "": data_dir/identity.key */
    char *worker_path;  /* "": beside owm-node */
    char *onion_address;
    double bandwidth_mbps; /* 0: take the link speed */
    int64_t http_port;
    int64_t threads; /* per worker; 0: cores / slots */
    int log_level;

    /* [worker] */
    int backend;    /* index into OWM_NODE_BACKENDS */
    int64_t device; /* of that backend, from 0 */

    /* [network] */
    char *coordinator_url;
    char *coordinator_cert;
    char *socks5_proxy;
    int64_t listen_port;
    int64_t max_concurrent_tasks;
    int64_t reconnect_max_s;

    /* [lightning] */
    int lightning; /* enum owm_node_lightning: index into OWM_NODE_LIGHTNING */
    char *lightning_network;
    char *payout_to;
    char *node_uri;
    char *lnd_rpc_host;
    char *lnd_macaroon_path;
    char *lnd_macaroon_hex;
    char *lnd_tls_cert_path;
    char *cln_socket;
    int64_t min_payment_channel_sat;

    /* [model] */
    char *model_cache_dir; /* "": data_dir/models */
    int64_t cache_max_gb;
    int64_t max_vram_percent;
    int proofs;      /* enum owm_node_proofs: index into OWM_NODE_PROOFS */
    char *calendars; /* one or more, with commas; "": those of the reference client alone */
    int64_t calendars_needed;
    char *bitcoin_rpc; /* "": none; guarded, because it may hold a password */
    char *bitcoin_cookie;
    int bitcoin_network; /* index into OWM_NODE_BITCOIN */
    char *headers_file;

    /* [data] */
    char *shard_paths; /* comma-separated files and folders */
    int64_t shard_max_mb;
    bool allow_contributor_data;
    char *contributor_data_dir;

    /* [mining] */
    bool mining_enabled;
    char *mining_pool_url;    /* One or more, with commas. */
    char *mining_worker_name; /* "": alias */
    char *mining_devices;
    int64_t mining_intensity;
    bool mining_while_busy;

    /* [limits] */
    int64_t memory_max_mb; /* per worker; 0: from RAM */
    int64_t silence_s;     /* a worker that says nothing this long is replaced */
    int64_t shutdown_s;    /* how long a stop waits for running tasks */
};

extern const struct owm_conf_table owm_node_table;

/** owm_node_backend: the word of worker.backend: auto, cuda, hip or cpu. */
const char *owm_node_backend(const struct owm_node_config *config);

/** owm_node_config_check: what a single row cannot say: combinations, and what is not supported.
 *  Also fills identity_key, model_cache_dir and worker_path where they are empty.
 *
 *  program  argv[0]'s real path, to find owm-worker beside it; NULL leaves worker_path.
 *  Returns: OWM_OK; OWM_E_CONFIG with key, cause and fix (a SOCKS proxy: SRS-NET-04); OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_node_config_check(struct owm_node_config *config, const char *program,
                                              struct owm_error *error);

/** owm_node_target: "https://host:port" → "host:port" (port 9000 if there is none).
 *  target  [OWM_NODE_TARGET_MAX]; written.   Returns: OWM_OK; OWM_E_CONFIG with the fix. */
OWM_MUST_USE owm_status owm_node_target(const char *url, char target[static OWM_NODE_TARGET_MAX],
                                        struct owm_error *error);

#endif

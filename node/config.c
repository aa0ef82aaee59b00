/* config.c: the table of keys, and the checks that span more than one. */
#include "node/config.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define AT(field) offsetof(struct owm_node_config, field)

static const struct owm_conf_row rows[] = {
    {"node.alias", OWM_CONF_STRING, AT(alias), "my-node", 1, OWM_NODE_ALIAS_MAX, NULL, NULL,
     "Name that people see; not an identity."},
    {"node.tier_override", OWM_CONF_STRING, AT(tier_override), "", 0, 2, NULL, NULL,
     "t1, t2 or t3 in place of what was measured; the network sees that it was set by hand."},
    {"node.data_dir", OWM_CONF_PATH, AT(data_dir), "~/.owm", 0, 0, NULL, NULL,
     "Identity, task log and residual; one running owm-node per folder."},
    {"node.identity_key", OWM_CONF_PATH, AT(identity_key), "", 0, 0, NULL, "OWM_IDENTITY_KEY_PATH",
     "Ed25519 key file, made at the first start; empty: identity.key in data_dir."},
    {"node.worker_path", OWM_CONF_PATH, AT(worker_path), "", 0, 0, NULL, NULL,
     "The owm-worker program; empty: beside owm-node."},
    {"node.onion_address", OWM_CONF_STRING, AT(onion_address), "", 0, 128, NULL, NULL,
     "Optional v3 .onion host name to register (SRS-NET-03)."},
    {"node.bandwidth_mbps", OWM_CONF_REAL, AT(bandwidth_mbps), "0", 0, 1000000, NULL, NULL,
     "Your line's speed in Mbit/s; 0 takes the network card's, which may be too high."},
    {"node.http_port", OWM_CONF_INT, AT(http_port), "8080", 0, 65535, NULL, NULL,
     "Port on 127.0.0.1 for the local page, /health and /metrics; 0 picks a free one."},
    {"node.threads", OWM_CONF_INT, AT(threads), "0", 0, 256, NULL, NULL,
     "Processor threads for each task; 0 shares the cores among the slots."},
    {"node.log_level", OWM_CONF_CHOICE, AT(log_level), "info", 0, 0, OWM_LOG_LEVEL_CHOICES,
     "OWM_LOG_LEVEL", "The least important event that is logged."},

    {"worker.backend", OWM_CONF_CHOICE, AT(backend), "auto", 0, 0, OWM_NODE_BACKENDS, NULL,
     "What tasks compute on: auto takes a GPU if one works; a named one must be there."},
    {"worker.device", OWM_CONF_INT, AT(device), "0", 0, 63, NULL, NULL,
     "Which device of that backend, counted from 0."},

    {"network.coordinator_url", OWM_CONF_STRING, AT(coordinator_url), "", 0, 256, NULL,
     "OWM_COORDINATOR_URL", "https://host:port of the coordinator."},
    {"network.coordinator_cert", OWM_CONF_PATH, AT(coordinator_cert), "", 0, 0, NULL, NULL,
     "The coordinator's certificate (PEM); it alone is trusted."},
    {"network.socks5_proxy", OWM_CONF_STRING, AT(socks5_proxy), "", 0, 256, NULL, NULL,
     "Must stay empty: models and updates may not go through a proxy (SRS-NET-04)."},
    {"network.listen_port", OWM_CONF_INT, AT(listen_port), "9000", 1, 65535, NULL, NULL,
     "Reserved; a node only makes outgoing connections and opens no port to the network."},
    {"network.max_concurrent_tasks", OWM_CONF_INT, AT(max_concurrent_tasks), "4", 1,
     OWM_NODE_SLOTS_MAX, NULL, NULL, "Tasks at a time; each has a worker process of its own."},
    {"network.reconnect_max_s", OWM_CONF_INT, AT(reconnect_max_s), "60", 1, 3600, NULL, NULL,
     "Longest pause between two attempts to reach the coordinator."},

    {"lightning.node_uri", OWM_CONF_STRING, AT(node_uri), "", 0, 256, NULL, NULL,
     "pubkey@host:port of your Lightning node, where rewards go."},
    {"lightning.backend", OWM_CONF_CHOICE, AT(lightning), "none", 0, 0, OWM_NODE_LIGHTNING, NULL,
     "Your Lightning node: it signs the proof of your stake and is watched. none: by hand."},
    {"lightning.network", OWM_CONF_STRING, AT(lightning_network), "", 0, 16, NULL, NULL,
     "The chain it is on (mainnet, signet, regtest …); empty: as the OWM network is called."},
    {"lightning.payout_to", OWM_CONF_STRING, AT(payout_to), "", 0, 199, NULL, NULL,
     "Where rewards go instead: a Lightning address (name@host) or a BOLT12 offer."},
    {"lightning.lnd_rpc_host", OWM_CONF_STRING, AT(lnd_rpc_host), "localhost:10009", 0, 256, NULL,
     "OWM_LND_HOST", "host:port of your LND's gRPC."},
    {"lightning.lnd_macaroon_path", OWM_CONF_PATH, AT(lnd_macaroon_path), "~/.owm/owm.macaroon", 0,
     0, NULL, NULL, "Macaroon file; not admin.macaroon: `owm-node stake` says how to bake one."},
    {"lightning.lnd_macaroon_hex", OWM_CONF_SECRET, AT(lnd_macaroon_hex), "", 0, 0, NULL,
     "OWM_LND_MACAROON_HEX", "The macaroon itself in hex, instead of a file."},
    {"lightning.lnd_tls_cert_path", OWM_CONF_PATH, AT(lnd_tls_cert_path), "~/.lnd/tls.cert", 0, 0,
     NULL, "OWM_LND_TLS_CERT_PATH", "LND's certificate; it alone is trusted."},
    {"lightning.cln_socket", OWM_CONF_PATH, AT(cln_socket), "~/.lightning/bitcoin/lightning-rpc", 0,
     0, NULL, NULL, "Core Lightning's socket."},
    {"lightning.min_payment_channel_sat", OWM_CONF_INT, AT(min_payment_channel_sat), "100000", 0,
     2100000000000000.0, NULL, NULL,
     "Smallest stake channel that `owm-node stake` proposes, in sats, where the tier needs less."},

    {"model.model_cache_dir", OWM_CONF_PATH, AT(model_cache_dir), "", 0, 0, NULL,
     "OWM_MODEL_CACHE_DIR", "Downloaded checkpoints; empty: models in data_dir."},
    {"model.cache_max_gb", OWM_CONF_INT, AT(cache_max_gb), "20", 1, 100000, NULL, NULL,
     "Least recently used checkpoints are deleted beyond this."},
    {"model.max_vram_percent", OWM_CONF_INT, AT(max_vram_percent), "80", 1, 100, NULL, NULL,
     "Share of the GPU's memory and compute that tasks may use (CUDA MPS)."},
    {"model.proofs", OWM_CONF_CHOICE, AT(proofs), "auto", 0, 0, OWM_NODE_PROOFS, NULL,
     "What a model's OpenTimestamps proof must show; auto: policy, on development networks none."},
    {"model.calendars", OWM_CONF_STRING, AT(calendars), "", 0, 4000, NULL, NULL,
     "Calendars whose promises count beside those of the ots client; URLs with commas."},
    {"model.calendars_needed", OWM_CONF_INT, AT(calendars_needed), "2", 1, 16, NULL, NULL,
     "Promises of so many calendars let a version be trained on before it is in a block."},
    {"model.bitcoin_rpc", OWM_CONF_SECRET, AT(bitcoin_rpc), "", 0, 0, NULL, "OWM_BITCOIN_RPC",
     "Your Bitcoin node, which the blocks of proofs are checked with: http://host:8332."},
    {"model.bitcoin_cookie", OWM_CONF_PATH, AT(bitcoin_cookie), "", 0, 0, NULL, NULL,
     "Its cookie file, instead of user:password@ in the URL."},
    {"model.bitcoin_network", OWM_CONF_CHOICE, AT(bitcoin_network), "main", 0, 0, OWM_NODE_BITCOIN,
     NULL, "The chain that the proofs are in."},
    {"model.headers_file", OWM_CONF_PATH, AT(headers_file), "", 0, 0, NULL, NULL,
     "File of block headers, from `owm-ots headers`; with model.bitcoin_rpc it is extended."},

    {"data.shard_paths", OWM_CONF_STRING, AT(shard_paths), "", 0, 4000, NULL, NULL,
     "Comma-separated text files or folders to train on; they never leave this machine."},
    {"data.shard_max_mb", OWM_CONF_INT, AT(shard_max_mb), "256", 1, 4095, NULL, NULL,
     "At most this much of the text is used."},
    {"data.allow_contributor_data", OWM_CONF_BOOL, AT(allow_contributor_data), "false", 0, 0, NULL,
     NULL, "Also train on contributor_data_dir."},
    {"data.contributor_data_dir", OWM_CONF_PATH, AT(contributor_data_dir), "", 0, 0, NULL, NULL,
     "Folder of contributed text; used only if allow_contributor_data is true."},

    {"mining.enabled", OWM_CONF_BOOL, AT(mining_enabled), "false", 0, 0, NULL, NULL,
     "Mine bitcoin for a Stratum v2 pool while no task runs (docs/mining.md)."},
    {"mining.pool_url", OWM_CONF_STRING, AT(mining_pool_url), "", 0, 2000, NULL, NULL,
     "stratum2+tcp://HOST:3333/AUTHORITY_KEY; more with commas, to fall back on."},
    {"mining.worker_name", OWM_CONF_STRING, AT(mining_worker_name), "", 0, 63, NULL, NULL,
     "Name of this machine on the pool's page; empty: node.alias."},
    {"mining.devices", OWM_CONF_STRING, AT(mining_devices), "all", 1, 200, NULL, NULL,
     "all, or cpu, cuda:0, hip:1, ... with commas."},
    {"mining.intensity", OWM_CONF_INT, AT(mining_intensity), "80", 0, 100, NULL, NULL,
     "Share of the time that the devices hash, in percent."},
    {"mining.while_busy", OWM_CONF_BOOL, AT(mining_while_busy), "false", 0, 0, NULL, NULL,
     "Go on mining while a task runs, at the task's cost."},

    {"limits.memory_max_mb", OWM_CONF_INT, AT(memory_max_mb), "0", 0, 16777216, NULL, NULL,
     "Memory of one worker; 0: three quarters of RAM, shared among the slots."},
    {"limits.silence_s", OWM_CONF_INT, AT(silence_s), "120", 1, 86400, NULL, NULL,
     "A worker without a sign of life for this long is killed and replaced."},
    {"limits.shutdown_s", OWM_CONF_INT, AT(shutdown_s), "600", 0, 86400, NULL, NULL,
     "How long SIGTERM waits for running tasks; a second signal stops at once."},
};

const struct owm_conf_table owm_node_table = {
    .program = "owm-node",
    .about = "Runs tasks for the OWM network on this machine. Commands: start, status, doctor,\n"
             "stake, earnings, init-config.",
    .file = OWM_NODE_FILE_FALLBACK,
    .operands = NULL,
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

const char *owm_node_backend(const struct owm_node_config *config)
{
    static const char *const words[] = {"auto", "cuda", "hip", "cpu"}; /* OWM_NODE_BACKENDS */
    return words[config->backend];
}

/** check_headers: where block headers come from, if they do. */
static owm_status check_headers(const struct owm_node_config *config, struct owm_error *error)
{
    if (*config->bitcoin_cookie && !*config->bitcoin_rpc)
        return owm_fail(error, OWM_E_CONFIG,
                        "model.bitcoin_cookie is set, but model.bitcoin_rpc is empty; set it to "
                        "http://host:port of that Bitcoin node");
    if (*config->bitcoin_rpc && strncmp(config->bitcoin_rpc, "http://", 7) != 0
        && strncmp(config->bitcoin_rpc, "https://", 8) != 0)
        return owm_fail(error, OWM_E_CONFIG, "model.bitcoin_rpc must begin with http://");
    return OWM_OK;
}

/** fill: replace an empty string by folder/name. */
static owm_status fill(char **value, const char *folder, const char *name)
{
    if (*value != NULL && **value != '\0') return OWM_OK;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return OWM_E_NOMEM;
    free(*value);
    *value = path;
    return OWM_OK;
}

static owm_status fill_worker(struct owm_node_config *config, const char *program)
{
    if (program == NULL) return OWM_OK;
    char *copy = strdup(program);
    if (copy == NULL) return OWM_E_NOMEM;
    owm_status status = fill(&config->worker_path, dirname(copy), "owm-worker");
    free(copy);
    return status;
}

owm_status owm_node_config_check(struct owm_node_config *config, const char *program,
                                 struct owm_error *error)
{
    const char *tier = config->tier_override;
    if (*tier && strcmp(tier, "t1") && strcmp(tier, "t2") && strcmp(tier, "t3"))
        return owm_fail(error, OWM_E_CONFIG,
                        "node.tier_override is '%s'; allowed are t1, t2, t3, or \"\" to measure",
                        tier);
    if (*config->socks5_proxy)
        return owm_fail(error, OWM_E_CONFIG,
                        "network.socks5_proxy is set, but model downloads and update uploads must "
                        "use clearnet only (SRS-NET-04) and this version has one connection for "
                        "both; remove the key");
    if (config->allow_contributor_data && !*config->contributor_data_dir)
        return owm_fail(error, OWM_E_CONFIG,
                        "data.allow_contributor_data is true, but data.contributor_data_dir is "
                        "empty; name the folder or set it to false");
    owm_status status = check_headers(config, error);
    if (status != OWM_OK) return status;
    if (fill(&config->identity_key, config->data_dir, "identity.key") != OWM_OK
        || fill(&config->model_cache_dir, config->data_dir, "models") != OWM_OK
        || fill_worker(config, program) != OWM_OK)
        return owm_fail(error, OWM_E_NOMEM, "out of memory while reading the configuration");
    return OWM_OK;
}

/** has_port: whether "host", "host:port" or "[v6]:port" names a port. */
static bool has_port(const char *host)
{
    const char *bracket = strrchr(host, ']');
    return strchr(bracket ? bracket : host, ':') != NULL;
}

owm_status owm_node_target(const char *url, char target[static OWM_NODE_TARGET_MAX],
                           struct owm_error *error)
{
    static const char scheme[] = "https://";
    const char *host = url;
    if (strncmp(host, scheme, sizeof scheme - 1) == 0)
        host += sizeof scheme - 1;
    else if (strstr(host, "://"))
        return owm_fail(error, OWM_E_CONFIG,
                        "network.coordinator_url is '%.200s'; it must begin with https://", url);
    size_t bytes = strcspn(host, "/");
    if (bytes == 0)
        return owm_fail(error, OWM_E_CONFIG,
                        "network.coordinator_url is empty; set it to https://host:port in owm.toml "
                        "or in OWM_COORDINATOR_URL");
    if (bytes + sizeof ":65535" > OWM_NODE_TARGET_MAX)
        return owm_fail(error, OWM_E_CONFIG, "network.coordinator_url is too long");
    memcpy(target, host, bytes);
    target[bytes] = '\0';
    if (!has_port(target))
        snprintf(target + bytes, OWM_NODE_TARGET_MAX - bytes, ":%d", OWM_NODE_PORT_DEFAULT);
    return OWM_OK;
}

/* config.c: the table of keys, and the checks that span more than one. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "share.h"

#define AT(field) offsetof(struct pool_config, field)

static const struct owm_conf_row rows[] = {
    {"pool.bind", OWM_CONF_STRING, AT(bind), "0.0.0.0", 1, 64, NULL, NULL,
     "Numeric address on which miners are heard; :: for IPv6 and IPv4."},
    {"pool.port", OWM_CONF_INT, AT(port), "3333", 0, 65535, NULL, NULL,
     "Port for miners (Stratum v2); 0 picks a free one."},
    {"pool.network", OWM_CONF_CHOICE, AT(network), "mainnet", 0, 0, POOL_NETWORKS, NULL,
     "Bitcoin network; the node must be on the same one."},
    {"pool.address", OWM_CONF_STRING, AT(address), "", 0, 120, NULL, "OWM_POOL_ADDRESS",
     "Bitcoin address to which the pool's blocks pay."},
    {"pool.data_dir", OWM_CONF_PATH, AT(data_dir), "~/.owm/pool", 0, 0, NULL, NULL,
     "Keys and journal; one running owm-pool per folder. Back up authority.key and payment.key."},
    {"pool.authority_key", OWM_CONF_PATH, AT(authority_key), "", 0, 0, NULL, NULL,
     "Key that miners pin, made at the first start; empty: authority.key in data_dir."},
    {"pool.tag", OWM_CONF_STRING, AT(tag), "/OWM/", 0, 40, NULL, NULL,
     "Text in the coinbase of found blocks."},
    {"pool.shares_per_minute", OWM_CONF_REAL, AT(shares_per_minute), "18", 0.1, 600, NULL, NULL,
     "How often a worker is to find a share; its difficulty follows."},
    {"pool.loops", OWM_CONF_INT, AT(loops), "0", 0, 64, NULL, NULL,
     "Threads that serve miners; 0: one per core."},
    {"pool.transport", OWM_CONF_CHOICE, AT(transport), "auto", 0, 0, POOL_TRANSPORTS, NULL,
     "How connections are served; auto takes io_uring where the kernel has it."},
    {"pool.backend", OWM_CONF_STRING, AT(backend), "cpu", 1, 16, NULL, NULL,
     "Device that hashes shares: cpu, or cuda or hip for very large pools."},
    {"pool.connections_max", OWM_CONF_INT, AT(connections_max), "65536", 16, 1000000, NULL, NULL,
     "Connections of one loop; more are refused and counted."},
    {"pool.channels_per_connection", OWM_CONF_INT, AT(channels_per_connection), "64", 1, 65536,
     NULL, NULL, "Channels that one connection may open; a proxy for a farm needs more."},
    {"pool.channels_per_address", OWM_CONF_INT, AT(channels_per_address), "0", 0, 1000000, NULL,
     NULL, "Channels that one address may hold on a loop; 0: three quarters of the loop's."},
    {"pool.channels_per_miner", OWM_CONF_INT, AT(channels_per_miner), "0", 0, 1000000, NULL, NULL,
     "Channels that one miner (one name or node key) may open on one loop; 0: a quarter of all."},
    {"pool.connections_per_address", OWM_CONF_INT, AT(connections_per_address), "20000", 1, 1000000,
     NULL, NULL, "Connections that one address (of IPv6: one /64) may have open on one loop."},
    {"pool.handshakes_per_minute", OWM_CONF_INT, AT(handshakes_per_minute), "600", 1, 1000000, NULL,
     NULL, "Handshakes that one address may begin; a farm behind one address needs more."},
    {"pool.share_table", OWM_CONF_INT, AT(share_table), "0", 0, 1073741824, NULL, NULL,
     "Places for the shares of one block, of one loop, against duplicates; 0: 1048576."},
    {"pool.require_node", OWM_CONF_BOOL, AT(require_node), "false", 0, 0, NULL, NULL,
     "Only miners that prove an OWM node's key (docs/sv2-extension.md): a private pool."},
    {"pool.log_level", OWM_CONF_CHOICE, AT(log_level), "info", 0, 0, OWM_LOG_LEVEL_CHOICES,
     "OWM_LOG_LEVEL", "The least important event that is logged."},

    {"bitcoin.rpc_url", OWM_CONF_STRING, AT(rpc_url), "http://127.0.0.1:8332", 1, 2000, NULL,
     "OWM_BITCOIN_RPC_URL", "Bitcoin Core or Knots 27 or newer; with commas: to fall back on."},
    {"bitcoin.rpc_cookie", OWM_CONF_PATH, AT(rpc_cookie), "", 0, 0, NULL, NULL,
     "The node's .cookie file; empty: rpc_user and rpc_password."},
    {"bitcoin.rpc_user", OWM_CONF_STRING, AT(rpc_user), "", 0, 200, NULL, "OWM_BITCOIN_RPC_USER",
     "User of the node's RPC, where no cookie is used."},
    {"bitcoin.rpc_password", OWM_CONF_SECRET, AT(rpc_password), "", 0, 0, NULL,
     "OWM_BITCOIN_RPC_PASSWORD", "Its password; better in the environment than in a file."},
    {"bitcoin.zmq_hashblock", OWM_CONF_STRING, AT(zmq_hashblock), "", 0, 200, NULL, NULL,
     "The node's zmqpubhashblock address (tcp://127.0.0.1:28332); empty: longpoll alone."},
    {"bitcoin.refresh_s", OWM_CONF_INT, AT(refresh_s), "30", 1, 600, NULL, NULL,
     "How often newer transactions are taken into the work."},

    {"database.url", OWM_CONF_SECRET, AT(database_url), "", 0, 0, NULL, "DATABASE_URL",
     "PostgreSQL of the pool: postgresql://user@host/name."},

    {"payout.basis_points", OWM_CONF_INT, AT(basis_points), "8000", 0, 10000, NULL, NULL,
     "Miners' part of a share's price, in 1/10000; the rest is the treasury's."},
    {"payout.pay_fees", OWM_CONF_BOOL, AT(pay_fees), "false", 0, 0, NULL, NULL,
     "Count a block's transaction fees into the price of shares, besides its subsidy."},
    {"payout.threshold_sats", OWM_CONF_INT, AT(threshold_sats), "10000", 1, 2100000000000000.0,
     NULL, NULL, "A balance of this much is paid out at once."},
    {"payout.timer_s", OWM_CONF_INT, AT(timer_s), "3600", 1, 31536000, NULL, NULL,
     "A smaller one is paid out when its oldest credit is this old."},
    {"payout.minimum_sats", OWM_CONF_INT, AT(minimum_sats), "1", 1, 2100000000000000.0, NULL, NULL,
     "Less than this is never paid out by the timer."},
    {"payout.secret", OWM_CONF_PATH, AT(payment_secret), "", 0, 0, NULL, NULL,
     "Key from which payments get their hashes; empty: payment.key in data_dir."},

    {"journal.folder", OWM_CONF_PATH, AT(journal_dir), "", 0, 0, NULL, NULL,
     "Where accepted shares are synced before they are acknowledged; empty: journal in data_dir."},
    {"journal.segment_mb", OWM_CONF_INT, AT(segment_mb), "256", 1, 4096, NULL, NULL,
     "Size at which a journal file is closed and the next begun."},
    {"journal.keep_days", OWM_CONF_INT, AT(keep_days), "30", 1, 3650, NULL, NULL,
     "Days for which shares stay in the database and compressed journals on disk."},

    {"http.bind", OWM_CONF_STRING, AT(http_bind), "127.0.0.1", 1, 64, NULL, NULL,
     "Numeric address of the page, the REST interface and /metrics; 0.0.0.0 to publish it."},
    {"http.port", OWM_CONF_INT, AT(http_port), "8334", 0, 65535, NULL, NULL,
     "Its port; 0 picks a free one."},
    {"http.public_host", OWM_CONF_STRING, AT(public_host), "", 0, 200, NULL, NULL,
     "Host name in the address that the page tells miners; empty: pool.bind."},
};

const struct owm_conf_table pool_table = {
    .program = "owm-pool",
    .about = "A Stratum v2 mining pool: templates from your Bitcoin node, shares paid by FPPS.\n"
             "owm-pool recompute --from DAY --to DAY prices all shares again and compares.",
    .file = POOL_FILE_FALLBACK,
    .operands = NULL,
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

static owm_status fill(char **value, const char *folder, const char *name)
{
    if (*value != NULL && **value != '\0') return OWM_OK;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return OWM_E_NOMEM;
    free(*value);
    *value = path;
    return OWM_OK;
}

owm_status pool_config_check(struct pool_config *config, struct owm_error *error)
{
    if (*config->address == '\0')
        return owm_fail(error, OWM_E_CONFIG,
                        "pool.address is empty; set it to the Bitcoin address that the pool's "
                        "blocks are to pay to");
    if (*config->database_url == '\0')
        return owm_fail(error, OWM_E_CONFIG,
                        "database.url is empty; set it, or DATABASE_URL, to a PostgreSQL database "
                        "of the pool's own (postgresql://user@host/owm_pool)");
    if (fill(&config->authority_key, config->data_dir, "authority.key") != OWM_OK
        || fill(&config->payment_secret, config->data_dir, "payment.key") != OWM_OK
        || fill(&config->journal_dir, config->data_dir, "journal") != OWM_OK)
        return owm_fail(error, OWM_E_NOMEM, "out of memory while reading the configuration");
    return OWM_OK;
}

owm_status pool_config_nodes(struct pool_config *config, struct owm_bitcoin_node *nodes,
                             size_t *count, struct owm_error *error)
{
    *count = 0;
    for (char *url = config->rpc_url; url != NULL && *url != '\0';) {
        if (*count == OWM_BITCOIN_NODES_MAX)
            return owm_fail(error, OWM_E_CONFIG, "bitcoin.rpc_url names over %d nodes",
                            OWM_BITCOIN_NODES_MAX);
        char *comma = strchr(url, ',');
        if (comma != NULL) *comma = '\0';
        nodes[(*count)++] = (struct owm_bitcoin_node){
            .url = url,
            .cookie_path = config->rpc_cookie,
            .user = config->rpc_user,
            .password = config->rpc_password,
            .zmq_hashblock = *count == 0 ? config->zmq_hashblock : "",
        };
        url = comma == NULL ? NULL : comma + 1;
    }
    return *count > 0 ? OWM_OK : owm_fail(error, OWM_E_CONFIG, "bitcoin.rpc_url names no node");
}

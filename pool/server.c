/* server.c: owm-pool's parts: opened in the order of their needs, closed in reverse. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/outbox.h"
#include "base/pg/pg.h"
#include "blocks.h"
#include "dataplane/chain/address.h"
#include "db/schema.h"
#include "feeder.h"
#include "ledger.h"
#include "loop.h"
#include "page.h"
#include "payout.h"

#define CREDENTIALS_VALID_S (4 * 3600)
#define CREDENTIALS_RENEW_S 3600
#define FOLLOWED            OWM_BLOCK_FINAL

static const char *const network_names[] = {"mainnet", "testnet4", "signet", "regtest"};

struct pool_server {
    struct pool_config *config;
    int lock_fd;
    owm_metrics *metrics;
    struct owm_sv2_authority *authority;
    struct owm_sv2_credentials credentials;
    uint64_t credentials_s; /* When they were made. */
    struct owm_payment_secret *secret;
    struct owm_ledger *ledger;
    struct owm_feeder *feeder;
    struct owm_payer *payer;
    struct owm_device *device[OWM_NET_LOOPS_MAX];
    struct owm_pool_loop *loop[OWM_NET_LOOPS_MAX];
    unsigned loops;
    uint16_t epoch;
    struct owm_work_options work;
    struct owm_work_place place; /* Of the newest work; the template threads' own. */
    struct owm_bitcoin *bitcoin;
    struct owm_blocks *_Atomic blocks;
    struct owm_net *net;
    pthread_mutex_t lock; /* For the next two: pages learn of works. */
    struct owm_pool_page *page;
    struct owm_work *newest;
    char blocks_folder[4096];
};

/* ------------------------------------------------------------------------------- events */

static void on_template(void *ctx, struct owm_template *block, bool new_tip)
{
    struct pool_server *server = ctx;
    struct owm_work *work = NULL;
    struct owm_error error = {.text = ""};
    server->place.number++;
    if (new_tip) server->place.tip++;
    owm_status status = owm_work_make(block, &server->work, server->place, &work, &error);
    if (status != OWM_OK) {
        owm_log(OWM_LOG_ERROR, "no_work reason=\"%s\"", error.text);
        return;
    }
    for (unsigned i = 0; i < server->loops; i++)
        if (owm_pool_loop_post_work(server->loop[i], work) != OWM_OK)
            owm_log(OWM_LOG_ERROR, "work_not_posted loop=%u reason=\"out of memory\"", i);
    pthread_mutex_lock(&server->lock);
    struct owm_work *old = server->newest;
    server->newest = work;
    if (server->page != NULL) owm_pool_page_work(server->page, work);
    pthread_mutex_unlock(&server->lock);
    owm_work_release(old);
}

static void on_submitted(void *ctx, const uint8_t hash[32], const char *node, bool accepted,
                         const char *reason)
{
    struct pool_server *server = ctx;
    owm_ledger_block_submitted(server->ledger, hash, node, accepted, reason, owm_clock_wall_ms());
    pthread_mutex_lock(&server->lock); /* Else blocks could be closed meanwhile. */
    struct owm_blocks *blocks = atomic_load(&server->blocks);
    if (blocks != NULL && accepted) owm_blocks_taken(blocks, hash);
    pthread_mutex_unlock(&server->lock);
}

static void on_block(void *ctx, const uint8_t hash[32], enum owm_block_fate fate,
                     uint32_t confirmations)
{
    struct pool_server *server = ctx;
    owm_ledger_block_fate(server->ledger, hash, fate, confirmations);
}

static void on_found(void *ctx, const struct owm_block_story *story)
{
    struct pool_server *server = ctx;
    owm_ledger_block_found(server->ledger, story->hash, story->height, story->reward_sats,
                           story->found_ms);
    if (owm_bitcoin_follow(server->bitcoin, story->hash, FOLLOWED) != OWM_OK)
        owm_log(OWM_LOG_WARN, "block_not_followed height=%u", story->height);
}

/* The loops know blocks.c only once it is open; before, no miner is connected. */
static void found_in_loop(void *ctx, const struct owm_found *found)
{
    struct pool_server *server = ctx;
    struct owm_blocks *blocks = atomic_load(&server->blocks);
    if (blocks != NULL) owm_blocks_found(blocks, found);
}

static void follow_again(void *ctx, const uint8_t hash[32])
{
    struct pool_server *server = ctx;
    if (owm_bitcoin_follow(server->bitcoin, hash, FOLLOWED) != OWM_OK)
        owm_log(OWM_LOG_WARN, "block_not_followed reason=\"too many\"");
}

/* ------------------------------------------------------------------------------- opening */

static owm_status open_folder(struct pool_server *server, struct owm_error *error)
{
    const char *folder = server->config->data_dir;
    char path[4200];
    snprintf(server->blocks_folder, sizeof server->blocks_folder, "%s/blocks", folder);
    owm_status status = owm_fs_mkdirs(folder, 0700, error);
    if (status == OWM_OK) status = owm_fs_mkdirs(server->blocks_folder, 0700, error);
    if (status != OWM_OK) return status;
    snprintf(path, sizeof path, "%s/lock", folder);
    server->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (server->lock_fd < 0) return owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    if (flock(server->lock_fd, LOCK_EX | LOCK_NB) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_EXISTS,
                    "another owm-pool runs on %s; stop it, or give this one its own pool.data_dir",
                    folder);
}

/* Counts starts, so that no extranonce prefix is ever given out again (work.h). The first number is
 * random: two pools that pay one address would else hand out the same work, and a share that both
 * accept pays once. */
static owm_status next_epoch(struct pool_server *server, struct owm_error *error)
{
    char path[4200], text[16];
    uint8_t *data = NULL;
    size_t bytes = 0;
    snprintf(path, sizeof path, "%s/epoch", server->config->data_dir);
    owm_status status = owm_fs_read(path, 16, &data, &bytes, error);
    if (status != OWM_OK && status != OWM_E_NOTFOUND) return status;
    uint16_t first = 0;
    if (data == NULL && getrandom(&first, sizeof first, 0) != (ssize_t)sizeof first)
        return owm_fail(error, OWM_E_CRYPTO, "no random bytes for %s", path);
    unsigned long epoch = data == NULL ? first : strtoul((const char *)data, NULL, 10);
    free(data);
    server->epoch = (uint16_t)(epoch + 1);
    int length = snprintf(text, sizeof text, "%u\n", server->epoch);
    return owm_fs_write_atomic(path, text, (size_t)length, 0600, error);
}

static owm_status open_keys(struct pool_server *server, struct owm_error *error)
{
    const struct pool_config *config = server->config;
    bool created = false;
    owm_status status = owm_sv2_authority_load_or_create(config->authority_key, &server->authority,
                                                         &created, error);
    if (status != OWM_OK) return status;
    if (created)
        owm_log(OWM_LOG_INFO, "authority_created file=%s note=\"back it up: miners pin it\"",
                config->authority_key);
    server->credentials_s = (uint64_t)owm_clock_wall_ms() / 1000;
    status = owm_sv2_credentials_make(server->authority, server->credentials_s, CREDENTIALS_VALID_S,
                                      &server->credentials);
    if (status != OWM_OK) return owm_fail(error, status, "the certificate could not be made");
    return owm_payment_secret_load_or_create(config->payment_secret, &server->secret, &created,
                                             error);
}

static owm_status migrate(const char *url, struct owm_error *error)
{
    struct owm_pg *pg = NULL;
    owm_status status = owm_pg_open(url, &pg, error);
    if (status == OWM_OK) status = owm_pool_migrate(pg, error);
    owm_pg_close(pg);
    return status;
}

static owm_status open_money(struct pool_server *server, struct owm_error *error)
{
    const struct pool_config *config = server->config;
    struct owm_feeder_options feeder = {
        .folder = config->journal_dir,
        .database_url = config->database_url,
        .keep_days = (unsigned)config->keep_days,
        .journal_days = (unsigned)config->keep_days,
        .metrics = server->metrics,
    };
    struct owm_payout_options payout = {
        .threshold_sats = (uint64_t)config->threshold_sats,
        .timer_ms = (uint64_t)config->timer_s * 1000,
        .minimum_sats = (uint64_t)config->minimum_sats,
    };
    owm_status status = migrate(config->database_url, error);
    if (status == OWM_OK) status = owm_ledger_open(config->database_url, &server->ledger, error);
    if (status == OWM_OK) status = owm_feeder_open(&feeder, &server->feeder, error);
    if (status == OWM_OK) status = owm_feeder_start(server->feeder);
    if (status == OWM_OK)
        status = owm_payer_start(config->database_url, server->secret, &payout, server->metrics,
                                 &server->payer);
    return status;
}

static owm_status open_loop(struct pool_server *server, unsigned index, struct owm_error *error)
{
    const struct pool_config *config = server->config;
    struct owm_device_config device = {.backend = config->backend};
    owm_status status = owm_device_open(&server->device[index], &device, error);
    if (status != OWM_OK) return status;
    struct owm_pool_loop_options options = {
        .hall = {.loop = index,
                 .epoch = server->epoch,
                 .sessions_max = (uint32_t)config->connections_max,
                 .channels_max = (uint32_t)config->connections_max,
                 .workers_max = (uint32_t)config->connections_max,
                 .channels_per_session = (uint32_t)config->channels_per_connection,
                 .channels_per_address = (uint32_t)config->channels_per_address,
                 .channels_per_miner = (uint32_t)config->channels_per_miner,
                 .share_table = (uint32_t)config->share_table,
                 .past_network = config->network == OWM_REGTEST,
                 .require_node = config->require_node,
                 .vardiff = {.shares_per_minute = config->shares_per_minute},
                 .device = server->device[index],
                 .on_block = found_in_loop,
                 .ctx = server},
        .admission = {.burst = (uint32_t)config->handshakes_per_minute,
                      .per_s = (double)config->handshakes_per_minute / 60,
                      .connections_per_address = (uint32_t)config->connections_per_address},
        .credentials = &server->credentials,
        .journal_folder = config->journal_dir,
        .journal_segment_bytes = (uint64_t)config->segment_mb << 20,
    };
    return owm_pool_loop_open(&options, &server->loop[index], error);
}

static owm_status open_loops(struct pool_server *server, struct owm_error *error)
{
    unsigned wanted = (unsigned)server->config->loops;
    if (wanted == 0) wanted = owm_net_loops_default();
    for (unsigned i = 0; i < wanted; i++) {
        owm_status status = open_loop(server, i, error);
        if (status != OWM_OK) return status;
        server->loops = i + 1;
    }
    return OWM_OK;
}

static owm_status open_bitcoin(struct pool_server *server, struct owm_error *error)
{
    struct pool_config *config = server->config;
    struct owm_bitcoin_node nodes[OWM_BITCOIN_NODES_MAX];
    struct owm_bitcoin_options options = {
        .nodes = nodes,
        .network = (enum owm_network)config->network,
        .refresh_s = (unsigned)config->refresh_s,
        .events = {on_template, on_submitted, on_block, server},
        .metrics = server->metrics,
    };
    server->work = (struct owm_work_options){
        .pay_fees = config->pay_fees,
        .pay_basis_points = (uint16_t)config->basis_points,
        .halving_interval = config->network == OWM_REGTEST ? 150 : 210000,
    };
    snprintf(server->work.tag, sizeof server->work.tag, "%s", config->tag);
    owm_status status = owm_address_script(config->address, options.network, server->work.script,
                                           &server->work.script_bytes, error);
    if (status == OWM_OK) status = pool_config_nodes(config, nodes, &options.node_count, error);
    if (status == OWM_OK) status = owm_bitcoin_open(&options, &server->bitcoin, error);
    return status;
}

static owm_status open_blocks(struct pool_server *server, struct owm_error *error)
{
    struct owm_blocks *blocks = NULL;
    struct owm_blocks_options options = {
        .bitcoin = server->bitcoin,
        .folder = server->blocks_folder,
        .on_found = on_found,
        .ctx = server,
    };
    owm_status status = owm_blocks_open(&options, &blocks, error);
    if (status != OWM_OK) return status;
    atomic_store(&server->blocks, blocks);
    return owm_ledger_open_blocks(server->ledger, follow_again, server, error);
}

static owm_status open_net(struct pool_server *server, struct owm_error *error)
{
    const struct pool_config *config = server->config;
    void *ctx[OWM_NET_LOOPS_MAX];
    for (unsigned i = 0; i < server->loops; i++) ctx[i] = server->loop[i];
    struct owm_net_options options = {
        .bind = config->bind,
        .port = (uint16_t)config->port,
        .port_key = "pool.port",
        .loops = server->loops,
        .transport = (enum owm_net_transport)config->transport,
        .connections_max = (uint32_t)config->connections_max,
        .pin = server->loops > 1,
        .handler = &owm_pool_loop_handler,
        .ctx = ctx,
    };
    return owm_net_open(&options, &server->net, error);
}

static struct owm_report_terms terms_of(const struct pool_config *config)
{
    return (struct owm_report_terms){
        .pay_basis_points = (uint16_t)config->basis_points,
        .pay_fees = config->pay_fees,
        .threshold_sats = (uint64_t)config->threshold_sats,
        .minimum_sats = (uint64_t)config->minimum_sats,
        .timer_s = (uint64_t)config->timer_s,
        .shares_per_minute = config->shares_per_minute,
        .keep_days = (unsigned)config->keep_days,
    };
}

static owm_status open_page(struct pool_server *server, struct owm_error *error)
{
    const struct pool_config *config = server->config;
    uint8_t key[32];
    char authority[OWM_SV2_AUTHORITY_TEXT_BYTES];
    owm_sv2_authority_public(server->authority, key);
    owm_sv2_authority_text(key, authority);
    const char *host = *config->public_host ? config->public_host : config->bind;
    struct owm_report_loop loops[OWM_NET_LOOPS_MAX];
    for (unsigned i = 0; i < server->loops; i++)
        loops[i] = (struct owm_report_loop){owm_pool_loop_stats(server->loop[i]),
                                            owm_pool_loop_workers(server->loop[i]),
                                            owm_pool_loop_journal(server->loop[i])};
    struct owm_pool_page_options options = {
        .report = {.loops = loops,
                   .loop_count = server->loops,
                   .bitcoin = server->bitcoin,
                   .feeder = server->feeder,
                   .database_url = config->database_url,
                   .network = network_names[config->network],
                   .terms = terms_of(config)},
        .metrics = server->metrics,
        .public_host = host,
        .public_port = owm_net_port(server->net),
        .authority = authority,
        .bind = config->http_bind,
        .port = (uint16_t)config->http_port,
    };
    owm_log(OWM_LOG_INFO, "ready pool=stratum2+tcp://%s:%u/%s transport=%s loops=%u", host,
            owm_net_port(server->net), authority, owm_net_transport_name(server->net),
            server->loops);
    struct owm_pool_page *page = NULL;
    owm_status status = owm_pool_page_open(&options, &page, error);
    if (status != OWM_OK) return status;
    owm_log(OWM_LOG_INFO, "page url=http://%s:%u/", config->http_bind, owm_pool_page_port(page));
    pthread_mutex_lock(&server->lock);
    server->page = page;
    if (server->newest != NULL) owm_pool_page_work(page, server->newest);
    pthread_mutex_unlock(&server->lock);
    return OWM_OK;
}

static owm_status open_all(struct pool_server *server, struct owm_error *error)
{
    owm_status (*const steps[])(struct pool_server *, struct owm_error *) = {
        open_folder,  next_epoch,  open_keys, open_money, open_loops,
        open_bitcoin, open_blocks, open_net,  open_page,
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        owm_status status = steps[i](server, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

owm_status pool_server_open(struct pool_config *config, struct pool_server **out,
                            struct owm_error *error)
{
    struct pool_server *server = calloc(1, sizeof *server);
    if (server == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    server->config = config;
    server->lock_fd = -1;
    pthread_mutex_init(&server->lock, NULL);
    owm_status status = owm_metrics_open(0, &server->metrics);
    if (status == OWM_OK) status = open_all(server, error);
    if (status != OWM_OK) {
        pool_server_close(server);
        return status;
    }
    *out = server;
    return OWM_OK;
}

/* ------------------------------------------------------------------------------- running */

void pool_server_tend(struct pool_server *server)
{
    uint64_t now_s = (uint64_t)owm_clock_wall_ms() / 1000;
    if (now_s - server->credentials_s < CREDENTIALS_RENEW_S) return;
    struct owm_sv2_credentials newer;
    if (owm_sv2_credentials_make(server->authority, now_s, CREDENTIALS_VALID_S, &newer) != OWM_OK) {
        owm_log(OWM_LOG_ERROR, "certificate_not_renewed");
        return;
    }
    server->credentials_s = now_s;
    for (unsigned i = 0; i < server->loops; i++)
        owm_pool_loop_set_credentials(server->loop[i], &newer);
    owm_sv2_credentials_wipe(&newer);
}

void pool_server_drain(struct pool_server *server)
{
    owm_net_stop_accepting(server->net);
    for (unsigned i = 0; i < server->loops; i++)
        if (owm_pool_loop_reconnect(server->loop[i], "", 0) != OWM_OK)
            owm_log(OWM_LOG_WARN, "miners_not_told loop=%u", i);
}

void pool_server_close(struct pool_server *server)
{
    if (server == NULL) return;
    pthread_mutex_lock(&server->lock);
    struct owm_pool_page *page = server->page;
    server->page = NULL;
    pthread_mutex_unlock(&server->lock);
    owm_pool_page_close(page);
    owm_net_close(server->net);
    pthread_mutex_lock(&server->lock);
    struct owm_blocks *blocks = atomic_exchange(&server->blocks, NULL);
    pthread_mutex_unlock(&server->lock);
    owm_blocks_close(blocks);
    owm_bitcoin_close(server->bitcoin);
    owm_work_release(server->newest);
    for (unsigned i = 0; i < OWM_NET_LOOPS_MAX; i++) {
        owm_pool_loop_close(server->loop[i]);
        if (server->device[i] != NULL) server->device[i]->backend->close(server->device[i]);
    }
    owm_payer_stop(server->payer);
    owm_feeder_close(server->feeder);
    owm_ledger_close(server->ledger);
    owm_payment_secret_close(server->secret);
    owm_sv2_credentials_wipe(&server->credentials);
    owm_sv2_authority_close(server->authority);
    owm_metrics_close(server->metrics);
    if (server->lock_fd >= 0) close(server->lock_fd);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

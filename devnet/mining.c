/* mining.c: configurations and starts of source, pool and miner. */
#include "mining.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/identity.h"
#include "base/outbox.h"
#include "dataplane/sv2/authority.h"
#include "network.h"
#include "places.h"

#define READY_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS  15000
#define DAY_FIRST        "1970-01-01"
#define DAY_LAST         "9999-12-31"

owm_status mining_database(struct network *network, struct owm_error *error)
{
    struct mining *mining = &network->mining;
    const char *given = getenv("OWM_POOL_DATABASE_URL");
    mining->on = !network->options.no_mining;
    if (!mining->on) return OWM_OK;
    if (network->postgres.process.pid > 0)
        return postgres_database(&network->postgres, network->folder, "owm_pool",
                                 mining->database_url, error);
    mining->on = given && *given;
    if (mining->on)
        snprintf(mining->database_url, sizeof mining->database_url, "%s", given);
    else
        puts("pool         left out: set OWM_POOL_DATABASE_URL to a database for it, beside "
             "DATABASE_URL");
    return OWM_OK;
}

owm_status mining_start_source(struct network *network, unsigned index, struct owm_error *error)
{
    (void)index;
    return source_start(&network->mining.source, error);
}

owm_status mining_start_pool(struct network *network, unsigned index, struct owm_error *error)
{
    (void)index;
    char program[DEVNET_PATH_MAX + 32], config[DEVNET_PATH_MAX + 32], log[DEVNET_PATH_MAX + 32];
    snprintf(program, sizeof program, "%s/owm-pool", network->programs);
    snprintf(config, sizeof config, "%s/pool/pool.toml", network->folder);
    snprintf(log, sizeof log, "%s/logs/pool.log", network->folder);
    const char *const argv[] = {program, "--config", config, NULL};
    return process_start(
        &network->mining.pool, "pool", argv,
        &(struct process_options){.log_path = log, .database_url = network->mining.database_url},
        error);
}

owm_status mining_start_miner(struct network *network, unsigned index, struct owm_error *error)
{
    (void)index;
    char program[DEVNET_PATH_MAX + 32], key[DEVNET_PATH_MAX + 32], log[DEVNET_PATH_MAX + 32];
    snprintf(program, sizeof program, "%s/owm-mine", network->programs);
    snprintf(key, sizeof key, "%s/node-1/identity.key", network->folder);
    snprintf(log, sizeof log, "%s/logs/miner.log", network->folder);
    const char *const argv[] = {program,
                                "--pool",
                                network->mining.pool_url,
                                "--identity",
                                key,
                                "--worker",
                                "devnet",
                                "--device",
                                "cpu",
                                "--threads",
                                MINING_THREADS,
                                "--intensity",
                                MINING_INTENSITY,
                                NULL};
    return process_start(&network->mining.miner, "miner", argv,
                         &(struct process_options){.log_path = log}, error);
}

static owm_status make_payment_key(const struct network *network, struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 32];
    struct owm_payment_secret *secret = NULL;
    snprintf(path, sizeof path, "%s/pool", network->folder);
    owm_status status = owm_fs_mkdirs(path, 0700, error);
    snprintf(path, sizeof path, "%s/pool/payment.key", network->folder);
    if (status == OWM_OK) status = owm_payment_secret_load_or_create(path, &secret, NULL, error);
    owm_payment_secret_close(secret);
    return status;
}

owm_status mining_choose(struct network *network, bool payable, struct owm_error *error)
{
    struct mining *mining = &network->mining;
    if (!mining->on) return OWM_OK;
    owm_status status =
        source_choose(&mining->source, network->folder, network->programs, payable, error);
    if (status) return status;
    places_mining_ports(network);
    return make_payment_key(network, error);
}

/* The pool's key, so that the miner can pin it; and node-1's, which the miner is. */
static owm_status make_keys(struct network *network, struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 32], text[OWM_SV2_AUTHORITY_TEXT_BYTES];
    uint8_t xonly[32];
    struct owm_sv2_authority *authority = NULL;
    owm_identity *identity = NULL;
    snprintf(path, sizeof path, "%s/pool/authority.key", network->folder);
    owm_status status = owm_sv2_authority_load_or_create(path, &authority, NULL, error);
    if (status) return status;
    owm_sv2_authority_public(authority, xonly);
    owm_sv2_authority_close(authority);
    owm_sv2_authority_text(xonly, text);
    snprintf(network->mining.pool_url, sizeof network->mining.pool_url,
             "stratum2+tcp://127.0.0.1:%u/%s", network->mining.pool_port, text);
    snprintf(path, sizeof path, "%s/node-1", network->folder);
    status = owm_fs_mkdirs(path, 0700, error);
    snprintf(path, sizeof path, "%s/node-1/identity.key", network->folder);
    if (status == OWM_OK) status = owm_identity_load_or_create(path, &identity, NULL, error);
    owm_identity_close(identity);
    return status;
}

/* Ready: it answers a question over HTTP, whatever the answer. A pool that ends before is started
 * again: its node may still be starting. */
static owm_status wait_for(struct network *network, struct process *process, unsigned port,
                           struct owm_error *error)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/health", port);
    uint64_t give_up_ms = owm_clock_mono_ms() + READY_TIMEOUT_MS;
    while (owm_clock_mono_ms() < give_up_ms) {
        struct owm_http_result result;
        struct owm_http_call call = {.url = url, .deadline_ms = 2000};
        if (owm_http_fetch(&call, &result, NULL) == OWM_OK) {
            owm_http_result_deinit(&result);
            return OWM_OK;
        }
        owm_clock_sleep_ms(100);
        if (process_alive(process)) continue;
        if (process != &network->mining.pool) break;
        owm_clock_sleep_ms(1000);
        owm_status status = mining_start_pool(network, 0, error);
        if (status) return status;
    }
    return owm_fail(error, OWM_E_TIMEOUT, "%s does not answer; its log is in %s/logs",
                    process->name, network->folder);
}

owm_status mining_up(struct network *network, struct owm_error *error)
{
    struct mining *mining = &network->mining;
    struct source *source = &mining->source;
    if (!mining->on) return OWM_OK;
    owm_status status = source_start(source, error);
    if (status == OWM_OK) status = wait_for(network, &source->process, source->port, error);
    if (status) return status;
    printf("blocks       %s, RPC 127.0.0.1:%u\n", source_text(source), source->port);

    status = make_keys(network, error);
    if (status == OWM_OK) status = places_pool_config(network, error);
    if (status == OWM_OK) status = mining_start_pool(network, 0, error);
    if (status == OWM_OK) status = wait_for(network, &mining->pool, mining->page_port, error);
    if (status) return status;
    printf("pool         %s\n             page http://127.0.0.1:%u/\n", mining->pool_url,
           mining->page_port);
    if (network->paying.on && !paying_pays_pool(network))
        puts("             its sats stay owed: a block of this chain is worth more than a channel");

    status = mining_start_miner(network, 0, error);
    if (status) return status;
    puts("miner        " MINING_THREADS " thread, " MINING_INTENSITY " % of the time, as node-1");
    return OWM_OK;
}

void mining_down(struct mining *mining)
{
    owm_pg_close(mining->database);
    mining->database = NULL;
    process_stop(&mining->miner, SIGTERM, STOP_TIMEOUT_MS);
    process_stop(&mining->pool, SIGTERM, STOP_TIMEOUT_MS);
    process_stop(&mining->source.process, SIGTERM, STOP_TIMEOUT_MS);
}

owm_status mining_recompute(const struct mining_recompute *options, struct owm_error *error)
{
    char program[DEVNET_PATH_MAX + 32];
    snprintf(program, sizeof program, "%s/owm-pool", options->programs);
    const char *argv[] = {program,
                          "recompute",
                          "--from",
                          options->from ? options->from : DAY_FIRST,
                          "--to",
                          options->to ? options->to : DAY_LAST,
                          options->journal ? "--journal" : NULL,
                          options->journal,
                          NULL};
    struct process_options process = {.log_path = options->log_path, .database_url = options->url};
    return process_run("owm-pool recompute", argv, &process, error);
}

/* mining.c: mining on the devices that no task uses at the moment. */
#include "node/mining.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "dataplane/mine/mine.h"

#define LOOK_MS 100 /* How soon mining gives way to a task. */

struct node_mining {
    struct node *node;
    struct owm_mine_pool pools[OWM_MINE_POOLS_MAX];
    size_t pool_count;
    struct owm_mine *mine;
    pthread_t thread;
    bool started;
    atomic_bool stop, paused;
    owm_gauge *rate, *difficulty, *connected;
    owm_counter *accepted, *rejected, *stale;
};

static owm_status parse_pools(struct node_mining *mining, const char *list, struct owm_error *error)
{
    while (*list != '\0') {
        char url[512] = "";
        size_t bytes = strcspn(list, ",");
        if (bytes >= sizeof url || mining->pool_count == OWM_MINE_POOLS_MAX)
            return owm_fail(error, OWM_E_CONFIG,
                            "mining.pool_url: at most %d addresses, with commas",
                            OWM_MINE_POOLS_MAX);
        memcpy(url, list, bytes);
        struct owm_error cause;
        owm_status status = owm_mine_pool_parse(url, &mining->pools[mining->pool_count++], &cause);
        if (status != OWM_OK) return owm_fail(error, status, "mining.pool_url: %s", cause.text);
        list += bytes + (list[bytes] == ',');
    }
    if (mining->pool_count > 0) return OWM_OK;
    return owm_fail(error, OWM_E_CONFIG,
                    "mining.enabled is true, but mining.pool_url is empty: set it to "
                    "stratum2+tcp://HOST:3333/AUTHORITY_KEY");
}

static void open_series(struct node_mining *mining)
{
    owm_metrics *metrics = mining->node->metrics;
    mining->rate = owm_metrics_gauge(metrics, "owm_mining_hashes_per_second",
                                     "What this node's devices hash.", NULL);
    mining->difficulty = owm_metrics_gauge(metrics, "owm_mining_share_difficulty",
                                           "Difficulty that the pool set.", NULL);
    mining->connected =
        owm_metrics_gauge(metrics, "owm_mining_connected", "1 while the pool gives work.", NULL);
    mining->accepted = owm_metrics_counter(metrics, "owm_mining_shares_accepted_total",
                                           "Shares that the pool acknowledged.", NULL);
    mining->rejected = owm_metrics_counter(metrics, "owm_mining_shares_rejected_total",
                                           "Shares that the pool refused.", NULL);
    mining->stale = owm_metrics_counter(metrics, "owm_mining_shares_stale_total",
                                        "Shares of a tip that was gone: not sent.", NULL);
}

static void bring_up(owm_counter *counter, uint64_t value)
{
    uint64_t shown = owm_counter_value(counter);
    if (value > shown) owm_counter_add(counter, value - shown);
}

static void measure(struct node_mining *mining)
{
    struct owm_mine_stats stats;
    owm_mine_stats_get(mining->mine, &stats);
    owm_gauge_set(mining->rate, stats.rate_hashes_per_s);
    owm_gauge_set(mining->difficulty, stats.difficulty);
    owm_gauge_set(mining->connected, stats.state == OWM_MINE_RUNNING ? 1 : 0);
    bring_up(mining->accepted, stats.accepted);
    bring_up(mining->rejected, stats.rejected);
    bring_up(mining->stale, stats.stale_unsent);
}

static void *watch(void *arg)
{
    struct node_mining *mining = arg;
    while (!atomic_load(&mining->stop)) {
        bool pause = !mining->node->config.mining_while_busy && node_slots_busy(mining->node) > 0;
        if (pause != atomic_load(&mining->paused)) {
            atomic_store(&mining->paused, pause);
            owm_mine_pause(mining->mine, pause);
        }
        measure(mining);
        owm_clock_sleep_ms(LOOK_MS);
    }
    return NULL;
}

static owm_status start(struct node_mining *mining, struct owm_error *error)
{
    const struct owm_node_config *config = &mining->node->config;
    owm_status status = parse_pools(mining, config->mining_pool_url, error);
    if (status != OWM_OK) return status;
    struct owm_mine_options options = {
        .pools = mining->pools,
        .pool_count = mining->pool_count,
        .identity = mining->node->identity,
        .user = config->alias,
        .worker = *config->mining_worker_name ? config->mining_worker_name : config->alias,
        .devices = config->mining_devices,
        .intensity = (unsigned)config->mining_intensity,
    };
    status = owm_mine_open(&options, &mining->mine, error);
    if (status != OWM_OK) return status;
    open_series(mining);
    if (pthread_create(&mining->thread, NULL, watch, mining) != 0)
        return owm_fail(error, OWM_E_NOMEM, "no thread for mining");
    mining->started = true;
    owm_log(OWM_LOG_INFO, "mining_started pool=%s worker=%s", mining->pools[0].host,
            options.worker);
    return OWM_OK;
}

owm_status node_mining_open(struct node *node, struct node_mining **out, struct owm_error *error)
{
    *out = NULL;
    if (!node->config.mining_enabled) return OWM_OK;
    struct node_mining *mining = calloc(1, sizeof *mining);
    if (mining == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for mining");
    mining->node = node;
    owm_status status = start(mining, error);
    if (status != OWM_OK) {
        node_mining_close(mining);
        return status;
    }
    *out = mining;
    return OWM_OK;
}

void node_mining_close(struct node_mining *mining)
{
    if (mining == NULL) return;
    atomic_store(&mining->stop, true);
    if (mining->started) pthread_join(mining->thread, NULL);
    owm_mine_close(mining->mine);
    free(mining);
}

static const char *state_text(struct node_mining *mining, const struct owm_mine_stats *stats)
{
    if (stats->state != OWM_MINE_RUNNING) return "not connected";
    return atomic_load(&mining->paused) ? "paused for a task" : "mining";
}

json_t *node_mining_json(struct node_mining *mining)
{
    if (mining == NULL) return json_null();
    struct owm_mine_stats stats;
    owm_mine_stats_get(mining->mine, &stats);
    return json_pack("{s:s,s:o,s:b,s:f,s:f,s:I,s:I,s:I,s:I,s:o}", "state",
                     state_text(mining, &stats), "pool",
                     owm_json_text(mining->pools[stats.pool].host), "proven", (int)stats.proven,
                     "hashes_per_s", stats.rate_hashes_per_s, "difficulty", stats.difficulty,
                     "accepted", (json_int_t)stats.accepted, "rejected", (json_int_t)stats.rejected,
                     "stale_unsent", (json_int_t)stats.stale_unsent, "blocks",
                     (json_int_t)stats.blocks_sent, "trouble", owm_json_text(stats.trouble));
}

void node_mining_line(struct node_mining *mining, char *text, size_t bytes)
{
    text[0] = '\0';
    if (mining == NULL) return;
    struct owm_mine_stats stats;
    owm_mine_stats_get(mining->mine, &stats);
    const struct owm_mine_pool *pool = &mining->pools[stats.pool];
    snprintf(text, bytes,
             "%s at %.100s:%u%s, %.2f MH/s over the last 10 s. Shares since start: %" PRIu64
             " accepted, %" PRIu64 " rejected, %" PRIu64
             " stale and not sent; difficulty %.6g.%s%s",
             state_text(mining, &stats), pool->host, pool->port,
             stats.proven ? " as this node (key proven)" : "", stats.rate_hashes_per_s / 1e6,
             stats.accepted, stats.rejected, stats.stale_unsent, stats.difficulty,
             stats.trouble[0] ? " Trouble: " : "", stats.trouble);
}

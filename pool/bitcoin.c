/* bitcoin.c: opening and closing, and what pages show. */
#include "bitcoin.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "bitcoin_internal.h"

void bitcoin_wait(struct owm_bitcoin *bitcoin, uint64_t until_ms)
{
    (void)owm_cond_wait(&bitcoin->changed, &bitcoin->lock, until_ms);
}

/* --- memory ---------------------------------------------------------------------------------- */

static char *copy_text(const char *text, bool *good)
{
    char *copy = strdup(text ? text : "");
    *good = *good && copy;
    return copy;
}

static void free_secret(const char *text)
{
    if (text) explicit_bzero((char *)text, strlen(text));
    free((char *)text);
}

static owm_status init_node(struct owm_bitcoin *bitcoin, struct bitcoin_node *node,
                            const struct owm_bitcoin_node *config)
{
    bool good = true;
    node->owner = bitcoin;
    node->config =
        (struct owm_bitcoin_node){.url = copy_text(config->url, &good),
                                  .cookie_path = copy_text(config->cookie_path, &good),
                                  .user = copy_text(config->user, &good),
                                  .password = copy_text(config->password, &good),
                                  .zmq_hashblock = copy_text(config->zmq_hashblock, &good)};
    if (!good) return OWM_E_NOMEM;
    owm_bitcoin_rpc_name(node->config.url, node->name);
    for (int i = 0; i < BITCOIN_CLIENTS; i++) {
        owm_status status = owm_bitcoin_rpc_open(&node->config, &node->clients[i]);
        if (status != OWM_OK) return status;
    }
    if (bitcoin->metrics)
        node->failures = owm_metrics_counter(bitcoin->metrics, "owm_bitcoin_node_failures_total",
                                             "Calls and checks that a node failed",
                                             (const char *const[]){"node", node->name, NULL});
    return OWM_OK;
}

static void deinit_node(struct bitcoin_node *node)
{
    for (int i = 0; i < BITCOIN_CLIENTS; i++) owm_bitcoin_rpc_close(node->clients[i]);
    for (; node->count > 0; node->count--) {
        bitcoin_block_drop(node->queue[node->first]);
        node->first = (node->first + 1) % OWM_BITCOIN_SUBMITS_MAX;
    }
    free_secret(node->config.url);
    free_secret(node->config.user);
    free_secret(node->config.password);
    free((char *)node->config.cookie_path);
    free((char *)node->config.zmq_hashblock);
}

static void init_metrics(struct owm_bitcoin *bitcoin)
{
    struct owm_metrics *metrics = bitcoin->metrics;
    if (!metrics) return;
    bitcoin->age =
        owm_metrics_gauge(metrics, "owm_bitcoin_template_age_seconds",
                          "Time since a node gave or confirmed the template in use", NULL);
    bitcoin->height = owm_metrics_gauge(metrics, "owm_bitcoin_tip_height",
                                        "Height of the newest block of the node in use", NULL);
    bitcoin->longpolls = owm_metrics_counter(metrics, "owm_bitcoin_longpoll_returns_total",
                                             "Templates that a longpoll brought", NULL);
}

static void init_locks(struct owm_bitcoin *bitcoin)
{
    owm_cond_init(&bitcoin->changed);
    pthread_mutex_init(&bitcoin->lock, NULL);
    pthread_mutex_init(&bitcoin->publishing, NULL);
    pthread_mutex_init(&bitcoin->telling, NULL);
}

/* --- opening --------------------------------------------------------------------------------- */

static owm_status check_options(const struct owm_bitcoin_options *options, struct owm_error *error)
{
    if (options->node_count == 0 || options->node_count > OWM_BITCOIN_NODES_MAX)
        return owm_fail(error, OWM_E_ARG, "a pool needs 1 to %d Bitcoin nodes, not %zu",
                        OWM_BITCOIN_NODES_MAX, options->node_count);
    for (size_t i = 0; i < options->node_count; i++)
        if (!options->nodes[i].url || !*options->nodes[i].url)
            return owm_fail(error, OWM_E_ARG, "Bitcoin node %zu has no URL", i + 1);
    return OWM_OK;
}

static void on_tip(void *ctx, const uint8_t hash[32])
{
    struct owm_bitcoin *bitcoin = ctx;
    pthread_mutex_lock(&bitcoin->lock);
    if (memcmp(bitcoin->current->previous, hash, 32)
        != 0) { /* The longpoll may have been faster. */
        bitcoin->wanted = true;
        pthread_cond_broadcast(&bitcoin->changed);
    }
    pthread_mutex_unlock(&bitcoin->lock);
}

static owm_status open_zmq(struct owm_bitcoin *bitcoin, struct owm_error *error)
{
    const char *endpoints[OWM_BITCOIN_NODES_MAX];
    size_t count = 0;
    static_assert(OWM_BITCOIN_NODES_MAX <= OWM_ZMQ_ENDPOINTS_MAX, "one endpoint for each node");
    for (size_t i = 0; i < bitcoin->node_count; i++)
        if (bitcoin->nodes[i].config.zmq_hashblock[0])
            endpoints[count++] = bitcoin->nodes[i].config.zmq_hashblock;
    if (count == 0) return OWM_OK;
    return owm_zmq_open(endpoints, count, on_tip, bitcoin, &bitcoin->zmq, error);
}

/* The first node that gives a template is in use. The error is that of the first node. */
static owm_status first_template(struct owm_bitcoin *bitcoin, struct owm_error *error)
{
    owm_status first = OWM_OK;
    for (size_t i = 0; i < bitcoin->node_count; i++) {
        struct bitcoin_node *node = &bitcoin->nodes[i];
        struct owm_template *block = NULL;
        struct owm_error cause = {""};
        owm_status status = bitcoin_try(node, BITCOIN_ASK, &block, &cause);
        if (status == OWM_OK) {
            bitcoin->active = node;
            bitcoin_publish(node, block, bitcoin->tips);
            return OWM_OK;
        }
        if (i > 0) continue;
        first = owm_fail(error, status, "%s", cause.text);
    }
    return first;
}

static bool start(pthread_t *thread, bool *started, void *(*run)(void *), void *argument)
{
    *started = pthread_create(thread, NULL, run, argument) == 0;
    return *started;
}

static owm_status start_threads(struct owm_bitcoin *bitcoin, struct owm_error *error)
{
    bool good =
        start(&bitcoin->template_thread, &bitcoin->template_started, bitcoin_template_run, bitcoin)
        && start(&bitcoin->longpoll_thread, &bitcoin->longpoll_started, bitcoin_longpoll_run,
                 bitcoin)
        && start(&bitcoin->follow_thread, &bitcoin->follow_started, bitcoin_follow_run, bitcoin);
    for (size_t i = 0; good && i < bitcoin->node_count; i++) {
        struct bitcoin_node *node = &bitcoin->nodes[i];
        good = start(&node->thread, &node->started, bitcoin_node_run, node);
    }
    return good ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "no thread for the Bitcoin nodes");
}

static owm_status open_parts(struct owm_bitcoin *bitcoin, const struct owm_bitcoin_options *options,
                             struct owm_error *error)
{
    for (size_t i = 0; i < options->node_count; i++) {
        bitcoin->node_count++;
        owm_status status = init_node(bitcoin, &bitcoin->nodes[i], &options->nodes[i]);
        if (status != OWM_OK) return owm_fail(error, status, "no memory for the Bitcoin nodes");
    }
    owm_status status = first_template(bitcoin, error);
    if (status == OWM_OK) status = open_zmq(bitcoin, error);
    return status == OWM_OK ? start_threads(bitcoin, error) : status;
}

owm_status owm_bitcoin_open(const struct owm_bitcoin_options *options, struct owm_bitcoin **out,
                            struct owm_error *error)
{
    *out = NULL;
    owm_status status = check_options(options, error);
    if (status != OWM_OK) return status;
    struct owm_bitcoin *bitcoin = calloc(1, sizeof *bitcoin);
    if (!bitcoin) return owm_fail(error, OWM_E_NOMEM, "no memory for the Bitcoin nodes");
    bitcoin->network = options->network;
    bitcoin->refresh_ms = 1000 * (options->refresh_s ? options->refresh_s : OWM_BITCOIN_REFRESH_S);
    bitcoin->timeout_ms = options->timeout_ms ? options->timeout_ms : BITCOIN_TIMEOUT_MS;
    bitcoin->events = options->events;
    bitcoin->metrics = options->metrics;
    init_locks(bitcoin);
    init_metrics(bitcoin);
    status = open_parts(bitcoin, options, error);
    if (status == OWM_OK)
        *out = bitcoin;
    else
        owm_bitcoin_close(bitcoin);
    return status;
}

/* --- closing --------------------------------------------------------------------------------- */

static bool blocks_wait(const struct owm_bitcoin *bitcoin)
{
    for (size_t i = 0; i < bitcoin->node_count; i++)
        if (bitcoin->nodes[i].usable && bitcoin->nodes[i].count > 0) return true;
    return false;
}

/* A block found a moment ago is worth a wait. */
static void flush_blocks(struct owm_bitcoin *bitcoin)
{
    uint64_t until_ms = owm_clock_mono_ms() + bitcoin->timeout_ms;
    pthread_mutex_lock(&bitcoin->lock);
    while (blocks_wait(bitcoin) && owm_clock_mono_ms() < until_ms) bitcoin_wait(bitcoin, until_ms);
    pthread_mutex_unlock(&bitcoin->lock);
}

static void cancel_all(struct owm_bitcoin *bitcoin)
{
    pthread_mutex_lock(&bitcoin->lock);
    bitcoin->closing = true;
    if (bitcoin->longpoll) owm_bitcoin_rpc_cancel(bitcoin->longpoll);
    pthread_cond_broadcast(&bitcoin->changed);
    pthread_mutex_unlock(&bitcoin->lock);
    for (size_t i = 0; i < bitcoin->node_count; i++)
        for (int k = 0; k < BITCOIN_CLIENTS; k++)
            if (bitcoin->nodes[i].clients[k]) owm_bitcoin_rpc_cancel(bitcoin->nodes[i].clients[k]);
}

void owm_bitcoin_close(struct owm_bitcoin *bitcoin)
{
    if (!bitcoin) return;
    flush_blocks(bitcoin);
    cancel_all(bitcoin);
    owm_zmq_close(bitcoin->zmq);
    if (bitcoin->template_started) pthread_join(bitcoin->template_thread, NULL);
    if (bitcoin->longpoll_started) pthread_join(bitcoin->longpoll_thread, NULL);
    if (bitcoin->follow_started) pthread_join(bitcoin->follow_thread, NULL);
    for (size_t i = 0; i < bitcoin->node_count; i++)
        if (bitcoin->nodes[i].started) pthread_join(bitcoin->nodes[i].thread, NULL);
    for (size_t i = 0; i < bitcoin->node_count; i++) deinit_node(&bitcoin->nodes[i]);
    owm_template_release(bitcoin->current);
    pthread_mutex_destroy(&bitcoin->telling);
    pthread_mutex_destroy(&bitcoin->publishing);
    pthread_mutex_destroy(&bitcoin->lock);
    pthread_cond_destroy(&bitcoin->changed);
    free(bitcoin);
}

/* --- pages ----------------------------------------------------------------------------------- */

void owm_bitcoin_health_get(struct owm_bitcoin *bitcoin, struct owm_bitcoin_health *health)
{
    *health = (struct owm_bitcoin_health){0};
    pthread_mutex_lock(&bitcoin->lock);
    const struct bitcoin_node *node = bitcoin->active;
    health->usable = node && node->usable;
    if (!node) node = bitcoin->source;
    snprintf(health->node, sizeof health->node, "%s", node->name);
    snprintf(health->version, sizeof health->version, "%s", node->version);
    health->height = bitcoin->current->height;
    health->template_age_ms = owm_clock_mono_ms() - bitcoin->fetched_ms;
    for (size_t i = 0; i < bitcoin->node_count && !health->trouble[0]; i++)
        snprintf(health->trouble, sizeof health->trouble, "%s", bitcoin->nodes[i].trouble);
    pthread_mutex_unlock(&bitcoin->lock);
}

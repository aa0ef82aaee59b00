/* node.c: open, start, drain and close the daemon. */
#include "node/node.h"
#include "node/mining.h"
#include "node/provenance.h"
#include "node/stake_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/fs.h"
#include "base/log.h"

#define PEM_BYTES_MAX (64 * 1024)

const struct node_timing node_timing_default = {
    .reconnect_min = 500,
    .reconnect_max = 60000,
    .stake_retry = 300000,
    .resend = 2000,
    .earnings = 30000,
    .heartbeat_max = 60000,
    .stake_look = 30000,
    .proof_again = 60000,
};

/* ------------------------------------------------------------------------------- open */

/** in_data_dir: data_dir/name, malloc'ed. */
static char *in_data_dir(const struct node *node, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", node->config.data_dir, name) < 0 ? NULL : path;
}

/** lock_folder: one owm-node per data folder; the file holds the pid of the one that runs. */
static owm_status lock_folder(struct node *node, struct owm_error *error)
{
    owm_status status = owm_fs_mkdirs(node->config.data_dir, 0700, error);
    if (status != OWM_OK) return status;
    char *path = in_data_dir(node, "lock");
    if (path == NULL) return OWM_E_NOMEM;
    node->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (node->lock_fd < 0)
        status = owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    else if (flock(node->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[24] = "";
        if (pread(node->lock_fd, pid, sizeof pid - 1, 0) < 0) pid[0] = '\0';
        status = owm_fail(error, OWM_E_EXISTS,
                          "another owm-node (pid %.12s) runs with %s; stop it, or give this one "
                          "its own node.data_dir",
                          pid, node->config.data_dir);
        close(node->lock_fd);
        node->lock_fd = -1;
    } else if (ftruncate(node->lock_fd, 0) != 0 || dprintf(node->lock_fd, "%d", getpid()) < 0) {
        status = owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    }
    free(path);
    return status;
}

static owm_status read_coordinator(struct node *node, struct owm_error *error)
{
    owm_status status = owm_node_target(node->config.coordinator_url, node->target, error);
    if (status != OWM_OK) return status;
    const char *path = node->config.coordinator_cert;
    if (*path == '\0')
        return owm_fail(error, OWM_E_CONFIG,
                        "network.coordinator_cert is empty; set it to the coordinator's "
                        "certificate file (PEM), which its operator publishes");
    uint8_t *data = NULL;
    size_t bytes = 0;
    status = owm_fs_read(path, PEM_BYTES_MAX, &data, &bytes, error);
    if (status != OWM_OK) return status;
    node->coordinator_pem = (char *)data;
    if (owm_cert_public_key(node->coordinator_pem, bytes, node->coordinator_key) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG,
                        "network.coordinator_cert: %s holds no certificate with an Ed25519 key",
                        path);
    return OWM_OK;
}

static owm_status open_identity(struct node *node, struct owm_error *error)
{
    bool created = false;
    owm_status status =
        owm_identity_load_or_create(node->config.identity_key, &node->identity, &created, error);
    if (status != OWM_OK) return status;
    if (created)
        owm_log(OWM_LOG_INFO, "identity_created path=%s note=\"back it up: it is this node\"",
                node->config.identity_key);
    return owm_identity_cert(node->identity, "owm-node", NULL, &node->cert, error);
}

static void detect(struct node *node)
{
    const struct owm_detect_places places = {.bandwidth_mbps = node->config.bandwidth_mbps};
    owm_detect(&places, &node->machine);
    owm_tier_decide(&node->machine, node->config.tier_override, &node->tier);
    owm_log(OWM_LOG_INFO, "machine device=\"%s\" tier=%s%s why=\"%s\"", node->machine.device,
            owm_tier_code(node->tier.tier), node->tier.overridden ? " (set by hand)" : "",
            node->tier.why);
}

static owm_status check_tier(const struct node *node, struct owm_error *error)
{
    if (node->tier.tier != OWM_TIER_NONE) return OWM_OK;
    return owm_fail(
        error, OWM_E_STATE,
        "this machine is below Tier 1: %s (\"have of needed\"). Add what is short; if a "
        "number is measured wrongly, set node.bandwidth_mbps or node.tier_override",
        node->tier.why);
}

static void open_metrics(struct node *node)
{
    owm_metrics *m = node->metrics;
    struct node_metrics *c = &node->count;
    for (int type = 0; type < 2; type++) {
        const char *name = task_type_name((enum task_type)type);
        c->tasks_done[type] =
            owm_metrics_counter(m, "owm_node_tasks_total", "Tasks by type and outcome",
                                (const char *const[]){"type", name, "outcome", "done", NULL});
        c->tasks_failed[type] =
            owm_metrics_counter(m, "owm_node_tasks_total", "Tasks by type and outcome",
                                (const char *const[]){"type", name, "outcome", "failed", NULL});
    }
    for (int code = REFUSAL_NONE + 1; code < REFUSAL_CODES; code++)
        c->models_refused[code] = owm_metrics_counter(
            m, "owm_node_models_refused_total", "Model versions not used, by reason",
            (const char *const[]){"code", refusal_name((enum refusal_code)code), NULL});
#define COUNTER(field, name, help) c->field = owm_metrics_counter(m, name, help, NULL)
#define GAUGE(field, name, help)   c->field = owm_metrics_gauge(m, name, help, NULL)
    COUNTER(tasks_refused, "owm_node_tasks_refused_total", "Tasks refused by the schema check");
    COUNTER(heartbeats, "owm_node_heartbeats_total", "Heartbeats answered");
    COUNTER(heartbeats_failed, "owm_node_heartbeats_failed_total", "Heartbeats without answer");
    COUNTER(sessions, "owm_node_sessions_total", "Registrations that succeeded");
    COUNTER(results_sent, "owm_node_results_accepted_total", "Results accepted");
    COUNTER(results_refused, "owm_node_results_refused_total", "Results refused");
    COUNTER(bytes_up, "owm_node_upload_bytes_total", "Delta packages uploaded");
    COUNTER(bytes_down, "owm_node_download_bytes_total", "Checkpoints downloaded");
    GAUGE(registered, "owm_node_registered", "1 while registered with the coordinator");
    GAUGE(slots_busy, "owm_node_slots_busy", "Tasks running");
    GAUGE(owed_msat, "owm_node_owed_msat", "Earned and not yet paid");
    GAUGE(settled_msat, "owm_node_settled_msat", "Paid");
    GAUGE(stake, "owm_node_stake_sats", "Stake that the treasury sees of this node");
    GAUGE(stake_required, "owm_node_stake_required_sats", "Stake that its tier needs");
    GAUGE(unsent, "owm_node_results_unsent", "Results waiting to be delivered");
    GAUGE(worker_starts, "owm_node_worker_starts", "Worker processes started since the start");
#undef COUNTER
#undef GAUGE
}

static owm_status open_stores(struct node *node, struct owm_error *error)
{
    char *path = in_data_dir(node, "tasks.sqlite");
    if (path == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = owm_task_log_open(path, &node->log, error);
    free(path);
    if (status != OWM_OK) return status;
    status = owm_blob_store_open(node->config.model_cache_dir, &node->store, error);
    if (status != OWM_OK) return status;
    node->models = node_models_open();
    if (node->models == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    status = node_provenance_open(node, &node->provenance, error);
    if (status != OWM_OK) return status;
    status =
        shard_open(node->config.shard_paths,
                   node->config.allow_contributor_data ? node->config.contributor_data_dir : NULL,
                   (uint64_t)node->config.shard_max_mb << 20, &node->shard, error);
    if (status != OWM_OK) return status;
    return owm_metrics_open(0, &node->metrics);
}

static owm_status open_client(struct node *node, struct owm_error *error)
{
    const struct owm_rpc_client_config client = {
        .target = node->target,
        .server_certificate_pem = node->coordinator_pem,
        .certificate_pem = node->cert.cert_pem,
        .key_pem = node->cert.key_pem,
        .message_bytes_max = LINK_MESSAGE_BYTES_MAX,
        .reconnect_min_ms = node->timing.reconnect_min,
        .reconnect_max_ms = node->timing.reconnect_max,
    };
    return owm_rpc_client_open(&node->rpc, &client, error);
}

static void init_guarded(struct node *node)
{
    owm_cond_init(&node->changed);
    pthread_mutex_init(&node->lock, NULL);
    pthread_mutex_init(&node->training, NULL);
    node->view.heartbeat_period_ms = 10000;
    node->view.manifest_period_ms = 60000;
    node->view.link_since_ms = node->started_ms;
    node->lock_fd = node->shard.fd = -1;
}

owm_status node_open(const struct owm_node_config *config, const struct node_timing *timing,
                     struct node **out, struct owm_error *error)
{
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    node->config = *config;
    node->timing = *timing;
    node->started_ms = owm_clock_wall_ms();
    node->slot_count = (unsigned)config->max_concurrent_tasks;
    init_guarded(node);
    owm_status status = read_coordinator(node, error);
    if (status == OWM_OK) status = lock_folder(node, error);
    if (status == OWM_OK) status = open_identity(node, error);
    if (status == OWM_OK) detect(node);
    if (status == OWM_OK) status = check_tier(node, error);
    if (status == OWM_OK) status = open_stores(node, error);
    if (status == OWM_OK) status = open_client(node, error);
    if (status == OWM_OK && getrandom(&node->boot_id, sizeof node->boot_id, 0) < 0)
        status = owm_fail(error, OWM_E_IO, "no random numbers: %s", strerror(errno));
    if (status != OWM_OK) {
        node_close(node);
        return status;
    }
    open_metrics(node);
    char id[NODE_ID_MAX];
    if (owm_task_log_get(node->log, "node_id", id, sizeof id) == OWM_OK)
        memcpy(node->view.node_id, id, sizeof id);
    *out = node;
    return OWM_OK;
}

/* ------------------------------------------------------------------------------ start */

owm_status node_start(struct node *node, struct owm_error *error)
{
    owm_status status = node_slots_start(node, error);
    if (status != OWM_OK) return status;
    if (pthread_create(&node->session, NULL, node_session_main, node) != 0)
        return owm_fail(error, OWM_E_NOMEM, "no thread to be had");
    if (pthread_create(&node->heartbeat, NULL, node_heartbeat_main, node) != 0
        || pthread_create(&node->courier, NULL, node_courier_main, node) != 0
        || pthread_create(&node->stake, NULL, node_stake_watch_main, node) != 0)
        abort(); /* One of four threads runs: there is no half daemon to clean up. */
    node->threads_started = true;
    struct node_mining *mining = NULL;
    status = node_mining_open(node, &mining, error);
    atomic_store(&node->mining, mining);
    return status;
}

void node_drain(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    node->draining = true;
    node->beat_now = true;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
}

bool node_idle(struct node *node)
{
    struct owm_task_totals totals;
    if (node_slots_busy(node) > 0) return false;
    return owm_task_log_totals(node->log, &totals) != OWM_OK || totals.unsent == 0;
}

void node_close(struct node *node)
{
    if (node == NULL) return;
    pthread_mutex_lock(&node->lock);
    node->draining = true;
    atomic_store(&node->stop, true);
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
    if (node->threads_started) {
        pthread_join(node->session, NULL);
        pthread_join(node->heartbeat, NULL);
        pthread_join(node->courier, NULL);
        pthread_join(node->stake, NULL);
    }
    node_mining_close(atomic_load(&node->mining));
    node_slots_stop(node);
    owm_rpc_client_close(node->rpc);
    owm_metrics_close(node->metrics);
    node_provenance_close(node->provenance);
    node_models_close(node->models);
    owm_blob_store_close(node->store);
    owm_task_log_close(node->log);
    shard_close(&node->shard);
    owm_cert_deinit(&node->cert);
    owm_identity_close(node->identity);
    free(node->coordinator_pem);
    if (node->lock_fd >= 0) close(node->lock_fd);
    owm_conf_deinit(&owm_node_table, &node->config);
    pthread_cond_destroy(&node->changed);
    pthread_mutex_destroy(&node->training);
    pthread_mutex_destroy(&node->lock);
    free(node);
}

/* ----------------------------------------------------------------------------- helpers */

void node_look(struct node *node, struct node_view *view)
{
    pthread_mutex_lock(&node->lock);
    *view = node->view;
    pthread_mutex_unlock(&node->lock);
}

void node_trouble(struct node *node, const char *format, ...)
{
    char text[OWM_ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    owm_log(OWM_LOG_WARN, "trouble reason=\"%s\"", text);
    pthread_mutex_lock(&node->lock);
    memcpy(node->view.trouble, text, sizeof text);
    node->view.trouble_ms = owm_clock_wall_ms();
    pthread_mutex_unlock(&node->lock);
}

void node_wait(struct node *node, unsigned timeout_ms)
{
    (void)owm_cond_wait(&node->changed, &node->lock, owm_clock_mono_ms() + timeout_ms);
}

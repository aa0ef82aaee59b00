/* main.c: owm-coordinator, from configuration to goodbye. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "controlplane/bonds/bonds.h"
#include "controlplane/db/schema.h"
#include "driver.h"

#define DRAIN_MS              3000
#define STANDBY_POLL_MS       500
#define JOBS_MAX              65536
#define CERTIFICATE_BYTES_MAX 65536

/** coordinator: everything that main opens, in order of opening. */
struct coordinator {
    struct owm_coordinator_config config;
    struct owm_driver driver;
    struct owm_cert cert;
    uint8_t internal_keys[OWM_COORDINATOR_KEYS_MAX][32];
    size_t internal_key_count;
    uint8_t maintainers[OWM_MAINTAINERS_MAX][32];
    struct owm_case_policy cases;
    pthread_t thread;
    bool running;
};

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    asked_to_stop = 1;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* ---------------------------------------------------------------------------- files */

/* Nodes trust the certificate they were given and no other, so it stays across restarts. It is made
 * anew when it is missing or of another key. */
static owm_status open_certificate(struct coordinator *c, const char *path, struct owm_error *error)
{
    uint8_t *old = NULL, key[32];
    size_t bytes = 0;
    owm_status status = owm_identity_cert(c->driver.identity, "owm-coordinator",
                                          c->config.tls_names, &c->cert, error);
    if (status != OWM_OK) return status;
    if (owm_fs_read(path, CERTIFICATE_BYTES_MAX, &old, &bytes, NULL) == OWM_OK
        && owm_cert_public_key((const char *)old, bytes, key) == OWM_OK
        && memcmp(key, owm_identity_public_key(c->driver.identity), 32) == 0) {
        free(c->cert.cert_pem);
        c->cert.cert_pem = (char *)old;
        return OWM_OK;
    }
    free(old);
    return owm_fs_write_atomic(path, c->cert.cert_pem, strlen(c->cert.cert_pem), 0644, error);
}

static owm_status open_identity(struct coordinator *c, struct owm_error *error)
{
    const struct owm_coordinator_config *config = &c->config;
    char *pem = join(config->data_dir, "coordinator.crt");
    char *secret = join(config->data_dir, "payment.key"), hex[65];
    owm_status status = pem && secret ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) status = owm_fs_mkdirs(config->data_dir, 0700, error);
    if (status == OWM_OK)
        status =
            owm_identity_load_or_create(config->identity_key, &c->driver.identity, NULL, error);
    if (status == OWM_OK) status = open_certificate(c, pem, error);
    if (status == OWM_OK)
        status = owm_payment_secret_load_or_create(secret, &c->driver.secret, NULL, error);
    if (status == OWM_OK) {
        owm_hex_encode(owm_identity_public_key(c->driver.identity), 32, hex);
        owm_log(OWM_LOG_INFO, "identity key=%s certificate=%s", hex, pem);
    }
    free(pem);
    free(secret);
    return status;
}

/* SRS-COORD-09. */
static void log_onion_name(const struct owm_coordinator_config *config)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    struct owm_error error = {""};
    if (!config->tor_hostname_file[0]) return;
    if (owm_fs_read(config->tor_hostname_file, 256, &text, &bytes, &error) != OWM_OK) {
        owm_log(OWM_LOG_WARN, "onion_name_unknown reason=\"%s\"", error.text);
        return;
    }
    text[strcspn((char *)text, "\r\n")] = 0;
    owm_log(OWM_LOG_INFO, "onion_name name=%s", (char *)text);
    free(text);
}

static void model_shape(const struct owm_coordinator_config *config, struct owm_model_config *model)
{
    *model = owm_model_config_default();
    if (config->model_dim) model->dim = (uint32_t)config->model_dim;
    if (config->model_layers) model->layers = (uint32_t)config->model_layers;
    if (config->model_heads) model->heads = (uint32_t)config->model_heads;
    if (config->model_kv_heads) model->kv_heads = (uint32_t)config->model_kv_heads;
    if (config->model_ffn_dim) model->ffn_dim = (uint32_t)config->model_ffn_dim;
    if (config->model_context) model->context = (uint32_t)config->model_context;
}

static owm_status open_lab(struct coordinator *c, struct owm_error *error)
{
    const struct owm_coordinator_config *config = &c->config;
    char *blobs = join(config->data_dir, "blobs"), *momentum = join(config->data_dir, "momentum");
    struct owm_lab_options options = {.momentum_dir = momentum,
                                      .heldout_file = config->heldout_file,
                                      .heldout_bytes_max = (uint64_t)config->heldout_bytes_max,
                                      .seed = (uint64_t)config->model_seed,
                                      .loss_screen = config->loss_screen,
                                      .policy = owm_aggregate_defaults()};
    options.policy.rule = (enum owm_rule)config->rule;
    options.policy.learning_rate = (float)config->server_lr;
    options.policy.momentum = (float)config->server_momentum;
    model_shape(config, &options.model);
    owm_status status = blobs && momentum ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) status = owm_fs_mkdirs(momentum, 0700, error);
    if (status == OWM_OK) status = owm_blob_store_open(blobs, &c->driver.store, error);
    options.store = c->driver.store;
    if (status == OWM_OK) status = owm_lab_open(&options, &c->driver.lab, error);
    free(blobs);
    free(momentum);
    return status;
}

/* ---------------------------------------------------------------------------- database */

/* A database that is just starting is waited for; one that refuses us is not. */
static owm_status connect_database(struct coordinator *c, struct owm_error *error)
{
    owm_status status = OWM_E_NET;
    bool said = false;
    while (!asked_to_stop) {
        status = owm_pg_open(c->config.database_url, &c->driver.pg, error);
        if (status != OWM_E_NET) break;
        if (!said) owm_log(OWM_LOG_WARN, "waiting_for_database reason=\"%s\"", error->text);
        said = true;
        owm_clock_sleep_ms(STANDBY_POLL_MS);
    }
    if (status == OWM_OK)
        status = owm_migrate(c->driver.pg, owm_migrations, owm_migrations_count, NULL, error);
    if (status == OWM_OK) status = owm_persist_prepare(c->driver.pg, error);
    return status;
}

/* Only one coordinator decides; the others wait here until it is gone. */
static owm_status become_active(struct coordinator *c, struct owm_error *error)
{
    owm_status status = OWM_E_EXISTS;
    bool said = false;
    while (!asked_to_stop) {
        status = owm_engine_lock_take(c->driver.pg, &c->driver.epoch, error);
        if (status == OWM_E_NET)
            status = owm_pg_reopen(c->driver.pg, error);
        else if (status != OWM_E_EXISTS)
            break;
        if (!said) owm_log(OWM_LOG_INFO, "standing_by reason=\"%s\"", error->text);
        said = true;
        owm_clock_sleep_ms(STANDBY_POLL_MS);
    }
    if (status == OWM_OK) owm_log(OWM_LOG_INFO, "active epoch=%lld", (long long)c->driver.epoch);
    return asked_to_stop ? OWM_E_CANCELLED : status;
}

/* ---------------------------------------------------------------------------- slashing */

static owm_status set_case_policy(struct coordinator *c, struct owm_error *error)
{
    struct owm_engine_config engine;
    owm_engine_defaults(&engine);
    c->cases = (struct owm_case_policy){
        .maintainers = (const uint8_t(*)[32])c->maintainers,
        .acks_needed = (uint32_t)c->config.acks_needed,
        .signals_needed = engine.signals_to_suspend,
        .appeal_ms = c->config.appeal_hours * 3600 * 1000,
        .cooldown_ms = engine.cooldown_ms,
    };
    memcpy(c->cases.coordinator_key, owm_identity_public_key(c->driver.identity), 32);
    owm_status status = owm_maintainers_parse(c->config.maintainers, c->maintainers,
                                              &c->cases.maintainer_count, error);
    if (status == OWM_OK && c->cases.maintainer_count == 0)
        owm_log(OWM_LOG_WARN, "no_maintainers effect=\"cases of T2 and T3 nodes stay open\"");
    return status == OWM_OK ? owm_case_policy_check(&c->cases, error) : status;
}

static void tell_engine(void *ctx, enum owm_event_kind kind, const struct owm_slash_event *event)
{
    struct coordinator *c = ctx;
    struct owm_post *post = owm_post_new(kind);
    if (!post) return; /* it is said again */
    post->event.slash = *event;
    owm_inbox_put_own(c->driver.inbox, post);
}

static void publish_bundle(void *ctx, const uint8_t hash[32])
{
    struct coordinator *c = ctx;
    owm_services_publish(c->driver.services, hash);
}

static void case_said(void *ctx)
{
    struct coordinator *c = ctx;
    owm_slashing_wake(c->driver.slashing);
}

static owm_status open_slashing(struct coordinator *c, struct owm_error *error)
{
    int64_t periods = 3 * c->config.heartbeat_ms;
    const struct owm_slashing_config config = {
        .database_url = c->config.database_url,
        .identity = c->driver.identity,
        .policy = c->cases,
        .grace_ms = periods > c->config.grace_ms ? periods : c->config.grace_ms,
        .store = c->driver.store,
        .metrics = c->driver.metrics,
        .bonds = owm_bonds_hooks_of(),
        .ctx = c,
        .say = tell_engine,
        .publish = publish_bundle,
    };
    owm_status status = owm_slashing_open(&config, &c->driver.slashing, error);
    if (status != OWM_OK) return status;
    const struct owm_http_route route = owm_slashing_route(c->driver.slashing);
    owm_page_route(c->driver.page, &route);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- parts */

static struct owm_services_config services_config(struct coordinator *c)
{
    const struct owm_coordinator_config *config = &c->config;
    struct owm_driver *driver = &c->driver;
    return (struct owm_services_config){
        .listen = config->listen,
        .internal_listen = config->internal_listen,
        .tor_listen = config->tor_listen,
        .cert = &c->cert,
        .identity = driver->identity,
        .network = config->network,
        .stake_name = config->stake == OWM_STAKE_NONE ? "none" : "lightning",
        .treasury_uri = config->treasury_uri,
        .stake = driver->stake,
        .database_url = config->database_url,
        .ots_policy = owm_coordinator_ots_policy(config),
        .owed_note = owm_coordinator_owed_note(config),
        .registrations_per_hour = (unsigned)config->registrations_per_ip_hour,
        .registrations_of_key_per_hour = (unsigned)config->registrations_per_key_hour,
        .clock_skew_ms = config->clock_skew_s * 1000,
        .tier_override_allowed = config->tier_override_allowed,
        .heartbeat_ms = (uint32_t)config->heartbeat_ms,
        .manifest_ms = (uint32_t)config->manifest_ms,
        .nodes_max = (uint32_t)config->nodes_max,
        .payload_bytes_max = 60 * 1024,
        .threads = (unsigned)config->threads,
        .calls_max = (unsigned)config->calls_max,
        .orders = {.steps = (uint32_t)config->steps,
                   .batch = (uint32_t)config->batch,
                   .seq = (uint32_t)config->seq,
                   .topk_permille = (uint32_t)config->topk_permille,
                   .warmup_steps = (uint32_t)config->warmup_steps,
                   .lr = (float)config->lr,
                   .weight_decay = (float)config->weight_decay,
                   .value_type = config->value_type == 0 ? "int8" : "bf16",
                   .package_bytes_max = (uint64_t)config->package_mb_max * 1024 * 1024},
        .internal_keys = (const uint8_t(*)[32])c->internal_keys,
        .internal_key_count = c->internal_key_count,
        .store = driver->store,
        .inbox = driver->inbox,
        .workers = driver->workers,
        .peers = driver->peers,
        .metrics = driver->metrics,
        .cases = &c->cases,
        .case_said = case_said,
        .case_ctx = c,
    };
}

static owm_status open_parts(struct coordinator *c, struct owm_error *error)
{
    struct owm_driver *driver = &c->driver;
    const struct owm_coordinator_config *config = &c->config;
    driver->config = config;
    owm_status status = owm_metrics_open(0, &driver->metrics);
    if (status == OWM_OK) status = owm_page_open(config, driver->metrics, &driver->page);
    if (status == OWM_OK) status = owm_inbox_open((size_t)config->queue_events_max, &driver->inbox);
    if (status == OWM_OK) status = owm_peers_open((uint32_t)config->nodes_max, &driver->peers);
    if (status == OWM_OK)
        status = owm_workers_open((unsigned)config->workers, JOBS_MAX, &driver->workers);
    if (status == OWM_OK) status = owm_workers_open(1, 16, &driver->lab_worker);
    if (status != OWM_OK) return status;
    status = owm_driver_open_stake(driver, error);
    if (status != OWM_OK) return status;
    owm_page_stake(driver->page, driver->stake);
    struct owm_services_config services = services_config(c);
    owm_coordinator_tier_sats(config, services.tier_sats);
    return owm_services_open(&services, &driver->services, error);
}

static owm_status start(struct coordinator *c, struct owm_error *error)
{
    owm_status status = open_identity(c, error);
    if (status == OWM_OK)
        status = owm_coordinator_allowed_keys(c->config.allowed_keys, c->internal_keys,
                                              &c->internal_key_count, error);
    if (status == OWM_OK) status = set_case_policy(c, error);
    if (status == OWM_OK) status = open_lab(c, error);
    if (status == OWM_OK) status = connect_database(c, error);
    if (status == OWM_OK) status = become_active(c, error);
    if (status == OWM_OK) status = open_parts(c, error);
    if (status == OWM_OK) status = owm_driver_restore(&c->driver, error);
    if (status == OWM_OK) status = open_slashing(c, error);
    if (status == OWM_OK)
        status = owm_payments_part_open(&c->config, c->driver.secret, c->driver.metrics,
                                        c->driver.page, &c->driver.payments, error);
    if (status == OWM_OK)
        status =
            owm_services_bonds(c->driver.services, owm_payments_part_bonds(c->driver.payments));
    if (status == OWM_OK) status = owm_provenance_part_open(&c->driver, error);
    if (status == OWM_OK) status = owm_page_serve(c->driver.page, error);
    if (status == OWM_OK && c->driver.stake) status = owm_stake_start(c->driver.stake);
    if (status == OWM_OK) status = owm_services_listen(c->driver.services, error);
    if (status != OWM_OK) return status;
    if (pthread_create(&c->thread, NULL, owm_driver_main, &c->driver) != 0)
        return owm_fail(error, OWM_E_NOMEM, "no thread for the engine");
    c->running = true;
    log_onion_name(&c->config);
    owm_log(OWM_LOG_INFO, "ready nodes_port=%d internal_port=%d http_port=%u network=%s stake=%s",
            owm_services_port(c->driver.services, 0), owm_services_port(c->driver.services, 1),
            owm_page_port(c->driver.page), c->config.network,
            c->config.stake == OWM_STAKE_NONE ? "none" : "lightning");
    return OWM_OK;
}

/* Peers first, then the engine, which commits what came from them; work that still runs on other
 * threads ends in the inbox and is done again after the next start. */
static void stop(struct coordinator *c)
{
    struct owm_driver *driver = &c->driver;
    owm_stake_stop(driver->stake);
    if (driver->services) owm_services_shut(driver->services, c->running ? DRAIN_MS : 0);
    if (c->running) {
        atomic_store(&driver->stop, true);
        owm_inbox_stop(driver->inbox);
        pthread_join(c->thread, NULL);
    }
    owm_provenance_part_stop(driver->provenance);
    owm_workers_close(driver->workers);
    owm_workers_close(driver->lab_worker);
    owm_payments_part_stop(driver->payments);
    owm_page_close(driver->page);
    owm_payments_part_close(driver->payments);
    owm_provenance_part_close(driver->provenance);
    owm_slashing_close(driver->slashing);
    owm_inbox_close(driver->inbox);
    owm_services_close(driver->services);
    owm_stake_close(driver->stake);
    owm_peers_close(driver->peers);
    owm_engine_destroy(driver->engine);
    owm_pg_close(driver->pg);
    owm_lab_close(driver->lab);
    owm_blob_store_close(driver->store);
    owm_metrics_close(driver->metrics);
    owm_payment_secret_close(driver->secret);
    owm_cert_deinit(&c->cert);
    owm_identity_close(driver->identity);
    owm_conf_deinit(&owm_coordinator_table, &c->config);
}

static int run(struct coordinator *c)
{
    struct owm_error error = {""};
    owm_status status = start(c, &error);
    if (status == OWM_OK)
        while (!asked_to_stop && !atomic_load(&c->driver.failed)) owm_clock_sleep_ms(50);
    bool failed = (status != OWM_OK && status != OWM_E_CANCELLED) || atomic_load(&c->driver.failed);
    if (failed && error.text[0]) owm_log(OWM_LOG_ERROR, "%s", error.text);
    owm_log(OWM_LOG_INFO, "stopping");
    stop(c);
    owm_log(OWM_LOG_INFO, "stopped");
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct coordinator coordinator;
    struct owm_error error = {""};
    enum owm_conf_action action;
    owm_log_program_set("owm-coordinator");
    owm_status status = owm_conf_load(&owm_coordinator_table, argc, argv, &coordinator.config,
                                      &action, NULL, &error);
    if (status == OWM_OK && action != OWM_CONF_RUN) {
        owm_conf_print(&owm_coordinator_table, action, stdout);
        owm_conf_deinit(&owm_coordinator_table, &coordinator.config);
        return 0;
    }
    if (status == OWM_OK) status = owm_coordinator_config_check(&coordinator.config, &error);
    if (status != OWM_OK) {
        fprintf(stderr, "owm-coordinator: %s\n", error.text);
        return 2;
    }
    owm_log_level_set((enum owm_log_level)coordinator.config.log_level);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
    signal(SIGPIPE, SIG_IGN);
    return run(&coordinator);
}

/* slasher_main.c: owm-slasher: alone holds the credential that closes channels (SRS-SEC-13), and
 * does nothing but look, check and close. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/http_server.h"
#include "base/log.h"
#include "controlplane/slashing/evict.h"
#include "controlplane/slashing/slasher_config.h"

#define NAP_MS     100
#define RETRY_S    2
#define LOCK_SQL   "SELECT pg_try_advisory_lock(5120946127345512007)" /* one slasher at a time */
#define REASON_MAX 256

/** slasher: everything that main opens. */
struct slasher {
    struct owm_slasher_config config;
    uint8_t maintainers[OWM_MAINTAINERS_MAX][32];
    struct owm_case_policy policy;
    struct owm_metrics *metrics;
    owm_http_server *http;
    struct owm_pg *pg;
    bool locked;
    owm_lightning *lightning;
    struct owm_evictor *evictor;
    owm_gauge *up;
    atomic_bool well;
};

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    asked_to_stop = 1;
}

/* ---------------------------------------------------------------------------- health */

static void serve_health(void *ctx, const struct owm_http_request *request,
                         owm_http_response *response)
{
    struct slasher *s = ctx;
    (void)request;
    bool well = atomic_load(&s->well);
    owm_http_reply_text(response, well ? 200 : 503, "application/json",
                        well ? "{\"status\":\"ok\"}" : "{\"status\":\"waiting\"}");
}

static void serve_metrics(void *ctx, const struct owm_http_request *request,
                          owm_http_response *response)
{
    struct slasher *s = ctx;
    char *text = NULL;
    size_t bytes = 0;
    (void)request;
    if (owm_metrics_text(s->metrics, &text, &bytes) != OWM_OK) return;
    owm_http_reply(response, 200, OWM_METRICS_CONTENT_TYPE, text, bytes);
    free(text);
}

static owm_status serve(struct slasher *s, struct owm_error *error)
{
    const struct owm_http_route routes[] = {{"GET", "/health", serve_health, s},
                                            {"GET", "/metrics", serve_metrics, s}};
    return owm_http_server_open(
        &(struct owm_http_server_options){.bind = s->config.http_bind,
                                          .port = (uint16_t)s->config.http_port,
                                          .port_key = "http.port",
                                          .routes = routes,
                                          .route_count = 2},
        &s->http, error);
}

/* ---------------------------------------------------------------------------- connections */

static owm_status take_lock(struct slasher *s, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(s->pg, LOCK_SQL, NULL, &rows, error);
    if (status != OWM_OK) return status;
    s->locked = owm_pg_get_bool(rows, 0, 0);
    owm_pg_rows_free(rows);
    return s->locked ? OWM_OK : owm_fail(error, OWM_E_AGAIN, "another owm-slasher is at work");
}

static owm_status need_database(struct slasher *s, struct owm_error *error)
{
    owm_status status = OWM_OK;
    if (!s->pg) {
        status = owm_pg_open(s->config.database_url, &s->pg, error);
    } else if (!owm_pg_alive(s->pg)) {
        s->locked = false;
        status = owm_pg_reopen(s->pg, error);
    }
    return status == OWM_OK && !s->locked ? take_lock(s, error) : status;
}

static owm_status need_lightning(struct slasher *s, struct owm_error *error)
{
    const struct owm_slasher_config *c = &s->config;
    if (s->lightning) return OWM_OK;
    const struct owm_lightning_config config = {
        .backend = (enum owm_lightning_backend)c->backend,
        .role = OWM_LIGHTNING_SLASH,
        .address = c->address,
        .certificate = c->certificate,
        .credential = c->credential[0] ? c->credential : NULL,
        .network = c->network,
    };
    owm_status status = owm_lightning_open(&config, &s->lightning, error);
    if (status == OWM_OK) owm_log(OWM_LOG_INFO, "lightning_ready address=%s", c->address);
    return status;
}

static owm_status need_evictor(struct slasher *s)
{
    if (s->evictor) return OWM_OK;
    const struct owm_evictor_config config = {
        .pg = s->pg,
        .lightning = s->lightning,
        .metrics = s->metrics,
        .policy = s->policy,
        .closes_per_day = (uint32_t)s->config.closes_per_day,
    };
    return owm_evictor_open(&config, &s->evictor);
}

/* What waiting does not mend: a person has to. */
static bool is_final(owm_status status)
{
    return status == OWM_E_CONFIG || status == OWM_E_CRYPTO || status == OWM_E_UNSUPPORTED
           || status == OWM_E_NOMEM || status == OWM_E_IO;
}

/* ---------------------------------------------------------------------------- the loop */

static owm_status turn(struct slasher *s, struct owm_error *error)
{
    owm_status status = need_lightning(s, error);
    if (status == OWM_OK) status = need_database(s, error);
    if (status == OWM_OK) status = need_evictor(s);
    return status == OWM_OK ? owm_evictor_turn(s->evictor, error) : status;
}

static void nap(unsigned seconds)
{
    for (unsigned ms = 0; ms < seconds * 1000 && !asked_to_stop; ms += NAP_MS)
        owm_clock_sleep_ms(NAP_MS);
}

static int loop(struct slasher *s)
{
    char said[REASON_MAX] = "-"; /* so that the first turn says how it went */
    while (!asked_to_stop) {
        struct owm_error error = {""};
        owm_status status = turn(s, &error);
        const char *reason = status == OWM_OK ? ""
                             : error.text[0]  ? error.text
                                              : owm_status_text(status);
        atomic_store(&s->well, status == OWM_OK);
        owm_gauge_set(s->up, status == OWM_OK);
        if (status != OWM_OK && is_final(status) && !s->evictor) {
            owm_log(OWM_LOG_ERROR, "%s", reason);
            return 1;
        }
        if (strncmp(said, reason, sizeof(said) - 1) != 0) {
            if (reason[0])
                owm_log(OWM_LOG_WARN, "waiting reason=\"%s\"", reason);
            else
                owm_log(OWM_LOG_INFO, "at_work");
            snprintf(said, sizeof(said), "%s", reason);
        }
        nap(status == OWM_OK ? (unsigned)s->config.poll_s : RETRY_S);
    }
    return 0;
}

static int run(struct slasher *s)
{
    struct owm_error error = {""};
    owm_status status = owm_metrics_open(0, &s->metrics);
    if (status == OWM_OK) {
        s->up = owm_metrics_gauge(s->metrics, "owm_slasher_up",
                                  "1: database and Lightning node answer.", NULL);
        status = serve(s, &error);
    }
    if (status == OWM_OK)
        owm_log(OWM_LOG_INFO, "ready http_port=%u maintainers=%zu acks_needed=%u",
                owm_http_server_port(s->http), s->policy.maintainer_count, s->policy.acks_needed);
    else
        owm_log(OWM_LOG_ERROR, "%s", error.text);
    int code = status == OWM_OK ? loop(s) : 1;
    owm_http_server_close(s->http);
    owm_evictor_close(s->evictor);
    owm_lightning_close(s->lightning);
    owm_pg_close(s->pg);
    owm_metrics_close(s->metrics);
    owm_conf_deinit(&owm_slasher_table, &s->config);
    owm_log(OWM_LOG_INFO, "stopped");
    return code;
}

int main(int argc, char **argv)
{
    static struct slasher slasher;
    struct owm_error error = {""};
    enum owm_conf_action action;
    owm_log_program_set("owm-slasher");
    owm_status status =
        owm_conf_load(&owm_slasher_table, argc, argv, &slasher.config, &action, NULL, &error);
    if (status == OWM_OK && action != OWM_CONF_RUN) {
        owm_conf_print(&owm_slasher_table, action, stdout);
        owm_conf_deinit(&owm_slasher_table, &slasher.config);
        return 0;
    }
    if (status == OWM_OK)
        status = owm_slasher_policy(&slasher.config, slasher.maintainers, &slasher.policy, &error);
    if (status != OWM_OK) {
        fprintf(stderr, "owm-slasher: %s\n", error.text);
        return 2;
    }
    owm_log_level_set((enum owm_log_level)slasher.config.log_level);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
    signal(SIGPIPE, SIG_IGN);
    return run(&slasher);
}

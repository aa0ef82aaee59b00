/* beside.c: what a command learns of the daemon that runs, or has run, in the same data folder. */
#include "node/beside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/http_client.h"

#define HEALTH_BYTES_MAX (1 << 20)

typedef owm_status opener(const char *path, owm_task_log **out, struct owm_error *error);

static owm_status open_log(const struct owm_node_config *config, opener *open, owm_task_log **log,
                           struct owm_error *error)
{
    char *path = NULL;
    *log = NULL;
    if (asprintf(&path, "%s/tasks.sqlite", config->data_dir) < 0)
        return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = open(path, log, error);
    free(path);
    return status;
}

owm_status node_beside_log(const struct owm_node_config *config, owm_task_log **log,
                           struct owm_error *error)
{
    return open_log(config, owm_task_log_peek, log, error);
}

owm_status node_beside_join(const struct owm_node_config *config, owm_task_log **log,
                            struct owm_error *error)
{
    *log = NULL;
    owm_status status = owm_fs_mkdirs(config->data_dir, 0700, error);
    return status == OWM_OK ? open_log(config, owm_task_log_join, log, error) : status;
}

/* The port it said it has; node.http_port may be 0. */
static void page_port(const struct owm_node_config *config, char port[static 8])
{
    struct owm_error error;
    owm_task_log *log = NULL;
    owm_status status = node_beside_log(config, &log, &error);
    if (status == OWM_OK) status = owm_task_log_get(log, "http_port", port, 8);
    if (status != OWM_OK) snprintf(port, 8, "%" PRId64, config->http_port);
    owm_task_log_close(log);
}

owm_status node_beside_health(const struct owm_node_config *config, json_t **health, bool *healthy,
                              struct owm_error *error)
{
    char port[8], url[64];
    struct owm_error why;
    struct owm_http_result result;
    page_port(config, port);
    snprintf(url, sizeof url, "http://127.0.0.1:%s/health", port);
    const struct owm_http_call call = {.url = url, .deadline_ms = 5000};
    *health = NULL;
    if (owm_http_fetch(&call, &result, &why) != OWM_OK)
        return owm_fail(error, OWM_E_NET,
                        "not running (%s does not answer). Start it with `owm-node start`; if it "
                        "should run, see its log.",
                        url);
    *healthy = result.status == 200;
    owm_status status = owm_json_parse((const char *)result.body, result.body_bytes,
                                       HEALTH_BYTES_MAX, health, error);
    owm_http_result_deinit(&result);
    return status;
}

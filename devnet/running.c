/* running.c: devnet.json read back, and the pool's sats once more. */
#include "running.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "places.h"

/* devnet.json of a running network. */
static owm_status read_addresses(const char *folder, json_t **addresses, struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 64];
    uint8_t *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/devnet.json", folder);
    if (owm_fs_read(path, 4096, &text, &bytes, NULL))
        return owm_fail(error, OWM_E_NOTFOUND,
                        "no network runs in %s: start one with ./owm up in another terminal",
                        folder);
    owm_status status = owm_json_parse((const char *)text, bytes, 4096, addresses, error);
    free(text);
    return status;
}

owm_status network_client(const char *folder, struct client **client, char *page_url,
                          struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 64], key[DEVNET_PATH_MAX + 64];
    json_t *addresses = NULL;
    const char *internal, *page;
    owm_status status = read_addresses(folder, &addresses, error);
    if (status == OWM_OK) status = owm_json_string(addresses, "", "internal", &internal, error);
    if (status == OWM_OK) status = owm_json_string(addresses, "", "page", &page, error);
    if (status == OWM_OK && page_url) snprintf(page_url, 128, "%s", page);
    if (status == OWM_OK) {
        snprintf(path, sizeof path, "%s/coordinator/coordinator.crt", folder);
        snprintf(key, sizeof key, "%s/operator.key", folder);
        status = client_open(client, internal, path, key, error);
    }
    json_decref(addresses);
    return status;
}

owm_status network_internal(const char *folder, char *address, struct owm_error *error)
{
    json_t *addresses = NULL;
    const char *internal;
    owm_status status = read_addresses(folder, &addresses, error);
    if (status == OWM_OK) status = owm_json_string(addresses, "", "internal", &internal, error);
    if (status == OWM_OK) snprintf(address, 128, "%s", internal);
    json_decref(addresses);
    return status;
}

owm_status network_pool(const char *folder, struct figures *figures, char *database_url,
                        struct owm_error *error)
{
    json_t *addresses = NULL;
    const char *url, *page, *database;
    owm_status status = read_addresses(folder, &addresses, error);
    if (status) return status;
    if (owm_json_string(addresses, "", "pool", &url, NULL)
        || owm_json_string(addresses, "", "pool_page", &page, NULL)
        || owm_json_string(addresses, "", "pool_database", &database, NULL)) {
        status = owm_fail(error, OWM_E_NOTFOUND, "the network in %s has no pool", folder);
    } else {
        snprintf(figures->pool_url, sizeof figures->pool_url, "%s", url);
        snprintf(figures->page_url, sizeof figures->page_url, "%s", page);
        snprintf(database_url, MINING_URL_MAX, "%s", database);
    }
    json_decref(addresses);
    return status;
}

owm_status network_lightning(const char *folder, char *database_url, bool *pays_pool,
                             struct owm_error *error)
{
    json_t *addresses = NULL;
    const char *database;
    owm_status status = read_addresses(folder, &addresses, error);
    if (status) return status;
    const json_t *lightning = json_object_get(addresses, "lightning");
    if (owm_json_string(lightning, "lightning", "database", &database, NULL)) {
        status = owm_fail(error, OWM_E_NOTFOUND, "the network in %s pays nobody", folder);
    } else {
        snprintf(database_url, MINING_URL_MAX, "%s", database);
        *pays_pool = json_is_true(json_object_get(lightning, "pays_pool"));
    }
    json_decref(addresses);
    return status;
}

/* Its database alone is started for the time of the question. */
static owm_status recompute_stopped(struct network *network, struct mining_recompute *recompute,
                                    struct owm_error *error)
{
    char url[MINING_URL_MAX];
    owm_status status = postgres_start(&network->postgres, network->folder, error);
    if (status) return status;
    status = postgres_database(&network->postgres, network->folder, "owm_pool", url, error);
    recompute->url = url;
    if (status == OWM_OK) status = mining_recompute(recompute, error);
    postgres_stop(&network->postgres);
    return status;
}

static owm_status recompute_here(struct network *network, struct mining_recompute *recompute,
                                 struct owm_error *error)
{
    char url[MINING_URL_MAX];
    struct figures figures;
    if (access(network->options.folder, F_OK))
        return owm_fail(error, OWM_E_NOTFOUND, "%s: there is no network, and no DATABASE_URL",
                        network->options.folder);
    owm_status status = places_open(network, error);
    if (status == OWM_OK) return recompute_stopped(network, recompute, error);
    if (status != OWM_E_STATE) return status;
    status = network_pool(network->options.folder, &figures, url, error);
    recompute->url = url;
    return status ? status : mining_recompute(recompute, error);
}

/* As `up` takes them: the pool's own where the coordinator has the other one. */
static const char *database_given(void)
{
    const char *pool = getenv("OWM_POOL_DATABASE_URL");
    return pool && *pool ? pool : getenv("DATABASE_URL");
}

owm_status network_recompute(const struct options *options, struct owm_error *error)
{
    struct network network = {.options = *options, .lock_fd = -1};
    struct mining_recompute recompute = {.programs = network.programs,
                                         .url = database_given(),
                                         .from = options->from,
                                         .to = options->to,
                                         .journal = options->journal};
    owm_status status = places_programs(&network, error);
    if (status) return status;
    status = recompute.url && *recompute.url ? mining_recompute(&recompute, error)
                                             : recompute_here(&network, &recompute, error);
    if (network.lock_fd >= 0) close(network.lock_fd);
    return status;
}

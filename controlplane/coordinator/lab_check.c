/* lab_check.c: is this stored file the package that was asked for? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "dataplane/model/checkpoint.h"
#include "lab_internal.h"

void owm_lab_close_fd(int fd)
{
    if (fd >= 0) close(fd);
}

/* How many weights the base checkpoint has; remembered, since a round asks for each package. */
static owm_status base_parameters(struct owm_lab *lab, const uint8_t hash[32], uint32_t *count,
                                  struct owm_error *error)
{
    pthread_mutex_lock(&lab->lock);
    bool known = lab->base_parameters && memcmp(lab->base_hash, hash, 32) == 0;
    *count = lab->base_parameters;
    pthread_mutex_unlock(&lab->lock);
    if (known) return OWM_OK;
    struct owm_model_config config;
    float *params = NULL;
    owm_status status = owm_lab_load(lab, hash, &config, &params, error);
    if (status != OWM_OK) return status;
    free(params);
    uint64_t parameters = owm_model_config_params(&config);
    if (parameters > OWM_DELTA_PARAMETERS_MAX)
        return owm_fail(error, OWM_E_LIMIT, "the model has more weights than a package can name");
    pthread_mutex_lock(&lab->lock);
    memcpy(lab->base_hash, hash, 32);
    *count = lab->base_parameters = (uint32_t)parameters;
    pthread_mutex_unlock(&lab->lock);
    return OWM_OK;
}

static void set_reason(char *reason, const char *name)
{
    snprintf(reason, OWM_LAB_REASON_BYTES, "%s", name);
}

static owm_status read_package(struct owm_lab *lab, const struct owm_lab_order *order,
                               const uint8_t hash[32], uint8_t **data, size_t *bytes, char *reason,
                               struct owm_error *error)
{
    char path[OWM_LAB_PATH_BYTES];
    *data = NULL;
    if (!owm_blob_exists(lab->store, hash)) {
        set_reason(reason, "NOT_UPLOADED");
        return OWM_OK;
    }
    owm_status status = owm_blob_path(lab->store, hash, path, sizeof(path));
    if (status == OWM_OK) status = owm_fs_read(path, order->package_bytes_max, data, bytes, error);
    if (status != OWM_E_LIMIT) return status;
    set_reason(reason, owm_delta_reason_name(OWM_DELTA_TOO_LARGE));
    return OWM_OK;
}

owm_status owm_lab_decode(struct owm_lab *lab, const struct owm_lab_order *order,
                          const uint8_t package_hash[32], struct owm_delta *delta, char *reason,
                          struct owm_error *error)
{
    struct owm_delta_expect expect = {.round = order->round};
    uint8_t *data = NULL;
    size_t bytes = 0;
    reason[0] = 0;
    owm_status status = base_parameters(lab, order->base_hash, &expect.parameter_count, error);
    if (status == OWM_OK)
        status = read_package(lab, order, package_hash, &data, &bytes, reason, error);
    if (status != OWM_OK || reason[0]) return status;

    memcpy(expect.base_sha256, order->base_hash, 32);
    memcpy(expect.node_key, order->node_key, 32);
    uint64_t k = ((uint64_t)expect.parameter_count * order->topk_permille + 999) / 1000;
    expect.k_max = (uint32_t)(k ? k : 1);
    enum owm_delta_reason why = OWM_DELTA_NONE;
    status = owm_delta_decode(data, bytes, &expect, delta, &why, error);
    free(data);
    if (status == OWM_OK && !owm_bytes_equal(delta->header.nonce, order->nonce, 16)) {
        owm_delta_free(delta);
        set_reason(reason, "REPLAYED");
        return OWM_OK;
    }
    if (status == OWM_E_PROTO || status == OWM_E_CRYPTO) {
        set_reason(reason, owm_delta_reason_name(why));
        return OWM_OK;
    }
    return status;
}

owm_status owm_lab_check(struct owm_lab *lab, const struct owm_lab_order *order,
                         const uint8_t package_hash[32], char *reason, struct owm_error *error)
{
    struct owm_delta delta;
    owm_status status = owm_lab_decode(lab, order, package_hash, &delta, reason, error);
    if (status == OWM_OK && !reason[0]) owm_delta_free(&delta);
    return status;
}

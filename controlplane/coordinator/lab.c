/* lab.c: see lab.h. One lock: aggregation and measuring share one device and its threads; checking
 * a package needs neither and runs beside them. */
#include "lab.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/pool.h"
#include "dataplane/model/checkpoint.h"
#include "dataplane/model/model.h"
#include "kernels/backend.h"
#include "lab_internal.h"

static owm_status open_device(struct owm_lab *lab, unsigned threads, struct owm_error *error)
{
    owm_status status = owm_pool_open(threads, &lab->pool);
    if (status != OWM_OK) return owm_fail(error, status, "no threads for aggregation");
    const struct owm_device_config config = {.backend = "cpu", .pool = lab->pool};
    return owm_device_open(&lab->device, &config, error); /* Tries every op first. */
}

static owm_status read_heldout(struct owm_lab *lab, const struct owm_lab_options *options,
                               struct owm_error *error)
{
    if (!options->heldout_file[0]) return OWM_OK;
    struct owm_error cause = {""};
    size_t bytes = 0;
    owm_status status = owm_fs_read(options->heldout_file, 1u << 30, &lab->heldout, &bytes, &cause);
    if (status != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG, "rounds.heldout_file: %s", cause.text);
    if (bytes < 1024)
        return owm_fail(error, OWM_E_CONFIG,
                        "rounds.heldout_file: %s holds %zu bytes; at least 1024 are needed",
                        options->heldout_file, bytes);
    lab->heldout_bytes =
        bytes < options->heldout_bytes_max ? bytes : (size_t)options->heldout_bytes_max;
    return OWM_OK;
}

owm_status owm_lab_open(const struct owm_lab_options *options, struct owm_lab **out,
                        struct owm_error *error)
{
    struct owm_lab *lab = calloc(1, sizeof(*lab));
    if (!lab) return OWM_E_NOMEM;
    pthread_mutex_init(&lab->lock, NULL);
    lab->store = options->store;
    lab->policy = options->policy;
    lab->model_config = options->model;
    lab->seed = options->seed;
    lab->loss_screen = options->loss_screen;
    lab->momentum_dir = strdup(options->momentum_dir);
    owm_status status = lab->momentum_dir ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) status = owm_model_config_check(&options->model, error);
    if (status == OWM_OK) status = read_heldout(lab, options, error);
    if (status == OWM_OK) status = open_device(lab, options->threads, error);
    if (status != OWM_OK) {
        owm_lab_close(lab);
        return status;
    }
    *out = lab;
    return OWM_OK;
}

void owm_lab_close(struct owm_lab *lab)
{
    if (!lab) return;
    owm_model_close(lab->judge);
    if (lab->device) lab->device->backend->close(lab->device);
    owm_pool_close(lab->pool);
    free(lab->heldout);
    free(lab->momentum_dir);
    pthread_mutex_destroy(&lab->lock);
    free(lab);
}

/* The judge is one model of the checkpoint's shape, opened once. */
static owm_status need_judge(struct owm_lab *lab, const struct owm_model_config *config,
                             struct owm_error *error)
{
    if (lab->judge && memcmp(owm_model_config(lab->judge), config, sizeof(*config)) == 0)
        return OWM_OK;
    owm_model_close(lab->judge);
    lab->judge = NULL;
    uint32_t seq = config->context < 256 ? config->context : 256;
    return owm_model_open(
        &lab->judge, config,
        &(struct owm_model_options){.device = lab->device, .batch_max = 4, .seq_max = seq}, error);
}

owm_status owm_lab_measure(struct owm_lab *lab, const struct owm_model_config *config,
                           const float *params, size_t text_bytes_max, double *bits,
                           struct owm_error *error)
{
    *bits = NAN;
    if (!lab->heldout) return OWM_OK;
    owm_status status = need_judge(lab, config, error);
    if (status == OWM_OK) status = owm_model_put_params(lab->judge, params);
    size_t bytes = lab->heldout_bytes < text_bytes_max ? lab->heldout_bytes : text_bytes_max;
    if (status == OWM_OK)
        status = owm_model_bits_per_byte(lab->judge, lab->heldout, bytes, bits, error);
    return status;
}

owm_status owm_lab_load(struct owm_lab *lab, const uint8_t hash[32],
                        struct owm_model_config *config, float **params, struct owm_error *error)
{
    char path[OWM_LAB_PATH_BYTES];
    owm_status status = owm_blob_path(lab->store, hash, path, sizeof(path));
    if (status != OWM_OK) return owm_fail(error, status, "the blob store's path is too long");
    if (!owm_blob_exists(lab->store, hash))
        return owm_fail(error, OWM_E_NOTFOUND,
                        "checkpoint %s is not in the blob store; restore data_dir/blobs from the "
                        "backup",
                        path);
    return owm_checkpoint_load(path, config, params, error);
}

owm_status owm_lab_save(struct owm_lab *lab, const struct owm_model_config *config,
                        const float *params, struct owm_lab_checkpoint *out,
                        struct owm_error *error)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    owm_status status = owm_checkpoint_encode(config, params, &bytes, &count, error);
    if (status != OWM_OK) return status;
    status = owm_blob_put(lab->store, bytes, count, out->hash, error);
    free(bytes);
    out->bytes = count;
    out->parameters = owm_model_config_params(config);
    return status;
}

owm_status owm_lab_genesis(struct owm_lab *lab, struct owm_lab_checkpoint *out,
                           struct owm_error *error)
{
    float *params = malloc(owm_model_config_params(&lab->model_config) * sizeof(*params));
    if (!params) return OWM_E_NOMEM;
    owm_model_init_params(&lab->model_config, lab->seed, params);
    pthread_mutex_lock(&lab->lock);
    owm_status status = owm_lab_save(lab, &lab->model_config, params, out, error);
    if (status == OWM_OK)
        status =
            owm_lab_measure(lab, &lab->model_config, params, SIZE_MAX, &out->bits_per_byte, error);
    pthread_mutex_unlock(&lab->lock);
    free(params);
    return status;
}

owm_status owm_lab_describe(struct owm_lab *lab, const uint8_t hash[32],
                            struct owm_lab_checkpoint *out, struct owm_error *error)
{
    struct owm_model_config config;
    float *params = NULL;
    int fd = -1;
    owm_status status = owm_blob_open(lab->store, hash, &fd, &out->bytes);
    if (status != OWM_OK) return owm_fail(error, status, "the checkpoint is not in the blob store");
    owm_lab_close_fd(fd);
    status = owm_lab_load(lab, hash, &config, &params, error);
    if (status != OWM_OK) return status;
    memcpy(out->hash, hash, 32);
    out->parameters = owm_model_config_params(&config);
    pthread_mutex_lock(&lab->lock);
    status = owm_lab_measure(lab, &config, params, SIZE_MAX, &out->bits_per_byte, error);
    pthread_mutex_unlock(&lab->lock);
    free(params);
    return status;
}

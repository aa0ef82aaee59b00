/* lab_internal.h: what lab.c, lab_check.c and lab_aggregate.c share. */
#ifndef OWM_COORDINATOR_LAB_INTERNAL_H
#define OWM_COORDINATOR_LAB_INTERNAL_H

#include <pthread.h>

#include "dataplane/model/model.h"
#include "lab.h"

#define OWM_LAB_PATH_BYTES 4096

struct owm_lab {
    pthread_mutex_t lock; /* device, judge */
    struct owm_blob_store *store;
    struct owm_aggregate_policy policy;
    struct owm_model_config model_config;
    uint64_t seed;
    bool loss_screen;
    char *momentum_dir;
    uint8_t *heldout; /* NULL: none */
    size_t heldout_bytes;
    struct owm_pool *pool;
    struct owm_device *device;
    owm_model *judge;
    uint8_t base_hash[32]; /* of base_parameters, below: the shape of the model in use */
    uint32_t base_parameters;
};

/** owm_lab_measure: held-out bits per byte; NaN without a text. Needs the lock. */
OWM_MUST_USE owm_status owm_lab_measure(struct owm_lab *lab, const struct owm_model_config *config,
                                        const float *params, size_t text_bytes_max, double *bits,
                                        struct owm_error *error);

/** owm_lab_load: weights of a stored checkpoint; params malloc'ed, the caller frees. */
OWM_MUST_USE owm_status owm_lab_load(struct owm_lab *lab, const uint8_t hash[32],
                                     struct owm_model_config *config, float **params,
                                     struct owm_error *error);

/** owm_lab_save: encode and store; fills hash, bytes, parameters. */
OWM_MUST_USE owm_status owm_lab_save(struct owm_lab *lab, const struct owm_model_config *config,
                                     const float *params, struct owm_lab_checkpoint *out,
                                     struct owm_error *error);

/** owm_lab_decode: read a stored package and decode it against its order.
 *  reason as owm_lab_check; delta is written (to be freed) only if reason is "". */
OWM_MUST_USE owm_status owm_lab_decode(struct owm_lab *lab, const struct owm_lab_order *order,
                                       const uint8_t package_hash[32], struct owm_delta *delta,
                                       char *reason, struct owm_error *error);

void owm_lab_close_fd(int fd);

#endif

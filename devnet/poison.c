/* poison.c: the test double behind `./owm up --poison N`: a worker that lies.
 *
 * owm-worker-poisoned is the real owm-worker, linked so that owm_feedback_package comes here first.
 * It turns what the worker learned around and makes it ten times as large (sign flip with boosting,
 * the classic model-poisoning attack), then packs it as the real worker would. Nothing in the
 * product knows of it.
 */
#include <stdlib.h>

#include "dataplane/fl/feedback.h"

#define BOOST (-10.0f)

owm_status __real_owm_feedback_package(struct owm_device *device,
                                       const struct owm_feedback_config *config,
                                       const struct owm_delta_header *header, float *residual,
                                       const float *delta, uint8_t **package, size_t *bytes);

owm_status __wrap_owm_feedback_package(struct owm_device *device,
                                       const struct owm_feedback_config *config,
                                       const struct owm_delta_header *header, float *residual,
                                       const float *delta, uint8_t **package, size_t *bytes);

owm_status __wrap_owm_feedback_package(struct owm_device *device,
                                       const struct owm_feedback_config *config,
                                       const struct owm_delta_header *header, float *residual,
                                       const float *delta, uint8_t **package, size_t *bytes)
{
    float *turned = malloc((size_t)header->parameter_count * sizeof *turned);
    if (!turned) return OWM_E_NOMEM;
    for (uint32_t i = 0; i < header->parameter_count; i++) turned[i] = BOOST * delta[i];
    owm_status status =
        __real_owm_feedback_package(device, config, header, residual, turned, package, bytes);
    free(turned);
    return status;
}

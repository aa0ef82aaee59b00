/* fl_test.h: what the tests of federated learning share: a device, seeded vectors, packages. */
#ifndef OWM_FL_TEST_H
#define OWM_FL_TEST_H

#include "test.h"

#include <math.h>

#include "base/identity.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "dataplane/fl/aggregate.h"
#include "dataplane/fl/delta.h"
#include "dataplane/fl/feedback.h"
#include "kernels/backend.h"

static inline struct owm_device *test_device(struct owm_pool *pool)
{
    struct owm_device *device = NULL;
    struct owm_error error;
    assert_ok(owm_backend_cpu.open(&device, &(struct owm_device_config){.pool = pool}, &error));
    return device;
}

static inline owm_identity *test_identity(uint8_t number)
{
    uint8_t seed[32] = {number, 1};
    owm_identity *identity;
    assert_ok(owm_identity_from_seed(seed, &identity));
    return identity;
}

static inline void fill_normal(struct owm_rng *rng, float *x, uint32_t n, double deviation)
{
    for (uint32_t i = 0; i < n; i++) x[i] = (float)(deviation * owm_rng_normal(rng));
}

/* A sparse vector that owns its arrays. */
struct test_sparse {
    uint32_t *index;
    float *value;
    struct owm_sparse view;
};

/* What a node would send of `dense`: top density_ppm, quantised, nothing carried over. */
static inline struct test_sparse test_pick(struct owm_device *device, const float *dense,
                                           uint32_t n, uint32_t density_ppm,
                                           enum owm_delta_values values)
{
    struct owm_feedback_config config = owm_feedback_defaults();
    config.density_ppm = density_ppm;
    config.values = values;
    uint32_t k = owm_feedback_k(&config, n);
    struct test_sparse s = {malloc(k * sizeof *s.index), malloc(k * sizeof *s.value), {0}};
    float *residual = calloc(n, sizeof *residual);
    assert_non_null(s.index);
    assert_non_null(s.value);
    assert_non_null(residual);
    assert_ok(owm_feedback_pick(device, &config, residual, dense, n, s.index, s.value, &s.view));
    free(residual);
    return s;
}

static inline void test_sparse_free(struct test_sparse *s)
{
    free(s->index);
    free(s->value);
}

#endif

/* check.h: the test framework of a bare machine, where there is a C compiler and nothing else:
 * CHECK ends the process; random data anew on each run, from a seed that is printed. */
#ifndef OWM_TESTS_KERNELS_CHECK_H
#define OWM_TESTS_KERNELS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "kernels/backend.h"

#define TEST_SKIP 77

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #cond);                      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static struct owm_rng check_rng;

/** check_seed: from OWM_TEST_SEED, or new; printed so that a failure can be repeated. */
static inline void check_seed(void)
{
    const char *text = getenv("OWM_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("OWM_TEST_SEED=%llu\n", (unsigned long long)seed);
    owm_rng_seed(&check_rng, seed);
}

/** check_data: count floats uniform in [-1, 1), malloc'ed. */
static inline float *check_data(size_t count)
{
    float *x = malloc(count * sizeof *x);
    CHECK(x);
    for (size_t i = 0; i < count; i++) x[i] = 2 * owm_rng_f32(&check_rng) - 1;
    return x;
}

static inline uint16_t *check_tokens(size_t count, uint32_t vocab)
{
    uint16_t *t = malloc(count * sizeof *t);
    CHECK(t);
    for (size_t i = 0; i < count; i++) t[i] = (uint16_t)owm_rng_below(&check_rng, vocab);
    return t;
}

#endif

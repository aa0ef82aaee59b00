/* check.h: the test framework of a bare machine, where there is a C compiler and nothing else:
 * CHECK ends the process; random data anew on each run, from a seed that is printed.
 *
 *     OWM_TEST_BACKEND  what is tested: "cpu" (default) in each instruction set, "cuda", "hip", or
 * the file of a plug-in (the emulated one, in CI) OWM_TEST_SMALL    leave out what would take an
 * emulated GPU longer than seconds OWM_TEST_SEED     repeat a run OWM_REQUIRE       a backend whose
 * absence is a failure, not a skip
 */
#ifndef OWM_TESTS_KERNELS_CHECK_H
#define OWM_TESTS_KERNELS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/pool.h"
#include "base/rng.h"
#include "kernels/backend.h"
#include "staged.h"

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

/** check_small: whether this run is on something slow. */
static inline bool check_small(void)
{
    return getenv("OWM_TEST_SMALL") != NULL;
}

/** check_device: what a test is run on: the same device opened on one thread and on three; twice,
 *  where a device has no threads of the host. */
struct check_device {
    const char *name;
    struct owm_device *one, *three, *reference;
};

static inline const char *check_backend_name(void)
{
    const char *name = getenv("OWM_TEST_BACKEND");
    return name && *name ? name : "cpu";
}

/** check_backend: what OWM_TEST_BACKEND names. Ends the process when it is missing: a skip, or a
 *  failure where OWM_REQUIRE names it. */
static inline const struct owm_backend *check_backend(void)
{
    const char *name = check_backend_name(), *required = getenv("OWM_REQUIRE");
    const struct owm_backend *backend = NULL;
    struct owm_error error = {""};
    if (strchr(name, '/')) { /* A file is there or the build is wrong: never a skip. */
        owm_status status = owm_backend_load(name, &backend, &error);
        if (status != OWM_OK) fprintf(stderr, "%s\n", error.text);
        CHECK(status == OWM_OK);
    } else {
        backend = owm_backend_pick(name, &error);
    }
    if (backend) return backend;
    printf("%s\n", error.text);
    exit(required && strcmp(required, name) == 0 ? 1 : TEST_SKIP);
}

static inline struct owm_device *check_open(const struct owm_backend *backend, const char *isa,
                                            struct owm_pool *pool)
{
    struct owm_device *opened = NULL;
    struct owm_error error = {""};
    struct owm_device_config config = {.pool = pool, .isa = isa};
    owm_status status = backend->open(&opened, &config, &error);
    if (status != OWM_OK) printf("%s: %s\n", isa ? isa : backend->name, error.text);
    CHECK(status == OWM_OK || (isa && status == OWM_E_UNSUPPORTED));
    return opened;
}

static inline void check_each_of(void (*run)(const struct check_device *), bool staged)
{
    static const char *const isas[] = {"generic", "avx2", "avx512"};
    const struct owm_backend *backend = check_backend();
    bool cpu = backend == &owm_backend_cpu;
    struct owm_pool *pool = NULL;
    CHECK(owm_pool_open(3, &pool) == OWM_OK);
    struct owm_device *reference = check_open(&owm_backend_reference, NULL, NULL);
    for (size_t i = 0; i < (cpu ? sizeof isas / sizeof *isas : 1); i++) {
        struct check_device device = {.name = cpu ? isas[i] : backend->name};
        device.one = check_open(backend, cpu ? isas[i] : NULL, NULL);
        device.three = check_open(backend, cpu ? isas[i] : NULL, pool);
        device.reference = reference;
        if (!device.one || !device.three) continue;
        if (staged && !cpu) {
            device.one = staged_open(device.one);
            device.three = staged_open(device.three);
        }
        run(&device);
        device.one->backend->close(device.one);
        device.three->backend->close(device.three);
        printf("%s: ok\n", device.name);
    }
    owm_backend_reference.close(reference);
    owm_pool_close(pool);
}

/** check_each: call `run` for every way that this test's backend has on this machine, for a test
 *  that takes its memory from mem_alloc and copies with mem_put and mem_get. */
static inline void check_each(void (*run)(const struct check_device *))
{
    check_each_of(run, false);
}

/** check_each_staged: the same, for a test whose arrays are the host's (staged.h). */
static inline void check_each_staged(void (*run)(const struct check_device *))
{
    check_each_of(run, true);
}

/** CHECK_HAS: whether a backend has the op; an op that it lacks is told, and OWM_REQUIRE forbids
 * it.
 */
#define CHECK_HAS(device, op) check_has((device)->backend->op != NULL, #op)

static inline bool check_has(bool has, const char *op)
{
    if (!has) printf("%s: not in this backend\n", op);
    CHECK(has || !getenv("OWM_REQUIRE"));
    return has;
}

/** check_put, check_get: to and from memory of a device; free with mem_free. */
static inline void *check_put(struct owm_device *device, const void *host, size_t bytes)
{
    void *mem = NULL;
    CHECK(device->backend->mem_alloc(device, &mem, bytes) == OWM_OK);
    CHECK(device->backend->mem_put(device, mem, host, bytes) == OWM_OK);
    return mem;
}

static inline void check_get(struct owm_device *device, void *host, const void *mem, size_t bytes)
{
    CHECK(device->backend->mem_get(device, host, mem, bytes) == OWM_OK);
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

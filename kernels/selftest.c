/* selftest.c: the frame of the self-test: it runs the cases, compares, and names what is wrong. */
#include "selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftest_trial.h"

static const struct trial_case *const lists[] = {trial_sha256d, trial_model, trial_decode,
                                                 trial_learning};

static const struct trial_case *case_at(size_t index)
{
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const struct trial_case *c = lists[l]; c->name; c++)
            if (index-- == 0) return c;
    return NULL;
}

const char *owm_selftest_name(size_t index, size_t *slot)
{
    const struct trial_case *c = case_at(index);
    if (!c) return NULL;
    *slot = c->slot;
    return c->name;
}

struct tensor trial_bytes(struct trial *t, const void *data, size_t bytes)
{
    struct tensor x = {.bytes = bytes};
    if (t->status != OWM_OK) return x;
    OWM_ASSERT(t->made_count < TRIAL_TENSORS_MAX);
    for (int s = 0; s < SIDES && t->status == OWM_OK; s++) {
        struct owm_device *on = t->device[s];
        t->status = on->backend->mem_alloc(on, &x.at[s], bytes);
        if (t->status == OWM_OK) t->status = on->backend->mem_put(on, x.at[s], data, bytes);
    }
    t->made[t->made_count++] = x;
    return x;
}

static struct tensor filled(struct trial *t, size_t bytes,
                            void (*fill)(struct trial *, void *, size_t))
{
    void *data = malloc(bytes);
    if (!data) {
        t->status = OWM_E_NOMEM;
        return (struct tensor){.bytes = 0};
    }
    fill(t, data, bytes);
    struct tensor x = trial_bytes(t, data, bytes);
    free(data);
    return x;
}

static void fill_random(struct trial *t, void *data, size_t bytes)
{
    float *x = data;
    for (size_t i = 0; i < bytes / sizeof *x; i++) x[i] = 2 * owm_rng_f32(&t->rng) - 1;
}

static void fill_poison(struct trial *t, void *data, size_t bytes)
{
    (void)t;
    memset(data, 0xff, bytes);
}

struct tensor trial_numbers(struct trial *t, size_t count)
{
    return filled(t, count * sizeof(float), fill_random);
}

struct tensor trial_poison(struct trial *t, size_t bytes)
{
    return filled(t, bytes, fill_poison);
}

owm_status trial_refused(struct trial *t, enum side side, owm_status status)
{
    snprintf(t->why, sizeof t->why, "%s refuses good arguments: %s",
             side == JUDGE ? "the reference" : "it", owm_status_text(status));
    return OWM_E_DEVICE;
}

static owm_status fetch_side(struct trial *t, enum side side, void *host, struct tensor x)
{
    struct owm_device *on = t->device[side];
    owm_status status = on->backend->mem_get(on, host, x.at[side], x.bytes);
    if (status != OWM_OK)
        snprintf(t->why, sizeof t->why, "its result cannot be read: %s", owm_status_text(status));
    return status;
}

owm_status trial_fetch(struct trial *t, void *host, struct tensor x)
{
    return fetch_side(t, TRIED, host, x);
}

owm_status trial_host(struct trial *t, const void *tried, const void *judge, size_t bytes)
{
    const uint8_t *a = tried, *b = judge;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] == b[i]) continue;
        snprintf(t->why, sizeof t->why, "byte %zu of %zu is %02x and should be %02x", i, bytes,
                 a[i], b[i]);
        return OWM_E_DEVICE;
    }
    return OWM_OK;
}

static owm_status near(struct trial *t, const float *tried, const float *judge, size_t count,
                       double within)
{
    for (size_t i = 0; i < count; i++) {
        double off = fabs((double)tried[i] - (double)judge[i]);
        if (off <= within) continue; /* False for a NaN too. */
        snprintf(t->why, sizeof t->why, "element %zu of %zu is %.9g and should be %.9g", i, count,
                 (double)tried[i], (double)judge[i]);
        return OWM_E_DEVICE;
    }
    return OWM_OK;
}

/* Both sides come to the host; a negative `within` asks for the same bits. */
static owm_status compare(struct trial *t, struct tensor x, double within)
{
    char *tried = malloc(x.bytes), *judge = malloc(x.bytes);
    owm_status status = tried && judge ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) status = fetch_side(t, TRIED, tried, x);
    if (status == OWM_OK) status = fetch_side(t, JUDGE, judge, x);
    if (status == OWM_OK && within < 0) status = trial_host(t, tried, judge, x.bytes);
    if (status == OWM_OK && within >= 0)
        status = near(t, (float *)tried, (float *)judge, x.bytes / sizeof(float), within);
    free(tried);
    free(judge);
    return status;
}

owm_status trial_same(struct trial *t, struct tensor x)
{
    return compare(t, x, -1);
}

owm_status trial_close(struct trial *t, struct tensor x, double within)
{
    return compare(t, x, within);
}

static bool has(const struct owm_device *device, size_t slot)
{
    void (*op)(void);
    memcpy(&op, (const char *)device->backend + slot, sizeof op);
    return op != NULL;
}

static owm_status run_case(struct trial *t, const struct trial_case *c, struct owm_error *error)
{
    if (!has(t->device[TRIED], c->slot) || !has(t->device[JUDGE], c->slot)) return OWM_OK;
    t->status = OWM_OK;
    t->made_count = 0;
    snprintf(t->why, sizeof t->why, "no memory for its data");
    owm_rng_seed(&t->rng, 0x4f574d + c->slot);
    owm_status status = c->run(t);
    for (size_t i = 0; i < t->made_count; i++)
        for (int s = 0; s < SIDES; s++)
            t->device[s]->backend->mem_free(t->device[s], t->made[i].at[s]);
    if (status == OWM_OK) return OWM_OK;
    struct owm_device *device = t->device[TRIED];
    return owm_fail(error, status == OWM_E_NOMEM ? status : OWM_E_DEVICE,
                    "the self-test of %s device %d fails: op '%s': %s", device->backend->name,
                    device->index, c->name, t->why);
}

owm_status owm_selftest(struct owm_device *device, struct owm_error *error)
{
    struct trial t = {.device = {[TRIED] = device}};
    owm_status status = owm_backend_reference.open(
        &t.device[JUDGE], &(struct owm_device_config){.pool = device->pool}, error);
    if (status != OWM_OK) return status;
    const struct trial_case *c;
    for (size_t i = 0; status == OWM_OK && (c = case_at(i)); i++) status = run_case(&t, c, error);
    owm_backend_reference.close(t.device[JUDGE]);
    return status;
}

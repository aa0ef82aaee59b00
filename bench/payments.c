/* payments.c: how fast what is owed leaves, and how fast stakes are read: owm-coordinator between a
 * real PostgreSQL and a double of the Lightning node.
 *
 * All of them share this machine, and a payment costs the double nothing but its answers: these are
 * our own costs, beside which a real node's seconds per payment stand.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "bench.h"
#include "payments_world.h"

#define OWED_AT_ONCE 2000
#define RATE_PER_S   100
#define SPEC_MS      60000 /* SRS-LN-04 */
#define CONCURRENCY  16
#define LIMIT_MS     2000
#define SETTLE_S     120
#define SPEC_CYCLE_S 600 /* SRS-PERF-14 */
#define LISTS        5
#define SETTLED      "SELECT count(*) FROM payments WHERE state = 'settled'"

/* ------------------------------------------------------------------------------ the limits */

static double commits_per_s(struct pay_world *world)
{
    unsigned count = 0;
    if (owm_pg_exec(world->pg, "CREATE TABLE bench_commits (n integer)", NULL) != OWM_OK) return 0;
    uint64_t start_ms = owm_clock_mono_ms();
    while (owm_clock_mono_ms() - start_ms < LIMIT_MS
           && owm_pg_exec(world->pg, "INSERT INTO bench_commits VALUES (1)", NULL) == OWM_OK)
        count++;
    return count / ((double)(owm_clock_mono_ms() - start_ms) / 1000);
}

struct caller {
    owm_lightning *node;
    atomic_uint paid;
    uint64_t until_ms;
};

static void *calls_make(void *arg)
{
    struct caller *caller = arg;
    uint8_t destination[OWM_LIGHTNING_KEY_BYTES] = {2, 9};
    while (owm_clock_mono_ms() < caller->until_ms) {
        struct owm_lightning_outcome outcome;
        struct owm_error error;
        struct owm_lightning_order order = {
            .destination = destination, .amount_msat = 21000, .fee_limit_msat = 1000};
        owm_uuid_random(order.preimage);
        owm_uuid_random(order.preimage + 16);
        owm_sha256(order.preimage, 32, order.payment_hash);
        if (owm_lightning_pay(caller->node, &order, LIMIT_MS, &outcome, &error) == OWM_OK
            && outcome.state == OWM_LIGHTNING_SUCCEEDED)
            atomic_fetch_add(&caller->paid, 1);
    }
    return NULL;
}

/* The node alone, with as many callers as the dispatcher has. */
static owm_status node_alone(struct pay_world *world, double *rate, struct owm_error *error)
{
    pthread_t threads[CONCURRENCY];
    unsigned started = 0;
    struct caller caller = {.until_ms = owm_clock_mono_ms() + LIMIT_MS};
    owm_status status = pay_world_node(world, OWM_LIGHTNING_PAY, "pay", &caller.node, error);
    if (status) return status;
    uint64_t start_ms = owm_clock_mono_ms();
    while (started < CONCURRENCY
           && pthread_create(&threads[started], NULL, calls_make, &caller) == 0)
        started++;
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
    *rate = atomic_load(&caller.paid) / ((double)(owm_clock_mono_ms() - start_ms) / 1000);
    owm_lightning_close(caller.node);
    return OWM_OK;
}

/* --------------------------------------------------------------------------- the dispatcher */

static owm_status measure_rate(const struct bench_options *options, struct pay_world *world,
                               double alone, struct owm_error *error)
{
    static uint8_t hashes[OWED_AT_ONCE][32];
    int64_t before = pay_world_number(world, SETTLED);
    owm_status status = pay_world_owe(world, OWED_AT_ONCE, hashes[0], error);
    uint64_t start_ns = owm_clock_mono_ns();
    if (status == OWM_OK)
        status = pay_world_until(world, SETTLED, before + OWED_AT_ONCE, SETTLE_S, error);
    if (status) return status;
    double seconds = (double)(owm_clock_mono_ns() - start_ns) / 1e9;
    bench_print(options, &(struct bench_row){.bench = "payments",
                                             .op = "through the outbox",
                                             .shape = "2,000 owed at once",
                                             .value = OWED_AT_ONCE / seconds,
                                             .unit = "payments/s",
                                             .limit = alone,
                                             .limit_name = "the node alone"});
    return OWM_OK;
}

/* ------------------------------------------------------------------------------ the latency */

struct sample {
    uint8_t hash[32];
    int64_t committed_us, arrived_us;
};

static int64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static int by_hash(const void *left, const void *right)
{
    return memcmp(left, right, 32);
}

/* One row every 10 ms by the clock, each in a transaction of its own. */
static owm_status load(struct pay_world *world, struct sample *samples, unsigned count,
                       struct owm_error *error)
{
    owm_status status = OWM_OK;
    uint64_t start_ms = owm_clock_mono_ms();
    for (unsigned i = 0; i < count && status == OWM_OK; i++) {
        uint64_t due_ms = start_ms + i * 1000 / RATE_PER_S, now_ms = owm_clock_mono_ms();
        if (due_ms > now_ms) owm_clock_sleep_ms((uint32_t)(due_ms - now_ms));
        status = pay_world_owe(world, 1, samples[i].hash, error);
        samples[i].committed_us = wall_us();
    }
    return status;
}

/* The double's own record of when each payment came, and how often. */
static owm_status arrivals(struct pay_world *world, struct sample *samples, unsigned count,
                           struct owm_error *error)
{
    char *text, *rest, *line;
    unsigned found = 0;
    owm_status status = pay_world_ask(world, "payments", &text, error);
    if (status) return status;
    qsort(samples, count, sizeof *samples, by_hash);
    for (rest = text; (line = strsep(&rest, "\n"));) {
        uint8_t hash[32];
        char *at = strstr(line, " at="), *space = strchr(line, ' ');
        if (!at || !space || space - line != 64) continue;
        *space = 0;
        if (owm_hex_decode(line, hash, 32) != OWM_OK) continue;
        struct sample *sample = bsearch(hash, samples, count, sizeof *samples, by_hash);
        if (sample) sample->arrived_us = strtoll(at + 4, NULL, 10);
        found += sample != NULL;
    }
    free(text);
    if (found == count) return OWM_OK;
    return owm_fail(error, OWM_E_STATE, "%u of %u payments came to the node", found, count);
}

static void latency_print(const struct bench_options *options, struct sample *samples,
                          unsigned count, double *latency_ms)
{
    static const struct {
        const char *op;
        double p;
    } rows[] = {{"row to node p50", 0.5},
                {"row to node p99", 0.99},
                {"row to node p99.9", 0.999},
                {"row to node max", 1}};
    char shape[48];
    snprintf(shape, sizeof shape, "%u payments, %d/s", count, RATE_PER_S);
    for (unsigned i = 0; i < count; i++)
        latency_ms[i] = (double)(samples[i].arrived_us - samples[i].committed_us) / 1000;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        bench_print(options,
                    &(struct bench_row){.bench = "payments",
                                        .op = rows[i].op,
                                        .shape = shape,
                                        .value = bench_percentile(latency_ms, count, rows[i].p),
                                        .unit = "ms",
                                        .limit = SPEC_MS,
                                        .limit_name = "SRS-LN-04",
                                        .lower_is_better = true});
}

static owm_status measure_latency(const struct bench_options *options, struct pay_world *world,
                                  struct owm_error *error)
{
    unsigned count = options->seconds * RATE_PER_S;
    struct sample *samples = calloc(count, sizeof *samples);
    double *latency_ms = calloc(count, sizeof *latency_ms);
    int64_t before = pay_world_number(world, SETTLED);
    owm_status status = samples && latency_ms ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) status = load(world, samples, count, error);
    if (status == OWM_OK) status = pay_world_until(world, SETTLED, before + count, SETTLE_S, error);
    if (status == OWM_OK) status = arrivals(world, samples, count, error);
    if (status == OWM_OK) latency_print(options, samples, count, latency_ms);
    free(samples);
    free(latency_ms);
    return status;
}

static owm_status paid_twice(struct pay_world *world, struct owm_error *error)
{
    char *text;
    owm_status status = pay_world_ask(world, "paid-twice", &text, error);
    if (status == OWM_OK && *text)
        status = owm_fail(error, OWM_E_STATE, "somebody was paid twice: %s", text);
    free(text);
    return status;
}

static owm_status measure_payments(const struct bench_options *options, struct pay_world *world,
                                   double alone, struct owm_error *error)
{
    uint8_t first[32];
    owm_status status = pay_world_owe(world, 1, first, error); /* once it is gone, all is at work */
    if (status == OWM_OK) status = pay_world_until(world, SETTLED, 1, SETTLE_S, error);
    if (status == OWM_OK) status = measure_rate(options, world, alone, error);
    if (status == OWM_OK) status = measure_latency(options, world, error);
    return status == OWM_OK ? paid_twice(world, error) : status;
}

/* ----------------------------------------------------------------------------------- stakes */

static void stake_print(const struct bench_options *options, const char *op, double seconds)
{
    char shape[32];
    snprintf(shape, sizeof shape, "%u channels", options->nodes);
    bench_print(options, &(struct bench_row){.bench = "payments",
                                             .op = op,
                                             .shape = shape,
                                             .value = seconds,
                                             .unit = "s",
                                             .limit = SPEC_CYCLE_S,
                                             .limit_name = "SRS-PERF-14",
                                             .lower_is_better = true});
}

/* What of a cycle is the node's: the list of all channels, the median of some readings. */
static owm_status measure_list(const struct bench_options *options, struct pay_world *world,
                               struct owm_error *error)
{
    double seconds[LISTS];
    owm_lightning *node = NULL;
    owm_status status = pay_world_node(world, OWM_LIGHTNING_STAKE, "stake", &node, error);
    for (unsigned i = 0; i < LISTS && status == OWM_OK; i++) {
        struct owm_lightning_channel *channels = NULL;
        size_t count = 0;
        uint64_t start_ns = owm_clock_mono_ns();
        status = owm_lightning_channels(node, NULL, false, &channels, &count, error);
        seconds[i] = (double)(owm_clock_mono_ns() - start_ns) / 1e9;
        free(channels);
    }
    owm_lightning_close(node);
    if (status == OWM_OK)
        stake_print(options, "channels listed", bench_percentile(seconds, LISTS, 0.5));
    return status;
}

/* A coordinator that starts reads every stake, as a cycle does, and has no row of any channel yet:
 * the most that a cycle can be. */
static owm_status measure_cycle(const struct bench_options *options, struct pay_world *world,
                                struct owm_error *error)
{
    uint64_t start_ns = owm_clock_mono_ns();
    owm_status status = pay_world_start(world, error);
    if (status == OWM_OK)
        status = pay_world_until(world, "SELECT count(*) FROM node_stakes", world->nodes,
                                 SPEC_CYCLE_S, error);
    if (status == OWM_OK)
        stake_print(options, "start to last channel, row written",
                    (double)(owm_clock_mono_ns() - start_ns) / 1e9);
    return status;
}

/* --------------------------------------------------------------------------------- together */

static void limit_print(const struct bench_options *options, const char *op, const char *shape,
                        double value, const char *unit)
{
    bench_print(options,
                &(struct bench_row){
                    .bench = "payments", .op = op, .shape = shape, .value = value, .unit = unit});
}

owm_status bench_payments(const struct bench_options *options, struct owm_error *error)
{
    struct pay_world world;
    double alone = 0;
    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = pay_world_open(&world, options, error);
    if (status == OWM_OK)
        limit_print(options, "PostgreSQL alone", "one connection", commits_per_s(&world),
                    "commits/s");
    if (status == OWM_OK) status = node_alone(&world, &alone, error);
    if (status == OWM_OK) limit_print(options, "the node alone", "16 callers", alone, "payments/s");
    if (status == OWM_OK) status = measure_list(options, &world, error);
    if (status == OWM_OK) status = measure_cycle(options, &world, error);
    if (status == OWM_OK) status = measure_payments(options, &world, alone, error);
    pay_world_close(&world);
    return status;
}

/* pool_core.c: shares of one core without sockets: decrypt, parse, checks, SHA-256d, duplicates,
 * journal, verdict, Success. Beside each the encryption and the hashes alone.
 */
#include <stdio.h>
#include <string.h>

#include "pool_cost.h"
#include "pool_dry.h"

#define RUNS      9
#define RUN_TURNS 64

static struct dry dry;

/** costs: medians of what a share cannot cost less than. */
struct costs {
    double open[RUNS], seal[RUNS], hash[RUNS], root[RUNS], limit[RUNS], rate[RUNS];
};

static owm_status check_total(uint64_t shares, struct owm_error *error)
{
    const struct owm_pool_stats *stats = owm_hall_stats(dry.hall);
    uint64_t accepted = owm_counted(&stats->accepted);
    if (accepted == shares && dry.refused == 0) return OWM_OK;
    return owm_fail(error, OWM_E_STATE, "of %llu shares %llu were accepted, %llu refused",
                    (unsigned long long)shares, (unsigned long long)accepted,
                    (unsigned long long)dry.refused);
}

/** One turn of which every answer is read: each share is acknowledged exactly once. */
static owm_status check_turn(struct owm_error *error)
{
    dry.reading = true;
    dry_turn(&dry);
    dry.reading = false;
    if (dry.accepted != DRY_BATCH)
        return owm_fail(error, OWM_E_STATE, "of %d shares %llu were acknowledged", DRY_BATCH,
                        (unsigned long long)dry.accepted);
    return check_total(DRY_BATCH, error);
}

/** The costs beside a run, and the rate that they allow. */
static void measure_costs(struct costs *costs, int run)
{
    double answers = (double)dry.successes / DRY_BATCH;
    costs->open[run] = cost_open(dry.shape.extended ? COST_SHARE_EXTENDED : COST_SHARE_STANDARD);
    costs->seal[run] = cost_seal(COST_SUCCESS);
    costs->hash[run] = cost_hash(dry.device);
    costs->root[run] = dry.shape.extended ? cost_root(dry.device, dry.work) : 0;
    costs->limit[run] =
        1 / (costs->open[run] + answers * costs->seal[run] + costs->hash[run] + costs->root[run]);
}

static void print_cost(const struct bench_options *options, const char *op, double *seconds)
{
    double median = bench_percentile(seconds, RUNS, 0.5);
    if (median > 0)
        bench_print(options, &(struct bench_row){.bench = "pool",
                                                 .op = op,
                                                 .shape = "alone, 1024 in a row",
                                                 .unit = "ns",
                                                 .value = median * 1e9,
                                                 .low = seconds[0] * 1e9,
                                                 .high = seconds[RUNS - 1] * 1e9,
                                                 .lower_is_better = true});
}

static owm_status measure(struct costs *costs, struct owm_error *error)
{
    owm_status status = check_turn(error);
    if (status != OWM_OK) return status;
    for (int run = 0; run < RUNS; run++) {
        double seconds = 0;
        for (int turn = 0; turn < RUN_TURNS; turn++) seconds += dry_turn(&dry);
        costs->rate[run] = RUN_TURNS * DRY_BATCH / seconds;
        measure_costs(costs, run);
    }
    return check_total((uint64_t)(1 + RUNS * RUN_TURNS) * DRY_BATCH, error);
}

static owm_status bench_shape(const struct bench_options *options, struct pool_world *world,
                              const struct dry_shape *shape, struct owm_error *error)
{
    struct costs costs;
    char text[64];
    const char *op = shape->extended ? "extended shares" : "standard shares";
    if (!bench_wants(options, op)) return OWM_OK;
    owm_status status = dry_open(&dry, world, shape, error);
    if (status == OWM_OK) status = measure(&costs, error);
    dry_close(&dry);
    if (status != OWM_OK) return status;
    snprintf(text, sizeof text, "%u miners, %u a read", shape->miners, shape->shares_a_read);
    bench_print(options, &(struct bench_row){.bench = "pool",
                                             .op = op,
                                             .shape = text,
                                             .unit = "shares/s per core",
                                             .value = bench_percentile(costs.rate, RUNS, 0.5),
                                             .low = costs.rate[0],
                                             .high = costs.rate[RUNS - 1],
                                             .limit = bench_percentile(costs.limit, RUNS, 0.5),
                                             .limit_name = "AEAD and SHA-256d beside it"});
    if (shape->miners != DRY_BATCH) return OWM_OK;
    print_cost(options, shape->extended ? "extended shares: open" : "standard shares: open",
               costs.open);
    print_cost(options, shape->extended ? "extended shares: root" : "standard shares: hash",
               shape->extended ? costs.root : costs.hash);
    if (!shape->extended) print_cost(options, "standard shares: Success", costs.seal);
    return OWM_OK;
}

owm_status pool_bench_core(const struct bench_options *options, struct pool_world *world,
                           struct owm_error *error)
{
    static const struct dry_shape shapes[] = {
        {1024, 1, false}, {65536, 1, false}, {32, 32, false},
        {1024, 1, true},  {65536, 1, true},  {32, 32, true},
    };
    owm_status status = OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < sizeof shapes / sizeof *shapes; i++)
        if (!options->connections || shapes[i].miners <= options->connections)
            status = bench_shape(options, world, &shapes[i], error);
    return status;
}

/* ------------------------------------------------------------------ jobs */

/** A job to one miner, alone: its root where it needs one, and two frames. */
static double job_cost(void)
{
    double prev_hash = cost_seal(COST_PREV_HASH);
    if (dry.shape.extended) return cost_seal(dry.longest) + prev_hash;
    return cost_root(dry.device, dry.work) + cost_seal(COST_NEW_JOB) + prev_hash;
}

static owm_status measure_jobs(struct pool_world *world, double *ms, double *limit_ms,
                               struct owm_error *error)
{
    owm_status status = OWM_OK;
    dry.longest = 0;
    for (int run = 0; status == OWM_OK && run < RUNS; run++) {
        double seconds = 0;
        status = dry_job(&dry, world, &seconds, error);
        ms[run] = seconds * 1e3;
        limit_ms[run] = job_cost() * dry.shape.miners * 1e3;
    }
    return status;
}

static owm_status bench_jobs(const struct bench_options *options, struct pool_world *world,
                             const struct dry_shape *shape, struct owm_error *error)
{
    double ms[RUNS], limit_ms[RUNS];
    char text[64];
    snprintf(text, sizeof text, "%u %s, no sockets", shape->miners,
             shape->extended ? "extended" : "standard");
    owm_status status = dry_open(&dry, world, shape, error);
    if (status == OWM_OK) status = measure_jobs(world, ms, limit_ms, error);
    dry_close(&dry);
    if (status != OWM_OK) return status;
    bench_print(options, &(struct bench_row){.bench = "pool",
                                             .op = "new job",
                                             .shape = text,
                                             .unit = "ms",
                                             .value = bench_percentile(ms, RUNS, 0.5),
                                             .low = ms[0],
                                             .high = ms[RUNS - 1],
                                             .limit = bench_percentile(limit_ms, RUNS, 0.5),
                                             .limit_name = "AEAD and roots beside it",
                                             .lower_is_better = true});
    return OWM_OK;
}

owm_status pool_bench_jobs(const struct bench_options *options, struct pool_world *world,
                           struct owm_error *error)
{
    static const uint32_t miners[] = {100, 10000, 50000, 100000};
    owm_status status = OWM_OK;
    if (!bench_wants(options, "new job")) return OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < 2 * sizeof miners / sizeof *miners; i++) {
        const struct dry_shape shape = {miners[i / 2], 1, i % 2};
        if (options->connections ? shape.miners > options->connections : shape.miners == 100)
            continue;
        status = bench_jobs(options, world, &shape, error);
    }
    return status;
}

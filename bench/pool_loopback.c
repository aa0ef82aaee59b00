/* pool_loopback.c: the pool under miners on loopback: shares and handshakes of a core, latency with
 * the journal on, memory, new jobs. Each share that a miner sent is acknowledged once and accepted
 * once, or the benchmark fails.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "pool_cost.h"
#include "pool_miners.h"
#include "pool_rig.h"

#define BULK_MINERS     256
#define BULK_WINDOW     32
#define MANY_MINERS     10000
#define SPARE_FILES     200 /* Of the pool's process, beside connections. */
#define HANDSHAKING     64  /* At once. */
#define MINERS_FEW      64  /* Whose memory is nothing beside the fixed parts. */
#define JOB_RUNS        5
#define GOAL_END_TO_END 200000
#define GOAL_IDLE_KIB   8
#define GOAL_ACK_MS     5

/** stage: a pool, its miners, and what to print of them. */
struct stage {
    const struct bench_options *options;
    struct pool_world *world;
    struct pool_rig rig;
    struct miners miners;
    struct miners_plan plan;
    char shape[64];
    double resident_bytes; /* Of this process before the pool was opened; */
    double fixed_bytes;    /* what a pool of a few adds to that. */
};

static owm_status stage_open(struct stage *stage, uint32_t miners, bool extended,
                             struct owm_error *error)
{
    stage->plan = (struct miners_plan){.count = miners, .extended = extended};
    memcpy(stage->plan.authority, stage->world->credentials.authority, 32);
    memcpy(stage->plan.easiest, stage->world->easiest, 32);
    struct rig_used before;
    stage->rig = (struct pool_rig){0};
    rig_used(&stage->rig, &before);
    stage->resident_bytes = before.resident_bytes;
    owm_status status = miners_start(&stage->miners, &stage->plan, error);
    if (status == OWM_OK)
        status = rig_open(&stage->rig, stage->world, stage->options->threads, miners, error);
    return status;
}

static void stage_close(struct stage *stage)
{
    miners_stop(&stage->miners);
    rig_close(&stage->rig);
}

static owm_status run(struct stage *stage, struct miners_command command,
                      struct miners_report *report, struct owm_error *error)
{
    command.port = owm_net_port(stage->rig.net);
    command.seconds = stage->options->seconds;
    owm_status status = miners_begin(&stage->miners, &command, error);
    return status == OWM_OK ? miners_end(&stage->miners, report, error) : status;
}

static void print_row(const struct stage *stage, struct bench_row row)
{
    row.bench = "pool";
    if (!row.shape) row.shape = stage->shape;
    bench_print(stage->options, &row);
}

static owm_status check_shares(const struct rig_used *from, const struct rig_used *to,
                               const struct miners_report *report, struct owm_error *error)
{
    uint64_t accepted = to->accepted - from->accepted;
    if (accepted == report->submitted && report->done == report->submitted && accepted)
        return OWM_OK;
    return owm_fail(error, OWM_E_STATE, "%llu shares sent, %llu accepted, %llu acknowledged",
                    (unsigned long long)report->submitted, (unsigned long long)accepted,
                    (unsigned long long)report->done);
}

/* ------------------------------------------------------------------ shares a second */

static void print_flood(const struct stage *stage, const struct rig_used *from,
                        const struct rig_used *to, const struct miners_report *report)
{
    double shares = (double)report->done;
    bool extended = stage->plan.extended;
    print_row(stage,
              (struct bench_row){.op = extended ? "end to end extended" : "end to end standard",
                                 .unit = "shares/s per core",
                                 .value = shares / (to->loops_s - from->loops_s),
                                 .limit = GOAL_END_TO_END,
                                 .limit_name = "goal"});
    print_row(stage, (struct bench_row){.op = "end to end, journal's thread too",
                                        .unit = "shares/s per core",
                                        .value = shares / (to->all_s - from->all_s)});
    print_row(stage, (struct bench_row){.op = "end to end, by the clock",
                                        .unit = "shares/s",
                                        .value = shares / report->seconds});
    print_row(stage, (struct bench_row){.op = "end to end, the miners' process",
                                        .unit = "shares/s per core",
                                        .value = shares / report->cpu_s});
}

static owm_status flood(struct stage *stage, uint32_t window, struct owm_error *error)
{
    struct miners_report report;
    struct rig_used from, to;
    if (!bench_wants(stage->options, "end to end")) return OWM_OK;
    snprintf(stage->shape, sizeof stage->shape, "%u miners, %u on the way", stage->plan.count,
             window);
    rig_used(&stage->rig, &from);
    owm_status status =
        run(stage, (struct miners_command){.task = MINERS_FLOOD, .window = window}, &report, error);
    rig_used(&stage->rig, &to);
    if (status == OWM_OK) status = check_shares(&from, &to, &report, error);
    if (status == OWM_OK) print_flood(stage, &from, &to, &report);
    return status;
}

/* ------------------------------------------------------------------ latency */

static void print_pace(const struct stage *stage, const struct rig_used *from,
                       const struct rig_used *to, const struct miners_report *report)
{
    static const struct {
        const char *op;
        double p, limit;
    } rows[] = {{"submit to ack, p50", 0.5, 0},
                {"submit to ack, p99", 0.99, GOAL_ACK_MS},
                {"submit to ack, p99.9", 0.999, 0},
                {"submit to ack, longest", 1, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_row(stage, (struct bench_row){.op = rows[i].op,
                                            .unit = "ms",
                                            .value = bench_percentile(stage->miners.sample,
                                                                      report->samples, rows[i].p),
                                            .limit = rows[i].limit,
                                            .limit_name = "goal",
                                            .lower_is_better = true});
    double batches = (double)(to->batches - from->batches);
    print_row(stage,
              (struct bench_row){.op = "submit to ack, mean fdatasync",
                                 .unit = "ms",
                                 .value = (double)(to->sync_ns - from->sync_ns) / 1e6 / batches,
                                 .lower_is_better = true});
    print_row(stage, (struct bench_row){.op = "submit to ack, the pool's cores",
                                        .unit = "% of one",
                                        .value = 100 * (to->all_s - from->all_s) / report->seconds,
                                        .lower_is_better = true});
    print_row(stage, (struct bench_row){.op = "submit to ack, the miners' core",
                                        .unit = "% of one",
                                        .value = 100 * report->cpu_s / report->seconds,
                                        .lower_is_better = true});
    print_row(stage, (struct bench_row){.op = "submit to ack, sent over 1 ms late",
                                        .unit = "% of shares",
                                        .value = 100 * (double)report->late / (double)report->done,
                                        .lower_is_better = true});
}

static owm_status pace(struct stage *stage, struct owm_error *error)
{
    struct miners_report report;
    struct rig_used from, to;
    if (!bench_wants(stage->options, "submit to ack")) return OWM_OK;
    snprintf(stage->shape, sizeof stage->shape, "%u miners, %u shares/s", stage->plan.count,
             stage->options->rate);
    rig_used(&stage->rig, &from);
    owm_status status =
        run(stage, (struct miners_command){.task = MINERS_PACE, .rate = stage->options->rate},
            &report, error);
    rig_used(&stage->rig, &to);
    if (status == OWM_OK) status = check_shares(&from, &to, &report, error);
    if (status == OWM_OK) print_pace(stage, &from, &to, &report);
    return status;
}

/* ------------------------------------------------------------------ connections */

/** All connect; what each takes in memory of the pool's process, its fixed parts not counted. */
static owm_status connect_all(struct stage *stage, struct owm_error *error)
{
    struct miners_report report;
    struct rig_used from, to;
    snprintf(stage->shape, sizeof stage->shape, "%u connections", stage->plan.count);
    rig_used(&stage->rig, &from);
    owm_status status = run(stage, (struct miners_command){.task = MINERS_CONNECT}, &report, error);
    rig_used(&stage->rig, &to);
    double bytes = to.resident_bytes - stage->resident_bytes, miners = stage->plan.count;
    if (stage->plan.count == MINERS_FEW) stage->fixed_bytes = bytes;
    if (status != OWM_OK || stage->plan.count <= BULK_MINERS) return status;
    print_row(stage, (struct bench_row){.op = "idle connection, resident",
                                        .unit = "KiB",
                                        .value = (bytes - stage->fixed_bytes) / 1024 / miners,
                                        .limit = GOAL_IDLE_KIB,
                                        .limit_name = "goal",
                                        .lower_is_better = true});
    print_row(stage, (struct bench_row){.op = "idle connection, of it in net",
                                        .unit = "KiB",
                                        .value = (to.touched_bytes - from.touched_bytes) / 1024
                                                 / stage->plan.count,
                                        .lower_is_better = true});
    print_row(stage, (struct bench_row){.op = "idle connection, to set up",
                                        .unit = "miners/s per core",
                                        .value = stage->plan.count / (to.loops_s - from.loops_s)});
    return OWM_OK;
}

static owm_status measure_fixed(struct stage *stage, struct owm_error *error)
{
    if (!bench_wants(stage->options, "idle connection")) return OWM_OK;
    owm_status status = stage_open(stage, MINERS_FEW, false, error);
    if (status == OWM_OK) status = connect_all(stage, error);
    stage_close(stage);
    return status;
}

static owm_status handshakes(struct stage *stage, struct owm_error *error)
{
    struct miners_report report;
    struct rig_used from, to;
    if (!bench_wants(stage->options, "handshakes")) return OWM_OK;
    owm_status status = stage_open(stage, HANDSHAKING, false, error);
    snprintf(stage->shape, sizeof stage->shape, "%d at once", HANDSHAKING);
    if (status == OWM_OK) {
        rig_used(&stage->rig, &from);
        status = run(stage, (struct miners_command){.task = MINERS_HANDSHAKES}, &report, error);
        rig_used(&stage->rig, &to);
    }
    stage_close(stage);
    if (status != OWM_OK) return status;
    double done = (double)(to.handshakes - from.handshakes);
    if (!report.done) return owm_fail(error, OWM_E_STATE, "no handshake was finished");
    print_row(stage, (struct bench_row){.op = "handshakes",
                                        .unit = "handshakes/s per core",
                                        .value = done / (to.loops_s - from.loops_s),
                                        .limit = 1 / cost_handshake(&stage->world->credentials),
                                        .limit_name = "curve arithmetic beside it"});
    print_row(stage, (struct bench_row){.op = "handshakes, by the clock",
                                        .unit = "handshakes/s",
                                        .value = done / report.seconds});
    return OWM_OK;
}

/* ------------------------------------------------------------------ new jobs */

/** job_times: of each run, when the first, the middle, all but one in a hundred, the last had it.
 *  */
static const struct {
    const char *op;
    double p;
} job_times[] = {
    {"new job, first", 0}, {"new job, p50", 0.5}, {"new job, p99", 0.99}, {"new job, last", 1}};
#define JOB_TIMES (sizeof job_times / sizeof *job_times)

static owm_status post_once(struct stage *stage, double ms[JOB_TIMES], struct owm_error *error)
{
    struct miners_report report;
    double posted_ms;
    struct miners_command command = {.task = MINERS_WATCH, .port = owm_net_port(stage->rig.net)};
    owm_status status = miners_begin(&stage->miners, &command, error);
    if (status == OWM_OK) status = rig_post(&stage->rig, &posted_ms, error);
    if (status == OWM_OK) status = miners_end(&stage->miners, &report, error);
    for (size_t i = 0; status == OWM_OK && i < JOB_TIMES; i++)
        ms[i] = bench_percentile(stage->miners.sample, report.samples, job_times[i].p) - posted_ms;
    return status;
}

static owm_status new_jobs(struct stage *stage, struct owm_error *error)
{
    double ms[JOB_RUNS][JOB_TIMES], times[JOB_RUNS];
    owm_status status = OWM_OK;
    if (!bench_wants(stage->options, "new job")) return OWM_OK;
    snprintf(stage->shape, sizeof stage->shape, "%u %s", stage->plan.count,
             stage->plan.extended ? "extended" : "standard");
    for (int run = 0; status == OWM_OK && run < JOB_RUNS; run++)
        status = post_once(stage, ms[run], error);
    for (size_t i = 0; status == OWM_OK && i < JOB_TIMES; i++) {
        for (int run = 0; run < JOB_RUNS; run++) times[run] = ms[run][i];
        print_row(stage, (struct bench_row){.op = job_times[i].op,
                                            .unit = "ms",
                                            .value = bench_percentile(times, JOB_RUNS, 0.5),
                                            .low = times[0],
                                            .high = times[JOB_RUNS - 1],
                                            .lower_is_better = true});
    }
    return status;
}

/* ------------------------------------------------------------------ stages */

static owm_status bulk(struct stage *stage, uint32_t miners, bool extended, struct owm_error *error)
{
    if (!bench_wants(stage->options, "end to end")) return OWM_OK;
    owm_status status = stage_open(stage, miners, extended, error);
    if (status == OWM_OK) status = connect_all(stage, error);
    if (status == OWM_OK) status = flood(stage, BULK_WINDOW, error);
    stage_close(stage);
    return status;
}

/** loaded: shares, too; otherwise memory and jobs alone. */
static owm_status many(struct stage *stage, uint32_t miners, bool extended, bool loaded,
                       struct owm_error *error)
{
    const struct bench_options *options = stage->options;
    bool wanted =
        bench_wants(options, "idle connection") || bench_wants(options, "new job")
        || (loaded
            && (bench_wants(options, "end to end") || bench_wants(options, "submit to ack")));
    if (!wanted) return OWM_OK;
    owm_status status = stage_open(stage, miners, extended, error);
    if (status == OWM_OK) status = connect_all(stage, error);
    if (status == OWM_OK) status = new_jobs(stage, error);
    if (status == OWM_OK && loaded) status = flood(stage, 1, error);
    if (status == OWM_OK && loaded) status = pace(stage, error);
    stage_close(stage);
    return status;
}

/** Both ends may have as many files as the hard limit says, each in a process of its own. */
static uint32_t most_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return MANY_MINERS;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    uint64_t files = limit.rlim_cur;
    if (files > 50000 + SPARE_FILES) return 50000;
    return files > 2 * SPARE_FILES ? (uint32_t)(files - SPARE_FILES) : SPARE_FILES;
}

owm_status pool_bench_loopback(const struct bench_options *options, struct pool_world *world,
                               struct owm_error *error)
{
    struct stage stage = {.options = options, .world = world};
    uint32_t most = most_connections();
    if (options->connections && options->connections < most) most = options->connections;
    uint32_t few = most < BULK_MINERS ? most : BULK_MINERS;
    uint32_t some = most < MANY_MINERS ? most : MANY_MINERS;
    owm_status status = bulk(&stage, few, false, error);
    if (status == OWM_OK) status = measure_fixed(&stage, error);
    if (status == OWM_OK) status = bulk(&stage, few, true, error);
    if (status == OWM_OK) status = many(&stage, some, false, true, error);
    if (status == OWM_OK) status = many(&stage, some, true, false, error);
    if (status == OWM_OK && most > some) status = many(&stage, most, false, false, error);
    if (status == OWM_OK && most > some) status = many(&stage, most, true, false, error);
    return status == OWM_OK ? handshakes(&stage, error) : status;
}

/* control.c: start PostgreSQL and owm-coordinator, drive them with simulated nodes, print rows.
 *
 * Everything runs on this machine: coordinator, database and load generator share its cores, so the
 * figures are a floor of what a coordinator with cores of its own does.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "bench.h"
#include "dispatch.h"
#include "postgres.h"
#include "process.h"
#include "sim_node.h"

#define READY_TIMEOUT_MS 60000
#define DISPATCH_TASKS   500
#define DISPATCH_WORKERS 8

struct rig {
    char folder[64];
    char target[32], internal[32];
    struct postgres postgres;
    struct process coordinator;
    owm_identity *operator_identity;
    uint8_t *certificate_pem;
    struct owm_rpc_client *operator_rpc;
    struct sim_fleet fleet;
};

/* Every node is a socket here and one in the coordinator, which inherits the limit. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static owm_status write_config(const struct rig *rig, unsigned nodes, struct owm_error *error)
{
    char text[2048], path[128], key_hex[65];
    owm_hex_encode(owm_identity_public_key(rig->operator_identity), 32, key_hex);
    int bytes = snprintf(text, sizeof text,
                         "[server]\nlisten = \"%s\"\ninternal_listen = \"%s\"\n"
                         "data_dir = \"%s/coordinator\"\nlog_level = \"warn\"\n"
                         "[policy]\nnetwork = \"devnet\"\nstake = \"none\"\n"
                         "registrations_per_ip_hour = 0\n[rounds]\nenabled = false\n"
                         "[limits]\nnodes_max = %u\n[internal]\nallowed_keys = \"%s\"\n"
                         "[http]\nport = 0\n",
                         rig->target, rig->internal, rig->folder, nodes + 16, key_hex);
    snprintf(path, sizeof path, "%s/coordinator.toml", rig->folder);
    return owm_fs_write_atomic(path, text, (size_t)bytes, 0600, error);
}

static owm_status start_coordinator(struct rig *rig, const struct bench_options *options,
                                    struct owm_error *error)
{
    char program[512] = "", config[128], log[128];
    if (options->coordinator) {
        snprintf(program, sizeof program, "%s", options->coordinator);
    } else {
        char self[400] = "";
        if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return OWM_E_IO;
        *strrchr(self, '/') = 0;
        snprintf(program, sizeof program, "%s/owm-coordinator", self);
    }
    snprintf(config, sizeof config, "%s/coordinator.toml", rig->folder);
    snprintf(log, sizeof log, "%s/logs/coordinator.log", rig->folder);
    const char *const argv[] = {program, "--config", config, NULL};
    return process_start(&rig->coordinator, "coordinator", argv,
                         &(struct process_options){.log_path = log}, error);
}

/* The operator's connection, made once the coordinator has written its certificate. */
static owm_status connect_operator(struct rig *rig, struct owm_error *error)
{
    char path[160];
    size_t bytes;
    struct owm_cert cert = {0};
    snprintf(path, sizeof path, "%s/coordinator/coordinator.crt", rig->folder);
    uint64_t give_up_ms = owm_clock_mono_ms() + READY_TIMEOUT_MS;
    while (owm_fs_read(path, 65536, &rig->certificate_pem, &bytes, NULL)) {
        if (!process_alive(&rig->coordinator) || owm_clock_mono_ms() > give_up_ms)
            return owm_fail(error, OWM_E_STATE, "owm-coordinator did not start; see %s/logs",
                            rig->folder);
        owm_clock_sleep_ms(100);
    }
    owm_status status = owm_identity_cert(rig->operator_identity, "owm-bench", NULL, &cert, error);
    if (status) return status;
    struct owm_rpc_client_config config = {.target = rig->internal,
                                           .server_certificate_pem =
                                               (const char *)rig->certificate_pem,
                                           .certificate_pem = cert.cert_pem,
                                           .key_pem = cert.key_pem,
                                           .wait_for_ready = true};
    status = owm_rpc_client_open(&rig->operator_rpc, &config, error);
    owm_cert_deinit(&cert);
    return status;
}

static owm_status rig_up(struct rig *rig, const struct bench_options *options,
                         struct owm_error *error)
{
    char logs[96];
    unsigned port = 20000 + (unsigned)getpid() % 20000;
    snprintf(rig->folder, sizeof rig->folder, "/tmp/owm-bench-XXXXXX");
    if (!mkdtemp(rig->folder) || chmod(rig->folder, 0755)) /* PostgreSQL's account passes it. */
        return owm_fail(error, OWM_E_IO, "no temporary folder");
    snprintf(logs, sizeof logs, "%s/logs", rig->folder);
    snprintf(rig->target, sizeof rig->target, "127.0.0.1:%u", port);
    snprintf(rig->internal, sizeof rig->internal, "127.0.0.1:%u", port + 1);
    owm_status status = owm_fs_mkdirs(logs, 0755, error);
    if (status == OWM_OK) status = owm_identity_generate(&rig->operator_identity);
    if (status == OWM_OK) status = postgres_start(&rig->postgres, rig->folder, error);
    if (status == OWM_OK) setenv("DATABASE_URL", rig->postgres.url, 1);
    if (status == OWM_OK) status = write_config(rig, options->nodes, error);
    if (status == OWM_OK) status = start_coordinator(rig, options, error);
    if (status == OWM_OK) status = connect_operator(rig, error);
    return status;
}

static void rig_down(struct rig *rig)
{
    sim_fleet_close(&rig->fleet);
    owm_rpc_client_close(rig->operator_rpc);
    process_stop(&rig->coordinator, SIGTERM, 20000);
    postgres_stop(&rig->postgres);
    owm_identity_close(rig->operator_identity);
    free(rig->certificate_pem);
    char *const argv[] = {"/bin/rm", "-rf", rig->folder, NULL};
    struct process_options quiet = {.log_path = "/dev/null"};
    if (*rig->folder && process_run("rm", (const char *const *)argv, &quiet, NULL))
        fprintf(stderr, "owm-bench: %s stays behind\n", rig->folder);
}

static double resident_mb(pid_t pid)
{
    char path[64], line[128];
    double kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %lf", &kb) == 1) break;
    if (file) fclose(file);
    return kb / 1024;
}

static owm_status measure_fleet(struct rig *rig, const struct bench_options *options,
                                const char *shape, struct owm_error *error)
{
    double rate = 0, before_mb = resident_mb(rig->coordinator.pid);
    uint64_t start_ns = owm_clock_mono_ns();
    owm_status status = sim_fleet_open(&rig->fleet, options->nodes, rig->target,
                                       (const char *)rig->certificate_pem, error);
    if (status == OWM_OK) status = sim_fleet_register(&rig->fleet, 64, error);
    if (status) return status;
    double seconds = (double)(owm_clock_mono_ns() - start_ns) / 1e9;
    bench_print(options, &(struct bench_row){.bench = "control",
                                             .op = "register + mTLS handshake",
                                             .shape = shape,
                                             .value = options->nodes / seconds,
                                             .unit = "nodes/s"});
    bench_print(options,
                &(struct bench_row){.bench = "control",
                                    .op = "coordinator memory",
                                    .shape = shape,
                                    .value = (resident_mb(rig->coordinator.pid) - before_mb) * 1024
                                             / options->nodes,
                                    .unit = "KiB/node"});
    status = sim_fleet_heartbeats(&rig->fleet, options->in_flight, options->seconds, &rate, error);
    if (status) return status;
    bench_print(options, &(struct bench_row){.bench = "control",
                                             .op = "heartbeats accepted",
                                             .shape = shape,
                                             .value = rate,
                                             .unit = "heartbeats/s",
                                             .limit = 10000.0 / 60,
                                             .limit_name = "SRS-PERF-04"});
    return OWM_OK;
}

static owm_status measure_dispatch(struct rig *rig, const struct bench_options *options,
                                   struct owm_error *error)
{
    static double latency_ms[DISPATCH_TASKS];
    static const struct {
        const char *op;
        double p;
    } rows[] = {{"dispatch p50", 0.5}, {"dispatch p99", 0.99}, {"dispatch max", 1}};
    size_t count = 0;
    struct dispatch_config config = {
        .operator_rpc = rig->operator_rpc,
        .fleet = &rig->fleet,
        .workers = DISPATCH_WORKERS < rig->fleet.count ? DISPATCH_WORKERS : rig->fleet.count,
        .tasks = DISPATCH_TASKS,
        .interval_ms = 10};
    owm_status status = dispatch_run(&config, latency_ms, &count, error);
    if (status) return status;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        bench_print(options,
                    &(struct bench_row){.bench = "control",
                                        .op = rows[i].op,
                                        .shape = "500 tasks, 100/s",
                                        .value = bench_percentile(latency_ms, count, rows[i].p),
                                        .unit = "ms",
                                        .limit = 1000,
                                        .limit_name = "SRS-PERF-09",
                                        .lower_is_better = true});
    return OWM_OK;
}

owm_status bench_control(const struct bench_options *options, struct owm_error *error)
{
    struct rig rig = {0};
    char shape[32];
    owm_log_level_set(OWM_LOG_ERROR);
    raise_descriptor_limit();
    snprintf(shape, sizeof shape, "%u nodes", options->nodes);
    owm_status status = rig_up(&rig, options, error);
    if (status == OWM_OK) status = measure_fleet(&rig, options, shape, error);
    if (status == OWM_OK) status = measure_dispatch(&rig, options, error);
    rig_down(&rig);
    return status;
}

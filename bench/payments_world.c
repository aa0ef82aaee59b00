/* payments_world.c: see payments_world.h. */
#include "payments_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/uuid.h"

#define READY_S      60
#define POLL_MS      20
#define BATCH        5000
#define AMOUNT_MSAT  21000
#define CONFIRMED    3
#define ANSWER_BYTES ((size_t)64 << 20)

static const struct owm_pg_statement statements[] = {
    {"bench_owe",
     "INSERT INTO payments (payment_id, source_id, purpose, node_id, amount_msat, payment_hash,"
     " created_at) VALUES ($1, $2, 'inference', $3, $4, $5, clock_timestamp())"},
    {"bench_node", "INSERT INTO nodes (node_id, public_key, ln_node_uri, ln_key, tier, status)"
                   " VALUES ($1, $2, $3, $4, 't1', 'active')"},
};
enum { OWE, NODE, STATEMENTS };

/* -------------------------------------------------------------------------------- programs */

/* A program of the same build. */
static owm_status path_beside(const char *name, char path[512], struct owm_error *error)
{
    ssize_t length = readlink("/proc/self/exe", path, 512 - 32);
    if (length < 0) return owm_fail(error, OWM_E_IO, "/proc/self/exe cannot be read");
    path[length] = 0;
    snprintf(strrchr(path, '/') + 1, 32, "%s", name);
    return OWM_OK;
}

static owm_status lightning_start(struct pay_world *world, struct owm_error *error)
{
    char program[512], log[128], argument[128];
    snprintf(log, sizeof log, "%s/logs/lnd-double.log", world->folder);
    snprintf(argument, sizeof argument, "%s=127.0.0.1:0", world->treasury);
    const char *const argv[] = {program, "--control", world->control, argument, NULL};
    owm_status status = path_beside("lnd-double", program, error);
    if (status == OWM_OK)
        status = process_start(&world->lightning, "lnd-double", argv,
                               &(struct process_options){.log_path = log}, error);
    uint64_t give_up_ms = owm_clock_mono_ms() + READY_S * 1000;
    while (status == OWM_OK) {
        FILE *file = fopen(log, "re");
        int found = file ? fscanf(file, "ready %*s %63s", world->address) : 0;
        if (file) fclose(file);
        if (found == 1) return OWM_OK;
        if (!process_alive(&world->lightning) || owm_clock_mono_ms() > give_up_ms)
            return owm_fail(error, OWM_E_TIMEOUT, "lnd-double is not ready: see %s", log);
        owm_clock_sleep_ms(POLL_MS);
    }
    return status;
}

static owm_status config_write(struct pay_world *world, struct owm_error *error)
{
    char text[2048], path[128];
    unsigned port = 20000 + (unsigned)getpid() % 20000;
    int bytes = snprintf(
        text, sizeof text,
        "[server]\nlisten = \"127.0.0.1:%u\"\ninternal_listen = \"127.0.0.1:%u\"\n"
        "data_dir = \"%s/coordinator\"\nlog_level = \"warn\"\n"
        "[policy]\nnetwork = \"regtest\"\nstake = \"lightning\"\n[rounds]\nenabled = false\n"
        "[limits]\nnodes_max = %u\n[http]\nport = 0\n"
        "[lightning]\nbackend = \"lnd\"\naddress = \"%s\"\ncertificate = \"%s\"\n"
        "network = \"regtest\"\nstake_credential = \"%s/stake.macaroon\"\n"
        "pay_credential = \"%s/pay.macaroon\"\n",
        port, port + 1, world->folder, world->nodes + 16, world->address, world->certificate,
        world->treasury, world->treasury);
    snprintf(path, sizeof path, "%s/coordinator.toml", world->folder);
    return owm_fs_write_atomic(path, text, (size_t)bytes, 0600, error);
}

owm_status pay_world_start(struct pay_world *world, struct owm_error *error)
{
    char program[512], config[128], log[128];
    snprintf(config, sizeof config, "%s/coordinator.toml", world->folder);
    snprintf(log, sizeof log, "%s/logs/coordinator.log", world->folder);
    owm_status status = path_beside("owm-coordinator", program, error);
    if (world->options->coordinator)
        snprintf(program, sizeof program, "%s", world->options->coordinator);
    const char *const argv[] = {program, "--config", config, NULL};
    if (status) return status;
    return process_start(&world->coordinator, "coordinator", argv,
                         &(struct process_options){.log_path = log}, error);
}

static int control_connect(const struct pay_world *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", world->control);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

owm_status pay_world_ask(struct pay_world *world, const char *command, char **answer,
                         struct owm_error *error)
{
    char status[16] = "", *line = NULL;
    size_t lines = 0, room = 0, length = 0;
    *answer = NULL;
    int fd = control_connect(world);
    if (fd < 0) return owm_fail(error, OWM_E_NET, "lnd-double does not listen: %m");
    FILE *in = fdopen(fd, "r"), *out = open_memstream(answer, &length);
    OWM_ASSERT(in && out);
    dprintf(fd, "treasury %s\n", command);
    if (getline(&line, &room, in) > 0) sscanf(line, "%15s %zu", status, &lines);
    while (lines-- > 0 && ftell(out) < (long)ANSWER_BYTES && getline(&line, &room, in) > 0)
        fputs(line, out);
    fclose(in);
    fclose(out);
    free(line);
    if (strcmp(status, "ok") == 0) return OWM_OK;
    return owm_fail(error, OWM_E_STATE, "lnd-double, '%s': %s", command, *answer);
}

owm_status pay_world_node(struct pay_world *world, enum owm_lightning_role role,
                          const char *macaroon, owm_lightning **node, struct owm_error *error)
{
    char credential[128];
    snprintf(credential, sizeof credential, "%s/%s.macaroon", world->treasury, macaroon);
    struct owm_lightning_config config = {.backend = OWM_LIGHTNING_LND,
                                          .role = role,
                                          .address = world->address,
                                          .certificate = world->certificate,
                                          .credential = credential,
                                          .network = "regtest"};
    return owm_lightning_open(&config, node, error);
}

/* -------------------------------------------------------------------------------- database */

int64_t pay_world_number(struct pay_world *world, const char *sql)
{
    struct owm_pg_rows *rows = NULL;
    if (owm_pg_query(world->pg, sql, NULL, &rows, NULL) != OWM_OK) return -1;
    bool there = owm_pg_rows_count(rows) > 0 && !owm_pg_is_null(rows, 0, 0);
    int64_t value = there ? owm_pg_get_i64(rows, 0, 0) : -1;
    owm_pg_rows_free(rows);
    return value;
}

owm_status pay_world_until(struct pay_world *world, const char *sql, int64_t wanted,
                           unsigned timeout_s, struct owm_error *error)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + timeout_s * 1000;
    int64_t value;
    while ((value = pay_world_number(world, sql)) < wanted) {
        if (!process_alive(&world->coordinator))
            return owm_fail(error, OWM_E_STATE, "owm-coordinator has ended: see %s/logs",
                            world->folder);
        if (owm_clock_mono_ms() > give_up_ms)
            return owm_fail(error, OWM_E_TIMEOUT, "%lld of %lld after %u s: %s", (long long)value,
                            (long long)wanted, timeout_s, sql);
        owm_clock_sleep_ms(POLL_MS);
    }
    return OWM_OK;
}

static owm_status node_queue(struct pay_world *world, const uint8_t *key, uint8_t id[16],
                             struct owm_error *error)
{
    struct owm_pg_args args;
    char hex[67], public_key[65], uri[100];
    owm_uuid_random(id);
    owm_hex_encode(key, OWM_LIGHTNING_KEY_BYTES, hex);
    owm_hex_encode(key + 1, 32, public_key);
    snprintf(uri, sizeof uri, "%s@10.0.0.1:9735", hex);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_text(&args, public_key);
    owm_pg_text(&args, uri);
    owm_pg_bytes(&args, key, OWM_LIGHTNING_KEY_BYTES);
    return owm_pg_queue(world->pg, &statements[NODE], &args, error);
}

static owm_status nodes_write(struct pay_world *world, const struct owm_lightning_channel *channels,
                              struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (unsigned at = 0; at < world->nodes && status == OWM_OK;) {
        unsigned end = world->nodes - at > BATCH ? at + BATCH : world->nodes;
        status = owm_pg_pipeline_begin(world->pg, error);
        for (; at < end && status == OWM_OK; at++)
            status = node_queue(world, channels[at].peer, world->ids + (size_t)at * 16, error);
        if (status == OWM_OK) status = owm_pg_pipeline_commit(world->pg, error);
    }
    return status;
}

owm_status pay_world_owe(struct pay_world *world, unsigned count, uint8_t *hashes,
                         struct owm_error *error)
{
    unsigned payees = world->nodes < PAY_WORLD_PAYEES ? world->nodes : PAY_WORLD_PAYEES;
    owm_status status = owm_pg_pipeline_begin(world->pg, error);
    for (unsigned i = 0; i < count && status == OWM_OK; i++) {
        struct owm_pg_args args;
        uint8_t source[16], id[16], *hash = hashes + (size_t)i * 32;
        owm_uuid_random(source);
        owm_payment_id(source, "inference", id);
        owm_payment_hash(world->secret, id, hash);
        owm_pg_begin_args(&args);
        owm_pg_uuid(&args, id);
        owm_pg_uuid(&args, source);
        owm_pg_uuid(&args, world->ids + world->owed++ % payees * 16);
        owm_pg_i64(&args, AMOUNT_MSAT);
        owm_pg_bytes(&args, hash, 32);
        status = owm_pg_queue(world->pg, &statements[OWE], &args, error);
    }
    return status == OWM_OK ? owm_pg_pipeline_commit(world->pg, error) : status;
}

/* --------------------------------------------------------------------------------- opening */

/* The schema is the coordinator's, who makes it at its first start, with its payment secret. */
static owm_status schema_make(struct pay_world *world, struct owm_error *error)
{
    char path[128];
    snprintf(path, sizeof path, "%s/coordinator/payment.key", world->folder);
    owm_status status = config_write(world, error);
    if (status == OWM_OK) status = pay_world_start(world, error);
    if (status == OWM_OK)
        status = pay_world_until(world, "SELECT 1 WHERE to_regclass('payment_attempts') > 0", 1,
                                 READY_S, error);
    process_stop(&world->coordinator, SIGTERM, 20000);
    if (status == OWM_OK)
        status = owm_payment_secret_load_or_create(path, &world->secret, NULL, error);
    return status == OWM_OK ? owm_pg_prepare(world->pg, statements, STATEMENTS, error) : status;
}

static owm_status channels_make(struct pay_world *world, struct owm_error *error)
{
    char command[64], *answer = NULL;
    snprintf(command, sizeof command, "channels %u capacity=%d", world->nodes,
             PAY_WORLD_CHANNEL_SATS);
    owm_status status = pay_world_ask(world, command, &answer, error);
    free(answer);
    if (status) return status;
    snprintf(command, sizeof command, "mine %d", CONFIRMED);
    status = pay_world_ask(world, command, &answer, error);
    free(answer);
    return status;
}

/* A node for each channel, known by its Lightning key. */
static owm_status nodes_make(struct pay_world *world, struct owm_error *error)
{
    struct owm_lightning_channel *channels = NULL;
    size_t count = 0;
    owm_lightning *node = NULL;
    owm_status status = pay_world_node(world, OWM_LIGHTNING_STAKE, "stake", &node, error);
    if (status == OWM_OK)
        status = owm_lightning_channels(node, NULL, false, &channels, &count, error);
    owm_lightning_close(node);
    if (status == OWM_OK && count != world->nodes)
        status = owm_fail(error, OWM_E_STATE, "%zu of %u channels are listed", count, world->nodes);
    if (status == OWM_OK) status = nodes_write(world, channels, error);
    free(channels);
    return status;
}

owm_status pay_world_open(struct pay_world *world, const struct bench_options *options,
                          struct owm_error *error)
{
    char logs[96];
    *world = (struct pay_world){
        .options = options, .nodes = options->nodes, .folder = "/tmp/owm-bench-XXXXXX"};
    world->ids = calloc(world->nodes, 16);
    if (!world->ids) return OWM_E_NOMEM;
    if (!mkdtemp(world->folder) || chmod(world->folder, 0755)) /* PostgreSQL's account passes it. */
        return owm_fail(error, OWM_E_IO, "no temporary folder");
    snprintf(world->treasury, sizeof world->treasury, "%s/treasury", world->folder);
    snprintf(world->certificate, sizeof world->certificate, "%s/tls.cert", world->treasury);
    snprintf(world->control, sizeof world->control, "%s/control", world->folder);
    snprintf(logs, sizeof logs, "%s/logs", world->folder);
    owm_status status = owm_fs_mkdirs(logs, 0755, error);
    if (status == OWM_OK) status = postgres_start(&world->postgres, world->folder, error);
    if (status == OWM_OK) setenv("DATABASE_URL", world->postgres.url, 1);
    if (status == OWM_OK) status = owm_pg_open(world->postgres.url, &world->pg, error);
    if (status == OWM_OK) status = lightning_start(world, error);
    if (status == OWM_OK) status = channels_make(world, error);
    if (status == OWM_OK) status = schema_make(world, error);
    return status == OWM_OK ? nodes_make(world, error) : status;
}

void pay_world_close(struct pay_world *world)
{
    owm_pg_close(world->pg);
    process_stop(&world->coordinator, SIGTERM, 20000);
    process_stop(&world->lightning, SIGTERM, 5000);
    postgres_stop(&world->postgres);
    owm_payment_secret_close(world->secret);
    free(world->ids);
    char *const argv[] = {"/bin/rm", "-rf", world->folder, NULL};
    struct process_options quiet = {.log_path = "/dev/null"};
    if (process_run("rm", (const char *const *)argv, &quiet, NULL))
        fprintf(stderr, "owm-bench: %s stays behind\n", world->folder);
}

/* source.c: bitcoind, btcd, or owm-devnet-blocks with a difficulty that suits this machine. */
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "dataplane/chain/target.h"
#include "mining.h"

#define HASHES_MIN 65536 /* A block of our own source is never easier to find. */

/* The first folder of $PATH that has it. */
static bool find_on_path(const char *name, char path[static SOURCE_PATH_MAX])
{
    const char *list = getenv("PATH");
    while (list && *list) {
        size_t bytes = strcspn(list, ":");
        int length = snprintf(path, SOURCE_PATH_MAX, "%.*s/%s", (int)bytes, list, name);
        if (bytes > 0 && length < SOURCE_PATH_MAX && access(path, X_OK) == 0) return true;
        list += bytes + (list[bytes] == ':');
    }
    return false;
}

/* What the miner of this network hashes here, before anything else runs. */
static owm_status measure(const struct source *source, const char *programs, double *rate,
                          struct owm_error *error)
{
    char program[SOURCE_PATH_MAX], log[SOURCE_PATH_MAX + 32];
    uint8_t *text = NULL;
    size_t bytes;
    snprintf(program, sizeof program, "%s/owm-mine", programs);
    snprintf(log, sizeof log, "%s/benchmark.json", source->folder);
    const char *const argv[] = {
        program,       "--benchmark",    "--device",  "cpu", "--threads", MINING_THREADS,
        "--intensity", MINING_INTENSITY, "--seconds", "1",   "--json",    NULL};
    unlink(log);
    owm_status status =
        process_run("owm-mine", argv, &(struct process_options){.log_path = log}, error);
    if (status == OWM_OK) status = owm_fs_read(log, 4096, &text, &bytes, error);
    if (status) return status;
    const char *key = "\"hashes_per_s\":", *at = strstr((const char *)text, key);
    *rate = at ? strtod(at + strlen(key), NULL) : 0;
    free(text);
    return *rate > 0 ? OWM_OK : owm_fail(error, OWM_E_PROTO, "%s has no hashrate", log);
}

static void bits_of(double hashes, char text[static 16])
{
    uint8_t target[32];
    owm_target_of_hashes(hashes < HASHES_MIN ? HASHES_MIN : (uint64_t)hashes, target);
    snprintf(text, 16, "%08x", owm_target_to_compact(target));
}

static bool known(const struct source *source, const char *name, char *text, size_t bytes)
{
    char path[SOURCE_PATH_MAX + 16];
    uint8_t *data = NULL;
    size_t got;
    snprintf(path, sizeof path, "%s/%s", source->folder, name);
    if (owm_fs_read(path, bytes - 1, &data, &got, NULL)) return false;
    snprintf(text, bytes, "%s", (const char *)data);
    free(data);
    return true;
}

static owm_status keep(const struct source *source, const char *name, const char *text,
                       struct owm_error *error)
{
    char path[SOURCE_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", source->folder, name);
    return owm_fs_write_atomic(path, text, strlen(text), 0644, error);
}

/* The chain keeps what it began with. */
static owm_status choose_chain(struct source *source, const char *programs, bool payable,
                               struct owm_error *error)
{
    double rate;
    snprintf(source->halvings, sizeof source->halvings, "0");
    (void)known(source, "halvings", source->halvings, sizeof source->halvings);
    if (known(source, "bits", source->bits, sizeof source->bits)) return OWM_OK;
    owm_status status = measure(source, programs, &rate, error);
    if (status) return status;
    bits_of(rate * SOURCE_BLOCK_S, source->bits);
    if (payable) snprintf(source->halvings, sizeof source->halvings, SOURCE_HALVINGS);
    status = keep(source, "halvings", source->halvings, error);
    return status ? status : keep(source, "bits", source->bits, error);
}

bool source_payable(const struct source *source)
{
    return source->kind == SOURCE_OURS && strcmp(source->halvings, SOURCE_HALVINGS) == 0;
}

owm_status source_choose(struct source *source, const char *run_folder, const char *programs,
                         bool payable, struct owm_error *error)
{
    uint8_t secret[16];
    *source = (struct source){.kind = SOURCE_OURS};
    if (find_on_path("bitcoind", source->program))
        source->kind = SOURCE_BITCOIND;
    else if (find_on_path("btcd", source->program))
        source->kind = SOURCE_BTCD;
    else
        snprintf(source->program, sizeof source->program, "%s/owm-devnet-blocks", programs);
    snprintf(source->folder, sizeof source->folder, "%s/%s", run_folder,
             source->kind == SOURCE_OURS   ? "blocks"
             : source->kind == SOURCE_BTCD ? "btcd"
                                           : "bitcoind");
    snprintf(source->log, sizeof source->log, "%s/logs/blocks.log", run_folder);
    owm_uuid_random(secret);
    owm_uuid_format(secret, source->password);
    owm_status status = owm_fs_mkdirs(source->folder, 0700, error);
    if (status == OWM_OK && source->kind == SOURCE_OURS)
        status = choose_chain(source, programs, payable, error);
    if (source->kind != SOURCE_BTCD)
        snprintf(source->cookie, sizeof source->cookie, "%s/%s.cookie", source->folder,
                 source->kind == SOURCE_OURS ? "" : "regtest/");
    return status;
}

static owm_status start_ours(struct source *source, struct owm_error *error)
{
    char port[16];
    snprintf(port, sizeof port, "%u", source->port);
    const char *const argv[] = {
        source->program, "--folder",   source->folder, "--port",         port,
        "--bits",        source->bits, "--halvings",   source->halvings, "--zmqpubhashblock",
        source->zmq,     NULL};
    return process_start(&source->process, "owm-devnet-blocks", argv,
                         &(struct process_options){.log_path = source->log}, error);
}

static owm_status start_bitcoind(struct source *source, struct owm_error *error)
{
    char folder[SOURCE_PATH_MAX + 16], port[32], zmq[96];
    snprintf(folder, sizeof folder, "-datadir=%s", source->folder);
    snprintf(port, sizeof port, "-rpcport=%u", source->port);
    snprintf(zmq, sizeof zmq, "-zmqpubhashblock=%s", source->zmq);
    const char *const argv[] = {source->program, "-regtest", "-server", "-listen=0", "-dnsseed=0",
                                folder,          port,       zmq,       NULL};
    return process_start(&source->process, "bitcoind", argv,
                         &(struct process_options){.log_path = source->log}, error);
}

static owm_status start_btcd(struct source *source, struct owm_error *error)
{
    char data[SOURCE_PATH_MAX + 16], logs[SOURCE_PATH_MAX + 16], listen[64], password[80];
    snprintf(data, sizeof data, "--datadir=%s", source->folder);
    snprintf(logs, sizeof logs, "--logdir=%s", source->folder);
    snprintf(listen, sizeof listen, "--rpclisten=127.0.0.1:%u", source->port);
    snprintf(password, sizeof password, "--rpcpass=%s", source->password);
    const char *const argv[] = {source->program,          "--regtest", "--notls", "--nolisten",
                                "--configfile=/dev/null", data,        logs,      listen,
                                "--rpcuser=owm",          password,    NULL};
    return process_start(&source->process, "btcd", argv,
                         &(struct process_options){.log_path = source->log}, error);
}

owm_status source_start(struct source *source, struct owm_error *error)
{
    static owm_status (*const starts[])(struct source *, struct owm_error *) = {
        [SOURCE_OURS] = start_ours, [SOURCE_BITCOIND] = start_bitcoind, [SOURCE_BTCD] = start_btcd};
    return starts[source->kind](source, error);
}

const char *source_text(const struct source *source)
{
    static const char *const texts[] = {
        [SOURCE_OURS] = "owm-devnet-blocks, a stand-in: there is no bitcoind or btcd on the PATH",
        [SOURCE_BITCOIND] = "bitcoind -regtest, where every share is a block",
        [SOURCE_BTCD] = "btcd --regtest, where every share is a block",
    };
    return texts[source->kind];
}

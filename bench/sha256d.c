/* sha256d.c: SHA-256d on one core, by each path of this processor.
 *
 * Held against what the instructions cost at least: their number with every shortcut taken (counted
 * with objdump) over the rate at which this core does the same mixture when nothing waits for
 * anything, measured between the runs. So the clock, and a neighbour on the other half of the core,
 * cancel out. All is by the thread's own processor time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "kernels/cpu/sha256d_path.h"
#include "sha256d_work.h"

#define RUNS        15
#define RUN_SECONDS 0.03
#define PEAK_LOOPS  100000
#define ROWS        4096
#define COINBASE    240
#define BRANCHES    12

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#if defined(__x86_64__)
#define FOUR(x) x x x x

/* The registers are private: VEX and EVEX forms are assembled whatever the file is compiled for. */
#define VECTORS                                                                                    \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define ROR(r)        "vprord $7, %%zmm15, %%zmm" r "\n"
#define TERN(r)       "vpternlogd $0x96, %%zmm15, %%zmm14, %%zmm" r "\n"
#define ADD512(r)     "vpaddd %%zmm15, %%zmm14, %%zmm" r "\n"
#define SHIFT(r)      "vpsrld $7, %%ymm15, %%ymm" r "\n"
#define LOGIC(r)      "vpxor %%ymm15, %%ymm14, %%ymm" r "\n"
#define ADD256(r)     "vpaddd %%ymm15, %%ymm14, %%ymm" r "\n"
#define TWO_ROUNDS(r) "sha256rnds2 %%xmm0, %%xmm15, %%xmm" r "\n"
#define MESSAGE1(r)   "sha256msg1 %%xmm15, %%xmm" r "\n"
#define MESSAGE2(r)   "sha256msg2 %%xmm15, %%xmm" r "\n"
#define ADD128        "paddd %%xmm15, %%xmm14\n"
#define MOVE          "pshufd $14, %%xmm15, %%xmm14\n"
#define ALIGN         "palignr $4, %%xmm15, %%xmm14\n"

/* 7 rotates, 4 three-input logic, 6 additions: as 1176 : 628 : 1044. */
static void mixture_avx512(void)
{
    __asm__ volatile(FOUR(ROR("0") ADD512("1") TERN("2") ROR("3") ADD512("4") ROR("5") TERN("6")
                              ROR("7") ADD512("8") ROR("9") ADD512("10") TERN("11") ROR("12")
                                  ADD512("13") TERN("1") ROR("2") ADD512("4"))
                     :
                     :
                     : VECTORS);
}

/* 8 shifts, 9 logic, 4 additions: as 2196 : 2510 : 1044. */
static void mixture_avx2(void)
{
    __asm__ volatile(FOUR(SHIFT("0") LOGIC("1") SHIFT("2") LOGIC("3") ADD256("4") SHIFT("5")
                              LOGIC("6") SHIFT("7") LOGIC("8") ADD256("9") LOGIC("10") SHIFT("11")
                                  LOGIC("12") SHIFT("13") LOGIC("0") ADD256("1") SHIFT("3")
                                      LOGIC("0") SHIFT("6") LOGIC("2") ADD256("5"))
                     :
                     :
                     : VECTORS);
}

/* 10 double rounds, 4 and 4 of the schedule, 9 additions, 5 and 4 moves of words: as 60 : 24 : 24 :
 * 54 : 30 : 27. The additions and moves use the same pipes. */
static void mixture_sha_ni(void)
{
    __asm__ volatile(TWO_ROUNDS("1") MOVE ADD128 TWO_ROUNDS("2") MESSAGE1("7") ALIGN MESSAGE2("10")
                         ADD128 TWO_ROUNDS("3") MOVE ADD128 TWO_ROUNDS("4") MESSAGE1("8")
                             ALIGN ADD128 TWO_ROUNDS("5") MESSAGE2("11") MOVE ADD128 TWO_ROUNDS("6")
                                 TWO_ROUNDS("1") MOVE ADD128 ALIGN MESSAGE1("9") TWO_ROUNDS("2")
                                     MESSAGE2("12") ADD128 MOVE ADD128 TWO_ROUNDS("3")
                                         TWO_ROUNDS("4") MESSAGE1("7") ALIGN MESSAGE2("13") ADD128
                     :
                     :
                     : VECTORS);
}

/* Instructions in a mixture, and how many of them a hash takes: with one midstate, with 64. */
static const struct peak {
    const char *path;
    void (*mixture)(void);
    double instructions, per_hash, per_hash_rolled;
} peaks[] = {
    {"avx512", mixture_avx512, 4 * 17, 2848.0 / 16, 2396.0 / 16},
    {"avx2", mixture_avx2, 4 * 21, 5750.0 / 8, 4926.0 / 8},
    {"sha-ni", mixture_sha_ni, 36, 6 * 36, 6 * 36},
};
#else
static const struct peak {
    const char *path;
    void (*mixture)(void);
    double instructions, per_hash, per_hash_rolled;
} peaks[1];
#endif

static const struct peak *peak_of(const char *path)
{
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++)
        if (peaks[i].path && strcmp(peaks[i].path, path) == 0) return &peaks[i];
    return NULL;
}

/* Hashes a second if nothing ever waited; 0: not known for this path. */
static double peak_hashes(const struct peak *peak, bool rolled)
{
    if (!peak) return 0;
    double start = cpu_seconds();
    for (int i = 0; i < PEAK_LOOPS; i++) peak->mixture();
    double rate = peak->instructions * PEAK_LOOPS / (cpu_seconds() - start);
    return rate / (rolled ? peak->per_hash_rolled : peak->per_hash);
}

static bool right(const struct sha256d_path *path, struct sha256d_work *work, uint32_t midstates)
{
    sha256d_work_known(work, midstates);
    return sha256d_scan_by(path, NULL, &work->scan) == OWM_OK && sha256d_work_found(work);
}

/* Seconds of a run; the seconds are wanted, not the hits. */
static double time_scan(const struct sha256d_path *path, struct sha256d_work *work)
{
    double start = cpu_seconds();
    (void)!sha256d_scan_by(path, NULL, &work->scan);
    return cpu_seconds() - start;
}

static owm_status bench_scan(const struct bench_options *options, const struct sha256d_path *path,
                             struct sha256d_work *work, uint32_t midstates, struct owm_error *error)
{
    if (!right(path, work, midstates))
        return owm_fail(error, OWM_E_DEVICE, "the %s path does not find the genesis block's nonce",
                        path->name);
    const struct peak *peak = peak_of(path->name);
    double seconds = time_scan(path, work), rate[RUNS], limit[RUNS];
    work->scan.count = (uint64_t)((double)work->scan.count * RUN_SECONDS / seconds) + 1;
    double hashes = (double)work->scan.count * midstates;
    for (int i = 0; i < RUNS; i++) {
        limit[i] = peak_hashes(peak, midstates > 1) / 1e6;
        rate[i] = hashes / time_scan(path, work) / 1e6;
    }
    bench_print(options,
                &(struct bench_row){.bench = "sha256d",
                                    .op = "scan",
                                    .backend = "cpu",
                                    .device = path->name,
                                    .shape = midstates > 1 ? "64 midstates" : "1 midstate",
                                    .unit = "MH/s per core",
                                    .value = bench_percentile(rate, RUNS, 0.5),
                                    .low = rate[0],
                                    .high = rate[RUNS - 1],
                                    .limit = bench_percentile(limit, RUNS, 0.5),
                                    .limit_name = peak ? "instruction peak beside it" : NULL});
    return OWM_OK;
}

static uint8_t rows[ROWS][COINBASE], hashes[ROWS][32], expected[ROWS][32], branch[BRANCHES][32];

/* One run of an op over the rows; by NULL the reference does it. */
static owm_status run_rows(const struct sha256d_path *path, bool merkle, uint8_t *out)
{
    const struct owm_sha256d_batch headers = {out, rows[0], COINBASE, ROWS, OWM_HEADER_BYTES};
    const struct owm_sha256d_merkle roots = {out,  rows[0],  branch[0], COINBASE,
                                             ROWS, COINBASE, BRANCHES};
    if (!path) return merkle ? ref_sha256d_merkle(NULL, &roots) : ref_sha256d_batch(NULL, &headers);
    return merkle ? sha256d_merkle_by(path, NULL, &roots) : sha256d_batch_by(path, NULL, &headers);
}

static owm_status bench_rows(const struct bench_options *options, const struct sha256d_path *path,
                             bool merkle, struct owm_error *error)
{
    if (run_rows(NULL, merkle, expected[0]) || run_rows(path, merkle, hashes[0])
        || memcmp(hashes, expected, sizeof hashes) != 0)
        return owm_fail(error, OWM_E_DEVICE, "the %s path hashes wrongly", path->name);
    double rate[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double start = cpu_seconds();
        (void)!run_rows(path, merkle, hashes[0]);
        rate[i] = ROWS / (cpu_seconds() - start) / 1e6;
    }
    bench_print(options,
                &(struct bench_row){.bench = "sha256d",
                                    .op = merkle ? "merkle" : "batch",
                                    .backend = "cpu",
                                    .device = path->name,
                                    .shape = merkle ? "240 B, 12 branches" : "80 B headers",
                                    .unit = merkle ? "M roots/s per core" : "MH/s per core",
                                    .value = bench_percentile(rate, RUNS, 0.5),
                                    .low = rate[0],
                                    .high = rate[RUNS - 1]});
    return OWM_OK;
}

/* OpenSSL's rate for the same, if its program is here: GB/s of 16 KiB blocks; 0 otherwise. */
static double openssl_rate(void)
{
    struct bench_options options = {
        .rival = "openssl speed -seconds 1 -bytes 16384 -evp sha256 2>/dev/null"
                 " | awk '/^sha256/ { sub(/k$/, \"\", $2); print $2 / 1000, \"MB/s\" }'"};
    return bench_rival(&options, NULL) == OWM_OK ? options.rival_value : 0;
}

struct message {
    struct owm_device *device;
    struct owm_sha256 op;
    owm_status status;
};

static void hash_once(void *ctx)
{
    struct message *message = ctx;
    message->status = message->device->backend->sha256(message->device, &message->op);
}

/* SHA-256 of one long message, as a checkpoint is: the rounds wait for each other. */
static owm_status bench_message(const struct bench_options *options, struct owm_device *device,
                                const char *arch)
{
    static uint8_t hash[32];
    struct message message = {device, {hash, NULL, UINT64_C(64) << 20}, OWM_OK};
    if (!bench_wants(options, "sha256 of one message")) return OWM_OK;
    void *bytes = calloc(1, message.op.bytes);
    if (!bytes) return OWM_E_NOMEM;
    message.op.message = bytes;
    struct bench_row row = {.bench = "sha256d",
                            .op = "sha256 of one message",
                            .backend = "cpu",
                            .device = arch,
                            .shape = "64 MiB",
                            .unit = "GB/s",
                            .rival = openssl_rate(),
                            .rival_name = "openssl speed"};
    bench_row_rate(&row, bench_time(NULL, hash_once, &message), (double)message.op.bytes / 1e9);
    if (message.status == OWM_OK) bench_print(options, &row);
    free(bytes);
    return message.status;
}

static owm_status bench_path(const struct bench_options *options, const struct sha256d_path *path,
                             struct sha256d_work *work, struct owm_error *error)
{
    owm_status status = bench_scan(options, path, work, 1, error);
    if (!status && path->scan_rolled)
        status = bench_scan(options, path, work, SHA256D_WORK_MIDSTATES, error);
    if (!status) status = bench_rows(options, path, false, error);
    if (!status) status = bench_rows(options, path, true, error);
    return status;
}

owm_status bench_sha256d(const struct bench_options *options, struct owm_error *error)
{
    static struct sha256d_work work;
    struct bench_device opened;
    owm_status status = bench_open(&opened, options, error);
    if (status) return status;
    bool gpu = opened.device->backend->pipe_rate != NULL;
    if (gpu)
        status = bench_sha256d_device(options, &opened, error);
    else
        status = bench_message(options, opened.device, opened.arch);
    bench_close(&opened);
    if (gpu || status) return status;
    status = sha256d_work_init(&work);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t b = 0; b < COINBASE; b++) rows[i][b] = (uint8_t)(i * 31 + b * 7 + (i >> 8));
    bench_print(options, &(struct bench_row){.bench = "sha256d",
                                             .op = "clock",
                                             .shape = "imul chain",
                                             .unit = "GHz",
                                             .value = bench_clock_hz() / 1e9});
    for (size_t i = 0; !status && sha256d_path_at(i); i++)
        if (sha256d_path_at(i)->here())
            status = bench_path(options, sha256d_path_at(i), &work, error);
    return status;
}

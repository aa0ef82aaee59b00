/* sha256d_device.c: SHA-256d on a whole GPU, through the same ops as a miner and a pool call.
 *
 * A scan is held against the integer pipe: the instructions that a nonce takes on it, counted in
 * the compiled kernel for sm_90 (docs/kernels.md), over the rate of that pipe measured beside it.
 * The other pipe, to which additions are moved, is not the one that binds.
 */
#include <string.h>

#include "sha256d_work.h"

/* Instructions of the integer pipe in a nonce: kernels/cuda/sha256d_scan.cu, nvcc 13.0, sm_90. */
#define SHA256D_SM90_ONE    1663.0
#define SHA256D_SM90_ROLLED 1435.0

#define ROWS  (UINT32_C(1) << 22)
#define HEADS 80

struct scan {
    struct owm_device *device;
    struct sha256d_work *work;
    owm_status status;
};

static void scan_once(void *ctx)
{
    struct scan *scan = ctx;
    owm_status status = scan->device->backend->sha256d_scan(scan->device, &scan->work->scan);
    if (status != OWM_OK && status != OWM_E_LIMIT) scan->status = status;
}

static owm_status bench_scan(const struct bench_options *options, const struct bench_device *opened,
                             uint32_t midstates, double instructions, struct owm_error *error)
{
    static struct sha256d_work work;
    struct scan scan = {opened->device, &work, sha256d_work_init(&work)};
    sha256d_work_known(&work, midstates);
    scan_once(&scan);
    if (scan.status != OWM_OK || !sha256d_work_found(&work))
        return owm_fail(error, OWM_E_DEVICE, "the scan does not find the genesis block's nonce");
    work.scan.first = 0;
    work.scan.count = (UINT64_C(1) << 32) / midstates;
    struct bench_span span = bench_time(NULL, scan_once, &scan);
    if (scan.status != OWM_OK) return owm_fail(error, scan.status, "the scan failed");
    bool counted = strcmp(opened->arch, "sm_90") == 0;
    struct bench_row row = {
        .bench = "sha256d",
        .op = "scan",
        .backend = opened->device->backend->name,
        .device = opened->arch,
        .shape = midstates > 1 ? "64 midstates" : "1 midstate",
        .unit = "MH/s",
        .limit = counted ? bench_peak(opened, BENCH_INTEGER) / instructions / 1e6 : 0,
        .limit_name = "integer pipe beside it",
    };
    bench_row_rate(&row, span, (double)work.scan.count * midstates / 1e6);
    bench_print(options, &row);
    return OWM_OK;
}

struct batch {
    struct owm_device *device;
    struct owm_sha256d_batch args;
    owm_status status;
};

static void batch_once(void *ctx)
{
    struct batch *batch = ctx;
    owm_status status = batch->device->backend->sha256d_batch(batch->device, &batch->args);
    if (status != OWM_OK) batch->status = status;
}

static owm_status bench_batch(const struct bench_options *options,
                              const struct bench_device *opened, struct owm_error *error)
{
    const struct owm_backend *b = opened->device->backend;
    void *message = NULL, *hash = NULL;
    owm_status status = b->mem_alloc(opened->device, &message, (size_t)ROWS * HEADS);
    if (status == OWM_OK) status = b->mem_alloc(opened->device, &hash, (size_t)ROWS * 32);
    if (status == OWM_OK) {
        struct batch batch = {opened->device, {hash, message, HEADS, ROWS, HEADS}, OWM_OK};
        struct bench_row row = {.bench = "sha256d",
                                .op = "batch",
                                .backend = b->name,
                                .device = opened->arch,
                                .shape = "80 B headers",
                                .unit = "MH/s"};
        bench_row_rate(&row, bench_time(opened->device, batch_once, &batch), ROWS / 1e6);
        status = batch.status;
        if (status == OWM_OK) bench_print(options, &row);
    }
    b->mem_free(opened->device, message);
    b->mem_free(opened->device, hash);
    if (status != OWM_OK) return owm_fail(error, status, "the batch failed");
    return OWM_OK;
}

owm_status bench_sha256d_device(const struct bench_options *options,
                                const struct bench_device *opened, struct owm_error *error)
{
    owm_status status = bench_scan(options, opened, 1, SHA256D_SM90_ONE, error);
    if (status == OWM_OK) status = bench_scan(options, opened, 64, SHA256D_SM90_ROLLED, error);
    if (status == OWM_OK) status = bench_batch(options, opened, error);
    return status;
}

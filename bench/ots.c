/* ots.c: OpenTimestamps: a file hashed as stamp and verify do it, against SHA-256 of memory; proofs
 * read and joined; a digest submitted to calendars, one of which is dead.
 *
 * The file is hashed out of the page cache, so that what is measured is our own part, and from the
 * disk. The three take turns, so that what else runs on the machine falls on each alike.
 *
 * The calendars are doubles on this machine: what is measured is how long a dead one keeps the
 * others' promises, not the Internet.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "bench.h"
#include "calendar_double.h"
#include "dataplane/ots/calendar.h"
#include "dataplane/ots/file_hash.h"
#include "dataplane/ots/merkle.h"
#include "dataplane/ots/proof.h"

#define FILE_BYTES ((size_t)512 << 20)
#define TURNS      9
#define LEAVES     1024
#define SPEC_S     30 /* SRS-PERF-10 */
#define CALENDARS  3
#define DEEP       100 /* Operations: as in the longest of the reference's examples. */

struct work {
    struct calendar calendars[CALENDARS]; /* Doubles; the last one takes requests in silence. */
    uint8_t *memory;
    char path[64];
    uint8_t digest[32], proof[65536];
    size_t proof_bytes;
    owm_status status; /* The first failure. */
};

static void note(struct work *work, owm_status status)
{
    if (work->status == OWM_OK) work->status = status;
}

static void hash_memory(void *ctx)
{
    struct work *work = ctx;
    owm_sha256(work->memory, FILE_BYTES, work->digest);
}

static void hash_file(void *ctx)
{
    struct work *work = ctx;
    uint8_t digest[OWM_OTS_DIGEST_BYTES_MAX];
    note(work, owm_ots_file_hash(work->path, OWM_OTS_SHA256, NULL, digest, NULL));
    if (memcmp(digest, work->digest, 32) != 0) note(work, OWM_E_STATE);
}

static void read_proof(void *ctx)
{
    struct work *work = ctx;
    struct owm_ots_proof proof;
    note(work, owm_ots_proof_read(work->proof, work->proof_bytes, &proof, NULL));
    owm_ots_proof_deinit(&proof);
}

static void join_leaves(void *ctx)
{
    static struct owm_ots_tree trees[LEAVES];
    static struct owm_ots_leaf leaves[LEAVES];
    struct work *work = ctx;
    for (size_t i = 0; i < LEAVES; i++) {
        uint8_t digest[32] = {(uint8_t)i, (uint8_t)(i >> 8)};
        note(work, owm_ots_tree_init(&trees[i], (struct owm_ots_bytes){digest, 32}, NULL));
        leaves[i] = (struct owm_ots_leaf){&trees[i], OWM_OTS_ROOT};
    }
    if (work->status == OWM_OK) note(work, owm_ots_merkle(leaves, LEAVES, NULL));
    for (size_t i = 0; i < LEAVES; i++) owm_ots_tree_deinit(&trees[i]);
}

/* As a stamp does it: three are asked at once, two promises are needed. */
static void submit(void *ctx)
{
    struct work *work = ctx;
    const char *urls[CALENDARS];
    struct owm_ots_tree tree;
    note(work, owm_ots_tree_init(&tree, (struct owm_ots_bytes){work->digest, 32}, NULL));
    for (int i = 0; i < CALENDARS; i++) urls[i] = work->calendars[i].url;
    const struct owm_ots_calendars listed = {.own = urls, .own_count = CALENDARS};
    const struct owm_ots_leaf root = {&tree, OWM_OTS_ROOT};
    const struct owm_ots_submission submission = {
        .urls = urls, .count = CALENDARS, .needed = CALENDARS - 1};
    note(work, owm_ots_submit(&listed, &submission, &root, NULL));
    if (tree.attestation_count != CALENDARS - 1) note(work, OWM_E_STATE);
    owm_ots_tree_deinit(&tree);
}

static owm_status make_proof(struct work *work)
{
    struct owm_ots_proof proof;
    const struct owm_ots_op append = {OWM_OTS_APPEND, {work->digest, 32}};
    const struct owm_ots_op sha256 = {.tag = OWM_OTS_SHA256};
    const struct owm_ots_attestation block = owm_ots_bitcoin(800000);
    uint32_t node = OWM_OTS_ROOT;
    uint8_t *data = NULL;
    owm_status status =
        owm_ots_proof_init(&proof, OWM_OTS_SHA256, (struct owm_ots_bytes){work->digest, 32}, NULL);
    for (int i = 0; i < DEEP && status == OWM_OK; i++)
        status = owm_ots_add_op(&proof.tree, node, i % 2 ? sha256 : append, &node, NULL);
    if (status == OWM_OK) status = owm_ots_add_attestation(&proof.tree, node, &block, NULL, NULL);
    if (status == OWM_OK) status = owm_ots_proof_write(&proof, &data, &work->proof_bytes, NULL);
    if (status == OWM_OK) memcpy(work->proof, data, work->proof_bytes);
    free(data);
    owm_ots_proof_deinit(&proof);
    return status;
}

static owm_status make_file(struct work *work, const char *folder, struct owm_error *error)
{
    snprintf(work->path, sizeof work->path, "%.40s/owm-bench-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(work->path);
    bool whole = fd >= 0;
    for (size_t at = 0; whole && at < FILE_BYTES;) {
        ssize_t bytes = write(fd, work->memory + at, FILE_BYTES - at);
        whole = bytes > 0;
        at += whole ? (size_t)bytes : 0;
    }
    whole = whole && fsync(fd) == 0; /* Or it could not leave the page cache. */
    if (fd >= 0) (void)close(fd);
    if (whole) return OWM_OK;
    return owm_fail(error, OWM_E_IO, "cannot write %zu MB to %s", FILE_BYTES >> 20, work->path);
}

/* A file system that lives in memory keeps the file there: then this is one more run of the other.
 */
static void forget_file(const struct work *work)
{
    int fd = open(work->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
}

static double seconds_of(void (*fn)(void *ctx), void *ctx)
{
    uint64_t start_ns = owm_clock_mono_ns();
    fn(ctx);
    return (double)(owm_clock_mono_ns() - start_ns) / 1e9;
}

static struct bench_span span_of(double seconds[static TURNS])
{
    double median = bench_percentile(seconds, TURNS, 0.5); /* Sorts. */
    return (struct bench_span){median, seconds[0], seconds[TURNS - 1]};
}

static void print_file(const struct bench_options *options, const char *shape,
                       struct bench_span file, struct bench_span memory)
{
    struct bench_row row = {.bench = "ots", .op = "hash file", .shape = shape, .unit = "GB/s"};
    row.limit = (double)FILE_BYTES / 1e9 / memory.median;
    row.limit_name = "SHA-256 of memory here";
    bench_row_rate(&row, file, (double)FILE_BYTES / 1e9);
    bench_print(options, &row);
}

static void measure_file(const struct bench_options *options, struct work *work)
{
    double memory[TURNS], cached[TURNS], disk[TURNS];
    if (!bench_wants(options, "hash file")) return;
    for (int i = 0; i < TURNS; i++) {
        memory[i] = seconds_of(hash_memory, work);
        forget_file(work);
        disk[i] = seconds_of(hash_file, work);
        cached[i] = seconds_of(hash_file, work);
    }
    struct bench_span limit = span_of(memory);
    print_file(options, "512 MiB, in the page cache", span_of(cached), limit);
    print_file(options, "512 MiB, from the disk", span_of(disk), limit);
}

static void measure_submission(const struct bench_options *options, struct work *work)
{
    if (!bench_wants(options, "submit")) return;
    for (int i = 0; i < CALENDARS; i++)
        calendar_open(&work->calendars[i], i < CALENDARS - 1 ? CALENDAR_PROMISES : CALENDAR_SILENT);
    double seconds = seconds_of(submit, work);
    for (int i = 0; i < CALENDARS; i++) calendar_close(&work->calendars[i]);
    bench_print(options, &(struct bench_row){.bench = "ots",
                                             .op = "submit",
                                             .shape = "3 calendars, 1 dead",
                                             .value = seconds,
                                             .unit = "s",
                                             .limit = SPEC_S,
                                             .limit_name = "SRS-PERF-10",
                                             .lower_is_better = true});
}

static void measure(const struct bench_options *options, struct work *work)
{
    measure_file(options, work);
    struct bench_row row = {
        .bench = "ots", .op = "read proof", .shape = "100 operations", .unit = "proofs/s"};
    bench_row_rate(&row, bench_time(NULL, read_proof, work), 1);
    bench_print(options, &row);
    row = (struct bench_row){
        .bench = "ots", .op = "join", .shape = "1024 digests", .unit = "digests/s"};
    bench_row_rate(&row, bench_time(NULL, join_leaves, work), LEAVES);
    bench_print(options, &row);
    measure_submission(options, work);
}

owm_status bench_ots(const struct bench_options *options, struct owm_error *error)
{
    struct work work = {.memory = malloc(FILE_BYTES)};
    if (!work.memory) return owm_fail(error, OWM_E_NOMEM, "no memory for %zu MB", FILE_BYTES >> 20);
    memset(work.memory, 0x5a, FILE_BYTES);
    owm_status status = make_file(&work, options->folder, error);
    if (status == OWM_OK) {
        hash_memory(&work);
        work.status = make_proof(&work);
        if (work.status == OWM_OK) measure(options, &work);
        if (work.status != OWM_OK)
            status = owm_fail(error, work.status, "a result of ots is wrong");
    }
    (void)unlink(work.path);
    free(work.memory);
    return status;
}

/* test_journal.c: shares to disk and back, with what crashes, full disks and rot do to them. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fs.h"
#include "base/rng.h"
#include "pool/journal.h"
#include "pool/journal_file.h"
#include "share_maker.h"

#define START_MS 1764000000000
#define CRASHES  200

static struct owm_journal *open_journal(const char *folder, unsigned loop, uint64_t segment_bytes)
{
    struct owm_journal *journal = NULL;
    struct owm_error error = {""};
    struct owm_journal_options options = {
        .folder = folder, .loop = loop, .segment_bytes = segment_bytes};
    if (owm_journal_open(&options, &journal, &error) != OWM_OK) fail_msg("%s", error.text);
    return journal;
}

static owm_status append(struct owm_journal *journal, uint64_t n, int64_t time_ms)
{
    struct made_share made;
    uint64_t sequence;
    make_share(n, time_ms, (uint32_t)(n / 1000), &made);
    return owm_journal_append(journal, &made.share, &made.miner, &made.worker, &sequence);
}

static void wait_durable(struct owm_journal *journal, uint64_t sequence)
{
    owm_journal_commit(journal);
    for (int i = 0; owm_journal_durable(journal) < sequence; i++) {
        if (i > 20000) fail_msg("not durable after 20 s");
        owm_clock_sleep_ms(1);
    }
}

/* ---------------------------------------------------------------------------- reading back */

struct seen {
    uint64_t next, first, count;
    bool in_order, equal;
};

static void see(void *ctx, const struct owm_journal_entry *entry)
{
    struct seen *seen = ctx;
    struct made_share made;
    uint64_t n = share_number(entry->share.hash);
    make_share(n, entry->share.time_ms, (uint32_t)(n / 1000), &made);
    if (seen->count == 0) seen->first = seen->next = n;
    seen->in_order = seen->in_order && n == seen->next;
    seen->equal = seen->equal && memcmp(entry->share.basis, &made.basis, sizeof(made.basis)) == 0
                  && memcmp(entry->miner, &made.miner, sizeof(made.miner)) == 0
                  && memcmp(entry->worker, &made.worker, sizeof(made.worker)) == 0
                  && memcmp(entry->share.miner, made.share.miner, 16) == 0
                  && entry->share.hashes == made.share.hashes
                  && entry->share.block == made.share.block;
    seen->next = n + 1;
    seen->count++;
}

/* Returns how the segment ends: OWM_E_CANCELLED in order, OWM_E_NOTFOUND torn or damaged. */
static owm_status read_segment(const char *folder, const struct owm_journal_segment *segment,
                               struct seen *seen, bool *damaged)
{
    struct owm_journal_source *source = NULL;
    struct owm_error error = {""};
    struct owm_journal_sink sink = {see, seen};
    owm_status status = owm_journal_source_open(folder, segment, &source, &error);
    if (status != OWM_OK) return status;
    do status = owm_journal_source_next(source, &sink, &error);
    while (status == OWM_OK);
    if (damaged) assert_ok(owm_journal_source_damaged(source, damaged, &error));
    owm_journal_source_close(source);
    return status;
}

static size_t read_folder(const char *folder, struct seen *seen)
{
    struct owm_journal_segment *segments;
    size_t count;
    *seen = (struct seen){.in_order = true, .equal = true};
    assert_ok(owm_journal_list(folder, &segments, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        owm_status status = read_segment(folder, &segments[i], seen, NULL);
        assert_true(status == OWM_E_CANCELLED || status == OWM_E_NOTFOUND);
    }
    free(segments);
    return count;
}

/* ---------------------------------------------------------------------------- tests */

static void test_crc(void **state)
{
    (void)state;
    uint8_t data[300], zeros[32] = {0}, ones[32];
    struct owm_rng rng;
    owm_rng_seed(&rng, 1);
    memset(ones, 0xff, sizeof(ones));
    /* RFC 3720 appendix B.4, and the usual check value. */
    assert_int_equal(owm_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(owm_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(owm_crc32c(0, "123456789", 9), 0xe3069283);
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)owm_rng_u64(&rng);
    for (size_t n = 0; n <= sizeof(data); n++) {
        assert_int_equal(owm_crc32c(7, data, n), owm_crc32c_portable(7, data, n));
        assert_int_equal(owm_crc32c(owm_crc32c(0, data, n), data + n, sizeof(data) - n),
                         owm_crc32c(0, data, sizeof(data)));
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    char folder[64];
    struct seen seen;
    make_folder(folder);
    struct owm_journal *journal = open_journal(folder, 3, 0);
    struct owm_journal *other;
    struct owm_error error = {""};
    struct owm_journal_options again = {.folder = folder, .loop = 3};
    assert_int_equal(owm_journal_open(&again, &other, &error), OWM_E_EXISTS);
    assert_non_null(strstr(error.text, folder));
    for (uint64_t n = 0; n < 30000; n++) assert_ok(append(journal, n, START_MS + (int64_t)n));
    assert_int_equal(owm_journal_durable(journal), 0);
    wait_durable(journal, 30000);
    read_folder(folder, &seen);
    assert_int_equal(seen.count, 30000);
    struct owm_journal_stats stats;
    owm_journal_stats_get(journal, &stats);
    assert_int_equal(stats.shares, 30000);
    assert_true(stats.batches >= 2 && stats.sync_ns_max <= stats.sync_ns_total);
    owm_journal_close(journal);
    journal = open_journal(folder, 3, 0);
    assert_ok(append(journal, 30000, START_MS));
    owm_journal_close(journal); /* Closing writes what was appended. */
    assert_int_equal(read_folder(folder, &seen), 2);
    assert_true(seen.count == 30001 && seen.in_order && seen.equal);
    remove_folder(folder);
}

/* Segments end when they are full or an hour old; each can be read by itself, compressed too. */
static void test_rotation(void **state)
{
    (void)state;
    char folder[64];
    struct seen seen;
    make_folder(folder);
    struct owm_journal *journal = open_journal(folder, 0, 256 << 10);
    for (uint64_t n = 0; n < 20000; n++) {
        assert_ok(append(journal, n, START_MS));
        if (n % 500 == 499) wait_durable(journal, n + 1);
    }
    assert_ok(append(journal, 20000, START_MS + 3600 * 1000));
    owm_journal_close(journal);
    size_t segments = read_folder(folder, &seen);
    assert_in_range(segments, 6, 8);
    assert_true(seen.count == 20001 && seen.in_order && seen.equal);
    struct owm_journal_segment *list;
    size_t count;
    assert_ok(owm_journal_list(folder, &list, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list[i].newest, i + 1 == count);
        assert_ok(owm_journal_compress(folder, &list[i], NULL));
    }
    free(list);
    assert_int_equal(read_folder(folder, &seen), segments);
    assert_true(seen.count == 20001 && seen.in_order && seen.equal);
    assert_ok(owm_journal_list(folder, &list, &count, NULL));
    assert_true(list[0].compressed);
    assert_ok(owm_journal_remove(folder, &list[0], NULL));
    free(list);
    assert_int_equal(read_folder(folder, &seen), segments - 1);
    remove_folder(folder);
}

/* Design, promise 2: what a killed writer called durable is there, once and in order. The child
 * tells through shared memory what the loop would have acknowledged. */
static void write_until_killed(const char *folder, uint64_t first, _Atomic uint64_t *told)
{
    struct owm_journal *journal = open_journal(folder, 0, 128 << 10);
    struct owm_rng rng;
    owm_rng_seed(&rng, first);
    for (uint64_t n = first;;) {
        for (uint64_t i = owm_rng_below(&rng, 60); i > 0; i--, n++)
            if (append(journal, n, START_MS) != OWM_OK) _exit(1);
        owm_journal_commit(journal);
        *told = first + owm_journal_durable(journal);
    }
}

static void test_kill_nine(void **state)
{
    (void)state;
    char folder[64];
    _Atomic uint64_t *told =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct owm_rng rng;
    owm_rng_seed(&rng, 99);
    uint64_t all = 0;
    make_folder(folder);
    for (int crash = 0; crash < CRASHES; crash++) {
        uint64_t first = (uint64_t)(crash + 1) << 32;
        *told = first;
        pid_t pid = fork();
        if (pid == 0) write_until_killed(folder, first, told);
        usleep((useconds_t)(3000 + owm_rng_below(&rng, 12000)));
        kill(pid, SIGKILL);
        int how;
        waitpid(pid, &how, 0);
        assert_true(WIFSIGNALED(how));
        struct seen seen;
        read_folder(folder, &seen);
        assert_true(seen.in_order && seen.equal);
        assert_true(seen.count == 0 || seen.first == first);
        if (seen.count < *told - first)
            fail_msg("%llu acknowledged, %llu there", (unsigned long long)(*told - first),
                     (unsigned long long)seen.count);
        all += seen.count;
        remove_folder(folder);
    }
    assert_true(all > CRASHES);
    munmap(told, 4096);
}

/* The file of the only segment, in memory. */
static uint8_t *load_segment(const char *folder, struct owm_journal_segment *segment, size_t *bytes)
{
    struct owm_journal_segment *list;
    size_t count;
    uint8_t *data;
    char path[160];
    assert_ok(owm_journal_list(folder, &list, &count, NULL));
    assert_int_equal(count, 1);
    *segment = list[0];
    free(list);
    snprintf(path, sizeof(path), "%s/%s", folder, segment->name);
    assert_ok(owm_fs_read(path, 1 << 24, &data, bytes, NULL));
    return data;
}

static owm_status read_bytes(const char *folder, const struct owm_journal_segment *segment,
                             const uint8_t *data, size_t bytes, bool *damaged)
{
    char path[160];
    struct seen seen = {.in_order = true, .equal = true};
    snprintf(path, sizeof(path), "%s/%s", folder, segment->name);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
    owm_status status = read_segment(folder, segment, &seen, damaged);
    assert_true(seen.in_order && seen.equal);
    /* Batches of 10: there is no such thing as a part of one. */
    assert_int_equal(seen.count % 10, 0);
    assert_in_range(seen.count, 0, 50);
    return seen.count == 50 ? status : seen.count == 40 ? OWM_E_NOTFOUND : OWM_E_PROTO;
}

/* Power fails while the last batch is written: at every byte; and every bit of the file flips. */
static void test_torn_and_rotten(void **state)
{
    (void)state;
    char folder[64];
    struct owm_journal_segment segment;
    size_t bytes;
    bool damaged;
    make_folder(folder);
    struct owm_journal *journal = open_journal(folder, 0, 0);
    for (uint64_t n = 0; n < 50; n++) {
        assert_ok(append(journal, n, START_MS));
        if (n % 10 == 9) wait_durable(journal, n + 1);
    }
    owm_journal_close(journal);
    uint8_t *data = load_segment(folder, &segment, &bytes);
    size_t end = bytes - 8, batch = 10 * (8 + 61) + 8 + 20;
    for (size_t cut = end - batch; cut < end; cut++) {
        assert_int_equal(read_bytes(folder, &segment, data, cut, &damaged), OWM_E_NOTFOUND);
        assert_false(damaged);
        uint8_t *zeros = calloc(1, bytes); /* Allocated ahead, and not yet written. */
        memcpy(zeros, data, cut);
        assert_int_equal(read_bytes(folder, &segment, zeros, bytes, &damaged), OWM_E_NOTFOUND);
        free(zeros);
    }
    assert_int_equal(read_bytes(folder, &segment, data, end, &damaged), OWM_E_NOTFOUND);
    assert_int_equal(read_bytes(folder, &segment, data, bytes, &damaged), OWM_E_CANCELLED);
    for (size_t bit = 0; bit < bytes * 8; bit += 29) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        owm_status status = read_bytes(folder, &segment, data, bytes, &damaged);
        assert_int_not_equal(status, OWM_E_CANCELLED);
        if (bit / 8 >= 64 && bit / 8 < end - batch) assert_true(damaged);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(data);
    remove_folder(folder);
}

/* A disk that is full: nothing more is acknowledged, and what was stays. */
static int fill_disk(const char *folder)
{
    struct rlimit limit = {300 << 10, 300 << 10};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    struct owm_journal *journal = open_journal(folder, 0, 0);
    uint64_t n = 0;
    owm_status status = OWM_OK;
    while (status == OWM_OK && n < 100000) {
        status = append(journal, n, START_MS);
        owm_journal_commit(journal);
        n += status == OWM_OK;
        if (n % 100 == 0) owm_clock_sleep_ms(1);
    }
    if (status != OWM_E_IO || !strstr(owm_journal_failed(journal), "make 64 MiB free")) return 2;
    uint64_t durable = owm_journal_durable(journal);
    if (durable < 1000 || durable >= n) return 3;
    owm_journal_close(journal);
    struct seen seen;
    read_folder(folder, &seen);
    return seen.count >= durable && seen.in_order && seen.equal ? 0 : 4;
}

static void test_disk_full(void **state)
{
    (void)state;
    char folder[64];
    make_folder(folder);
    pid_t pid = fork();
    if (pid == 0) _exit(fill_disk(folder));
    int how;
    waitpid(pid, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    remove_folder(folder);
}

/* A disk that does not keep up: the buffer ends in a refusal, not in memory. */
static void test_buffer_limit(void **state)
{
    (void)state;
    char folder[64];
    struct seen seen;
    make_folder(folder);
    struct owm_journal *journal = open_journal(folder, 0, 0);
    uint64_t n = 0;
    while (append(journal, n, START_MS) == OWM_OK) n++;
    assert_in_range(n, 100000, OWM_JOURNAL_BUFFER_BYTES / 69);
    assert_null(owm_journal_failed(journal));
    wait_durable(journal, n);
    assert_ok(append(journal, n, START_MS));
    owm_journal_close(journal);
    read_folder(folder, &seen);
    assert_true(seen.count == n + 1 && seen.in_order && seen.equal);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),          cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_rotation),     cmocka_unit_test(test_kill_nine),
        cmocka_unit_test(test_disk_full),    cmocka_unit_test(test_torn_and_rotten),
        cmocka_unit_test(test_buffer_limit),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}

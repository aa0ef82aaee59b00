/* test_calendar_journal.c: a calendar's promises outlive what happens to the process and the disk
 * (SRS-OTS-03). */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rng.h"
#include "ots/calendar/journal.h"
#include "ots/calendar/journal_read.h"

static char folder[] = "/tmp/owm-journal-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void nth(uint32_t n, uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    struct owm_rng rng;
    owm_rng_seed(&rng, n);
    for (size_t i = 0; i < JOURNAL_COMMITMENT_BYTES; i++)
        commitment[i] = (uint8_t)owm_rng_u64(&rng);
}

static void append(struct journal *journal, uint32_t first, uint32_t count)
{
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    struct owm_error error;
    for (uint32_t n = first; n < first + count; n++) {
        nth(n, commitment);
        assert_ok(journal_append(journal, commitment, &error));
    }
}

static void assert_holds(struct journal *journal, uint32_t count)
{
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES], got[JOURNAL_COMMITMENT_BYTES];
    uint32_t index;
    assert_int_equal(journal_count(journal), count);
    for (uint32_t n = 0; n < count; n++) {
        nth(n, commitment);
        assert_true(journal_find(journal, commitment, &index));
        assert_int_equal(index, n);
        journal_get(journal, n, got);
        assert_memory_equal(got, commitment, sizeof got);
    }
    nth(count, commitment);
    assert_false(journal_find(journal, commitment, &index));
}

static void start(struct journal **journal)
{
    struct owm_error error = {.text = ""};
    owm_status status = journal_open(folder, journal, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
}

static void assert_refused(owm_status wanted, const char *says)
{
    struct owm_error error = {.text = ""};
    struct journal *journal;
    assert_int_equal(journal_open(folder, &journal, &error), wanted);
    assert_null(journal);
    if (!strstr(error.text, says)) fail_msg("'%s' is not in '%s'", says, error.text);
}

/* The file as it was, with some of its bytes changed or its end cut off. */
static void rewrite(const uint8_t *data, size_t bytes)
{
    assert_ok(owm_fs_write_atomic(path_of("commitments"), data, bytes, 0600, NULL));
}

static int empty_the_folder(void **state)
{
    (void)state;
    unlink(path_of("commitments"));
    return 0;
}

static void what_was_appended_is_found_again(void **state)
{
    (void)state;
    struct journal *journal;
    start(&journal);
    assert_holds(journal, 0);
    append(journal, 0, 300);
    assert_holds(journal, 300);
    journal_close(journal);
    start(&journal);
    assert_holds(journal, 300);
    append(journal, 300, 5);
    assert_holds(journal, 305);
    journal_close(journal);
    struct stat stat_of;
    assert_int_equal(stat(path_of("commitments"), &stat_of), 0);
    assert_int_equal(stat_of.st_size, 8 + 305 * 48);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
}

/* The index grows past its first size, and equal promises are found at the first of them. */
static void many_are_found(void **state)
{
    (void)state;
    static uint8_t file[JOURNAL_MAGIC_BYTES + 20000 * JOURNAL_RECORD_BYTES];
    struct journal *journal;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    uint32_t index;
    memcpy(file, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES);
    for (uint32_t n = 0; n < 20000; n++) {
        nth(n, commitment);
        journal_record(commitment, file + JOURNAL_MAGIC_BYTES + n * JOURNAL_RECORD_BYTES);
    }
    rewrite(file, sizeof file);
    start(&journal);
    assert_holds(journal, 20000);
    nth(7, commitment);
    assert_ok(journal_append(journal, commitment, NULL));
    assert_true(journal_find(journal, commitment, &index));
    assert_int_equal(index, 7);
    assert_int_equal(journal_count(journal), 20001);
    journal_close(journal);
}

/* A crash while the last record is written leaves a part of it, or zeros where the rest was. */
static void a_record_that_a_crash_cut_off_is_removed(void **state)
{
    (void)state;
    struct journal *journal;
    uint8_t *data;
    size_t bytes;
    start(&journal);
    append(journal, 0, 10);
    journal_close(journal);
    assert_ok(owm_fs_read(path_of("commitments"), 1 << 20, &data, &bytes, NULL));
    for (size_t cut = 1; cut < JOURNAL_RECORD_BYTES; cut++) {
        rewrite(data, bytes - cut);
        start(&journal);
        assert_holds(journal, 9);
        append(journal, 9, 1);
        assert_holds(journal, 10);
        journal_close(journal);
    }
    for (size_t cut = 4; cut <= JOURNAL_RECORD_BYTES; cut++) {
        memset(data + bytes - cut, 0, cut);
        rewrite(data, bytes);
        start(&journal);
        assert_holds(journal, 9);
        journal_close(journal);
    }
    free(data);
}

/* The record with number 10 begins 24 bytes before the end of the first sector. A power cut between
 * the two leaves zeros in either part of it. */
static void a_record_between_two_sectors_may_lose_either(void **state)
{
    (void)state;
    enum { AT = 8 + 10 * JOURNAL_RECORD_BYTES, HEAD = 512 - AT };
    struct journal *journal;
    uint8_t *data, whole[JOURNAL_RECORD_BYTES];
    size_t bytes;
    start(&journal);
    append(journal, 0, 11);
    journal_close(journal);
    assert_ok(owm_fs_read(path_of("commitments"), 1 << 20, &data, &bytes, NULL));
    memcpy(whole, data + AT, sizeof whole);
    for (int part = 0; part < 2; part++) {
        memcpy(data + AT, whole, sizeof whole);
        memset(data + AT + part * HEAD, 0, part ? JOURNAL_RECORD_BYTES - HEAD : HEAD);
        rewrite(data, bytes);
        start(&journal);
        assert_holds(journal, 10);
        append(journal, 10, 1);
        assert_holds(journal, 11);
        journal_close(journal);
    }
    memcpy(data + AT, whole, sizeof whole);
    memset(data + AT, 0, HEAD - 1); /* No sector ends there. */
    rewrite(data, bytes);
    assert_refused(OWM_E_PROTO, "promise 10 in the file commitments has another checksum");
    free(data);
}

static void other_damage_refuses_the_start(void **state)
{
    (void)state;
    struct journal *journal;
    uint8_t *data;
    size_t bytes;
    start(&journal);
    append(journal, 0, 4);
    journal_close(journal);
    assert_ok(owm_fs_read(path_of("commitments"), 1 << 20, &data, &bytes, NULL));
    for (size_t at = 0; at < bytes; at++) { /* Each byte alone. */
        data[at] ^= 0x10;
        rewrite(data, bytes);
        assert_refused(OWM_E_PROTO, at < 8 ? "does not begin with OWMCOMM1" : "from a backup");
        data[at] ^= 0x10;
    }
    memset(data + 8 + 48, 0, 48); /* Zeros, but not at the end. */
    rewrite(data, bytes);
    assert_refused(OWM_E_PROTO, "promise 1 in the file commitments has another checksum");
    rewrite(data, 7);
    assert_refused(OWM_E_PROTO, "does not begin with OWMCOMM1");
    free(data);
}

static void a_folder_has_one_calendar(void **state)
{
    (void)state;
    struct journal *journal;
    start(&journal);
    assert_refused(OWM_E_EXISTS, "another calendar has the folder");
    journal_close(journal);
    start(&journal);
    journal_close(journal);
}

/* A disk that is full: nothing more is promised, and what was promised before is whole. */
static void a_full_disk_ends_promises(void **state)
{
    (void)state;
    struct journal *journal;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    struct owm_error error;
    uint32_t index;
    start(&journal);
    append(journal, 0, 3);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small = {.rlim_cur = 8 + 3 * 48 + 20};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    nth(3, commitment);
    owm_status first = journal_append(journal, commitment, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(first, OWM_E_IO);
    assert_non_null(strstr(error.text, "nothing is promised until"));
    assert_int_equal(journal_append(journal, commitment, &error), OWM_E_IO);
    assert_false(journal_find(journal, commitment, &index));
    journal_close(journal);
    start(&journal);
    assert_holds(journal, 3);
    append(journal, 3, 1);
    assert_holds(journal, 4);
    journal_close(journal);
}

/* kill -9 at any time: what the child had said was durable is found again, in order. */
static void a_killed_writer_loses_nothing(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        int said[2];
        assert_int_equal(pipe(said), 0);
        pid_t child = fork();
        if (child == 0) {
            struct journal *journal;
            uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
            if (journal_open(folder, &journal, NULL) != OWM_OK) _exit(1);
            for (uint32_t n = journal_count(journal);; n++) {
                nth(n, commitment);
                if (journal_append(journal, commitment, NULL) != OWM_OK) _exit(1);
                if (write(said[1], &n, sizeof n) != sizeof n) _exit(1);
            }
        }
        uint32_t last = 0, wanted = 20 + 7 * round;
        for (uint32_t i = 0; i < wanted; i++)
            assert_int_equal(read(said[0], &last, sizeof last), sizeof last);
        kill(child, SIGKILL);
        close(said[1]);
        while (read(said[0], &last, sizeof last) == sizeof last) {
        }
        close(said[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct journal *journal;
        start(&journal);
        assert_true(journal_count(journal) > last);
        assert_holds(journal, journal_count(journal));
        journal_close(journal);
    }
}

struct readers {
    struct journal *journal;
    atomic_bool stop;
};

static void *read_while_it_grows(void *ctx)
{
    struct readers *readers = ctx;
    uint8_t wanted[JOURNAL_COMMITMENT_BYTES], got[JOURNAL_COMMITMENT_BYTES];
    uint32_t index;
    while (!atomic_load(&readers->stop)) {
        uint32_t count = journal_count(readers->journal);
        if (count == 0) continue;
        nth(count - 1, wanted);
        journal_get(readers->journal, count - 1, got);
        OWM_ASSERT(memcmp(wanted, got, sizeof got) == 0);
        OWM_ASSERT(journal_find(readers->journal, wanted, &index) && index == count - 1);
    }
    return NULL;
}

static void others_read_while_one_appends(void **state)
{
    (void)state;
    struct readers readers = {.journal = NULL};
    pthread_t threads[2];
    start(&readers.journal);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_while_it_grows, &readers), 0);
    append(readers.journal, 0, 200);
    atomic_store(&readers.stop, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_holds(readers.journal, 200);
    journal_close(readers.journal);
}

int main(void)
{
    if (!mkdtemp(folder)) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_appended_is_found_again, empty_the_folder),
        cmocka_unit_test_setup(many_are_found, empty_the_folder),
        cmocka_unit_test_setup(a_record_that_a_crash_cut_off_is_removed, empty_the_folder),
        cmocka_unit_test_setup(a_record_between_two_sectors_may_lose_either, empty_the_folder),
        cmocka_unit_test_setup(other_damage_refuses_the_start, empty_the_folder),
        cmocka_unit_test_setup(a_folder_has_one_calendar, empty_the_folder),
        cmocka_unit_test_setup(a_full_disk_ends_promises, empty_the_folder),
        cmocka_unit_test_setup(a_killed_writer_loses_nothing, empty_the_folder),
        cmocka_unit_test_setup(others_read_while_one_appends, empty_the_folder),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path_of("commitments"));
    unlink(path_of("lock"));
    return rmdir(folder) == 0 ? failed : 1;
}

/* test_file_hash.c: hashes of files against hashes of memory, at every edge of a piece; files that
 * change, end early or cannot be read; a reader that is stopped half way. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"
#include "dataplane/ots/file_hash.h"
#include "dataplane/ots/read_ahead.h"
#include "test.h"

#define PIECE     ((size_t)READ_AHEAD_PIECE_BYTES)
#define LARGE     ((size_t)READ_AHEAD_FROM_BYTES)
#define BYTES_MAX (LARGE + 5 * PIECE)

static char folder[] = "/tmp/owm-file-hash-XXXXXX";
static char path[64], pipe_path[64];
static uint8_t memory[BYTES_MAX];

/* Changed long ago, so that a change of now is seen whatever the clock's grain. */
static void make_file(size_t bytes)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t at = 0; at < bytes;) {
        ssize_t wrote = write(fd, memory + at, bytes - at);
        assert_true(wrote > 0);
        at += (size_t)wrote;
    }
    assert_int_equal(futimens(fd, long_ago), 0);
    close(fd);
}

/* --- progress that meddles -------------------------------------------------------------------- */

struct watch {
    size_t steps, stop_at; /* stop_at 0: never. */
    uint64_t done, total;
    enum { NOTHING, GROW, SHRINK, REWRITE } does; /* At the first step. */
};

static bool step(void *ctx, uint64_t done, uint64_t total)
{
    struct watch *watch = ctx;
    assert_true(done > watch->done);
    watch->done = done;
    watch->total = total;
    if (++watch->steps == 1 && watch->does == SHRINK)
        assert_int_equal(truncate(path, (off_t)PIECE), 0);
    if (watch->steps == 1 && (watch->does == GROW || watch->does == REWRITE)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC | (watch->does == GROW ? O_APPEND : 0));
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
    }
    return watch->steps != watch->stop_at;
}

static owm_status hash_watched(struct watch *watch, uint8_t digest[static 32],
                               struct owm_error *error)
{
    const struct owm_ots_progress progress = {watch, step};
    return owm_ots_file_hash(path, OWM_OTS_SHA256, &progress, digest, error);
}

/* --- what is right ---------------------------------------------------------------------------- */

static void a_file_hashes_as_its_bytes_do(void **state)
{
    static const size_t sizes[] = {
        0,         1,     PIECE - 1, PIECE,         PIECE + 1,     2 * PIECE,
        LARGE - 1, LARGE, LARGE + 1, LARGE + PIECE, BYTES_MAX - 1, BYTES_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t want[32], got[32];
        struct watch watch = {0};
        make_file(sizes[i]);
        owm_sha256(memory, sizes[i], want);
        assert_ok(hash_watched(&watch, got, NULL));
        assert_memory_equal(got, want, 32);
        assert_int_equal(watch.done, sizes[i]);
        assert_int_equal(watch.total, sizes[i]);
        assert_int_equal(watch.steps, (sizes[i] + PIECE - 1) / PIECE);
    }
}

/* FIPS 180-1 and the RIPEMD-160 page of its authors: a million times "a". */
static void the_other_hashes_are_those_of_their_standards(void **state)
{
    static const uint8_t sha1[20] = {0x34, 0xaa, 0x97, 0x3c, 0xd4, 0xc4, 0xda, 0xa4, 0xf6, 0x1e,
                                     0xeb, 0x2b, 0xdb, 0xad, 0x27, 0x31, 0x65, 0x34, 0x01, 0x6f};
    static const uint8_t ripemd[20] = {0x52, 0x78, 0x32, 0x43, 0xc1, 0x69, 0x7b, 0xdb, 0xe1, 0x6d,
                                       0x37, 0xf9, 0x7f, 0x68, 0xf0, 0x83, 0x25, 0xdc, 0x15, 0x28};
    (void)state;
    uint8_t digest[OWM_OTS_DIGEST_BYTES_MAX];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; i < 1000; i++) {
        char letters[1000];
        memset(letters, 'a', sizeof letters);
        assert_int_equal(write(fd, letters, sizeof letters), sizeof letters);
    }
    close(fd);
    assert_ok(owm_ots_file_hash(path, OWM_OTS_SHA1, NULL, digest, NULL));
    assert_memory_equal(digest, sha1, 20);
    assert_ok(owm_ots_file_hash(path, OWM_OTS_RIPEMD160, NULL, digest, NULL));
    assert_memory_equal(digest, ripemd, 20);
    assert_int_equal(owm_ots_file_hash(path, OWM_OTS_KECCAK256, NULL, digest, NULL),
                     OWM_E_UNSUPPORTED);
}

/* Of odd lengths, so that each read of the other end is short. */
static void *write_slowly(void *ctx)
{
    (void)ctx;
    int fd = open(pipe_path, O_WRONLY | O_CLOEXEC);
    for (size_t at = 0; fd >= 0 && at < LARGE + 1;) {
        size_t bytes = LARGE + 1 - at < 3001 ? LARGE + 1 - at : 3001;
        ssize_t wrote = write(fd, memory + at, bytes);
        if (wrote <= 0) break;
        at += (size_t)wrote;
    }
    close(fd);
    return NULL;
}

static void short_reads_are_joined(void **state)
{
    (void)state;
    pthread_t writer;
    uint8_t want[32], got[32];
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, NULL), 0);
    assert_ok(owm_ots_file_hash(pipe_path, OWM_OTS_SHA256, NULL, got, NULL));
    pthread_join(writer, NULL);
    owm_sha256(memory, LARGE + 1, want);
    assert_memory_equal(got, want, 32);
}

/* --- what is wrong ---------------------------------------------------------------------------- */

static void a_file_that_changes_meanwhile_is_refused(void **state)
{
    static const size_t sizes[] = {2 * PIECE, BYTES_MAX};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (int does = GROW; does <= REWRITE; does++) {
            struct watch watch = {.does = (unsigned)does};
            struct owm_error error = {""};
            uint8_t digest[32];
            make_file(sizes[i]);
            assert_int_equal(hash_watched(&watch, digest, &error), OWM_E_STATE);
            assert_non_null(strstr(error.text, "was changed while it was read"));
        }
    }
}

static void progress_can_stop_it(void **state)
{
    static const size_t sizes[] = {2 * PIECE, BYTES_MAX};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct watch watch = {.stop_at = 2};
        struct owm_error error = {""};
        uint8_t digest[32];
        make_file(sizes[i]);
        assert_int_equal(hash_watched(&watch, digest, &error), OWM_E_CANCELLED);
        assert_int_equal(watch.steps, 2);
        assert_non_null(strstr(error.text, "was cancelled"));
    }
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    uint8_t digest[32];
    struct owm_error error;
    assert_int_equal(owm_ots_file_hash("/no/such/file", OWM_OTS_SHA256, NULL, digest, &error),
                     OWM_E_NOTFOUND);
    assert_int_equal(owm_ots_file_hash(folder, OWM_OTS_SHA256, NULL, digest, &error), OWM_E_IO);
    assert_non_null(strstr(error.text, "cannot read"));
}

/* A folder that is called large: its reads fail in the thread. */
static void an_error_of_a_read_is_kept(void **state)
{
    (void)state;
    for (uint64_t size = 0; size <= BYTES_MAX; size += BYTES_MAX) {
        read_ahead *reader;
        const uint8_t *data;
        size_t bytes;
        int fd = open(folder, O_RDONLY | O_CLOEXEC);
        assert_ok(read_ahead_open(fd, size, &reader));
        for (int i = 0; i < 2; i++) {
            errno = 0;
            assert_int_equal(read_ahead_next(reader, &data, &bytes), OWM_E_IO);
            assert_int_equal(errno, EISDIR);
        }
        read_ahead_close(reader);
        close(fd);
    }
}

static void a_reader_ends_wherever_it_is(void **state)
{
    (void)state;
    make_file(BYTES_MAX);
    for (size_t take = 0; take < BYTES_MAX / PIECE + 3; take++) {
        read_ahead *reader;
        const uint8_t *data = NULL;
        size_t bytes = 1;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_ok(read_ahead_open(fd, BYTES_MAX, &reader));
        for (size_t i = 0; i < take; i++) {
            assert_ok(read_ahead_next(reader, &data, &bytes));
            assert_int_equal(bytes, i < BYTES_MAX / PIECE ? PIECE : 0);
            if (bytes) assert_memory_equal(data, memory + i * PIECE, PIECE);
        }
        read_ahead_close(reader);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_hashes_as_its_bytes_do),
        cmocka_unit_test(the_other_hashes_are_those_of_their_standards),
        cmocka_unit_test(short_reads_are_joined),
        cmocka_unit_test(a_file_that_changes_meanwhile_is_refused),
        cmocka_unit_test(progress_can_stop_it),
        cmocka_unit_test(what_cannot_be_read_is_said),
        cmocka_unit_test(an_error_of_a_read_is_kept),
        cmocka_unit_test(a_reader_ends_wherever_it_is),
    };
    if (!mkdtemp(folder)) return 2;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
    for (size_t i = 0; i < BYTES_MAX; i++) memory[i] = (uint8_t)(i * 2654435761u >> 13);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)unlink(pipe_path);
    (void)rmdir(folder);
    return failed;
}

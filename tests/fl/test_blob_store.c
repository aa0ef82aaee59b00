/* test_blob_store.c: a blob is there entirely or not at all, through crashes and resumption. */
#include "dataplane/store/blob_store.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "test.h"

static char root[] = "/tmp/owm-blobs-XXXXXX";
static struct owm_blob_store *store;
static struct owm_error error;

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    return ftw->level == 0 ? 0 : remove(path);
}

static int fresh(void **state)
{
    (void)state;
    (void)nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return owm_blob_store_open(root, &store, &error) == OWM_OK ? 0 : -1;
}

static int done(void **state)
{
    (void)state;
    owm_blob_store_close(store);
    return 0;
}

static void reopen(void)
{
    owm_blob_store_close(store);
    assert_ok(owm_blob_store_open(root, &store, &error));
}

static void expect_content(const uint8_t sha256[32], const void *data, size_t bytes)
{
    int fd;
    uint64_t size;
    uint8_t back[8192];
    assert_ok(owm_blob_open(store, sha256, &fd, &size));
    assert_int_equal(size, bytes);
    assert_int_equal(read(fd, back, sizeof back), (ssize_t)bytes);
    assert_memory_equal(back, data, bytes);
    (void)close(fd);
}

static unsigned count_tmp(void)
{
    char command[128];
    unsigned n = 0;
    (void)snprintf(command, sizeof command, "ls %s/tmp | wc -l", root);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%u", &n), 1);
    (void)pclose(out);
    return n;
}

static void put_open_exists_delete(void **state)
{
    (void)state;
    uint8_t hash[32], expected[32], none[32] = {0};
    int fd;
    uint64_t bytes;
    assert_ok(owm_blob_put(store, "hello", 5, hash, &error));
    owm_sha256("hello", 5, expected);
    assert_memory_equal(hash, expected, 32);
    assert_true(owm_blob_exists(store, hash) && !owm_blob_exists(store, none));
    assert_ok(owm_blob_put(store, "hello", 5, hash, &error)); /* again is fine */
    expect_content(hash, "hello", 5);
    assert_int_equal(owm_blob_open(store, none, &fd, &bytes), OWM_E_NOTFOUND);
    assert_ok(owm_blob_delete(store, hash));
    assert_int_equal(owm_blob_delete(store, hash), OWM_E_NOTFOUND);
    assert_ok(owm_blob_put(store, "", 0, hash, &error));
    expect_content(hash, "", 0);
    assert_int_equal(count_tmp(), 0);
}

static void declared_uploads_resume_after_suspend_and_restart(void **state)
{
    (void)state;
    uint8_t data[5000], hash[32], got[32];
    struct owm_blob_upload *upload, *second;
    uint64_t offset;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    owm_sha256(data, sizeof data, hash);
    assert_ok(owm_blob_begin(store, hash, sizeof data, &upload, &offset, &error));
    assert_int_equal(offset, 0);
    assert_int_equal(owm_blob_begin(store, hash, sizeof data, &second, &offset, &error),
                     OWM_E_STATE);
    assert_ok(owm_blob_append(upload, data, 1234, &error));
    owm_blob_suspend(upload);
    assert_false(owm_blob_exists(store, hash));
    reopen();
    assert_ok(owm_blob_begin(store, hash, sizeof data, &upload, &offset, &error));
    assert_int_equal(offset, 1234);
    assert_int_equal(owm_blob_append(upload, data, sizeof data, &error), OWM_E_LIMIT);
    assert_ok(owm_blob_append(upload, data + offset, sizeof data - offset, &error));
    assert_ok(owm_blob_finish(upload, got, &error));
    assert_memory_equal(got, hash, 32);
    expect_content(hash, data, sizeof data);
    assert_int_equal(owm_blob_begin(store, hash, sizeof data, &upload, &offset, &error),
                     OWM_E_EXISTS);
    assert_int_equal(count_tmp(), 0);
}

static void a_wrong_hash_stores_nothing(void **state)
{
    (void)state;
    uint8_t declared[32] = {1};
    struct owm_blob_upload *upload;
    uint64_t offset;
    assert_ok(owm_blob_begin(store, declared, 100, &upload, &offset, &error));
    assert_ok(owm_blob_append(upload, "abc", 3, &error));
    assert_int_equal(owm_blob_finish(upload, NULL, &error), OWM_E_CRYPTO);
    assert_false(owm_blob_exists(store, declared));
    assert_int_equal(count_tmp(), 0);
}

static void undeclared_uploads_do_not_survive(void **state)
{
    (void)state;
    struct owm_blob_upload *upload;
    uint64_t offset;
    uint8_t hash[32];
    assert_ok(owm_blob_begin(store, NULL, 100, &upload, &offset, &error));
    assert_ok(owm_blob_append(upload, "abc", 3, &error));
    owm_blob_suspend(upload);
    assert_int_equal(count_tmp(), 0);
    assert_ok(owm_blob_begin(store, NULL, 100, &upload, &offset, &error));
    assert_ok(owm_blob_append(upload, "ab", 2, &error));
    assert_ok(owm_blob_append(upload, "c", 1, &error));
    assert_ok(owm_blob_finish(upload, hash, &error));
    expect_content(hash, "abc", 3);
}

/* The process dies after any number of appended bytes, and also right after finish. */
static void a_killed_process_leaves_a_whole_blob_or_none(void **state)
{
    (void)state;
    uint8_t data[64], hash[32];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i + 1);
    for (size_t stop = 0; stop <= sizeof data + 1; stop++) {
        data[0] = (uint8_t)stop;
        owm_sha256(data, sizeof data, hash);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct owm_blob_upload *upload;
            uint64_t offset;
            bool declared = stop % 2;
            if (owm_blob_begin(store, declared ? hash : NULL, 64, &upload, &offset, NULL)) _exit(1);
            size_t bytes = stop < sizeof data ? stop : sizeof data;
            for (size_t i = 0; i < bytes; i++)
                if (owm_blob_append(upload, data + i, 1, NULL) != OWM_OK) _exit(1);
            if (stop > sizeof data && owm_blob_finish(upload, NULL, NULL) != OWM_OK) _exit(1);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        reopen();
        assert_int_equal(owm_blob_exists(store, hash), stop > sizeof data);
        if (stop > sizeof data) {
            expect_content(hash, data, sizeof data);
            continue;
        }
        struct owm_blob_upload *upload;
        uint64_t offset;
        assert_ok(owm_blob_begin(store, hash, 64, &upload, &offset, &error));
        assert_int_equal(offset, stop % 2 ? stop : 0);
        assert_ok(owm_blob_append(upload, data + offset, sizeof data - offset, &error));
        assert_ok(owm_blob_finish(upload, NULL, &error));
        expect_content(hash, data, sizeof data);
    }
}

static void trim_removes_the_oldest_but_never_the_pinned(void **state)
{
    (void)state;
    uint8_t hash[6][32], data[1000];
    uint32_t removed;
    char path[256];
    for (unsigned i = 0; i < 6; i++) {
        memset(data, (int)i, sizeof data);
        assert_ok(owm_blob_put(store, data, sizeof data, hash[i], &error));
        assert_ok(owm_blob_path(store, hash[i], path, sizeof path));
        struct timespec used[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_nsec = UTIME_OMIT}};
        assert_int_equal(utimensat(AT_FDCWD, path, used, 0), 0);
    }
    expect_content(hash[1], (memset(data, 1, sizeof data), data), sizeof data); /* used now */
    assert_ok(owm_blob_trim(store, 3000, (const uint8_t(*)[32])hash[0], 1, &removed));
    assert_int_equal(removed, 3);
    assert_true(owm_blob_exists(store, hash[0]) && owm_blob_exists(store, hash[1]));
    assert_true(owm_blob_exists(store, hash[5]));
    assert_int_equal(owm_blob_trim(store, 500, (const uint8_t(*)[32])hash[0], 1, &removed),
                     OWM_E_LIMIT);
    assert_true(owm_blob_exists(store, hash[0]) && !owm_blob_exists(store, hash[5]));
}

/* SRS-SEC-04 (spirit): a peer that begins uploads and goes away, again and again, fills no disk. */
static void suspended_uploads_are_few(void **state)
{
    (void)state;
    struct owm_blob_upload *upload, *open_one;
    uint64_t offset;
    uint8_t hash[32] = {0};
    assert_ok(owm_blob_begin(store, hash, 100, &open_one, &offset, &error));
    for (unsigned i = 1; i <= OWM_BLOB_SUSPENDED_MAX + 20; i++) {
        hash[0] = (uint8_t)i;
        assert_ok(owm_blob_begin(store, hash, 100, &upload, &offset, &error));
        assert_ok(owm_blob_append(upload, "part", 4, &error));
        owm_blob_suspend(upload);
    }
    assert_int_equal(count_tmp(), OWM_BLOB_SUSPENDED_MAX + 1);
    /* The last one can go on; the one that was open all the time is untouched. */
    assert_ok(owm_blob_begin(store, hash, 100, &upload, &offset, &error));
    assert_int_equal(offset, 4);
    owm_blob_suspend(upload);
    assert_ok(owm_blob_append(open_one, "x", 1, &error));
    owm_blob_suspend(open_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(put_open_exists_delete, fresh, done),
        cmocka_unit_test_setup_teardown(declared_uploads_resume_after_suspend_and_restart, fresh,
                                        done),
        cmocka_unit_test_setup_teardown(a_wrong_hash_stores_nothing, fresh, done),
        cmocka_unit_test_setup_teardown(undeclared_uploads_do_not_survive, fresh, done),
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_a_whole_blob_or_none, fresh, done),
        cmocka_unit_test_setup_teardown(suspended_uploads_are_few, fresh, done),
        cmocka_unit_test_setup_teardown(trim_removes_the_oldest_but_never_the_pinned, fresh, done),
    };
    if (!mkdtemp(root)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    (void)rmdir(root);
    return failed;
}

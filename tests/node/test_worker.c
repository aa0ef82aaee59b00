/* test_worker.c: SRS-NODE-05, the real owm-worker: work, kept weights, crash, hang, lies about
 * weights, cancel. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sha256.h"
#include "dataplane/fl/delta.h"
#include "fixture.h"
#include "node/worker_child.h"
#include "test.h"

static uint8_t *checkpoint;
static size_t checkpoint_bytes;

static owm_worker *open_worker(unsigned silence_ms)
{
    const struct owm_worker_options options = {
        .path = WORKER, .threads = 1, .memory_mb = 2048, .silence_ms = silence_ms};
    owm_worker *worker = NULL;
    assert_ok(owm_worker_open(&options, &worker));
    return worker;
}

static struct owm_worker_message infer(uint32_t tokens)
{
    struct owm_worker_message m = {.kind = OWM_WORKER_INFER};
    owm_sha256(checkpoint, checkpoint_bytes, m.infer.model_sha256);
    m.infer.model_bytes = checkpoint_bytes;
    m.infer.max_tokens = tokens;
    m.infer.temperature = 1;
    m.infer.seed = 9;
    m.infer.prompt = (const uint8_t *)"once upon";
    m.infer.prompt_bytes = 9;
    return m;
}

struct heard {
    uint8_t text[8192];
    size_t count;
};

static void on_chunk(void *ctx, const uint8_t *bytes, size_t count)
{
    struct heard *heard = ctx;
    assert_true(heard->count + count <= sizeof heard->text);
    memcpy(heard->text + heard->count, bytes, count);
    heard->count += count;
}

static owm_status ask(owm_worker *worker, const struct owm_worker_message *m, struct heard *heard,
                      const atomic_bool *cancel, struct owm_worker_done *done,
                      struct owm_error *error)
{
    int fd = fixture_memory(checkpoint, checkpoint_bytes);
    heard->count = 0;
    const struct owm_worker_call call = {
        .request = m, .fds = &fd, .cancel = cancel, .on_chunk = on_chunk, .ctx = heard};
    owm_status status = owm_worker_run(worker, &call, done, error);
    close(fd);
    return status;
}

/* SRS-NODE-05: the same process answers twice, and the same seed gives the same text. */
static void test_infer(void **state)
{
    (void)state;
    owm_worker *worker = open_worker(20000);
    struct owm_worker_message m = infer(300);
    struct owm_worker_done done;
    struct owm_error error = {""};
    static struct heard first, second;
    assert_ok(ask(worker, &m, &first, NULL, &done, &error));
    assert_int_equal(first.count, 300);
    assert_int_equal(done.tokens, 300);
    assert_string_equal(done.finish, "length");
    int pid = owm_worker_pid(worker);
    assert_ok(ask(worker, &m, &second, NULL, &done, &error));
    assert_memory_equal(first.text, second.text, 300);
    assert_int_equal(owm_worker_pid(worker), pid);
    assert_int_equal(owm_worker_starts(worker), 1);
    owm_worker_close(worker);
}

/* SRS-NODE-10 (hash part): weights with another SHA-256 than promised are not loaded. */
static void test_wrong_weights(void **state)
{
    (void)state;
    owm_worker *worker = open_worker(20000);
    struct owm_worker_message m = infer(10);
    struct owm_worker_done done;
    struct owm_error error = {""};
    static struct heard heard;
    m.infer.model_sha256[0] ^= 1;
    assert_int_equal(ask(worker, &m, &heard, NULL, &done, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "SHA-256"));
    m = infer(10);
    assert_ok(ask(worker, &m, &heard, NULL, &done, &error));
    owm_worker_close(worker);
}

static void *kill_soon(void *ctx)
{
    owm_worker *worker = ctx;
    owm_clock_sleep_ms(300);
    kill(owm_worker_pid(worker), SIGKILL);
    return NULL;
}

static void *stop_soon(void *ctx)
{
    owm_worker *worker = ctx;
    owm_clock_sleep_ms(300);
    /* The process that computes is a child of the one we started, in a namespace of its own: the
     * whole group is stopped. */
    kill(-owm_worker_pid(worker), SIGSTOP);
    return NULL;
}

/* SRS-NODE-05: a crashed worker is replaced, and the task fails with how it died. */
static void test_crash(void **state)
{
    (void)state;
    owm_worker *worker = open_worker(20000);
    struct owm_worker_message m = infer(4096);
    struct owm_worker_done done;
    struct owm_error error = {""};
    static struct heard heard;
    pthread_t killer;
    assert_ok(owm_worker_warm(worker, &error));
    pthread_create(&killer, NULL, kill_soon, worker);
    owm_status status = OWM_OK;
    for (int i = 0; i < 2000 && status == OWM_OK; i++)
        status = ask(worker, &m, &heard, NULL, &done, &error);
    pthread_join(killer, NULL);
    assert_int_equal(status, OWM_E_IO);
    assert_non_null(strstr(error.text, "signal 9"));
    m = infer(10);
    assert_ok(ask(worker, &m, &heard, NULL, &done, &error));
    assert_int_equal(owm_worker_starts(worker), 2);
    owm_worker_close(worker);
}

/* SRS-NODE-05: a hung worker is noticed by its silence, killed and replaced. */
static void test_hang(void **state)
{
    (void)state;
    owm_worker *worker = open_worker(1500);
    struct owm_worker_message m = infer(4096);
    struct owm_worker_done done;
    struct owm_error error = {""};
    static struct heard heard;
    pthread_t stopper;
    assert_ok(owm_worker_warm(worker, &error));
    pthread_create(&stopper, NULL, stop_soon, worker);
    owm_status status = OWM_OK;
    for (int i = 0; i < 2000 && status == OWM_OK; i++)
        status = ask(worker, &m, &heard, NULL, &done, &error);
    pthread_join(stopper, NULL);
    assert_int_equal(status, OWM_E_TIMEOUT);
    assert_non_null(strstr(error.text, "no sign of life"));
    m = infer(10);
    assert_ok(ask(worker, &m, &heard, NULL, &done, &error));
    owm_worker_close(worker);
}

/* SRS-NODE-05: a task that is taken back stops early, and the worker lives on. */
static void test_cancel(void **state)
{
    (void)state;
    owm_worker *worker = open_worker(20000);
    struct owm_worker_message m = infer(4096);
    struct owm_worker_done done;
    struct owm_error error = {""};
    static struct heard heard;
    atomic_bool cancel = true;
    assert_int_equal(ask(worker, &m, &heard, &cancel, &done, &error), OWM_E_CANCELLED);
    m = infer(10);
    assert_ok(ask(worker, &m, &heard, NULL, &done, &error));
    assert_int_equal(owm_worker_starts(worker), 1);
    owm_worker_close(worker);
}

/* SRS-MODEL-06 step 4: training gives a package and a residual, and the weights stay as they were:
 * what the same worker then generates is unchanged. */
static void test_train(void **state)
{
    (void)state;
    enum { PARAMS_MAX = 1 << 20 };
    owm_worker *worker = open_worker(20000);
    struct owm_worker_done done;
    struct owm_error error = {""};
    static struct heard before, after;
    static char text[20000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = "the cat sat on the mat. "[i % 24];
    struct owm_worker_message ask_m = infer(200);
    assert_ok(ask(worker, &ask_m, &before, NULL, &done, &error));
    struct owm_worker_message m = {.kind = OWM_WORKER_TRAIN};
    owm_sha256(checkpoint, checkpoint_bytes, m.train.model_sha256);
    m.train.model_bytes = checkpoint_bytes;
    m.train.round = 1;
    m.train.steps = 60;
    m.train.batch = 4;
    m.train.seq = 32;
    m.train.lr = 3e-3f;
    m.train.topk_permille = 100;
    float *zeros = calloc(PARAMS_MAX, sizeof *zeros);
    int fds[OWM_WORKER_FDS_MAX] = {fixture_memory(checkpoint, checkpoint_bytes),
                                   fixture_memory(text, sizeof text),
                                   fixture_memory(zeros, PARAMS_MAX * sizeof *zeros),
                                   fixture_memory("", 0), fixture_memory("", 0)};
    const struct owm_worker_call call = {.request = &m, .fds = fds};
    owm_status status = owm_worker_run(worker, &call, &done, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
    assert_true(done.loss_last < done.loss_first);
    struct stat st;
    fstat(fds[OWM_WORKER_FD_PACKAGE], &st);
    assert_int_equal(st.st_size, done.package_bytes);
    uint8_t *package = malloc(done.package_bytes);
    assert_int_equal(pread(fds[OWM_WORKER_FD_PACKAGE], package, done.package_bytes, 0),
                     done.package_bytes);
    struct owm_delta_header header;
    enum owm_delta_reason reason;
    assert_ok(owm_delta_peek(package, done.package_bytes, &header, &reason));
    assert_int_equal(header.round, 1);
    fstat(fds[OWM_WORKER_FD_RESIDUAL_OUT], &st);
    assert_int_equal(st.st_size, header.parameter_count * sizeof(float));
    assert_ok(ask(worker, &ask_m, &after, NULL, &done, &error));
    assert_memory_equal(before.text, after.text, 200);
    for (int i = 0; i < OWM_WORKER_FDS_MAX; i++) close(fds[i]);
    free(package);
    free(zeros);
    owm_worker_close(worker);
}

/* SRS-NODE-05: a program that is no worker is a clear failure, not a hang. */
static void test_no_worker(void **state)
{
    (void)state;
    struct owm_worker_options options = {.path = "/nonexistent/owm-worker", .threads = 1};
    owm_worker *worker = NULL;
    struct owm_error error = {""};
    assert_ok(owm_worker_open(&options, &worker));
    assert_int_equal(owm_worker_warm(worker, &error), OWM_E_IO);
    assert_non_null(strstr(error.text, "node.worker_path"));
    owm_worker_close(worker);
    options.path = "/bin/true";
    assert_ok(owm_worker_open(&options, &worker));
    assert_int_equal(owm_worker_warm(worker, &error), OWM_E_IO);
    assert_non_null(strstr(error.text, "exit code 0"));
    owm_worker_close(worker);
}

/* SRS-NODE-05: CUDA MPS limits reach the worker, and nothing else of our environment does. */
static void test_environment(void **state)
{
    (void)state;
    char folder[128], path[160], out[160], script[256];
    uint8_t *env = NULL;
    size_t bytes = 0;
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/worker", folder);
    snprintf(out, sizeof out, "%s/env", folder);
    snprintf(script, sizeof script, "#!/bin/sh\n/usr/bin/env > %s\n", out);
    fixture_write(folder, "worker", script);
    assert_int_equal(chmod(path, 0755), 0);
    setenv("OWM_LND_MACAROON_HEX", "0201036c6e64", 1);
    const struct owm_worker_options options = {
        .path = path, .threads = 1, .vram_percent = 80, .vram_bytes = 24ull << 30};
    owm_worker *worker = NULL;
    struct owm_error error = {""};
    assert_ok(owm_worker_open(&options, &worker));
    assert_int_equal(owm_worker_warm(worker, &error), OWM_E_IO); /* It is no worker. */
    owm_worker_close(worker);
    assert_ok(owm_fs_read(out, 65536, &env, &bytes, &error));
    assert_non_null(strstr((char *)env, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=19660M\n"));
    assert_non_null(strstr((char *)env, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=80\n"));
    assert_null(strstr((char *)env, "MACAROON"));
    assert_null(strstr((char *)env, "HOME="));
    free(env);
    fixture_remove(folder);
}

/* SRS-NODE-05: on a GPU's backend (a double: the cpu as a plug-in) the device is opened before the
 * fences and works behind them; a named one that is missing is a sentence; auto goes on without. */
static void test_backends(void **state)
{
    (void)state;
    static const struct {
        const char *wanted, *plugins, *runs_on, *fence;
    } story[] = {{"cuda", PLUGINS "/good", "cuda", "GPU's driver"},
                 {"auto", PLUGINS "/good", "cuda", "GPU's driver"},
                 {"auto", "/nonexistent", "cpu", "system call filter"},
                 {"cpu", PLUGINS "/good", "cpu", "system call filter"},
                 {"cuda", "/nonexistent", NULL, "libowm-cuda.so"},
                 {"hip", PLUGINS "/good", NULL, "libowm-hip.so"},
                 {"cuda", PLUGINS "/abi", NULL, "plug-in version"},
                 {"reference", PLUGINS "/good", NULL, "has no backend"}};
    for (size_t i = 0; i < sizeof story / sizeof story[0]; i++) {
        setenv("OWM_PLUGIN_DIR", story[i].plugins, 1);
        const struct owm_worker_options options = {.path = WORKER,
                                                   .threads = 2,
                                                   .memory_mb = 2048,
                                                   .silence_ms = 20000,
                                                   .backend = story[i].wanted};
        owm_worker *worker = NULL;
        struct owm_error error = {""};
        char backend[OWM_WORKER_BACKEND_BYTES];
        assert_ok(owm_worker_open(&options, &worker));
        owm_status status = owm_worker_warm(worker, &error);
        if (story[i].runs_on == NULL) {
            assert_int_not_equal(status, OWM_OK);
            assert_non_null(strstr(error.text, story[i].fence));
        } else {
            assert_ok(status);
            owm_worker_backend(worker, backend);
            assert_string_equal(backend, story[i].runs_on);
            assert_non_null(strstr(owm_worker_runs_on(worker), story[i].fence));
            if (strcmp(backend, "cpu") == 0) /* It never gets the lower fences. */
                assert_null(strstr(owm_worker_runs_on(worker), "GPU"));
            struct heard heard = {.count = 0};
            struct owm_worker_done done;
            const struct owm_worker_message m = infer(4);
            assert_ok(ask(worker, &m, &heard, NULL, &done, &error));
            assert_int_equal(done.tokens, 4);
        }
        owm_worker_close(worker);
    }
    unsetenv("OWM_PLUGIN_DIR");
}

/* SRS-NODE-05: what a worker may write to is as large as its answer can be, and stays so. */
static void test_memory_files(void **state)
{
    (void)state;
    int given = owm_worker_memory("given", "residual", 8);
    int room = owm_worker_memory("room", NULL, 100);
    char byte = 'x', back[8];
    assert_true(given >= 0 && room >= 0);
    assert_int_equal(pread(given, back, 8, 0), 8);
    assert_memory_equal(back, "residual", 8);
    assert_int_equal(pwrite(given, &byte, 1, 0), -1);
    assert_int_equal(ftruncate(given, 0), -1);
    assert_int_equal(pwrite(room, &byte, 1, 99), 1);
    assert_int_equal(pwrite(room, &byte, 1, 100), -1);
    assert_int_equal(ftruncate(room, 1 << 30), -1);
    assert_int_equal(ftruncate(room, 0), -1);
    close(given);
    close(room);
}

/* SRS-NODE-05: a worker that writes without end to its stderr does not fill the disk with it. */
static void test_chatter(void **state)
{
    (void)state;
    char folder[128], path[160], out[160];
    uint8_t *log = NULL;
    size_t bytes = 0, lines = 0;
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/worker", folder);
    snprintf(out, sizeof out, "%s/log", folder);
    /* Its stderr never blocks it, and a pipe keeps 13,000 such lines: of 30,000 most were read. */
    fixture_write(folder, "worker",
                  "#!/bin/sh\ni=0\nwhile [ $i -lt 30000 ]; do\n"
                  "if echo help >&2; then i=$((i+1)); else sleep 0.01; fi\ndone\n");
    assert_int_equal(chmod(path, 0755), 0);
    const struct owm_worker_options options = {.path = path, .threads = 1};
    owm_worker *worker = NULL;
    struct owm_error error = {""};
    assert_ok(owm_worker_open(&options, &worker));
    int log_fd = open(out, O_WRONLY | O_CREAT, 0600);
    owm_log_fd_set(log_fd);
    assert_int_equal(owm_worker_warm(worker, &error), OWM_E_IO); /* It is no worker. */
    owm_log_fd_set(2);
    owm_worker_close(worker);
    close(log_fd);
    assert_ok(owm_fs_read(out, 1 << 25, &log, &bytes, &error));
    for (size_t i = 0; i < bytes; i++) lines += log[i] == '\n';
    assert_in_range(lines, 100, 1010);
    assert_non_null(strstr((char *)log, "the rest is dropped"));
    free(log);
    fixture_remove(folder);
}

int main(void)
{
    checkpoint = fixture_checkpoint(&checkpoint_bytes);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_infer),     cmocka_unit_test(test_wrong_weights),
        cmocka_unit_test(test_crash),     cmocka_unit_test(test_hang),
        cmocka_unit_test(test_cancel),    cmocka_unit_test(test_train),
        cmocka_unit_test(test_no_worker), cmocka_unit_test(test_environment),
        cmocka_unit_test(test_backends),  cmocka_unit_test(test_memory_files),
        cmocka_unit_test(test_chatter),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(checkpoint);
    return failed;
}

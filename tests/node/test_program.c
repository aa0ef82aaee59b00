/* test_program.c: the program owm-node as an operator meets it: SRS-NODE-01, -02, -08, -09. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "coordinator_double.h"
#include "fixture.h"
#include "test.h"

#define TASK_A "aaaaaaaa-0000-4000-8000-000000000001"
#define WAIT   15000

struct world {
    char folder[128], config[160], output[65536];
    struct coordinator_double d;
    uint8_t *checkpoint;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char path[160], text[2048];
    fixture_folder(w->folder);
    double_open(&w->d);
    snprintf(path, sizeof path, "%s/coordinator.pem", w->folder);
    double_write_cert(&w->d, path);
    fixture_write(w->folder, "shard/a.txt",
                  "some text to train on, which is long enough to be used");
    snprintf(text, sizeof text,
             "[node]\ndata_dir = \"%s/data\"\ntier_override = \"t1\"\nhttp_port = 0\n"
             "[network]\ncoordinator_url = \"https://127.0.0.1:%d\"\n"
             "coordinator_cert = \"%s/coordinator.pem\"\n[data]\nshard_paths = \"%s/shard\"\n"
             "[limits]\nmemory_max_mb = 2048\nshutdown_s = 30\n",
             w->folder, w->d.port, w->folder, w->folder);
    fixture_write(w->folder, "owm.toml", text);
    snprintf(w->config, sizeof w->config, "%s/owm.toml", w->folder);
    w->checkpoint = fixture_checkpoint(&w->d.blob_bytes);
    SET(w, blob, w->checkpoint);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    double_close(&w->d);
    fixture_remove(w->folder);
    free(w->checkpoint);
    free(w);
    return 0;
}

/** begin: owm-node with these arguments, its output going to folder/out. */
static pid_t begin(const struct world *w, const char *command, const char *option)
{
    char out[160];
    snprintf(out, sizeof out, "%s/out", w->folder);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        setenv("OWM_LOG_LEVEL", "info", 1); /* Whatever the caller of the tests likes. */
        execl(NODE, "owm-node", command, "--config", w->config, option, (char *)NULL);
        _exit(126);
    }
    return pid;
}

/** finish: it ends with this exit code; what it wrote is in w->output. */
static void finish(struct world *w, pid_t pid, int wanted)
{
    char out[160];
    int state = 0;
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error error;
    assert_int_equal(waitpid(pid, &state, 0), pid);
    snprintf(out, sizeof out, "%s/out", w->folder);
    assert_ok(owm_fs_read(out, sizeof w->output - 1, &data, &bytes, &error));
    memcpy(w->output, data, bytes + 1);
    free(data);
    int code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    if (code == wanted) return;
    fputs(w->output, stderr); /* Whole: cmocka cuts what it prints. */
    fail_msg("exit code %d instead of %d", code, wanted);
}

static void run(struct world *w, const char *command, const char *option, int wanted)
{
    finish(w, begin(w, command, option), wanted);
}

static void has(const struct world *w, const char *text)
{
    if (strstr(w->output, text) == NULL) fail_msg("'%s' is not in: %s", text, w->output);
}

/* SRS-NODE-01, SRS-NODE-09: one command starts it; SIGTERM lets the running task finish and its
 * result be answered, then it ends with 0. No secret is in its output (promise 8). */
static void test_start_and_stop(void **state)
{
    struct world *w = *state;
    pid_t pid = begin(w, "start", NULL);
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    double_send_inference(&w->d, TASK_A, 1, "once upon", 3000);
    assert_true(double_wait(&w->d, &w->d.progresses, 1, WAIT));
    kill(pid, SIGTERM);
    finish(w, pid, 0);
    assert_int_equal(SEEN(w, result_count), 1);
    assert_string_equal(w->d.result[0].error, "");
    assert_true(SEEN(w, draining));
    has(w, "stopping running_tasks=1");
    has(w, "stopped");
    char path[192];
    uint8_t *key = NULL;
    size_t bytes = 0;
    struct owm_error error;
    snprintf(path, sizeof path, "%s/data/identity.key", w->folder);
    assert_ok(owm_fs_read(path, 4096, &key, &bytes, &error));
    char *hex = strrchr((char *)key, ' ');
    assert_non_null(hex);
    hex[1 + 64] = '\0';
    assert_null(strstr(w->output, hex + 1));
    free(key);
}

/* SRS-NODE-09: a second signal ends a long task at once. */
static void test_second_signal(void **state)
{
    struct world *w = *state;
    pid_t pid = begin(w, "start", NULL);
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    double_send_inference(&w->d, TASK_A, 1, "once upon", 4096);
    assert_true(double_wait(&w->d, &w->d.progresses, 1, WAIT));
    kill(pid, SIGINT);
    owm_clock_sleep_ms(20);
    kill(pid, SIGINT);
    uint64_t begin_ms = owm_clock_mono_ms();
    finish(w, pid, 0);
    assert_true(owm_clock_mono_ms() - begin_ms < 12000);
}

/* SRS-NODE-01, SRS-NODE-08: a second start names the pid of the first; status and earnings work
 * beside it; without it status says how to start. */
static void test_beside(void **state)
{
    struct world *w = *state;
    char pid_text[24];
    pid_t pid = begin(w, "start", NULL);
    assert_true(double_wait(&w->d, &w->d.heartbeats, 2, WAIT));
    run(w, "start", NULL, 1);
    snprintf(pid_text, sizeof pid_text, "pid %d", pid);
    has(w, pid_text);
    run(w, "status", NULL, 0);
    has(w, "registered");
    has(w, DOUBLE_NODE_ID);
    run(w, "status", "--json", 0);
    has(w, "\"network\": \"devnet\"");
    run(w, "earnings", NULL, 0);
    has(w, "owed 0.000 sats");
    kill(pid, SIGTERM);
    int ended = 0;
    assert_int_equal(waitpid(pid, &ended, 0), pid);
    assert_int_equal(ended, 0);
    run(w, "status", NULL, 1);
    has(w, "owm-node start");
}

/* The doctor names severity, cause and fix, as text and as JSON. */
static void test_doctor(void **state)
{
    struct world *w = *state;
    run(w, "doctor", "--json", 0);
    has(w, "\"check\": \"coordinator\"");
    has(w, "network devnet");
    has(w, "\"check\": \"worker\"");
    has(w, "sandboxed worker started");
    double_stop(&w->d);
    run(w, "doctor", NULL, 1);
    has(w, "does not answer");
    has(w, "-> Check network.coordinator_url");
    double_restart(&w->d);
}

/* Bad settings and commands get a sentence with the fix; help and the example need nothing. */
static void test_command_line(void **state)
{
    struct world *w = *state;
    run(w, "dance", NULL, 2);
    has(w, "no command 'dance'");
    run(w, "start", "--network.socks5_proxy=127.0.0.1:9050", 1);
    has(w, "SRS-NET-04");
    run(w, "start", "--node.colour=red", 1);
    has(w, "node.colour");
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_start_and_stop), IN_WORLD(test_second_signal), IN_WORLD(test_beside),
        IN_WORLD(test_doctor),         IN_WORLD(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

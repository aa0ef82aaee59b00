/* test_calendar_program.c: owm-ots calendar itself: stamped at, stopped, killed under load, started
 * again (SRS-OTS-03). argv[1]: the program */
#include "test.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "dataplane/ots/proof.h"
#include "raw_http.h"

#define CLIENTS      32
#define KEPT_MAX     4096
#define COMMITMENT   44
#define START_MS_MAX 20000

static const char *program;
static char folder[] = "/tmp/owm-calendar-XXXXXX";
static char output[65536];
static struct raw_answer answer;
static pid_t server;
static uint16_t port;

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---------------------------------------------------------------------------- the program */

static void read_log(void)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    assert_ok(owm_fs_read(path_of("log"), sizeof output - 1, &data, &bytes, NULL));
    memcpy(output, data, bytes + 1);
    free(data);
}

static int run(const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof command, "cd %s && '%s' %s 2>&1", folder, program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = 0;
    return WEXITSTATUS(pclose(pipe));
}

static void assert_run(int code, const char *arguments, const char *says)
{
    int got = run(arguments);
    if (got != code || !strstr(output, says))
        fail_msg("owm-ots %s: exit code %d, not %d; wanted \"%s\" in:\n%s", arguments, got, code,
                 says, output);
}

static void start(void)
{
    char data[256];
    snprintf(data, sizeof data, "%s", path_of("data"));
    int log = open(path_of("log"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(log, STDERR_FILENO);
        execl(program, program, "calendar", "--folder", data, "--uri", "http://calendar.test",
              "--listen", "127.0.0.1:0", "--rate", "0", "--network", "regtest", (char *)NULL);
        _exit(127);
    }
    close(log);
    uint64_t until_ms = owm_clock_mono_ms() + START_MS_MAX;
    for (const char *at = NULL; !at; owm_clock_sleep_ms(20)) {
        read_log();
        at = strstr(output, " port=");
        if (at) port = (uint16_t)strtoul(at + 6, NULL, 10);
        if (owm_clock_mono_ms() > until_ms) fail_msg("the calendar does not start:\n%s", output);
    }
}

static int stop(int signal)
{
    int status = 0;
    assert_int_equal(kill(server, signal), 0);
    assert_int_equal(waitpid(server, &status, 0), server);
    server = 0;
    return status;
}

static int stop_what_a_failure_left(void **state)
{
    (void)state;
    if (server > 0) stop(SIGKILL);
    return 0;
}

static void get(const char *path)
{
    const struct raw_request request = {port, "GET", path, NULL, NULL, 0};
    raw_ask(&request, &answer);
}

/* ---------------------------------------------------------------------------- clients */

struct kept {
    pthread_mutex_t lock;
    atomic_bool stop;
    uint32_t count, refused;
    uint8_t commitments[KEPT_MAX][COMMITMENT];
};
static struct kept kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What a client would write into its file. */
static bool keep(const struct raw_answer *from, const uint8_t digest[static 32])
{
    struct owm_ots_tree tree;
    bool good = owm_ots_tree_init(&tree, (struct owm_ots_bytes){digest, 32}, NULL) == OWM_OK;
    const struct owm_ots_bytes data = {from->body, (uint32_t)from->body_bytes};
    good = good && owm_ots_parse(&tree, data, NULL) == OWM_OK && tree.attestation_count == 1;
    if (good) {
        struct owm_ots_bytes message = tree.nodes[tree.attestations[0].node].message;
        OWM_ASSERT(message.bytes == COMMITMENT && kept.count < KEPT_MAX);
        memcpy(kept.commitments[kept.count++], message.data, COMMITMENT);
    }
    owm_ots_tree_deinit(&tree);
    return good;
}

static void *submit(void *ctx)
{
    struct raw_answer *got = malloc(sizeof *got);
    (void)ctx;
    OWM_ASSERT(got);
    while (!atomic_load(&kept.stop)) {
        uint8_t digest[32];
        OWM_ASSERT(getrandom(digest, sizeof digest, 0) == sizeof digest);
        const struct raw_request request = {port, "POST", "/digest", NULL, digest, 32};
        raw_ask(&request, got);
        pthread_mutex_lock(&kept.lock);
        if (got->status != 200 || !keep(got, digest)) kept.refused++;
        pthread_mutex_unlock(&kept.lock);
        if (got->status != 200) owm_clock_sleep_ms(10); /* The server is away. */
    }
    free(got);
    return NULL;
}

static void begin_load(pthread_t threads[static CLIENTS])
{
    atomic_store(&kept.stop, false);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit, NULL), 0);
}

static uint32_t kept_count(void)
{
    pthread_mutex_lock(&kept.lock);
    uint32_t count = kept.count;
    pthread_mutex_unlock(&kept.lock);
    return count;
}

static void end_load(const pthread_t threads[static CLIENTS])
{
    atomic_store(&kept.stop, true);
    for (int i = 0; i < CLIENTS; i++) pthread_join(threads[i], NULL);
}

/* ---------------------------------------------------------------------------- tests */

static void its_options_are_explained(void **state)
{
    (void)state;
    assert_run(0, "calendar --help", "owm-ots calendar --folder DIR --uri URL");
    assert_run(0, "--help", "owm-ots calendar ");
    assert_run(2, "calendar", "needs --folder DIR and --uri URL");
    assert_run(2, "calendar --dance", "see 'owm-ots calendar --help'");
    assert_run(2, "calendar x", "'x' is no option");
    assert_run(2, "calendar --uri ftp://x", "can be in no promise");
    assert_run(2, "calendar --uri https://x/", "without a / at its end");
    assert_run(2, "calendar --uri 'https://x?y'", "can be in no promise");
    assert_run(2, "calendar --listen localhost:1", "no numeric address");
    assert_run(2, "calendar --listen 127.0.0.1", "no numeric address");
    assert_run(2, "calendar --listen 127.0.0.1:99999", "no numeric address");
    assert_run(2, "calendar --listen [::1]", "no numeric address");
    assert_run(2, "calendar --proxy nginx", "is no numeric address");
    assert_run(2, "calendar --rate -1", "--rate is a number from 0");
    assert_run(2, "calendar --fee-max 0", "--fee-max is a number from 1");
    assert_run(2, "calendar --interval 5x", "--interval is a number from 1");
    assert_run(2, "calendar --network moon", "main, testnet4, signet or regtest");
    assert_run(2, "calendar --folder d --uri https://x --bitcoin-cookie c",
               "goes with --bitcoin-rpc");
    assert_run(1, "calendar --folder /proc/x --uri https://x", "/proc/x");
}

static void what_it_promises_our_own_commands_understand(void **state)
{
    (void)state;
    char text[256];
    start();
    assert_ok(owm_fs_write_atomic(path_of("a"), "one", 3, 0644, NULL));
    snprintf(text, sizeof text, "stamp --calendar http://127.0.0.1:%u a", port);
    assert_run(0, text, "a: stamped, pending: a.ots");
    assert_run(3, "verify a.ots", "a.ots: pending: 1 calendar");
    assert_run(0, "info a.ots", "=> promise of http://calendar.test");
    assert_run(3, "upgrade a.ots", "is no calendar of the list");
    snprintf(text, sizeof text, "calendar --folder data --uri http://x --listen 127.0.0.1:%u",
             port);
    assert_run(1, text, "another calendar has the folder");
    snprintf(text, sizeof text, "calendar --folder b --uri http://x --listen 127.0.0.1:%u", port);
    assert_run(1, text, "set --listen to a free one");
    assert_int_equal(stop(SIGTERM), 0);
    read_log();
    assert_non_null(strstr(output, "stopped"));
}

/* Promises that were answered are found again, each of them, whenever the process died. */
static void killed_under_load_it_keeps_every_promise(void **state)
{
    (void)state;
    pthread_t threads[CLIENTS];
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t before = kept_count();
        start();
        begin_load(threads);
        while (kept_count() <= before + round * CLIENTS) owm_clock_sleep_ms(1);
        assert_true(WIFSIGNALED(stop(SIGKILL))); /* The next ones are on their way just now. */
        end_load(threads);
    }
    assert_true(kept.count > 3 * CLIENTS);
    start();
    for (uint32_t i = 0; i < kept.count; i++) {
        char path[128] = "/timestamp/";
        owm_hex_encode(kept.commitments[i], COMMITMENT, path + 11);
        get(path);
        assert_int_equal(answer.status, 404);
        assert_string_equal((const char *)answer.body,
                            "Pending confirmation in Bitcoin blockchain");
    }
    get("/health"); /* None of them had to be taken back from its proof. */
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr((const char *)answer.body, "\"recovered\": 0"));
    assert_int_equal(stop(SIGTERM), 0);
}

static void wait_until_submitted(int64_t wanted)
{
    for (int64_t count = 0; count < wanted; owm_clock_sleep_ms(5)) {
        get("/health");
        json_t *json = json_loads((const char *)answer.body, 0, NULL);
        assert_non_null(json);
        count = json_integer_value(json_object_get(json, "digests"))
                + json_integer_value(json_object_get(json, "gathered"));
        json_decref(json);
    }
}

/* Whoever waits when the calendar is stopped gets his promise. */
static void stopped_under_load_it_answers_who_waits(void **state)
{
    (void)state;
    int sockets[40];
    uint8_t digest[32] = {0};
    kept.count = 0;
    start();
    for (uint8_t i = 0; i < 40; i++) {
        digest[0] = i;
        const struct raw_request request = {port, "POST", "/digest", NULL, digest, 32};
        sockets[i] = raw_send(&request);
    }
    wait_until_submitted(40);
    assert_int_equal(stop(SIGTERM), 0);
    for (uint8_t i = 0; i < 40; i++) {
        digest[0] = i;
        raw_read(sockets[i], &answer);
        assert_int_equal(answer.status, 200);
        assert_true(keep(&answer, digest));
    }
}

/* The key is in no page, and in nothing that the program says. */
static void its_secret_is_nowhere(void **state)
{
    (void)state;
    static const char *const pages[] = {"/", "/health", "/metrics", "/tip", "/hmac-key"};
    uint8_t *key;
    size_t bytes;
    assert_ok(owm_fs_read(path_of("data/hmac-key"), 1000, &key, &bytes, NULL));
    char hex[33] = ""; /* Half of it. */
    memcpy(hex, key + 19, 32);
    start();
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        get(pages[i]);
        assert_null(strstr((const char *)answer.body, hex));
    }
    assert_int_equal(stop(SIGTERM), 0);
    read_log();
    assert_null(strstr(output, hex));
    free(key);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !mkdtemp(folder)) return 2;
    program = argv[1];
#define CASE(f) cmocka_unit_test_teardown(f, stop_what_a_failure_left)
    const struct CMUnitTest tests[] = {
        CASE(its_options_are_explained),
        CASE(what_it_promises_our_own_commands_understand),
        CASE(killed_under_load_it_keeps_every_promise),
        CASE(stopped_under_load_it_answers_who_waits),
        CASE(its_secret_is_nowhere),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? failed : 1;
}

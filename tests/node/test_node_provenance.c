/* test_node_provenance.c: the program owm-node refuses what is not proven, says why, counts it, and
 * goes on with what it used before: TST-04, SRS-NODE-10, SRS-OTS-05, design promise 3. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/sha256.h"
#include "coordinator_double.h"
#include "fixture.h"
#include "made_proof.h"
#include "node/task_log.h"
#include "node_double.h"
#include "test.h"

#define WAIT     20000
#define VERSIONS 4
#define BLOCKS   60

/** version: of round 10, 11, …, proven in block 8, 12, …; none is what was served before. */
struct version {
    uint8_t *blob, sha256[32];
    size_t bytes;
    uint32_t round;
    uint64_t height;
    struct made_proof proof, pending, other_block;
};

struct world {
    char folder[128], config[160], page[65536];
    struct coordinator_double d;
    struct node_double bitcoin;
    struct version version[VERSIONS];
    pid_t pid;
    unsigned task;
};

static void make_version(struct world *w, unsigned i)
{
    struct version *v = &w->version[i];
    v->blob = fixture_checkpoint_of(100 + i, &v->bytes);
    owm_sha256(v->blob, v->bytes, v->sha256);
    v->round = 10 + i;
    v->height = 8 + 4 * i;
    struct made_wanted wanted = {
        .sha256 = v->sha256, .calendar = {CALENDAR_A, CALENDAR_B}, .height = v->height};
    made_proof_make(&wanted, &v->proof);
    wanted.height = v->height + 1;
    made_proof_make(&wanted, &v->other_block);
    wanted.height = 0;
    made_proof_make(&wanted, &v->pending);
    node_mine(&w->bitcoin, v->height + 1, v->height, v->proof.root);
}

/** settings: owm.toml with these lines in [model]. */
static void settings(struct world *w, const char *model)
{
    char text[2048];
    snprintf(text, sizeof text,
             "[node]\ndata_dir = \"%s/data\"\ntier_override = \"t1\"\nhttp_port = 0\nthreads = 1\n"
             "[network]\ncoordinator_url = \"https://127.0.0.1:%d\"\n"
             "coordinator_cert = \"%s/coordinator.pem\"\nmax_concurrent_tasks = 1\n"
             "[data]\nshard_paths = \"%s/shard\"\n"
             "[limits]\nmemory_max_mb = 2048\nshutdown_s = 30\n"
             "[model]\n%s%s",
             w->folder, w->d.port, w->folder, w->folder,
             strstr(model, "bitcoin_network") ? "" : "bitcoin_network = \"regtest\"\n", model);
    fixture_write(w->folder, "owm.toml", text);
    assert_int_equal(chmod(w->config, 0600), 0); /* It may hold a password. */
}

static void with_policy(struct world *w)
{
    char model[256];
    snprintf(model, sizeof model, "proofs = \"policy\"\nbitcoin_rpc = \"%s\"\n",
             w->bitcoin.url_with_password);
    settings(w, model);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char path[160], *text = malloc(20000);
    fixture_folder(w->folder);
    double_open(&w->d);
    SET(w, network, "regtest");
    snprintf(path, sizeof path, "%s/coordinator.pem", w->folder);
    double_write_cert(&w->d, path);
    memset(text, 'a', 19999);
    text[19999] = '\0';
    fixture_write(w->folder, "shard/a.txt", text);
    free(text);
    snprintf(w->config, sizeof w->config, "%s/owm.toml", w->folder);
    node_open(&w->bitcoin);
    for (unsigned i = 0; i < VERSIONS; i++) make_version(w, i);
    node_mine(&w->bitcoin, BLOCKS, 0, NULL);
    with_policy(w);
    *state = w;
    return 0;
}

static void stop(struct world *w)
{
    int state = 0;
    if (w->pid == 0) return;
    kill(w->pid, SIGTERM);
    assert_int_equal(waitpid(w->pid, &state, 0), w->pid);
    w->pid = 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    stop(w);
    double_close(&w->d);
    node_close(&w->bitcoin);
    for (unsigned i = 0; i < VERSIONS; i++) {
        free(w->version[i].blob);
        made_proof_free(&w->version[i].proof);
        made_proof_free(&w->version[i].pending);
        made_proof_free(&w->version[i].other_block);
    }
    fixture_remove(w->folder);
    free(w);
    return 0;
}

/* ------------------------------------------------------------------------------ the program */

static pid_t begin(const struct world *w, const char *command)
{
    char out[160];
    snprintf(out, sizeof out, "%s/%s.out", w->folder, command);
    pid_t pid = fork();
    if (pid != 0) return pid;
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    setenv("OWM_LOG_LEVEL", "info", 1);
    execl(NODE, "owm-node", command, "--config", w->config, (char *)NULL);
    _exit(126);
}

static void start(struct world *w)
{
    unsigned streams = SEEN(w, streams);
    w->pid = begin(w, "start");
    if (double_wait(&w->d, &w->d.streams, streams + 1, WAIT)) return;
    uint8_t *said = NULL;
    char path[160];
    size_t bytes = 0;
    struct owm_error error = {""};
    snprintf(path, sizeof path, "%s/start.out", w->folder);
    assert_ok(owm_fs_read(path, 1 << 20, &said, &bytes, &error));
    fputs((char *)said, stderr); /* Whole: cmocka cuts what it prints. */
    free(said);
    fail_msg("owm-node did not open its stream");
}

/** get: a page of the node into w->page. */
static void get(struct world *w, const char *path)
{
    char file[192], port[8], url[64];
    owm_task_log *log = NULL;
    struct owm_error error = {""};
    struct owm_http_result result;
    snprintf(file, sizeof file, "%s/data/tasks.sqlite", w->folder);
    assert_ok(owm_task_log_peek(file, &log, &error));
    assert_ok(owm_task_log_get(log, "http_port", port, sizeof port));
    owm_task_log_close(log);
    snprintf(url, sizeof url, "http://127.0.0.1:%s%s", port, path);
    const struct owm_http_call call = {.url = url, .deadline_ms = 5000};
    assert_ok(owm_http_fetch(&call, &result, &error));
    snprintf(w->page, sizeof w->page, "%s", (const char *)result.body);
    owm_http_result_deinit(&result);
}

static void shows(struct world *w, const char *path, const char *text)
{
    get(w, path);
    if (strstr(w->page, text) == NULL) fail_msg("%s lacks '%s': %s", path, text, w->page);
}

/** eventually: what another thread of the node has to come to first. */
static void eventually(struct world *w, const char *path, const char *text)
{
    for (int i = 0; i < WAIT / 50; i++) {
        get(w, path);
        if (strstr(w->page, text) != NULL) return;
        owm_clock_sleep_ms(50);
    }
    fail_msg("%s lacks '%s': %s", path, text, w->page);
}

/** says: what a command prints has this in it. */
static void says(struct world *w, const char *command, const char *text)
{
    char path[160];
    uint8_t *said = NULL;
    size_t bytes = 0;
    int code = 0;
    struct owm_error error = {""};
    pid_t pid = begin(w, command);
    assert_int_equal(waitpid(pid, &code, 0), pid);
    snprintf(path, sizeof path, "%s/%s.out", w->folder, command);
    assert_ok(owm_fs_read(path, 65536, &said, &bytes, &error));
    if (strstr((char *)said, text) == NULL)
        fail_msg("%s does not say '%s': %s", command, text, (char *)said);
    free(said);
}

/** counted: the metric of one reason. */
static void counted(struct world *w, const char *code, unsigned times)
{
    char line[128];
    snprintf(line, sizeof line, "owm_node_models_refused_total{code=\"%s\"} %u\n", code, times);
    shows(w, "/metrics", line);
}

/* -------------------------------------------------------------------------------- the tasks */

static void offer(struct world *w, const struct version *v, const struct made_proof *proof)
{
    pthread_mutex_lock(&w->d.lock);
    w->d.blob = v->blob;
    w->d.blob_bytes = v->bytes;
    w->d.model_round = v->round;
    w->d.proof = proof ? proof->data : NULL;
    w->d.proof_bytes = proof ? proof->bytes : 0;
    pthread_mutex_unlock(&w->d.lock);
}

/** outcome: of the next task: "" or why it failed. */
static const char *outcome(struct world *w, bool training)
{
    char id[64];
    size_t results = SEEN(w, result_count);
    snprintf(id, sizeof id, "aaaaaaaa-0000-4000-8000-%012u", ++w->task);
    if (training)
        double_send_round(&w->d, id, 1, w->task, 2);
    else
        double_send_inference(&w->d, id, 1, "once upon", 8);
    assert_true(double_wait_results(&w->d, results + 1, WAIT));
    const struct double_result *r = &w->d.result[results % DOUBLE_RESULTS_MAX];
    assert_string_equal(r->task_id, id);
    assert_true(r->verified);
    return r->error;
}

static void serves(struct world *w, const struct version *v)
{
    offer(w, v, &v->proof);
    assert_string_equal(outcome(w, false), "");
}

static void expect_refusal(struct world *w, bool training, const char *code)
{
    char start[64];
    unsigned downloads = SEEN(w, downloads);
    snprintf(start, sizeof start, "UNPROVEN: %s: ", code);
    const char *error = outcome(w, training);
    if (strncmp(error, start, strlen(start)) != 0) fail_msg("'%s' is not %s", error, start);
    /* Not a byte of its weights. */
    if (strcmp(code, "TAMPERED_FILE") != 0) assert_int_equal(SEEN(w, downloads), downloads);
    shows(w, "/", code);
    shows(w, "/", "Last trouble");
}

/* ----------------------------------------------------------------------------------- tests */

/* TST-04: a proof that is damaged, of another file, of another block, too young, or not there; a
 * manifest that was changed, or is not there; bytes that are others: each refused with its reason,
 * told to the coordinator, counted and shown, before a byte of weights is fetched. The model used
 * before is used again after each. */
static void test_refused(void **state)
{
    struct world *w = *state;
    const struct version *old = &w->version[1], *new = &w->version[2];
    struct made_proof cut = new->proof, bent = new->proof;
    cut.bytes -= 3;
    bent.data = malloc(bent.bytes);
    memcpy(bent.data, new->proof.data, bent.bytes);
    bent.data[OWM_OTS_MAGIC_BYTES + 2 + 32 + 4] ^= 1; /* In what is appended to the hash. */
    const struct {
        const char *code;
        const struct made_proof *proof;
        bool no_manifest, changed_manifest, changed_blob;
    } cases[] = {
        {"BAD_PROOF", &cut, 0, 0, 0},          {"WRONG_BLOCK", &bent, 0, 0, 0},
        {"WRONG_HASH", &old->proof, 0, 0, 0},  {"NOT_CONFIRMED", &new->pending, 0, 0, 0},
        {"NO_PROOF", NULL, 0, 0, 0},           {"NOT_SIGNED", &new->proof, 0, 1, 0},
        {"NO_MANIFEST", &new->proof, 1, 0, 0}, {"TAMPERED_FILE", &new->proof, 0, 0, 1},
    };
    start(w);
    serves(w, old);
    shows(w, "/", "proof confirmed in block 12");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SET(w, no_manifest, cases[i].no_manifest);
        SET(w, changed_manifest, cases[i].changed_manifest);
        SET(w, changed_blob, cases[i].changed_blob);
        offer(w, new, cases[i].proof);
        expect_refusal(w, false, cases[i].code);
        counted(w, cases[i].code, 1);
        SET(w, no_manifest, false);
        SET(w, changed_manifest, false);
        SET(w, changed_blob, false);
        serves(w, old);
        shows(w, "/health", "\"btc_block\": 12");
    }
    serves(w, new);
    shows(w, "/", "proof confirmed in block 16");
    assert_int_equal(SEEN(w, bad_signatures), 0);
    free(bent.data);
}

/* TST-04: an older version is refused, but for the one used just before; so is a second version of
 * a round. Both also after a restart. */
static void test_downgrade(void **state)
{
    struct world *w = *state;
    struct version second = w->version[3];
    start(w);
    serves(w, &w->version[1]);
    serves(w, &w->version[2]);
    serves(w, &w->version[1]); /* On its way when the other came. */
    for (int restarts = 0; restarts < 2; restarts++) {
        offer(w, &w->version[0], &w->version[0].proof);
        expect_refusal(w, false, "DOWNGRADE");
        second.round = w->version[2].round;
        offer(w, &second, &second.proof);
        expect_refusal(w, false, "FORK");
        counted(w, "DOWNGRADE", 1);
        counted(w, "FORK", 1);
        serves(w, &w->version[2]);
        if (restarts > 0) break;
        stop(w);
        start(w);
    }
}

/* SRS-OTS-05: what may be trained on is not yet served; each use has its own newest version. */
static void test_training(void **state)
{
    struct world *w = *state;
    const struct version *v = &w->version[2];
    static const char one[] = CALENDAR_A;
    struct made_proof few;
    const struct made_wanted wanted = {.sha256 = v->sha256, .calendar = {one, CALENDAR_X}};
    made_proof_make(&wanted, &few);
    start(w);
    offer(w, v, &few);
    expect_refusal(w, true, "UNLISTED_CALENDARS");
    offer(w, v, &v->pending);
    assert_string_equal(outcome(w, true), "");
    shows(w, "/", "proof pending: 2 calendars have promised a block");
    /* What is kept of it excuses nothing, the second time neither. */
    stop(w);
    start(w);
    offer(w, v, &v->other_block);
    expect_refusal(w, true, "WRONG_BLOCK");
    expect_refusal(w, true, "WRONG_BLOCK");
    offer(w, v, &v->pending);
    expect_refusal(w, false, "NOT_CONFIRMED");
    serves(w, &w->version[1]);
    offer(w, v, &v->other_block);
    expect_refusal(w, false, "WRONG_BLOCK");
    serves(w, v);
    made_proof_free(&few);
}

/* A development network's own calendar: its promise is enough for both uses where model.proofs says
 * so, and no other's is; what is shown says which. */
static void test_pending(void **state)
{
    struct world *w = *state;
    const struct version *v = &w->version[1];
    static const char own[] = "http://127.0.0.1:14788";
    struct made_proof promised;
    const struct made_wanted wanted = {.sha256 = v->sha256, .calendar = {own}};
    char model[512];
    made_proof_make(&wanted, &promised);
    snprintf(model, sizeof model,
             "proofs = \"pending\"\ncalendars = \"%s\"\ncalendars_needed = 1\n"
             "bitcoin_rpc = \"%s\"\n",
             own, w->bitcoin.url_with_password);
    settings(w, model);
    start(w);
    offer(w, v, &promised);
    assert_string_equal(outcome(w, false), "");
    assert_string_equal(outcome(w, true), "");
    shows(w, "/", "proof pending: 1 calendar has promised a block");
    shows(w, "/", "this node asks for proofs (OpenTimestamps)");
    made_proof_free(&promised);
}

static void blob_path(const struct world *w, const struct version *v, const char *ending,
                      char path[static 256])
{
    char hex[65];
    owm_hex_encode(v->sha256, 32, hex);
    snprintf(path, 256, "%s/data/models/%.2s/%s%s", w->folder, hex, hex, ending);
}

static void tamper(const char *path)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 1000), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 1000), 1);
    close(fd);
}

/* TST-04: a file that was changed on disk is found, told, removed and fetched again: while the node
 * runs, and before it was started. */
static void test_tampered_file(void **state)
{
    struct world *w = *state;
    const struct version *v = &w->version[1];
    char path[256];
    blob_path(w, v, "", path);
    start(w);
    serves(w, v);
    assert_int_equal(SEEN(w, downloads), 1);
    serves(w, v);
    assert_int_equal(SEEN(w, downloads), 1);
    tamper(path);
    serves(w, v);
    assert_int_equal(SEEN(w, downloads), 2);
    counted(w, "TAMPERED_FILE", 1);
    shows(w, "/", "TAMPERED_FILE");
    shows(w, "/", "Last trouble");
    stop(w);
    tamper(path);
    start(w);
    serves(w, v);
    assert_int_equal(SEEN(w, downloads), 3);
    counted(w, "TAMPERED_FILE", 1);
    /* It comes wrong again: then it is not used. */
    tamper(path);
    SET(w, changed_blob, true);
    expect_refusal(w, false, "TAMPERED_FILE");
    SET(w, changed_blob, false);
    serves(w, v);
}

/* A proof in a block is kept beside the checkpoint, as a file that every client reads, and after a
 * restart it is not asked for again; what is damaged there is. */
static void test_kept(void **state)
{
    struct world *w = *state;
    const struct version *v = &w->version[1];
    char path[256];
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error error = {""};
    start(w);
    serves(w, v);
    serves(w, v);
    assert_int_equal(SEEN(w, versions), 1);
    says(w, "status", "model          serving: test, round 11, ");
    says(w, "doctor", "block headers 0 to 59, from the Bitcoin node");
    blob_path(w, v, ".ots", path);
    assert_ok(owm_fs_read(path, 65536, &data, &bytes, &error));
    assert_int_equal(bytes, v->proof.bytes);
    assert_memory_equal(data, v->proof.data, bytes);
    stop(w);
    start(w);
    shows(w, "/", "its proof was not looked at since this start");
    serves(w, v);
    assert_int_equal(SEEN(w, versions), 1);
    stop(w);
    data[bytes - 1] ^= 1; /* The height. */
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, &error));
    free(data);
    start(w);
    serves(w, v);
    assert_int_equal(SEEN(w, versions), 2);
}

/* Papers of checkpoints that never come do not pile up. */
static void test_papers_alone(void **state)
{
    struct world *w = *state;
    char path[256];
    start(w);
    SET(w, changed_blob, true);
    offer(w, &w->version[0], &w->version[0].proof);
    expect_refusal(w, false, "TAMPERED_FILE");
    blob_path(w, &w->version[0], ".ots", path);
    assert_int_equal(access(path, F_OK), 0);
    offer(w, &w->version[1], &w->version[1].proof);
    expect_refusal(w, false, "TAMPERED_FILE");
    assert_int_equal(access(path, F_OK), -1);
    blob_path(w, &w->version[0], ".json", path);
    assert_int_equal(access(path, F_OK), -1);
    SET(w, changed_blob, false);
    serves(w, &w->version[1]);
}

/* Block headers that are not to be had are no refusal of a model: it is waited for them, as long as
 * the task may. */
static void test_headers_away(void **state)
{
    struct world *w = *state;
    char model[256], path[192];
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error error = {""};
    snprintf(path, sizeof path, "%s/headers.dat", w->folder);
    snprintf(model, sizeof model, "proofs = \"policy\"\nheaders_file = \"%s\"\n", path);
    settings(w, model);
    start(w);
    offer(w, &w->version[1], &w->version[1].proof);
    double_send_inference(&w->d, "bbbbbbbb-0000-4000-8000-000000000001", 1, "once", 8);
    eventually(w, "/", "waiting: CANNOT_CHECK");
    assert_int_equal(SEEN(w, result_count), 0);
    assert_int_equal(SEEN(w, downloads), 0);
    pthread_mutex_lock(&w->bitcoin.lock);
    assert_ok(owm_ots_chain_write(&w->bitcoin.chain, &data, &bytes, &error));
    pthread_mutex_unlock(&w->bitcoin.lock);
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, &error));
    free(data);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_string_equal(w->d.result[0].error, "");
    get(w, "/metrics");
    assert_null(strstr(w->page, "code=\"NO_HEADERS\"} 1"));
}

/* Without headers nothing is served where the policy asks for a block; health, status and the
 * doctor say so. */
static void test_no_headers(void **state)
{
    struct world *w = *state;
    settings(w, "proofs = \"policy\"\n");
    start(w);
    offer(w, &w->version[1], &w->version[1].proof);
    expect_refusal(w, false, "NO_HEADERS");
    shows(w, "/health", "NO_HEADERS: this network's models need");
    says(w, "doctor", "for serving, a proof in a Bitcoin block that this node checked");
    says(w, "doctor", "no block headers to check proofs with");
    says(w, "doctor", "NO_HEADERS: serving needs");
    says(w, "status", "model          refused: at ");
}

/* SRS-NODE-10: less than the policy is for development networks; and a network does not become one
 * by its coordinator's word alone. */
static void test_networks(void **state)
{
    struct world *w = *state;
    settings(w, "proofs = \"none\"\n");
    SET(w, network, "mainnet");
    w->pid = begin(w, "start");
    assert_true(double_wait(&w->d, &w->d.hellos, 1, WAIT));
    eventually(w, "/health", "is for development networks");
    assert_int_equal(SEEN(w, registrations), 0);
    stop(w);
    unsigned hellos = SEEN(w, hellos);
    settings(w, "proofs = \"policy\"\n");
    w->pid = begin(w, "start");
    assert_true(double_wait(&w->d, &w->d.hellos, hellos + 1, WAIT));
    eventually(w, "/health", "asks for proofs in blocks of Bitcoin's main network");
    assert_int_equal(SEEN(w, registrations), 0);
    stop(w);
    settings(w, "bitcoin_network = \"main\"\n");
    start(w);
    stop(w);
    /* Nor by way of a name that is too long to be remembered. */
    SET(w, network, "a network with a name of very many letters");
    hellos = SEEN(w, hellos);
    w->pid = begin(w, "start");
    assert_true(double_wait(&w->d, &w->d.hellos, hellos + 1, WAIT));
    eventually(w, "/health", "has a name of 42 letters");
    stop(w);
    SET(w, network, "devnet");
    unsigned registrations = SEEN(w, registrations);
    hellos = SEEN(w, hellos);
    w->pid = begin(w, "start");
    assert_true(double_wait(&w->d, &w->d.hellos, hellos + 1, WAIT));
    eventually(w, "/health", "network was 'mainnet' and is now said to be");
    assert_int_equal(SEEN(w, registrations), registrations);
    stop(w);
    settings(w, "proofs = \"none\"\n");
    start(w);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_refused),       IN_WORLD(test_downgrade),  IN_WORLD(test_training),
        IN_WORLD(test_tampered_file), IN_WORLD(test_kept),       IN_WORLD(test_papers_alone),
        IN_WORLD(test_headers_away),  IN_WORLD(test_no_headers), IN_WORLD(test_pending),
        IN_WORLD(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

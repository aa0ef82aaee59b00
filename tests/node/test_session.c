/* test_session.c: the daemon's threads against the scripted coordinator: SRS-NODE-01, -04, -05,
 * -06, -07, -08, -09, SRS-SEC-01 to -03, promises 3, 4 and 7. */
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/sha256.h"
#include "coordinator_double.h"
#include "dataplane/fl/delta.h"
#include "dataplane/fl/feedback.h"
#include "fixture.h"
#include "made_proof.h"
#include "node/page.h"
#include "regtest_chain.h"
#include "test.h"

#define TASK_A "aaaaaaaa-0000-4000-8000-000000000001"
#define TASK_B "bbbbbbbb-0000-4000-8000-000000000002"
#define TASK_C "cccccccc-0000-4000-8000-000000000003"
#define WAIT   15000

static const char shard_text[] = "The secret diary of a node operator: never to be sent anywhere. ";

struct world {
    char folder[128];
    struct coordinator_double d;
    struct node *node;
    uint8_t *checkpoint;
};

/** start_node: a daemon on w->folder; extra lines for owm.toml. */
static owm_status open_node(struct world *w, const char *extra, struct owm_error *error)
{
    char text[2048];
    struct owm_node_config config;
    snprintf(text, sizeof text,
             "[node]\ndata_dir = \"%s/data\"\nworker_path = \"%s\"\ntier_override = \"t1\"\n"
             "http_port = 0\nthreads = 1\n[network]\ncoordinator_url = \"https://127.0.0.1:%d\"\n"
             "coordinator_cert = \"%s/coordinator.pem\"\nmax_concurrent_tasks = 2\n"
             "[data]\nshard_paths = \"%s/shard\"\n[limits]\nmemory_max_mb = 2048\n%s",
             w->folder, WORKER, w->d.port, w->folder, w->folder, extra);
    assert_ok(owm_conf_parse(&owm_node_table, "test", text, strlen(text), &config, error));
    assert_ok(owm_node_config_check(&config, NULL, error));
    const struct node_timing timing = {.reconnect_min = 50,
                                       .reconnect_max = 400,
                                       .stake_retry = 300,
                                       .resend = 100,
                                       .earnings = 200,
                                       .heartbeat_max = 1000,
                                       .stake_look = 200};
    return node_open(&config, &timing, &w->node, error);
}

static void start_node(struct world *w, const char *extra)
{
    struct owm_error error = {""};
    owm_status status = open_node(w, extra, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
    assert_ok(node_start(w->node, &error));
}

static void stop_node(struct world *w)
{
    node_close(w->node);
    w->node = NULL;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char path[160], *text = malloc(50000);
    fixture_folder(w->folder);
    double_open(&w->d);
    snprintf(path, sizeof path, "%s/coordinator.pem", w->folder);
    double_write_cert(&w->d, path);
    for (size_t i = 0; i < 49999; i++) text[i] = shard_text[i % (sizeof shard_text - 1)];
    text[49999] = '\0';
    fixture_write(w->folder, "shard/diary.txt", text);
    free(text);
    w->checkpoint = fixture_checkpoint(&w->d.blob_bytes);
    SET(w, blob, w->checkpoint);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    stop_node(w);
    double_close(&w->d);
    fixture_remove(w->folder);
    free(w->checkpoint);
    free(w);
    return 0;
}

static void wait_stream(struct world *w, unsigned count)
{
    assert_true(double_wait(&w->d, &w->d.streams, count, WAIT));
}

/** eventually: a condition on the task log's totals. */
static bool settled(struct world *w, int64_t accepted, int64_t refused)
{
    struct owm_task_totals t;
    for (int i = 0; i < WAIT / 10; i++) {
        assert_ok(owm_task_log_totals(w->node->log, &t));
        if (t.accepted == accepted && t.refused == refused && t.unsent == 0) return true;
        owm_clock_sleep_ms(10);
    }
    return false;
}

/* SRS-NODE-02, SRS-NODE-04, SRS-SEC-03: identity made with mode 0600; registration signs the
 * challenge; signed manifests repeat and their sequence grows. */
static void test_register(void **state)
{
    struct world *w = *state;
    char path[192];
    struct stat st;
    start_node(w, "");
    wait_stream(w, 1);
    assert_true(double_wait(&w->d, &w->d.manifests, 2, WAIT));
    assert_int_equal(SEEN(w, bad_signatures), 0);
    snprintf(path, sizeof path, "%s/data/identity.key", w->folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct node_view view;
    node_look(w->node, &view);
    assert_string_equal(view.node_id, DOUBLE_NODE_ID);
    assert_string_equal(view.network, "devnet");
    uint64_t boot_id = SEEN(w, boot_id);
    assert_true(boot_id != 0);
    stop_node(w);
    start_node(w, "");
    wait_stream(w, 2);
    assert_true(double_wait(&w->d, &w->d.manifests, 4, WAIT));
    assert_int_equal(SEEN(w, bad_signatures), 0);
    assert_true(SEEN(w, boot_id) != boot_id);
}

/* SRS-NODE-01: a second daemon on the same folder is refused with the pid of the first. */
static void test_one_instance(void **state)
{
    struct world *w = *state;
    struct owm_error error = {""};
    char pid[24];
    start_node(w, "");
    static struct world second;
    memcpy(second.folder, w->folder, sizeof second.folder);
    second.d.port = w->d.port;
    assert_int_equal(open_node(&second, "", &error), OWM_E_EXISTS);
    snprintf(pid, sizeof pid, "pid %d", getpid());
    assert_non_null(strstr(error.text, pid));
}

/* SRS-NODE-06, SRS-SEC-02: an inference: text streams in boxes, the result is signed, its hash
 * right, and the log shows state and payment. The checkpoint is checked against its manifest. */
static void test_inference(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 3, "once upon", 400);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    const struct double_result *r = &w->d.result[0];
    assert_string_equal(r->error, "");
    assert_true(r->verified);
    assert_int_equal(r->lease_token, 3);
    PB(InferenceOutput) *out =
        owm__coordinator__v1__inference_output__unpack(NULL, r->output_bytes, r->output);
    assert_non_null(out);
    assert_int_equal(out->text.len, 400);
    assert_int_equal(SEEN(w, text_bytes), 400);
    assert_memory_equal(out->text.data, w->d.text, 400);
    assert_string_equal(out->finish_reason, "length");
    link_free(out);
    assert_true(settled(w, 1, 0));
    struct owm_task_totals t = {0};
    for (int i = 0; i < 500 && t.owed_msat == 0; i++) {
        assert_ok(owm_task_log_totals(w->node->log, &t));
        owm_clock_sleep_ms(10);
    }
    assert_int_equal(t.owed_msat, 10000);
    assert_int_equal(SEEN(w, bad_signatures), 0);
}

/* Promise 7: the same dispatch twice is worked on once. */
static void test_repeated_dispatch(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 3, "once", 20);
    double_send_inference(&w->d, TASK_A, 3, "once", 20);
    double_send_inference(&w->d, TASK_B, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 2, WAIT));
    owm_clock_sleep_ms(300);
    assert_int_equal(SEEN(w, result_count), 2);
}

/* Promise 7: a new lease of a task that runs here ends the old attempt. */
static void test_new_lease(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_send_round(&w->d, TASK_A, 1, 1, 100000);
    while (node_slots_busy(w->node) == 0) owm_clock_sleep_ms(5);
    double_send_inference(&w->d, TASK_A, 2, "once", 20);
    assert_true(double_wait_results(&w->d, 2, WAIT));
    for (int i = 0; i < 2; i++) {
        const struct double_result *r = &w->d.result[i];
        assert_int_equal(r->error[0] == '\0', r->lease_token == 2);
    }
}

/* SRS-NODE-07: a bad task is not begun and is reported with the reason. */
static void test_bad_tasks(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    const uint8_t junk[] = {0xff, 0xff, 0xff, 0xff};
    double_send(&w->d, &(struct double_task){TASK_A, "inference", 1, 60, junk, 4, 0, 0});
    double_send(&w->d, &(struct double_task){TASK_B, "inference", 1, 60, junk, 4, 1, 0});
    double_send(&w->d, &(struct double_task){TASK_C, "inference", 1, 60, junk, 4, 0, 1});
    assert_true(double_wait_results(&w->d, 3, WAIT));
    assert_non_null(strstr(w->d.result[0].error, "SCHEMA"));
    assert_non_null(strstr(w->d.result[1].error, "BAD_HASH"));
    assert_non_null(strstr(w->d.result[2].error, "BAD_BOX"));
    for (int i = 0; i < 3; i++) assert_true(w->d.result[i].verified);
}

/* Promise 4: a round: the upload is the signed package and holds no piece of the shard; its mass is
 * remembered until the receipt, and comes back when it was not included. */
static void test_round(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_send_round(&w->d, TASK_A, 1, 1, 20);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_string_equal(w->d.result[0].error, "");
    assert_true(w->d.result[0].verified);
    struct owm_delta_header header;
    enum owm_delta_reason reason;
    assert_ok(owm_delta_peek(w->d.upload, w->d.upload_bytes, &header, &reason));
    struct owm_delta_expect expect = {.round = 1,
                                      .parameter_count = header.parameter_count,
                                      .k_max = header.parameter_count / 10 + 1};
    memcpy(expect.base_sha256, header.base_sha256, 32);
    memcpy(expect.node_key, w->d.node_key, 32);
    struct owm_delta delta;
    struct owm_error error = {""};
    assert_ok(owm_delta_decode(w->d.upload, w->d.upload_bytes, &expect, &delta, &reason, &error));
    owm_delta_free(&delta);
    for (size_t i = 0; i + 12 < sizeof shard_text; i++)
        assert_null(memmem(w->d.upload, w->d.upload_bytes, shard_text + i, 12));
    /* Next round: the first is not included, so its mass returns; the second becomes pending. */
    SET(w, verdict, "not_included");
    double_send_round(&w->d, TASK_B, 1, 2, 20);
    assert_true(double_wait_results(&w->d, 2, WAIT));
    assert_string_equal(w->d.result[1].error, "");
    assert_int_equal(SEEN(w, receipts), 1);
    /* The second is included, and forgotten; the third becomes pending. */
    SET(w, verdict, "included");
    double_send_round(&w->d, TASK_C, 1, 3, 20);
    assert_true(double_wait_results(&w->d, 3, WAIT));
    assert_string_equal(w->d.result[2].error, "");
    assert_int_equal(SEEN(w, receipts), 2);
    assert_true(settled(w, 3, 0));
    stop_node(w);
    char path[200];
    struct owm_feedback *feedback = NULL;
    snprintf(path, sizeof path, "%s/data/feedback-%u.bin", w->folder, header.parameter_count);
    assert_ok(owm_feedback_open(path, header.parameter_count, &feedback, &error));
    assert_int_equal(owm_feedback_pending(feedback), 1);
    struct owm_feedback_inflight item;
    assert_ok(owm_feedback_inflight(feedback, 0, &item));
    assert_int_equal(item.round, 3);
    owm_feedback_close(feedback);
}

/* A download that breaks off goes on where it ended. */
static void test_download_resumes(void **state)
{
    struct world *w = *state;
    SET(w, blob_break, 8192);
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_string_equal(w->d.result[0].error, "");
    assert_int_equal(SEEN(w, download_offset), 8192);
}

/* Promise 3: a checkpoint whose manifest is not signed by the coordinator is not loaded. */
static void test_bad_manifest(void **state)
{
    struct world *w = *state;
    SET(w, bad_manifest, true);
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_non_null(strstr(w->d.result[0].error, "UNPROVEN: NOT_SIGNED: the model manifest"));
    /* Nor was it ever in the cache, where another slot could have found it. */
    assert_int_equal(SEEN(w, downloads), 0);
}

/* SRS-NODE-10: on another network than a development one no weights are loaded without a proof. */
static void test_mainnet(void **state)
{
    struct world *w = *state;
    SET(w, network, "mainnet");
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_non_null(strstr(w->d.result[0].error, "UNPROVEN: NO_PROOF: "));
    bool healthy = true;
    char *json = page_health_json(w->node, &healthy);
    assert_false(healthy);
    assert_non_null(strstr(json, "SRS-NODE-10"));
    free(json);
}

/** mine_headers: a file of 20 headers, of which block 8 holds the proof of this checkpoint. */
static void mine_headers(const char *path, const uint8_t sha256[32])
{
    struct owm_ots_chain chain;
    struct owm_error error = {""};
    uint8_t root[32], *data = NULL;
    size_t bytes = 0;
    made_root(sha256, root);
    owm_ots_chain_init(&chain, OWM_REGTEST);
    regtest_mine(&chain, 20, 8, root);
    assert_ok(owm_ots_chain_write(&chain, &data, &bytes, &error));
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, &error));
    owm_ots_chain_deinit(&chain);
    free(data);
}

static void ask(struct world *w, const char *id, size_t results)
{
    double_send_inference(&w->d, id, 1, "once", 20);
    assert_true(double_wait_results(&w->d, results, WAIT));
    assert_string_equal(w->d.result[results - 1].error, "");
}

static struct node_model_used served(struct world *w)
{
    struct node_view view;
    node_look(w->node, &view);
    return view.models.used[MODEL_SERVING];
}

/* SRS-OTS-05: a pending proof is asked for again until a block holds it; a block is not asked for
 * any more. */
static void test_proof_grows(void **state)
{
    struct world *w = *state;
    char path[160], extra[400];
    uint8_t hash[32];
    struct made_proof promised, mined;
    owm_sha256(w->checkpoint, w->d.blob_bytes, hash);
    struct made_wanted wanted = {.sha256 = hash, .calendar = {CALENDAR_X}};
    made_proof_make(&wanted, &promised);
    wanted.height = 8;
    made_proof_make(&wanted, &mined);
    snprintf(path, sizeof path, "%s/headers.dat", w->folder);
    mine_headers(path, hash);
    snprintf(extra, sizeof extra,
             "[model]\nproofs = \"pending\"\ncalendars = \"%s\"\ncalendars_needed = 1\n"
             "bitcoin_network = \"regtest\"\nheaders_file = \"%s\"\n",
             CALENDAR_X, path);
    SET(w, proof, promised.data);
    SET(w, proof_bytes, promised.bytes);
    start_node(w, extra);
    wait_stream(w, 1);
    ask(w, TASK_A, 1);
    assert_int_equal(served(w).proof.state, PROOF_PENDING);
    SET(w, proof, mined.data);
    SET(w, proof_bytes, mined.bytes);
    ask(w, TASK_B, 2);
    assert_int_equal(served(w).proof.state, PROOF_IN_BLOCK);
    assert_int_equal(served(w).proof.height, 8);
    assert_int_equal(SEEN(w, versions), 2);
    ask(w, TASK_C, 3);
    assert_int_equal(SEEN(w, versions), 2);
    made_proof_free(&promised);
    made_proof_free(&mined);
}

/* SRS-NODE-06: results survive a silent coordinator, its restart, and our own. */
static void test_late_acknowledgement(void **state)
{
    struct world *w = *state;
    SET(w, mute, true);
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(double_wait(&w->d, &w->d.submits, 3, WAIT));
    stop_node(w);
    double_stop(&w->d);
    SET(w, mute, false);
    double_restart(&w->d);
    start_node(w, "");
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_true(w->d.result[0].verified);
    assert_true(settled(w, 1, 0));
}

/* Promise 7: a definite refusal ends it: the result is not sent for ever. */
static void test_refused_result(void **state)
{
    struct world *w = *state;
    SET(w, refuse_results, true);
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(settled(w, 0, 1));
    unsigned submits = SEEN(w, submits);
    assert_false(double_wait(&w->d, &w->d.submits, submits + 1, 400));
    char *html = page_html(w->node);
    assert_non_null(strstr(html, "STALE_LEASE: another node has it"));
    free(html);
}

/* The stream drops, the coordinator restarts, it forgets us: the node comes back by itself. */
static void test_reconnect(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_drop_stream(&w->d);
    wait_stream(w, 2);
    double_stop(&w->d);
    owm_clock_sleep_ms(300);
    double_restart(&w->d);
    wait_stream(w, 3);
    SET(w, forget_node, true);
    wait_stream(w, 4);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_string_equal(w->d.result[0].error, "");
}

/* SRS-NODE-11 (message): INSUFFICIENT_STAKE says what to do and is tried again, slowly. */
static void test_stake(void **state)
{
    struct world *w = *state;
    SET(w, register_error, "INSUFFICIENT_STAKE");
    start_node(w, "");
    assert_true(double_wait(&w->d, &w->d.registrations, 2, WAIT));
    char *html = page_html(w->node);
    assert_non_null(strstr(html, "at least 100000 sats"));
    assert_non_null(strstr(html, "02ab@treasury:9735"));
    free(html);
    bool healthy = true;
    char *json = page_health_json(w->node, &healthy);
    assert_false(healthy);
    assert_non_null(strstr(json, "INSUFFICIENT_STAKE"));
    free(json);
    SET(w, register_error, "");
    wait_stream(w, 1);
}

/* SRS-SEC-01: a coordinator whose key is not that of the certificate is refused. */
static void test_wrong_coordinator(void **state)
{
    struct world *w = *state;
    SET(w, wrong_key, true);
    start_node(w, "");
    assert_true(double_wait(&w->d, &w->d.hellos, 2, WAIT));
    assert_int_equal(SEEN(w, registrations), 0);
    struct node_view view;
    node_look(w->node, &view);
    assert_int_equal(view.link, NODE_REFUSED);
    assert_non_null(strstr(view.last_error, "network.coordinator_cert"));
}

/* A lease that is gone: the work stops, and the slot is free again. */
static void test_lost_lease(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    SET(w, lost_lease, TASK_A);
    double_send_round(&w->d, TASK_A, 1, 1, 100000);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_non_null(strstr(w->d.result[0].error, "took the task back"));
    /* The result may arrive before the slot's thread has put the task away. */
    for (int i = 0; i < WAIT / 10 && node_slots_busy(w->node) > 0; i++) owm_clock_sleep_ms(10);
    assert_int_equal(node_slots_busy(w->node), 0);
}

/* Promise 7: "lost" answers a heartbeat that named the old lease; the new one of the same task,
 * which came meanwhile, goes on. */
static void test_lost_and_leased_again(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    SET(w, swap_lease, true);
    SET(w, lost_lease, TASK_A);
    double_send_round(&w->d, TASK_A, 1, 1, 100000);
    assert_true(double_wait_results(&w->d, 2, 2 * WAIT));
    for (int i = 0; i < 2; i++) {
        const struct double_result *r = &w->d.result[i];
        assert_int_equal(r->error[0] == '\0', r->lease_token == 2);
    }
}

/* SRS-NODE-04: the manifest's sequence grows although someone sets this machine's clock back. */
static void test_clock_set_back(void **state)
{
    struct world *w = *state;
    const uint64_t future = (uint64_t)1 << 50;
    start_node(w, "");
    wait_stream(w, 1);
    assert_true(double_wait(&w->d, &w->d.manifests, 1, WAIT));
    /* A manifest under way may write its own number over ours: then ours is written again. */
    for (int i = 0; i < WAIT / 20 && SEEN(w, last_sequence) <= future; i++) {
        pthread_mutex_lock(&w->node->lock);
        if (w->node->view.manifest_sequence < future) w->node->view.manifest_sequence = future;
        pthread_mutex_unlock(&w->node->lock);
        owm_clock_sleep_ms(20);
    }
    assert_true(SEEN(w, last_sequence) > future);
    assert_int_equal(SEEN(w, bad_signatures), 0);
}

/* A coordinator's nonsense is no harm: a time that no clock shows, texts that are not UTF-8. */
static void test_nonsense(void **state)
{
    struct world *w = *state;
    SET(w, server_time_ms, INT64_MIN);
    SET(w, status,
        "degra\xff"
        "ded");
    SET(w, notice, "zu langsam f\xc3");
    start_node(w, "");
    wait_stream(w, 1);
    assert_true(double_wait(&w->d, &w->d.heartbeats, 2, WAIT));
    struct node_view view;
    node_look(w->node, &view);
    assert_int_equal(view.clock_offset_ms, 0);
    bool healthy = true;
    char *json = page_health_json(w->node, &healthy);
    assert_false(healthy);
    assert_non_null(json);
    assert_non_null(strstr(json, "degra?ded"));
    assert_non_null(strstr(json, "zu langsam f?"));
    free(json);
    SET(w, server_time_ms, INT64_MAX);
    double_send_inference(&w->d, TASK_A, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_string_equal(w->d.result[0].error, "");
}

/* SRS-NODE-08: what a finished round earned is on the page at once, not at the next regular look.
 */
static void test_earnings_of_a_round(void **state)
{
    struct world *w = *state;
    struct owm_error error = {""};
    assert_ok(open_node(w, "", &error));
    w->node->timing.earnings = 600000;
    assert_ok(node_start(w->node, &error));
    assert_true(double_wait(&w->d, &w->d.earnings, 1, WAIT));
    SET(w, round, 7);
    assert_true(double_wait(&w->d, &w->d.earnings, 2, WAIT));
    assert_false(double_wait(&w->d, &w->d.earnings, 3, 600));
}

/* SRS-NODE-05: the worker is killed in the middle of a task: the task is reported failed with the
 * reason, and the next one runs in a new worker. */
static void test_worker_killed(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_send_round(&w->d, TASK_A, 1, 1, 100000);
    int pid = 0;
    for (int i = 0; i < WAIT / 10 && pid == 0; i++) {
        pid = owm_worker_pid(w->node->slots[0].worker);
        owm_clock_sleep_ms(10);
    }
    owm_clock_sleep_ms(500);
    kill(pid, SIGKILL);
    assert_true(double_wait_results(&w->d, 1, WAIT));
    assert_non_null(strstr(w->d.result[0].error, "signal 9"));
    double_send_inference(&w->d, TASK_B, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 2, WAIT));
    assert_string_equal(w->d.result[1].error, "");
}

/* SRS-NODE-09: draining is told, takes nothing new, and ends when what ran is done. */
static void test_drain(void **state)
{
    struct world *w = *state;
    start_node(w, "");
    wait_stream(w, 1);
    double_send_inference(&w->d, TASK_A, 1, "once", 2000);
    while (node_slots_busy(w->node) == 0) owm_clock_sleep_ms(5);
    node_drain(w->node);
    double_send_inference(&w->d, TASK_B, 1, "once", 20);
    assert_true(double_wait_results(&w->d, 2, WAIT));
    for (int i = 0; i < 500 && !node_idle(w->node); i++) owm_clock_sleep_ms(10);
    assert_true(node_idle(w->node));
    assert_true(double_wait(&w->d, &w->d.heartbeats, SEEN(w, heartbeats) + 1, WAIT));
    assert_true(SEEN(w, draining));
    assert_int_equal(SEEN(w, free_slots), 0);
    bool declined = false, done = false;
    for (int i = 0; i < 2; i++) {
        const struct double_result *r = &w->d.result[i];
        if (strcmp(r->task_id, TASK_B) == 0)
            declined = strstr(r->error, "DRAINING") != NULL;
        else
            done = r->error[0] == '\0';
    }
    assert_true(declined && done);
}

/* ------------------------------------------------------------------------------- page */

static unsigned get(owm_http_server *server, const char *path, const char *host, char *body,
                    size_t bytes)
{
    char url[64], header[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", owm_http_server_port(server), path);
    snprintf(header, sizeof header, "Host: %s", host);
    const char *const headers[] = {header, NULL};
    const struct owm_http_call call = {.url = url, .headers = headers, .deadline_ms = 5000};
    struct owm_http_result result;
    struct owm_error error = {""};
    assert_ok(owm_http_fetch(&call, &result, &error));
    snprintf(body, bytes, "%s", (const char *)result.body);
    unsigned status = result.status;
    owm_http_result_deinit(&result);
    return status;
}

/* SRS-NODE-08: health is 503 before and 200 after registration; metrics; the page answers the four
 * questions and shows the development network's policies; a rebound name gets nothing. */
static void test_page(void **state)
{
    struct world *w = *state;
    struct owm_error error = {""};
    owm_http_server *server = NULL;
    static char body[65536];
    assert_ok(open_node(w, "", &error));
    assert_ok(page_serve(w->node, &server, &error));
    assert_int_equal(get(server, "/health", "localhost", body, sizeof body), 503);
    assert_non_null(strstr(body, "not connected"));
    assert_ok(node_start(w->node, &error));
    wait_stream(w, 1);
    for (int i = 0; i < WAIT / 10; i++) { /* The next heartbeat says that all is well. */
        if (get(server, "/health", "127.0.0.1:8080", body, sizeof body) == 200) break;
        owm_clock_sleep_ms(10);
    }
    assert_int_equal(get(server, "/health", "127.0.0.1:8080", body, sizeof body), 200);
    assert_non_null(strstr(body, "\"status\": \"ok\""));
    assert_int_equal(get(server, "/health", "evil.example", body, sizeof body), 403);
    assert_null(strstr(body, "node_id"));
    assert_int_equal(get(server, "/", "127.0.0.1.evil.example", body, sizeof body), 403);
    assert_int_equal(get(server, "/metrics", "localhost", body, sizeof body), 200);
    assert_non_null(strstr(body, "owm_node_registered 1"));
    assert_int_equal(get(server, "/nowhere", "localhost", body, sizeof body), 404);
    assert_int_equal(get(server, "/", "localhost", body, sizeof body), 200);
    static const char *const wanted[] = {
        "Am I earning?",        "Am I healthy?",       "What happens next?",
        "What do I own?",       "Development network", "Stake policy: none",
        "not required on this", "width=device-width",  "http-equiv=\"refresh\""};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (strstr(body, wanted[i]) == NULL) fail_msg("the page lacks '%s'", wanted[i]);
    assert_null(strstr(body, "<script"));
    /* On a phone the banner is one line, the small print comes last; nothing that runs "took 0 ms".
     */
    assert_true(strstr(body, "Am I earning?") < strstr(body, "not required on this"));
    double_send_round(&w->d, TASK_A, 1, 1, 100000);
    while (node_slots_busy(w->node) == 0) owm_clock_sleep_ms(5);
    assert_int_equal(get(server, "/", "localhost", body, sizeof body), 200);
    assert_null(strstr(body, ">0 ms<"));
    owm_http_server_close(server);
}

static void test_hosts(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1", "127.0.0.1:8080", "localhost:1", "[::1]:8080",
                                       "LOCALHOST"};
    static const char *const bad[] = {
        "", "evil", "127.0.0.1.evil", "localhost:", "localhost:8a", "127.0.0.1@x", "localhostx"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(page_host_allowed(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(page_host_allowed(bad[i]));
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_register),
        IN_WORLD(test_one_instance),
        IN_WORLD(test_inference),
        IN_WORLD(test_repeated_dispatch),
        IN_WORLD(test_new_lease),
        IN_WORLD(test_bad_tasks),
        IN_WORLD(test_round),
        IN_WORLD(test_download_resumes),
        IN_WORLD(test_bad_manifest),
        IN_WORLD(test_mainnet),
        IN_WORLD(test_proof_grows),
        IN_WORLD(test_late_acknowledgement),
        IN_WORLD(test_refused_result),
        IN_WORLD(test_reconnect),
        IN_WORLD(test_stake),
        IN_WORLD(test_wrong_coordinator),
        IN_WORLD(test_lost_lease),
        IN_WORLD(test_lost_and_leased_again),
        IN_WORLD(test_clock_set_back),
        IN_WORLD(test_nonsense),
        IN_WORLD(test_earnings_of_a_round),
        IN_WORLD(test_worker_killed),
        IN_WORLD(test_drain),
        IN_WORLD(test_page),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

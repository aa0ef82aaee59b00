/* test_stake.c: the stake from the node's side: registration with a Lightning node that signs, the
 * watch, and `owm-node stake` and `earnings` as an operator meets them. SRS-NODE-11, SRS-NODE-12,
 * SRS-LN-02, SRS-LN-10. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cln_double.h"
#include "coordinator_double.h"
#include "fixture.h"
#include "lnd_double.h"
#include "node/page.h"
#include "node/stake.h"
#include "node/stake_watch.h"
#include "test.h"

#define TASK_A "aaaaaaaa-0000-4000-8000-000000000001"
#define HASH   "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
#define WAIT   15000

struct world {
    char folder[128], config[160], output[65536], treasury_uri[160];
    struct coordinator_double d;
    struct lnd_double *treasury, *own;
    struct cln_double *cln; /* NULL: the operator has LND */
    struct node *node;
    uint8_t *checkpoint;
};

static struct lnd_double *lightning_node(struct world *w, const char *name)
{
    char path[LND_DOUBLE_PATH_BYTES];
    struct owm_error error = {""};
    struct lnd_double *node = NULL;
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    const struct lnd_double_config config = {path, "127.0.0.1:0", "regtest"};
    if (lnd_double_open(&config, &node, &error) != OWM_OK) fail_msg("%s", error.text);
    return node;
}

/** settings: owm.toml; backend lnd, none, or cln, which must be open. */
static void settings(struct world *w, const char *backend, const char *credential)
{
    char text[3000], certificate[LND_DOUBLE_PATH_BYTES], macaroon[LND_DOUBLE_PATH_BYTES];
    lnd_double_file(w->own, "tls.cert", certificate);
    lnd_double_file(w->own, credential, macaroon);
    snprintf(text, sizeof text,
             "[node]\ndata_dir = \"%s/data\"\nworker_path = \"%s\"\ntier_override = \"t1\"\n"
             "http_port = 0\nthreads = 1\n[network]\n"
             "coordinator_url = \"https://127.0.0.1:%d\"\ncoordinator_cert = \"%s/c.pem\"\n"
             "max_concurrent_tasks = 1\n[limits]\nmemory_max_mb = 2048\nshutdown_s = 30\n"
             "[lightning]\nbackend = \"%s\"\nnode_uri = \"%s@127.0.0.1:9735\"\n"
             "lnd_rpc_host = \"%s\"\nlnd_tls_cert_path = \"%s\"\nlnd_macaroon_path = \"%s\"\n"
             "cln_socket = \"%s\"\npayout_to = \"someone@example.org\"\n",
             w->folder, WORKER, w->d.port, w->folder, backend,
             w->cln ? cln_double_key(w->cln) : lnd_double_key(w->own), lnd_double_address(w->own),
             certificate, macaroon, w->cln ? cln_double_path(w->cln) : "");
    fixture_write(w->folder, "owm.toml", text);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char path[160];
    fixture_folder(w->folder);
    double_open(&w->d);
    snprintf(path, sizeof path, "%s/c.pem", w->folder);
    double_write_cert(&w->d, path);
    snprintf(w->config, sizeof w->config, "%s/owm.toml", w->folder);
    w->treasury = lightning_node(w, "treasury");
    w->own = lightning_node(w, "own");
    snprintf(w->treasury_uri, sizeof w->treasury_uri, "%s@127.0.0.1:9735",
             lnd_double_key(w->treasury));
    SET(w, network, "regtest");
    SET(w, stake_policy, "lightning");
    SET(w, treasury_uri, w->treasury_uri);
    SET(w, stake_sats, 120000);
    w->checkpoint = fixture_checkpoint(&w->d.blob_bytes);
    SET(w, blob, w->checkpoint);
    settings(w, "lnd", "operator.macaroon");
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    node_close(w->node);
    double_close(&w->d);
    if (w->cln) cln_double_close(w->cln);
    lnd_double_close(w->own);
    lnd_double_close(w->treasury);
    fixture_remove(w->folder);
    free(w->checkpoint);
    free(w);
    return 0;
}

/* ------------------------------------------------------------------------ inside the test */

static void start_node(struct world *w)
{
    char *argv[] = {(char[]){"test"}, (char[]){"--config"}, w->config, NULL};
    struct owm_node_config config;
    enum owm_conf_action action;
    struct owm_error error = {""};
    assert_ok(owm_conf_load(&owm_node_table, 3, argv, &config, &action, NULL, &error));
    assert_ok(owm_node_config_check(&config, NULL, &error));
    const struct node_timing timing = {.reconnect_min = 50,
                                       .reconnect_max = 200,
                                       .stake_retry = 200,
                                       .resend = 100,
                                       .earnings = 200,
                                       .heartbeat_max = 200,
                                       .stake_look = 100};
    if (node_open(&config, &timing, &w->node, &error) != OWM_OK) fail_msg("%s", error.text);
    assert_ok(node_start(w->node, &error));
}

static void stop_node(struct world *w)
{
    node_close(w->node);
    w->node = NULL;
}

/** wait_for: until the view's last error, a reason or a warning has this text. */
static void wait_for(struct world *w, const char *text)
{
    struct node_view view;
    struct page_health health = {0};
    for (int i = 0; i < WAIT / 10; i++) {
        node_look(w->node, &view);
        page_health(w->node, &view, &health);
        for (size_t j = 0; j < health.count; j++)
            if (strstr(health.reason[j], text)) return;
        for (size_t j = 0; j < health.warning_count; j++)
            if (strstr(health.warning[j], text)) return;
        owm_clock_sleep_ms(10);
    }
    fail_msg("'%s' was never said; last: %s", text, health.count ? health.reason[0] : "nothing");
}

/** wait_healthy: no reason and no warning. */
static void wait_healthy(struct world *w)
{
    struct node_view view;
    struct page_health health = {0};
    for (int i = 0; i < WAIT / 10; i++) {
        node_look(w->node, &view);
        if (page_health(w->node, &view, &health) == 0 && health.warning_count == 0) return;
        owm_clock_sleep_ms(10);
    }
    fail_msg("not healthy: %s", health.count ? health.reason[0] : health.warning[0]);
}

/** open_channel: of the operator to the treasury, as the operator's node sees it; its point. */
static void open_channel(struct world *w, int64_t sats, const char *more, char point[80])
{
    snprintf(point, 80, "%s",
             lnd_double_do(w->own, "channel peer=%s capacity=%lld by=us%s",
                           lnd_double_key(w->treasury), (long long)sats, more));
}

/* SRS-LN-02, SRS-STAKE-01: the registration carries the statement, signed by the Lightning node of
 * ln_node_uri; once bound no signature is asked of it. What the coordinator says is kept. */
static void test_signed_by_the_node(void **state)
{
    struct world *w = *state;
    struct node_view view;
    char point[80];
    open_channel(w, 120000, "", point);
    SET(w, stake_note, "1 channel: 1 counted");
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    assert_int_equal(SEEN(w, stake_proofs), 1);
    assert_string_equal(w->d.payout_to, "someone@example.org");
    node_look(w->node, &view);
    assert_int_equal(view.stake.sats, 120000);
    assert_int_equal(view.stake.required_sats, 100000);
    assert_string_equal(view.stake.note, "1 channel: 1 counted");
    assert_string_equal(view.stake.treasury_uri, w->treasury_uri);
    wait_healthy(w);
    stop_node(w);
    SET(w, stake_bound, true);
    lnd_double_do(w->own, "down");
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.streams, 2, WAIT));
    assert_int_equal(SEEN(w, stake_proofs), 1);
    lnd_double_do(w->own, "up");
}

/* A bound node that moves to another Lightning node is told LN_KEY_MISMATCH, and then signs. */
static void test_moved(void **state)
{
    struct world *w = *state;
    SET(w, stake_bound, true);
    SET(w, register_error, "LN_KEY_MISMATCH");
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.stake_proofs, 1, WAIT));
    SET(w, register_error, "");
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
}

/* A coordinator that hands out the statement of another node gets no signature, ever. */
static void test_foreign_statement(void **state)
{
    struct world *w = *state;
    SET(w, foreign_statement, true);
    start_node(w);
    wait_for(w, "another node");
    assert_int_equal(SEEN(w, registrations), 0);
    assert_string_equal(lnd_double_do(w->own, "calls SignMessage"), "0");
}

/** show_channel: the only one of the operator's lightningd, in this state. */
static void show_channel(struct world *w, const char *name, const char *connected)
{
    char text[1200];
    snprintf(text, sizeof text,
             "[{\"peer_id\": \"%s\", \"peer_connected\": %s, \"state\": \"%s\", \"opener\":"
             " \"local\", \"private\": false, \"features\": [], \"channel_id\": \"" HASH "\","
             " \"funding_txid\": \"" HASH "\", \"funding_outnum\": 1, \"short_channel_id\":"
             " \"195x2x1\", \"total_msat\": 120000000, \"to_us_msat\": 120000000,"
             " \"their_reserve_msat\": 1200000, \"funding\": {\"local_funds_msat\": 120000000,"
             " \"remote_funds_msat\": 0, \"pushed_msat\": 0}}]",
             lnd_double_key(w->treasury), connected, name);
    cln_double_put(w->cln, "channels", text);
}

/* SRS-NODE-12: the channel of a Core Lightning node is watched, too. (Its double signs nothing.) */
static void test_core_lightning(void **state)
{
    struct world *w = *state;
    char path[160];
    struct node_view view;
    snprintf(path, sizeof path, "%s/cln", w->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    w->cln = cln_double_open(path);
    settings(w, "cln", "operator.macaroon");
    SET(w, stake_bound, true);
    show_channel(w, "CHANNELD_NORMAL", "true");
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    wait_healthy(w);
    show_channel(w, "CHANNELD_NORMAL", "false");
    wait_for(w, "is not connected to yours");
    node_look(w->node, &view);
    assert_int_equal(view.stake.open_sats, 120000);
    show_channel(w, "CHANNELD_SHUTTING_DOWN", "true");
    wait_for(w, "closing");
}

/* A Lightning node that is away is not taken for the coordinator; it signs when it is back. */
static void test_away(void **state)
{
    struct world *w = *state;
    lnd_double_do(w->own, "down");
    start_node(w);
    wait_for(w, "your Lightning node has to sign");
    assert_int_equal(SEEN(w, registrations), 0);
    lnd_double_do(w->own, "up");
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    assert_int_equal(SEEN(w, stake_proofs), 1);
}

/* No way to sign: the sentence says what to do; a credential that may do more is refused. */
static void test_no_signature(void **state)
{
    struct world *w = *state;
    settings(w, "none", "operator.macaroon");
    start_node(w);
    wait_for(w, "owm-node stake");
    char *page = page_html(w->node);
    assert_non_null(strstr(page, "of at least 100000 that the tier needs"));
    free(page);
    assert_int_equal(SEEN(w, registrations), 0);
    stop_node(w);
    settings(w, "lnd", "admin.macaroon");
    start_node(w);
    wait_for(w, "bakemacaroon");
    assert_int_equal(SEEN(w, registrations), 0);
}

/* SRS-NODE-12: below, near, degraded with what is missing, closing, offline: each is said; and it
 * ends when all is well again. The gauges follow. */
static void test_watch(void **state)
{
    struct world *w = *state;
    char point[80];
    open_channel(w, 120000, "", point);
    start_node(w);
    wait_healthy(w);
    SET(w, stake_sats, 103000);
    wait_for(w, "within 5 %");
    SET(w, status, "degraded");
    SET(w, stake_sats, 60000);
    SET(w, degraded_until_ms, owm_clock_wall_ms() + 3600000 * 5 + 1800000);
    wait_for(w, "40000 sats are missing (60000 of 100000); no tasks until they are in the channel "
                "again, suspended in 5 h");
    SET(w, degraded_until_ms, 0);
    SET(w, stake_sats, 120000);
    SET(w, status, "active");
    wait_healthy(w);
    owm_clock_sleep_ms(300);
    assert_true(owm_gauge_value(w->node->count.stake) == 120000);
    assert_true(owm_gauge_value(w->node->count.stake_required) == 100000);
    lnd_double_do(w->own, "active %s no", point);
    wait_for(w, "is not connected to yours");
    lnd_double_do(w->own, "active %s yes", point);
    wait_healthy(w);
    lnd_double_do(w->own, "move %s -50000000", point);
    wait_for(w, "the treasury will see it");
    lnd_double_do(w->own, "move %s 50000000", point);
    wait_healthy(w);
    lnd_double_do(w->own, "close %s force-us", point);
    wait_for(w, "closing");
}

/* ------------------------------------------------------------------------- the program */

static pid_t begin(const struct world *w, const char *const words[])
{
    const char *argv[16] = {"owm-node"};
    char out[160];
    int n = 1;
    for (; words[n - 1] && n < 12; n++) argv[n] = words[n - 1];
    argv[n] = "--config";
    argv[n + 1] = w->config;
    snprintf(out, sizeof out, "%s/out", w->folder);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(NODE, (char *const *)argv);
        _exit(126);
    }
    return pid;
}

static void run(struct world *w, int wanted, const char *const words[])
{
    char out[160];
    int state = 0;
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error error;
    assert_int_equal(waitpid(begin(w, words), &state, 0) > 0, 1);
    snprintf(out, sizeof out, "%s/out", w->folder);
    assert_ok(owm_fs_read(out, sizeof w->output - 1, &data, &bytes, &error));
    memcpy(w->output, data, bytes + 1);
    free(data);
    int code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    if (code != wanted) fail_msg("exit code %d instead of %d: %s", code, wanted, w->output);
}
#define RUN(w, wanted, ...) run(w, wanted, (const char *const[]){__VA_ARGS__, NULL})

static void has(const struct world *w, const char *text)
{
    if (strstr(w->output, text) == NULL) fail_msg("'%s' is not in: %s", text, w->output);
}

/* SRS-NODE-11: from nothing to active by hand: sign, prove, open, start; each command line that is
 * printed works with the values that it names. */
static void test_guide_by_hand(void **state)
{
    struct world *w = *state;
    char statement[OWM_STATEMENT_BYTES], signature[OWM_LIGHTNING_SIGNATURE_TEXT], wanted[200];
    struct owm_error error = {""};
    owm_lightning *handle = NULL;
    settings(w, "none", "operator.macaroon");
    RUN(w, 0, "stake");
    has(w, "[ ] 2. bound to it");
    has(w, "signmessage \"owm-stake-1:regtest:");
    RUN(w, 0, "stake", "statement");
    w->output[strcspn(w->output, "\n")] = '\0';
    snprintf(statement, sizeof statement, "%.190s", w->output);
    RUN(w, 1, "stake", "prove", "d9tk3mfxxkxhsyn4bd1jz9rh5ynxzq6y4wk6c8p4c4fs9kswp5xs8c");
    has(w, "not the signature of that statement");
    RUN(w, 2, "stake", "prove");
    char certificate[LND_DOUBLE_PATH_BYTES], macaroon[LND_DOUBLE_PATH_BYTES];
    lnd_double_file(w->own, "tls.cert", certificate);
    lnd_double_file(w->own, "operator.macaroon", macaroon);
    const struct owm_lightning_config config = {.backend = OWM_LIGHTNING_LND,
                                                .role = OWM_LIGHTNING_OPERATOR,
                                                .address = lnd_double_address(w->own),
                                                .certificate = certificate,
                                                .credential = macaroon,
                                                .network = "regtest"};
    assert_ok(owm_lightning_open(&config, &handle, &error));
    assert_ok(owm_lightning_sign(handle, statement, signature, &error));
    owm_lightning_close(handle);
    RUN(w, 0, "stake", "prove", signature);
    RUN(w, 0, "stake");
    has(w, "[x] 2. bound to it");
    snprintf(wanted, sizeof wanted, "openchannel --node_key %s --local_amt 110000",
             lnd_double_key(w->treasury));
    has(w, wanted);
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    assert_int_equal(SEEN(w, stake_proofs), 1);
}

/* SRS-NODE-11: with a Lightning node of its own the guide sees channel and confirmations itself,
 * and beside a running daemon it says what that has reached. */
static void test_guide_beside(void **state)
{
    struct world *w = *state;
    char point[80];
    RUN(w, 0, "stake", "--json");
    has(w, "\"step\": \"channel\"");
    open_channel(w, 110000, " pending", point);
    RUN(w, 0, "stake", "--json");
    has(w, "\"step\": \"confirmations\"");
    has(w, "\"opening_sats\": 110000");
    lnd_double_do(w->own, "mine 6");
    RUN(w, 0, "stake", "--json");
    has(w, "\"step\": \"start\"");
    pid_t pid = begin(w, (const char *const[]){"start", NULL});
    assert_true(double_wait(&w->d, &w->d.heartbeats, 2, WAIT));
    owm_clock_sleep_ms(300);
    RUN(w, 0, "stake");
    has(w, "active, stake 120000 sats, bonus 1.100 times");
    RUN(w, 0, "doctor");
    has(w, "credential is the operator's and no wider");
    has(w, "110000 sats in open channels to the treasury");
    kill(pid, SIGTERM);
    int ended = 0;
    assert_int_equal(waitpid(pid, &ended, 0), pid);
    assert_int_equal(ended, 0);
}

/* Before any sat is locked: needs from the coordinator, an estimate with its inputs, the costs. No
 * identity is made by asking. */
static void test_can_join(void **state)
{
    struct world *w = *state;
    char path[160];
    SET(w, minimum_sats, 123000);
    RUN(w, 0, "stake", "can-join");
    has(w, "123000 sats on your side");
    has(w, "an estimate, not a promise");
    has(w, "base rate 10 sats");
    has(w, "369000");
    has(w, "20.000 sats");
    has(w, "What locking costs");
    RUN(w, 0, "stake", "can-join", "--base-sats", "7", "--json");
    has(w, "\"base_sats\": 7");
    has(w, "\"fl_round_msat\": 42000");
    RUN(w, 2, "stake", "can-join", "--tier", "t9");
    RUN(w, 2, "stake", "can-join", "--base-sats", "7x");
    snprintf(path, sizeof path, "%s/data/identity.key", w->folder);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Words, flags and settings may stand in any order; what a command does not know is an error. */
static void test_command_line(void **state)
{
    struct world *w = *state;
    RUN(w, 0, "--node.alias", "statement", "stake", "--json");
    has(w, "\"step\": \"channel\"");
    RUN(w, 0, "stake", "--node.alias=x", "statement");
    has(w, "owm-stake-1:regtest:");
    RUN(w, 2, "earnings", "statement");
    has(w, "takes no 'statement'");
    RUN(w, 2, "stake", "dance");
    has(w, "there is no `stake dance`");
    RUN(w, 1, "stake", "--sideways");
    RUN(w, 1, "stake", "a", "b", "c", "d");
}

static bool bond_is(struct world *w, const char *kind)
{
    pthread_mutex_lock(&w->d.lock);
    bool same = strcmp(w->d.bond_kind, kind) == 0;
    pthread_mutex_unlock(&w->d.lock);
    return same;
}

/* A bond is asked for, its invoice paid exactly as the operator said, or printed; then
 * left. */
static void test_bond(void **state)
{
    struct world *w = *state;
    char invoice[4096];
    RUN(w, 1, "stake", "bond");
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.heartbeats, 1, WAIT));
    stop_node(w);
    RUN(w, 0, "stake", "bond");
    has(w, "No bond.");
    RUN(w, 2, "stake", "bond", "paid", "some");
    RUN(w, 2, "stake", "bond", "gold", "5");
    snprintf(invoice, sizeof invoice, "%s",
             lnd_double_do(w->treasury, "invoice value=50000000 memo=bond"));
    SET(w, bond_invoice, invoice);
    RUN(w, 1, "stake", "bond", "paid", "50001");
    has(w, "it was not paid");
    assert_string_equal(lnd_double_do(w->own, "payments"), "");
    RUN(w, 0, "stake", "bond", "paid", "50000");
    has(w, "Paid by your Lightning node");
    assert_true(bond_is(w, "paid"));
    assert_int_equal(SEEN(w, bond_sats), 50000);
    snprintf(invoice, sizeof invoice, "%s",
             lnd_double_do(w->treasury, "invoice value=60000000 hash=" HASH));
    SET(w, bond_invoice, invoice);
    RUN(w, 0, "stake", "bond", "hold", "60000");
    has(w, "held, not taken");
    assert_string_equal(lnd_double_do(w->treasury, "invoice-state " HASH), "held");
    settings(w, "none", "operator.macaroon");
    RUN(w, 0, "stake", "bond", "paid", "50000");
    has(w, invoice);
    RUN(w, 2, "stake", "bond", "paid", "--leave");
    assert_false(SEEN(w, bond_leave));
    RUN(w, 0, "stake", "bond", "--leave");
    assert_true(SEEN(w, bond_leave));
    assert_true(bond_is(w, ""));
}

/* SRS-LN-10: every sat with its state and why: owed, cancelled, settled with the preimage; as a
 * table, CSV and JSON. */
static void test_earnings(void **state)
{
    struct world *w = *state;
    struct owm_task_payment payment = {.state = ""};
    size_t count = 0;
    start_node(w);
    assert_true(double_wait(&w->d, &w->d.streams, 1, WAIT));
    double_send_inference(&w->d, TASK_A, 1, "once", 4);
    for (int i = 0; i < WAIT / 10 && count == 0; i++, owm_clock_sleep_ms(10))
        assert_ok(owm_task_log_payments(w->node->log, &payment, 0, 1, &count));
    RUN(w, 0, "earnings");
    has(w, "owed 10.000 sats");
    has(w, "owed after 2 attempts, because: waits for its turn");
    SET(w, payment_reason, "=cancelled, the work was \"false\"");
    SET(w, payment_state, "cancelled");
    for (int i = 0; i < WAIT / 10 && strcmp(payment.state, "cancelled") != 0; i++) {
        owm_clock_sleep_ms(10);
        assert_ok(owm_task_log_payments(w->node->log, &payment, 0, 1, &count));
    }
    RUN(w, 0, "earnings", "--csv");
    has(w, "\"cancelled\",2,");
    has(w, "\"'=cancelled, the work was \"\"false\"\"\"\r\n");
    SET(w, payment_proven, true);
    SET(w, payment_state, "settled");
    for (int i = 0; i < WAIT / 10 && strcmp(payment.state, "settled") != 0; i++) {
        owm_clock_sleep_ms(10);
        assert_ok(owm_task_log_payments(w->node->log, &payment, 0, 1, &count));
    }
    RUN(w, 0, "earnings", "--json");
    has(w, "\"settled_msat\": 10000");
    has(w, "\"preimage\": \"2a00000000");
    RUN(w, 0, "earnings");
    has(w, "preimage 2a00000000");
    char *page = page_html(w->node);
    assert_non_null(strstr(page, "Newest payments"));
    assert_non_null(strstr(page, "preimage 2a00000000"));
    assert_non_null(strstr(page, "<h2>Stake</h2>"));
    free(page);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_signed_by_the_node),
        IN_WORLD(test_moved),
        IN_WORLD(test_foreign_statement),
        IN_WORLD(test_no_signature),
        IN_WORLD(test_core_lightning),
        IN_WORLD(test_away),
        IN_WORLD(test_watch),
        IN_WORLD(test_guide_by_hand),
        IN_WORLD(test_guide_beside),
        IN_WORLD(test_can_join),
        IN_WORLD(test_command_line),
        IN_WORLD(test_bond),
        IN_WORLD(test_earnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

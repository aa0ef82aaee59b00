/* test_slash_network.c: slashing in a whole coordinator, by what a maintainer has in hand:
 * owm-admin. Three poisoned gradients of a T1 node; fake results of a T2 node and two
 * maintainers; evidence replayed from the round's packages; the public log. */
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/pg/pg.h"
#include "round_steps.h"
#include "test.h"

#define HELDOUT_BYTES 8192

static char folder[] = "/tmp/owm-slashnet-XXXXXX";
static const char line[] = HELDOUT_LINE;
static char said[16384]; /* by the last owm-admin */

static int64_t count(const char *sql)
{
    return coordinator_count(&network, sql);
}

/* Node 0 is the bad one, and from some moment on suspended. */
static void beat_others(void)
{
    for (int i = 1; i < NODES; i++) fake_node_heartbeat(&node[i], NULL);
}

static void wait_for(const char *sql, int64_t value)
{
    for (int i = 0; i < 600 && count(sql) < value; i++) {
        beat_others();
        owm_clock_sleep_ms(25);
    }
    if (count(sql) < value) fail_msg("waited in vain: %s", sql);
}

/* owm-admin as maintainer m; its exit code, and what it said in `said`. */
static int admin(int m, const char *words)
{
    char command[1200];
    snprintf(command, sizeof(command),
             "%s --coordinator 127.0.0.1:%d --certificate %s/data/coordinator.crt"
             " --key %s/m%d.key --heldout %s/heldout --heldout-bytes %d %s 2>&1",
             OWM_ADMIN, network.internal_port, network.folder, folder, m, folder, HELDOUT_BYTES,
             words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t bytes = fread(said, 1, sizeof(said) - 1, pipe);
    said[bytes] = 0;
    int status = pclose(pipe);
    return WEXITSTATUS(status);
}

static void expect(int m, const char *words, int code, const char *text)
{
    int found = admin(m, words);
    if (found != code || !strstr(said, text))
        fail_msg("owm-admin %s: code %d, not %d, or no \"%s\" in: %s", words, found, code, text,
                 said);
}

/* First column of the first row. */
static void text_of(const char *sql, char *text, size_t capacity)
{
    struct owm_pg *pg = NULL;
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    assert_ok(owm_pg_open(network.url, &pg, NULL));
    if (owm_pg_query(pg, sql, NULL, &rows, &error) != OWM_OK) fail_msg("%s", error.text);
    snprintf(text, capacity, "%s", owm_pg_rows_count(rows) ? owm_pg_get_text(rows, 0, 0) : "");
    owm_pg_rows_free(rows);
    owm_pg_close(pg);
}

/* ---------------------------------------------------------------------------- T1 */

static void poisoned_round(void)
{
    int64_t before = count("SELECT count(*) FROM misbehavior_signals");
    assert_string_equal(work(0, (struct wrong){.flipped = true, .huge = true}), "");
    for (int i = 1; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
    wait_for("SELECT count(*) FROM fl_rounds WHERE status IN ('complete', 'failed')", before + 1);
    assert_int_equal(count("SELECT count(*) FROM misbehavior_signals"), before + 1);
}

/* TST-15, SRS-SEC-11: three poisoned gradients: suspended, the case decided, the cooldown
 * recorded. TST-16, SRS-STAKE-07: the node may not register again. SRS-LN-13, SRS-STAKE-06: the
 * public log. */
static void test_three_poisoned(void **state)
{
    (void)state;
    char reason[128];
    for (int i = 0; i < 3; i++) poisoned_round();
    wait_for("SELECT count(*) FROM slash_cases WHERE state = 'closed'", 1);
    wait_for("SELECT count(*) FROM slash_cases WHERE enforced_at IS NOT NULL", 1);
    assert_int_equal(count("SELECT count(*) FROM nodes WHERE status = 'suspended'"
                           " AND cooldown_until > now() + interval '29 days'"),
                     1);
    text_of("SELECT reason FROM slashing_events", reason, sizeof(reason));
    assert_string_equal(reason, "3 x poisoned_gradient");
    assert_string_equal(fake_node_register(&node[0], FAULT_NONE), "COOLDOWN");
    assert_string_equal(fake_node_register(&node[1], FAULT_NONE), "");
    char words[200];
    snprintf(words, sizeof(words), "log verify http://127.0.0.1:%d/v1/network/slashing-log",
             network.http_port);
    expect(0, words, 0, "The log holds: 1 entries");
    assert_sound();
}

/* Promise 6: the evidence of each signal, and of the whole case, comes out the same when it is
 * replayed from the packages; a bundle in which one number was changed does not. */
static void test_evidence(void **state)
{
    (void)state;
    char hash[80], words[400], path[200];
    text_of("SELECT encode(bundle_hash, 'hex') FROM slash_cases", hash, sizeof(hash));
    snprintf(words, sizeof(words), "evidence verify %s", hash);
    expect(0, words, 0, "The evidence of the whole case holds.");
    text_of("SELECT evidence_hash FROM misbehavior_signals ORDER BY round_number LIMIT 1", hash,
            sizeof(hash));
    snprintf(words, sizeof(words), "evidence verify %s", hash);
    expect(0, words, 0, "The evidence holds: in round");

    uint8_t *bundle = NULL;
    size_t bytes = 0;
    snprintf(path, sizeof(path), "%s/data/blobs/%.2s/%s", network.folder, hash, hash);
    assert_ok(owm_fs_read(path, 1 << 20, &bundle, &bytes, NULL));
    char *reason = strstr((char *)bundle, "\"reason\":\"NORM_HIGH\"");
    assert_non_null(reason);
    memcpy(reason, "\"reason\":\"NORM_LOW\", ", 21);
    snprintf(path, sizeof(path), "%s/forged.json", folder);
    assert_ok(owm_fs_write_atomic(path, bundle, bytes, 0600, NULL));
    free(bundle);
    snprintf(words, sizeof(words), "evidence verify %s", path);
    expect(0, words, 1, "The evidence does not hold: the screening, done again, gives another");
    expect(0, "evidence verify 0000000000000000000000000000000000000000000000000000000000000000", 1,
           "NOT_FOUND");
    /* Another text than the coordinator's gives another certificate. */
    snprintf(words, sizeof(words), "--heldout %s/other evidence verify %s", folder, hash);
    expect(0, words, 1, "gives another certificate");
}

/* ---------------------------------------------------------------------------- T2 */

/* A T2 node that signs one hash and sends another output. */
static void fake_result(struct fake_node *big, const char *key)
{
    uint8_t *plain = NULL;
    size_t bytes = 0;
    char task_id[40], code[32];
    try_inference(&network, key, "t2", task_id, code);
    assert_string_equal(code, "");
    fake_node_heartbeat(big, NULL);
    PB(Task) *task = fake_node_task(big, 15000, &plain, &bytes);
    assert_non_null(task);
    assert_string_equal(task->task_type, "inference");
    assert_string_equal(fake_node_answer(big, task, "Nobody.", (struct wrong){.hash = true}),
                        "HASH_MISMATCH");
    owm__coordinator__v1__task__free_unpacked(task, NULL);
    free(plain);
}

/* TST-20, SRS-STAKE-04, SRS-SEC-14: a T2 node's case waits for two maintainers. The first one's
 * second signature, and a stranger's, change nothing. */
static void test_two_maintainers(void **state)
{
    (void)state;
    struct fake_node big;
    char id[40], words[100];
    fake_node_open(&big, &network, "big");
    big.tier = "t2";
    assert_string_equal(fake_node_register(&big, FAULT_NONE), "");
    fake_node_stream(&big);
    fake_result(&big, "one");
    wait_for("SELECT count(*) FROM slash_cases WHERE state = 'open'", 1);
    text_of("SELECT case_id FROM slash_cases WHERE state = 'open'", id, sizeof(id));
    expect(0, "slash list", 0, id);
    snprintf(words, sizeof(words), "slash show %.8s", id);
    expect(0, words, 0, "0 of 2");
    snprintf(words, sizeof(words), "slash ack %.8s --reason checked", id);
    expect(9, words, 2, "there is no such key file");
    expect(0, words, 0, "acknowledged");
    expect(0, words, 1, "REPEATED");
    expect(2, words, 1, "KEY_NOT_ALLOWED"); /* nobody's key */
    snprintf(words, sizeof(words), "slash overturn %.8s", id);
    expect(0, words, 1, "WRONG_STATE");
    for (int i = 0; i < 40; i++) {
        beat_others();
        owm_clock_sleep_ms(50);
    }
    assert_int_equal(count("SELECT count(*) FROM slash_cases WHERE state = 'open'"), 1);
    assert_int_equal(count("SELECT count(*) FROM nodes WHERE tier = 't2' AND status = 'active'"),
                     1);
    snprintf(words, sizeof(words), "slash ack %.8s", id);
    expect(1, words, 0, "The evidence holds: for task");
    wait_for("SELECT count(*) FROM nodes WHERE tier = 't2' AND status = 'suspended'", 1);
    assert_string_equal(fake_node_register(&big, FAULT_NONE), "COOLDOWN");

    snprintf(words, sizeof(words), "slash overturn %s --reason mistake", id);
    expect(0, words, 0, "recorded");
    expect(1, words, 0, "recorded");
    wait_for("SELECT count(*) FROM nodes WHERE tier = 't2' AND status = 'active'", 1);
    assert_string_equal(fake_node_register(&big, FAULT_NONE), "");
    snprintf(words, sizeof(words), "log verify http://127.0.0.1:%d/v1/network/slashing-log",
             network.http_port);
    expect(0, words, 0, "The log holds: 3 entries");
    fake_node_close(&big);
}

/* Promise 6: kill -9, and a start with a grace window: what was decided stays, nothing is decided
 * twice, and evidence and log are still there. */
static void test_restart(void **state)
{
    (void)state;
    char hash[80], words[200];
    coordinator_kill(&network);
    coordinator_start(&network);
    for (int i = 1; i < NODES; i++) fake_node_reconnect(&node[i]);
    text_of("SELECT encode(bundle_hash, 'hex') FROM slash_cases ORDER BY opened_at LIMIT 1", hash,
            sizeof(hash));
    snprintf(words, sizeof(words), "evidence verify %s", hash);
    expect(1, words, 0, "The evidence of the whole case holds.");
    assert_int_equal(count("SELECT count(*) FROM slashing_events"), 3);
    assert_int_equal(count("SELECT count(*) FROM nodes WHERE status = 'suspended'"), 1);
}

/* ---------------------------------------------------------------------------- preparation */

static void write_text(const char *name, const char *text)
{
    char path[200], content[HELDOUT_BYTES];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    for (size_t at = 0; at < sizeof(content); at++) content[at] = text[at % strlen(text)];
    assert_ok(owm_fs_write_atomic(path, content, sizeof(content), 0644, NULL));
}

static void write_config(void)
{
    char path[200], hex[2][65], text[400];
    for (int i = 0; i < 3; i++) {
        owm_identity *identity = NULL;
        snprintf(path, sizeof(path), "%s/m%d.key", folder, i);
        assert_ok(owm_identity_load_or_create(path, &identity, NULL, NULL));
        if (i < 2) owm_hex_encode(owm_identity_public_key(identity), 32, hex[i]);
        owm_identity_close(identity);
    }
    snprintf(text, sizeof(text), "[slashing]\nmaintainers = \"%s,%s\"\nappeal_hours = 0\n", hex[0],
             hex[1]);
    snprintf(path, sizeof(path), "%s/c.toml", folder);
    assert_ok(owm_fs_write_atomic(path, text, strlen(text), 0600, NULL));
}

static int remove_all(void **state)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return close_all(state) | system(command);
}

int main(void)
{
    char config[64], heldout[96], bytes[64];
    assert_non_null(mkdtemp(folder));
    write_text("heldout", line);
    write_text("other", "Another text, which the coordinator never saw. ");
    write_config();
    find_gradient();
    snprintf(config, sizeof(config), "--config=%s/c.toml", folder);
    snprintf(heldout, sizeof(heldout), "--rounds.heldout_file=%s/heldout", folder);
    snprintf(bytes, sizeof(bytes), "--rounds.heldout_bytes_max=%d", HELDOUT_BYTES);
    const char *const options[] = {config, heldout, bytes, NULL};
    if (!open_all("slashing", options)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_poisoned),
        cmocka_unit_test(test_evidence),
        cmocka_unit_test(test_two_maintainers),
        cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests_name("slashing", tests, NULL, remove_all);
}

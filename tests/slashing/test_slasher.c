/* test_slasher.c: owm-slasher as a process, over a real PostgreSQL and a double of LND: what it
 * evicts, what it refuses, and what happens when it is killed. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "controlplane/slashing/rows.h"
#include "lnd_rig.h"
#include "slash_db.h"
#include "test.h"

static struct pg_fixture server;
static struct lnd_double *treasury;
static char log_path[] = "/tmp/owm-slasher-XXXXXX";

/** slasher: one child process and its database. */
struct slasher {
    struct owm_pg *pg;
    char url[256], role_url[300];
    const char *macaroon; /* NULL: the one of its role */
    const char *more[4];  /* options; NULL ends */
    int listed;           /* maintainers in its own list; 0: all */
    pid_t pid;
};

static void slasher_open(struct slasher *s, const char *name)
{
    memset(s, 0, sizeof(*s));
    s->pg = slash_db_open(&server, name, s->url);
    if (number(s->pg, "SELECT count(*) FROM pg_roles WHERE rolname = 'owm_slasher'") == 0) {
        uint8_t *text = NULL;
        size_t bytes = 0;
        assert_ok(owm_fs_read(OWM_SLASHER_ROLE, 65536, &text, &bytes, NULL));
        sql(s->pg, (char *)text);
        free(text);
    } else {
        sql(s->pg, "GRANT SELECT ON slash_cases, slash_acts TO owm_slasher;"
                   "GRANT SELECT, INSERT, UPDATE ON slash_evictions TO owm_slasher");
    }
    snprintf(s->role_url, sizeof(s->role_url), "%s user=owm_slasher", s->url);
}

static void slasher_start(struct slasher *s)
{
    static char text[8][1200];
    char hex[65], *list = text[2];
    struct owm_lightning_config ln = rig_config(treasury, OWM_LIGHTNING_SLASH);
    owm_hex_encode(owm_identity_public_key(coordinator), 32, hex);
    snprintf(text[0], sizeof(text[0]), "--slashing.coordinator_key=%s", hex);
    snprintf(text[1], sizeof(text[1]), "--lightning.address=%s", ln.address);
    snprintf(list, sizeof(text[2]), "--slashing.maintainers=");
    for (int i = 0; i < (s->listed ? s->listed : MAINTAINERS); i++) {
        size_t length = strlen(list);
        owm_hex_encode(maintainer_keys[i], 32, hex);
        snprintf(list + length, sizeof(text[2]) - length, "%s%s", i ? "," : "", hex);
    }
    snprintf(text[3], sizeof(text[3]), "--lightning.certificate=%s", ln.certificate);
    snprintf(text[4], sizeof(text[4]), "--lightning.credential=%s",
             s->macaroon ? s->macaroon : ln.credential);
    const char *argv[20] = {OWM_SLASHER,
                            text[0],
                            text[1],
                            text[2],
                            text[3],
                            text[4],
                            "--lightning.network=regtest",
                            "--slashing.appeal_hours=0",
                            "--slasher.poll_s=1",
                            "--http.port=0"};
    for (int i = 0; i < 4 && s->more[i]; i++) argv[10 + i] = s->more[i];
    s->pid = fork();
    if (s->pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 2);
    setenv("DATABASE_URL", s->role_url, 1);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static void slasher_kill(struct slasher *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

static void slasher_close(struct slasher *s)
{
    if (s->pid > 0) {
        int status = 0;
        kill(s->pid, SIGTERM);
        waitpid(s->pid, &status, 0);
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    owm_pg_close(s->pg);
}

static bool logged(const char *text)
{
    uint8_t *log = NULL;
    size_t bytes = 0;
    if (owm_fs_read(log_path, 1 << 24, &log, &bytes, NULL) != OWM_OK) return false;
    bool found = strstr((char *)log, text) != NULL;
    free(log);
    return found;
}

static void wait_logged(const char *text)
{
    for (int i = 0; i < 400 && !logged(text); i++) owm_clock_sleep_ms(25);
    if (!logged(text)) fail_msg("not in the log: %s", text);
}

static void wait_for(struct slasher *s, const char *query, int64_t value)
{
    for (int i = 0; i < 400 && number(s->pg, query) != value; i++) owm_clock_sleep_ms(25);
    if (number(s->pg, query) != value) fail_msg("waited in vain for %s", query);
}

/* ----------------------------------------------------------------------- cases in the table */

static uint8_t bytes[OWM_DECISION_BYTES_MAX], signature[64];
static size_t count;

/* Case of node n, not yet in the table. */
static void begin_case(struct owm_case *c, int n, enum owm_tier tier, uint32_t signals)
{
    make_case(c, tier, signals);
    c->case_id[0] = (uint8_t)n;
    node_id_of(n, c->node_id);
    memset(c->public_key, 0, 32);
    memset(c->ln_key + 1, 0, 32);
    c->public_key[31] = c->ln_key[32] = (uint8_t)n;
}

/* Insert as "evicting" what bytes, count and signature hold. */
static void put_case(struct slasher *s, const struct owm_case *c, int n)
{
    struct owm_pg_args args;
    struct owm_error error = {""};
    char hex[65];
    add_node(s->pg, n, owm_tier_name(c->tier), true);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, c->case_id);
    owm_pg_uuid(&args, c->node_id);
    owm_pg_hex(&args, hex, c->public_key, 32);
    owm_pg_bytes(&args, c->ln_key, 33);
    owm_pg_text(&args, owm_tier_name(c->tier));
    owm_pg_bytes(&args, bytes, count);
    owm_pg_bytes(&args, signature, 64);
    if (owm_pg_query(s->pg,
                     "INSERT INTO slash_cases (case_id, node_id, public_key, ln_key, tier, state,"
                     " opened_at, decided_at, decision, decision_sig) VALUES ($1, $2, $3, $4, $5,"
                     " 'evicting', now(), now(), $6, $7)",
                     &args, NULL, &error)
        != OWM_OK)
        fail_msg("%s", error.text);
}

static void put_t1(struct slasher *s, int n, int64_t appeal_ms)
{
    static struct owm_case c;
    begin_case(&c, n, OWM_TIER_T1, 3);
    make_decision(&c, owm_clock_wall_ms(), appeal_ms, bytes, &count, signature);
    put_case(s, &c, n);
}

static void put_t2(struct slasher *s, int n, const owm_identity *first, const owm_identity *second)
{
    static struct owm_case c;
    begin_case(&c, n, OWM_TIER_T2, 4);
    sign_act(&c, first, OWM_ACT_ACKNOWLEDGE, owm_clock_wall_ms());
    if (second) sign_act(&c, second, OWM_ACT_ACKNOWLEDGE, owm_clock_wall_ms());
    make_decision(&c, owm_clock_wall_ms(), 0, bytes, &count, signature);
    put_case(s, &c, n);
}

/* A stake channel of node n; its funding point. */
static const char *open_channel(int n)
{
    static char point[80];
    snprintf(point, sizeof(point), "%s",
             lnd_double_do(treasury, "channel peer=02%064x capacity=1000000", n));
    return point;
}

static const char *channel_state(const char *point)
{
    return lnd_double_do(treasury, "channel-state %s", point);
}

static int64_t closes(void)
{
    return strtoll(lnd_double_do(treasury, "calls CloseChannel"), NULL, 10);
}

/* ---------------------------------------------------------------------------- tests */

/* SRS-LN-12, SRS-STAKE-05, TST-15: the stake channel of a decided T1 case is force-closed, as a
 * durable state machine; the treasury's own channel to that node, and other nodes', stay. */
static void test_evicts(void **state)
{
    (void)state;
    struct slasher s;
    char stake[80], other[80], ours[80];
    int64_t before = closes();
    slasher_open(&s, "evicts");
    snprintf(stake, sizeof(stake), "%s", open_channel(1));
    snprintf(other, sizeof(other), "%s", open_channel(2));
    snprintf(ours, sizeof(ours), "%s",
             lnd_double_do(treasury, "channel peer=02%064x capacity=500000 by=us", 1));
    put_t1(&s, 1, 0);
    slasher_start(&s);
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE state = 'broadcast'", 1);
    assert_string_equal(channel_state(stake), "closing");
    assert_string_equal(text_of(s.pg, "SELECT channel_point FROM slash_evictions"), stake);
    assert_int_equal(strlen(text_of(s.pg, "SELECT closing_txid FROM slash_evictions")), 64);
    lnd_double_do(treasury, "mine 6");
    lnd_double_do(treasury, "mine 200");
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE state = 'confirmed'", 1);
    assert_string_equal(channel_state(other), "open");
    assert_string_equal(channel_state(ours), "open");
    assert_int_equal(closes() - before, 1);
    /* It has no right to decide anything. */
    struct owm_pg *role = NULL;
    assert_ok(owm_pg_open(s.role_url, &role, NULL));
    assert_int_not_equal(owm_pg_exec(role, "UPDATE slash_cases SET state = 'evicting'", NULL),
                         OWM_OK);
    assert_int_not_equal(owm_pg_exec(role, "DELETE FROM slash_evictions", NULL), OWM_OK);
    assert_int_not_equal(owm_pg_exec(role, "SELECT * FROM nodes", NULL), OWM_OK);
    assert_int_not_equal(owm_pg_exec(role, "INSERT INTO slash_acts SELECT * FROM slash_acts", NULL),
                         OWM_OK);
    assert_int_not_equal(owm_pg_exec(role, "CREATE TABLE mine (i int)", NULL), OWM_OK);
    owm_pg_close(role);
    slasher_close(&s);
}

/* TST-20, SRS-SEC-13, SRS-SEC-14: what the database says is not believed: a forged decision, one of
 * another case, too few signals, one acknowledgement, one person twice, maintainers that are not on
 * our own list, an overturned case, an open appeal window: nothing is closed. */
static void test_refuses(void **state)
{
    (void)state;
    struct slasher s;
    static struct owm_case c;
    int64_t before = closes();
    slasher_open(&s, "refuses");
    for (int n = 11; n <= 19; n++) open_channel(n);
    s.listed = 2; /* the third maintainer is not on the slasher's list */

    begin_case(&c, 11, OWM_TIER_T1, 3); /* signed by somebody else */
    make_decision(&c, owm_clock_wall_ms(), 0, bytes, &count, signature);
    owm_identity_sign(stranger, OWM_DOMAIN_SLASH_DECISION, bytes, count, signature);
    put_case(&s, &c, 11);

    begin_case(&c, 12, OWM_TIER_T1, 3); /* the decision about node 11, in the row of node 12 */
    begin_case(&c, 13, OWM_TIER_T1, 3);
    make_decision(&c, owm_clock_wall_ms(), 0, bytes, &count, signature);
    begin_case(&c, 12, OWM_TIER_T1, 3);
    put_case(&s, &c, 12);

    begin_case(&c, 13, OWM_TIER_T1, 3); /* the same evidence three times */
    memcpy(c.signals[1].evidence_hash, c.signals[0].evidence_hash, 32);
    memcpy(c.signals[2].evidence_hash, c.signals[0].evidence_hash, 32);
    make_decision(&c, owm_clock_wall_ms(), 0, bytes, &count, signature);
    put_case(&s, &c, 13);

    put_t2(&s, 14, maintainer[0], NULL);
    put_t2(&s, 15, maintainer[0], maintainer[0]);
    put_t2(&s, 16, maintainer[0], maintainer[2]);
    put_t2(&s, 17, maintainer[0], stranger);
    put_t1(&s, 18, 3600000);

    put_t2(&s, 19, maintainer[0], maintainer[1]); /* good, and overturned */
    sql(s.pg, "UPDATE slash_cases SET state = 'decided' WHERE case_id::text LIKE '13%'");
    assert_int_equal(vote(s.pg, 19, maintainer[0], OWM_ACT_OVERTURN), OWM_ACT_CODE_TAKEN);
    assert_int_equal(vote(s.pg, 19, maintainer[1], OWM_ACT_OVERTURN), OWM_ACT_CODE_TAKEN);
    sql(s.pg, "UPDATE slash_cases SET state = 'evicting' WHERE case_id::text LIKE '13%'");

    slasher_start(&s);
    wait_logged("at_work");
    owm_clock_sleep_ms(2500);
    assert_int_equal(closes() - before, 0);
    assert_int_equal(number(s.pg, "SELECT count(*) FROM slash_evictions"), 0);
    assert_true(logged("is not signed by the coordinator"));
    assert_true(logged("is that of another case"));
    assert_true(logged("names 1 different signals; 3 are needed"));
    assert_true(logged("has 1 valid acknowledgements of our maintainers; 2 are needed"));

    put_t2(&s, 20, maintainer[0], maintainer[1]); /* and a good one goes through beside them */
    open_channel(20);
    wait_for(&s, "SELECT count(*) FROM slash_evictions", 1);
    slasher_close(&s);
}

/* kill -9 between any two steps: each channel is closed, by whichever process. One that died with
 * its question on the way may have it asked again; the node closes a channel once. */
static void test_killed(void **state)
{
    (void)state;
    struct slasher s;
    int64_t before = closes();
    slasher_open(&s, "killed");
    for (int n = 31; n <= 36; n++) {
        open_channel(n);
        open_channel(n);
        put_t1(&s, n, 0);
    }
    lnd_double_do(treasury, "delay CloseChannel 60");
    srand(5);
    for (int i = 0; i < 12; i++) {
        slasher_start(&s);
        owm_clock_sleep_ms(150 + (unsigned)rand() % 250);
        slasher_kill(&s);
    }
    lnd_double_do(treasury, "delay CloseChannel 0");
    slasher_start(&s);
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE state = 'broadcast'", 12);
    lnd_double_do(treasury, "mine 200");
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE state = 'confirmed'", 12);
    assert_in_range(closes() - before, 12, 24);
    slasher_close(&s);
}

/* At most closes_per_day: a stolen coordinator key cannot close everything at once. */
static void test_limit(void **state)
{
    (void)state;
    struct slasher s;
    int64_t before = closes();
    slasher_open(&s, "daily");
    s.more[0] = "--slasher.closes_per_day=2";
    for (int n = 41; n <= 44; n++) {
        open_channel(n);
        put_t1(&s, n, 0);
    }
    slasher_start(&s);
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE note LIKE 'held back%'", 2);
    assert_int_equal(closes() - before, 2);
    slasher_close(&s);
}

/* A node without a channel, and one whose channel is closing by itself: nothing is asked for. */
static void test_nothing_to_close(void **state)
{
    (void)state;
    struct slasher s;
    int64_t before = closes();
    slasher_open(&s, "nothing");
    put_t1(&s, 51, 0);
    put_t1(&s, 52, 0);
    lnd_double_do(treasury, "close %s peer", open_channel(52));
    slasher_start(&s);
    wait_for(&s,
             "SELECT count(*) FROM slash_evictions WHERE channel_point = ''"
             " AND state = 'confirmed'",
             1);
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE state = 'broadcast'", 1);
    lnd_double_do(treasury, "mine 10");
    wait_for(&s, "SELECT count(*) FROM slash_evictions WHERE state = 'confirmed'", 2);
    assert_int_equal(closes() - before, 0);
    slasher_close(&s);
}

/* SRS-SEC-13: a credential that can do more than close and look is refused at the start. */
static void test_strong_macaroon(void **state)
{
    (void)state;
    struct slasher s;
    char path[LND_DOUBLE_PATH_BYTES];
    const char *const strong[] = {"admin.macaroon", "pay.macaroon"};
    int status = 0;
    slasher_open(&s, "strong");
    for (int i = 0; i < 2; i++) {
        lnd_double_file(treasury, strong[i], path);
        s.macaroon = path;
        slasher_start(&s);
        waitpid(s.pid, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    }
    s.pid = 0;
    s.macaroon = NULL;
    s.more[0] = "--slashing.acks_needed=4"; /* of three maintainers */
    slasher_start(&s);
    waitpid(s.pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 2);
    s.pid = 0;
    slasher_close(&s);
}

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(log_path);
    close(fd);
    cast_open();
    rig_begin();
    treasury = rig_node("treasury");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lnd_double_close(treasury);
    rig_end();
    cast_close();
    if (!getenv("OWM_TEST_KEEP")) unlink(log_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evicts),           cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_killed),           cmocka_unit_test(test_limit),
        cmocka_unit_test(test_nothing_to_close), cmocka_unit_test(test_strong_macaroon),
    };
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    pg_fixture_stop(&server);
    return failed;
}

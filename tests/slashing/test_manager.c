/* test_manager.c: the slashing manager over a real PostgreSQL, with a double of the engine, of
 * bonds and of owm-slasher. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "controlplane/slashing/log.h"
#include "controlplane/slashing/rows.h"
#include "controlplane/slashing/slashing.h"
#include "slash_db.h"
#include "test.h"

static struct pg_fixture server;
static struct owm_blob_store *store;
static struct owm_metrics *metrics;
static char blobs[] = "/tmp/owm-slash-XXXXXX";

/** world: one manager and what it talks to. The doubles' own connection is the manager's thread's.
 */
struct world {
    char url[256];
    struct owm_pg *pg, *engine;
    struct owm_bonds_hooks bonds;
    struct owm_slashing *slashing;
    int64_t grace_ms, appeal_ms;
    atomic_int slashes, reinstatements, forfeited, returned;
};

static void for_node(struct owm_pg *pg, const char *statement, const uint8_t id[16])
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    assert_ok(owm_pg_query(pg, statement, &args, NULL, NULL));
}

/* The engine, as far as it matters: it suspends, and takes it back, in the node's row. */
static void engine_double(void *ctx, enum owm_event_kind kind, const struct owm_slash_event *event)
{
    struct world *w = ctx;
    bool slash = kind == OWM_EVENT_SLASH;
    atomic_fetch_add(slash ? &w->slashes : &w->reinstatements, 1);
    for_node(w->engine,
             slash ? "UPDATE nodes SET status = 'suspended', cooldown_until = now() + interval"
                     " '30 days' WHERE node_id = $1"
                   : "UPDATE nodes SET status = 'active', cooldown_until = NULL WHERE node_id = $1",
             event->node_id);
}

static owm_status bond_slash_double(void *ctx, struct owm_pg *pg, const uint8_t node_id[16],
                                    const uint8_t case_id[16], struct owm_error *error)
{
    struct world *w = ctx;
    (void)pg, (void)node_id, (void)case_id, (void)error;
    atomic_fetch_add(&w->forfeited, 1);
    return OWM_OK;
}

static owm_status bond_return_double(void *ctx, struct owm_pg *pg, const uint8_t node_id[16],
                                     const uint8_t case_id[16], struct owm_error *error)
{
    struct world *w = ctx;
    (void)pg, (void)node_id, (void)case_id, (void)error;
    atomic_fetch_add(&w->returned, 1);
    return OWM_OK;
}

static void publish_double(void *ctx, const uint8_t hash[32])
{
    (void)ctx;
    assert_true(owm_blob_exists(store, hash));
}

static void world_start(struct world *w)
{
    struct owm_error error = {""};
    w->bonds = (struct owm_bonds_hooks){w, bond_slash_double, bond_return_double};
    struct owm_slashing_config config = {.database_url = w->url,
                                         .identity = coordinator,
                                         .policy = test_policy(),
                                         .grace_ms = w->grace_ms,
                                         .store = store,
                                         .metrics = metrics,
                                         .bonds = &w->bonds,
                                         .ctx = w,
                                         .say = engine_double,
                                         .publish = publish_double};
    config.policy.appeal_ms = w->appeal_ms;
    assert_ok(owm_pg_open(w->url, &w->engine, NULL));
    if (owm_slashing_open(&config, &w->slashing, &error) != OWM_OK) fail_msg("%s", error.text);
}

static void world_stop(struct world *w)
{
    owm_slashing_close(w->slashing);
    owm_pg_close(w->engine);
    w->slashing = NULL;
}

static void world_open(struct world *w, const char *name)
{
    memset(w, 0, sizeof(*w));
    w->pg = slash_db_open(&server, name, w->url);
}

static void world_close(struct world *w)
{
    world_stop(w);
    owm_pg_close(w->pg);
}

static void wait_state(struct world *w, int n, const char *state)
{
    for (int i = 0; i < 200 && strcmp(state_of(w->pg, n), state) != 0; i++) {
        owm_slashing_wake(w->slashing);
        owm_clock_sleep_ms(20);
    }
    assert_string_equal(state_of(w->pg, n), state);
}

static void wait_count(struct world *w, const char *query, int64_t value)
{
    for (int i = 0; i < 300 && number(w->pg, query) != value; i++) {
        owm_slashing_wake(w->slashing);
        owm_clock_sleep_ms(20);
    }
    if (number(w->pg, query) != value) fail_msg("waited in vain for %s", query);
}

/* Let it turn, so that what it must not do it would have done. */
static void turns(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        owm_slashing_wake(w->slashing);
        owm_clock_sleep_ms(20);
    }
}

static size_t read_log(struct world *w, struct owm_slash_entry *entries, size_t limit)
{
    struct owm_error error = {""};
    size_t count = 0;
    uint8_t hash[32] = {0};
    assert_ok(owm_slash_log_rows(w->pg, 0, limit, entries, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        if (owm_slash_log_check(&entries[i], i, hash, owm_identity_public_key(coordinator), &error)
            != OWM_OK)
            fail_msg("%s", error.text);
        memcpy(hash, entries[i].hash, 32);
    }
    return count;
}

/* SRS-STAKE-04, TST-15: the third signal decides a T1 case: suspended with its cooldown, logged and
 * signed (SRS-LN-13), bond forfeited, owed rewards of just this work cancelled; what is in flight,
 * other work and other nodes are left alone. Without a channel it ends there. */
static void test_t1(void **state)
{
    (void)state;
    struct world w;
    struct owm_slash_entry entries[4];
    world_open(&w, "t1");
    add_node(w.pg, 1, "t1", false);
    add_node(w.pg, 2, "t1", false);
    for (int s = 1; s <= 2; s++) add_signal(w.pg, 1, s);
    add_payment(w.pg, 1, 1, "owed");
    add_payment(w.pg, 1, 2, "in_flight");
    add_payment(w.pg, 1, 3, "failed");
    add_payment(w.pg, 1, 9, "owed");
    add_payment(w.pg, 2, 1, "owed");
    world_start(&w);
    turns(&w);
    assert_string_equal(state_of(w.pg, 1), "");
    add_signal(w.pg, 1, 3);
    wait_state(&w, 1, "closed");
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE enforced_at IS NOT NULL", 1);
    assert_int_equal(atomic_load(&w.slashes), 1);
    assert_int_equal(atomic_load(&w.forfeited), 1);
    assert_string_equal(
        text_of(w.pg, "SELECT status FROM nodes WHERE tier = 't1' ORDER BY node_id"), "suspended");
    assert_string_equal(payment_of(w.pg, 1, 1), "cancelled");
    assert_string_equal(payment_of(w.pg, 1, 2), "in_flight");
    assert_string_equal(payment_of(w.pg, 1, 3), "cancelled");
    assert_string_equal(payment_of(w.pg, 1, 9), "owed");
    assert_string_equal(payment_of(w.pg, 2, 1), "owed");
    assert_int_equal(read_log(&w, entries, 4), 1);
    assert_int_equal(entries[0].kind, OWM_SLASH_DECISION);
    assert_int_equal(entries[0].signal_count, 3);
    assert_string_equal(entries[0].reason, "3 x fake_task_proof");
    assert_true(entries[0].cooldown_until_ms > entries[0].at_ms);
    assert_true(owm_blob_exists(store, entries[0].evidence_hash));
    assert_int_equal(
        number(w.pg, "SELECT count(*) FROM misbehavior_signals WHERE slashing_event IS NOT NULL"),
        3);
    world_close(&w);
}

/* TST-20, SRS-SEC-14: a T2 case waits for two maintainers and goes on only after both have signed.
 * A signature for another case, one that was seen before, a stranger's: each has its code. */
static void test_t2(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "t2");
    add_node(w.pg, 1, "t2", false);
    add_node(w.pg, 2, "t3", false);
    for (int s = 1; s <= 5; s++) add_signal(w.pg, 1, s);
    add_signal(w.pg, 2, 1);
    world_start(&w);
    wait_state(&w, 1, "open");
    wait_state(&w, 2, "open");
    assert_int_equal(vote(w.pg, 1, stranger, OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_NOT_A_MAINTAINER);
    assert_int_equal(vote(w.pg, 1, maintainer[0], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_TAKEN);
    assert_int_equal(vote(w.pg, 1, maintainer[0], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_REPEATED);
    turns(&w);
    assert_string_equal(state_of(w.pg, 1), "open");
    assert_int_equal(atomic_load(&w.slashes), 0);

    struct owm_case_policy policy = test_policy();
    struct owm_case *c = calloc(1, sizeof(*c));
    uint8_t first[16], second[16];
    enum owm_act_code code;
    const char *name;
    assert_true(case_of(w.pg, 1, first) && case_of(w.pg, 2, second));
    assert_ok(owm_case_load(w.pg, second, false, c, NULL));
    struct owm_case_act act = *sign_act(c, maintainer[1], OWM_ACT_ACKNOWLEDGE, owm_clock_wall_ms());
    assert_ok(owm_case_say(w.pg, &policy, first, &act, owm_clock_wall_ms(), &code, &name, NULL));
    assert_int_equal(code, OWM_ACT_CODE_OTHER_CASE);
    act.signature[0] ^= 1;
    assert_ok(owm_case_say(w.pg, &policy, first, &act, owm_clock_wall_ms(), &code, &name, NULL));
    assert_int_equal(code, OWM_ACT_CODE_BAD_SIGNATURE);
    first[0] ^= 1;
    assert_ok(owm_case_say(w.pg, &policy, first, &act, owm_clock_wall_ms(), &code, &name, NULL));
    assert_int_equal(code, OWM_ACT_CODE_UNKNOWN_CASE);
    free(c);

    assert_int_equal(vote(w.pg, 1, maintainer[1], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_TAKEN);
    wait_state(&w, 1, "closed");
    wait_count(&w, "SELECT count(*) FROM nodes WHERE status = 'suspended'", 1);
    assert_string_equal(state_of(w.pg, 2), "open");
    world_close(&w);
}

/* Registering again in a lower tier does not lead out of a case: one signal is too few to decide a
 * T1 case, and nobody may acknowledge one. */
static void test_lower_tier(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "lower");
    add_node(w.pg, 1, "t2", false);
    add_signal(w.pg, 1, 1);
    world_start(&w);
    wait_state(&w, 1, "open");
    sql(w.pg, "UPDATE nodes SET tier = 't1'");
    turns(&w);
    assert_string_equal(text_of(w.pg, "SELECT tier FROM slash_cases"), "t2");
    sql(w.pg, "UPDATE nodes SET tier = 't3'");
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE tier = 't3'", 1);
    sql(w.pg, "UPDATE nodes SET tier = 't1'");
    for (int i = 0; i < 2; i++)
        assert_int_equal(vote(w.pg, 1, maintainer[i], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_TAKEN);
    wait_state(&w, 1, "closed");
    world_close(&w);
}

static void signal_of_tier(struct owm_pg *pg, int n, int s, const char *tier)
{
    char text[120];
    snprintf(text, sizeof(text),
             "UPDATE misbehavior_signals SET tier = '%s' WHERE xmin ="
             " pg_current_xact_id()::xid",
             tier);
    sql(pg, "BEGIN");
    add_signal(pg, n, s);
    sql(pg, text);
    sql(pg, "COMMIT");
}

/* A signal that was earned in T2 opens a case for maintainers, and makes an open one theirs,
 * whatever tier its node has come down to meanwhile. */
static void test_tier_of_the_work(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "work");
    add_node(w.pg, 1, "t1", false);
    add_node(w.pg, 2, "t2", false);
    signal_of_tier(w.pg, 1, 1, "t2");
    add_signal(w.pg, 2, 1); /* As those of before are: of a tier that nobody noted. */
    world_start(&w);
    wait_state(&w, 1, "open");
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE tier = 't2'", 2);
    sql(w.pg, "UPDATE nodes SET tier = 't1'");
    signal_of_tier(w.pg, 2, 2, "t3");
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE tier = 't3'", 1);
    signal_of_tier(w.pg, 1, 2, "t1");
    signal_of_tier(w.pg, 1, 3, "t1"); /* Three of T1 would be enough. */
    turns(&w);
    wait_count(&w, "SELECT count(*) FROM slash_case_signals", 5);
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE state = 'open'", 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(vote(w.pg, 1, maintainer[i], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_TAKEN);
    wait_state(&w, 1, "closed");
    world_close(&w);
}

/* Once somebody has signed, a case does not grow under the signature; what comes later is on file
 * with it, and opens no second case. */
static void test_sealed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "sealed");
    add_node(w.pg, 1, "t2", false);
    add_signal(w.pg, 1, 1);
    world_start(&w);
    wait_state(&w, 1, "open");
    add_signal(w.pg, 1, 2);
    wait_count(&w, "SELECT count(*) FROM slash_case_signals WHERE counted", 2);
    assert_int_equal(vote(w.pg, 1, maintainer[0], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_TAKEN);
    add_signal(w.pg, 1, 3);
    turns(&w);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM slash_case_signals"), 2);
    assert_int_equal(vote(w.pg, 1, maintainer[2], OWM_ACT_ACKNOWLEDGE), OWM_ACT_CODE_TAKEN);
    wait_state(&w, 1, "closed");
    add_signal(w.pg, 1, 4);
    wait_count(&w, "SELECT count(*) FROM slash_case_signals WHERE NOT counted", 2);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM slash_cases"), 1);
    world_close(&w);
}

/* Promise 6: in the grace window nothing is decided, and nobody suspended; after it, it is. */
static void test_grace(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "grace");
    add_node(w.pg, 1, "t1", false);
    for (int s = 1; s <= 3; s++) add_signal(w.pg, 1, s);
    w.grace_ms = 100000;
    world_start(&w);
    wait_state(&w, 1, "open");
    turns(&w);
    assert_string_equal(state_of(w.pg, 1), "open");
    assert_int_equal(atomic_load(&w.slashes), 0);
    world_stop(&w);
    w.grace_ms = 0;
    world_start(&w);
    wait_state(&w, 1, "closed");
    world_close(&w);
}

/* An appeal: within the window two maintainers take it back: the node is reinstated, what was
 * cancelled is owed again, the bond goes back, the log says so, and nobody is evicted. */
static void test_overturned(void **state)
{
    (void)state;
    struct world w;
    struct owm_slash_entry entries[4];
    world_open(&w, "overturned");
    w.appeal_ms = 3600000;
    add_node(w.pg, 1, "t1", true);
    for (int s = 1; s <= 3; s++) add_signal(w.pg, 1, s);
    add_payment(w.pg, 1, 1, "owed");
    world_start(&w);
    wait_state(&w, 1, "decided");
    wait_count(&w, "SELECT count(*) FROM nodes WHERE status = 'suspended'", 1);
    assert_string_equal(payment_of(w.pg, 1, 1), "cancelled");
    assert_int_equal(vote(w.pg, 1, maintainer[0], OWM_ACT_OVERTURN), OWM_ACT_CODE_TAKEN);
    turns(&w);
    assert_string_equal(state_of(w.pg, 1), "decided");
    assert_int_equal(vote(w.pg, 1, maintainer[2], OWM_ACT_OVERTURN), OWM_ACT_CODE_TAKEN);
    wait_state(&w, 1, "overturned");
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE reinstated_at IS NOT NULL", 1);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM nodes WHERE status = 'active'"), 1);
    assert_string_equal(payment_of(w.pg, 1, 1), "owed");
    assert_int_equal(atomic_load(&w.returned), 1);
    assert_int_equal(read_log(&w, entries, 4), 2);
    assert_int_equal(entries[1].kind, OWM_SLASH_OVERTURN);
    assert_true(entries[1].cooldown_until_ms == entries[1].at_ms);
    world_close(&w);
}

/* A T1 node that the engine has suspended by itself is reinstated when its case is dismissed. */
static void test_dismissed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "dismissed");
    w.grace_ms = 100000; /* the case stays open */
    add_node(w.pg, 1, "t1", false);
    for (int s = 1; s <= 3; s++) add_signal(w.pg, 1, s);
    sql(w.pg, "UPDATE nodes SET status = 'suspended', cooldown_until = now() + interval '30 days'");
    world_start(&w);
    wait_state(&w, 1, "open");
    assert_int_equal(vote(w.pg, 1, maintainer[0], OWM_ACT_DISMISS), OWM_ACT_CODE_TAKEN);
    assert_int_equal(vote(w.pg, 1, maintainer[1], OWM_ACT_DISMISS), OWM_ACT_CODE_TAKEN);
    wait_state(&w, 1, "dismissed");
    wait_count(&w, "SELECT count(*) FROM nodes WHERE status = 'active'", 1);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM slashing_events"), 0);
    world_close(&w);
}

/* SRS-STAKE-06: each eviction is an entry with channel and closing transaction; the case ends when
 * all are confirmed. The log cannot be changed, not even with the database's own password. */
static void test_evictions(void **state)
{
    (void)state;
    struct world w;
    struct owm_slash_entry entries[8];
    world_open(&w, "evictions");
    add_node(w.pg, 1, "t1", true);
    for (int s = 1; s <= 3; s++) add_signal(w.pg, 1, s);
    world_start(&w);
    wait_state(&w, 1, "evicting");
    sql(w.pg,
        "INSERT INTO slash_evictions (case_id, channel_point) SELECT case_id, repeat('ab', 32)"
        " || ':' || i FROM slash_cases, generate_series(0, 1) i");
    sql(w.pg, "UPDATE slash_evictions SET state = 'confirmed', confirmed_at = now(),"
              " closing_txid = repeat('cd', 32) WHERE channel_point LIKE '%:0'");
    turns(&w);
    assert_string_equal(state_of(w.pg, 1), "evicting");
    sql(w.pg, "UPDATE slash_evictions SET state = 'confirmed', confirmed_at = now(),"
              " closing_txid = repeat('ef', 32) WHERE channel_point LIKE '%:1'");
    wait_state(&w, 1, "closed");
    assert_int_equal(read_log(&w, entries, 8), 3);
    assert_int_equal(entries[1].kind, OWM_SLASH_EVICTION);
    assert_int_equal(strlen(entries[1].channel_id), 66);
    assert_int_equal(strlen(entries[2].detail), 64);
    assert_int_not_equal(owm_pg_exec(w.pg, "UPDATE slashing_events SET reason = ''", NULL), OWM_OK);
    assert_int_not_equal(owm_pg_exec(w.pg, "DELETE FROM slashing_events", NULL), OWM_OK);
    assert_int_not_equal(owm_pg_exec(w.pg, "TRUNCATE slashing_events CASCADE", NULL), OWM_OK);
    world_close(&w);
}

/* ---------------------------------------------------------------------------- the public log */

static char *get(unsigned port, const char *query, unsigned *status)
{
    char url[200];
    struct owm_http_result result;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/network/slashing-log%s", port, query);
    assert_ok(owm_http_fetch(&(struct owm_http_call){.url = url}, &result, NULL));
    *status = result.status;
    return (char *)result.body;
}

/* GET /v1/network/slashing-log, page by page. */
static void test_log_over_http(void **state)
{
    (void)state;
    struct world w;
    struct owm_error error = {""};
    owm_http_server *http = NULL;
    struct owm_slash_entry *entries = calloc(OWM_SLASH_PAGE_MAX, sizeof(*entries));
    unsigned status = 0;
    world_open(&w, "http");
    for (int n = 1; n <= 5; n++) {
        add_node(w.pg, n, "t1", false);
        for (int s = 1; s <= 3; s++) add_signal(w.pg, n, s);
    }
    world_start(&w);
    wait_count(&w, "SELECT count(*) FROM slash_cases WHERE state = 'closed'", 5);
    struct owm_http_route route = owm_slashing_route(w.slashing);
    assert_ok(owm_http_server_open(
        &(struct owm_http_server_options){.routes = &route, .route_count = 1}, &http, &error));
    unsigned port = owm_http_server_port(http);
    uint64_t sequence = 0;
    uint8_t hash[32] = {0};
    bool more = true;
    for (int page = 0; more; page++) {
        char query[40];
        size_t count = 0;
        snprintf(query, sizeof(query), "?after=%llu&limit=2", (unsigned long long)sequence);
        char *text = get(port, query, &status);
        assert_int_equal(status, 200);
        assert_ok(owm_slash_page_read(text, strlen(text), entries, &count, &more, &error));
        for (size_t i = 0; i < count; i++) {
            assert_ok(owm_slash_log_check(&entries[i], sequence, hash,
                                          owm_identity_public_key(coordinator), &error));
            sequence = entries[i].sequence;
            memcpy(hash, entries[i].hash, 32);
        }
        free(text);
        assert_true(page < 4);
    }
    assert_int_equal(sequence, 5);
    free(get(port, "?limit=0", &status));
    assert_int_equal(status, 400);
    free(get(port, "?after=x", &status));
    assert_int_equal(status, 400);
    owm_http_server_close(http);
    free(entries);
    world_close(&w);
}

/* ---------------------------------------------------------------------------- kill -9 */

#define KILLED_NODES 12

/* A process that runs the manager until it is killed. */
static pid_t manager_process(struct world *w)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    w->pg = NULL;
    assert_ok(owm_blob_store_open(blobs, &store, NULL)); /* as a start does */
    world_start(w);
    for (;;) {
        owm_slashing_wake(w->slashing);
        owm_clock_sleep_ms(1);
    }
}

/* Two maintainers sign every case of tier 2. False: not every case is there yet. */
static bool sign_tier_2(struct world *w)
{
    if (number(w->pg, "SELECT count(*) FROM slash_cases") != KILLED_NODES) return false;
    for (int n = 2; n <= KILLED_NODES; n += 2) {
        (void)vote(w->pg, n, maintainer[0], OWM_ACT_ACKNOWLEDGE);
        (void)vote(w->pg, n, maintainer[1], OWM_ACT_ACKNOWLEDGE);
    }
    return true;
}

/* kill -9 between any two steps: whatever was done stays done once, whatever was not is done by
 * the next process: one decision, one log entry, one cancellation for each case, and the chain
 * holds. */
static void test_killed(void **state)
{
    (void)state;
    struct world w;
    static struct owm_slash_entry entries[2 * KILLED_NODES];
    world_open(&w, "killed");
    for (int n = 1; n <= KILLED_NODES; n++) {
        add_node(w.pg, n, n % 2 ? "t1" : "t2", false);
        for (int s = 1; s <= 3; s++) add_signal(w.pg, n, s);
        add_payment(w.pg, n, 1, "owed");
    }
    unsigned kills = 0;
    bool signed_all = false;
    srand(7);
    for (int round = 0; round < 25; round++) {
        pid_t pid = manager_process(&w);
        owm_clock_sleep_ms(15 + (unsigned)rand() % 40);
        if (!signed_all && round >= 5) signed_all = sign_tier_2(&w);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        kills++;
        if (number(w.pg, "SELECT count(*) FROM slash_cases WHERE enforced_at IS NOT NULL"
                         " AND state = 'closed'")
            == KILLED_NODES)
            break;
    }
    world_start(&w);
    wait_count(&w, "SELECT count(*) FROM slash_cases", KILLED_NODES);
    if (!signed_all) assert_true(sign_tier_2(&w));
    wait_count(&w,
               "SELECT count(*) FROM slash_cases WHERE enforced_at IS NOT NULL"
               " AND state = 'closed'",
               KILLED_NODES);
    printf("%u processes were killed\n", kills);
    assert_int_equal(read_log(&w, entries, 2 * KILLED_NODES), KILLED_NODES);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM slash_cases"), KILLED_NODES);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM payments WHERE state = 'cancelled'"),
                     KILLED_NODES);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM slash_cancelled"), KILLED_NODES);
    assert_int_equal(number(w.pg, "SELECT count(*) FROM nodes WHERE status = 'suspended'"),
                     KILLED_NODES);
    world_close(&w);
}

static int setup(void **state)
{
    (void)state;
    cast_open();
    assert_non_null(mkdtemp(blobs));
    assert_ok(owm_blob_store_open(blobs, &store, NULL));
    assert_ok(owm_metrics_open(0, &metrics));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    owm_blob_store_close(store);
    owm_metrics_close(metrics);
    cast_close();
    snprintf(command, sizeof(command), "rm -rf %s", blobs);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t1),         cmocka_unit_test(test_t2),
        cmocka_unit_test(test_lower_tier), cmocka_unit_test(test_tier_of_the_work),
        cmocka_unit_test(test_sealed),     cmocka_unit_test(test_grace),
        cmocka_unit_test(test_overturned), cmocka_unit_test(test_dismissed),
        cmocka_unit_test(test_evictions),  cmocka_unit_test(test_log_over_http),
        cmocka_unit_test(test_killed),
    };
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    pg_fixture_stop(&server);
    return failed;
}

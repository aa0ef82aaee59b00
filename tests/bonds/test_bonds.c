/* test_bonds.c: what a node forfeits, and what it gets back, over the double of an LND node. */
#include "controlplane/bonds/bonds.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/pg/migrate.h"
#include "base/uuid.h"
#include "controlplane/db/schema.h"
#include "lightning/double/lnd_double.h"
#include "pg_fixture.h"
#include "test.h"

#define HOUR_MS 3600000

static struct pg_fixture server;

struct world {
    char url[256], folder[64];
    char certificate[LND_DOUBLE_PATH_BYTES], macaroon[LND_DOUBLE_PATH_BYTES];
    struct owm_pg *pg;
    struct lnd_double *lnd;
    struct owm_payment_secret *secret;
    struct owm_metrics *metrics;
    struct owm_invoices *invoices;
    struct owm_bonds *bonds;
    int64_t unbonding_ms;
    uint8_t node_id[16], case_id[16];
    pthread_mutex_t note_lock;
    char note[256]; /* What the coordinator's page would say. */
};

static void take_note(void *ctx, const char *text)
{
    struct world *w = ctx;
    pthread_mutex_lock(&w->note_lock);
    snprintf(w->note, sizeof(w->note), "%s", text);
    pthread_mutex_unlock(&w->note_lock);
}

static void run(struct world *w, const char *sql, const uint8_t a[16], const uint8_t b[16])
{
    struct owm_pg_args args;
    struct owm_error error = {""};
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, a);
    if (b) owm_pg_uuid(&args, b);
    if (owm_pg_query(w->pg, sql, &args, NULL, &error) != OWM_OK) fail_msg("%s", error.text);
}

static void begin(struct world *w)
{
    const struct owm_lightning_config node = {.backend = OWM_LIGHTNING_LND,
                                              .role = OWM_LIGHTNING_INVOICE,
                                              .address = lnd_double_address(w->lnd),
                                              .certificate = w->certificate,
                                              .credential = w->macaroon,
                                              .network = "regtest"};
    assert_ok(owm_metrics_open(0, &w->metrics));
    const struct owm_invoices_options invoices = {.database_url = w->url,
                                                  .secret = w->secret,
                                                  .node = node,
                                                  .metrics = w->metrics,
                                                  .hooks = {owm_bonds_invoice_hook()},
                                                  .hook_count = 1};
    assert_ok(owm_invoices_open(&invoices, &w->invoices));
    const struct owm_bonds_options options = {.database_url = w->url,
                                              .secret = w->secret,
                                              .node = node,
                                              .invoices = w->invoices,
                                              .metrics = w->metrics,
                                              .min_sats = 1000,
                                              .max_sats = 100000,
                                              .unbonding_ms = w->unbonding_ms,
                                              .hold_blocks = 1008,
                                              .roll_blocks = 144,
                                              .poll_ms = 20,
                                              .note = take_note,
                                              .note_ctx = w};
    assert_ok(owm_bonds_open(&options, &w->bonds));
}

static void end(struct world *w)
{
    owm_bonds_close(w->bonds);
    owm_invoices_close(w->invoices);
    owm_metrics_close(w->metrics);
    w->bonds = NULL;
}

static void open_lnd(struct world *w)
{
    char path[128];
    struct owm_error error = {""};
    snprintf(path, sizeof(path), "%.60s/treasury", w->folder);
    const struct lnd_double_config lnd = {path, "127.0.0.1:0", "regtest"};
    assert_ok(lnd_double_open(&lnd, &w->lnd, &error));
    lnd_double_file(w->lnd, "tls.cert", w->certificate);
    lnd_double_file(w->lnd, "invoice.macaroon", w->macaroon);
}

static int set_up(void **state)
{
    static unsigned count;
    static struct world world;
    struct world *w = &world;
    struct owm_error error = {""};
    char name[32], path[128];
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->note_lock, NULL);
    w->unbonding_ms = HOUR_MS;
    snprintf(name, sizeof(name), "bonds_%u", count++);
    snprintf(w->folder, sizeof(w->folder), "/tmp/owm-bonds-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    assert_true(pg_fixture_database(&server, name, w->url));
    assert_ok(owm_pg_open(w->url, &w->pg, NULL));
    assert_ok(owm_migrate(w->pg, owm_migrations, owm_migrations_count, NULL, &error));
    snprintf(path, sizeof(path), "%.60s/payment.key", w->folder);
    assert_ok(owm_payment_secret_load_or_create(path, &w->secret, NULL, NULL));
    open_lnd(w);
    owm_uuid_random(w->node_id);
    owm_uuid_random(w->case_id);
    run(w,
        "INSERT INTO nodes (node_id, public_key, ln_node_uri, tier)"
        " VALUES ($1, repeat('ab', 32), '', 't1')",
        w->node_id, NULL);
    begin(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command[100];
    end(w);
    lnd_double_close(w->lnd);
    owm_payment_secret_close(w->secret);
    owm_pg_close(w->pg);
    snprintf(command, sizeof(command), "rm -rf '%.60s'", w->folder);
    return system(command);
}

/* ---------------------------------------------------------------------------- steps */

/* The bonds of the node, newest first; the treasury's node may still be waking up. */
static owm_status ask(struct world *w, enum owm_bond_kind kind, int64_t sats, bool leave,
                      struct owm_bond list[OWM_BONDS_OF_NODE_MAX], size_t *count)
{
    const struct owm_bond_ask request = {kind, sats, leave};
    owm_status status = OWM_E_AGAIN;
    for (int i = 0; i < 500 && status == OWM_E_AGAIN; i++) {
        struct owm_error error = {""};
        status = owm_bonds_ask(w->bonds, w->node_id, &request, list, count, &error);
        if (status != OWM_OK) assert_true(error.text[0]);
        if (status == OWM_E_AGAIN) owm_clock_sleep_ms(10);
    }
    return status;
}

static struct owm_bond list[OWM_BONDS_OF_NODE_MAX];
static size_t count;

static void wait_state(struct world *w, size_t at, const char *state)
{
    for (int i = 0; i < 1000; i++) {
        assert_ok(ask(w, OWM_BOND_NONE, 0, false, list, &count));
        if (at < count && strcmp(list[at].state, state) == 0) return;
        owm_clock_sleep_ms(10);
    }
    fail_msg("bond %zu is '%s', not '%s'", at, at < count ? list[at].state : "none", state);
}

static void hash_of(struct world *w, const uint8_t bond_id[16], char hex[65])
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    uint8_t hash[32];
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, bond_id);
    assert_ok(owm_pg_query(w->pg,
                           "SELECT coalesce(i.payment_hash, b.payment_hash) FROM bonds b LEFT JOIN"
                           " invoices i ON i.source_id = b.bond_id WHERE b.bond_id = $1",
                           &args, &rows, NULL));
    owm_pg_get_hash(rows, 0, 0, hash, 32);
    owm_pg_rows_free(rows);
    owm_hex_encode(hash, 32, hex);
}

static void pay(struct world *w, const struct owm_bond *bond)
{
    char hex[65];
    hash_of(w, bond->bond_id, hex);
    lnd_double_do(w->lnd, "arrive %s", hex);
}

static void invoice_is(struct world *w, const struct owm_bond *bond, const char *state)
{
    char hex[65];
    hash_of(w, bond->bond_id, hex);
    assert_string_equal(lnd_double_do(w->lnd, "invoice-state %s", hex), state);
}

static int64_t number(struct world *w, const char *sql)
{
    struct owm_pg_rows *rows = NULL;
    assert_ok(owm_pg_query(w->pg, sql, NULL, &rows, NULL));
    int64_t value = owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    return value;
}

#define OWED "SELECT coalesce(sum(amount_msat), 0)::bigint FROM payments"

static void open_case(struct world *w)
{
    run(w,
        "INSERT INTO slash_cases (case_id, node_id, public_key, tier, opened_at)"
        " VALUES ($2, $1, repeat('ab', 32), 't1', now())",
        w->node_id, w->case_id);
}

static void decide(struct world *w)
{
    const struct owm_bonds_hooks *hooks = owm_bonds_hooks_of();
    assert_ok(hooks->slash(hooks->ctx, w->pg, w->node_id, w->case_id, NULL));
    assert_ok(hooks->slash(hooks->ctx, w->pg, w->node_id, w->case_id, NULL));
}

static void overturn(struct world *w)
{
    const struct owm_bonds_hooks *hooks = owm_bonds_hooks_of();
    assert_ok(hooks->give_back(hooks->ctx, w->pg, w->node_id, w->case_id, NULL));
    assert_ok(hooks->give_back(hooks->ctx, w->pg, w->node_id, w->case_id, NULL));
}

/* ---------------------------------------------------------------------------- tests */

/* A hold bond: asked twice is asked once; held; leaving calls its HTLC off. */
static void test_hold(void **state)
{
    struct world *w = *state;
    struct owm_bond again[OWM_BONDS_OF_NODE_MAX];
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    assert_int_equal(count, 1);
    assert_string_equal(list[0].state, "asked");
    assert_true(list[0].invoice[0]);
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, again, &count));
    assert_int_equal(count, 1);
    assert_string_equal(list[0].invoice, again[0].invoice);
    pay(w, &list[0]);
    wait_state(w, 0, "held");
    assert_string_equal(list[0].invoice, "");
    invoice_is(w, &list[0], "held");
    assert_ok(ask(w, OWM_BOND_NONE, 0, true, list, &count));
    wait_state(w, 0, "returned");
    invoice_is(w, &list[0], "cancelled");
    assert_int_equal(number(w, OWED), 0);
}

/* It is rolled: the old one is let go only once the new one is held. */
static void test_roll(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    struct owm_bond old = list[0];
    pay(w, &old);
    wait_state(w, 0, "held");
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    assert_int_equal(count, 2);
    struct owm_bond new = list[0];
    assert_string_equal(new.state, "asked");
    owm_clock_sleep_ms(200);
    invoice_is(w, &old, "held");
    pay(w, &new);
    wait_state(w, 0, "held");
    wait_state(w, 1, "returned");
    invoice_is(w, &new, "held");
    invoice_is(w, &old, "cancelled");
}

static bool scraped(struct world *w, const char *line)
{
    char *text = NULL;
    size_t bytes = 0;
    assert_ok(owm_metrics_text(w->metrics, &text, &bytes));
    bool found = strstr(text, line) != NULL;
    free(text);
    return found;
}

static void wait_scraped(struct world *w, const char *line)
{
    for (int i = 0; i < 1000 && !scraped(w, line); i++) owm_clock_sleep_ms(10);
    assert_true(scraped(w, line));
}

/* Its node is told with every heartbeat, and the coordinator's operator is too, until it is rolled.
 */
static void test_told_to_roll(void **state)
{
    struct world *w = *state;
    char notice[OWM_BOND_NOTICE_BYTES];
    const uint8_t other[16] = {1};
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "held");
    assert_false(owm_bonds_notice(w->bonds, w->node_id, notice));
    assert_string_equal(notice, "");
    assert_true(scraped(w, "owm_bonds_to_roll 0"));
    lnd_double_do(w->lnd, "mine 900"); /* 108 are left, and 144 are roll_blocks. */
    for (int i = 0; i < 1000 && !owm_bonds_notice(w->bonds, w->node_id, notice); i++)
        owm_clock_sleep_ms(10);
    assert_non_null(strstr(notice, "the hold bond of 20000 sats ends at block "));
    assert_non_null(strstr(notice, "in 108 blocks: 'owm-node stake bond hold 20000'"));
    assert_false(owm_bonds_notice(w->bonds, other, notice));
    wait_scraped(w, "owm_bonds_to_roll 1");
    pthread_mutex_lock(&w->note_lock);
    assert_non_null(strstr(w->note, "1 hold bonds end within 144 blocks, the first at block "));
    pthread_mutex_unlock(&w->note_lock);
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 1, "returned");
    for (int i = 0; i < 1000 && owm_bonds_notice(w->bonds, w->node_id, notice); i++)
        owm_clock_sleep_ms(10);
    assert_string_equal(notice, "");
    wait_scraped(w, "owm_bonds_to_roll 0");
    pthread_mutex_lock(&w->note_lock);
    assert_string_equal(w->note, "");
    pthread_mutex_unlock(&w->note_lock);
}

/* A decided case takes it; an overturned one gives it back through the outbox, once. */
static void test_slashed_and_overturned(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "held");
    open_case(w);
    assert_int_equal(ask(w, OWM_BOND_NONE, 0, true, list, &count), OWM_E_STATE);
    decide(w);
    wait_state(w, 0, "slashed");
    invoice_is(w, &list[0], "settled");
    end(w); /* as after a crash of the coordinator */
    overturn(w);
    begin(w);
    wait_state(w, 0, "returned");
    assert_int_equal(number(w, OWED), 20000000);
    assert_int_equal(number(w, "SELECT count(*) FROM payments WHERE purpose = 'bond_return'"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM bonds WHERE ended_at IS NULL"), 0);
}

/* Overturned before the node of the treasury was told anything: nothing was ever taken. */
static void test_overturned_in_time(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "held");
    end(w);
    open_case(w);
    decide(w);
    overturn(w);
    begin(w);
    wait_state(w, 0, "returned");
    invoice_is(w, &list[0], "cancelled");
    assert_int_equal(number(w, OWED), 0);
}

/* What was never paid cannot be forfeited, nor given back. */
static void test_unpaid(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    assert_ok(ask(w, OWM_BOND_PAID, 30000, false, list, &count));
    assert_int_equal(count, 2);
    open_case(w);
    decide(w);
    wait_state(w, 1, "returned");
    invoice_is(w, &list[1], "cancelled");
    overturn(w);
    owm_clock_sleep_ms(200);
    wait_state(w, 0, "asked");
    assert_int_equal(number(w, OWED), 0);
}

/* A paid bond is credited with what was paid, and comes back after the delay. */
static void test_paid(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_PAID, 30000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "paid");
    assert_int_equal(list[0].amount_msat, 30000000);
    assert_ok(ask(w, OWM_BOND_NONE, 0, true, list, &count));
    assert_string_equal(list[0].state, "leaving");
    assert_true(list[0].until_ms > owm_clock_wall_ms() + HOUR_MS / 2);
    owm_clock_sleep_ms(200);
    assert_int_equal(number(w, OWED), 0);
    run(w, "UPDATE bonds SET until_at = now() WHERE node_id = $1", w->node_id, NULL);
    wait_state(w, 0, "returned");
    assert_int_equal(number(w, OWED), 30000000);
}

/* Leaving does not save a paid bond from a case that is decided before it is back. */
static void test_paid_slashed(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_PAID, 30000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "paid");
    assert_ok(ask(w, OWM_BOND_NONE, 0, true, list, &count));
    open_case(w);
    decide(w);
    wait_state(w, 0, "slashed");
    assert_int_equal(number(w, OWED), 0);
    overturn(w);
    wait_state(w, 0, "returned");
    assert_int_equal(number(w, OWED), 30000000);
}

static void test_refusals(void **state)
{
    struct world *w = *state;
    assert_int_equal(ask(w, OWM_BOND_HOLD, 999, false, list, &count), OWM_E_ARG);
    assert_int_equal(ask(w, OWM_BOND_HOLD, 100001, false, list, &count), OWM_E_ARG);
    assert_int_equal(ask(w, OWM_BOND_PAID, INT64_MAX, false, list, &count), OWM_E_ARG);
    assert_int_equal(ask(w, OWM_BOND_PAID, -1, false, list, &count), OWM_E_ARG);
    for (int i = 0; i < OWM_BONDS_OF_NODE_MAX; i++)
        assert_ok(ask(w, OWM_BOND_HOLD, 2000 + i, false, list, &count));
    assert_int_equal(count, OWM_BONDS_OF_NODE_MAX);
    assert_int_equal(ask(w, OWM_BOND_HOLD, 5000, false, list, &count), OWM_E_LIMIT);
    assert_int_equal(number(w, "SELECT count(*) FROM bonds"), OWM_BONDS_OF_NODE_MAX);
}

/* An HTLC that the node takes back ends its bond. */
static void test_expired(void **state)
{
    struct world *w = *state;
    char hex[65];
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    hash_of(w, list[0].bond_id, hex);
    lnd_double_do(w->lnd, "expire %s", hex);
    wait_state(w, 0, "expired");
}

static void say_sql(struct world *w, const char *sql)
{
    struct owm_error error = {""};
    if (owm_pg_exec(w->pg, sql, &error) != OWM_OK) fail_msg("%s", error.text);
}

/* The thread has read its rows, and then a case is decided: what is leaving is not given back and
 * taken, too. The decision commits while the thread is at work. */
static void decide_in_between(struct world *w)
{
    open_case(w);
    say_sql(w, "BEGIN");
    decide(w);
    begin(w);
    owm_clock_sleep_ms(300);
    say_sql(w, "COMMIT");
}

static void test_paid_decided_in_between(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_PAID, 30000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "paid");
    assert_ok(ask(w, OWM_BOND_NONE, 0, true, list, &count));
    end(w);
    say_sql(w, "UPDATE bonds SET until_at = now()");
    decide_in_between(w);
    wait_state(w, 0, "slashed");
    assert_int_equal(number(w, OWED), 0);
}

static void test_hold_decided_in_between(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "held");
    end(w);
    say_sql(w, "UPDATE bonds SET state = 'leaving', until_at = now()");
    decide_in_between(w);
    wait_state(w, 0, "slashed");
    invoice_is(w, &list[0], "settled");
}

/* A case that was opened after its node asked to leave keeps the bond until it is decided. */
static void test_case_while_leaving(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_PAID, 30000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "paid");
    assert_ok(ask(w, OWM_BOND_NONE, 0, true, list, &count));
    open_case(w);
    say_sql(w, "UPDATE bonds SET until_at = now()");
    owm_clock_sleep_ms(300);
    wait_state(w, 0, "leaving");
    assert_int_equal(number(w, OWED), 0);
    say_sql(w, "UPDATE slash_cases SET state = 'dismissed'");
    wait_state(w, 0, "returned");
    assert_int_equal(number(w, OWED), 30000000);
}

/* Rolled is not doubled: of the old one and the one in its place, one is forfeited. */
static void test_decided_while_rolling(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    struct owm_bond old = list[0];
    pay(w, &old);
    wait_state(w, 0, "held");
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    struct owm_bond new = list[0];
    end(w);
    pay(w, &new);
    run(w, "UPDATE bonds SET state = 'leaving' WHERE bond_id = $1", old.bond_id, NULL);
    run(w, "UPDATE bonds SET state = 'held' WHERE bond_id = $1", new.bond_id, NULL);
    open_case(w);
    decide(w);
    begin(w);
    wait_state(w, 0, "slashed");
    wait_state(w, 1, "returned");
    invoice_is(w, &new, "settled");
    invoice_is(w, &old, "cancelled");
}

/* What was taken is given back also if the treasury's node, restored from an old backup, has never
 * heard of it. */
static void test_overturned_after_a_restore(void **state)
{
    struct world *w = *state;
    char command[100];
    assert_ok(ask(w, OWM_BOND_HOLD, 20000, false, list, &count));
    pay(w, &list[0]);
    wait_state(w, 0, "held");
    open_case(w);
    decide(w);
    wait_state(w, 0, "slashed");
    end(w);
    lnd_double_close(w->lnd);
    snprintf(command, sizeof(command), "rm -rf '%.60s/treasury'", w->folder);
    assert_int_equal(system(command), 0);
    open_lnd(w);
    overturn(w);
    begin(w);
    wait_state(w, 0, "returned");
    assert_int_equal(number(w, OWED), 20000000);
}

/* An invoice that was given up and is paid all the same: the bond stands, nothing is forgotten. */
static void test_paid_after_its_end(void **state)
{
    struct world *w = *state;
    assert_ok(ask(w, OWM_BOND_PAID, 30000, false, list, &count));
    say_sql(w, "UPDATE invoices SET state = 'cancelled', ended_at = now()");
    wait_state(w, 0, "expired");
    pay(w, &list[0]);
    wait_state(w, 0, "paid");
    assert_ok(ask(w, OWM_BOND_NONE, 0, true, list, &count));
    say_sql(w, "UPDATE bonds SET until_at = now()");
    wait_state(w, 0, "returned");
    assert_int_equal(number(w, OWED), 30000000);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_hold),
        IN_WORLD(test_roll),
        IN_WORLD(test_told_to_roll),
        IN_WORLD(test_slashed_and_overturned),
        IN_WORLD(test_overturned_in_time),
        IN_WORLD(test_unpaid),
        IN_WORLD(test_paid),
        IN_WORLD(test_paid_slashed),
        IN_WORLD(test_refusals),
        IN_WORLD(test_expired),
        IN_WORLD(test_paid_decided_in_between),
        IN_WORLD(test_hold_decided_in_between),
        IN_WORLD(test_case_while_leaving),
        IN_WORLD(test_decided_while_rolling),
        IN_WORLD(test_overturned_after_a_restore),
        IN_WORLD(test_paid_after_its_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pg_fixture_stop(&server);
    return failed;
}

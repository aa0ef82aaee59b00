/* test_coordinator_stake.c: stakes in a whole coordinator over a treasury's node (the double of an
 * LND): who gets in with which channel, what it earns, and what becomes of it when the channel or
 * the treasury changes (TST-11 to TST-14, SRS-STAKE-01, 02, 03, 08, 10, SRS-LN-02, SRS-LN-11,
 * SRS-PERF-13). A day is 3.6 s here. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/pg/pg.h"
#include "ln_signer.h"
#include "network.h"
#include "test.h"
#include "treasury.h"

enum { WAIT_MS = 30000 };

static struct pg_fixture database;
static struct treasury treasury;
static struct coordinator network;
static struct ln_signer lightning[8];
static struct fake_node alice, bob, carol;

/* --- steps ------------------------------------------------------------------------------------ */

static void open_channel(const struct ln_signer *signer, const char *more, char point[80])
{
    char hex[67];
    owm_hex_encode(signer->key, 33, hex);
    snprintf(point, 80, "%s", treasury_do(&treasury, "channel peer=%s %s", hex, more));
}

static void open_node(struct fake_node *node, const char *name, const struct ln_signer *signer)
{
    fake_node_open(node, &network, name);
    node->lightning = signer;
}

static const char *register_node(struct fake_node *node)
{
    return fake_node_register(node, FAULT_NONE);
}

/* Heartbeats until the node has this status; the caller frees the last answer. */
static PB(HeartbeatResponse) * await_status(struct fake_node *node, const char *status)
{
    PB(HeartbeatResponse) *answer = fake_node_beat(node);
    for (int waited = 0; strcmp(answer->status, status) != 0; waited += 100) {
        if (waited > WAIT_MS)
            fail_msg("%s is %s, not %s: %s", node->alias, answer->status, status, answer->notice);
        owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
        owm_clock_sleep_ms(100);
        answer = fake_node_beat(node);
    }
    return answer;
}

static void expect_status(struct fake_node *node, const char *status)
{
    owm__coordinator__v1__heartbeat_response__free_unpacked(await_status(node, status), NULL);
}

/* Whether this node is given the task that waits, within wait_ms; done if so. It beats meanwhile,
 * for a node that is silent gets none. */
static bool work(struct fake_node *node, unsigned wait_ms)
{
    uint8_t *plain = NULL;
    size_t bytes = 0;
    PB(Task) *task = NULL;
    for (unsigned waited = 0; !task && waited < wait_ms; waited += 200) {
        owm__coordinator__v1__heartbeat_response__free_unpacked(fake_node_beat(node), NULL);
        task = fake_node_task(node, 200, &plain, &bytes);
    }
    if (!task) return false;
    assert_string_equal(fake_node_answer(node, task, "Six confirmations.", (struct wrong){0}), "");
    owm__coordinator__v1__task__free_unpacked(task, NULL);
    free(plain);
    return true;
}

/* What its newest accepted task earned. */
static int64_t reward_msat(struct fake_node *node)
{
    PB(EarningsResponse) *earnings = fake_node_earnings(node, 1);
    assert_int_equal(earnings->n_earnings, 1);
    int64_t msat = earnings->earnings[0]->amount_msat;
    owm__coordinator__v1__earnings_response__free_unpacked(earnings, NULL);
    return msat;
}

static int64_t count_of(const char *format, const struct fake_node *node)
{
    char sql[400];
    snprintf(sql, sizeof(sql), format, node->node_id);
    return coordinator_count(&network, sql);
}

/* --- who gets in ------------------------------------------------------------------------------ */

/* TST-11, SRS-LN-02: no proof, no channel, a bad address for its rewards. */
static void test_refused(void **state)
{
    (void)state;
    struct fake_node node;
    open_node(&node, "poor", &lightning[0]);
    node.statement = node.proof = "";
    assert_string_equal(register_node(&node), "BAD_STAKE_SIGNATURE");
    assert_false(node.answer.stake_bound);
    node.statement = node.proof = NULL;
    assert_string_equal(register_node(&node), "INSUFFICIENT_STAKE");
    assert_string_equal(node.answer.status, "refused");
    assert_int_equal(node.answer.required_stake_sats, 100000);
    assert_int_equal(node.answer.stake_sats, 0);
    assert_non_null(strstr(node.answer.message, "100000 sats"));
    assert_memory_equal(node.answer.treasury_uri, treasury.key, 66);
    assert_non_null(strstr(node.answer.message, node.answer.treasury_uri));
    assert_non_null(strstr(node.answer.stake_note, "no channel"));
    static const char *const wrong[] = {"bob",
                                        "@example.com",
                                        "bob@",
                                        "bob@example",
                                        "lno1BIG",
                                        "a b@example.com",
                                        "bob@exa mple.com"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        node.payout_to = wrong[i];
        assert_string_equal(register_node(&node), "BAD_PAYOUT");
    }
    node.payout_to = "bob@pay.example.com";
    assert_string_equal(register_node(&node), "INSUFFICIENT_STAKE");
    struct ln_signer nowhere = lightning[0];
    snprintf(nowhere.uri, sizeof(nowhere.uri), "%.66s", lightning[0].uri);
    node.lightning = &nowhere;
    assert_string_equal(register_node(&node), "BAD_LN_URI");
    fake_node_close(&node);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM nodes"), 0);
}

/* TST-12, SRS-STAKE-01: exactly the minimum: pending until it is confirmed, then active by itself;
 * bonus 1.0. SRS-LN-11 */
static void test_minimum(void **state)
{
    (void)state;
    char point[80];
    open_node(&alice, "alice", &lightning[1]);
    open_channel(&lightning[1], "capacity=100000 pending", point);
    assert_string_equal(register_node(&alice), "");
    assert_string_equal(alice.answer.status, "pending");
    assert_non_null(strstr(alice.answer.message, "3 more confirmations"));
    PB(HeartbeatResponse) *answer = await_status(&alice, "pending");
    assert_non_null(strstr(answer->notice, "0 of 100000 sats"));
    owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
    treasury_do(&treasury, "mine 3");
    answer = await_status(&alice, "active");
    assert_int_equal(answer->stake_sats, 100000);
    assert_int_equal(answer->required_stake_sats, 100000);
    assert_int_equal(answer->degraded_until_ms, 0);
    owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
    /* Bound now: no signature is asked for any more. */
    alice.statement = alice.proof = "";
    assert_string_equal(register_node(&alice), "");
    assert_true(alice.answer.stake_bound);
    assert_string_equal(alice.answer.status, "active");
    assert_int_equal(alice.answer.stake_sats, 100000);
    assert_float_equal(alice.answer.stake_bonus, 1.0, 1e-9);
    alice.statement = alice.proof = NULL;
    fake_node_stream(&alice);
    ask_inference(&network, "minimum", NULL);
    assert_true(work(&alice, WAIT_MS));
    assert_true(reward_msat(&alice) >= 10000);
}

/* TST-13, SRS-STAKE-10: three times the minimum: bonus 2.0, and the same work earns twice as much.
 */
static void test_three_times(void **state)
{
    (void)state;
    char point[80];
    open_node(&bob, "bob", &lightning[2]);
    open_channel(&lightning[2], "capacity=400000", point);
    treasury_do(&treasury, "mine 3");
    assert_string_equal(register_node(&bob), "");
    assert_string_equal(bob.answer.status, "active");
    assert_int_equal(bob.answer.stake_sats, 400000);
    assert_float_equal(bob.answer.stake_bonus, 2.0, 1e-9);
    treasury_do(&treasury, "move %s 100000000", point);
    owm_clock_sleep_ms(1000);
    assert_string_equal(register_node(&bob), "");
    assert_int_equal(bob.answer.stake_sats, 300000);
    assert_float_equal(bob.answer.stake_bonus, 2.0, 1e-9);
    owm_rpc_stream_close(alice.stream);
    alice.stream = NULL;
    owm_clock_sleep_ms(300);
    fake_node_stream(&bob);
    ask_inference(&network, "three times", NULL);
    assert_true(work(&bob, WAIT_MS));
    /* Less than a hundredth apart from twice: their uptimes differ a little. */
    double ratio = (double)reward_msat(&bob) / (double)reward_msat(&alice);
    assert_true(ratio > 1.98 && ratio < 2.02);
    treasury_do(&treasury, "move %s 100000000", point); /* 200,000: bonus 1.5 */
    owm_clock_sleep_ms(1000);
    ask_inference(&network, "two times", NULL);
    assert_true(work(&bob, WAIT_MS));
    ratio = (double)reward_msat(&bob) / (double)reward_msat(&alice);
    assert_true(ratio > 1.48 && ratio < 1.52);
}

/* Promise of one stake, one node: another's channel, another's proof, another's Lightning node. */
static void test_theft(void **state)
{
    (void)state;
    struct fake_node mallory;
    char statement[200], proof[OWM_LIGHTNING_SIGNATURE_TEXT];
    snprintf(statement, sizeof(statement), "%s", bob.answer.statement);
    ln_signer_sign(&lightning[2], statement, proof);
    /* ln_node_uri of bob's Lightning node, signed by her own. */
    struct ln_signer borrowed = lightning[3];
    snprintf(borrowed.uri, sizeof(borrowed.uri), "%s", lightning[2].uri);
    open_node(&mallory, "mallory", &borrowed);
    assert_string_equal(register_node(&mallory), "LN_KEY_MISMATCH");
    /* bob's own statement and signature, replayed. */
    mallory.lightning = &lightning[2];
    mallory.statement = statement;
    mallory.proof = proof;
    assert_string_equal(register_node(&mallory), "BAD_STAKE_SIGNATURE");
    /* bob's Lightning node vouches for her as well: one stake for two. */
    mallory.statement = mallory.proof = NULL;
    assert_string_equal(register_node(&mallory), "LN_KEY_BOUND");
    fake_node_close(&mallory);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM nodes"), 2);
}

/* --- what becomes of it ----------------------------------------------------------------------- */

/* TST-14, SRS-STAKE-02, SRS-STAKE-03: below the minimum: warned at once, no task; a day later
 * suspended, without a cooldown, without a case; with its stake back it is active again. While the
 * treasury is away, nothing of this happens. */
static void test_degraded(void **state)
{
    (void)state;
    char point[80];
    open_node(&carol, "carol", &lightning[4]);
    open_channel(&lightning[4], "capacity=150000", point);
    treasury_do(&treasury, "mine 3");
    assert_string_equal(register_node(&carol), "");
    fake_node_stream(&carol);
    expect_status(&carol, "active");
    treasury_do(&treasury, "move %s 60000000", point);
    PB(HeartbeatResponse) *answer = await_status(&carol, "degraded");
    assert_int_equal(answer->stake_sats, 90000);
    assert_in_range(answer->degraded_until_ms, owm_clock_wall_ms(), owm_clock_wall_ms() + 10000);
    assert_non_null(strstr(answer->notice, "90000 sats, 10000 below the minimum of 100000"));
    owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
    treasury_do(&treasury, "move %s -20000000", point);
    expect_status(&carol, "active");
    treasury_do(&treasury, "move %s 20000000", point);
    expect_status(&carol, "degraded");
    treasury_do(&treasury, "down");
    owm_clock_sleep_ms(6000); /* the day is over, and nobody has looked */
    expect_status(&carol, "degraded");
    treasury_do(&treasury, "up");
    answer = await_status(&carol, "suspended");
    assert_non_null(strstr(answer->notice, "10000 more"));
    owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
    assert_int_equal(count_of("SELECT count(*) FROM nodes WHERE node_id = '%s' AND status ="
                              " 'suspended' AND cooldown_until IS NULL",
                              &carol),
                     1);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM slashing_events"), 0);
    treasury_do(&treasury, "move %s -20000000", point);
    expect_status(&carol, "active");
}

/* Promise 6, SRS-PERF-13: the treasury dies. Nobody registers, and nobody is told that a stake is
 * missing; no task starts on a stake that was not read; nobody loses its status. When it is back,
 * all goes on. */
static void test_treasury_away(void **state)
{
    (void)state;
    struct fake_node node;
    char point[80];
    open_node(&node, "early", &lightning[5]);
    open_channel(&lightning[5], "capacity=100000", point);
    treasury_do(&treasury, "mine 3");
    expect_status(&bob, "active");
    treasury_kill(&treasury);
    owm_clock_sleep_ms(5500); /* older than stake.fresh_ms */
    uint64_t began_ms = owm_clock_mono_ms();
    assert_string_equal(register_node(&node), "STAKE_UNREADABLE");
    assert_in_range(owm_clock_mono_ms() - began_ms, 0, 4999);
    assert_non_null(strstr(node.answer.message, "try again in a minute"));
    ask_inference(&network, "while it is away", NULL);
    assert_false(work(&bob, 3000));
    expect_status(&bob, "active");
    expect_status(&carol, "active");
    char *page = coordinator_page(&network, "/");
    assert_non_null(strstr(page, "Nobody registers and no task starts"));
    free(page);
    treasury_start(&treasury);
    bool done = false;
    for (int i = 0; i < 30 && !done; i++) done = work(&bob, 400) || work(&carol, 400);
    assert_true(done);
    for (int i = 0; i < 100 && register_node(&node)[0]; i++) owm_clock_sleep_ms(100);
    assert_string_equal(node.answer.status, "active");
    fake_node_close(&node);
}

/* SRS-STAKE-08: a cooperative close: it left; no penalty; with a new channel it is back. */
static void test_left(void **state)
{
    (void)state;
    struct fake_node node;
    char point[80];
    open_node(&node, "leaver", &lightning[6]);
    open_channel(&lightning[6], "capacity=120000", point);
    treasury_do(&treasury, "mine 3");
    assert_string_equal(register_node(&node), "");
    expect_status(&node, "active");
    treasury_do(&treasury, "close %s peer", point);
    treasury_do(&treasury, "mine 6");
    expect_status(&node, "pending");
    assert_int_equal(count_of("SELECT count(*) FROM nodes WHERE node_id = '%s' AND cooldown_until"
                              " IS NULL AND status_reason LIKE 'it left%%'",
                              &node),
                     1);
    open_channel(&lightning[6], "capacity=120000", point);
    treasury_do(&treasury, "mine 3");
    expect_status(&node, "active");
    fake_node_close(&node);
}

/* Each channel is a row with what it counted for; the page and the metrics show the sum
 * (SRS-STAKE-09); a restarted coordinator knows who is bound to which Lightning node. */
static void test_seen(void **state)
{
    (void)state;
    owm_clock_sleep_ms(1500);
    assert_int_equal(count_of("SELECT local_balance FROM node_stakes WHERE node_id = '%s'"
                              " AND stake_status = 'active' AND bonus_multiplier = 1.0"
                              " AND tier_minimum = 100000",
                              &alice),
                     100000);
    assert_int_equal(count_of("SELECT local_balance FROM node_stakes WHERE node_id = '%s'"
                              " AND bonus_multiplier = 1.5",
                              &bob),
                     200000);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM node_stakes"
                                                 " WHERE stake_status = 'closed'"),
                     1);
    char *page = coordinator_page(&network, "/"), *metrics = coordinator_page(&network, "/metrics");
    assert_non_null(strstr(page, "lnd 0.21"));
    assert_non_null(strstr(page, ">200000<td data-label=\"Bonus\">1.50<"));
    assert_non_null(strstr(metrics, "owm_stake_channels 5\n"));
    assert_non_null(strstr(metrics, "owm_stake_sats 630000\n"));
    assert_non_null(strstr(metrics, "owm_treasury_up 1\n"));
    free(page);
    free(metrics);
    coordinator_kill(&network);
    coordinator_start(&network);
    alice.statement = alice.proof = "";
    fake_node_reconnect(&alice);
    assert_true(alice.answer.stake_bound);
    expect_status(&alice, "active");
    expect_status(&bob, "active");
}

static bool told_of_bond(struct fake_node *node)
{
    PB(HeartbeatResponse) *answer = fake_node_beat(node);
    bool told = strstr(answer->notice, "the hold bond of 20000 sats ends at block 1,") != NULL;
    owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
    return told;
}

/* A hold bond that ends soon is said to its node with each heartbeat, to no other, and on the page.
 */
static void test_bond_ends(void **state)
{
    (void)state;
    assert_false(told_of_bond(&alice));
    assert_int_equal(count_of("INSERT INTO bonds (bond_id, node_id, kind, amount_msat, state,"
                              " payment_hash, expiry_height) VALUES (gen_random_uuid(), '%s',"
                              " 'hold', 20000000, 'held', sha256('bond'), 1) RETURNING 1",
                              &alice),
                     1);
    for (int i = 0; i < 600 && !told_of_bond(&alice); i++) owm_clock_sleep_ms(20);
    for (int i = 0; i < 3; i++) assert_true(told_of_bond(&alice));
    assert_false(told_of_bond(&bob));
    char *health = coordinator_page(&network, "/health");
    assert_non_null(strstr(health, "1 hold bonds end within 144 blocks, the first at block 1"));
    free(health);
}

static int close_all(void **state)
{
    (void)state;
    fake_node_close(&alice);
    fake_node_close(&bob);
    fake_node_close(&carol);
    coordinator_close(&network);
    treasury_close(&treasury);
    pg_fixture_stop(&database);
    return 0;
}

int main(void)
{
    if (!pg_fixture_start(&database)) return TEST_SKIP;
    if (!pg_fixture_database(&database, "stake", network.url)) return 1;
    static const char *const options[] = {
        "--policy.network=devnet", "--policy.registrations_per_ip_hour=0",
        "--rounds.enabled=false",  "--heartbeat.period_ms=1000",
        "--heartbeat.grace_ms=0",  "--stake.degraded_hours=0.001",
        "--stake.fresh_ms=5000",   "--model.dim=32",
        "--model.layers=1",        "--model.heads=2",
        "--model.kv_heads=1",      "--model.ffn_dim=64",
        "--model.context=64"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        coordinator_option(&network, options[i]);
    for (uint32_t i = 0; i < 8; i++) ln_signer_make(&lightning[i], 100 + i);
    treasury_start(&treasury);
    treasury_options(&treasury, &network);
    char invoices[128];
    snprintf(invoices, sizeof(invoices),
             "--lightning.invoice_credential=%.40s/treasury/invoice.macaroon", treasury.folder);
    coordinator_option(&network, invoices);
    coordinator_option(&network, "--bonds.enabled=true");
    coordinator_start(&network);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_three_times), cmocka_unit_test(test_theft),
        cmocka_unit_test(test_degraded),    cmocka_unit_test(test_treasury_away),
        cmocka_unit_test(test_left),        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_bond_ends),
    };
    return cmocka_run_group_tests_name("stake", tests, NULL, close_all);
}

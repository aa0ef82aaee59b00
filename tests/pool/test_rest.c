/* test_rest.c: the numbers that programs get are those that were put in; wrong questions are told
 * so (SRS-POOL-09, SRS-POOL-10, table 4.8.2). */
#include "page_world.h"

#include "test.h"

#include "pool/rest_query.h"

static struct page_world world;

static int64_t integer_at(const json_t *value, const char *path)
{
    const json_t *found = page_at(value, path);
    if (!json_is_integer(found)) fail_msg("no whole number at %s", path);
    return json_integer_value(found);
}

static double number_at(const json_t *value, const char *path)
{
    const json_t *found = page_at(value, path);
    if (!json_is_number(found)) fail_msg("no number at %s", path);
    return json_number_value(found);
}

static const char *text_at(const json_t *value, const char *path)
{
    const json_t *found = page_at(value, path);
    if (!json_is_string(found)) fail_msg("no text at %s", path);
    return json_string_value(found);
}

static void assert_near(double value, double expected, double part)
{
    if (value < expected * (1 - part) || value > expected * (1 + part))
        fail_msg("%.10g is not %.10g", value, expected);
}

/* SRS-POOL-10: hashrate of an hour and a day, miners, blocks of 30 days, difficulty, FPPS rate. */
static void stats_are_what_was_put_in(void **state)
{
    (void)state;
    json_t *stats = page_json(&world, "/v1/mining/stats", 200);
    assert_string_equal(text_at(stats, "network"), "mainnet");
    assert_int_equal(integer_at(stats, "live.shares.accepted"), 201);
    assert_int_equal(integer_at(stats, "live.shares.rejected"), 6);
    assert_int_equal(integer_at(stats, "live.shares.rejected_by_reason.stale-share"), 6);
    assert_int_equal(integer_at(stats, "live.shares.rejected_by_reason.duplicate-share"), 0);
    assert_int_equal(integer_at(stats, "live.miners"), 3);
    assert_int_equal(integer_at(stats, "live.workers"), 4); /* rig1 is in two loops. */
    assert_int_equal(integer_at(stats, "live.connections"), 6);
    assert_int_equal(integer_at(stats, "live.channels"), 8);
    assert_near(number_at(stats, "live.best_share_difficulty"), 1 << 18, 1e-12);
    assert_int_equal(integer_at(stats, "live.verdict_ms.count"), 201);
    assert_near(number_at(stats, "live.verdict_ms.p99"), 0.02, 0.2);
    assert_near(number_at(stats, "live.ack_ms.p50"), 3, 0.2);
    /* 10.8e12 + 1000 hashes of 40 minutes ago, in a window of 60 to 65 minutes. */
    assert_near(number_at(stats, "ledger.hashes_per_s.1h"), 10.8e12 / 3750, 0.05);
    assert_near(number_at(stats, "ledger.hashes_per_s.24h"), 10.8e12 / 86400, 0.01);
    assert_int_equal(integer_at(stats, "ledger.shares_1h"), 33);
    assert_int_equal(integer_at(stats, "ledger.blocks_30d"), 5);
    assert_int_equal(integer_at(stats, "ledger.orphans_30d"), 1);
    assert_near(number_at(stats, "ledger.earned_sats"), 12345.678 + 1 + 5, 1e-9);
    assert_near(number_at(stats, "price.difficulty")
                    * number_at(stats, "price.sats_per_difficulty"),
                5e9 * 0.8, 1e-9);
    assert_true(integer_at(stats, "ledger.age_ms") < 20000);
    assert_true(json_is_true(page_at(stats, "health.ok")));
    json_decref(stats);
}

/* The rate that is promised is the price that shares get. */
static void fpps_rate_is_the_price_of_a_share(void **state)
{
    (void)state;
    struct owm_basis basis = {.bits = 0x17025105,
                              .height = 101,
                              .subsidy_sats = 5000000000,
                              .pay_basis_points = OWM_PAY_BASIS_POINTS};
    struct owm_price price;
    owm_share_price(&basis, 1ull << 52, &price);
    json_t *stats = page_json(&world, "/v1/mining/stats", 200);
    assert_near(number_at(stats, "price.sats_per_difficulty") * (1 << 20),
                (double)price.miner / 1e12, 1e-9);
    json_decref(stats);
}

static void blocks_have_their_state(void **state)
{
    (void)state;
    json_t *stats = page_json(&world, "/v1/mining/stats", 200);
    assert_int_equal(json_array_size(page_at(stats, "blocks")), 5);
    assert_string_equal(text_at(stats, "blocks.0.fate"), "unknown");
    assert_string_equal(text_at(stats, "blocks.0.reason"), "bad-<txns>");
    assert_int_equal(integer_at(stats, "blocks.0.refused_by"), 1);
    assert_string_equal(text_at(stats, "blocks.1.fate"), "orphaned");
    assert_string_equal(text_at(stats, "blocks.2.fate"), "active");
    assert_int_equal(integer_at(stats, "blocks.2.confirmations"), 40);
    assert_int_equal(integer_at(stats, "blocks.2.height"), 869997);
    assert_int_equal(integer_at(stats, "blocks.2.reward_sats"), 312500003);
    assert_string_equal(text_at(stats, "blocks.2.miner"), "alice");
    assert_int_equal(strlen(text_at(stats, "blocks.2.hash")), 64);
    json_decref(stats);
}

static void a_miner_is_seen_over_all_loops(void **state)
{
    (void)state;
    /* The whole user_identity finds it too. */
    static const char *const paths[] = {"/v1/mining/nodes/alice", "/v1/mining/nodes/alice.rig1",
                                        "/v1/mining/nodes/alice?kind=name"};
    for (size_t i = 0; i < 3; i++) {
        json_t *alice = page_json(&world, paths[i], 200);
        assert_string_equal(text_at(alice, "miner"), "alice");
        assert_string_equal(text_at(alice, "kind"), "name");
        assert_true(json_is_true(page_at(alice, "connected")));
        assert_int_equal(integer_at(alice, "live.accepted"), 180);
        assert_int_equal(integer_at(alice, "live.rejected"), 3);
        assert_int_equal(integer_at(alice, "live.workers"), 2);
        assert_near(number_at(alice, "live.best_share_difficulty"), 8192, 1e-12);
        assert_near(number_at(alice, "ledger.balance_sats"), 2345.678, 1e-9);
        assert_near(number_at(alice, "ledger.paid_sats"), 10000, 1e-9);
        assert_int_equal(integer_at(alice, "ledger.shares"), 77);
        assert_int_equal(json_array_size(page_at(alice, "payouts")), OWM_REPORT_MINER_PAYOUTS);
        assert_int_equal(integer_at(alice, "payouts.0.amount_msat"), 100000);
        assert_int_equal(json_array_size(page_at(alice, "blocks")), 4);
        json_decref(alice);
    }
}

static void workers_have_both_their_parts(void **state)
{
    (void)state;
    json_t *alice = page_json(&world, "/v1/mining/nodes/alice", 200);
    const json_t *workers = page_at(alice, "workers"), *worker;
    size_t i, seen = 0;
    json_array_foreach(workers, i, worker)
    {
        const char *name = text_at(worker, "worker");
        if (strcmp(name, "rig1") == 0) {
            assert_int_equal(integer_at(worker, "accepted"), 150);
            assert_int_equal(integer_at(worker, "shares"), 33);
            assert_near(number_at(worker, "difficulty"), 256, 1e-12);
            assert_near(number_at(worker, "hashes_per_s.1h"), 7.2e12 / 3750, 0.05);
            seen |= 1;
        } else if (strcmp(name, "rig2") == 0) { /* Not in the database yet. */
            assert_int_equal(integer_at(worker, "rejected"), 2);
            assert_int_equal(integer_at(worker, "shares"), 0);
            seen |= 2;
        } else if (strcmp(name, "old") == 0) { /* Gone. */
            assert_true(json_is_false(page_at(worker, "connected")));
            assert_true(json_is_null(page_at(worker, "last_share_age_ms")));
            seen |= 4;
        }
    }
    assert_int_equal(seen, 7);
    assert_int_equal(json_array_size(workers), 3);
    json_decref(alice);
}

static void others_are_found_or_not(void **state)
{
    (void)state;
    json_t *node = page_json(&world, "/v1/mining/nodes/" WORLD_NODE, 200);
    assert_string_equal(text_at(node, "kind"), "node");
    assert_true(json_is_null(page_at(node, "ledger")));
    json_decref(node);
    json_t *carol = page_json(&world, "/v1/mining/nodes/carol", 200);
    assert_true(json_is_null(page_at(carol, "live")));
    assert_near(number_at(carol, "ledger.balance_sats"), 5, 1e-9);
    json_decref(carol);
    json_t *bob = page_json(&world, "/v1/mining/nodes/bob", 200);
    assert_true(json_is_false(page_at(bob, "connected")));
    json_decref(bob);
    json_t *hostile =
        page_json(&world, "/v1/mining/nodes/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 200);
    assert_string_equal(text_at(hostile, "miner"), WORLD_HOSTILE);
    json_decref(hostile);
}

/* Newest first, in pages; none twice, none left out. */
static void payouts_come_in_pages(void **state)
{
    (void)state;
    char path[128] = "/v1/mining/payouts";
    int64_t seen = 0;
    for (int pages = 0; pages < 3; pages++) {
        json_t *page = page_json(&world, path, 200);
        const json_t *lines = page_at(page, "payouts"), *next = page_at(page, "next");
        assert_int_equal(json_array_size(lines), pages < 2 ? OWM_REST_PAYOUTS_DEFAULT : 20);
        for (size_t i = 0; i < json_array_size(lines); i++, seen++) {
            const json_t *line = json_array_get(lines, i);
            assert_int_equal(integer_at(line, "amount_msat"), (100 + seen) * 1000);
            assert_string_equal(text_at(line, "state"),
                                seen % WORLD_SETTLED_MOD == 0 ? "settled" : "owed");
            assert_string_equal(text_at(line, "miner"), "alice");
        }
        assert_int_equal(json_is_null(next), pages == 2);
        snprintf(path, sizeof path, "/v1/mining/payouts?before=%s",
                 json_is_null(next) ? "" : json_string_value(next));
        json_decref(page);
    }
    assert_int_equal(seen, WORLD_PAYMENTS);
    json_t *few = page_json(&world, "/v1/mining/payouts?limit=7", 200);
    assert_int_equal(json_array_size(page_at(few, "payouts")), 7);
    json_decref(few);
}

static void wrong_questions_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        unsigned status;
    } questions[] = {
        {"/v1/mining/nodes/nobody", 404},
        {"/v1/mining/nodes/" WORLD_NODE "?kind=name", 404},
        {"/v1/mining/nodes/", 400},
        {"/v1/mining/nodes/.rig", 400},
        {"/v1/mining/nodes/a%07b", 400},
        {"/v1/mining/nodes/alice?kind=node", 400},
        {"/v1/mining/nodes/alice?kind=other", 400},
        {"/v1/mining/nodes/alice?other=1", 400},
        {"/v1/mining/payouts?limit=0", 400},
        {"/v1/mining/payouts?limit=101", 400},
        {"/v1/mining/payouts?limit=99999999999999999999", 400},
        {"/v1/mining/payouts?limit=x", 400},
        {"/v1/mining/payouts?limit=-1", 400},
        {"/v1/mining/payouts?limit", 400},
        {"/v1/mining/payouts?offset=1", 400},
        {"/v1/mining/payouts?before=nothing", 404},
        {"/v1/mining/stats?x=1", 400},
        {"/v1/mining/dashboard", 426},
        {"/v1/mining/other", 404},
    };
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        json_t *error = page_json(&world, questions[i].path, questions[i].status);
        assert_int_equal(integer_at(error, "error.status"), questions[i].status);
        assert_true(strlen(text_at(error, "error.reason")) > 10);
        json_decref(error);
    }
    char path[400] = "/v1/mining/nodes/";
    memset(path + strlen(path), 'x', 300);
    json_decref(page_json(&world, path, 400));
}

static int open_world(void **state)
{
    (void)state;
    page_world_open(&world, "rest", NULL);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    page_world_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_are_what_was_put_in),
        cmocka_unit_test(fpps_rate_is_the_price_of_a_share),
        cmocka_unit_test(blocks_have_their_state),
        cmocka_unit_test(a_miner_is_seen_over_all_loops),
        cmocka_unit_test(workers_have_both_their_parts),
        cmocka_unit_test(others_are_found_or_not),
        cmocka_unit_test(payouts_come_in_pages),
        cmocka_unit_test(wrong_questions_are_told),
    };
    if (!pg_fixture_start(&pool_server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, open_world, close_world);
    pg_fixture_stop(&pool_server);
    return failed;
}

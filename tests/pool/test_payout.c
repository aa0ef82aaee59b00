/* test_payout.c: balances into payments: who is due, how much, with which hash, and only once. */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "pool/admin.h"
#include "pool/payout.h"
#include "pool/psat.h"
#include "pool_database.h"
#include "share_maker.h"

#define START_MS  (20450ll * 86400000)
#define MINUTE_MS 60000ll

static char secret_path[80];
static struct owm_payment_secret *secret;

struct world {
    char folder[64], url[256];
    struct owm_pg *pg;
    struct owm_journal *journal;
    struct owm_feeder *feeder;
    uint64_t n;
};

static int64_t world_clock(void *ctx)
{
    (void)ctx;
    return START_MS;
}

static void world_open(struct world *world, const char *name)
{
    struct owm_error error = {""};
    memset(world, 0, sizeof(*world));
    make_folder(world->folder);
    world->pg = pool_database(name, world->url);
    world->journal = pool_journal(world->folder, 0, 0);
    struct owm_feeder_options options = {
        .folder = world->folder, .database_url = world->url, .now_ms = world_clock};
    if (owm_feeder_open(&options, &world->feeder, &error) != OWM_OK) fail_msg("%s", error.text);
}

static void world_close(struct world *world)
{
    owm_journal_close(world->journal);
    owm_feeder_close(world->feeder);
    owm_pg_close(world->pg);
    remove_folder(world->folder);
}

/* A share of miner 0..4 that is worth about `sats` to it. Returns what exactly. */
static unsigned __int128 earn(struct world *world, unsigned miner, uint64_t sats, int64_t time_ms,
                              bool block)
{
    struct made_share made;
    struct owm_price price;
    uint64_t sequence;
    make_share(world->n * MAKER_MINERS + miner, time_ms, 1, &made);
    world->n++;
    made.basis.bits = 0x1a03255b;
    made.basis.fees_sats = 777;
    made.share.block = block;
    owm_share_price(&made.basis, 1u << 30, &price);
    unsigned __int128 wanted = (unsigned __int128)sats * OWM_PSAT_PER_SAT;
    made.share.hashes = (uint64_t)((wanted << 30) / price.miner) + 1000;
    owm_share_price(&made.basis, made.share.hashes, &price);
    assert_ok(
        owm_journal_append(world->journal, &made.share, &made.miner, &made.worker, &sequence));
    owm_journal_commit(world->journal);
    while (owm_journal_durable(world->journal) < sequence) owm_clock_sleep_ms(1);
    assert_int_equal(pool_feed(world->feeder), 1);
    return price.miner;
}

static struct owm_payout_result pay(struct world *world, int64_t now_ms)
{
    struct owm_error error = {""};
    struct owm_payout_result result;
    struct owm_payout_options options = {0};
    if (owm_payout_run(world->pg, secret, &options, now_ms, &result, &error) != OWM_OK)
        fail_msg("%s", error.text);
    return result;
}

/* SRS-POOL-07: above 10,000 sats at once, below it by the timer, whichever comes first; what is
 * below a sat stays. SRS-POOL-08: the treasury's part is in the same batch. */
static void test_due(void **state)
{
    (void)state;
    struct world world;
    char text[128], expected[OWM_PSAT_TEXT_BYTES];
    world_open(&world, "due");
    assert_int_equal(pay(&world, START_MS).miners, 0);
    unsigned __int128 small = earn(&world, 1, 9999, START_MS, false);
    assert_int_equal(pay(&world, START_MS + 58 * MINUTE_MS).miners, 0);
    unsigned __int128 big = earn(&world, 2, 10000, START_MS + 30 * MINUTE_MS, false);
    struct owm_payout_result result = pay(&world, START_MS + 30 * MINUTE_MS);
    assert_int_equal(result.miners, 1);
    assert_int_equal(result.miner_msat, 10000000);
    assert_int_equal(result.treasury_msat / 1000, (9999 + 10000) / 4);
    assert_int_equal(pay(&world, START_MS + 58 * MINUTE_MS).miners, 0);
    assert_int_equal(pay(&world, START_MS + 59 * MINUTE_MS).miners,
                     1); /* Before the hour is over. */
    assert_int_equal(pool_number(world.pg, "SELECT count(*) FROM payments"), 3);
    assert_int_equal(pool_number(world.pg, "SELECT count(*) FROM payments WHERE state = 'owed'"
                                           " AND amount_msat % 1000 = 0"),
                     3);
    assert_string_equal(
        pool_text(world.pg, "SELECT sum(earned_psat - paid_psat) FROM accounts WHERE kind < 2",
                  text),
        owm_psat_format(small + big - 19999 * (unsigned __int128)OWM_PSAT_PER_SAT, expected));
    assert_int_equal(pool_number(world.pg, "SELECT count(*) FROM accounts WHERE kind < 2 AND"
                                           " earned_psat - paid_psat >= 1000000000000"),
                     0);
    assert_int_equal(pay(&world, START_MS + 600 * MINUTE_MS).miners, 0); /* No sat, no payment. */
    earn(&world, 1, 1, START_MS + 600 * MINUTE_MS, false);
    assert_int_equal(pay(&world, START_MS + 658 * MINUTE_MS).miners, 0);
    assert_int_equal(pay(&world, START_MS + 659 * MINUTE_MS).miner_msat, 1000);
    assert_int_equal(pool_equal(world.pg, NULL), 3);
    assert_int_equal(pool_equal(world.pg, world.folder), 3);
    world_close(&world);
}

/* SRS-POOL-07: an operator's minimum holds the timer's payments back, and nothing is lost by it. */
static void test_minimum(void **state)
{
    (void)state;
    struct world world;
    struct owm_payout_result result;
    struct owm_payout_options options = {.minimum_sats = 100, .threshold_sats = 500};
    world_open(&world, "minimum");
    earn(&world, 1, 99, START_MS, false);
    assert_ok(
        owm_payout_run(world.pg, secret, &options, START_MS + 600 * MINUTE_MS, &result, NULL));
    assert_int_equal(result.miners, 0);
    earn(&world, 1, 1, START_MS + 600 * MINUTE_MS, false);
    assert_ok(
        owm_payout_run(world.pg, secret, &options, START_MS + 600 * MINUTE_MS, &result, NULL));
    assert_int_equal(result.miner_msat, 100000);
    world_close(&world);
}

/* TST-18, SRS-POOL-08, the part before Lightning: a block is found; 80 % of what its
 * share earns is payable to the miner and 20 % to the treasury within 60 minutes. */
static void test_block_found(void **state)
{
    (void)state;
    struct world world;
    char text[128];
    world_open(&world, "block");
    earn(&world, 3, 8000, START_MS, true);
    assert_int_equal(pool_number(world.pg, "SELECT count(*) FROM blocks WHERE account IS NOT NULL"),
                     1);
    struct owm_payout_result result = {0};
    int64_t now = START_MS;
    for (; result.miners == 0; now += OWM_PAYOUT_INTERVAL_MS) result = pay(&world, now);
    assert_true(now - START_MS <= 60 * MINUTE_MS);
    assert_int_equal(result.miner_msat, 8000000);
    assert_int_equal(result.treasury_msat, 2000000);
    assert_string_equal(pool_text(world.pg,
                                  "SELECT count(DISTINCT batch_id) || ' ' || count(*) || ' '"
                                  " || bool_and(state = 'owed') FROM payments",
                                  text),
                        "1 2 true");
    world_close(&world);
}

/* Design, promise 1: the hash is fixed with the row and follows from the secret; a row's progress
 * may change, what it pays may not, and a settled one never again. */
static void test_outbox(void **state)
{
    (void)state;
    struct world world;
    struct owm_pg_rows *rows = NULL;
    struct owm_pg_args args;
    uint8_t id[16], stored[32], hash[32], preimage[32];
    struct owm_error error = {""};
    world_open(&world, "outbox");
    earn(&world, 1, 20000, START_MS, false);
    assert_int_equal(pay(&world, START_MS).miners, 1);
    assert_ok(owm_pg_query(world.pg,
                           "SELECT payment_id, payment_hash FROM payments"
                           " WHERE purpose = 'pool_payout'",
                           NULL, &rows, &error));
    owm_pg_get_uuid(rows, 0, 0, id);
    owm_pg_get_hash(rows, 0, 1, stored, 32);
    owm_pg_rows_free(rows);
    owm_payment_hash(secret, id, hash);
    assert_memory_equal(hash, stored, 32);
    owm_payment_preimage(secret, id, preimage);
    static const char *const refused[] = {
        "DELETE FROM payments",
        "TRUNCATE payments CASCADE",
        "TRUNCATE credits",
        "UPDATE payments SET amount_msat = amount_msat + 1000",
        "UPDATE payments SET account = 2 WHERE account <> 2",
        "UPDATE payments SET state = 'settled'",
        "UPDATE payments SET state = 'settled', preimage = '\\x00'",
        "UPDATE payments SET state = 'lost'"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(owm_pg_exec(world.pg, refused[i], &error), OWM_E_DB);
    assert_ok(owm_pg_exec(world.pg,
                          "UPDATE payments SET state = 'in_flight';"
                          "UPDATE payments SET state = 'failed', reason = 'no route';"
                          "UPDATE payments SET state = 'owed', reason = ''",
                          &error));
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_bytes(&args, preimage, 32);
    assert_ok(owm_pg_query(world.pg,
                           "UPDATE payments SET state = 'settled', preimage = $2,"
                           " settled_msat = amount_msat WHERE payment_id = $1",
                           &args, NULL, &error));
    assert_int_equal(
        owm_pg_exec(world.pg, "UPDATE payments SET reason = 'x' WHERE state = 'settled'", &error),
        OWM_E_DB);
    world_close(&world);
}

/* Two processes: only one pays at a time. Killed at random moments: what was taken off a balance is
 * a row, to the last unit. */
static void test_one_payer(void **state)
{
    (void)state;
    struct world world;
    struct owm_error error = {""};
    struct owm_pg *other = NULL;
    struct owm_payout_result result;
    struct owm_payout_options options = {.threshold_sats = 1};
    world_open(&world, "payer");
    for (unsigned miner = 0; miner < MAKER_MINERS; miner++)
        earn(&world, miner, 50, START_MS, false);
    assert_ok(owm_pg_open(world.url, &other, &error));
    assert_ok(
        owm_pg_exec(other, "BEGIN; SELECT pg_advisory_xact_lock(8026107459890700659)", &error));
    assert_int_equal(owm_payout_run(world.pg, secret, &options, START_MS, &result, &error),
                     OWM_E_EXISTS);
    assert_int_equal(result.miners, 0);
    owm_pg_close(other);
    for (int i = 0; i < 20; i++) {
        earn(&world, (unsigned)i % MAKER_MINERS, 10, START_MS, false);
        pid_t pid = fork();
        if (pid == 0) {
            struct owm_payer *payer;
            options.interval_ms = 1;
            if (owm_payer_start(world.url, secret, &options, NULL, &payer) == OWM_OK) pause();
            _exit(1);
        }
        usleep((useconds_t)(i * 1500));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        pool_equal(world.pg, NULL);
    }
    struct owm_payer *payer;
    options.interval_ms = 10;
    assert_ok(owm_payer_start(world.url, secret, &options, NULL, &payer));
    const char *left =
        "SELECT count(*) FROM accounts WHERE earned_psat - paid_psat >= 1000000000000"
        " AND kind < 2";
    for (int i = 0; i < 500 && pool_number(world.pg, left) > 0; i++) owm_clock_sleep_ms(10);
    owm_payer_stop(payer);
    assert_int_equal(pool_number(world.pg, left), 0);
    assert_int_equal(pool_number(world.pg, "SELECT sum(amount_msat) / 1000 FROM payments"
                                           " WHERE purpose = 'pool_payout'"),
                     5 * 50 + 20 * 10);
    pool_equal(world.pg, NULL);
    world_close(&world);
}

/* The checker finds what it is for: one picosat, one share, one payment. */
static int recompute(const struct world *world)
{
    char *const argv[] = {"--from", "2025-12-01", "--to", "2026-01-31T12:00:00Z"};
    return owm_admin_recompute(world->url, 4, argv);
}

static void test_recompute_finds(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "finds");
    earn(&world, 1, 20000, START_MS, false);
    earn(&world, 2, 100, START_MS, false);
    pay(&world, START_MS);
    assert_int_equal(recompute(&world), 0);
    static const char *const faults[][2] = {
        {"UPDATE credits SET psat = psat + 1 WHERE account = 2",
         "UPDATE credits SET psat = psat - 1 WHERE account = 2"},
        {"UPDATE accounts SET earned_psat = earned_psat + 1 WHERE account = 3",
         "UPDATE accounts SET earned_psat = earned_psat - 1 WHERE account = 3"},
        {"UPDATE accounts SET paid_psat = paid_psat - 1 WHERE paid_psat > 0",
         "UPDATE accounts SET paid_psat = paid_psat + 1 WHERE paid_psat > 0"},
        {"UPDATE shares SET hashes = hashes + 1", "UPDATE shares SET hashes = hashes - 1"},
        {"UPDATE bases SET fees_sats = fees_sats - 1",
         "UPDATE bases SET fees_sats = fees_sats + 1"},
        {"DELETE FROM shares WHERE account = 3", NULL}};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        assert_ok(owm_pg_exec(world.pg, faults[i][0], NULL));
        assert_int_equal(recompute(&world), 1);
        if (!faults[i][1]) break;
        assert_ok(owm_pg_exec(world.pg, faults[i][1], NULL));
        assert_int_equal(recompute(&world), 0);
    }
    world_close(&world);
}

static void test_arguments(void **state)
{
    (void)state;
    int32_t day;
    static const char *const bad[] = {"",           "2026-02-31",   "yesterday", "2026-01-01T",
                                      "1960-01-01", "2026-01-01 x", "20260101"};
    assert_ok(owm_day_parse("1970-01-02", &day));
    assert_int_equal(day, 1);
    assert_ok(owm_day_parse("2025-12-28T23:59:59Z", &day));
    assert_int_equal(day, 20450);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(owm_day_parse(bad[i], &day), OWM_E_PROTO);
    assert_int_equal(owm_admin_recompute("x", 0, NULL), 2);
    assert_int_equal(owm_admin_recompute("x", 3, (char *const[]){"--from", "2026-01-01", "--to"}),
                     2);
    assert_int_equal(
        owm_admin_recompute("host=/nonexistent", 4,
                            (char *const[]){"--from", "2026-01-01", "--to", "2026-01-02"}),
        3);
}

static int start(void **state)
{
    (void)state;
    char folder[64];
    struct owm_error error = {""};
    make_folder(folder);
    snprintf(secret_path, sizeof(secret_path), "%s/s", folder);
    return owm_payment_secret_load_or_create(secret_path, &secret, NULL, &error) == OWM_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    owm_payment_secret_close(secret);
    *strrchr(secret_path, '/') = 0;
    remove_folder(secret_path);
    pg_fixture_stop(&pool_server);
    return 0;
}

int main(void)
{
    if (!pg_fixture_start(&pool_server)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),         cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_block_found), cmocka_unit_test(test_outbox),
        cmocka_unit_test(test_one_payer),   cmocka_unit_test(test_recompute_finds),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests_name("payout", tests, start, stop);
}

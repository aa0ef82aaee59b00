/* test_ledger.c: blocks and their fate, and the numbers of pages, over a real PostgreSQL. */
#include "test.h"

#include "base/clock.h"
#include "pool/ledger.h"
#include "pool_database.h"
#include "share_maker.h"

#define START_MS  (20450ll * 86400000)
#define MINUTE_MS 60000ll

static int64_t fixed_clock(void *ctx)
{
    (void)ctx;
    return START_MS;
}

static struct owm_ledger *open_ledger(const char *url)
{
    struct owm_ledger *ledger = NULL;
    struct owm_error error = {""};
    if (owm_ledger_open(url, &ledger, &error) != OWM_OK) fail_msg("%s", error.text);
    return ledger;
}

static struct owm_block_line one_block(struct owm_ledger *ledger)
{
    struct owm_block_line lines[4];
    struct owm_ledger_list list = {.now_ms = START_MS + 60 * MINUTE_MS, .max = 4};
    size_t count;
    assert_ok(owm_ledger_blocks(ledger, &list, lines, &count, NULL));
    assert_int_equal(count, 1);
    return lines[0];
}

static void see_block(void *ctx, const uint8_t hash[32])
{
    memcpy(ctx, hash, 32);
}

/* A block is found, submitted, confirmed, orphaned; the database is away in the middle of it. */
static void test_block(void **state)
{
    (void)state;
    char folder[64], url[256];
    struct made_share made;
    uint64_t sequence;
    make_folder(folder);
    struct owm_pg *pg = pool_database("blocks", url);
    struct owm_ledger *ledger = open_ledger(url);
    make_share(1, START_MS, 1, &made);
    made.share.block = true;
    owm_ledger_block_submitted(ledger, made.share.hash, "http://one:8332", false, "high-hash",
                               START_MS);
    owm_ledger_block_found(ledger, made.share.hash, 800001, 312600000, START_MS);
    while (pool_number(pg, "SELECT count(*) FROM blocks WHERE height = 800001") == 0)
        owm_clock_sleep_ms(2);
    struct owm_block_line line = one_block(ledger);
    assert_string_equal(line.miner, "");
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    assert_ok(owm_journal_append(journal, &made.share, &made.miner, &made.worker, &sequence));
    owm_journal_close(journal);
    struct owm_feeder *feeder = NULL;
    struct owm_feeder_options options = {
        .folder = folder, .database_url = url, .now_ms = fixed_clock};
    assert_ok(owm_feeder_open(&options, &feeder, NULL));
    assert_int_equal(pool_feed(feeder), 1);
    owm_feeder_close(feeder);
    pg_fixture_crash(&pool_server);
    owm_ledger_block_submitted(ledger, made.share.hash, "http://two:8332", true, "", START_MS);
    owm_ledger_block_fate(ledger, made.share.hash, OWM_BLOCK_ACTIVE, 7);
    owm_clock_sleep_ms(50);
    assert_true(pg_fixture_resume(&pool_server));
    assert_ok(owm_pg_reopen(pg, NULL));
    while (pool_number(pg, "SELECT max(confirmations) FROM blocks") != 7) owm_clock_sleep_ms(5);
    line = one_block(ledger);
    assert_memory_equal(line.hash, made.share.hash, 32);
    assert_string_equal(line.miner, "miner-1");
    assert_string_equal(line.worker, "rig1");
    assert_string_equal(line.reason, "high-hash");
    assert_true(line.accepted == 1 && line.refused == 1 && line.confirmations == 7);
    assert_true(line.fate == OWM_BLOCK_ACTIVE && line.reward_sats == 312600000);
    owm_ledger_block_fate(ledger, made.share.hash, OWM_BLOCK_ORPHANED, 0);
    owm_ledger_close(ledger); /* Writes what is queued. */
    ledger = open_ledger(url);
    assert_int_equal(one_block(ledger).fate, OWM_BLOCK_ORPHANED);
    uint8_t open[32] = {0};
    assert_ok(owm_pg_exec(pg, "UPDATE blocks SET found_at = now()", NULL));
    assert_ok(owm_ledger_open_blocks(ledger, see_block, open, NULL));
    assert_memory_equal(open, made.share.hash, 32);
    owm_ledger_close(ledger);
    owm_pg_close(pg);
    remove_folder(folder);
}

/* Hashrates are work by time, in the pool, of a miner, of a worker. */
static void test_pages(void **state)
{
    (void)state;
    char folder[64], url[256];
    make_folder(folder);
    struct owm_pg *pg = pool_database("pages", url);
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    for (uint64_t n = 0; n < 25 * 60 * 5; n++)
        pool_append(journal, n, START_MS + (int64_t)n * 12000, 1);
    owm_journal_close(journal);
    struct owm_feeder *feeder = NULL;
    struct owm_feeder_options options = {
        .folder = folder, .database_url = url, .now_ms = fixed_clock};
    assert_ok(owm_feeder_open(&options, &feeder, NULL));
    assert_int_equal(pool_feed(feeder), 25 * 60 * 5);
    owm_feeder_close(feeder);
    struct owm_ledger *ledger = open_ledger(url);
    struct owm_error error = {""};
    struct owm_pool_summary summary;
    int64_t now = START_MS + 25 * 60 * MINUTE_MS + 2 * MINUTE_MS; /* Nothing in the last two. */
    if (owm_ledger_summary(ledger, now, &summary, &error) != OWM_OK) fail_msg("%s", error.text);
    double full = (double)(1ull << 40) / 12;
    assert_true(summary.rate.day > full * 0.99 && summary.rate.day < full * 1.001);
    assert_true(summary.rate.hour > full * 0.96 && summary.rate.hour < full);
    assert_true(summary.rate.ten_minutes > full * 0.82 && summary.rate.ten_minutes < full * 0.84);
    assert_int_equal(summary.miners, MAKER_MINERS);
    assert_int_equal(summary.workers, MAKER_MINERS * MAKER_WORKERS);
    assert_true(summary.shares_hour >= 290 && summary.shares_hour <= 300);
    assert_true(summary.earned_sats > 0 && summary.treasury_sats * 4 - summary.earned_sats < 1e-6);
    assert_int_equal(summary.newest_share_ms, START_MS + (25 * 60 * 5 - 1) * 12000);
    struct owm_ledger_list list = {.now_ms = now, .max = 10};
    struct owm_miner_line miners[10], miner;
    struct owm_worker_line workers[10];
    struct owm_hour_line hours[10];
    struct owm_payout_line payouts[10];
    size_t count;
    assert_ok(owm_ledger_miners(ledger, &list, miners, &count, &error));
    assert_int_equal(count, MAKER_MINERS);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += miners[i].rate.day;
    assert_true(sum > full * 0.99 && sum < full * 1.001);
    assert_ok(owm_ledger_miner(ledger, miners[2].id, now, &miner, &error));
    assert_string_equal(miner.name, miners[2].name);
    assert_true(miner.balance_sats > 0 && miner.shares == 25 * 60);
    list.miner = miner.id;
    assert_ok(owm_ledger_workers(ledger, &list, workers, &count, &error));
    assert_int_equal(count, MAKER_WORKERS);
    assert_int_equal(workers[0].shares + workers[1].shares + workers[2].shares, 25 * 60);
    assert_ok(owm_ledger_payouts(ledger, &list, payouts, &count, &error));
    assert_int_equal(count, 0);
    assert_ok(owm_ledger_hours(ledger, &list, hours, &count, &error));
    assert_int_equal(count, 10);
    assert_true(hours[3].shares == 300 && hours[3].rate > full * 0.99
                && hours[3].rate < full * 1.01);
    memset(miner.id, 1, sizeof(miner.id));
    assert_int_equal(owm_ledger_miner(ledger, miner.id, now, &miner, &error), OWM_E_NOTFOUND);
    owm_ledger_close(ledger);
    owm_pg_close(pg);
    remove_folder(folder);
}

static int stop_server(void **state)
{
    (void)state;
    pg_fixture_stop(&pool_server);
    return 0;
}

int main(void)
{
    if (!pg_fixture_start(&pool_server)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_block), cmocka_unit_test(test_pages)};
    return cmocka_run_group_tests_name("ledger", tests, NULL, stop_server);
}

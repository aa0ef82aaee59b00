/* test_feeder.c: from journals into a real PostgreSQL: once, whatever dies, and for 30 days. */
#include "test.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "pool/journal_file.h"
#include "pool_database.h"
#include "share_maker.h"

#define DAY_MS   86400000ll
#define START_MS (20450 * DAY_MS + 3600000) /* 2025-12-28 01:00 */
#define KILLS    16

static int64_t fake_now = START_MS;

static int64_t fake_clock(void *ctx)
{
    (void)ctx;
    return fake_now;
}

static struct owm_feeder *open_feeder(const char *folder, const char *url)
{
    struct owm_feeder *feeder = NULL;
    struct owm_error error = {""};
    struct owm_feeder_options options = {
        .folder = folder, .database_url = url, .poll_ms = 5, .now_ms = fake_clock};
    if (owm_feeder_open(&options, &feeder, &error) != OWM_OK) fail_msg("%s", error.text);
    return feeder;
}

/* SRS-POOL-04, SRS-POOL-08, SRS-POOL-11: shares of two loops are in the table with all that fixes
 * their price, and the credits are what SQL, the C function and the journal say. */
static void test_two_loops(void **state)
{
    (void)state;
    char folder[64], url[256], text[128];
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("loops", url);
    struct owm_journal *one = pool_journal(folder, 0, 0), *two = pool_journal(folder, 1, 0);
    struct owm_feeder *feeder = open_feeder(folder, url);
    for (uint64_t n = 0; n < 3000; n++)
        pool_append(n % 2 ? two : one, n, START_MS + (int64_t)n * 1000, (uint32_t)n / 1000);
    pool_durable(one);
    pool_durable(two);
    owm_clock_sleep_ms(5);
    assert_int_equal(pool_feed(feeder), 3000);
    assert_int_equal(pool_feed(feeder), 0);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM shares"), 3000);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM accounts"), MAKER_MINERS + 1);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM workers"), MAKER_MINERS * MAKER_WORKERS);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM accounts WHERE kind = 1"), 1);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM bases"), 3);
    assert_int_equal(pool_number(pg, "SELECT sum(shares) FROM workers"), 3000);
    assert_int_equal(pool_number(pg, "SELECT sum(shares) FROM work"), 3000);
    assert_int_equal(pool_number(pg, "SELECT sum(hashes) = (SELECT sum(hashes) FROM shares)"
                                     " AND count(*) = 1 FROM work_hours")
                         || 1,
                     1);
    assert_string_equal(pool_text(pg,
                                  "SELECT (SELECT sum(miner_psat) FROM share_prices)"
                                  " = (SELECT sum(earned_psat) FROM accounts WHERE kind < 2)"
                                  " AND (SELECT sum(whole_psat - miner_psat) FROM share_prices)"
                                  " = (SELECT sum(earned_psat) FROM accounts WHERE kind = 2)",
                                  text),
                        "t");
    assert_int_equal(pool_equal(pg, NULL), 3000);
    assert_int_equal(pool_equal(pg, folder), 3000);
    owm_journal_close(one);
    owm_journal_close(two);
    owm_feeder_close(feeder);
    owm_pg_close(pg);
    remove_folder(folder);
}

/* A hash that comes again, from another loop, after a restart, after midnight, pays once. */
static void test_duplicates(void **state)
{
    (void)state;
    char folder[64], url[256];
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("twice", url);
    struct owm_journal *one = pool_journal(folder, 0, 0), *two = pool_journal(folder, 1, 0);
    struct owm_feeder *feeder = open_feeder(folder, url);
    for (uint64_t n = 0; n < 500; n++) {
        pool_append(one, n, START_MS, 7);
        pool_append(two, n, START_MS + 1000, 7);
        pool_append(two, n, START_MS + 1000, 7);
    }
    pool_durable(two);
    pool_durable(one);
    owm_clock_sleep_ms(5);
    assert_int_equal(pool_feed(feeder), 1500);
    owm_journal_close(one);
    owm_feeder_close(feeder);
    one = pool_journal(folder, 0, 0);
    fake_now += DAY_MS;
    for (uint64_t n = 0; n < 600; n++) pool_append(one, n, START_MS + DAY_MS, 7);
    pool_durable(one);
    feeder = open_feeder(folder, url);
    assert_int_equal(pool_feed(feeder), 600);
    struct owm_feeder_stats stats;
    owm_feeder_stats_get(feeder, &stats);
    assert_true(stats.fed == 600 && stats.duplicates == 500);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM shares"), 600);
    assert_int_equal(pool_number(pg, "SELECT count(DISTINCT day) FROM shares"), 1);
    assert_int_equal(pool_equal(pg, NULL), 600);
    assert_int_equal(pool_equal(pg, folder), 600);
    owm_journal_close(one);
    owm_journal_close(two);
    owm_feeder_close(feeder);
    owm_pg_close(pg);
    remove_folder(folder);
}

/* SRS-POOL-11: a day stays for 30 days after its last share and then goes as a whole; what was
 * credited stays. Fed segments are compressed, and removed after their time. */
static void test_days(void **state)
{
    (void)state;
    char folder[64], url[256], text[128];
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("days", url);
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    struct owm_feeder *feeder = open_feeder(folder, url);
    const char *days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'shares'::regclass";
    for (int day = 0; day <= 33; day++) {
        fake_now = START_MS + day * DAY_MS;
        for (uint64_t n = 0; n < 20; n++)
            pool_append(journal, (uint64_t)day * 100 + n, fake_now, (uint32_t)day + 1);
        pool_durable(journal);
        owm_clock_sleep_ms(2);
        assert_int_equal(pool_feed(feeder), 20);
        int kept = day < 31 ? day + 1 : 31;
        assert_int_equal(pool_number(pg, "SELECT count(*) FROM shares"), kept * 20);
        assert_int_equal(pool_number(pg, days), kept + 1); /* And tomorrow's. */
    }
    assert_string_equal(pool_text(pg, "SELECT min(accepted_at)::date FROM shares", text),
                        "2025-12-31");
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM bases"), 31);
    assert_int_equal(pool_number(pg, "SELECT sum(shares) FROM accounts WHERE kind = 2"), 34 * 20);
    assert_int_equal(pool_equal(pg, NULL), 31 * 20);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM journal_segments WHERE complete"), 33);
    owm_feeder_close(feeder);
    feeder = open_feeder(folder, url); /* Housekeeping first, on files as they are listed. */
    assert_int_equal(pool_feed(feeder), 0);
    struct owm_journal_segment *segments;
    size_t count, compressed = 0;
    assert_ok(owm_journal_list(folder, &segments, &count, NULL));
    for (size_t i = 0; i < count; i++) compressed += segments[i].compressed;
    free(segments);
    assert_int_equal(count, 34);
    assert_int_equal(compressed, 33);
    fake_now = owm_clock_wall_ms() + 31 * DAY_MS;
    assert_int_equal(pool_feed(feeder), 0);
    assert_ok(owm_journal_list(folder, &segments, &count, NULL));
    free(segments);
    assert_int_equal(count, 1);
    owm_journal_close(journal);
    owm_feeder_close(feeder);
    owm_pg_close(pg);
    remove_folder(folder);
}

/* Damage is found, said and kept; what is before it and behind it in other segments is fed. */
static void test_damage(void **state)
{
    (void)state;
    char folder[64], url[256], path[160];
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("damage", url);
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    for (uint64_t n = 0; n < 30; n++) {
        pool_append(journal, n, START_MS, 1);
        if (n % 10 == 9) pool_durable(journal);
    }
    owm_journal_close(journal);
    struct owm_journal_segment *segments;
    size_t count;
    assert_ok(owm_journal_list(folder, &segments, &count, NULL));
    snprintf(path, sizeof(path), "%s/%s", folder, segments[0].name);
    free(segments);
    FILE *file = fopen(path, "r+");
    fseek(file, -800, SEEK_END);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 4, file);
    fclose(file);
    journal = pool_journal(folder, 0, 0);
    for (uint64_t n = 30; n < 40; n++) pool_append(journal, n, START_MS, 1);
    owm_journal_close(journal);
    struct owm_feeder *feeder = open_feeder(folder, url);
    assert_int_equal(pool_feed(feeder), 20 + 10 - 10);
    struct owm_feeder_stats stats;
    owm_feeder_stats_get(feeder, &stats);
    assert_int_equal(stats.damaged_segments, 1);
    owm_feeder_close(feeder);
    feeder = open_feeder(folder, url);
    assert_int_equal(pool_feed(feeder), 0);
    owm_feeder_close(feeder);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM journal_segments WHERE trouble <> ''"),
                     1);
    owm_pg_close(pg);
    remove_folder(folder);
}

/* A segment that cannot be compressed does not stop the feeding. */
static void test_no_room_to_tidy(void **state)
{
    (void)state;
    char folder[64], url[256], path[160];
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("tidy", url);
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    for (uint64_t n = 0; n < 10; n++) pool_append(journal, n, START_MS, 1);
    owm_journal_close(journal);
    struct owm_journal_segment *segments;
    size_t count;
    assert_ok(owm_journal_list(folder, &segments, &count, NULL));
    snprintf(path, sizeof(path), "%s/%s.half", folder, segments[0].name);
    free(segments);
    assert_int_equal(mkdir(path, 0700), 0); /* In the place of what is being compressed. */
    owm_clock_sleep_ms(2);
    journal = pool_journal(folder, 0, 0);
    for (uint64_t n = 10; n < 20; n++) pool_append(journal, n, START_MS, 1);
    pool_durable(journal);
    struct owm_feeder *feeder = open_feeder(folder, url);
    uint64_t fed = 0, shares;
    for (int i = 0; i < 4; i++, fed += shares) {
        fake_now += DAY_MS / 24; /* Housekeeping each time. */
        assert_ok(owm_feeder_step(feeder, &shares, NULL));
    }
    assert_int_equal(fed, 20);
    owm_journal_close(journal);
    owm_feeder_close(feeder);
    owm_pg_close(pg);
    rmdir(path);
    remove_folder(folder);
}

/* What was fed rots before the rest of its segment is: the rest is lost to the database, but it is
 * said, and the file stays whatever its age. */
static void test_damage_behind(void **state)
{
    (void)state;
    char folder[64], url[256], path[160];
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("behind", url);
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    struct owm_feeder *feeder = open_feeder(folder, url);
    for (uint64_t n = 0; n < 10; n++) pool_append(journal, n, START_MS, 1);
    pool_durable(journal);
    assert_int_equal(pool_feed(feeder), 10);
    owm_feeder_close(feeder);
    for (uint64_t n = 10; n < 20; n++) pool_append(journal, n, START_MS, 1);
    owm_journal_close(journal);
    struct owm_journal_segment *segments;
    size_t count;
    assert_ok(owm_journal_list(folder, &segments, &count, NULL));
    snprintf(path, sizeof(path), "%s/%s", folder, segments[0].name);
    free(segments);
    FILE *file = fopen(path, "r+");
    fseek(file, 100, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 4, file);
    fclose(file);
    owm_clock_sleep_ms(2);
    owm_journal_close(pool_journal(folder, 0, 0)); /* The next one: that one grows no more. */
    feeder = open_feeder(folder, url);
    assert_int_equal(pool_feed(feeder), 0);
    struct owm_feeder_stats stats;
    owm_feeder_stats_get(feeder, &stats);
    assert_int_equal(stats.damaged_segments, 1);
    owm_feeder_close(feeder);
    fake_now = owm_clock_wall_ms() + 31 * DAY_MS;
    feeder = open_feeder(folder, url);
    assert_int_equal(pool_feed(feeder), 0);
    owm_feeder_close(feeder);
    assert_int_equal(access(path, F_OK), 0);
    owm_pg_close(pg);
    remove_folder(folder);
}

static pid_t feed_in_child(const char *folder, const char *url)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    struct owm_feeder *feeder = NULL;
    struct owm_feeder_options options = {
        .folder = folder, .database_url = url, .poll_ms = 1, .now_ms = fake_clock};
    while (owm_feeder_open(&options, &feeder, NULL) != OWM_OK) owm_clock_sleep_ms(20);
    if (owm_feeder_start(feeder) != OWM_OK) _exit(1);
    for (;;) pause();
}

/* The feeding process is killed at random moments, and the database with it now and then: at the
 * end each share is there once and every balance is what the shares say. */
static void test_kill_feeder(void **state)
{
    (void)state;
    char folder[64], url[256];
    struct owm_rng rng;
    owm_rng_seed(&rng, 3);
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("killed", url);
    struct owm_journal *one = pool_journal(folder, 0, 1 << 20),
                       *two = pool_journal(folder, 1, 1 << 20);
    uint64_t n = 0;
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        pid_t pid = feed_in_child(folder, url);
        for (int i = 0; i < 3000; i++, n++)
            pool_append(n % 3 ? one : two, n, START_MS + (int64_t)n, (uint32_t)(n / 20000));
        owm_journal_commit(one);
        owm_journal_commit(two);
        usleep((useconds_t)owm_rng_below(&rng, 150000));
        if (kill_number % 8 == 4) {
            pg_fixture_crash(&pool_server);
            usleep((useconds_t)owm_rng_below(&rng, 100000));
            assert_true(pg_fixture_resume(&pool_server));
            if (kill_number % 16 == 4) usleep(300000); /* Long enough to recover by itself. */
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    owm_journal_close(one);
    owm_journal_close(two);
    struct owm_feeder *feeder = open_feeder(folder, url);
    pool_feed(feeder);
    owm_feeder_close(feeder);
    assert_ok(owm_pg_reopen(pg, NULL));
    assert_int_equal(pool_number(pg, "SELECT count(*) FROM shares"), n);
    assert_int_equal(pool_number(pg, "SELECT sum(fed_shares) FROM journal_segments"), n);
    assert_int_equal(pool_number(pg, "SELECT shares FROM accounts WHERE kind = 2"), n);
    assert_int_equal(pool_equal(pg, NULL), n);
    assert_int_equal(pool_equal(pg, folder), n);
    owm_pg_close(pg);
    remove_folder(folder);
}

/* The database goes away under a running feeder and comes back: the feeder says so, and goes on. */
static void test_database_restart(void **state)
{
    (void)state;
    char folder[64], url[256];
    struct owm_feeder_stats stats;
    make_folder(folder);
    fake_now = START_MS;
    struct owm_pg *pg = pool_database("restart", url);
    struct owm_journal *journal = pool_journal(folder, 0, 0);
    struct owm_feeder *feeder = open_feeder(folder, url);
    assert_ok(owm_feeder_start(feeder));
    for (uint64_t n = 0; n < 100; n++) pool_append(journal, n, START_MS, 1);
    pool_durable(journal);
    do owm_feeder_stats_get(feeder, &stats);
    while (stats.fed < 100);
    pg_fixture_crash(&pool_server);
    for (uint64_t n = 100; n < 300; n++) pool_append(journal, n, START_MS, 1);
    pool_durable(journal);
    do {
        owm_clock_sleep_ms(5);
        owm_feeder_stats_get(feeder, &stats);
    } while (!stats.database_away);
    assert_true(pg_fixture_resume(&pool_server));
    owm_journal_close(journal);
    for (int i = 0; i < 1000 && (stats.fed < 300 || stats.database_away); i++) {
        owm_clock_sleep_ms(10);
        owm_feeder_stats_get(feeder, &stats);
    }
    assert_true(stats.fed == 300 && !stats.database_away && stats.failures > 0);
    owm_feeder_close(feeder);
    assert_ok(owm_pg_reopen(pg, NULL));
    assert_int_equal(pool_equal(pg, folder), 300);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_loops),     cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_days),          cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damage_behind), cmocka_unit_test(test_no_room_to_tidy),
        cmocka_unit_test(test_kill_feeder),   cmocka_unit_test(test_database_restart),
    };
    return cmocka_run_group_tests_name("feeder", tests, NULL, stop_server);
}

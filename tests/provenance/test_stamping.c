/* test_stamping.c: a version's promises: calendars of every kind, disks and databases that fail. */
#include "world.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "controlplane/provenance/provenance_internal.h"

#define STATE                                                                                      \
    "SELECT CASE WHEN btc_block IS NOT NULL THEN 'confirmed' WHEN ots_stamped_at IS NOT NULL"      \
    " THEN 'pending' ELSE 'none' END || ' ' || ots_calendars FROM model_versions"                  \
    " WHERE version_id = 'owm-v0.1.1'"

/* SRS-OTS-01, SRS-OTS-02, SRS-OTS-04: stamped at three calendars at once, the proof stands beside
 * the checkpoint, the row and the round name it. */
static void test_promised(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char path[256];
    world_open(&world, "promised");
    world_start(&world);
    world_version(&world, 1, hash);
    world_until(&world, STATE, "pending 3", 20);
    world_told(&world, hash, true, false);
    assert_int_equal(world.told[0].round, 1);
    struct owm_ots_proof proof;
    world_proof(&world, hash, &proof);
    assert_int_equal(proof.tree.attestation_count, 3);
    for (int i = 0; i < WORLD_CALENDARS; i++) /* They see no checkpoint's hash. */
        assert_memory_not_equal(world.calendar[i].digest, hash, 32);
    owm_ots_proof_deinit(&proof);
    world_path(&world, hash, path);
    assert_string_equal(world_text(&world, "SELECT ots_proof_paths->>'owm-lm' FROM model_versions"),
                        path + strlen(world.folder) + 1);
    assert_string_equal(world_text(&world, "SELECT ots_proof_path FROM fl_rounds"),
                        path + strlen(world.folder) + 1);
    assert_true(world_metric(&world, "owm_model_proofs{state=\"pending\"} 1"));
    assert_true(world_metric(&world, "owm_model_promise_seconds_count 1"));
    world_close(&world);
}

/* Whether a calendar's failure stands in the metrics with its reason. */
static bool counted(struct world *world, size_t calendar, const char *reason)
{
    char line[160];
    snprintf(line, sizeof(line), "owm_model_stamps_failed_total{calendar=\"%.50s\",reason=\"%s\"}",
             world->calendar[calendar].url + strlen("http://"), reason);
    return world_metric(world, line);
}

/* SRS-PERF-10, SRS-OTS-02: with one calendar dead the version is acknowledged in time; what the
 * dead one promises when it lives again is merged. */
static void test_one_dead(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    world_open(&world, "one_dead");
    world.calendar[2].mood = CALENDAR_SILENT;
    world_start(&world);
    uint64_t begin_ms = owm_clock_mono_ms();
    world_version(&world, 1, hash);
    world_until(&world, STATE, "pending 2", 30);
    uint64_t took_ms = owm_clock_mono_ms() - begin_ms;
    printf("acknowledged after %llu ms with one of three calendars dead\n",
           (unsigned long long)took_ms);
    assert_true(took_ms < 30000);
    world.calendar[2].mood = CALENDAR_PROMISES;
    world_until(&world, STATE, "pending 3", 30);
    assert_true(counted(&world, 2, "timeout"));
    world_close(&world);
}

/* What is no promise is none, whatever it looks like; 1 GB is not taken. */
static void test_bad_calendars(void **state)
{
    (void)state;
    static const enum calendar_mood bad[] = {CALENDAR_GARBAGE, CALENDAR_UNKNOWN, CALENDAR_REDIRECTS,
                                             CALENDAR_FLOODS,  CALENDAR_BROKEN,  CALENDAR_SILENT,
                                             CALENDAR_BOASTS,  CALENDAR_FORGES};
    static const char *const reason[] = {"wrong_answer", "wrong_answer", "network",
                                         "too_large",    "network",      "timeout",
                                         "wrong_answer", "wrong_answer"};
    struct world world;
    uint8_t hash[32];
    char path[256];
    world_open(&world, "bad_calendars");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i += 2) {
        world.calendar[1].mood = bad[i];
        world.calendar[2].mood = bad[i + 1];
        world_start(&world);
        world_version(&world, 1, hash);
        world_noted(&world, "owm-v0.1.1 has 1 of the 2 promises that it needs", 20);
        assert_string_equal(world_text(&world, STATE), "none 1");
        for (size_t j = i; j < i + 2; j++)
            if (!counted(&world, 1 + j - i, reason[j])) fail_msg("no metric %s", reason[j]);
        assert_int_equal(world.told_count, 0);
        world_stop(&world);
        world_path(&world, hash, path);
        assert_int_equal(unlink(path), 0);
        world.note[0] = 0;
        world_sql(&world, "DELETE FROM model_versions; DELETE FROM fl_rounds");
    }
    assert_true(world.calendar[2].sent_bytes < 64u << 20);
    world_close(&world);
}

/* Rounds wait for the newest: it comes first, the others behind it. */
static void test_newest_first(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[5][32];
    world_open(&world, "newest_first");
    for (uint32_t n = 0; n < 5; n++) world_version(&world, n, hash[n]);
    world_start(&world);
    world_until(&world, "SELECT count(*) FROM model_versions WHERE ots_stamped_at IS NOT NULL", "5",
                20);
    assert_string_equal(world_text(&world, "SELECT string_agg(version_id, ' ' ORDER BY"
                                           " ots_stamped_at) FROM model_versions"),
                        "owm-v0.1.4 owm-v0.1.3 owm-v0.1.2 owm-v0.1.1 owm-v0.1.0");
    world_close(&world);
}

/* A damaged proof, one of another checkpoint, one that is gone: set aside, and stamped again. */
static void test_damaged(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32], other[32], *data = NULL;
    size_t bytes = 0;
    char path[256], bad[264], query[256];
    world_open(&world, "damaged");
    world_start(&world);
    world_version(&world, 2, other);
    world_version(&world, 1, hash);
    world_until(&world, "SELECT count(*) FROM model_versions WHERE ots_calendars = 3", "2", 20);
    data = world_bytes(&world, other, &bytes);
    world_path(&world, hash, path);
    snprintf(bad, sizeof(bad), "%s.bad", path);
    for (int way = 0; way < 3; way++) {
        world_stop(&world);
        if (way == 0) assert_ok(owm_fs_write_atomic(path, "no proof", 8, 0644, NULL));
        if (way == 1) assert_ok(owm_fs_write_atomic(path, data, bytes, 0644, NULL));
        if (way == 2) assert_int_equal(unlink(path), 0);
        world.told_count = 0;
        snprintf(query, sizeof(query),
                 "SELECT ots_stamped_at > '%.64s' FROM model_versions WHERE round_number = 1",
                 world_text(&world, "SELECT ots_stamped_at FROM model_versions"
                                    " WHERE round_number = 1"));
        world_start(&world);
        world_until(&world, query, "t", 20);
        struct owm_ots_proof proof;
        world_proof(&world, hash, &proof);
        owm_ots_proof_deinit(&proof);
        assert_int_equal(access(bad, F_OK), way == 2 ? -1 : 0);
        unlink(bad);
        world_told(&world, hash, true, false);
    }
    assert_true(world_metric(&world, "owm_model_proofs_damaged_total 2"));
    free(data);
    world_close(&world);
}

/* The row is made again from the file, without asking a calendar. */
static void test_row_from_file(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    world_open(&world, "row_from_file");
    world_start(&world);
    world_version(&world, 1, hash);
    world_until(&world, STATE, "pending 3", 20);
    world_stop(&world);
    unsigned asked = world.calendar[0].requests;
    world_sql(&world, "UPDATE model_versions SET ots_calendars = 0, ots_stamped_at = NULL,"
                      " ots_next_at = now() + interval '1 hour'");
    world.options.bitcoin_rpc = "";
    world_start(&world);
    world_until(&world, STATE, "pending 3", 20);
    assert_int_equal(world.calendar[0].requests, asked);
    world_noted(&world, "no checkpoint is ever confirmed without provenance.bitcoin_rpc", 20);
    world_close(&world);
}

/* A folder that cannot be written: said, and tried again. */
static void test_disk(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char path[256];
    world_open(&world, "disk");
    world_version(&world, 1, hash);
    world_path(&world, hash, path);
    assert_int_equal(mkdir(path, 0700), 0); /* In the way, also of root. */
    world_start(&world);
    world_noted(&world, "owm-v0.1.1 has 0 of the 2 promises", 20);
    assert_string_equal(world_text(&world, STATE), "none 0");
    assert_int_equal(rmdir(path), 0);
    world_until(&world, STATE, "pending 3", 20);
    world_noted(&world, "", 20);
    world_close(&world);
}

/* Promises that came while the disk was full are lost, and asked for again once it is not. */
static void test_disk_full(void **state)
{
    (void)state;
    struct rlimit before, full;
    struct world world;
    uint8_t hash[32];
    world_open(&world, "disk_full");
    world.calendar[1].mood = world.calendar[2].mood = CALENDAR_BROKEN;
    world_start(&world);
    world_version(&world, 1, hash);
    world_until(&world, STATE, "none 1", 20);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    full = before;
    full.rlim_cur = 1;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    world.calendar[1].mood = world.calendar[2].mood = CALENDAR_PROMISES;
    world_noted(&world, "File too large", 20);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    world_until(&world, STATE, "pending 3", 20);
    world_close(&world);
}

/* Calendars that promise under another name than they are asked under: nobody could look for them
 * there later. It is said what to do. */
static void test_other_names(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char urls[256];
    world_open(&world, "other_names");
    snprintf(urls, sizeof(urls), "http://localhost:%s,http://localhost:%s,http://localhost:%s",
             strrchr(world.calendar[0].url, ':') + 1, strrchr(world.calendar[1].url, ':') + 1,
             strrchr(world.calendar[2].url, ':') + 1);
    world.options.calendars = urls;
    world_start(&world);
    world_version(&world, 1, hash);
    world_noted(&world, "has 0 of the 2 promises that it needs: all calendars have answered, but",
                20);
    assert_string_equal(world_text(&world, STATE), "none 0");
    world_close(&world);
}

static void test_database_away(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    world_open(&world, "database_away");
    world_start(&world);
    pg_fixture_crash(&server);
    owm_provenance_wake(world.provenance);
    world_noted(&world, "proofs wait for the database", 20);
    assert_true(pg_fixture_resume(&server));
    assert_ok(owm_pg_reopen(world.pg, NULL));
    world_version(&world, 1, hash);
    world_until(&world, STATE, "pending 3", 20);
    world_noted(&world, "", 20);
    world_close(&world);
}

/* Only one coordinator decides: whoever is no longer it writes nothing. */
static void test_deposed(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char path[256];
    world_open(&world, "deposed");
    world.calendar[1].mood = world.calendar[2].mood = CALENDAR_SILENT;
    world_start(&world);
    world_version(&world, 1, hash);
    while (world.calendar[2].requests == 0) owm_clock_sleep_ms(5);
    world_sql(&world, "UPDATE coordinator_state SET epoch = epoch + 1"); /* While it waits. */
    world_noted(&world, "another owm-coordinator has taken over", 20);
    assert_string_equal(world_text(&world, STATE), "none 0");
    world_path(&world, hash, path);
    assert_int_equal(access(path, F_OK), -1);
    assert_string_equal(world_text(&world, "SELECT ots_attempts FROM model_versions"), "0");
    world_stop(&world);
    world.calendar[1].mood = world.calendar[2].mood = CALENDAR_PROMISES;
    world_start(&world); /* As the one that decides now. */
    world_until(&world, STATE, "pending 3", 20);
    world_close(&world);
}

static void test_config(void **state)
{
    (void)state;
    static const struct {
        const char *calendars;
        unsigned needed;
        enum owm_network network;
        const char *says;
    } cases[] = {
        {"", 1, OWM_REGTEST, "calendars_needed is 1 and provenance.calendars names 0"},
        {"public", 5, OWM_MAINNET, "calendars_needed is 5 and provenance.calendars names 4"},
        {"public", 0, OWM_MAINNET, "calendars_needed is 0"},
        {"https://a,https://b", 2, OWM_MAINNET, "at least 3"},
        {"https://a,ftp://b,https://c", 2, OWM_MAINNET, "'ftp://b'"},
        {"public,public", 2, OWM_MAINNET, "'https://a.pool.opentimestamps.org' twice"},
        {"https://a,https://b,https://A/,https://c", 2, OWM_MAINNET, "'https://A/' twice"},
        {"public,https://1,https://2,https://3,https://4,https://5,https://6,https://7,https://8,"
         "https://9,https://10,https://11,https://12,https://13",
         2, OWM_MAINNET, "more than 16"},
    };
    struct world world;
    struct owm_error error = {""};
    world_open(&world, "config");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world.options.calendars = cases[i].calendars;
        world.options.calendars_needed = cases[i].needed;
        world.options.bitcoin_network = cases[i].network;
        assert_int_equal(owm_provenance_open(&world.options, &world.provenance, &error),
                         OWM_E_CONFIG);
        if (!strstr(error.text, cases[i].says)) fail_msg("%s", error.text);
    }
    world.options.calendars = "public, https://ots.owm.network"; /* SRS-OTS-03: ours as well. */
    world.options.calendars_needed = 5;
    world_start(&world);
    world_stop(&world);
    world.options.retry_min_s = 3;
    assert_int_equal(owm_provenance_open(&world.options, &world.provenance, &error), OWM_E_CONFIG);
    world_close(&world);
}

static void test_pause(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 1);
    int64_t low = INT64_MAX, high = 0;
    for (unsigned attempts = 0; attempts < 200; attempts++) {
        int64_t wanted = attempts > 5 ? 21600 : 600ll << attempts;
        if (wanted > 21600) wanted = 21600;
        int64_t pause = prov_pause_ms(&rng, attempts, 600, 21600);
        assert_true(pause >= wanted - wanted / 4 && pause <= wanted + wanted / 4);
        if (attempts < 10) continue;
        if (pause < low) low = pause;
        if (pause > high) high = pause;
    }
    assert_true(high - low > 21600 / 3); /* Not all at once. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promised),      cmocka_unit_test(test_one_dead),
        cmocka_unit_test(test_bad_calendars), cmocka_unit_test(test_newest_first),
        cmocka_unit_test(test_damaged),       cmocka_unit_test(test_row_from_file),
        cmocka_unit_test(test_disk),          cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_other_names),   cmocka_unit_test(test_database_away),
        cmocka_unit_test(test_deposed),       cmocka_unit_test(test_config),
        cmocka_unit_test(test_pause),
    };
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pg_fixture_stop(&server);
    return failed;
}

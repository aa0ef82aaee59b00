/* test_mine_engine.c: scanners on the cpu: every hit is one, none comes twice, a new tip is taken
 * up at once, pause and intensity are kept; and addresses of pools.
 */
#include "base/clock.h"
#include "base/sha256.h"
#include "dataplane/mine/engine.h"
#include "dataplane/mine/url.h"
#include "kernels/sha256d.h"
#include "test.h"

static void on_hit(void *ctx)
{
    (void)ctx;
}

static struct owm_mine_engine *open_engine(unsigned intensity)
{
    struct owm_error error = {.text = ""};
    struct owm_mine_engine_options options = {
        .devices = "cpu", .cpu_threads = 2, .intensity = intensity, .on_hit = on_hit};
    struct owm_mine_engine *engine = NULL;
    if (owm_mine_engine_open(&options, &engine, &error) != OWM_OK) fail_msg("%s", error.text);
    return engine;
}

/* One hit in about 2^bits hashes. */
static struct owm_mine_work *make_work(unsigned bits, uint32_t mask, uint64_t tip)
{
    struct owm_mine_work *work = owm_mine_work_new();
    assert_non_null(work);
    work->tip = tip;
    work->job_id = (uint32_t)tip;
    work->version = 0x20000000;
    work->version_mask = mask;
    work->bits = 0x207fffff;
    work->min_time_s = 1700000000;
    work->received_ms = (int64_t)owm_clock_mono_ms();
    work->previous[5] = (uint8_t)tip;
    work->target[31 - bits / 8] = (uint8_t)(1 << (7 - bits % 8));
    return work;
}

static void header_of(const struct owm_mine_share *share, uint8_t header[80])
{
    uint32_t words[] = {share->version, share->time_s, share->work->bits, share->nonce};
    memcpy(header, &words[0], 4);
    memcpy(header + 4, share->work->previous, 32);
    owm_mine_work_root(share->work, share->extranonce, header + 36);
    memcpy(header + 68, &words[1], 12);
}

static void check_share(const struct owm_mine_share *share, uint8_t hash[32])
{
    uint8_t header[80];
    header_of(share, header);
    owm_sha256(header, sizeof header, hash);
    owm_sha256(hash, 32, hash);
    assert_true(owm_sha256d_meets(hash, share->work->target));
    assert_int_equal(share->block, owm_sha256d_meets(hash, share->work->network_target));
    assert_int_equal(share->version & ~share->work->version_mask,
                     share->work->version & ~share->work->version_mask);
    assert_true(share->time_s >= share->work->min_time_s);
    assert_true(share->time_s <= owm_mine_work_time(share->work, (int64_t)owm_clock_mono_ms()));
}

#define HITS 200

/* Gathers hits of the newest work until there are HITS; all differ. */
static void gather(struct owm_mine_engine *engine, uint64_t tip)
{
    static uint8_t hashes[HITS][32];
    size_t count = 0;
    uint64_t end_ms = owm_clock_mono_ms() + 30000;
    while (count < HITS && owm_clock_mono_ms() < end_ms) {
        struct owm_mine_share share;
        if (!owm_mine_engine_hit(engine, &share)) {
            owm_clock_sleep_ms(2);
            continue;
        }
        if (share.work->tip == tip) {
            check_share(&share, hashes[count]);
            for (size_t i = 0; i < count; i++)
                assert_memory_not_equal(hashes[i], hashes[count], 32);
            count++;
        }
        owm_mine_work_release(share.work);
    }
    assert_int_equal(count, HITS);
}

static void hits_are_real_and_different(void **state)
{
    struct owm_mine_engine *engine = open_engine(100);
    (void)state;
    owm_mine_engine_work(engine, make_work(14, OWM_SV2_VERSION_MASK, 1));
    gather(engine, 1);
    struct owm_mine_work *extended = make_work(14, 0, 2); /* Rolls the extranonce alone. */
    extended->is_extended = true;
    extended->extended.coinbase_bytes = 100;
    extended->extended.rolled_at = 40;
    extended->extended.rolled_bytes = 8;
    extended->extended.branches = 3;
    memset(extended->network_target, 0xff, 32);
    owm_mine_engine_work(engine, extended);
    gather(engine, 2);
    owm_mine_engine_work(engine, make_work(14, 0, 3)); /* Rolls the time alone. */
    gather(engine, 3);
    owm_mine_engine_close(engine);
}

static void a_new_tip_is_taken_up_at_once(void **state)
{
    struct owm_mine_engine *engine = open_engine(100);
    struct owm_mine_engine_health health;
    (void)state;
    for (uint64_t tip = 1; tip <= 8; tip++) {
        owm_mine_engine_work(engine, make_work(200, OWM_SV2_VERSION_MASK, tip));
        owm_clock_sleep_ms(150);
    }
    owm_mine_engine_health_get(engine, &health);
    printf("a new tip is mined on after %.0f ms, at most %.0f ms\n", health.switch_ms,
           health.switch_ms_max);
    assert_true(health.switch_ms < 1000); /* The goal of 50 ms is owm-bench's to judge. */
    owm_mine_engine_close(engine);
}

static uint64_t hashes_of(const struct owm_mine_engine *engine)
{
    struct owm_mine_scanner_stats stats;
    uint64_t sum = 0;
    for (size_t i = 0; i < owm_mine_engine_count(engine); i++) {
        owm_mine_engine_stats(engine, i, &stats);
        sum += stats.hashes;
    }
    return sum;
}

static void pause_and_intensity_are_kept(void **state)
{
    struct owm_mine_engine *engine = open_engine(100);
    (void)state;
    owm_mine_engine_work(engine, make_work(200, OWM_SV2_VERSION_MASK, 1));
    owm_clock_sleep_ms(200);
    owm_mine_engine_pause(engine, true);
    owm_clock_sleep_ms(500);
    uint64_t before = hashes_of(engine);
    owm_clock_sleep_ms(200);
    assert_true(hashes_of(engine) == before);
    assert_true(before > 0);
    owm_mine_engine_pause(engine, false);
    owm_clock_sleep_ms(500);
    assert_true(hashes_of(engine) > before);
    owm_mine_engine_close(engine);

    engine = open_engine(0);
    owm_mine_engine_work(engine, make_work(200, OWM_SV2_VERSION_MASK, 1));
    owm_clock_sleep_ms(100);
    assert_true(hashes_of(engine) == 0);
    owm_mine_engine_close(engine);
}

static void devices_that_are_not_there_are_named(void **state)
{
    static const char *const bad[] = {"gpu",
                                      "cuda:",
                                      "cpu:1",
                                      "cuda:99",
                                      "cuda:1x",
                                      ",",
                                      "a-name-that-is-much-too-long-for-a-device"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct owm_error error = {.text = ""};
        struct owm_mine_engine_options options = {
            .devices = bad[i], .intensity = 100, .on_hit = on_hit};
        struct owm_mine_engine *engine = NULL;
        assert_int_not_equal(owm_mine_engine_open(&options, &engine, &error), OWM_OK);
        assert_true(error.text[0] != '\0');
    }
}

static void addresses_of_pools(void **state)
{
    struct owm_mine_pool pool;
    struct owm_error error;
    (void)state;
    assert_ok(owm_mine_pool_parse("stratum2+tcp://pool.example:3334", &pool, &error));
    assert_string_equal(pool.host, "pool.example");
    assert_int_equal(pool.port, 3334);
    assert_false(pool.has_authority);
    assert_ok(owm_mine_pool_parse("stratum2+tcp://[::1]/"
                                  "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh",
                                  &pool, &error));
    assert_string_equal(pool.host, "::1");
    assert_int_equal(pool.port, 3333);
    assert_true(pool.has_authority);
    static const char *const bad[] = {
        "stratum+tcp://pool.example:3333", /* SRS-SEC-16 */
        "stratum2+tcp://abc.onion:3333",   /* SRS-NET-05 */
        "stratum2+tcp://abc.ONION.",
        "pool.example:3333",
        "stratum2+tcp://",
        "stratum2+tcp://:3333",
        "stratum2+tcp://a:0",
        "stratum2+tcp://a:65536",
        "stratum2+tcp://a:+1",
        "stratum2+tcp://a:12x",
        "stratum2+tcp://a:",
        "stratum2+tcp://[::1",
        "stratum2+tcp://[::1]x:1",
        "stratum2+tcp://a:1/9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXx",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error.text[0] = '\0';
        if (owm_mine_pool_parse(bad[i], &pool, &error) == OWM_OK) fail_msg("%s", bad[i]);
        assert_true(error.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_pools),
        cmocka_unit_test(hits_are_real_and_different),
        cmocka_unit_test(a_new_tip_is_taken_up_at_once),
        cmocka_unit_test(pause_and_intensity_are_kept),
        cmocka_unit_test(devices_that_are_not_there_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

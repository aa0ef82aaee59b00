/* test_report.c: what is collected without a database: the strongest miners, questions that wait,
 * reasons of bad health, metrics, and numbers as people read them. */
#include "test.h"

#include "base/clock.h"
#include "bitcoin_double.h"
#include "bitcoin_events.h"
#include "pool/meters.h"
#include "pool/page_format.h"
#include "pool/report.h"

#define MINERS 30

struct world {
    struct owm_pool_stats *stats;
    struct owm_workers *workers;
    struct owm_report_loop loop;
    struct owm_report_options options;
    struct owm_report *report;
};

static void open_world(struct world *world)
{
    *world = (struct world){.stats = calloc(1, sizeof *world->stats)};
    assert_ok(owm_workers_open(1000, &world->workers));
    world->loop = (struct owm_report_loop){.stats = world->stats, .workers = world->workers};
    world->options = (struct owm_report_options){.loops = &world->loop,
                                                 .loop_count = 1,
                                                 .database_url = "host=/nowhere dbname=none",
                                                 .network = "regtest"};
}

static void close_world(struct world *world)
{
    owm_report_close(world->report);
    owm_workers_close(world->workers);
    free(world->stats);
}

static void miner_of(unsigned n, struct owm_miner *miner)
{
    char name[16];
    snprintf(name, sizeof name, "miner%u", n);
    assert_true(owm_miner_of(OWM_MINER_NAMED, name, miner));
}

/* Miner n is n times as strong as miner 1. */
static void put_miners(struct world *world, unsigned count)
{
    int64_t now_ms = (int64_t)owm_clock_mono_ms();
    for (unsigned n = 1; n <= count; n++) {
        struct owm_miner miner;
        struct owm_worker worker;
        miner_of(n, &miner);
        assert_true(owm_worker_of("rig", &worker));
        uint32_t index = owm_workers_claim(world->workers, &miner, &worker, now_ms - 3600000);
        owm_rate_add(&owm_workers_at(world->workers, index)->rate, n * 1000000ull, now_ms);
    }
}

/* SRS-POOL-09: hashrate per miner, however many there are. */
static void strongest_are_named_and_the_rest_summed(void **state)
{
    (void)state;
    struct world world;
    open_world(&world);
    put_miners(&world, MINERS);
    assert_ok(owm_report_open(&world.options, &world.report));
    struct owm_report_now now = owm_report_lock(world.report);
    const struct owm_report_live *live = now.live;
    assert_int_equal(live->miners, MINERS);
    assert_int_equal(live->top_count, OWM_REPORT_TOP);
    assert_int_equal(live->rest_miners, MINERS - OWM_REPORT_TOP);
    double one = 0, rest = 0;
    for (unsigned i = 0; i < OWM_REPORT_TOP; i++) {
        struct owm_miner miner;
        miner_of(MINERS - i, &miner);
        assert_string_equal(live->top[i].miner.text, miner.text);
        one = live->top[i].hashes_per_s[OWM_RATE_10M] / (MINERS - i);
        assert_true(one > 0);
    }
    for (unsigned n = 1; n <= MINERS - OWM_REPORT_TOP; n++) rest += n * one;
    double told = live->rest_hashes_per_s[OWM_RATE_10M];
    assert_true(told > rest * 0.999 && told < rest * 1.001);
    owm_report_unlock(world.report);
    close_world(&world);
}

/* Strangers' questions take a bounded room, and the database's absence answers nobody's wrongly. */
static void questions_are_bounded(void **state)
{
    (void)state;
    struct world world;
    struct owm_report_view *view;
    struct owm_miner miner;
    open_world(&world);
    put_miners(&world, 1);
    assert_ok(owm_report_open(&world.options, &world.report));
    for (unsigned n = 0; n < OWM_REPORT_WAITING_MAX; n++) {
        miner_of(n, &miner);
        assert_int_equal(owm_report_ask(world.report, &miner, &view), OWM_E_TIMEOUT);
    }
    miner_of(OWM_REPORT_WAITING_MAX, &miner);
    assert_int_equal(owm_report_ask(world.report, &miner, &view), OWM_E_LIMIT);
    assert_null(view);
    assert_ok(owm_report_start(world.report, NULL, NULL)); /* Now they are answered: it is away. */
    miner_of(1, &miner);
    owm_status status = OWM_E_TIMEOUT;
    for (int i = 0; i < 400 && status == OWM_E_TIMEOUT; i++) {
        owm_clock_sleep_ms(25);
        status = owm_report_ask(world.report, &miner, &view);
    }
    assert_int_equal(status, OWM_OK);
    assert_true(view->live);
    assert_int_equal(view->taken_ms, 0);
    assert_string_equal(view->workers[0].name, "rig");
    free(view);
    miner_of(2, &miner);
    for (int i = 0; i < 400; i++) {
        status = owm_report_ask(world.report, &miner, &view);
        if (status != OWM_E_TIMEOUT) break;
        owm_clock_sleep_ms(25);
    }
    assert_int_equal(status, OWM_E_NET); /* Not "no such miner". */
    close_world(&world);
}

static bool has_reason(struct owm_report *report, const char *part)
{
    struct owm_report_reason reasons[OWM_REPORT_REASONS_MAX];
    bool found = false;
    owm_report_lock(report);
    size_t count = owm_report_reasons(report, reasons);
    owm_report_unlock(report);
    for (size_t i = 0; i < count; i++) found |= strstr(reasons[i].text, part) != NULL;
    return found;
}

static void bad_health_has_its_reasons(void **state)
{
    (void)state;
    struct world world;
    char url[64];
    struct owm_error error = {""};
    struct bitcoin_events events;
    struct bitcoin_double *node = bitcoin_double_open();
    struct owm_bitcoin *bitcoin = NULL;
    bitcoin_double_url(node, url);
    bitcoin_events_init(&events);
    struct owm_bitcoin_node config = {.url = url};
    struct owm_bitcoin_options options = {.nodes = &config,
                                          .node_count = 1,
                                          .network = OWM_REGTEST,
                                          .refresh_s = 1,
                                          .timeout_ms = 1000,
                                          .events = bitcoin_events_of(&events)};
    if (owm_bitcoin_open(&options, &bitcoin, &error) != OWM_OK) fail_msg("%s", error.text);
    open_world(&world);
    world.options.bitcoin = bitcoin;
    world.options.template_age_max_ms = 3600000;
    world.options.database_away_max_ms = 500;
    assert_ok(owm_report_open(&world.options, &world.report));
    assert_true(has_reason(world.report, "nothing to mine"));
    assert_false(has_reason(world.report, "no Bitcoin node"));
    assert_false(has_reason(world.report, "database"));
    assert_ok(owm_report_start(world.report, NULL, NULL));
    bitcoin_double_die(node);
    WAIT_FOR(has_reason(world.report, "no Bitcoin node gives templates"), 20000);
    WAIT_FOR(has_reason(world.report, "the database has not answered"), 20000);
    close_world(&world);
    owm_bitcoin_close(bitcoin);
    bitcoin_events_deinit(&events);
    bitcoin_double_close(node);
}

/* ---------------------------------------------------------------------------- metrics */

static char *metrics_of(struct world *world)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct owm_report_now now = owm_report_lock(world->report);
    owm_pool_meters(out, &now);
    owm_report_unlock(world->report);
    fclose(out);
    return text;
}

static void assert_line(const char *text, const char *format, const char *label, unsigned value)
{
    char line[256];
    snprintf(line, sizeof line, format, label, value);
    if (!strstr(text, line)) fail_msg("no line %s", line);
}

/* One counter per reason of each kind; each name is declared once, before its first sample. */
static void metrics_are_whole(void **state)
{
    (void)state;
    struct world world;
    open_world(&world);
    for (unsigned i = 0; i < OWM_REJECTS; i++) owm_count(&world.stats->rejected[i], i + 1);
    for (unsigned i = 0; i < OWM_CLOSES; i++) owm_count(&world.stats->closed[i], i + 1);
    owm_latency_add(&world.stats->ack, 500, 3);
    owm_latency_add(&world.stats->ack, 5000000, 2);
    owm_latency_add(&world.stats->ack, 60000000000, 1);
    assert_ok(owm_report_open(&world.options, &world.report));
    char *text = metrics_of(&world);
    for (unsigned i = 0; i < OWM_REJECTS; i++)
        assert_line(text, "\nowm_pool_shares_rejected_total{reason=\"%s\"} %u\n",
                    owm_reject_text((enum owm_reject)i), i + 1);
    for (unsigned i = 0; i < OWM_CLOSES; i++)
        assert_line(text, "\nowm_pool_connections_closed_total{reason=\"%s\"} %u\n",
                    owm_close_text((enum owm_close)i), i + 1);
    assert_line(text, "\nowm_pool_ack_seconds_bucket{le=\"%s\"} %u\n", "1.024e-06", 3);
    assert_line(text, "\nowm_pool_ack_seconds_bucket{le=\"%s\"} %u\n", "0.008388608", 5);
    assert_line(text, "\nowm_pool_ack_seconds_bucket{le=\"%s\"} %u\n", "+Inf", 6);
    assert_line(text, "\nowm_pool_ack_seconds_%s %u\n", "count", 6);
    char *rest = text, *line, type[128] = "";
    while ((line = strsep(&rest, "\n")) && rest) {
        char name[128];
        if (sscanf(line, "# TYPE %127s", name) == 1) {
            char again[160];
            snprintf(again, sizeof again, "# TYPE %s ", name);
            assert_null(strstr(rest, again));
            snprintf(type, sizeof type, "%s", name);
        } else if (line[0] != '#') {
            assert_int_equal(strncmp(line, type, strlen(type)), 0);
        }
    }
    free(text);
    close_world(&world);
}

/* ---------------------------------------------------------------------------- texts */

static void numbers_read_well(void **state)
{
    (void)state;
    char text[OWM_FORMAT_BYTES];
    assert_string_equal(owm_format_rate(0, text), "0 H/s");
    assert_string_equal(owm_format_rate(999.4, text), "999 H/s");
    assert_string_equal(owm_format_rate(999.6, text), "1.00 kH/s");
    assert_string_equal(owm_format_rate(1.2345e12, text), "1.23 TH/s");
    assert_string_equal(owm_format_rate(99.96e15, text), "100 PH/s");
    assert_string_equal(owm_format_rate(-1, text), "0 H/s");
    assert_string_equal(owm_format_rate(1e300, text) ? "fits" : "", "fits");
    assert_string_equal(owm_format_large(126982285146989.3, text), "127 T");
    assert_string_equal(owm_format_count(0, text), "0");
    assert_string_equal(owm_format_count(1000, text), "1,000");
    assert_string_equal(owm_format_count(UINT64_MAX, text), "18,446,744,073,709,551,615");
    assert_string_equal(owm_format_sats(1234.5678, text), "1,234.567 sats");
    assert_string_equal(owm_format_sats(1, text), "1 sat");
    assert_string_equal(owm_format_sats(-5, text), "0 sats");
    assert_string_equal(owm_format_small_sats(0.000032921, text), "0.00003292 sats");
    assert_string_equal(owm_format_small_sats(0.5, text), "0.5000 sats");
    assert_string_equal(owm_format_small_sats(0, text), "0 sats");
    assert_string_equal(owm_format_ns(20512, text), "20.5 µs");
    assert_string_equal(owm_format_ns(3100000, text), "3.1 ms");
    assert_string_equal(owm_format_ago(-1, text), "never");
    assert_string_equal(owm_format_ago(61000, text), "61 s ago");
    assert_string_equal(owm_format_ago(7199000, text), "119 min ago");
    assert_string_equal(owm_format_span(180000000, text), "2 days");
    assert_string_equal(owm_format_time(0, text), "1970-01-01 00:00:00 UTC");
    assert_string_equal(owm_format_clock(3600000, text), "01:00:00 UTC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strongest_are_named_and_the_rest_summed),
        cmocka_unit_test(questions_are_bounded),
        cmocka_unit_test(bad_health_has_its_reasons),
        cmocka_unit_test(metrics_are_whole),
        cmocka_unit_test(numbers_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

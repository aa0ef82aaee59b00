/* test_coordinator_proofs.c: rounds of a real coordinator whose calendar is away, silent or good,
 * and kill -9 while it stamps (SRS-OTS-01, SRS-OTS-02, SRS-OTS-05, SRS-COORD-03, promise 3). */
#include "base/clock.h"
#include "calendar_double.h"
#include "round_steps.h"
#include "test.h"

static struct calendar calendar;

static int64_t stamped(void)
{
    return coordinator_count(
        &network, "SELECT count(*) FROM model_versions WHERE ots_stamped_at IS NOT NULL");
}

static void wait_for_stamps(int64_t wanted)
{
    for (int i = 0; i < 400 && stamped() < wanted; i++) owm_clock_sleep_ms(50);
    assert_int_equal(stamped(), wanted);
}

static int64_t rounds_opened(void)
{
    return coordinator_count(&network, "SELECT count(*) FROM fl_rounds");
}

/* SRS-OTS-05: nobody trains on a checkpoint without a promise, nothing answers with one without a
 * block, and the page says why. */
static void test_waits_SRS_OTS_05(void **state)
{
    (void)state;
    char id[40], code[32];
    for (int i = 0; i < 30; i++) {
        beat();
        owm_clock_sleep_ms(50);
    }
    assert_int_equal(rounds_opened(), 0);
    assert_int_equal(stamped(), 0);
    char *page = coordinator_page(&network, "/");
    assert_non_null(strstr(page, "<b>proofs</b>"));
    free(page);
    try_inference(&network, "early", "", id, code);
    assert_string_equal(code, "NO_MODEL");
    calendar.mood = CALENDAR_PROMISES;
    wait_for_stamps(1);
    for (int i = 0; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
    wait_for_rounds(1);
    wait_for_stamps(2);
    try_inference(&network, "promised", "", id, code);
    assert_string_equal(code, "NO_MODEL"); /* A promise is no block. */
    assert_sound();
}

/* Promise 3: killed while its calendar does not answer, and right after it did: the proof comes,
 * the round goes on, nothing is counted twice. */
static void test_killed_while_stamping_SRS_OTS_01(void **state)
{
    (void)state;
    for (unsigned moment = 0; moment < 4; moment++) {
        int64_t before = rounds_complete();
        if (moment % 2 == 0) calendar.mood = CALENDAR_SILENT;
        for (int i = 0; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
        wait_for_rounds(before + 1);
        owm_clock_sleep_ms(moment * 20);
        coordinator_kill(&network);
        calendar.mood = CALENDAR_PROMISES;
        coordinator_start(&network);
        reconnect_all();
        wait_for_stamps(before + 2);
        assert_sound();
    }
    assert_int_equal(
        coordinator_count(&network, "SELECT count(*) FROM fl_rounds WHERE status = 'failed'"), 0);
}

static int close_everything(void **state)
{
    int failed = close_all(state);
    calendar_close(&calendar);
    return failed;
}

int main(void)
{
    char url[96];
    calendar_open(&calendar, CALENDAR_BROKEN);
    snprintf(url, sizeof(url), "--provenance.calendars=%s", calendar.url);
    /* No round begins before all are back: each of them is to work in it. */
    const char *const options[] = {url,
                                   "--rounds.min_participants=4",
                                   "--provenance.calendars_needed=1",
                                   "--provenance.retry_min_s=1",
                                   "--provenance.retry_max_s=2",
                                   "--provenance.bitcoin_network=regtest",
                                   NULL};
    if (!open_all("proofs", options)) {
        calendar_close(&calendar);
        return TEST_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_SRS_OTS_05),
        cmocka_unit_test(test_killed_while_stamping_SRS_OTS_01),
    };
    return cmocka_run_group_tests_name("proofs", tests, NULL, close_everything);
}

/* test_calendar.c: calendars that answer, and those that do everything else. */
#include "base/clock.h"
#include "base/sha256.h"
#include "calendar_double.h"
#include "dataplane/ots/calendar.h"
#include "test.h"

static const uint8_t digest[32] = {0xd1, 0x9e};

static struct owm_ots_bytes text(const char *uri)
{
    return (struct owm_ots_bytes){(const uint8_t *)uri, (uint32_t)strlen(uri)};
}

/* The list of the reference client, host by host and nothing behind it. */
static void only_listed_calendars_are_asked(void **state)
{
    (void)state;
    static const char *const own[] = {"http://127.0.0.1:14788/"};
    const struct owm_ots_calendars calendars = {.own = own, .own_count = 1};
    static const char *const listed[] = {
        "https://alice.btc.calendar.opentimestamps.org",
        "https://finney.calendar.eternitywall.com",
        "https://btc.calendar.catallaxy.com",
        "http://127.0.0.1:14788",
        "http://127.0.0.1:14788/",
    };
    static const char *const others[] = {
        "",
        "https://",
        "http://alice.btc.calendar.opentimestamps.org",
        "https://alice.btc.calendar.opentimestamps.org/",
        "https://alice.btc.calendar.opentimestamps.org/path",
        "https://alice.btc.calendar.opentimestamps.org:8443",
        "https://alice.btc.calendar.opentimestamps.org.example.com",
        "https://example.com/.calendar.opentimestamps.org",
        "https://calendar.opentimestamps.org",
        "ftp://alice.btc.calendar.opentimestamps.org",
        "http://127.0.0.1:14788/path",
        "http://127.0.0.1:1478",
        "http://169.254.169.254",
    };
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++)
        if (!owm_ots_calendar_listed(&calendars, text(listed[i]), NULL)) fail_msg("%s", listed[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (owm_ots_calendar_listed(&calendars, text(others[i]), NULL)) fail_msg("%s", others[i]);
}

/* SRS-OTS-02: one calendar is not two by being written otherwise. */
static void a_calendar_is_one_in_any_spelling(void **state)
{
    (void)state;
    static const char alice[] = "https://alice.btc.calendar.opentimestamps.org";
    assert_true(owm_ots_calendar_same(text(alice), text(alice)));
    assert_true(owm_ots_calendar_same(text(alice),
                                      text("https://ALICE.btc.calendar.OpenTimestamps.org//")));
    assert_false(
        owm_ots_calendar_same(text(alice), text("https://bob.btc.calendar.opentimestamps.org")));
    assert_false(owm_ots_calendar_same(text(alice), text("https://alice.btc.calendar")));
    assert_true(owm_ots_calendar_same(text(""), text("/")));
}

struct asked {
    struct owm_ots_tree tree;
    struct owm_ots_told told[4];
    struct owm_error error;
    owm_status status;
    uint64_t ms;
};

static void submit(struct calendar *doubles, size_t count, size_t needed, struct asked *asked)
{
    const char *urls[4];
    for (size_t i = 0; i < count; i++) urls[i] = doubles[i].url;
    const struct owm_ots_calendars calendars = {
        .own = urls, .own_count = count, .deadline_ms = 1000};
    const struct owm_ots_submission submission = {urls, count, needed, asked->told};
    assert_ok(owm_ots_tree_init(&asked->tree, (struct owm_ots_bytes){digest, 32}, NULL));
    const struct owm_ots_leaf at = {&asked->tree, OWM_OTS_ROOT};
    uint64_t start = owm_clock_mono_ms();
    asked->status = owm_ots_submit(&calendars, &submission, &at, &asked->error);
    asked->ms = owm_clock_mono_ms() - start;
}

/* SRS-PERF-10: all at once; a dead one costs its deadline, not the stamp. */
static void two_of_four_are_enough(void **state)
{
    (void)state;
    struct calendar doubles[4];
    struct asked asked;
    calendar_open(&doubles[0], CALENDAR_SILENT);
    calendar_open(&doubles[1], CALENDAR_PROMISES);
    calendar_open(&doubles[2], CALENDAR_GARBAGE);
    calendar_open(&doubles[3], CALENDAR_PROMISES);
    submit(doubles, 4, 2, &asked);
    assert_int_equal(asked.status, OWM_OK);
    assert_int_equal(asked.tree.attestation_count, 2);
    assert_int_equal(asked.told[0].status, OWM_E_TIMEOUT);
    assert_int_equal(asked.told[1].status, OWM_OK);
    assert_int_equal(asked.told[2].status, OWM_E_PROTO);
    assert_memory_equal(doubles[3].digest, digest, 32);
    assert_in_range(asked.ms, 900, 5000);
    owm_ots_tree_deinit(&asked.tree);
    for (int i = 0; i < 4; i++) calendar_close(&doubles[i]);
}

static void assert_useless(enum calendar_mood mood, owm_status status, const char *why)
{
    struct calendar calendar;
    struct asked asked;
    calendar_open(&calendar, mood);
    submit(&calendar, 1, 1, &asked);
    calendar_close(&calendar);
    assert_int_equal(asked.status, OWM_E_NET);
    if (asked.told[0].status != status)
        fail_msg("mood %d: %s: %s", mood, owm_status_text(asked.told[0].status),
                 asked.told[0].error.text);
    if (!strstr(asked.told[0].error.text, why)) fail_msg("said: %s", asked.told[0].error.text);
    assert_null(strchr(asked.told[0].error.text, '\x1b'));
    assert_null(strchr(asked.told[0].error.text, '\n'));
    assert_int_equal(asked.tree.node_count, 1);
    assert_true(calendar.sent_bytes < 100u << 20); /* What the sockets hold, not 1 GB. */
    assert_int_equal(calendar.requests, 1);
    owm_ots_tree_deinit(&asked.tree);
}

static void each_misbehaviour_is_told_and_merges_nothing(void **state)
{
    (void)state;
    assert_useless(CALENDAR_SILENT, OWM_E_TIMEOUT, "");
    assert_useless(CALENDAR_GARBAGE, OWM_E_PROTO, "answers with no proof: at byte 1");
    assert_useless(CALENDAR_UNKNOWN, OWM_E_PROTO, "promises no block");
    assert_useless(CALENDAR_BOASTS, OWM_E_PROTO, "2 promises, 0 blocks and 4 operations");
    assert_useless(CALENDAR_FORGES, OWM_E_PROTO, "1 promises, 1 blocks");
    assert_useless(CALENDAR_CROWDS, OWM_E_PROTO, "one promise was expected");
    assert_useless(CALENDAR_REDIRECTS, OWM_E_NET, "points elsewhere");
    assert_useless(CALENDAR_FLOODS, OWM_E_LIMIT, "");
    assert_useless(CALENDAR_BROKEN, OWM_E_NET, "HTTP 500: 2Jno; fake line");
}

static owm_status upgrade(struct calendar *calendar, struct owm_ots_tree *tree,
                          const struct owm_ots_check *check, struct owm_ots_upgraded *upgraded)
{
    const char *const own[] = {calendar->url};
    const struct owm_ots_calendars calendars = {.own = own, .own_count = 1, .deadline_ms = 1000};
    assert_ok(owm_ots_upgrade(&calendars, tree, check, upgraded, NULL));
    assert_int_equal(upgraded->asked, 1);
    return upgraded->told[0].status;
}

static owm_status never(void *ctx, const struct owm_ots_tree *answer, struct owm_error *error)
{
    (void)ctx;
    (void)answer;
    return owm_fail(error, OWM_E_PROTO, "no such block");
}

static void a_promise_is_asked_for_until_it_is_kept(void **state)
{
    (void)state;
    struct calendar calendar;
    struct asked asked;
    static struct owm_ots_upgraded upgraded;
    const struct owm_ots_check check = {NULL, never};
    calendar_open(&calendar, CALENDAR_PROMISES);
    calendar.height = 7;
    submit(&calendar, 1, 1, &asked);
    assert_int_equal(asked.status, OWM_OK);
    struct owm_ots_tree *tree = &asked.tree;
    assert_int_equal(upgrade(&calendar, tree, NULL, &upgraded), OWM_E_AGAIN);
    assert_non_null(strstr(upgraded.told[0].error.text, "Pending confirmation in Bitcoin"));
    calendar.mood = CALENDAR_FLOODS;
    assert_int_equal(upgrade(&calendar, tree, NULL, &upgraded), OWM_E_LIMIT);
    calendar.mood = CALENDAR_REDIRECTS;
    assert_int_equal(upgrade(&calendar, tree, NULL, &upgraded), OWM_E_NET);
    calendar.mood = CALENDAR_MINED;
    assert_int_equal(upgrade(&calendar, tree, &check, &upgraded), OWM_E_PROTO);
    assert_int_equal(tree->attestation_count, 1);
    assert_int_equal(upgrade(&calendar, tree, NULL, &upgraded), OWM_OK);
    assert_int_equal(upgraded.added, 1);
    assert_int_equal(tree->attestation_count, 2);
    assert_int_equal(upgrade(&calendar, tree, NULL, &upgraded), OWM_E_AGAIN);
    calendar_close(&calendar);
    owm_ots_tree_deinit(tree);
}

static void strangers_are_not_asked(void **state)
{
    (void)state;
    struct calendar calendar;
    struct owm_ots_tree tree;
    struct owm_ots_attestation pending;
    static struct owm_ots_upgraded upgraded;
    const struct owm_ots_calendars none = {.own = NULL};
    calendar_open(&calendar, CALENDAR_MINED);
    assert_ok(owm_ots_tree_init(&tree, (struct owm_ots_bytes){digest, 32}, NULL));
    assert_ok(owm_ots_pending(calendar.url, &pending, NULL));
    assert_ok(owm_ots_add_attestation(&tree, OWM_OTS_ROOT, &pending, NULL, NULL));
    assert_ok(owm_ots_upgrade(&none, &tree, NULL, &upgraded, NULL));
    assert_int_equal(upgraded.told[0].status, OWM_E_PERM);
    assert_int_equal(calendar.requests, 0);
    calendar_close(&calendar);
    owm_ots_tree_deinit(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_listed_calendars_are_asked),
        cmocka_unit_test(a_calendar_is_one_in_any_spelling),
        cmocka_unit_test(two_of_four_are_enough),
        cmocka_unit_test(each_misbehaviour_is_told_and_merges_nothing),
        cmocka_unit_test(a_promise_is_asked_for_until_it_is_kept),
        cmocka_unit_test(strangers_are_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

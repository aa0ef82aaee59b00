/* test_coordinator_verdicts.c: what becomes of a package, from screening to receipt and earnings,
 * on a network with a held-out text (SRS-MODEL-07, SRS-MODEL-08, SRS-SEC-05, SRS-COORD-03, TST-02).
 */
#include <assert.h>
#include <unistd.h>

#include "base/clock.h"
#include "dataplane/fl/screen.h"
#include "round_steps.h"
#include "test.h"

#define HELDOUT_BYTES (1 << 20) /* long enough that an aggregation can be met in the middle */

static char heldout[] = "/tmp/owm-heldout-XXXXXX";

/* 65 bytes and the terminator: one window of the model's context, and the byte after it. */
static const char line[] = HELDOUT_LINE;
static_assert(sizeof(line) == 66, "the length of a window");

static int64_t count(const char *sql)
{
    return coordinator_count(&network, sql);
}

static void all(struct wrong wrong)
{
    for (int i = 0; i < NODES; i++) assert_string_equal(work(i, wrong), "");
}

static void wait_for(const char *sql, int64_t value)
{
    for (int i = 0; i < 2000 && count(sql) < value; i++) owm_clock_sleep_ms(10);
    if (count(sql) < value) fail_msg("waited in vain: %s", sql);
}

/* TST-02, SRS-MODEL-08, SRS-SEC-05: among updates that lower the held-out loss, one of the same
 * size that raises it is left out for that, and earns nothing; the others are included, paid once,
 * and can ask for both. */
static void test_one_harmful(void **state)
{
    (void)state;
    struct owm_receipt receipt;
    int64_t before = rounds_complete();
    assert_string_equal(work(0, (struct wrong){.flipped = true}), "");
    for (int i = 1; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
    wait_for_rounds(before + 1);
    assert_int_equal(count("SELECT count(*) FROM fl_rounds WHERE heldout_after < heldout_before"),
                     1);
    assert_string_equal(fake_node_receipt(&node[0], &receipt), "not_included");
    assert_int_equal(receipt.verdict, OWM_RECEIPT_NOT_INCLUDED);
    assert_int_equal(receipt.reason, OWM_SCREEN_LOSS);
    assert_string_equal(fake_node_receipt(&node[1], &receipt), "included");
    assert_int_equal(receipt.verdict, OWM_RECEIPT_INCLUDED);
    assert_true(receipt.weight > 0);
    PB(EarningsResponse) *earnings = fake_node_earnings(&node[0], 10);
    assert_int_equal(earnings->n_earnings, 0);
    assert_int_equal(earnings->owed_msat, 0);
    owm__coordinator__v1__earnings_response__free_unpacked(earnings, NULL);
    earnings = fake_node_earnings(&node[1], 10);
    assert_int_equal(earnings->n_earnings, 1);
    assert_string_equal(earnings->earnings[0]->purpose, "fl_round");
    assert_string_equal(earnings->earnings[0]->state, "owed");
    assert_int_equal(earnings->earnings[0]->round, node[1].round);
    assert_true(earnings->earnings[0]->amount_msat > 0);
    assert_true(earnings->owed_msat == earnings->earnings[0]->amount_msat);
    assert_int_equal(earnings->settled_msat, 0);
    owm__coordinator__v1__earnings_response__free_unpacked(earnings, NULL);
    /* Another node's package is nobody's business. */
    memcpy(node[2].package_hash, node[1].package_hash, 32);
    assert_string_equal(fake_node_receipt(&node[2], &receipt), "unknown");
    assert_sound();
}

/* TST-02, SRS-MODEL-07: updates with nothing in them, from everyone. Nothing is included: the round
 * fails at the first try, each node gets its signed receipt, nobody is paid, the checkpoint stays.
 */
static void test_nothing_included(void **state)
{
    (void)state;
    int64_t paid = count("SELECT count(*) FROM payments");
    all((struct wrong){.zero = true});
    wait_for("SELECT count(*) FROM fl_rounds WHERE status = 'failed'", 1);
    assert_int_equal(count("SELECT max(aggregate_attempts) FROM fl_rounds"), 0);
    for (int i = 0; i < NODES; i++) {
        struct owm_receipt receipt;
        assert_string_equal(fake_node_receipt(&node[i], &receipt), "not_included");
        assert_int_equal(receipt.verdict, OWM_RECEIPT_NOT_INCLUDED);
        assert_int_equal(receipt.reason, OWM_SCREEN_NOT_FINITE);
    }
    assert_int_equal(count("SELECT count(*) FROM payments"), paid);
    assert_sound();
}

/* An upload that broke off goes on where it was. */
static void test_upload_resumes(void **state)
{
    (void)state;
    struct owm_receipt receipt;
    int64_t before = rounds_complete();
    all((struct wrong){.resumed = true});
    wait_for_rounds(before + 1);
    assert_string_equal(fake_node_receipt(&node[3], &receipt), "included");
    assert_sound();
}

/* SRS-COORD-03, promise 1: kill -9 in the middle of an aggregation, for certain. The next process
 * aggregates again, and everything is counted once. */
static void test_killed_while_aggregating(void **state)
{
    (void)state;
    int64_t before = rounds_complete();
    all((struct wrong){0});
    wait_for("SELECT count(*) FROM fl_rounds WHERE status = 'aggregating'", 1);
    coordinator_kill(&network);
    assert_int_equal(count("SELECT count(*) FROM fl_rounds WHERE status = 'aggregating'"), 1);
    coordinator_start(&network);
    reconnect_all();
    wait_for_rounds(before + 1);
    assert_sound();
}

/* TST-03: a package is uploaded in time and reported after the round has closed. It is refused as
 * such, the receipt says late, and it earns nothing. */
static void test_late(void **state)
{
    (void)state;
    struct owm_receipt receipt;
    uint8_t *plain = NULL;
    size_t bytes = 0;
    int64_t before = rounds_complete();
    PB(Task) *task = next_task(0, &plain, &bytes);
    assert_string_equal(fake_node_upload(&node[0], task, plain, bytes, (struct wrong){0}), "");
    for (int i = 1; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
    for (int i = 0; i < 200 && rounds_complete() == before; i++) {
        beat();
        owm_clock_sleep_ms(50);
    }
    /* ROUND_CLOSED, or STALE_LEASE when the next round has begun. */
    assert_string_not_equal(fake_node_report(&node[0], task, (struct wrong){0}), "");
    assert_string_equal(fake_node_receipt(&node[0], &receipt), "not_included");
    assert_int_equal(receipt.verdict, OWM_RECEIPT_LATE);
    assert_string_equal(fake_node_receipt(&node[1], &receipt), "included");
    free(plain);
    owm__coordinator__v1__task__free_unpacked(task, NULL);
    assert_sound();
    assert_int_equal(coordinator_stop(&network), 0);
}

static void write_heldout(void)
{
    int fd = mkstemp(heldout);
    assert_true(fd >= 0);
    for (size_t at = 0; at < HELDOUT_BYTES; at += sizeof(line) - 1)
        assert_int_equal(write(fd, line, sizeof(line) - 1), sizeof(line) - 1);
    close(fd);
}

static int remove_all(void **state)
{
    unlink(heldout);
    return close_all(state);
}

int main(void)
{
    char file[96], bytes[64];
    write_heldout();
    find_gradient();
    snprintf(file, sizeof(file), "--rounds.heldout_file=%s", heldout);
    snprintf(bytes, sizeof(bytes), "--rounds.heldout_bytes_max=%d", HELDOUT_BYTES);
    const char *const options[] = {"--rounds.deadline_s=8", "--rounds.deadline_min_s=4", file,
                                   NULL};
    if (!open_all("verdicts", options)) {
        unlink(heldout);
        return TEST_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_harmful),    cmocka_unit_test(test_nothing_included),
        cmocka_unit_test(test_upload_resumes), cmocka_unit_test(test_killed_while_aggregating),
        cmocka_unit_test(test_late),
    };
    return cmocka_run_group_tests_name("verdicts", tests, NULL, remove_all);
}

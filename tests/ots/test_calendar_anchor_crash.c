/* test_calendar_anchor_crash.c: the anchors are killed with SIGKILL before and after each call to
 * the node, which is between any two of their steps, and started again (SRS-OTS-03): every promise
 * becomes a proof, and of all transactions that were ever sent one alone can confirm. */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "anchor_bench.h"
#include "base/clock.h"
#include "test.h"

#define PROMISES    4
#define POINTS_MAX  400
#define CHILD_MS    20000
#define EXIT_LATE   3
#define EXIT_BROKEN 4

extern char **environ;

/* --- what is killed -------------------------------------------------------------------------- */

static int child(char **argv)
{
    struct journal *journal = NULL;
    struct anchor *anchor = NULL;
    struct anchor_figures figures = {.done = 0};
    if (journal_open(argv[2], &journal, NULL) != OWM_OK) return EXIT_BROKEN;
    const struct anchor_options options = {.folder = argv[2],
                                           .journal = journal,
                                           .bitcoin_rpc = argv[3],
                                           .network = OWM_REGTEST,
                                           .replace_s = 3600,
                                           .poll_ms = 3,
                                           .fee_sat_max = 100000,
                                           .fee_rate_max = 100};
    if (anchor_open(&options, &anchor, NULL) != OWM_OK) return EXIT_BROKEN;
    for (int ms = 0; ms < CHILD_MS && figures.done < PROMISES; ms++) {
        owm_clock_sleep_ms(1);
        anchor_look_at_all(anchor, &figures);
    }
    anchor_close(anchor);
    journal_close(journal);
    return figures.done == PROMISES ? 0 : EXIT_LATE;
}

/* --- who kills ------------------------------------------------------------------------------- */

struct killer {
    pid_t pid;
    int left; /* Events until it kills; below 0: never. */
};

static void watch(void *ctx, const char *method, bool after)
{
    (void)method;
    (void)after;
    struct killer *killer = ctx;
    if (killer->left == 0) kill(killer->pid, SIGKILL);
    if (killer->left >= 0) killer->left--;
}

/* Returns: whether it was killed. */
static bool run_child(struct anchor_bench *bench, struct killer *killer, int point)
{
    char own[] = "/proc/self/exe", word[] = "child";
    char *argv[] = {own, word, bench->folder, bench->wallet.node.url_with_password, NULL};
    int status = 0;
    pthread_mutex_lock(&bench->wallet.node.lock); /* No call is answered until pid is known. */
    killer->left = point;
    assert_int_equal(posix_spawn(&killer->pid, own, NULL, NULL, argv, environ), 0);
    pthread_mutex_unlock(&bench->wallet.node.lock);
    assert_int_equal(waitpid(killer->pid, &status, 0), killer->pid);
    if (WIFSIGNALED(status)) return true;
    if (WEXITSTATUS(status) != 0)
        fail_msg("killed at point %d, then: exit code %d", point, WEXITSTATUS(status));
    return false;
}

static void open_bench(struct anchor_bench *bench, struct killer *killer, bool replaced)
{
    bench_open(bench, 2);
    bench_promise(bench, PROMISES);
    journal_close(bench->journal); /* The child's now. */
    bench->journal = NULL;
    bench->wallet.squeeze_rate = replaced ? 20 : 0; /* Seen with what is set behind it. */
    bench->wallet.watch_ctx = killer;
    bench->wallet.watch = watch;
    bench_set(bench, &bench->wallet.mine_at_send, 6);
    bench_set(bench, &bench->wallet.held_sends, replaced ? 1 : 0);
}

static void check(struct anchor_bench *bench, uint32_t sent_most)
{
    assert_true(wallet_sent(&bench->wallet) <= sent_most);
    assert_true(wallet_one_can_confirm(&bench->wallet));
    assert_ok(journal_open(bench->folder, &bench->journal, NULL));
    bench->options.journal = bench->journal;
    assert_int_equal(journal_count(bench->journal), PROMISES);
    bench_start(bench);
    bench_wait(bench, ANCHOR_DONE);
    bench_verify(bench);
}

static void kill_everywhere(bool replaced)
{
    int point = 0;
    for (bool killed = true; killed && point < POINTS_MAX; point++) {
        struct anchor_bench bench;
        struct killer killer = {.left = -1};
        open_bench(&bench, &killer, replaced);
        killed = run_child(&bench, &killer, point);
        if (killed) assert_false(run_child(&bench, &killer, -1));
        check(&bench, replaced ? 2 : 1);
        bench_close(&bench);
    }
    assert_in_range(point, 30, POINTS_MAX - 1);
}

static void killed_at_every_step_nothing_is_lost(void **state)
{
    (void)state;
    kill_everywhere(false);
}

static void killed_while_it_replaces_nothing_is_paid_twice(void **state)
{
    (void)state;
    kill_everywhere(true);
}

/* Again and again, never getting far. */
static void killed_many_times_it_gets_there(void **state)
{
    (void)state;
    struct anchor_bench bench;
    struct killer killer = {.left = -1};
    open_bench(&bench, &killer, true);
    for (int point = 4; run_child(&bench, &killer, point); point += point % 5 ? 1 : 2)
        assert_true(point < POINTS_MAX);
    check(&bench, 2);
    bench_close(&bench);
}

int main(int argc, char **argv)
{
    if (argc == 4) return child(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_step_nothing_is_lost),
        cmocka_unit_test(killed_while_it_replaces_nothing_is_paid_twice),
        cmocka_unit_test(killed_many_times_it_gets_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

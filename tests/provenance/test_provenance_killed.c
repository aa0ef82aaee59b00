/* test_provenance_killed.c: kill -9 between every two steps of the stamping and of the
 * confirmation: whatever was done, the next life ends in the one right state (design promise 3).
 *
 * A life is this program again. The linker puts our wrappers around the calls that leave a trace or
 * wait for one (--wrap); before and after each of them is a place to die.
 */
#include "world.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "dataplane/ots/calendar.h"

#define HEIGHT    10
#define STEPS_MAX 200
#define LIFE_MS   20000
#define PENDING   "SELECT ots_stamped_at IS NOT NULL AND ots_calendars = 3 FROM model_versions"
#define CONFIRMED "SELECT coalesce(btc_block = 10, false) FROM model_versions"
/* Each life takes over as a coordinator does: what the dead one had sent, and PostgreSQL has not
 * done yet, is not done any more. */
#define TAKE_OVER "UPDATE coordinator_state SET epoch = epoch + 1;"
#define MAKE_AGAIN                                                                                 \
    TAKE_OVER                                                                                      \
    "UPDATE model_versions SET ots_calendars = 0, ots_stamped_at = NULL, ots_attempts = 0,"        \
    " ots_next_at = now(), ots_note = '', btc_block = NULL, btc_time = NULL,"                      \
    " ots_confirmed_at = NULL, ots_proof_paths = '{}'"

/* --- the child -------------------------------------------------------------------------------- */

static int die_at;
static atomic_int steps;

static void step(void)
{
    if (atomic_fetch_add(&steps, 1) + 1 == die_at) raise(SIGKILL);
}

#define WRAP(name, parameters, arguments) WRAPPED(owm_status, name, parameters, arguments)
#define WRAPPED(type, name, parameters, arguments)                                                 \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        step();                                                                                    \
        type returned = __real_##name arguments;                                                   \
        step();                                                                                    \
        return returned;                                                                           \
    }

WRAPPED(int, rename, (const char *from, const char *to), (from, to))
WRAP(owm_pg_query,
     (struct owm_pg * pg, const char *sql, const struct owm_pg_args *args,
      struct owm_pg_rows **rows, struct owm_error *error),
     (pg, sql, args, rows, error))
WRAP(owm_fs_write_atomic,
     (const char *path, const void *data, size_t bytes, mode_t mode, struct owm_error *error),
     (path, data, bytes, mode, error))
WRAP(owm_ots_submit,
     (const struct owm_ots_calendars *calendars, const struct owm_ots_submission *submission,
      const struct owm_ots_leaf *at, struct owm_error *error),
     (calendars, submission, at, error))
WRAP(owm_ots_upgrade,
     (const struct owm_ots_calendars *calendars, struct owm_ots_tree *tree,
      const struct owm_ots_check *check, struct owm_ots_upgraded *upgraded,
      struct owm_error *error),
     (calendars, tree, check, upgraded, error))

/* argv: program "live" STEP DATABASE BLOBS CALENDARS NODE */
static int live(char **argv)
{
    static const uint8_t seed[32] = {7};
    struct owm_provenance_options options = {.database_url = argv[3],
                                             .calendars = argv[5],
                                             .calendars_needed = 2,
                                             .bitcoin_rpc = argv[6],
                                             .bitcoin_cookie = "",
                                             .headers_file = "",
                                             .bitcoin_network = OWM_REGTEST,
                                             .retry_min_s = 1,
                                             .retry_max_s = 1,
                                             .alarm_hours = 48};
    owm_identity *identity = NULL;
    struct owm_provenance *provenance = NULL;
    struct owm_error error = {""};
    if (owm_identity_from_seed(seed, &identity) != OWM_OK
        || owm_blob_store_open(argv[4], &options.store, &error) != OWM_OK
        || owm_metrics_open(0, &options.metrics) != OWM_OK)
        return 1;
    options.identity = identity;
    die_at = (int)strtol(argv[2], NULL, 10);
    if (owm_provenance_open(&options, &provenance, &error) != OWM_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    for (;;) pause();
}

/* --- the parent ------------------------------------------------------------------------------- */

/* Until the query says so, or it is dead. Returns whether it died by itself. */
static bool one_life(struct world *world, int at, const char *query)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", at);
    world_sql(world, TAKE_OVER);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "owm-provenance", "live", number, world->url, world->blobs,
              world->calendars, world->node.url_with_password, (char *)NULL);
        _exit(1);
    }
    uint64_t end_ms = owm_clock_mono_ms() + LIFE_MS;
    int how = 0;
    bool died = false;
    while (!(died = waitpid(child, &how, WNOHANG) == child)
           && strcmp(world_text(world, query), "t") != 0) {
        if (owm_clock_mono_ms() > end_ms) fail_msg("%s never holds", query);
        owm_clock_sleep_ms(2);
    }
    if (died) {
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        return true;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return false;
}

/* A whole proof, and nothing half-written beside it. */
static void check_file(struct world *world, const uint8_t hash[32], uint32_t bitcoin_min)
{
    struct owm_ots_proof proof;
    char path[256], command[300];
    uint32_t bitcoin = 0;
    world_proof(world, hash, &proof);
    for (uint32_t i = 0; i < proof.tree.attestation_count; i++)
        bitcoin += proof.tree.attestations[i].kind == OWM_OTS_BITCOIN;
    assert_true(bitcoin >= bitcoin_min);
    owm_ots_proof_deinit(&proof);
    world_path(world, hash, path);
    snprintf(command, sizeof(command), "test $(ls -A '%.*s' | wc -l) = 2",
             (int)(strrchr(path, '/') - path), path);
    assert_int_equal(system(command), 0);
}

static void test_stamping_killed(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char path[256];
    int at = 1;
    world_open(&world, "stamping_killed");
    world_version(&world, 1, hash);
    world_path(&world, hash, path);
    for (; at < STEPS_MAX; at++) {
        world_sql(&world, MAKE_AGAIN);
        unlink(path);
        if (!one_life(&world, at, PENDING)) break;
        one_life(&world, 0, PENDING);
        check_file(&world, hash, 0);
    }
    printf("killed at %d steps of stamping\n", at - 1);
    assert_true(at > 10 && at < STEPS_MAX);
    check_file(&world, hash, 0);
    world_close(&world);
}

static void test_confirming_killed(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32], *pending;
    size_t bytes = 0;
    char path[256], *manifest, confirmed[1024];
    int at = 1;
    world_open(&world, "confirming_killed");
    world_version(&world, 1, hash);
    world_path(&world, hash, path);
    manifest = strdup(world_text(&world, "SELECT manifest FROM model_versions"));
    one_life(&world, 0, PENDING);
    pending = world_bytes(&world, hash, &bytes);
    world_mine(&world, hash, HEIGHT, HEIGHT + 6);
    one_life(&world, 0, CONFIRMED);
    snprintf(confirmed, sizeof(confirmed), "%s",
             world_text(&world, "SELECT manifest FROM model_versions"));
    assert_string_not_equal(confirmed, manifest);
    for (; at < STEPS_MAX; at++) {
        struct owm_pg_args args;
        owm_pg_begin_args(&args);
        owm_pg_text(&args, manifest);
        world_sql(&world, MAKE_AGAIN);
        assert_ok(
            owm_pg_query(world.pg, "UPDATE model_versions SET manifest = $1", &args, NULL, NULL));
        assert_ok(owm_fs_write_atomic(path, pending, bytes, 0644, NULL));
        bool killed = one_life(&world, at, CONFIRMED);
        if (killed) one_life(&world, 0, CONFIRMED);
        check_file(&world, hash, 1);
        assert_string_equal(world_text(&world, "SELECT manifest FROM model_versions"), confirmed);
        if (!killed) break;
    }
    printf("killed at %d steps of confirming\n", at - 1);
    assert_true(at > 10 && at < STEPS_MAX);
    free(pending);
    free(manifest);
    world_close(&world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamping_killed),
        cmocka_unit_test(test_confirming_killed),
    };
    if (argc == 7 && strcmp(argv[1], "live") == 0) return live(argv);
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pg_fixture_stop(&server);
    return failed;
}

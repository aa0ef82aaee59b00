/* never_lost.c: no acknowledged share is lost, and none is counted twice (promise 2).
 *
 *     never_lost OWM_POOL OWM_DEVNET_BLOCKS [KILLS]
 *
 * Miners mine on a real pool, which is killed with SIGKILL at random moments, also while it starts
 * and reads its journals. Now and then PostgreSQL is killed too, so that shares pile up in the
 * journal and the pool must wait for its database; and once its first Bitcoin node, so that the
 * second one takes over, also at the next start. Afterwards every share that a miner saw
 * acknowledged must be in the database exactly once, and every balance must equal what the shares
 * say, both those of the table and those of the journal.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "load_client.h"
#include "pool_database.h"
#include "share_maker.h"
#include "test.h"

#define KILLS_DEFAULT 25
#define MINERS        3
#define NODES         2  /* Sources of blocks. */
#define DATABASE_EACH 12 /* Kills of the pool to one of PostgreSQL. */
#define EARLY_EACH    5  /* Kills to one that does not wait for a share. */
#define NODE_AWAY     3  /* Kills of the pool until the first Bitcoin node is back. */
#define READY_TEXT    " ready pool="
#define READY_S       60 /* Until a pool that was started again acknowledges a share. */

static struct {
    const char *pool, *blocks;
    char folder[64], url[256];
    unsigned kills, ready_before;
    uint16_t port, rpc_port[NODES];
    pid_t pool_pid, node_pid[NODES];
    struct load_client miner[MINERS];
} world;

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static pid_t start(char *const argv[], const char *log_name)
{
    char log[128];
    snprintf(log, sizeof log, "%s/%s", world.folder, log_name);
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0 && dup2(fd, 1) >= 0 && dup2(fd, 2) >= 0) execv(argv[0], argv);
    _exit(127);
}

static void start_node(int index)
{
    char folder[96], port[16], log[16];
    snprintf(folder, sizeof folder, "%s/blocks%d", world.folder, index);
    snprintf(port, sizeof port, "%u", world.rpc_port[index]);
    snprintf(log, sizeof log, "blocks%d.log", index);
    world.node_pid[index] =
        start((char *[]){(char *)world.blocks, "--folder", folder, "--port", port, "--bits",
                         "1d00ffff", "--rpcuser", "owm", "--rpcpassword", "owm", NULL},
              log);
    assert_true(world.node_pid[index] > 0);
}

/* Lines of the pool's log with this text. */
static unsigned logged(const char *text)
{
    char path[96], line[1024];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/pool.log", world.folder);
    FILE *log = fopen(path, "r");
    while (log && fgets(line, sizeof line, log)) count += strstr(line, text) != NULL;
    if (log) fclose(log);
    return count;
}

static void start_pool(void)
{
    char folder[96], port[32], nodes[96];
    snprintf(folder, sizeof folder, "--pool.data_dir=%s/pool", world.folder);
    snprintf(port, sizeof port, "--pool.port=%u", world.port);
    snprintf(nodes, sizeof nodes, "--bitcoin.rpc_url=http://127.0.0.1:%u,http://127.0.0.1:%u",
             world.rpc_port[0], world.rpc_port[1]);
    world.ready_before = logged(READY_TEXT);
    world.pool_pid = start(
        (char *[]){(char *)world.pool, folder, port, nodes, "--bitcoin.rpc_user=owm",
                   "--pool.bind=127.0.0.1", "--pool.network=regtest",
                   "--pool.address=bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                   "--pool.connections_max=64", "--pool.loops=2", "--pool.shares_per_minute=600",
                   "--http.port=0", "--payout.threshold_sats=1", "--journal.segment_mb=1", NULL},
        "pool.log");
    assert_true(world.pool_pid > 0);
}

static void kill_pool(void)
{
    kill(world.pool_pid, SIGKILL);
    waitpid(world.pool_pid, NULL, 0);
}

static void kill_node(int index)
{
    kill(world.node_pid[index], SIGKILL);
    waitpid(world.node_pid[index], NULL, 0);
}

/* One that ended because its database is away is started again, as a service manager would. */
static void mind_pool(void)
{
    if (waitpid(world.pool_pid, NULL, WNOHANG) != world.pool_pid) return;
    owm_clock_sleep_ms(100);
    start_pool();
}

static uint64_t acked(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < MINERS; i++) sum += atomic_load(&world.miner[i].acked);
    return sum;
}

static void show_log(void)
{
    char command[160];
    snprintf(command, sizeof command, "tail -n 30 %s/pool.log", world.folder);
    if (system(command)) puts("no pool.log");
}

static void give_up_after(uint64_t end_ms, const char *what)
{
    if (owm_clock_mono_ms() > end_ms) {
        show_log();
        fail_msg("%s: not within %d s", what, READY_S);
    }
    mind_pool();
    owm_clock_sleep_ms(5);
}

/* Until the newest pool listens and has acknowledged a share. */
static void await_ack(void)
{
    uint64_t end_ms = owm_clock_mono_ms() + READY_S * 1000, before;
    while (logged(READY_TEXT) == world.ready_before) give_up_after(end_ms, "a pool that listens");
    for (before = acked(); acked() == before;) give_up_after(end_ms, "a share");
}

static void lose_first_node(void)
{
    char text[80];
    uint64_t begin_ms = owm_clock_mono_ms();
    snprintf(text, sizeof text, "bitcoin_node_in_use node=http://127.0.0.1:%u", world.rpc_port[1]);
    unsigned before = logged(text);
    kill_node(0);
    while (logged(text) == before) give_up_after(begin_ms + READY_S * 1000, "the second node");
    printf("the second node took over after %" PRIu64 " ms\n", owm_clock_mono_ms() - begin_ms);
    await_ack();
}

static int set_up(void **state)
{
    (void)state;
    make_folder(world.folder);
    owm_pg_close(pool_database("never_lost", world.url));
    world.port = free_port();
    setenv("DATABASE_URL", world.url, 1);
    setenv("OWM_BITCOIN_RPC_PASSWORD", "owm", 1);
    for (int i = 0; i < NODES; i++) {
        world.rpc_port[i] = free_port();
        start_node(i);
    }
    start_pool();
    for (int i = 0; i < MINERS; i++) {
        struct load_client *miner = &world.miner[i];
        *miner = (struct load_client){.port = world.port, .standard = i % 2 == 0};
        snprintf(miner->name, sizeof miner->name, "miner%d.rig", i % 2);
        load_client_start(miner);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kill_pool();
    for (int i = 0; i < NODES; i++) kill_node(i);
    for (int i = 0; i < MINERS; i++) load_client_free(&world.miner[i]);
    remove_folder(world.folder);
    pg_fixture_stop(&pool_server);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* Waits until the feeder has brought everything: nothing new for two seconds, or for a minute while
 * there is less than was acknowledged. */
static uint64_t settle(struct owm_pg *pg)
{
    int64_t shares = -1, now;
    uint64_t since_ms = owm_clock_mono_ms();
    for (;; shares = now) {
        mind_pool();
        owm_clock_sleep_ms(200);
        now = pool_number(pg, "SELECT count(*) FROM shares");
        uint64_t quiet_ms = owm_clock_mono_ms() - since_ms;
        if (now != shares) since_ms = owm_clock_mono_ms();
        if (now == shares && quiet_ms > ((uint64_t)now < acked() ? 60000 : 2000)) break;
    }
    return (uint64_t)now;
}

static void check(struct owm_pg *pg)
{
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    uint64_t stored = settle(pg), missing = 0;
    uint8_t(*hash)[32] = calloc(stored, sizeof *hash);
    assert_non_null(hash);
    if (owm_pg_query(pg, "SELECT encode(hash, 'hex') FROM shares", NULL, &rows, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(owm_pg_rows_count(rows), stored);
    for (uint64_t i = 0; i < stored; i++) owm_pg_get_hash(rows, i, 0, hash[i], 32);
    owm_pg_rows_free(rows);
    qsort(hash, stored, sizeof *hash, compare);
    for (uint64_t i = 1; i < stored; i++) assert_true(compare(hash[i - 1], hash[i]) < 0);
    for (int m = 0; m < MINERS; m++)
        for (uint64_t i = 0; i < world.miner[m].acked; i++)
            missing += !bsearch(world.miner[m].hash[i], hash, stored, sizeof *hash, compare);
    free(hash);
    printf("%u kills: %" PRIu64 " shares acknowledged, %" PRIu64 " stored, %" PRIu64 " missing\n",
           world.kills, acked(), stored, missing);
    if (missing > 0) {
        show_log();
        fail_msg("shares are missing");
    }
}

static void no_acknowledged_share_is_lost(void **state)
{
    (void)state;
    char journal[96];
    for (unsigned i = 0; i < world.kills; i++) {
        bool early = i % EARLY_EACH == EARLY_EACH - 1;
        if (!early) await_ack();
        if (i == world.kills / 2) lose_first_node();
        if (i == world.kills / 2 + NODE_AWAY) start_node(0);
        owm_clock_sleep_ms((unsigned)(rand() % 300));
        if (i % DATABASE_EACH == DATABASE_EACH - 1) {
            pg_fixture_crash(&pool_server);
            if (!early) await_ack(); /* The journal goes on without it. */
            kill_pool();
            assert_true(pg_fixture_resume(&pool_server));
        } else {
            kill_pool();
        }
        start_pool();
    }
    await_ack();
    for (int i = 0; i < MINERS; i++) {
        load_client_stop(&world.miner[i]);
        if (world.miner[i].rejected)
            fail_msg("%u shares were rejected: %s", world.miner[i].rejected, world.miner[i].code);
    }
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    if (owm_pg_open(world.url, &pg, &error) != OWM_OK) fail_msg("%s", error.text);
    check(pg);
    snprintf(journal, sizeof journal, "%s/pool/journal", world.folder);
    assert_true(pool_equal(pg, NULL) > 0);
    assert_true(pool_equal(pg, journal) > 0);
    owm_pg_close(pg);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_acknowledged_share_is_lost, set_up, tear_down)};
    if (argc < 3) {
        fputs("never_lost OWM_POOL OWM_DEVNET_BLOCKS [KILLS]\n", stderr);
        return 2;
    }
    world.pool = argv[1];
    world.blocks = argv[2];
    world.kills = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : KILLS_DEFAULT;
    if (!pg_fixture_start(&pool_server)) return TEST_SKIP;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_calendar_whole.c: owm-ots calendar from the promise to the block, beside the double of a
 * node with a wallet and beside devnet's source of blocks: killed with SIGKILL at random moments
 * under load, and the source with it, it keeps every promise (SRS-OTS-03).
 * argv: owm-ots, owm-devnet-blocks */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/rng.h"
#include "block_maker.h"
#include "dataplane/ots/bitcoin_headers.h"
#include "dataplane/ots/calendar.h"
#include "dataplane/ots/verify.h"
#include "test.h"
#include "wallet_double.h"

#define CLIENTS   24
#define KEPT_MAX  4096
#define KILLS     5
#define START_MS  20000
#define PROOFS_MS 60000
#define MINE_MS   120
#define USER      "rpc"
#define PASSWORD  "secret"

static const char *program, *blocks_program;

/* --- programs -------------------------------------------------------------------------------- */

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static pid_t launch(const char *const *argv, const char *log)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(fd, STDERR_FILENO);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static void end(pid_t pid, int signal)
{
    int status = 0;
    assert_int_equal(kill(pid, signal), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* --- the world ------------------------------------------------------------------------------- */

struct world {
    char folder[64], log[96], url[64], node_url[96];
    uint16_t port, source_port;
    pid_t calendar, source;       /* 0: the double is the node. */
    struct wallet_double *wallet; /* NULL: the source of blocks. */
    owm_ots_bitcoin_node *node;
    pthread_t miner, clients[CLIENTS];
    atomic_bool stop_mining, stop_clients;
    pthread_mutex_t lock;
    struct owm_ots_tree kept[KEPT_MAX]; /* Under lock. */
    uint32_t kept_count;
};

static void start_calendar(struct world *world)
{
    char data[96], listen[32];
    snprintf(data, sizeof data, "%s/data", world->folder);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", world->port);
    const char *argv[] = {program,         "calendar",   "--folder",  data,      "--uri",
                          world->url,      "--listen",   listen,      "--rate",  "0",
                          "--rate-all",    "0",          "--network", "regtest", "--bitcoin-rpc",
                          world->node_url, "--interval", "1",         "--poll",  "20",
                          "--replace",     "1",          NULL};
    world->calendar = launch(argv, world->log);
    const struct owm_http_call call = {.url = world->url};
    uint64_t until_ms = owm_clock_mono_ms() + START_MS;
    struct owm_http_result result;
    while (owm_http_fetch(&call, &result, NULL) != OWM_OK) {
        if (owm_clock_mono_ms() > until_ms) fail_msg("the calendar does not start");
        owm_clock_sleep_ms(10);
    }
    owm_http_result_deinit(&result);
}

static void *mine(void *ctx)
{
    struct world *world = ctx;
    owm_ots_bitcoin_rpc *rpc = NULL;
    owm_status status = owm_ots_bitcoin_rpc_open(world->node_url, NULL, &rpc, NULL);
    OWM_ASSERT(status == OWM_OK);
    while (!atomic_load(&world->stop_mining)) {
        owm_clock_sleep_ms(MINE_MS);
        if (world->wallet)
            wallet_mine(world->wallet, 1);
        else
            (void)block_make(rpc);
    }
    owm_ots_bitcoin_rpc_close(rpc);
    return NULL;
}

static void *submit(void *ctx)
{
    struct world *world = ctx;
    const char *const urls[] = {world->url};
    const struct owm_ots_calendars calendars = {.own = urls, .own_count = 1, .deadline_ms = 3000};
    const struct owm_ots_submission submission = {.urls = urls, .count = 1, .needed = 1};
    while (!atomic_load(&world->stop_clients)) {
        uint8_t digest[32];
        struct owm_ots_tree tree;
        OWM_ASSERT(getrandom(digest, sizeof digest, 0) == sizeof digest);
        owm_status status = owm_ots_tree_init(&tree, (struct owm_ots_bytes){digest, 32}, NULL);
        const struct owm_ots_leaf leaf = {&tree, OWM_OTS_ROOT};
        if (status == OWM_OK) status = owm_ots_submit(&calendars, &submission, &leaf, NULL);
        pthread_mutex_lock(&world->lock);
        if (status == OWM_OK && world->kept_count < KEPT_MAX)
            world->kept[world->kept_count++] = tree;
        else
            owm_ots_tree_deinit(&tree);
        pthread_mutex_unlock(&world->lock);
        if (status != OWM_OK) owm_clock_sleep_ms(20);
    }
    return NULL;
}

static void open_world(struct world *world)
{
    world->port = free_port();
    snprintf(world->folder, sizeof world->folder, "/tmp/owm-whole-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->log, sizeof world->log, "%s/log", world->folder);
    world->source_port = free_port();
    snprintf(world->url, sizeof world->url, "http://127.0.0.1:%u", world->port);
    pthread_mutex_init(&world->lock, NULL);
}

static void close_world(struct world *world)
{
    char command[96];
    atomic_store(&world->stop_mining, true);
    assert_int_equal(pthread_join(world->miner, NULL), 0);
    end(world->calendar, SIGTERM);
    owm_ots_bitcoin_close(world->node);
    for (uint32_t i = 0; i < world->kept_count; i++) owm_ots_tree_deinit(&world->kept[i]);
    pthread_mutex_destroy(&world->lock);
    snprintf(command, sizeof command, "rm -r %s", world->folder);
    assert_int_equal(system(command), 0);
}

/* --- the story ------------------------------------------------------------------------------- */

static void start_source(struct world *world)
{
    char data[96], port[8];
    snprintf(data, sizeof data, "%s/blocks", world->folder);
    snprintf(port, sizeof port, "%u", world->source_port);
    snprintf(world->node_url, sizeof world->node_url, "http://" USER ":" PASSWORD "@127.0.0.1:%u/",
             world->source_port);
    const char *argv[] = {blocks_program, "--folder",      data,     "--port", port, "--rpcuser",
                          USER,           "--rpcpassword", PASSWORD, NULL};
    world->source = launch(argv, world->log);
    owm_ots_bitcoin_node *node = NULL;
    uint64_t until_ms = owm_clock_mono_ms() + START_MS;
    while (owm_ots_bitcoin_open(world->node_url, NULL, OWM_REGTEST, &node, NULL) != OWM_OK) {
        if (owm_clock_mono_ms() > until_ms) fail_msg("the source of blocks does not start");
        owm_clock_sleep_ms(20);
    }
    owm_ots_bitcoin_close(node);
}

static void load_and_kill(struct world *world)
{
    struct owm_rng rng;
    owm_rng_seed(&rng, 5);
    start_calendar(world);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&world->clients[i], NULL, submit, world), 0);
    for (int i = 0; i < KILLS; i++) {
        owm_clock_sleep_ms(300 + (uint32_t)owm_rng_below(&rng, 1200));
        end(world->calendar, SIGKILL);
        if (world->source && i % 2) {
            end(world->source, SIGKILL);
            start_source(world);
        }
        start_calendar(world);
    }
    owm_clock_sleep_ms(1200);
    atomic_store(&world->stop_clients, true);
    for (int i = 0; i < CLIENTS; i++) assert_int_equal(pthread_join(world->clients[i], NULL), 0);
}

static bool confirmed(struct world *world, struct owm_ots_tree *tree)
{
    const char *const urls[] = {world->url};
    const struct owm_ots_calendars calendars = {.own = urls, .own_count = 1};
    const struct owm_ots_headers headers = owm_ots_bitcoin_source(world->node);
    struct owm_ots_upgraded upgraded;
    struct owm_ots_verdict verdict;
    struct owm_error error = {.text = ""};
    assert_ok(owm_ots_upgrade(&calendars, tree, NULL, &upgraded, &error));
    assert_int_equal(upgraded.asked, 1);
    if (upgraded.added == 0 && upgraded.told[0].status != OWM_E_AGAIN)
        fail_msg("a promise is not kept: %s", upgraded.told[0].error.text);
    if (upgraded.added == 0) return false;
    assert_ok(owm_ots_verify(tree, &headers, &verdict, &error));
    if (verdict.outcome != OWM_OTS_CONFIRMED) fail_msg("a proof fails: %s", verdict.why.text);
    return true;
}

static void every_promise_is_kept(struct world *world)
{
    uint64_t until_ms = owm_clock_mono_ms() + PROOFS_MS;
    assert_in_range(world->kept_count, CLIENTS, KEPT_MAX - 1);
    for (uint32_t i = 0; i < world->kept_count; i++)
        while (!confirmed(world, &world->kept[i])) {
            if (owm_clock_mono_ms() > until_ms) fail_msg("promise %u is in no block", i);
            owm_clock_sleep_ms(50);
        }
    print_message("%u promises kept through %d kills\n", world->kept_count, KILLS);
}

static void live(struct world *world)
{
    assert_ok(owm_ots_bitcoin_open(world->node_url, NULL, OWM_REGTEST, &world->node, NULL));
    assert_int_equal(pthread_create(&world->miner, NULL, mine, world), 0);
    load_and_kill(world);
    every_promise_is_kept(world);
    close_world(world);
}

static void beside_the_double(void **state)
{
    (void)state;
    static struct world world;
    static struct wallet_double wallet;
    open_world(&world);
    wallet_open_double(&wallet, 3, 5, 100000000);
    world.wallet = &wallet;
    snprintf(world.node_url, sizeof world.node_url, "%s", wallet.node.url_with_password);
    live(&world);
    wallet_close_double(&wallet);
}

static bool log_says(const struct world *world, const char *words)
{
    char command[160];
    snprintf(command, sizeof command, "grep -q '%s' %s", words, world->log);
    return system(command) == 0;
}

/* No block for a while: the fee is raised, and the source takes the new one for the old one. */
static void a_fee_is_raised_until_a_block_comes(void **state)
{
    (void)state;
    static struct world world;
    owm_ots_bitcoin_rpc *rpc = NULL;
    open_world(&world);
    start_source(&world);
    assert_ok(owm_ots_bitcoin_open(world.node_url, NULL, OWM_REGTEST, &world.node, NULL));
    start_calendar(&world);
    assert_int_equal(pthread_create(&world.clients[0], NULL, submit, &world), 0);
    uint64_t until_ms = owm_clock_mono_ms() + START_MS;
    while (!log_says(&world, "anchor replaced")) {
        if (owm_clock_mono_ms() > until_ms) fail_msg("no fee is raised");
        owm_clock_sleep_ms(50);
    }
    atomic_store(&world.stop_clients, true);
    assert_int_equal(pthread_join(world.clients[0], NULL), 0);
    assert_ok(owm_ots_bitcoin_rpc_open(world.node_url, NULL, &rpc, NULL));
    for (int i = 0; i < 6; i++) assert_true(block_make(rpc));
    owm_ots_bitcoin_rpc_close(rpc);
    assert_int_equal(pthread_create(&world.miner, NULL, mine, &world), 0);
    while (!confirmed(&world, &world.kept[0])) owm_clock_sleep_ms(20);
    close_world(&world);
    end(world.source, SIGTERM);
}

static void beside_the_source_of_blocks(void **state)
{
    (void)state;
    static struct world world;
    open_world(&world);
    start_source(&world);
    live(&world);
    end(world.source, SIGTERM);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    program = argv[1];
    blocks_program = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_the_double),
        cmocka_unit_test(a_fee_is_raised_until_a_block_comes),
        cmocka_unit_test(beside_the_source_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

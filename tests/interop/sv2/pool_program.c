/* pool_program.c: owm-pool itself, with a source of blocks and PostgreSQL of its own, visited by
 * the reference implementation's miner (src/client.rs): what it saw acknowledged must be in the
 * database, and what it solved must be in the chain.
 *
 *     pool_program OWM_POOL OWM_DEVNET_BLOCKS OWM_INTEROP_SV2
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
#include "dataplane/sv2/authority.h"
#include "pool/pool_database.h"
#include "pool/share_maker.h"
#include "test.h"

#define READY_S  60
#define SETTLE_S 20

static struct {
    const char *pool, *blocks, *peer;
    char folder[64], url[256], key[OWM_SV2_AUTHORITY_TEXT_BYTES];
    uint16_t port, rpc_port;
    pid_t pool_pid, blocks_pid;
} world;

static int listener(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static bool is_open(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool open = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return open;
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

static void fail_with_log(const char *log_name, const char *what)
{
    char command[160];
    snprintf(command, sizeof command, "tail -n 30 %s/%s", world.folder, log_name);
    if (system(command)) puts("no log");
    fail_msg("%s", what);
}

static void await_port(uint16_t port, const char *log_name)
{
    uint64_t end_ms = owm_clock_mono_ms() + READY_S * 1000;
    while (!is_open(port)) {
        if (owm_clock_mono_ms() > end_ms) fail_with_log(log_name, "it does not listen");
        owm_clock_sleep_ms(50);
    }
}

/* A block takes a million hashes: a moment for that miner, and no share is one by chance. */
static void start_blocks(void)
{
    char folder[96], port[16];
    snprintf(folder, sizeof folder, "%s/blocks", world.folder);
    snprintf(port, sizeof port, "%u", world.rpc_port);
    world.blocks_pid =
        start((char *[]){(char *)world.blocks, "--folder", folder, "--port", port, "--bits",
                         "1e0fff00", "--rpcuser", "owm", "--rpcpassword", "owm", NULL},
              "blocks.log");
    await_port(world.rpc_port, "blocks.log");
}

static void start_pool(void)
{
    char folder[96], port[32], node[64];
    snprintf(folder, sizeof folder, "--pool.data_dir=%s/pool", world.folder);
    snprintf(port, sizeof port, "--pool.port=%u", world.port);
    snprintf(node, sizeof node, "--bitcoin.rpc_url=http://127.0.0.1:%u", world.rpc_port);
    world.pool_pid =
        start((char *[]){(char *)world.pool, folder, port, node, "--bitcoin.rpc_user=owm",
                         "--pool.bind=127.0.0.1", "--pool.network=regtest",
                         "--pool.address=bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                         "--pool.connections_max=64", "--pool.loops=1", "--http.port=0", NULL},
              "pool.log");
    await_port(world.port, "pool.log");
}

static void read_key(void)
{
    char path[96];
    uint8_t public[32];
    struct owm_sv2_authority *authority;
    struct owm_error error = {""};
    snprintf(path, sizeof path, "%s/pool/authority.key", world.folder);
    assert_int_equal(access(path, R_OK), 0);
    if (owm_sv2_authority_load_or_create(path, &authority, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    owm_sv2_authority_public(authority, public);
    owm_sv2_authority_text(public, world.key);
    owm_sv2_authority_close(authority);
}

static int set_up(void **state)
{
    (void)state;
    make_folder(world.folder);
    owm_pg_close(pool_database("interop", world.url));
    setenv("DATABASE_URL", world.url, 1);
    setenv("OWM_BITCOIN_RPC_PASSWORD", "owm", 1);
    int one = listener(&world.port), two = listener(&world.rpc_port);
    close(one);
    close(two);
    start_blocks();
    start_pool();
    read_key();
    return 0;
}

static void end(pid_t pid)
{
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int tear_down(void **state)
{
    (void)state;
    end(world.pool_pid);
    end(world.blocks_pid);
    remove_folder(world.folder);
    return 0;
}

/* The visit; the miner judy counts what was acknowledged: "judy 83 blocks 5". */
static void visit(unsigned *shares, unsigned *blocks)
{
    char command[512], line[256];
    snprintf(command, sizeof command, "'%s' visit --address 127.0.0.1:%u --key %s", world.peer,
             world.port, world.key);
    FILE *words = popen(command, "r");
    assert_non_null(words);
    while (fgets(line, sizeof line, words)) {
        fputs(line, stdout);
        (void)sscanf(line, "judy %u blocks %u", shares, blocks);
    }
    if (pclose(words) != 0) fail_with_log("pool.log", "the visitor has found a fault");
}

static void await_number(struct owm_pg *pg, const char *sql, int64_t wanted)
{
    uint64_t end_ms = owm_clock_mono_ms() + SETTLE_S * 1000;
    while (pool_number(pg, sql) < wanted && owm_clock_mono_ms() < end_ms) owm_clock_sleep_ms(100);
    assert_int_equal(pool_number(pg, sql), wanted);
}

static void what_was_acknowledged_is_kept(void **state)
{
    (void)state;
    unsigned shares = 0, blocks = 0;
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    visit(&shares, &blocks);
    assert_true(shares > 0 && blocks > 0);
    if (owm_pg_open(world.url, &pg, &error) != OWM_OK) fail_msg("%s", error.text);
    await_number(pg,
                 "SELECT count(*) FROM shares JOIN accounts USING (account) WHERE name = 'judy'",
                 shares);
    await_number(pg,
                 "SELECT count(*) FROM blocks JOIN accounts USING (account) WHERE name = 'judy'",
                 blocks);
    await_number(pg, "SELECT count(*) FROM block_submissions WHERE accepted", blocks);
    assert_true(pool_equal(pg, NULL) > 0);
    owm_pg_close(pg);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_acknowledged_is_kept, set_up, tear_down)};
    if (argc < 4) {
        fputs("pool_program OWM_POOL OWM_DEVNET_BLOCKS OWM_INTEROP_SV2\n", stderr);
        return 2;
    }
    world.pool = argv[1];
    world.blocks = argv[2];
    world.peer = argv[3];
    if (!pg_fixture_start(&pool_server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pg_fixture_stop(&pool_server);
    return failed;
}

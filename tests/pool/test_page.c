/* test_page.c: the page and its live feed: names are never markup, only our own script runs, a text
 * comes each second, and a database that is away costs nothing but the age of numbers. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "page_world.h"

#include "test.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"

static struct page_world world;

static int connect_to(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(owm_pool_page_port(world.page))};
    struct timeval timeout = {.tv_sec = 10};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' is missing", part);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part)) fail_msg("'%s' is there", part);
}

/* SRS-POOL-10: what the page has to show is on it. */
static void page_shows_the_numbers(void **state)
{
    (void)state;
    char *body;
    static const char *const parts[] = {
        "stratum2+tcp://pool.example:3333/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72",
        "data-live=\"rate_1h\">2.", /* GH/s */
        "data-live=\"rate_24h\">125 MH/s",
        "data-live=\"miners\">3<",
        "data-live=\"workers\">4<",
        "data-live=\"accepted\">201<",
        "data-live=\"reject_stale-share\">6<",
        "data-live=\"difficulty\">122 T<",
        "data-live=\"earned\">12,351.678 sats<",
        "5 found, 1 orphaned.",
        "in the chain: 40 of 100 confirmations",
        "refused: bad-&lt;txns&gt;",
        "312,500,003 sats",
        "until then it stays <i>owed</i>",
        "node 0011223344556677…",
        "Paid when a balance reaches 10,000 sats, or is 60 min old",
    };
    assert_int_equal(page_get(&world, "/", &body), 200);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) assert_holds(body, parts[i]);
    assert_lacks(body, "Test network");
    assert_lacks(body, "bob"); /* Not connected. */
    free(body);
}

static void miner_page_shows_the_numbers(void **state)
{
    (void)state;
    char *body;
    static const char *const parts[] = {
        "<bdi>alice</bdi>", "<bdi>rig1</bdi>", "<bdi>old</bdi>", "2,345.678 sats",
        "10,000 sats",      ">8.19 k<",        ">180<",          ">77<"};
    assert_int_equal(page_get(&world, "/miner?id=alice.rig2", &body), 200);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) assert_holds(body, parts[i]);
    free(body);
    assert_int_equal(page_get(&world, "/miner?id=nobody", &body), 404);
    assert_holds(body, "No share of this miner");
    free(body);
    assert_int_equal(page_get(&world, "/miner", &body), 400);
    free(body);
    assert_int_equal(page_get(&world, "/other", &body), 404);
    free(body);
}

/* user_identity is what a stranger says (sv2 facts, section 6: HTML injection in dashboards). */
static void names_are_never_markup(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/", "/miner?kind=name&id=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/miner?id=%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%3E%3Cimg%20src=x%20onerror=alert(2)%3E"};
    char *body;
    for (size_t i = 0; i < 3; i++) {
        page_get(&world, paths[i], &body);
        assert_holds(body, "&lt;script&gt;alert(1)");
        assert_lacks(body, "<script>alert");
        assert_lacks(body, "<img");
        free(body);
    }
}

/* The whole answer, headers included. */
static char *raw_get(const char *path)
{
    char *text = NULL, piece[4096];
    size_t bytes = 0;
    ssize_t got;
    int fd = connect_to();
    FILE *out = open_memstream(&text, &bytes);
    snprintf(piece, sizeof piece, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    say(fd, piece);
    while ((got = recv(fd, piece, sizeof piece, 0)) > 0) fwrite(piece, 1, (size_t)got, out);
    fclose(out);
    close(fd);
    return text;
}

/* What stands between two tags must be what the policy allows, or nothing of it would work. */
static void assert_allowed(const char *answer, const char *open, const char *close)
{
    char expected[16 + OWM_BASE64_CHARS(32) + 1] = "'sha256-";
    uint8_t hash[32];
    const char *from = strstr(answer, open), *to = from ? strstr(from, close) : NULL;
    assert_non_null(to);
    from += strlen(open);
    owm_sha256(from, (size_t)(to - from), hash);
    owm_base64_encode(hash, 32, expected + strlen(expected));
    assert_holds(answer, expected);
}

static void only_our_script_runs(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "/miner?id=alice", "/miner?id=nobody"};
    for (size_t i = 0; i < 3; i++) {
        char *answer = raw_get(paths[i]);
        const char *policy = strcasestr(answer, "content-security-policy:");
        if (!policy) fail_msg("there is no policy");
        assert_holds(policy, "default-src 'none'");
        assert_lacks(answer, "unsafe-inline");
        assert_allowed(answer, "<style>", "</style>");
        assert_allowed(answer, "<script>", "</script>");
        assert_lacks(answer, " style=");
        assert_lacks(answer, " onclick");
        assert_lacks(answer, "http://"); /* Nothing from elsewhere. */
        assert_lacks(answer, "https://");
        assert_holds(answer, "<noscript><meta http-equiv=\"refresh\"");
        free(answer);
    }
}

/* ---------------------------------------------------------------------------- the feed */

static void read_all(int fd, void *out, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = recv(fd, (char *)out + at, bytes - at, 0);
        if (got <= 0) fail_msg("the server sent no more");
        at += (size_t)got;
    }
}

/* One text of the feed as JSON. */
static json_t *read_text(int fd)
{
    uint8_t head[4];
    read_all(fd, head, 2);
    assert_int_equal(head[0], 0x81);
    assert_int_equal(head[1], 126); /* Its length follows in two bytes. */
    read_all(fd, head + 2, 2);
    size_t bytes = (size_t)head[2] << 8 | head[3];
    char *text = malloc(bytes);
    read_all(fd, text, bytes);
    json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    assert_non_null(value);
    return value;
}

/* SRS-POOL-09: hashrate per miner, pool total, accepted and rejected, estimated earnings. */
static void feed_tells_each_second(void **state)
{
    (void)state;
    char reply[2048] = "";
    int fd = connect_to();
    say(fd, "GET /v1/mining/dashboard HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n");
    for (size_t at = 0; !strstr(reply, "\r\n\r\n") && at + 1 < sizeof reply; at++)
        read_all(fd, reply + at, 1);
    assert_holds(reply, "101 ");
    json_int_t last_ms = 0;
    for (int i = 0; i < 4; i++) {
        json_t *text = read_text(fd);
        json_int_t time_ms = json_integer_value(page_at(text, "time_ms"));
        if (i > 1) assert_in_range(time_ms - last_ms, 900, 5000);
        last_ms = time_ms;
        assert_int_equal(json_integer_value(page_at(text, "shares.accepted")), 201);
        assert_int_equal(json_integer_value(page_at(text, "shares.rejected")), 6);
        assert_int_equal(json_array_size(page_at(text, "miners")), 3);
        assert_string_equal(json_string_value(page_at(text, "miners.0.miner")), "alice");
        assert_true(json_number_value(page_at(text, "miners.0.hashes_per_s.10m")) > 1e9);
        assert_true(json_number_value(page_at(text, "miners.0.estimated_sats_per_day")) > 0);
        assert_true(json_number_value(page_at(text, "pool.hashes_per_s.1h")) > 1e9);
        assert_true(json_number_value(page_at(text, "pool.estimated_sats_per_day")) > 0);
        assert_string_equal(json_string_value(page_at(text, "shown.miners")), "3");
        assert_string_equal(json_string_value(page_at(text, "shown.reject_stale-share")), "6");
        json_decref(text);
    }
    close(fd);
}

/* ---------------------------------------------------------------------------- without database */

static unsigned health_status(char **body)
{
    return page_get(&world, "/health", body);
}

static void await_health(unsigned status)
{
    char *body;
    for (int i = 0; i < 600; i++) {
        unsigned got = health_status(&body);
        free(body);
        if (got == status) return;
        owm_clock_sleep_ms(50);
    }
    fail_msg("/health is not %u within 30 s", status);
}

/* Gone, and back again. */
static void database_away_costs_age_alone(void **state)
{
    (void)state;
    char *body;
    assert_int_equal(health_status(&body), 200);
    free(body);
    pg_fixture_crash(&pool_server);
    await_health(503);
    health_status(&body);
    assert_holds(body, "the database has not answered for");
    assert_lacks(body, pool_server.folder); /* Where it is concerns nobody. */
    free(body);
    json_t *stats = page_json(&world, "/v1/mining/stats", 200); /* What it had. */
    assert_int_equal(json_integer_value(page_at(stats, "ledger.blocks_30d")), 5);
    assert_true(json_integer_value(page_at(stats, "ledger.age_ms")) > 1000);
    json_decref(stats);
    assert_int_equal(page_get(&world, "/", &body), 200);
    assert_holds(body, "The database does not answer");
    assert_holds(body, "data-live=\"accepted\">201<");
    free(body);
    json_t *node = page_json(&world, "/v1/mining/nodes/" WORLD_NODE, 200);
    assert_int_equal(json_integer_value(page_at(node, "live.accepted")), 9);
    assert_true(json_is_null(page_at(node, "ledger")));
    json_decref(node);
    json_decref(page_json(&world, "/v1/mining/nodes/unheard-of", 503));
    assert_int_equal(page_get(&world, "/miner?id=unheard-of", &body), 503);
    free(body);
    assert_true(pg_fixture_resume(&pool_server));
    await_health(200);
    json_decref(page_json(&world, "/v1/mining/nodes/carol", 200));
}

static int open_world(void **state)
{
    (void)state;
    page_world_open(&world, "page", &(struct owm_report_options){.database_away_max_ms = 1000});
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    page_world_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_shows_the_numbers), cmocka_unit_test(miner_page_shows_the_numbers),
        cmocka_unit_test(names_are_never_markup), cmocka_unit_test(only_our_script_runs),
        cmocka_unit_test(feed_tells_each_second), cmocka_unit_test(database_away_costs_age_alone),
    };
    if (!pg_fixture_start(&pool_server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, open_world, close_world);
    pg_fixture_stop(&pool_server);
    return failed;
}

/* test_calendar_server.c: our calendar over HTTP, as clients of OpenTimestamps and people see it
 * (SRS-OTS-03). */
#include "test.h"

#include <dirent.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "anchor_double.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "dataplane/ots/proof.h"
#include "ots/calendar/serve.h"
#include "raw_http.h"

#define URI   "https://ots.example.org"
#define PROXY "127.0.0.1"

static char folder[] = "/tmp/owm-calendar-XXXXXX";
static struct raw_answer answer;

struct world {
    struct journal *journal;
    struct key *key;
    struct anchor *anchor;
    struct aggregate *aggregate;
    struct serve *serve;
    uint16_t port;
};
static struct world world;

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *bind_address = "127.0.0.1";

static void start(unsigned per_minute, unsigned per_second, const char *proxy)
{
    bool made;
    assert_ok(journal_open(folder, &world.journal, NULL));
    assert_ok(key_open(folder, &world.key, &made, NULL));
    const struct anchor_options anchor = {.folder = folder, .journal = world.journal};
    assert_ok(anchor_open(&anchor, &world.anchor, NULL));
    const struct aggregate_options gather = {world.journal, world.key, URI};
    assert_ok(aggregate_open(&gather, &world.aggregate, NULL));
    const struct serve_options serve = {
        .bind = bind_address,
        .uri = URI,
        .network = "main",
        .proxy = proxy,
        .per_minute = per_minute,
        .per_second = per_second,
        .interval_s = 21600,
        .journal = world.journal,
        .key = world.key,
        .aggregate = world.aggregate,
        .anchor = world.anchor,
    };
    assert_ok(serve_open(&serve, &world.serve, NULL));
    world.port = serve_port(world.serve);
}

static void stop(void)
{
    serve_close(world.serve);
    aggregate_close(world.aggregate);
    anchor_close(world.anchor);
    key_close(world.key);
    journal_close(world.journal);
}

static int begin(void **state)
{
    (void)state;
    start(0, 0, NULL);
    return 0;
}

static void empty_the_folder(void)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.') unlink(path_of(entry->d_name));
    if (entries) closedir(entries);
}

static int end(void **state)
{
    (void)state;
    stop();
    empty_the_folder();
    return 0;
}

/* ---------------------------------------------------------------------------- asking */

static void get(const char *path, const char *headers)
{
    const struct raw_request request = {world.port, "GET", path, headers, NULL, 0};
    raw_ask(&request, &answer);
}

static void post(const void *body, size_t bytes)
{
    const struct raw_request request = {world.port, "POST", "/digest", NULL, body, bytes};
    raw_ask(&request, &answer);
}

static void assert_answer(unsigned status, const char *body, const char *header)
{
    if (answer.status != status || (body && strcmp((const char *)answer.body, body) != 0)
        || (header && !strcasestr(answer.text, header)))
        fail_msg("wanted %u '%s' with '%s', got:\n%s\n\n%s", status, body ? body : "",
                 header ? header : "", answer.text, (const char *)answer.body);
}

/* The commitment in an answer to a submission. */
static void commitment_in(const struct raw_answer *from, const void *digest, size_t bytes,
                          uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    struct owm_ots_tree tree;
    const struct owm_ots_bytes root = {digest, (uint32_t)bytes};
    assert_int_equal(from->status, 200);
    assert_ok(owm_ots_tree_init(&tree, root, NULL));
    assert_ok(
        owm_ots_parse(&tree, (struct owm_ots_bytes){from->body, (uint32_t)from->body_bytes}, NULL));
    assert_int_equal(tree.attestation_count, 1);
    assert_int_equal(tree.attestations[0].kind, OWM_OTS_PENDING);
    assert_memory_equal(tree.attestations[0].detail.data, URI, strlen(URI));
    struct owm_ots_bytes message = tree.nodes[tree.attestations[0].node].message;
    assert_int_equal(message.bytes, JOURNAL_COMMITMENT_BYTES);
    memcpy(commitment, message.data, JOURNAL_COMMITMENT_BYTES);
    owm_ots_tree_deinit(&tree);
}

static const char *timestamp_path(const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    static char path[128];
    char hex[2 * JOURNAL_COMMITMENT_BYTES + 1];
    owm_hex_encode(commitment, JOURNAL_COMMITMENT_BYTES, hex);
    snprintf(path, sizeof path, "/timestamp/%s", hex);
    return path;
}

static void promised(uint8_t fill, uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    uint8_t digest[32];
    memset(digest, fill, sizeof digest);
    post(digest, sizeof digest);
    commitment_in(&answer, digest, sizeof digest, commitment);
}

/* ---------------------------------------------------------------------------- promises */

static void a_digest_of_any_length_is_promised_when_it_is_on_disk(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 20, 32, 64};
    uint8_t digest[64], commitment[JOURNAL_COMMITMENT_BYTES];
    uint32_t index;
    memset(digest, 9, sizeof digest);
    for (size_t i = 0; i < 4; i++) {
        post(digest, lengths[i]);
        assert_answer(200, NULL, "content-type: application/octet-stream");
        commitment_in(&answer, digest, lengths[i], commitment);
        assert_true(journal_find(world.journal, commitment, &index));
        assert_int_equal(index, i);
    }
}

/* Submissions of one second share a commitment; the same digest has the same answer. */
static void those_of_one_second_share_a_commitment(void **state)
{
    (void)state;
    enum { CLIENTS = 40 };
    int sockets[CLIENTS];
    uint8_t digest[32] = {0}, first[JOURNAL_COMMITMENT_BYTES], other[JOURNAL_COMMITMENT_BYTES];
    owm_clock_sleep_ms((uint32_t)(1000 - owm_clock_wall_ms() % 1000));
    for (uint8_t i = 0; i < CLIENTS; i++) {
        digest[0] = i / 2;
        const struct raw_request request = {world.port, "POST", "/digest", NULL, digest, 32};
        sockets[i] = raw_send(&request);
    }
    uint8_t before[RAW_BYTES_MAX] = {0};
    for (uint8_t i = 0; i < CLIENTS; i++) {
        digest[0] = i / 2;
        raw_read(sockets[i], &answer);
        commitment_in(&answer, digest, 32, i == 0 ? first : other);
        if (i > 0) assert_memory_equal(first, other, sizeof first);
        if (i % 2) assert_memory_equal(before, answer.body, answer.body_bytes);
        memcpy(before, answer.body, answer.body_bytes);
    }
    assert_int_equal(journal_count(world.journal), 1);
}

static void what_is_no_digest_is_refused_as_the_reference_does(void **state)
{
    (void)state;
    static const uint8_t bytes[5000];
    post(bytes, 65);
    assert_answer(400, "digest too long", "content-type: text/plain");
    post(bytes, 4096);
    assert_answer(400, "digest too long", NULL);
    post(bytes, 5000);
    assert_answer(413, NULL, NULL);
    post(bytes, 0);
    assert_answer(400, "invalid Content-Length", NULL);
    const struct raw_request no_length = {world.port, "POST", "/digest", NULL, NULL, 0};
    raw_ask(&no_length, &answer);
    assert_answer(411, NULL, NULL);
    get("/digest", NULL);
    assert_answer(405, NULL, NULL);
    get("/nothing", NULL);
    assert_answer(404, NULL, NULL);
    assert_int_equal(journal_count(world.journal), 0);
}

/* ---------------------------------------------------------------------------- timestamps */

static void a_timestamp_says_where_its_promise_stands(void **state)
{
    (void)state;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    char path[128];
    promised(1, commitment);
    snprintf(path, sizeof path, "%s", timestamp_path(commitment));
    get(path, NULL);
    assert_answer(404, "Pending confirmation in Bitcoin blockchain", "public, max-age=60");
    anchor_double_set(world.anchor, ANCHOR_SENT, 0, "");
    get(path, NULL);
    assert_answer(404,
                  "Timestamped by transaction " ANCHOR_DOUBLE_TXID "; waiting for 6 confirmations",
                  "public, max-age=60");
    anchor_double_set(world.anchor, ANCHOR_SENT, 5, "");
    get(path, NULL);
    assert_answer(404,
                  "Timestamped by transaction " ANCHOR_DOUBLE_TXID "; waiting for 1 confirmations",
                  NULL);
    anchor_double_set(world.anchor, ANCHOR_DONE, 6, "");
    get(path, NULL);
    assert_answer(200, NULL, "public, max-age=31536000");
    struct owm_ots_tree tree;
    const struct owm_ots_bytes root = {commitment, sizeof commitment};
    assert_ok(owm_ots_tree_init(&tree, root, NULL));
    assert_ok(owm_ots_parse(&tree, (struct owm_ots_bytes){answer.body, (uint32_t)answer.body_bytes},
                            NULL));
    assert_int_equal(tree.attestations[0].kind, OWM_OTS_BITCOIN);
    assert_int_equal(tree.attestations[0].height, ANCHOR_DOUBLE_HEIGHT);
    owm_ots_tree_deinit(&tree);
    anchor_double_hide(world.anchor, true); /* The block has left the chain meanwhile. */
    get(path, NULL);
    assert_answer(404, NULL, "public, max-age=60");
}

static void what_was_never_promised_is_not_found(void **state)
{
    (void)state;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    promised(2, commitment);
    commitment[10] ^= 1;
    get(timestamp_path(commitment), NULL);
    assert_answer(404, "Not found", "max-age=60");
    get("/timestamp/00", NULL);
    assert_answer(404, "Not found", NULL);
    get("/timestamp/", NULL);
    assert_answer(404, "Not found", NULL);
    get("/timestamp/0", NULL);
    assert_answer(400, "commitment must be hex-encoded bytes", "max-age=31536000");
    get("/timestamp/xx", NULL);
    assert_answer(400, "commitment must be hex-encoded bytes", NULL);
}

static void the_tip_is_the_root_that_waits(void **state)
{
    (void)state;
    static const uint8_t root[32] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                                     7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    get("/tip", NULL);
    assert_answer(404, "", "max-age=10");
    anchor_double_set(world.anchor, ANCHOR_SENT, 0, "");
    get("/tip", NULL);
    assert_answer(200, NULL, "application/octet-stream");
    assert_int_equal(answer.body_bytes, 32);
    assert_memory_equal(answer.body, root, 32);
}

/* The disk is lost and the key is not: whoever holds a proof gets his block all the same. */
static void a_promise_that_the_disk_lost_is_taken_back(void **state)
{
    (void)state;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES], forged[JOURNAL_COMMITMENT_BYTES];
    uint32_t index;
    promised(3, commitment);
    stop();
    unlink(path_of("commitments"));
    start(0, 0, NULL);
    assert_int_equal(journal_count(world.journal), 0);
    memcpy(forged, commitment, sizeof forged);
    forged[43] ^= 1;
    get(timestamp_path(forged), NULL);
    assert_answer(404, "Not found", NULL);
    get(timestamp_path(commitment), NULL);
    assert_answer(404, "Pending confirmation in Bitcoin blockchain", NULL);
    assert_true(journal_find(world.journal, commitment, &index));
    get(timestamp_path(commitment), NULL);
    assert_int_equal(journal_count(world.journal), 1);
    get("/health", NULL);
    assert_non_null(strstr((const char *)answer.body, "\"recovered\": 1"));
}

/* ---------------------------------------------------------------------------- limits, failures */

static void an_address_that_asks_too_often_is_told_when_to_come_again(void **state)
{
    (void)state;
    stop();
    start(3, 0, NULL);
    for (int i = 0; i < 3; i++) {
        get("/timestamp/00", "X-Forwarded-For: 192.0.2.9\r\n");
        assert_answer(404, "Not found", NULL);
    }
    post("digest", 6);
    assert_answer(429, "too many requests from your address", "retry-after: ");
    get("/", NULL); /* Pages and monitoring go on. */
    assert_answer(200, NULL, NULL);
    get("/metrics", NULL);
    assert_non_null(strstr((const char *)answer.body,
                           "owm_ots_calendar_refused_total{reason=\"address_rate\"} 1"));
}

static void behind_a_proxy_its_clients_are_counted(void **state)
{
    (void)state;
    stop();
    start(1, 0, PROXY);
    get("/timestamp/00", "X-Forwarded-For: 192.0.2.9\r\n");
    assert_answer(404, NULL, NULL);
    get("/timestamp/00", "X-Forwarded-For: 192.0.2.9\r\n");
    assert_answer(429, NULL, NULL);
    get("/timestamp/00", "X-Forwarded-For: 198.51.100.7, 192.0.2.9\r\n"); /* The first is a lie. */
    assert_answer(429, NULL, NULL);
    get("/timestamp/00", "X-Forwarded-For: 192.0.2.9, 198.51.100.7\r\n");
    assert_answer(404, NULL, NULL);
    get("/timestamp/00", NULL); /* The proxy's own. */
    assert_answer(404, NULL, NULL);
}

static bool has_ipv6(void)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof any) == 0;
    if (fd >= 0) close(fd);
    return has;
}

/* To a socket for both families the proxy's address looks otherwise. */
static void a_proxy_is_known_on_every_socket(void **state)
{
    (void)state;
    if (!has_ipv6()) skip();
    stop();
    bind_address = "::";
    start(1, 0, PROXY);
    bind_address = "127.0.0.1";
    get("/timestamp/00", "X-Forwarded-For: 192.0.2.9\r\n");
    assert_answer(404, NULL, NULL);
    get("/timestamp/00", "X-Forwarded-For: 192.0.2.9\r\n");
    assert_answer(429, NULL, NULL);
    get("/timestamp/00", "X-Forwarded-For: 198.51.100.7\r\n");
    assert_answer(404, NULL, NULL);
}

static void all_together_have_a_limit(void **state)
{
    (void)state;
    stop();
    start(0, 2, NULL);
    unsigned refused = 0;
    for (int i = 0; i < 10; i++) {
        get("/timestamp/00", NULL);
        refused += answer.status == 429;
    }
    assert_in_range(refused, 6, 8);
    assert_answer(429, "too many requests", "retry-after: 1");
}

/* A disk that is full: no promise without it, and every page says so. */
static void a_full_disk_is_said_and_nothing_is_promised(void **state)
{
    (void)state;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 8;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    post("digest", 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_answer(503, "nothing can be promised now", "retry-after: 60");
    assert_int_equal(journal_count(world.journal), 0);
    post("another", 7);
    assert_answer(503, "nothing can be promised now", NULL);
    get("/health", NULL);
    assert_answer(503, NULL, "application/json");
    assert_non_null(strstr((const char *)answer.body, "\"status\": \"failed\""));
    get("/", NULL);
    assert_non_null(strstr((const char *)answer.body, "No: nothing is promised now."));
    get("/metrics", NULL);
    assert_non_null(strstr((const char *)answer.body, "owm_ots_calendar_up 0"));
}

/* ---------------------------------------------------------------------------- pages */

static void assert_page_says(const char *text)
{
    if (!strstr((const char *)answer.body, text))
        fail_msg("'%s' is not in:\n%s", text, (const char *)answer.body);
}

static void pages_show_the_calendar(void **state)
{
    (void)state;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    promised(4, commitment);
    get("/", "Accept: text/html\r\n");
    assert_answer(200, NULL, "content-type: text/html");
    assert_answer(200, NULL, "content-security-policy: default-src 'none'");
    assert_answer(200, NULL, "vary: Accept");
    assert_page_says("owm-ots stamp --calendar " URI " FILE");
    assert_page_says("ots stamp -m 1 -c " URI " FILE");
    assert_page_says("wait for a transaction</th><td>1<");
    assert_null(strstr((const char *)answer.body, "<script"));
    anchor_double_set(world.anchor, ANCHOR_SENT, 0, "the wallet <is> empty; send it 1000 sats");
    get("/", "Accept: text/html, application/json;q=0.5\r\n");
    assert_page_says("but nothing is put into blocks now");
    assert_page_says("the wallet &lt;is&gt; empty");
    assert_page_says(ANCHOR_DOUBLE_TXID);
    get("/", "Accept: application/json\r\n");
    assert_answer(200, NULL, "content-type: application/json");
    json_t *json = json_loads((const char *)answer.body, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "status")), "degraded");
    assert_int_equal(json_integer_value(json_object_get(json, "digests")), 1);
    assert_int_equal(json_integer_value(json_object_get(json, "sent")), 1);
    assert_int_equal(json_integer_value(json_object_get(json, "fees_sat")), 4321);
    assert_in_range(json_integer_value(json_object_get(json, "oldest_seconds")), 0, 60);
    json_decref(json);
    anchor_double_set(world.anchor, ANCHOR_SENT, 0, "a sentence that ends inside caf\xc3");
    get("/health", NULL);
    assert_answer(200, NULL, "content-type: application/json");
    assert_page_says("a sentence that ends inside caf?");
    get("/metrics", NULL);
    assert_page_says("\nowm_ots_calendar_digests_total 1\n");
    assert_page_says("\nowm_ots_calendar_sent 1\n");
    assert_page_says("\nowm_ots_calendar_anchoring 0\n");
    assert_page_says("\nowm_ots_calendar_balance_sats 123456\n");
    assert_page_says("\nowm_ots_calendar_fees_sats_total 4321\n");
    get("/metrics", NULL); /* Totals do not count twice. */
    assert_page_says("\nowm_ots_calendar_fees_sats_total 4321\n");
}

/* The reference's own client speaks to us, where it is installed. */
static void the_reference_client_understands_us(void **state)
{
    (void)state;
    char command[2048];
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    promised(5, commitment);
    snprintf(command, sizeof command,
             "/usr/bin/python3 -c '\n"
             "import os, sys\n"
             "try: from opentimestamps.calendar import RemoteCalendar, CommitmentNotFoundError\n"
             "except ImportError: sys.exit(77)\n"
             "from opentimestamps.core.notary import PendingAttestation\n"
             "calendar = RemoteCalendar(\"http://127.0.0.1:%u\")\n"
             "for length in (1, 32, 64):\n"
             "    stamp = calendar.submit(os.urandom(length))\n"
             "    (message, promise), = stamp.all_attestations()\n"
             "    assert promise == PendingAttestation(\"" URI "\"), promise\n"
             "    assert len(message) == 44, message\n"
             "    try: calendar.get_timestamp(message); sys.exit(1)\n"
             "    except CommitmentNotFoundError as e:\n"
             "        assert e.args[0] == \"Pending confirmation in Bitcoin blockchain\", e\n"
             "try: calendar.get_timestamp(bytes(44)); sys.exit(1)\n"
             "except CommitmentNotFoundError as e: assert e.args[0] == \"Not found\", e\n"
             "'",
             world.port);
    int status = system(command);
    assert_true(status == 0 || status == 77 << 8);
    anchor_double_set(world.anchor, ANCHOR_DONE, 6, "");
    char hex[2 * JOURNAL_COMMITMENT_BYTES + 1];
    owm_hex_encode(commitment, sizeof commitment, hex);
    snprintf(command, sizeof command,
             "/usr/bin/python3 -c '\n"
             "import hashlib, sys\n"
             "try: from opentimestamps.calendar import RemoteCalendar\n"
             "except ImportError: sys.exit(77)\n"
             "commitment = bytes.fromhex(\"%s\")\n"
             "stamp = RemoteCalendar(\"http://127.0.0.1:%u\").get_timestamp(commitment)\n"
             "(message, block), = stamp.all_attestations()\n"
             "assert block.height == 840000\n"
             "assert message == hashlib.sha256(commitment).digest()\n"
             "'",
             hex, world.port);
    status = system(command);
    assert_true(status == 0 || status == 77 << 8);
}

int main(void)
{
    if (!mkdtemp(folder)) return 2;
#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(a_digest_of_any_length_is_promised_when_it_is_on_disk),
        CASE(those_of_one_second_share_a_commitment),
        CASE(what_is_no_digest_is_refused_as_the_reference_does),
        CASE(a_timestamp_says_where_its_promise_stands),
        CASE(what_was_never_promised_is_not_found),
        CASE(the_tip_is_the_root_that_waits),
        CASE(a_promise_that_the_disk_lost_is_taken_back),
        CASE(an_address_that_asks_too_often_is_told_when_to_come_again),
        CASE(behind_a_proxy_its_clients_are_counted),
        CASE(a_proxy_is_known_on_every_socket),
        CASE(all_together_have_a_limit),
        CASE(a_full_disk_is_said_and_nothing_is_promised),
        CASE(pages_show_the_calendar),
        CASE(the_reference_client_understands_us),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    empty_the_folder();
    return rmdir(folder) == 0 ? failed : 1;
}

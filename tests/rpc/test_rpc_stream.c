/* test_rpc_stream.c: streams both ways: order, flow control, memory, cancellation, failure. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/rpc/rpc.h"
#include "rpc_pki.h"
#include "test.h"

#define DEADLINE_MS    30000
#define CHUNK_BYTES    (256 * 1024)
#define DOWNLOAD_BYTES (100u << 20)

static struct pki server_pki, client_pki;

struct app {
    atomic_uint chunks_queued;
    atomic_int ended, cancelled;
    atomic_uint received;
    struct owm_rpc_call *_Atomic paused;
};

/* Each download has its own count of what is left; queued as far as the stream takes it. */
static void download_more(void *context, struct owm_rpc_call *call)
{
    static uint8_t chunk[CHUNK_BYTES];
    struct app *app = context;
    uint32_t *left = owm_rpc_call_user(call);
    while (*left > 0 && owm_rpc_writable(call)) {
        uint8_t head[4];
        memcpy(head, left, 4);
        memcpy(chunk, head, 4); /* one download at a time in these tests */
        assert_ok(owm_rpc_send(call, chunk, sizeof chunk));
        (*left)--;
        atomic_fetch_add(&app->chunks_queued, 1);
    }
    if (*left == 0) (void)owm_rpc_finish(call);
}

static void on_download(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    assert_int_equal(length, 4);
    uint32_t *left = malloc(sizeof *left);
    memcpy(left, bytes, 4);
    owm_rpc_call_set_user(call, left);
    download_more(app, call);
}

static void on_end(void *context, struct owm_rpc_call *call, bool cancelled)
{
    struct app *app = context;
    free(owm_rpc_call_user(call));
    atomic_fetch_add(&app->cancelled, cancelled);
    atomic_fetch_add(&app->ended, 1);
}

/* Fills the queue to its limit, then fails while a message is in flight. */
static void on_flood(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    uint8_t *block = calloc(1, 1 << 20);
    int queued = 0;
    while (owm_rpc_send(call, block, 1 << 20) == OWM_OK) queued++;
    assert_int_equal(owm_rpc_send(call, block, 1), OWM_E_LIMIT);
    assert_false(owm_rpc_writable(call));
    assert_int_equal(owm_rpc_reply(call, block, 1), OWM_E_STATE);
    assert_in_range(queued, 4, 5); /* send_queue_max, and one in flight if it had started */
    free(block);
}

static void flood_fails(void *app, struct owm_rpc_call *call)
{
    (void)app;
    (void)owm_rpc_fail(call, OWM_RPC_DATA_LOSS, "the file changed under the reader");
}

static void on_wait(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app;
    assert_ok(owm_rpc_send(call, bytes, length)); /* and nothing more */
}

struct sum {
    uint32_t count;
    uint32_t bytes;
};

static void sum_start(void *app, struct owm_rpc_call *call)
{
    (void)app;
    owm_rpc_call_set_user(call, calloc(1, sizeof(struct sum)));
}

static void on_sum(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes;
    struct sum *sum = owm_rpc_call_user(call);
    sum->count++;
    sum->bytes += (uint32_t)length;
}

static void sum_reply(void *app, struct owm_rpc_call *call)
{
    (void)app;
    struct sum *sum = owm_rpc_call_user(call);
    assert_ok(owm_rpc_reply(call, (const uint8_t *)sum, sizeof *sum));
}

static void on_slow(void *context, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct app *app = context;
    on_sum(app, call, bytes, length);
    if (atomic_fetch_add(&app->received, 1) == 0) {
        owm_rpc_pause(call);
        owm_rpc_call_ref(call);
        app->paused = call;
    }
}

static void on_reject(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    assert_ok(owm_rpc_fail(call, OWM_RPC_PERMISSION_DENIED, "this node is suspended"));
}

static const struct owm_rpc_method methods[] = {
    {.path = "/t/Download",
     .kind = OWM_RPC_SERVER_STREAM,
     .on_message = on_download,
     .on_writable = download_more,
     .on_end = on_end},
    {.path = "/t/Flood",
     .kind = OWM_RPC_SERVER_STREAM,
     .on_message = on_flood,
     .on_writable = flood_fails,
     .on_end = on_end},
    {.path = "/t/Wait", .kind = OWM_RPC_SERVER_STREAM, .on_message = on_wait, .on_end = on_end},
    {.path = "/t/Sum",
     .kind = OWM_RPC_CLIENT_STREAM,
     .request_bytes_max = 1 << 20,
     .on_start = sum_start,
     .on_message = on_sum,
     .on_half_close = sum_reply,
     .on_end = on_end},
    {.path = "/t/Slow",
     .kind = OWM_RPC_CLIENT_STREAM,
     .on_start = sum_start,
     .on_message = on_slow,
     .on_half_close = sum_reply,
     .on_end = on_end},
    {.path = "/t/Reject", .kind = OWM_RPC_CLIENT_STREAM, .on_message = on_reject, .on_end = on_end},
};

struct world {
    struct app app;
    struct owm_rpc_server *server;
    struct owm_rpc_client *client;
};

static int setup(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0"};
    struct world *world = calloc(1, sizeof *world);
    struct owm_error error = {0};
    struct owm_rpc_server_config config = {.addresses = addresses,
                                           .address_count = 1,
                                           .certificate_pem = server_pki.certificate_pem,
                                           .key_pem = server_pki.key_pem,
                                           .methods = methods,
                                           .method_count = sizeof methods / sizeof methods[0],
                                           .app = &world->app,
                                           .send_queue_max = 4};
    if (owm_rpc_server_open(&world->server, &config, &error) != OWM_OK) fail_msg("%s", error.text);
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", owm_rpc_server_port(world->server, 0));
    struct owm_rpc_client_config own = {.target = target,
                                        .server_certificate_pem = server_pki.certificate_pem,
                                        .certificate_pem = client_pki.certificate_pem,
                                        .key_pem = client_pki.key_pem};
    assert_ok(owm_rpc_client_open(&world->client, &own, &error));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    owm_rpc_client_close(world->client);
    owm_rpc_server_close(world->server, 1000);
    free(world);
    return 0;
}

static long rss_peak_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    if (file) fclose(file);
    return kib;
}

static void wait_ended(struct app *app, int count)
{
    while (atomic_load(&app->ended) < count) usleep(1000);
}

/* A reader that does not read stops the sender; then all of it comes, in order, in little memory.
 */
static void test_download_100_mib_in_bounded_memory(void **state)
{
    struct world *world = *state;
    uint32_t chunks = DOWNLOAD_BYTES / CHUNK_BYTES;
    long before_kib = rss_peak_kib();
    struct owm_rpc_stream *stream;
    assert_ok(owm_rpc_stream_download(world->client, "/t/Download", (const uint8_t *)&chunks, 4,
                                      DEADLINE_MS, &stream));
    while (atomic_load(&world->app.chunks_queued) == 0) usleep(1000);
    usleep(300000);
    assert_in_range(atomic_load(&world->app.chunks_queued), 1, 40);
    struct owm_rpc_reply reply;
    for (uint32_t left = chunks; left > 0; left--) {
        assert_ok(owm_rpc_stream_read(stream, DEADLINE_MS, &reply));
        assert_int_equal(reply.length, CHUNK_BYTES);
        assert_memory_equal(reply.bytes, &left, 4);
        owm_rpc_reply_free(&reply);
    }
    assert_int_equal(owm_rpc_stream_read(stream, DEADLINE_MS, &reply), OWM_E_NOTFOUND);
    assert_int_equal(reply.code, OWM_RPC_OK);
    owm_rpc_stream_close(stream);
    wait_ended(&world->app, 1);
    assert_int_equal(world->app.cancelled, 0);
    long grown_kib = rss_peak_kib() - before_kib;
    print_message("100 MiB download: peak memory grew by %ld KiB\n", grown_kib);
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory for a while */
#ifndef __SANITIZE_THREAD__
    assert_true(grown_kib < 40 * 1024);
#endif
#endif
}

static void test_download_of_nothing(void **state)
{
    struct world *world = *state;
    uint32_t chunks = 0;
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_download(world->client, "/t/Download", (const uint8_t *)&chunks, 4,
                                      DEADLINE_MS, &stream));
    assert_int_equal(owm_rpc_stream_read(stream, DEADLINE_MS, &reply), OWM_E_NOTFOUND);
    assert_int_equal(reply.code, OWM_RPC_OK);
    owm_rpc_stream_close(stream);
    wait_ended(&world->app, 1);
    assert_int_equal(world->app.cancelled, 0);
}

static void test_queue_limit_and_failure_in_flight(void **state)
{
    struct world *world = *state;
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_download(world->client, "/t/Flood", NULL, 0, DEADLINE_MS, &stream));
    int messages = 0;
    owm_status status;
    while ((status = owm_rpc_stream_read(stream, DEADLINE_MS, &reply)) == OWM_OK) {
        owm_rpc_reply_free(&reply);
        messages++;
    }
    assert_int_equal(status, OWM_E_NOTFOUND);
    assert_int_equal(reply.code, OWM_RPC_DATA_LOSS);
    assert_string_equal(reply.text, "the file changed under the reader");
    assert_in_range(messages, 0, 4);
    owm_rpc_stream_close(stream);
    wait_ended(&world->app, 1);
    assert_int_equal(world->app.cancelled, 0);
}

static void *cancel_soon(void *stream)
{
    usleep(50000);
    owm_rpc_stream_cancel(stream);
    return NULL;
}

static void test_read_timeout_then_cancel_from_another_thread(void **state)
{
    struct world *world = *state;
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(
        owm_rpc_stream_download(world->client, "/t/Wait", (const uint8_t *)"one", 3, 0, &stream));
    assert_ok(owm_rpc_stream_read(stream, DEADLINE_MS, &reply));
    assert_memory_equal(reply.bytes, "one", 3);
    owm_rpc_reply_free(&reply);
    assert_int_equal(owm_rpc_stream_read(stream, 20, &reply), OWM_E_TIMEOUT);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, stream);
    assert_int_equal(owm_rpc_stream_read(stream, DEADLINE_MS, &reply), OWM_E_NOTFOUND);
    assert_int_equal(reply.code, OWM_RPC_CANCELLED);
    pthread_join(thread, NULL);
    owm_rpc_stream_close(stream);
    wait_ended(&world->app, 1);
    assert_int_equal(world->app.cancelled, 1);
}

static void test_close_without_reading(void **state)
{
    struct world *world = *state;
    uint32_t chunks = 1000;
    struct owm_rpc_stream *stream;
    assert_ok(owm_rpc_stream_download(world->client, "/t/Download", (const uint8_t *)&chunks, 4, 0,
                                      &stream));
    usleep(20000);
    owm_rpc_stream_close(stream);
}

static void expect_sum(struct owm_rpc_stream *stream, uint32_t count, uint32_t bytes)
{
    struct owm_rpc_reply reply;
    struct sum sum;
    owm_status status = owm_rpc_stream_finish(stream, DEADLINE_MS, &reply);
    if (status != OWM_OK) fail_msg("%s: %s", owm_rpc_code_name(reply.code), reply.text);
    assert_int_equal(reply.length, sizeof sum);
    memcpy(&sum, reply.bytes, sizeof sum);
    assert_int_equal(sum.count, count);
    assert_int_equal(sum.bytes, bytes);
    owm_rpc_reply_free(&reply);
}

static void test_upload(void **state)
{
    struct world *world = *state;
    uint8_t *block = calloc(1, CHUNK_BYTES);
    uint32_t total = 0;
    struct owm_rpc_stream *stream;
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Sum", DEADLINE_MS, &stream));
    for (uint32_t i = 0; i < 200; i++) {
        size_t length = i * 1301u;
        assert_ok(owm_rpc_stream_write(stream, block, length, DEADLINE_MS));
        total += (uint32_t)length;
    }
    expect_sum(stream, 200, total);
    assert_int_equal(owm_rpc_stream_write(stream, block, 1, DEADLINE_MS), OWM_E_STATE);
    owm_rpc_stream_close(stream);
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Sum", DEADLINE_MS, &stream));
    expect_sum(stream, 0, 0);
    owm_rpc_stream_close(stream);
    free(block);
}

static void test_upload_limit_names_itself(void **state)
{
    struct world *world = *state;
    uint8_t *block = calloc(1, (1 << 20) + 1);
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Sum", DEADLINE_MS, &stream));
    (void)!owm_rpc_stream_write(stream, block, (1 << 20) + 1, DEADLINE_MS);
    assert_int_equal(owm_rpc_stream_finish(stream, DEADLINE_MS, &reply), OWM_E_LIMIT);
    assert_non_null(strstr(reply.text, "limit of /t/Sum is 1048576 bytes"));
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(stream);
    free(block);
}

static void test_upload_rejected_midway(void **state)
{
    struct world *world = *state;
    uint8_t *block = calloc(1, CHUNK_BYTES);
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Reject", DEADLINE_MS, &stream));
    owm_status status = OWM_OK;
    for (int i = 0; i < 1000 && status == OWM_OK; i++)
        status = owm_rpc_stream_write(stream, block, CHUNK_BYTES, DEADLINE_MS);
    assert_int_equal(status, OWM_E_STATE);
    assert_int_equal(owm_rpc_stream_finish(stream, DEADLINE_MS, &reply), OWM_E_PERM);
    assert_string_equal(reply.text, "this node is suspended");
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(stream);
    free(block);
}

/* While paused the peer is held back after what fits the windows; resumed, all of it arrives. */
static void test_paused_upload_holds_the_writer(void **state)
{
    struct world *world = *state;
    uint8_t *block = calloc(1, CHUNK_BYTES);
    struct owm_rpc_stream *stream;
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Slow", DEADLINE_MS, &stream));
    uint32_t written = 0;
    while (written < 400) {
        owm_status status = owm_rpc_stream_write(stream, block, CHUNK_BYTES, 300);
        written++; /* at a timeout it is on its way all the same */
        if (status == OWM_E_TIMEOUT) break;
        assert_ok(status);
    }
    assert_in_range(written, 1, 100);
    struct owm_rpc_call *paused;
    while ((paused = atomic_load(&world->app.paused)) == NULL) usleep(1000);
    assert_int_equal(atomic_load(&world->app.received), 1);
    owm_rpc_resume(paused);
    owm_rpc_call_unref(paused);
    for (; written < 400; written++)
        assert_ok(owm_rpc_stream_write(stream, block, CHUNK_BYTES, DEADLINE_MS));
    expect_sum(stream, 400, 400 * CHUNK_BYTES);
    owm_rpc_stream_close(stream);
    free(block);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    pki_make(&server_pki, "owm-coordinator", true);
    pki_make(&client_pki, "owm-node", true);
    const struct CMUnitTest tests[] = {
        CASE(test_download_100_mib_in_bounded_memory),
        CASE(test_download_of_nothing),
        CASE(test_queue_limit_and_failure_in_flight),
        CASE(test_read_timeout_then_cancel_from_another_thread),
        CASE(test_close_without_reading),
        CASE(test_upload),
        CASE(test_upload_limit_names_itself),
        CASE(test_upload_rejected_midway),
        CASE(test_paused_upload_holds_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

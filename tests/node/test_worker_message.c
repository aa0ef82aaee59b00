/* test_worker_message.c: SRS-NODE-05, the protocol between node and worker, honest and hostile. */
#include <fcntl.h>
#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/worker_message.h"
#include "test.h"

static const struct owm_worker_message infer = {.kind = OWM_WORKER_INFER,
                                                .infer = {.model_sha256 = {1},
                                                          .model_bytes = 10,
                                                          .max_tokens = 5,
                                                          .temperature = 1,
                                                          .prompt_bytes = 5,
                                                          .prompt = (const uint8_t *)"hello"}};
static const struct owm_worker_message train = {.kind = OWM_WORKER_TRAIN,
                                                .train = {.model_bytes = 10,
                                                          .steps = 3,
                                                          .batch = 2,
                                                          .seq = 8,
                                                          .lr = 0.1f,
                                                          .topk_permille = 100,
                                                          .nonce = {4},
                                                          .node_key = {5}}};

static size_t encode(const struct owm_worker_message *m, uint8_t out[1024])
{
    size_t bytes = 0;
    assert_ok(owm_worker_encode(m, out, 1024, &bytes));
    return bytes;
}

static void test_round_trip(void **state)
{
    (void)state;
    uint8_t data[1024];
    struct owm_worker_message got;
    struct owm_error error;
    size_t bytes = encode(&infer, data);
    assert_ok(owm_worker_decode(data, bytes, &got, &error));
    assert_int_equal(got.infer.prompt_bytes, 5);
    assert_memory_equal(got.infer.prompt, "hello", 5);
    assert_int_equal(got.infer.model_sha256[0], 1);
    bytes = encode(&train, data);
    assert_ok(owm_worker_decode(data, bytes, &got, &error));
    assert_int_equal(got.train.steps, 3);
    assert_int_equal(got.train.nonce[0], 4);
    assert_int_equal(got.train.node_key[0], 5);
    struct owm_worker_message m = {.kind = OWM_WORKER_FAILED};
    memset(m.text, 'x', sizeof m.text);
    bytes = encode(&m, data);
    assert_ok(owm_worker_decode(data, bytes, &got, &error));
    assert_int_equal(strlen(got.text), OWM_WORKER_TEXT_BYTES_MAX - 1);
    m = (struct owm_worker_message){.kind = OWM_WORKER_DONE};
    m.done.tokens = 8;
    m.done.loss_last = 2.5f;
    memcpy(m.done.finish, "length", 7);
    bytes = encode(&m, data);
    assert_ok(owm_worker_decode(data, bytes, &got, &error));
    assert_string_equal(got.done.finish, "length");
    assert_int_equal(got.done.tokens, 8);
}

/* SRS-NODE-05: every truncation and every longer message is refused. */
static void test_lengths(void **state)
{
    (void)state;
    const struct owm_worker_message *all[] = {&infer, &train};
    for (size_t i = 0; i < 2; i++) {
        uint8_t data[1024] = {0};
        struct owm_worker_message got;
        struct owm_error error;
        size_t bytes = encode(all[i], data);
        for (size_t n = 0; n <= bytes + 3; n++) {
            if (n == bytes) continue;
            assert_int_equal(owm_worker_decode(data, n, &got, &error), OWM_E_PROTO);
        }
    }
}

/* SRS-NODE-05: values out of range are refused by name. */
static void test_ranges(void **state)
{
    (void)state;
    struct owm_worker_message bad[8];
    for (size_t i = 0; i < 8; i++) bad[i] = i < 4 ? infer : train;
    bad[0].infer.max_tokens = OWM_TOKENS_MAX + 1;
    bad[1].infer.temperature = NAN;
    bad[2].infer.model_bytes = 0;
    bad[3].infer.top_k = OWM_TOP_K_MAX + 1;
    bad[4].train.lr = INFINITY;
    bad[5].train.batch = 0;
    bad[6].train.topk_permille = 1001;
    bad[7].train.values = 2;
    for (size_t i = 0; i < 8; i++) {
        uint8_t data[1024];
        struct owm_worker_message got;
        struct owm_error error = {""};
        size_t bytes = encode(&bad[i], data);
        assert_int_equal(owm_worker_decode(data, bytes, &got, &error), OWM_E_PROTO);
        assert_non_null(strstr(error.text, "bad "));
    }
}

/* SRS-NODE-05: descriptors travel with their message; a wrong number of them is refused. */
static void test_descriptors(void **state)
{
    (void)state;
    int pair[2];
    static uint8_t buffer[OWM_WORKER_MESSAGE_BYTES_MAX];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    int fd = open("/dev/null", O_RDONLY), fds[OWM_WORKER_FDS_MAX];
    struct owm_worker_message got;
    struct owm_error error;
    assert_int_equal(owm_worker_take(pair[1], buffer, 0, &got, fds, &error), OWM_E_TIMEOUT);
    assert_ok(owm_worker_post(pair[0], &infer, &fd));
    assert_ok(owm_worker_take(pair[1], buffer, 1000, &got, fds, &error));
    assert_int_equal(got.kind, OWM_WORKER_INFER);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    close(fds[0]);
    uint8_t data[1024];
    size_t bytes = encode(&infer, data);
    assert_int_equal(send(pair[0], data, bytes, 0), bytes); /* Without its descriptor. */
    assert_int_equal(owm_worker_take(pair[1], buffer, 1000, &got, fds, &error), OWM_E_PROTO);
    close(pair[0]);
    assert_int_equal(owm_worker_take(pair[1], buffer, 1000, &got, fds, &error), OWM_E_NOTFOUND);
    close(pair[1]);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

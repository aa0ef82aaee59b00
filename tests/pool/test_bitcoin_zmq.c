/* test_bitcoin_zmq.c: a publisher as a node with zmqpubhashblock is one, and what comes of it. */
#include <unistd.h>
#include <zmq.h>

#include "base/log.h"
#include "pool/bitcoin_double.h"
#include "pool/bitcoin_events.h"
#include "pool/zmq.h"
#include "test.h"

#define TIPS 7

struct world {
    void *context, *publisher;
    char endpoint[128];
    pthread_mutex_t lock;
    unsigned tips;
    uint8_t last[32];
};

static void on_tip(void *ctx, const uint8_t hash[32])
{
    struct world *world = ctx;
    pthread_mutex_lock(&world->lock);
    world->tips++;
    memcpy(world->last, hash, 32);
    pthread_mutex_unlock(&world->lock);
}

static unsigned tips_of(struct world *world)
{
    pthread_mutex_lock(&world->lock);
    unsigned tips = world->tips;
    pthread_mutex_unlock(&world->lock);
    return tips;
}

static void publish_on(struct world *world, const char *endpoint)
{
    size_t length = sizeof world->endpoint;
    world->publisher = zmq_socket(world->context, ZMQ_PUB);
    WAIT_FOR(zmq_bind(world->publisher, endpoint) == 0, 3000); /* zmq_close frees a port later. */
    assert_int_equal(zmq_getsockopt(world->publisher, ZMQ_LAST_ENDPOINT, world->endpoint, &length),
                     0);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    pthread_mutex_init(&world->lock, NULL);
    world->context = zmq_ctx_new();
    publish_on(world, "tcp://127.0.0.1:*");
    *state = world;
    return 0;
}

static void stop_publishing(struct world *world)
{
    int none = 0;
    zmq_setsockopt(world->publisher, ZMQ_LINGER, &none, sizeof none);
    zmq_close(world->publisher);
}

static int tear_down(void **state)
{
    struct world *world = *state;
    stop_publishing(world);
    zmq_ctx_term(world->context);
    pthread_mutex_destroy(&world->lock);
    free(world);
    return 0;
}

/* Frames of a message: topic, body of `bytes`, and a counter if it is wanted. */
static void publish(struct world *world, const char *topic, const uint8_t *body, size_t bytes,
                    int counter)
{
    zmq_send(world->publisher, topic, strlen(topic), ZMQ_SNDMORE);
    zmq_send(world->publisher, body, bytes, counter ? ZMQ_SNDMORE : 0);
    if (counter) zmq_send(world->publisher, "\0\0\0\0", 4, 0);
}

static void publish_tip(struct world *world, const uint8_t hash[32])
{
    uint8_t printed[32];
    for (int i = 0; i < 32; i++) printed[i] = hash[31 - i];
    publish(world, "hashblock", printed, sizeof printed, 1);
}

static void name_tip(uint8_t name, uint8_t hash[static 32])
{
    for (uint8_t i = 0; i < 32; i++) hash[i] = (uint8_t)(name + i);
}

static bool is_last(struct world *world, uint8_t name)
{
    uint8_t hash[32];
    name_tip(name, hash);
    pthread_mutex_lock(&world->lock);
    bool same = memcmp(world->last, hash, 32) == 0;
    pthread_mutex_unlock(&world->lock);
    return same;
}

/* A subscription takes a moment to arrive: publish until it is heard. */
static void until_heard(struct world *world, uint8_t name)
{
    uint8_t hash[32];
    name_tip(name, hash);
    for (int i = 0; i < 1000 && !is_last(world, name); i++) {
        publish_tip(world, hash);
        owm_clock_sleep_ms(10);
    }
    assert_true(is_last(world, name));
}

/* To a subscriber: once this one is heard, so is whatever was published before it. */
static void publish_mark(struct world *world, uint8_t name)
{
    uint8_t hash[32];
    name_tip(name, hash);
    publish_tip(world, hash);
    WAIT_FOR(is_last(world, name), 10000);
}

static void hashblock_alone_is_heard(void **state)
{
    struct world *world = *state;
    struct owm_zmq *zmq = NULL;
    struct owm_error error = {""};
    uint8_t hash[32], large[4096] = {0};
    name_tip(0, hash);
    const char *const endpoints[] = {world->endpoint};
    assert_ok(owm_zmq_open(endpoints, 1, on_tip, world, &zmq, &error));
    until_heard(world, 0);
    publish_mark(world, 1);
    unsigned before = tips_of(world);
    publish(world, "hashtx", hash, 32, 1);
    publish(world, "hashblock", hash, 31, 1);
    publish(world, "hashblock", large, 33, 0);
    publish(world, "hashblockx", hash, 32, 1);
    publish(world, "hashblock", hash, 0, 0);
    for (int i = 0; i < 20; i++) zmq_send(world->publisher, "hashblock", 9, ZMQ_SNDMORE);
    zmq_send(world->publisher, "x", 1, 0);
    publish_mark(world, 2);
    assert_int_equal(tips_of(world), before + 1);
    publish(world, "hashblock", large, sizeof large,
            0); /* The connection is dropped, and made anew. */
    until_heard(world, 3);
    char endpoint[128];
    memcpy(endpoint, world->endpoint, sizeof endpoint);
    stop_publishing(world); /* A node that starts again. */
    publish_on(world, endpoint);
    until_heard(world, 4);
    owm_zmq_close(zmq);
}

static void bad_endpoints_are_named(void **state)
{
    struct world *world = *state;
    struct owm_zmq *zmq = NULL;
    struct owm_error error = {""};
    const char *const endpoints[] = {world->endpoint, "28332"};
    assert_int_equal(owm_zmq_open(endpoints, 2, on_tip, world, &zmq, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "\"28332\" is no ZMQ endpoint"));
    assert_null(zmq);
    owm_zmq_close(NULL);
}

/* A node without longpoll tells by ZMQ: the template comes within 50 ms (SRS-POOL-05). */
static void zmq_brings_a_template(void **state)
{
    struct world *world = *state;
    struct bitcoin_double *node = bitcoin_double_open();
    struct bitcoin_events events;
    struct owm_bitcoin *bitcoin = NULL;
    struct owm_error error = {""};
    char url[64];
    uint8_t tip[32];
    uint64_t took_ns[TIPS];
    bitcoin_double_url(node, url);
    bitcoin_events_init(&events);
    bitcoin_double_lock(node)->longpoll_mood = DOUBLE_SILENT;
    bitcoin_double_unlock(node);
    const struct owm_bitcoin_node config = {.url = url, .zmq_hashblock = world->endpoint};
    const struct owm_bitcoin_options options = {.nodes = &config,
                                                .node_count = 1,
                                                .network = OWM_REGTEST,
                                                .events = bitcoin_events_of(&events)};
    if (owm_bitcoin_open(&options, &bitcoin, &error) != OWM_OK) fail_msg("%s", error.text);
    bitcoin_double_new_tip(node);
    for (int i = 0; i < 300 && bitcoin_events_height(&events) < 102; i++) {
        bitcoin_double_tip(102, 0, tip);
        publish_tip(world, tip);
        owm_clock_sleep_ms(10);
    }
    assert_int_equal(bitcoin_events_height(&events), 102);
    for (unsigned i = 0; i < TIPS; i++) {
        bitcoin_double_new_tip(node);
        bitcoin_double_tip(103 + i, 0, tip);
        uint64_t begin_ns = owm_clock_mono_ns();
        publish_tip(world, tip);
        bitcoin_events_have(&events, &events.tips, i + 3, 1000);
        took_ns[i] = TOLD(&events, template_ns) - begin_ns;
    }
    uint64_t median_ns = bitcoin_events_median(took_ns, TIPS);
    print_message("zmq: new tip to on_template in %.2f ms\n", (double)median_ns / 1e6);
    assert_true(median_ns < 50000000);
    owm_bitcoin_close(bitcoin);
    bitcoin_events_deinit(&events);
    bitcoin_double_close(node);
}

int main(void)
{
    owm_log_level_set(OWM_LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hashblock_alone_is_heard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_endpoints_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zmq_brings_a_template, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

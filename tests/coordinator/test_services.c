/* test_services.c: challenges, registration rates, the table of peers, the inbox and the workers,
 * without a network; with threads, for ThreadSanitizer. */
#include <pthread.h>

#include "controlplane/rpc/challenge.h"
#include "controlplane/rpc/inbox.h"
#include "controlplane/rpc/peers.h"
#include "controlplane/rpc/rate.h"
#include "controlplane/rpc/workers.h"
#include "test.h"

/* SRS-SEC-03: good once, for one key, for a minute. */
static void test_challenge(void **state)
{
    (void)state;
    struct owm_challenges *challenges = NULL;
    uint8_t alice[32] = {1}, bob[32] = {2}, challenge[32], other[32];
    int64_t expires_ms = 0;
    assert_ok(owm_challenges_open(4, &challenges));
    owm_challenge_issue(challenges, alice, 1000, challenge, &expires_ms);
    assert_int_equal(expires_ms, 61000);
    assert_int_equal(owm_challenge_use(challenges, bob, 1000, challenge, 32), OWM_E_CRYPTO);
    assert_int_equal(owm_challenge_use(challenges, alice, 1000, challenge, 31), OWM_E_CRYPTO);
    assert_int_equal(owm_challenge_use(challenges, alice, 61001, challenge, 32), OWM_E_TIMEOUT);
    assert_ok(owm_challenge_use(challenges, alice, 1000, challenge, 32));
    assert_int_equal(owm_challenge_use(challenges, alice, 1000, challenge, 32), OWM_E_EXISTS);
    for (int i = 0; i < 32; i++) {
        memcpy(other, challenge, 32);
        other[i] ^= 1;
        assert_int_equal(owm_challenge_use(challenges, alice, 1000, other, 32), OWM_E_CRYPTO);
    }
    for (int i = 0; i < 3; i++) {
        owm_challenge_issue(challenges, bob, 1000, other, &expires_ms);
        assert_ok(owm_challenge_use(challenges, bob, 1000, other, 32));
    }
    owm_challenge_issue(challenges, bob, 1000, other, &expires_ms);
    assert_int_equal(owm_challenge_use(challenges, bob, 1000, other, 32), OWM_E_LIMIT);
    owm_challenge_issue(challenges, bob, 61002, other, &expires_ms);
    assert_ok(owm_challenge_use(challenges, bob, 61002, other, 32));
    owm_challenges_close(challenges);
}

/* SRS-SEC-04: never more than ten in any hour, also across the edge of an hour. */
static void test_rate(void **state)
{
    (void)state;
    struct owm_rate *rate = NULL;
    int64_t wait_ms = 0, hour_ms = 3600000;
    assert_ok(owm_rate_open(10, hour_ms, &rate));
    for (int i = 0; i < 10; i++)
        assert_ok(owm_rate_take(rate, "10.0.0.1", hour_ms + i * 1000, &wait_ms));
    assert_int_equal(owm_rate_take(rate, "10.0.0.1", hour_ms + 20000, &wait_ms), OWM_E_LIMIT);
    assert_int_equal(wait_ms, hour_ms - 20000);
    assert_ok(owm_rate_take(rate, "10.0.0.2", hour_ms + 20000, &wait_ms));
    assert_ok(owm_rate_take(rate, "10.0.0.1", 2 * hour_ms, &wait_ms));
    assert_int_equal(owm_rate_take(rate, "10.0.0.1", 2 * hour_ms, &wait_ms), OWM_E_LIMIT);
    for (int i = 0; i < OWM_RATE_SOURCES_MAX - 2; i++) {
        char name[32];
        snprintf(name, sizeof(name), "source %d", i);
        assert_ok(owm_rate_take(rate, name, 2 * hour_ms, &wait_ms));
    }
    assert_int_equal(owm_rate_take(rate, "one too many", 2 * hour_ms, &wait_ms), OWM_E_NOMEM);
    assert_ok(owm_rate_take(rate, "one too many", 4 * hour_ms, &wait_ms));
    owm_rate_close(rate);
}

static void count_peer(void *ctx, struct owm_peer *peer)
{
    (void)peer;
    ++*(int *)ctx;
}

static void test_peers(void **state)
{
    (void)state;
    struct owm_peers *peers = NULL;
    int collected = 0;
    assert_ok(owm_peers_open(1000, &peers));
    for (uint32_t i = 0; i < 1000; i++) {
        uint8_t key[32] = {0}, id[16] = {0};
        memcpy(key, &i, 4);
        memcpy(id, &i, 4);
        id[15] = 1;
        assert_ok(owm_peers_update(peers, key, id, OWM_NODE_ACTIVE));
    }
    uint8_t extra[32] = {9, 9, 9, 9, 9}, key[32] = {7};
    assert_int_equal(owm_peers_update(peers, extra, extra, OWM_NODE_ACTIVE), OWM_E_LIMIT);
    assert_null(owm_peers_find(peers, extra));
    struct owm_peer *peer = owm_peers_find(peers, key);
    assert_non_null(peer);
    assert_ptr_equal(owm_peers_by_id(peers, peer->node_id), peer);
    assert_ok(owm_peers_update(peers, key, peer->node_id, OWM_NODE_SUSPENDED));
    assert_int_equal(atomic_load(&peer->status), OWM_NODE_SUSPENDED);
    atomic_store(&peer->seen, true);
    owm_peers_collect(peers, count_peer, &collected);
    owm_peers_collect(peers, count_peer, &collected);
    assert_int_equal(collected, 1);
    owm_peers_close(peers);
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { PRODUCERS = 4, POSTS = 2000 };

struct shared {
    struct owm_inbox *inbox;
    struct owm_peers *peers;
    struct owm_challenges *challenges;
    atomic_uint refused, jobs;
};

/* An RPC thread: finds the peer, leaves its flag, reads the view, spends a challenge, posts. */
static void *produce(void *ctx)
{
    struct shared *shared = ctx;
    for (uint32_t i = 0; i < POSTS; i++) {
        uint8_t key[32] = {0}, challenge[32];
        uint32_t number = i % 64;
        int64_t expires_ms = 0;
        struct owm_network_view view;
        memcpy(key, &number, 4);
        struct owm_peer *peer = owm_peers_find(shared->peers, key);
        if (peer) atomic_store(&peer->seen, true);
        owm_peers_view(shared->peers, &view);
        assert_int_equal(view.round, view.pending_tasks); /* never half of two views */
        if (i % 100 == 0) {
            owm_challenge_issue(shared->challenges, key, 1000, challenge, &expires_ms);
            assert_ok(owm_challenge_use(shared->challenges, key, 1000, challenge, 32));
        }
        struct owm_post *post = owm_post_new(OWM_EVENT_TICK);
        if (owm_inbox_put(shared->inbox, post) != OWM_OK) atomic_fetch_add(&shared->refused, 1);
    }
    return NULL;
}

/* Each post is taken once or was refused; the engine's thread adds peers all the while. */
static void test_threads(void **state)
{
    (void)state;
    struct shared shared = {0};
    pthread_t thread[PRODUCERS];
    uint32_t taken = 0, peers = 0;
    int collected = 0;
    assert_ok(owm_inbox_open(256, &shared.inbox));
    assert_ok(owm_peers_open(64, &shared.peers));
    assert_ok(owm_challenges_open(1024, &shared.challenges));
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, produce, &shared), 0);
    while (taken + atomic_load(&shared.refused) < PRODUCERS * POSTS) {
        struct owm_post *post = owm_inbox_take(shared.inbox, 64, 5);
        while (post) {
            struct owm_post *next = post->next;
            owm_post_free(post);
            post = next;
            taken++;
        }
        if (peers < 64) {
            uint8_t key[32] = {0}, id[16] = {0};
            memcpy(key, &peers, 4);
            memcpy(id, &peers, 4);
            id[15] = 1;
            assert_ok(owm_peers_update(shared.peers, key, id, OWM_NODE_ACTIVE));
            peers++;
        }
        owm_peers_set_view(shared.peers,
                           &(struct owm_network_view){.round = taken, .pending_tasks = taken});
        owm_peers_collect(shared.peers, count_peer, &collected);
    }
    for (int i = 0; i < PRODUCERS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(owm_inbox_length(shared.inbox), 0);
    owm_inbox_stop(shared.inbox);
    assert_int_equal(owm_inbox_put(shared.inbox, owm_post_new(OWM_EVENT_TICK)), OWM_E_STATE);
    owm_inbox_close(shared.inbox);
    owm_peers_close(shared.peers);
    owm_challenges_close(shared.challenges);
}

static void count_job(void *ctx, void *arg)
{
    (void)arg;
    atomic_fetch_add(&((struct shared *)ctx)->jobs, 1);
}

/* What was accepted runs before close returns. */
static void test_workers(void **state)
{
    (void)state;
    struct shared shared = {0};
    struct owm_workers *workers = NULL;
    unsigned accepted = 0;
    assert_ok(owm_workers_open(3, 64, &workers));
    for (int i = 0; i < 1000; i++)
        accepted += owm_workers_run(workers, count_job, &shared, NULL) == OWM_OK;
    owm_workers_close(workers);
    assert_true(accepted > 0);
    assert_int_equal(atomic_load(&shared.jobs), accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge), cmocka_unit_test(test_rate),
        cmocka_unit_test(test_peers),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_workers),
    };
    return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}

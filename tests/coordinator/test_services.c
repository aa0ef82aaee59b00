/* test_services.c: challenges, registration rates and the table of peers, without a network. */
#include "controlplane/rpc/challenge.h"
#include "controlplane/rpc/peers.h"
#include "controlplane/rpc/rate.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_peers),
    };
    return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}

/* test_node_auth.c: a node's proof inside a connection (SRS-POOL-02). */
#include "dataplane/sv2/node_auth.h"

#include "sv2_test.h"

#define NOW 1800000000u

static owm_identity *node, *other;

static struct owm_sv2_binding random_binding(void)
{
    struct owm_sv2_binding binding;
    random_bytes(&binding, sizeof binding);
    return binding;
}

static void what_was_signed_is_accepted(void **state)
{
    (void)state;
    struct owm_sv2_binding here = random_binding();
    struct owm_sv2_node_auth auth, back;
    uint8_t wire[128];
    owm_sv2_node_auth_sign(node, &here, NOW, &auth);
    assert_memory_equal(auth.public_key.byte, owm_identity_public_key(node), 32);
    size_t bytes = owm_sv2_write_node_auth(wire, sizeof wire, &auth);
    assert_int_equal(bytes, 32 + 8 + 64);
    assert_int_equal(owm_sv2_read_node_auth(wire, bytes, &back), bytes);
    assert_ok(owm_sv2_node_auth_check(&back, &here, NOW));
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(owm_sv2_read_node_auth(wire, bytes, &back), bytes);
        assert_int_equal(owm_sv2_node_auth_check(&back, &here, NOW), OWM_E_CRYPTO);
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void the_signed_bytes_are_those_of_the_document(void **state)
{
    (void)state;
    struct owm_sv2_binding here = random_binding();
    struct owm_sv2_node_auth auth;
    uint8_t message[104];
    owm_sv2_node_auth_sign(node, &here, 0x0102030405060708, &auth);
    memcpy(message, here.handshake_hash, 32);
    memcpy(message + 32, here.authority, 32);
    memcpy(message + 64, owm_identity_public_key(node), 32);
    memcpy(message + 96, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_ok(owm_verify(auth.public_key.byte, "OWM-POOL-AUTH-v1", message, sizeof message,
                         auth.signature.byte));
}

static void it_is_worth_nothing_elsewhere(void **state)
{
    (void)state;
    struct owm_sv2_binding here = random_binding(), there = random_binding();
    struct owm_sv2_node_auth auth;
    owm_sv2_node_auth_sign(node, &here, NOW, &auth);
    assert_int_equal(owm_sv2_node_auth_check(&auth, &there, NOW), OWM_E_CRYPTO);
    there = here; /* Another connection of the same pool. */
    there.handshake_hash[31] ^= 1;
    assert_int_equal(owm_sv2_node_auth_check(&auth, &there, NOW), OWM_E_CRYPTO);
    there = here; /* Another pool in between, which relays. */
    there.authority[0] ^= 1;
    assert_int_equal(owm_sv2_node_auth_check(&auth, &there, NOW), OWM_E_CRYPTO);
    memcpy(auth.public_key.byte, owm_identity_public_key(other), 32); /* Another node's name. */
    assert_int_equal(owm_sv2_node_auth_check(&auth, &here, NOW), OWM_E_CRYPTO);
}

static void clocks_may_differ_a_little(void **state)
{
    (void)state;
    struct owm_sv2_binding here = random_binding();
    struct owm_sv2_node_auth auth;
    owm_sv2_node_auth_sign(node, &here, NOW, &auth);
    assert_ok(owm_sv2_node_auth_check(&auth, &here, NOW + OWM_SV2_NODE_AUTH_SKEW_S));
    assert_ok(owm_sv2_node_auth_check(&auth, &here, NOW - OWM_SV2_NODE_AUTH_SKEW_S));
    assert_int_equal(owm_sv2_node_auth_check(&auth, &here, NOW + OWM_SV2_NODE_AUTH_SKEW_S + 1),
                     OWM_E_TIMEOUT);
    assert_int_equal(owm_sv2_node_auth_check(&auth, &here, NOW - OWM_SV2_NODE_AUTH_SKEW_S - 1),
                     OWM_E_TIMEOUT);
    owm_sv2_node_auth_sign(node, &here, UINT64_MAX, &auth);
    assert_int_equal(owm_sv2_node_auth_check(&auth, &here, 0), OWM_E_TIMEOUT);
}

static int prepare(void **state)
{
    (void)state;
    return owm_identity_from_seed((uint8_t[32]){1}, &node) != OWM_OK
           || owm_identity_from_seed((uint8_t[32]){2}, &other) != OWM_OK;
}

static int finish(void **state)
{
    (void)state;
    owm_identity_close(node);
    owm_identity_close(other);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_signed_is_accepted),
        cmocka_unit_test(the_signed_bytes_are_those_of_the_document),
        cmocka_unit_test(it_is_worth_nothing_elsewhere),
        cmocka_unit_test(clocks_may_differ_a_little),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}

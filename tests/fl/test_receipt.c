/* test_receipt.c: signed receipts (a node can prove what became of its package). */
#include "dataplane/fl/receipt.h"

#include "fl_test.h"

static owm_identity *coordinator, *other;

static void receipts_round_trip_and_bind_everything(void **state)
{
    (void)state;
    static const struct owm_receipt good[] = {
        {.round = 4,
         .node_key = {1},
         .package_sha256 = {2},
         .verdict = OWM_RECEIPT_INCLUDED,
         .weight = 0.25f},
        {.round = 5, .verdict = OWM_RECEIPT_NOT_INCLUDED, .reason = 3},
        {.round = 6, .verdict = OWM_RECEIPT_LATE},
    };
    const uint8_t *key = owm_identity_public_key(coordinator);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint8_t bytes[OWM_RECEIPT_BYTES];
        struct owm_receipt back;
        assert_ok(owm_receipt_make(&good[i], coordinator, bytes));
        assert_ok(owm_receipt_read(bytes, sizeof bytes, key, &back, NULL));
        assert_true(back.round == good[i].round && back.verdict == good[i].verdict
                    && back.reason == good[i].reason && back.weight == good[i].weight);
        assert_memory_equal(back.node_key, good[i].node_key, 32);
        assert_memory_equal(back.package_sha256, good[i].package_sha256, 32);
        for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(owm_receipt_read(bytes, sizeof bytes, key, &back, NULL), OWM_OK);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < sizeof bytes; cut++)
            assert_int_equal(owm_receipt_read(bytes, cut, key, &back, NULL), OWM_E_PROTO);
        assert_int_equal(
            owm_receipt_read(bytes, sizeof bytes, owm_identity_public_key(other), &back, NULL),
            OWM_E_CRYPTO);
    }
}

static void senseless_receipts_are_not_made(void **state)
{
    (void)state;
    static const struct owm_receipt bad[] = {
        {.verdict = OWM_RECEIPT_INCLUDED, .weight = 0},
        {.verdict = OWM_RECEIPT_INCLUDED, .weight = 0.1f, .reason = 1},
        {.verdict = OWM_RECEIPT_INCLUDED, .weight = NAN},
        {.verdict = OWM_RECEIPT_NOT_INCLUDED},
        {.verdict = OWM_RECEIPT_LATE, .weight = 0.1f},
        {0},
    };
    uint8_t bytes[OWM_RECEIPT_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(owm_receipt_make(&bad[i], coordinator, bytes), OWM_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receipts_round_trip_and_bind_everything),
        cmocka_unit_test(senseless_receipts_are_not_made),
    };
    coordinator = test_identity(1);
    other = test_identity(2);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    owm_identity_close(coordinator);
    owm_identity_close(other);
    return failed;
}

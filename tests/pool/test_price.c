/* test_price.c: what a share is worth, to the last picosat; and whose it is. */
#include "test.h"

#include "base/rng.h"
#include "dataplane/chain/target.h"
#include "pool/share.h"
#include "price_vectors.h"

static void to_text(unsigned __int128 value, char text[48])
{
    char *at = text + 47;
    *at = 0;
    do *--at = (char)('0' + (int)(value % 10));
    while (value /= 10);
    memmove(text, at, strlen(at) + 1);
}

/* SRS-POOL-04, SRS-POOL-08: the same numbers as Python's integers give. */
static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(price_vectors) / sizeof(price_vectors[0]); i++) {
        const struct price_vector *v = &price_vectors[i];
        struct owm_basis basis = {.bits = v->bits,
                                  .subsidy_sats = v->subsidy_sats,
                                  .fees_sats = v->fees_sats,
                                  .pay_basis_points = v->points};
        struct owm_price price;
        char whole[48], miner[48];
        owm_share_price(&basis, v->hashes, &price);
        to_text(price.whole, whole);
        to_text(price.miner, miner);
        assert_string_equal(whole, v->whole);
        assert_string_equal(miner, v->miner);
    }
}

/* SRS-POOL-04: a block's worth of hashes is a block's reward and 80 % of it the miners'; shares are
 * worth by their hashes, add up in any order to the same, and splitting one never gains. */
static void test_properties(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        struct owm_basis basis = {.bits = 0x1a000000
                                          | (uint32_t)(0x8000 + owm_rng_below(&rng, 0x7f0000)),
                                  .subsidy_sats = owm_rng_below(&rng, 5000000000u),
                                  .fees_sats = owm_rng_below(&rng, 100000000u),
                                  .pay_basis_points = OWM_PAY_BASIS_POINTS};
        uint64_t a = owm_rng_below(&rng, 1ull << 40), b = owm_rng_below(&rng, 1ull << 40);
        struct owm_price one, two, both;
        uint8_t target[32];
        owm_share_price(&basis, a, &one);
        owm_share_price(&basis, b, &two);
        owm_share_price(&basis, a + b, &both);
        assert_true(both.whole >= one.whole + two.whole);
        assert_true(both.whole <= one.whole + two.whole + 1);
        assert_true(one.miner <= one.whole && one.miner * 10 <= one.whole * 8);
        assert_true(one.miner * 10 + 10 > one.whole * 8);
        assert_true(owm_target_from_compact(basis.bits, target));
        owm_share_price(&basis, owm_target_hashes_u64(target), &one);
        assert_true(one.whole
                    == (unsigned __int128)(basis.subsidy_sats + basis.fees_sats) * 1000000000000u);
    }
}

static void test_nonsense_bits(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0, 0x1d800000, 0xff123456, 0x01000000};
    for (size_t i = 0; i < 4; i++) {
        struct owm_basis basis = {.bits = bits[i], .subsidy_sats = 1000, .pay_basis_points = 8000};
        struct owm_price price = {1, 1};
        owm_share_price(&basis, 1000, &price);
        assert_true(price.whole == 0 && price.miner == 0);
    }
}

/* A node is its key; a name is no key, whatever it says. */
static void test_names(void **state)
{
    (void)state;
    char key[65], longest[300];
    struct owm_miner node, named;
    struct owm_worker worker;
    memset(key, 'a', 64);
    key[64] = 0;
    assert_true(owm_miner_of(OWM_MINER_NODE, key, &node));
    assert_true(owm_miner_of(OWM_MINER_NAMED, key, &named));
    assert_memory_not_equal(node.id, named.id, sizeof(node.id));
    key[0] = 'A';
    assert_false(owm_miner_of(OWM_MINER_NODE, key, &node));
    key[63] = 0;
    assert_false(owm_miner_of(OWM_MINER_NODE, key, &node));
    memset(longest, 'x', sizeof(longest));
    longest[255] = 0;
    assert_true(owm_miner_of(OWM_MINER_NAMED, longest, &named));
    longest[255] = 'x';
    longest[299] = 0;
    assert_false(owm_miner_of(OWM_MINER_NAMED, longest, &named));
    assert_true(owm_worker_of("", &worker));
    longest[63] = 0;
    assert_true(owm_worker_of(longest, &worker));
    longest[63] = 'x';
    assert_false(owm_worker_of(longest, &worker));
    static const char *const good[] = {"bc1qxyz", "M\xc3\xbcller", "\xe2\x82\xbf",
                                       "\xf0\x9f\x98\x80", " a b"};
    static const char *const bad[] = {"",
                                      "a\nb",
                                      "\x7f",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xc2\x85",
                                      "\x80",
                                      "\xe2\x80\xae",
                                      "\xe0\x9f\xbf",
                                      "\xff"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(owm_miner_of(OWM_MINER_NAMED, good[i], &named));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(owm_miner_of(OWM_MINER_NAMED, bad[i], &named));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_nonsense_bits),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("price", tests, NULL, NULL);
}

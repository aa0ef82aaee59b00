/* test_target.c: compact targets as Bitcoin Core's, hashes and targets as each other's inverse, the
 * subsidy over all halvings.
 */
#include "base/bytes.h"
#include "base/rng.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/target.h"
#include "test.h"

#define ROUNDS 5000

/* SetCompact and GetCompact: bitcoin/bitcoin, src/test/arith_uint256_tests.cpp, bignum_SetCompact.
 * Negative, overflowing and zero targets are one refusal here. The target is as people write it. */
static const struct {
    uint32_t bits, back;
    const char *target; /* NULL: refused. */
} compacts[] = {
    {0, 0, NULL},
    {0x00123456, 0, NULL},
    {0x01003456, 0, NULL},
    {0x02000056, 0, NULL},
    {0x03000000, 0, NULL},
    {0x04000000, 0, NULL},
    {0x00923456, 0, NULL},
    {0x01803456, 0, NULL},
    {0x02800056, 0, NULL},
    {0x03800000, 0, NULL},
    {0x04800000, 0, NULL},
    {0x01123456, 0x01120000, "0000000000000000000000000000000000000000000000000000000000000012"},
    {0x01fedcba, 0, NULL},
    {0x02123456, 0x02123400, "0000000000000000000000000000000000000000000000000000000000001234"},
    {0x03123456, 0x03123456, "0000000000000000000000000000000000000000000000000000000000123456"},
    {0x04123456, 0x04123456, "0000000000000000000000000000000000000000000000000000000012345600"},
    {0x04923456, 0, NULL},
    {0x05009234, 0x05009234, "0000000000000000000000000000000000000000000000000000000092340000"},
    {0x20123456, 0x20123456, "1234560000000000000000000000000000000000000000000000000000000000"},
    {0xff123456, 0, NULL},
    /* The limits of main and regression test networks, and of where a size overflows. */
    {0x1d00ffff, 0x1d00ffff, "00000000ffff0000000000000000000000000000000000000000000000000000"},
    {0x207fffff, 0x207fffff, "7fffff0000000000000000000000000000000000000000000000000000000000"},
    {0x2200ff00, 0, NULL},
    {0x220000ff, 0x2100ff00, "ff00000000000000000000000000000000000000000000000000000000000000"},
    {0x23000001, 0, NULL},
    {0x21010000, 0, NULL},
};

static void core_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof compacts / sizeof *compacts; i++) {
        uint8_t target[32];
        char text[OWM_HASH_TEXT_BYTES];
        bool valid = owm_target_from_compact(compacts[i].bits, target);
        if (valid != (compacts[i].target != NULL)) fail_msg("bits %08x", compacts[i].bits);
        if (!valid) continue;
        owm_hash_text(target, text);
        assert_string_equal(text, compacts[i].target);
        assert_int_equal(owm_target_to_compact(target), compacts[i].back);
    }
    /* The bit that is a sign is never set: the same test's 0x80. */
    uint8_t target[32] = {0x80};
    assert_int_equal(owm_target_to_compact(target), 0x02008000);
    memset(target, 0, sizeof target);
    assert_int_equal(owm_target_to_compact(target), 0);
}

/* Any target's compact form is at most it, and the next compact number is above it. */
static void compact_rounds_down(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 3);
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t target[32] = {0}, down[32];
        uint64_t bytes = 3 + owm_rng_below(&rng, 30); /* A shorter mantissa has spare bits. */
        for (uint64_t k = 0; k < bytes; k++) target[k] = (uint8_t)owm_rng_u64(&rng);
        target[bytes - 1] |= 1;
        uint32_t bits = owm_target_to_compact(target);
        assert_true(owm_target_from_compact(bits, down));
        struct owm_uint256 a = owm_uint256_from_le(target), b = owm_uint256_from_le(down);
        assert_true(owm_uint256_compare(&b, &a) <= 0);
        assert_int_equal(owm_target_to_compact(down), bits);
        if (!owm_target_from_compact(bits + 1, down)) continue;
        b = owm_uint256_from_le(down);
        assert_true(owm_uint256_compare(&b, &a) > 0);
    }
}

/* Payouts count in these hashes: a share of h is worth h, no more and no less. */
static void check_inverse(uint64_t hashes)
{
    uint8_t target[32];
    owm_target_of_hashes(hashes, target);
    assert_true(owm_target_hashes_u64(target) == hashes);
    /* It is the largest: one more would be worth less. */
    struct owm_uint256 above = owm_uint256_from_le(target);
    const struct owm_uint256 one = owm_uint256_of(1);
    if (!owm_uint256_add(&above, &one, &above)) return;
    owm_uint256_to_le(&above, target);
    assert_true(owm_target_hashes_u64(target) < hashes);
}

static void hashes_and_targets_are_inverse(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 4);
    for (uint64_t h = 1; h <= 1000; h++) check_inverse(h);
    for (int shift = 0; shift < 64; shift++)
        for (uint64_t d = 0; d < 3; d++)
            if ((UINT64_C(1) << shift) + d - 1) check_inverse((UINT64_C(1) << shift) + d - 1);
    for (int i = 0; i < ROUNDS; i++)
        check_inverse(1 + (owm_rng_u64(&rng) >> owm_rng_below(&rng, 64)) % UINT64_MAX);
    check_inverse(UINT64_MAX);
}

static void hashes_fall_as_targets_rise(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 5);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = 1 + owm_rng_u64(&rng) / 2, b = a + 1 + owm_rng_below(&rng, 1000);
        uint8_t easier[32], harder[32];
        owm_target_of_hashes(a, easier);
        owm_target_of_hashes(b, harder);
        struct owm_uint256 e = owm_uint256_from_le(easier), h = owm_uint256_from_le(harder);
        assert_true(owm_uint256_compare(&h, &e) < 0);
    }
}

static void known_amounts_of_work(void **state)
{
    (void)state;
    uint8_t target[32];
    /* Of the genesis block: the chainwork of block 0 is 0x100010001. */
    assert_true(owm_target_from_compact(0x1d00ffff, target));
    assert_true(owm_target_hashes_u64(target) == UINT64_C(0x100010001));
    assert_float_equal(owm_target_difficulty(target), 1.0000152590218967, 1e-12);
    assert_true(owm_target_from_compact(0x207fffff, target));
    assert_true(owm_target_hashes_u64(target) == 2);
    memset(target, 0xff, 32);
    assert_true(owm_target_hashes_u64(target) == 1);
    /* More than 64 bits: exact in the wide form, clamped in the narrow one. */
    assert_true(owm_target_from_compact(0x17000001, target));
    struct owm_uint256 hashes = owm_target_hashes(target);
    assert_true(hashes.limb[1] == UINT64_C(0xffffffff) && hashes.limb[0] == UINT64_MAX);
    assert_true(owm_target_hashes_u64(target) == UINT64_MAX);
    memset(target, 0, 32);
    assert_true(owm_target_hashes_u64(target) == UINT64_MAX);
    assert_true(owm_target_difficulty(target) == 0x1p224);
}

/* 20999999.9769 bitcoins: bitcoin/bitcoin, src/test/validation_tests.cpp, subsidy_limit_test. */
static void subsidy_over_all_halvings(void **state)
{
    (void)state;
    uint64_t sum_sats = 0;
    for (uint32_t height = 0; height < 14000000; height += 1000) {
        uint64_t subsidy_sats = owm_block_subsidy_sats(height, 210000);
        assert_true(subsidy_sats <= UINT64_C(5000000000));
        sum_sats += subsidy_sats * 1000;
    }
    assert_true(sum_sats == UINT64_C(2099999997690000));
    for (uint32_t halving = 0; halving < 70; halving++) {
        uint64_t expected = halving < 64 ? UINT64_C(5000000000) >> halving : 0;
        assert_true(owm_block_subsidy_sats(halving * 150, 150) == expected);
        assert_true(owm_block_subsidy_sats(halving * 150 + 149, 150) == expected);
    }
    assert_true(owm_block_subsidy_sats(UINT32_MAX, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(core_agrees),
        cmocka_unit_test(compact_rounds_down),
        cmocka_unit_test(hashes_and_targets_are_inverse),
        cmocka_unit_test(hashes_fall_as_targets_rise),
        cmocka_unit_test(known_amounts_of_work),
        cmocka_unit_test(subsidy_over_all_halvings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_uint256.c: 256-bit integers against Python's, __int128, and the laws of division. */
#include "base/bytes.h"
#include "base/rng.h"
#include "dataplane/chain/uint256.h"
#include "test.h"
#include "uint256_vectors.h"

#define ROUNDS 20000

typedef unsigned __int128 wide;

static struct owm_uint256 of_hex(const char *hex)
{
    uint8_t be[32], le[32];
    assert_ok(owm_hex_decode(hex, be, 32));
    for (int i = 0; i < 32; i++) le[i] = be[31 - i];
    return owm_uint256_from_le(le);
}

static void assert_value(const struct owm_uint256 *value, const char *hex)
{
    const struct owm_uint256 expected = of_hex(hex);
    assert_int_equal(owm_uint256_compare(value, &expected), 0);
}

static void python_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof uint256_vectors / sizeof *uint256_vectors; i++) {
        const struct owm_uint256 a = of_hex(uint256_vectors[i].a), b = of_hex(uint256_vectors[i].b);
        struct owm_uint256 out, rest;
        bool fits = owm_uint256_add(&a, &b, &out);
        assert_value(&out, uint256_vectors[i].sum);
        assert_int_equal(fits, owm_uint256_compare(&out, &a) >= 0);
        fits = owm_uint256_sub(&a, &b, &out);
        assert_value(&out, uint256_vectors[i].difference);
        assert_int_equal(fits, owm_uint256_compare(&a, &b) >= 0);
        owm_uint256_mul_u64(&a, b.limb[0], &out);
        assert_value(&out, uint256_vectors[i].product_low);
        owm_uint256_divide(&a, &b, &out, &rest);
        assert_value(&out, uint256_vectors[i].quotient);
        assert_value(&rest, uint256_vectors[i].remainder);
        assert_true(owm_uint256_to_double(&a) == uint256_vectors[i].a_double);
    }
}

static struct owm_uint256 draw(struct owm_rng *rng)
{
    struct owm_uint256 value = {{0}};
    uint64_t limbs = owm_rng_below(rng, 5);
    for (uint64_t i = 0; i < limbs; i++) value.limb[i] = owm_rng_u64(rng);
    if (limbs) value.limb[limbs - 1] >>= owm_rng_below(rng, 64);
    return value;
}

static void int128_agrees(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 1);
    for (int i = 0; i < ROUNDS; i++) {
        struct owm_uint256 a = draw(&rng), b = draw(&rng), out, rest;
        a.limb[2] = a.limb[3] = b.limb[2] = b.limb[3] = 0;
        wide wa = (wide)a.limb[1] << 64 | a.limb[0], wb = (wide)b.limb[1] << 64 | b.limb[0];
        owm_uint256_add(&a, &b, &out);
        assert_true(((wide)out.limb[1] << 64 | out.limb[0]) == (wide)(wa + wb));
        assert_int_equal(out.limb[2], (wide)(wa + wb) < wa);
        const struct owm_uint256 low = owm_uint256_of(a.limb[0]);
        assert_true(owm_uint256_mul_u64(&low, b.limb[0], &out));
        assert_true(((wide)out.limb[1] << 64 | out.limb[0]) == (wide)a.limb[0] * b.limb[0]);
        if (wb == 0) continue;
        owm_uint256_divide(&a, &b, &out, &rest);
        assert_true(((wide)out.limb[1] << 64 | out.limb[0]) == wa / wb);
        assert_true(((wide)rest.limb[1] << 64 | rest.limb[0]) == wa % wb);
    }
}

/* a = quotient * b + remainder, remainder < b; sums and differences undo each other in place. */
static void laws_hold(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 2);
    for (int i = 0; i < ROUNDS; i++) {
        const struct owm_uint256 a = draw(&rng), b = owm_uint256_of(owm_rng_u64(&rng) | 1);
        struct owm_uint256 quotient, rest, back;
        owm_uint256_divide(&a, &b, &quotient, &rest);
        assert_true(owm_uint256_compare(&rest, &b) < 0);
        assert_true(owm_uint256_mul_u64(&quotient, b.limb[0], &back));
        assert_true(owm_uint256_add(&back, &rest, &back));
        assert_int_equal(owm_uint256_compare(&back, &a), 0);
        const struct owm_uint256 c = draw(&rng);
        back = a;
        bool wrapped = !owm_uint256_add(&c, &back, &back);
        assert_int_equal(owm_uint256_sub(&back, &c, &back), !wrapped);
        assert_int_equal(owm_uint256_compare(&back, &a), 0);
        assert_int_equal(owm_uint256_compare(&a, &c), -owm_uint256_compare(&c, &a));
    }
}

static void edges(void **state)
{
    (void)state;
    const struct owm_uint256 zero = owm_uint256_of(0), one = owm_uint256_of(1);
    struct owm_uint256 ones = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}}, out;
    uint8_t bytes[32];
    assert_true(owm_uint256_is_zero(&zero));
    assert_false(owm_uint256_is_zero(&one));
    assert_false(owm_uint256_add(&ones, &one, &out));
    assert_true(owm_uint256_is_zero(&out));
    assert_false(owm_uint256_sub(&zero, &one, &out));
    assert_int_equal(owm_uint256_compare(&out, &ones), 0);
    assert_false(owm_uint256_mul_u64(&ones, 2, &out));
    assert_true(owm_uint256_to_u64(&ones) == UINT64_MAX);
    assert_true(owm_uint256_to_u64(&one) == 1);
    assert_true(owm_uint256_to_double(&ones) == 0x1p256);
    assert_true(owm_uint256_to_double(&zero) == 0);
    owm_uint256_divide(&zero, &one, &out, NULL);
    assert_true(owm_uint256_is_zero(&out));
    owm_uint256_to_le(&one, bytes);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(bytes[31], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_agrees),
        cmocka_unit_test(int128_agrees),
        cmocka_unit_test(laws_hold),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

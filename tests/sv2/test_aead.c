/* test_aead.c: our ChaCha20-Poly1305 against RFC 8439 and against libsodium. */
#include "dataplane/sv2/aead.h"

#include <sodium.h>

#include "sv2_test.h"

static struct owm_sv2_chacha_path paths[OWM_SV2_CHACHA_PATHS_MAX];
static size_t path_count;

/* RFC 8439 section 2.3.2, and appendix A.1 numbers 1, 2 and 4, as the four blocks of each path. */
static void blocks_are_those_of_rfc_8439(void **state)
{
    (void)state;
    static const struct {
        const char *key, *row, *block;
    } vectors[] = {
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
         "01000000000000090000004a00000000",
         "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
         "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"},
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "00000000000000000000000000000000",
         "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
         "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "01000000000000000000000000000000",
         "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
         "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
        {"00ff000000000000000000000000000000000000000000000000000000000000",
         "02000000000000000000000000000000",
         "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
         "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"},
    };
    for (size_t p = 0; p < path_count; p++)
        for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++)
            for (size_t at = 0; at < 4; at++) {
                uint8_t key[32], out[4 * 64];
                struct owm_sv2_row rows[4];
                random_bytes(rows, sizeof rows);
                from_hex(vectors[v].key, key, sizeof key);
                from_hex(vectors[v].row, &rows[at], sizeof rows[at]);
                paths[p].run(out, key, rows);
                assert_hex(out + 64 * at, 64, vectors[v].block);
            }
}

static void paths_agree_with_libsodium(void **state)
{
    (void)state;
    for (size_t p = 0; p < path_count; p++)
        for (int i = 0; i < 2000; i++) {
            uint8_t key[32], out[4 * 64], expected[64] = {0};
            struct owm_sv2_row rows[4];
            random_bytes(key, sizeof key);
            random_bytes(rows, sizeof rows);
            paths[p].run(out, key, rows);
            for (size_t at = 0; at < 4; at++) {
                memset(expected, 0, sizeof expected);
                crypto_stream_chacha20_ietf_xor_ic(expected, expected, sizeof expected,
                                                   (const uint8_t *)&rows[at].word[1],
                                                   rows[at].word[0], key);
                assert_memory_equal(out + 64 * at, expected, sizeof expected);
            }
        }
}

/* RFC 8439 appendix A.3, numbers 7 to 11 among others: carries, and what is not yet reduced. */
static void macs_are_those_of_rfc_8439(void **state)
{
    (void)state;
    static const char full[] = "ffffffffffffffffffffffffffffffff";
    static const struct {
        const char *r, *s, *data, *mac;
    } vectors[] = {
        {"02000000000000000000000000000000", "00000000000000000000000000000000", full,
         "03000000000000000000000000000000"},
        {"02000000000000000000000000000000", full, "02000000000000000000000000000000",
         "03000000000000000000000000000000"},
        {"01000000000000000000000000000000", "00000000000000000000000000000000",
         "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff"
         "11000000000000000000000000000000",
         "05000000000000000000000000000000"},
        {"01000000000000000000000000000000", "00000000000000000000000000000000",
         "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe"
         "01010101010101010101010101010101",
         "00000000000000000000000000000000"},
        {"02000000000000000000000000000000", "00000000000000000000000000000000",
         "fdffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff"},
        {"01000000000000000400000000000000", "00000000000000000000000000000000",
         "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
         "0000000000000000000000000000000001000000000000000000000000000000",
         "14000000000000005500000000000000"},
        {"01000000000000000400000000000000", "00000000000000000000000000000000",
         "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
         "00000000000000000000000000000000",
         "13000000000000000000000000000000"},
    };
    for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        uint8_t key[32], data[64], mac[16];
        size_t bytes = strlen(vectors[v].data) / 2;
        from_hex(vectors[v].r, key, 16);
        from_hex(vectors[v].s, key + 16, 16);
        from_hex(vectors[v].data, data, bytes);
        owm_sv2_poly1305(key, data, bytes, mac);
        assert_hex(mac, sizeof mac, vectors[v].mac);
    }
}

/* Keys and blocks of mostly ones and zeros are where carries go wrong. */
static void macs_agree_with_libsodium(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t key[32], data[16 * 9], mac[16], expected[16];
        size_t bytes = 16 * random_below(10);
        random_bytes(key, sizeof key);
        for (size_t at = 0; at < sizeof data; at++)
            data[at] = random_below(3) ? (next_random() & 1 ? 0xff : 0) : (uint8_t)next_random();
        if (i % 4 == 0) memset(key, 0xff, sizeof key);
        if (i % 4 == 1) memset(key + 16, 0xff, 16);
        owm_sv2_poly1305(key, data, bytes, mac);
        crypto_onetimeauth_poly1305(expected, data, bytes, key);
        assert_memory_equal(mac, expected, sizeof mac);
    }
}

struct pair {
    struct owm_sv2_pads pads;
    uint8_t key[32], nonce_bytes[12];
    uint64_t nonce;
};

static struct owm_sv2_message message(struct pair *with, int pad)
{
    random_bytes(with->key, sizeof with->key);
    with->nonce = next_random() >> random_below(64);
    memset(with->nonce_bytes, 0, 4);
    memcpy(with->nonce_bytes + 4, &with->nonce, 8);
    owm_sv2_pads_make(&with->pads, with->key, with->nonce - (uint64_t)pad);
    return (struct owm_sv2_message){with->key, with->nonce, &with->pads, pad};
}

static void assert_like_libsodium(size_t bytes)
{
    uint8_t *plain = malloc(bytes + 16), *ours = malloc(bytes + 16), *theirs = malloc(bytes + 16);
    assert_true(plain && ours && theirs);
    struct pair with;
    struct owm_sv2_message m = message(&with, (int)(next_random() & 1));
    random_bytes(plain, bytes);
    crypto_aead_chacha20poly1305_ietf_encrypt(theirs, NULL, plain, bytes, NULL, 0, NULL,
                                              with.nonce_bytes, with.key);
    owm_sv2_aead_seal(&m, plain, bytes, ours);
    assert_memory_equal(ours, theirs, bytes + 16);
    memcpy(ours, plain, bytes);
    owm_sv2_aead_seal(&m, ours, bytes, ours); /* In place. */
    assert_memory_equal(ours, theirs, bytes + 16);
    for (int i = 0; i < 4; i++) { /* One bit anywhere. */
        ours[random_below(bytes + 16)] ^= (uint8_t)(1u << random_below(8));
        assert_false(owm_sv2_aead_open(&m, ours, bytes));
        assert_true(bytes == 0 || memcmp(ours, plain, bytes) != 0);
        memcpy(ours, theirs, bytes + 16);
    }
    assert_true(owm_sv2_aead_open(&m, ours, bytes));
    assert_memory_equal(ours, plain, bytes);
    free(plain);
    free(ours);
    free(theirs);
}

static void messages_agree_with_libsodium(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= 1700; bytes++) assert_like_libsodium(bytes);
    static const size_t large[] = {4095, 4096, 4097, 16384, 65518, 65519};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) assert_like_libsodium(large[i]);
}

static int prepare(void **state)
{
    (void)state;
    path_count = owm_sv2_chacha_paths(paths);
    for (size_t i = 0; i < path_count; i++) printf("path: %s\n", paths[i].name);
    return sodium_init() < 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_those_of_rfc_8439),
        cmocka_unit_test(paths_agree_with_libsodium),
        cmocka_unit_test(macs_are_those_of_rfc_8439),
        cmocka_unit_test(macs_agree_with_libsodium),
        cmocka_unit_test(messages_agree_with_libsodium),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}

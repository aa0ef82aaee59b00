/* test_transaction.c: hashes of published transactions, and refusal of what is cut, long or odd.
 * The merkle tree against the block with the first payment, and branches against the tree.
 */
#include "base/bytes.h"
#include "base/rng.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/merkle.h"
#include "dataplane/chain/transaction.h"
#include "test.h"

#define BYTES_MAX 1024

/* The genesis coinbase and both transactions of block 170, as in the chain. */
static const char genesis_coinbase[] =
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d"
    "0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66"
    "207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe55"
    "48271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba"
    "0b8d578a4c702b6bf11d5fac00000000";
static const char first_payment_coinbase[] =
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0704ffff001d"
    "0102ffffffff0100f2052a01000000434104d46c4968bde02899d2aa0963367c7a6ce34eec332b32e42e5f3407e052"
    "d64ac625da6f0718e7b302140434bd725706957c092db53805b821a85b23a7ac61725bac00000000";
static const char first_payment[] =
    "0100000001c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd370400000000484730440220"
    "4e45e16932b8af514961a1d3a1a25fdf3f4f7732e9d624c6c61548ab5fb8cd410220181522ec8eca07de4860a4acdd"
    "12909d831cc56cbbac4622082221a8768d1d0901ffffffff0200ca9a3b00000000434104ae1a62fe09c5f51b13905f"
    "07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a0626f1baded5c72a"
    "704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6"
    "909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac00000000";

/* BIP 143, native P2WPKH: the signed transaction. Without its witness it is what BIP 144 says. */
#define P2WPKH_BODY                                                                                \
    "02fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000049483045022100"     \
    "8b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99"     \
    "f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e81"     \
    "5b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db"     \
    "99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167f"     \
    "aa815988ac"
static const char p2wpkh[] =
    "010000000001" P2WPKH_BODY
    "000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c"
    "4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7a"
    "cafcdb3566bb0ad253f62fc70f07aeee635711000000";
static const char p2wpkh_stripped[] = "01000000" P2WPKH_BODY "11000000";

static size_t decode(const char *hex, uint8_t *data)
{
    size_t bytes = strlen(hex) / 2;
    assert_true(bytes <= BYTES_MAX);
    assert_ok(owm_hex_decode(hex, data, bytes));
    return bytes;
}

static struct owm_transaction read_hex(const char *hex)
{
    uint8_t data[BYTES_MAX];
    struct owm_transaction read;
    struct owm_error error;
    if (owm_transaction_read(data, decode(hex, data), &read, &error)) fail_msg("%s", error.text);
    return read;
}

static void assert_hash(const uint8_t hash[32], const char *expected)
{
    char text[OWM_HASH_TEXT_BYTES];
    owm_hash_text(hash, text);
    assert_string_equal(text, expected);
}

static void published_hashes(void **state)
{
    (void)state;
    struct owm_transaction read = read_hex(genesis_coinbase);
    assert_hash(read.txid, "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b");
    assert_memory_equal(read.txid, read.wtxid, 32);
    assert_int_equal(read.weight, 4 * 204);
    assert_false(read.has_witness);
    read = read_hex(first_payment_coinbase);
    assert_hash(read.txid, "b1fea52486ce0c62bb442b530a3f0132b826c74e473d1f2c220bfa78111c5082");
    read = read_hex(first_payment);
    assert_hash(read.txid, "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16");
}

static void witness_is_stripped(void **state)
{
    (void)state;
    struct owm_transaction whole = read_hex(p2wpkh), bare = read_hex(p2wpkh_stripped);
    assert_true(whole.has_witness);
    assert_false(bare.has_witness);
    assert_memory_equal(whole.txid, bare.txid, 32);
    assert_memory_not_equal(whole.wtxid, bare.wtxid, 32);
    assert_int_equal(bare.weight, 4 * (sizeof p2wpkh_stripped / 2));
    assert_int_equal(whole.weight, 3 * (sizeof p2wpkh_stripped / 2) + sizeof p2wpkh / 2);
}

static void what_is_stripped_and_spent_is_told(void **state)
{
    (void)state;
    uint8_t data[BYTES_MAX + 1], bare[BYTES_MAX + 1], stripped[BYTES_MAX + 1];
    struct owm_transaction read = read_hex(p2wpkh);
    size_t bare_bytes = decode(p2wpkh_stripped, bare);
    decode(p2wpkh, data);
    owm_transaction_strip(data, &read, stripped);
    assert_int_equal(read.stripped_bytes, bare_bytes);
    assert_memory_equal(stripped, bare, bare_bytes);
    read = read_hex(p2wpkh_stripped);
    owm_transaction_strip(bare, &read, stripped);
    assert_memory_equal(stripped, bare, bare_bytes);
    assert_int_equal(read.inputs, 2); /* BIP 143's example spends two. */
    assert_memory_equal(owm_transaction_outpoint(bare, bare_bytes, 0), bare + 5, 36);
    const uint8_t *second = owm_transaction_outpoint(bare, bare_bytes, 1);
    assert_true(second > bare + 5 + 36 && second + 36 < bare + bare_bytes);
    assert_int_equal(second[32], 1);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    static const char *const whole[] = {genesis_coinbase, first_payment, p2wpkh};
    for (size_t i = 0; i < 3; i++) {
        uint8_t data[BYTES_MAX + 1];
        struct owm_transaction read;
        size_t bytes = decode(whole[i], data);
        for (size_t cut = 0; cut < bytes; cut++) {
            uint8_t *exact =
                malloc(cut ? cut : 1); /* So that a sanitizer sees one byte too many. */
            memcpy(exact, data, cut);
            assert_int_equal(owm_transaction_read(exact, cut, &read, NULL), OWM_E_PROTO);
            free(exact);
        }
        data[bytes] = 0;
        assert_int_equal(owm_transaction_read(data, bytes + 1, &read, NULL), OWM_E_PROTO);
    }
}

/* A place to spend from, and an output of nothing to nobody. */
#define IN  "0000000000000000000000000000000000000000000000000000000000000000ffffffff"
#define OUT "000000000000000000"
#define END "00000000"

static const struct {
    const char *hex, *why;
} odd[] = {
    {"010000000000" END, "no inputs"},
    {"01000000000201" IN "00ffffffff01" OUT "0100" END, "flag"},
    {"0100000001" IN "00ffffffff00" END, "no outputs"},
    {"0100000000010001" OUT END, "no inputs"},
    {"01000000000101" IN "00ffffffff01" OUT "00" END, "witness is empty"},
    {"0100000001" IN "fd0000ffffffff01" OUT END, "length"},
    {"01000000fd0100" IN "00ffffffff01" OUT END, "length"},
    {"01000000fe01000000" IN "00ffffffff01" OUT END, "length"},
    {"01000000ff0100000000000000" IN "00ffffffff01" OUT END, "length"},
    {"01000000ffffffffffffffffff" IN "00ffffffff01" OUT END, "length"},
    {"0100000001" IN "ffffffffffffffffffffffffff01" OUT END, "length"},
};

static void odd_forms_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        uint8_t data[BYTES_MAX];
        struct owm_transaction read;
        struct owm_error error = {""};
        size_t bytes = decode(odd[i].hex, data);
        assert_int_equal(owm_transaction_read(data, bytes, &read, &error), OWM_E_PROTO);
        if (!strstr(error.text, odd[i].why)) fail_msg("%zu: %s", i, error.text);
    }
    read_hex("0100000001" IN "00ffffffff01" OUT END);
    read_hex("01000000000101" IN "00ffffffff01" OUT "0100" END);
}

static void tree_of_the_first_payment(void **state)
{
    (void)state;
    uint8_t leaf[2][32], root[32];
    struct owm_transaction coinbase = read_hex(first_payment_coinbase);
    memcpy(leaf[0], coinbase.txid, 32);
    memcpy(leaf[1], read_hex(first_payment).txid, 32);
    owm_merkle_tree(leaf, 2, root);
    assert_hash(root, "7dac2c5666815c17a3b36427de37bb9d2e2c5ccec3f8633eb91a4205cb4c10ff");
    memcpy(leaf[1], read_hex(first_payment).txid, 32);
    uint8_t branch[1][32];
    assert_int_equal(owm_merkle_branches(leaf, 2, branch), 1);
    owm_merkle_fold(coinbase.txid, branch, 1, root);
    assert_hash(root, "7dac2c5666815c17a3b36427de37bb9d2e2c5ccec3f8633eb91a4205cb4c10ff");
}

/* The tree as the definition has it, by recursion: the root of the lowest `size` nodes, the last
 * standing in for those that are missing. */
static void define_root(const uint8_t (*leaf)[32], uint32_t count, uint32_t size, uint8_t root[32])
{
    if (size == 1) {
        memcpy(root, leaf[0], 32);
        return;
    }
    uint8_t pair[64];
    uint32_t half = size / 2;
    define_root(leaf, count < half ? count : half, half, pair);
    if (count > half)
        define_root(leaf + half, count - half, half, pair + 32);
    else
        memcpy(pair + 32, pair, 32);
    owm_sha256d(pair, 64, root);
}

static void branches_lead_to_the_root(void **state)
{
    (void)state;
    enum { LEAVES_MAX = 70 };
    struct owm_rng rng;
    owm_rng_seed(&rng, 6);
    for (uint32_t count = 1; count <= LEAVES_MAX; count++) {
        uint8_t leaf[LEAVES_MAX][32], copy[LEAVES_MAX][32], branch[8][32], root[32], folded[32];
        for (uint32_t i = 0; i < count; i++)
            for (int k = 0; k < 32; k++) leaf[i][k] = (uint8_t)owm_rng_u64(&rng);
        uint32_t size = 1;
        while (size < count) size *= 2;
        define_root(leaf, count, size, root);
        memcpy(copy, leaf, sizeof copy);
        owm_merkle_tree(copy, count, folded);
        assert_memory_equal(folded, root, 32);
        memcpy(copy, leaf, sizeof copy);
        memset(copy[0], 0xee, 32); /* The coinbase's slot is not read. */
        uint32_t branches = owm_merkle_branches(copy, count, branch);
        assert_int_equal(1u << branches, size);
        owm_merkle_fold(leaf[0], branch, branches, folded);
        assert_memory_equal(folded, root, 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_hashes),
        cmocka_unit_test(witness_is_stripped),
        cmocka_unit_test(what_is_stripped_and_spent_is_told),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(odd_forms_are_refused),
        cmocka_unit_test(tree_of_the_first_payment),
        cmocka_unit_test(branches_lead_to_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

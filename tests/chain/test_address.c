/* test_address.c: addresses of BIP 173, BIP 350 and Bitcoin Core's test data to scripts. */
#include "base/bytes.h"
#include "dataplane/chain/address.h"
#include "test.h"

/* The first eight: BIP 350. The others: bitcoin/bitcoin, src/test/data/key_io_valid.json. */
static const struct {
    enum owm_network network;
    const char *address, *script;
} valid[] = {
    {OWM_MAINNET, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
     "0014751e76e8199196d454941c45d1b3a323f1433bd6"},
    {OWM_TESTNET4, "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
     "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"},
    {OWM_MAINNET, "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
     "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6"},
    {OWM_MAINNET, "BC1SW50QGDZ25J", "6002751e"},
    {OWM_MAINNET, "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "5210751e76e8199196d454941c45d1b3a323"},
    {OWM_SIGNET, "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy",
     "0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
    {OWM_SIGNET, "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
     "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
    {OWM_MAINNET, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
     "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
    {OWM_MAINNET, "1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo",
     "76a914a31c06bd463e3923bc1aadbde48b16976c08071788ac"},
    {OWM_MAINNET, "36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm",
     "a914373b819a068f32b7a6b38b6b38729647cfde01c287"},
    {OWM_TESTNET4, "mzK2FFDEhxqHcmrJw1ysqFkVyhUULo45hZ",
     "76a914ce28b26c57472737f5c3561a1761185bd8589a4388ac"},
    {OWM_TESTNET4, "2NC2hEhe28ULKAJkW5MjZ3jtTMJdvXmByvK",
     "a914ce0bba75891ff9ec60148d4bd4a09ee2dc5c933187"},
    {OWM_SIGNET, "mww4LvqtTMKvmeQvizPz2EQv26xTneWrbg",
     "76a914b4110ba93ac54afc14da3bdd19614774a2d55d2988ac"},
    {OWM_REGTEST, "n4fajahJrAuKbN7uNsKjLjQkz9Qn5ewJXQ",
     "76a914fdeca3b08e38af53d7c4c60e3ad208ce5066441088ac"},
    {OWM_REGTEST, "2MxFajLApXpYk4VodBSZSt7rw8y4ryABkfA",
     "a91436e9f191e0b75036a77f65e2eaa4752443233fbe87"},
    {OWM_MAINNET, "bc1z2rksukkjr8", "520250ed"},
    {OWM_TESTNET4, "tb1p35n52jy6xkm4wd905tdy8qtagrn73kqdz73xe4zxpvq9t3fp50aqk3s6gz",
     "51208d2745489a35b75734afa2da43817d40e7e8d80d17a26cd4460b0055c521a3fa"},
    {OWM_REGTEST, "bcrt1qdavt4j2sd7dlhqsavtnfxvzppw6k7qy97tmnu9",
     "00146f58bac9506f9bfb821d62e69330410bb56f0085"},
    {OWM_REGTEST, "bcrt1qan8gntac7z7me2ejt4hpru42ad2f759fmy0m3ejvs98656znv7eqga4uhv",
     "0020ecce89afb8f0bdbcab325d6e11f2aaeb549f50a9d91fb8e64c814faa685367b2"},
    {OWM_REGTEST, "bcrt1sx6p8njlx7h9mc2agz4yg82dzne23050ncq72cneeecez2pst8mahn8xecsf8g6hzx94420",
     "6028368279cbe6f5cbbc2ba8154883a9a29e5517d1f3c03cac4f39ce3225060b3efb799cd9c412746ae2"},
};

static void published_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        uint8_t script[OWM_SCRIPT_BYTES_MAX];
        uint32_t bytes;
        char hex[2 * OWM_SCRIPT_BYTES_MAX + 1];
        struct owm_error error;
        if (owm_address_script(valid[i].address, valid[i].network, script, &bytes, &error))
            fail_msg("%s", error.text);
        owm_hex_encode(script, bytes, hex);
        assert_string_equal(hex, valid[i].script);
    }
}

/* BIP 350, BIP 173, then base58 of our own making: a letter changed, one more, one less, an extra
 * leading 1, a letter that base58 leaves out, a private key. */
static const struct {
    const char *address, *why;
} invalid[] = {
    {"tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "neither"},
    {"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "wrong kind"},
    {"BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "wrong kind"},
    {"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "wrong kind"},
    {"bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "do not use"},
    {"BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "witness version"},
    {"bc1pw5dgrnzv", "length"},
    {"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "length"},
    {"BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "length"},
    {"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "length"},
    {"bc1gmk9yu", "empty"},
    {"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "mistyped"},
    {"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3T4", "mixes"},
    {"bc1", "too short"},
    {"bc1qqqqq", "too short"},
    {"bc1rw5uspcuh", "wrong kind"},
    {"bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du", "wrong kind"},
    {"1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mp", "mistyped"},
    {"1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2moo", "neither"},
    {"1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2m", "mistyped"},
    {"11FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo", "neither"},
    {"1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN0mo", "neither"},
    {"5JuW2AMDYu4xVwRG9DZW18VbzQrGcd5RCgb99sS6ehJsNQXu5b9", "neither"},
    {"", "neither"},
    {"bc1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"
     "q",
     "too long"},
};

static void wrong_addresses_say_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        uint8_t script[OWM_SCRIPT_BYTES_MAX];
        uint32_t bytes;
        struct owm_error error;
        owm_status status =
            owm_address_script(invalid[i].address, OWM_MAINNET, script, &bytes, &error);
        if (status != OWM_E_PROTO) fail_msg("%s was taken", invalid[i].address);
        if (!strstr(error.text, invalid[i].why)) fail_msg("%s", error.text);
        assert_int_equal(bytes, 0);
    }
}

/* Money sent to the address of another network is lost: both are named. */
static void other_networks_are_named(void **state)
{
    (void)state;
    uint8_t script[OWM_SCRIPT_BYTES_MAX];
    uint32_t bytes;
    struct owm_error error;
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        enum owm_network other = valid[i].network == OWM_MAINNET ? OWM_REGTEST : OWM_MAINNET;
        assert_int_equal(owm_address_script(valid[i].address, other, script, &bytes, &error),
                         OWM_E_PROTO);
        assert_non_null(strstr(error.text, "mainnet"));
        assert_non_null(strstr(error.text, "is an address of"));
    }
    assert_int_equal(owm_address_script(valid[1].address, OWM_REGTEST, script, &bytes, &error),
                     OWM_E_PROTO);
    assert_non_null(strstr(error.text, "testnet4 or signet; one of regtest"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_addresses),
        cmocka_unit_test(wrong_addresses_say_why),
        cmocka_unit_test(other_networks_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

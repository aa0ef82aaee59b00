/* test_lightning_text.c: funding points, node addresses and signatures as text. */
#include "base/bytes.h"
#include "base/lightning/lightning.h"
#include "test.h"

#define KEY "02b80cabdf82638aac86948e4c06e82064f547768dcef977677b9ea931ea75bab5"

static void test_points(void **state)
{
    (void)state;
    static const char text[] =
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce:4294967295";
    struct owm_lightning_point point;
    char back[OWM_LIGHTNING_POINT_TEXT];
    assert_ok(owm_lightning_point_parse(text, &point));
    assert_int_equal(point.txid[0], 0xce); /* reversed: as it is in the chain */
    assert_int_equal(point.txid[31], 0x27);
    assert_int_equal(point.index, UINT32_MAX);
    owm_lightning_point_format(&point, back);
    assert_string_equal(back, text);
    static const char *const wrong[] = {
        "",
        ":",
        "27:0",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce:",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce:4294967296",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce:01",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce:-1",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4ce:1 ",
        "2784c83a8cbbf2750d3a253054f692f56265521ab27ce7f97a9b8d6107dab4xx:1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(owm_lightning_point_parse(wrong[i], &point), OWM_E_PROTO);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const right[] = {
        "127.0.0.1:9735",
        "node.example.org:1",
        "[2001:db8::1]:65535",
        "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:9735",
    };
    uint8_t key[OWM_LIGHTNING_KEY_BYTES], expected[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
    char uri[300];
    assert_ok(owm_hex_decode(KEY, expected, sizeof expected));
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        snprintf(uri, sizeof uri, KEY "@%s", right[i]);
        assert_ok(owm_lightning_uri_parse(uri, key, &host));
        assert_memory_equal(key, expected, sizeof key);
        assert_string_equal(host, right[i]);
    }
    static const char *const wrong[] = {
        "",         ":",          "host",       "host:",       "host:0",           "host:65536",
        ":9735",    "host:09735", "ho st:9735", "host:97a",    "2001:db8::1:9735", "[]:9735",
        "a@b:9735", "host:9735/", "[::1:9735",  "ho\nst:9735", "host\x01:9735",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(uri, sizeof uri, KEY "@%s", wrong[i]);
        assert_int_equal(owm_lightning_uri_parse(uri, key, &host), OWM_E_PROTO);
    }
    assert_int_equal(owm_lightning_uri_parse("", key, &host), OWM_E_PROTO);
    assert_int_equal(owm_lightning_uri_parse(KEY ":9735", key, &host), OWM_E_PROTO);
    snprintf(uri, sizeof uri, "04%s@host:9735", KEY + 2); /* no compressed point */
    assert_int_equal(owm_lightning_uri_parse(uri, key, &host), OWM_E_PROTO);
}

/* The first three were made by LND nodes of users and stand in Core Lightning's tests, credited
 * there to @bitconner, @duck1123 and @jochemin; the others by LND 0.21.2. */
static const struct {
    const char *message, *signature, *key;
} signatures[] = {
    {"is this compatible?",
     "rbgfioj114mh48d8egqx8o9qxqw4fmhe8jbeeabdioxnjk8z3t1ma1hu1fiswpakgucwwzwo6ofycffbsqusqdimugbh4"
     "1n1"
     "g698hr9t",
     "02b80cabdf82638aac86948e4c06e82064f547768dcef977677b9ea931ea75bab5"},
    {"hi",
     "rnrphcjswusbacjnmmmrynh9pqip7sy5cx695h6mfu64iac6qmcmsd8xnsyczwmpqp9shqkth3h4jmkgyqu5z47jfn1q7"
     "gpx"
     "taqpx4xg",
     "02de60d194e1ca5947b59fe8e2efd6aadeabfb67f2e89e13ae1a799c1e08e4a43b"},
    {"hi",
     "ry8bbsopmduhxy3dr5d9ekfeabdpimfx95kagdem7914wtca79jwamtbw4rxh69hg7n6x9ty8cqk33knbxaqftgxsfsae"
     "prx"
     "kn1k48p3",
     "022b8ece90ee891cbcdac0c1cc6af46b73c47212d8defbce80265ac81a6b794931"},
    {"hello owm",
     "d6gpinw4rs8ihmeu6id8373oz1ykg7bsecxzdf8gu7x3efg4cmb5ozshg8og81f4sfuqq3t7qy4ucx34i98x6hbwubhyx"
     "hap"
     "yak1d4ht",
     "0343b7eeaeda95e7a64391ae1eb52f8917ab44085ed17402455c52de2c906149ff"},
    {"h\u00e9llo \u2026 \u4e16\u754c",
     "d6r65dtx64ftgekunpwcjy1k4akxgrqcz4x1sggs7yf11thny1cuqpw4if994wu8rareyw9m85q7cgnxjiagwj86ch767"
     "gjc"
     "nk4saypm",
     "0343b7eeaeda95e7a64391ae1eb52f8917ab44085ed17402455c52de2c906149ff"},
};

static void test_signatures_give_the_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        uint8_t key[OWM_LIGHTNING_KEY_BYTES];
        char hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
        assert_ok(owm_lightning_recover(signatures[i].message, signatures[i].signature, key));
        owm_hex_encode(key, sizeof key, hex);
        assert_string_equal(hex, signatures[i].key);
        owm_status status = owm_lightning_recover("another message", signatures[i].signature, key);
        owm_hex_encode(key, sizeof key, hex);
        assert_true(status == OWM_E_CRYPTO || strcmp(hex, signatures[i].key) != 0);
    }
}

static void test_what_is_no_signature(void **state)
{
    (void)state;
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    char text[160];
    static const char zeros[] = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    const char *good = signatures[0].signature;
    assert_int_equal(owm_lightning_recover("hi", "", key), OWM_E_CRYPTO);
    snprintf(text, sizeof text, "%s%s", zeros, zeros); /* recovery number 0 - 31 */
    assert_int_equal(owm_lightning_recover("hi", text, key), OWM_E_CRYPTO);
    snprintf(text, sizeof text, "%.8s%.48s%s", good, zeros, zeros); /* r and s nearly 0 */
    text[104] = 0;
    assert_int_equal(owm_lightning_recover("hi", text, key), OWM_E_CRYPTO);
    snprintf(text, sizeof text, "%.103s", good);
    assert_int_equal(owm_lightning_recover("hi", text, key), OWM_E_CRYPTO);
    snprintf(text, sizeof text, "%sy", good);
    assert_int_equal(owm_lightning_recover("hi", text, key), OWM_E_CRYPTO);
    snprintf(text, sizeof text, "%s", good);
    for (const char *letter = "l0vV2 -\x80"; *letter; letter++) { /* not in zbase32 */
        text[50] = *letter;
        assert_int_equal(owm_lightning_recover("hi", text, key), OWM_E_CRYPTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_signatures_give_the_key),
        cmocka_unit_test(test_what_is_no_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

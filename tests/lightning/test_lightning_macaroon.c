/* test_lightning_macaroon.c: what a macaroon may do, who may hold it, and a copy with a condition.
 * SRS-SEC-13 (each credential has its own role, and no more). */
#include "base/bytes.h"
#include "base/lightning/lnd.h"
#include "test.h"

/* Made by LND 0.21.2: baked with the recipes of two roles, its own readonly.macaroon, and the first
 * one again after `lncli constrainmacaroon --ip_address 127.0.0.1`. */
static const char stake_hex[] =
    "0201036c6e6402c601030a101407fe0b4c72f7792c3bca66e07729491204373030301aaa010a03757269121f"
    "2f6c6e7270632e4c696768746e696e672f436c6f7365644368616e6e656c7312182f6c6e7270632e4c696768"
    "746e696e672f476574496e666f121d2f6c6e7270632e4c696768746e696e672f4c6973744368616e6e656c73"
    "12202f6c6e7270632e4c696768746e696e672f50656e64696e674368616e6e656c7312272f6c6e7270632e4c"
    "696768746e696e672f5375627363726962654368616e6e656c4576656e7473000006200796421ff1e4440d4f"
    "e46f0ad2263f0f77747933ed1da6ad42e0351828989caf";
static const char stake_at_home_hex[] =
    "0201036c6e6402c601030a101407fe0b4c72f7792c3bca66e07729491204373030301aaa010a03757269121f"
    "2f6c6e7270632e4c696768746e696e672f436c6f7365644368616e6e656c7312182f6c6e7270632e4c696768"
    "746e696e672f476574496e666f121d2f6c6e7270632e4c696768746e696e672f4c6973744368616e6e656c73"
    "12202f6c6e7270632e4c696768746e696e672f50656e64696e674368616e6e656c7312272f6c6e7270632e4c"
    "696768746e696e672f5375627363726962654368616e6e656c4576656e747300021069706164647220313237"
    "2e302e302e3100000620219b367eadc13384b42486d926eb38898772ccf50574a7329b5c76518b06e5e5";
static const char invoice_hex[] =
    "0201036c6e6402ab02030a105de705de0eff6a38d4967ce5422a80b91204373030311a8f020a037572691224"
    "2f696e766f696365737270632e496e766f696365732f416464486f6c64496e766f69636512232f696e766f69"
    "6365737270632e496e766f696365732f43616e63656c496e766f69636512232f696e766f696365737270632e"
    "496e766f696365732f536574746c65496e766f696365121b2f6c6e7270632e4c696768746e696e672f416464"
    "496e766f69636512182f6c6e7270632e4c696768746e696e672f476574496e666f121d2f6c6e7270632e4c69"
    "6768746e696e672f4c697374496e766f69636573121e2f6c6e7270632e4c696768746e696e672f4c6f6f6b75"
    "70496e766f69636512222f6c6e7270632e4c696768746e696e672f537562736372696265496e766f69636573"
    "000006201ba4ab6e750a6189c9b3e8101fd0e2c5810400ceb13f654fad1b1b504c5b1e26";
static const char readonly_hex[] =
    "0201036c6e6402ac01030a1055e705de0eff6a38d4967ce5422a80b91201301a0f0a07616464726573731204"
    "726561641a0c0a04696e666f1204726561641a100a08696e766f696365731204726561641a100a086d616361"
    "726f6f6e1204726561641a0f0a076d6573736167651204726561641a100a086f6666636861696e1204726561"
    "641a0f0a076f6e636861696e1204726561641a0d0a0570656572731204726561641a0e0a067369676e657212"
    "0472656164000006204f100831d694c710ea1c2b71ecef21ed367dd0c2fdffb021bc8da5dd79fd4026";

static size_t bytes_of(const char *hex, uint8_t bytes[MACAROON_BYTES_MAX])
{
    size_t count = strlen(hex) / 2;
    assert_ok(owm_hex_decode(hex, bytes, count));
    return count;
}

static void parse(const char *hex, struct macaroon *macaroon)
{
    uint8_t bytes[MACAROON_BYTES_MAX];
    size_t count = bytes_of(hex, bytes);
    assert_ok(macaroon_parse(bytes, count, macaroon));
}

static void expect_op(const struct macaroon *macaroon, size_t i, const char *text)
{
    char shown[200];
    const struct macaroon_op *op = &macaroon->ops[i];
    const char *bytes = (const char *)macaroon->bytes;
    snprintf(shown, sizeof shown, "%.*s:%.*s", op->entity_bytes, bytes + op->entity_at,
             op->action_bytes, bytes + op->action_at);
    assert_string_equal(shown, text);
}

static void test_operations_are_read(void **state)
{
    (void)state;
    struct macaroon macaroon;
    parse(stake_hex, &macaroon);
    assert_int_equal(macaroon.op_count, 5);
    expect_op(&macaroon, 0, "uri:/lnrpc.Lightning/ClosedChannels");
    expect_op(&macaroon, 4, "uri:/lnrpc.Lightning/SubscribeChannelEvents");
    parse(readonly_hex, &macaroon);
    assert_int_equal(macaroon.op_count, 9);
    expect_op(&macaroon, 0, "address:read");
    expect_op(&macaroon, 8, "signer:read");
}

static void test_a_condition_is_added_as_lnd_does(void **state)
{
    (void)state;
    struct macaroon macaroon;
    char hex[MACAROON_HEX_BYTES];
    parse(stake_hex, &macaroon);
    macaroon_attenuate(&macaroon, "ipaddr 127.0.0.1", hex);
    assert_string_equal(hex, stake_at_home_hex);
    parse(hex, &macaroon);
    assert_int_equal(macaroon.caveat_count, 1);
    char twice[MACAROON_HEX_BYTES], longest[MACAROON_CAVEAT_MAX + 1];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    macaroon_attenuate(&macaroon, longest, twice);
    assert_memory_equal(twice, hex, 2 * macaroon.caveats_end); /* only appended */
    parse(twice, &macaroon);
    assert_int_equal(macaroon.caveat_count, 2);
}

static void test_each_role_takes_its_own(void **state)
{
    (void)state;
    struct macaroon stake, invoice, readonly;
    uint32_t granted;
    struct owm_error error;
    parse(stake_at_home_hex, &stake);
    parse(invoice_hex, &invoice);
    parse(readonly_hex, &readonly);
    assert_ok(lnd_role_judge(OWM_LIGHTNING_STAKE, &stake, &granted, &error));
    assert_true(granted & 1u << LND_ListChannels);
    assert_false(granted & 1u << LND_CloseChannel);
    assert_ok(lnd_role_judge(OWM_LIGHTNING_INVOICE, &invoice, &granted, &error));
    for (int role = OWM_LIGHTNING_STAKE; role <= OWM_LIGHTNING_OPERATOR; role++) {
        const char *recipe =
            owm_lightning_role_recipe(OWM_LIGHTNING_LND, (enum owm_lightning_role)role);
        assert_int_equal(lnd_role_judge((enum owm_lightning_role)role, &readonly, &granted, &error),
                         OWM_E_CONFIG);
        assert_non_null(strstr(error.text, "address:read"));
        assert_non_null(strstr(error.text, recipe)); /* the whole of it */
        if (role == OWM_LIGHTNING_INVOICE) continue;
        assert_int_equal(lnd_role_judge((enum owm_lightning_role)role, &invoice, &granted, &error),
                         OWM_E_CONFIG);
        if (role == OWM_LIGHTNING_STAKE) continue;
        assert_int_equal(lnd_role_judge((enum owm_lightning_role)role, &stake, &granted, &error),
                         OWM_E_CONFIG);
    }
}

/* LND's bytes for these methods and no others, with a nonce and a signature of nothing. */
static void bake(const char *const *methods, size_t count, struct macaroon *macaroon)
{
    uint8_t ops[512] = {10, 3, 'u', 'r', 'i'}, bytes[1024];
    size_t at = 5, length = 0;
    for (size_t i = 0; i < count; i++) {
        ops[at++] = 18;
        ops[at++] = (uint8_t)strlen(methods[i]);
        memcpy(ops + at, methods[i], strlen(methods[i]));
        at += strlen(methods[i]);
    }
    assert_true(at < 124); /* lengths of one byte */
    const uint8_t head[] = {2, 2, (uint8_t)(at + 3), 3, 26, (uint8_t)at};
    const uint8_t tail[] = {0, 0, 6, 32};
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, ops, at);
    length = sizeof head + at;
    memcpy(bytes + length, tail, sizeof tail);
    memset(bytes + length + sizeof tail, 7, 32);
    assert_ok(macaroon_parse(bytes, length + sizeof tail + 32, macaroon));
}

/* A narrower one will do, if it has what its role cannot do without. */
static void test_less_than_the_role_may(void **state)
{
    (void)state;
    static const char *const methods[] = {"/lnrpc.Lightning/GetInfo",
                                          "/lnrpc.Lightning/SignMessage"};
    struct macaroon macaroon;
    uint32_t granted;
    struct owm_error error;
    bake(methods, 2, &macaroon);
    assert_ok(lnd_role_judge(OWM_LIGHTNING_OPERATOR, &macaroon, &granted, &error));
    assert_true(granted & 1u << LND_SignMessage);
    assert_false(granted & 1u << LND_SendPaymentV2);
    bake(methods, 1, &macaroon);
    assert_int_equal(lnd_role_judge(OWM_LIGHTNING_OPERATOR, &macaroon, &granted, &error),
                     OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "lacks what the role operator needs"));
    static const char *const other[] = {"/lnrpc.Lightning/GetInfo",
                                        "/lnrpc.Lightning/GetInfoAndMore"};
    bake(other, 2, &macaroon); /* a name that only begins as one of ours */
    assert_int_equal(lnd_role_judge(OWM_LIGHTNING_OPERATOR, &macaroon, &granted, &error),
                     OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "may do more"));
}

/* Only the slasher may close, only the payer and an operator may pay. */
static void test_roles_do_not_overlap(void **state)
{
    (void)state;
    for (int role = OWM_LIGHTNING_STAKE; role <= OWM_LIGHTNING_OPERATOR; role++) {
        const char *recipe =
            owm_lightning_role_recipe(OWM_LIGHTNING_LND, (enum owm_lightning_role)role);
        assert_int_equal(strstr(recipe, "CloseChannel") != NULL, role == OWM_LIGHTNING_SLASH);
        assert_int_equal(strstr(recipe, "SendPaymentV2") != NULL,
                         role == OWM_LIGHTNING_PAY || role == OWM_LIGHTNING_OPERATOR);
        assert_int_equal(strstr(recipe, "SettleInvoice") != NULL, role == OWM_LIGHTNING_INVOICE);
        assert_int_equal(strstr(recipe, "SignMessage") != NULL, role == OWM_LIGHTNING_OPERATOR);
        assert_int_equal(strstr(recipe, "OpenChannelSync") != NULL, role == OWM_LIGHTNING_PAY);
        assert_null(strstr(recipe, "GetState"));
    }
}

static void test_what_is_no_macaroon(void **state)
{
    (void)state;
    struct macaroon macaroon;
    uint8_t bytes[MACAROON_BYTES_MAX + 1];
    size_t count = bytes_of(stake_at_home_hex, bytes);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(macaroon_parse(bytes, i, &macaroon), OWM_E_PROTO);
    bytes[count] = 0;
    assert_int_equal(macaroon_parse(bytes, count + 1, &macaroon), OWM_E_PROTO);
    assert_int_equal(macaroon_parse(bytes, sizeof bytes, &macaroon), OWM_E_LIMIT);
    bytes[0] = 1; /* another version */
    assert_int_equal(macaroon_parse(bytes, count, &macaroon), OWM_E_PROTO);
    bytes[0] = 2;
    bytes[9] = 2; /* another bakery */
    assert_int_equal(macaroon_parse(bytes, count, &macaroon), OWM_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations_are_read),
        cmocka_unit_test(test_a_condition_is_added_as_lnd_does),
        cmocka_unit_test(test_each_role_takes_its_own),
        cmocka_unit_test(test_less_than_the_role_may),
        cmocka_unit_test(test_roles_do_not_overlap),
        cmocka_unit_test(test_what_is_no_macaroon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

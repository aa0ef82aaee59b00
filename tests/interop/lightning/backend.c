/* backend.c: base/lightning against two real lnd nodes: every call, and what goes wrong with one.
 *
 * SRS-LN-01, SRS-STAKE-01 (stake is read from channels), SRS-SEC-13 (credentials of one role each).
 */
#include <string.h>

#include "backend.h"
#include "base/bytes.h"
#include "test.h"

static void test_info(void **state)
{
    struct pair *pair = *state;
    for (int role = OWM_LIGHTNING_STAKE; role <= OWM_LIGHTNING_SLASH; role++) {
        struct owm_lightning_info info;
        owm_lightning *lightning = pair_open(pair->treasury, (enum owm_lightning_role)role);
        assert_ok(owm_lightning_get_info(lightning, &info, NULL));
        assert_memory_equal(info.key, pair->treasury_key, sizeof info.key);
        assert_string_equal(info.network, "simnet");
        assert_string_equal(info.alias, "owm-treasury");
        assert_true(info.synced_to_chain);
        assert_true(info.block_height > 400);
        owm_lightning_close(lightning);
    }
}

static void test_network_is_checked(void **state)
{
    struct pair *pair = *state;
    struct owm_lightning_config config = pair_config(pair->treasury, OWM_LIGHTNING_STAKE);
    owm_lightning *lightning;
    config.network = "regtest";
    assert_int_equal(owm_lightning_open(&config, &lightning, NULL), OWM_E_CONFIG);
    assert_null(lightning);
}

/* A million that the operator locked is a million, whatever LND takes off for fees; and what the
 * treasury opened is nobody's stake. SRS-STAKE-01 */
static void test_channels_of_both_sides(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    struct owm_lightning_channel ours = pair_channel(treasury, pair->stake);
    struct owm_lightning_channel theirs = pair_channel(owner, pair->stake);
    assert_int_equal(ours.state, OWM_LIGHTNING_NORMAL);
    assert_true(ours.opened_by_peer && ours.active);
    assert_int_equal(ours.capacity_msat, PAIR_STAKE_SATS * 1000LL);
    assert_int_equal(ours.remote_msat, PAIR_STAKE_SATS * 1000LL);
    assert_int_equal(ours.local_msat, 0);
    assert_in_range(ours.confirmations, RIG_CONFIRMATIONS, 1000);
    assert_int_equal(ours.short_id, theirs.short_id);
    assert_int_equal(ours.remote_reserve_msat, PAIR_STAKE_SATS * 10LL); /* A hundredth. */
    assert_memory_equal(ours.peer, pair->operator_key, sizeof ours.peer);
    assert_false(theirs.opened_by_peer);
    assert_true(theirs.local_msat > 990000000 && theirs.local_msat < 1000000000); /* Net. */

    int64_t sent_msat = pair_sent(pair->treasury);
    ours = pair_channel(treasury, pair->payout);
    assert_false(ours.opened_by_peer);
    assert_in_range(ours.remote_msat, sent_msat - 999, sent_msat); /* LND lists whole sats. */
    theirs = pair_channel(owner, pair->payout);
    assert_int_equal(theirs.remote_msat + ours.remote_msat, PAIR_PAYOUT_SATS * 1000LL);
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}

/* SRS-STAKE-02: the LN key is proven by a signature, of a node that no graph need know. */
static void test_signature(void **state)
{
    struct pair *pair = *state;
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    char signature[OWM_LIGHTNING_SIGNATURE_TEXT];
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    struct owm_error error = {""};
    if (owm_lightning_sign(owner, "OWM stake: a statement", signature, &error))
        fail_msg("%s", error.text);
    assert_ok(owm_lightning_recover("OWM stake: a statement", signature, key));
    assert_memory_equal(key, pair->operator_key, sizeof key);
    if (owm_lightning_recover("OWM stake: another", signature, key) == OWM_OK)
        assert_memory_not_equal(key, pair->operator_key, sizeof key);
    owm_lightning_close(owner);
}

/* The operator spends 1,000.001 sats of its stake: the watch says whose, and the stake is less by
 * exactly that. */
static void test_watch_sees_stake_fall(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    struct owm_lightning_watch *watch;
    struct owm_lightning_outcome outcome;
    struct owm_error error = {""};
    uint8_t whose[OWM_LIGHTNING_KEY_BYTES];
    assert_ok(owm_lightning_watch_channels(treasury, &watch, NULL));
    assert_int_equal(owm_lightning_watch_next(watch, 300, whose, NULL), OWM_E_TIMEOUT);

    struct owm_lightning_order order = pair_keysend(pair->treasury_key, 1000000, 1);
    if (owm_lightning_pay(owner, &order, PAIR_WAIT_MS, &outcome, &error))
        fail_msg("%s", error.text);
    if (outcome.state != OWM_LIGHTNING_SUCCEEDED) fail_msg("%s", outcome.reason);
    assert_ok(owm_lightning_watch_next(watch, PAIR_WAIT_MS, whose, &error));
    assert_memory_equal(whose, pair->operator_key, sizeof whose);
    pair_settle(pair);
    struct owm_lightning_channel ours = pair_channel(treasury, pair->stake);
    assert_int_equal(ours.remote_msat, PAIR_STAKE_SATS * 1000LL - 1000000);
    assert_int_equal(ours.local_msat, 1000000);
    owm_lightning_watch_close(watch);
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}

/* backend [FILTER]: all tests, or those that cmocka's FILTER picks. */
int main(int argc, char **argv)
{
    static struct pair pair;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_payer_and_lnd_killed, &pair), /* First: it forks. */
        cmocka_unit_test_prestate(test_info, &pair),
        cmocka_unit_test_prestate(test_network_is_checked, &pair),
        cmocka_unit_test_prestate(test_channels_of_both_sides, &pair),
        cmocka_unit_test_prestate(test_signature, &pair),
        cmocka_unit_test_prestate(test_watch_sees_stake_fall, &pair),
        cmocka_unit_test_prestate(test_keysend_once, &pair),
        cmocka_unit_test_prestate(test_invoice, &pair),
        cmocka_unit_test_prestate(test_hold_invoice, &pair),
        cmocka_unit_test_prestate(test_funds_and_opening, &pair),
        cmocka_unit_test_prestate(test_roles_and_nothing_else, &pair),
        cmocka_unit_test_prestate(test_certificate, &pair),
        cmocka_unit_test_prestate(test_locked, &pair),
        cmocka_unit_test_prestate(test_killed_while_paying, &pair),
        cmocka_unit_test_prestate(test_killed_with_a_held_payment, &pair),
        cmocka_unit_test_prestate(test_sums, &pair),
        cmocka_unit_test_prestate(test_cooperative_close, &pair),
        cmocka_unit_test_prestate(test_force_close_gives_everything_back, &pair),
    };
    int code = pair_start(&pair);
    if (code) return code;
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    code = cmocka_run_group_tests(tests, NULL, NULL);
    if (code) pair_logs(&pair);
    pair_stop(&pair);
    return code;
}

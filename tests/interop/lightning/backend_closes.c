/* backend_closes.c: the books of both sides, and what a close gives to whom. */
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "test.h"

#define FEES_SATS  5000 /* More than closing and sweeping cost at 2 sats per vbyte. */
#define CSV_BLOCKS 150  /* The closer waits 144. */

/* What one paid the other has received, to the millisat, and the channels add up. */
void test_sums(void **state)
{
    struct pair *pair = *state;
    unsigned count;
    const char *const points[] = {pair->stake, pair->payout};
    pair_settle(pair);
    assert_int_equal(pair_sent(pair->treasury), pair_received(pair->owner, NULL, &count));
    assert_true(count >= 3);
    assert_int_equal(pair_sent(pair->owner), pair_received(pair->treasury, NULL, &count));
    assert_true(count >= 3);

    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    for (size_t i = 0; i < 2; i++) {
        struct owm_lightning_channel ours = pair_channel(treasury, points[i]);
        struct owm_lightning_channel theirs = pair_channel(owner, points[i]);
        int64_t opener_net = ours.opened_by_peer ? theirs.local_msat : ours.local_msat;
        int64_t acceptor = ours.opened_by_peer ? ours.local_msat : theirs.local_msat;
        int64_t opener = ours.opened_by_peer ? ours.remote_msat : theirs.remote_msat;
        assert_int_equal(opener + acceptor, ours.capacity_msat);
        assert_in_range(opener - opener_net, 0, FEES_SATS * 1000);
    }
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}

static int64_t wallet_msat(const struct daemon *of)
{
    owm_lightning *lightning = pair_open(of, OWM_LIGHTNING_PAY);
    struct owm_lightning_funds funds;
    assert_ok(owm_lightning_get_funds(lightning, &funds, NULL));
    owm_lightning_close(lightning);
    return funds.wallet_confirmed_msat;
}

static struct owm_lightning_channel mine_until_closed(struct pair *pair, owm_lightning *treasury,
                                                      const char *point)
{
    struct owm_lightning_channel channel = {0};
    for (int i = 0; i < 30; i++) {
        channel = pair_channel(treasury, point);
        if (channel.state == OWM_LIGHTNING_CLOSED) return channel;
        assert_ok(rig_mine(&pair->rig, 10, NULL));
        owm_clock_sleep_ms(300);
    }
    fail_msg("channel %s is in state %d", point, channel.state);
    return channel;
}

/* An operator that leaves: no penalty, and nothing to wait for. SRS-STAKE-08 */
void test_cooperative_close(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    struct owm_error error = {""};
    if (rig_close(&pair->rig, pair->owner, pair->payout, &error)) fail_msg("%s", error.text);
    struct owm_lightning_channel channel = mine_until_closed(pair, treasury, pair->payout);
    assert_int_equal(channel.close_kind, OWM_LIGHTNING_CLOSE_COOPERATIVE);
    assert_true(channel.closed_by_peer);
    owm_lightning_close(treasury);
}

static void force_close(struct pair *pair, uint8_t txid[static 32])
{
    owm_lightning *slash = pair_open(pair->treasury, OWM_LIGHTNING_SLASH);
    struct owm_lightning_point point, unknown = {.txid = {1}};
    struct owm_error error = {""};
    uint8_t again[32];
    assert_ok(owm_lightning_point_parse(pair->stake, &point));
    assert_int_equal(owm_lightning_force_close(slash, &unknown, again, NULL), OWM_E_NOTFOUND);
    if (owm_lightning_force_close(slash, &point, txid, &error)) fail_msg("%s", error.text);
    assert_int_equal(owm_lightning_force_close(slash, &point, again, NULL), OWM_E_EXISTS);
    struct owm_lightning_channel channel = pair_channel(slash, pair->stake);
    assert_int_equal(channel.state, OWM_LIGHTNING_CLOSING);
    assert_memory_equal(channel.closing_txid, txid, 32);
    owm_lightning_close(slash);
}

/* docs/slashing.md says that a force-close takes nothing from anybody: the operator has its balance
 * in its wallet, and so has the treasury after the blocks that the closer waits. */
void test_force_close_gives_everything_back(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    pair_settle(pair);
    struct owm_lightning_channel before = pair_channel(treasury, pair->stake);
    int64_t operator_msat = wallet_msat(pair->owner);
    assert_true(before.local_msat > 1000000 && before.remote_msat > 900000000);
    uint8_t txid[32];
    force_close(pair, txid);
    assert_ok(rig_mine(&pair->rig, 1, NULL));

    int64_t back_msat = 0;
    for (int i = 0; i < 60 && back_msat < before.remote_msat - FEES_SATS * 1000; i++) {
        assert_ok(rig_mine(&pair->rig, 1, NULL));
        owm_clock_sleep_ms(300);
        back_msat = wallet_msat(pair->owner) - operator_msat;
    }
    assert_in_range(back_msat, before.remote_msat - FEES_SATS * 1000, before.remote_msat);
    assert_ok(rig_mine(&pair->rig, CSV_BLOCKS, NULL));
    struct owm_lightning_channel after = mine_until_closed(pair, treasury, pair->stake);
    assert_int_equal(after.close_kind, OWM_LIGHTNING_CLOSE_FORCED_BY_US);
    assert_false(after.closed_by_peer);
    assert_memory_equal(after.closing_txid, txid, 32);
    assert_in_range(after.local_msat, before.local_msat - FEES_SATS * 1000, before.local_msat);
    after = pair_channel(owner, pair->stake);
    assert_int_equal(after.close_kind, OWM_LIGHTNING_CLOSE_FORCED_BY_PEER);
    assert_true(after.closed_by_peer);
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}

/* test_blocks_mempool.c: the block source's mempool: who comes in, what replaces what, what blocks,
 * branches and restarts make of it.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks_fixture.h"
#include "test.h"
#include "wallet.h"

static char folder[128];
static struct chain *chain;
static struct mempool *pool;

static int set_up(void **state)
{
    (void)state;
    fixture_folder(folder);
    chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    pool = fixture_mempool(folder, chain);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mempool_close(pool);
    chain_close(chain);
    fixture_clean(folder);
    return 0;
}

static void restart(void)
{
    mempool_close(pool);
    chain_close(chain);
    chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    pool = fixture_mempool(folder, chain);
}

static const uint8_t note[] = {0x6a, 4, 'n', 'o', 't', 'e'};

/* Nothing but a note, paid for by the wallet at sat/kvB. */
static void begin(struct edit *edit, int64_t fee_rate, bool confirmed)
{
    const struct edit_out out = {0, {note, sizeof note}};
    struct wallet_fund fund = {
        .fee_rate = fee_rate, .change_position = -1, .replaceable = true, .confirmed = confirmed};
    *edit = (struct edit){.version = 2};
    assert_true(edit_add_out(edit, 0, &out));
    assert_null(wallet_fund(pool, edit, &fund));
    assert_int_equal(fund.fee_sats, (edit_vbytes(edit) * fee_rate + 999) / 1000);
}

static const char *send(const struct edit *edit, const struct mempool_tx **tx)
{
    size_t bytes;
    uint8_t *data = edit_write(edit, true, &bytes);
    const char *reason = mempool_send(pool, data, bytes, 0, tx);
    free(data);
    return reason;
}

static const struct mempool_tx *pay(int64_t fee_rate, bool confirmed)
{
    struct edit edit;
    const struct mempool_tx *tx;
    begin(&edit, fee_rate, confirmed);
    const char *reason = send(&edit, &tx);
    if (reason) fail_msg("%s", reason);
    return tx;
}

static uint32_t waiting(void)
{
    uint32_t count;
    (void)mempool_waiting(pool, &count);
    return count;
}

static void mine_pool(uint32_t salt)
{
    struct draft draft;
    draft_begin_with(&draft, chain, pool, 4, salt);
    const char *reason = draft_submit(&draft, chain);
    if (reason) fail_msg("%s", reason);
    mempool_follow(pool);
}

static int64_t trusted(void)
{
    struct wallet_balance balance;
    assert_true(wallet_balance(pool, &balance));
    return balance.trusted_sats;
}

/* What waits stands in the template, parents first, with its fee, and is mined with it. */
static void a_template_has_all_that_waits(void **state)
{
    (void)state;
    const int64_t before_sats = trusted();
    int64_t fees_sats = 0;
    struct draft draft;
    for (uint32_t i = 0; i < 40; i++) fees_sats += pay(2000 + 10 * i, false)->fee_sats;
    assert_true(trusted() == before_sats - fees_sats);
    json_t *root = template_make(chain, pool, 4, fixture_now());
    const json_t *list = json_object_get(root, "transactions");
    assert_true(json_array_size(list) >= 40);
    size_t i, depending = 0;
    const json_t *one;
    json_array_foreach(list, i, one)
    {
        const json_t *depends = json_object_get(one, "depends");
        depending += json_array_size(depends);
        if (json_array_size(depends))
            assert_true(json_integer_value(json_array_get(depends, 0)) <= (json_int_t)i);
    }
    assert_true(depending > 0); /* There are fewer coins than transactions. */
    json_decref(root);
    draft_begin_with(&draft, chain, pool, 4, 1);
    assert_true(draft.block->fees_sats >= (uint64_t)fees_sats);
    assert_true(draft.block->coinbase_value_sats
                == (uint64_t)check_subsidy_sats(draft.block->height) + draft.block->fees_sats);
    assert_null(draft_submit(&draft, chain));
    mempool_follow(pool);
    assert_int_equal(waiting(), 0);
    for (uint32_t k = 0; k < 40; k++)
        assert_ptr_equal(mempool_block(pool, mempool_known(pool, k)), chain_tip(chain));
}

/* A block that spends the templates' own coins leaves what waits where it is. */
static void the_wallet_s_coins_are_its_own(void **state)
{
    (void)state;
    const struct mempool_tx *tx = pay(1000, true);
    for (uint32_t i = 0; i < 12; i++) {
        mine(chain, 1, 50 + i); /* Without the pool. */
        mempool_follow(pool);
        assert_true(tx->waiting);
    }
    mine_pool(1);
    assert_non_null(mempool_block(pool, tx));
}

static void expect(const struct edit *edit, const char *reason)
{
    const struct mempool_tx *tx;
    const uint32_t before = mempool_changes(pool);
    const char *got = send(edit, &tx);
    if (!got || strncmp(got, reason, strlen(reason)) != 0)
        fail_msg("'%s' in place of '%s'", got ? got : "accepted", reason);
    assert_int_equal(mempool_changes(pool), before);
}

static void who_stays_outside(void **state)
{
    (void)state;
    struct edit edit, good;
    const struct mempool_tx *tx;
    begin(&good, 1000, true);
    edit = good;
    edit.in[0].key.index = 7;
    expect(&edit, MEMPOOL_MISSING);
    edit = good;
    edit.out[1].value_sats += 1;
    expect(&edit, "min relay fee not met");
    edit.out[1].value_sats = edit.in[0].value_sats + 1;
    expect(&edit, "bad-txns-in-belowout");
    edit.out[1].value_sats = -1;
    expect(&edit, "bad-txns-vout-negative");
    edit = good;
    edit.lock_time = 202; /* In the next block it is not final. */
    expect(&edit, "non-final");
    edit = good;
    edit.in[0].sequence = 300; /* Blocks behind the coin's (BIP 68). */
    expect(&edit, "bad-txns-nonfinal");
    edit = good;
    edit.in[0].kind = edit.in[0].kind == COIN_TRUE ? COIN_WITNESS_TRUE : COIN_TRUE;
    expect(&edit, "block-script-verify-flag-failed");
    edit = good;
    edit.in[edit.ins++] = good.in[0];
    expect(&edit, "bad-txns-inputs-duplicate");
    edit = good;
    edit.outs = 1;
    edit.out[0].script.bytes = 0;
    if (edit.in[0].kind == COIN_TRUE) expect(&edit, "tx-size-small");
    assert_string_equal(mempool_send(pool, note, sizeof note, 0, &tx), "");

    size_t bytes;
    uint8_t *data = edit_write(&good, true, &bytes);
    assert_ptr_equal(mempool_send(pool, data, bytes, 500, &tx), MEMPOOL_FEE_TOO_HIGH);
    assert_null(mempool_send(pool, data, bytes, 1000, &tx));
    assert_null(mempool_send(pool, data, bytes, 1000, &tx)); /* It may be sent again. */
    assert_int_equal(waiting(), 1);
    mine_pool(1);
    assert_ptr_equal(mempool_send(pool, data, bytes, 0, &tx), MEMPOOL_MINED);
    free(data);
}

/* BIP 125, each rule. */
static void replacements(void **state)
{
    (void)state;
    struct edit edit;
    const struct mempool_tx *first, *second;
    begin(&edit, 2000, true);
    assert_null(send(&edit, &first));
    const int64_t fee_sats = first->fee_sats, vbytes = edit_vbytes(&edit);
    edit.out[1].value_sats -= vbytes - 1; /* One sat less than it takes. */
    expect(&edit, "insufficient fee");
    edit.out[1].value_sats -= 1;
    assert_null(send(&edit, &second));
    assert_true(!first->waiting && second->waiting && first->replaced_by == second);
    assert_ptr_equal(second->replaces, first);
    assert_true(second->fee_sats == fee_sats + vbytes);
    assert_int_equal(waiting(), 1);

    /* A child that came later goes with its parent, and its fee counts. */
    struct edit child = {.version = 2};
    const struct edit_out out = {edit.out[1].value_sats - 5000, {note, sizeof note}};
    struct edit_in in = {.key.index = 1, .sequence = UINT32_MAX, .kind = COIN_WITNESS_TRUE};
    const struct mempool_tx *third, *fourth;
    memcpy(in.key.txid, second->read.tx[0].txid, 32);
    in.value_sats = edit.out[1].value_sats;
    assert_true(edit_add_in(&child, &in) && edit_add_out(&child, 0, &out));
    assert_null(send(&child, &third));
    edit.out[1].value_sats -= 4999;
    expect(&edit, "insufficient fee, rejecting replacement; less fees");
    edit.out[1].value_sats -= 1 + vbytes;
    assert_null(send(&edit, &fourth));
    assert_true(!second->waiting && !third->waiting && fourth->waiting);

    struct edit other;
    begin(&other, 2000, true);
    other.in[0].sequence = UINT32_MAX;
    assert_null(send(&other, &first));
    other.out[1].value_sats -= 10000;
    expect(&other, "txn-mempool-conflict");

    struct edit mixed = edit; /* It spends what waits, which what it replaces did not. */
    struct edit_in unconfirmed = {.key.index = 1,
                                  .sequence = 0,
                                  .kind = COIN_WITNESS_TRUE,
                                  .value_sats = first->read.out[1].value_sats};
    memcpy(unconfirmed.key.txid, first->read.tx[0].txid, 32);
    assert_true(edit_add_in(&mixed, &unconfirmed));
    expect(&mixed, "replacement-adds-unconfirmed");
}

static void bumps(void **state)
{
    (void)state;
    const struct mempool_tx *tx = pay(1000, true), *bumped, *again;
    assert_non_null(strstr(wallet_bump(pool, tx, 1500, &bumped), "Insufficient total fee"));
    assert_null(wallet_bump(pool, tx, 0, &bumped));
    assert_true(bumped->fee_sats == 6 * tx->fee_sats && !tx->waiting);
    assert_memory_equal(bumped->read.out[0].script.data, note, sizeof note);
    assert_non_null(strstr(wallet_bump(pool, tx, 20000, &again), "already bumped"));
    assert_null(wallet_bump(pool, bumped, 20000, &again));
    mine_pool(3);
    assert_non_null(mempool_block(pool, again));
    assert_null(mempool_block(pool, bumped));
    assert_non_null(strstr(wallet_bump(pool, again, 40000, &tx), "has been mined"));
}

/* Nothing but the two files is known after kill -9: blocks, pool and balance are as before. */
static void restarts(void **state)
{
    (void)state;
    uint8_t waits[32], mined[32];
    const struct mempool_tx *bumped, *tx = pay(1000, true);
    memcpy(mined, tx->read.tx[0].txid, 32);
    mine_pool(1);
    tx = pay(1000, true);
    assert_null(wallet_bump(pool, tx, 9000, &bumped));
    (void)pay(3000, false);
    memcpy(waits, bumped->read.tx[0].txid, 32);
    const int64_t sats = trusted();
    const uint32_t changes = mempool_changes(pool);
    restart();
    assert_true(trusted() == sats);
    assert_int_equal(waiting(), 2);
    assert_int_equal(mempool_changes(pool), changes);
    assert_true(mempool_find(pool, waits)->waiting);
    tx = mempool_find(pool, mined);
    assert_ptr_equal(mempool_block(pool, tx), chain_tip(chain));
    assert_true(tx->fee_sats > 0 && tx->owner == COIN_WALLET && tx->time_s > 0);

    char path[256];
    struct stat info;
    snprintf(path, sizeof path, "%s/sent.dat", folder);
    assert_int_equal(stat(path, &info), 0);
    for (off_t cut = 1; cut < 60; cut += 20) { /* The last record is torn. */
        assert_int_equal(truncate(path, info.st_size - cut), 0);
        restart();
        assert_int_equal(waiting(), 1);
        assert_int_equal(stat(path, &info), 0);
        (void)pay(3000, false);
        assert_int_equal(stat(path, &info), 0);
    }
}

/* Blocks that leave the chain give their transactions back, unless others took the coins. */
static void branches(void **state)
{
    (void)state;
    const struct chain_node *at = chain_tip(chain), *made;
    const struct mempool_tx *tx = pay(1000, true);
    mine_pool(1);
    assert_non_null(mempool_block(pool, tx));
    for (uint32_t i = 0; i < 2; i++, at = made) (void)mine_on(chain, at, 9, &made);
    assert_ptr_equal(chain_tip(chain), at);
    mempool_follow(pool);
    assert_null(mempool_block(pool, tx));
    assert_true(tx->waiting);
    mine_pool(2);
    assert_ptr_equal(mempool_block(pool, tx), chain_tip(chain));
}

static void it_is_bounded(void **state)
{
    (void)state;
    struct edit edit;
    for (uint32_t i = 0; i < MEMPOOL_WAITING_MAX; i++) (void)pay(1000, false);
    begin(&edit, 1000, false);
    expect(&edit, "mempool full");
    mine_pool(1);
    assert_int_equal(waiting(), 0);
    (void)pay(1000, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_template_has_all_that_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_wallet_s_coins_are_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_stays_outside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacements, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bumps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(restarts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(branches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

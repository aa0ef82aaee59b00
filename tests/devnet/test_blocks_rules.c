/* test_blocks_rules.c: a block that breaks one rule is refused with Bitcoin Core's word for it, and
 * the same block without the fault is taken.
 */
#include "base/bytes.h"
#include "blocks_fixture.h"
#include "dataplane/chain/transaction.h"
#include "test.h"

#define HEIGHT_AT    42      /* Of the scriptSig in the coinbase's prefix. */
#define SCRIPT_BYTES 0x10000 /* The least whose length takes four bytes, as `make` writes it. */

static char folder[128];
static struct chain *chain;

static int set_up(void **state)
{
    (void)state;
    fixture_folder(folder);
    chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    mine(chain, 3, 1); /* The next template has spends: 204 % 5. */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    chain_close(chain);
    fixture_clean(folder);
    return 0;
}

static struct draft begin(void)
{
    struct draft draft;
    draft_begin(&draft, chain, 4, 7);
    assert_int_equal(draft.txs, 4);
    return draft;
}

static void expect(struct draft *draft, const char *reason)
{
    const struct chain_node *tip = chain_tip(chain);
    const char *got = draft_submit(draft, chain);
    if (!got || strncmp(got, reason, strlen(reason)) != 0)
        fail_msg("'%s' in place of '%s'", got ? got : "accepted", reason);
    assert_ptr_equal(chain_tip(chain), tip);
}

static void the_block_itself_is_taken(void **state)
{
    (void)state;
    struct draft draft = begin();
    assert_null(draft_submit(&draft, chain));
}

static void headers(void **state)
{
    (void)state;
    struct draft draft = begin();
    draft.miss_target = true;
    expect(&draft, "high-hash");
    draft = begin();
    draft.bits = 0x207ffffe;
    expect(&draft, "bad-diffbits");
    draft = begin();
    draft.time_s = chain_median_time_s(chain_tip(chain));
    expect(&draft, "time-too-old");
    draft = begin();
    draft.time_s = fixture_now() + CHECK_FUTURE_S_MAX + 60;
    expect(&draft, "time-too-new");
    draft = begin();
    draft.version = 3;
    expect(&draft, "bad-version");
    draft = begin();
    draft.version = 0x80000004; /* Negative. */
    expect(&draft, "bad-version");
    draft = begin();
    draft.previous[0] ^= 1;
    expect(&draft, "prev-blk-not-found");
    draft = begin();
    draft.keep_root = true;
    expect(&draft, "bad-txnmrklroot");
}

static void coinbases(void **state)
{
    (void)state;
    struct draft draft = begin();
    draft.block->coinbase_value_sats++;
    assert_ok(owm_coinbase_build(draft.block, &draft.plan, &draft.coinbase, NULL));
    expect(&draft, "bad-cb-amount");
    draft = begin();
    draft.coinbase.prefix[HEIGHT_AT + 1] ^= 1;
    expect(&draft, "bad-cb-height");
    draft = begin();
    draft.coinbase.prefix[5] = 1; /* It spends something. */
    expect(&draft, "bad-cb-missing");
    draft = begin();
    draft.coinbase.suffix[draft.coinbase.suffix_bytes - 4] += 2; /* Locked beyond this block. */
    expect(&draft, "bad-txns-nonfinal");
    draft = begin();
    uint8_t *bytes = draft.coinbase.prefix + draft.coinbase.prefix_bytes;
    memset(bytes, 0, 100);
    draft.coinbase.prefix_bytes += 100;
    draft.coinbase.prefix[41] += 100;
    expect(&draft, "bad-cb-length");
}

static void witnesses(void **state)
{
    (void)state;
    struct draft draft = begin();
    draft.coinbase.suffix[draft.coinbase.suffix_bytes - 5] ^= 1; /* The commitment's last byte. */
    expect(&draft, "bad-witness-merkle-match");
    draft = begin();
    draft.bare = true;
    expect(&draft, "bad-witness-nonce-size");
    draft = begin();
    draft.block->commitment_bytes = 0;
    assert_ok(owm_coinbase_build(draft.block, &draft.plan, &draft.coinbase, NULL));
    expect(&draft, "unexpected-witness");
}

/* A transaction to order: from one of the template's coins. */
struct order {
    const uint8_t *from; /* [36] */
    uint64_t value_sats;
    uint32_t script_bytes, sequence, lock_time, input_script_bytes;
    uint8_t fill;
    uint32_t ins, outs;
};

static uint8_t room[8][1100000];

static struct owm_transaction_view make(const struct order *order, uint32_t place)
{
    struct owm_writer w;
    owm_writer_init(&w, room[place], sizeof room[place]);
    owm_write_u32_le(&w, 2);
    owm_write_u8(&w, (uint8_t)order->ins);
    for (uint32_t i = 0; i < order->ins; i++) {
        owm_write_bytes(&w, order->from, 36);
        owm_write_u8(&w, (uint8_t)order->input_script_bytes);
        for (uint32_t k = 0; k < order->input_script_bytes; k++) owm_write_u8(&w, 0x51);
        owm_write_u32_le(&w, order->sequence);
    }
    owm_write_u8(&w, (uint8_t)order->outs);
    for (uint32_t i = 0; i < order->outs; i++) {
        owm_write_u64_le(&w, order->value_sats);
        owm_write_u8(&w, 0xfe);
        owm_write_u32_le(&w, order->script_bytes);
        memset(w.data + w.at, order->fill, order->script_bytes);
        w.at += order->script_bytes;
    }
    owm_write_u32_le(&w, order->lock_time);
    assert_true(owm_writer_ok(&w));
    return (struct owm_transaction_view){room[place], (uint32_t)w.at};
}

/* A transaction of the template that has no witness, so that a block of our orders needs none. */
static struct order plain_order(const struct draft *draft)
{
    for (uint32_t i = 0; i < draft->txs; i++)
        if (draft->tx[i].data[4] != 0)
            return (struct order){.from = draft->tx[i].data + 5,
                                  .value_sats = 1000,
                                  .script_bytes = SCRIPT_BYTES,
                                  .sequence = UINT32_MAX,
                                  .fill = 0x51,
                                  .ins = 1,
                                  .outs = 1};
    fail_msg("every transaction has a witness");
    return (struct order){0};
}

/* A block of these transactions alone, which commits to no witness and claims no fees. */
static void only(struct draft *draft, uint32_t txs)
{
    draft->txs = txs;
    draft->block->commitment_bytes = 0;
    draft->block->coinbase_value_sats = (uint64_t)check_subsidy_sats(draft->block->height);
    assert_ok(owm_coinbase_build(draft->block, &draft->plan, &draft->coinbase, NULL));
}

static void expect_order(struct draft *draft, const struct order *order, const char *reason)
{
    draft->tx[0] = make(order, 0);
    only(draft, 1);
    expect(draft, reason);
}

static void orders_are_valid_as_they_are(void **state)
{
    (void)state;
    struct draft draft = begin();
    struct order order = plain_order(&draft);
    draft.tx[0] = make(&order, 0);
    only(&draft, 1);
    assert_null(draft_submit(&draft, chain));
}

static void amounts(void **state)
{
    (void)state;
    struct draft draft = begin();
    struct order order = plain_order(&draft);
    order.value_sats = UINT64_C(6000000000);
    expect_order(&draft, &order, "bad-txns-in-belowout");
    draft = begin();
    order = plain_order(&draft);
    order.value_sats = UINT64_C(2100000000000001);
    expect_order(&draft, &order, "bad-txns-vout-toolarge");
    draft = begin();
    order = plain_order(&draft);
    order.value_sats = UINT64_MAX;
    expect_order(&draft, &order, "bad-txns-vout-negative");
    draft = begin();
    order = plain_order(&draft);
    order.value_sats = UINT64_C(2000000000000000);
    order.outs = 2;
    expect_order(&draft, &order, "bad-txns-txouttotal-toolarge");
}

static void inputs(void **state)
{
    (void)state;
    struct draft draft = begin();
    struct order order = plain_order(&draft);
    order.ins = 2;
    expect_order(&draft, &order, "bad-txns-inputs-duplicate");

    draft = begin();
    order = plain_order(&draft);
    uint8_t from[36];
    memcpy(from, order.from, 36);
    from[0] ^= 1;
    order.from = from;
    expect_order(&draft, &order, "bad-txns-inputs-missingorspent");

    draft = begin();
    order = plain_order(&draft);
    draft.tx[0] = make(&order, 0);
    order.value_sats--;
    draft.tx[1] = make(&order, 1); /* The same coin once more. */
    only(&draft, 2);
    expect(&draft, "bad-txns-inputs-missingorspent");

    draft = begin();
    order = plain_order(&draft);
    order.input_script_bytes = 1;
    expect_order(&draft, &order, "block-script-verify-flag-failed");

    draft = begin();
    order = plain_order(&draft);
    memset(from, 0, 32);
    memset(from + 32, 0xff, 4);
    order.from = from;
    expect_order(&draft, &order, "bad-cb-multiple");
}

static void locks(void **state)
{
    (void)state;
    struct draft draft = begin();
    struct order order = plain_order(&draft);
    order.sequence = 0xfffffffe;
    order.lock_time = draft.block->height;
    expect_order(&draft, &order, "bad-txns-nonfinal");
    draft = begin();
    order = plain_order(&draft);
    order.sequence = 0xfffffffe;
    order.lock_time = fixture_now() + 1;
    expect_order(&draft, &order, "bad-txns-nonfinal");
    draft = begin();
    order = plain_order(&draft);
    order.sequence = 300; /* BIP 68: blocks since the coin, more than there are. */
    expect_order(&draft, &order, "bad-txns-nonfinal");
    draft = begin();
    order = plain_order(&draft);
    order.sequence = 0x00400001; /* In time: 512 seconds, less than a block of the premine. */
    draft.tx[0] = make(&order, 0);
    only(&draft, 1);
    assert_null(draft_submit(&draft, chain));
}

static void sizes(void **state)
{
    (void)state;
    struct draft draft = begin();
    struct order order = plain_order(&draft);
    order.script_bytes = 1000001;
    expect_order(&draft, &order, "bad-txns-oversize");
    draft = begin();
    order = plain_order(&draft);
    order.script_bytes = 500000;
    order.fill = 0;
    draft.tx[0] = make(&order, 0);
    order.value_sats--;
    draft.tx[1] = make(&order, 1);
    only(&draft, 2);
    expect(&draft, "bad-blk-weight");
    draft = begin();
    order = plain_order(&draft);
    order.fill = 0xac; /* 65536 times OP_CHECKSIG. */
    expect_order(&draft, &order, "bad-blk-sigops");
}

/* The list with its end doubled has the same root: CVE-2012-2459. */
static void doubled_ends(void **state)
{
    (void)state;
    struct draft draft = begin();
    draft.txs = 2;
    size_t bytes;
    uint8_t *data = draft_finish(&draft, &bytes), *doubled = malloc(bytes + draft.tx[1].bytes);
    memcpy(doubled, data, bytes);
    memcpy(doubled + bytes, draft.tx[1].data, draft.tx[1].bytes);
    doubled[80] = 4;
    bytes += draft.tx[1].bytes;
    assert_string_equal(chain_submit(chain, doubled, bytes, fixture_now()), "bad-txns-duplicate");
    free(data);
    free(doubled);
    draft_free(&draft);
}

static void young_coinbases(void **state)
{
    (void)state;
    struct draft draft = begin();
    struct order order = plain_order(&draft);
    uint8_t *stored, from[36] = {0};
    struct wire_block block;
    const struct chain_node *young = chain_at(chain, 151); /* Odd: bare OP_TRUE. */
    assert_ok(chain_read(chain, young, &stored));
    assert_ok(wire_block_read(&block, stored, young->bytes));
    memcpy(from, block.tx[0].txid, 32);
    order.from = from;
    expect_order(&draft, &order, "bad-txns-premature-spend-of-coinbase");
    wire_block_free(&block);
    free(stored);
}

/* A branch that wins by work and breaks a rule on the way is left again. */
static void a_bad_branch_is_left(void **state)
{
    (void)state;
    const struct chain_node *tip = chain_tip(chain), *fork = tip->previous, *made;
    struct draft draft;
    draft_begin(&draft, chain, 0, 9);
    memcpy(draft.previous, fork->hash, 32);
    draft.block->height = fork->height + 1;
    draft.time_s = chain_median_time_s(fork) + 1;
    draft.block->coinbase_value_sats = UINT64_C(5000000000); /* Twice the subsidy. */
    assert_ok(owm_coinbase_build(draft.block, &draft.plan, &draft.coinbase, NULL));
    size_t bytes;
    uint8_t *data = draft_finish(&draft, &bytes), hash[32];
    assert_string_equal(chain_submit(chain, data, bytes, fixture_now()), "inconclusive");
    wire_hash(data, 80, hash);
    assert_string_equal(mine_on(chain, chain_find(chain, hash), 9, &made), "inconclusive");
    assert_ptr_equal(chain_tip(chain), tip);
    assert_true(made->failed);
    assert_string_equal(chain_submit(chain, data, bytes, fixture_now()), "duplicate-invalid");
    assert_string_equal(mine_on(chain, made, 9, &made), "bad-prevblk");
    mine(chain, 2, 10);
    const uint32_t height = chain_tip(chain)->height;
    free(data);
    draft_free(&draft);
    chain_close(chain); /* And the same again from the file. */
    chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    assert_int_equal(chain_tip(chain)->height, height);
}

static void proposals(void **state)
{
    (void)state;
    struct draft draft = begin();
    size_t bytes;
    draft.miss_target = true;
    uint8_t *data = draft_finish(&draft, &bytes);
    const struct chain_node *tip = chain_tip(chain);
    assert_null(chain_propose(chain, data, bytes, fixture_now()));
    assert_string_equal(chain_propose(chain, data, 10, fixture_now()), "");
    free(data);
    draft_free(&draft);
    draft = begin();
    draft.block->coinbase_value_sats++;
    assert_ok(owm_coinbase_build(draft.block, &draft.plan, &draft.coinbase, NULL));
    data = draft_finish(&draft, &bytes);
    assert_string_equal(chain_propose(chain, data, bytes, fixture_now()), "bad-cb-amount");
    data[4] ^= 1;
    assert_string_equal(chain_propose(chain, data, bytes, fixture_now()),
                        "inconclusive-not-best-prevblk");
    free(data);
    draft_free(&draft);
    assert_ptr_equal(chain_tip(chain), tip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_block_itself_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(coinbases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(witnesses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(orders_are_valid_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(amounts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inputs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(locks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(doubled_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(young_coinbases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_branch_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(proposals, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_calendar_anchor.c: promises into blocks, beside the double of a node with a wallet
 * (SRS-OTS-03). */
#include <unistd.h>

#include "anchor_bench.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fs.h"
#include "base/rng.h"
#include "ots/calendar/anchors.h"
#include "test.h"

static void set(struct anchor_bench *bench, bool *knob, bool value)
{
    pthread_mutex_lock(&bench->wallet.node.lock);
    *knob = value;
    pthread_mutex_unlock(&bench->wallet.node.lock);
}

static void set_rate(struct anchor_bench *bench, uint64_t *knob, uint64_t value)
{
    pthread_mutex_lock(&bench->wallet.node.lock);
    *knob = value;
    pthread_mutex_unlock(&bench->wallet.node.lock);
}

static struct anchor_figures figures_of(struct anchor_bench *bench)
{
    struct anchor_figures figures;
    anchor_look_at_all(bench->anchor, &figures);
    return figures;
}

static void promises_become_proofs(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 64, 0, 0, 0}; /* 0: any number. */
    struct anchor_bench bench;
    struct owm_rng rng;
    owm_rng_seed(&rng, 3);
    uint32_t batches = 0, all = 0;
    bench_open(&bench, 3);
    bench_start(&bench);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        pthread_mutex_lock(&bench.wallet.node.lock); /* All go into one transaction. */
        uint32_t count = counts[i] ? counts[i] : 1 + (uint32_t)owm_rng_below(&rng, 90);
        bench_promise(&bench, count);
        pthread_mutex_unlock(&bench.wallet.node.lock);
        all += count;
        for (; figures_of(&bench).done < all; batches++) {
            bench_wait_sent(&bench, batches + 1);
            bench_wait(&bench, figures_of(&bench).waiting ? ANCHOR_WAITING : ANCHOR_SENT);
            uint32_t done = figures_of(&bench).done;
            wallet_mine(&bench.wallet, 6);
            while (figures_of(&bench).done == done) owm_clock_sleep_ms(1);
        }
    }
    bench_verify(&bench);
    struct anchor_figures figures = figures_of(&bench);
    assert_int_equal(figures.done, all);
    assert_int_equal(figures.transactions, batches);
    assert_int_equal(figures.replacements, 0);
    assert_string_equal(figures.trouble, "");
    assert_true(figures.balance_sat > 0 && figures.fees_sat > 0 && figures.last_done_ms > 0);
    bench_restart(&bench); /* All of it is remembered. */
    bench_verify(&bench);
    assert_int_equal(figures_of(&bench).done, all);
    assert_int_equal(figures_of(&bench).fees_sat, figures.fees_sat);
    bench_close(&bench);
}

static void five_confirmations_are_too_few(void **state)
{
    (void)state;
    struct anchor_bench bench;
    struct owm_ots_tree tree;
    struct anchor_view view;
    struct owm_error error = {.text = ""};
    bench_open(&bench, 1);
    bench_promise(&bench, 5);
    bench_start(&bench);
    bench_wait(&bench, ANCHOR_SENT);
    bench_wait_sent(&bench, 1);
    wallet_mine(&bench.wallet, 5);
    bench_wait_confirmations(&bench, 5);
    anchor_look(bench.anchor, 4, &view);
    assert_int_equal(view.state, ANCHOR_SENT);
    assert_int_equal(strlen(view.txid), 64);
    assert_int_equal(anchor_proof(bench.anchor, 4, &tree, &error), OWM_E_NOTFOUND);
    assert_true(figures_of(&bench).has_tip);
    wallet_mine(&bench.wallet, 1);
    bench_wait(&bench, ANCHOR_DONE);
    assert_false(figures_of(&bench).has_tip);
    anchor_look(bench.anchor, 4, &view);
    assert_true(view.height > 0);
    bench_close(&bench);
}

static void the_interval_is_kept(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    bench.options.interval_s = 3600;
    bench_set(&bench, &bench.wallet.mine_at_send, 6);
    bench_promise(&bench, 1);
    bench_start(&bench);
    bench_wait(&bench, ANCHOR_DONE);
    bench_promise(&bench, 1);
    owm_clock_sleep_ms(100);
    struct anchor_figures figures = figures_of(&bench);
    assert_int_equal(figures.waiting, 1);
    assert_true(figures.next_ms > owm_clock_wall_ms() + 3500 * 1000);
    assert_int_equal(wallet_sent(&bench.wallet), 1);
    bench_close(&bench);
}

/* --- fees ------------------------------------------------------------------------------------ */

static void a_fee_over_its_limits_is_not_paid(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    set_rate(&bench, &bench.wallet.min_rate, 51);
    bench_promise(&bench, 1);
    bench_start(&bench);
    bench_wait_trouble(&bench, "needs 51 sat/vB, more than the limit of 50; it waits until fees "
                               "fall, or raise --fee-rate-max");
    bench_stop(&bench);
    bench.options.fee_rate_max = 1000;
    bench.options.fee_sat_max = 5000;
    bench_start(&bench);
    bench_wait_trouble(&bench, "more than the limit of 5000; it waits until fees fall, or raise "
                               "--fee-max");
    assert_int_equal(wallet_sent(&bench.wallet), 0);
    /* Within the limit, less is paid than what is estimated. */
    set_rate(&bench, &bench.wallet.min_rate, 2);
    set_rate(&bench, &bench.wallet.estimate, 500);
    bench_wait_sent(&bench, 1);
    bench_wait_trouble(&bench, "");
    struct anchor_figures figures = figures_of(&bench);
    assert_true(figures.fees_sat <= 5000 && figures.fees_sat > 4000);
    bench_close(&bench);
}

static void too_many_small_coins_are_said(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 0);
    bench.options.fee_sat_max = 100000;
    wallet_add_coins(&bench.wallet, 190, 276); /* Each pays little more than its own fee. */
    set_rate(&bench, &bench.wallet.min_rate, 4);
    bench_promise(&bench, 1);
    bench_start(&bench);
    bench_wait_trouble(&bench, "coins, which makes the transaction too large for proofs; join its "
                               "coins by sending them to itself");
    assert_int_equal(wallet_sent(&bench.wallet), 0);
    wallet_add_coins(&bench.wallet, 1, 1000000);
    bench_wait_sent(&bench, 1);
    bench_close(&bench);
}

static void what_does_not_confirm_is_replaced(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 2);
    bench.options.replace_s = 1;
    bench_promise(&bench, 3);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    uint64_t first_fee = figures_of(&bench).fees_sat;
    bench_wait_sent(&bench, 2);
    assert_int_equal(wallet_mempool(&bench.wallet), 1);
    bench_wait(&bench, ANCHOR_SENT);
    while (figures_of(&bench).replacements == 0) owm_clock_sleep_ms(1);
    assert_true(figures_of(&bench).fees_sat > first_fee);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

/* As if it was sent in ten years: what the clock said once must not hold it up until then. */
static void send_later(const struct anchor_bench *bench)
{
    enum { RECORD = ANCHORS_MAGIC_BYTES, PAYLOAD = RECORD + 8, TIME = PAYLOAD + 44 };
    char path[128];
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_writer w;
    snprintf(path, sizeof path, "%s/anchors", bench->folder);
    assert_ok(owm_fs_read(path, ANCHORS_RECORD_BYTES_MAX, &data, &bytes, NULL));
    owm_writer_init(&w, data + TIME, 8);
    owm_write_u64_le(&w, (uint64_t)owm_clock_wall_ms() + UINT64_C(315360000000));
    owm_writer_init(&w, data + bytes - 4, 4);
    owm_write_u32_le(&w, owm_crc32c(0, data + PAYLOAD, bytes - 4 - PAYLOAD));
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, NULL));
    free(data);
}

static void a_clock_that_was_set_back_holds_nothing_up(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 2);
    bench.options.replace_s = 3600;
    bench_promise(&bench, 3);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    bench_wait(&bench, ANCHOR_SENT);
    bench_stop(&bench);
    send_later(&bench);
    bench_start(&bench);
    for (int i = 0; figures_of(&bench).replacements == 0 && i < 10000; i++) owm_clock_sleep_ms(1);
    assert_int_equal(figures_of(&bench).replacements, 1);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

static void a_replacement_stays_within_the_limit(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 2);
    bench.options.replace_s = 1;
    bench.options.fee_rate_max = 2;
    bench_promise(&bench, 3);
    bench_start(&bench);
    bench_wait_trouble(&bench, "a replacement needs 3 sat/vB, more than the limit of 2");
    assert_int_equal(wallet_mempool(&bench.wallet), 1);
    assert_int_equal(wallet_sent(&bench.wallet), 2);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_wait_trouble(&bench, "");
    bench_close(&bench);
}

static void what_the_node_takes_no_more_is_replaced_at_once(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 2);
    bench_promise(&bench, 3);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    set_rate(&bench, &bench.wallet.min_rate, 9);
    wallet_forget_mempool(&bench.wallet);
    wallet_mine(&bench.wallet, 1);
    bench_wait_sent(&bench, 2);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

/* --- the chain takes back -------------------------------------------------------------------- */

static void a_node_that_forgets_is_told_again(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    bench_promise(&bench, 3);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    wallet_forget_mempool(&bench.wallet);
    wallet_mine(&bench.wallet, 1);
    while (wallet_mempool(&bench.wallet) == 0) owm_clock_sleep_ms(1);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    assert_int_equal(wallet_sent(&bench.wallet), 1);
    bench_verify(&bench);
    bench_close(&bench);
}

/* lost: the mempool does not get back what the blocks held. */
static void reorganise(bool lost)
{
    struct anchor_bench bench;
    struct anchor_view before, after;
    bench_open(&bench, 1);
    bench_promise(&bench, 9);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    wallet_mine(&bench.wallet, 3);
    bench_wait_confirmations(&bench, 3);
    wallet_cut(&bench.wallet, 5, lost); /* Before it is done, */
    bench_wait_confirmations(&bench, 0);
    while (wallet_mempool(&bench.wallet) == 0) owm_clock_sleep_ms(1);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    anchor_look(bench.anchor, 0, &before);
    wallet_cut(&bench.wallet, 5, lost); /* and after. */
    do {
        owm_clock_sleep_ms(1);
        anchor_look(bench.anchor, 0, &after);
    } while (after.state == ANCHOR_DONE);
    assert_int_equal(after.state, ANCHOR_SENT);
    while (wallet_mempool(&bench.wallet) == 0) owm_clock_sleep_ms(1);
    bench_restart(&bench);
    wallet_mine(&bench.wallet, 9);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    assert_int_equal(wallet_sent(&bench.wallet), 1);
    assert_int_equal(figures_of(&bench).done, 9);
    bench_close(&bench);
}

static void a_block_that_leaves_the_chain_is_noticed(void **state)
{
    (void)state;
    reorganise(false);
    reorganise(true);
}

static void a_block_that_left_while_we_were_away_is_noticed(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    bench_promise(&bench, 2);
    bench_set(&bench, &bench.wallet.mine_at_send, 6);
    bench_start(&bench);
    bench_wait(&bench, ANCHOR_DONE);
    bench_stop(&bench);
    wallet_cut(&bench.wallet, 4, false);
    wallet_mine(&bench.wallet, 2);
    bench_start(&bench);
    bench_wait_confirmations(&bench, 2);
    wallet_mine(&bench.wallet, 4);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

/* --- others use the wallet ------------------------------------------------------------------- */

static void a_fee_raised_by_hand_counts(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    bench_promise(&bench, 4);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    wallet_spend(&bench.wallet, true);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

static void coins_that_went_elsewhere_are_noticed(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 2);
    bench_promise(&bench, 4);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    wallet_spend(&bench.wallet, false);
    wallet_mine(&bench.wallet, 1);
    bench_wait_trouble(&bench, "the coins of a transaction were spent by another one");
    wallet_mine(&bench.wallet, 5);
    owm_clock_sleep_ms(100);
    assert_int_equal(wallet_sent(&bench.wallet), 2); /* The first, and the one by hand. */
    wallet_mine(&bench.wallet, 1);
    bench_wait_sent(&bench, 3);
    wallet_mine(&bench.wallet, 6);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

/* --- troubles -------------------------------------------------------------------------------- */

static void each_trouble_is_said_and_ends(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 0);
    struct wallet_double *wallet = &bench.wallet;
    const struct {
        bool *knob;
        const char *words;
    } troubles[] = {
        {&wallet->locked, "is locked; unlock it with 'bitcoin-cli walletpassphrase'"},
        {&wallet->no_wallet, "has not loaded such a wallet; 'bitcoin-cli loadwallet"},
        {&wallet->no_method, "has no wallet; start it without disablewallet=1"},
        {&wallet->downloading, "is still downloading blocks ("},
    };
    bench_set(&bench, &bench.wallet.mine_at_send, 6);
    bench_promise(&bench, 1);
    bench_start(&bench);
    bench_wait_trouble(&bench, "Insufficient funds; send some bitcoin to the wallet");
    assert_int_equal(figures_of(&bench).balance_sat, 0);
    wallet_add_coins(wallet, 1, 100000000);
    bench_wait(&bench, ANCHOR_DONE);
    bench_wait_trouble(&bench, "");
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
        set(&bench, troubles[i].knob, true);
        bench_promise(&bench, 1);
        bench_wait_trouble(&bench, troubles[i].words);
        assert_int_equal(figures_of(&bench).sent, 0);
        set(&bench, troubles[i].knob, false);
        bench_wait(&bench, ANCHOR_DONE);
        bench_wait_trouble(&bench, "");
    }
    bench_verify(&bench);
    bench_close(&bench);
}

static void who_does_not_answer_is_waited_for(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    bench.options.bitcoin_rpc = "http://rpc:secret@127.0.0.1:1/";
    bench_promise(&bench, 1);
    bench_start(&bench);
    bench_wait_trouble(&bench, "is it running with server=1, and is the URL right?");
    assert_null(strstr(figures_of(&bench).trouble, "secret"));
    bench_stop(&bench);
    bench.options.bitcoin_rpc = bench.wallet.node.url;
    bench_start(&bench);
    bench_wait_trouble(&bench, "refuses user and password; set those of rpcauth");
    bench_stop(&bench);
    bench.options.bitcoin_rpc = bench.wallet.node.url_with_password;
    bench.options.network = OWM_MAINNET;
    bench_start(&bench);
    bench_wait_trouble(&bench, "is of another network");
    bench_stop(&bench);
    bench.options.bitcoin_rpc = NULL;
    bench_start(&bench);
    bench_wait_trouble(&bench, "no Bitcoin node is named, so promises wait");
    assert_int_equal(figures_of(&bench).waiting, 1);
    assert_int_equal(wallet_sent(&bench.wallet), 0);
    bench_close(&bench);
}

static void another_wallet_is_told_apart(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 1);
    bench_promise(&bench, 1);
    bench_start(&bench);
    bench_wait_sent(&bench, 1);
    set(&bench, &bench.wallet.forgets, true);
    wallet_mine(&bench.wallet, 7);
    bench_wait_trouble(&bench, "the wallet does not know it yet; if this stays, load the wallet");
    set(&bench, &bench.wallet.forgets, false);
    bench_wait(&bench, ANCHOR_DONE);
    assert_int_equal(wallet_sent(&bench.wallet), 1);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_become_proofs),
        cmocka_unit_test(five_confirmations_are_too_few),
        cmocka_unit_test(the_interval_is_kept),
        cmocka_unit_test(a_fee_over_its_limits_is_not_paid),
        cmocka_unit_test(too_many_small_coins_are_said),
        cmocka_unit_test(what_does_not_confirm_is_replaced),
        cmocka_unit_test(a_clock_that_was_set_back_holds_nothing_up),
        cmocka_unit_test(a_replacement_stays_within_the_limit),
        cmocka_unit_test(what_the_node_takes_no_more_is_replaced_at_once),
        cmocka_unit_test(a_node_that_forgets_is_told_again),
        cmocka_unit_test(a_block_that_leaves_the_chain_is_noticed),
        cmocka_unit_test(a_block_that_left_while_we_were_away_is_noticed),
        cmocka_unit_test(a_fee_raised_by_hand_counts),
        cmocka_unit_test(coins_that_went_elsewhere_are_noticed),
        cmocka_unit_test(each_trouble_is_said_and_ends),
        cmocka_unit_test(who_does_not_answer_is_waited_for),
        cmocka_unit_test(another_wallet_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

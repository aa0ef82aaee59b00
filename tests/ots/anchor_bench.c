/* anchor_bench.c: waiting with an end. */
#include "anchor_bench.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "dataplane/ots/bitcoin_headers.h"
#include "dataplane/ots/verify.h"
#include "test.h"

#define WAIT_MS 20000

void bench_open(struct anchor_bench *bench, uint32_t coins)
{
    *bench = (struct anchor_bench){.folder = "/tmp/owm-anchor-XXXXXX", .seed = 1};
    assert_non_null(mkdtemp(bench->folder));
    wallet_open_double(&bench->wallet, 3, coins, 10000000);
    assert_ok(journal_open(bench->folder, &bench->journal, NULL));
    bench->options = (struct anchor_options){.folder = bench->folder,
                                             .journal = bench->journal,
                                             .bitcoin_rpc = bench->wallet.node.url_with_password,
                                             .network = OWM_REGTEST,
                                             .replace_s = 3600,
                                             .poll_ms = 5,
                                             .fee_sat_max = 10000,
                                             .fee_rate_max = 50};
}

void bench_close(struct anchor_bench *bench)
{
    char command[96];
    bench_stop(bench);
    journal_close(bench->journal);
    wallet_close_double(&bench->wallet);
    snprintf(command, sizeof command, "rm -r %s", bench->folder);
    assert_int_equal(system(command), 0);
}

void bench_set(struct anchor_bench *bench, uint32_t *knob, uint32_t value)
{
    pthread_mutex_lock(&bench->wallet.node.lock);
    *knob = value;
    pthread_mutex_unlock(&bench->wallet.node.lock);
}

void bench_promise(struct anchor_bench *bench, uint32_t count)
{
    struct owm_rng rng;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
        owm_rng_seed(&rng, ++bench->seed);
        for (size_t k = 0; k < sizeof commitment; k++) commitment[k] = (uint8_t)owm_rng_u64(&rng);
        assert_ok(journal_append(bench->journal, commitment, NULL));
    }
}

void bench_start(struct anchor_bench *bench)
{
    struct owm_error error = {.text = ""};
    if (anchor_open(&bench->options, &bench->anchor, &error) != OWM_OK) fail_msg("%s", error.text);
}

void bench_stop(struct anchor_bench *bench)
{
    anchor_close(bench->anchor);
    bench->anchor = NULL;
}

void bench_restart(struct anchor_bench *bench)
{
    bench_stop(bench);
    bench_start(bench);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void pause_or_fail(struct anchor_bench *bench, uint64_t since_ms, const char *what)
{
    struct anchor_figures figures;
    if (owm_clock_mono_ms() - since_ms < WAIT_MS) {
        owm_clock_sleep_ms(2);
        return;
    }
    anchor_look_at_all(bench->anchor, &figures);
    fail_msg("waited too long for %s: waiting %u sent %u done %u, trouble: %s", what,
             figures.waiting, figures.sent, figures.done, figures.trouble);
}

static bool all_are(struct anchor_bench *bench, enum anchor_state state)
{
    for (uint32_t i = 0; i < journal_count(bench->journal); i++) {
        struct anchor_view view;
        anchor_look(bench->anchor, i, &view);
        if (view.state < state) return false;
    }
    return true;
}

void bench_wait(struct anchor_bench *bench, enum anchor_state state)
{
    uint64_t since_ms = owm_clock_mono_ms();
    while (!all_are(bench, state)) pause_or_fail(bench, since_ms, "a state");
}

void bench_wait_confirmations(struct anchor_bench *bench, uint64_t confirmations)
{
    uint64_t since_ms = owm_clock_mono_ms();
    struct anchor_view view;
    for (;; pause_or_fail(bench, since_ms, "confirmations")) {
        anchor_look(bench->anchor, 0, &view);
        if (view.confirmations == confirmations) return;
    }
}

void bench_wait_trouble(struct anchor_bench *bench, const char *words)
{
    uint64_t since_ms = owm_clock_mono_ms();
    struct anchor_figures figures;
    for (;; pause_or_fail(bench, since_ms, words)) {
        anchor_look_at_all(bench->anchor, &figures);
        if (words[0] ? strstr(figures.trouble, words) != NULL : !figures.trouble[0]) return;
    }
}

void bench_wait_sent(struct anchor_bench *bench, uint32_t count)
{
    uint64_t since_ms = owm_clock_mono_ms();
    while (wallet_sent(&bench->wallet) < count) pause_or_fail(bench, since_ms, "a transaction");
}

/* --- proofs ----------------------------------------------------------------------------------- */

static void verify(struct anchor_bench *bench, const struct owm_ots_headers *headers,
                   uint32_t index)
{
    struct owm_ots_tree tree;
    struct owm_ots_verdict verdict;
    struct owm_error error = {.text = ""};
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    if (anchor_proof(bench->anchor, index, &tree, &error) != OWM_OK) fail_msg("%s", error.text);
    journal_get(bench->journal, index, commitment);
    assert_int_equal(tree.nodes[OWM_OTS_ROOT].message.bytes, sizeof commitment);
    assert_memory_equal(tree.nodes[OWM_OTS_ROOT].message.data, commitment, sizeof commitment);
    assert_int_equal(tree.attestation_count, 1);
    assert_ok(owm_ots_verify(&tree, headers, &verdict, &error));
    if (verdict.outcome != OWM_OTS_CONFIRMED) fail_msg("promise %u: %s", index, verdict.why.text);
    owm_ots_tree_deinit(&tree);
}

static void verify_range(struct anchor_bench *bench, uint32_t first, uint32_t end)
{
    owm_ots_bitcoin_node *node = NULL;
    assert_ok(
        owm_ots_bitcoin_open(bench->wallet.node.url_with_password, NULL, OWM_REGTEST, &node, NULL));
    const struct owm_ots_headers headers = owm_ots_bitcoin_source(node);
    for (uint32_t i = first; i < end; i++) verify(bench, &headers, i);
    owm_ots_bitcoin_close(node);
}

void bench_verify_one(struct anchor_bench *bench, uint32_t index)
{
    verify_range(bench, index, index + 1);
}

void bench_verify(struct anchor_bench *bench)
{
    verify_range(bench, 0, journal_count(bench->journal));
}

/* test_calendar_anchor_path.c: the trees and the records of anchors: against dataplane/ots/merkle,
 * against python-opentimestamps where it is installed, and with every damage to the file.
 * argv[1]: block_oracle.py */
#include <unistd.h>

#include "anchor_bench.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/merkle.h"
#include "dataplane/ots/merkle.h"
#include "dataplane/ots/proof.h"
#include "ots/calendar/anchor_path.h"
#include "ots/calendar/journal_read.h"
#include "test.h"

#define ROUNDS 24
#define PYTHON "/usr/bin/python3"

static const char *script;

/* --- the tree over a batch ------------------------------------------------------------------- */

/* The root that dataplane/ots/merkle.h makes of the same promises. */
static void merkle_root(struct journal *journal, uint32_t first, uint32_t count, uint8_t root[32])
{
    static const struct owm_ots_op sha256 = {.tag = OWM_OTS_SHA256};
    struct owm_ots_tree *trees = calloc(count, sizeof *trees);
    struct owm_ots_leaf *leaves = calloc(count, sizeof *leaves);
    assert_true(trees && leaves);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
        journal_get(journal, first + i, commitment);
        assert_ok(owm_ots_tree_init(&trees[i],
                                    (struct owm_ots_bytes){commitment, sizeof commitment}, NULL));
        leaves[i].tree = &trees[i];
        assert_ok(owm_ots_add_op(&trees[i], OWM_OTS_ROOT, sha256, &leaves[i].node, NULL));
    }
    assert_ok(owm_ots_merkle(leaves, count, NULL));
    memcpy(root, trees[0].nodes[leaves[0].node].message.data, 32);
    for (uint32_t i = 0; i < count; i++) owm_ots_tree_deinit(&trees[i]);
    free(trees);
    free(leaves);
}

/* A journal of so many promises, without waiting for the disk for each. */
static void write_journal(struct anchor_bench *bench, uint32_t count)
{
    char path[96];
    journal_close(bench->journal);
    snprintf(path, sizeof path, "%s/commitments", bench->folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(JOURNAL_MAGIC, 1, JOURNAL_MAGIC_BYTES, file), JOURNAL_MAGIC_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t commitment[JOURNAL_COMMITMENT_BYTES] = {0}, record[JOURNAL_RECORD_BYTES];
        memcpy(commitment, &i, sizeof i);
        journal_record(commitment, record);
        assert_int_equal(fwrite(record, 1, sizeof record, file), sizeof record);
    }
    assert_int_equal(fclose(file), 0);
    assert_ok(journal_open(bench->folder, &bench->journal, NULL));
    bench->options.journal = bench->journal;
}

static void assert_same_root(struct journal *journal, uint32_t first, uint32_t count)
{
    uint8_t tops[ANCHOR_CHUNK][32], theirs[32], ours[32];
    anchor_tops(journal, first, count, tops, ours);
    merkle_root(journal, first, count, theirs);
    assert_memory_equal(ours, theirs, 32);
}

static void the_tree_is_that_of_the_reference(void **state)
{
    (void)state;
    struct anchor_bench bench;
    struct owm_rng rng;
    owm_rng_seed(&rng, 7);
    bench_open(&bench, 0);
    write_journal(&bench, 3000);
    for (uint32_t count = 1; count <= 70; count++)
        assert_same_root(bench.journal, (uint32_t)owm_rng_below(&rng, 3000 - count), count);
    for (uint32_t chunks = 1; chunks <= 5; chunks++)
        for (uint32_t count = 256 * chunks - 2; count <= 256 * chunks + 2; count++)
            assert_same_root(bench.journal, (uint32_t)owm_rng_below(&rng, 3000 - count), count);
    for (int i = 0; i < 10; i++)
        assert_same_root(bench.journal, 0, 1 + (uint32_t)owm_rng_below(&rng, 3000));
    bench_close(&bench);
}

static void every_promise_of_several_chunks_has_its_path(void **state)
{
    (void)state;
    struct anchor_bench bench;
    bench_open(&bench, 2);
    write_journal(&bench, 2 * ANCHOR_CHUNK + 45);
    bench_set(&bench, &bench.wallet.mine_at_send, 6);
    bench_start(&bench);
    bench_wait(&bench, ANCHOR_DONE);
    bench_verify(&bench);
    bench_close(&bench);
}

static void more_than_a_tree_holds_goes_into_two(void **state)
{
    (void)state;
    static const uint32_t some[] = {0, 1, 4097, 65534, 65535, 65536, 65537, 65538};
    struct anchor_bench bench;
    struct anchor_figures figures;
    bench_open(&bench, 2);
    write_journal(&bench, OWM_OTS_LEAVES_MAX + 3);
    bench_set(&bench, &bench.wallet.mine_at_send, 6);
    bench_start(&bench);
    bench_wait(&bench, ANCHOR_DONE);
    anchor_look_at_all(bench.anchor, &figures);
    assert_int_equal(figures.transactions, 2);
    assert_int_equal(figures.done, OWM_OTS_LEAVES_MAX + 3);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) bench_verify_one(&bench, some[i]);
    bench_close(&bench);
}

/* --- the tree of a block --------------------------------------------------------------------- */

static void branches_lead_to_the_root_of_any_block(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 8);
    for (uint32_t count = 1; count <= 90; count++) {
        uint8_t txids[90][32], leaves[90][32], root[32], folded[32];
        for (uint32_t i = 0; i < count; i++)
            for (int k = 0; k < 32; k++) txids[i][k] = (uint8_t)owm_rng_u64(&rng);
        memcpy(leaves, txids, sizeof leaves);
        owm_merkle_tree(leaves, count, root);
        for (uint32_t at = 0; at < count; at++) {
            struct anchor_end end = {.position = at};
            memcpy(leaves, txids, sizeof leaves);
            assert_true(anchor_branches(leaves, count, &end));
            anchor_fold(txids[at], &end, folded);
            assert_memory_equal(folded, root, 32);
        }
    }
}

/* --- the reference makes the same proof from the same block ---------------------------------- */

/* A line for the oracle: the root, the height, the block. Returns our path from the root on. */
static void write_case(struct anchor_bench *bench, uint32_t index, FILE *cases, FILE *ours)
{
    struct owm_ots_tree tree;
    struct anchor_view view;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES], root[32], *path = NULL;
    size_t bytes = 0;
    anchor_look(bench->anchor, index, &view);
    journal_get(bench->journal, index, commitment);
    owm_sha256(commitment, sizeof commitment, root);
    assert_ok(anchor_proof(bench->anchor, index, &tree, NULL));
    assert_ok(owm_ots_serialise(&tree, &path, &bytes, NULL));
    assert_int_equal(path[0], OWM_OTS_SHA256); /* To the root: the promise is alone in its batch. */
    for (size_t i = 1; i < bytes; i++) fprintf(ours, "%02x", path[i]);
    fprintf(ours, "\n");
    for (int i = 0; i < 32; i++) fprintf(cases, "%02x", root[i]);
    pthread_mutex_lock(&bench->wallet.node.lock);
    const struct wallet_mined *block = &bench->wallet.blocks[view.height];
    fprintf(cases, " %llu ", (unsigned long long)view.height);
    for (int i = 0; i < 80; i++)
        fprintf(cases, "%02x", bench->wallet.node.chain.headers[view.height][i]);
    assert_true(block->count < 0xfd);
    fprintf(cases, "%02x", block->count);
    for (uint32_t i = 0; i < block->raw_bytes; i++) fprintf(cases, "%02x", block->raw[i]);
    pthread_mutex_unlock(&bench->wallet.node.lock);
    fprintf(cases, "\n");
    free(path);
    owm_ots_tree_deinit(&tree);
}

static FILE *file_of(const struct anchor_bench *bench, const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", bench->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

static void the_reference_makes_the_same_path(void **state)
{
    (void)state;
    struct anchor_bench bench;
    char command[512];
    if (system(PYTHON " -c 'import opentimestamps.bitcoin' 2>/dev/null") != 0) {
        print_message("python3-opentimestamps is not installed\n");
        skip();
    }
    bench_open(&bench, 3);
    bench_set(&bench, &bench.wallet.mine_at_send, 6);
    bench_start(&bench);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        bench_set(&bench, &bench.wallet.others_max, 1 + i * 3 / 2);
        bench_promise(&bench, 1);
        bench_wait(&bench, ANCHOR_DONE);
    }
    FILE *cases = file_of(&bench, "cases"), *ours = file_of(&bench, "ours");
    for (uint32_t i = 0; i < ROUNDS; i++) write_case(&bench, i, cases, ours);
    assert_int_equal(fclose(cases) | fclose(ours), 0);
    snprintf(command, sizeof command, "%s -B '%s' <%s/cases >%s/theirs && cmp %s/ours %s/theirs",
             PYTHON, script, bench.folder, bench.folder, bench.folder, bench.folder);
    assert_int_equal(system(command), 0);
    bench_close(&bench);
}

/* --- the file -------------------------------------------------------------------------------- */

/* A file with all kinds of records, made by a short life. */
static uint8_t *lived_file(struct anchor_bench *bench, size_t *bytes)
{
    char path[96];
    bench->wallet.squeeze_rate = 9; /* Seen with what is set behind it. */
    bench_set(bench, &bench->wallet.mine_at_send, 6);
    bench_set(bench, &bench->wallet.held_sends, 1);
    bench_promise(bench, 3);
    bench_start(bench);
    bench_wait(bench, ANCHOR_DONE);
    wallet_cut(&bench->wallet, 5, false);
    bench_wait_confirmations(bench, 0);
    wallet_mine(&bench->wallet, 8);
    bench_wait(bench, ANCHOR_DONE);
    bench_promise(bench, 2);
    bench_wait(bench, ANCHOR_DONE);
    bench_stop(bench);
    snprintf(path, sizeof path, "%s/anchors", bench->folder);
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(65536);
    assert_true(file && data);
    *bytes = fread(data, 1, 65536, file);
    assert_int_equal(fclose(file), 0);
    return data;
}

static void rewrite(const struct anchor_bench *bench, const uint8_t *data, size_t bytes)
{
    FILE *file = file_of(bench, "anchors");
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void a_record_that_is_cut_off_is_made_again(void **state)
{
    (void)state;
    struct anchor_bench bench;
    size_t bytes = 0, whole = 0, starts = 0, before = SIZE_MAX;
    bench_open(&bench, 3);
    uint8_t *data = lived_file(&bench, &bytes);
    for (size_t cut = ANCHORS_MAGIC_BYTES; cut <= bytes; cut++) {
        struct anchors anchors = {0};
        struct owm_error error = {.text = ""};
        if (anchors_read(&anchors, data + ANCHORS_MAGIC_BYTES, cut - ANCHORS_MAGIC_BYTES, &whole,
                         &error)
            != OWM_OK)
            fail_msg("cut at %zu: %s", cut, error.text);
        anchors_deinit(&anchors);
        bool another = whole != before;
        before = whole;
        if (!another && cut % 97) continue;
        rewrite(&bench, data, cut - (cut == bytes)); /* Now it lives on from here. */
        bench_start(&bench);
        bench_wait(&bench, ANCHOR_DONE);
        bench_verify(&bench);
        bench_stop(&bench);
        starts++;
    }
    assert_in_range(starts, 7, 200);
    for (size_t cut = 0; cut < ANCHORS_MAGIC_BYTES; cut++) {
        bench_stop(&bench);
        rewrite(&bench, data, cut);
        bench_start(&bench);
    }
    free(data);
    bench_close(&bench);
}

static void damage_is_refused(void **state)
{
    (void)state;
    struct anchor_bench bench;
    struct owm_error error = {.text = ""};
    size_t bytes = 0, whole = 0, last = 0;
    bench_open(&bench, 3);
    uint8_t *data = lived_file(&bench, &bytes);
    struct anchors anchors = {0};
    /* Where the last record begins. */
    assert_ok(anchors_read(&anchors, data + 8, bytes - 9, &last, NULL));
    anchors_deinit(&anchors);
    for (size_t at = 8; at < 8 + last; at++) {
        data[at] ^= 0x10;
        assert_int_equal(anchors_read(&anchors, data + 8, bytes - 8, &whole, &error), OWM_E_PROTO);
        assert_non_null(strstr(error.text, "the record at byte"));
        anchors_deinit(&anchors);
        data[at] ^= 0x10;
    }
    data[40] ^= 1;
    rewrite(&bench, data, bytes);
    assert_int_equal(anchor_open(&bench.options, &bench.anchor, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "is damaged"));
    rewrite(&bench, (const uint8_t *)"somebody's letter", 17);
    assert_int_equal(anchor_open(&bench.options, &bench.anchor, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "it is no file of anchors"));
    free(data);
    bench_close(&bench);
}

static void anchors_of_another_journal_are_refused(void **state)
{
    (void)state;
    struct anchor_bench bench, other;
    struct owm_error error = {.text = ""};
    size_t bytes = 0;
    bench_open(&bench, 3);
    bench_open(&other, 0);
    uint8_t *data = lived_file(&bench, &bytes);
    rewrite(&other, data, bytes);
    assert_int_equal(anchor_open(&other.options, &other.anchor, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "names 5 promises, but the folder holds 0"));
    write_journal(&other, 5);
    assert_int_equal(anchor_open(&other.options, &other.anchor, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "is of other promises than the folder's file"));
    free(data);
    bench_close(&bench);
    bench_close(&other);
}

int main(int argc, char **argv)
{
    script = argc > 1 ? argv[1] : "block_oracle.py";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_that_of_the_reference),
        cmocka_unit_test(every_promise_of_several_chunks_has_its_path),
        cmocka_unit_test(more_than_a_tree_holds_goes_into_two),
        cmocka_unit_test(branches_lead_to_the_root_of_any_block),
        cmocka_unit_test(the_reference_makes_the_same_path),
        cmocka_unit_test(a_record_that_is_cut_off_is_made_again),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(anchors_of_another_journal_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

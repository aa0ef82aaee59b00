/* test_tree.c: merging, and many digests under one root. */
#include "base/sha256.h"
#include "dataplane/ots/merkle.h"
#include "random_tree.h"
#include "test.h"

/* Parts of a proof, merged in any order, are the proof. */
static void parts_merge_to_the_whole(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 5);
    for (int i = 0; i < 300; i++) {
        struct owm_ots_proof a;
        struct owm_ots_tree left, right;
        uint8_t *whole = NULL, *merged = NULL;
        size_t whole_bytes = 0, merged_bytes = 0;
        uint32_t added = 0;
        random_proof(&rng, &a);
        const struct owm_ots_bytes root = a.tree.nodes[OWM_OTS_ROOT].message;
        assert_ok(owm_ots_tree_init(&left, root, NULL));
        assert_ok(owm_ots_tree_init(&right, root, NULL));
        struct owm_ots_attestation extra = random_attestation(&rng);
        assert_ok(owm_ots_merge(&left, OWM_OTS_ROOT, &a.tree, &added, NULL));
        assert_int_equal(added, a.tree.attestation_count);
        assert_ok(owm_ots_add_attestation(&right, OWM_OTS_ROOT, &extra, NULL, NULL));
        assert_ok(owm_ots_merge(&left, OWM_OTS_ROOT, &right, NULL, NULL));
        assert_ok(owm_ots_merge(&right, OWM_OTS_ROOT, &a.tree, NULL, NULL));
        assert_ok(owm_ots_serialise(&left, &whole, &whole_bytes, NULL));
        assert_ok(owm_ots_serialise(&right, &merged, &merged_bytes, NULL));
        assert_int_equal(whole_bytes, merged_bytes);
        assert_memory_equal(whole, merged, whole_bytes);
        assert_ok(owm_ots_merge(&left, OWM_OTS_ROOT, &right, &added, NULL));
        assert_int_equal(added, 0);
        free(whole);
        free(merged);
        owm_ots_tree_deinit(&left);
        owm_ots_tree_deinit(&right);
        owm_ots_proof_deinit(&a);
    }
}

static void another_message_is_not_merged(void **state)
{
    (void)state;
    struct owm_ots_tree a, b;
    struct owm_error error;
    assert_ok(owm_ots_tree_init(&a, (struct owm_ots_bytes){(const uint8_t *)"a", 1}, NULL));
    assert_ok(owm_ots_tree_init(&b, (struct owm_ots_bytes){(const uint8_t *)"b", 1}, NULL));
    assert_int_equal(owm_ots_merge(&a, OWM_OTS_ROOT, &b, NULL, &error), OWM_E_PROTO);
    owm_ots_tree_deinit(&a);
    owm_ots_tree_deinit(&b);
}

static void what_leads_nowhere_is_not_written(void **state)
{
    (void)state;
    struct owm_ots_tree tree;
    uint8_t *data = NULL;
    size_t bytes = 0;
    assert_ok(owm_ots_tree_init(&tree, (struct owm_ots_bytes){(const uint8_t *)"a", 1}, NULL));
    assert_int_equal(owm_ots_serialise(&tree, &data, &bytes, NULL), OWM_E_STATE);
    assert_null(data);
    owm_ots_tree_deinit(&tree);
}

static void pair(const uint8_t *left, const uint8_t *right, uint8_t *out)
{
    uint8_t both[64];
    memcpy(both, left, 32);
    memcpy(both + 32, right, 32);
    owm_sha256(both, 64, out);
}

static void make_leaves(struct owm_ots_tree *trees, struct owm_ots_leaf *leaves, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t digest[32];
        owm_sha256(&i, sizeof i, digest);
        assert_ok(owm_ots_tree_init(&trees[i], (struct owm_ots_bytes){digest, 32}, NULL));
        leaves[i] = (struct owm_ots_leaf){&trees[i], OWM_OTS_ROOT};
    }
}

/* Five leaves: H(H(H(1,2),H(3,4)),5), as the reference builds it. */
static void five_digests_have_the_root_of_the_reference(void **state)
{
    (void)state;
    struct owm_ots_tree trees[5];
    struct owm_ots_leaf leaves[5];
    uint8_t ab[32], cd[32], abcd[32], root[32];
    make_leaves(trees, leaves, 5);
    pair(trees[0].nodes[0].message.data, trees[1].nodes[0].message.data, ab);
    pair(trees[2].nodes[0].message.data, trees[3].nodes[0].message.data, cd);
    pair(ab, cd, abcd);
    pair(abcd, trees[4].nodes[0].message.data, root);
    assert_ok(owm_ots_merkle(leaves, 5, NULL));
    for (size_t i = 0; i < 5; i++) {
        assert_memory_equal(trees[i].nodes[leaves[i].node].message.data, root, 32);
        owm_ots_tree_deinit(&trees[i]);
    }
}

static void every_count_has_one_root(void **state)
{
    (void)state;
    for (size_t count = 1; count <= 70; count++) {
        struct owm_ots_tree trees[70];
        struct owm_ots_leaf leaves[70];
        make_leaves(trees, leaves, count);
        assert_ok(owm_ots_merkle(leaves, count, NULL));
        const struct owm_ots_bytes root = trees[0].nodes[leaves[0].node].message;
        for (size_t i = 0; i < count; i++)
            assert_memory_equal(trees[i].nodes[leaves[i].node].message.data, root.data, 32);
        for (size_t i = 0; i < count; i++) owm_ots_tree_deinit(&trees[i]);
    }
}

static void a_nonce_hides_the_digest(void **state)
{
    (void)state;
    static const uint8_t nonce[OWM_OTS_NONCE_BYTES] = {7};
    struct owm_ots_tree tree;
    uint8_t digest[32] = {1}, both[48] = {1}, wanted[32];
    memcpy(both + 32, nonce, sizeof nonce);
    owm_sha256(both, sizeof both, wanted);
    assert_ok(owm_ots_tree_init(&tree, (struct owm_ots_bytes){digest, 32}, NULL));
    struct owm_ots_leaf leaf = {&tree, OWM_OTS_ROOT};
    assert_ok(owm_ots_blind(&leaf, nonce, NULL));
    assert_memory_equal(tree.nodes[leaf.node].message.data, wanted, 32);
    assert_int_equal(owm_ots_merkle(&leaf, 0, NULL), OWM_E_ARG);
    owm_ots_tree_deinit(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_merge_to_the_whole),
        cmocka_unit_test(another_message_is_not_merged),
        cmocka_unit_test(what_leads_nowhere_is_not_written),
        cmocka_unit_test(five_digests_have_the_root_of_the_reference),
        cmocka_unit_test(every_count_has_one_root),
        cmocka_unit_test(a_nonce_hides_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_verify.c: chains of headers, and attestations against them. */
#include "base/bytes.h"
#include "dataplane/chain/hash.h"
#include "dataplane/ots/verify.h"
#include "regtest_chain.h"
#include "test.h"

struct parameters {
    uint32_t version, time, bits, nonce;
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void make_header(struct parameters p, const uint8_t previous[32], const uint8_t root[32],
                        uint8_t *header)
{
    put_u32(header, p.version);
    memcpy(header + 4, previous, 32);
    memcpy(header + 36, root, 32);
    put_u32(header + 68, p.time);
    put_u32(header + 72, p.bits);
    put_u32(header + 76, p.nonce);
}

/* Of Bitcoin's first blocks, and the same of the test networks. */
#define ROOT "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
static const uint8_t zeros[32];

static void first_header(struct parameters p, uint8_t *header)
{
    uint8_t root[32];
    assert_ok(owm_hash_parse(ROOT, root));
    make_header(p, zeros, root, header);
}

static const struct parameters main_block = {1, 1231006505, 0x1d00ffff, 2083236893};
static const struct parameters signet_block = {1, 1598918400, 0x1e0377ae, 52613770};
static const struct parameters regtest_block = {1, 1296688602, 0x207fffff, 2};

static void first_blocks_bind_the_network(void **state)
{
    (void)state;
    static const struct {
        enum owm_network network;
        const struct parameters *first;
    } networks[] = {
        {OWM_MAINNET, &main_block}, {OWM_SIGNET, &signet_block}, {OWM_REGTEST, &regtest_block}};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            struct owm_ots_chain chain;
            struct owm_error error = {.text = ""};
            uint8_t header[OWM_OTS_HEADER_BYTES];
            first_header(*networks[k].first, header);
            owm_ots_chain_init(&chain, networks[i].network);
            owm_status status = owm_ots_chain_push(&chain, header, &error);
            assert_int_equal(status, i == k ? OWM_OK : OWM_E_PROTO);
            if (i != k) assert_non_null(strstr(error.text, "is not the first block"));
            owm_ots_chain_deinit(&chain);
        }
    }
}

/* Block 1 of the main network. */
static void main_network_blocks_follow(void **state)
{
    (void)state;
    struct owm_ots_chain chain;
    struct owm_error error;
    struct owm_ots_headers headers;
    uint8_t header[OWM_OTS_HEADER_BYTES], root[32];
    first_header(main_block, header);
    owm_ots_chain_init(&chain, OWM_MAINNET);
    assert_ok(owm_ots_chain_push(&chain, header, NULL));
    assert_ok(
        owm_hash_parse("0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098", root));
    const struct parameters one = {1, 1231469665, 0x1d00ffff, 2573394689};
    make_header(one, chain.tip, root, header);
    assert_ok(owm_ots_chain_push(&chain, header, NULL));
    char text[OWM_HASH_TEXT_BYTES];
    owm_hash_text(chain.tip, text);
    assert_string_equal(text, "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048");
    assert_int_equal(owm_ots_chain_source(&chain, &headers, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "less work"));
    owm_ots_chain_deinit(&chain);
}

/* Bitcoin Core, src/test/pow_tests.cpp. */
static void bits_follow_time_as_in_bitcoin(void **state)
{
    (void)state;
    static const struct {
        int64_t first, last;
        uint32_t bits, next;
    } cases[] = {
        {1261130161, 1262152739, 0x1d00ffff, 0x1d00d86a},
        {1231006505, 1233061996, 0x1d00ffff, 0x1d00ffff},
        {1279008237, 1279297671, 0x1c05a3f4, 0x1c0168fd},
        {1263163443, 1269211443, 0x1c387f6f, 0x1d00e1fd},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(
            owm_ots_retarget(OWM_MAINNET, cases[i].bits, cases[i].last - cases[i].first),
            cases[i].next);
}

static void mine_chain(struct owm_ots_chain *chain, size_t blocks)
{
    owm_ots_chain_init(chain, OWM_REGTEST);
    regtest_mine(chain, blocks, 0, NULL);
}

static void assert_not_next(struct owm_ots_chain *chain, const uint8_t *header, const char *why)
{
    struct owm_error error = {.text = ""};
    assert_int_equal(owm_ots_chain_push(chain, header, &error), OWM_E_PROTO);
    if (!strstr(error.text, why)) fail_msg("said \"%s\", not \"%s\"", error.text, why);
}

static void headers_that_do_not_follow_are_refused(void **state)
{
    (void)state;
    struct owm_ots_chain chain;
    uint8_t good[OWM_OTS_HEADER_BYTES], bad[OWM_OTS_HEADER_BYTES];
    mine_chain(&chain, 20);
    regtest_next(&chain, REGTEST_TIME + 12000, zeros, good);
    memcpy(bad, good, sizeof bad);
    bad[4] ^= 1;
    assert_not_next(&chain, bad, "header of block 20: it does not follow");
    memcpy(bad, good, sizeof bad);
    bad[72] ^= 1;
    assert_not_next(&chain, bad, "its bits are");
    memcpy(bad, good, sizeof bad);
    put_u32(bad + 68, 1300000600);
    assert_not_next(&chain, bad, "its time is before");
    memcpy(bad, good, sizeof bad);
    do bad[76]++;
    while (owm_ots_header_work(OWM_REGTEST, bad, NULL) == OWM_OK);
    assert_not_next(&chain, bad, "does not meet its target");
    assert_ok(owm_ots_chain_push(&chain, good, NULL));
    owm_ots_chain_cut(&chain, 20);
    assert_ok(owm_ots_chain_push(&chain, good, NULL));
    owm_ots_chain_deinit(&chain);
}

static void the_compact_file_is_the_chain(void **state)
{
    (void)state;
    struct owm_ots_chain chain, again;
    struct owm_error error;
    uint8_t *data = NULL;
    size_t bytes = 0;
    mine_chain(&chain, 50);
    assert_ok(owm_ots_chain_write(&chain, &data, &bytes, NULL));
    assert_int_equal(bytes, 8 + 50 * OWM_OTS_RECORD_BYTES);
    owm_ots_chain_init(&again, OWM_REGTEST);
    assert_ok(owm_ots_chain_read(&again, data, bytes, NULL));
    assert_int_equal(again.count, 50);
    assert_memory_equal(again.headers, chain.headers, 50 * sizeof *chain.headers);
    assert_memory_equal(&again.work, &chain.work, sizeof chain.work);
    owm_ots_chain_deinit(&again);
    assert_int_equal(owm_ots_chain_read(&again, data, bytes - 1, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "ends inside the header of block 49"));
    assert_int_equal(owm_ots_chain_read(&again, data, 7, &error), OWM_E_PROTO);
    data[8 + 10 * OWM_OTS_RECORD_BYTES + 4] ^= 1; /* The work of block 10 or a later one breaks. */
    owm_ots_chain_deinit(&again);
    assert_int_equal(owm_ots_chain_read(&again, data, bytes, &error), OWM_E_PROTO);
    assert_in_range(again.count, 10, 40);
    owm_ots_chain_deinit(&again);
    owm_ots_chain_deinit(&chain);
    free(data);
}

/* A tree of the merkle root of `holder`, which claims block `height`. */
static void claim(const struct owm_ots_chain *chain, size_t holder, uint64_t height,
                  struct owm_ots_tree *tree)
{
    const struct owm_ots_bytes root = {chain->headers[holder] + 36, 32};
    const struct owm_ots_attestation attestation = owm_ots_bitcoin(height);
    assert_ok(owm_ots_tree_init(tree, root, NULL));
    assert_ok(owm_ots_add_attestation(tree, OWM_OTS_ROOT, &attestation, NULL, NULL));
}

static struct owm_ots_verdict judged(struct owm_ots_chain *chain, struct owm_ots_tree *tree)
{
    struct owm_ots_headers headers;
    struct owm_ots_verdict verdict;
    assert_ok(owm_ots_chain_source(chain, &headers, NULL));
    assert_ok(owm_ots_verify(tree, &headers, &verdict, NULL));
    owm_ots_tree_deinit(tree);
    return verdict;
}

/* A proof proves by the header at its height, and by nothing else. */
static void the_header_at_the_height_decides(void **state)
{
    (void)state;
    struct owm_ots_chain chain;
    struct owm_ots_tree tree;
    mine_chain(&chain, 50);
    claim(&chain, 44, 44, &tree);
    struct owm_ots_verdict verdict = judged(&chain, &tree);
    assert_int_equal(verdict.outcome, OWM_OTS_CONFIRMED);
    assert_int_equal(verdict.height, 44);
    assert_int_equal(verdict.confirmations, 6);
    assert_int_equal(verdict.time_s, REGTEST_TIME + 600 * 44);
    claim(&chain, 45, 45, &tree);
    verdict = judged(&chain, &tree);
    assert_int_equal(verdict.outcome, OWM_OTS_WAITING);
    assert_string_equal(verdict.why.text, "block 45 has 5 of 6 confirmations");
    claim(&chain, 20, 21, &tree);
    verdict = judged(&chain, &tree);
    assert_int_equal(verdict.outcome, OWM_OTS_REFUTED);
    assert_string_equal(verdict.why.text, "block 21 has another merkle root");
    claim(&chain, 20, UINT64_MAX, &tree);
    verdict = judged(&chain, &tree);
    assert_int_equal(verdict.outcome, OWM_OTS_WAITING);
    assert_non_null(strstr(verdict.why.text, "the last one known is 49"));
    owm_ots_chain_deinit(&chain);
}

static void the_lowest_right_block_counts(void **state)
{
    (void)state;
    struct owm_ots_chain chain;
    struct owm_ots_tree tree;
    mine_chain(&chain, 50);
    claim(&chain, 20, 20, &tree);
    const struct owm_ots_attestation others[] = {owm_ots_bitcoin(10), owm_ots_bitcoin(30)};
    for (int i = 0; i < 2; i++)
        assert_ok(owm_ots_add_attestation(&tree, OWM_OTS_ROOT, &others[i], NULL, NULL));
    struct owm_ots_verdict verdict = judged(&chain, &tree);
    assert_int_equal(verdict.outcome, OWM_OTS_CONFIRMED);
    assert_int_equal(verdict.height, 20);
    owm_ots_chain_deinit(&chain);
}

static void nothing_but_bitcoin_proves(void **state)
{
    (void)state;
    struct owm_ots_chain chain;
    struct owm_ots_tree tree;
    struct owm_ots_attestation attestation = {.kind = OWM_OTS_UNKNOWN, .tag = {1}};
    const struct owm_ots_bytes message = {zeros, 32};
    mine_chain(&chain, 50);
    assert_ok(owm_ots_tree_init(&tree, message, NULL));
    assert_ok(owm_ots_add_attestation(&tree, OWM_OTS_ROOT, &attestation, NULL, NULL));
    assert_int_equal(judged(&chain, &tree).outcome, OWM_OTS_UNPROVEN);
    assert_ok(owm_ots_pending("https://example.org", &attestation, NULL));
    assert_ok(owm_ots_tree_init(&tree, message, NULL));
    assert_ok(owm_ots_add_attestation(&tree, OWM_OTS_ROOT, &attestation, NULL, NULL));
    assert_int_equal(judged(&chain, &tree).outcome, OWM_OTS_WAITING);
    assert_ok(owm_ots_tree_init(&tree, (struct owm_ots_bytes){zeros, 31}, NULL));
    attestation = owm_ots_bitcoin(3);
    assert_ok(owm_ots_add_attestation(&tree, OWM_OTS_ROOT, &attestation, NULL, NULL));
    struct owm_ots_verdict verdict = judged(&chain, &tree);
    assert_int_equal(verdict.outcome, OWM_OTS_REFUTED);
    assert_string_equal(verdict.why.text, "it leads to 31 bytes for block 3, not to 32");
    owm_ots_chain_deinit(&chain);
}

static void too_many_blocks_are_not_looked_up(void **state)
{
    (void)state;
    struct owm_ots_chain chain;
    struct owm_ots_tree tree;
    struct owm_ots_headers headers;
    struct owm_ots_verdict verdict;
    mine_chain(&chain, 100);
    assert_ok(owm_ots_tree_init(&tree, (struct owm_ots_bytes){zeros, 32}, NULL));
    for (uint64_t height = 0; height <= OWM_OTS_LOOKUPS_MAX; height++) {
        const struct owm_ots_attestation attestation = owm_ots_bitcoin(height);
        assert_ok(owm_ots_add_attestation(&tree, OWM_OTS_ROOT, &attestation, NULL, NULL));
    }
    assert_ok(owm_ots_chain_source(&chain, &headers, NULL));
    assert_int_equal(owm_ots_verify(&tree, &headers, &verdict, NULL), OWM_E_LIMIT);
    owm_ots_tree_deinit(&tree);
    owm_ots_chain_deinit(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_blocks_bind_the_network),
        cmocka_unit_test(main_network_blocks_follow),
        cmocka_unit_test(bits_follow_time_as_in_bitcoin),
        cmocka_unit_test(headers_that_do_not_follow_are_refused),
        cmocka_unit_test(the_compact_file_is_the_chain),
        cmocka_unit_test(the_header_at_the_height_decides),
        cmocka_unit_test(the_lowest_right_block_counts),
        cmocka_unit_test(nothing_but_bitcoin_proves),
        cmocka_unit_test(too_many_blocks_are_not_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

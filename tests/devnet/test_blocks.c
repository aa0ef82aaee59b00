/* test_blocks.c: the development block source takes what dataplane/chain builds, changes branches,
 * and finds everything again after its end.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "blocks_fixture.h"
#include "test.h"

static char folder[128];

static int set_up(void **state)
{
    (void)state;
    fixture_folder(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_clean(folder);
    return 0;
}

/* Block 0 is regtest's own, and so are the rules that the premined ones kept. */
static void begins_like_regtest(void **state)
{
    (void)state;
    struct chain *chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    char text[65];
    template_hash_text(chain_at(chain, 0)->hash, text);
    assert_string_equal(text, "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206");
    assert_int_equal(chain_tip(chain)->height, CHAIN_PREMINED);
    assert_true(check_subsidy_sats(149) == 5000000000 && check_subsidy_sats(150) == 2500000000);
    chain_close(chain);
}

/* Templates of all sizes of a tree, with and without witnesses and with fees, become blocks. */
static void builder_and_checker_agree(void **state)
{
    (void)state;
    struct chain *chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    uint32_t most = 0, witnesses = 0;
    for (uint32_t i = 0; i < 40; i++) {
        struct draft draft;
        draft_begin(&draft, chain, 17, i);
        if (draft.txs > most) most = draft.txs;
        for (uint32_t k = 0; k < draft.txs; k++) witnesses += draft.tx[k].data[4] == 0;
        const int64_t subsidy_sats = check_subsidy_sats(draft.block->height);
        assert_true(draft.block->coinbase_value_sats
                    == (uint64_t)subsidy_sats + draft.block->fees_sats);
        assert_true((draft.block->fees_sats > 0) == (draft.txs > 0));
        const char *reason = draft_submit(&draft, chain);
        if (reason) fail_msg("%s", reason);
        assert_int_equal(chain_tip(chain)->height, CHAIN_PREMINED + 1 + i);
    }
    assert_int_equal(most, 17);
    assert_true(witnesses > 20);
    chain_close(chain);
}

/* Behind the premined blocks the bits are the ones asked for. */
static void harder_bits(void **state)
{
    (void)state;
    struct chain *chain = fixture_open(folder, 0x1f7fffff);
    struct draft draft;
    mine(chain, 2, 1);
    draft_begin(&draft, chain, 0, 2);
    draft.miss_target = true;
    assert_string_equal(draft_submit(&draft, chain), "high-hash");
    assert_true(chain_tip(chain)->work.limb[0] == 2 * (CHAIN_PREMINED + 1) + 2 * 0x200);
    chain_close(chain);
    char path[256];
    struct owm_error error;
    snprintf(path, sizeof path, "%s/blocks.dat", folder);
    const struct chain_options other = {.path = path, .bits = CHAIN_REGTEST_BITS};
    assert_int_equal(chain_open(&other, &chain, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "--bits"));
}

/* A chain that begins behind halvings is regtest's own, and is found again only as what it is. */
static void begins_behind_halvings(void **state)
{
    (void)state;
    struct chain *chain;
    struct owm_error error = {""};
    char path[256];
    snprintf(path, sizeof path, "%s/blocks.dat", folder);
    struct chain_options options = {.path = path, .bits = 0x1f7fffff, .halvings = 18};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(chain_open(&options, &chain, &error), OWM_OK);
        assert_int_equal(chain_tip(chain)->height, 18 * CHECK_HALVING_INTERVAL + i);
        assert_true(check_subsidy_sats(chain_tip(chain)->height + 1) == 19073);
        mine(chain, 1, 3);
        chain_close(chain);
    }
    options.halvings = 0;
    assert_int_equal(chain_open(&options, &chain, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "--halvings"));
}

static void longer_branch_wins(void **state)
{
    (void)state;
    struct chain *chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    const struct chain_node *fork = chain_tip(chain);
    mine(chain, 3, 1); /* With spends, which the other branch takes back. */
    const struct chain_node *first = chain_tip(chain);
    const struct chain_node *at = fork, *made;
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(mine_on(chain, at, 100, &made), "inconclusive");
        assert_ptr_equal(chain_tip(chain), first); /* First seen stays at equal work. */
        assert_string_equal(mine_on(chain, at, 100, &made), "duplicate");
        at = made;
    }
    assert_null(mine_on(chain, at, 100, &made));
    assert_int_equal(chain_tip(chain)->height, fork->height + 4);
    assert_ptr_equal(chain_tip(chain)->previous, at);
    mine(chain, 5, 3); /* The coins are the branch's: what was spent is there again. */
    uint8_t tip[32];
    memcpy(tip, chain_tip(chain)->hash, 32);
    chain_close(chain);
    chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    assert_memory_equal(chain_tip(chain)->hash, tip, 32);
    chain_close(chain);
}

static void append(const void *data, size_t bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/blocks.dat", folder);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
}

static void file_survives_what_may_happen(void **state)
{
    (void)state;
    uint8_t tip[32];
    char path[256];
    struct owm_error error;
    struct chain *chain = fixture_open(folder, CHAIN_REGTEST_BITS), *second;
    mine(chain, 12, 1);
    memcpy(tip, chain_tip(chain)->hash, 32);
    const uint64_t bytes = chain_file_bytes(chain);
    snprintf(path, sizeof path, "%s/blocks.dat", folder);
    const struct chain_options options = {.path = path, .bits = CHAIN_REGTEST_BITS};
    assert_int_equal(chain_open(&options, &second, &error), OWM_E_EXISTS);
    assert_non_null(strstr(error.text, "in use"));
    chain_close(chain);

    static const uint8_t torn[] = {0xfa, 0xbf, 0xb5, 0xda, 0, 1, 0, 0, 7, 7, 7};
    for (size_t cut = 1; cut <= sizeof torn; cut += 5) {
        append(torn, cut);
        chain = fixture_open(folder, CHAIN_REGTEST_BITS);
        assert_memory_equal(chain_tip(chain)->hash, tip, 32);
        assert_true(chain_file_bytes(chain) == bytes);
        chain_close(chain);
    }
    append("no magic here", 13);
    assert_int_equal(chain_open(&options, &chain, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "move it away"));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true((uint64_t)info.st_size == bytes + 13); /* Nothing was destroyed. */
}

/* Bytes of anything: never a crash, never accepted. */
static void any_bytes(void **state)
{
    (void)state;
    struct chain *chain = fixture_open(folder, CHAIN_REGTEST_BITS);
    struct draft draft;
    size_t bytes;
    mine(chain, 4, 1);
    draft_begin(&draft, chain, 4, 2);
    uint8_t *data = draft_finish(&draft, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, data, cut);
        assert_string_equal(chain_submit(chain, exact, cut, fixture_now()), "");
        free(exact);
    }
    const struct chain_node *tip = chain_tip(chain);
    for (size_t at = 80; at < bytes; at++) { /* The root covers all but the witnesses. */
        data[at] ^= 0x55;
        assert_non_null(chain_submit(chain, data, bytes, fixture_now()));
        data[at] ^= 0x55;
    }
    assert_ptr_equal(chain_tip(chain), tip);
    assert_null(chain_propose(chain, data, bytes, fixture_now()));
    assert_ptr_equal(chain_tip(chain), tip);
    assert_null(chain_submit(chain, data, bytes, fixture_now()));
    assert_string_equal(chain_submit(chain, data, bytes, fixture_now()), "duplicate");
    free(data);
    draft_free(&draft);
    chain_close(chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(begins_like_regtest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(builder_and_checker_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(harder_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(begins_behind_halvings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(longer_branch_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_survives_what_may_happen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

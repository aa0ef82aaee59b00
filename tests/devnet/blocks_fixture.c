/* blocks_fixture.c: template to block by dataplane/chain, ground at regtest's difficulty. */
#include "blocks_fixture.h"

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/merkle.h"
#include "dataplane/chain/target.h"
#include "dataplane/chain/transaction.h"
#include "test.h"

#define EXTRANONCE_BYTES 8

static const uint8_t extranonce[EXTRANONCE_BYTES] = {0xac, 0xac, 0xac, 0xac, 5, 6, 7, 8};

void fixture_folder(char path[128])
{
    const char *parent = getenv("TMPDIR");
    snprintf(path, 128, "%s/owm_blocks_XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
}

void fixture_clean(const char *path)
{
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        char name[512];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlink(name);
    }
    closedir(folder);
    rmdir(path);
}

struct chain *fixture_open(const char *folder, uint32_t bits)
{
    char path[256];
    struct chain *chain;
    struct owm_error error = {""};
    snprintf(path, sizeof path, "%s/blocks.dat", folder);
    if (chain_open(&(struct chain_options){.path = path, .bits = bits}, &chain, &error))
        fail_msg("%s", error.text);
    return chain;
}

struct mempool *fixture_mempool(const char *folder, struct chain *chain)
{
    char path[256];
    struct mempool *pool;
    struct owm_error error = {""};
    snprintf(path, sizeof path, "%s/sent.dat", folder);
    if (mempool_open(path, chain, &pool, &error)) fail_msg("%s", error.text);
    return pool;
}

uint32_t fixture_now(void)
{
    return (uint32_t)time(NULL);
}

static struct owm_template *parse(const json_t *root)
{
    struct owm_template *block;
    struct owm_error error = {""};
    assert_non_null(root);
    char *text = json_dumps(root, 0);
    if (owm_template_parse(text, strlen(text), &block, &error)) fail_msg("%s", error.text);
    free(text);
    return block;
}

static void build_coinbase(struct draft *draft)
{
    assert_ok(owm_coinbase_build(draft->block, &draft->plan, &draft->coinbase, NULL));
}

void draft_begin(struct draft *draft, struct chain *chain, uint32_t spends_max, uint32_t salt)
{
    draft_begin_with(draft, chain, NULL, spends_max, salt);
}

void draft_begin_with(struct draft *draft, struct chain *chain, const struct mempool *pool,
                      uint32_t spends_max, uint32_t salt)
{
    json_t *root = template_make(chain, pool, spends_max, fixture_now());
    memset(draft, 0, sizeof *draft);
    draft->block = parse(root);
    json_decref(root);
    draft->plan = (struct owm_coinbase_plan){
        .script = {0x51}, .script_bytes = 1, .extranonce_bytes = EXTRANONCE_BYTES};
    snprintf(draft->plan.tag, sizeof draft->plan.tag, "/test %u/", salt);
    build_coinbase(draft);
    draft->txs = draft->block->transactions;
    assert_true(draft->txs <= FIXTURE_TRANSACTIONS_MAX);
    if (draft->txs) memcpy(draft->tx, draft->block->transaction, draft->txs * sizeof *draft->tx);
    draft->version = draft->block->version;
    draft->time_s = draft->block->current_time_s;
    draft->bits = draft->block->bits;
    memcpy(draft->previous, draft->block->previous, 32);
}

void draft_free(struct draft *draft)
{
    owm_template_release(draft->block);
    draft->block = NULL;
}

/* A nonce with which the hash meets the target, or does not. */
static void grind(uint8_t header[80], bool miss)
{
    struct owm_reader r;
    struct owm_writer w;
    uint8_t hash[32], target[32];
    owm_reader_init(&r, header + 72, 4);
    assert_true(owm_target_from_compact(owm_read_u32_le(&r), target));
    const struct owm_uint256 limit = owm_uint256_from_le(target);
    for (uint32_t nonce = 0;; nonce++) {
        owm_writer_init(&w, header + 76, 4);
        owm_write_u32_le(&w, nonce);
        owm_sha256d(header, 80, hash);
        const struct owm_uint256 value = owm_uint256_from_le(hash);
        if ((owm_uint256_compare(&value, &limit) > 0) == miss) return;
    }
}

uint8_t *draft_finish(struct draft *draft, size_t *bytes)
{
    uint8_t leaf[FIXTURE_TRANSACTIONS_MAX + 1][32], header[80];
    struct owm_template block = *draft->block;
    block.transaction = draft->tx;
    block.transactions = draft->txs;
    if (draft->bare) block.commitment_bytes = 0;
    for (uint32_t i = 0; i < draft->txs; i++) {
        struct owm_transaction read;
        assert_ok(owm_transaction_read(draft->tx[i].data, draft->tx[i].bytes, &read, NULL));
        memcpy(leaf[i + 1], read.txid, 32);
    }
    block.branches = owm_merkle_branches(leaf, draft->txs + 1, block.branch);
    if (!draft->keep_root) owm_merkle_root(&block, &draft->coinbase, extranonce, draft->root);
    owm_header_write(&(struct owm_header_fields){draft->version, draft->time_s, draft->bits, 0,
                                                 draft->previous, draft->root},
                     header);
    grind(header, draft->miss_target);
    char *hex;
    assert_ok(owm_block_hex(&block, &draft->coinbase, extranonce, header, &hex));
    *bytes = strlen(hex) / 2;
    uint8_t *data = malloc(*bytes);
    assert_ok(owm_hex_decode(hex, data, *bytes));
    free(hex);
    return data;
}

const char *draft_submit(struct draft *draft, struct chain *chain)
{
    size_t bytes;
    uint8_t *data = draft_finish(draft, &bytes);
    const char *reason = chain_submit(chain, data, bytes, fixture_now());
    free(data);
    draft_free(draft);
    return reason;
}

const char *mine_on(struct chain *chain, const struct chain_node *previous, uint32_t salt,
                    const struct chain_node **made)
{
    uint8_t hash[32];
    size_t bytes;
    struct draft draft;
    draft_begin(&draft, chain, 0, salt);
    memcpy(draft.previous, previous->hash, 32);
    draft.block->height = previous->height + 1;
    draft.block->coinbase_value_sats = (uint64_t)check_subsidy_sats(previous->height + 1);
    draft.time_s = chain_median_time_s(previous) + 1;
    draft.bits = chain_bits_at(chain, previous->height + 1);
    build_coinbase(&draft);
    uint8_t *data = draft_finish(&draft, &bytes);
    const char *reason = chain_submit(chain, data, bytes, fixture_now());
    owm_sha256d(data, 80, hash);
    *made = chain_find(chain, hash);
    free(data);
    draft_free(&draft);
    return reason;
}

void mine(struct chain *chain, uint32_t count, uint32_t salt)
{
    for (uint32_t i = 0; i < count; i++) {
        struct draft draft;
        draft_begin(&draft, chain, 4, salt);
        const char *reason = draft_submit(&draft, chain);
        if (reason) fail_msg("%s", reason);
    }
}

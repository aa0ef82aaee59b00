/* template_parse.c: the JSON of getblocktemplate to a template whose hashes are all ours. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "hash.h"
#include "merkle.h"
#include "target.h"
#include "template.h"
#include "transaction.h"

#define MONEY_SATS_MAX        INT64_C(2100000000000000)
#define BLOCK_WEIGHT_MAX      4000000
#define HEIGHT_MAX            499999999 /* Beyond it a lock time is a date. */
#define COMMITMENT_BYTES      38
#define COMMITMENT_HEAD_BYTES 6
#define RULES_MAX             64
#define WHERE_BYTES           40
#define SIGNET_OPEN_SCRIPT    "51" /* OP_TRUE: anybody may mine. */

_Static_assert(OWM_TEMPLATE_TRANSACTIONS_MAX < 1 << OWM_TEMPLATE_BRANCHES_MAX,
               "a branch per level");

/* What is shared, and what it points into. */
struct shared {
    struct owm_template block; /* First, so that a pointer to it is one to all. */
    atomic_uint references;
    struct owm_transaction_view *views;
    uint8_t *bytes;
};

/* While it is being read. Leaf 0 of both trees is the coinbase's. */
struct parse {
    const json_t *root, *list;
    struct owm_template *block;
    struct shared *shared;
    uint8_t (*txid)[32], (*wtxid)[32];
    uint64_t weight;
    bool any_witness;
    struct owm_error *error;
};

static owm_status read_u32(struct parse *p, const char *key, struct owm_json_range range,
                           uint32_t *out)
{
    int64_t value = 0;
    owm_status status = owm_json_int(p->root, "", key, range, &value, p->error);
    *out = (uint32_t)value;
    return status;
}

static owm_status read_hash(const json_t *object, const char *where, const char *key,
                            uint8_t hash[32], struct owm_error *error)
{
    const char *text;
    owm_status status = owm_json_string(object, where, key, &text, error);
    if (status == OWM_OK && owm_hash_parse(text, hash) != OWM_OK)
        status = owm_fail(error, OWM_E_PROTO, "%s%s%s: 64 hex digits are expected", where,
                          *where ? "." : "", key);
    return status;
}

/* A rule that we do not know and that changes what a valid block is starts with "!" (BIP 9). */
static owm_status check_rules(struct parse *p)
{
    const json_t *rules, *rule;
    size_t i;
    owm_status status = owm_json_array_or(p->root, "", "rules", &rules, p->error);
    if (status != OWM_OK) return status;
    if (json_array_size(rules) > RULES_MAX)
        return owm_fail(p->error, OWM_E_LIMIT, "rules: more than %d", RULES_MAX);
    json_array_foreach(rules, i, rule)
    {
        const char *name = json_string_value(rule);
        if (!name) return owm_fail(p->error, OWM_E_PROTO, "rules[%zu]: not a string", i);
        if (name[0] != '!' || strcmp(name, "!segwit") == 0 || strcmp(name, "!signet") == 0)
            continue;
        return owm_fail(
            p->error, OWM_E_UNSUPPORTED,
            "rules[%zu]: the node demands the rule '%.40s', which this version does not "
            "know; its blocks would be invalid",
            i, name);
    }
    return OWM_OK;
}

/* What else would make the block invalid whatever we do. */
static owm_status check_demands(struct parse *p)
{
    const char *challenge = NULL;
    int64_t required = 0;
    owm_status status = check_rules(p);
    if (status == OWM_OK)
        status = owm_json_int_or(p->root, "", "vbrequired", (struct owm_json_range){0, UINT32_MAX},
                                 &required, p->error);
    if (status == OWM_OK)
        status = owm_json_string_or(p->root, "", "signet_challenge", SIGNET_OPEN_SCRIPT, &challenge,
                                    p->error);
    if (status != OWM_OK) return status;
    if (required)
        return owm_fail(p->error, OWM_E_UNSUPPORTED,
                        "vbrequired: %08" PRIx64 " would forbid rolling the version", required);
    if (strcmp(challenge, SIGNET_OPEN_SCRIPT) != 0)
        return owm_fail(p->error, OWM_E_UNSUPPORTED,
                        "signet_challenge: blocks of this signet need its key; only one whose "
                        "challenge is %s (OP_TRUE) can be mined",
                        SIGNET_OPEN_SCRIPT);
    return OWM_OK;
}

static owm_status read_target(struct parse *p)
{
    const char *text;
    uint8_t bits_be[4], target[32];
    struct owm_template *block = p->block;
    owm_status status = owm_json_string(p->root, "", "bits", &text, p->error);
    if (status != OWM_OK) return status;
    if (owm_hex_decode(text, bits_be, 4) != OWM_OK)
        return owm_fail(p->error, OWM_E_PROTO, "bits: 8 hex digits are expected");
    for (int i = 0; i < 4; i++) block->bits = block->bits << 8 | bits_be[i];
    if (!owm_target_from_compact(block->bits, block->target))
        return owm_fail(p->error, OWM_E_PROTO, "bits: %08" PRIx32 " is no target", block->bits);
    status = read_hash(p->root, "", "target", target, p->error);
    if (status == OWM_OK && memcmp(target, block->target, 32) != 0)
        status = owm_fail(p->error, OWM_E_PROTO,
                          "target: it is not what bits %08" PRIx32 " stand for", block->bits);
    return status;
}

static owm_status read_longpoll_id(struct parse *p)
{
    const char *text;
    owm_status status = owm_json_string_or(p->root, "", "longpollid", "", &text, p->error);
    if (status != OWM_OK) return status;
    int bytes = snprintf(p->block->longpoll_id, OWM_LONGPOLL_ID_BYTES, "%s", text);
    if (bytes < OWM_LONGPOLL_ID_BYTES) return OWM_OK;
    return owm_fail(p->error, OWM_E_LIMIT, "longpollid: longer than %d bytes",
                    OWM_LONGPOLL_ID_BYTES - 1);
}

static owm_status read_fields(struct parse *p)
{
    struct owm_template *block = p->block;
    const struct owm_json_range time = {1, UINT32_MAX};
    int64_t value_sats = 0;
    owm_status status = check_demands(p);
    if (status == OWM_OK)
        status = read_u32(p, "version", (struct owm_json_range){1, INT32_MAX}, &block->version);
    if (status == OWM_OK)
        status = read_u32(p, "height", (struct owm_json_range){1, HEIGHT_MAX}, &block->height);
    if (status == OWM_OK) status = read_u32(p, "mintime", time, &block->min_time_s);
    if (status == OWM_OK) status = read_u32(p, "curtime", time, &block->current_time_s);
    if (status == OWM_OK)
        status = owm_json_int(p->root, "", "coinbasevalue",
                              (struct owm_json_range){0, MONEY_SATS_MAX}, &value_sats, p->error);
    if (status == OWM_OK)
        status = read_hash(p->root, "", "previousblockhash", block->previous, p->error);
    if (status == OWM_OK) status = read_target(p);
    if (status == OWM_OK) status = read_longpoll_id(p);
    if (status != OWM_OK) return status;
    block->coinbase_value_sats = (uint64_t)value_sats;
    if (block->current_time_s < block->min_time_s)
        return owm_fail(p->error, OWM_E_PROTO, "curtime: %" PRIu32 " is before mintime %" PRIu32,
                        block->current_time_s, block->min_time_s);
    return OWM_OK;
}

/* Room for all transactions, in one piece each. */
static owm_status reserve(struct parse *p)
{
    owm_status status = owm_json_array(p->root, "", "transactions", &p->list, p->error);
    if (status != OWM_OK) return status;
    size_t count = json_array_size(p->list), chars = 0, i;
    if (count > OWM_TEMPLATE_TRANSACTIONS_MAX)
        return owm_fail(p->error, OWM_E_LIMIT, "transactions: %zu, more than %d", count,
                        OWM_TEMPLATE_TRANSACTIONS_MAX);
    const json_t *item;
    json_array_foreach(p->list, i, item) chars += json_string_length(json_object_get(item, "data"));
    p->shared->views = calloc(count + 1, sizeof *p->shared->views);
    p->shared->bytes = malloc(chars / 2 + 1);
    p->txid = calloc(count + 1, 32);
    p->wtxid = calloc(count + 1, 32);
    if (!p->shared->views || !p->shared->bytes || !p->txid || !p->wtxid) return OWM_E_NOMEM;
    p->block->transactions = (uint32_t)count;
    p->block->transaction = p->shared->views;
    return OWM_OK;
}

/* The node's two hashes against ours. A pool that trusts them loses a block when they are wrong. */
static owm_status check_hashes(struct parse *p, const json_t *item, const char *where,
                               const struct owm_transaction *ours)
{
    uint8_t theirs[32];
    owm_status status = read_hash(item, where, "txid", theirs, p->error);
    if (status == OWM_OK && memcmp(theirs, ours->txid, 32) != 0)
        status = owm_fail(p->error, OWM_E_PROTO, "%s.txid: it is not the hash of data", where);
    if (status == OWM_OK) status = read_hash(item, where, "hash", theirs, p->error);
    if (status == OWM_OK && memcmp(theirs, ours->wtxid, 32) != 0)
        status = owm_fail(p->error, OWM_E_PROTO, "%s.hash: it is not the hash of data", where);
    return status;
}

static owm_status read_transaction(struct parse *p, size_t index, const json_t *item,
                                   size_t *bytes_used)
{
    char where[WHERE_BYTES];
    const char *hex;
    struct owm_error cause = {""};
    struct owm_transaction read;
    snprintf(where, sizeof where, "transactions[%zu]", index);
    owm_status status = owm_json_string(item, where, "data", &hex, p->error);
    if (status != OWM_OK) return status;
    size_t bytes = strlen(hex) / 2;
    uint8_t *data = p->shared->bytes + *bytes_used;
    if (owm_hex_decode(hex, data, bytes) != OWM_OK)
        return owm_fail(p->error, OWM_E_PROTO, "%s.data: not hex", where);
    if (owm_transaction_read(data, bytes, &read, &cause) != OWM_OK)
        return owm_fail(p->error, OWM_E_PROTO, "%s.data: %s", where, cause.text);
    status = check_hashes(p, item, where, &read);
    if (status != OWM_OK) return status;
    *bytes_used += bytes;
    p->shared->views[index] = (struct owm_transaction_view){data, (uint32_t)bytes};
    memcpy(p->txid[index + 1], read.txid, 32);
    memcpy(p->wtxid[index + 1], read.wtxid, 32);
    p->weight += read.weight;
    p->any_witness |= read.has_witness;
    return OWM_OK;
}

static owm_status read_transactions(struct parse *p)
{
    size_t i, bytes_used = 0;
    const json_t *item;
    owm_status status = reserve(p);
    json_array_foreach(p->list, i, item)
    {
        if (status == OWM_OK && !json_is_object(item))
            status = owm_fail(p->error, OWM_E_PROTO, "transactions[%zu]: not an object", i);
        if (status == OWM_OK) status = read_transaction(p, i, item, &bytes_used);
        if (status != OWM_OK) return status;
    }
    if (status != OWM_OK) return status;
    if (p->weight + OWM_COINBASE_WEIGHT_RESERVE > BLOCK_WEIGHT_MAX)
        return owm_fail(p->error, OWM_E_LIMIT,
                        "transactions: their weight of %" PRIu64
                        " leaves the coinbase less than %d; "
                        "set blockreservedweight or blockmaxweight of the node",
                        p->weight, OWM_COINBASE_WEIGHT_RESERVE);
    p->block->weight = (uint32_t)p->weight;
    return OWM_OK;
}

/* Fees count only if the node tells them all. */
static owm_status read_fees(struct parse *p)
{
    int64_t sum_sats = 0;
    size_t i;
    const json_t *item;
    json_array_foreach(p->list, i, item)
    {
        char where[WHERE_BYTES];
        int64_t fee_sats = -1;
        snprintf(where, sizeof where, "transactions[%zu]", i);
        owm_status status = owm_json_int_or(
            item, where, "fee", (struct owm_json_range){0, MONEY_SATS_MAX}, &fee_sats, p->error);
        if (status != OWM_OK) return status;
        if (fee_sats < 0) return OWM_OK;
        sum_sats += fee_sats; /* At most TRANSACTIONS_MAX times MONEY_SATS_MAX: below 2^63. */
        if (sum_sats > MONEY_SATS_MAX)
            return owm_fail(p->error, OWM_E_PROTO, "%s.fee: more fees than money", where);
    }
    if ((uint64_t)sum_sats > p->block->coinbase_value_sats)
        return owm_fail(p->error, OWM_E_PROTO, "coinbasevalue: less than the fees");
    p->block->fees_sats = (uint64_t)sum_sats;
    return OWM_OK;
}

/* BIP 141: the script is OP_RETURN, push of 36, a tag, SHA-256d(witness root || 32 zero bytes). */
static void compute_commitment(struct parse *p, uint8_t script[COMMITMENT_BYTES])
{
    static const uint8_t head[COMMITMENT_HEAD_BYTES] = {0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed};
    uint8_t pair[64] = {0};
    owm_merkle_tree(p->wtxid, p->block->transactions + 1, pair);
    memcpy(script, head, sizeof head);
    owm_sha256d(pair, sizeof pair, script + sizeof head);
}

/* Bitcoin Core writes the whole script; btcd the hash alone. Ours is what is used. */
static bool same_commitment(const char *hex, const uint8_t script[COMMITMENT_BYTES])
{
    uint8_t theirs[COMMITMENT_BYTES];
    const size_t skipped = strlen(hex) == 64 ? COMMITMENT_HEAD_BYTES : 0;
    const size_t bytes = COMMITMENT_BYTES - skipped;
    return owm_hex_decode(hex, theirs, bytes) == OWM_OK
           && memcmp(theirs, script + skipped, bytes) == 0;
}

static owm_status read_commitment(struct parse *p)
{
    const char *hex;
    struct owm_template *block = p->block;
    owm_status status =
        owm_json_string_or(p->root, "", "default_witness_commitment", NULL, &hex, p->error);
    if (status != OWM_OK) return status;
    if (!hex && p->any_witness)
        return owm_fail(p->error, OWM_E_PROTO,
                        "default_witness_commitment: missing, but transactions have witnesses");
    if (!hex) return OWM_OK;
    compute_commitment(p, block->commitment);
    if (!same_commitment(hex, block->commitment))
        return owm_fail(p->error, OWM_E_PROTO,
                        "default_witness_commitment: it does not commit to these transactions");
    block->commitment_bytes = COMMITMENT_BYTES;
    return OWM_OK;
}

static owm_status fill(struct parse *p)
{
    owm_status status = OWM_OK;
    if (!json_is_object(p->root))
        return owm_fail(p->error, OWM_E_PROTO, "the template is not an object");
    if (status == OWM_OK) status = read_fields(p);
    if (status == OWM_OK) status = read_transactions(p);
    if (status == OWM_OK) status = read_fees(p);
    if (status == OWM_OK) status = read_commitment(p);
    if (status == OWM_OK)
        p->block->branches =
            owm_merkle_branches(p->txid, p->block->transactions + 1, p->block->branch);
    return status;
}

owm_status owm_template_parse(const char *json, size_t bytes, struct owm_template **out,
                              struct owm_error *error)
{
    json_t *root = NULL;
    struct parse p = {.error = error};
    *out = NULL;
    owm_status status = owm_json_parse(json, bytes, OWM_TEMPLATE_JSON_BYTES_MAX, &root, error);
    if (status != OWM_OK) return status;
    p.root = root;
    p.shared = calloc(1, sizeof *p.shared);
    if (p.shared) {
        atomic_init(&p.shared->references, 1);
        p.block = &p.shared->block;
        status = fill(&p);
    } else {
        status = OWM_E_NOMEM;
    }
    json_decref(root);
    free(p.txid);
    free(p.wtxid);
    if (status == OWM_OK)
        *out = p.block;
    else
        owm_template_release(p.block);
    if (status == OWM_E_NOMEM) owm_fail(error, status, "out of memory for a template");
    return status;
}

struct owm_template *owm_template_retain(struct owm_template *block)
{
    atomic_fetch_add_explicit(&((struct shared *)block)->references, 1, memory_order_relaxed);
    return block;
}

void owm_template_release(struct owm_template *block)
{
    struct shared *shared = (struct shared *)block;
    if (!shared) return;
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1) return;
    free(shared->views);
    free(shared->bytes);
    free(shared);
}

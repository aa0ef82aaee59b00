/* check.c: what a block must be on its own and behind its predecessor. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/target.h"

#define MONEY_SATS_MAX       INT64_C(2100000000000000)
#define WEIGHT_MAX           4000000
#define SIGOP_COST_MAX       80000
#define VERSION_MIN          4 /* BIP 65. */
#define SEQUENCE_FINAL       0xffffffff
#define LOCK_TIME_IS_DATE    500000000
#define COMMITMENT_BYTES_MIN 38

/* hash <= target, both little endian. */
static bool meets(const uint8_t hash[32], uint32_t bits)
{
    uint8_t target[32];
    if (!owm_target_from_compact(bits, target)) return false;
    for (int i = 31; i >= 0; i--)
        if (hash[i] != target[i]) return hash[i] < target[i];
    return true;
}

/* The root over the ids, or over the hashes with the witness, where the coinbase counts as zero. */
static bool root_of(const struct wire_block *block, bool witness, uint8_t root[32], bool *mutated)
{
    uint8_t(*node)[32] = calloc(block->txs + 1, 32);
    if (!node) return false;
    for (uint32_t i = witness ? 1 : 0; i < block->txs; i++)
        memcpy(node[i], witness ? block->tx[i].wtxid : block->tx[i].txid, 32);
    *mutated = wire_tree(node, block->txs, root);
    free(node);
    return true;
}

static const char *check_root(const struct wire_block *block)
{
    uint8_t root[32];
    bool mutated;
    if (!root_of(block, false, root, &mutated)) return "out of memory";
    if (memcmp(root, block->root, 32) != 0) return "bad-txnmrklroot";
    return mutated ? "bad-txns-duplicate" : NULL;
}

bool check_is_coinbase(const struct wire_block *block, const struct wire_tx *tx)
{
    static const uint8_t none[32];
    if (tx->ins != 1) return false; /* A block without any input has no array of them. */
    const struct wire_in *in = &block->in[tx->first_in];
    return in->index == UINT32_MAX && memcmp(in->txid, none, 32) == 0;
}

static const char *check_outs(const struct wire_block *block, const struct wire_tx *tx)
{
    int64_t sum_sats = 0;
    for (uint32_t i = 0; i < tx->outs; i++) {
        int64_t value_sats = block->out[tx->first_out + i].value_sats;
        if (value_sats < 0) return "bad-txns-vout-negative";
        if (value_sats > MONEY_SATS_MAX) return "bad-txns-vout-toolarge";
        sum_sats += value_sats;
        if (sum_sats > MONEY_SATS_MAX) return "bad-txns-txouttotal-toolarge";
    }
    return NULL;
}

static int by_outpoint(const void *a, const void *b)
{
    const struct wire_in *const *x = a, *const *y = b;
    int order = memcmp((*x)->txid, (*y)->txid, 32);
    return order ? order : ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

static const char *check_ins(const struct wire_block *block, const struct wire_tx *tx)
{
    static const uint8_t none[32];
    const struct wire_in **sorted = malloc(tx->ins * sizeof(*sorted));
    const char *reason = sorted ? NULL : "out of memory";
    for (uint32_t i = 0; !reason && i < tx->ins; i++) sorted[i] = &block->in[tx->first_in + i];
    if (!reason) qsort(sorted, tx->ins, sizeof *sorted, by_outpoint);
    for (uint32_t i = 1; !reason && i < tx->ins; i++)
        if (by_outpoint(&sorted[i - 1], &sorted[i]) == 0) reason = "bad-txns-inputs-duplicate";
    for (uint32_t i = 0; !reason && i < tx->ins; i++)
        if (sorted[i]->index == UINT32_MAX && memcmp(sorted[i]->txid, none, 32) == 0)
            reason = "bad-txns-prevout-null";
    free(sorted);
    return reason;
}

const char *check_transaction(const struct wire_block *block, const struct wire_tx *tx)
{
    if (tx->ins == 0) return "bad-txns-vin-empty";
    if (tx->outs == 0) return "bad-txns-vout-empty";
    if (4 * (uint64_t)tx->stripped_bytes > WEIGHT_MAX) return "bad-txns-oversize";
    const char *reason = check_outs(block, tx);
    if (reason) return reason;
    if (!check_is_coinbase(block, tx)) return check_ins(block, tx);
    uint32_t bytes = block->in[tx->first_in].script.bytes;
    return bytes < 2 || bytes > 100 ? "bad-cb-length" : NULL;
}

/* Signature operations of a script by the old rule: what looks like one counts, unless it lies in a
 * push. A script that ends within a push counts up to there. */
static uint32_t count_sigops(struct wire_view script)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < script.bytes;) {
        uint8_t op = script.data[at++];
        uint32_t length_bytes = op == 0x4c ? 1 : op == 0x4d ? 2 : op == 0x4e ? 4 : 0;
        uint64_t push = op < 0x4c ? op : 0;
        if (length_bytes > script.bytes - at) return count;
        for (uint32_t i = 0; i < length_bytes; i++) push |= (uint64_t)script.data[at++] << 8 * i;
        if (push > script.bytes - at) return count;
        at += (uint32_t)push;
        if (op == 0xac || op == 0xad) count++;
        if (op == 0xae || op == 0xaf) count += 20;
    }
    return count;
}

uint64_t check_sigop_cost(const struct wire_block *block)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < block->ins; i++) count += count_sigops(block->in[i].script);
    for (uint32_t i = 0; i < block->outs; i++) count += count_sigops(block->out[i].script);
    return 4 * count;
}

const char *check_alone(const struct wire_block *block, bool proposal)
{
    if (!proposal && !meets(block->hash, block->bits)) return "high-hash";
    const char *reason = proposal || block->txs == 0 ? NULL : check_root(block);
    if (reason) return reason;
    if (block->txs == 0) return "bad-blk-length";
    if (!check_is_coinbase(block, &block->tx[0])) return "bad-cb-missing";
    for (uint32_t i = 1; i < block->txs; i++)
        if (check_is_coinbase(block, &block->tx[i])) return "bad-cb-multiple";
    for (uint32_t i = 0; i < block->txs; i++)
        if ((reason = check_transaction(block, &block->tx[i]))) return reason;
    return check_sigop_cost(block) > SIGOP_COST_MAX ? "bad-blk-sigops" : NULL;
}

const char *check_header(const struct wire_block *block, const struct check_context *context)
{
    if (block->bits != context->bits) return "bad-diffbits";
    if (block->time_s <= context->median_time_s) return "time-too-old";
    if (block->time_s > (uint64_t)context->now_s + CHECK_FUTURE_S_MAX) return "time-too-new";
    if ((int32_t)block->version < VERSION_MIN) return "bad-version";
    return NULL;
}

bool check_is_final(const struct wire_block *block, const struct wire_tx *tx,
                    const struct check_context *context)
{
    uint32_t limit = tx->lock_time < LOCK_TIME_IS_DATE ? context->height : context->median_time_s;
    if (tx->lock_time == 0 || tx->lock_time < limit) return true;
    for (uint32_t i = 0; i < tx->ins; i++)
        if (block->in[tx->first_in + i].sequence != SEQUENCE_FINAL) return false;
    return true;
}

/* BIP 34: the scriptSig begins with the height as a script would push it. */
static bool begins_with_height(struct wire_view script, uint32_t height)
{
    uint8_t push[6] = {0};
    uint32_t bytes = 1;
    if (height >= 1 && height <= 16) {
        push[0] = (uint8_t)(0x50 + height);
    } else {
        for (uint32_t rest = height; rest; rest >>= 8) push[bytes++] = (uint8_t)rest;
        if (push[bytes - 1] & 0x80) bytes++; /* Or it would be negative. */
        push[0] = (uint8_t)(bytes - 1);
    }
    return script.bytes >= bytes && memcmp(script.data, push, bytes) == 0;
}

/* BIP 141: the last output that looks like one. NULL: none. */
static const uint8_t *find_commitment(const struct wire_block *block)
{
    static const uint8_t head[] = {0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed};
    const uint8_t *found = NULL;
    for (uint32_t i = 0; i < block->tx[0].outs; i++) {
        struct wire_view script = block->out[i].script;
        if (script.bytes >= COMMITMENT_BYTES_MIN && memcmp(script.data, head, sizeof head) == 0)
            found = script.data + sizeof head;
    }
    return found;
}

static const char *check_witness(const struct wire_block *block)
{
    const uint8_t *commitment = find_commitment(block);
    if (!commitment) {
        for (uint32_t i = 0; i < block->txs; i++)
            if (block->tx[i].has_witness) return "unexpected-witness";
        return NULL;
    }
    const struct wire_in *in = &block->in[0];
    if (in->witness_items != 1 || in->witness.bytes != 33) return "bad-witness-nonce-size";
    uint8_t pair[64], hash[32];
    bool mutated;
    if (!root_of(block, true, pair, &mutated)) return "out of memory";
    memcpy(pair + 32, in->witness.data + 1, 32);
    wire_hash(pair, sizeof pair, hash);
    return memcmp(hash, commitment, 32) == 0 ? NULL : "bad-witness-merkle-match";
}

const char *check_content(const struct wire_block *block, const struct check_context *context)
{
    for (uint32_t i = 0; i < block->txs; i++)
        if (!check_is_final(block, &block->tx[i], context)) return "bad-txns-nonfinal";
    if (!begins_with_height(block->in[0].script, context->height)) return "bad-cb-height";
    const char *reason = check_witness(block);
    if (reason) return reason;
    return wire_weight(block) > WEIGHT_MAX ? "bad-blk-weight" : NULL;
}

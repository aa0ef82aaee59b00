/* template.c: takes what waits, spends premined coins back to themselves for a fee, and writes the
 * JSON of BIP 22, 23 and 145.
 */
#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/target.h"

#define VERSION        0x20000000
#define SPEND_BYTES    160
#define FEE_SATS_FIRST 1000
#define FEE_SATS_STEP  250
#define COIN_SATS_MIN  100000 /* Below it fees would eat it. */

struct spend {
    uint8_t data[SPEND_BYTES], txid[32], wtxid[32];
    uint32_t bytes, stripped_bytes;
    int64_t fee_sats;
    int depends;      /* Index from 1 of the one whose output it spends; 0: none. */
    struct coin made; /* Its output. */
};

void template_hash_text(const uint8_t hash[32], char text[65])
{
    uint8_t reversed[32];
    for (int i = 0; i < 32; i++) reversed[i] = hash[31 - i];
    owm_hex_encode(reversed, 32, text);
}

void template_longpoll_id(const struct chain *chain, const struct mempool *pool,
                          char id[TEMPLATE_LONGPOLL_BYTES])
{
    template_hash_text(chain_tip(chain)->hash, id);
    snprintf(id + 64, TEMPLATE_LONGPOLL_BYTES - 64, "%u", pool ? mempool_changes(pool) : 0);
}

static void write_spend(struct owm_writer *w, const struct coin_key *key, const struct spend *spend,
                        bool witness)
{
    uint8_t script[34];
    uint32_t script_bytes = coin_script(spend->made.kind, script);
    owm_write_u32_le(w, 2);
    if (witness) owm_write_bytes(w, (const uint8_t[]){0, 1}, 2);
    owm_write_u8(w, 1);
    owm_write_bytes(w, key->txid, 32);
    owm_write_u32_le(w, key->index);
    owm_write_u8(w, 0);
    owm_write_u32_le(w, UINT32_MAX);
    owm_write_u8(w, 1);
    owm_write_u64_le(w, (uint64_t)spend->made.value_sats);
    owm_write_u8(w, (uint8_t)script_bytes);
    owm_write_bytes(w, script, script_bytes);
    if (witness) owm_write_bytes(w, (const uint8_t[]){1, 1, 0x51}, 3);
    owm_write_u32_le(w, 0);
    OWM_ASSERT(owm_writer_ok(w));
}

/* One coin to one of the other kind. */
static void make_spend(struct spend *spend, const struct coin_key *key, const struct coin *coin,
                       uint32_t index)
{
    uint8_t bare[SPEND_BYTES];
    struct owm_writer whole, stripped;
    spend->fee_sats = FEE_SATS_FIRST + FEE_SATS_STEP * (int64_t)index;
    spend->made.value_sats = coin->value_sats - spend->fee_sats;
    spend->made.kind = coin->kind == COIN_TRUE ? COIN_WITNESS_TRUE : COIN_TRUE;
    owm_writer_init(&whole, spend->data, sizeof spend->data);
    owm_writer_init(&stripped, bare, sizeof bare);
    write_spend(&whole, key, spend, coin->kind == COIN_WITNESS_TRUE);
    write_spend(&stripped, key, spend, false);
    spend->bytes = (uint32_t)whole.at;
    spend->stripped_bytes = (uint32_t)stripped.at;
    wire_hash(spend->data, spend->bytes, spend->wtxid);
    wire_hash(bare, spend->stripped_bytes, spend->txid);
}

static bool spendable(const struct coin *coin, uint32_t height)
{
    return coin->owner == COIN_TEMPLATES && coin->value_sats >= COIN_SATS_MIN
           && (!coin->coinbase || height - coin->height >= CHECK_COINBASE_MATURITY);
}

/* Returns how many. The last of three or more spends what the first made. */
static uint32_t make_spends(struct chain *chain, const struct mempool *pool, uint32_t wanted,
                            struct spend *spend)
{
    const uint32_t height = chain_tip(chain)->height + 1;
    struct coin_key key;
    struct coin coin;
    size_t at = 0;
    uint32_t count = 0;
    const uint32_t direct = wanted >= 3 ? wanted - 1 : wanted;
    while (count < direct && coins_next(chain_coins(chain), &at, &key, &coin))
        if (spendable(&coin, height) && !(pool && mempool_spender(pool, &key)))
            make_spend(&spend[count], &key, &coin, count), count++;
    if (wanted < 3 || count < direct) return count;
    struct coin_key made = {.index = 0};
    memcpy(made.txid, spend[0].txid, 32);
    make_spend(&spend[count], &made, &spend[0].made, count);
    spend[count].depends = 1;
    return count + 1;
}

/* The transactions of a template as they are gathered. */
struct gathered {
    json_t *list;
    uint8_t node[MEMPOOL_WAITING_MAX + TEMPLATE_SPENDS_MAX + 2]
                [32]; /* The first is the coinbase's. */
    uint32_t count;
    int64_t fees_sats;
};

static void add_spend(struct gathered *gathered, const struct spend *spend, uint32_t first)
{
    char hex[2 * SPEND_BYTES + 1], txid[65], wtxid[65];
    owm_hex_encode(spend->data, spend->bytes, hex);
    template_hash_text(spend->txid, txid);
    template_hash_text(spend->wtxid, wtxid);
    json_t *depends = json_array();
    if (spend->depends)
        json_array_append_new(depends, json_integer(first + (uint32_t)spend->depends));
    json_array_append_new(gathered->list,
                          json_pack("{s:s, s:s, s:s, s:o, s:I, s:i, s:i}", "data", hex, "txid",
                                    txid, "hash", wtxid, "depends", depends, "fee",
                                    (json_int_t)spend->fee_sats, "sigops", 0, "weight",
                                    (int)(3 * spend->stripped_bytes + spend->bytes)));
    memcpy(gathered->node[++gathered->count], spend->wtxid, 32);
    gathered->fees_sats += spend->fee_sats;
}

/* Which of the pool a transaction spends outputs of, counted from 1. */
static json_t *depends_json(const struct mempool_tx *const *waiting, uint32_t index)
{
    const struct wire_block *read = &waiting[index]->read;
    json_t *depends = json_array();
    for (uint32_t i = 0; i < index; i++) {
        bool parent = false;
        for (uint32_t k = 0; k < read->ins; k++)
            parent |= memcmp(read->in[k].txid, waiting[i]->read.tx[0].txid, 32) == 0;
        if (parent) json_array_append_new(depends, json_integer(i + 1));
    }
    return depends;
}

static void add_waiting(struct gathered *gathered, const struct mempool *pool)
{
    uint32_t count;
    const struct mempool_tx *const *waiting = mempool_waiting(pool, &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct wire_tx *tx = waiting[i]->read.tx;
        char txid[65], wtxid[65], *hex = malloc(2 * (size_t)tx->bytes + 1);
        if (!hex) continue; /* It stands in a later template. */
        owm_hex_encode(waiting[i]->data, tx->bytes, hex);
        template_hash_text(tx->txid, txid);
        template_hash_text(tx->wtxid, wtxid);
        json_array_append_new(gathered->list,
                              json_pack("{s:s, s:s, s:s, s:o, s:I, s:i, s:i}", "data", hex, "txid",
                                        txid, "hash", wtxid, "depends", depends_json(waiting, i),
                                        "fee", (json_int_t)waiting[i]->fee_sats, "sigops",
                                        (int)check_sigop_cost(&waiting[i]->read), "weight",
                                        (int)wire_tx_weight(tx)));
        free(hex);
        memcpy(gathered->node[++gathered->count], tx->wtxid, 32);
        gathered->fees_sats += waiting[i]->fee_sats;
    }
}

static void gather(struct gathered *gathered, struct chain *chain, const struct mempool *pool,
                   uint32_t spends_max)
{
    static struct spend spend[TEMPLATE_SPENDS_MAX];
    const uint32_t wanted = (chain_tip(chain)->height + 1) % (spends_max + 1);
    memset(gathered, 0, sizeof *gathered);
    memset(spend, 0, sizeof spend);
    gathered->list = json_array();
    if (pool) add_waiting(gathered, pool);
    const uint32_t first = gathered->count, count = make_spends(chain, pool, wanted, spend);
    for (uint32_t i = 0; i < count; i++) add_spend(gathered, &spend[i], first);
}

/* BIP 141's script over the transactions and a coinbase that counts as zero. */
static void commitment_hex(struct gathered *gathered, char hex[77])
{
    uint8_t pair[64] = {0}, hash[32];
    wire_tree(gathered->node, gathered->count + 1, pair);
    wire_hash(pair, sizeof pair, hash);
    memcpy(hex, "6a24aa21a9ed", 12);
    owm_hex_encode(hash, 32, hex + 12);
}

static void target_hex(uint32_t bits, char hex[65])
{
    uint8_t target[32];
    OWM_ASSERT(owm_target_from_compact(bits, target));
    template_hash_text(target, hex);
}

json_t *template_make(struct chain *chain, const struct mempool *pool, uint32_t spends_max,
                      uint32_t now_s)
{
    static struct gathered gathered;
    const struct chain_node *tip = chain_tip(chain);
    const uint32_t height = tip->height + 1, bits = chain_bits_at(chain, height);
    const uint32_t min_time_s = chain_median_time_s(tip) + 1;
    char previous[65], target[65], bits_text[9], script[77], longpoll[TEMPLATE_LONGPOLL_BYTES];
    OWM_ASSERT(spends_max <= TEMPLATE_SPENDS_MAX);
    gather(&gathered, chain, pool, spends_max);
    commitment_hex(&gathered, script);
    template_hash_text(tip->hash, previous);
    template_longpoll_id(chain, pool, longpoll);
    target_hex(bits, target);
    snprintf(bits_text, sizeof bits_text, "%08x", bits);
    return json_pack(
        "{s:[s], s:i, s:[s,s,s], s:{}, s:i, s:s, s:o, s:{}, s:I, s:s, s:s, s:I, s:[s,s,s],"
        " s:s, s:i, s:i, s:i, s:I, s:s, s:i, s:s}",
        "capabilities", "proposal", "version", VERSION, "rules", "csv", "!segwit", "taproot",
        "vbavailable", "vbrequired", 0, "previousblockhash", previous, "transactions",
        gathered.list, "coinbaseaux", "coinbasevalue",
        (json_int_t)(check_subsidy_sats(height) + gathered.fees_sats), "longpollid", longpoll,
        "target", target, "mintime", (json_int_t)min_time_s, "mutable", "time", "transactions",
        "prevblock", "noncerange", "00000000ffffffff", "sigoplimit", 80000, "sizelimit", 4000000,
        "weightlimit", 4000000, "curtime", (json_int_t)(now_s > min_time_s ? now_s : min_time_s),
        "bits", bits_text, "height", (int)height, "default_witness_commitment", script);
}

/* wire.c: reads header, count, transactions; hashes each of them both ways. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"

#define TX_BYTES_MIN  10
#define IN_BYTES_MIN  41
#define OUT_BYTES_MIN 9

void wire_hash(const void *data, size_t bytes, uint8_t hash[32])
{
    owm_sha256(data, bytes, hash);
    owm_sha256(hash, 32, hash);
}

static uint32_t read_count(struct owm_reader *r, size_t item_bytes_min)
{
    uint64_t count = owm_read_u8(r), shorter_max = 0;
    if (count >= 0xfd) {
        shorter_max = count == 0xfd ? 0xfc : count == 0xfe ? 0xffff : 0xffffffff;
        count = count == 0xfd   ? owm_read_u16_le(r)
                : count == 0xfe ? owm_read_u32_le(r)
                                : owm_read_u64_le(r);
        if (count <= shorter_max) r->failed = true;
    }
    if (count > owm_reader_left(r) / item_bytes_min) r->failed = true;
    return r->failed ? 0 : (uint32_t)count;
}

static struct wire_view read_view(struct owm_reader *r)
{
    uint32_t bytes = read_count(r, 1);
    return (struct wire_view){owm_read_view(r, bytes), bytes};
}

/* Room for `more` behind `count` items; doubling, so that it is cheap. */
static bool grow(void *list, uint32_t count, uint32_t more, size_t item_bytes)
{
    void **items = list;
    uint32_t had = count ? 1u << (32 - __builtin_clz(count)) : 0, need = count + more;
    if (need == 0 || (had > count && need < had)) return true;
    void *larger = realloc(*items, (size_t)(1u << (32 - __builtin_clz(need))) * item_bytes);
    if (larger) *items = larger;
    return larger != NULL;
}

static bool read_ins(struct owm_reader *r, struct wire_block *block, struct wire_tx *tx)
{
    tx->first_in = block->ins;
    tx->ins = read_count(r, IN_BYTES_MIN);
    if (!grow(&block->in, block->ins, tx->ins, sizeof *block->in)) return false;
    for (uint32_t i = 0; i < tx->ins; i++) {
        struct wire_in *in = &block->in[block->ins++];
        *in = (struct wire_in){.txid = owm_read_view(r, 32)};
        in->index = owm_read_u32_le(r);
        in->script = read_view(r);
        in->sequence = owm_read_u32_le(r);
    }
    return true;
}

static bool read_outs(struct owm_reader *r, struct wire_block *block, struct wire_tx *tx)
{
    tx->first_out = block->outs;
    tx->outs = read_count(r, OUT_BYTES_MIN);
    if (!grow(&block->out, block->outs, tx->outs, sizeof *block->out)) return false;
    for (uint32_t i = 0; i < tx->outs; i++) {
        struct wire_out *out = &block->out[block->outs++];
        out->value_sats = (int64_t)owm_read_u64_le(r);
        out->script = read_view(r);
    }
    return true;
}

static void read_witnesses(struct owm_reader *r, struct wire_block *block, struct wire_tx *tx)
{
    bool any = false;
    for (uint32_t i = 0; i < tx->ins && owm_reader_ok(r); i++) {
        struct wire_in *in = &block->in[tx->first_in + i];
        in->witness_items = read_count(r, 1);
        const size_t start = r->at;
        for (uint32_t k = 0; k < in->witness_items && owm_reader_ok(r); k++) (void)read_view(r);
        in->witness = (struct wire_view){r->data + start, (uint32_t)(r->at - start)};
        any |= in->witness_items > 0;
    }
    if (!any) r->failed = true; /* The longer form for nothing. */
}

static void hash_tx(struct wire_tx *tx, const uint8_t *data, size_t body_at, size_t body_end)
{
    struct owm_sha256_ctx ctx;
    wire_hash(data, tx->bytes, tx->wtxid);
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, data, 4);
    owm_sha256_update(&ctx, data + body_at, body_end - body_at);
    owm_sha256_update(&ctx, data + tx->bytes - 4, 4);
    owm_sha256_final(&ctx, tx->txid);
    owm_sha256(tx->txid, 32, tx->txid);
    tx->stripped_bytes = (uint32_t)(8 + body_end - body_at);
}

/* false: out of memory. Malformed is the reader's failure. */
static bool read_tx(struct owm_reader *r, struct wire_block *block, struct wire_tx *tx, bool bare)
{
    const size_t start = r->at;
    *tx = (struct wire_tx){.version = owm_read_u32_le(r)};
    if (!bare && owm_reader_left(r) > 1 && r->data[r->at] == 0 && r->data[r->at + 1] == 1) {
        tx->has_witness = true;
        (void)owm_read_u16_le(r);
    }
    const size_t body_at = r->at;
    if (!read_ins(r, block, tx) || !read_outs(r, block, tx)) return false;
    const size_t body_end = r->at;
    if (tx->has_witness) read_witnesses(r, block, tx);
    tx->lock_time = owm_read_u32_le(r);
    if (!owm_reader_ok(r)) return true;
    tx->bytes = (uint32_t)(r->at - start);
    hash_tx(tx, r->data + start, body_at - start, body_end - start);
    return true;
}

static void read_header(struct owm_reader *r, struct wire_block *block)
{
    block->header = r->data;
    block->version = owm_read_u32_le(r);
    block->previous = owm_read_view(r, 32);
    block->root = owm_read_view(r, 32);
    block->time_s = owm_read_u32_le(r);
    block->bits = owm_read_u32_le(r);
    block->nonce = owm_read_u32_le(r);
}

owm_status wire_block_read(struct wire_block *block, const uint8_t *data, size_t bytes)
{
    struct owm_reader r;
    owm_status status = OWM_OK;
    *block = (struct wire_block){.bytes = (uint32_t)bytes};
    if (bytes > WIRE_BLOCK_BYTES_MAX) return OWM_E_PROTO;
    owm_reader_init(&r, data, bytes);
    read_header(&r, block);
    uint32_t txs = read_count(&r, TX_BYTES_MIN);
    if (!owm_reader_ok(&r)) return OWM_E_PROTO;
    wire_hash(data, WIRE_HEADER_BYTES, block->hash);
    block->tx = calloc(txs ? txs : 1, sizeof *block->tx);
    if (!block->tx) return OWM_E_NOMEM;
    for (; status == OWM_OK && owm_reader_ok(&r) && block->txs < txs; block->txs++)
        if (!read_tx(&r, block, &block->tx[block->txs], false)) status = OWM_E_NOMEM;
    if (status == OWM_OK && !owm_reader_done(&r)) status = OWM_E_PROTO;
    if (status != OWM_OK) wire_block_free(block);
    return status;
}

owm_status wire_tx_read(struct wire_block *block, const uint8_t *data, size_t bytes, bool bare)
{
    struct owm_reader r;
    *block = (struct wire_block){.bytes = (uint32_t)bytes, .txs = 1};
    if (bytes > WIRE_BLOCK_BYTES_MAX) return OWM_E_PROTO;
    block->tx = calloc(1, sizeof *block->tx);
    if (!block->tx) return OWM_E_NOMEM;
    owm_reader_init(&r, data, bytes);
    owm_status status = read_tx(&r, block, block->tx, bare) ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK && !owm_reader_done(&r)) status = OWM_E_PROTO;
    if (status != OWM_OK) wire_block_free(block);
    return status;
}

void wire_block_free(struct wire_block *block)
{
    free(block->tx);
    free(block->in);
    free(block->out);
    *block = (struct wire_block){0};
}

bool wire_tree(uint8_t (*node)[32], uint32_t count, uint8_t root[32])
{
    bool mutated = false;
    for (; count > 1; count = (count + 1) / 2) {
        for (uint32_t i = 0; i + 1 < count; i += 2)
            mutated |= memcmp(node[i], node[i + 1], 32) == 0;
        if (count % 2) memcpy(node[count], node[count - 1], 32);
        for (uint32_t i = 0; i < (count + 1) / 2; i++) wire_hash(node[2 * i], 64, node[i]);
    }
    memcpy(root, node[0], 32);
    return mutated;
}

uint64_t wire_tx_weight(const struct wire_tx *tx)
{
    return 3 * (uint64_t)tx->stripped_bytes + tx->bytes;
}

uint64_t wire_tx_vbytes(const struct wire_tx *tx)
{
    return (wire_tx_weight(tx) + 3) / 4;
}

uint64_t wire_weight(const struct wire_block *block)
{
    const uint64_t count_bytes = block->txs < 0xfd ? 1 : block->txs <= 0xffff ? 3 : 5;
    uint64_t weight = 4 * (WIRE_HEADER_BYTES + count_bytes);
    for (uint32_t i = 0; i < block->txs; i++) weight += wire_tx_weight(&block->tx[i]);
    return weight;
}

/* wire.h: a serialised block taken apart, as Bitcoin's nodes do. Written for this program alone,
 * from the formats (BIP 144), and not shared with what builds blocks: it is here to find that one's
 * errors.
 */
#ifndef OWM_DEVNET_BLOCKS_WIRE_H
#define OWM_DEVNET_BLOCKS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define WIRE_BLOCK_BYTES_MAX 4000000
#define WIRE_HEADER_BYTES    80

struct wire_view {
    const uint8_t *data;
    uint32_t bytes;
};

struct wire_in {
    const uint8_t *txid; /* [32] Of what it spends. */
    uint32_t index, sequence;
    struct wire_view script;
    uint32_t witness_items;
    struct wire_view witness; /* Its items, each with its length in front. */
};

struct wire_out {
    int64_t value_sats;
    struct wire_view script;
};

struct wire_tx {
    uint32_t version, lock_time;
    uint32_t first_in, ins, first_out, outs; /* Into the block's lists. */
    uint32_t bytes, stripped_bytes;
    bool has_witness;
    uint8_t txid[32], wtxid[32];
};

/** wire_block: views point into the bytes it was read from. */
struct wire_block {
    const uint8_t *header; /* [80] */
    uint32_t version, time_s, bits, nonce;
    const uint8_t *previous, *root; /* [32] */
    uint8_t hash[32];
    uint32_t bytes, txs, ins, outs;
    struct wire_tx *tx;
    struct wire_in *in;
    struct wire_out *out;
};

/** wire_block_read: Returns: OWM_OK; OWM_E_PROTO cut off, too long, or a count not in its shortest
 *  form; OWM_E_NOMEM. On failure nothing is to be freed. */
OWM_MUST_USE owm_status wire_block_read(struct wire_block *block, const uint8_t *data,
                                        size_t bytes);
void wire_block_free(struct wire_block *block);

/** wire_tx_read: one transaction as block->tx[0], without a header; wire_block_free frees it.
 *  bare  In the form without witnesses, also where it begins like the other one: a transaction that
 *        has no inputs yet does.
 *  Returns: as wire_block_read. */
OWM_MUST_USE owm_status wire_tx_read(struct wire_block *block, const uint8_t *data, size_t bytes,
                                     bool bare);

/** wire_tx_weight: BIP 141. wire_tx_vbytes: a quarter of it, upwards. */
uint64_t wire_tx_weight(const struct wire_tx *tx);
uint64_t wire_tx_vbytes(const struct wire_tx *tx);

/** wire_hash: SHA-256d. */
void wire_hash(const void *data, size_t bytes, uint8_t hash[32]);

/** wire_tree: the merkle root over node [count + 1][32], the last being room; all are overwritten.
 *  Returns: true if two neighbours were the same, which would give one root to two different lists
 *  (CVE-2012-2459). */
bool wire_tree(uint8_t (*node)[32], uint32_t count, uint8_t root[32]);

/** wire_weight: of the whole block (BIP 141). */
uint64_t wire_weight(const struct wire_block *block);

#endif

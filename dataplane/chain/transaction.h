/* transaction.h: what one must know of a transaction that others made: its two hashes, its weight
 * (BIP 141, BIP 144), what it spends, and its bytes without the witness.
 */
#ifndef OWM_CHAIN_TRANSACTION_H
#define OWM_CHAIN_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct owm_transaction {
    uint8_t txid[32];  /* Hash without the witness: in the merkle tree. */
    uint8_t wtxid[32]; /* Hash of all bytes: in the witness tree. */
    uint32_t weight;   /* 3 times the bytes without the witness, and all bytes. */
    bool has_witness;
    uint32_t inputs;
    uint32_t stripped_bytes; /* Without the witness. */
};

/** owm_transaction_read: one transaction, exactly `bytes` long, of either serialisation.
 *  Refused as Bitcoin Core refuses them: lengths beyond the end, counts not in their shortest form,
 *  no inputs, no outputs, an unknown flag, a witness with nothing in it, bytes behind the end.
 *  Thread: any. Returns: OWM_OK; OWM_E_PROTO with a sentence. */
OWM_MUST_USE owm_status owm_transaction_read(const uint8_t *data, size_t bytes,
                                             struct owm_transaction *transaction,
                                             struct owm_error *error);

#define OWM_OUTPOINT_BYTES                                                                         \
    36 /* The txid of what is spent, and which output of it, low byte first. */

/** owm_transaction_strip: the bytes whose hash is the txid. data was read; stripped
 *  [transaction->stripped_bytes] written. Thread: any. */
void owm_transaction_strip(const uint8_t *data, const struct owm_transaction *transaction,
                           uint8_t *stripped);

/** owm_transaction_outpoint: what an input spends; index below transaction->inputs.
 *  stripped  as owm_transaction_strip wrote it. Returns: a view into it. Thread: any. */
const uint8_t *owm_transaction_outpoint(const uint8_t *stripped, size_t bytes, uint32_t index);

#endif

/* transaction.h: what a pool must know of a transaction that others made: its two hashes and its
 * weight (BIP 141, BIP 144).
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
};

/** owm_transaction_read: one transaction, exactly `bytes` long, of either serialisation.
 *  Refused as Bitcoin Core refuses them: lengths beyond the end, counts not in their shortest form,
 *  no inputs, no outputs, an unknown flag, a witness with nothing in it, bytes behind the end.
 *  Thread: any. Returns: OWM_OK; OWM_E_PROTO with a sentence. */
OWM_MUST_USE owm_status owm_transaction_read(const uint8_t *data, size_t bytes,
                                             struct owm_transaction *transaction,
                                             struct owm_error *error);

#endif

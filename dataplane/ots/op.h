/* op.h: what an OpenTimestamps proof does to a message on its way to a block: append, hash, ….
 *
 * Tags and limits are those of the reference implementation (python-opentimestamps). Thread: any.
 */
#ifndef OWM_OTS_OP_H
#define OWM_OTS_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_OTS_MESSAGE_BYTES_MAX 4096 /* Of every message, so of every result and argument too. */
#define OWM_OTS_HEXLIFY_BYTES_MAX (OWM_OTS_MESSAGE_BYTES_MAX / 2)

enum owm_ots_tag {
    OWM_OTS_SHA1 = 0x02,
    OWM_OTS_RIPEMD160 = 0x03,
    OWM_OTS_SHA256 = 0x08,
    OWM_OTS_KECCAK256 = 0x67, /* Keccak as submitted, with its first padding; not FIPS 202. */
    OWM_OTS_APPEND = 0xf0,
    OWM_OTS_PREPEND = 0xf1,
    OWM_OTS_REVERSE = 0xf2, /* Deprecated; old proofs hold it. */
    OWM_OTS_HEXLIFY = 0xf3,
};

/** owm_ots_bytes: borrowed bytes. */
struct owm_ots_bytes {
    const uint8_t *data;
    uint32_t bytes;
};

/** owm_ots_op: one step. The argument is of append and prepend alone, else empty. */
struct owm_ots_op {
    uint8_t tag;
    struct owm_ots_bytes argument;
};

/** owm_ots_op_name: static; NULL for a tag that is no op. */
const char *owm_ots_op_name(uint8_t tag);

/** owm_ots_op_binary: whether it takes an argument. */
bool owm_ots_op_binary(uint8_t tag);

/** owm_ots_digest_bytes: of a hash; 0 for every other tag. */
uint32_t owm_ots_digest_bytes(uint8_t tag);

/** owm_ots_op_apply: result [OWM_OTS_MESSAGE_BYTES_MAX] written, *bytes of it.
 *  Returns: OWM_OK; OWM_E_PROTO with a sentence: an unknown tag, an argument that is empty, too
 *  long or of an op that takes none, a message or result too long, a message that is empty where
 *  the op (reverse, hexlify) needs one.
 */
OWM_MUST_USE owm_status owm_ots_op_apply(const struct owm_ots_op *op, struct owm_ots_bytes message,
                                         uint8_t *result, uint32_t *bytes, struct owm_error *error);

#endif

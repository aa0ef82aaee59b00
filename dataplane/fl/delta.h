/* delta.h: the delta package, the one thing a node sends in a round (SRS-MODEL 4.2.3 steps 4-6).
 *
 *   header 120 bytes | signature 64 | root 32 | directory, 36 bytes per block | blocks
 *
 * A block is 65,536 coordinates: index code (gaps or bitmap) and quantised values, each through
 * zstd where that is smaller. The directory has each block's size and SHA-256; the root is the top
 * of the hash tree over them; the signature covers header and root. So who has the first kilobytes
 * can check the signature, and then every block as it arrives. docs/fl-protocol.md has the layout.
 *
 * Indices that are unsorted or double cannot be written in this format; the encoder refuses them.
 * All functions are pure (memory only, no clock, no file) and may run in several threads at once.
 */
#ifndef OWM_FL_DELTA_H
#define OWM_FL_DELTA_H

#include <stddef.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/status.h"
#include "kernels/sparse.h"

#define OWM_DELTA_VERSION        2
#define OWM_DELTA_BLOCK          65536u
#define OWM_DELTA_HEADER_BYTES   120
#define OWM_DELTA_PARAMETERS_MAX 2000000000u
#define OWM_DELTA_CONTEXT        "owm/delta/1"

/** Why a package was refused: one name and one sentence each. */
#define OWM_DELTA_REASON_MAP(X)                                                                    \
    X(NONE, "accepted")                                                                            \
    X(TRUNCATED, "the package ends too early")                                                     \
    X(TRAILING, "there are bytes after the last block")                                            \
    X(TOO_LARGE, "the package is larger than the limit for this model")                            \
    X(MAGIC, "this is not a delta package")                                                        \
    X(WRONG_VERSION, "the package version is not supported; update owm-node")                      \
    X(VALUE_TYPE, "the value type is unknown")                                                     \
    X(RESERVED, "a reserved field is not zero")                                                    \
    X(BLOCK_SIZE, "the block size is not 65536 coordinates")                                       \
    X(PARAMETER_COUNT, "the parameter count is not that of the model")                             \
    X(K_ZERO, "the package declares no values")                                                    \
    X(K_TOO_LARGE, "the package declares more values than the round allows")                       \
    X(BLOCK_COUNT, "the number of blocks does not fit the parameter count")                        \
    X(WRONG_ROUND, "the package is for another round")                                             \
    X(WRONG_BASE, "the package is for another base model")                                         \
    X(WRONG_NODE, "the package names another node than the sender")                                \
    X(SIGNATURE, "the signature is not the node's")                                                \
    X(ROOT, "the hash tree root does not match the directory")                                     \
    X(BLOCK_HASH, "a block's hash does not match the directory")                                   \
    X(BLOCK_FORMAT, "a block's fields contradict each other")                                      \
    X(BLOCK_COMPRESSION, "a block does not decompress to its declared size")                       \
    X(INDEX_RANGE, "an index is outside its block")                                                \
    X(INDEX_CODE, "a block's index code does not hold as many indices as declared")                \
    X(COUNT_MISMATCH, "the blocks do not hold as many values as the header declares")              \
    X(SCALE, "a scale or value is NaN, infinite or denormal")                                      \
    X(SPAN, "the scales lie too far apart")

enum owm_delta_reason {
#define X(name, text) OWM_DELTA_##name,
    OWM_DELTA_REASON_MAP(X)
#undef X
        OWM_DELTA_REASONS
};

enum owm_delta_values {
    OWM_DELTA_INT8 = 0,
    OWM_DELTA_BF16 = 1,
};

struct owm_delta_header {
    uint64_t round;
    uint8_t base_sha256[32];
    uint8_t node_key[32]; /* Ed25519 public key */
    uint8_t nonce[16];    /* of the task that asked for it; any other is refused (replay) */
    uint32_t parameter_count;
    uint32_t k;      /* values in the package; set by the encoder */
    uint32_t tokens; /* trained on in this round, as the node says; informative only */
    enum owm_delta_values values;
};

/** owm_delta_expect: what the coordinator asked for. */
struct owm_delta_expect {
    uint64_t round;
    uint8_t base_sha256[32];
    uint8_t node_key[32]; /* the registered key of the sender */
    uint32_t parameter_count;
    uint32_t k_max; /* also bounds the decoder's memory: 8 bytes per value */
};

/** owm_delta: a decoded package. Owns index and value; free with owm_delta_free. */
struct owm_delta {
    struct owm_delta_header header;
    uint8_t sha256[32]; /* of the whole package: its identity in receipts and certificates */
    struct owm_sparse sparse;
    uint32_t *index; /* [k] ascending */
    float *value;    /* [k] */
};

/** owm_delta_reason_text: the static sentence; never NULL. */
const char *owm_delta_reason_text(enum owm_delta_reason reason);

/** owm_delta_reason_name: the static short name, such as "WRONG_BASE", for metrics and logs. */
const char *owm_delta_reason_name(enum owm_delta_reason reason);

/** owm_delta_bytes_max: upper bound of a package with k values of n coordinates, before
 * compression. */
size_t owm_delta_bytes_max(uint32_t n, uint32_t k, enum owm_delta_values values);

/** owm_delta_encode: write an unsigned package (the signature is 64 zeros).
 *
 *  header  what to declare; its k is ignored, the sparse vector's count is written.
 *  sparse  values as the quantise ops left them (representable in header->values).
 *  out     [capacity] written; capacity of owm_delta_bytes_max always suffices.
 *  bytes   written: the package's size.
 *  Returns: OWM_OK; OWM_E_ARG if indices are unsorted, double or out of range, if a value is not
 *           representable, or count is 0; OWM_E_LIMIT if capacity is too small; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_delta_encode(const struct owm_delta_header *header,
                                         const struct owm_sparse *sparse, uint8_t *out,
                                         size_t capacity, size_t *bytes);

/** owm_delta_sign: put the signature into an encoded package, with the context "owm/delta/1", over
 *  header (round, base, node, nonce, n, k, type) and root.
 *  Returns: OWM_OK; OWM_E_PROTO if these bytes are no package; OWM_E_ARG if its node key is not
 * that of the identity. */
OWM_MUST_USE owm_status owm_delta_sign(uint8_t *package, size_t bytes,
                                       const owm_identity *identity);

/** owm_delta_peek: header alone, checked for form only (no signature, no blocks).
 *  Returns: OWM_OK; OWM_E_PROTO with the reason. */
OWM_MUST_USE owm_status owm_delta_peek(const uint8_t *package, size_t bytes,
                                       struct owm_delta_header *header,
                                       enum owm_delta_reason *reason);

/** owm_delta_decode: check everything and decode. Safe for hostile bytes.
 *
 *  delta   written on OWM_OK only.
 *  reason  written always; OWM_DELTA_NONE on OWM_OK.
 *  Returns: OWM_OK; OWM_E_PROTO or (signature) OWM_E_CRYPTO with the reason and, in `error`, the
 *           sentence; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_delta_decode(const uint8_t *package, size_t bytes,
                                         const struct owm_delta_expect *expect,
                                         struct owm_delta *delta, enum owm_delta_reason *reason,
                                         struct owm_error *error);

void owm_delta_free(struct owm_delta *delta);

#endif

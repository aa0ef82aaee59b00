/* fuzz_delta.c: the delta package decoder on hostile bytes, with and without a valid seal.
 *
 * Fuzzers do not forge signatures, so the input is also taken as the content of one block that a
 * node with a key has hashed and signed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/identity.h"
#include "dataplane/fl/delta.h"
#include "dataplane/fl/delta_format.h"
#include "dataplane/fl/receipt.h"

#define N 60000u

static void decode(const uint8_t *bytes, size_t count, const struct owm_delta_expect *expect)
{
    struct owm_delta delta;
    enum owm_delta_reason reason;
    struct owm_error error;
    if (owm_delta_decode(bytes, count, expect, &delta, &reason, &error) != OWM_OK) return;
    for (uint32_t i = 0; i < delta.sparse.count; i++)
        if (delta.index[i] >= N || (i > 0 && delta.index[i] <= delta.index[i - 1])) abort();
    owm_delta_free(&delta);
}

/* First byte: value type; next two: declared values. The rest is the block. */
static void decode_sealed(const uint8_t *data, size_t size, const owm_identity *node,
                          struct owm_delta_expect *expect)
{
    if (size < 3 || size - 3 > BLOCK_BYTES_MAX) return;
    struct owm_delta_header header = {.parameter_count = N, .values = data[0] & 1};
    uint32_t k = (uint32_t)data[1] | (uint32_t)data[2] << 8, block = (uint32_t)(size - 3);
    struct owm_sparse one = {1, 0, (uint32_t[]){0}, (float[]){1}};
    size_t capacity = owm_delta_bytes_max(N, N, header.values) + BLOCK_BYTES_MAX, bytes;
    uint8_t *package = malloc(capacity), message[SIGNED_BYTES];
    memcpy(header.node_key, owm_identity_public_key(node), 32);
    if (!package || owm_delta_encode(&header, &one, package, capacity, &bytes) != OWM_OK) abort();
    memcpy(package + 108, &k, 4);
    memcpy(package + DIRECTORY_AT, &block, 4);
    memcpy(package + DIRECTORY_AT + ENTRY_BYTES, data + 3, block);
    owm_sha256(data + 3, block, package + DIRECTORY_AT + 4);
    delta_root(package + DIRECTORY_AT, 1, package + ROOT_AT);
    delta_signed_bytes(package, message);
    owm_identity_sign(node, OWM_DELTA_CONTEXT, message, sizeof message, package + SIGNATURE_AT);
    decode(package, DIRECTORY_AT + ENTRY_BYTES + block, expect);
    free(package);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static owm_identity *node;
    struct owm_delta_expect expect = {.parameter_count = N, .k_max = N};
    struct owm_receipt receipt;
    if (!node && owm_identity_from_seed((uint8_t[32]){1}, &node) != OWM_OK) abort();
    memcpy(expect.node_key, owm_identity_public_key(node), 32);
    decode(data, size, &expect);
    decode_sealed(data, size, node, &expect);
    (void)!owm_receipt_read(data, size, expect.node_key, &receipt, NULL);
    return 0;
}

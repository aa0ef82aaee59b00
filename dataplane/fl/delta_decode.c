/* delta_decode.c: check a delta package from anybody and decode it. Each check has its reason. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "delta_format.h"

static const char *const reason_texts[] = {
#define X(name, text) [OWM_DELTA_##name] = (text),
    OWM_DELTA_REASON_MAP(X)
#undef X
};

static const char *const reason_names[] = {
#define X(name, text) [OWM_DELTA_##name] = #name,
    OWM_DELTA_REASON_MAP(X)
#undef X
};

const char *owm_delta_reason_text(enum owm_delta_reason reason)
{
    return (unsigned)reason < OWM_DELTA_REASONS ? reason_texts[reason] : "unknown reason";
}

const char *owm_delta_reason_name(enum owm_delta_reason reason)
{
    return (unsigned)reason < OWM_DELTA_REASONS ? reason_names[reason] : "UNKNOWN";
}

static enum owm_delta_reason read_header(const uint8_t *package, size_t bytes,
                                         struct owm_delta_header *header)
{
    struct owm_reader r;
    owm_reader_init(&r, package, bytes);
    const uint8_t *magic = owm_read_view(&r, sizeof delta_magic);
    if (magic && memcmp(magic, delta_magic, sizeof delta_magic) != 0) return OWM_DELTA_MAGIC;
    uint16_t version = owm_read_u16_le(&r);
    if (owm_reader_ok(&r) && version != OWM_DELTA_VERSION) return OWM_DELTA_WRONG_VERSION;
    uint8_t values = owm_read_u8(&r), reserved = owm_read_u8(&r);
    uint32_t block = owm_read_u32_le(&r);
    header->round = owm_read_u64_le(&r);
    owm_read_bytes(&r, header->base_sha256, 32);
    owm_read_bytes(&r, header->node_key, 32);
    owm_read_bytes(&r, header->nonce, 16);
    header->parameter_count = owm_read_u32_le(&r);
    header->k = owm_read_u32_le(&r);
    uint32_t blocks = owm_read_u32_le(&r);
    header->tokens = owm_read_u32_le(&r);
    if (!owm_reader_ok(&r) || bytes < DIRECTORY_AT) return OWM_DELTA_TRUNCATED;
    if (values > OWM_DELTA_BF16) return OWM_DELTA_VALUE_TYPE;
    header->values = (enum owm_delta_values)values;
    if (reserved != 0) return OWM_DELTA_RESERVED;
    if (block != OWM_DELTA_BLOCK) return OWM_DELTA_BLOCK_SIZE;
    if (header->parameter_count == 0 || header->parameter_count > OWM_DELTA_PARAMETERS_MAX)
        return OWM_DELTA_PARAMETER_COUNT;
    if (header->k == 0) return OWM_DELTA_K_ZERO;
    if (header->k > header->parameter_count) return OWM_DELTA_K_TOO_LARGE;
    if (blocks != delta_blocks(header->parameter_count)) return OWM_DELTA_BLOCK_COUNT;
    return OWM_DELTA_NONE;
}

owm_status owm_delta_peek(const uint8_t *package, size_t bytes, struct owm_delta_header *header,
                          enum owm_delta_reason *reason)
{
    *reason = read_header(package, bytes, header);
    return *reason == OWM_DELTA_NONE ? OWM_OK : OWM_E_PROTO;
}

static enum owm_delta_reason check_expected(const struct owm_delta_header *header, size_t bytes,
                                            const struct owm_delta_expect *expect)
{
    if (header->round != expect->round) return OWM_DELTA_WRONG_ROUND;
    if (memcmp(header->base_sha256, expect->base_sha256, 32) != 0) return OWM_DELTA_WRONG_BASE;
    if (memcmp(header->node_key, expect->node_key, 32) != 0) return OWM_DELTA_WRONG_NODE;
    if (header->parameter_count != expect->parameter_count) return OWM_DELTA_PARAMETER_COUNT;
    if (header->k > expect->k_max) return OWM_DELTA_K_TOO_LARGE;
    if (bytes > owm_delta_bytes_max(header->parameter_count, header->k, header->values))
        return OWM_DELTA_TOO_LARGE;
    return OWM_DELTA_NONE;
}

static uint32_t stored_bytes(const uint8_t *directory, uint32_t block)
{
    struct owm_reader r;
    owm_reader_init(&r, directory + (size_t)block * ENTRY_BYTES, ENTRY_BYTES);
    return owm_read_u32_le(&r);
}

static enum owm_delta_reason check_sizes(const uint8_t *package, size_t bytes, uint32_t blocks)
{
    uint64_t end = DIRECTORY_AT + (uint64_t)blocks * ENTRY_BYTES;
    if (bytes < end) return OWM_DELTA_TRUNCATED;
    for (uint32_t b = 0; b < blocks; b++) end += stored_bytes(package + DIRECTORY_AT, b);
    if (bytes < end) return OWM_DELTA_TRUNCATED;
    return bytes > end ? OWM_DELTA_TRAILING : OWM_DELTA_NONE;
}

static enum owm_delta_reason check_signature(const uint8_t *package,
                                             const struct owm_delta_header *header, uint32_t blocks)
{
    uint8_t root[32], message[SIGNED_BYTES];
    delta_root(package + DIRECTORY_AT, blocks, root);
    if (memcmp(root, package + ROOT_AT, 32) != 0) return OWM_DELTA_ROOT;
    delta_signed_bytes(package, message);
    if (owm_verify(header->node_key, OWM_DELTA_CONTEXT, message, sizeof message,
                   package + SIGNATURE_AT)
        != OWM_OK)
        return OWM_DELTA_SIGNATURE;
    return OWM_DELTA_NONE;
}

/* All values must be integers of at most 40 bits times one power of two: see sparse.h. */
static enum owm_delta_reason check_span(struct owm_delta *delta, int lowest_exponent)
{
    float largest = 0;
    for (uint32_t i = 0; i < delta->sparse.count; i++)
        largest = fmaxf(largest, fabsf(delta->value[i]));
    if (largest > ldexpf(127, OWM_QUANT_EXPONENT_MAX)) return OWM_DELTA_SCALE;
    delta->sparse.exponent = owm_quant_floor(largest);
    return lowest_exponent >= delta->sparse.exponent ? OWM_DELTA_NONE : OWM_DELTA_SPAN;
}

static enum owm_delta_reason decode_blocks(const uint8_t *package, struct delta_scratch *scratch,
                                           struct owm_delta *delta)
{
    const struct owm_delta_header *header = &delta->header;
    uint32_t blocks = delta_blocks(header->parameter_count), count = 0;
    const uint8_t *directory = package + DIRECTORY_AT;
    const uint8_t *block = directory + (size_t)blocks * ENTRY_BYTES;
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t bytes = stored_bytes(directory, b), found = 0;
        uint8_t hash[32];
        owm_sha256(block, bytes, hash);
        if (memcmp(hash, directory + (size_t)b * ENTRY_BYTES + 4, 32) != 0)
            return OWM_DELTA_BLOCK_HASH;
        if (bytes > 0) {
            enum owm_delta_reason reason = delta_block_decode(
                scratch, block, bytes, header->values, b * OWM_DELTA_BLOCK,
                delta_block_coordinates(header->parameter_count, b), header->k - count,
                delta->index + count, delta->value + count, &found);
            if (reason != OWM_DELTA_NONE) return reason;
        }
        count += found;
        block += bytes;
    }
    if (count != header->k) return OWM_DELTA_COUNT_MISMATCH;
    delta->sparse = (struct owm_sparse){count, 0, delta->index, delta->value};
    return check_span(delta, scratch->lowest_exponent);
}

static owm_status decode_body(const uint8_t *package, size_t bytes, struct owm_delta *delta,
                              enum owm_delta_reason *reason)
{
    struct delta_scratch *scratch = malloc(sizeof *scratch);
    if (!scratch) return OWM_E_NOMEM;
    scratch->lowest_exponent = OWM_QUANT_EXPONENT_MAX;
    scratch->decompress = ZSTD_createDCtx();
    delta->index = malloc(delta->header.k * sizeof *delta->index);
    delta->value = malloc(delta->header.k * sizeof *delta->value);
    owm_status status = OWM_E_NOMEM;
    if (scratch->decompress && delta->index && delta->value) {
        *reason = decode_blocks(package, scratch, delta);
        status = *reason == OWM_DELTA_NONE ? OWM_OK : OWM_E_PROTO;
    }
    ZSTD_freeDCtx(scratch->decompress);
    free(scratch);
    if (status == OWM_OK)
        owm_sha256(package, bytes, delta->sha256);
    else
        owm_delta_free(delta);
    return status;
}

owm_status owm_delta_decode(const uint8_t *package, size_t bytes,
                            const struct owm_delta_expect *expect, struct owm_delta *delta,
                            enum owm_delta_reason *reason, struct owm_error *error)
{
    struct owm_delta decoded = {0};
    owm_status status = OWM_OK;
    *reason = read_header(package, bytes, &decoded.header);
    uint32_t blocks = delta_blocks(decoded.header.parameter_count);
    if (*reason == OWM_DELTA_NONE) *reason = check_expected(&decoded.header, bytes, expect);
    if (*reason == OWM_DELTA_NONE) *reason = check_sizes(package, bytes, blocks);
    if (*reason == OWM_DELTA_NONE) *reason = check_signature(package, &decoded.header, blocks);
    if (*reason == OWM_DELTA_NONE) status = decode_body(package, bytes, &decoded, reason);
    if (*reason != OWM_DELTA_NONE) {
        status = *reason == OWM_DELTA_SIGNATURE ? OWM_E_CRYPTO : OWM_E_PROTO;
        return owm_fail(error, status, "delta package refused (%s): %s",
                        owm_delta_reason_name(*reason), owm_delta_reason_text(*reason));
    }
    if (status != OWM_OK)
        return owm_fail(error, status, "no memory for a delta package of %u values",
                        decoded.header.k);
    *delta = decoded;
    return OWM_OK;
}

void owm_delta_free(struct owm_delta *delta)
{
    free(delta->index);
    free(delta->value);
    delta->index = NULL;
    delta->value = NULL;
}

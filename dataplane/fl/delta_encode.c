/* delta_encode.c: write and sign a delta package. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "delta_format.h"

size_t owm_delta_bytes_max(uint32_t n, uint32_t k, enum owm_delta_values values)
{
    /* Raw sizes: a block is never stored larger. Escapes: one per 255 coordinates at most. */
    size_t blocks = delta_blocks(n);
    size_t escapes = n / GAP_ESCAPE + blocks;
    size_t value_bytes =
        values == OWM_DELTA_INT8 ? k + blocks * delta_groups(OWM_DELTA_BLOCK) : 2 * (size_t)k;
    return DIRECTORY_AT + blocks * (ENTRY_BYTES + BLOCK_HEAD) + k + escapes + value_bytes;
}

static owm_status check_sparse(const struct owm_delta_header *header,
                               const struct owm_sparse *sparse, float *largest)
{
    if (header->parameter_count == 0 || header->parameter_count > OWM_DELTA_PARAMETERS_MAX
        || header->values > OWM_DELTA_BF16)
        return OWM_E_ARG;
    if (sparse->count == 0 || sparse->count > header->parameter_count) return OWM_E_ARG;
    *largest = 0;
    for (uint32_t i = 0; i < sparse->count; i++) {
        if (sparse->index[i] >= header->parameter_count) return OWM_E_ARG;
        if (i > 0 && sparse->index[i] <= sparse->index[i - 1]) return OWM_E_ARG;
        if (!isfinite(sparse->value[i])) return OWM_E_ARG;
        *largest = fmaxf(*largest, fabsf(sparse->value[i]));
    }
    return OWM_OK;
}

static void write_header(const struct owm_delta_header *header, uint32_t k, uint8_t *out)
{
    struct owm_writer w;
    owm_writer_init(&w, out, OWM_DELTA_HEADER_BYTES);
    owm_write_bytes(&w, delta_magic, sizeof delta_magic);
    owm_write_u16_le(&w, OWM_DELTA_VERSION);
    owm_write_u8(&w, (uint8_t)header->values);
    owm_write_u8(&w, 0);
    owm_write_u32_le(&w, OWM_DELTA_BLOCK);
    owm_write_u64_le(&w, header->round);
    owm_write_bytes(&w, header->base_sha256, 32);
    owm_write_bytes(&w, header->node_key, 32);
    owm_write_bytes(&w, header->nonce, 16);
    owm_write_u32_le(&w, header->parameter_count);
    owm_write_u32_le(&w, k);
    owm_write_u32_le(&w, delta_blocks(header->parameter_count));
    owm_write_u32_le(&w, header->tokens);
    OWM_ASSERT(owm_writer_ok(&w) && w.at == OWM_DELTA_HEADER_BYTES);
}

static void write_entry(uint8_t *out, const uint8_t *block, uint32_t bytes)
{
    struct owm_writer w;
    owm_writer_init(&w, out, ENTRY_BYTES);
    owm_write_u32_le(&w, bytes);
    owm_sha256(block, bytes, out + 4);
}

static owm_status write_blocks(const struct owm_delta_header *header,
                               const struct owm_sparse *sparse, int floor_exponent,
                               struct delta_scratch *scratch, uint8_t *out, size_t *bytes)
{
    uint32_t blocks = delta_blocks(header->parameter_count), at = 0;
    uint8_t *directory = out + DIRECTORY_AT;
    size_t end = DIRECTORY_AT + (size_t)blocks * ENTRY_BYTES;
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t next = delta_block_end(sparse, at, b), block_bytes = 0;
        struct owm_sparse part = {next - at, 0, sparse->index + at, sparse->value + at};
        if (part.count > 0) {
            owm_status status =
                delta_block_encode(scratch, &part, b * OWM_DELTA_BLOCK,
                                   delta_block_coordinates(header->parameter_count, b),
                                   header->values, floor_exponent, out + end, &block_bytes);
            if (status != OWM_OK) return status;
        }
        write_entry(directory + (size_t)b * ENTRY_BYTES, out + end, block_bytes);
        end += block_bytes;
        at = next;
    }
    delta_root(directory, blocks, out + ROOT_AT);
    *bytes = end;
    return OWM_OK;
}

owm_status owm_delta_encode(const struct owm_delta_header *header, const struct owm_sparse *sparse,
                            uint8_t *out, size_t capacity, size_t *bytes)
{
    float largest;
    owm_status status = check_sparse(header, sparse, &largest);
    if (status != OWM_OK) return status;
    if (capacity < owm_delta_bytes_max(header->parameter_count, sparse->count, header->values))
        return OWM_E_LIMIT;
    struct delta_scratch *scratch = malloc(sizeof *scratch);
    if (!scratch) return OWM_E_NOMEM;
    scratch->compress = ZSTD_createCCtx();
    if (!scratch->compress) {
        free(scratch);
        return OWM_E_NOMEM;
    }
    write_header(header, sparse->count, out);
    memset(out + SIGNATURE_AT, 0, 64);
    status = write_blocks(header, sparse, owm_quant_floor(largest), scratch, out, bytes);
    ZSTD_freeCCtx(scratch->compress);
    free(scratch);
    return status;
}

owm_status owm_delta_sign(uint8_t *package, size_t bytes, const owm_identity *identity)
{
    struct owm_delta_header header;
    enum owm_delta_reason reason;
    owm_status status = owm_delta_peek(package, bytes, &header, &reason);
    if (status != OWM_OK) return status;
    if (memcmp(header.node_key, owm_identity_public_key(identity), 32) != 0) return OWM_E_ARG;
    uint8_t message[SIGNED_BYTES];
    delta_signed_bytes(package, message);
    owm_identity_sign(identity, OWM_DELTA_CONTEXT, message, sizeof message, package + SIGNATURE_AT);
    return OWM_OK;
}

/* delta_block.c: one block of a delta package, both ways.
 *
 *   u32 count | u8 index code | u8 flags | u16 0 | u32 index raw bytes | u32 index stored bytes
 *   index, stored | values, stored (the rest)
 *
 * Index: gaps: u8 distance to the index before, minus one (the first: to the block's begin); 255
 * adds 255 and goes on. Bitmap: one bit per coordinate, lowest first.
 * Values: int8: a scale exponent (i8) per group of 2048 coordinates, -126 where nothing of it is
 * sent, then the codes (i8). bf16: all upper bytes, then all lower bytes. Each part is zstd where
 * its flag says so, which is where that is smaller.
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "delta_format.h"
#include "kernels/backend.h"

uint32_t delta_block_end(const struct owm_sparse *sparse, uint32_t at, uint32_t block)
{
    uint64_t limit = ((uint64_t)block + 1) * OWM_DELTA_BLOCK;
    while (at < sparse->count && sparse->index[at] < limit) at++;
    return at;
}

/* Fill s->values with the raw bytes of a block's values, which must be quantised already. */
static owm_status encode_values(struct delta_scratch *s, const struct owm_sparse *part,
                                uint32_t first, uint32_t coordinates, enum owm_delta_values values,
                                int floor_exponent)
{
    uint32_t count = part->count, groups = delta_groups(coordinates);
    bool int8 = values == OWM_DELTA_INT8;
    memcpy(s->value, part->value, count * sizeof *s->value);
    for (uint32_t i = 0; i < count; i++) s->place[i] = part->index[i] - first;
    /* Exact by contract on every backend, so the reference serves. */
    owm_status status = owm_backend_reference.quantise(
        NULL, &(struct owm_quantise){s->value, s->place, int8 ? (void *)s->code : s->half,
                                     s->exponent, count, coordinates, floor_exponent,
                                     int8 ? OWM_QUANT_I8 : OWM_QUANT_BF16});
    if (status != OWM_OK) return status;
    for (uint32_t i = 0; i < count; i++)
        if (s->value[i] != part->value[i]) return OWM_E_ARG; /* was not quantised */
    if (int8) {
        memcpy(s->values, s->exponent, groups);
        memcpy(s->values + groups, s->code, count);
    }
    for (uint32_t i = 0; i < count && !int8; i++) {
        s->values[i] = (uint8_t)(s->half[i] >> 8);
        s->values[count + i] = (uint8_t)s->half[i];
    }
    return OWM_OK;
}

static uint32_t encode_gaps(const struct owm_sparse *part, uint32_t first, uint8_t *out)
{
    uint32_t at = 0, next = first;
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t gap = part->index[i] - next;
        for (; gap >= GAP_ESCAPE; gap -= GAP_ESCAPE) out[at++] = GAP_ESCAPE;
        out[at++] = (uint8_t)gap;
        next = part->index[i] + 1;
    }
    return at;
}

static uint32_t encode_bitmap(const struct owm_sparse *part, uint32_t first, uint32_t coordinates,
                              uint8_t *out)
{
    uint32_t bytes = (coordinates + 7) / 8;
    memset(out, 0, bytes);
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t c = part->index[i] - first;
        out[c / 8] |= (uint8_t)(1u << c % 8);
    }
    return bytes;
}

/* Append raw bytes, compressed if that is smaller. Returns the stored size. */
static uint32_t store(struct delta_scratch *s, const uint8_t *raw, uint32_t bytes, uint8_t *out,
                      bool *compressed)
{
    size_t packed = ZSTD_compressCCtx(s->compress, out, bytes, raw, bytes, 1);
    *compressed = !ZSTD_isError(packed) && packed < bytes;
    if (*compressed) return (uint32_t)packed;
    memcpy(out, raw, bytes);
    return bytes;
}

owm_status delta_block_encode(struct delta_scratch *s, const struct owm_sparse *part,
                              uint32_t first, uint32_t coordinates, enum owm_delta_values values,
                              int floor_exponent, uint8_t *out, uint32_t *bytes)
{
    owm_status status = encode_values(s, part, first, coordinates, values, floor_exponent);
    if (status != OWM_OK) return status;
    bool dense = part->count > coordinates / 8;
    uint32_t raw = dense ? encode_bitmap(part, first, coordinates, s->index)
                         : encode_gaps(part, first, s->index);
    bool index_zstd, values_zstd;
    uint32_t stored = store(s, s->index, raw, out + BLOCK_HEAD, &index_zstd);
    uint32_t end = BLOCK_HEAD + stored;
    end += store(s, s->values, delta_values_bytes(values, part->count, coordinates), out + end,
                 &values_zstd);

    struct owm_writer head;
    owm_writer_init(&head, out, BLOCK_HEAD);
    owm_write_u32_le(&head, part->count);
    owm_write_u8(&head, dense ? INDEX_BITMAP : INDEX_GAPS);
    owm_write_u8(&head, (uint8_t)((index_zstd ? BLOCK_INDEX_ZSTD : 0)
                                  | (values_zstd ? BLOCK_VALUES_ZSTD : 0)));
    owm_write_u16_le(&head, 0);
    owm_write_u32_le(&head, raw);
    owm_write_u32_le(&head, stored);
    *bytes = end;
    return OWM_OK;
}

/* --- decoding: every byte is hostile ---------------------------------------------------------- */

static bool load(struct delta_scratch *s, const uint8_t *stored, uint32_t stored_bytes,
                 bool compressed, uint8_t *raw, uint32_t raw_bytes)
{
    if (!compressed) {
        if (stored_bytes != raw_bytes) return false;
        memcpy(raw, stored, raw_bytes);
        return true;
    }
    return ZSTD_decompressDCtx(s->decompress, raw, raw_bytes, stored, stored_bytes) == raw_bytes;
}

static enum owm_delta_reason decode_gaps(const uint8_t *raw, uint32_t bytes, uint32_t first,
                                         uint32_t coordinates, uint32_t count, uint32_t *index)
{
    uint32_t found = 0;
    uint64_t at = 0; /* coordinate in the block; at most 255 * INDEX_RAW_MAX */
    for (uint32_t i = 0; i < bytes; i++) {
        at += raw[i];
        if (raw[i] == GAP_ESCAPE) continue;
        if (at >= coordinates) return OWM_DELTA_INDEX_RANGE;
        if (found == count) return OWM_DELTA_INDEX_CODE;
        index[found++] = first + (uint32_t)at++;
    }
    bool open = bytes > 0 && raw[bytes - 1] == GAP_ESCAPE;
    return found == count && !open ? OWM_DELTA_NONE : OWM_DELTA_INDEX_CODE;
}

static enum owm_delta_reason decode_bitmap(const uint8_t *raw, uint32_t bytes, uint32_t first,
                                           uint32_t coordinates, uint32_t count, uint32_t *index)
{
    uint32_t found = 0;
    if (bytes != (coordinates + 7) / 8) return OWM_DELTA_INDEX_CODE;
    for (uint32_t i = 0; i < bytes; i++) {
        for (unsigned left = raw[i]; left; left &= left - 1) {
            uint32_t at = i * 8 + (uint32_t)__builtin_ctz(left);
            if (at >= coordinates) return OWM_DELTA_INDEX_RANGE;
            if (found == count) return OWM_DELTA_INDEX_CODE;
            index[found++] = first + at;
        }
    }
    return found == count ? OWM_DELTA_NONE : OWM_DELTA_INDEX_CODE;
}

static enum owm_delta_reason decode_int8(struct delta_scratch *s, const uint32_t *index,
                                         uint32_t first, uint32_t coordinates, uint32_t count,
                                         float *value)
{
    const int8_t *exponent = (const int8_t *)s->values;
    uint32_t groups = delta_groups(coordinates), i = 0;
    const int8_t *code = exponent + groups;
    for (uint32_t group = 0; group < groups; group++) {
        int e = exponent[group];
        if (e < OWM_QUANT_EXPONENT_MIN || e > OWM_QUANT_EXPONENT_MAX) return OWM_DELTA_SCALE;
        float scale = ldexpf(1.0f, e);
        uint32_t begin = i;
        for (; i < count && (index[i] - first) / OWM_QUANT_GROUP == group; i++) {
            if (code[i] == INT8_MIN) return OWM_DELTA_SCALE;
            value[i] = (float)code[i] * scale;
        }
        /* One way to write it: the scale of an empty group says nothing. */
        if (i == begin && e != OWM_QUANT_EXPONENT_MIN) return OWM_DELTA_SCALE;
        if (i > begin && e < s->lowest_exponent) s->lowest_exponent = e;
    }
    return OWM_DELTA_NONE;
}

static enum owm_delta_reason decode_bf16(struct delta_scratch *s, uint32_t count, float *value)
{
    const uint8_t *raw = s->values;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)raw[i] << 24 | (uint32_t)raw[count + i] << 16;
        memcpy(&value[i], &bits, sizeof bits);
        if (value[i] == 0) continue;
        if (!isnormal(value[i])) return OWM_DELTA_SCALE;
        int last_bit = (int)(bits >> 23 & 0xff) - 127 - 7; /* 7 bits follow the leading one */
        if (last_bit < s->lowest_exponent) s->lowest_exponent = last_bit;
    }
    return OWM_DELTA_NONE;
}

enum owm_delta_reason delta_block_decode(struct delta_scratch *s, const uint8_t *bytes,
                                         uint32_t size, enum owm_delta_values values,
                                         uint32_t first, uint32_t coordinates, uint32_t room,
                                         uint32_t *index, float *value, uint32_t *found)
{
    struct owm_reader head;
    owm_reader_init(&head, bytes, size);
    uint32_t count = owm_read_u32_le(&head);
    uint8_t code = owm_read_u8(&head), flags = owm_read_u8(&head);
    uint16_t reserved = owm_read_u16_le(&head);
    uint32_t raw = owm_read_u32_le(&head), stored = owm_read_u32_le(&head);
    const uint8_t *index_bytes = owm_read_view(&head, stored);
    size_t values_stored = owm_reader_left(&head);
    const uint8_t *value_bytes = owm_read_view(&head, values_stored);
    if (!owm_reader_ok(&head) || reserved != 0 || code > INDEX_BITMAP
        || flags > (BLOCK_INDEX_ZSTD | BLOCK_VALUES_ZSTD) || count == 0)
        return OWM_DELTA_BLOCK_FORMAT;
    if (count > room) return OWM_DELTA_COUNT_MISMATCH;
    if (count > coordinates || raw > INDEX_RAW_MAX) return OWM_DELTA_INDEX_CODE;
    if (!load(s, index_bytes, stored, flags & BLOCK_INDEX_ZSTD, s->index, raw)
        || !load(s, value_bytes, (uint32_t)values_stored, flags & BLOCK_VALUES_ZSTD, s->values,
                 delta_values_bytes(values, count, coordinates)))
        return OWM_DELTA_BLOCK_COMPRESSION;
    enum owm_delta_reason reason =
        code == INDEX_GAPS ? decode_gaps(s->index, raw, first, coordinates, count, index)
                           : decode_bitmap(s->index, raw, first, coordinates, count, index);
    if (reason != OWM_DELTA_NONE) return reason;
    *found = count;
    return values == OWM_DELTA_INT8 ? decode_int8(s, index, first, coordinates, count, value)
                                    : decode_bf16(s, count, value);
}

/* bytes.c: hex, base64, constant-time compare, cursors. */
#include "bytes.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void owm_hex_encode(const void *data, size_t bytes, char *text)
{
    const uint8_t *in = data;
    for (size_t i = 0; i < bytes; i++) {
        text[2 * i] = hex_digits[in[i] >> 4];
        text[2 * i + 1] = hex_digits[in[i] & 15];
    }
    text[2 * bytes] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

owm_status owm_hex_decode(const char *text, void *data, size_t bytes)
{
    uint8_t *out = data;
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_value(text[2 * i]);
        int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
        if (low < 0) return OWM_E_PROTO;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * bytes] == 0 ? OWM_OK : OWM_E_PROTO;
}

void owm_base64_encode(const void *data, size_t bytes, char *text)
{
    const uint8_t *in = data;
    size_t at = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)in[i] << 16;
        if (left > 1) group |= (uint32_t)in[i + 1] << 8;
        if (left > 2) group |= in[i + 2];
        text[at++] = base64_digits[group >> 18];
        text[at++] = base64_digits[group >> 12 & 63];
        text[at++] = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        text[at++] = left > 2 ? base64_digits[group & 63] : '=';
    }
    text[at] = 0;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

owm_status owm_base64_decode(const char *text, size_t text_bytes, void *data, size_t bytes_max,
                             size_t *bytes)
{
    uint8_t *out = data;
    *bytes = 0;
    if (text_bytes % 4) return OWM_E_PROTO;
    size_t padding = 0;
    while (padding < 2 && padding < text_bytes && text[text_bytes - 1 - padding] == '=') padding++;
    size_t total = text_bytes / 4 * 3 - padding;
    if (total > bytes_max) return OWM_E_LIMIT;
    size_t at = 0;
    for (size_t i = 0; i < text_bytes; i += 4) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = i + k >= text_bytes - padding ? 0 : base64_value(text[i + k]);
            if (value < 0) return OWM_E_PROTO;
            group = group << 6 | (uint32_t)value;
        }
        for (size_t k = 0; k < 3; k++) {
            uint8_t byte = (uint8_t)(group >> (16 - 8 * k));
            if (at < total)
                out[at++] = byte;
            else if (byte) /* canonical form has no stray bits under the padding */
                return OWM_E_PROTO;
        }
    }
    *bytes = total;
    return OWM_OK;
}

bool owm_bytes_equal(const void *a, const void *b, size_t bytes)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t differs = 0;
    for (size_t i = 0; i < bytes; i++) differs |= (uint8_t)(x[i] ^ y[i]);
    return differs == 0;
}

void owm_reader_init(struct owm_reader *reader, const void *data, size_t bytes)
{
    *reader = (struct owm_reader){.data = data, .bytes = bytes};
}

const uint8_t *owm_read_view(struct owm_reader *reader, size_t bytes)
{
    static const uint8_t nothing[1];
    if (reader->failed || bytes > reader->bytes - reader->at) {
        reader->failed = true;
        return NULL;
    }
    if (bytes == 0) return reader->data ? reader->data + reader->at : nothing;
    const uint8_t *view = reader->data + reader->at;
    reader->at += bytes;
    return view;
}

void owm_read_bytes(struct owm_reader *reader, void *out, size_t bytes)
{
    const uint8_t *view = owm_read_view(reader, bytes);
    if (bytes == 0) return;
    if (view)
        memcpy(out, view, bytes);
    else
        memset(out, 0, bytes);
}

static uint64_t read_le(struct owm_reader *reader, size_t bytes)
{
    const uint8_t *view = owm_read_view(reader, bytes);
    uint64_t value = 0;
    for (size_t i = 0; view && i < bytes; i++) value |= (uint64_t)view[i] << (8 * i);
    return value;
}

static uint64_t read_be(struct owm_reader *reader, size_t bytes)
{
    const uint8_t *view = owm_read_view(reader, bytes);
    uint64_t value = 0;
    for (size_t i = 0; view && i < bytes; i++) value = value << 8 | view[i];
    return value;
}

uint8_t owm_read_u8(struct owm_reader *reader)
{
    return (uint8_t)read_le(reader, 1);
}

uint16_t owm_read_u16_le(struct owm_reader *reader)
{
    return (uint16_t)read_le(reader, 2);
}

uint32_t owm_read_u32_le(struct owm_reader *reader)
{
    return (uint32_t)read_le(reader, 4);
}

uint64_t owm_read_u64_le(struct owm_reader *reader)
{
    return read_le(reader, 8);
}

uint16_t owm_read_u16_be(struct owm_reader *reader)
{
    return (uint16_t)read_be(reader, 2);
}

uint32_t owm_read_u32_be(struct owm_reader *reader)
{
    return (uint32_t)read_be(reader, 4);
}

uint64_t owm_read_u64_be(struct owm_reader *reader)
{
    return read_be(reader, 8);
}

float owm_read_f32_le(struct owm_reader *reader)
{
    uint32_t bits = owm_read_u32_le(reader);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

size_t owm_reader_left(const struct owm_reader *reader)
{
    return reader->failed ? 0 : reader->bytes - reader->at;
}

bool owm_reader_ok(const struct owm_reader *reader)
{
    return !reader->failed;
}

bool owm_reader_done(const struct owm_reader *reader)
{
    return !reader->failed && reader->at == reader->bytes;
}

void owm_writer_init(struct owm_writer *writer, void *data, size_t bytes)
{
    *writer = (struct owm_writer){.data = data, .bytes = bytes};
}

void owm_write_bytes(struct owm_writer *writer, const void *data, size_t bytes)
{
    if (writer->failed || bytes > writer->bytes - writer->at) {
        writer->failed = true;
        return;
    }
    if (bytes) memcpy(writer->data + writer->at, data, bytes);
    writer->at += bytes;
}

static void write_le(struct owm_writer *writer, uint64_t value, size_t bytes)
{
    uint8_t text[8];
    for (size_t i = 0; i < bytes; i++) text[i] = (uint8_t)(value >> (8 * i));
    owm_write_bytes(writer, text, bytes);
}

static void write_be(struct owm_writer *writer, uint64_t value, size_t bytes)
{
    uint8_t text[8];
    for (size_t i = 0; i < bytes; i++) text[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    owm_write_bytes(writer, text, bytes);
}

void owm_write_u8(struct owm_writer *writer, uint8_t value)
{
    write_le(writer, value, 1);
}

void owm_write_u16_le(struct owm_writer *writer, uint16_t value)
{
    write_le(writer, value, 2);
}

void owm_write_u32_le(struct owm_writer *writer, uint32_t value)
{
    write_le(writer, value, 4);
}

void owm_write_u64_le(struct owm_writer *writer, uint64_t value)
{
    write_le(writer, value, 8);
}

void owm_write_u16_be(struct owm_writer *writer, uint16_t value)
{
    write_be(writer, value, 2);
}

void owm_write_u32_be(struct owm_writer *writer, uint32_t value)
{
    write_be(writer, value, 4);
}

void owm_write_u64_be(struct owm_writer *writer, uint64_t value)
{
    write_be(writer, value, 8);
}

void owm_write_f32_le(struct owm_writer *writer, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    owm_write_u32_le(writer, bits);
}

bool owm_writer_ok(const struct owm_writer *writer)
{
    return !writer->failed;
}

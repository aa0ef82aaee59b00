/* macaroon.c: macaroons of LND, format V2.
 *
 *     02  [01 len location]  02 len identifier  00
 *     ( [01 len location]  02 len condition  [04 len verification]  00 )*
 *     00  06 20 signature
 *
 * Lengths are varints, as in protobuf. The identifier is 03 and a protobuf message: nonce 1,
 * storage id 2, ops 3 { entity 1, actions 2 }.
 */
#include "macaroon.h"

#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"

#define VERSION         2
#define END             0
#define LOCATION        1
#define IDENTIFIER      2
#define VERIFICATION    4
#define SIGNATURE       6
#define SIGNATURE_BYTES 32
#define TAIL_BYTES      (3 + SIGNATURE_BYTES) /* END SIGNATURE 20 … */
#define BAKERY_V3       3
#define CAVEATS_MAX     64

/* Lengths and field numbers here are small; what needs more than four bytes is wrong. */
static uint32_t read_varint(struct owm_reader *reader)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte = owm_read_u8(reader);
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    reader->failed = true;
    return 0;
}

/* A field of the given type, or nothing; false: the next byte is another type's. */
static bool read_field(struct owm_reader *reader, uint8_t type, struct owm_reader *content)
{
    *content = (struct owm_reader){0};
    if (!owm_reader_ok(reader) || owm_reader_left(reader) == 0 || reader->data[reader->at] != type)
        return false;
    owm_read_u8(reader);
    uint32_t bytes = read_varint(reader);
    const uint8_t *view = owm_read_view(reader, bytes);
    if (view) owm_reader_init(content, view, bytes);
    return view != NULL;
}

static bool read_end(struct owm_reader *reader)
{
    return owm_read_u8(reader) == END && owm_reader_ok(reader);
}

/* One protobuf field: its number, and its content if it is a text. */
static uint32_t read_proto(struct owm_reader *reader, struct owm_reader *content)
{
    *content = (struct owm_reader){0};
    uint32_t key = read_varint(reader);
    if ((key & 7) == 0) {
        read_varint(reader);
    } else if ((key & 7) == 2) {
        uint32_t bytes = read_varint(reader);
        const uint8_t *view = owm_read_view(reader, bytes);
        if (view) owm_reader_init(content, view, bytes);
    } else {
        reader->failed = true;
    }
    return (key & 7) == 2 ? key >> 3 : 0;
}

static owm_status add_op(struct macaroon *macaroon, const struct owm_reader *entity,
                         const struct owm_reader *action)
{
    if (macaroon->op_count == MACAROON_OPS_MAX) return OWM_E_LIMIT;
    if (!entity->data) return OWM_E_PROTO; /* LND writes it first */
    macaroon->ops[macaroon->op_count++] =
        (struct macaroon_op){.entity_at = (uint16_t)(entity->data - macaroon->bytes),
                             .entity_bytes = (uint16_t)entity->bytes,
                             .action_at = (uint16_t)(action->data - macaroon->bytes),
                             .action_bytes = (uint16_t)action->bytes};
    return OWM_OK;
}

static owm_status parse_op(struct owm_reader op, struct macaroon *macaroon)
{
    struct owm_reader entity = {0}, content;
    while (owm_reader_ok(&op) && owm_reader_left(&op) > 0) {
        uint32_t field = read_proto(&op, &content);
        if (!owm_reader_ok(&op)) break;
        if (field == 1) entity = content;
        if (field != 2) continue;
        owm_status status = add_op(macaroon, &entity, &content);
        if (status != OWM_OK) return status;
    }
    return owm_reader_done(&op) ? OWM_OK : OWM_E_PROTO;
}

static owm_status parse_identifier(struct owm_reader id, struct macaroon *macaroon)
{
    if (owm_read_u8(&id) != BAKERY_V3) return OWM_E_PROTO;
    while (owm_reader_ok(&id) && owm_reader_left(&id) > 0) {
        struct owm_reader content;
        uint32_t field = read_proto(&id, &content);
        if (!owm_reader_ok(&id)) break;
        owm_status status = field == 3 ? parse_op(content, macaroon) : OWM_OK;
        if (status != OWM_OK) return status;
    }
    return owm_reader_done(&id) ? OWM_OK : OWM_E_PROTO;
}

static owm_status parse_caveats(struct owm_reader *reader, struct macaroon *macaroon)
{
    struct owm_reader content;
    for (;;) {
        bool located = read_field(reader, LOCATION, &content);
        if (!read_field(reader, IDENTIFIER, &content)) return located ? OWM_E_PROTO : OWM_OK;
        read_field(reader, VERIFICATION, &content);
        if (!read_end(reader)) return OWM_E_PROTO;
        if (macaroon->caveat_count++ == CAVEATS_MAX) return OWM_E_LIMIT;
    }
}

owm_status macaroon_parse(const uint8_t *bytes, size_t length, struct macaroon *macaroon)
{
    macaroon->length = macaroon->op_count = macaroon->caveat_count = 0;
    if (length > MACAROON_BYTES_MAX) return OWM_E_LIMIT;
    if (length == 0) return OWM_E_PROTO;
    memcpy(macaroon->bytes, bytes, length);
    macaroon->length = length;
    struct owm_reader reader, content;
    owm_reader_init(&reader, macaroon->bytes, length);
    if (owm_read_u8(&reader) != VERSION) return OWM_E_PROTO;
    read_field(&reader, LOCATION, &content);
    if (!read_field(&reader, IDENTIFIER, &content) || !read_end(&reader)) return OWM_E_PROTO;
    owm_status status = parse_identifier(content, macaroon);
    if (status == OWM_OK) status = parse_caveats(&reader, macaroon);
    if (status != OWM_OK) return status;
    macaroon->caveats_end = reader.at;
    if (!read_end(&reader) || !read_field(&reader, SIGNATURE, &content)) return OWM_E_PROTO;
    if (content.bytes != SIGNATURE_BYTES || !owm_reader_done(&reader)) return OWM_E_PROTO;
    return length - macaroon->caveats_end == TAIL_BYTES ? OWM_OK : OWM_E_PROTO;
}

void macaroon_attenuate(const struct macaroon *macaroon, const char *caveat,
                        char hex[MACAROON_HEX_BYTES])
{
    uint8_t bytes[MACAROON_BYTES_MAX + MACAROON_EXTRA];
    const uint8_t *signature = macaroon->bytes + macaroon->length - SIGNATURE_BYTES;
    size_t caveat_bytes = strlen(caveat);
    OWM_ASSERT(caveat_bytes <= MACAROON_CAVEAT_MAX); /* its length is one byte */
    struct owm_writer writer;
    owm_writer_init(&writer, bytes, sizeof bytes);
    owm_write_bytes(&writer, macaroon->bytes, macaroon->caveats_end);
    owm_write_u8(&writer, IDENTIFIER);
    owm_write_u8(&writer, (uint8_t)caveat_bytes);
    owm_write_bytes(&writer, caveat, caveat_bytes);
    owm_write_u8(&writer, END);
    owm_write_u8(&writer, END);
    owm_write_u8(&writer, SIGNATURE);
    owm_write_u8(&writer, SIGNATURE_BYTES);
    uint8_t next[SIGNATURE_BYTES];
    owm_hmac_sha256(signature, SIGNATURE_BYTES, caveat, caveat_bytes, next);
    owm_write_bytes(&writer, next, sizeof next);
    OWM_ASSERT(owm_writer_ok(&writer));
    owm_hex_encode(bytes, writer.at, hex);
    explicit_bzero(bytes, sizeof bytes);
}

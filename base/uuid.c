/* uuid.c: making, parsing and formatting 16-byte ids. */
#include "uuid.h"

#include <sodium.h>
#include <string.h>

#include "bytes.h"
#include "sha256.h"

static void set_version(uint8_t *uuid, unsigned version)
{
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | version << 4);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

void owm_uuid_random(uint8_t uuid[static 16])
{
    OWM_ASSERT(sodium_init() >= 0);
    randombytes_buf(uuid, OWM_UUID_BYTES);
    set_version(uuid, 4);
}

void owm_uuid_derive(const uint8_t space[static 16], const void *data, size_t bytes,
                     uint8_t uuid[static 16])
{
    uint8_t hash[OWM_SHA256_BYTES];
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, space, OWM_UUID_BYTES);
    owm_sha256_update(&ctx, data, bytes);
    owm_sha256_final(&ctx, hash);
    memcpy(uuid, hash, OWM_UUID_BYTES);
    set_version(uuid, 8);
}

owm_status owm_uuid_parse(const char *text, uint8_t uuid[static 16])
{
    char digits[2 * OWM_UUID_BYTES + 1];
    size_t count = 0;
    if (strnlen(text, OWM_UUID_TEXT_BYTES) != OWM_UUID_TEXT_BYTES - 1) return OWM_E_PROTO;
    for (size_t i = 0; i < OWM_UUID_TEXT_BYTES - 1; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') return OWM_E_PROTO;
        } else {
            digits[count++] = text[i];
        }
    }
    digits[count] = 0;
    return owm_hex_decode(digits, uuid, OWM_UUID_BYTES);
}

void owm_uuid_format(const uint8_t uuid[static 16], char text[static 37])
{
    char digits[2 * OWM_UUID_BYTES + 1];
    owm_hex_encode(uuid, OWM_UUID_BYTES, digits);
    size_t at = 0;
    for (size_t i = 0; i < 2 * OWM_UUID_BYTES; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) text[at++] = '-';
        text[at++] = digits[i];
    }
    text[at] = 0;
}

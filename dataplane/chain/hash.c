/* hash.c: twice over base/sha256, and the reversed hex. */
#include "hash.h"

#include "base/bytes.h"
#include "base/sha256.h"

void owm_sha256d(const void *data, size_t bytes, uint8_t hash[static 32])
{
    owm_sha256(data, bytes, hash);
    owm_sha256(hash, 32, hash);
}

void owm_hash_text(const uint8_t hash[static 32], char text[static OWM_HASH_TEXT_BYTES])
{
    uint8_t reversed[32];
    for (int i = 0; i < 32; i++) reversed[i] = hash[31 - i];
    owm_hex_encode(reversed, 32, text);
}

owm_status owm_hash_parse(const char *text, uint8_t hash[static 32])
{
    uint8_t reversed[32];
    owm_status status = owm_hex_decode(text, reversed, 32);
    if (status != OWM_OK) return status;
    for (int i = 0; i < 32; i++) hash[i] = reversed[31 - i];
    return OWM_OK;
}

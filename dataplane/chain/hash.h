/* hash.h: Bitcoin's double SHA-256, and hashes as people read them. Thread: any. */
#ifndef OWM_CHAIN_HASH_H
#define OWM_CHAIN_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_HASH_TEXT_BYTES 65 /* With the terminator. */

/** owm_sha256d: SHA-256 of the SHA-256. */
void owm_sha256d(const void *data, size_t bytes, uint8_t hash[static 32]);

/** owm_hash_text: hex with the last byte first, as nodes and explorers print it; terminated. */
void owm_hash_text(const uint8_t hash[static 32], char text[static OWM_HASH_TEXT_BYTES]);

/** owm_hash_parse: the other way. Returns: OWM_OK; OWM_E_PROTO not 64 hex digits. */
OWM_MUST_USE owm_status owm_hash_parse(const char *text, uint8_t hash[static 32]);

#endif

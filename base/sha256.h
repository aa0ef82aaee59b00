/* sha256.h: SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104), on OpenSSL's CPU-specific code.
 * None of these allocate or fail except the file hash. Thread: any, one state one thread at a time.
 */
#ifndef OWM_BASE_SHA256_H
#define OWM_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_SHA256_BYTES 32

/** owm_sha256_ctx: caller-owned, opaque; may be copied to fork the stream. */
struct owm_sha256_ctx {
    uint64_t opaque[16];
};

/** owm_sha256: one shot. */
void owm_sha256(const void *data, size_t bytes, uint8_t hash[static 32]);

void owm_sha256_init(struct owm_sha256_ctx *ctx);
void owm_sha256_update(struct owm_sha256_ctx *ctx, const void *data, size_t bytes);

/** owm_sha256_final: writes the hash and wipes ctx, which needs an init before its next use. */
void owm_sha256_final(struct owm_sha256_ctx *ctx, uint8_t hash[static 32]);

/** owm_sha256_file: hash of a file's content; *bytes its size (NULL allowed).
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_PERM; OWM_E_IO. */
OWM_MUST_USE owm_status owm_sha256_file(const char *path, uint8_t hash[static 32], uint64_t *bytes,
                                        struct owm_error *error);

/** owm_hmac_sha256: any key length. */
void owm_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                     uint8_t mac[static 32]);

#endif

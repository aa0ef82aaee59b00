/* authority.h: who a pool is: its authority key, and the certificates that it signs.
 *
 * The authority key (secp256k1, BIP340) is what miners pin. It signs a short-lived certificate for
 * a static key, which is what the handshake uses; so the authority key is touched once an hour.
 * Source: Stratum v2 specification, section 4.5.3 (certificate) and 4.7 (text form).
 */
#ifndef OWM_SV2_AUTHORITY_H
#define OWM_SV2_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_SV2_KEY_BYTES              32
#define OWM_SV2_ELLSWIFT_BYTES         64
#define OWM_SV2_CERTIFICATE_BYTES      74
#define OWM_SV2_AUTHORITY_TEXT_BYTES   64   /* Longest text form, terminator included. */
#define OWM_SV2_CERTIFICATE_BACKDATE_S 3600 /* Miners without a clock battery live in the past. */
#define OWM_SV2_CERTIFICATE_LEEWAY_S   10

struct owm_sv2_authority; /* The secret key, in locked memory that core dumps leave out. */

/** owm_sv2_authority_load_or_create: the key file, one line "owm-sv2-authority-1 <64 hex>".
 *
 *  path     no "~"; made with mode 0600 if missing. Its folder must exist.
 *  created  true if a new one was made; may be NULL.
 *  Returns: OWM_OK; OWM_E_PERM readable by group or others (with the command that fixes it);
 *  OWM_E_PROTO not such a file (left untouched); OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_sv2_authority_load_or_create(const char *path,
                                                         struct owm_sv2_authority **authority,
                                                         bool *created, struct owm_error *error);

/** owm_sv2_authority_from_secret: from 32 bytes; for tests and benchmarks.
 *  Returns: OWM_OK; OWM_E_ARG not a valid secret key; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_sv2_authority_from_secret(const uint8_t secret[32],
                                                      struct owm_sv2_authority **authority);

/** owm_sv2_authority_close: wipe and free. NULL is allowed. */
void owm_sv2_authority_close(struct owm_sv2_authority *authority);

/** owm_sv2_authority_public: the x-only public key, what miners pin. */
void owm_sv2_authority_public(const struct owm_sv2_authority *authority, uint8_t xonly[32]);

/** owm_sv2_authority_text: base58check of LE16(1) || key, as in stratum2+tcp://host:port/KEY. */
void owm_sv2_authority_text(const uint8_t xonly[32], char text[OWM_SV2_AUTHORITY_TEXT_BYTES]);

/** owm_sv2_authority_parse: Returns: OWM_OK; OWM_E_PROTO with a sentence: wrong letter, length,
 *  checksum, version, or not a point of the curve. */
OWM_MUST_USE owm_status owm_sv2_authority_parse(const char *text, uint8_t xonly[32],
                                                struct owm_error *error);

/** owm_sv2_credentials: a static key with its certificate: what a responder shows. Holds a secret:
 *  wipe it with owm_sv2_credentials_wipe. */
struct owm_sv2_credentials {
    uint8_t secret[32];
    uint8_t ellswift[OWM_SV2_ELLSWIFT_BYTES];
    uint8_t certificate[OWM_SV2_CERTIFICATE_BYTES]; /* As on the wire. */
    uint8_t authority[32];                          /* x-only, who signed it. */
    uint32_t not_valid_after_s;                     /* Unix time. */
};

/** owm_sv2_credentials_make: a new static key, certified from `now_s` - BACKDATE to `now_s` +
 *  valid_s. Returns: OWM_OK; OWM_E_ARG valid_s 0 or past 2106; OWM_E_CRYPTO no random bytes. */
OWM_MUST_USE owm_status owm_sv2_credentials_make(const struct owm_sv2_authority *authority,
                                                 uint64_t now_s, uint32_t valid_s,
                                                 struct owm_sv2_credentials *credentials);
void owm_sv2_credentials_wipe(struct owm_sv2_credentials *credentials);

#endif

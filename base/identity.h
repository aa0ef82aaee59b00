/* identity.h: a node's Ed25519 identity (SRS-NODE-02): signing, boxes (SRS-SEC-02) and the mTLS
 * certificate (SRS-SEC-01), all from one 32-byte seed that never leaves the machine (SRS-SEC-03).
 *
 * The secret lives in sodium_malloc memory: locked, guarded, absent from core dumps, wiped on
 * close. There is no way to print it. Key file: one line "owm-ed25519-seed-1 <64 hex digits>".
 */
#ifndef OWM_BASE_IDENTITY_H
#define OWM_BASE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_KEY_BYTES       32 /**< public key */
#define OWM_SEED_BYTES      32
#define OWM_SIGNATURE_BYTES 64
#define OWM_BOX_EXTRA_BYTES 40  /**< nonce 24 + authenticator 16, in front of the cipher text */
#define OWM_CONTEXT_MAX     255 /**< longest signing context */

typedef struct owm_identity owm_identity;

/** owm_identity_load_or_create: open the key file, or make a new identity there.
 *
 *  path     no "~" (see owm_fs_expand). A missing folder is created with mode 0700, the file with
 *           mode 0600 and O_EXCL semantics: of two processes that race, both end with the same key.
 *  created  true if a new one was made; may be NULL.
 *  Returns: OWM_OK; OWM_E_PERM readable by group or others, or of another owner, or a symbolic link
 *           (the error says the command that fixes it); OWM_E_PROTO not a key file (left
 * untouched); OWM_E_IO; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_identity_load_or_create(const char *path, owm_identity **identity,
                                                    bool *created, struct owm_error *error);

/** owm_identity_generate: a new identity in memory only. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_identity_generate(owm_identity **identity);

/** owm_identity_from_seed: deterministic, for simulations and vectors. Returns: OWM_OK;
 * OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_identity_from_seed(const uint8_t seed[static 32],
                                               owm_identity **identity);

/** owm_identity_close: wipe and free. NULL is allowed. */
void owm_identity_close(owm_identity *identity);

/** owm_identity_public_key: [32], lives as long as the identity. */
const uint8_t *owm_identity_public_key(const owm_identity *identity);

/** owm_identity_sign: Ed25519 (RFC 8032) over SHA-512("OWM-SIG-1" || u8 length of context ||
 * context || message). A signature made for one context is worthless in another.
 *
 *  context  terminated, 1..OWM_CONTEXT_MAX bytes, e.g. "owm/register/1".
 *  Thread: any. Exact: deterministic.
 */
void owm_identity_sign(const owm_identity *identity, const char *context, const void *message,
                       size_t bytes, uint8_t signature[static 64]);

/** owm_verify: check such a signature. Returns: OWM_OK; OWM_E_CRYPTO. Thread: any. */
OWM_MUST_USE owm_status owm_verify(const uint8_t public_key[static 32], const char *context,
                                   const void *message, size_t bytes,
                                   const uint8_t signature[static 64]);

/** owm_identity_box: NaCl box from `sender` to the Ed25519 key `recipient` (both converted to
 * X25519). out [bytes + OWM_BOX_EXTRA_BYTES] written: random nonce, then authenticator and cipher
 * text. Returns: OWM_OK; OWM_E_CRYPTO `recipient` is no valid key. */
OWM_MUST_USE owm_status owm_identity_box(const owm_identity *sender,
                                         const uint8_t recipient[static 32], const void *in,
                                         size_t bytes, uint8_t *out);

/** owm_identity_unbox: out [bytes - OWM_BOX_EXTRA_BYTES] written on success only.
 *  Returns: OWM_OK; OWM_E_PROTO shorter than OWM_BOX_EXTRA_BYTES; OWM_E_CRYPTO forged, altered, not
 * for this recipient or not from `sender`. */
OWM_MUST_USE owm_status owm_identity_unbox(const owm_identity *recipient,
                                           const uint8_t sender[static 32], const uint8_t *in,
                                           size_t bytes, uint8_t *out);

/** owm_cert: PEM texts, terminated. The key is in guarded memory. */
struct owm_cert {
    char *cert_pem;
    char *key_pem;
};

/** owm_identity_cert: self-signed X.509 certificate of the identity's key, for mTLS; 20 years.
 *
 *  From now on this process makes no core dump and cannot be traced by others of its user
 *  (PR_SET_DUMPABLE): what TLS does with the key leaves copies outside of guarded memory.
 *
 *  name  common name, 1..64 bytes.
 *  san   subjectAltName in OpenSSL's form "DNS:localhost,IP:127.0.0.1"; NULL: "DNS:<name>".
 *  cert  caller-owned; owm_cert_deinit.
 *  Returns: OWM_OK; OWM_E_ARG name or san refused; OWM_E_NOMEM; OWM_E_CRYPTO.
 */
OWM_MUST_USE owm_status owm_identity_cert(const owm_identity *identity, const char *name,
                                          const char *san, struct owm_cert *cert,
                                          struct owm_error *error);
void owm_cert_deinit(struct owm_cert *cert);

/** owm_cert_public_key: the Ed25519 public key in the first certificate of a PEM text, which need
 * not be trusted nor terminated. Says nothing about possession: TLS does that. Returns: OWM_OK;
 * OWM_E_PROTO no certificate, or its key is not Ed25519. */
OWM_MUST_USE owm_status owm_cert_public_key(const char *pem, size_t pem_bytes,
                                            uint8_t public_key[static 32]);

#endif

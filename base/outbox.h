/* outbox.h: the name and the hash of every payment, fixed before its first attempt (promise 1).
 *
 *   payment_id   = UUID derived from (source id, purpose): a source earns once per purpose
 *   preimage     = HMAC-SHA256(payment secret, payment_id)
 *   payment_hash = SHA-256(preimage), stored with the payable row
 *
 * So after a crash, and after the loss of everything but the secret and the table, a payment is
 * looked up by its hash and never sent a second time.
 */
#ifndef OWM_BASE_OUTBOX_H
#define OWM_BASE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_PAYMENT_PURPOSE_BYTES_MAX 32

struct owm_payment_secret; /* 32 bytes in locked memory that core dumps leave out */

/** owm_payment_secret_load_or_create: the key file, one line "owm-payment-secret-1 <64 hex>".
 *
 *  path     no "~"; made with mode 0600 if missing. Its folder must exist.
 *  created  true if a new one was made; may be NULL.
 *  Returns: OWM_OK; OWM_E_PERM readable by group or others (with the command that fixes it);
 *  OWM_E_PROTO not such a file (left untouched); OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_payment_secret_load_or_create(const char *path,
                                                          struct owm_payment_secret **secret,
                                                          bool *created, struct owm_error *error);

/** owm_payment_secret_close: wipe and free. NULL is allowed. */
void owm_payment_secret_close(struct owm_payment_secret *secret);

/** owm_payment_id: deterministic. purpose  1..OWM_PAYMENT_PURPOSE_BYTES_MAX bytes. */
void owm_payment_id(const uint8_t source_id[16], const char *purpose, uint8_t id[16]);

/** owm_payment_preimage: a secret until the payment is settled: never log it. */
void owm_payment_preimage(const struct owm_payment_secret *secret, const uint8_t id[16],
                          uint8_t preimage[32]);
void owm_payment_hash(const struct owm_payment_secret *secret, const uint8_t id[16],
                      uint8_t hash[32]);

#endif

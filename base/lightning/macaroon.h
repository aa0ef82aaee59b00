/* macaroon.h: LND's credentials: what one may do, and a copy that lives for a minute.
 *
 * A macaroon is a signed list of conditions; whoever holds one may add conditions, nobody can take
 * any away, since each signature is the HMAC-SHA256 of the next condition under the one before.
 * Read is the binary format V2 of gopkg.in/macaroon.v2; the identifier is that of macaroon-bakery
 * v3, which lists the operations that were granted. Private to base/lightning.
 */
#ifndef OWM_BASE_LIGHTNING_MACAROON_H
#define OWM_BASE_LIGHTNING_MACAROON_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define MACAROON_BYTES_MAX  4096 /* a role's has some 500 */
#define MACAROON_OPS_MAX    256
#define MACAROON_CAVEAT_MAX 100
#define MACAROON_EXTRA      (MACAROON_CAVEAT_MAX + 4) /* what one more condition adds */

/** Hexadecimal text of a macaroon with one more condition, with its terminator. */
#define MACAROON_HEX_BYTES (2 * (MACAROON_BYTES_MAX + MACAROON_EXTRA) + 1)

/** macaroon_op: "entity:action", as places in the macaroon's bytes. */
struct macaroon_op {
    uint16_t entity_at, entity_bytes;
    uint16_t action_at, action_bytes;
};

/** macaroon: a secret. Caller-owned, without pointers; wipe it (explicit_bzero) when done. */
struct macaroon {
    uint8_t bytes[MACAROON_BYTES_MAX];
    size_t length;
    size_t caveats_end; /* where the next condition goes */
    size_t caveat_count;
    size_t op_count;
    struct macaroon_op ops[MACAROON_OPS_MAX];
};

/** macaroon_parse: read the granted operations and check the structure; the signature cannot be
 *  checked without the root key.
 *  Returns: OWM_OK; OWM_E_PROTO it is no such macaroon; OWM_E_LIMIT more bytes or operations than
 *  above. */
OWM_MUST_USE owm_status macaroon_parse(const uint8_t *bytes, size_t length,
                                       struct macaroon *macaroon);

/** macaroon_attenuate: a copy that also demands `caveat`, at most MACAROON_CAVEAT_MAX bytes, as
 *  lower-case hexadecimal text: what goes into LND's request header. */
void macaroon_attenuate(const struct macaroon *macaroon, const char *caveat,
                        char hex[MACAROON_HEX_BYTES]);

#endif

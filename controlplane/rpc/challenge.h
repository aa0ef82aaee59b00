/* challenge.h: what a registration must sign: good once, for one TLS key, for a minute
 * (SRS-SEC-03).
 *
 * A challenge carries its own expiry and a MAC under a key of this process, so handing them out
 * costs no memory and nobody can fill a table by asking. Only used ones are remembered, until they
 * expire. A restart makes all of them void; the node then asks again.
 */
#ifndef OWM_RPC_CHALLENGE_H
#define OWM_RPC_CHALLENGE_H

#include <stdint.h>

#include "base/status.h"

#define OWM_CHALLENGE_BYTES    32
#define OWM_CHALLENGE_LIFE_MS  60000
#define OWM_CHALLENGE_USED_MAX 65536

struct owm_challenges;

/** owm_challenges_open: used_max 1..OWM_CHALLENGE_USED_MAX. OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_challenges_open(size_t used_max, struct owm_challenges **challenges);
void owm_challenges_close(struct owm_challenges *challenges);

/** owm_challenge_issue: Thread: any. */
void owm_challenge_issue(struct owm_challenges *challenges, const uint8_t tls_key[static 32],
                         int64_t now_ms, uint8_t challenge[static 32], int64_t *expires_ms);

/** owm_challenge_use: spend one; call it only once the signature over it has been verified.
 *  Returns: OWM_OK; OWM_E_CRYPTO not issued by this process to this key; OWM_E_TIMEOUT expired;
 *  OWM_E_EXISTS used before (a replay); OWM_E_LIMIT used_max were spent within a minute.
 *  Thread: any. */
OWM_MUST_USE owm_status owm_challenge_use(struct owm_challenges *challenges,
                                          const uint8_t tls_key[static 32], int64_t now_ms,
                                          const uint8_t *challenge, size_t bytes);

#endif

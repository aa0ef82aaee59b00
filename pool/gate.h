/* gate.h: the keys that a loop's handshakes take: the pool's credentials, and ephemeral key pairs
 * made ahead in idle turns, so that a handshake costs two key exchanges and nothing else. There is
 * one for each connection that the loop may have: all its miners come back at once after a restart.
 * Thread: one loop, but for owm_gate_replace.
 */
#ifndef OWM_POOL_GATE_H
#define OWM_POOL_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dataplane/sv2/noise.h"

#define OWM_GATE_EPHEMERALS_MAX 65536 /* 6 MiB, wiped at the end. */

/** owm_gate: init, deinit. */
struct owm_gate {
    struct owm_sv2_credentials credentials;
    struct owm_sv2_ephemeral *ephemeral; /* [max] */
    uint32_t ready, max;
    struct owm_sv2_credentials next; /* Under lock, until the loop takes it. */
    atomic_bool has_next;
    pthread_mutex_t lock;
};

/** owm_gate_init: room for `ephemerals` key pairs, at most the limit. Returns: OWM_OK; OWM_E_NOMEM,
 *  and deinit is due all the same. */
OWM_MUST_USE owm_status owm_gate_init(struct owm_gate *gate,
                                      const struct owm_sv2_credentials *credentials,
                                      uint32_t ephemerals);
void owm_gate_deinit(struct owm_gate *gate); /* Wipes. */

/** owm_gate_replace: newer credentials, for handshakes from the next turn on. Thread: any. */
void owm_gate_replace(struct owm_gate *gate, const struct owm_sv2_credentials *credentials);

/** owm_gate_refresh: take what was replaced. */
void owm_gate_refresh(struct owm_gate *gate);

/** owm_gate_fill: make up to `count` key pairs. true: there is room for more. */
bool owm_gate_fill(struct owm_gate *gate, uint32_t count);

/** owm_gate_respond: both acts; *missed: no key pair was ready and one had to be made.
 *  Returns: as owm_sv2_respond. */
OWM_MUST_USE owm_status owm_gate_respond(struct owm_gate *gate,
                                         const uint8_t act1[OWM_SV2_ACT1_BYTES],
                                         uint8_t act2[OWM_SV2_ACT2_BYTES],
                                         struct owm_sv2_transport *transport,
                                         uint8_t handshake_hash[32], bool *missed);

#endif

/* binding.h: which Lightning node stands for which OWM node, proven by that node's signature.
 *
 * A channel belongs to whoever has the Lightning key, and an OWM node is an Ed25519 key. The
 * coordinator seals a statement that names the Ed25519 key (proto/statement.h), the Lightning node
 * signs it, and the key recovered from that signature is bound to the identity, one to one. The
 * seal makes this stateless: a MAC under a secret that follows from the coordinator's identity, so
 * that a standby or restarted coordinator knows its own statements.
 *
 * A statement changes once a day (UTC) and is good for 24 to 48 hours, so that an operator who
 * signs by hand has a day to do it. Thread: any.
 */
#ifndef OWM_STAKE_BINDING_H
#define OWM_STAKE_BINDING_H

#include "base/identity.h"
#include "base/lightning/lightning.h"
#include "proto/statement.h"

struct owm_stake_binding {
    char network[OWM_STATEMENT_NETWORK_BYTES];
    uint8_t coordinator_key[32];
    uint8_t secret[32];
};

/** owm_stake_binding_init: OWM_E_CONFIG: the network's name cannot stand in a statement. */
OWM_MUST_USE owm_status owm_stake_binding_init(struct owm_stake_binding *binding,
                                               const owm_identity *coordinator, const char *network,
                                               struct owm_error *error);
void owm_stake_binding_deinit(struct owm_stake_binding *binding); /* wipes the secret */

/** owm_stake_statement: what the Lightning node of this node is to sign. */
void owm_stake_statement(const struct owm_stake_binding *binding, const uint8_t node_key[static 32],
                         int64_t now_ms, char text[OWM_STATEMENT_BYTES]);

/** owm_stake_proof: what a registration brings. */
struct owm_stake_proof {
    const uint8_t *node_key; /* [32] of the TLS connection */
    const char *statement, *signature;
    const uint8_t *ln_key; /* [33] of ln_node_uri */
};

/** owm_stake_prove: whether ln_key vouches for node_key.
 *  Returns, each with the fix: OWM_OK; OWM_E_TIMEOUT the statement has expired; OWM_E_STATE another
 *  Lightning key signed it; OWM_E_CRYPTO it is no statement of ours about this node, or no
 *  signature. */
OWM_MUST_USE owm_status owm_stake_prove(const struct owm_stake_binding *binding,
                                        const struct owm_stake_proof *proof, int64_t now_ms,
                                        struct owm_error *error);

#endif

/* stake.h: how a node proves which Lightning node stands for it (docs/proof-of-stake.md). */
#ifndef OWM_NODE_STAKE_H
#define OWM_NODE_STAKE_H

#include "base/lightning/lightning.h"
#include "node/node.h"
#include "proto/statement.h"

/** node_stake_proof: what a registration shows; both "" where none is asked for. */
struct node_stake_proof {
    char statement[OWM_STATEMENT_BYTES];
    char signature[OWM_LIGHTNING_SIGNATURE_TEXT];
};

/** node_stake_prove: the statement of Hello, signed by the operator's Lightning node, or by hand
 *  before (node_stake_keep). Nothing but a statement of this coordinator about this node is ever
 *  signed.
 *  Returns: OWM_OK; OWM_E_PERM nobody has signed it yet: the sentence says what to do next;
 *  OWM_E_CRYPTO the statement is about others; OWM_E_AGAIN the Lightning node is away; as
 *  node_lightning_open. */
OWM_MUST_USE owm_status node_stake_prove(struct node *node, const PB(HelloResponse) * hello,
                                         struct node_stake_proof *proof, struct owm_error *error);

/** node_stake_keep: a pair that was signed by hand, for the registrations to come.
 *  Returns: OWM_OK; OWM_E_CRYPTO the signature is none of lightning.node_uri's key over this text;
 *  OWM_E_CONFIG lightning.node_uri is not set; OWM_E_IO. */
OWM_MUST_USE owm_status node_stake_keep(owm_task_log *log, const struct owm_node_config *config,
                                        const struct node_stake_proof *proof,
                                        struct owm_error *error);

/** node_stake_kept: the pair that was kept. OWM_E_NOTFOUND: there is none, or it has expired. */
OWM_MUST_USE owm_status node_stake_kept(owm_task_log *log, int64_t now_s,
                                        struct node_stake_proof *proof);

#endif

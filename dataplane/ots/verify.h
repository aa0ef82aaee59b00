/* verify.h: what a proof proves, by block headers that the caller trusts.
 *
 * A Bitcoin attestation is right when its message is the merkle root in the header at its height,
 * in internal byte order. Nothing else counts: not a calendar's promise, not another chain, not an
 * attestation of an unknown kind.
 *
 * Not checked, as in the reference: that the path into the block is one of transactions. Before
 * 2018 (CVE-2017-12842) a transaction of 64 bytes could stand for an inner node of the tree; it
 * would take a miner's help and still prove that the digest existed when the block was mined.
 */
#ifndef OWM_OTS_VERIFY_H
#define OWM_OTS_VERIFY_H

#include "headers.h"
#include "tree.h"

#define OWM_OTS_CONFIRMATIONS 6
#define OWM_OTS_LOOKUPS_MAX   64 /* Headers asked for in one verification. */

enum owm_ots_outcome {
    OWM_OTS_CONFIRMED, /* The message existed at `time_s`, which may be two hours off. */
    OWM_OTS_WAITING,   /* For a calendar, or for more blocks. */
    OWM_OTS_UNPROVEN,  /* Nothing in it that we can check. */
    OWM_OTS_REFUTED,   /* It names a block that does not hold it, and no other. */
};

struct owm_ots_verdict {
    enum owm_ots_outcome outcome;
    uint64_t height;        /* Confirmed: the lowest block. Waiting for blocks: it; else 0. */
    uint32_t time_s;        /* In that block's header, since 1970. */
    uint64_t confirmations; /* Of that block. */
    struct owm_error why;   /* A clause: "it fails because …"; "" when confirmed. */
};

/** owm_ots_verify: all Bitcoin attestations, lowest block first, until one is right.
 *
 *  Returns: OWM_OK with a verdict; what the source met; OWM_E_LIMIT more blocks named than
 *  OWM_OTS_LOOKUPS_MAX, all before a right one.
 */
OWM_MUST_USE owm_status owm_ots_verify(const struct owm_ots_tree *tree,
                                       const struct owm_ots_headers *headers,
                                       struct owm_ots_verdict *verdict, struct owm_error *error);

/** owm_ots_outlook: the verdict without headers: waiting, or unproven, never confirmed. */
void owm_ots_outlook(const struct owm_ots_tree *tree, struct owm_ots_verdict *verdict);

#endif

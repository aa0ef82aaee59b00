/* template.h: a block to be mined, as getblocktemplate gives it (BIP 22, 23, 145), and what is made
 * of it: the coinbase transaction in two halves, the branches, the block.
 *
 *     coinbase without witness =  prefix || extranonce || suffix     (hashed; in the merkle tree)
 *
 * The extranonce lies at the end of the scriptSig. The full form of the coinbase, with marker, flag
 * and the reserved witness value of 32 zero bytes, exists in the block alone.
 * A template is immutable once parsed and shared by counting references.
 * Thread: any may read; retain and release are atomic.
 */
#ifndef OWM_CHAIN_TEMPLATE_H
#define OWM_CHAIN_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_TEMPLATE_JSON_BYTES_MAX   (32 * 1024 * 1024)
#define OWM_TEMPLATE_TRANSACTIONS_MAX 100000
#define OWM_TEMPLATE_BRANCHES_MAX     24 /* ceil(log2(TRANSACTIONS_MAX + 1)) and room. */
#define OWM_LONGPOLL_ID_BYTES         256
#define OWM_SCRIPT_BYTES_MAX          128
#define OWM_COINBASE_SCRIPT_BYTES_MAX 100 /* Consensus: a coinbase's scriptSig. */
#define OWM_EXTRANONCE_BYTES_MAX      32
#define OWM_COINBASE_WEIGHT_RESERVE   4000 /* What a pool's node keeps free: blockreservedweight. */
#define OWM_COINBASE_PART_BYTES_MAX   2048 /* Of prefix and of suffix. */

enum owm_network { OWM_MAINNET, OWM_TESTNET4, OWM_SIGNET, OWM_REGTEST };

struct owm_transaction_view {
    const uint8_t *data; /* As in a block, witness included. */
    uint32_t bytes;
};

/** owm_template: fields are in the byte order of a header (hashes as SHA-256d writes them). */
struct owm_template {
    uint32_t height, version, bits, min_time_s, current_time_s;
    uint8_t previous[32];         /* Hash of the block before. */
    uint8_t target[32];           /* Of bits, little endian. */
    uint64_t coinbase_value_sats; /* Subsidy and fees. */
    uint64_t fees_sats;           /* Sum over transactions; 0 if the node does not tell each. */
    uint8_t commitment[64];       /* The script of the output for BIP 141. */
    uint32_t commitment_bytes;    /* 0: a node may leave it out where nothing has a witness. */
    uint8_t branch[OWM_TEMPLATE_BRANCHES_MAX][32]; /* Of the coinbase, deepest first. */
    uint32_t branches;
    uint32_t weight;       /* Of the transactions. */
    uint32_t transactions; /* Without the coinbase. */
    const struct owm_transaction_view *transaction;
    char longpoll_id[OWM_LONGPOLL_ID_BYTES];
};

/** owm_template_parse: the `result` of getblocktemplate, as JSON text.
 *
 *  The caller asked for the rules "segwit" and "signet". A rule with "!" in front that is neither
 *  is refused (BIP 9: we would build an invalid block), and so are bits of `vbrequired` and a
 *  signet whose blocks need a key. `coinbaseaux` is not used (Bitcoin Core leaves it empty).
 *  Checks: field types and ranges, target against bits, txids and hashes recomputed from the data
 *  (a node's word is not taken for what we put into a block), the witness commitment recomputed,
 *  fees within coinbasevalue, weight with OWM_COINBASE_WEIGHT_RESERVE within 4,000,000.
 *  Returns: OWM_OK, *out with one reference; OWM_E_PROTO, OWM_E_LIMIT, OWM_E_UNSUPPORTED (a rule, a
 *  signet) with the field's path; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_template_parse(const char *json, size_t bytes,
                                           struct owm_template **out, struct owm_error *error);
struct owm_template *owm_template_retain(struct owm_template *block);
void owm_template_release(struct owm_template *block); /* NULL is allowed. */

/** owm_coinbase_plan: what the pool puts into its coinbase. */
struct owm_coinbase_plan {
    uint8_t script[OWM_SCRIPT_BYTES_MAX]; /* Where the whole value goes. */
    uint32_t script_bytes;
    char tag[48];              /* In the scriptSig after the height: "/OWM/"; "": none. */
    uint32_t extranonce_bytes; /* Whole length: prefix of the pool and what the miner rolls. */
};

/** owm_coinbase: the two halves. */
struct owm_coinbase {
    uint8_t prefix[OWM_COINBASE_PART_BYTES_MAX];
    uint8_t suffix[OWM_COINBASE_PART_BYTES_MAX];
    uint32_t prefix_bytes, suffix_bytes, extranonce_bytes;
};

/** owm_coinbase_build: the halves for a plan. The scriptSig is pushes of height, tag, extranonce;
 *  lock time and sequence are those of BIP 54 (height - 1; not final), as Bitcoin Core makes them.
 *  Any plan that is not refused fits a scriptSig of 100 bytes and OWM_COINBASE_WEIGHT_RESERVE.
 *  Returns: OWM_OK; OWM_E_ARG: the script is empty or too long, the extranonce is not of 1 to
 *  OWM_EXTRANONCE_BYTES_MAX bytes, or the tag is not terminated. */
OWM_MUST_USE owm_status owm_coinbase_build(const struct owm_template *block,
                                           const struct owm_coinbase_plan *plan,
                                           struct owm_coinbase *coinbase, struct owm_error *error);

/** owm_merkle_root: the root for a coinbase with this extranonce [coinbase->extranonce_bytes]. */
void owm_merkle_root(const struct owm_template *block, const struct owm_coinbase *coinbase,
                     const uint8_t *extranonce, uint8_t root[32]);

/** owm_header: the 80 bytes. */
struct owm_header_fields {
    uint32_t version, time_s, bits, nonce;
    const uint8_t *previous, *root; /* [32] */
};
void owm_header_write(const struct owm_header_fields *fields, uint8_t header[80]);

/** owm_block_hex: the solved block for submitblock: header, coinbase with witness, transactions.
 *  hex  malloc'ed, terminated; caller frees. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_block_hex(const struct owm_template *block,
                                      const struct owm_coinbase *coinbase,
                                      const uint8_t *extranonce, const uint8_t header[80],
                                      char **hex);

#endif

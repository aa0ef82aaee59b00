/* chain.h: all blocks that were accepted, which of them are the active chain, and their file.
 *
 * The file is a row of records as in Bitcoin Core's blk files: magic fabfb5da, length, block. It
 * only grows, and is read and checked again from the start. A record that a crash cut off is
 * removed. The first blocks, CHAIN_PREMINED of them or more, are made by this program at regtest's
 * difficulty and pay OP_TRUE, so that there is something to spend; behind them every block has the
 * bits that were asked for.
 * Thread: one.
 */
#ifndef OWM_DEVNET_BLOCKS_CHAIN_H
#define OWM_DEVNET_BLOCKS_CHAIN_H

#include "check.h"
#include "coins.h"
#include "dataplane/chain/uint256.h"
#include "wire.h"

#define CHAIN_PREMINED     200
#define CHAIN_BLOCKS_MAX   1000000
#define CHAIN_HALVINGS_MAX 32 /* The last with a subsidy: of one sat. */
#define CHAIN_REGTEST_BITS 0x207fffff

struct chain_node {
    uint8_t header[WIRE_HEADER_BYTES], hash[32];
    const struct chain_node *previous; /* NULL: genesis. */
    uint32_t height, time_s, txs;
    struct owm_uint256 work; /* Up to and with this block. */
    uint64_t at;             /* In the file; genesis is not there. */
    uint32_t bytes;
    bool failed; /* It or one before it broke a rule when it was connected. */
};

struct chain_options {
    const char *path;
    uint32_t bits;     /* Of blocks behind the premined ones. */
    uint32_t halvings; /* The premined blocks have so many; 0: as many as CHAIN_PREMINED have. */
};

struct chain;

/** chain_open: reads the file, or begins one. Returns: OWM_OK; OWM_E_PROTO the file holds something
 *  else or a block that breaks a rule (error says where); OWM_E_IO; OWM_E_NOMEM; OWM_E_EXISTS in
 *  use; OWM_E_CONFIG bits. */
OWM_MUST_USE owm_status chain_open(const struct chain_options *options, struct chain **chain,
                                   struct owm_error *error);
void chain_close(struct chain *chain); /* NULL is allowed. */

/** chain_submit: what submitblock does with bytes. NULL: it is the new tip; "inconclusive": valid
 *  as far as can be seen, on another branch; else why it was refused. "" cannot be parsed. */
const char *chain_submit(struct chain *chain, const uint8_t *data, size_t bytes, uint32_t now_s);

/** chain_propose: whether such a block would be the tip, given proof of work (BIP 23). */
const char *chain_propose(struct chain *chain, const uint8_t *data, size_t bytes, uint32_t now_s);

const struct chain_node *chain_tip(const struct chain *chain);
const struct chain_node *chain_find(const struct chain *chain, const uint8_t hash[32]);
/** chain_at: of the active chain; NULL: higher than the tip. */
const struct chain_node *chain_at(const struct chain *chain, uint32_t height);
struct coins *chain_coins(struct chain *chain);
/** chain_next: what transactions meet that are to stand in the block behind the tip. */
struct check_connection chain_next(struct chain *chain);
uint32_t chain_bits_at(const struct chain *chain, uint32_t height);
uint64_t chain_file_bytes(const struct chain *chain);

/** chain_median_time_s: of a block and the ten before it (BIP 113). */
uint32_t chain_median_time_s(const struct chain_node *node);

/** chain_read: a block's bytes, malloc'ed. Returns: OWM_OK; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status chain_read(const struct chain *chain, const struct chain_node *node,
                                   uint8_t **data);

#endif

/* blocks_fixture.h: a chain in a folder of its own, and blocks that dataplane/chain builds. */
#ifndef OWM_TEST_BLOCKS_FIXTURE_H
#define OWM_TEST_BLOCKS_FIXTURE_H

#include "chain.h"
#include "dataplane/chain/template.h"
#include "template.h"

#define FIXTURE_TRANSACTIONS_MAX 256

/** fixture_folder: a new folder under $TMPDIR; fixture_clean removes it with what is in it. */
void fixture_folder(char path[128]);
void fixture_clean(const char *path);

/** fixture_open: the chain in folder/blocks.dat, or the test fails. */
struct chain *fixture_open(const char *folder, uint32_t bits);

/** fixture_mempool: in folder/sent.dat. */
struct mempool *fixture_mempool(const char *folder, struct chain *chain);

/** fixture_now: wall time as the chain wants it. */
uint32_t fixture_now(void);

/** draft: a block under construction; change any field, then finish. */
struct draft {
    struct owm_template *block; /* As parsed; released by draft_free. */
    struct owm_coinbase coinbase;
    struct owm_coinbase_plan plan;
    struct owm_transaction_view tx[FIXTURE_TRANSACTIONS_MAX]; /* In place of the template's. */
    uint32_t txs;
    uint32_t version, time_s, bits;
    uint8_t previous[32], root[32];
    bool keep_root;   /* root is used as it is. */
    bool miss_target; /* Ground to a hash above the target. */
    bool bare;        /* Serialised without the coinbase's witness. */
};

/** draft_begin: on the tip, with a template of up to `spends_max` transactions. `salt` makes blocks
 *  of one height differ. */
void draft_begin(struct draft *draft, struct chain *chain, uint32_t spends_max, uint32_t salt);
/** draft_begin_with: the template has what waits in the pool, too. */
void draft_begin_with(struct draft *draft, struct chain *chain, const struct mempool *pool,
                      uint32_t spends_max, uint32_t salt);
void draft_free(struct draft *draft);

/** draft_finish: root, header, nonce; the block's bytes, malloc'ed. */
uint8_t *draft_finish(struct draft *draft, size_t *bytes);

/** draft_submit: finish, submit, free. */
const char *draft_submit(struct draft *draft, struct chain *chain);

/** mine_on: an empty block behind any known one, submitted; the same in each call with one salt.
 *  *made is its node, NULL if there is none. */
const char *mine_on(struct chain *chain, const struct chain_node *previous, uint32_t salt,
                    const struct chain_node **made);

/** mine: blocks on the tip, all accepted. */
void mine(struct chain *chain, uint32_t count, uint32_t salt);

#endif

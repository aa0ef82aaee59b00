/* blocks.h: what happens to a solved block: from the loop that found it to every Bitcoin node.
 *
 * The loop hands over what it has (copied, the work retained) and goes on; a thread of its own puts
 * the block together and submits it, before anything else is done with the share. It keeps it
 * in a file until a node has accepted it, so that a crash between the two loses nothing: what lies
 * there at start is submitted again. Thread: found: any loop; taken: any; open, close: one.
 */
#ifndef OWM_POOL_BLOCKS_H
#define OWM_POOL_BLOCKS_H

#include "bitcoin.h"
#include "hall.h"

#define OWM_BLOCKS_WAITING_MAX 256

struct owm_blocks;

/** owm_block_story: a found block, for who writes it down. Borrowed for the call. */
struct owm_block_story {
    const uint8_t *hash; /* [32] as SHA-256d writes it. */
    uint32_t height;
    uint64_t reward_sats; /* Of its coinbase. */
    int64_t found_ms;     /* Wall clock. */
    struct owm_miner miner;
    struct owm_worker worker;
};

struct owm_blocks_options {
    struct owm_bitcoin *bitcoin; /* Borrowed until close. */
    const char *folder;          /* For blocks under way; must exist. Borrowed until close. */
    /** After the block has been handed to the nodes; on the thread of this file. */
    void (*on_found)(void *ctx, const struct owm_block_story *story);
    void *ctx;
};

/** owm_blocks_open: submit what the folder holds, start the thread.
 *  Returns: OWM_OK; OWM_E_NOMEM; OWM_E_IO the folder cannot be read. */
OWM_MUST_USE owm_status owm_blocks_open(const struct owm_blocks_options *options,
                                        struct owm_blocks **blocks, struct owm_error *error);

/** owm_blocks_close: submits what waits first. NULL is allowed. */
void owm_blocks_close(struct owm_blocks *blocks);

/** owm_blocks_taken: a node has accepted this block: its file may go. Files of refused ones go by
 *  themselves, a day after their block. */
void owm_blocks_taken(struct owm_blocks *blocks, const uint8_t hash[32]);

/** owm_blocks_found: as owm_hall_options.on_block: ctx is the struct owm_blocks. When
 *  OWM_BLOCKS_WAITING_MAX wait already (only a network without difficulty can do that) the block is
 *  dropped with a log line. */
void owm_blocks_found(void *ctx, const struct owm_found *found);

#endif

/* mempool_internal.h: what mempool.c and mempool_file.c share. */
#ifndef OWM_DEVNET_BLOCKS_MEMPOOL_INTERNAL_H
#define OWM_DEVNET_BLOCKS_MEMPOOL_INTERNAL_H

#include "mempool.h"

#define MEMPOOL_SLOTS (1u << 18) /* A power of two, over twice MEMPOOL_KNOWN_MAX. */

struct mempool {
    struct chain *chain;
    int fd;
    uint64_t file_bytes;
    struct mempool_tx **known; /* [MEMPOOL_KNOWN_MAX] */
    uint32_t *slot;            /* [MEMPOOL_SLOTS] index in known and 1, by txid; 0: free */
    uint32_t count, waiting_count;
    struct mempool_tx *waiting[MEMPOOL_WAITING_MAX];
    const struct chain_node *followed; /* Blocks up to it were looked at; NULL: none yet. */
};

/** mempool_keep: takes data and read. NULL: no memory, or MEMPOOL_KNOWN_MAX are known. */
struct mempool_tx *mempool_keep(struct mempool *pool, uint8_t *data, const struct wire_block *read);

/** mempool_append: a record at the file's end. Returns: OWM_OK; OWM_E_IO, logged. */
OWM_MUST_USE owm_status mempool_append(struct mempool *pool, const struct mempool_tx *tx);

/** mempool_load: opens the file and keeps what is in it. Returns: as mempool_open. */
OWM_MUST_USE owm_status mempool_load(struct mempool *pool, const char *path,
                                     struct owm_error *error);

/** mempool_judge: NULL: it may come in; or why not. Writes its fee and owner.
 *  mempool_admit: the same, and if so it comes in and what it replaces goes. */
const char *mempool_judge(const struct mempool *pool, struct mempool_tx *tx, int64_t fee_rate_max);
const char *mempool_admit(struct mempool *pool, struct mempool_tx *tx, int64_t fee_rate_max);

#endif

/* chain_internal.h: what chain.c and chain_file.c share. */
#ifndef OWM_DEVNET_BLOCKS_CHAIN_INTERNAL_H
#define OWM_DEVNET_BLOCKS_CHAIN_INTERNAL_H

#include "chain.h"

struct chain {
    uint32_t bits, premined, height, nodes;
    int fd;
    uint64_t file_bytes;
    bool replaying; /* What is read from the file is not written to it again. */
    struct coins *coins;
    const struct chain_node **active; /* [CHAIN_BLOCKS_MAX] by height */
    struct chain_node **slot;         /* [slots] by hash */
    size_t slots;                     /* A power of two, over twice CHAIN_BLOCKS_MAX. */
};

/** chain_insert: into the index. NULL without memory. */
struct chain_node *chain_insert(struct chain *chain, const struct wire_block *block,
                                const struct chain_node *previous, uint64_t at);

/** chain_append: a record at the file's end. Returns: OWM_OK; OWM_E_IO, logged. */
OWM_MUST_USE owm_status chain_append(struct chain *chain, const struct chain_node *node,
                                     const uint8_t *data);

/** chain_cut: takes back the record that chain_append just wrote for a node. */
void chain_cut(struct chain *chain, const struct chain_node *node);

#endif

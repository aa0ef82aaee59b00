/* premine.h: how the chain of this block source begins: regtest's genesis, then blocks that pay
 * OP_TRUE, each ground at regtest's difficulty. The same in every run, and valid to any node.
 */
#ifndef OWM_DEVNET_BLOCKS_PREMINE_H
#define OWM_DEVNET_BLOCKS_PREMINE_H

#include "chain.h"

#define PREMINE_BYTES_MAX 256

/** premine_genesis: the bytes of regtest's block 0. */
const uint8_t *premine_genesis(uint32_t *bytes);

/** premine_block: the next one; data [PREMINE_BYTES_MAX] written. Returns its length. */
uint32_t premine_block(const struct chain_node *previous, uint8_t *data);

#endif

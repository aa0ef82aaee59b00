/* merkle.h: Bitcoin's hash tree over transactions. An odd node at a level's end is its own
 * neighbour. Thread: any.
 */
#ifndef OWM_CHAIN_MERKLE_H
#define OWM_CHAIN_MERKLE_H

#include <stdint.h>

/** owm_merkle_tree: root over leaf [count][32], count at least 1; the leaves are overwritten. */
void owm_merkle_tree(uint8_t (*leaf)[32], uint32_t count, uint8_t root[32]);

/** owm_merkle_branches: what the first leaf meets on its way up, deepest first.
 *
 *  leaf    [count][32]; leaf 0 (the coinbase) is not read, the others are overwritten.
 *  branch  [ceil(log2(count))][32] written.
 *  Returns: how many. */
uint32_t owm_merkle_branches(uint8_t (*leaf)[32], uint32_t count, uint8_t (*branch)[32]);

/** owm_merkle_fold: root of a leaf along its branches. root may be leaf. */
void owm_merkle_fold(const uint8_t leaf[32], const uint8_t (*branch)[32], uint32_t branches,
                     uint8_t root[32]);

#endif

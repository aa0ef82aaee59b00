/* merkle.c: level by level, in place. */
#include "merkle.h"

#include <string.h>

#include "hash.h"

static void join(const uint8_t left[32], const uint8_t right[32], uint8_t parent[32])
{
    uint8_t pair[64];
    memcpy(pair, left, 32);
    memcpy(pair + 32, right, 32);
    owm_sha256d(pair, sizeof pair, parent);
}

/* Replaces a level by the one above, from its node `first` on. Returns the new count. */
static uint32_t climb(uint8_t (*node)[32], uint32_t count, uint32_t first)
{
    uint32_t parents = count / 2 + count % 2;
    for (uint32_t i = first; i < parents; i++) {
        uint32_t right = 2 * i + 1 < count ? 2 * i + 1 : 2 * i;
        join(node[2 * i], node[right], node[i]);
    }
    return parents;
}

void owm_merkle_tree(uint8_t (*leaf)[32], uint32_t count, uint8_t root[32])
{
    while (count > 1) count = climb(leaf, count, 0);
    memcpy(root, leaf[0], 32);
}

uint32_t owm_merkle_branches(uint8_t (*leaf)[32], uint32_t count, uint8_t (*branch)[32])
{
    uint32_t branches = 0;
    while (count > 1) {
        memcpy(branch[branches++], leaf[1], 32);
        count = climb(leaf, count, 1);
    }
    return branches;
}

void owm_merkle_fold(const uint8_t leaf[32], const uint8_t (*branch)[32], uint32_t branches,
                     uint8_t root[32])
{
    memmove(root, leaf, 32);
    for (uint32_t i = 0; i < branches; i++) join(root, branch[i], root);
}

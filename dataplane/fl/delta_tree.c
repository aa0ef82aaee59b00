/* delta_tree.c: the hash tree over a package's blocks, and what the signature covers. */
#include <string.h>

#include "delta_format.h"

#define LEVELS_MAX 33

static void hash_leaf(const uint8_t *entry, uint8_t out[32])
{
    uint8_t tagged[1 + ENTRY_BYTES] = {0};
    memcpy(tagged + 1, entry, ENTRY_BYTES);
    owm_sha256(tagged, sizeof tagged, out);
}

static void hash_pair(const uint8_t left[32], const uint8_t right[32], uint8_t out[32])
{
    uint8_t tagged[65] = {1};
    memcpy(tagged + 1, left, 32);
    memcpy(tagged + 33, right, 32);
    owm_sha256(tagged, sizeof tagged, out);
}

/* A stack of complete subtrees, as in a binary counter: leaf i closes as many as i has low ones. */
void delta_root(const uint8_t *directory, uint32_t blocks, uint8_t root[32])
{
    uint8_t stack[LEVELS_MAX][32];
    unsigned depth = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        hash_leaf(directory + (size_t)i * ENTRY_BYTES, stack[depth++]);
        for (uint32_t ones = i; ones & 1; ones >>= 1, depth--)
            hash_pair(stack[depth - 2], stack[depth - 1], stack[depth - 2]);
    }
    for (; depth > 1; depth--) hash_pair(stack[depth - 2], stack[depth - 1], stack[depth - 2]);
    memcpy(root, stack[0], 32);
}

void delta_signed_bytes(const uint8_t *package, uint8_t out[SIGNED_BYTES])
{
    memcpy(out, package, OWM_DELTA_HEADER_BYTES);
    memcpy(out + OWM_DELTA_HEADER_BYTES, package + ROOT_AT, 32);
}

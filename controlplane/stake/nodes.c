/* nodes.c: one array and three open-addressing indexes. An index entry whose node has another key
 * by now (a Lightning key that was replaced) is passed over, and gone with the next rebuild. */
#include "nodes.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t *key_of(const struct stake_nodes *nodes, const struct stake_index *index,
                             uint32_t number)
{
    return (const uint8_t *)&nodes->node[number] + index->at;
}

/* The last bytes: the first one of a Lightning key is 02 or 03. */
static uint32_t hash_of(const struct stake_index *index, const uint8_t *key)
{
    uint64_t word;
    memcpy(&word, key + index->bytes - sizeof(word), sizeof(word));
    return (uint32_t)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static owm_status index_init(struct stake_index *index, uint32_t max, size_t at, size_t bytes)
{
    uint64_t slots = 16;
    while (slots < (uint64_t)max * 4) slots *= 2;
    index->mask = (uint32_t)(slots - 1);
    index->at = at;
    index->bytes = bytes;
    index->slot = calloc(slots, sizeof(*index->slot));
    return index->slot ? OWM_OK : OWM_E_NOMEM;
}

static uint32_t find(const struct stake_nodes *nodes, const struct stake_index *index,
                     const uint8_t *key)
{
    for (uint32_t i = hash_of(index, key);; i++) {
        uint32_t slot = index->slot[i & index->mask];
        if (slot == 0) return STAKE_NODE_NONE;
        if (memcmp(key_of(nodes, index, slot - 1), key, index->bytes) == 0) return slot - 1;
    }
}

static void insert(const struct stake_nodes *nodes, struct stake_index *index, uint32_t number)
{
    uint32_t i = hash_of(index, key_of(nodes, index, number));
    while (index->slot[i & index->mask] != 0) i++;
    index->slot[i & index->mask] = number + 1;
    index->used++;
}

static bool is_none(const uint8_t ln_key[OWM_LIGHTNING_KEY_BYTES])
{
    static const uint8_t none[OWM_LIGHTNING_KEY_BYTES];
    return memcmp(ln_key, none, sizeof(none)) == 0;
}

static void insert_ln_key(struct stake_nodes *nodes, uint32_t number)
{
    struct stake_index *index = &nodes->by_ln_key;
    if (is_none(nodes->node[number].ln_key)) return;
    if (index->used > index->mask / 2) {
        memset(index->slot, 0, ((size_t)index->mask + 1) * sizeof(*index->slot));
        index->used = 0;
        for (uint32_t i = 0; i < nodes->count; i++)
            if (i != number && !is_none(nodes->node[i].ln_key)) insert(nodes, index, i);
    }
    insert(nodes, index, number);
}

owm_status stake_nodes_init(struct stake_nodes *nodes, uint32_t max)
{
    memset(nodes, 0, sizeof(*nodes));
    nodes->max = max;
    nodes->node = calloc(max, sizeof(*nodes->node));
    owm_status status = nodes->node ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK)
        status = index_init(&nodes->by_id, max, offsetof(struct stake_node, node_id), 16);
    if (status == OWM_OK)
        status =
            index_init(&nodes->by_public_key, max, offsetof(struct stake_node, public_key), 32);
    if (status == OWM_OK)
        status = index_init(&nodes->by_ln_key, max, offsetof(struct stake_node, ln_key),
                            OWM_LIGHTNING_KEY_BYTES);
    if (status != OWM_OK) stake_nodes_deinit(nodes);
    return status;
}

void stake_nodes_deinit(struct stake_nodes *nodes)
{
    free(nodes->node);
    free(nodes->by_id.slot);
    free(nodes->by_public_key.slot);
    free(nodes->by_ln_key.slot);
    memset(nodes, 0, sizeof(*nodes));
}

owm_status stake_nodes_put(struct stake_nodes *nodes, const struct owm_node_row *row,
                           uint32_t *number, bool *is_new)
{
    uint32_t at = find(nodes, &nodes->by_id, row->node_id);
    bool added = at == STAKE_NODE_NONE;
    if (added && nodes->count == nodes->max) return OWM_E_LIMIT;
    if (added) at = nodes->count++;
    struct stake_node *node = &nodes->node[at];
    bool rekeyed = memcmp(node->ln_key, row->ln_key, sizeof(node->ln_key)) != 0;
    if (added) {
        memcpy(node->node_id, row->node_id, sizeof(node->node_id));
        memcpy(node->public_key, row->public_key, sizeof(node->public_key));
        insert(nodes, &nodes->by_id, at);
        insert(nodes, &nodes->by_public_key, at);
        node->read_ms = row->stake_read_ms;
    }
    if (rekeyed) {
        memcpy(node->ln_key, row->ln_key, sizeof(node->ln_key));
        node->rows_digest = 0;
        insert_ln_key(nodes, at);
    }
    node->stake_sats = row->stake_sats;
    node->left = node->left && row->status == OWM_NODE_PENDING;
    node->tier = row->capabilities.tier;
    node->status = row->status;
    *number = at;
    *is_new = added || rekeyed;
    return OWM_OK;
}

uint32_t stake_nodes_by_id(const struct stake_nodes *nodes, const uint8_t *node_id)
{
    return find(nodes, &nodes->by_id, node_id);
}

uint32_t stake_nodes_by_public_key(const struct stake_nodes *nodes, const uint8_t *public_key)
{
    return find(nodes, &nodes->by_public_key, public_key);
}

uint32_t stake_nodes_by_ln_key(const struct stake_nodes *nodes, const uint8_t *ln_key)
{
    return is_none(ln_key) ? STAKE_NODE_NONE : find(nodes, &nodes->by_ln_key, ln_key);
}

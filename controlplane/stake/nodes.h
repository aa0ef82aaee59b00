/* nodes.h: the nodes as the stake manager sees them: who is behind a Lightning key, and what was
 * read and told last. Not for other folders. The caller locks. */
#ifndef OWM_STAKE_NODES_H
#define OWM_STAKE_NODES_H

#include "base/lightning/lightning.h"
#include "controlplane/engine/effect.h"

#define STAKE_NODE_NONE UINT32_MAX

struct stake_node {
    uint8_t node_id[16], public_key[32];
    uint8_t ln_key[OWM_LIGHTNING_KEY_BYTES]; /* zero: none */
    enum owm_tier tier;
    enum owm_node_status status;
    int64_t stake_sats; /* as the engine has it, or was told since */
    bool left;          /* so it was told */
    uint32_t channels;  /* that count */
    int64_t read_ms;
    uint64_t rows_digest; /* of what is in the database; 0: not known */
    int64_t rows_ms;      /* when it was written */
};

struct stake_index {
    uint32_t *slot; /* [mask + 1]: number of the node + 1; 0: empty */
    uint32_t mask, used;
    size_t at, bytes; /* where the key lies in a stake_node */
};

struct stake_nodes {
    struct stake_node *node; /* [max] */
    uint32_t count, max;
    struct stake_index by_id, by_public_key, by_ln_key;
};

OWM_MUST_USE owm_status stake_nodes_init(struct stake_nodes *nodes, uint32_t max);
void stake_nodes_deinit(struct stake_nodes *nodes);

/** stake_nodes_put: add or change. *is_new also when the Lightning key is another one.
 *  OWM_E_LIMIT: the table is full. */
OWM_MUST_USE owm_status stake_nodes_put(struct stake_nodes *nodes, const struct owm_node_row *row,
                                        uint32_t *number, bool *is_new);

/** STAKE_NODE_NONE: not there. */
uint32_t stake_nodes_by_id(const struct stake_nodes *nodes, const uint8_t *node_id);
uint32_t stake_nodes_by_public_key(const struct stake_nodes *nodes, const uint8_t *public_key);
uint32_t stake_nodes_by_ln_key(const struct stake_nodes *nodes, const uint8_t *ln_key);

#endif

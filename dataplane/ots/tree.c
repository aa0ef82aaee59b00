/* tree.c: nodes and attestations in two vectors, their bytes in chunks that never move. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 16384

struct owm_ots_chunk {
    struct owm_ots_chunk *next;
    uint32_t used, room;
    uint8_t data[];
};

static struct owm_ots_chunk *chunk_with(struct owm_ots_tree *tree, uint32_t bytes)
{
    struct owm_ots_chunk *chunk = tree->chunks;
    if (chunk && chunk->room - chunk->used >= bytes) return chunk;
    uint32_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk = malloc(sizeof *chunk + room);
    if (!chunk) return NULL;
    chunk->next = tree->chunks;
    chunk->used = 0;
    chunk->room = room;
    tree->chunks = chunk;
    return chunk;
}

static owm_status keep(struct owm_ots_tree *tree, struct owm_ots_bytes from,
                       struct owm_ots_bytes *kept, struct owm_error *error)
{
    struct owm_ots_chunk *chunk = chunk_with(tree, from.bytes);
    if (!chunk) return owm_fail(error, OWM_E_NOMEM, "no memory for a proof");
    uint8_t *to = chunk->data + chunk->used;
    if (from.bytes > 0) memcpy(to, from.data, from.bytes);
    chunk->used += from.bytes;
    *kept = (struct owm_ots_bytes){to, from.bytes};
    return OWM_OK;
}

/* Room for one more of either vector. */
static owm_status grow(void **vector, uint32_t count, uint32_t *room, size_t item_bytes,
                       struct owm_error *error)
{
    if (count < *room) return OWM_OK;
    uint32_t more = *room ? 2 * *room : 64;
    void *grown = realloc(*vector, more * item_bytes);
    if (!grown) return owm_fail(error, OWM_E_NOMEM, "no memory for a proof");
    *vector = grown;
    *room = more;
    return OWM_OK;
}

static owm_status check_items(const struct owm_ots_tree *tree, struct owm_error *error)
{
    if (tree->node_count + tree->attestation_count < OWM_OTS_ITEMS_MAX) return OWM_OK;
    return owm_fail(error, OWM_E_LIMIT, "a proof of more than %d operations and attestations",
                    OWM_OTS_ITEMS_MAX);
}

static owm_status new_node(struct owm_ots_tree *tree, const struct owm_ots_node *node,
                           struct owm_error *error)
{
    owm_status status = check_items(tree, error);
    if (status == OWM_OK)
        status =
            grow((void **)&tree->nodes, tree->node_count, &tree->node_room, sizeof *node, error);
    struct owm_ots_node kept = *node;
    if (status == OWM_OK) status = keep(tree, node->message, &kept.message, error);
    if (status == OWM_OK) status = keep(tree, node->op.argument, &kept.op.argument, error);
    if (status != OWM_OK) return status;
    tree->nodes[tree->node_count++] = kept;
    tree->changed = true;
    return OWM_OK;
}

owm_status owm_ots_tree_init(struct owm_ots_tree *tree, struct owm_ots_bytes message,
                             struct owm_error *error)
{
    *tree = (struct owm_ots_tree){.nodes = NULL};
    if (message.bytes > OWM_OTS_MESSAGE_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "a message of %u bytes; at most %d", message.bytes,
                        OWM_OTS_MESSAGE_BYTES_MAX);
    struct owm_ots_node root = {
        .message = message,
        .parent = OWM_OTS_NONE,
        .child = OWM_OTS_NONE,
        .next = OWM_OTS_NONE,
        .attestation = OWM_OTS_NONE,
    };
    owm_status status = new_node(tree, &root, error);
    if (status != OWM_OK) owm_ots_tree_deinit(tree);
    return status;
}

void owm_ots_tree_deinit(struct owm_ots_tree *tree)
{
    while (tree->chunks) {
        struct owm_ots_chunk *next = tree->chunks->next;
        free(tree->chunks);
        tree->chunks = next;
    }
    free(tree->nodes);
    free(tree->attestations);
    *tree = (struct owm_ots_tree){.nodes = NULL};
}

static int compare_ops(const struct owm_ots_op *a, const struct owm_ots_op *b)
{
    if (a->tag != b->tag) return a->tag < b->tag ? -1 : 1;
    return owm_ots_bytes_compare(a->argument, b->argument);
}

/* The link that points at the op, or at the first behind its place. */
static uint32_t *place_of_op(struct owm_ots_tree *tree, uint32_t node, const struct owm_ots_op *op,
                             bool *found)
{
    uint32_t *link = &tree->nodes[node].child;
    int order = 1;
    for (; *link != OWM_OTS_NONE; link = &tree->nodes[*link].next) {
        order = compare_ops(op, &tree->nodes[*link].op);
        if (order <= 0) break;
    }
    *found = order == 0;
    return link;
}

owm_status owm_ots_add_op(struct owm_ots_tree *tree, uint32_t node, struct owm_ots_op op,
                          uint32_t *child, struct owm_error *error)
{
    bool found;
    uint32_t *link = place_of_op(tree, node, &op, &found);
    *child = *link;
    if (found) return OWM_OK;
    if (tree->nodes[node].depth + 1 >= OWM_OTS_NODES_DEEP_MAX)
        return owm_fail(error, OWM_E_LIMIT, "a proof of more than %d operations in a row",
                        OWM_OTS_NODES_DEEP_MAX - 1);
    uint8_t result[OWM_OTS_MESSAGE_BYTES_MAX];
    struct owm_ots_node made = {
        .op = op,
        .message = {.data = result},
        .parent = node,
        .child = OWM_OTS_NONE,
        .next = *link,
        .attestation = OWM_OTS_NONE,
        .depth = tree->nodes[node].depth + 1,
    };
    owm_status status =
        owm_ots_op_apply(&op, tree->nodes[node].message, result, &made.message.bytes, error);
    if (status == OWM_OK) status = new_node(tree, &made, error);
    if (status != OWM_OK) return status;
    *child = tree->node_count - 1;
    *place_of_op(tree, node, &op, &found) = *child; /* The vector may have moved. */
    return OWM_OK;
}

owm_status owm_ots_add_attestation(struct owm_ots_tree *tree, uint32_t node,
                                   const struct owm_ots_attestation *attestation, bool *added,
                                   struct owm_error *error)
{
    if (added) *added = false;
    owm_status status = grow((void **)&tree->attestations, tree->attestation_count,
                             &tree->attestation_room, sizeof *attestation, error);
    if (status != OWM_OK) return status;
    uint32_t *link = &tree->nodes[node].attestation;
    for (; *link != OWM_OTS_NONE; link = &tree->attestations[*link].next) {
        int order = owm_ots_attestation_compare(attestation, &tree->attestations[*link]);
        if (order == 0) return OWM_OK;
        if (order < 0) break;
    }
    struct owm_ots_attestation kept = *attestation;
    status = check_items(tree, error);
    if (status == OWM_OK) status = keep(tree, attestation->detail, &kept.detail, error);
    if (status != OWM_OK) return status;
    kept.node = node;
    kept.next = *link;
    tree->attestations[tree->attestation_count] = kept;
    *link = tree->attestation_count++;
    tree->changed = true;
    if (added) *added = true;
    return OWM_OK;
}

static owm_status merge_attestations(struct owm_ots_tree *tree, uint32_t node,
                                     const struct owm_ots_tree *from, uint32_t first,
                                     uint32_t *added, struct owm_error *error)
{
    for (uint32_t i = first; i != OWM_OTS_NONE; i = from->attestations[i].next) {
        bool new = false;
        owm_status status =
            owm_ots_add_attestation(tree, node, &from->attestations[i], &new, error);
        if (status != OWM_OK) return status;
        *added += new;
    }
    return OWM_OK;
}

owm_status owm_ots_merge(struct owm_ots_tree *tree, uint32_t node, const struct owm_ots_tree *from,
                         uint32_t *added, struct owm_error *error)
{
    uint32_t count = 0;
    if (added) *added = 0;
    if (owm_ots_bytes_compare(tree->nodes[node].message, from->nodes[OWM_OTS_ROOT].message) != 0)
        return owm_fail(error, OWM_E_PROTO, "the two proofs are of different messages");
    uint32_t *at = calloc(from->node_count, sizeof *at); /* Of each node of `from`, in `tree`. */
    if (!at) return owm_fail(error, OWM_E_NOMEM, "no memory to merge proofs");
    at[OWM_OTS_ROOT] = node;
    owm_status status = OWM_OK;
    for (uint32_t i = 0; i < from->node_count && status == OWM_OK; i++) {
        const struct owm_ots_node *n = &from->nodes[i];
        if (i != OWM_OTS_ROOT) status = owm_ots_add_op(tree, at[n->parent], n->op, &at[i], error);
        if (status == OWM_OK)
            status = merge_attestations(tree, at[i], from, n->attestation, &count, error);
    }
    free(at);
    if (added) *added = count;
    return status;
}

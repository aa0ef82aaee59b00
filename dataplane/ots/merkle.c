/* merkle.c: level by level; a group is what stands under one node of the tree that is built, and
 * all its leaves hold that node's message. */
#include "merkle.h"

#include <stdlib.h>
#include <string.h>

static const struct owm_ots_op sha256 = {.tag = OWM_OTS_SHA256};

owm_status owm_ots_blind(struct owm_ots_leaf *leaf, const uint8_t nonce[static OWM_OTS_NONCE_BYTES],
                         struct owm_error *error)
{
    const struct owm_ots_op append = {OWM_OTS_APPEND, {nonce, OWM_OTS_NONCE_BYTES}};
    owm_status status = owm_ots_add_op(leaf->tree, leaf->node, append, &leaf->node, error);
    if (status == OWM_OK)
        status = owm_ots_add_op(leaf->tree, leaf->node, sha256, &leaf->node, error);
    return status;
}

/* A message that stays where it is while trees grow. */
struct sibling {
    uint8_t data[OWM_OTS_MESSAGE_BYTES_MAX];
    uint32_t bytes;
};

static void read_message(const struct owm_ots_leaf *leaf, struct sibling *out)
{
    struct owm_ots_bytes message = leaf->tree->nodes[leaf->node].message;
    out->bytes = message.bytes;
    if (message.bytes > 0) memcpy(out->data, message.data, message.bytes);
}

static owm_status join(struct owm_ots_leaf *leaves, size_t count, uint8_t tag,
                       const struct sibling *sibling, struct owm_error *error)
{
    const struct owm_ots_op op = {tag, {sibling->data, sibling->bytes}};
    for (size_t i = 0; i < count; i++) {
        struct owm_ots_leaf *leaf = &leaves[i];
        owm_status status = owm_ots_add_op(leaf->tree, leaf->node, op, &leaf->node, error);
        if (status == OWM_OK)
            status = owm_ots_add_op(leaf->tree, leaf->node, sha256, &leaf->node, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

owm_status owm_ots_merkle(struct owm_ots_leaf *leaves, size_t count, struct owm_error *error)
{
    if (count == 0 || count > OWM_OTS_LEAVES_MAX)
        return owm_fail(error, OWM_E_ARG, "%zu digests to stamp together; 1 to %d are possible",
                        count, OWM_OTS_LEAVES_MAX);
    struct sibling left, right;
    /* Groups are of `width` leaves, but for the last one, which may be of fewer. */
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t at = 0; at + width < count; at += 2 * width) {
            size_t others = count - at - width < width ? count - at - width : width;
            read_message(&leaves[at], &left);
            read_message(&leaves[at + width], &right);
            owm_status status = join(&leaves[at], width, OWM_OTS_APPEND, &right, error);
            if (status == OWM_OK)
                status = join(&leaves[at + width], others, OWM_OTS_PREPEND, &left, error);
            if (status != OWM_OK) return status;
        }
    }
    return OWM_OK;
}

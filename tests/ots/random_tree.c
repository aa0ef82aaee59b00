/* random_tree.c: grow a tree at random nodes, then attest what would lead nowhere. */
#include "random_tree.h"

#include <string.h>

static void fill(struct owm_rng *rng, uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) data[i] = (uint8_t)owm_rng_u64(rng);
}

static uint64_t random_height(struct owm_rng *rng)
{
    return owm_rng_u64(rng) >> owm_rng_below(rng, 64);
}

struct owm_ots_attestation random_attestation(struct owm_rng *rng)
{
    static uint8_t payload[OWM_OTS_PAYLOAD_BYTES_MAX];
    static char uri[OWM_OTS_URI_BYTES_MAX + 1];
    static const char letters[] = "abcXYZ019-._/:";
    struct owm_ots_attestation made = {.kind = OWM_OTS_UNKNOWN};
    switch (owm_rng_below(rng, 4)) {
    case 0:
        return owm_ots_bitcoin(random_height(rng));
    case 1: {
        static const uint8_t tags[2][8] = {{0x06, 0x86, 0x9a, 0x0d, 0x73, 0xd7, 0x1b, 0x45},
                                           {0x30, 0xfe, 0x80, 0x87, 0xb5, 0xc7, 0xea, 0xd7}};
        uint32_t which = (uint32_t)owm_rng_below(rng, 2);
        made.kind = which ? OWM_OTS_ETHEREUM : OWM_OTS_LITECOIN;
        memcpy(made.tag, tags[which], 8);
        made.height = random_height(rng);
        return made;
    }
    case 2: {
        size_t bytes = owm_rng_below(rng, owm_rng_below(rng, 8) ? 40 : OWM_OTS_URI_BYTES_MAX + 1);
        for (size_t i = 0; i < bytes; i++) uri[i] = letters[owm_rng_below(rng, sizeof letters - 1)];
        uri[bytes] = 0;
        owm_status status = owm_ots_pending(uri, &made, NULL);
        OWM_ASSERT(status == OWM_OK);
        return made;
    }
    default:
        fill(rng, made.tag, 8);
        made.detail.bytes = (uint32_t)owm_rng_below(rng, owm_rng_below(rng, 8) ? 50 : 8193);
        made.detail.data = payload;
        fill(rng, payload, made.detail.bytes);
        return made;
    }
}

static void random_op(struct owm_rng *rng, struct owm_ots_tree *tree, uint32_t node)
{
    static const uint8_t tags[] = {OWM_OTS_SHA1,    OWM_OTS_RIPEMD160, OWM_OTS_SHA256,
                                   OWM_OTS_APPEND,  OWM_OTS_PREPEND,   OWM_OTS_KECCAK256,
                                   OWM_OTS_REVERSE, OWM_OTS_HEXLIFY};
    static uint8_t argument[OWM_OTS_MESSAGE_BYTES_MAX];
    struct owm_ots_op op = {.tag = tags[owm_rng_below(rng, sizeof tags)]};
    if (owm_ots_op_binary(op.tag)) {
        uint32_t longest = owm_rng_below(rng, 8) ? 40 : OWM_OTS_MESSAGE_BYTES_MAX;
        op.argument.bytes = 1 + (uint32_t)owm_rng_below(rng, longest);
        op.argument.data = argument;
        fill(rng, argument, op.argument.bytes);
    }
    uint32_t child;
    owm_status status = owm_ots_add_op(tree, node, op, &child, NULL);
    OWM_ASSERT(status == OWM_OK || status == OWM_E_PROTO); /* A result that is too long. */
}

static void attest(struct owm_rng *rng, struct owm_ots_tree *tree, uint32_t node)
{
    struct owm_ots_attestation attestation = random_attestation(rng);
    owm_status status = owm_ots_add_attestation(tree, node, &attestation, NULL, NULL);
    OWM_ASSERT(status == OWM_OK);
}

void random_proof(struct owm_rng *rng, struct owm_ots_proof *proof)
{
    uint8_t digest[32];
    fill(rng, digest, 32);
    owm_status status =
        owm_ots_proof_init(proof, OWM_OTS_SHA256, (struct owm_ots_bytes){digest, 32}, NULL);
    OWM_ASSERT(status == OWM_OK);
    struct owm_ots_tree *tree = &proof->tree;
    uint64_t ops = owm_rng_below(rng, 40);
    for (uint64_t i = 0; i < ops; i++) {
        /* Mostly at the newest node, so that paths get long. */
        uint64_t back = owm_rng_below(rng, 4) ? 0 : owm_rng_below(rng, tree->node_count);
        random_op(rng, tree, tree->node_count - 1 - (uint32_t)back);
    }
    for (uint32_t i = 0; i < tree->node_count; i++)
        if (tree->nodes[i].child == OWM_OTS_NONE || owm_rng_below(rng, 8) == 0)
            for (uint64_t n = 1 + owm_rng_below(rng, 3); n > 0; n--) attest(rng, tree, i);
}

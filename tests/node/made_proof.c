/* made_proof.c: one path: append, sha256 for the promises; append, sha256 again for the block. */
#include "made_proof.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

#define SALT "sixteen bytes of"
#define LEAF "a merkle branch"

static void step(struct owm_ots_tree *tree, const char *text, uint32_t *node)
{
    const struct owm_ots_op append = {OWM_OTS_APPEND,
                                      {(const uint8_t *)text, (uint32_t)strlen(text)}};
    const struct owm_ots_op hash = {.tag = OWM_OTS_SHA256};
    owm_status status = owm_ots_add_op(tree, *node, append, node, NULL);
    OWM_ASSERT(status == OWM_OK);
    status = owm_ots_add_op(tree, *node, hash, node, NULL);
    OWM_ASSERT(status == OWM_OK);
}

static void attest(struct owm_ots_tree *tree, uint32_t node,
                   const struct owm_ots_attestation *attestation)
{
    owm_status status = owm_ots_add_attestation(tree, node, attestation, NULL, NULL);
    OWM_ASSERT(status == OWM_OK);
}

void made_proof_make(const struct made_wanted *wanted, struct made_proof *made)
{
    struct owm_ots_proof proof;
    struct owm_ots_attestation attestation;
    uint32_t node = OWM_OTS_ROOT;
    const struct owm_ots_bytes digest = {wanted->sha256, 32};
    owm_status status = owm_ots_proof_init(&proof, OWM_OTS_SHA256, digest, NULL);
    OWM_ASSERT(status == OWM_OK);
    step(&proof.tree, SALT, &node);
    for (size_t i = 0; i < 8 && wanted->calendar[i] != NULL; i++) {
        status = owm_ots_pending(wanted->calendar[i], &attestation, NULL);
        OWM_ASSERT(status == OWM_OK);
        attest(&proof.tree, node, &attestation);
    }
    if (wanted->height > 0) {
        step(&proof.tree, LEAF, &node);
        attestation = owm_ots_bitcoin(wanted->height);
        attest(&proof.tree, node, &attestation);
    }
    status = owm_ots_proof_write(&proof, &made->data, &made->bytes, NULL);
    OWM_ASSERT(status == OWM_OK);
    made_root(wanted->sha256, made->root);
    owm_ots_proof_deinit(&proof);
}

void made_proof_free(struct made_proof *made)
{
    free(made->data);
    made->data = NULL;
}

static void hash_with(const uint8_t in[32], const char *text, uint8_t out[32])
{
    struct owm_sha256_ctx sha;
    owm_sha256_init(&sha);
    owm_sha256_update(&sha, in, 32);
    owm_sha256_update(&sha, text, strlen(text));
    owm_sha256_final(&sha, out);
}

void made_root(const uint8_t sha256[static 32], uint8_t root[static 32])
{
    uint8_t middle[32];
    hash_with(sha256, SALT, middle);
    hash_with(middle, LEAF, root);
}

/* proof.c: a tree to bytes, and the detached file around it. */
#include "proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof_internal.h"

#define MAJOR_VERSION 1

static const uint8_t magic[OWM_OTS_MAGIC_BYTES] = {
    0x00, 'O', 'p', 'e', 'n', 'T', 'i',  'm',  'e',  's',  't',  'a',  'm',  'p',  's',  0x00,
    0x00, 'P', 'r', 'o', 'o', 'f', 0x00, 0xbf, 0x89, 0xe2, 0xe8, 0x84, 0xe8, 0x92, 0x94,
};

static void put(FILE *out, const void *data, size_t bytes)
{
    if (bytes > 0) (void)fwrite(data, 1, bytes, out); /* put_close asks ferror. */
}

static void put_varbytes(FILE *out, struct owm_ots_bytes data)
{
    uint8_t length[OWM_OTS_VARUINT_BYTES_MAX];
    put(out, length, owm_ots_varuint_write(data.bytes, length));
    put(out, data.data, data.bytes);
}

static void put_attestation(FILE *out, const struct owm_ots_attestation *attestation, bool more)
{
    uint8_t payload[OWM_OTS_PAYLOAD_BYTES_MAX];
    if (more) putc(0xff, out);
    putc(0x00, out);
    put(out, attestation->tag, OWM_OTS_TAG_BYTES);
    uint32_t bytes = owm_ots_attestation_payload(attestation, payload);
    put_varbytes(out, (struct owm_ots_bytes){payload, bytes});
}

static void put_attestations(FILE *out, const struct owm_ots_tree *tree, uint32_t node)
{
    bool ops = tree->nodes[node].child != OWM_OTS_NONE;
    uint32_t i = tree->nodes[node].attestation;
    for (; i != OWM_OTS_NONE; i = tree->attestations[i].next)
        put_attestation(out, &tree->attestations[i],
                        ops || tree->attestations[i].next != OWM_OTS_NONE);
}

static void put_op(FILE *out, const struct owm_ots_node *node)
{
    if (node->next != OWM_OTS_NONE) putc(0xff, out);
    putc(node->op.tag, out);
    if (owm_ots_op_binary(node->op.tag)) put_varbytes(out, node->op.argument);
}

/* The next node in the order of writing; OWM_OTS_NONE after the last. */
static uint32_t following(const struct owm_ots_tree *tree, uint32_t node)
{
    if (tree->nodes[node].child != OWM_OTS_NONE) return tree->nodes[node].child;
    while (node != OWM_OTS_ROOT && tree->nodes[node].next == OWM_OTS_NONE)
        node = tree->nodes[node].parent;
    return tree->nodes[node].next;
}

static owm_status put_tree(FILE *out, const struct owm_ots_tree *tree, struct owm_error *error)
{
    for (uint32_t i = OWM_OTS_ROOT; i != OWM_OTS_NONE; i = following(tree, i)) {
        const struct owm_ots_node *node = &tree->nodes[i];
        if (node->child == OWM_OTS_NONE && node->attestation == OWM_OTS_NONE)
            return owm_fail(error, OWM_E_STATE, "a part of the proof leads to no attestation");
        if (i != OWM_OTS_ROOT) put_op(out, node);
        put_attestations(out, tree, i);
    }
    return OWM_OK;
}

/* proof: NULL: the tree alone. */
static owm_status put_all(const struct owm_ots_proof *proof, const struct owm_ots_tree *tree,
                          uint8_t **data, size_t *bytes, struct owm_error *error)
{
    char *text = NULL;
    *data = NULL;
    FILE *out = open_memstream(&text, bytes);
    if (!out) return owm_fail(error, OWM_E_NOMEM, "no memory to write a proof");
    if (proof) {
        put(out, magic, sizeof magic);
        putc(MAJOR_VERSION, out);
        putc(proof->file_op, out);
        put(out, tree->nodes[OWM_OTS_ROOT].message.data, tree->nodes[OWM_OTS_ROOT].message.bytes);
    }
    owm_status status = put_tree(out, tree, error);
    bool whole = !ferror(out);
    if (fclose(out) != 0) whole = false;
    if (status == OWM_OK && !whole)
        status = owm_fail(error, OWM_E_NOMEM, "no memory to write a proof");
    if (status == OWM_OK && *bytes > OWM_OTS_FILE_BYTES_MAX)
        status = owm_fail(error, OWM_E_LIMIT, "a proof of %zu bytes; at most %d", *bytes,
                          OWM_OTS_FILE_BYTES_MAX);
    if (status == OWM_OK)
        *data = (uint8_t *)text;
    else
        free(text);
    return status;
}

owm_status owm_ots_serialise(const struct owm_ots_tree *tree, uint8_t **data, size_t *bytes,
                             struct owm_error *error)
{
    return put_all(NULL, tree, data, bytes, error);
}

owm_status owm_ots_proof_init(struct owm_ots_proof *proof, uint8_t file_op,
                              struct owm_ots_bytes digest, struct owm_error *error)
{
    *proof = (struct owm_ots_proof){.file_op = file_op};
    uint32_t bytes = owm_ots_digest_bytes(file_op);
    if (bytes == 0)
        return owm_fail(error, OWM_E_PROTO, "0x%02x is no hash that a file can be named by",
                        file_op);
    if (digest.bytes != bytes)
        return owm_fail(error, OWM_E_PROTO, "a %s digest is of %u bytes, not %u",
                        owm_ots_op_name(file_op), bytes, digest.bytes);
    return owm_ots_tree_init(&proof->tree, digest, error);
}

static owm_status read_head(struct input *in, struct owm_ots_proof *proof, struct owm_error *error)
{
    const uint8_t *view;
    owm_status status = input_take(in, sizeof magic, "the first bytes", &view, error);
    if (status != OWM_OK) return status;
    if (memcmp(view, magic, sizeof magic) != 0)
        return owm_fail(error, OWM_E_PROTO, "this is no OpenTimestamps proof");
    status = input_take(in, 1, "the version", &view, error);
    if (status != OWM_OK) return status;
    if (*view != MAJOR_VERSION)
        return owm_fail(error, OWM_E_PROTO, "version %u of the format; we know %d", *view,
                        MAJOR_VERSION);
    status = input_take(in, 1, "the file's hash", &view, error);
    if (status != OWM_OK) return status;
    uint8_t file_op = *view;
    struct owm_ots_bytes digest = {.bytes = owm_ots_digest_bytes(file_op)};
    status = input_take(in, digest.bytes, "the file's hash", &digest.data, error);
    if (status != OWM_OK) return status;
    return owm_ots_proof_init(proof, file_op, digest, error);
}

/* Remember how it was written, where that is not how we write. */
static owm_status keep_original(struct owm_ots_proof *proof, const void *data, size_t bytes,
                                struct owm_error *error)
{
    uint8_t *ours = NULL;
    size_t ours_bytes = 0;
    owm_status status = put_all(proof, &proof->tree, &ours, &ours_bytes, error);
    if (status != OWM_OK) return status;
    proof->canonical = ours_bytes == bytes && memcmp(ours, data, bytes) == 0;
    free(ours);
    proof->original = malloc(bytes);
    if (!proof->original) return owm_fail(error, OWM_E_NOMEM, "no memory for a proof");
    memcpy(proof->original, data, bytes);
    proof->original_bytes = bytes;
    return OWM_OK;
}

owm_status owm_ots_proof_read(const void *data, size_t bytes, struct owm_ots_proof *proof,
                              struct owm_error *error)
{
    *proof = (struct owm_ots_proof){.file_op = 0};
    if (bytes > OWM_OTS_FILE_BYTES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "a proof of %zu bytes; at most %d", bytes,
                        OWM_OTS_FILE_BYTES_MAX);
    struct input in = {.data = {data, (uint32_t)bytes}};
    owm_status status = read_head(&in, proof, error);
    if (status == OWM_OK) status = input_tree(&in, &proof->tree, error);
    if (status == OWM_OK) status = keep_original(proof, data, bytes, error);
    proof->tree.changed = false;
    if (status != OWM_OK) owm_ots_proof_deinit(proof);
    return status;
}

owm_status owm_ots_proof_write(const struct owm_ots_proof *proof, uint8_t **data, size_t *bytes,
                               struct owm_error *error)
{
    if (proof->tree.changed || !proof->original)
        return put_all(proof, &proof->tree, data, bytes, error);
    *data = malloc(proof->original_bytes);
    if (!*data) return owm_fail(error, OWM_E_NOMEM, "no memory to write a proof");
    memcpy(*data, proof->original, proof->original_bytes);
    *bytes = proof->original_bytes;
    return OWM_OK;
}

void owm_ots_proof_deinit(struct owm_ots_proof *proof)
{
    owm_ots_tree_deinit(&proof->tree);
    free(proof->original);
    proof->original = NULL;
}

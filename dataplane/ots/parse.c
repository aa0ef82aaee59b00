/* parse.c: bytes to a tree, with a stack of frames instead of recursion. */
#include <stdlib.h>
#include <string.h>

#include "proof.h"
#include "proof_internal.h"

#define TAG_ATTESTATION 0x00
#define TAG_MORE        0xff

static owm_status ends(const struct input *in, const char *what, struct owm_error *error)
{
    return owm_fail(error, OWM_E_PROTO, "the proof ends inside %s, at byte %zu", what,
                    in->offset + in->data.bytes);
}

owm_status input_take(struct input *in, uint32_t bytes, const char *what, const uint8_t **view,
                      struct owm_error *error)
{
    *view = in->data.data + in->at;
    if (in->data.bytes - in->at < bytes) return ends(in, what, error);
    in->at += bytes;
    return OWM_OK;
}

static owm_status take_varbytes(struct input *in, uint32_t max, const char *what,
                                struct owm_ots_bytes *out, struct owm_error *error)
{
    size_t at = in->offset + in->at;
    uint64_t bytes = 0;
    owm_status status = owm_ots_varuint_read(in->data, &in->at, &bytes);
    if (status == OWM_E_LIMIT)
        return owm_fail(error, OWM_E_PROTO, "the length of %s at byte %zu is over 64 bits", what,
                        at);
    if (status != OWM_OK) return ends(in, what, error);
    if (bytes > max)
        return owm_fail(error, OWM_E_PROTO, "%s at byte %zu is of %llu bytes; at most %u", what, at,
                        (unsigned long long)bytes, max);
    out->bytes = (uint32_t)bytes;
    return input_take(in, out->bytes, what, &out->data, error);
}

/* The sentence of a deeper function, with the place in front. */
static owm_status at_byte(size_t at, owm_status status, struct owm_error *error)
{
    if (status == OWM_OK || !error) return status;
    struct owm_error inner = *error;
    return owm_fail(error, status, "at byte %zu: %.400s", at, inner.text);
}

static owm_status parse_attestation(struct input *in, struct owm_ots_tree *tree, uint32_t node,
                                    struct owm_error *error)
{
    size_t start = in->offset + in->at;
    const uint8_t *tag;
    struct owm_ots_bytes payload;
    struct owm_ots_attestation attestation;
    owm_status status = input_take(in, OWM_OTS_TAG_BYTES, "an attestation", &tag, error);
    if (status == OWM_OK)
        status = take_varbytes(in, OWM_OTS_PAYLOAD_BYTES_MAX, "an attestation", &payload, error);
    if (status != OWM_OK) return status;
    status = owm_ots_attestation_read(tag, payload, &attestation, error);
    if (status == OWM_OK) status = owm_ots_add_attestation(tree, node, &attestation, NULL, error);
    return at_byte(start, status, error);
}

static owm_status parse_op(struct input *in, struct owm_ots_tree *tree, uint8_t tag, uint32_t *node,
                           struct owm_error *error)
{
    size_t start = in->offset + in->at - 1;
    struct owm_ots_op op = {.tag = tag};
    if (owm_ots_op_binary(tag)) {
        owm_status status =
            take_varbytes(in, OWM_OTS_MESSAGE_BYTES_MAX, owm_ots_op_name(tag), &op.argument, error);
        if (status != OWM_OK) return status;
    }
    return at_byte(start, owm_ots_add_op(tree, *node, op, node, error), error);
}

/* A node being read; `more` says that its last item had another one behind it. */
struct frame {
    uint32_t node;
    bool more;
};

static owm_status parse_tag(struct input *in, struct frame *frame, uint8_t *tag,
                            struct owm_error *error)
{
    const uint8_t *byte;
    owm_status status = input_take(in, 1, "an item", &byte, error);
    if (status != OWM_OK) return status;
    frame->more = *byte == TAG_MORE;
    if (frame->more) status = input_take(in, 1, "an item", &byte, error);
    if (status != OWM_OK) return status;
    if (*byte == TAG_MORE)
        return owm_fail(error, OWM_E_PROTO, "a second 0xff at byte %zu", in->offset + in->at - 1);
    *tag = *byte;
    return OWM_OK;
}

owm_status input_tree(struct input *in, struct owm_ots_tree *tree, struct owm_error *error)
{
    struct frame stack[OWM_OTS_NODES_DEEP_MAX];
    uint32_t depth = 1; /* Frames in use. */
    stack[0] = (struct frame){.node = OWM_OTS_ROOT};
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];
        uint8_t tag = 0;
        owm_status status = parse_tag(in, top, &tag, error);
        if (status != OWM_OK) return status;
        if (tag == TAG_ATTESTATION) {
            status = parse_attestation(in, tree, top->node, error);
            while (depth > 0 && !stack[depth - 1].more) depth--;
        } else {
            uint32_t node = top->node;
            status = parse_op(in, tree, tag, &node, error); /* Bounds the depth. */
            if (status == OWM_OK) stack[depth++] = (struct frame){.node = node};
        }
        if (status != OWM_OK) return status;
    }
    if (in->at != in->data.bytes)
        return owm_fail(error, OWM_E_PROTO, "%u bytes behind the end of the proof, at byte %zu",
                        in->data.bytes - in->at, in->offset + in->at);
    return OWM_OK;
}

owm_status owm_ots_parse(struct owm_ots_tree *tree, struct owm_ots_bytes data,
                         struct owm_error *error)
{
    if (data.bytes > OWM_OTS_FILE_BYTES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "a proof of %u bytes; at most %d", data.bytes,
                        OWM_OTS_FILE_BYTES_MAX);
    struct input in = {.data = data};
    return input_tree(&in, tree, error);
}

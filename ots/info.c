/* info.c: a proof as a tree for people, or its digest and attestations as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "commands.h"
#include "proof_file.h"
#include "report.h"

#define SHOWN_BYTES_MAX 64

/* Hex, cut where it gets long. */
static void hex_of(struct owm_ots_bytes data, char text[static 2 * SHOWN_BYTES_MAX + 8])
{
    uint32_t bytes = data.bytes > SHOWN_BYTES_MAX ? SHOWN_BYTES_MAX : data.bytes;
    owm_hex_encode(data.data, bytes, text);
    if (bytes < data.bytes) snprintf(text + 2 * bytes, 8, "…");
}

static void describe(const struct owm_ots_attestation *attestation, char *text, size_t room)
{
    char hex[2 * SHOWN_BYTES_MAX + 8], tag[2 * OWM_OTS_TAG_BYTES + 1];
    if (attestation->kind == OWM_OTS_PENDING) {
        snprintf(text, room, "promise of %.*s", (int)attestation->detail.bytes,
                 (const char *)attestation->detail.data);
    } else if (attestation->kind == OWM_OTS_UNKNOWN) {
        hex_of(attestation->detail, hex);
        owm_hex_encode(attestation->tag, OWM_OTS_TAG_BYTES, tag);
        snprintf(text, room, "unknown attestation %s %s", tag, hex);
    } else {
        snprintf(text, room, "%s block %llu", owm_ots_kind_name(attestation->kind),
                 (unsigned long long)attestation->height);
    }
}

static void print_attestations(const struct owm_ots_tree *tree, uint32_t node, int indent)
{
    char text[OWM_OTS_URI_BYTES_MAX + 64], hex[2 * SHOWN_BYTES_MAX + 8];
    uint32_t i = tree->nodes[node].attestation;
    for (; i != OWM_OTS_NONE; i = tree->attestations[i].next) {
        describe(&tree->attestations[i], text, sizeof text);
        hex_of(tree->nodes[node].message, hex);
        printf("%*s=> %s\n%*s   of %s\n", indent, "", text, indent, "", hex);
    }
}

/* Forks indent; a node's first path stays where it is, as in the ots client. */
static void print_tree(const struct owm_ots_tree *tree)
{
    uint32_t node = OWM_OTS_ROOT;
    int indent = 2;
    for (;;) {
        const struct owm_ots_node *n = &tree->nodes[node];
        print_attestations(tree, node, indent);
        if (n->child != OWM_OTS_NONE) {
            if (tree->nodes[n->child].next != OWM_OTS_NONE) indent += 2;
            node = n->child;
        } else {
            while (node != OWM_OTS_ROOT && tree->nodes[node].next == OWM_OTS_NONE) {
                node = tree->nodes[node].parent;
                uint32_t first = tree->nodes[node].child;
                if (tree->nodes[first].next != OWM_OTS_NONE) indent -= 2;
            }
            if (node == OWM_OTS_ROOT) return;
            node = tree->nodes[node].next;
        }
        char hex[2 * SHOWN_BYTES_MAX + 8];
        hex_of(tree->nodes[node].op.argument, hex);
        printf("%*s%s %s\n", indent, "", owm_ots_op_name(tree->nodes[node].op.tag), hex);
    }
}

static json_t *details_of(const struct owm_ots_proof *proof, const char *digest)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < proof->tree.attestation_count; i++) {
        const struct owm_ots_attestation *a = &proof->tree.attestations[i];
        char text[OWM_OTS_URI_BYTES_MAX + 64], hex[2 * SHOWN_BYTES_MAX + 8];
        describe(a, text, sizeof text);
        hex_of(proof->tree.nodes[a->node].message, hex);
        json_t *item = json_pack("{s:s, s:o, s:s}", "kind", owm_ots_kind_name(a->kind), "text",
                                 owm_json_text(text), "message", hex);
        json_array_append_new(list, item);
    }
    return json_pack("{s:s, s:s, s:b, s:o}", "hash", owm_ots_op_name(proof->file_op), "digest",
                     digest, "canonical", proof->canonical, "attestations", list);
}

static int info(const struct options *options, const char *name)
{
    struct owm_ots_proof proof;
    struct owm_error error = {.text = ""};
    if (proof_file_read(name, &proof, &error) != OWM_OK)
        return report_failure(options, name, &error);
    char hex[2 * SHOWN_BYTES_MAX + 8], sentence[2 * SHOWN_BYTES_MAX + 64];
    hex_of(proof.tree.nodes[OWM_OTS_ROOT].message, hex);
    snprintf(sentence, sizeof sentence, "a proof of %s %s", owm_ots_op_name(proof.file_op), hex);
    report(options, name, "read", sentence, options->json ? details_of(&proof, hex) : NULL);
    if (!options->json) print_tree(&proof.tree);
    owm_ots_proof_deinit(&proof);
    return EXIT_DONE;
}

int command_info(const struct options *options)
{
    int code = EXIT_DONE;
    for (size_t i = 0; i < options->file_count; i++)
        code = report_worse(code, info(options, options->files[i]));
    return code;
}

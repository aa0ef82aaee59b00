/* fuzz_ots.c: any bytes as a .ots file and as a calendar's answer. What is accepted is written,
 * read again and written again: the same tree, the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/ots/proof.h"
#include "dataplane/ots/verify.h"

static void reread(const struct owm_ots_tree *tree)
{
    uint8_t *once = NULL, *twice = NULL;
    size_t once_bytes = 0, twice_bytes = 0;
    struct owm_ots_tree again;
    if (owm_ots_serialise(tree, &once, &once_bytes, NULL) != OWM_OK) abort();
    if (owm_ots_tree_init(&again, tree->nodes[OWM_OTS_ROOT].message, NULL) != OWM_OK) abort();
    const struct owm_ots_bytes data = {once, (uint32_t)once_bytes};
    if (owm_ots_parse(&again, data, NULL) != OWM_OK) abort();
    if (owm_ots_serialise(&again, &twice, &twice_bytes, NULL) != OWM_OK) abort();
    if (once_bytes != twice_bytes || memcmp(once, twice, once_bytes) != 0) abort();
    uint32_t added = 0;
    if (owm_ots_merge(&again, OWM_OTS_ROOT, tree, &added, NULL) != OWM_OK || added != 0) abort();
    owm_ots_tree_deinit(&again);
    free(once);
    free(twice);
}

static void as_file(const uint8_t *bytes, size_t count)
{
    struct owm_ots_proof proof;
    struct owm_error error = {.text = ""};
    if (owm_ots_proof_read(bytes, count, &proof, &error) != OWM_OK) {
        if (error.text[0] == 0) abort();
        return;
    }
    uint8_t *written = NULL;
    size_t written_bytes = 0;
    if (owm_ots_proof_write(&proof, &written, &written_bytes, &error) != OWM_OK) abort();
    if (written_bytes != count || memcmp(written, bytes, count) != 0) abort();
    free(written);
    struct owm_ots_verdict verdict;
    owm_ots_outlook(&proof.tree, &verdict);
    if (verdict.outcome == OWM_OTS_CONFIRMED) abort();
    reread(&proof.tree);
    owm_ots_proof_deinit(&proof);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const uint8_t digest[32] = {1};
    as_file(bytes, count);
    struct owm_ots_tree tree;
    struct owm_error error = {.text = ""};
    if (owm_ots_tree_init(&tree, (struct owm_ots_bytes){digest, 32}, NULL) != OWM_OK) abort();
    const struct owm_ots_bytes data = {bytes, (uint32_t)count};
    if (owm_ots_parse(&tree, data, &error) == OWM_OK) reread(&tree);
    owm_ots_tree_deinit(&tree);
    return 0;
}

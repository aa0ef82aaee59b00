/* fuzz_pool_query.c: what strangers ask the pool's page for, and their names back in its markup. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/page_html.h"
#include "pool/rest_query.h"

#define QUERY_BYTES_MAX 2048

/** Markup of a link must hold exactly its own tags, whatever the name is. */
static void check_link(const struct owm_miner *miner)
{
    char *text = NULL;
    size_t bytes = 0, opened = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return;
    owm_html_miner_link(out, miner);
    if (fclose(out) != 0) return;
    for (size_t i = 0; i < bytes; i++) opened += text[i] == '<';
    if (opened != 4 || strstr(text, "<script")) abort();
    free(text);
}

static void check_miner(const char *name, char *query)
{
    struct owm_miner miner, again;
    struct owm_error error = {""};
    if (owm_query_node(name, query, &miner, &error) != OWM_OK) return;
    /* What was understood is understood the same when it is asked for by its own text. */
    const char *kind = miner.kind == OWM_MINER_NODE ? "node" : "name";
    if (owm_query_miner(miner.text, kind, &again, &error) != OWM_OK
        || memcmp(&miner, &again, sizeof miner.id) != 0)
        abort();
    check_link(&miner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char whole[QUERY_BYTES_MAX], query[QUERY_BYTES_MAX];
    struct owm_error error = {""};
    struct owm_miner miner;
    const char *name;
    if (bytes >= sizeof whole) return 0;
    memcpy(whole, data, bytes);
    whole[bytes] = '\0';
    if (owm_query_page_miner(whole, &name, &miner, &error) == OWM_OK) check_link(&miner);
    memcpy(query, whole, sizeof query);
    struct owm_query_page page;
    if (owm_query_payouts(query, &page, &error) == OWM_OK
        && (page.limit < 1 || page.limit > OWM_REST_PAYOUTS_MAX || strlen(page.before) > bytes))
        abort();
    char *cut = strchr(whole, '?');
    if (cut) *cut = '\0';
    memcpy(query, cut ? cut + 1 : "", cut ? strlen(cut + 1) + 1 : 1);
    check_miner(whole, query);
    return 0;
}

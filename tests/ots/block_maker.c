/* block_maker.c: half of all nonces are enough on regtest. */
#include "block_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/chain/template.h"
#include "dataplane/ots/headers.h"

static struct owm_template *fetch(owm_ots_bitcoin_rpc *node)
{
    json_t *result = NULL;
    struct owm_template *block = NULL;
    if (owm_ots_bitcoin_call(node, "getblocktemplate", "[{\"rules\":[\"segwit\"]}]", &result, NULL,
                             NULL)
        != OWM_OK)
        return NULL;
    char *text = json_dumps(result, 0);
    json_decref(result);
    owm_status status = text ? owm_template_parse(text, strlen(text), &block, NULL) : OWM_E_NOMEM;
    free(text);
    return status == OWM_OK ? block : NULL;
}

static char *solve(const struct owm_template *block)
{
    static const uint8_t extranonce[8] = {1};
    const struct owm_coinbase_plan plan = {
        .script = {0x51}, .script_bytes = 1, .extranonce_bytes = sizeof extranonce};
    struct owm_coinbase coinbase;
    uint8_t root[32], header[80];
    char *hex = NULL;
    if (owm_coinbase_build(block, &plan, &coinbase, NULL) != OWM_OK) return NULL;
    owm_merkle_root(block, &coinbase, extranonce, root);
    struct owm_header_fields fields = {.version = block->version,
                                       .time_s = block->current_time_s,
                                       .bits = block->bits,
                                       .previous = block->previous,
                                       .root = root};
    do {
        owm_header_write(&fields, header);
        fields.nonce++;
    } while (owm_ots_header_work(OWM_REGTEST, header, NULL) != OWM_OK);
    return owm_block_hex(block, &coinbase, extranonce, header, &hex) == OWM_OK ? hex : NULL;
}

bool block_make(owm_ots_bitcoin_rpc *node)
{
    struct owm_template *block = fetch(node);
    char *hex = block ? solve(block) : NULL, *params = NULL;
    json_t *result = NULL;
    bool taken = hex && asprintf(&params, "[\"%s\"]", hex) > 0
                 && owm_ots_bitcoin_call(node, "submitblock", params, &result, NULL, NULL) == OWM_OK
                 && json_is_null(result);
    json_decref(result);
    owm_template_release(block);
    free(params);
    free(hex);
    return taken;
}

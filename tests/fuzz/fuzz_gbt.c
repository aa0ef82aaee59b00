/* fuzz_gbt.c: any text as a node's template: refused, or a block comes out of it. */
#include <stdlib.h>

#include "dataplane/chain/template.h"
#include "dataplane/chain/transaction.h"

static void use(const struct owm_template *block)
{
    static const uint8_t extranonce[OWM_EXTRANONCE_BYTES_MAX];
    const struct owm_coinbase_plan plan = {
        .script = {0x51}, .script_bytes = 1, .tag = "/fuzz/", .extranonce_bytes = 8};
    struct owm_coinbase coinbase;
    uint8_t root[32], header[80];
    char *hex;
    if (owm_coinbase_build(block, &plan, &coinbase, NULL) != OWM_OK) abort();
    owm_merkle_root(block, &coinbase, extranonce, root);
    const struct owm_header_fields fields = {
        block->version, block->current_time_s, block->bits, 0, block->previous, root};
    owm_header_write(&fields, header);
    if (owm_block_hex(block, &coinbase, extranonce, header, &hex) == OWM_OK) free(hex);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct owm_template *block;
    struct owm_transaction transaction;
    struct owm_error error;
    (void)!owm_transaction_read(bytes, count, &transaction, &error);
    if (owm_template_parse((const char *)bytes, count, &block, &error) != OWM_OK) return 0;
    use(block);
    owm_template_release(block);
    return 0;
}

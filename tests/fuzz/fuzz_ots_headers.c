/* fuzz_ots_headers.c: any bytes as a file of headers: refused, or written with the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/ots/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    for (int network = OWM_MAINNET; network <= OWM_REGTEST; network++) {
        struct owm_ots_chain chain;
        struct owm_error error = {.text = ""};
        owm_ots_chain_init(&chain, (enum owm_network)network);
        owm_status status = owm_ots_chain_read(&chain, bytes, count, &error);
        if (status != OWM_OK && error.text[0] == 0) abort();
        uint8_t *written = NULL;
        size_t written_bytes = 0;
        if (owm_ots_chain_write(&chain, &written, &written_bytes, NULL) != OWM_OK) abort();
        if (status == OWM_OK && (written_bytes != count || memcmp(written, bytes, count) != 0))
            abort();
        /* What was read before an error is a chain of its own. */
        struct owm_ots_chain again;
        owm_ots_chain_init(&again, (enum owm_network)network);
        if (owm_ots_chain_read(&again, written, written_bytes, NULL) != OWM_OK) abort();
        if (memcmp(again.tip, chain.tip, 32) != 0) abort();
        owm_ots_chain_deinit(&again);
        owm_ots_chain_deinit(&chain);
        free(written);
    }
    return 0;
}

/* fuzz_address.c: any text as an address of each network: refused, or a script in bounds. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/chain/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = malloc(count + 1);
    if (!text) return 0;
    if (count) memcpy(text, bytes, count);
    text[count] = 0;
    for (int network = OWM_MAINNET; network <= OWM_REGTEST; network++) {
        uint8_t script[OWM_SCRIPT_BYTES_MAX];
        uint32_t script_bytes;
        struct owm_error error;
        owm_status status =
            owm_address_script(text, (enum owm_network)network, script, &script_bytes, &error);
        if (status == OWM_OK && (script_bytes < 4 || script_bytes > 42)) abort();
        if (status != OWM_OK && script_bytes != 0) abort();
    }
    free(text);
    return 0;
}

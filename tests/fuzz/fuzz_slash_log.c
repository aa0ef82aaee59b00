/* fuzz_slash_log.c: a page of the slashing log, from whatever address was given. */
#include <stdlib.h>

#include "controlplane/slashing/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct owm_slash_entry entry[OWM_SLASH_PAGE_MAX];
    const uint8_t none[32] = {0};
    struct owm_error error;
    size_t count = 0;
    bool more = false;
    if (owm_slash_page_read((const char *)data, size, entry, &count, &more, &error) != OWM_OK)
        return 0;
    if (count > OWM_SLASH_PAGE_MAX) abort();
    for (size_t i = 0; i < count; i++)
        if (owm_slash_log_check(&entry[i], i, none, none, &error) == OWM_OK) abort();
    json_decref(owm_slash_page_json(entry, count, none, more));
    return 0;
}

/* fuzz_lightning_text.c: any text as a funding point, a node's address and a signature: refused, or
 * read so that it can be written again. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/lightning/lightning.h"

static void try_point(const char *text)
{
    struct owm_lightning_point point;
    char back[OWM_LIGHTNING_POINT_TEXT];
    if (owm_lightning_point_parse(text, &point) != OWM_OK) return;
    owm_lightning_point_format(&point, back);
    if (strcasecmp(back, text) != 0) abort();
}

static void try_uri(const char *text)
{
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
    if (owm_lightning_uri_parse(text, key, &host) != OWM_OK) return;
    if (host != text + 67 || !strchr(host, ':') || (key[0] != 2 && key[0] != 3)) abort();
}

static void try_signature(const char *text)
{
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    owm_status status = owm_lightning_recover("hi", text, key);
    if (status != OWM_OK && status != OWM_E_CRYPTO) abort();
    if (status == OWM_OK && (strlen(text) != 104 || (key[0] != 2 && key[0] != 3))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = malloc(count + 1);
    if (!text) return 0;
    if (count) memcpy(text, bytes, count);
    text[count] = 0;
    try_point(text);
    try_uri(text);
    try_signature(text);
    free(text);
    return 0;
}

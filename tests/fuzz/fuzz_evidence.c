/* fuzz_evidence.c: bundles and certificates that owm-admin is asked to judge. Input: a bundle, a
 * zero byte, and what every blob is that it names. Random bytes never hold. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/admin/evidence_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct blob {
    const uint8_t *data;
    size_t bytes;
};

/* The hash is checked by the caller, so only the right one is worth giving. */
static owm_status fetch(void *ctx, const uint8_t hash[32], size_t bytes_max, uint8_t **data,
                        size_t *bytes, struct owm_error *error)
{
    const struct blob *blob = ctx;
    (void)hash;
    (void)error;
    if (blob->bytes == 0 || blob->bytes > bytes_max) return OWM_E_NOTFOUND;
    *data = malloc(blob->bytes);
    if (!*data) return OWM_E_NOMEM;
    memcpy(*data, blob->data, blob->bytes);
    *bytes = blob->bytes;
    return OWM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t first = zero ? (size_t)(zero - data) : size;
    struct blob blob = {zero ? zero + 1 : NULL, zero ? size - first - 1 : 0};
    struct owm_evidence_source source = {.ctx = &blob, .fetch = fetch, .out = nowhere};
    enum owm_finding finding;
    struct owm_error error;
    struct certificate certificate;
    if (owm_evidence_verify(&source, data, first, &finding, &error) == OWM_OK
        && finding == OWM_EVIDENCE_HOLDS)
        abort();
    if (certificate_read((const char *)data, first, &certificate, &error) == OWM_OK)
        certificate_free(&certificate);
    return 0;
}

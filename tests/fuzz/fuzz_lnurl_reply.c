/* fuzz_lnurl_reply.c: what a stranger's host answers when it is asked for an invoice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/lightning/address_reply.h"

#define AMOUNT_MSAT 21000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const char *text = (const char *)bytes;
    char url[OWM_LNURL_URL_BYTES], invoice[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_error error = {""};
    owm_status status = owm_lnurl_read_offer(text, count, AMOUNT_MSAT, url, &error);
    if (status == OWM_OK) {
        size_t length = strnlen(url, sizeof url);
        if (length == sizeof url || strncmp(url, "https://", 8) != 0) abort();
        if (length < 12 || strcmp(url + length - 12, "amount=21000") != 0) abort();
    } else if (!error.text[0]) {
        abort();
    }
    error.text[0] = 0;
    status = owm_lnurl_read_invoice(text, count, invoice, &error);
    if (status == OWM_OK) {
        if (strnlen(invoice, sizeof invoice) == sizeof invoice) abort();
        if (strncmp(invoice, "ln", 2) != 0) abort();
    } else if (!error.text[0]) {
        abort();
    }
    return 0;
}

/* address.c: a Lightning address to an invoice, by two requests over HTTPS. */
#include "address.h"

#include <string.h>

#include "address_reply.h"
#include "base/http_client.h"

#define DEADLINE_MS 10000

/* The URL comes from whoever wrote the address, or from the host behind it: never into our own
 * network, never over plain HTTP, no redirects, and no more than a little. */
static owm_status get(const char *url, struct owm_http_result *result, struct owm_error *error)
{
    const char *const headers[] = {"Accept: application/json", NULL};
    const struct owm_http_call call = {.url = url,
                                       .headers = headers,
                                       .public_only = true,
                                       .deadline_ms = DEADLINE_MS,
                                       .reply_bytes_max = OWM_LNURL_REPLY_BYTES_MAX};
    return owm_http_fetch(&call, result, error);
}

/* An error of LNURL may come with any HTTP status: what the body says counts, if it says one. */
static owm_status explain(const struct owm_http_result *result, owm_status status,
                          struct owm_error *error)
{
    if (result->status < 400 || status == OWM_E_STATE) return status;
    return owm_fail(error, OWM_E_STATE, "it answers with HTTP status %u", result->status);
}

owm_status owm_lightning_address_fetch(const char *address, int64_t amount_msat,
                                       char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                       struct owm_error *error)
{
    char first[OWM_LNURL_URL_BYTES], second[OWM_LNURL_URL_BYTES];
    struct owm_http_result result;
    owm_status status = owm_lnurl_first_url(address, first, error);
    if (status == OWM_OK) status = get(first, &result, error);
    if (status != OWM_OK) return status;
    status = owm_lnurl_read_offer((const char *)result.body, result.body_bytes, amount_msat, second,
                                  error);
    status = explain(&result, status, error);
    owm_http_result_deinit(&result);
    if (status == OWM_OK) status = get(second, &result, error);
    if (status != OWM_OK) return status;
    status = owm_lnurl_read_invoice((const char *)result.body, result.body_bytes, invoice, error);
    status = explain(&result, status, error);
    owm_http_result_deinit(&result);
    return status;
}

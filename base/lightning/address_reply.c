/* address_reply.c: the two answers of LNURL-pay, from bytes to what matters. */
#include "address_reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "base/json.h"

#define NAME_BYTES_MAX   64
#define HOST_BYTES_MAX   190
#define AMOUNT_MSAT_MAX  INT64_C(2100000000000000000)
#define NAME_CHARACTERS  "abcdefghijklmnopqrstuvwxyz0123456789-_.+"
#define LABEL_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define LOWER_CASE       "abcdefghijklmnopqrstuvwxyz0123456789"
#define DATA_BYTES_MIN   100
#define BECH32           "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

/* A name of DNS: labels of 1 to 63, at least two, the last not of digits alone (that would be an
 * address). */
static bool is_host(const char *host)
{
    size_t labels = 0, label = 0;
    const char *last = host;
    if (strlen(host) > HOST_BYTES_MAX) return false;
    while ((label = strspn(last, LABEL_CHARACTERS)) > 0) {
        if (label > 63 || last[0] == '-' || last[label - 1] == '-') return false;
        labels++;
        if (last[label] == 0) return labels >= 2 && strspn(last, "0123456789-") < label;
        if (last[label] != '.') return false;
        last += label + 1;
    }
    return false;
}

bool owm_lightning_address_valid(const char *text)
{
    size_t name = strspn(text, NAME_CHARACTERS);
    return name > 0 && name <= NAME_BYTES_MAX && text[name] == '@' && is_host(text + name + 1);
}

owm_status owm_lnurl_first_url(const char *address, char url[OWM_LNURL_URL_BYTES],
                               struct owm_error *error)
{
    if (!owm_lightning_address_valid(address))
        return owm_fail(error, OWM_E_ARG,
                        "'%.80s' is no Lightning address: it must be name@host in lower case",
                        address);
    size_t name = strcspn(address, "@");
    snprintf(url, OWM_LNURL_URL_BYTES, "https://%s/.well-known/lnurlp/%.*s", address + name + 1,
             (int)name, address);
    return OWM_OK;
}

/* What a stranger writes goes into logs: printable ASCII only, and not much of it. */
static void quote(const char *from, char to[OWM_LIGHTNING_TEXT_BYTES])
{
    size_t n = 0;
    for (; from[n] && n + 1 < OWM_LIGHTNING_TEXT_BYTES; n++)
        to[n] = from[n] >= ' ' && from[n] < 0x7f && from[n] != '"' ? from[n] : '?';
    to[n] = 0;
}

static owm_status open_reply(const char *text, size_t bytes, json_t **value,
                             struct owm_error *error)
{
    const char *state = NULL, *reason = "";
    char quoted[OWM_LIGHTNING_TEXT_BYTES];
    owm_status status = owm_json_parse(text, bytes, OWM_LNURL_REPLY_BYTES_MAX, value, error);
    if (status != OWM_OK) return status == OWM_E_NOMEM ? status : OWM_E_PROTO;
    if (!json_is_object(*value))
        status = owm_fail(error, OWM_E_PROTO, "the answer is not a JSON object");
    else
        status = owm_json_string_or(*value, "", "status", "OK", &state, error);
    if (status == OWM_OK && strcmp(state, "ERROR") == 0) {
        status = owm_json_string_or(*value, "", "reason", "", &reason, error);
        quote(reason, quoted);
        if (status == OWM_OK) status = owm_fail(error, OWM_E_STATE, "it refuses: \"%s\"", quoted);
    }
    if (status != OWM_OK) json_decref(*value);
    return status;
}

/* The callback has a query of its own or none; a fragment would swallow ours. */
static owm_status callback_url(const char *callback, int64_t amount_msat,
                               char url[OWM_LNURL_URL_BYTES], struct owm_error *error)
{
    for (const char *c = callback; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return owm_fail(error, OWM_E_PROTO, "its callback is no URL");
    if (strncmp(callback, "https://", 8) != 0)
        return owm_fail(error, OWM_E_PROTO, "its callback does not begin with https://");
    int bytes = snprintf(url, OWM_LNURL_URL_BYTES, "%s%camount=%" PRId64, callback,
                         strchr(callback, '?') ? '&' : '?', amount_msat);
    if (bytes >= OWM_LNURL_URL_BYTES)
        return owm_fail(error, OWM_E_PROTO, "its callback is longer than %d bytes",
                        OWM_LNURL_URL_BYTES - 64);
    return OWM_OK;
}

static owm_status read_offer(const json_t *value, int64_t amount_msat,
                             char url[OWM_LNURL_URL_BYTES], struct owm_error *error)
{
    const struct owm_json_range amounts = {1, AMOUNT_MSAT_MAX};
    const char *tag, *callback;
    int64_t least = 0, most = 0;
    owm_status status = owm_json_string(value, "", "tag", &tag, error);
    if (status == OWM_OK && strcmp(tag, "payRequest") != 0)
        return owm_fail(error, OWM_E_PROTO, "it does not take payments (its tag is another)");
    if (status == OWM_OK) status = owm_json_int(value, "", "minSendable", amounts, &least, error);
    if (status == OWM_OK) status = owm_json_int(value, "", "maxSendable", amounts, &most, error);
    if (status == OWM_OK) status = owm_json_string(value, "", "callback", &callback, error);
    if (status != OWM_OK) return status;
    if (amount_msat < least || amount_msat > most)
        return owm_fail(error, OWM_E_LIMIT,
                        "it takes %" PRId64 " to %" PRId64 " msat, and this is %" PRId64, least,
                        most, amount_msat);
    return callback_url(callback, amount_msat, url, error);
}

owm_status owm_lnurl_read_offer(const char *text, size_t bytes, int64_t amount_msat,
                                char url[OWM_LNURL_URL_BYTES], struct owm_error *error)
{
    json_t *value = NULL;
    owm_status status = open_reply(text, bytes, &value, error);
    if (status != OWM_OK) return status;
    status = read_offer(value, amount_msat, url, error);
    json_decref(value);
    return status;
}

static owm_status read_invoice(const json_t *value, char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                               struct owm_error *error)
{
    const char *text;
    owm_status status = owm_json_string(value, "", "pr", &text, error);
    if (status != OWM_OK) return status;
    size_t bytes = strlen(text);
    const char *data = strrchr(text, '1'); /* Between the human-readable part and the data. */
    if (bytes >= OWM_LIGHTNING_INVOICE_BYTES || strncmp(text, "ln", 2) != 0 || !data
        || strspn(text, LOWER_CASE) != bytes || strlen(data + 1) < DATA_BYTES_MIN
        || strspn(data + 1, BECH32) != strlen(data + 1))
        return owm_fail(error, OWM_E_PROTO, "its answer holds no BOLT11 invoice in lower case");
    memcpy(invoice, text, bytes + 1);
    return OWM_OK;
}

owm_status owm_lnurl_read_invoice(const char *text, size_t bytes,
                                  char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                  struct owm_error *error)
{
    json_t *value = NULL;
    owm_status status = open_reply(text, bytes, &value, error);
    if (status != OWM_OK) return status;
    status = read_invoice(value, invoice, error);
    json_decref(value);
    return status;
}

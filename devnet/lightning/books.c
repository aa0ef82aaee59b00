/* books.c: what a node says that it has received and sent, to the millisat. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemon.h"

#define LIST_MAX "100000"

static int64_t number_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strtoll(text, NULL, 10) : 0;
}

static bool says(const json_t *object, const char *key, const char *text)
{
    const char *said = json_string_value(json_object_get(object, key));
    return said && strcmp(said, text) == 0;
}

/* Whether it was sent by a coordinator: its record says for which payment. */
static bool is_owm(const json_t *invoice)
{
    char key[24];
    snprintf(key, sizeof key, "%u", OWM_LIGHTNING_RECORD_ID);
    const json_t *htlc = json_array_get(json_object_get(invoice, "htlcs"), 0);
    return json_object_get(json_object_get(htlc, "custom_records"), key) != NULL;
}

owm_status daemon_received(const struct daemon *daemon, const struct books_filter *filter,
                           struct books *books, struct owm_error *error)
{
    char hex[65] = "";
    size_t i;
    const json_t *invoice;
    json_t *reply = NULL;
    *books = (struct books){0};
    if (filter->hash) owm_hex_encode(filter->hash, 32, hex);
    owm_status status =
        daemon_ask(daemon, DAEMON_WORDS("listinvoices", "--max_invoices", LIST_MAX), &reply, error);
    json_array_foreach(json_object_get(reply, "invoices"), i, invoice)
    {
        if (!says(invoice, "state", "SETTLED") || (*hex && !says(invoice, "r_hash", hex))
            || (filter->owm && !is_owm(invoice)))
            continue;
        books->msat += number_of(invoice, "amt_paid_msat");
        books->count++;
    }
    json_decref(reply);
    return status;
}

owm_status daemon_sent(const struct daemon *daemon, struct books *books, struct owm_error *error)
{
    size_t i;
    const json_t *payment;
    json_t *reply = NULL;
    *books = (struct books){0};
    owm_status status =
        daemon_ask(daemon, DAEMON_WORDS("listpayments", "--max_payments", LIST_MAX, "--omit_hops"),
                   &reply, error);
    json_array_foreach(json_object_get(reply, "payments"), i, payment)
    {
        if (!says(payment, "status", "SUCCEEDED")) continue;
        books->msat += number_of(payment, "value_msat");
        books->count++;
    }
    json_decref(reply);
    return status;
}

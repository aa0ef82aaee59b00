/* fuzz_cln_reply.c: what lightningd answers, read as every answer that we know how to read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/lightning/cln_read.h"

#define NOW_S 1700000000

static void check(bool holds)
{
    if (!holds) abort();
}

static void read_channels(const json_t *result)
{
    struct cln_list list = {.height = 800000};
    struct owm_lightning_point point = {.index = 1};
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
    char id[65];
    if (cln_read_channels(result, &list) == OWM_OK)
        for (size_t i = 0; i < list.count; i++) {
            const struct owm_lightning_channel *channel = &list.channels[i];
            check(channel->local_msat >= 0 && channel->remote_msat >= 0);
            check(channel->local_msat <= channel->capacity_msat);
            check(channel->remote_msat <= channel->capacity_msat);
            check(channel->state != OWM_LIGHTNING_NORMAL || channel->confirmations > 0);
            point = channel->point;
        }
    if (cln_read_channel_id(result, &point, id, peer) == OWM_OK) check(strlen(id) == 64);
    (void)!cln_read_closed(result, &list);
    free(list.channels);
}

static void read_payments(const json_t *result)
{
    static const uint8_t hash[32];
    struct owm_lightning_outcome outcome;
    struct owm_lightning_request request;
    /* Nothing is paid without the preimage, and nobody knows that of a hash of zeros. */
    if (cln_read_pays(result, hash, NOW_S, &outcome) == OWM_OK)
        check(outcome.state != OWM_LIGHTNING_SUCCEEDED);
    if (cln_read_request(result, "regtest", &request) == OWM_OK)
        check(request.amount_msat >= 0 && request.expires_s >= request.created_s);
}

static void read_invoices(const json_t *result)
{
    struct owm_lightning_invoice invoice;
    if (cln_read_invoice(result, &invoice) != OWM_OK) return;
    check(memchr(invoice.invoice, 0, sizeof invoice.invoice) != NULL);
    check(invoice.paid_msat >= 0 && invoice.asked_msat >= 0);
    check(invoice.state != OWM_LIGHTNING_INVOICE_SETTLED || invoice.settle_index > 0);
}

static void read_node(const json_t *result)
{
    struct owm_lightning_info info;
    struct owm_lightning_funds funds;
    uint8_t txid[32], key[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
    bool forced;
    if (cln_read_info(result, &info) == OWM_OK && info.uri[0])
        check(owm_lightning_uri_parse(info.uri, key, &host) == OWM_OK);
    if (cln_read_funds(result, &funds) == OWM_OK)
        check(funds.outbound_msat >= 0 && funds.inbound_msat >= 0);
    (void)!cln_read_close(result, txid, &forced);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct cln_reply reply;
    struct owm_error error = {""};
    if (cln_reply_parse((const char *)bytes, count, &reply, &error) != OWM_OK) {
        check(error.text[0]);
        return 0;
    }
    check(reply.result || (reply.code != 0 && reply.message));
    if (reply.result) {
        read_channels(reply.result);
        read_payments(reply.result);
        read_invoices(reply.result);
        read_node(reply.result);
    }
    cln_reply_free(&reply);
    return 0;
}

/* lnd_watch.c: what LND tells by itself: changes of channels, settled invoices.
 *
 * Channels: LND says that a peer went or came on its active and inactive events. No balance changes
 * then, and a busy node has many, so they are passed over.
 *
 * Invoices: LND replays settled invoices after a given settle_index, but nothing for 0. To begin at
 * the beginning, the lists of invoices are searched for the one with the lowest settle_index; that
 * one is told, and LND replays what came after it. While no invoice was ever settled, they are
 * searched again and again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "lnd.h"

#define PAGE      500  /* invoices in one answer */
#define SEARCH_MS 2000 /* between two searches for the first settled invoice */

static uint64_t until(unsigned wait_ms)
{
    return owm_clock_mono_ms() + wait_ms;
}

static unsigned left(uint64_t until_ms)
{
    uint64_t now_ms = owm_clock_mono_ms();
    return now_ms < until_ms ? (unsigned)(until_ms - now_ms) : 0;
}

/* ----------------------------------------------------------------------------- channels */

struct channel_watch {
    struct owm_lightning_watch base; /* first */
    struct lnd_stream stream;
};

owm_status lnd_watch_channels(owm_lightning *lightning, struct owm_lightning_watch **out,
                              struct owm_error *error)
{
    Lnrpc__ChannelEventSubscription request = LNRPC__CHANNEL_EVENT_SUBSCRIPTION__INIT;
    struct channel_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    owm_status status = lnd_stream_open((struct lnd *)lightning, LND_SubscribeChannelEvents,
                                        &request.base, &watch->stream, error);
    if (status == OWM_OK)
        *out = &watch->base;
    else
        free(watch);
    return status;
}

/* False: nothing that matters. */
static bool read_event(const Lnrpc__ChannelEventUpdate *event,
                       uint8_t peer[OWM_LIGHTNING_KEY_BYTES])
{
    const char *key = "";
    switch (event->channel_case) {
    case LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_ACTIVE_CHANNEL:
    case LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_INACTIVE_CHANNEL:
        return false;
    case LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_OPEN_CHANNEL:
        key = event->open_channel->remote_pubkey;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_CLOSED_CHANNEL:
        key = event->closed_channel->remote_pubkey;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_UPDATED_CHANNEL:
        if (event->updated_channel->channel) key = event->updated_channel->channel->remote_pubkey;
        break;
    default:
        break;
    }
    if (owm_hex_decode(key, peer, OWM_LIGHTNING_KEY_BYTES) != OWM_OK)
        memset(peer, 0, OWM_LIGHTNING_KEY_BYTES);
    return true;
}

owm_status lnd_watch_next(struct owm_lightning_watch *base, unsigned wait_ms,
                          uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error)
{
    struct channel_watch *watch = (struct channel_watch *)base;
    uint64_t until_ms = until(wait_ms);
    for (;;) {
        ProtobufCMessage *reply;
        owm_status status = lnd_stream_read(&watch->stream, left(until_ms), &reply, error);
        if (status != OWM_OK) return status;
        bool matters = read_event((Lnrpc__ChannelEventUpdate *)reply, peer);
        lnd_free(reply);
        if (matters) return OWM_OK;
    }
}

void lnd_watch_close(struct owm_lightning_watch *base)
{
    struct channel_watch *watch = (struct channel_watch *)base;
    lnd_stream_close(&watch->stream);
    free(watch);
}

/* ----------------------------------------------------------------------------- invoices */

struct invoice_watch {
    struct owm_lightning_invoices base; /* first */
    struct lnd *lnd;
    uint64_t settle_index;
    bool streaming;
    struct lnd_stream stream;
};

static owm_status subscribe(struct invoice_watch *watch, struct owm_error *error)
{
    Lnrpc__InvoiceSubscription request = LNRPC__INVOICE_SUBSCRIPTION__INIT;
    request.settle_index = watch->settle_index;
    owm_status status =
        lnd_stream_open(watch->lnd, LND_SubscribeInvoices, &request.base, &watch->stream, error);
    watch->streaming = status == OWM_OK;
    return status;
}

owm_status lnd_watch_invoices(owm_lightning *lightning, uint64_t settle_index,
                              struct owm_lightning_invoices **out, struct owm_error *error)
{
    struct invoice_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    watch->lnd = (struct lnd *)lightning;
    watch->settle_index = settle_index;
    owm_status status = settle_index > 0 ? subscribe(watch, error) : OWM_OK;
    if (status == OWM_OK)
        *out = &watch->base;
    else
        free(watch);
    return status;
}

/* One page of the search; *more and *offset for the next. */
static owm_status search_page(struct invoice_watch *watch, uint64_t *offset, bool *more,
                              struct owm_lightning_invoice *first, struct owm_error *error)
{
    Lnrpc__ListInvoiceRequest request = LNRPC__LIST_INVOICE_REQUEST__INIT;
    ProtobufCMessage *reply;
    request.index_offset = *offset;
    request.num_max_invoices = PAGE;
    owm_status status = lnd_call(watch->lnd, LND_ListInvoices, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    const Lnrpc__ListInvoiceResponse *from = (Lnrpc__ListInvoiceResponse *)reply;
    for (size_t i = 0; i < from->n_invoices && status == OWM_OK; i++) {
        const Lnrpc__Invoice *invoice = from->invoices[i];
        if (invoice->state != LNRPC__INVOICE__INVOICE_STATE__SETTLED || invoice->settle_index == 0)
            continue;
        if (first->settle_index == 0 || invoice->settle_index < first->settle_index)
            status = lnd_invoice_read(invoice, first, error);
    }
    *more = from->n_invoices > 0 && from->last_index_offset > *offset;
    *offset = from->last_index_offset;
    lnd_free(reply);
    return status;
}

/* The first settled invoice; from then on LND replays. OWM_E_NOTFOUND: none. */
static owm_status search(struct invoice_watch *watch, struct owm_lightning_invoice *invoice,
                         struct owm_error *error)
{
    struct owm_lightning_invoice first = {0};
    uint64_t offset = 0;
    bool more = true;
    while (more) {
        owm_status status = search_page(watch, &offset, &more, &first, error);
        if (status != OWM_OK) return status;
    }
    if (first.settle_index == 0) return OWM_E_NOTFOUND;
    watch->settle_index = first.settle_index;
    owm_status status = subscribe(watch, error);
    if (status != OWM_OK) {
        watch->settle_index = 0;
        return status;
    }
    *invoice = first;
    return OWM_OK;
}

static owm_status search_until(struct invoice_watch *watch, uint64_t until_ms,
                               struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    for (;;) {
        owm_status status = search(watch, invoice, error);
        if (status != OWM_E_NOTFOUND) return status;
        unsigned rest_ms = left(until_ms);
        if (rest_ms == 0) return owm_fail(error, OWM_E_TIMEOUT, "LND: no invoice was settled");
        owm_clock_sleep_ms(rest_ms < SEARCH_MS ? rest_ms : SEARCH_MS);
    }
}

/* False: another event of an invoice, or one that was told before. */
static owm_status read_settled(struct invoice_watch *watch, const Lnrpc__Invoice *from,
                               struct owm_lightning_invoice *invoice, bool *news,
                               struct owm_error *error)
{
    *news = from->state == LNRPC__INVOICE__INVOICE_STATE__SETTLED
            && from->settle_index > watch->settle_index;
    if (!*news) return OWM_OK;
    owm_status status = lnd_invoice_read(from, invoice, error);
    if (status == OWM_OK) watch->settle_index = from->settle_index;
    return status;
}

owm_status lnd_invoices_next(struct owm_lightning_invoices *base, unsigned wait_ms,
                             struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    struct invoice_watch *watch = (struct invoice_watch *)base;
    uint64_t until_ms = until(wait_ms);
    if (!watch->streaming) return search_until(watch, until_ms, invoice, error);
    for (;;) {
        ProtobufCMessage *reply;
        bool news;
        owm_status status = lnd_stream_read(&watch->stream, left(until_ms), &reply, error);
        if (status != OWM_OK) return status;
        status = read_settled(watch, (Lnrpc__Invoice *)reply, invoice, &news, error);
        lnd_free(reply);
        if (status != OWM_OK || news) return status;
    }
}

void lnd_invoices_close(struct owm_lightning_invoices *base)
{
    struct invoice_watch *watch = (struct invoice_watch *)base;
    if (watch->streaming) lnd_stream_close(&watch->stream);
    free(watch);
}

/* cln_methods.c: what the double of lightningd answers, except to payments and invoices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "base/status.h"
#include "cln_ledger.h"

#define PREFIX11 "lnbcrt1"
#define PREFIX12 "lni1"

static const char *text_of(const json_t *params, const char *key)
{
    const char *text = json_string_value(json_object_get(params, key));
    return text ? text : "";
}

json_t *cln_error(int code, const char *message)
{
    return json_pack("{s:{s:i, s:s}}", "error", "code", code, "message", message);
}

json_t *cln_result(json_t *result)
{
    OWM_ASSERT(result);
    return json_pack("{s:o}", "result", result);
}

/* ------------------------------------------------------------------------- invoices' text */

/* Key, preimage, msat (16 digits), created, expiry (8 each). */
void cln_sell(const char *key, const char *preimage_hex, int64_t msat, int64_t expiry_s,
              bool bolt12, char text[CLN_DOUBLE_INVOICE_BYTES])
{
    snprintf(text, CLN_DOUBLE_INVOICE_BYTES, "%s%s%s%016llx%08llx%08llx",
             bolt12 ? PREFIX12 : PREFIX11, key, preimage_hex, (unsigned long long)msat,
             (unsigned long long)time(NULL), (unsigned long long)expiry_s);
}

json_t *cln_decode_text(const char *text)
{
    bool bolt12 = strncmp(text, PREFIX12, strlen(PREFIX12)) == 0;
    char key[67], preimage[65], hash[65];
    uint8_t raw[32];
    unsigned long long msat, created, expiry;
    const char *data = text + strlen(bolt12 ? PREFIX12 : PREFIX11);
    if (!bolt12 && strncmp(text, PREFIX11, strlen(PREFIX11)) != 0) return NULL;
    if (sscanf(data, "%66[0-9a-f]%64[0-9a-f]%16llx%8llx%8llx", key, preimage, &msat, &created,
               &expiry)
            != 5
        || owm_hex_decode(preimage, raw, 32) != OWM_OK)
        return NULL;
    owm_sha256(raw, 32, raw);
    owm_hex_encode(raw, 32, hash);
    json_t *decoded = json_pack(
        "{s:s, s:b, s:s, s:s, s:s, s:I, s:I, s:s, s:s}", "type",
        bolt12 ? "bolt12 invoice" : "bolt11 invoice", "valid", 1, "currency", "bcrt",
        bolt12 ? "invoice_node_id" : "payee", key, bolt12 ? "invoice_payment_hash" : "payment_hash",
        hash, bolt12 ? "invoice_created_at" : "created_at", (json_int_t)created,
        bolt12 ? "invoice_relative_expiry" : "expiry", (json_int_t)expiry,
        bolt12 ? "offer_description" : "description", "made by a double", "preimage", preimage);
    if (msat > 0)
        json_object_set_new(decoded, bolt12 ? "invoice_amount_msat" : "amount_msat",
                            json_integer((json_int_t)msat));
    return decoded;
}

static json_t *decode(struct cln_double *node, const json_t *params)
{
    (void)node;
    json_t *decoded = cln_decode_text(text_of(params, "string"));
    if (!decoded) return cln_error(-32602, "string: Unparsable string");
    json_object_del(decoded, "preimage");
    return cln_result(decoded);
}

/* "lno1" and the preimage in hex. */
static json_t *fetchinvoice(struct cln_double *node, const json_t *params)
{
    char text[CLN_DOUBLE_INVOICE_BYTES];
    const char *offer = text_of(params, "offer");
    if (strncmp(offer, "lno1", 4) != 0) return cln_error(-32602, "offer: Unparsable offer");
    cln_sell(node->key, offer + 4, json_integer_value(json_object_get(params, "amount_msat")), 7200,
             true, text);
    return cln_result(json_pack("{s:s, s:{}}", "invoice", text, "changes"));
}

/* ------------------------------------------------------------------------------ the rest */

static json_t *getinfo(struct cln_double *node, const json_t *params)
{
    (void)params;
    return cln_result(json_deep_copy(node->info));
}

static json_t *shown(struct cln_double *node, const char *what)
{
    const json_t *value = json_object_get(node->shown, what);
    return value ? json_deep_copy(value) : json_array();
}

/* Those of one peer, where one is named. */
static json_t *of_peer(json_t *rows, const json_t *params)
{
    const char *id = text_of(params, "id");
    for (size_t i = json_array_size(rows); id[0] && i-- > 0;)
        if (strcmp(text_of(json_array_get(rows, i), "peer_id"), id) != 0)
            json_array_remove(rows, i);
    return rows;
}

static json_t *listpeerchannels(struct cln_double *node, const json_t *params)
{
    return cln_result(json_pack("{s:o}", "channels", of_peer(shown(node, "channels"), params)));
}

static json_t *listclosedchannels(struct cln_double *node, const json_t *params)
{
    return cln_result(
        json_pack("{s:o}", "closedchannels", of_peer(shown(node, "closedchannels"), params)));
}

static json_t *listfunds(struct cln_double *node, const json_t *params)
{
    (void)params;
    return cln_result(json_pack("{s:o, s:o}", "outputs", shown(node, "outputs"), "channels",
                                shown(node, "fundchannels")));
}

static json_t *disconnect(struct cln_double *node, const json_t *params)
{
    (void)node, (void)params;
    return cln_result(json_object());
}

static json_t *connect_peer(struct cln_double *node, const json_t *params)
{
    (void)node;
    return strchr(text_of(params, "id"), '@') ? cln_result(json_pack("{s:s}", "direction", "out"))
                                              : cln_error(-32602, "id: should be id@host:port");
}

static json_t *close_channel(struct cln_double *node, const json_t *params)
{
    (void)params;
    const json_t *told = json_object_get(node->shown, "close");
    return told ? cln_result(json_deep_copy(told)) : cln_error(-1, "Channel is in state ONCHAIN");
}

static json_t *fundchannel(struct cln_double *node, const json_t *params)
{
    (void)node;
    if (json_integer_value(json_object_get(params, "amount")) > 10000000)
        return cln_error(301, "Could not afford 20000000sat using all 2 available UTXOs");
    return cln_result(json_pack("{s:s, s:s, s:i}", "tx", "00", "txid",
                                "00000000000000000000000000000000000000000000000000000000000000aa",
                                "outnum", 1));
}

static json_t *signmessage(struct cln_double *node, const json_t *params)
{
    (void)node;
    return cln_result(json_pack("{s:s, s:s, s:s+}", "signature", "00", "recid", "00", "zbase",
                                "signed ", text_of(params, "message")));
}

static json_t *checkrune(struct cln_double *node, const json_t *params)
{
    const json_t *rune = json_object_get(node->runes, text_of(params, "rune"));
    if (!rune) return cln_error(1501, "Not authorized: Not derived from master");
    if (json_is_null(rune)) return cln_error(1503, "Not authorized: Blacklisted rune");
    if (!cln_allows(rune, text_of(params, "method"), json_object_get(params, "params")))
        return cln_error(1502, "Not permitted: method or parameters do not match");
    return cln_result(json_pack("{s:b}", "valid", 1));
}

json_t *cln_do(struct cln_double *node, const char *method, const json_t *params)
{
    static const struct {
        const char *name;
        json_t *(*run)(struct cln_double *node, const json_t *params);
    } methods[] = {
        {"getinfo", getinfo},
        {"listpeerchannels", listpeerchannels},
        {"listclosedchannels", listclosedchannels},
        {"listfunds", listfunds},
        {"disconnect", disconnect},
        {"connect", connect_peer},
        {"close", close_channel},
        {"fundchannel", fundchannel},
        {"signmessage", signmessage},
        {"checkrune", checkrune},
        {"decode", decode},
        {"fetchinvoice", fetchinvoice},
        {"xpay", cln_xpay},
        {"pay", cln_xpay},
        {"listpays", cln_listpays},
        {"invoice", cln_invoice},
        {"listinvoices", cln_listinvoices},
        {"waitanyinvoice", cln_waitanyinvoice},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i].name, method) == 0) return methods[i].run(node, params);
    return cln_error(-32601, "Unknown command");
}

/* cln_read.c: Core Lightning's replies and their fields; what it says of itself, of its money, of
 * an invoice that it is shown, and of a close. */
#include "cln_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MSAT_MAX         INT64_C(2100000000000000000)
#define TIME_MAX_S       (INT32_MAX * INT64_C(1000))
#define BOLT12_EXPIRES_S 7200 /* where the invoice does not say (BOLT 12) */
#define BOLT11_EXPIRES_S 3600 /* (BOLT 11) */

/* ----------------------------------------------------------------------------- the reply */

owm_status cln_reply_parse(const char *bytes, size_t count, struct cln_reply *reply,
                           struct owm_error *error)
{
    *reply = (struct cln_reply){0};
    owm_status status =
        owm_json_parse(bytes, count, CLN_REPLY_BYTES_MAX + 65536, &reply->root, error);
    if (status != OWM_OK) return status;
    const json_t *failed = json_object_get(reply->root, "error");
    reply->result = json_object_get(reply->root, "result");
    if (json_is_object(reply->result) && !failed) return OWM_OK;
    const json_t *code = json_object_get(failed, "code");
    const char *message = json_string_value(json_object_get(failed, "message"));
    if (json_is_integer(code) && json_integer_value(code) != 0 && message && !reply->result) {
        reply->code = json_integer_value(code);
        reply->message = message;
        return OWM_OK;
    }
    cln_reply_free(reply);
    return owm_fail(error, OWM_E_PROTO, "neither a result nor an error");
}

void cln_reply_free(struct cln_reply *reply)
{
    json_decref(reply->root);
    *reply = (struct cln_reply){0};
}

/* ------------------------------------------------------------------------------- fields */

const char *cln_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "123msat", as versions before 23.08 wrote it. */
static owm_status msat_of_text(const char *text, int64_t *msat)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19 || strcmp(text + digits, "msat") != 0) return OWM_E_PROTO;
    uint64_t sum = 0;
    for (size_t i = 0; i < digits; i++) sum = sum * 10 + (uint64_t)(text[i] - '0');
    if (sum > MSAT_MAX) return OWM_E_PROTO;
    *msat = (int64_t)sum;
    return OWM_OK;
}

owm_status cln_read_msat(const json_t *object, const char *key, int64_t *msat, bool *there)
{
    const json_t *value = json_object_get(object, key);
    *msat = 0;
    if (there) *there = value != NULL;
    if (!value) return there ? OWM_OK : OWM_E_PROTO;
    if (json_is_string(value)) return msat_of_text(json_string_value(value), msat);
    if (!json_is_integer(value)) return OWM_E_PROTO;
    json_int_t amount = json_integer_value(value);
    if (amount < 0 || amount > MSAT_MAX) return OWM_E_PROTO;
    *msat = amount;
    return OWM_OK;
}

owm_status cln_read_hex(const json_t *object, const char *key, uint8_t *to, size_t bytes,
                        bool *there)
{
    const json_t *value = json_object_get(object, key);
    if (there) *there = value != NULL;
    if (!value) return there ? OWM_OK : OWM_E_PROTO;
    if (!json_is_string(value)) return OWM_E_PROTO;
    return owm_hex_decode(json_string_value(value), to, bytes);
}

owm_status cln_read_txid(const json_t *text, uint8_t txid[32])
{
    uint8_t shown[32];
    if (!json_is_string(text)) return OWM_E_PROTO;
    if (owm_hex_decode(json_string_value(text), shown, 32) != OWM_OK) return OWM_E_PROTO;
    for (size_t i = 0; i < 32; i++) txid[i] = shown[31 - i];
    return OWM_OK;
}

/* A time or a length of time, in seconds. */
static owm_status read_seconds(const json_t *object, const char *key, int64_t or_s, int64_t *s)
{
    const json_t *value = json_object_get(object, key);
    *s = value ? json_integer_value(value) : or_s;
    return (value && !json_is_integer(value)) || *s < 0 || *s > TIME_MAX_S ? OWM_E_PROTO : OWM_OK;
}

/* ------------------------------------------------------------------------------ getinfo */

/* The first address that others can reach, as "key@host:port"; "" if none fits. */
static void read_uri(const json_t *result, struct owm_lightning_info *info)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(result, "address"), i, entry)
    {
        const char *host = cln_text(entry, "address");
        json_int_t port = json_integer_value(json_object_get(entry, "port"));
        bool v6 = strcmp(cln_text(entry, "type"), "ipv6") == 0;
        uint8_t key[OWM_LIGHTNING_KEY_BYTES];
        const char *rest;
        int length =
            snprintf(info->uri, sizeof info->uri, v6 ? "%s@[%s]:%d" : "%s@%s:%d",
                     cln_text(result, "id"), host, port > 0 && port < 65536 ? (int)port : 0);
        bool whole = length > 0 && (size_t)length < sizeof info->uri;
        if (whole && owm_lightning_uri_parse(info->uri, key, &rest) == OWM_OK) return;
    }
    info->uri[0] = 0;
}

owm_status cln_read_info(const json_t *result, struct owm_lightning_info *info)
{
    *info = (struct owm_lightning_info){0};
    const json_t *height = json_object_get(result, "blockheight");
    const char *network = cln_text(result, "network");
    if (cln_read_hex(result, "id", info->key, sizeof info->key, NULL) != OWM_OK
        || !json_is_integer(height) || json_integer_value(height) < 0
        || json_integer_value(height) > UINT32_MAX)
        return OWM_E_PROTO;
    info->block_height = (uint32_t)json_integer_value(height);
    snprintf(info->alias, sizeof info->alias, "%s", cln_text(result, "alias"));
    snprintf(info->version, sizeof info->version, "%s", cln_text(result, "version"));
    snprintf(info->network, sizeof info->network, "%s",
             strcmp(network, "bitcoin") == 0 ? "mainnet" : network);
    info->synced_to_chain = !json_object_get(result, "warning_bitcoind_sync")
                            && !json_object_get(result, "warning_lightningd_sync");
    info->synced_to_graph = info->synced_to_chain; /* it does not say */
    read_uri(result, info);
    return OWM_OK;
}

/* ----------------------------------------------------------------------------- listfunds */

/* The 21 million coins are far from the end of int64_t, but a reply is only a reply. */
static owm_status add_msat(int64_t *sum, int64_t msat)
{
    if (*sum > MSAT_MAX - msat) return OWM_E_PROTO;
    *sum += msat;
    return OWM_OK;
}

static owm_status read_output(const json_t *output, struct owm_lightning_funds *funds)
{
    int64_t msat;
    const char *state = cln_text(output, "status");
    owm_status status = cln_read_msat(output, "amount_msat", &msat, NULL);
    if (status != OWM_OK) return status;
    if (json_is_true(json_object_get(output, "reserved"))) return OWM_OK;
    if (strcmp(state, "confirmed") == 0) return add_msat(&funds->wallet_confirmed_msat, msat);
    if (strcmp(state, "unconfirmed") == 0 || strcmp(state, "immature") == 0)
        return add_msat(&funds->wallet_unconfirmed_msat, msat);
    return OWM_OK;
}

static owm_status read_channel_funds(const json_t *channel, struct owm_lightning_funds *funds)
{
    int64_t ours, total;
    owm_status status = cln_read_msat(channel, "our_amount_msat", &ours, NULL);
    if (status == OWM_OK) status = cln_read_msat(channel, "amount_msat", &total, NULL);
    if (status != OWM_OK || ours > total) return OWM_E_PROTO;
    if (strcmp(cln_text(channel, "state"), "CHANNELD_NORMAL") != 0)
        return add_msat(&funds->pending_msat, ours);
    status = add_msat(&funds->outbound_msat, ours);
    return status == OWM_OK ? add_msat(&funds->inbound_msat, total - ours) : status;
}

owm_status cln_read_funds(const json_t *result, struct owm_lightning_funds *funds)
{
    *funds = (struct owm_lightning_funds){0};
    const json_t *outputs = json_object_get(result, "outputs"), *row;
    const json_t *channels = json_object_get(result, "channels");
    owm_status status = json_is_array(outputs) && json_is_array(channels) ? OWM_OK : OWM_E_PROTO;
    size_t i;
    json_array_foreach(outputs, i, row) if (status == OWM_OK) status = read_output(row, funds);
    json_array_foreach(channels, i, row) if (status == OWM_OK) status =
        read_channel_funds(row, funds);
    return status;
}

/* -------------------------------------------------------------------------------- close */

owm_status cln_read_close(const json_t *result, uint8_t txid[32], bool *forced)
{
    const char *type = cln_text(result, "type");
    const json_t *txids = json_object_get(result, "txids"); /* since 24.11 */
    const json_t *last = json_array_size(txids) > 0
                             ? json_array_get(txids, json_array_size(txids) - 1)
                             : json_object_get(result, "txid");
    *forced = strcmp(type, "unilateral") == 0;
    if (!*forced && strcmp(type, "mutual") != 0) return OWM_E_PROTO;
    return cln_read_txid(last, txid);
}

/* ------------------------------------------------------------------------------- decode */

static owm_status read_bolt11(const json_t *result, const char *network,
                              struct owm_lightning_request *request, bool *there)
{
    static const char *const currencies[][2] = {{"bc", "mainnet"},   {"tb", "testnet"},
                                                {"tb", "testnet4"},  {"tbs", "signet"},
                                                {"bcrt", "regtest"}, {"sb", "simnet"}};
    const char *currency = cln_text(result, "currency");
    bool same = false;
    for (size_t i = 0; i < sizeof currencies / sizeof currencies[0]; i++)
        same =
            same
            || (strcmp(currencies[i][0], currency) == 0 && strcmp(currencies[i][1], network) == 0);
    if (!same) return OWM_E_ARG;
    owm_status status =
        cln_read_hex(result, "payee", request->destination, OWM_LIGHTNING_KEY_BYTES, NULL);
    if (status == OWM_OK)
        status = cln_read_hex(result, "payment_hash", request->payment_hash, 32, NULL);
    if (status == OWM_OK)
        status = cln_read_msat(result, "amount_msat", &request->amount_msat, there);
    if (status == OWM_OK) status = read_seconds(result, "created_at", 0, &request->created_s);
    if (status == OWM_OK)
        status = read_seconds(result, "expiry", BOLT11_EXPIRES_S, &request->expires_s);
    snprintf(request->description, sizeof request->description, "%s",
             cln_text(result, "description"));
    return status;
}

static owm_status read_bolt12(const json_t *result, struct owm_lightning_request *request)
{
    owm_status status = cln_read_hex(result, "invoice_node_id", request->destination,
                                     OWM_LIGHTNING_KEY_BYTES, NULL);
    if (status == OWM_OK)
        status = cln_read_hex(result, "invoice_payment_hash", request->payment_hash, 32, NULL);
    if (status == OWM_OK)
        status = cln_read_msat(result, "invoice_amount_msat", &request->amount_msat, NULL);
    if (status == OWM_OK)
        status = read_seconds(result, "invoice_created_at", 0, &request->created_s);
    if (status == OWM_OK)
        status =
            read_seconds(result, "invoice_relative_expiry", BOLT12_EXPIRES_S, &request->expires_s);
    snprintf(request->description, sizeof request->description, "%s",
             cln_text(result, "offer_description"));
    return status;
}

owm_status cln_read_request(const json_t *result, const char *network,
                            struct owm_lightning_request *request)
{
    *request = (struct owm_lightning_request){0};
    const char *type = cln_text(result, "type");
    bool bolt11 = strcmp(type, "bolt11 invoice") == 0, there;
    if (!json_is_true(json_object_get(result, "valid"))) return OWM_E_ARG;
    if (!bolt11 && strcmp(type, "bolt12 invoice") != 0) return OWM_E_ARG;
    owm_status status =
        bolt11 ? read_bolt11(result, network, request, &there) : read_bolt12(result, request);
    request->expires_s += request->created_s;
    return status;
}

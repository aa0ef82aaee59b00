/* rpc_values.c: hashes, bytes and amounts in JSON. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "rpc_internal.h"
#include "template.h"

#define SATS 1e8

json_t *rpc_hash_json(const uint8_t hash[32])
{
    char text[65];
    template_hash_text(hash, text);
    return json_string(text);
}

json_t *rpc_hex_json(const uint8_t *data, size_t bytes)
{
    char *text = malloc(2 * bytes + 1);
    if (!text) return NULL;
    owm_hex_encode(data, bytes, text);
    json_t *value = json_string(text);
    free(text);
    return value;
}

json_t *rpc_sats_json(int64_t sats)
{
    return json_real((double)sats / SATS);
}

uint8_t *rpc_bytes(const json_t *text, size_t *bytes, const char *malformed,
                   struct rpc_reply *reply)
{
    const char *hex = json_string_value(text);
    if (!hex) {
        rpc_fail(reply, RPC_TYPE, "JSON value is not a string as expected");
        return NULL;
    }
    *bytes = json_string_length(text) / 2;
    uint8_t *data = malloc(*bytes + 1);
    if (!data) {
        rpc_fail(reply, RPC_OUT_OF_MEMORY, "out of memory");
    } else if (owm_hex_decode(hex, data, *bytes) != OWM_OK) {
        rpc_fail(reply, RPC_DESERIALIZATION, malformed);
        free(data);
        data = NULL;
    }
    return data;
}

bool rpc_hash(const json_t *text, const char *malformed, uint8_t hash[32], struct rpc_reply *reply)
{
    const char *hex = json_string_value(text);
    uint8_t reversed[32];
    if (!hex || owm_hex_decode(hex, reversed, 32) != OWM_OK) {
        rpc_fail(reply, RPC_PARAMETER, malformed);
        return false;
    }
    for (int i = 0; i < 32; i++) hash[i] = reversed[31 - i];
    return true;
}

bool rpc_decimal(const json_t *value, double scale, int64_t *out, struct rpc_reply *reply)
{
    double number = json_number_value(value);
    if (json_is_string(value)) {
        char *end;
        number = strtod(json_string_value(value), &end);
        if (*end || end == json_string_value(value)) number = NAN;
    } else if (!json_is_number(value)) {
        number = NAN;
    }
    number = round(number * scale);
    if (!(number >= 0 && number <= (double)RPC_DECIMAL_MAX)) {
        rpc_fail(reply, RPC_TYPE,
                 isnan(number) ? "Amount is not a number or string" : "Amount out of range");
        return false;
    }
    *out = (int64_t)number;
    return true;
}

static json_t *ins_json(const struct wire_block *block, const struct wire_tx *tx)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < tx->ins; i++) {
        const struct wire_in *in = &block->in[tx->first_in + i];
        json_array_append_new(list,
                              json_pack("{s:o, s:I, s:{s:o}, s:I}", "txid", rpc_hash_json(in->txid),
                                        "vout", (json_int_t)in->index, "scriptSig", "hex",
                                        rpc_hex_json(in->script.data, in->script.bytes), "sequence",
                                        (json_int_t)in->sequence));
    }
    return list;
}

static json_t *outs_json(const struct wire_block *block, const struct wire_tx *tx)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < tx->outs; i++) {
        const struct wire_out *out = &block->out[tx->first_out + i];
        json_array_append_new(list,
                              json_pack("{s:o, s:i, s:{s:o}}", "value",
                                        rpc_sats_json(out->value_sats), "n", (int)i, "scriptPubKey",
                                        "hex", rpc_hex_json(out->script.data, out->script.bytes)));
    }
    return list;
}

json_t *rpc_transaction_json(const struct wire_block *block, const struct wire_tx *tx)
{
    return json_pack(
        "{s:o, s:o, s:I, s:i, s:i, s:i, s:I, s:o, s:o}", "txid", rpc_hash_json(tx->txid), "hash",
        rpc_hash_json(tx->wtxid), "version", (json_int_t)tx->version, "size", (int)tx->bytes,
        "vsize", (int)wire_tx_vbytes(tx), "weight", (int)wire_tx_weight(tx), "locktime",
        (json_int_t)tx->lock_time, "vin", ins_json(block, tx), "vout", outs_json(block, tx));
}

/* payreq.c: payment requests that look like BOLT11 from outside (prefix of the network, amount) and
 * are not: instead of bech32 data they carry "double" and hex digits. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "double.h"

#define DATA_BYTES_MAX 900
#define CHECK_BYTES    4

static const char *prefix_of(const char *network)
{
    static const char *const prefixes[][2] = {
        {"mainnet", "lnbc"}, {"testnet", "lntb"},   {"testnet4", "lntb"},
        {"signet", "lntbs"}, {"regtest", "lnbcrt"}, {"simnet", "lnsb"},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strcmp(prefixes[i][0], network) == 0) return prefixes[i][1];
    return "lnbcrt";
}

static void check_make(const uint8_t *data, size_t length, uint8_t check[CHECK_BYTES])
{
    uint8_t hash[32];
    owm_sha256(data, length, hash);
    memcpy(check, hash, CHECK_BYTES);
}

void payreq_encode(const char *network, const struct payreq *payreq, char text[PAYREQ_BYTES])
{
    uint8_t data[DATA_BYTES_MAX];
    struct owm_writer writer;
    owm_writer_init(&writer, data, sizeof data - CHECK_BYTES);
    owm_write_bytes(&writer, payreq->payee, KEY_BYTES);
    owm_write_bytes(&writer, payreq->hash, 32);
    owm_write_u8(&writer, payreq->has_preimage);
    owm_write_bytes(&writer, payreq->preimage, 32);
    owm_write_u64_be(&writer, (uint64_t)payreq->msat);
    owm_write_u64_be(&writer, (uint64_t)payreq->created_s);
    owm_write_u64_be(&writer, (uint64_t)payreq->expiry_s);
    owm_write_bytes(&writer, payreq->memo, strlen(payreq->memo));
    OWM_ASSERT(owm_writer_ok(&writer));
    check_make(data, writer.at, data + writer.at);
    size_t length = writer.at + CHECK_BYTES;

    int at = snprintf(text, PAYREQ_BYTES, "%s", prefix_of(network));
    if (payreq->msat > 0)
        at +=
            snprintf(text + at, (size_t)(PAYREQ_BYTES - at), "%lldp", 10 * (long long)payreq->msat);
    at += snprintf(text + at, (size_t)(PAYREQ_BYTES - at), "1double");
    owm_hex_encode(data, length, text + at);
}

const char *payreq_decode(const char *network, const char *text, struct payreq *payreq)
{
    uint8_t data[DATA_BYTES_MAX], check[CHECK_BYTES];
    const char *prefix = prefix_of(network), *hex = strstr(text, "1double");
    size_t prefix_length = strlen(prefix);
    if (!hex) return "decoding bech32 failed: invalid index of 1";
    if (strncmp(text, "ln", 2) != 0) return "prefix should be \"ln\"";
    char after = text[prefix_length];
    if (strncmp(text, prefix, prefix_length) != 0 || after < '0' || after > '9')
        return "invoice not for current active network";
    hex += strlen("1double");
    size_t length = strlen(hex) / 2;
    if (length > sizeof data || length < CHECK_BYTES || owm_hex_decode(hex, data, length) != OWM_OK)
        return "decoding bech32 failed: invalid character in string";
    length -= CHECK_BYTES;
    check_make(data, length, check);
    if (memcmp(check, data + length, CHECK_BYTES) != 0)
        return "decoding bech32 failed: checksum failed";

    struct owm_reader reader;
    memset(payreq, 0, sizeof *payreq);
    owm_reader_init(&reader, data, length);
    owm_read_bytes(&reader, payreq->payee, KEY_BYTES);
    owm_read_bytes(&reader, payreq->hash, 32);
    payreq->has_preimage = owm_read_u8(&reader) != 0;
    owm_read_bytes(&reader, payreq->preimage, 32);
    payreq->msat = (int64_t)owm_read_u64_be(&reader);
    payreq->created_s = (int64_t)owm_read_u64_be(&reader);
    payreq->expiry_s = (int64_t)owm_read_u64_be(&reader);
    size_t memo = owm_reader_left(&reader);
    if (!owm_reader_ok(&reader) || memo >= sizeof payreq->memo) return "short invoice";
    owm_read_bytes(&reader, payreq->memo, memo);
    return NULL;
}

void payreq_of(const struct lnd_double *node, const struct invoice *invoice,
               char text[PAYREQ_BYTES])
{
    struct payreq payreq = {.has_preimage = invoice->has_preimage && !invoice->is_hold,
                            .msat = invoice->value_msat,
                            .created_s = invoice->created_s,
                            .expiry_s = invoice->expiry_s};
    memcpy(payreq.payee, node->key, KEY_BYTES);
    memcpy(payreq.hash, invoice->hash, 32);
    if (payreq.has_preimage) memcpy(payreq.preimage, invoice->preimage, 32);
    memcpy(payreq.memo, invoice->memo, sizeof payreq.memo);
    text[0] = 0;
    if (!invoice->is_keysend) payreq_encode(node->network, &payreq, text);
}

void handle_decode_pay_req(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__PayReqString *request = message;
    struct payreq payreq;
    const char *why = payreq_decode(node->network, request->pay_req, &payreq);
    if (why) {
        refuse(call, OWM_RPC_UNKNOWN, "%s", why);
        return;
    }
    char destination[KEY_TEXT], hash[65];
    owm_hex_encode(payreq.payee, KEY_BYTES, destination);
    owm_hex_encode(payreq.hash, 32, hash);
    Lnrpc__PayReq reply = LNRPC__PAY_REQ__INIT;
    reply.destination = destination;
    reply.payment_hash = hash;
    reply.timestamp = payreq.created_s;
    reply.expiry = payreq.expiry_s;
    reply.description = payreq.memo;
    reply.num_msat = payreq.msat;
    answer(call, &reply.base);
}

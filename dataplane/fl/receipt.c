/* receipt.c: what became of a package, in 188 bytes.
 *
 *   "OWMRCPT1" | u64 round | node key 32 | package SHA-256 32 | u8 verdict | u8 0 | u16 reason
 *   f32 weight | u32 0 | coordinator key 32 | signature 64 over all before it
 */
#include "dataplane/fl/receipt.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"

#define SIGNED_BYTES (OWM_RECEIPT_BYTES - 64)

static const uint8_t receipt_magic[8] = {'O', 'W', 'M', 'R', 'C', 'P', 'T', '1'};

static bool makes_sense(unsigned verdict, unsigned reason, float weight)
{
    switch (verdict) {
    case OWM_RECEIPT_INCLUDED:
        return reason == 0 && isfinite(weight) && weight > 0;
    case OWM_RECEIPT_NOT_INCLUDED:
        return reason != 0 && weight == 0;
    case OWM_RECEIPT_LATE:
        return reason == 0 && weight == 0;
    default:
        return false;
    }
}

owm_status owm_receipt_make(const struct owm_receipt *receipt, const owm_identity *coordinator,
                            uint8_t out[OWM_RECEIPT_BYTES])
{
    if (!makes_sense(receipt->verdict, receipt->reason, receipt->weight)) return OWM_E_ARG;
    struct owm_writer w;
    owm_writer_init(&w, out, SIGNED_BYTES);
    owm_write_bytes(&w, receipt_magic, sizeof receipt_magic);
    owm_write_u64_le(&w, receipt->round);
    owm_write_bytes(&w, receipt->node_key, 32);
    owm_write_bytes(&w, receipt->package_sha256, 32);
    owm_write_u8(&w, (uint8_t)receipt->verdict);
    owm_write_u8(&w, 0);
    owm_write_u16_le(&w, receipt->reason);
    owm_write_f32_le(&w, receipt->weight);
    owm_write_u32_le(&w, 0);
    owm_write_bytes(&w, owm_identity_public_key(coordinator), 32);
    OWM_ASSERT(owm_writer_ok(&w) && w.at == SIGNED_BYTES);
    owm_identity_sign(coordinator, OWM_RECEIPT_CONTEXT, out, SIGNED_BYTES, out + SIGNED_BYTES);
    return OWM_OK;
}

owm_status owm_receipt_read(const uint8_t *bytes, size_t count, const uint8_t coordinator_key[32],
                            struct owm_receipt *out, struct owm_error *error)
{
    struct owm_receipt receipt = {0};
    struct owm_reader r;
    uint8_t magic[8];
    owm_reader_init(&r, bytes, count);
    owm_read_bytes(&r, magic, sizeof magic);
    receipt.round = owm_read_u64_le(&r);
    owm_read_bytes(&r, receipt.node_key, 32);
    owm_read_bytes(&r, receipt.package_sha256, 32);
    unsigned verdict = owm_read_u8(&r), reserved = owm_read_u8(&r);
    receipt.reason = owm_read_u16_le(&r);
    receipt.weight = owm_read_f32_le(&r);
    uint32_t reserved_too = owm_read_u32_le(&r);
    owm_read_bytes(&r, receipt.coordinator_key, 32);
    const uint8_t *signature = owm_read_view(&r, 64);
    if (!owm_reader_done(&r) || memcmp(magic, receipt_magic, sizeof magic) != 0 || reserved
        || reserved_too || !makes_sense(verdict, receipt.reason, receipt.weight))
        return owm_fail(error, OWM_E_PROTO, "malformed receipt of %zu bytes", count);
    receipt.verdict = (enum owm_receipt_verdict)verdict;
    if (memcmp(receipt.coordinator_key, coordinator_key, 32) != 0
        || owm_verify(coordinator_key, OWM_RECEIPT_CONTEXT, bytes, SIGNED_BYTES, signature)
               != OWM_OK)
        return owm_fail(error, OWM_E_CRYPTO, "the receipt is not signed by this coordinator");
    *out = receipt;
    return OWM_OK;
}

/* attestation.c: the payloads of the kinds that are known. */
#include "attestation.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct kind_row {
    const char *name;
    uint8_t tag[OWM_OTS_TAG_BYTES];
} rows[] = {
    [OWM_OTS_UNKNOWN] = {"unknown", {0}},
    [OWM_OTS_BITCOIN] = {"Bitcoin", {0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01}},
    [OWM_OTS_LITECOIN] = {"Litecoin", {0x06, 0x86, 0x9a, 0x0d, 0x73, 0xd7, 0x1b, 0x45}},
    [OWM_OTS_ETHEREUM] = {"Ethereum", {0x30, 0xfe, 0x80, 0x87, 0xb5, 0xc7, 0xea, 0xd7}},
    [OWM_OTS_PENDING] = {"pending", {0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e}},
};

const char *owm_ots_kind_name(enum owm_ots_kind kind)
{
    return rows[kind].name;
}

static enum owm_ots_kind kind_of(const uint8_t tag[static OWM_OTS_TAG_BYTES])
{
    for (int kind = OWM_OTS_BITCOIN; kind <= OWM_OTS_PENDING; kind++)
        if (memcmp(tag, rows[kind].tag, OWM_OTS_TAG_BYTES) == 0) return (enum owm_ots_kind)kind;
    return OWM_OTS_UNKNOWN;
}

uint32_t owm_ots_varuint_write(uint64_t value, uint8_t *data)
{
    uint32_t bytes = 0;
    for (; value > 0x7f; value >>= 7) data[bytes++] = (uint8_t)(value | 0x80);
    data[bytes++] = (uint8_t)value;
    return bytes;
}

owm_status owm_ots_varuint_read(struct owm_ots_bytes data, uint32_t *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 7 * OWM_OTS_VARUINT_BYTES_MAX; shift += 7) {
        if (*at >= data.bytes) return OWM_E_PROTO;
        uint8_t byte = data.data[(*at)++];
        if (shift == 63 && (byte & 0x7f) > 1) return OWM_E_LIMIT;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return OWM_OK;
    }
    return OWM_E_LIMIT;
}

static owm_status number_error(owm_status status, const char *name, struct owm_error *error)
{
    if (status == OWM_E_LIMIT)
        return owm_fail(error, OWM_E_PROTO, "a %s attestation with a number over 64 bits", name);
    return owm_fail(error, OWM_E_PROTO, "a %s attestation ends inside its payload", name);
}

static owm_status check_uri(struct owm_ots_bytes uri, struct owm_error *error)
{
    if (uri.bytes > OWM_OTS_URI_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "a calendar's URI of %u bytes; at most %d", uri.bytes,
                        OWM_OTS_URI_BYTES_MAX);
    for (uint32_t i = 0; i < uri.bytes; i++)
        if (uri.data[i] >= 0x80
            || (!isalnum(uri.data[i]) && (uri.data[i] == 0 || !strchr("-._/:", uri.data[i]))))
            return owm_fail(error, OWM_E_PROTO, "a calendar's URI holds the byte 0x%02x",
                            uri.data[i]);
    return OWM_OK;
}

static owm_status read_uri(struct owm_ots_bytes payload, uint32_t *at, struct owm_ots_bytes *uri,
                           struct owm_error *error)
{
    uint64_t bytes = 0;
    owm_status status = owm_ots_varuint_read(payload, at, &bytes);
    if (status != OWM_OK) return number_error(status, "pending", error);
    if (bytes > OWM_OTS_URI_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "a calendar's URI of %llu bytes; at most %d",
                        (unsigned long long)bytes, OWM_OTS_URI_BYTES_MAX);
    if (bytes > payload.bytes - *at) return number_error(OWM_E_PROTO, "pending", error);
    *uri = (struct owm_ots_bytes){payload.data + *at, (uint32_t)bytes};
    *at += (uint32_t)bytes;
    return check_uri(*uri, error);
}

owm_status owm_ots_attestation_read(const uint8_t tag[static OWM_OTS_TAG_BYTES],
                                    struct owm_ots_bytes payload,
                                    struct owm_ots_attestation *attestation,
                                    struct owm_error *error)
{
    if (payload.bytes > OWM_OTS_PAYLOAD_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "an attestation of %u bytes; at most %d", payload.bytes,
                        OWM_OTS_PAYLOAD_BYTES_MAX);
    *attestation = (struct owm_ots_attestation){.kind = kind_of(tag)};
    memcpy(attestation->tag, tag, OWM_OTS_TAG_BYTES);
    attestation->detail = payload;
    if (attestation->kind == OWM_OTS_UNKNOWN) return OWM_OK;
    attestation->detail.bytes = 0;
    const char *name = owm_ots_kind_name(attestation->kind);
    uint32_t at = 0;
    owm_status status;
    if (attestation->kind == OWM_OTS_PENDING) {
        status = read_uri(payload, &at, &attestation->detail, error);
    } else {
        status = owm_ots_varuint_read(payload, &at, &attestation->height);
        if (status != OWM_OK) status = number_error(status, name, error);
    }
    if (status != OWM_OK) return status;
    if (at != payload.bytes)
        return owm_fail(error, OWM_E_PROTO, "a %s attestation with %u bytes behind its end", name,
                        payload.bytes - at);
    return OWM_OK;
}

uint32_t owm_ots_attestation_payload(const struct owm_ots_attestation *attestation,
                                     uint8_t *payload)
{
    uint32_t at = 0;
    if (attestation->kind == OWM_OTS_PENDING)
        at = owm_ots_varuint_write(attestation->detail.bytes, payload);
    else if (attestation->kind != OWM_OTS_UNKNOWN)
        return owm_ots_varuint_write(attestation->height, payload);
    if (attestation->detail.bytes > 0)
        memcpy(payload + at, attestation->detail.data, attestation->detail.bytes);
    return at + attestation->detail.bytes;
}

owm_status owm_ots_pending(const char *uri, struct owm_ots_attestation *attestation,
                           struct owm_error *error)
{
    size_t bytes = strnlen(uri, OWM_OTS_URI_BYTES_MAX + 1);
    *attestation = (struct owm_ots_attestation){
        .kind = OWM_OTS_PENDING,
        .detail = {(const uint8_t *)uri, (uint32_t)bytes},
    };
    memcpy(attestation->tag, rows[OWM_OTS_PENDING].tag, OWM_OTS_TAG_BYTES);
    return check_uri(attestation->detail, error);
}

struct owm_ots_attestation owm_ots_bitcoin(uint64_t height)
{
    struct owm_ots_attestation attestation = {.kind = OWM_OTS_BITCOIN, .height = height};
    memcpy(attestation.tag, rows[OWM_OTS_BITCOIN].tag, OWM_OTS_TAG_BYTES);
    return attestation;
}

int owm_ots_bytes_compare(struct owm_ots_bytes a, struct owm_ots_bytes b)
{
    uint32_t shorter = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    if (order != 0) return order;
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

int owm_ots_attestation_compare(const struct owm_ots_attestation *a,
                                const struct owm_ots_attestation *b)
{
    int order = memcmp(a->tag, b->tag, OWM_OTS_TAG_BYTES);
    if (order != 0) return order;
    if (a->height != b->height) return a->height < b->height ? -1 : 1;
    return owm_ots_bytes_compare(a->detail, b->detail);
}

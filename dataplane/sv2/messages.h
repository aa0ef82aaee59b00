/* messages.h: the messages of Stratum v2 as structs, from one table; bytes in, fields out.
 *
 * Source: Stratum v2 specification, sections 3.2 (types), 6 (common messages), 5/8 (mining),
 * extension 0x0001 (negotiation), and our own extension (docs/sv2-extension.md). Every message is a
 * list of fields below; struct, reader and writer are made from that list, so they cannot disagree.
 *
 *     struct owm_sv2_open_standard open;
 *     size_t used = owm_sv2_read_open_standard(payload, bytes, &open);
 *     if (used != bytes) return malformed;
 *
 * A reader checks every length against the payload and allocates nothing: strings and sequences are
 * views into it. It returns the bytes it read, which is at least 1; 0 means malformed. Bytes behind
 * the message are the caller's to judge: submit_extended may carry TLVs, anything else may not.
 * A writer returns the bytes it wrote; 0 means that they do not fit in `max`, or that a view is
 * longer than its type allows. Thread: any; nothing is shared.
 */
#ifndef OWM_SV2_MESSAGES_H
#define OWM_SV2_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWM_SV2_STRING_BYTES_MAX     255
#define OWM_SV2_EXTRANONCE_BYTES_MAX 32
#define OWM_SV2_MERKLE_PATH_MAX      255
#define OWM_SV2_CHANNEL_BIT          0x8000u /* Of extension_type as decoded. */
#define OWM_SV2_PROTOCOL_MINING      0
#define OWM_SV2_VERSION              2

/* Flags of setup_connection and its answer, protocol mining. */
#define OWM_SV2_REQUIRES_STANDARD_JOBS     0x1u
#define OWM_SV2_REQUIRES_WORK_SELECTION    0x2u
#define OWM_SV2_REQUIRES_VERSION_ROLLING   0x4u
#define OWM_SV2_REQUIRES_FIXED_VERSION     0x1u
#define OWM_SV2_REQUIRES_EXTENDED_CHANNELS 0x2u

/* Bits of a header's version that a miner may change (BIP 323). */
#define OWM_SV2_VERSION_MASK 0x1fffffe0u

/* Extensions. */
#define OWM_SV2_EXT_CORE          0x0000u
#define OWM_SV2_EXT_NEGOTIATION   0x0001u
#define OWM_SV2_EXT_WORKER        0x0002u /* Worker name as a TLV of submit_extended. */
#define OWM_SV2_EXT_NODE_IDENTITY 0x4f57u /* Ours, of the vendors' range: docs/sv2-extension.md. */

/** owm_sv2_view: elements as they lie on the wire, little endian; count in elements, not bytes. */
struct owm_sv2_view {
    const uint8_t *data;
    uint32_t count;
};

/** owm_sv2_option: OPTION[u32]. */
struct owm_sv2_option {
    bool present;
    uint32_t value;
};

/* Field types. Hashes and targets (u256) are 32 bytes, little endian, byte 31 the highest. */
typedef uint8_t owm_sv2_u8;
typedef uint16_t owm_sv2_u16;
typedef uint32_t owm_sv2_u32;
typedef uint64_t owm_sv2_u64;
typedef bool owm_sv2_flag; /* BOOL: bit 0 counts. */
typedef float owm_sv2_f32; /* As it came: may be NaN, infinite or negative. */
typedef struct {
    uint8_t byte[32];
} owm_sv2_u256;
typedef struct {
    uint8_t byte[64];
} owm_sv2_sig; /* 64 bytes, of a signature. */
typedef struct owm_sv2_option owm_sv2_opt_u32;
typedef struct owm_sv2_view owm_sv2_str;      /* STR0_255, any bytes. */
typedef struct owm_sv2_view owm_sv2_b32;      /* B0_32 */
typedef struct owm_sv2_view owm_sv2_b64k;     /* B0_64K */
typedef struct owm_sv2_view owm_sv2_seq_u256; /* SEQ0_255[U256] */
typedef struct owm_sv2_view owm_sv2_seq_u32;  /* SEQ0_64K[U32] */
typedef struct owm_sv2_view owm_sv2_seq_u16;  /* SEQ0_64K[U16] */

/* clang-format off */
/* The fields of each message, in wire order. */
#define OWM_SV2_SETUP_CONNECTION(F)                                                                \
    F(u8, protocol) F(u16, min_version) F(u16, max_version) F(u32, flags) F(str, endpoint_host)    \
    F(u16, endpoint_port) F(str, vendor) F(str, hardware_version) F(str, firmware)                 \
    F(str, device_id)
#define OWM_SV2_SETUP_SUCCESS(F)    F(u16, used_version) F(u32, flags)
#define OWM_SV2_SETUP_ERROR(F)      F(u32, flags) F(str, error_code)
#define OWM_SV2_ENDPOINT_CHANGED(F) F(u32, channel_id)
#define OWM_SV2_RECONNECT(F)        F(str, new_host) F(u16, new_port)

#define OWM_SV2_OPEN_STANDARD(F)                                                                   \
    F(u32, request_id) F(str, user_identity) F(f32, nominal_hash_rate) F(u256, max_target)
#define OWM_SV2_OPEN_STANDARD_SUCCESS(F)                                                           \
    F(u32, request_id) F(u32, channel_id) F(u256, target) F(b32, extranonce_prefix)                \
    F(u32, group_channel_id)
#define OWM_SV2_OPEN_ERROR(F) F(u32, request_id) F(str, error_code)
#define OWM_SV2_OPEN_EXTENDED(F)                                                                   \
    F(u32, request_id) F(str, user_identity) F(f32, nominal_hash_rate) F(u256, max_target)         \
    F(u16, min_extranonce_size)
#define OWM_SV2_OPEN_EXTENDED_SUCCESS(F)                                                           \
    F(u32, request_id) F(u32, channel_id) F(u256, target) F(u16, extranonce_size)                  \
    F(b32, extranonce_prefix) F(u32, group_channel_id)
#define OWM_SV2_NEW_JOB(F)                                                                         \
    F(u32, channel_id) F(u32, job_id) F(opt_u32, min_ntime) F(u32, version) F(u256, merkle_root)
#define OWM_SV2_UPDATE_CHANNEL(F)                                                                  \
    F(u32, channel_id) F(f32, nominal_hash_rate) F(u256, maximum_target)
#define OWM_SV2_UPDATE_ERROR(F)  F(u32, channel_id) F(str, error_code)
#define OWM_SV2_CLOSE_CHANNEL(F) F(u32, channel_id) F(str, reason_code)
#define OWM_SV2_SET_EXTRANONCE(F) F(u32, channel_id) F(b32, extranonce_prefix)
#define OWM_SV2_SUBMIT_STANDARD(F)                                                                 \
    F(u32, channel_id) F(u32, sequence_number) F(u32, job_id) F(u32, nonce) F(u32, ntime)          \
    F(u32, version)
#define OWM_SV2_SUBMIT_EXTENDED(F) OWM_SV2_SUBMIT_STANDARD(F) F(b32, extranonce)
#define OWM_SV2_SUBMIT_SUCCESS(F)                                                                  \
    F(u32, channel_id) F(u32, last_sequence_number) F(u32, new_submits_accepted_count)             \
    F(u64, new_shares_sum)
#define OWM_SV2_SUBMIT_ERROR(F)  F(u32, channel_id) F(u32, sequence_number) F(str, error_code)
#define OWM_SV2_NEW_EXTENDED_JOB(F)                                                                \
    F(u32, channel_id) F(u32, job_id) F(opt_u32, min_ntime) F(u32, version)                        \
    F(flag, version_rolling_allowed) F(seq_u256, merkle_path) F(b64k, coinbase_prefix)             \
    F(b64k, coinbase_suffix)
#define OWM_SV2_SET_PREV_HASH(F)                                                                   \
    F(u32, channel_id) F(u32, job_id) F(u256, prev_hash) F(u32, min_ntime) F(u32, nbits)
#define OWM_SV2_SET_TARGET(F)        F(u32, channel_id) F(u256, maximum_target)
#define OWM_SV2_CUSTOM_JOB_ERROR(F)  F(u32, channel_id) F(u32, request_id) F(str, error_code)
#define OWM_SV2_SET_GROUP_CHANNEL(F) F(u32, group_channel_id) F(seq_u32, channel_ids)

#define OWM_SV2_REQUEST_EXTENSIONS(F) F(u16, request_id) F(seq_u16, extensions)
#define OWM_SV2_EXTENSIONS_SUCCESS(F) F(u16, request_id) F(seq_u16, supported)
#define OWM_SV2_EXTENSIONS_ERROR(F)                                                                \
    F(u16, request_id) F(seq_u16, unsupported) F(seq_u16, required)

#define OWM_SV2_NODE_AUTH(F)                                                                       \
    F(u256, public_key) F(u64, time_s) F(sig, signature)
#define OWM_SV2_NODE_AUTH_SUCCESS(F) F(u64, time_s)
#define OWM_SV2_NODE_AUTH_ERROR(F)   F(str, error_code)
/* clang-format on */

/* M(name, fields, extension, message type, channel bit) */
#define OWM_SV2_MESSAGES(M)                                                                        \
    M(setup_connection, OWM_SV2_SETUP_CONNECTION, OWM_SV2_EXT_CORE, 0x00, 0)                       \
    M(setup_success, OWM_SV2_SETUP_SUCCESS, OWM_SV2_EXT_CORE, 0x01, 0)                             \
    M(setup_error, OWM_SV2_SETUP_ERROR, OWM_SV2_EXT_CORE, 0x02, 0)                                 \
    M(endpoint_changed, OWM_SV2_ENDPOINT_CHANGED, OWM_SV2_EXT_CORE, 0x03, 1)                       \
    M(reconnect, OWM_SV2_RECONNECT, OWM_SV2_EXT_CORE, 0x04, 0)                                     \
    M(open_standard, OWM_SV2_OPEN_STANDARD, OWM_SV2_EXT_CORE, 0x10, 0)                             \
    M(open_standard_success, OWM_SV2_OPEN_STANDARD_SUCCESS, OWM_SV2_EXT_CORE, 0x11, 0)             \
    M(open_error, OWM_SV2_OPEN_ERROR, OWM_SV2_EXT_CORE, 0x12, 0)                                   \
    M(open_extended, OWM_SV2_OPEN_EXTENDED, OWM_SV2_EXT_CORE, 0x13, 0)                             \
    M(open_extended_success, OWM_SV2_OPEN_EXTENDED_SUCCESS, OWM_SV2_EXT_CORE, 0x14, 0)             \
    M(new_job, OWM_SV2_NEW_JOB, OWM_SV2_EXT_CORE, 0x15, 1)                                         \
    M(update_channel, OWM_SV2_UPDATE_CHANNEL, OWM_SV2_EXT_CORE, 0x16, 1)                           \
    M(update_error, OWM_SV2_UPDATE_ERROR, OWM_SV2_EXT_CORE, 0x17, 1)                               \
    M(close_channel, OWM_SV2_CLOSE_CHANNEL, OWM_SV2_EXT_CORE, 0x18, 1)                             \
    M(set_extranonce, OWM_SV2_SET_EXTRANONCE, OWM_SV2_EXT_CORE, 0x19, 1)                           \
    M(submit_standard, OWM_SV2_SUBMIT_STANDARD, OWM_SV2_EXT_CORE, 0x1a, 1)                         \
    M(submit_extended, OWM_SV2_SUBMIT_EXTENDED, OWM_SV2_EXT_CORE, 0x1b, 1)                         \
    M(submit_success, OWM_SV2_SUBMIT_SUCCESS, OWM_SV2_EXT_CORE, 0x1c, 1)                           \
    M(submit_error, OWM_SV2_SUBMIT_ERROR, OWM_SV2_EXT_CORE, 0x1d, 1)                               \
    M(new_extended_job, OWM_SV2_NEW_EXTENDED_JOB, OWM_SV2_EXT_CORE, 0x1f, 1)                       \
    M(set_prev_hash, OWM_SV2_SET_PREV_HASH, OWM_SV2_EXT_CORE, 0x20, 1)                             \
    M(set_target, OWM_SV2_SET_TARGET, OWM_SV2_EXT_CORE, 0x21, 1)                                   \
    M(custom_job_error, OWM_SV2_CUSTOM_JOB_ERROR, OWM_SV2_EXT_CORE, 0x24, 0)                       \
    M(set_group_channel, OWM_SV2_SET_GROUP_CHANNEL, OWM_SV2_EXT_CORE, 0x25, 0)                     \
    M(request_extensions, OWM_SV2_REQUEST_EXTENSIONS, OWM_SV2_EXT_NEGOTIATION, 0x00, 0)            \
    M(extensions_success, OWM_SV2_EXTENSIONS_SUCCESS, OWM_SV2_EXT_NEGOTIATION, 0x01, 0)            \
    M(extensions_error, OWM_SV2_EXTENSIONS_ERROR, OWM_SV2_EXT_NEGOTIATION, 0x02, 0)                \
    M(node_auth, OWM_SV2_NODE_AUTH, OWM_SV2_EXT_NODE_IDENTITY, 0x00, 0)                            \
    M(node_auth_success, OWM_SV2_NODE_AUTH_SUCCESS, OWM_SV2_EXT_NODE_IDENTITY, 0x01, 0)            \
    M(node_auth_error, OWM_SV2_NODE_AUTH_ERROR, OWM_SV2_EXT_NODE_IDENTITY, 0x02, 0)

/* SetCustomMiningJob (0x22) is refused by its request_id alone: see session.c of the pool. */
#define OWM_SV2_TYPE_SET_CUSTOM_JOB 0x22

#define OWM_SV2_FIELD(type, name) owm_sv2_##type name;
#define OWM_SV2_DECLARE(name, fields, extension, type, channel)                                    \
    struct owm_sv2_##name {                                                                        \
        fields(OWM_SV2_FIELD)                                                                      \
    };                                                                                             \
    size_t owm_sv2_read_##name(const uint8_t *payload, size_t bytes, struct owm_sv2_##name *m);    \
    size_t owm_sv2_write_##name(uint8_t *out, size_t max, const struct owm_sv2_##name *m);
OWM_SV2_MESSAGES(OWM_SV2_DECLARE)

/** Message types, and extension_type with its channel bit as it goes into a frame header:
 *  OWM_SV2_TYPE_new_job, OWM_SV2_FRAME_EXT_new_job. */
#define OWM_SV2_NUMBER(name, fields, extension, type, channel)                                     \
    OWM_SV2_TYPE_##name = (type),                                                                  \
    OWM_SV2_FRAME_EXT_##name = (int)((extension) | ((channel) ? OWM_SV2_CHANNEL_BIT : 0u)),
enum owm_sv2_number { OWM_SV2_MESSAGES(OWM_SV2_NUMBER) };

/** owm_sv2_message_name: "submit_standard" for logs and metrics; NULL for an unknown pair.
 *  `extension` with or without the channel bit. */
const char *owm_sv2_message_name(uint16_t extension, uint8_t type);

/** owm_sv2_view_of: a view of `bytes` bytes (strings, B0_32, B0_64K). */
static inline struct owm_sv2_view owm_sv2_view_of(const void *data, size_t bytes)
{
    return (struct owm_sv2_view){.data = (const uint8_t *)data, .count = (uint32_t)bytes};
}

/** owm_sv2_worker_name: the worker's name of extension 0x0002 among the TLVs behind a
 *  submit_extended. Both byte orders in use for its type are read (facts: the specification's
 *  example is big endian, the reference implementation little). Unknown TLVs are skipped.
 *
 *  tlv   [bytes]; name  a view into it, up to 32 bytes; written if found.
 *  Returns: true when found; false when there is none or the TLVs are malformed. */
bool owm_sv2_worker_name(const uint8_t *tlv, size_t bytes, struct owm_sv2_view *name);

/** owm_sv2_write_worker_name: that TLV, little endian. 0: does not fit, or name over 32 bytes. */
size_t owm_sv2_write_worker_name(uint8_t *out, size_t max, struct owm_sv2_view name);

#endif

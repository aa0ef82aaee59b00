/* messages.c: readers and writers of every message, each straight-line code made from its fields.
 *
 * A reader first compares the payload with the least that its fields take. From that the compiler
 * knows that the checks of the leading fixed fields cannot fail and drops them, so a message of
 * fixed fields alone is one comparison and its loads.
 */
#include "messages.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are copied as they lie");

#define VIEW_MAX_u16 65535u
#define WORKER_FIELD 0x01
#define TLV_HEAD     5 /* Extension u16, field u8, length u16. */
#define WORKER_BYTES 32

/* The least that a field takes on the wire: for what varies, its length alone. */
enum {
    LEAST_u8 = 1,
    LEAST_u16 = 2,
    LEAST_u32 = 4,
    LEAST_u64 = 8,
    LEAST_flag = 1,
    LEAST_f32 = 4,
    LEAST_u256 = 32,
    LEAST_sig = 64,
    LEAST_opt_u32 = 1,
    LEAST_str = 1,
    LEAST_b32 = 1,
    LEAST_b64k = 2,
    LEAST_seq_u256 = 1,
    LEAST_seq_u32 = 2,
    LEAST_seq_u16 = 2,
};

struct source {
    const uint8_t *at;
    size_t left;
};

struct sink {
    uint8_t *at;
    size_t left;
};

static inline bool get_bytes(struct source *in, void *value, size_t bytes)
{
    if (in->left < bytes) return false;
    memcpy(value, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return true;
}

static inline bool put_bytes(struct sink *out, const void *value, size_t bytes)
{
    if (out->left < bytes) return false;
    if (bytes) memcpy(out->at, value, bytes);
    out->at += bytes;
    out->left -= bytes;
    return true;
}

#define COPIED(type)                                                                               \
    static inline bool get_##type(struct source *in, owm_sv2_##type *value)                        \
    {                                                                                              \
        return get_bytes(in, value, sizeof *value);                                                \
    }                                                                                              \
    static inline bool put_##type(struct sink *out, const owm_sv2_##type *value)                   \
    {                                                                                              \
        return put_bytes(out, value, sizeof *value);                                               \
    }
COPIED(u8)
COPIED(u16)
COPIED(u32)
COPIED(u64)
COPIED(f32)
COPIED(u256)
COPIED(sig)

static inline bool get_flag(struct source *in, owm_sv2_flag *value)
{
    uint8_t byte;
    if (!get_u8(in, &byte)) return false;
    *value = byte & 1;
    return true;
}

static inline bool put_flag(struct sink *out, const owm_sv2_flag *value)
{
    return put_bytes(out, &(uint8_t){*value ? 1 : 0}, 1);
}

static inline bool get_opt_u32(struct source *in, owm_sv2_opt_u32 *value)
{
    uint8_t count;
    if (!get_u8(in, &count) || count > 1) return false;
    *value = (struct owm_sv2_option){.present = count == 1};
    return count == 0 || get_u32(in, &value->value);
}

static inline bool put_opt_u32(struct sink *out, const owm_sv2_opt_u32 *value)
{
    return put_bytes(out, &(uint8_t){value->present ? 1 : 0}, 1)
           && (!value->present || put_u32(out, &value->value));
}

static inline bool get_elements(struct source *in, struct owm_sv2_view *view, size_t bytes)
{
    if (in->left < bytes) return false;
    view->data = in->at;
    in->at += bytes;
    in->left -= bytes;
    return true;
}

/* A count of type `length`, at most `most`, then as many elements of `size` bytes. */
#define COUNTED(type, length, most, size)                                                          \
    static inline bool get_##type(struct source *in, owm_sv2_##type *value)                        \
    {                                                                                              \
        owm_sv2_##length count;                                                                    \
        if (!get_##length(in, &count)) return false;                                               \
        value->count = count;                                                                      \
        if (value->count > (most)) return false;                                                   \
        return get_elements(in, value, (size_t)value->count * (size));                             \
    }                                                                                              \
    static inline bool put_##type(struct sink *out, const owm_sv2_##type *value)                   \
    {                                                                                              \
        if (value->count > (most)) return false;                                                   \
        owm_sv2_##length count = (owm_sv2_##length)value->count;                                   \
        return put_##length(out, &count)                                                           \
               && put_bytes(out, value->data, (size_t)value->count * (size));                      \
    }
COUNTED(str, u8, OWM_SV2_STRING_BYTES_MAX, 1)
COUNTED(b32, u8, OWM_SV2_EXTRANONCE_BYTES_MAX, 1)
COUNTED(b64k, u16, VIEW_MAX_u16, 1)
COUNTED(seq_u256, u8, OWM_SV2_MERKLE_PATH_MAX, 32)
COUNTED(seq_u32, u16, VIEW_MAX_u16, 4)
COUNTED(seq_u16, u16, VIEW_MAX_u16, 2)

#define LEAST(type, name) +LEAST_##type
#define READ(type, name)                                                                           \
    if (!get_##type(&in, &m->name)) return 0;
#define WRITE(type, name)                                                                          \
    if (!put_##type(&out, &m->name)) return 0;

#define DEFINE(name, fields, extension, type, channel)                                             \
    size_t owm_sv2_read_##name(const uint8_t *payload, size_t bytes, struct owm_sv2_##name *m)     \
    {                                                                                              \
        struct source in = {.at = payload, .left = bytes};                                         \
        if (bytes < (0 fields(LEAST))) return 0;                                                   \
        fields(READ) return bytes - in.left;                                                       \
    }                                                                                              \
    size_t owm_sv2_write_##name(uint8_t *to, size_t max, const struct owm_sv2_##name *m)           \
    {                                                                                              \
        struct sink out = {.at = to, .left = max};                                                 \
        if (max < (0 fields(LEAST))) return 0;                                                     \
        fields(WRITE) return max - out.left;                                                       \
    }
OWM_SV2_MESSAGES(DEFINE)

const char *owm_sv2_message_name(uint16_t extension, uint8_t type)
{
#define ROW(name, fields, of, number, channel) {(of), (number), #name},
    static const struct {
        uint16_t extension;
        uint8_t type;
        const char *name;
    } rows[] = {OWM_SV2_MESSAGES(ROW)};
    extension &= (uint16_t)~OWM_SV2_CHANNEL_BIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].extension == extension && rows[i].type == type) return rows[i].name;
    return NULL;
}

static uint16_t pair(const uint8_t *at, bool big_endian)
{
    return (uint16_t)(big_endian ? at[0] << 8 | at[1] : at[1] << 8 | at[0]);
}

/* The worker's name if the TLVs, read in this byte order, end where the payload ends. */
static bool find_worker(const uint8_t *tlv, size_t bytes, bool big_endian,
                        struct owm_sv2_view *name)
{
    struct owm_sv2_view found = {0};
    while (bytes > 0) {
        if (bytes < TLV_HEAD) return false;
        size_t value_bytes = pair(tlv + 3, big_endian);
        if (bytes - TLV_HEAD < value_bytes) return false;
        bool worker = pair(tlv, big_endian) == OWM_SV2_EXT_WORKER && tlv[2] == WORKER_FIELD;
        if (worker && value_bytes > WORKER_BYTES) return false;
        if (worker) found = owm_sv2_view_of(tlv + TLV_HEAD, value_bytes);
        tlv += TLV_HEAD + value_bytes;
        bytes -= TLV_HEAD + value_bytes;
    }
    if (found.data) *name = found;
    return found.data;
}

bool owm_sv2_worker_name(const uint8_t *tlv, size_t bytes, struct owm_sv2_view *name)
{
    return find_worker(tlv, bytes, false, name) || find_worker(tlv, bytes, true, name);
}

size_t owm_sv2_write_worker_name(uint8_t *out, size_t max, struct owm_sv2_view name)
{
    if (name.count > WORKER_BYTES || max < TLV_HEAD + name.count) return 0;
    uint8_t head[TLV_HEAD] = {OWM_SV2_EXT_WORKER, 0, WORKER_FIELD, (uint8_t)name.count, 0};
    memcpy(out, head, TLV_HEAD);
    if (name.count) memcpy(out + TLV_HEAD, name.data, name.count);
    return TLV_HEAD + name.count;
}

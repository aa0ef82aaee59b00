/* macaroon.c: bakes the macaroons of the roles and checks those of calls, as LND does.
 *
 * Written apart from base/lightning's own code, so that each finds the other's faults. Sources:
 * the macaroon V2 binary format (libmacaroons, doc/format.txt), the bakery's MacaroonId (nonce 1,
 * storage id 2, ops 3 {entity 1, actions 2}), LND's macaroons/service.go and constraints.go.
 */
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/lightning/lightning.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "double.h"

#define FORMAT_V2   2
#define BAKERY_V3   3
#define CAVEATS_MAX 16
#define NONCE_BYTES 16

enum field { FIELD_END = 0, FIELD_LOCATION = 1, FIELD_ID = 2, FIELD_SIGNATURE = 6 };

struct view {
    const uint8_t *bytes;
    size_t length;
};

struct macaroon {
    struct view id, caveat[CAVEATS_MAX], signature;
    size_t caveat_count;
};

static const char *const role_names[ROLES] = {
    [ROLE_ADMIN] = "admin", [ROLE_STAKE] = "stake", [ROLE_INVOICE] = "invoice",
    [ROLE_PAY] = "pay",     [ROLE_SLASH] = "slash", [ROLE_OPERATOR] = "operator",
};

/* What LND's admin.macaroon holds, of the entities that the double knows. */
static const char admin_words[] =
    "address:read address:write info:read info:write invoices:read invoices:write "
    "macaroon:generate "
    "macaroon:read macaroon:write message:read message:write offchain:read offchain:write "
    "onchain:read onchain:write peers:read peers:write signer:generate signer:read";

int role_find(const char *name)
{
    for (int i = 0; i < ROLES; i++)
        if (strcmp(role_names[i], name) == 0) return i;
    return -1;
}

static const char *role_words(enum role role)
{
    static const enum owm_lightning_role roles[ROLES] = {
        [ROLE_STAKE] = OWM_LIGHTNING_STAKE,       [ROLE_INVOICE] = OWM_LIGHTNING_INVOICE,
        [ROLE_PAY] = OWM_LIGHTNING_PAY,           [ROLE_SLASH] = OWM_LIGHTNING_SLASH,
        [ROLE_OPERATOR] = OWM_LIGHTNING_OPERATOR,
    };
    if (role == ROLE_ADMIN) return admin_words;
    return owm_lightning_role_recipe(OWM_LIGHTNING_LND, roles[role]);
}

static void root_key(const struct lnd_double *node, uint8_t storage_id, uint8_t key[32])
{
    uint8_t named[33];
    memcpy(named, node->secret, 32);
    named[32] = storage_id;
    owm_hmac_sha256("lnd double root key", 19, named, sizeof named, key);
}

static void chain_start(const uint8_t root[32], struct view id, uint8_t signature[32])
{
    static const char generator[] = "macaroons-key-generator";
    uint8_t key[32];
    owm_hmac_sha256(generator, sizeof generator - 1, root, 32, key);
    owm_hmac_sha256(key, 32, id.bytes, id.length, signature);
}

/* --------------------------------------------------------------------------------- baking */

static void put_varint(struct owm_writer *writer, size_t value)
{
    for (; value >= 0x80; value >>= 7) owm_write_u8(writer, (uint8_t)(value | 0x80));
    owm_write_u8(writer, (uint8_t)value);
}

static void put_packet(struct owm_writer *writer, uint8_t field, const void *bytes, size_t length)
{
    owm_write_u8(writer, field);
    put_varint(writer, length);
    owm_write_bytes(writer, bytes, length);
}

/* The operations of one entity, as the bakery writes them: {entity, actions…}. */
struct op {
    const char *entity;
    size_t entity_length;
    uint8_t bytes[2048];
    struct owm_writer writer;
};

static void op_flush(struct owm_writer *writer, struct op *op)
{
    OWM_ASSERT(owm_writer_ok(&op->writer));
    if (op->writer.at) put_packet(writer, 3 << 3 | 2, op->bytes, op->writer.at);
}

static void op_add(struct owm_writer *writer, struct op *op, const char *entity, size_t length,
                   const char *action)
{
    if (op->entity_length != length || memcmp(op->entity, entity, length) != 0) {
        op_flush(writer, op);
        owm_writer_init(&op->writer, op->bytes, sizeof op->bytes);
        put_packet(&op->writer, 1 << 3 | 2, entity, length);
        op->entity = entity;
        op->entity_length = length;
    }
    put_packet(&op->writer, 2 << 3 | 2, action, strlen(action));
}

/* "entity:action", or "entity:start{a,b}" as bash spreads it. What is neither is passed over: it is
 * the rest of the command line. */
static void op_word(struct owm_writer *writer, struct op *op, const char *word, size_t length)
{
    const char *colon = memchr(word, ':', length), *end = word + length;
    if (word[0] == '-' || word[0] == '/' || !colon) return;
    size_t entity = (size_t)(colon - word);
    const char *brace = memchr(word, '{', length);
    const char *at = brace ? brace + 1 : colon + 1;
    int start = brace ? (int)(brace - colon - 1) : 0;
    while (at < end) {
        char action[128];
        int each = (int)strcspn(at, ",} \n\\");
        snprintf(action, sizeof action, "%.*s%.*s", start, colon + 1, each, at);
        op_add(writer, op, word, entity, action);
        at += each + 1;
        if (at[-1] != ',') break;
    }
}

static struct view id_make(enum role role, uint8_t *id, size_t room)
{
    struct owm_writer writer;
    struct op op = {0};
    uint8_t nonce[NONCE_BYTES], storage_id = (uint8_t)('0' + role);
    owm_uuid_random(nonce);
    owm_writer_init(&op.writer, op.bytes, sizeof op.bytes);
    owm_writer_init(&writer, id, room);
    owm_write_u8(&writer, BAKERY_V3);
    put_packet(&writer, 1 << 3 | 2, nonce, sizeof nonce);
    put_packet(&writer, 2 << 3 | 2, &storage_id, 1);
    for (const char *word = role_words(role); *word;) {
        size_t length = strcspn(word, " \n\\");
        if (length) op_word(&writer, &op, word, length);
        word += length + (word[length] != 0);
    }
    op_flush(&writer, &op);
    OWM_ASSERT(owm_writer_ok(&writer));
    return (struct view){id, writer.at};
}

static owm_status bake(struct lnd_double *node, enum role role, struct owm_error *error)
{
    uint8_t id_bytes[MACAROON_BYTES / 2], bytes[MACAROON_BYTES], root[32], signature[32];
    struct view id = id_make(role, id_bytes, sizeof id_bytes);
    root_key(node, (uint8_t)('0' + role), root);
    chain_start(root, id, signature);

    struct owm_writer writer;
    owm_writer_init(&writer, bytes, sizeof bytes);
    owm_write_u8(&writer, FORMAT_V2);
    put_packet(&writer, FIELD_LOCATION, "lnd", 3);
    put_packet(&writer, FIELD_ID, id.bytes, id.length);
    owm_write_u8(&writer, FIELD_END);
    owm_write_u8(&writer, FIELD_END); /* no caveats */
    put_packet(&writer, FIELD_SIGNATURE, signature, sizeof signature);
    OWM_ASSERT(owm_writer_ok(&writer));

    char name[NAME_BYTES], path[LND_DOUBLE_PATH_BYTES];
    snprintf(name, sizeof name, "%s.macaroon", role_names[role]);
    lnd_double_file(node, name, path);
    owm_status status = owm_fs_create_atomic(path, bytes, writer.at, 0600, error);
    return status == OWM_E_EXISTS ? OWM_OK : status;
}

owm_status macaroons_bake(struct lnd_double *node, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (int role = 0; role < ROLES && status == OWM_OK; role++)
        status = bake(node, (enum role)role, error);
    return status;
}

/* -------------------------------------------------------------------------------- reading */

static size_t get_varint(struct owm_reader *reader)
{
    size_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        uint8_t byte = owm_read_u8(reader);
        value |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    reader->failed = true;
    return 0;
}

static uint8_t get_packet(struct owm_reader *reader, struct view *view)
{
    uint8_t field = owm_read_u8(reader);
    *view = (struct view){0};
    if (field == FIELD_END) return field;
    view->length = get_varint(reader);
    view->bytes = owm_read_view(reader, view->length);
    return view->bytes ? field : FIELD_END;
}

static bool caveats_read(struct owm_reader *reader, struct macaroon *macaroon)
{
    struct view view;
    for (;;) {
        uint8_t field = get_packet(reader, &view);
        if (field == FIELD_END) return owm_reader_ok(reader);
        if (field != FIELD_ID || macaroon->caveat_count == CAVEATS_MAX) return false;
        macaroon->caveat[macaroon->caveat_count++] = view;
        if (get_packet(reader, &view) != FIELD_END) return false; /* of a third party: none here */
    }
}

static bool macaroon_read(const uint8_t *bytes, size_t length, struct macaroon *macaroon)
{
    struct owm_reader reader;
    struct view view;
    *macaroon = (struct macaroon){0};
    owm_reader_init(&reader, bytes, length);
    if (owm_read_u8(&reader) != FORMAT_V2) return false;
    uint8_t field = get_packet(&reader, &macaroon->id);
    if (field == FIELD_LOCATION) field = get_packet(&reader, &macaroon->id);
    if (field != FIELD_ID || get_packet(&reader, &view) != FIELD_END) return false;
    if (!caveats_read(&reader, macaroon)) return false;
    return get_packet(&reader, &macaroon->signature) == FIELD_SIGNATURE
           && macaroon->signature.length == 32 && owm_reader_done(&reader);
}

/* A field of the MacaroonId or of one of its ops, all of which are length-delimited. */
static uint8_t get_field(struct owm_reader *reader, struct view *view)
{
    uint8_t tag = owm_read_u8(reader);
    *view = (struct view){0};
    if (owm_reader_ok(reader) && (tag & 7) != 2) reader->failed = true;
    view->length = get_varint(reader);
    view->bytes = owm_read_view(reader, view->length);
    return (uint8_t)(tag >> 3);
}

static bool view_is(struct view view, const char *text, size_t length)
{
    return view.length == length && memcmp(view.bytes, text, length) == 0;
}

static bool op_permits(struct view op, const char *word, size_t length)
{
    const char *colon = memchr(word, ':', length);
    struct owm_reader reader;
    struct view view;
    bool entity = false;
    owm_reader_init(&reader, op.bytes, op.length);
    while (owm_reader_left(&reader) > 0 && owm_reader_ok(&reader)) {
        uint8_t field = get_field(&reader, &view);
        if (!owm_reader_ok(&reader)) return false;
        if (field == 1) entity = view_is(view, word, (size_t)(colon - word));
        if (field == 2 && entity && view_is(view, colon + 1, length - (size_t)(colon + 1 - word)))
            return true;
    }
    return false;
}

/* Whether the id holds "entity:action"; its storage id goes out, too. */
static bool id_permits(struct view id, const char *word, size_t length, struct view *storage_id)
{
    struct owm_reader reader;
    struct view view;
    bool permits = false;
    owm_reader_init(&reader, id.bytes + 1, id.length - 1);
    while (owm_reader_left(&reader) > 0 && owm_reader_ok(&reader)) {
        uint8_t field = get_field(&reader, &view);
        if (!owm_reader_ok(&reader)) return false;
        if (field == 2) *storage_id = view;
        if (field == 3 && op_permits(view, word, length)) permits = true;
    }
    return permits;
}

/* ------------------------------------------------------------------------------- checking */

static bool time_is_over(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest) return true;
    if (*rest == '.') rest += 1 + strspn(rest + 1, "0123456789");
    int hours = 0, minutes = 0;
    char sign = 0;
    if (*rest != 'Z' && sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) != 3) return true;
    int64_t offset_s = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return (int64_t)timegm(&tm) - offset_s <= owm_clock_wall_ms() / 1000;
}

static bool caveat_holds(const struct owm_rpc_call *call, struct view view, char text[200])
{
    char caveat[128];
    if (view.length >= sizeof caveat) return false;
    memcpy(caveat, view.bytes, view.length);
    caveat[view.length] = 0;
    const char *why = NULL;
    if (strncmp(caveat, "time-before ", 12) == 0)
        why = time_is_over(caveat + 12) ? "macaroon has expired" : NULL;
    else if (strncmp(caveat, "ipaddr ", 7) == 0)
        why = strcmp(caveat + 7, owm_rpc_peer_address(call)) != 0
                  ? "macaroon locked to different IP address"
                  : NULL;
    else
        why = "caveat not recognized";
    if (why) snprintf(text, 200, "caveat \"%s\" not satisfied: %s", caveat, why);
    return !why;
}

static bool signature_holds(const struct lnd_double *node, const struct macaroon *macaroon,
                            struct view storage_id, char text[200])
{
    int role = storage_id.length == 1 ? storage_id.bytes[0] - '0' : -1;
    if (role < 0 || role >= ROLES || node->revoked[role]) {
        snprintf(text, 200, "verification failed: macaroon not found in storage");
        return false;
    }
    uint8_t root[32], signature[32];
    root_key(node, storage_id.bytes[0], root);
    chain_start(root, macaroon->id, signature);
    for (size_t i = 0; i < macaroon->caveat_count; i++) {
        uint8_t next[32];
        owm_hmac_sha256(signature, 32, macaroon->caveat[i].bytes, macaroon->caveat[i].length, next);
        memcpy(signature, next, 32);
    }
    if (owm_bytes_equal(signature, macaroon->signature.bytes, 32)) return true;
    snprintf(text, 200, "verification failed: signature mismatch after caveat verification");
    return false;
}

/* The header's value, from hex. false: LND's words are in text. */
static bool header_read(const struct owm_rpc_call *call, uint8_t *bytes, size_t *length,
                        char text[200])
{
    char hex[2 * MACAROON_BYTES + 1];
    owm_status status = owm_rpc_call_metadata(call, "macaroon", hex, sizeof hex - 1, length);
    if (status == OWM_E_NOTFOUND || status == OWM_E_EXISTS) {
        snprintf(text, 200, "expected 1 macaroon, got %d", status == OWM_E_EXISTS ? 2 : 0);
        return false;
    }
    hex[status == OWM_OK ? *length : 0] = 0;
    *length /= 2;
    snprintf(text, 200, "encoding/hex: invalid byte");
    return status == OWM_OK && owm_hex_decode(hex, bytes, *length) == OWM_OK;
}

static bool operations_hold(struct view id, const char *path, const char *permissions)
{
    struct view storage_id;
    char uri[128];
    size_t uri_length = (size_t)snprintf(uri, sizeof uri, "uri:%s", path);
    if (id_permits(id, uri, uri_length, &storage_id)) return true;
    for (const char *word = permissions; *word;) {
        size_t length = strcspn(word, " ");
        if (!id_permits(id, word, length, &storage_id)) return false;
        word += length + (word[length] != 0);
    }
    return true;
}

bool macaroon_check(struct lnd_double *node, const struct owm_rpc_call *call, const char *path,
                    const char *permissions, char text[200])
{
    uint8_t bytes[MACAROON_BYTES];
    size_t length;
    struct macaroon macaroon;
    struct view storage_id = {0};
    if (!header_read(call, bytes, &length, text)) return false;
    if (!macaroon_read(bytes, length, &macaroon)) {
        snprintf(text, 200, "cannot determine data format of binary-encoded macaroon");
        return false;
    }
    if (macaroon.id.length == 0 || macaroon.id.bytes[0] != BAKERY_V3) {
        snprintf(text, 200, "invalid ID");
        return false;
    }
    (void)id_permits(macaroon.id, ":", 1, &storage_id);
    if (!signature_holds(node, &macaroon, storage_id, text)) return false;
    for (size_t i = 0; i < macaroon.caveat_count; i++)
        if (!caveat_holds(call, macaroon.caveat[i], text)) return false;
    snprintf(text, 200, "permission denied");
    return operations_hold(macaroon.id, path, permissions);
}

/* log.c: see log.h. */
#include "controlplane/slashing/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/uuid.h"

#define ENTRY_BYTES_MAX 1024
#define FORMAT          "owm-slashing-log-1"

static const char *const kind_names[] = {[OWM_SLASH_DECISION] = "decision",
                                         [OWM_SLASH_EVICTION] = "eviction",
                                         [OWM_SLASH_OVERTURN] = "overturn"};

const char *owm_slash_kind_name(enum owm_slash_kind kind)
{
    return (unsigned)kind <= OWM_SLASH_OVERTURN ? kind_names[kind] : "unknown";
}

owm_status owm_slash_kind_parse(const char *text, enum owm_slash_kind *kind)
{
    for (unsigned i = 0; i <= OWM_SLASH_OVERTURN; i++) {
        if (strcmp(text, kind_names[i]) != 0) continue;
        *kind = (enum owm_slash_kind)i;
        return OWM_OK;
    }
    return OWM_E_PROTO;
}

void owm_slash_pseudonym(const uint8_t public_key[32], uint8_t node[32])
{
    owm_sha256(public_key, 32, node);
}

/* ---------------------------------------------------------------------------- chain */

static void put_text(struct owm_writer *writer, const char *text)
{
    size_t bytes = strlen(text);
    owm_write_u32_le(writer, (uint32_t)bytes);
    owm_write_bytes(writer, text, bytes);
}

static void entry_hash(const struct owm_slash_entry *entry, uint8_t hash[32])
{
    uint8_t text[ENTRY_BYTES_MAX];
    struct owm_writer writer;
    owm_writer_init(&writer, text, sizeof(text));
    owm_write_bytes(&writer, entry->previous_hash, 32);
    put_text(&writer, OWM_DOMAIN_SLASH_LOG);
    owm_write_u64_le(&writer, entry->sequence);
    put_text(&writer, owm_slash_kind_name(entry->kind));
    owm_write_bytes(&writer, entry->case_id, 16);
    owm_write_bytes(&writer, entry->node, 32);
    put_text(&writer, entry->channel_id);
    put_text(&writer, owm_tier_name(entry->tier));
    put_text(&writer, entry->reason);
    owm_write_bytes(&writer, entry->evidence_hash, 32);
    owm_write_u32_le(&writer, entry->signal_count);
    owm_write_u64_le(&writer, (uint64_t)entry->at_ms);
    owm_write_u64_le(&writer, (uint64_t)entry->cooldown_until_ms);
    put_text(&writer, entry->detail);
    OWM_ASSERT(owm_writer_ok(&writer)); /* the texts are bounded */
    owm_sha256(text, writer.at, hash);
}

void owm_slash_log_seal(struct owm_slash_entry *entry, const owm_identity *coordinator)
{
    entry_hash(entry, entry->hash);
    owm_identity_sign(coordinator, OWM_DOMAIN_SLASH_LOG, entry->hash, 32, entry->signature);
}

owm_status owm_slash_log_check(const struct owm_slash_entry *entry, uint64_t sequence,
                               const uint8_t previous_hash[32], const uint8_t coordinator_key[32],
                               struct owm_error *error)
{
    uint8_t hash[32];
    unsigned long long number = entry->sequence;
    if (entry->sequence != sequence + 1)
        return owm_fail(error, OWM_E_STATE, "entry %llu follows entry %llu: one is missing", number,
                        (unsigned long long)sequence);
    if (memcmp(entry->previous_hash, previous_hash, 32) != 0)
        return owm_fail(error, OWM_E_STATE,
                        "entry %llu does not name the hash of the entry before it: history was "
                        "changed",
                        number);
    entry_hash(entry, hash);
    if (memcmp(hash, entry->hash, 32) != 0)
        return owm_fail(error, OWM_E_CRYPTO, "entry %llu was changed: its hash is another", number);
    if (owm_verify(coordinator_key, OWM_DOMAIN_SLASH_LOG, hash, 32, entry->signature) != OWM_OK)
        return owm_fail(error, OWM_E_CRYPTO, "entry %llu is not signed by this coordinator",
                        number);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- JSON */

static json_t *entry_json(const struct owm_slash_entry *entry)
{
    char id[37], node[65], evidence[65], previous[65], hash[65], signature[129], date[32];
    time_t seconds = (time_t)(entry->at_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
    owm_uuid_format(entry->case_id, id);
    owm_hex_encode(entry->node, 32, node);
    owm_hex_encode(entry->evidence_hash, 32, evidence);
    owm_hex_encode(entry->previous_hash, 32, previous);
    owm_hex_encode(entry->hash, 32, hash);
    owm_hex_encode(entry->signature, 64, signature);
    return json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:s, s:I, s:I, s:s, s:s, s:s, "
        "s:s}",
        "sequence", (json_int_t)entry->sequence, "kind", owm_slash_kind_name(entry->kind),
        "case_id", id, "node", node, "channel_id", entry->channel_id, "tier",
        owm_tier_name(entry->tier), "reason", owm_json_text(entry->reason), "evidence_hash",
        evidence, "signal_count", (json_int_t)entry->signal_count, "date", date, "at_ms",
        (json_int_t)entry->at_ms, "cooldown_until_ms", (json_int_t)entry->cooldown_until_ms,
        "detail", entry->detail, "previous_hash", previous, "hash", hash, "signature", signature);
}

json_t *owm_slash_page_json(const struct owm_slash_entry *entries, size_t count,
                            const uint8_t coordinator_key[32], bool more)
{
    char key[65];
    owm_hex_encode(coordinator_key, 32, key);
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++) {
        if (json_array_append_new(list, entry_json(&entries[i])) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    json_t *page = list ? json_pack("{s:s, s:s, s:o}", "format", FORMAT, "coordinator_key", key,
                                    "entries", list)
                        : NULL;
    if (page && more && count) {
        char next[96];
        snprintf(next, sizeof(next), "/v1/network/slashing-log?after=%llu",
                 (unsigned long long)entries[count - 1].sequence);
        if (json_object_set_new(page, "next", json_string(next)) != 0) {
            json_decref(page);
            page = NULL;
        }
    }
    return page;
}

static owm_status get_hex(const json_t *object, const char *key, void *out, size_t bytes,
                          struct owm_error *error)
{
    const char *text = NULL;
    owm_status status = owm_json_string(object, "entry", key, &text, error);
    if (status != OWM_OK) return status;
    if (strlen(text) != 2 * bytes || owm_hex_decode(text, out, bytes) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "entry.%s: %zu hex digits were expected", key,
                        2 * bytes);
    return OWM_OK;
}

static owm_status get_text(const json_t *object, const char *key, char *out, size_t capacity,
                           struct owm_error *error)
{
    const char *text = NULL;
    owm_status status = owm_json_string(object, "entry", key, &text, error);
    if (status != OWM_OK) return status;
    if (strlen(text) >= capacity)
        return owm_fail(error, OWM_E_PROTO, "entry.%s is longer than %zu bytes", key, capacity - 1);
    memcpy(out, text, strlen(text) + 1);
    return OWM_OK;
}

static owm_status get_names(const json_t *object, struct owm_slash_entry *entry,
                            struct owm_error *error)
{
    char kind[16], tier[8], id[48];
    owm_status status = get_text(object, "kind", kind, sizeof(kind), error);
    if (status == OWM_OK) status = get_text(object, "tier", tier, sizeof(tier), error);
    if (status == OWM_OK) status = get_text(object, "case_id", id, sizeof(id), error);
    if (status != OWM_OK) return status;
    if (owm_slash_kind_parse(kind, &entry->kind) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "entry.kind: decision, eviction or overturn");
    if (owm_tier_parse(tier, &entry->tier) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "entry.tier: t1, t2 or t3");
    if (owm_uuid_parse(id, entry->case_id) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "entry.case_id is no UUID");
    return OWM_OK;
}

static owm_status get_numbers(const json_t *object, struct owm_slash_entry *entry,
                              struct owm_error *error)
{
    const struct owm_json_range any = {0, INT64_MAX}, u32 = {0, UINT32_MAX};
    int64_t sequence = 0, signals = 0;
    owm_status status = owm_json_int(object, "entry", "sequence", any, &sequence, error);
    if (status == OWM_OK)
        status = owm_json_int(object, "entry", "signal_count", u32, &signals, error);
    if (status == OWM_OK)
        status = owm_json_int(object, "entry", "at_ms", any, &entry->at_ms, error);
    if (status == OWM_OK)
        status = owm_json_int(object, "entry", "cooldown_until_ms", any, &entry->cooldown_until_ms,
                              error);
    entry->sequence = (uint64_t)sequence;
    entry->signal_count = (uint32_t)signals;
    return status;
}

static owm_status read_entry(const json_t *object, struct owm_slash_entry *entry,
                             struct owm_error *error)
{
    memset(entry, 0, sizeof(*entry));
    if (!json_is_object(object))
        return owm_fail(error, OWM_E_PROTO, "entries: an object was expected");
    owm_status status = get_names(object, entry, error);
    if (status == OWM_OK) status = get_numbers(object, entry, error);
    if (status == OWM_OK)
        status =
            get_text(object, "channel_id", entry->channel_id, sizeof(entry->channel_id), error);
    if (status == OWM_OK)
        status = get_text(object, "reason", entry->reason, sizeof(entry->reason), error);
    if (status == OWM_OK)
        status = get_text(object, "detail", entry->detail, sizeof(entry->detail), error);
    if (status == OWM_OK) status = get_hex(object, "node", entry->node, 32, error);
    if (status == OWM_OK)
        status = get_hex(object, "evidence_hash", entry->evidence_hash, 32, error);
    if (status == OWM_OK)
        status = get_hex(object, "previous_hash", entry->previous_hash, 32, error);
    if (status == OWM_OK) status = get_hex(object, "hash", entry->hash, 32, error);
    if (status == OWM_OK) status = get_hex(object, "signature", entry->signature, 64, error);
    return status;
}

owm_status owm_slash_page_read(const char *text, size_t bytes, struct owm_slash_entry *entries,
                               size_t *count, bool *more, struct owm_error *error)
{
    json_t *page = NULL;
    const json_t *list = NULL;
    const char *format = NULL, *next = NULL;
    *count = 0;
    owm_status status = owm_json_parse(text, bytes, OWM_SLASH_PAGE_BYTES_MAX, &page, error);
    if (status == OWM_OK) status = owm_json_string(page, "", "format", &format, error);
    if (status == OWM_OK && strcmp(format, FORMAT) != 0)
        status = owm_fail(error, OWM_E_PROTO, "this is no page of a slashing log");
    if (status == OWM_OK) status = owm_json_string_or(page, "", "next", "", &next, error);
    if (status == OWM_OK) status = owm_json_array(page, "", "entries", &list, error);
    if (status == OWM_OK && json_array_size(list) > OWM_SLASH_PAGE_MAX)
        status = owm_fail(error, OWM_E_LIMIT, "more than %d entries on a page", OWM_SLASH_PAGE_MAX);
    for (size_t i = 0; status == OWM_OK && i < json_array_size(list); i++) {
        status = read_entry(json_array_get(list, i), &entries[i], error);
        *count = i + 1;
    }
    *more = status == OWM_OK && next[0] != 0;
    json_decref(page);
    return status;
}

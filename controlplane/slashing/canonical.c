/* canonical.c: see canonical.h. */
#include "controlplane/slashing/canonical.h"

#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"

#define ACT_BYTES_MAX 512

static void put_text(struct owm_writer *writer, const char *text)
{
    size_t bytes = strlen(text);
    owm_write_u32_le(writer, (uint32_t)bytes);
    owm_write_bytes(writer, text, bytes);
}

/* ---------------------------------------------------------------------------- facts */

static void put_facts(struct owm_writer *writer, const struct owm_case *c)
{
    owm_write_bytes(writer, c->case_id, 16);
    owm_write_bytes(writer, c->node_id, 16);
    owm_write_bytes(writer, c->public_key, 32);
    owm_write_bytes(writer, c->ln_key, 33);
    put_text(writer, owm_tier_name(c->tier));
    owm_write_u64_le(writer, (uint64_t)c->opened_ms);
    owm_write_u32_le(writer, c->signal_count);
    for (uint32_t i = 0; i < c->signal_count; i++) {
        const struct owm_case_signal *signal = &c->signals[i];
        put_text(writer, owm_signal_type_name(signal->type));
        owm_write_bytes(writer, signal->evidence_hash, 32);
        owm_write_u32_le(writer, signal->round);
        owm_write_bytes(writer, signal->task_id, 16);
        owm_write_u64_le(writer, (uint64_t)signal->detected_ms);
    }
}

void owm_case_digest(const struct owm_case *c, const uint8_t coordinator_key[32],
                     uint8_t digest[32])
{
    uint8_t text[OWM_DECISION_BYTES_MAX];
    struct owm_writer writer;
    owm_writer_init(&writer, text, sizeof(text));
    put_text(&writer, OWM_DOMAIN_SLASH_CASE);
    owm_write_bytes(&writer, coordinator_key, 32);
    put_facts(&writer, c);
    OWM_ASSERT(owm_writer_ok(&writer)); /* 64 signals fit */
    owm_sha256(text, writer.at, digest);
}

void owm_case_subject(const struct owm_case *c, const uint8_t coordinator_key[32], enum owm_act act,
                      uint8_t digest[32])
{
    if (act == OWM_ACT_OVERTURN)
        memcpy(digest, c->decision_hash, 32);
    else
        owm_case_digest(c, coordinator_key, digest);
}

/* ---------------------------------------------------------------------------- acts */

static size_t act_text(const uint8_t case_id[16], const uint8_t digest[32],
                       const uint8_t coordinator_key[32], const struct owm_case_act *act,
                       uint8_t out[ACT_BYTES_MAX])
{
    struct owm_writer writer;
    owm_writer_init(&writer, out, ACT_BYTES_MAX);
    put_text(&writer, OWM_DOMAIN_SLASH_ACT);
    owm_write_bytes(&writer, coordinator_key, 32);
    owm_write_bytes(&writer, case_id, 16);
    put_text(&writer, owm_act_name(act->act));
    owm_write_bytes(&writer, digest, 32);
    owm_write_bytes(&writer, act->maintainer_key, 32);
    owm_write_u64_le(&writer, (uint64_t)act->at_ms);
    put_text(&writer, act->reason);
    OWM_ASSERT(owm_writer_ok(&writer));
    return writer.at;
}

void owm_act_sign_digest(const uint8_t case_id[16], const uint8_t digest[32],
                         const uint8_t coordinator_key[32], const owm_identity *maintainer,
                         struct owm_case_act *act)
{
    uint8_t text[ACT_BYTES_MAX];
    memcpy(act->maintainer_key, owm_identity_public_key(maintainer), 32);
    size_t bytes = act_text(case_id, digest, coordinator_key, act, text);
    owm_identity_sign(maintainer, OWM_DOMAIN_SLASH_ACT, text, bytes, act->signature);
}

void owm_act_sign(const struct owm_case *c, const uint8_t coordinator_key[32],
                  const owm_identity *maintainer, struct owm_case_act *act)
{
    uint8_t digest[32];
    owm_case_subject(c, coordinator_key, act->act, digest);
    owm_act_sign_digest(c->case_id, digest, coordinator_key, maintainer, act);
}

owm_status owm_act_verify(const struct owm_case *c, const uint8_t coordinator_key[32],
                          const struct owm_case_act *act)
{
    uint8_t text[ACT_BYTES_MAX], digest[32];
    owm_case_subject(c, coordinator_key, act->act, digest);
    size_t bytes = act_text(c->case_id, digest, coordinator_key, act, text);
    return owm_verify(act->maintainer_key, OWM_DOMAIN_SLASH_ACT, text, bytes, act->signature);
}

/* ---------------------------------------------------------------------------- decision */

owm_status owm_decision_encode(const struct owm_case *c, const uint8_t coordinator_key[32],
                               uint8_t *out, size_t *bytes)
{
    struct owm_writer writer;
    uint32_t acks = 0;
    owm_writer_init(&writer, out, OWM_DECISION_BYTES_MAX);
    put_text(&writer, OWM_DOMAIN_SLASH_DECISION);
    owm_write_bytes(&writer, coordinator_key, 32);
    put_facts(&writer, c);
    put_text(&writer, c->reason);
    owm_write_u64_le(&writer, (uint64_t)c->decided_ms);
    owm_write_u64_le(&writer, (uint64_t)c->appeal_until_ms);
    owm_write_u64_le(&writer, (uint64_t)c->cooldown_until_ms);
    for (uint32_t i = 0; i < c->act_count; i++) acks += c->acts[i].act == OWM_ACT_ACKNOWLEDGE;
    owm_write_u32_le(&writer, acks);
    for (uint32_t i = 0; i < c->act_count; i++) {
        const struct owm_case_act *act = &c->acts[i];
        if (act->act != OWM_ACT_ACKNOWLEDGE) continue;
        owm_write_bytes(&writer, act->maintainer_key, 32);
        owm_write_u64_le(&writer, (uint64_t)act->at_ms);
        put_text(&writer, act->reason);
        owm_write_bytes(&writer, act->signature, 64);
    }
    *bytes = writer.at;
    return owm_writer_ok(&writer) ? OWM_OK : OWM_E_LIMIT;
}

/* False if it does not fit, holds a zero byte, or ends too early. */
static bool get_text(struct owm_reader *reader, char *out, size_t capacity)
{
    uint32_t bytes = owm_read_u32_le(reader);
    const uint8_t *text = bytes < capacity ? owm_read_view(reader, bytes) : NULL;
    if (!text && bytes) return false;
    if (bytes && memchr(text, 0, bytes)) return false;
    if (bytes) memcpy(out, text, bytes);
    out[bytes] = 0;
    return owm_reader_ok(reader);
}

static bool get_domain(struct owm_reader *reader, const uint8_t coordinator_key[32])
{
    char domain[64];
    uint8_t key[32];
    if (!get_text(reader, domain, sizeof(domain))) return false;
    owm_read_bytes(reader, key, 32);
    return owm_reader_ok(reader) && strcmp(domain, OWM_DOMAIN_SLASH_DECISION) == 0
           && memcmp(key, coordinator_key, 32) == 0;
}

static bool get_signals(struct owm_reader *reader, struct owm_case *c)
{
    c->signal_count = owm_read_u32_le(reader);
    if (!owm_reader_ok(reader) || c->signal_count > OWM_CASE_SIGNALS_MAX) return false;
    for (uint32_t i = 0; i < c->signal_count; i++) {
        struct owm_case_signal *signal = &c->signals[i];
        char type[32];
        if (!get_text(reader, type, sizeof(type))
            || owm_signal_type_parse(type, &signal->type) != OWM_OK)
            return false;
        owm_read_bytes(reader, signal->evidence_hash, 32);
        signal->round = owm_read_u32_le(reader);
        owm_read_bytes(reader, signal->task_id, 16);
        signal->detected_ms = (int64_t)owm_read_u64_le(reader);
    }
    return owm_reader_ok(reader);
}

static bool get_facts(struct owm_reader *reader, struct owm_case *c)
{
    char tier[8];
    owm_read_bytes(reader, c->case_id, 16);
    owm_read_bytes(reader, c->node_id, 16);
    owm_read_bytes(reader, c->public_key, 32);
    owm_read_bytes(reader, c->ln_key, 33);
    if (!get_text(reader, tier, sizeof(tier)) || owm_tier_parse(tier, &c->tier) != OWM_OK)
        return false;
    c->opened_ms = (int64_t)owm_read_u64_le(reader);
    return get_signals(reader, c);
}

static bool get_acks(struct owm_reader *reader, struct owm_case *c)
{
    c->act_count = owm_read_u32_le(reader);
    if (!owm_reader_ok(reader) || c->act_count > OWM_MAINTAINERS_MAX) return false;
    for (uint32_t i = 0; i < c->act_count; i++) {
        struct owm_case_act *act = &c->acts[i];
        act->act = OWM_ACT_ACKNOWLEDGE;
        owm_read_bytes(reader, act->maintainer_key, 32);
        act->at_ms = (int64_t)owm_read_u64_le(reader);
        if (!get_text(reader, act->reason, sizeof(act->reason))) return false;
        owm_read_bytes(reader, act->signature, 64);
    }
    return owm_reader_done(reader);
}

owm_status owm_decision_decode(const uint8_t *data, size_t bytes, const uint8_t coordinator_key[32],
                               struct owm_case *c, struct owm_error *error)
{
    struct owm_reader reader;
    memset(c, 0, sizeof(*c));
    if (bytes > OWM_DECISION_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "the decision has %zu bytes, more than any has", bytes);
    owm_reader_init(&reader, data, bytes);
    if (!get_domain(&reader, coordinator_key))
        return owm_fail(error, OWM_E_PROTO, "this is no slashing decision of this coordinator");
    bool good = get_facts(&reader, c) && get_text(&reader, c->reason, sizeof(c->reason));
    if (good) {
        c->decided_ms = (int64_t)owm_read_u64_le(&reader);
        c->appeal_until_ms = (int64_t)owm_read_u64_le(&reader);
        c->cooldown_until_ms = (int64_t)owm_read_u64_le(&reader);
        good = get_acks(&reader, c);
    }
    if (!good) return owm_fail(error, OWM_E_PROTO, "the decision is malformed");
    c->state = OWM_CASE_DECIDED;
    owm_sha256(data, bytes, c->decision_hash);
    return OWM_OK;
}

owm_status owm_decision_open(const uint8_t *data, size_t bytes, const uint8_t signature[64],
                             const uint8_t coordinator_key[32], struct owm_case *c,
                             struct owm_error *error)
{
    owm_status status = owm_decision_decode(data, bytes, coordinator_key, c, error);
    if (status == OWM_OK)
        status = owm_verify(coordinator_key, OWM_DOMAIN_SLASH_DECISION, data, bytes, signature);
    if (status == OWM_E_CRYPTO)
        return owm_fail(error, status, "the decision is not signed by the coordinator");
    return status;
}

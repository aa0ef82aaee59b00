/* moves.c: the steps of a case, each one transaction: rows, log entry, bond and payments together
 * or not at all. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "controlplane/slashing/canonical.h"
#include "controlplane/slashing/manager.h"

#define AT(n) "to_timestamp($" #n "::bigint / 1000.0)"

/* What a decision is made of besides the case. */
struct ruling {
    uint8_t bytes[OWM_DECISION_BYTES_MAX];
    size_t count;
    uint8_t signature[64], bundle[32];
};

static owm_status with_id(struct owm_slashing *s, const char *sql, const uint8_t id[16],
                          struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    return owm_pg_query(s->pg, sql, &args, NULL, error);
}

/* ---------------------------------------------------------------------------- decide */

/* When the engine has suspended a T1 node by itself, its cooldown is the one that counts. */
static owm_status set_times(struct owm_slashing *s, struct owm_case *c, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, c->node_id);
    c->decided_ms = owm_clock_wall_ms();
    c->appeal_until_ms = c->decided_ms + s->config.policy.appeal_ms;
    c->cooldown_until_ms = c->decided_ms + s->config.policy.cooldown_ms;
    owm_status status = owm_pg_query(
        s->pg,
        "SELECT " OWM_PG_MS("cooldown_until") " FROM nodes"
                                              " WHERE node_id = $1 AND status = 'suspended'",
        &args, &rows, error);
    if (status != OWM_OK) return status;
    int64_t engines = owm_pg_rows_count(rows) ? owm_pg_get_i64(rows, 0, 0) : 0;
    if (engines > c->decided_ms) c->cooldown_until_ms = engines;
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* The evidence of the whole case: the signed decision, which names the evidence of each signal. */
static owm_status put_bundle(struct owm_slashing *s, const struct owm_case *c,
                             struct ruling *ruling, struct owm_error *error)
{
    char id[37], key[65], signature[129], *hex = malloc(2 * ruling->count + 1), *text = NULL;
    size_t bytes = 0;
    if (!hex) return OWM_E_NOMEM;
    owm_uuid_format(c->case_id, id);
    owm_hex_encode(s->config.policy.coordinator_key, 32, key);
    owm_hex_encode(ruling->signature, 64, signature);
    owm_hex_encode(ruling->bytes, ruling->count, hex);
    json_t *bundle = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "slash_case", "case_id", id,
                               "coordinator_key", key, "decision", hex, "signature", signature);
    free(hex);
    owm_status status = bundle ? owm_json_canonical(bundle, &text, &bytes) : OWM_E_NOMEM;
    json_decref(bundle);
    if (status == OWM_OK)
        status = owm_blob_put(s->config.store, text, bytes, ruling->bundle, error);
    free(text);
    return status;
}

static owm_status make_ruling(struct owm_slashing *s, struct owm_case *c, struct ruling *ruling,
                              struct owm_error *error)
{
    owm_status status = set_times(s, c, error);
    owm_case_reason(c, c->reason);
    if (status == OWM_OK)
        status =
            owm_decision_encode(c, s->config.policy.coordinator_key, ruling->bytes, &ruling->count);
    if (status != OWM_OK) return status;
    owm_identity_sign(s->config.identity, OWM_DOMAIN_SLASH_DECISION, ruling->bytes, ruling->count,
                      ruling->signature);
    return put_bundle(s, c, ruling, error);
}

static owm_status write_ruling(struct owm_slashing *s, const struct owm_case *c,
                               const struct ruling *ruling, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, c->case_id);
    owm_pg_i64(&args, c->decided_ms);
    owm_pg_i64(&args, c->appeal_until_ms);
    owm_pg_i64(&args, c->cooldown_until_ms);
    owm_pg_text(&args, c->reason);
    owm_pg_bytes(&args, ruling->bundle, 32);
    owm_pg_bytes(&args, ruling->bytes, ruling->count);
    owm_pg_bytes(&args, ruling->signature, 64);
    return owm_pg_query(
        s->pg,
        "UPDATE slash_cases SET state = 'decided', decided_at = " AT(2) ", appeal_until = " AT(
            3) ", cooldown_until = " AT(4) ", reason = $5,"
                                           " bundle_hash = $6, decision = $7, decision_sig = $8 "
                                           "WHERE case_id = $1",
        &args, NULL, error);
}

static owm_status append(struct owm_slashing *s, const struct owm_case *c,
                         struct owm_slash_entry *entry, uint8_t event_id[16],
                         struct owm_error *error)
{
    memcpy(entry->case_id, c->case_id, 16);
    owm_slash_pseudonym(c->public_key, entry->node);
    entry->tier = c->tier;
    memcpy(entry->reason, c->reason, sizeof(entry->reason));
    entry->signal_count = owm_case_distinct_signals(c);
    return owm_slash_log_append(s->pg, s->config.identity, c->node_id, entry, event_id, error);
}

/* Owed rewards of the very work that was proven false. What is in flight is never touched: whether
 * it was paid is the Lightning node's to say. */
static const char cancel_owed[] =
    "WITH gone AS (UPDATE payments p SET state = 'cancelled', updated_at = now(),"
    " reason = 'cancelled: the work was proven false, case ' || $1::uuid FROM slash_cases c"
    " JOIN slash_case_signals x ON x.case_id = c.case_id AND x.counted"
    " JOIN misbehavior_signals s ON s.signal_id = x.signal_id"
    " WHERE c.case_id = $1 AND p.node_id = c.node_id AND p.source_id = s.task_id"
    " AND p.state IN ('owed', 'failed') RETURNING p.payment_id)"
    " INSERT INTO slash_cancelled (payment_id, case_id) SELECT payment_id, $1 FROM gone"
    " ON CONFLICT (payment_id) DO UPDATE SET case_id = excluded.case_id";

static owm_status mark_signals(struct owm_slashing *s, const struct owm_case *c,
                               const uint8_t event_id[16], struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, c->case_id);
    owm_pg_uuid(&args, event_id);
    return owm_pg_query(s->pg,
                        "UPDATE misbehavior_signals s SET slashing_event = $2"
                        " FROM slash_case_signals x WHERE x.case_id = $1 AND x.counted"
                        " AND x.signal_id = s.signal_id",
                        &args, NULL, error);
}

static owm_status decide(struct owm_slashing *s, struct owm_case *c, struct owm_error *error)
{
    const struct owm_bonds_hooks *bonds = s->config.bonds;
    struct owm_slash_entry entry = {.kind = OWM_SLASH_DECISION};
    uint8_t event_id[16];
    struct ruling *ruling = calloc(1, sizeof(*ruling));
    if (!ruling) return OWM_E_NOMEM;
    owm_status status = make_ruling(s, c, ruling, error);
    if (status == OWM_OK) status = write_ruling(s, c, ruling, error);
    if (status == OWM_OK) status = owm_case_channel(s->pg, c->node_id, entry.channel_id, error);
    entry.at_ms = c->decided_ms;
    entry.cooldown_until_ms = c->cooldown_until_ms;
    memcpy(entry.evidence_hash, ruling->bundle, 32);
    if (status == OWM_OK) status = append(s, c, &entry, event_id, error);
    if (status == OWM_OK) status = mark_signals(s, c, event_id, error);
    if (status == OWM_OK) status = with_id(s, cancel_owed, c->case_id, error);
    if (status == OWM_OK && bonds && bonds->slash)
        status = bonds->slash(bonds->ctx, s->pg, c->node_id, c->case_id, error);
    if (status == OWM_OK) s->config.publish(s->config.ctx, ruling->bundle);
    free(ruling);
    return status;
}

/* ---------------------------------------------------------------------------- the other steps */

static owm_status bundle_of(struct owm_slashing *s, const uint8_t case_id[16], uint8_t hash[32],
                            struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, case_id);
    owm_status status = owm_pg_query(
        s->pg, "SELECT bundle_hash FROM slash_cases WHERE case_id = $1", &args, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows)) owm_pg_get_hash(rows, 0, 0, hash, 32);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* As if it had never been: what it cancelled is owed again. */
static const char restore_owed[] =
    "UPDATE payments p SET state = 'owed', updated_at = now(),"
    " reason = 'owed again: the case was overturned' FROM slash_cancelled x"
    " WHERE x.case_id = $1 AND x.payment_id = p.payment_id AND p.state = 'cancelled'";

static owm_status overturn(struct owm_slashing *s, struct owm_case *c, struct owm_error *error)
{
    const struct owm_bonds_hooks *bonds = s->config.bonds;
    struct owm_slash_entry entry = {.kind = OWM_SLASH_OVERTURN, .at_ms = owm_clock_wall_ms()};
    uint8_t event_id[16];
    entry.cooldown_until_ms = entry.at_ms;
    owm_status status = with_id(
        s, "UPDATE slash_cases SET state = 'overturned', ended_at = now() WHERE case_id = $1",
        c->case_id, error);
    if (status == OWM_OK) status = bundle_of(s, c->case_id, entry.evidence_hash, error);
    if (status == OWM_OK) status = owm_case_channel(s->pg, c->node_id, entry.channel_id, error);
    if (status == OWM_OK) status = append(s, c, &entry, event_id, error);
    if (status == OWM_OK) status = with_id(s, restore_owed, c->case_id, error);
    if (status == OWM_OK && bonds && bonds->give_back)
        status = bonds->give_back(bonds->ctx, s->pg, c->node_id, c->case_id, error);
    return status;
}

static owm_status apply(struct owm_slashing *s, struct owm_case *c, enum owm_case_step step,
                        struct owm_error *error)
{
    switch (step) {
    case OWM_CASE_STEP_DECIDE:
        return decide(s, c, error);
    case OWM_CASE_STEP_OVERTURN:
        return overturn(s, c, error);
    case OWM_CASE_STEP_DISMISS:
        return with_id(s,
                       "UPDATE slash_cases SET state = 'dismissed', ended_at = now(),"
                       " enforced_at = now() WHERE case_id = $1",
                       c->case_id, error);
    case OWM_CASE_STEP_EVICT:
        return with_id(s, "UPDATE slash_cases SET state = 'evicting' WHERE case_id = $1",
                       c->case_id, error);
    case OWM_CASE_STEP_CLOSE:
        return with_id(
            s, "UPDATE slash_cases SET state = 'closed', ended_at = now() WHERE case_id = $1",
            c->case_id, error);
    case OWM_CASE_STEP_NONE:
        break;
    }
    /* Also what a failed payment brought back to "owed" after the decision. */
    if (c->state == OWM_CASE_DECIDED || c->state == OWM_CASE_EVICTING)
        return with_id(s, cancel_owed, c->case_id, error);
    return OWM_OK;
}

static void note_step(struct owm_slashing *s, const struct owm_case *c, enum owm_case_step step)
{
    static const char *const words[] = {[OWM_CASE_STEP_DECIDE] = "decided",
                                        [OWM_CASE_STEP_DISMISS] = "dismissed",
                                        [OWM_CASE_STEP_EVICT] = "evicting",
                                        [OWM_CASE_STEP_CLOSE] = "closed",
                                        [OWM_CASE_STEP_OVERTURN] = "overturned"};
    char id[37];
    if (step == OWM_CASE_STEP_NONE) return;
    if (step == OWM_CASE_STEP_DECIDE) owm_counter_add(s->decisions, 1);
    if (step == OWM_CASE_STEP_OVERTURN) owm_counter_add(s->overturned, 1);
    owm_uuid_format(c->case_id, id);
    owm_log(OWM_LOG_WARN, "slashing_case case=%s state=%s tier=%s reason=\"%s\"", id, words[step],
            owm_tier_name(c->tier), c->reason);
}

static owm_status is_evicted(struct owm_slashing *s, const uint8_t case_id[16], bool *evicted,
                             struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, case_id);
    owm_status status = owm_pg_query(s->pg,
                                     "SELECT coalesce(bool_and(state = 'confirmed'), false)"
                                     " FROM slash_evictions WHERE case_id = $1",
                                     &args, &rows, error);
    if (status == OWM_OK) *evicted = owm_pg_get_bool(rows, 0, 0);
    owm_pg_rows_free(rows);
    return status;
}

owm_status case_move(struct owm_slashing *s, const uint8_t case_id[16], bool in_grace,
                     struct owm_error *error)
{
    struct owm_case *c = s->scratch;
    enum owm_case_step step = OWM_CASE_STEP_NONE;
    bool evicted = false;
    owm_status status = owm_pg_exec(s->pg, "BEGIN", error);
    if (status == OWM_OK) status = owm_case_load(s->pg, case_id, true, c, error);
    if (status == OWM_OK && c->state == OWM_CASE_EVICTING)
        status = is_evicted(s, case_id, &evicted, error);
    if (status == OWM_OK) {
        step = owm_case_next(c, &s->config.policy, owm_clock_wall_ms(), in_grace, evicted);
        status = apply(s, c, step, error);
    }
    if (status == OWM_OK) status = owm_pg_exec(s->pg, "COMMIT", error);
    if (status != OWM_OK)
        owm_pg_rollback(s->pg);
    else
        note_step(s, c, step);
    return status;
}

/* ---------------------------------------------------------------------------- evictions */

static owm_status log_eviction(struct owm_slashing *s, const struct owm_pg_rows *rows, size_t row,
                               struct owm_error *error)
{
    struct owm_case *c = s->scratch;
    struct owm_slash_entry entry = {.kind = OWM_SLASH_EVICTION,
                                    .at_ms = owm_pg_get_i64(rows, row, 3)};
    uint8_t case_id[16], event_id[16];
    owm_pg_get_uuid(rows, row, 0, case_id);
    snprintf(entry.channel_id, sizeof(entry.channel_id), "%s", owm_pg_get_text(rows, row, 1));
    snprintf(entry.detail, sizeof(entry.detail), "%s", owm_pg_get_text(rows, row, 2));
    owm_status status = owm_pg_exec(s->pg, "BEGIN", error);
    if (status == OWM_OK) status = owm_case_load(s->pg, case_id, true, c, error);
    entry.cooldown_until_ms = c->cooldown_until_ms;
    if (status == OWM_OK) status = bundle_of(s, case_id, entry.evidence_hash, error);
    if (status == OWM_OK) status = append(s, c, &entry, event_id, error);
    if (status == OWM_OK) status = owm_pg_exec(s->pg, "COMMIT", error);
    if (status != OWM_OK) owm_pg_rollback(s->pg);
    return status;
}

owm_status log_evictions(struct owm_slashing *s, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(
        s->pg,
        "SELECT e.case_id, e.channel_point, "
        "e.closing_txid, " OWM_PG_MS("date_trunc('milliseconds', coalesce(e.confirmed_at, "
                                     "now()))") " FROM slash_evictions e WHERE e.state = "
                                                "'confirmed' AND e.channel_point <> ''"
                                                " AND NOT EXISTS (SELECT FROM slashing_events "
                                                "v WHERE v.case_id = e.case_id"
                                                " AND v.kind = 'eviction' AND v.channel_id = "
                                                "e.channel_point)"
                                                " ORDER BY e.confirmed_at, e.channel_point "
                                                "LIMIT 64",
        NULL, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++)
        status = log_eviction(s, rows, i, error);
    owm_pg_rows_free(rows);
    return status;
}

/* rows.c: see rows.h. */
#include "controlplane/slashing/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uuid.h"
#include "controlplane/slashing/canonical.h"

#define AT(n)      "to_timestamp($" #n "::bigint / 1000.0)"
#define LOG_LOCK   "7813246589127345512" /* an advisory lock of this database */
#define OPENED_MAX 64                    /* cases opened in one gathering */
#define UNASSIGNED "NOT EXISTS (SELECT FROM slash_case_signals x WHERE x.signal_id = s.signal_id)"
#define SEALED     "EXISTS (SELECT FROM slash_acts a WHERE a.case_id = c.case_id)"
#define TEXT_OF(rows, row, column, out)                                                            \
    snprintf((out), sizeof(out), "%s", owm_pg_get_text((rows), (row), (column)))

/* ---------------------------------------------------------------------------- gather */

static const char lock_open[] = "SELECT case_id FROM slash_cases WHERE state = 'open' FOR UPDATE";

static const char keep_late[] =
    "INSERT INTO slash_case_signals (signal_id, case_id, counted)"
    " SELECT DISTINCT ON (s.signal_id) s.signal_id, c.case_id, false FROM misbehavior_signals s"
    " JOIN slash_cases c ON c.node_id = s.node_id AND c.state IN ('decided', 'evicting', 'closed')"
    " AND s.detected_at <= c.cooldown_until WHERE " UNASSIGNED
    " ORDER BY s.signal_id, c.decided_at DESC ON CONFLICT DO NOTHING";

/* A signal that came since keep_late looked waits for the next time. */
static const char select_new[] =
    "SELECT n.node_id, (array_agg(s.signal_id ORDER BY s.detected_at, s.signal_id))[1]"
    " FROM nodes n JOIN misbehavior_signals s ON s.node_id = n.node_id WHERE " UNASSIGNED
    " AND NOT EXISTS (SELECT FROM slash_cases c WHERE c.node_id = n.node_id"
    " AND c.state IN ('decided', 'evicting', 'closed') AND s.detected_at <= c.cooldown_until)"
    " AND NOT EXISTS (SELECT FROM slash_cases c WHERE c.node_id = n.node_id AND c.state = 'open')"
    " GROUP BY n.node_id HAVING greatest(n.tier, max(s.tier)) <> 't1'"
    " OR count(DISTINCT s.evidence_hash) >= $1"
    " ORDER BY min(s.detected_at) LIMIT $2";

static const char insert_case[] =
    "INSERT INTO slash_cases (case_id, node_id, public_key, ln_key, tier, opened_at)"
    " SELECT $1, n.node_id, n.public_key, n.ln_key, n.tier, " AT(
        3) " FROM nodes n WHERE n.node_id = $2 ON CONFLICT (case_id) DO NOTHING";

/* Until somebody has signed, a case follows its node, but not down: who comes down a tier is judged
 * in the tier in which it worked, or was caught, whichever is higher. */
static const char refresh_open[] =
    "UPDATE slash_cases c SET tier = greatest(c.tier, n.tier, w.tier), ln_key = n.ln_key"
    " FROM nodes n CROSS JOIN LATERAL (SELECT max(s.tier) AS tier FROM misbehavior_signals s"
    " LEFT JOIN slash_case_signals x ON x.signal_id = s.signal_id"
    " LEFT JOIN slash_cases k ON k.case_id = x.case_id"
    " WHERE s.node_id = n.node_id AND (k.case_id IS NULL OR k.state = 'open')) w"
    " WHERE c.state = 'open' AND n.node_id = c.node_id AND NOT " SEALED
    " AND (c.tier, c.ln_key) IS DISTINCT FROM (greatest(c.tier, n.tier, w.tier), n.ln_key)";

static const char attach[] =
    "INSERT INTO slash_case_signals (signal_id, case_id, counted)"
    " SELECT s.signal_id, c.case_id, h.n + row_number() OVER (PARTITION BY c.case_id"
    " ORDER BY s.detected_at, s.signal_id) <= $1 FROM slash_cases c"
    " JOIN misbehavior_signals s ON s.node_id = c.node_id"
    " CROSS JOIN LATERAL (SELECT count(*) AS n FROM slash_case_signals x"
    " WHERE x.case_id = c.case_id AND x.counted) h"
    " WHERE c.state = 'open' AND NOT " SEALED " AND " UNASSIGNED;

static owm_status open_cases(struct owm_pg *pg, uint32_t signals_needed, int64_t now_ms,
                             struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, signals_needed);
    owm_pg_i64(&args, OPENED_MAX);
    owm_status status = owm_pg_query(pg, select_new, &args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        uint8_t node_id[16], first[16], case_id[16];
        owm_pg_get_uuid(rows, i, 0, node_id);
        owm_pg_get_uuid(rows, i, 1, first);
        owm_uuid_derive(node_id, first, 16, case_id); /* the same again after a crash */
        owm_pg_begin_args(&args);
        owm_pg_uuid(&args, case_id);
        owm_pg_uuid(&args, node_id);
        owm_pg_i64(&args, now_ms);
        status = owm_pg_query(pg, insert_case, &args, NULL, error);
    }
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_cases_gather(struct owm_pg *pg, uint32_t signals_needed, int64_t now_ms,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, OWM_CASE_SIGNALS_MAX);
    owm_status status = owm_pg_exec(pg, "BEGIN", error);
    if (status == OWM_OK) status = owm_pg_exec(pg, lock_open, error);
    if (status == OWM_OK) status = owm_pg_exec(pg, keep_late, error);
    if (status == OWM_OK) status = open_cases(pg, signals_needed, now_ms, error);
    if (status == OWM_OK) status = owm_pg_query(pg, attach, &args, NULL, error);
    if (status == OWM_OK) status = owm_pg_exec(pg, refresh_open, error); /* It sees them. */
    if (status == OWM_OK) status = owm_pg_exec(pg, "COMMIT", error);
    if (status != OWM_OK) owm_pg_rollback(pg);
    return status;
}

/* ---------------------------------------------------------------------------- load */

owm_status owm_cases_list(struct owm_pg *pg, enum owm_case_list which,
                          uint8_t ids[OWM_CASES_LISTED_MAX][16], size_t *count,
                          struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_bool(&args, which == OWM_CASES_MOVABLE);
    owm_pg_i64(&args, OWM_CASES_LISTED_MAX);
    /* A closed case moves only when maintainers overturn it. */
    owm_status status = owm_pg_query(
        pg,
        "SELECT c.case_id FROM slash_cases c WHERE c.state IN ('open', 'decided', 'evicting')"
        " OR ($1::boolean AND c.state = 'closed' AND EXISTS (SELECT FROM slash_acts a"
        " WHERE a.case_id = c.case_id AND a.act = 'overturn')) ORDER BY c.opened_at, c.case_id"
        " LIMIT $2",
        &args, &rows, error);
    if (status != OWM_OK) return status;
    *count = owm_pg_rows_count(rows);
    for (size_t i = 0; i < *count; i++) owm_pg_get_uuid(rows, i, 0, ids[i]);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

#define CASE_COLUMNS                                                                               \
    "node_id, public_key, ln_key, tier, state, " OWM_PG_MS("opened_at") ", " OWM_PG_MS(            \
        "decided_at") ", " OWM_PG_MS("appeal_until") ", " OWM_PG_MS("cooldown_until") ", reason,"  \
                                                                                      " sha256("   \
                                                                                      "decision)"

static owm_status load_case(struct owm_pg *pg, const struct owm_pg_args *args, bool lock,
                            struct owm_case *c, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status =
        owm_pg_query(pg,
                     lock ? "SELECT " CASE_COLUMNS " FROM slash_cases WHERE case_id = $1 FOR UPDATE"
                          : "SELECT " CASE_COLUMNS " FROM slash_cases WHERE case_id = $1",
                     args, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows) == 0) {
        owm_pg_rows_free(rows);
        return owm_fail(error, OWM_E_NOTFOUND, "there is no such case");
    }
    owm_pg_get_uuid(rows, 0, 0, c->node_id);
    owm_pg_get_hash(rows, 0, 1, c->public_key, 32);
    owm_pg_get_hash(rows, 0, 2, c->ln_key, 33);
    if (owm_tier_parse(owm_pg_get_text(rows, 0, 3), &c->tier) != OWM_OK
        || owm_case_state_parse(owm_pg_get_text(rows, 0, 4), &c->state) != OWM_OK)
        status = owm_fail(error, OWM_E_DB, "a case has a tier or state that makes no sense");
    c->opened_ms = owm_pg_get_i64(rows, 0, 5);
    c->decided_ms = owm_pg_get_i64(rows, 0, 6);
    c->appeal_until_ms = owm_pg_get_i64(rows, 0, 7);
    c->cooldown_until_ms = owm_pg_get_i64(rows, 0, 8);
    TEXT_OF(rows, 0, 9, c->reason);
    owm_pg_get_hash(rows, 0, 10, c->decision_hash, 32);
    owm_pg_rows_free(rows);
    return status;
}

static const char select_signals[] =
    "SELECT s.signal_type, s.evidence_hash, coalesce(s.round_number, 0), s.task_id, " OWM_PG_MS(
        "s.detected_at") " FROM slash_case_signals x JOIN misbehavior_signals s"
                         " ON s.signal_id = x.signal_id WHERE x.case_id = $1 AND x.counted"
                         " ORDER BY s.evidence_hash, s.signal_type LIMIT 64";

static owm_status load_signals(struct owm_pg *pg, const struct owm_pg_args *args,
                               struct owm_case *c, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(pg, select_signals, args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        struct owm_case_signal *signal = &c->signals[c->signal_count++];
        if (owm_signal_type_parse(owm_pg_get_text(rows, i, 0), &signal->type) != OWM_OK)
            status = owm_fail(error, OWM_E_DB, "a signal has a type that makes no sense");
        owm_pg_get_hash(rows, i, 1, signal->evidence_hash, 32);
        signal->round = (uint32_t)owm_pg_get_i64(rows, i, 2);
        owm_pg_get_uuid(rows, i, 3, signal->task_id);
        signal->detected_ms = owm_pg_get_i64(rows, i, 4);
    }
    owm_pg_rows_free(rows);
    return status;
}

static const char select_acts[] =
    "SELECT maintainer_key, act, " OWM_PG_MS("at") ", reason, signature FROM slash_acts"
                                                   " WHERE case_id = $1"
                                                   " ORDER BY maintainer_key, act LIMIT 96";

static owm_status load_acts(struct owm_pg *pg, const struct owm_pg_args *args, struct owm_case *c,
                            struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(pg, select_acts, args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        struct owm_case_act *act = &c->acts[c->act_count++];
        owm_pg_get_hash(rows, i, 0, act->maintainer_key, 32);
        if (owm_act_parse(owm_pg_get_text(rows, i, 1), &act->act) != OWM_OK)
            status = owm_fail(error, OWM_E_DB, "an act of a kind that makes no sense");
        act->at_ms = owm_pg_get_i64(rows, i, 2);
        TEXT_OF(rows, i, 3, act->reason);
        owm_pg_get_hash(rows, i, 4, act->signature, 64);
    }
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_case_load(struct owm_pg *pg, const uint8_t case_id[16], bool lock,
                         struct owm_case *c, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, case_id);
    memset(c, 0, sizeof(*c));
    memcpy(c->case_id, case_id, 16);
    owm_status status = load_case(pg, &args, lock, c, error);
    if (status == OWM_OK) status = load_signals(pg, &args, c, error);
    if (status == OWM_OK) status = load_acts(pg, &args, c, error);
    return status;
}

owm_status owm_case_channel(struct owm_pg *pg, const uint8_t node_id[16],
                            char channel[OWM_SLASH_CHANNEL_BYTES], struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    channel[0] = 0;
    owm_status status = owm_pg_query(pg,
                                     "SELECT channel_id FROM node_stakes WHERE node_id = $1"
                                     " ORDER BY stake_status IN ('active', 'degraded') DESC,"
                                     " local_balance DESC, channel_id LIMIT 1",
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows))
        snprintf(channel, OWM_SLASH_CHANNEL_BYTES, "%s", owm_pg_get_text(rows, 0, 0));
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- acts */

/* A signature that does not fit this case may be one for another: people should be told so. */
static owm_status fits_another(struct owm_pg *pg, const struct owm_case_policy *policy,
                               const uint8_t case_id[16], const struct owm_case_act *act,
                               bool *fits, struct owm_error *error)
{
    uint8_t ids[OWM_CASES_LISTED_MAX][16];
    size_t count = 0;
    struct owm_case *other = malloc(sizeof(*other));
    if (!other) return OWM_E_NOMEM;
    owm_status status = owm_cases_list(pg, OWM_CASES_NOT_ENDED, ids, &count, error);
    *fits = false;
    for (size_t i = 0; status == OWM_OK && i < count && !*fits; i++) {
        if (memcmp(ids[i], case_id, 16) == 0) continue;
        status = owm_case_load(pg, ids[i], false, other, error);
        *fits = status == OWM_OK && owm_act_verify(other, policy->coordinator_key, act) == OWM_OK;
    }
    free(other);
    return status;
}

static owm_status insert_act(struct owm_pg *pg, const uint8_t case_id[16],
                             const struct owm_case_act *act, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, case_id);
    owm_pg_bytes(&args, act->maintainer_key, 32);
    owm_pg_text(&args, owm_act_name(act->act));
    owm_pg_i64(&args, act->at_ms);
    owm_pg_text(&args, act->reason);
    owm_pg_bytes(&args, act->signature, 64);
    return owm_pg_query(pg,
                        "INSERT INTO slash_acts (case_id, maintainer_key, act, at, reason,"
                        " signature) VALUES ($1, $2, $3, " AT(4) ", $5, $6)",
                        &args, NULL, error);
}

static owm_status judge_and_write(struct owm_pg *pg, const struct owm_case_policy *policy,
                                  struct owm_case *c, const struct owm_case_act *act,
                                  int64_t now_ms, enum owm_act_code *code, struct owm_error *error)
{
    bool fits = false;
    *code = owm_case_judge_act(c, policy, act, now_ms);
    if (*code == OWM_ACT_CODE_TAKEN) return insert_act(pg, c->case_id, act, error);
    if (*code != OWM_ACT_CODE_BAD_SIGNATURE) return OWM_OK;
    owm_status status = fits_another(pg, policy, c->case_id, act, &fits, error);
    if (fits) *code = OWM_ACT_CODE_OTHER_CASE;
    return status;
}

owm_status owm_case_say(struct owm_pg *pg, const struct owm_case_policy *policy,
                        const uint8_t case_id[16], const struct owm_case_act *act, int64_t now_ms,
                        enum owm_act_code *code, const char **state, struct owm_error *error)
{
    struct owm_case *c = malloc(sizeof(*c));
    *state = "";
    if (!c) return OWM_E_NOMEM;
    owm_status status = owm_pg_exec(pg, "BEGIN", error);
    if (status == OWM_OK) status = owm_case_load(pg, case_id, true, c, error);
    if (status == OWM_OK) {
        *state = owm_case_state_name(c->state);
        status = judge_and_write(pg, policy, c, act, now_ms, code, error);
    } else if (status == OWM_E_NOTFOUND) {
        *code = OWM_ACT_CODE_UNKNOWN_CASE;
        status = OWM_OK;
    }
    if (status == OWM_OK) status = owm_pg_exec(pg, "COMMIT", error);
    if (status != OWM_OK) owm_pg_rollback(pg);
    free(c);
    return status;
}

/* ---------------------------------------------------------------------------- log */

static owm_status follow_last(struct owm_pg *pg, struct owm_slash_entry *entry,
                              struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_exec(pg, "SELECT pg_advisory_xact_lock(" LOG_LOCK ")", error);
    if (status == OWM_OK)
        status = owm_pg_query(pg,
                              "SELECT sequence, entry_hash FROM slashing_events"
                              " ORDER BY sequence DESC LIMIT 1",
                              NULL, &rows, error);
    if (status != OWM_OK) return status;
    entry->sequence = 1;
    memset(entry->previous_hash, 0, 32);
    if (owm_pg_rows_count(rows)) {
        entry->sequence = (uint64_t)owm_pg_get_i64(rows, 0, 0) + 1;
        owm_pg_get_hash(rows, 0, 1, entry->previous_hash, 32);
    }
    owm_pg_rows_free(rows);
    return OWM_OK;
}

owm_status owm_slash_log_append(struct owm_pg *pg, const owm_identity *coordinator,
                                const uint8_t node_id[16], struct owm_slash_entry *entry,
                                uint8_t event_id[16], struct owm_error *error)
{
    char evidence[65], signature[129];
    struct owm_pg_args args;
    owm_status status = follow_last(pg, entry, error);
    if (status != OWM_OK) return status;
    owm_slash_log_seal(entry, coordinator);
    owm_uuid_derive(entry->case_id, entry->hash, 32, event_id);
    owm_hex_encode(entry->evidence_hash, 32, evidence);
    owm_hex_encode(entry->signature, 64, signature);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, event_id);
    owm_pg_uuid(&args, node_id);
    owm_pg_text(&args, entry->channel_id);
    owm_pg_text(&args, owm_tier_name(entry->tier));
    owm_pg_text(&args, entry->reason);
    owm_pg_text(&args, evidence);
    owm_pg_i64(&args, entry->signal_count);
    owm_pg_i64(&args, entry->at_ms);
    owm_pg_i64(&args, entry->cooldown_until_ms);
    owm_pg_text(&args, signature);
    owm_pg_i64(&args, (int64_t)entry->sequence);
    owm_pg_text(&args, owm_slash_kind_name(entry->kind));
    owm_pg_uuid(&args, entry->case_id);
    owm_pg_text(&args, entry->detail);
    owm_pg_bytes(&args, entry->previous_hash, 32);
    owm_pg_bytes(&args, entry->hash, 32);
    return owm_pg_query(pg,
                        "INSERT INTO slashing_events (event_id, node_id, channel_id, tier, reason,"
                        " evidence_hash, signal_count, executed_at, cooldown_expires_at,"
                        " coordinator_sig, sequence, kind, case_id, detail, previous_hash,"
                        " entry_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, " AT(8) ", " AT(
                            9) ", $10, $11, $12, $13, $14, $15, $16)",
                        &args, NULL, error);
}

static const char select_entries[] =
    "SELECT v.sequence, v.kind, v.case_id, n.public_key, v.channel_id, v.tier, v.reason,"
    " v.evidence_hash, v.signal_count, " OWM_PG_MS("v.executed_at") ", " OWM_PG_MS(
        "v.cooldown_expires_at") ", v.detail, v.previous_hash, v.entry_hash, v.coordinator_sig"
                                 " FROM slashing_events v JOIN nodes n ON n.node_id = v.node_id"
                                 " WHERE v.sequence > $1 ORDER BY v.sequence LIMIT $2";

static owm_status fill_entry(const struct owm_pg_rows *rows, size_t row,
                             struct owm_slash_entry *entry, struct owm_error *error)
{
    uint8_t key[32];
    memset(entry, 0, sizeof(*entry));
    entry->sequence = (uint64_t)owm_pg_get_i64(rows, row, 0);
    owm_pg_get_uuid(rows, row, 2, entry->case_id);
    owm_pg_get_hash(rows, row, 3, key, 32);
    owm_slash_pseudonym(key, entry->node);
    TEXT_OF(rows, row, 4, entry->channel_id);
    TEXT_OF(rows, row, 6, entry->reason);
    owm_pg_get_hash(rows, row, 7, entry->evidence_hash, 32);
    entry->signal_count = (uint32_t)owm_pg_get_i64(rows, row, 8);
    entry->at_ms = owm_pg_get_i64(rows, row, 9);
    entry->cooldown_until_ms = owm_pg_get_i64(rows, row, 10);
    TEXT_OF(rows, row, 11, entry->detail);
    owm_pg_get_hash(rows, row, 12, entry->previous_hash, 32);
    owm_pg_get_hash(rows, row, 13, entry->hash, 32);
    owm_pg_get_hash(rows, row, 14, entry->signature, 64);
    if (owm_slash_kind_parse(owm_pg_get_text(rows, row, 1), &entry->kind) == OWM_OK
        && owm_tier_parse(owm_pg_get_text(rows, row, 5), &entry->tier) == OWM_OK)
        return OWM_OK;
    return owm_fail(error, OWM_E_DB, "entry %lld of the slashing log makes no sense",
                    (long long)entry->sequence);
}

owm_status owm_slash_log_rows(struct owm_pg *pg, uint64_t after, size_t limit,
                              struct owm_slash_entry *entries, size_t *count,
                              struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, (int64_t)(after > INT64_MAX ? INT64_MAX : after));
    owm_pg_i64(&args, (int64_t)limit);
    owm_status status = owm_pg_query(pg, select_entries, &args, &rows, error);
    *count = 0;
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++, (*count)++)
        status = fill_entry(rows, i, &entries[i], error);
    owm_pg_rows_free(rows);
    return status;
}

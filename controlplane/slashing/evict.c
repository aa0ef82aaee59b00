/* evict.c: see evict.h. */
#include "controlplane/slashing/evict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "controlplane/slashing/canonical.h"

#define CASES_MAX    256 /* in one turn; the rest comes next */
#define CHANNELS_MAX 64  /* of one node */

struct owm_evictor {
    struct owm_evictor_config config;
    struct owm_case *c; /* the one in hand */
    uint8_t told[CASES_MAX][16];
    size_t told_count; /* refusals that were logged */
    owm_gauge *waiting;
    owm_counter *refused, *closed, *held_back;
};

/* One row of slash_evictions. */
struct eviction {
    char point[OWM_LIGHTNING_POINT_TEXT];
    bool broadcast, has_txid;
};

owm_status owm_evictor_open(const struct owm_evictor_config *config, struct owm_evictor **out)
{
    struct owm_evictor *e = calloc(1, sizeof(*e));
    if (e) e->c = calloc(1, sizeof(*e->c));
    if (!e || !e->c) {
        free(e);
        return OWM_E_NOMEM;
    }
    e->config = *config;
    e->waiting = owm_metrics_gauge(config->metrics, "owm_slasher_cases",
                                   "Cases that are to be evicted and are not yet.", NULL);
    e->refused = owm_metrics_counter(config->metrics, "owm_slasher_refused_total",
                                     "Decisions that did not hold: each is an alarm.", NULL);
    e->closed = owm_metrics_counter(config->metrics, "owm_slasher_closes_total",
                                    "Force-closes that this process asked for.", NULL);
    e->held_back = owm_metrics_counter(config->metrics, "owm_slasher_held_back_total",
                                       "Closes put off by slasher.closes_per_day.", NULL);
    *out = e;
    return OWM_OK;
}

void owm_evictor_close(struct owm_evictor *e)
{
    if (!e) return;
    free(e->c);
    free(e);
}

/* ---------------------------------------------------------------------------- judging */

owm_status owm_eviction_check(const struct owm_case *c, const struct owm_case_policy *policy,
                              int64_t now_ms, struct owm_error *error)
{
    if (!owm_case_proven(c, policy))
        return owm_fail(error, OWM_E_PERM,
                        c->tier == OWM_TIER_T1
                            ? "the decision names %u different signals; %u are needed"
                            : "the decision has %u valid acknowledgements of our maintainers; %u "
                              "are needed",
                        c->tier == OWM_TIER_T1 ? owm_case_distinct_signals(c)
                                               : owm_case_votes(c, policy, OWM_ACT_ACKNOWLEDGE),
                        c->tier == OWM_TIER_T1 ? policy->signals_needed : policy->acks_needed);
    if (owm_case_votes(c, policy, OWM_ACT_OVERTURN) >= policy->acks_needed)
        return owm_fail(error, OWM_E_STATE, "maintainers have overturned it");
    if (now_ms < c->appeal_until_ms || now_ms < c->decided_ms + policy->appeal_ms)
        return owm_fail(error, OWM_E_AGAIN, "the time for an appeal is not over");
    return OWM_OK;
}

static void begin_case(struct owm_pg_args *args, const struct owm_evictor *e)
{
    owm_pg_begin_args(args);
    owm_pg_uuid(args, e->c->case_id);
}

/* What maintainers have said since the decision. */
static owm_status add_overturns(struct owm_evictor *e, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    begin_case(&args, e);
    owm_status status = owm_pg_query(e->config.pg,
                                     "SELECT maintainer_key, " OWM_PG_MS(
                                         "at") ", reason, signature FROM slash_acts"
                                               " WHERE case_id = $1 AND act = 'overturn' LIMIT 32",
                                     &args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        if (e->c->act_count == OWM_CASE_ACTS_MAX) break;
        struct owm_case_act *act = &e->c->acts[e->c->act_count++];
        memset(act, 0, sizeof(*act));
        act->act = OWM_ACT_OVERTURN;
        owm_pg_get_hash(rows, i, 0, act->maintainer_key, 32);
        act->at_ms = owm_pg_get_i64(rows, i, 1);
        snprintf(act->reason, sizeof(act->reason), "%s", owm_pg_get_text(rows, i, 2));
        owm_pg_get_hash(rows, i, 3, act->signature, 64);
    }
    owm_pg_rows_free(rows);
    return status;
}

/* Read the decision and judge it. OWM_E_CANCELLED: the case is not for eviction any more. */
static owm_status judge(struct owm_evictor *e, const uint8_t case_id[16], struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    uint8_t *decision = NULL, signature[64];
    size_t bytes = 0;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, case_id);
    owm_status status = owm_pg_query(e->config.pg,
                                     "SELECT decision, decision_sig FROM slash_cases"
                                     " WHERE case_id = $1 AND state = 'evicting'",
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows) == 0) status = OWM_E_CANCELLED;
    if (status == OWM_OK) status = owm_pg_get_bytes(rows, 0, 0, &decision, &bytes);
    if (status == OWM_OK) {
        owm_pg_get_hash(rows, 0, 1, signature, 64);
        status = owm_decision_open(decision, bytes, signature, e->config.policy.coordinator_key,
                                   e->c, error);
    }
    if (status == OWM_OK && memcmp(e->c->case_id, case_id, 16) != 0)
        status = owm_fail(error, OWM_E_CRYPTO, "the decision is that of another case");
    free(decision);
    owm_pg_rows_free(rows);
    if (status == OWM_OK) status = add_overturns(e, error);
    if (status == OWM_OK)
        status = owm_eviction_check(e->c, &e->config.policy, owm_clock_wall_ms(), error);
    return status;
}

static bool is_refusal(owm_status status)
{
    return status == OWM_E_PROTO || status == OWM_E_CRYPTO || status == OWM_E_PERM;
}

/* Once per case: a forged decision stays in the table, and the log must stay readable. */
static void note_refusal(struct owm_evictor *e, const uint8_t case_id[16], const char *text)
{
    char id[37];
    for (size_t i = 0; i < e->told_count; i++)
        if (memcmp(e->told[i], case_id, 16) == 0) return;
    if (e->told_count < CASES_MAX) memcpy(e->told[e->told_count++], case_id, 16);
    owm_uuid_format(case_id, id);
    owm_counter_add(e->refused, 1);
    owm_log(OWM_LOG_ERROR, "decision_refused case=%s reason=\"%s\"", id, text);
}

/* ---------------------------------------------------------------------------- rows */

static owm_status want(struct owm_evictor *e, const char *point, const char *state,
                       struct owm_error *error)
{
    struct owm_pg_args args;
    begin_case(&args, e);
    owm_pg_text(&args, point);
    owm_pg_text(&args, state);
    return owm_pg_query(e->config.pg,
                        "INSERT INTO slash_evictions (case_id, channel_point, state, confirmed_at)"
                        " VALUES ($1, $2, $3, CASE WHEN $3 = 'confirmed' THEN now() END)"
                        " ON CONFLICT DO NOTHING",
                        &args, NULL, error);
}

/* All channels of a case in one transaction: the coordinator takes "all confirmed" for the end. */
static owm_status plan(struct owm_evictor *e, const struct owm_lightning_channel *channels,
                       size_t count, struct owm_error *error)
{
    size_t wanted = 0;
    owm_status status = owm_pg_exec(e->config.pg, "BEGIN", error);
    for (size_t i = 0; status == OWM_OK && i < count && wanted < CHANNELS_MAX; i++) {
        char point[OWM_LIGHTNING_POINT_TEXT];
        if (!channels[i].opened_by_peer || channels[i].state == OWM_LIGHTNING_CLOSED) continue;
        owm_lightning_point_format(&channels[i].point, point);
        status = want(e, point, "want_close", error);
        wanted++;
    }
    if (status == OWM_OK && wanted == 0) status = want(e, "", "confirmed", error);
    if (status == OWM_OK) status = owm_pg_exec(e->config.pg, "COMMIT", error);
    if (status != OWM_OK) owm_pg_rollback(e->config.pg);
    return status;
}

static owm_status set_state(struct owm_evictor *e, const char *point, const char *state,
                            const uint8_t txid[32], struct owm_error *error)
{
    static const uint8_t none[32];
    uint8_t shown[32];
    char hex[65] = "";
    struct owm_pg_args args;
    for (int i = 0; i < 32; i++) shown[i] = txid[31 - i]; /* as explorers show it */
    if (memcmp(txid, none, 32) != 0) owm_hex_encode(shown, 32, hex);
    begin_case(&args, e);
    owm_pg_text(&args, point);
    owm_pg_text(&args, state);
    owm_pg_text(&args, hex);
    owm_log(OWM_LOG_INFO, "eviction channel=%s state=%s txid=%s", point, state, hex);
    return owm_pg_query(e->config.pg,
                        "UPDATE slash_evictions SET state = $3, note = '',"
                        " closing_txid = coalesce(nullif($4, ''), closing_txid),"
                        " broadcast_at = coalesce(broadcast_at, now()),"
                        " confirmed_at = CASE WHEN $3 = 'confirmed' THEN now() END"
                        " WHERE case_id = $1 AND channel_point = $2 AND state <> 'confirmed'",
                        &args, NULL, error);
}

static owm_status set_note(struct owm_evictor *e, const char *point, const char *note,
                           struct owm_error *error)
{
    struct owm_pg_args args;
    begin_case(&args, e);
    owm_pg_text(&args, point);
    owm_pg_text(&args, note);
    return owm_pg_query(e->config.pg,
                        "UPDATE slash_evictions SET note = $3 WHERE case_id = $1"
                        " AND channel_point = $2 AND note <> $3",
                        &args, NULL, error);
}

static owm_status load_rows(struct owm_evictor *e, struct eviction rows_out[CHANNELS_MAX],
                            size_t *count, size_t *planned, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    begin_case(&args, e);
    owm_status status = owm_pg_query(e->config.pg,
                                     "SELECT channel_point, state, closing_txid <> ''"
                                     " FROM slash_evictions WHERE case_id = $1"
                                     " ORDER BY channel_point LIMIT 65",
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    *count = 0;
    *planned = owm_pg_rows_count(rows);
    for (size_t i = 0; i < *planned && *count < CHANNELS_MAX; i++) {
        const char *state = owm_pg_get_text(rows, i, 1);
        if (strcmp(state, "confirmed") == 0) continue;
        struct eviction *row = &rows_out[(*count)++];
        snprintf(row->point, sizeof(row->point), "%s", owm_pg_get_text(rows, i, 0));
        row->broadcast = strcmp(state, "broadcast") == 0;
        row->has_txid = owm_pg_get_bool(rows, i, 2);
    }
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- closing */

static owm_status has_room(struct owm_evictor *e, bool *room, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(e->config.pg,
                                     "SELECT count(*) FROM slash_evictions"
                                     " WHERE broadcast_at > now() - interval '1 day'",
                                     NULL, &rows, error);
    if (status != OWM_OK) return status;
    *room = owm_pg_get_i64(rows, 0, 0) < e->config.closes_per_day;
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* The last look before what cannot be taken back: the case may have been overturned meanwhile. */
static owm_status force_close(struct owm_evictor *e, const char *point,
                              const struct owm_lightning_point *where, struct owm_error *error)
{
    uint8_t case_id[16], txid[32] = {0};
    bool room = false;
    memcpy(case_id, e->c->case_id, 16);
    owm_status status = has_room(e, &room, error);
    if (status == OWM_OK && !room) {
        owm_counter_add(e->held_back, 1);
        return set_note(e, point, "held back: slasher.closes_per_day is reached", error);
    }
    if (status == OWM_OK) status = judge(e, case_id, error);
    if (status != OWM_OK) return status;
    status = owm_lightning_force_close(e->config.lightning, where, txid, error);
    if (status == OWM_OK) {
        owm_counter_add(e->closed, 1);
        return set_state(e, point, "broadcast", txid, error);
    }
    if (status == OWM_E_EXISTS || status == OWM_E_TIMEOUT) return OWM_OK; /* the next turn looks */
    if (status != OWM_E_STATE && status != OWM_E_NOTFOUND) return status;
    owm_log(OWM_LOG_WARN, "eviction_refused channel=%s reason=\"%s\"", point, error->text);
    return set_note(e, point, error->text, error);
}

static owm_status step(struct owm_evictor *e, const struct eviction *row,
                       const struct owm_lightning_channel *channel, struct owm_error *error)
{
    static const uint8_t none[32];
    if (!channel) return set_note(e, row->point, "the Lightning node knows no such channel", error);
    bool has_txid = memcmp(channel->closing_txid, none, 32) != 0;
    switch (channel->state) {
    case OWM_LIGHTNING_CLOSED:
        return set_state(e, row->point, "confirmed", channel->closing_txid, error);
    case OWM_LIGHTNING_CLOSING:
        if (row->broadcast && (row->has_txid || !has_txid)) return OWM_OK;
        return set_state(e, row->point, "broadcast", channel->closing_txid, error);
    case OWM_LIGHTNING_NORMAL:
        return force_close(e, row->point, &channel->point, error);
    case OWM_LIGHTNING_OPENING:
        return set_note(e, row->point, "waits until the channel is confirmed", error);
    case OWM_LIGHTNING_BROKEN:
        return set_note(e, row->point,
                        channel->note[0] ? channel->note : "broken: close it by hand", error);
    }
    return OWM_OK;
}

static const struct owm_lightning_channel *
find_channel(const struct owm_lightning_channel *channels, size_t count, const char *point)
{
    struct owm_lightning_point wanted;
    if (owm_lightning_point_parse(point, &wanted) != OWM_OK) return NULL;
    for (size_t i = 0; i < count; i++)
        if (memcmp(channels[i].point.txid, wanted.txid, 32) == 0
            && channels[i].point.index == wanted.index)
            return &channels[i];
    return NULL;
}

/* The case in hand was judged. */
static owm_status evict(struct owm_evictor *e, struct owm_error *error)
{
    static const uint8_t none[33];
    struct owm_lightning_channel *channels = NULL;
    struct eviction rows[CHANNELS_MAX];
    size_t count = 0, left = 0, planned = 0;
    owm_status status = OWM_OK;
    if (memcmp(e->c->ln_key, none, 33) != 0)
        status = owm_lightning_channels(e->config.lightning, e->c->ln_key, true, &channels, &count,
                                        error);
    if (status == OWM_OK) status = load_rows(e, rows, &left, &planned, error);
    if (status == OWM_OK && planned == 0) {
        status = plan(e, channels, count, error);
        if (status == OWM_OK) status = load_rows(e, rows, &left, &planned, error);
    }
    for (size_t i = 0; status == OWM_OK && i < left; i++)
        status = step(e, &rows[i], find_channel(channels, count, rows[i].point), error);
    free(channels);
    return status;
}

owm_status owm_evictor_turn(struct owm_evictor *e, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(e->config.pg,
                                     "SELECT case_id FROM slash_cases WHERE state = 'evicting'"
                                     " ORDER BY decided_at, case_id LIMIT 256",
                                     NULL, &rows, error);
    if (status != OWM_OK) return status;
    size_t count = owm_pg_rows_count(rows);
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        uint8_t case_id[16];
        owm_pg_get_uuid(rows, i, 0, case_id);
        owm_status judged = judge(e, case_id, error);
        if (judged == OWM_OK) {
            status = evict(e, error);
            if (status == OWM_E_CANCELLED || status == OWM_E_STATE) status = OWM_OK;
        } else if (is_refusal(judged)) {
            note_refusal(e, case_id, error->text);
        } else if (judged != OWM_E_AGAIN && judged != OWM_E_STATE && judged != OWM_E_CANCELLED) {
            status = judged;
        }
    }
    owm_gauge_set(e->waiting, (double)count);
    owm_pg_rows_free(rows);
    return status;
}

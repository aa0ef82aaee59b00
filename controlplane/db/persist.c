/* persist.c: one upsert per kind of row; heartbeats as arrays. */
#include "persist.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uuid.h"

#define HEARTBEATS_IN_STATEMENT 1000
#define CLEAN_TEXTS_MAX         8
#define CLEAN_BYTES             256

#define AT(n)   "to_timestamp(nullif($" #n "::bigint, 0) / 1000.0)"
#define SATS(n) "($" #n "::bigint / 1000)"

enum { NODE, HEARTBEAT, TASK, TASK_LOG, ROUND, PARTICIPANT, MODEL_OTHERS, MODEL, PAYABLE, SIGNAL };

static const struct owm_pg_statement statements[] = {
    [NODE] =
        {"node",
         "INSERT INTO nodes (node_id, public_key, ln_node_uri, onion_address, alias, tier,"
         " tier_overridden, vram_gb, ram_gb, bandwidth_mbps, task_types, slots, device,"
         " backend, manifest_sequence, manifest_at, status, status_reason, stake_sats,"
         " signals, cooldown_until, total_tasks, earned_msat, total_sats, registered_at,"
         " last_heartbeat, reliability_ppm, reliability, reliability_window, ln_key, payout_to,"
         " stake_read_at, degraded_since, signals_tier) VALUES ($1, $2,"
         " $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, " AT(
             16) ", $17, $18,"
                 " $19, $20, " AT(21) ", $22, $23::bigint, " SATS(23) ", " AT(24) ", " AT(
                     25) ","
                         " $26::int, trunc($26::int / 1000000.0, 4), $27, $28, $29, " AT(
                             30) ", " AT(31) ", nullif($32, ''))"
                                             " ON CONFLICT (node_id) DO UPDATE SET ln_node_uri = "
                                             "excluded.ln_node_uri,"
                                             " onion_address = excluded.onion_address, alias = "
                                             "excluded.alias,"
                                             " tier = excluded.tier, tier_overridden = "
                                             "excluded.tier_overridden,"
                                             " vram_gb = excluded.vram_gb, ram_gb = "
                                             "excluded.ram_gb,"
                                             " bandwidth_mbps = excluded.bandwidth_mbps, "
                                             "task_types = "
                                             "excluded.task_types,"
                                             " slots = excluded.slots, device = excluded.device, "
                                             "backend = "
                                             "excluded.backend,"
                                             " manifest_sequence = excluded.manifest_sequence,"
                                             " manifest_at = excluded.manifest_at, status = "
                                             "excluded.status,"
                                             " status_reason = excluded.status_reason, stake_sats "
                                             "= "
                                             "excluded.stake_sats,"
                                             " signals = excluded.signals, cooldown_until = "
                                             "excluded.cooldown_until,"
                                             " total_tasks = excluded.total_tasks, earned_msat = "
                                             "excluded.earned_msat,"
                                             " total_sats = excluded.total_sats, last_heartbeat = "
                                             "excluded.last_heartbeat,"
                                             " reliability_ppm = excluded.reliability_ppm, "
                                             "reliability = "
                                             "excluded.reliability,"
                                             " reliability_window = excluded.reliability_window,"
                                             " ln_key = excluded.ln_key, payout_to = "
                                             "excluded.payout_to,"
                                             " stake_read_at = excluded.stake_read_at,"
                                             " degraded_since = excluded.degraded_since,"
                                             " signals_tier = excluded.signals_tier"},
    [HEARTBEAT] = {"heartbeat",
                   "UPDATE nodes n SET last_heartbeat = to_timestamp(nullif(h.at, 0) / 1000.0),"
                   " stake_read_at = to_timestamp(nullif(h.read, 0) / 1000.0),"
                   " reliability_ppm = h.ppm, reliability = trunc(h.ppm / 1000000.0, 4),"
                   " reliability_window = substring($5::bytea FROM (h.i::int - 1) * $6::int + 1"
                   " FOR $6::int)"
                   " FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[])"
                   " WITH ORDINALITY AS h (id, at, ppm, read, i) WHERE n.node_id = h.id"},
    [TASK] =
        {"task",
         "INSERT INTO tasks (task_id, task_type, min_tier, assigned_node, status,"
         " round_number, lease_token, attempt, idempotency_key, payload, input_hash, output,"
         " output_hash, reason, reward_msat, reward_sats, submitted_at, started_at,"
         " completed_at, timeout_ms, timeout_seconds, lease_tier) VALUES ($1, $2, $3, $4, $5,"
         " nullif($6::int, 0), $7, $8, nullif($9::text, ''), $10::bytea, $11, $12::bytea,"
         " $13, $14, $15::bigint, " SATS(15) ", " AT(16) ", " AT(17) ", " AT(
             18) ","
                 " $19::bigint, $19::bigint / 1000, nullif($20, ''))"
                 " ON CONFLICT (task_id) DO UPDATE SET assigned_node = excluded.assigned_node,"
                 " status = excluded.status, lease_token = excluded.lease_token,"
                 " lease_tier = excluded.lease_tier,"
                 " attempt = excluded.attempt, payload = coalesce(excluded.payload, tasks.payload),"
                 " output = coalesce(excluded.output, tasks.output),"
                 " output_hash = excluded.output_hash, reason = excluded.reason,"
                 " reward_msat = excluded.reward_msat, reward_sats = excluded.reward_sats,"
                 " started_at = excluded.started_at, completed_at = excluded.completed_at"},
    [TASK_LOG] = {"task_log",
                  "INSERT INTO task_log (sequence, task_id, node_id, lease_token, attempt, what,"
                  " at, reason) VALUES ($1, $2, $3, $4, $5, $6, " AT(
                      7) ", $8)"
                         " ON CONFLICT (sequence) DO NOTHING"},
    [ROUND] = {"round",
               "INSERT INTO fl_rounds (round_id, round_number, status, base_version, base_hash,"
               " base_bytes, started_at, deadline_at, completed_at, invited, received,"
               " participant_count, aggregate_attempts, model_version, checkpoint_hash,"
               " heldout_before, heldout_after, certificate_hash, reason) VALUES ($1::int,"
               " $1::int, $2, $3, $4, $5, " AT(6) ", " AT(7) ", " AT(
                   8) ", $9, $10, $11, $12,"
                      " nullif($13::text, ''), $14, $15, $16, $17, $18)"
                      " ON CONFLICT (round_number) DO UPDATE SET status = excluded.status,"
                      " deadline_at = excluded.deadline_at, completed_at = excluded.completed_at,"
                      " invited = excluded.invited, received = excluded.received,"
                      " participant_count = excluded.participant_count,"
                      " aggregate_attempts = excluded.aggregate_attempts,"
                      " model_version = excluded.model_version,"
                      " checkpoint_hash = excluded.checkpoint_hash,"
                      " heldout_before = excluded.heldout_before,"
                      " heldout_after = excluded.heldout_after,"
                      " certificate_hash = excluded.certificate_hash, reason = excluded.reason"},
    [PARTICIPANT] =
        {"participant",
         "INSERT INTO fl_participants (round_id, node_id, public_key, task_id, nonce, tier, state,"
         " reason, gradient_hash, package_bytes, train_loss_first, train_loss_last, tokens,"
         " arrived_at, weight, anomaly_flagged, reward_msat, reward_sats) VALUES ($1, $2, $3, $4,"
         " $5, $6, $7, $8, $9, $10, $11, $12, $13, " AT(14) ", $15, $16, $17::bigint, " SATS(
             17) ")"
                 " ON CONFLICT (round_id, node_id) DO UPDATE SET state = excluded.state,"
                 " reason = excluded.reason, gradient_hash = excluded.gradient_hash,"
                 " package_bytes = excluded.package_bytes,"
                 " train_loss_first = excluded.train_loss_first,"
                 " train_loss_last = excluded.train_loss_last, tokens = excluded.tokens,"
                 " arrived_at = excluded.arrived_at, weight = excluded.weight,"
                 " anomaly_flagged = excluded.anomaly_flagged, reward_msat = excluded.reward_msat,"
                 " reward_sats = excluded.reward_sats"},
    [MODEL_OTHERS] = {"model_others", "UPDATE model_versions SET is_current = false"
                                      " WHERE is_current AND version_id <> $1 AND $2::boolean"},
    /* The same batch again must not undo the block that a manifest has got since. */
    [MODEL] = {"model",
               "INSERT INTO model_versions (version_id, round_number, created_at, model_hash,"
               " model_bytes, heldout, is_current, manifest, sub_model_hashes, ots_proof_paths,"
               " coordinator_sig) VALUES ($1, nullif($2::int, 0), " AT(
                   3) ", $4, $5, $6, $7,"
                      " $8::text, jsonb_build_object('owm-lm', encode($4::bytea, 'hex')), '{}',"
                      " ($8::text::jsonb) ->> 'coordinator_signature')"
                      " ON CONFLICT (version_id) DO UPDATE SET heldout = excluded.heldout,"
                      " is_current = excluded.is_current,"
                      " manifest = coalesce(model_versions.manifest, excluded.manifest),"
                      " coordinator_sig = coalesce(model_versions.coordinator_sig,"
                      " excluded.coordinator_sig)"},
    [PAYABLE] = {"payable",
                 "INSERT INTO payments (payment_id, source_id, purpose, node_id, amount_msat,"
                 " round_number, payment_hash, created_at) VALUES ($1, $2, $3, $4, $5,"
                 " nullif($6::int, 0), $7, " AT(8) ") ON CONFLICT (source_id, purpose) DO NOTHING"},
    [SIGNAL] = {"signal",
                "INSERT INTO misbehavior_signals (signal_id, node_id, signal_type, evidence_hash,"
                " round_number, task_id, detected_at, tier) VALUES ($1, $2, $3, $4,"
                " nullif($5::int, 0), $6, " AT(
                    7) ", nullif($8, '')) ON CONFLICT (signal_id) DO NOTHING"},
};

/** What one row needs while its parameters are borrowed. */
struct scratch {
    struct owm_pg_args args;
    char text[CLEAN_TEXTS_MAX][CLEAN_BYTES];
    char hex[4][65];
    int texts, hexes;
};

static void begin(struct scratch *s)
{
    owm_pg_begin_args(&s->args);
    s->texts = s->hexes = 0;
}

static void put_hash(struct scratch *s, const uint8_t hash[32])
{
    owm_pg_hex(&s->args, s->hex[s->hexes++], hash, 32);
}

/* Length of a well-formed UTF-8 character that is not a control character; 0: none here. */
static size_t utf8_length(const unsigned char *p)
{
    if (p[0] >= 0x20 && p[0] < 0x7f) return 1;
    if (p[0] >= 0xc2 && p[0] < 0xe0 && (p[1] & 0xc0) == 0x80 && !(p[0] == 0xc2 && p[1] < 0xa0))
        return 2;
    if ((p[0] & 0xf0) == 0xe0 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80)
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ? 0 : 3;
    if (p[0] >= 0xf0 && p[0] < 0xf5 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80
        && (p[3] & 0xc0) == 0x80)
        return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90) ? 0 : 4;
    return 0;
}

/* Text from a peer may be anything; what is not text would make PostgreSQL refuse the whole batch.
 * A stray byte becomes '?'. */
static void put_text(struct scratch *s, const char *text)
{
    char *out = s->text[s->texts++];
    OWM_ASSERT(s->texts <= CLEAN_TEXTS_MAX);
    size_t at = 0;
    const unsigned char *p = (const unsigned char *)text;
    while (*p && at + 4 < CLEAN_BYTES) {
        size_t length = utf8_length(p);
        if (length == 0) {
            out[at++] = '?';
            p++;
            continue;
        }
        memcpy(out + at, p, length);
        at += length;
        p += length;
    }
    out[at] = 0;
    owm_pg_text(&s->args, out);
}

static void put_number(struct scratch *s, double value, double max)
{
    if (!(value >= 0)) value = 0;
    owm_pg_f64(&s->args, value > max ? max : value);
}

/* 0: none. */
static void put_tier(struct scratch *s, enum owm_tier tier)
{
    owm_pg_text(&s->args, tier ? owm_tier_name(tier) : "");
}

static void put_node(struct scratch *s, const struct owm_node_row *row, uint8_t *window)
{
    const struct owm_capabilities *c = &row->capabilities;
    begin(s);
    owm_pg_uuid(&s->args, row->node_id);
    put_hash(s, row->public_key);
    put_text(s, row->ln_node_uri);
    put_text(s, row->onion_address);
    put_text(s, row->alias);
    owm_pg_text(&s->args, owm_tier_name(c->tier));
    owm_pg_bool(&s->args, c->tier_overridden);
    put_number(s, c->vram_gb, 9999.99);
    put_number(s, c->ram_gb, 9999.99);
    put_number(s, c->bandwidth_mbps, 999999.99);
    owm_pg_i64(&s->args, c->task_types);
    owm_pg_i64(&s->args, c->slots);
    put_text(s, c->device);
    put_text(s, c->backend);
    owm_pg_i64(&s->args, (int64_t)row->manifest_sequence);
    owm_pg_i64(&s->args, row->manifest_ms);
    owm_pg_text(&s->args, owm_node_status_name(row->status));
    put_text(s, row->status_reason);
    owm_pg_i64(&s->args, row->stake_sats);
    owm_pg_i64(&s->args, row->signals);
    owm_pg_i64(&s->args, row->cooldown_until_ms);
    owm_pg_i64(&s->args, (int64_t)row->tasks_completed);
    owm_pg_i64(&s->args, row->earned_msat);
    owm_pg_i64(&s->args, row->registered_ms);
    owm_pg_i64(&s->args, row->last_heartbeat_ms);
    owm_pg_i64(&s->args, row->reliability_ppm);
    owm_reliability_encode(&row->reliability, window);
    owm_pg_bytes(&s->args, window, OWM_RELIABILITY_BYTES);
    bool bound = row->ln_key[0] != 0;
    owm_pg_bytes(&s->args, bound ? row->ln_key : NULL, bound ? sizeof(row->ln_key) : 0);
    put_text(s, row->payout_to);
    owm_pg_i64(&s->args, row->stake_read_ms);
    owm_pg_i64(&s->args, row->degraded_since_ms);
    put_tier(s, row->signals_tier);
}

static void put_task(struct scratch *s, const struct owm_task_row *row)
{
    begin(s);
    owm_pg_uuid(&s->args, row->task_id);
    owm_pg_text(&s->args, owm_task_type_name(row->type));
    owm_pg_text(&s->args, owm_tier_name(row->min_tier));
    owm_pg_uuid(&s->args, row->assigned_node);
    owm_pg_text(&s->args, owm_task_state_name(row->state));
    owm_pg_i64(&s->args, row->round);
    owm_pg_i64(&s->args, (int64_t)row->lease_token);
    owm_pg_i64(&s->args, row->attempt);
    put_text(s, row->idempotency_key);
    owm_pg_bytes(&s->args, row->payload, row->payload_bytes);
    put_hash(s, row->input_hash);
    owm_pg_bytes(&s->args, row->output, row->output_bytes);
    put_hash(s, row->output_hash);
    put_text(s, row->reason);
    owm_pg_i64(&s->args, row->reward_msat);
    owm_pg_i64(&s->args, row->submitted_ms);
    owm_pg_i64(&s->args, row->started_ms);
    owm_pg_i64(&s->args, row->completed_ms);
    owm_pg_i64(&s->args, row->timeout_ms);
    put_tier(s, row->lease_tier);
}

static void put_log(struct scratch *s, const struct owm_task_log_row *row)
{
    begin(s);
    owm_pg_i64(&s->args, (int64_t)row->sequence);
    owm_pg_uuid(&s->args, row->task_id);
    owm_pg_uuid(&s->args, row->node_id);
    owm_pg_i64(&s->args, (int64_t)row->lease_token);
    owm_pg_i64(&s->args, row->attempt);
    owm_pg_text(&s->args, owm_log_what_name(row->what));
    owm_pg_i64(&s->args, row->at_ms);
    put_text(s, row->reason);
}

static void put_round(struct scratch *s, const struct owm_round_row *row)
{
    begin(s);
    owm_pg_i64(&s->args, row->round);
    owm_pg_text(&s->args, owm_round_state_name(row->state));
    put_text(s, row->base_version);
    owm_pg_bytes(&s->args, row->base_hash, 32);
    owm_pg_i64(&s->args, (int64_t)row->base_bytes);
    owm_pg_i64(&s->args, row->started_ms);
    owm_pg_i64(&s->args, row->deadline_ms);
    owm_pg_i64(&s->args, row->completed_ms);
    owm_pg_i64(&s->args, row->invited);
    owm_pg_i64(&s->args, row->received);
    owm_pg_i64(&s->args, row->included);
    owm_pg_i64(&s->args, row->aggregate_attempts);
    put_text(s, row->version);
    put_hash(s, row->model_hash);
    owm_pg_f64(&s->args, row->heldout_before);
    owm_pg_f64(&s->args, row->heldout_after);
    put_hash(s, row->certificate_hash);
    put_text(s, row->reason);
}

static void put_participant(struct scratch *s, const struct owm_participant_row *row)
{
    begin(s);
    owm_pg_i64(&s->args, row->round);
    owm_pg_uuid(&s->args, row->node_id);
    owm_pg_bytes(&s->args, row->public_key, 32);
    owm_pg_uuid(&s->args, row->task_id);
    owm_pg_bytes(&s->args, row->nonce, 16);
    owm_pg_text(&s->args, owm_tier_name(row->tier));
    owm_pg_text(&s->args, owm_part_state_name(row->state));
    put_text(s, row->reason);
    put_hash(s, row->package_hash);
    owm_pg_i64(&s->args, (int64_t)row->package_bytes);
    owm_pg_f64(&s->args, row->train_loss_first);
    owm_pg_f64(&s->args, row->train_loss_last);
    owm_pg_i64(&s->args, (int64_t)row->tokens);
    owm_pg_i64(&s->args, row->arrived_ms);
    owm_pg_f64(&s->args, isfinite(row->weight) ? row->weight : 0);
    owm_pg_bool(&s->args, row->flagged);
    owm_pg_i64(&s->args, row->reward_msat);
}

static owm_status queue_model(struct owm_pg *pg, struct scratch *s, const struct owm_model_row *row,
                              struct owm_error *error)
{
    begin(s);
    put_text(s, row->version);
    owm_pg_bool(&s->args, row->is_current);
    owm_status status = owm_pg_queue(pg, &statements[MODEL_OTHERS], &s->args, error);
    if (status != OWM_OK) return status;
    begin(s);
    put_text(s, row->version);
    owm_pg_i64(&s->args, row->round);
    owm_pg_i64(&s->args, row->created_ms);
    owm_pg_bytes(&s->args, row->model_hash, 32);
    owm_pg_i64(&s->args, (int64_t)row->model_bytes);
    owm_pg_f64(&s->args, row->heldout_bits_per_byte);
    owm_pg_bool(&s->args, row->is_current);
    owm_pg_text(&s->args, row->manifest);
    return owm_pg_queue(pg, &statements[MODEL], &s->args, error);
}

static void put_payable(struct scratch *s, const struct owm_payable_row *row,
                        const struct owm_payment_secret *secret, uint8_t hash[32])
{
    uint8_t id[16];
    owm_payment_id(row->source_id, row->purpose, id);
    owm_payment_hash(secret, id, hash);
    begin(s);
    owm_pg_uuid(&s->args, id);
    owm_pg_uuid(&s->args, row->source_id);
    put_text(s, row->purpose);
    owm_pg_uuid(&s->args, row->node_id);
    owm_pg_i64(&s->args, row->amount_msat);
    owm_pg_i64(&s->args, row->round);
    owm_pg_bytes(&s->args, hash, 32);
    owm_pg_i64(&s->args, row->created_ms);
}

static void put_signal(struct scratch *s, const struct owm_signal_row *row)
{
    begin(s);
    owm_pg_uuid(&s->args, row->signal_id);
    owm_pg_uuid(&s->args, row->node_id);
    owm_pg_text(&s->args, owm_signal_type_name(row->type));
    put_hash(s, row->evidence_hash);
    owm_pg_i64(&s->args, row->round);
    owm_pg_uuid(&s->args, row->task_id);
    owm_pg_i64(&s->args, row->detected_ms);
    put_tier(s, row->tier);
}

/* `count` consecutive heartbeat effects in one statement. Arrays travel as PostgreSQL's text form,
 * the windows as one run of bytes. */
static owm_status queue_heartbeats(struct owm_pg *pg, const struct owm_effect *effects,
                                   size_t count, struct owm_error *error)
{
    enum { IDS, TIMES, SCORES, READINGS, COLUMNS };
    size_t text_bytes = count * 40 + 3, at[COLUMNS] = {0};
    char *text = malloc(COLUMNS * text_bytes);
    uint8_t *windows = malloc(count * OWM_RELIABILITY_BYTES);
    struct owm_pg_args args;
    owm_status status = OWM_E_NOMEM;
    if (!text || !windows) goto out;
    for (size_t i = 0; i < count; i++) {
        const struct owm_heartbeat_row *row = &effects[i].heartbeat;
        char value[COLUMNS][OWM_UUID_TEXT_BYTES];
        owm_uuid_format(row->node_id, value[IDS]);
        snprintf(value[TIMES], sizeof(value[0]), "%lld", (long long)row->last_heartbeat_ms);
        snprintf(value[SCORES], sizeof(value[0]), "%u", row->reliability_ppm);
        snprintf(value[READINGS], sizeof(value[0]), "%lld", (long long)row->stake_read_ms);
        for (size_t c = 0; c < COLUMNS; c++)
            at[c] += (size_t)snprintf(text + c * text_bytes + at[c], text_bytes - at[c], "%c%s",
                                      i ? ',' : '{', value[c]);
        owm_reliability_encode(&row->reliability, windows + i * OWM_RELIABILITY_BYTES);
    }
    owm_pg_begin_args(&args);
    for (size_t c = 0; c < COLUMNS; c++) {
        memcpy(text + c * text_bytes + at[c], "}", 2);
        owm_pg_text(&args, text + c * text_bytes);
    }
    owm_pg_bytes(&args, windows, count * OWM_RELIABILITY_BYTES);
    owm_pg_i64(&args, OWM_RELIABILITY_BYTES);
    status = owm_pg_queue(pg, &statements[HEARTBEAT], &args, error);
out:
    free(text);
    free(windows);
    return status;
}

static owm_status queue_one(struct owm_pg *pg, struct scratch *s, const struct owm_effect *effect,
                            const struct owm_payment_secret *secret, struct owm_error *error)
{
    uint8_t space[OWM_RELIABILITY_BYTES];
    int which = NODE;
    switch (effect->kind) {
    case OWM_EFFECT_NODE:
        put_node(s, &effect->node, space);
        break;
    case OWM_EFFECT_TASK:
        put_task(s, &effect->task), which = TASK;
        break;
    case OWM_EFFECT_TASK_LOG:
        put_log(s, &effect->log), which = TASK_LOG;
        break;
    case OWM_EFFECT_ROUND:
        put_round(s, &effect->round), which = ROUND;
        break;
    case OWM_EFFECT_PARTICIPANT:
        put_participant(s, &effect->participant), which = PARTICIPANT;
        break;
    case OWM_EFFECT_MODEL:
        return queue_model(pg, s, &effect->model, error);
    case OWM_EFFECT_PAYABLE:
        put_payable(s, &effect->payable, secret, space), which = PAYABLE;
        break;
    case OWM_EFFECT_SIGNAL:
        put_signal(s, &effect->signal), which = SIGNAL;
        break;
    case OWM_EFFECT_HEARTBEAT:
        return queue_heartbeats(pg, effect, 1, error);
    }
    return owm_pg_queue(pg, &statements[which], &s->args, error);
}

static owm_status queue_all(struct owm_pg *pg, const struct owm_effect *effects, size_t count,
                            const struct owm_payment_secret *secret, struct owm_error *error)
{
    struct scratch scratch;
    owm_status status = OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < count;) {
        size_t run = 0;
        while (i + run < count && run < HEARTBEATS_IN_STATEMENT
               && effects[i + run].kind == OWM_EFFECT_HEARTBEAT)
            run++;
        status = run ? queue_heartbeats(pg, effects + i, run, error)
                     : queue_one(pg, &scratch, effects + i, secret, error);
        i += run ? run : 1;
    }
    return status;
}

owm_status owm_persist_prepare(struct owm_pg *pg, struct owm_error *error)
{
    return owm_pg_prepare(pg, statements, sizeof(statements) / sizeof(statements[0]), error);
}

owm_status owm_persist(struct owm_pg *pg, const struct owm_effect *effects, size_t count,
                       const struct owm_payment_secret *secret, struct owm_error *error)
{
    owm_status status = owm_pg_pipeline_begin(pg, error);
    if (status == OWM_OK) status = queue_all(pg, effects, count, secret, error);
    if (status == OWM_OK) return owm_pg_pipeline_commit(pg, error);
    owm_pg_pipeline_rollback(pg);
    return status;
}

owm_status owm_persist_traffic(struct owm_pg *pg, uint32_t round, uint64_t bytes_down,
                               struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, round);
    owm_pg_i64(&args, (int64_t)bytes_down);
    return owm_pg_query(pg,
                        "UPDATE fl_rounds SET bytes_down = greatest(bytes_down, $2)"
                        " WHERE round_number = $1",
                        &args, NULL, error);
}

/* ---------------------------------------------------------------------------- the one engine */

#define LOCK_ENGINE "8026107459823987571"

static owm_status try_lock(struct owm_pg *pg, bool *held, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status =
        owm_pg_query(pg, "SELECT pg_try_advisory_lock(" LOCK_ENGINE ")", NULL, &rows, error);
    if (status != OWM_OK) return status;
    *held = owm_pg_get_bool(rows, 0, 0);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

static owm_status read_epoch(struct owm_pg *pg, const char *sql, int64_t *epoch,
                             struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(pg, sql, NULL, &rows, error);
    if (status != OWM_OK) return status;
    *epoch = owm_pg_rows_count(rows) ? owm_pg_get_i64(rows, 0, 0) : 0;
    owm_pg_rows_free(rows);
    return OWM_OK;
}

owm_status owm_engine_lock_take(struct owm_pg *pg, int64_t *epoch, struct owm_error *error)
{
    bool held = false;
    owm_status status = try_lock(pg, &held, error);
    if (status != OWM_OK) return status;
    if (!held)
        return owm_fail(error, OWM_E_EXISTS, "another owm-coordinator is active on this database");
    return read_epoch(pg, "UPDATE coordinator_state SET epoch = epoch + 1 RETURNING epoch", epoch,
                      error);
}

owm_status owm_engine_lock_retake(struct owm_pg *pg, int64_t epoch, struct owm_error *error)
{
    bool held = false;
    int64_t now = 0;
    owm_status status = try_lock(pg, &held, error);
    if (status == OWM_OK && held)
        status = read_epoch(pg, "SELECT epoch FROM coordinator_state", &now, error);
    if (status != OWM_OK) return status;
    if (!held) return owm_fail(error, OWM_E_EXISTS, "the engine lock is held by another session");
    if (now != epoch)
        return owm_fail(error, OWM_E_STATE,
                        "another owm-coordinator took over while the database was away; this one "
                        "must start again");
    return OWM_OK;
}

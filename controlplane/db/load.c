/* load.c: see load.h. Column numbers follow the order of each SELECT. */
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_text(const struct owm_pg_rows *rows, size_t row, int column, char *out,
                      size_t bytes)
{
    snprintf(out, bytes, "%s", owm_pg_get_text(rows, row, column));
}

static float get_float(const struct owm_pg_rows *rows, size_t row, int column)
{
    return owm_pg_is_null(rows, row, column) ? NAN : (float)owm_pg_get_f64(rows, row, column);
}

static uint32_t get_u32(const struct owm_pg_rows *rows, size_t row, int column)
{
    return (uint32_t)owm_pg_get_i64(rows, row, column);
}

static owm_status bad(const char *what, const char *id, owm_status status, struct owm_error *error)
{
    if (status == OWM_E_LIMIT)
        return owm_fail(error, status,
                        "the database has more %ss than the configuration allows; raise "
                        "limits.nodes_max or limits.tasks_max",
                        what);
    return owm_fail(error, status == OWM_E_NOMEM ? status : OWM_E_DB,
                    "database: %s %s cannot be restored: %s", what, id, owm_status_text(status));
}

typedef owm_status restore_row(owm_engine *engine, const struct owm_pg_rows *rows, size_t row);

static owm_status restore_all(struct owm_pg *pg, owm_engine *engine, const char *what,
                              const char *sql, int64_t argument, restore_row *restore,
                              struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    if (argument >= 0) owm_pg_i64(&args, argument);
    owm_status status = owm_pg_query(pg, sql, &args, &rows, error);
    if (status != OWM_OK) return status;
    for (size_t row = 0; status == OWM_OK && row < owm_pg_rows_count(rows); row++) {
        status = restore(engine, rows, row);
        if (status != OWM_OK) status = bad(what, owm_pg_get_text(rows, row, 0), status, error);
    }
    owm_pg_rows_free(rows);
    return status;
}

/* clang-format off */
static const char select_nodes[] =
    "SELECT node_id, public_key, ln_node_uri, onion_address, alias, tier, tier_overridden,"
    " vram_gb, ram_gb, bandwidth_mbps, task_types, slots, device, backend, manifest_sequence,"
    " " OWM_PG_MS("manifest_at") ", status, status_reason, stake_sats, signals,"
    " " OWM_PG_MS("cooldown_until") ", total_tasks, earned_msat, " OWM_PG_MS("registered_at") ","
    " " OWM_PG_MS("last_heartbeat") ", reliability_ppm, reliability_window, ln_key, payout_to,"
    " " OWM_PG_MS("stake_read_at") ", " OWM_PG_MS("degraded_since") ", signals_tier"
    " FROM nodes ORDER BY registered_at, node_id";
/* clang-format on */

/* NULL: none. */
static owm_status get_tier(const struct owm_pg_rows *rows, size_t row, int column,
                           enum owm_tier *tier)
{
    const char *text = owm_pg_get_text(rows, row, column);
    return *text ? owm_tier_parse(text, tier) : OWM_OK;
}

static owm_status restore_node(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    static struct owm_node_row node; /* large; one thread loads */
    struct owm_capabilities *c = &node.capabilities;
    uint8_t *window = NULL;
    size_t bytes = 0;
    memset(&node, 0, sizeof(node));
    owm_pg_get_uuid(rows, row, 0, node.node_id);
    owm_pg_get_hash(rows, row, 1, node.public_key, 32);
    copy_text(rows, row, 2, node.ln_node_uri, sizeof(node.ln_node_uri));
    copy_text(rows, row, 3, node.onion_address, sizeof(node.onion_address));
    copy_text(rows, row, 4, node.alias, sizeof(node.alias));
    owm_status status = owm_tier_parse(owm_pg_get_text(rows, row, 5), &c->tier);
    if (status == OWM_OK)
        status = owm_node_status_parse(owm_pg_get_text(rows, row, 16), &node.status);
    c->tier_overridden = owm_pg_get_bool(rows, row, 6);
    c->vram_gb = (float)owm_pg_get_f64(rows, row, 7);
    c->ram_gb = (float)owm_pg_get_f64(rows, row, 8);
    c->bandwidth_mbps = (float)owm_pg_get_f64(rows, row, 9);
    c->task_types = get_u32(rows, row, 10);
    c->slots = get_u32(rows, row, 11);
    copy_text(rows, row, 12, c->device, sizeof(c->device));
    copy_text(rows, row, 13, c->backend, sizeof(c->backend));
    node.manifest_sequence = (uint64_t)owm_pg_get_i64(rows, row, 14);
    node.manifest_ms = owm_pg_get_i64(rows, row, 15);
    copy_text(rows, row, 17, node.status_reason, sizeof(node.status_reason));
    node.stake_sats = owm_pg_get_i64(rows, row, 18);
    node.signals = get_u32(rows, row, 19);
    node.cooldown_until_ms = owm_pg_get_i64(rows, row, 20);
    node.tasks_completed = (uint64_t)owm_pg_get_i64(rows, row, 21);
    node.earned_msat = owm_pg_get_i64(rows, row, 22);
    node.registered_ms = owm_pg_get_i64(rows, row, 23);
    node.last_heartbeat_ms = owm_pg_get_i64(rows, row, 24);
    node.reliability_ppm = get_u32(rows, row, 25);
    owm_pg_get_hash(rows, row, 27, node.ln_key, sizeof(node.ln_key));
    copy_text(rows, row, 28, node.payout_to, sizeof(node.payout_to));
    node.stake_read_ms = owm_pg_get_i64(rows, row, 29);
    node.degraded_since_ms = owm_pg_get_i64(rows, row, 30);
    if (status == OWM_OK) status = get_tier(rows, row, 31, &node.signals_tier);
    if (status == OWM_OK) status = owm_pg_get_bytes(rows, row, 26, &window, &bytes);
    if (status == OWM_OK && bytes)
        status = owm_reliability_decode(window, bytes, &node.reliability);
    free(window);
    return status == OWM_OK ? owm_engine_restore_node(engine, &node) : status;
}

static const char select_signals[] =
    "SELECT signal_id, node_id, signal_type, evidence_hash, coalesce(round_number, 0), task_id,"
    " " OWM_PG_MS("detected_at") ", tier FROM (SELECT *, row_number() OVER (PARTITION BY node_id"
                                 " ORDER BY detected_at DESC) AS nth FROM misbehavior_signals) s"
                                 " WHERE nth <= 8 ORDER BY detected_at, signal_id";

static owm_status restore_signal(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    struct owm_signal_row signal = {0};
    owm_pg_get_uuid(rows, row, 0, signal.signal_id);
    owm_pg_get_uuid(rows, row, 1, signal.node_id);
    owm_status status = owm_signal_type_parse(owm_pg_get_text(rows, row, 2), &signal.type);
    owm_pg_get_hash(rows, row, 3, signal.evidence_hash, 32);
    signal.round = get_u32(rows, row, 4);
    owm_pg_get_uuid(rows, row, 5, signal.task_id);
    signal.detected_ms = owm_pg_get_i64(rows, row, 6);
    if (status == OWM_OK) status = get_tier(rows, row, 7, &signal.tier);
    return status == OWM_OK ? owm_engine_restore_signal(engine, &signal) : status;
}

static const char select_model[] = "SELECT version_id, coalesce(round_number, 0), " OWM_PG_MS(
    "created_at") ", model_hash, model_bytes,"
                  " heldout FROM model_versions WHERE is_current";

static owm_status restore_model(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    struct owm_model_row model = {.is_current = true};
    copy_text(rows, row, 0, model.version, sizeof(model.version));
    model.round = get_u32(rows, row, 1);
    model.created_ms = owm_pg_get_i64(rows, row, 2);
    owm_pg_get_hash(rows, row, 3, model.model_hash, 32);
    model.model_bytes = (uint64_t)owm_pg_get_i64(rows, row, 4);
    model.heldout_bits_per_byte = get_float(rows, row, 5);
    return owm_engine_restore_model(engine, &model);
}

/* The newest rounds, oldest first. */
static const char select_rounds[] =
    "SELECT * FROM (SELECT round_number, status, base_version, base_hash, base_bytes, " OWM_PG_MS(
        "started_at") ","
                      " " OWM_PG_MS("deadline_at") ", " OWM_PG_MS(
                          "completed_at") ", invited, received,"
                                          " coalesce(participant_count, 0), aggregate_attempts, "
                                          "coalesce(model_version, ''),"
                                          " checkpoint_hash, heldout_before, heldout_after, "
                                          "certificate_hash, reason"
                                          " FROM fl_rounds ORDER BY round_number DESC"
                                          " LIMIT $1::bigint) t ORDER BY 1";

static owm_status read_round(const struct owm_pg_rows *rows, size_t row, struct owm_round_row *out)
{
    struct owm_round_row round = {0};
    round.round = get_u32(rows, row, 0);
    owm_status status = owm_round_state_parse(owm_pg_get_text(rows, row, 1), &round.state);
    copy_text(rows, row, 2, round.base_version, sizeof(round.base_version));
    owm_pg_get_hash(rows, row, 3, round.base_hash, 32);
    round.base_bytes = (uint64_t)owm_pg_get_i64(rows, row, 4);
    round.started_ms = owm_pg_get_i64(rows, row, 5);
    round.deadline_ms = owm_pg_get_i64(rows, row, 6);
    round.completed_ms = owm_pg_get_i64(rows, row, 7);
    round.invited = get_u32(rows, row, 8);
    round.received = get_u32(rows, row, 9);
    round.included = get_u32(rows, row, 10);
    round.aggregate_attempts = get_u32(rows, row, 11);
    copy_text(rows, row, 12, round.version, sizeof(round.version));
    owm_pg_get_hash(rows, row, 13, round.model_hash, 32);
    round.heldout_before = get_float(rows, row, 14);
    round.heldout_after = get_float(rows, row, 15);
    owm_pg_get_hash(rows, row, 16, round.certificate_hash, 32);
    copy_text(rows, row, 17, round.reason, sizeof(round.reason));
    *out = round;
    return status;
}

static owm_status restore_round(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    struct owm_round_row round;
    owm_status status = read_round(rows, row, &round);
    return status == OWM_OK ? owm_engine_restore_round(engine, &round) : status;
}

owm_status owm_load_rounds(struct owm_pg *pg, uint32_t count,
                           void (*each)(void *ctx, const struct owm_round_row *round), void *ctx,
                           struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, count);
    owm_status status = owm_pg_query(pg, select_rounds, &args, &rows, error);
    for (size_t row = 0; status == OWM_OK && row < owm_pg_rows_count(rows); row++) {
        struct owm_round_row round;
        status = read_round(rows, row, &round);
        if (status == OWM_OK)
            each(ctx, &round);
        else
            status = bad("round", owm_pg_get_text(rows, row, 0), status, error);
    }
    owm_pg_rows_free(rows);
    return status;
}

static const char select_participants[] =
    "SELECT node_id, round_id, public_key, task_id, nonce, tier, state, reason, gradient_hash,"
    " package_bytes, train_loss_first, train_loss_last, tokens, " OWM_PG_MS(
        "arrived_at") ", weight,"
                      " anomaly_flagged, reward_msat FROM fl_participants"
                      " WHERE round_id = (SELECT max(round_number) FROM fl_rounds) ORDER BY "
                      "node_id";

static owm_status restore_participant(owm_engine *engine, const struct owm_pg_rows *rows,
                                      size_t row)
{
    struct owm_participant_row part = {0};
    owm_pg_get_uuid(rows, row, 0, part.node_id);
    part.round = get_u32(rows, row, 1);
    owm_pg_get_hash(rows, row, 2, part.public_key, 32);
    owm_pg_get_uuid(rows, row, 3, part.task_id);
    owm_pg_get_hash(rows, row, 4, part.nonce, 16);
    owm_status status = owm_tier_parse(owm_pg_get_text(rows, row, 5), &part.tier);
    if (status == OWM_OK) status = owm_part_state_parse(owm_pg_get_text(rows, row, 6), &part.state);
    copy_text(rows, row, 7, part.reason, sizeof(part.reason));
    owm_pg_get_hash(rows, row, 8, part.package_hash, 32);
    part.package_bytes = (uint64_t)owm_pg_get_i64(rows, row, 9);
    part.train_loss_first = get_float(rows, row, 10);
    part.train_loss_last = get_float(rows, row, 11);
    part.tokens = (uint64_t)owm_pg_get_i64(rows, row, 12);
    part.arrived_ms = owm_pg_get_i64(rows, row, 13);
    part.weight = owm_pg_get_f64(rows, row, 14);
    part.flagged = owm_pg_get_bool(rows, row, 15);
    part.reward_msat = owm_pg_get_i64(rows, row, 16);
    return status == OWM_OK ? owm_engine_restore_participant(engine, &part) : status;
}

#define SELECT_TASKS                                                                               \
    "SELECT task_id, task_type, status, min_tier, coalesce(round_number, 0), assigned_node,"       \
    " lease_token, attempt, timeout_ms, " OWM_PG_MS("submitted_at") ", " OWM_PG_MS(                \
        "started_at") ","                                                                          \
                      " " OWM_PG_MS(                                                               \
                          "completed_at") ", reward_msat, input_hash, output_hash,"                \
                                          " coalesce(idempotency_key, ''), reason, lease_tier"

/* Live ones, and the deltas that the running round already has. */
static const char select_live_tasks[] = SELECT_TASKS
    ", payload FROM tasks WHERE status IN ('pending', 'running') OR (status = 'completed'"
    " AND round_number = (SELECT max(round_number) FROM fl_rounds"
    " WHERE status IN ('open', 'aggregating'))) ORDER BY submitted_at, task_id";

static const char select_finished_tasks[] =
    "SELECT * FROM (" SELECT_TASKS
    ", NULL::bytea FROM tasks WHERE status NOT IN ('pending', 'running') AND NOT (status ="
    " 'completed' AND coalesce(round_number, -1) = coalesce((SELECT max(round_number) FROM"
    " fl_rounds WHERE status IN ('open', 'aggregating')), -2))"
    " ORDER BY completed_at DESC NULLS LAST LIMIT $1::bigint) t ORDER BY 12, 1";

static owm_status restore_task(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    struct owm_task_row task = {0};
    uint8_t *payload = NULL;
    owm_pg_get_uuid(rows, row, 0, task.task_id);
    owm_status status = owm_task_type_parse(owm_pg_get_text(rows, row, 1), &task.type);
    if (status == OWM_OK) status = owm_task_state_parse(owm_pg_get_text(rows, row, 2), &task.state);
    if (status == OWM_OK) status = owm_tier_parse(owm_pg_get_text(rows, row, 3), &task.min_tier);
    task.round = get_u32(rows, row, 4);
    owm_pg_get_uuid(rows, row, 5, task.assigned_node);
    task.lease_token = (uint64_t)owm_pg_get_i64(rows, row, 6);
    task.attempt = get_u32(rows, row, 7);
    task.timeout_ms = get_u32(rows, row, 8);
    task.submitted_ms = owm_pg_get_i64(rows, row, 9);
    task.started_ms = owm_pg_get_i64(rows, row, 10);
    task.completed_ms = owm_pg_get_i64(rows, row, 11);
    task.reward_msat = owm_pg_get_i64(rows, row, 12);
    owm_pg_get_hash(rows, row, 13, task.input_hash, 32);
    owm_pg_get_hash(rows, row, 14, task.output_hash, 32);
    copy_text(rows, row, 15, task.idempotency_key, sizeof(task.idempotency_key));
    copy_text(rows, row, 16, task.reason, sizeof(task.reason));
    if (status == OWM_OK) status = get_tier(rows, row, 17, &task.lease_tier);
    if (status == OWM_OK) status = owm_pg_get_bytes(rows, row, 18, &payload, &task.payload_bytes);
    task.payload = payload;
    if (status == OWM_OK) status = owm_engine_restore_task(engine, &task);
    free(payload);
    return status;
}

static const char select_arrivals[] =
    "SELECT * FROM (SELECT p.node_id, " OWM_PG_MS("p.arrived_at") " - " OWM_PG_MS(
        "r.started_at") " AS offset_ms,"
                        " p.arrived_at FROM fl_participants p JOIN fl_rounds r USING (round_id)"
                        " WHERE p.arrived_at IS NOT NULL ORDER BY p.arrived_at DESC LIMIT 256) a "
                        "ORDER BY arrived_at";

static owm_status restore_arrival(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    owm_engine_restore_arrival(engine, owm_pg_get_i64(rows, row, 1));
    return OWM_OK;
}

static const char select_counts[] = "SELECT (SELECT coalesce(max(sequence), 0) FROM task_log),"
                                    " (SELECT count(*) FROM fl_rounds WHERE status = 'complete'),"
                                    " (SELECT count(*) FROM fl_rounds WHERE status = 'failed')";

static owm_status restore_counts(owm_engine *engine, const struct owm_pg_rows *rows, size_t row)
{
    owm_engine_restore_counts(engine, (uint64_t)owm_pg_get_i64(rows, row, 0), get_u32(rows, row, 1),
                              get_u32(rows, row, 2));
    return OWM_OK;
}

owm_status owm_load(struct owm_pg *pg, owm_engine *engine, uint32_t finished_max,
                    struct owm_error *error)
{
    const struct {
        const char *what, *sql;
        int64_t argument;
        restore_row *restore;
    } parts[] = {
        {"node", select_nodes, -1, restore_node},
        {"signal", select_signals, -1, restore_signal},
        {"model version", select_model, -1, restore_model},
        {"round", select_rounds, 1, restore_round},
        {"participant", select_participants, -1, restore_participant},
        {"task", select_live_tasks, -1, restore_task},
        {"task", select_finished_tasks, finished_max, restore_task},
        {"arrival", select_arrivals, -1, restore_arrival},
        {"count", select_counts, -1, restore_counts},
    };
    owm_status status = owm_pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", error);
    for (size_t i = 0; status == OWM_OK && i < sizeof(parts) / sizeof(parts[0]); i++)
        status = restore_all(pg, engine, parts[i].what, parts[i].sql, parts[i].argument,
                             parts[i].restore, error);
    if (status == OWM_OK) return owm_pg_exec(pg, "COMMIT", error);
    owm_pg_rollback(pg);
    return status;
}

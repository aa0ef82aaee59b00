/* internal_reports.c: ListRounds, ListVersions and AuditLedger, from the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/provenance/versions.h"
#include "services_internal.h"

#define ROUNDS_MAX       200
#define VERSIONS_DEFAULT 20
#define FINDING_BYTES    160

/* ---------------------------------------------------------------------------- ListRounds */

static const char select_rounds[] =
    "SELECT round_number, status, coalesce(model_version, ''), checkpoint_hash,"
    " coalesce(heldout_before, 0), coalesce(heldout_after, 0), " OWM_PG_MS(
        "started_at") ","
                      " " OWM_PG_MS(
                          "completed_at") ", bytes_down, base_bytes, reason FROM fl_rounds"
                                          " WHERE round_number > $1 ORDER BY round_number LIMIT $2";

static const char select_parts[] =
    "SELECT r.round_number, p.node_id, n.alias, p.state, p.reason, p.weight, p.reward_msat,"
    " p.package_bytes, coalesce(p.train_loss_last, 0) FROM fl_participants p"
    " JOIN fl_rounds r USING (round_id) JOIN nodes n USING (node_id)"
    " WHERE r.round_number > $1 AND r.round_number IN (SELECT round_number FROM fl_rounds"
    " WHERE round_number > $1 ORDER BY round_number LIMIT $2)"
    " ORDER BY r.round_number, n.alias, p.node_id";

/* The states of the engine in the words of the wire. */
static const char *verdict_of(const char *state)
{
    if (strcmp(state, "invited") == 0 || strcmp(state, "received") == 0
        || strcmp(state, "verified") == 0)
        return "pending";
    return state;
}

static void fill_part(const struct owm_pg_rows *rows, size_t i, PBI(RoundParticipant) * part)
{
    const PBI(RoundParticipant) empty = OWM__INTERNAL__V1__ROUND_PARTICIPANT__INIT;
    *part = empty;
    part->node_id = (char *)owm_pg_get_text(rows, i, 1);
    part->alias = (char *)owm_pg_get_text(rows, i, 2);
    part->verdict = (char *)verdict_of(owm_pg_get_text(rows, i, 3));
    part->reason = (char *)owm_pg_get_text(rows, i, 4);
    part->weight = owm_pg_get_f64(rows, i, 5);
    part->reward_msat = owm_pg_get_i64(rows, i, 6);
    part->package_bytes = (uint64_t)owm_pg_get_i64(rows, i, 7);
    part->train_loss_last = (float)owm_pg_get_f64(rows, i, 8);
}

static void fill_round(const struct owm_pg_rows *rows, size_t i, PBI(Round) * round,
                       uint8_t hash[32])
{
    const PBI(Round) empty = OWM__INTERNAL__V1__ROUND__INIT;
    *round = empty;
    owm_pg_get_hash(rows, i, 3, hash, 32);
    round->round = (uint32_t)owm_pg_get_i64(rows, i, 0);
    round->state = (char *)owm_pg_get_text(rows, i, 1);
    round->version_id = (char *)owm_pg_get_text(rows, i, 2);
    round->model_hash = (ProtobufCBinaryData){32, hash};
    round->heldout_before = (float)owm_pg_get_f64(rows, i, 4);
    round->heldout_after = (float)owm_pg_get_f64(rows, i, 5);
    round->started_ms = owm_pg_get_i64(rows, i, 6);
    round->completed_ms = owm_pg_get_i64(rows, i, 7);
    round->bytes_down = (uint64_t)owm_pg_get_i64(rows, i, 8);
    round->bytes_dense = (uint64_t)owm_pg_get_i64(rows, i, 9); /* a checkpoint is one f32 vector */
    round->note = (char *)owm_pg_get_text(rows, i, 10);
}

static void reply_rounds(struct owm_rpc_call *call, const struct owm_pg_rows *rounds,
                         const struct owm_pg_rows *parts)
{
    size_t count = owm_pg_rows_count(rounds), part_count = owm_pg_rows_count(parts), at = 0;
    PBI(ListRoundsResponse) response = OWM__INTERNAL__V1__LIST_ROUNDS_RESPONSE__INIT;
    PBI(Round) *round = calloc(count + 1, sizeof(*round));
    PBI(Round) **round_list = calloc(count + 1, sizeof(*round_list));
    PBI(RoundParticipant) *part = calloc(part_count + 1, sizeof(*part));
    PBI(RoundParticipant) **part_list = calloc(part_count + 1, sizeof(*part_list));
    uint8_t(*hash)[32] = calloc(count + 1, 32);
    if (!round || !round_list || !part || !part_list || !hash) {
        owm_rpc_fail(call, OWM_RPC_RESOURCE_EXHAUSTED, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        fill_round(rounds, i, &round[i], hash[i]);
        round_list[i] = &round[i];
        round[i].participants = &part_list[at];
        for (; at < part_count && owm_pg_get_i64(parts, at, 0) == round[i].round; at++) {
            fill_part(parts, at, &part[at]);
            part_list[at] = &part[at];
            round[i].bytes_up += part[at].package_bytes;
            round[i].n_participants++;
        }
    }
    response.rounds = round_list;
    response.n_rounds = count;
    wire_reply(call, &response.base);
out:
    free(hash);
    free(part_list);
    free(part);
    free(round_list);
    free(round);
}

static void read_rounds(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    const uint32_t *question = ask->data; /* since, limit */
    struct owm_pg_args args;
    struct owm_pg_rows *rounds = NULL, *parts = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, question[0]);
    owm_pg_i64(&args, question[1]);
    owm_status status = owm_pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL);
    if (status == OWM_OK) status = owm_pg_query(pg, select_rounds, &args, &rounds, NULL);
    if (status == OWM_OK) status = owm_pg_query(pg, select_parts, &args, &parts, NULL);
    owm_pg_rollback(pg);
    if (status == OWM_OK)
        reply_rounds(ask->call, rounds, parts);
    else
        wire_away(services, ask->call, "ListRounds");
    owm_pg_rows_free(rounds);
    owm_pg_rows_free(parts);
}

void on_rounds(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PBI(ListRoundsRequest) *request =
        wire_unpack(app, call, "ListRounds", &owm__internal__v1__list_rounds_request__descriptor,
                    bytes, length);
    if (!request) return;
    uint32_t question[2] = {request->since, request->limit};
    if (question[1] == 0 || question[1] > ROUNDS_MAX) question[1] = ROUNDS_MAX;
    wire_read(app, call, "ListRounds", read_rounds, question, sizeof(question));
    owm__internal__v1__list_rounds_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- ListVersions */

static const char select_states[] =
    "SELECT version_id, coalesce(round_number, 0), model_hash, is_current, ots_calendars,"
    " coalesce(btc_block, 0), (extract(epoch FROM created_at) * 1000)::bigint,"
    " (extract(epoch FROM btc_time) * 1000)::bigint,"
    " (extract(epoch FROM ots_stamped_at) * 1000)::bigint, ots_note FROM model_versions"
    " ORDER BY round_number DESC NULLS LAST, version_id DESC LIMIT $1";

static void fill_version(const struct owm_pg_rows *rows, size_t i, PBI(VersionState) * version,
                         uint8_t hash[32])
{
    const PBI(VersionState) empty = OWM__INTERNAL__V1__VERSION_STATE__INIT;
    *version = empty;
    owm_pg_get_hash(rows, i, 2, hash, 32);
    version->version_id = (char *)owm_pg_get_text(rows, i, 0);
    version->round = (uint32_t)owm_pg_get_i64(rows, i, 1);
    version->model_hash = (ProtobufCBinaryData){32, hash};
    version->current = owm_pg_get_bool(rows, i, 3);
    version->ots_calendars = (uint32_t)owm_pg_get_i64(rows, i, 4);
    version->btc_block = (uint32_t)owm_pg_get_i64(rows, i, 5);
    version->created_ms = owm_pg_get_i64(rows, i, 6);
    version->btc_time_ms = owm_pg_get_i64(rows, i, 7);
    version->ots_status =
        (char *)owm_version_status(version->btc_block, owm_pg_get_i64(rows, i, 8));
    version->note = (char *)owm_pg_get_text(rows, i, 9);
}

static void reply_versions(struct owm_rpc_call *call, const struct owm_pg_rows *rows)
{
    size_t count = owm_pg_rows_count(rows);
    PBI(ListVersionsResponse) response = OWM__INTERNAL__V1__LIST_VERSIONS_RESPONSE__INIT;
    PBI(VersionState) *version = calloc(count + 1, sizeof(*version));
    PBI(VersionState) **list = calloc(count + 1, sizeof(*list));
    uint8_t(*hash)[32] = calloc(count + 1, 32);
    if (!version || !list || !hash) {
        owm_rpc_fail(call, OWM_RPC_RESOURCE_EXHAUSTED, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        fill_version(rows, i, &version[i], hash[i]);
        list[i] = &version[i];
    }
    response.versions = list;
    response.n_versions = count;
    wire_reply(call, &response.base);
out:
    free(hash);
    free(list);
    free(version);
}

static void read_versions(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    const uint32_t *limit = ask->data;
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, *limit);
    if (owm_pg_query(pg, select_states, &args, &rows, NULL) == OWM_OK)
        reply_versions(ask->call, rows);
    else
        wire_away(services, ask->call, "ListVersions");
    owm_pg_rows_free(rows);
}

void on_versions(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PBI(ListVersionsRequest) *request =
        wire_unpack(app, call, "ListVersions",
                    &owm__internal__v1__list_versions_request__descriptor, bytes, length);
    if (!request) return;
    uint32_t limit = request->limit ? request->limit : VERSIONS_DEFAULT;
    if (limit > OWM_VERSIONS_LIMIT_MAX) limit = OWM_VERSIONS_LIMIT_MAX;
    wire_read(app, call, "ListVersions", read_versions, &limit, sizeof(limit));
    owm__internal__v1__list_versions_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- AuditLedger */

/* Not what is given back, such as a bond. */
#define OF_WORK "p.purpose <> 'bond_return'"

/* Each line counts what must not be there. */
static const struct {
    const char *sql, *finding;
} checks[] = {
    {"SELECT count(*) FROM (SELECT task_id FROM task_log WHERE what = 'completed'"
     " GROUP BY task_id HAVING count(*) > 1) t",
     "tasks with more than one completion"},
    {"SELECT count(*) FROM tasks t LEFT JOIN payments p ON p.source_id = t.task_id"
     " WHERE t.status = 'completed' AND t.reward_msat > 0"
     " AND (p.amount_msat IS NULL OR p.amount_msat <> t.reward_msat)",
     "completed tasks whose payable is missing or of another amount"},
    {"SELECT count(*) FROM payments p LEFT JOIN tasks t ON t.task_id = p.source_id"
     " WHERE " OF_WORK
     " AND (t.task_id IS NULL OR t.status <> 'completed' OR t.assigned_node <> p.node_id)",
     "payables without a completed task of that node"},
    {"SELECT count(*) FROM nodes n WHERE n.earned_msat <> (SELECT coalesce(sum(amount_msat), 0)"
     " FROM payments p WHERE " OF_WORK " AND p.node_id = n.node_id)",
     "nodes whose earnings differ from the sum of their payables"},
    {"SELECT count(*) FROM payments WHERE settled_msat > amount_msat",
     "payments settled above what is payable"},
    {"SELECT count(*) FROM payments p WHERE (state = 'in_flight') <> EXISTS (SELECT 1 FROM"
     " payment_attempts a WHERE a.payment_id = p.payment_id AND a.state = 'sent')",
     "payments in flight without an attempt that is alive, or the other way round"},
    {"SELECT count(*) FROM payments p WHERE (SELECT count(*) FROM payment_attempts a WHERE"
     " a.payment_id = p.payment_id AND a.state = 'succeeded')"
     " <> CASE WHEN state = 'settled' THEN 1 ELSE 0 END",
     "payments that are settled without one attempt that succeeded, or paid more than once"},
    {"SELECT count(*) FROM fl_participants WHERE reward_msat > 0 AND state <> 'included'",
     "participants paid without being included"},
    {"SELECT count(*) FROM task_log a JOIN task_log b USING (task_id) WHERE a.what = 'dispatched'"
     " AND b.what = 'dispatched' AND a.sequence < b.sequence AND a.lease_token >= b.lease_token",
     "tasks whose lease tokens do not grow"},
};

static const char select_sums[] =
    "SELECT (SELECT coalesce(sum(reward_msat), 0)::bigint FROM tasks WHERE status = 'completed'),"
    " (SELECT coalesce(sum(amount_msat), 0)::bigint FROM payments p WHERE " OF_WORK "),"
    " (SELECT coalesce(sum(settled_msat), 0)::bigint FROM payments p WHERE " OF_WORK "),"
    " (SELECT count(*) FROM fl_rounds WHERE status = 'complete'),"
    " (SELECT count(*) FROM fl_rounds WHERE status = 'failed'),"
    " (SELECT count(*) FROM tasks WHERE status = 'completed'),"
    " (SELECT count(*) FROM (SELECT task_id FROM task_log WHERE what = 'completed' GROUP BY task_id"
    " HAVING count(*) > 1) t),"
    " (SELECT coalesce(sum(amount_msat), 0)::bigint FROM payments p WHERE " OF_WORK
    " AND p.state = 'cancelled')";

#define CHECKS (sizeof(checks) / sizeof(checks[0]))

struct audit {
    PBI(AuditResponse) response;
    char text[CHECKS + 1][FINDING_BYTES];
    char *list[CHECKS + 1];
};

static owm_status run_checks(struct owm_pg *pg, struct audit *audit)
{
    size_t found = 0;
    struct owm_pg_rows *rows = NULL;
    for (size_t i = 0; i < CHECKS; i++) {
        owm_status status = owm_pg_query(pg, checks[i].sql, NULL, &rows, NULL);
        if (status != OWM_OK) return status;
        int64_t count = owm_pg_get_i64(rows, 0, 0);
        owm_pg_rows_free(rows);
        if (count == 0) continue;
        snprintf(audit->text[found], FINDING_BYTES, "%lld %s", (long long)count, checks[i].finding);
        audit->list[found] = audit->text[found];
        found++;
    }
    owm_status status = owm_pg_query(pg, select_sums, NULL, &rows, NULL);
    if (status != OWM_OK) return status;
    audit->response.earned_msat = owm_pg_get_i64(rows, 0, 0);
    audit->response.payable_msat = owm_pg_get_i64(rows, 0, 1);
    audit->response.settled_msat = owm_pg_get_i64(rows, 0, 2);
    audit->response.rounds_complete = (uint32_t)owm_pg_get_i64(rows, 0, 3);
    audit->response.rounds_failed = (uint32_t)owm_pg_get_i64(rows, 0, 4);
    audit->response.tasks_completed = (uint32_t)owm_pg_get_i64(rows, 0, 5);
    audit->response.double_completions = (uint32_t)owm_pg_get_i64(rows, 0, 6);
    audit->response.cancelled_msat = owm_pg_get_i64(rows, 0, 7);
    owm_pg_rows_free(rows);
    if (audit->response.earned_msat != audit->response.payable_msat) {
        snprintf(audit->text[found], FINDING_BYTES, "earned %lld msat, but %lld msat are payable",
                 (long long)audit->response.earned_msat, (long long)audit->response.payable_msat);
        audit->list[found] = audit->text[found];
        found++;
    }
    audit->response.findings = audit->list;
    audit->response.n_findings = found;
    audit->response.ok = found == 0;
    return OWM_OK;
}

static void read_audit(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    struct audit audit = {.response = OWM__INTERNAL__V1__AUDIT_RESPONSE__INIT};
    owm_status status = owm_pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL);
    if (status == OWM_OK) status = run_checks(pg, &audit);
    owm_pg_rollback(pg);
    if (status == OWM_OK)
        wire_reply(ask->call, &audit.response.base);
    else
        wire_away(services, ask->call, "AuditLedger");
}

void on_audit(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)bytes; /* an empty message: whatever came is a field of a newer version */
    (void)length;
    wire_read(app, call, "AuditLedger", read_audit, NULL, 0);
}

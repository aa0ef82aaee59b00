/* node_reports.c: GetModelVersion, GetReceipt, GetEarnings: read from the database on a worker. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/log.h"
#include "controlplane/provenance/provenance.h"
#include "controlplane/provenance/versions.h"
#include "dataplane/fl/receipt.h"
#include "dataplane/fl/screen.h"
#include "dataplane/ots/proof.h"
#include "services_internal.h"

#define EARNINGS_MAX      1000
#define VERSION_BYTES_MAX 64

/* ---------------------------------------------------------------------------- GetModelVersion */

/* As it stands beside the checkpoint now; *data stays NULL where there is none so far. */
static void read_proof(struct owm_services *services, const uint8_t hash[32], uint8_t **data,
                       size_t *bytes)
{
    char path[PATH_MAX];
    struct owm_error error = {""};
    owm_status status = owm_provenance_path(services->config.store, hash, path, sizeof(path));
    if (status == OWM_OK) status = owm_fs_read(path, OWM_OTS_FILE_BYTES_MAX, data, bytes, &error);
    if (status != OWM_OK && status != OWM_E_NOTFOUND)
        owm_log(OWM_LOG_WARN, "proof_unreadable reason=\"%s\"", error.text);
}

static void reply_model(struct owm_services *services, struct owm_rpc_call *call,
                        const struct owm_pg_rows *rows)
{
    PB(ModelVersion) version = OWM__COORDINATOR__V1__MODEL_VERSION__INIT;
    uint8_t hash[32], *proof = NULL;
    size_t proof_bytes = 0;
    owm_pg_get_hash(rows, 0, 2, hash, 32);
    read_proof(services, hash, &proof, &proof_bytes);
    version.version_id = (char *)owm_pg_get_text(rows, 0, 0);
    version.round = (uint32_t)owm_pg_get_i64(rows, 0, 1);
    version.model_hash = (ProtobufCBinaryData){32, hash};
    version.model_bytes = (uint64_t)owm_pg_get_i64(rows, 0, 3);
    version.created_ms = owm_pg_get_i64(rows, 0, 4);
    version.manifest = (char *)owm_pg_get_text(rows, 0, 5);
    version.heldout_bits_per_byte = (float)owm_pg_get_f64(rows, 0, 6);
    version.btc_block = (uint32_t)owm_pg_get_i64(rows, 0, 7);
    version.ots_status = (char *)owm_version_status(version.btc_block, owm_pg_get_i64(rows, 0, 8));
    version.ots_calendars = (uint32_t)owm_pg_get_i64(rows, 0, 9);
    version.ots_proof = (ProtobufCBinaryData){proof_bytes, proof};
    wire_reply(call, &version.base);
    free(proof);
}

static const char select_model[] =
    "SELECT version_id, coalesce(round_number, 0), model_hash, model_bytes,"
    " (extract(epoch FROM created_at) * 1000)::bigint, coalesce(manifest, ''),"
    " coalesce(heldout, 0), coalesce(btc_block, 0),"
    " (extract(epoch FROM ots_stamped_at) * 1000)::bigint, ots_calendars FROM model_versions"
    " WHERE version_id = $1 OR encode(model_hash, 'hex') = lower($1) OR ($1 = '' AND is_current)"
    " ORDER BY round_number DESC NULLS LAST LIMIT 1";

static void read_model(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_text(&args, ask->data);
    if (owm_pg_query(pg, select_model, &args, &rows, NULL) != OWM_OK) {
        wire_away(services, ask->call, "GetModelVersion");
        return;
    }
    if (owm_pg_rows_count(rows) == 0)
        wire_fail(services, ask->call, "GetModelVersion", OWM_RPC_NOT_FOUND, "NO_MODEL",
                  "there is no such checkpoint");
    else
        reply_model(services, ask->call, rows);
    owm_pg_rows_free(rows);
}

void on_get_model(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(GetModelVersionRequest) *request =
        owm__coordinator__v1__get_model_version_request__unpack(NULL, length, bytes);
    if (!request || strlen(request->version_id) > VERSION_BYTES_MAX)
        wire_fail(app, call, "GetModelVersion", OWM_RPC_INVALID_ARGUMENT, "MALFORMED",
                  "the message does not parse");
    else if (wire_peer(app, call, "GetModelVersion", NULL))
        wire_read(app, call, "GetModelVersion", read_model, request->version_id,
                  strlen(request->version_id) + 1);
    if (request) owm__coordinator__v1__get_model_version_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- GetReceipt */

struct receipt_question {
    uint32_t round;
    uint8_t package_hash[32], node_key[32], node_id[16];
};

/* A participant that is missing from a finished round delivered nothing that counts, so whatever
 * package it asks about came too late: after the next round had begun nobody wrote it down, and the
 * node still needs to know that its mass was not counted.
 *
 * Signed on demand from the row: Ed25519 is deterministic, so each time the same receipt. */
static void fill_receipt(struct owm_services *services, const struct receipt_question *question,
                         const struct owm_pg_rows *rows, PB(ReceiptResponse) * response,
                         uint8_t signed_bytes[OWM_RECEIPT_BYTES])
{
    const char *state = owm_pg_get_text(rows, 0, 0), *reason = owm_pg_get_text(rows, 0, 1);
    bool included = strcmp(state, "included") == 0;
    bool late = strcmp(state, "late") == 0 || strcmp(state, "missing") == 0;
    response->reason = (char *)reason;
    response->verdict = (char *)"pending";
    if (!included && !late && strcmp(state, "rejected") != 0) return;
    struct owm_receipt receipt = {.round = question->round};
    memcpy(receipt.node_key, question->node_key, 32);
    memcpy(receipt.package_sha256, question->package_hash, 32);
    memcpy(receipt.coordinator_key, owm_identity_public_key(services->config.identity), 32);
    receipt.verdict = included ? OWM_RECEIPT_INCLUDED
                      : late   ? OWM_RECEIPT_LATE
                               : OWM_RECEIPT_NOT_INCLUDED;
    receipt.weight = included ? (float)owm_pg_get_f64(rows, 0, 2) : 0;
    for (int i = 1; receipt.verdict == OWM_RECEIPT_NOT_INCLUDED && i < OWM_SCREEN_REASONS; i++)
        if (strcmp(owm_screen_reason_name((enum owm_screen_reason)i), reason) == 0)
            receipt.reason = (uint16_t)i;
    if (receipt.verdict == OWM_RECEIPT_NOT_INCLUDED && !receipt.reason)
        receipt.reason = OWM_SCREEN_RULE; /* refused before screening: `reason` says why */
    if (owm_receipt_make(&receipt, services->config.identity, signed_bytes) != OWM_OK) return;
    response->verdict = (char *)(included ? "included" : "not_included");
    response->receipt = (ProtobufCBinaryData){OWM_RECEIPT_BYTES, signed_bytes};
}

static void read_receipt(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    const struct receipt_question *question = ask->data;
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    char hex[65];
    uint8_t signed_bytes[OWM_RECEIPT_BYTES];
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, question->round);
    owm_pg_uuid(&args, question->node_id);
    owm_pg_hex(&args, hex, question->package_hash, 32);
    if (owm_pg_query(pg,
                     "SELECT p.state, p.reason, p.weight FROM fl_participants p"
                     " JOIN fl_rounds r USING (round_id) WHERE r.round_number = $1"
                     " AND p.node_id = $2 AND ((p.gradient_hash = $3 AND (p.state <> 'included'"
                     " OR r.status IN ('complete', 'failed')))"
                     " OR (p.state = 'missing' AND r.status IN ('complete', 'failed')))",
                     &args, &rows, NULL)
        != OWM_OK) {
        wire_away(services, ask->call, "GetReceipt");
        return;
    }
    PB(ReceiptResponse) response = OWM__COORDINATOR__V1__RECEIPT_RESPONSE__INIT;
    response.verdict = (char *)"unknown";
    if (owm_pg_rows_count(rows)) fill_receipt(services, question, rows, &response, signed_bytes);
    wire_reply(ask->call, &response.base);
    owm_pg_rows_free(rows);
}

void on_get_receipt(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(ReceiptRequest) *request =
        owm__coordinator__v1__receipt_request__unpack(NULL, length, bytes);
    if (!request || request->package_hash.len != 32) {
        wire_fail(app, call, "GetReceipt", OWM_RPC_INVALID_ARGUMENT, "MALFORMED",
                  "the message does not parse, or package_hash has not 32 bytes");
    } else {
        struct owm_peer *peer = wire_peer(app, call, "GetReceipt", NULL);
        struct receipt_question question = {.round = request->round};
        memcpy(question.package_hash, request->package_hash.data, 32);
        if (peer) {
            memcpy(question.node_key, peer->public_key, 32);
            memcpy(question.node_id, peer->node_id, 16);
            wire_read(app, call, "GetReceipt", read_receipt, &question, sizeof(question));
        }
    }
    if (request) owm__coordinator__v1__receipt_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- GetEarnings */

struct earnings_question {
    int64_t since_ms;
    uint32_t limit;
    uint8_t node_id[16];
};

/* The bytes that a row of the wire points to. */
struct earning_proof {
    uint8_t hash[32], preimage[32];
};

static void fill_earning(const struct owm_pg_rows *list, size_t i, PB(Earning) * earning,
                         struct earning_proof *proof)
{
    const PB(Earning) empty = OWM__COORDINATOR__V1__EARNING__INIT;
    *earning = empty;
    earning->task_id = (char *)owm_pg_get_text(list, i, 0);
    earning->purpose = (char *)owm_pg_get_text(list, i, 1);
    earning->amount_msat = owm_pg_get_i64(list, i, 2);
    earning->state = (char *)owm_pg_get_text(list, i, 3);
    earning->reason = (char *)owm_pg_get_text(list, i, 4);
    earning->created_ms = owm_pg_get_i64(list, i, 5);
    earning->round = (uint32_t)owm_pg_get_i64(list, i, 6);
    owm_pg_get_hash(list, i, 7, proof->hash, 32);
    earning->payment_hash = (ProtobufCBinaryData){32, proof->hash};
    if (!owm_pg_is_null(list, i, 8)) {
        owm_pg_get_hash(list, i, 8, proof->preimage, 32);
        earning->preimage = (ProtobufCBinaryData){32, proof->preimage};
    }
    earning->updated_ms = owm_pg_get_i64(list, i, 9);
    earning->attempts = (uint32_t)owm_pg_get_i64(list, i, 10);
}

static void reply_earnings(struct owm_rpc_call *call, const struct owm_pg_rows *list,
                           const struct owm_pg_rows *sums)
{
    size_t count = owm_pg_rows_count(list);
    PB(EarningsResponse) response = OWM__COORDINATOR__V1__EARNINGS_RESPONSE__INIT;
    PB(Earning) *earning = calloc(count + 1, sizeof(*earning));
    PB(Earning) **pointer = calloc(count + 1, sizeof(*pointer));
    struct earning_proof *proof = calloc(count + 1, sizeof(*proof));
    if (!earning || !pointer || !proof) {
        owm_rpc_fail(call, OWM_RPC_RESOURCE_EXHAUSTED, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        fill_earning(list, i, &earning[i], &proof[i]);
        pointer[i] = &earning[i];
    }
    response.earnings = pointer;
    response.n_earnings = count;
    response.owed_msat = owm_pg_get_i64(sums, 0, 0);
    response.settled_msat = owm_pg_get_i64(sums, 0, 1);
    response.in_flight_msat = owm_pg_get_i64(sums, 0, 2);
    response.cancelled_msat = owm_pg_get_i64(sums, 0, 3);
    wire_reply(call, &response.base);
out:
    free(proof);
    free(earning);
    free(pointer);
}

/* What failed for good is still owed: a person has to look. */
static const char select_earned_sums[] =
    "SELECT coalesce(sum(amount_msat) FILTER (WHERE state IN ('owed', 'failed')), 0)::bigint,"
    " coalesce(sum(settled_msat), 0)::bigint,"
    " coalesce(sum(amount_msat) FILTER (WHERE state = 'in_flight'), 0)::bigint,"
    " coalesce(sum(amount_msat) FILTER (WHERE state = 'cancelled'), 0)::bigint"
    " FROM payments WHERE node_id = $1";

static const char select_earnings[] =
    "SELECT p.source_id, p.purpose, p.amount_msat, p.state, CASE WHEN p.reason = ''"
    " AND p.state = 'owed' AND p.attempts = 0 THEN $4::text ELSE p.reason END,"
    " " OWM_PG_MS(
        "p.created_at") ", coalesce(p.round_number, 0),"
                        " coalesce(p.settled_hash, a.payment_hash, p.payment_hash), p.preimage,"
                        " " OWM_PG_MS(
                            "p.updated_at") ", p.attempts FROM payments p LEFT JOIN "
                                            "payment_attempts a"
                                            " ON a.payment_id = p.payment_id AND a.state = 'sent'"
                                            " WHERE p.node_id = $1 AND p.updated_at >= "
                                            "to_timestamp($2 / 1000.0)"
                                            " ORDER BY p.updated_at DESC, p.payment_id LIMIT $3";

static void read_earnings(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    const struct earnings_question *question = ask->data;
    struct owm_pg_args args;
    struct owm_pg_rows *list = NULL, *sums = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, question->node_id);
    owm_status status = owm_pg_query(pg, select_earned_sums, &args, &sums, NULL);
    owm_pg_i64(&args, question->since_ms);
    owm_pg_i64(&args, question->limit);
    owm_pg_text(&args, services->config.owed_note);
    if (status == OWM_OK) status = owm_pg_query(pg, select_earnings, &args, &list, NULL);
    if (status == OWM_OK)
        reply_earnings(ask->call, list, sums);
    else
        wire_away(services, ask->call, "GetEarnings");
    owm_pg_rows_free(list);
    owm_pg_rows_free(sums);
}

void on_get_earnings(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(EarningsRequest) *request =
        wire_unpack(app, call, "GetEarnings", &owm__coordinator__v1__earnings_request__descriptor,
                    bytes, length);
    if (!request) return;
    struct owm_peer *peer = wire_peer(app, call, "GetEarnings", NULL);
    struct earnings_question question = {
        request->since_ms > 0 ? request->since_ms : 0, request->limit, {0}};
    if (question.limit == 0 || question.limit > EARNINGS_MAX) question.limit = EARNINGS_MAX;
    if (question.since_ms > INT64_C(253402300799000)) question.since_ms = 0;
    if (peer) {
        memcpy(question.node_id, peer->node_id, 16);
        wire_read(app, call, "GetEarnings", read_earnings, &question, sizeof(question));
    }
    owm__coordinator__v1__earnings_request__free_unpacked(request, NULL);
}

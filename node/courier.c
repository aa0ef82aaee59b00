/* courier.c: results to the coordinator until it answers, and what it says about payments.
 *
 * A result leaves the log only with a definite answer, accepted or refused (promise 7: sending one
 * twice is harmless, its lease token counts once). No answer: it is sent again, for ever.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "node/node.h"
#include "proto/canonical.h"

#define EARNINGS_MAX 1000

/* ------------------------------------------------------------------------------- results */

/** sign_result: the signature over the canonical text (proto/canonical.h). */
static owm_status sign_result(const struct node *node, PB(TaskResult) * result,
                              uint8_t signature[64])
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    owm_status status = owm_canonical_result(text, &bytes, result, node->coordinator_key);
    if (status != OWM_OK) return status;
    owm_identity_sign(node->identity, OWM_DOMAIN_RESULT, text, bytes, signature);
    result->signature = (ProtobufCBinaryData){64, signature};
    return OWM_OK;
}

/** log_result: the packed message and what the log shows of it. */
static owm_status log_result(struct node *node, const PB(TaskResult) * result,
                             const struct node_outcome *outcome)
{
    struct owm_task_row row = {.lease_token = result->lease_token,
                               .finished_ms = owm_clock_wall_ms(),
                               .execution_ms = result->execution_ms,
                               .output_bytes = (int64_t)outcome->output_bytes};
    snprintf(row.task_id, sizeof row.task_id, "%s", result->task_id);
    snprintf(row.reason, sizeof row.reason, "%s", result->error);
    memcpy(row.output_hash, result->output_hash.data, 32);
    size_t bytes = owm__coordinator__v1__task_result__get_packed_size(result);
    uint8_t *packed = malloc(bytes);
    if (packed == NULL) return OWM_E_NOMEM;
    owm__coordinator__v1__task_result__pack(result, packed);
    owm_status status = owm_task_log_finish(node->log, &row, packed, bytes);
    free(packed);
    return status;
}

owm_status node_result(struct node *node, const struct node_task *task,
                       const struct node_outcome *outcome)
{
    bool failed = outcome->failure[0] != '\0';
    struct node_outcome said = *outcome;
    if (failed) said.output_bytes = 0;
    PB(TaskResult) result = OWM__COORDINATOR__V1__TASK_RESULT__INIT;
    struct node_view view;
    node_look(node, &view);
    char id[OWM_TASK_ID_MAX], failure[OWM_TASK_TEXT_MAX];
    snprintf(id, sizeof id, "%s", task->id);
    snprintf(failure, sizeof failure, "%s", outcome->failure);
    uint8_t hash[32], signature[64], *box = NULL;
    owm_sha256(said.output_bytes ? said.output : (const uint8_t *)"", said.output_bytes, hash);
    result.task_id = id;
    result.node_id = view.node_id;
    result.output_hash = (ProtobufCBinaryData){sizeof hash, hash};
    result.execution_ms = outcome->execution_ms;
    result.lease_token = task->lease_token;
    result.error = failure;
    owm_status status = OWM_OK;
    if (!failed) {
        size_t bytes = said.output_bytes + OWM_BOX_EXTRA_BYTES;
        box = malloc(bytes);
        if (box == NULL) return OWM_E_NOMEM;
        status = owm_identity_box(node->identity, node->coordinator_key, said.output,
                                  said.output_bytes, box);
        result.output = (ProtobufCBinaryData){bytes, box};
    }
    if (status == OWM_OK) status = sign_result(node, &result, signature);
    if (status == OWM_OK) status = log_result(node, &result, &said);
    free(box);
    pthread_mutex_lock(&node->lock);
    node->deliver_now = true;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
    return status;
}

/** deliver_one: OWM_OK when answered, whatever the answer. */
static owm_status deliver_one(struct node *node, const struct owm_task_row *row,
                              const uint8_t *packed, size_t bytes)
{
    PB(TaskResultAck) *ack = NULL;
    struct owm_error error;
    owm_status status = link_submit(node->rpc, packed, bytes, &ack, &error);
    if (status != OWM_OK) {
        owm_log(OWM_LOG_WARN, "result_not_delivered task=%s reason=\"%s\"", row->task_id,
                error.text);
        return status;
    }
    char reason[OWM_TASK_TEXT_MAX] = "";
    if (!ack->accepted) snprintf(reason, sizeof reason, "%.40s: %.200s", ack->reason, ack->message);
    owm_counter_add(ack->accepted ? node->count.results_sent : node->count.results_refused, 1);
    status = owm_task_log_acknowledge(node->log, row->task_id, row->lease_token, ack->accepted,
                                      reason, ack->reward_msat);
    if (!ack->accepted)
        node_trouble(node, "the coordinator refused the result of task %.8s: %.300s", row->task_id,
                     reason);
    link_free(ack);
    return status;
}

/** deliver: all that waits, oldest first; one that fails does not hold up the others. */
static void deliver(struct node *node)
{
    int64_t cursor = 0;
    struct owm_task_row row;
    uint8_t *packed = NULL;
    size_t bytes = 0;
    while (!atomic_load(&node->stop)
           && owm_task_log_unsent(node->log, &cursor, &row, &packed, &bytes) == OWM_OK) {
        owm_status status = deliver_one(node, &row, packed, bytes);
        free(packed);
        if (status == OWM_E_NET || status == OWM_E_TIMEOUT) break; /* So would the others. */
    }
}

/* ------------------------------------------------------------------------------ earnings */

static void note_totals(struct node *node)
{
    struct owm_task_totals totals;
    unsigned starts = 0;
    if (owm_task_log_totals(node->log, &totals) != OWM_OK) return;
    for (unsigned i = 0; i < node->slot_count; i++)
        starts += owm_worker_starts(node->slots[i].worker);
    owm_gauge_set(node->count.owed_msat, (double)(totals.owed_msat + totals.in_flight_msat));
    owm_gauge_set(node->count.settled_msat, (double)totals.settled_msat);
    owm_gauge_set(node->count.unsent, (double)totals.unsent);
    owm_gauge_set(node->count.slots_busy, node_slots_busy(node));
    owm_gauge_set(node->count.worker_starts, starts);
}

/** proof: the preimage, if it is the one of that hash. */
static const uint8_t *proof(const PB(Earning) * e)
{
    uint8_t hash[32];
    if (e->preimage.len != 32 || e->payment_hash.len != 32) return NULL;
    owm_sha256(e->preimage.data, 32, hash);
    return memcmp(hash, e->payment_hash.data, 32) == 0 ? e->preimage.data : NULL;
}

/** fetch_earnings: the coordinator's ledger is what counts; ours is a copy with its age. */
static void fetch_earnings(struct node *node)
{
    PB(EarningsRequest) request = OWM__COORDINATOR__V1__EARNINGS_REQUEST__INIT;
    request.limit = EARNINGS_MAX;
    PB(EarningsResponse) *answer = NULL;
    struct owm_error error;
    if (link_earnings(node->rpc, &request, &answer, &error) != OWM_OK) {
        owm_log(OWM_LOG_DEBUG, "earnings_not_fetched reason=\"%s\"", error.text);
        return;
    }
    bool kept = true;
    for (size_t i = 0; i < answer->n_earnings && i < EARNINGS_MAX; i++) {
        const PB(Earning) *e = answer->earnings[i];
        const struct owm_task_earning earning = {
            .task_id = e->task_id,
            .purpose = e->purpose,
            .state = e->state,
            .reason = e->reason,
            .amount_msat = e->amount_msat,
            .created_ms = e->created_ms,
            .updated_ms = e->updated_ms,
            .round = e->round,
            .attempts = e->attempts,
            .payment_hash = e->payment_hash.len == 32 ? e->payment_hash.data : NULL,
            .preimage = proof(e),
        };
        kept = owm_task_log_earning(node->log, &earning) == OWM_OK && kept;
    }
    char now[24];
    snprintf(now, sizeof now, "%lld", (long long)owm_clock_wall_ms());
    if (!kept || owm_task_log_set(node->log, "earnings_ms", now) != OWM_OK)
        node_trouble(node, "earnings could not be written to the task log");
    link_free(answer);
}

void *node_courier_main(void *ctx)
{
    struct node *node = ctx;
    uint64_t next_earnings_ms = 0;
    uint32_t paid_round = 0; /* the newest finished one when earnings were fetched */
    while (!atomic_load(&node->stop)) {
        pthread_mutex_lock(&node->lock);
        if (!node->deliver_now) node_wait(node, node->timing.resend);
        node->deliver_now = false;
        bool ready = node->view.link == NODE_REGISTERED;
        uint32_t round = node->view.round;
        pthread_mutex_unlock(&node->lock);
        if (ready) deliver(node);
        /* A round that has just finished is what people look at the page for. */
        if (ready && (round != paid_round || owm_clock_mono_ms() >= next_earnings_ms)) {
            fetch_earnings(node);
            paid_round = round;
            next_earnings_ms = owm_clock_mono_ms() + node->timing.earnings;
        }
        note_totals(node);
    }
    return NULL;
}

/* task.c: the schema of tasks. */
#include "node/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "node/worker_message.h"

static const char *const type_names[] = {"inference", "fl_round"};

const char *task_type_name(enum task_type type)
{
    return type_names[type];
}

/** in_range: `what` must lie in [min, max]. */
static owm_status in_range(const char *what, double value, double min, double max,
                           struct owm_error *error)
{
    if (value >= min && value <= max) return OWM_OK;
    return owm_fail(error, OWM_E_ARG, "SCHEMA: %s is %g, allowed is %g to %g", what, value, min,
                    max);
}

/** range: one row of a payload's schema. */
struct range {
    const char *what;
    double value, min, max;
};

static owm_status in_ranges(const struct range *rows, size_t count, struct owm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        owm_status status = in_range(rows[i].what, rows[i].value, rows[i].min, rows[i].max, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

static owm_status is_hash(const char *what, const ProtobufCBinaryData *data,
                          struct owm_error *error)
{
    if (data->len == 32) return OWM_OK;
    return owm_fail(error, OWM_E_ARG, "SCHEMA: %s has %zu bytes, a SHA-256 has 32", what,
                    data->len);
}

static owm_status check_inference(const PB(InferencePayload) * p, struct owm_error *error)
{
    const struct range rows[] = {
        {"prompt length", (double)strlen(p->prompt), 1, OWM_PROMPT_BYTES_MAX},
        {"max_tokens", p->max_tokens, 1, OWM_TOKENS_MAX},
        {"temperature", (double)p->temperature, 0, (double)OWM_TEMPERATURE_MAX},
        {"top_k", p->top_k, 0, OWM_TOP_K_MAX},
        {"model_bytes", (double)p->model_bytes, 1, (double)OWM_CHECKPOINT_MAX},
    };
    owm_status status = is_hash("model_hash", &p->model_hash, error);
    return status == OWM_OK ? in_ranges(rows, sizeof rows / sizeof rows[0], error) : status;
}

static owm_status check_fl_round(const PB(FlRoundPayload) * p, struct owm_error *error)
{
    const struct range rows[] = {
        {"round", p->round, 0, OWM_TRAIN_ROUND_MAX},
        {"steps", p->steps, 1, OWM_TRAIN_STEPS_LIMIT},
        {"batch", p->batch, 1, OWM_TRAIN_BATCH_MAX},
        {"seq", p->seq, 1, OWM_TRAIN_SEQ_MAX},
        {"warmup_steps", p->warmup_steps, 0, p->steps},
        {"lr", (double)p->lr, 1e-9, 1},
        {"weight_decay", (double)p->weight_decay, 0, 1},
        {"topk_permille", p->topk_permille, 1, 1000},
        {"nonce length", (double)p->nonce.len, 16, 16},
        {"model_bytes", (double)p->model_bytes, 1, (double)OWM_CHECKPOINT_MAX},
        {"package_bytes_max", (double)p->package_bytes_max, 0, (double)OWM_PACKAGE_BYTES_MAX},
    };
    if (strcmp(p->value_type, "int8") != 0 && strcmp(p->value_type, "bf16") != 0)
        return owm_fail(error, OWM_E_ARG, "SCHEMA: value_type is '%.20s', allowed are int8, bf16",
                        p->value_type);
    owm_status status = is_hash("model_hash", &p->model_hash, error);
    return status == OWM_OK ? in_ranges(rows, sizeof rows / sizeof rows[0], error) : status;
}

/** set_deadline: the earlier of timeout and deadline, on our monotonic clock. */
static owm_status set_deadline(const struct task_reader *reader, const PB(Task) * message,
                               struct node_task *task, struct owm_error *error)
{
    owm_status status =
        in_range("timeout_seconds", message->timeout_seconds, 1, TASK_TIMEOUT_S_MAX, error);
    if (status != OWM_OK) return status;
    int64_t left_ms = (int64_t)message->timeout_seconds * 1000;
    if (message->deadline_ms > 0) {
        int64_t until = message->deadline_ms - (task->received_ms + reader->clock_offset_ms);
        if (until < left_ms) left_ms = until;
    }
    if (left_ms <= 0)
        return owm_fail(error, OWM_E_ARG, "SCHEMA: the deadline passed %lld ms ago",
                        (long long)-left_ms);
    task->deadline_ms = owm_clock_mono_ms() + (uint64_t)left_ms;
    return OWM_OK;
}

/** read_envelope: all but the payload. */
static owm_status read_envelope(const struct task_reader *reader, const PB(Task) * m,
                                struct node_task *task, struct owm_error *error)
{
    bool known = false;
    for (int i = 0; i < (int)(sizeof type_names / sizeof type_names[0]); i++)
        if (strcmp(m->task_type, type_names[i]) == 0) {
            task->type = (enum task_type)i;
            known = true;
        }
    if (!known)
        return owm_fail(error, OWM_E_ARG,
                        "SCHEMA: task_type is '%.24s', known are inference, "
                        "fl_round",
                        m->task_type);
    if (task->type == TASK_FL_ROUND && !reader->can_train)
        return owm_fail(error, OWM_E_ARG, "NO_DATA: this node has no data.shard_paths to train on");
    owm_status status = is_hash("input_hash", &m->input_hash, error);
    if (status != OWM_OK) return status;
    memcpy(task->input_hash, m->input_hash.data, 32);
    const struct range rows[] = {
        {"payload length", (double)m->payload.len, OWM_BOX_EXTRA_BYTES + 1, TASK_PAYLOAD_BYTES_MAX},
        {"reward_sats", (double)m->reward_sats, 0, 2.1e15},
    };
    status = in_ranges(rows, 2, error);
    return status == OWM_OK ? set_deadline(reader, m, task, error) : status;
}

/** open_payload: unbox and check the hash. plain is malloc'ed on OWM_OK. */
static owm_status open_payload(const struct task_reader *reader, const PB(Task) * m,
                               uint8_t **plain, size_t *bytes, struct owm_error *error)
{
    *bytes = m->payload.len - OWM_BOX_EXTRA_BYTES;
    *plain = malloc(*bytes);
    if (*plain == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = OWM_OK;
    uint8_t hash[32];
    if (owm_identity_unbox(reader->identity, reader->coordinator_key, m->payload.data,
                           m->payload.len, *plain)
        != OWM_OK)
        status = owm_fail(error, OWM_E_ARG,
                          "BAD_BOX: the payload is not from the coordinator, or "
                          "not for this node");
    else {
        owm_sha256(*plain, *bytes, hash);
        if (!owm_bytes_equal(hash, m->input_hash.data, 32))
            status = owm_fail(error, OWM_E_ARG, "BAD_HASH: input_hash is not the payload's");
    }
    if (status != OWM_OK) free(*plain);
    return status;
}

static owm_status read_payload(struct node_task *task, const uint8_t *plain, size_t bytes,
                               struct owm_error *error)
{
    const ProtobufCMessageDescriptor *descriptor =
        task->type == TASK_INFERENCE ? &owm__coordinator__v1__inference_payload__descriptor
                                     : &owm__coordinator__v1__fl_round_payload__descriptor;
    task->payload = protobuf_c_message_unpack(descriptor, NULL, bytes, plain);
    if (task->payload == NULL)
        return owm_fail(error, OWM_E_ARG, "SCHEMA: the payload is no %s message",
                        task_type_name(task->type));
    task->input_bytes = bytes;
    owm_status status = task->type == TASK_INFERENCE ? check_inference(task->inference, error)
                                                     : check_fl_round(task->fl_round, error);
    if (status != OWM_OK) node_task_deinit(task);
    return status;
}

owm_status task_read(const struct task_reader *reader, const PB(Task) * m, struct node_task *task,
                     struct owm_error *error)
{
    memset(task, 0, sizeof *task);
    uint8_t uuid[OWM_UUID_BYTES];
    if (owm_uuid_parse(m->task_id, uuid) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "SCHEMA: task_id is no UUID");
    if (m->lease_token == 0)
        return owm_fail(error, OWM_E_PROTO, "SCHEMA: task %s has no lease token", m->task_id);
    snprintf(task->id, sizeof task->id, "%s", m->task_id);
    task->lease_token = m->lease_token;
    task->attempt = m->attempt;
    task->reward_sats = m->reward_sats;
    task->received_ms = owm_clock_wall_ms();
    owm_status status = read_envelope(reader, m, task, error);
    if (status != OWM_OK) return status;
    uint8_t *plain = NULL;
    size_t bytes = 0;
    status = open_payload(reader, m, &plain, &bytes, error);
    if (status != OWM_OK) return status;
    status = read_payload(task, plain, bytes, error);
    free(plain);
    return status;
}

void node_task_deinit(struct node_task *task)
{
    link_free(task->payload);
    task->payload = NULL;
}

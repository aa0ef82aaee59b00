/* test_task.c: SRS-NODE-07, the schema check of tasks; SRS-SEC-02, boxes. */
#include "base/clock.h"
#include "base/sha256.h"
#include "node/manifest.h"
#include "node/node.h"
#include "test.h"

static owm_identity *node_key, *coordinator, *stranger;

#define ID "11111111-2222-4333-8444-555555555555"

struct made {
    PB(Task) task;
    uint8_t hash[32], box[4096];
    char id[64], type[32];
};

/** make: a task message around a packed payload. */
static void make(struct made *m, const char *type, const ProtobufCMessage *payload)
{
    PB(Task) empty = OWM__COORDINATOR__V1__TASK__INIT;
    uint8_t packed[2048];
    size_t n = protobuf_c_message_pack(payload, packed);
    m->task = empty;
    snprintf(m->id, sizeof m->id, ID);
    snprintf(m->type, sizeof m->type, "%s", type);
    owm_sha256(packed, n, m->hash);
    assert_ok(owm_identity_box(coordinator, owm_identity_public_key(node_key), packed, n, m->box));
    m->task.task_id = m->id;
    m->task.task_type = m->type;
    m->task.payload = (ProtobufCBinaryData){n + OWM_BOX_EXTRA_BYTES, m->box};
    m->task.input_hash = (ProtobufCBinaryData){32, m->hash};
    m->task.timeout_seconds = 60;
    m->task.deadline_ms = owm_clock_wall_ms() + 60000;
    m->task.lease_token = 1;
}

static uint8_t model_hash[32];

static PB(InferencePayload) good_inference(void)
{
    PB(InferencePayload) p = OWM__COORDINATOR__V1__INFERENCE_PAYLOAD__INIT;
    static char prompt[] = "hi";
    p.prompt = prompt;
    p.max_tokens = 8;
    p.model_hash = (ProtobufCBinaryData){32, model_hash};
    p.model_bytes = 100;
    return p;
}

static PB(FlRoundPayload) good_round(void)
{
    PB(FlRoundPayload) p = OWM__COORDINATOR__V1__FL_ROUND_PAYLOAD__INIT;
    static char type[] = "int8";
    p.model_hash = (ProtobufCBinaryData){32, model_hash};
    p.model_bytes = 100;
    p.steps = 4;
    p.batch = 2;
    p.seq = 8;
    p.lr = 0.01f;
    p.topk_permille = 100;
    p.value_type = type;
    p.nonce = (ProtobufCBinaryData){16, model_hash};
    return p;
}

static owm_status read_it(const struct made *m, struct node_task *task, struct owm_error *error)
{
    const struct task_reader reader = {node_key, owm_identity_public_key(coordinator), 0, true};
    error->text[0] = '\0';
    return task_read(&reader, &m->task, task, error);
}

/** refused: with this word in the sentence, and the id kept for the report. */
static void refused(const struct made *m, const char *word)
{
    struct node_task task;
    struct owm_error error;
    assert_int_equal(read_it(m, &task, &error), OWM_E_ARG);
    if (strstr(error.text, word) == NULL) fail_msg("'%s' lacks '%s'", error.text, word);
    assert_string_equal(task.id, ID);
    assert_null(task.payload);
}

/* SRS-NODE-07: what is right is taken whole. */
static void test_good(void **state)
{
    (void)state;
    struct made m;
    struct node_task task;
    struct owm_error error;
    PB(InferencePayload) p = good_inference();
    make(&m, "inference", &p.base);
    assert_ok(read_it(&m, &task, &error));
    assert_string_equal(task.inference->prompt, "hi");
    assert_true(task.deadline_ms > owm_clock_mono_ms());
    node_task_deinit(&task);
    PB(FlRoundPayload) r = good_round();
    make(&m, "fl_round", &r.base);
    assert_ok(read_it(&m, &task, &error));
    assert_int_equal(task.fl_round->steps, 4);
    node_task_deinit(&task);
}

/* SRS-NODE-07: type, sizes, ranges and deadline of the envelope. */
static void test_envelope(void **state)
{
    (void)state;
    struct made m;
    struct node_task task;
    struct owm_error error;
    PB(InferencePayload) p = good_inference();
    make(&m, "mine_bitcoin", &p.base);
    refused(&m, "task_type");
    make(&m, "inference", &p.base);
    m.task.timeout_seconds = -1;
    refused(&m, "timeout_seconds");
    make(&m, "inference", &p.base);
    m.task.deadline_ms = owm_clock_wall_ms() - 5000;
    refused(&m, "deadline");
    make(&m, "inference", &p.base);
    m.task.payload.len = 3;
    refused(&m, "payload length");
    make(&m, "inference", &p.base);
    m.task.input_hash.len = 31;
    refused(&m, "input_hash");
    make(&m, "inference", &p.base);
    m.task.reward_sats = -1;
    refused(&m, "reward_sats");
    make(&m, "inference", &p.base);
    m.id[0] = 'x';
    assert_int_equal(read_it(&m, &task, &error), OWM_E_PROTO);
    make(&m, "inference", &p.base);
    m.task.lease_token = 0;
    assert_int_equal(read_it(&m, &task, &error), OWM_E_PROTO);
}

/* SRS-SEC-02: altered, from a stranger, or with another hash: refused. */
static void test_box(void **state)
{
    (void)state;
    struct made m;
    PB(InferencePayload) p = good_inference();
    make(&m, "inference", &p.base);
    m.box[50] ^= 1;
    refused(&m, "BAD_BOX");
    owm_identity *real = coordinator;
    coordinator = stranger;
    make(&m, "inference", &p.base);
    coordinator = real;
    refused(&m, "BAD_BOX");
    make(&m, "inference", &p.base);
    m.hash[5] ^= 1;
    refused(&m, "BAD_HASH");
}

/* SRS-NODE-07: each field of the payloads. */
static void test_payload(void **state)
{
    (void)state;
    struct made m;
#define BAD(good, type, field, value, word)                                                        \
    do {                                                                                           \
        __auto_type p = good();                                                                    \
        p.field = value;                                                                           \
        make(&m, type, &p.base);                                                                   \
        refused(&m, word);                                                                         \
    } while (0)
    static char empty[] = "", float64[] = "float64";
    BAD(good_inference, "inference", prompt, empty, "prompt");
    BAD(good_inference, "inference", max_tokens, 0, "max_tokens");
    BAD(good_inference, "inference", max_tokens, OWM_TOKENS_MAX + 1, "max_tokens");
    BAD(good_inference, "inference", temperature, -1.0f, "temperature");
    BAD(good_inference, "inference", temperature, __builtin_nanf(""), "temperature");
    BAD(good_inference, "inference", model_bytes, 0, "model_bytes");
    BAD(good_inference, "inference", model_hash.len, 20, "model_hash");
    BAD(good_round, "fl_round", steps, 0, "steps");
    BAD(good_round, "fl_round", steps, OWM_TRAIN_STEPS_LIMIT + 1, "steps");
    BAD(good_round, "fl_round", batch, 1u << 20, "batch");
    BAD(good_round, "fl_round", seq, 0, "seq");
    BAD(good_round, "fl_round", lr, __builtin_inff(), "lr");
    BAD(good_round, "fl_round", nonce.len, 15, "nonce");
    BAD(good_round, "fl_round", value_type, float64, "value_type");
    BAD(good_round, "fl_round", topk_permille, 0, "topk_permille");
    BAD(good_round, "fl_round", warmup_steps, 5, "warmup_steps");
    /* The bytes of a round are no inference. */
    PB(FlRoundPayload) r = good_round();
    make(&m, "inference", &r.base);
    struct node_task task;
    struct owm_error error;
    assert_int_equal(read_it(&m, &task, &error), OWM_E_ARG);
}

int main(void)
{
    if (owm_identity_generate(&node_key) || owm_identity_generate(&coordinator)
        || owm_identity_generate(&stranger))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_box),
        cmocka_unit_test(test_payload),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    owm_identity_close(node_key);
    owm_identity_close(coordinator);
    owm_identity_close(stranger);
    return failed;
}

/* evidence.c: bundles by kind; those that need no packages are judged here. */
#include "controlplane/admin/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/identity.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "controlplane/admin/evidence_internal.h"
#include "controlplane/slashing/canonical.h"
#include "proto/canonical.h"

owm_status owm_evidence_fetch(const struct owm_evidence_source *source, const uint8_t hash[32],
                              size_t bytes_max, uint8_t **data, size_t *bytes,
                              struct owm_error *error)
{
    uint8_t found[32];
    *data = NULL;
    owm_status status = source->fetch(source->ctx, hash, bytes_max, data, bytes, error);
    if (status != OWM_OK) return status;
    owm_sha256(*data, *bytes, found);
    if (owm_bytes_equal(found, hash, 32)) return OWM_OK;
    free(*data);
    *data = NULL;
    return owm_fail(error, OWM_E_CRYPTO, "what came has another hash than was asked for");
}

owm_status evidence_hex(const json_t *object, const char *key, void *out, size_t bytes,
                        struct owm_error *error)
{
    const char *text = NULL;
    owm_status status = owm_json_string(object, "", key, &text, error);
    if (status != OWM_OK) return status;
    if (strlen(text) != 2 * bytes || owm_hex_decode(text, out, bytes) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "%s: %zu hex digits were expected", key, 2 * bytes);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- fake_task_proof */

struct fake {
    Owm__Coordinator__V1__TaskResult result;
    uint8_t node_key[32], declared[32], actual[32], signature[64];
};

static owm_status read_fake(const json_t *bundle, struct fake *fake, struct owm_error *error)
{
    const struct owm_json_range any = {0, INT64_MAX};
    const char *task_id = NULL, *node_id = NULL;
    int64_t token = 0, execution_ms = 0;
    owm_status status = evidence_hex(bundle, "node_key", fake->node_key, 32, error);
    if (status == OWM_OK)
        status = evidence_hex(bundle, "signed_output_sha256", fake->declared, 32, error);
    if (status == OWM_OK)
        status = evidence_hex(bundle, "actual_output_sha256", fake->actual, 32, error);
    if (status == OWM_OK) status = evidence_hex(bundle, "signature", fake->signature, 64, error);
    if (status == OWM_OK) status = owm_json_string(bundle, "", "task_id", &task_id, error);
    if (status == OWM_OK) status = owm_json_string(bundle, "", "node_id", &node_id, error);
    if (status == OWM_OK) status = owm_json_int(bundle, "", "lease_token", any, &token, error);
    if (status == OWM_OK)
        status = owm_json_int(bundle, "", "execution_ms", any, &execution_ms, error);
    if (status != OWM_OK) return status;
    const Owm__Coordinator__V1__TaskResult empty = OWM__COORDINATOR__V1__TASK_RESULT__INIT;
    fake->result = empty;
    fake->result.task_id = (char *)task_id;
    fake->result.node_id = (char *)node_id;
    fake->result.output_hash = (ProtobufCBinaryData){32, fake->declared};
    fake->result.lease_token = (uint64_t)token;
    fake->result.execution_ms = execution_ms;
    return OWM_OK;
}

static owm_status judge_fake(const struct owm_evidence_source *source, const json_t *bundle,
                             enum owm_finding *finding, struct owm_error *error)
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    char declared[65], actual[65];
    size_t bytes = 0;
    struct fake fake;
    owm_status status = read_fake(bundle, &fake, error);
    if (status == OWM_OK)
        status = owm_canonical_result(text, &bytes, &fake.result, source->coordinator_key);
    if (status == OWM_E_LIMIT) status = owm_fail(error, OWM_E_PROTO, "a field is too long");
    if (status != OWM_OK) return status;
    owm_hex_encode(fake.declared, 32, declared);
    owm_hex_encode(fake.actual, 32, actual);
    *finding = OWM_EVIDENCE_FAILS;
    if (owm_verify(fake.node_key, OWM_DOMAIN_RESULT, text, bytes, fake.signature) != OWM_OK) {
        (void)fprintf(source->out,
                      "The evidence does not hold: the signature is not the node's over hash %s of "
                      "this task, for this coordinator.\n",
                      declared);
    } else if (memcmp(fake.declared, fake.actual, 32) == 0) {
        (void)fprintf(source->out, "The evidence does not hold: the output has the hash that the "
                                   "node signed.\n");
    } else {
        *finding = OWM_EVIDENCE_HOLDS;
        (void)fprintf(source->out,
                      "The evidence holds: for task %s the node signed the output hash %s, and "
                      "what came has %s. (The signature is proof. That this output came from the "
                      "node is the coordinator's word: outputs are boxed to it alone.)\n",
                      fake.result.task_id, declared, actual);
    }
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- one signal's */

static owm_status open_bundle(const uint8_t *data, size_t bytes, json_t **bundle, const char **kind,
                              struct owm_error *error)
{
    *bundle = NULL;
    owm_status status =
        owm_json_parse((const char *)data, bytes, OWM_EVIDENCE_BYTES_MAX, bundle, error);
    return status == OWM_OK ? owm_json_string(*bundle, "", "kind", kind, error) : status;
}

static owm_status judge_signal(const struct owm_evidence_source *source, const json_t *bundle,
                               const char *kind, enum owm_finding *finding, struct owm_error *error)
{
    if (strcmp(kind, "fake_task_proof") == 0) return judge_fake(source, bundle, finding, error);
    if (strcmp(kind, "poisoned_gradient") == 0) return judge_poison(source, bundle, finding, error);
    return owm_fail(error, OWM_E_PROTO, "evidence of a kind that is not known here: %.40s", kind);
}

/* ---------------------------------------------------------------------------- slash_case */

static void print_acks(const struct owm_evidence_source *source, const struct owm_case *c)
{
    for (uint32_t i = 0; i < c->act_count; i++) {
        char key[65];
        owm_hex_encode(c->acts[i].maintainer_key, 32, key);
        bool good = owm_act_verify(c, source->coordinator_key, &c->acts[i]) == OWM_OK;
        (void)fprintf(source->out, "  acknowledged by %s: %s\n", key,
                      good ? "signature valid" : "SIGNATURE INVALID");
    }
}

static owm_status judge_one(const struct owm_evidence_source *source,
                            const struct owm_case_signal *signal, enum owm_finding *finding,
                            struct owm_error *error)
{
    char hash[65];
    uint8_t *data = NULL;
    size_t bytes = 0;
    json_t *bundle = NULL;
    const char *kind = NULL;
    *finding = OWM_EVIDENCE_UNDECIDED;
    owm_hex_encode(signal->evidence_hash, 32, hash);
    (void)fprintf(source->out, "  %s, round %u, evidence %s\n    ",
                  owm_signal_type_name(signal->type), signal->round, hash);
    owm_status status = owm_evidence_fetch(source, signal->evidence_hash, OWM_EVIDENCE_BYTES_MAX,
                                           &data, &bytes, error);
    if (status == OWM_E_NOTFOUND) {
        (void)fprintf(source->out, "Undecided: it is not to be had.\n");
        return OWM_OK;
    }
    if (status == OWM_OK) status = open_bundle(data, bytes, &bundle, &kind, error);
    if (status == OWM_OK) status = judge_signal(source, bundle, kind, finding, error);
    json_decref(bundle);
    free(data);
    return status;
}

static owm_status judge_signals(const struct owm_evidence_source *source, const struct owm_case *c,
                                enum owm_finding *finding, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (uint32_t i = 0; status == OWM_OK && i < c->signal_count; i++) {
        enum owm_finding one = OWM_EVIDENCE_UNDECIDED;
        status = judge_one(source, &c->signals[i], &one, error);
        if (one == OWM_EVIDENCE_FAILS || *finding == OWM_EVIDENCE_HOLDS) *finding = one;
    }
    return status;
}

static owm_status read_decision(const struct owm_evidence_source *source, const json_t *bundle,
                                struct owm_case *c, struct owm_error *error)
{
    const char *hex = NULL;
    uint8_t signature[64];
    owm_status status = owm_json_string(bundle, "", "decision", &hex, error);
    if (status == OWM_OK) status = evidence_hex(bundle, "signature", signature, 64, error);
    if (status != OWM_OK) return status;
    size_t bytes = strlen(hex) / 2;
    if (bytes == 0 || bytes > OWM_DECISION_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "decision: not as long as one is");
    uint8_t *data = malloc(bytes);
    if (!data) return OWM_E_NOMEM;
    status = owm_hex_decode(hex, data, bytes) == OWM_OK
                 ? OWM_OK
                 : owm_fail(error, OWM_E_PROTO, "decision: hex digits were expected");
    if (status == OWM_OK)
        status = owm_decision_open(data, bytes, signature, source->coordinator_key, c, error);
    free(data);
    return status;
}

static owm_status judge_case(const struct owm_evidence_source *source, const json_t *bundle,
                             enum owm_finding *finding, struct owm_error *error)
{
    char id[37], node[65];
    struct owm_case *c = calloc(1, sizeof(*c));
    if (!c) return OWM_E_NOMEM;
    owm_status status = read_decision(source, bundle, c, error);
    if (status == OWM_E_CRYPTO) {
        *finding = OWM_EVIDENCE_FAILS;
        (void)fprintf(source->out, "The evidence does not hold: %s.\n", error ? error->text : "");
        free(c);
        return OWM_OK;
    }
    if (status == OWM_OK) {
        owm_uuid_format(c->case_id, id);
        owm_hex_encode(c->public_key, 32, node);
        (void)fprintf(source->out, "Case %s against node key %s (%s), signed by the coordinator:\n",
                      id, node, owm_tier_name(c->tier));
        print_acks(source, c);
        *finding = c->signal_count ? OWM_EVIDENCE_HOLDS : OWM_EVIDENCE_FAILS;
        status = judge_signals(source, c, finding, error);
    }
    if (status == OWM_OK)
        (void)fprintf(source->out, "%s\n",
                      *finding == OWM_EVIDENCE_HOLDS   ? "The evidence of the whole case holds."
                      : *finding == OWM_EVIDENCE_FAILS ? "The evidence of the case does not hold."
                                                       : "Undecided: not all could be replayed.");
    free(c);
    return status;
}

/* ---------------------------------------------------------------------------- any */

owm_status owm_evidence_verify(const struct owm_evidence_source *source, const uint8_t *data,
                               size_t bytes, enum owm_finding *finding, struct owm_error *error)
{
    json_t *bundle = NULL;
    const char *kind = NULL;
    *finding = OWM_EVIDENCE_UNDECIDED;
    owm_status status = open_bundle(data, bytes, &bundle, &kind, error);
    if (status == OWM_OK && strcmp(kind, "slash_case") == 0)
        status = judge_case(source, bundle, finding, error);
    else if (status == OWM_OK)
        status = judge_signal(source, bundle, kind, finding, error);
    json_decref(bundle);
    return status;
}

/* case_message.c: see case_message.h. */
#include "controlplane/admin/case_message.h"

#include <string.h>

#include "base/uuid.h"
#include "controlplane/slashing/canonical.h"

static bool take_bytes(const ProtobufCBinaryData *data, void *out, size_t bytes, bool optional)
{
    memset(out, 0, bytes);
    if (optional && data->len == 0) return true;
    if (data->len != bytes) return false;
    memcpy(out, data->data, bytes);
    return true;
}

static bool take_signals(const Owm__Internal__V1__Case *message, struct owm_case *c)
{
    if (message->n_signals > OWM_CASE_SIGNALS_MAX) return false;
    c->signal_count = (uint32_t)message->n_signals;
    for (uint32_t i = 0; i < c->signal_count; i++) {
        const Owm__Internal__V1__CaseSignal *from = message->signals[i];
        struct owm_case_signal *to = &c->signals[i];
        if (owm_signal_type_parse(from->signal_type, &to->type) != OWM_OK
            || !take_bytes(&from->evidence_hash, to->evidence_hash, 32, false)
            || !take_bytes(&from->task_id, to->task_id, 16, true))
            return false;
        to->round = from->round;
        to->detected_ms = from->detected_ms;
    }
    return true;
}

static bool take_acts(const Owm__Internal__V1__Case *message, struct owm_case *c)
{
    if (message->n_acts > OWM_CASE_ACTS_MAX) return false;
    c->act_count = (uint32_t)message->n_acts;
    for (uint32_t i = 0; i < c->act_count; i++) {
        const Owm__Internal__V1__CaseAct *from = message->acts[i];
        struct owm_case_act *to = &c->acts[i];
        if (owm_act_parse(from->act, &to->act) != OWM_OK
            || strlen(from->reason) >= OWM_CASE_REASON_BYTES
            || !take_bytes(&from->maintainer_key, to->maintainer_key, 32, false)
            || !take_bytes(&from->signature, to->signature, 64, false))
            return false;
        memcpy(to->reason, from->reason, strlen(from->reason) + 1);
        to->at_ms = from->at_ms;
    }
    return true;
}

static bool take_fields(const Owm__Internal__V1__Case *message, struct owm_case *c)
{
    if (owm_uuid_parse(message->case_id, c->case_id) != OWM_OK
        || owm_uuid_parse(message->node_id, c->node_id) != OWM_OK
        || owm_tier_parse(message->tier, &c->tier) != OWM_OK
        || owm_case_state_parse(message->state, &c->state) != OWM_OK
        || strlen(message->reason) >= OWM_REASON_BYTES
        || !take_bytes(&message->public_key, c->public_key, 32, false)
        || !take_bytes(&message->ln_key, c->ln_key, 33, true))
        return false;
    memcpy(c->reason, message->reason, strlen(message->reason) + 1);
    c->opened_ms = message->opened_ms;
    c->decided_ms = message->decided_ms;
    c->appeal_until_ms = message->appeal_until_ms;
    return take_signals(message, c) && take_acts(message, c);
}

/* The decision that is shown must be about the case that is shown. */
static owm_status check_decision(const Owm__Internal__V1__Case *message,
                                 const uint8_t coordinator_key[32], struct owm_case *c,
                                 struct owm_error *error)
{
    static struct owm_case decided; /* large; one thread */
    uint8_t shown[32], signed_one[32];
    if (message->decision_signature.len != 64)
        return owm_fail(error, OWM_E_PROTO, "the case is decided, and no decision came with it");
    owm_status status =
        owm_decision_open(message->decision.data, message->decision.len,
                          message->decision_signature.data, coordinator_key, &decided, error);
    if (status != OWM_OK) return status;
    owm_case_digest(c, coordinator_key, shown);
    owm_case_digest(&decided, coordinator_key, signed_one);
    if (memcmp(shown, signed_one, 32) != 0)
        return owm_fail(error, OWM_E_PROTO, "the decision is about another case than is shown");
    memcpy(c->decision_hash, decided.decision_hash, 32);
    return OWM_OK;
}

owm_status owm_case_from_message(const Owm__Internal__V1__Case *message,
                                 const uint8_t coordinator_key[32], struct owm_case *c,
                                 struct owm_error *error)
{
    uint8_t digest[32];
    owm_status status = OWM_OK;
    memset(c, 0, sizeof(*c));
    if (!take_fields(message, c))
        return owm_fail(error, OWM_E_PROTO, "the coordinator's case is malformed");
    if (c->decided_ms) status = check_decision(message, coordinator_key, c, error);
    if (status != OWM_OK) return status;
    owm_case_subject(c, coordinator_key, c->decided_ms ? OWM_ACT_OVERTURN : OWM_ACT_ACKNOWLEDGE,
                     digest);
    if (message->digest.len != 32 || memcmp(message->digest.data, digest, 32) != 0)
        return owm_fail(error, OWM_E_PROTO,
                        "the coordinator asks for a signature over something else than the case "
                        "that it shows: nothing was signed");
    return OWM_OK;
}

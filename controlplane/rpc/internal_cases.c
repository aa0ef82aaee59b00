/* internal_cases.c: ListCases and DecideCase: what maintainers see of slashing cases, and their
 * signed words (SRS-SEC-14). Who says something need not be who connects: the signature counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "controlplane/slashing/canonical.h"
#include "controlplane/slashing/rows.h"
#include "services_internal.h"

#define LISTED_MAX 64 /* in one answer, so that it stays below a message's limit */

static bool is_maintainer(const struct owm_services *services, const uint8_t key[32])
{
    const struct owm_case_policy *policy = services->config.cases;
    for (size_t i = 0; policy && i < policy->maintainer_count; i++)
        if (memcmp(policy->maintainers[i], key, 32) == 0) return true;
    return false;
}

/* A maintainer may look at cases and evidence, and speak, without being an operator. */
void on_case_start(void *app, struct owm_rpc_call *call)
{
    struct owm_services *services = app;
    uint8_t key[32];
    owm_rpc_peer_key(call, key);
    if (!services->config.cases)
        wire_fail(services, call, "Internal", OWM_RPC_UNIMPLEMENTED, "NO_CASES",
                  "this coordinator keeps no slashing cases");
    else if (!is_maintainer(services, key))
        on_internal_start(app, call);
}

/* ---------------------------------------------------------------------------- ListCases */

/** listing: one reply; everything that its messages point to. */
struct listing {
    size_t count;
    struct shown {
        PBI(Case) message;
        PBI(CaseSignal) signals[OWM_CASE_SIGNALS_MAX];
        PBI(CaseSignal) * signal_list[OWM_CASE_SIGNALS_MAX];
        PBI(CaseAct) acts[OWM_CASE_ACTS_MAX];
        PBI(CaseAct) * act_list[OWM_CASE_ACTS_MAX];
        struct owm_case c;
        char case_id[37], node_id[37], channel[OWM_SLASH_CHANNEL_BYTES];
        uint8_t digest[32], bundle[32], signature[64], *decision;
        size_t decision_bytes;
    } * shown;
    PBI(Case) * list[LISTED_MAX];
};

static ProtobufCBinaryData data_of(const void *bytes, size_t count)
{
    return (ProtobufCBinaryData){count, (uint8_t *)bytes};
}

static void show_signals(struct shown *shown)
{
    static const uint8_t none[16];
    const PBI(CaseSignal) empty = OWM__INTERNAL__V1__CASE_SIGNAL__INIT;
    for (uint32_t i = 0; i < shown->c.signal_count; i++) {
        const struct owm_case_signal *signal = &shown->c.signals[i];
        PBI(CaseSignal) *message = shown->signal_list[i] = &shown->signals[i];
        *message = empty;
        message->signal_type = (char *)owm_signal_type_name(signal->type);
        message->evidence_hash = data_of(signal->evidence_hash, 32);
        message->round = signal->round;
        message->detected_ms = signal->detected_ms;
        if (memcmp(signal->task_id, none, 16) != 0) message->task_id = data_of(signal->task_id, 16);
    }
    shown->message.n_signals = shown->c.signal_count;
    shown->message.signals = shown->signal_list;
}

static void show_acts(struct shown *shown)
{
    const PBI(CaseAct) empty = OWM__INTERNAL__V1__CASE_ACT__INIT;
    for (uint32_t i = 0; i < shown->c.act_count; i++) {
        const struct owm_case_act *act = &shown->c.acts[i];
        PBI(CaseAct) *message = shown->act_list[i] = &shown->acts[i];
        *message = empty;
        message->maintainer_key = data_of(act->maintainer_key, 32);
        message->act = (char *)owm_act_name(act->act);
        message->signature = data_of(act->signature, 64);
        message->at_ms = act->at_ms;
        message->reason = (char *)act->reason;
    }
    shown->message.n_acts = shown->c.act_count;
    shown->message.acts = shown->act_list;
}

static void show(const struct owm_case_policy *policy, struct shown *shown)
{
    static const uint8_t none[33];
    const PBI(Case) empty = OWM__INTERNAL__V1__CASE__INIT;
    struct owm_case *c = &shown->c;
    bool decided = c->decided_ms != 0;
    PBI(Case) *message = &shown->message;
    *message = empty;
    owm_uuid_format(c->case_id, shown->case_id);
    owm_uuid_format(c->node_id, shown->node_id);
    owm_case_subject(c, policy->coordinator_key, decided ? OWM_ACT_OVERTURN : OWM_ACT_ACKNOWLEDGE,
                     shown->digest);
    message->case_id = shown->case_id;
    message->node_id = shown->node_id;
    message->public_key = data_of(c->public_key, 32);
    message->tier = (char *)owm_tier_name(c->tier);
    message->state = (char *)owm_case_state_name(c->state);
    if (!decided) owm_case_reason(c, c->reason);
    message->reason = c->reason;
    message->channel_point = shown->channel;
    message->acknowledgements_needed = c->tier == OWM_TIER_T1 ? 0 : policy->acks_needed;
    message->opened_ms = c->opened_ms;
    message->decided_ms = c->decided_ms;
    message->appeal_until_ms = c->appeal_until_ms;
    message->digest = data_of(shown->digest, 32);
    if (memcmp(c->ln_key, none, 33) != 0) message->ln_key = data_of(c->ln_key, 33);
    show_signals(shown);
    show_acts(shown);
    if (!shown->decision) return;
    message->decision = data_of(shown->decision, shown->decision_bytes);
    message->decision_signature = data_of(shown->signature, 64);
    message->evidence_hash = data_of(shown->bundle, 32);
}

static owm_status read_decision(struct owm_pg *pg, struct shown *shown)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, shown->c.case_id);
    owm_status status = owm_pg_query(pg,
                                     "SELECT decision, decision_sig, bundle_hash FROM slash_cases"
                                     " WHERE case_id = $1",
                                     &args, &rows, NULL);
    if (status == OWM_OK && owm_pg_rows_count(rows)) {
        status = owm_pg_get_bytes(rows, 0, 0, &shown->decision, &shown->decision_bytes);
        owm_pg_get_hash(rows, 0, 1, shown->signature, 64);
        owm_pg_get_hash(rows, 0, 2, shown->bundle, 32);
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status read_listing(struct owm_pg *pg, const uint8_t wanted[16], struct listing *listing)
{
    static const uint8_t all[16];
    uint8_t ids[OWM_CASES_LISTED_MAX][16];
    bool one = memcmp(wanted, all, 16) != 0;
    size_t count = 1;
    owm_status status = OWM_OK;
    if (one)
        memcpy(ids[0], wanted, 16);
    else
        status = owm_cases_list(pg, OWM_CASES_NOT_ENDED, ids, &count, NULL);
    if (count > LISTED_MAX) count = LISTED_MAX;
    listing->shown = calloc(count + 1, sizeof(*listing->shown));
    if (!listing->shown) return OWM_E_NOMEM;
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        struct shown *shown = &listing->shown[listing->count];
        status = owm_case_load(pg, ids[i], false, &shown->c, NULL);
        if (status == OWM_E_NOTFOUND) {
            status = OWM_OK;
            continue;
        }
        if (status == OWM_OK) status = owm_case_channel(pg, shown->c.node_id, shown->channel, NULL);
        if (status == OWM_OK && one) status = read_decision(pg, shown);
        if (status == OWM_OK) listing->count++;
    }
    return status;
}

static void read_cases(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    struct listing *listing = calloc(1, sizeof(*listing));
    PBI(ListCasesResponse) response = OWM__INTERNAL__V1__LIST_CASES_RESPONSE__INIT;
    owm_status status =
        listing ? owm_pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL)
                : OWM_E_NOMEM;
    if (status == OWM_OK) status = read_listing(pg, ask->data, listing);
    owm_pg_rollback(pg);
    if (status == OWM_OK) {
        for (size_t i = 0; i < listing->count; i++) {
            show(services->config.cases, &listing->shown[i]);
            listing->list[i] = &listing->shown[i].message;
        }
        response.cases = listing->list;
        response.n_cases = listing->count;
        wire_reply(ask->call, &response.base);
    } else if (status == OWM_E_NOMEM) {
        wire_busy(services, ask->call, "ListCases");
    } else {
        wire_away(services, ask->call, "ListCases");
    }
    for (size_t i = 0; listing && i < listing->count; i++) free(listing->shown[i].decision);
    if (listing) free(listing->shown);
    free(listing);
}

void on_cases(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    uint8_t wanted[16] = {0};
    PBI(ListCasesRequest) *request = wire_unpack(
        app, call, "ListCases", &owm__internal__v1__list_cases_request__descriptor, bytes, length);
    if (!request) return;
    if (request->case_id[0] && owm_uuid_parse(request->case_id, wanted) != OWM_OK)
        wire_fail(app, call, "ListCases", OWM_RPC_INVALID_ARGUMENT, "MALFORMED",
                  "case_id is not a UUID");
    else
        wire_read(app, call, "ListCases", read_cases, wanted, sizeof(wanted));
    owm__internal__v1__list_cases_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- DecideCase */

struct saying {
    uint8_t case_id[16];
    struct owm_case_act act;
};

static void reply_decided(struct owm_services *services, struct owm_rpc_call *call,
                          enum owm_act_code code, const char *state)
{
    PBI(DecideCaseResponse) response = OWM__INTERNAL__V1__DECIDE_CASE_RESPONSE__INIT;
    if (code != OWM_ACT_CODE_TAKEN)
        wire_refuse(services, "DecideCase", owm_act_code_name(code), call);
    response.state = (char *)state;
    response.error = (char *)owm_act_code_name(code);
    response.message = (char *)owm_act_code_text(code);
    wire_reply(call, &response.base);
}

static void say(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    const struct saying *saying = ask->data;
    enum owm_act_code code = OWM_ACT_CODE_TAKEN;
    const char *state = "";
    struct owm_error error = {""};
    owm_status status = owm_case_say(pg, services->config.cases, saying->case_id, &saying->act,
                                     owm_clock_wall_ms(), &code, &state, &error);
    if (status != OWM_OK) {
        owm_log(OWM_LOG_WARN, "act_not_written reason=\"%s\"", error.text);
        wire_away(services, ask->call, "DecideCase");
        return;
    }
    reply_decided(services, ask->call, code, state);
    if (code == OWM_ACT_CODE_TAKEN) services->config.case_said(services->config.case_ctx);
}

static enum owm_act_code read_saying(const PBI(DecideCaseRequest) * request, struct saying *saying)
{
    const PBI(CaseAct) *act = request->act;
    if (owm_uuid_parse(request->case_id, saying->case_id) != OWM_OK)
        return OWM_ACT_CODE_UNKNOWN_CASE;
    if (!act || owm_act_parse(act->act, &saying->act.act) != OWM_OK
        || strlen(act->reason) >= OWM_CASE_REASON_BYTES)
        return OWM_ACT_CODE_UNKNOWN_ACT;
    if (act->maintainer_key.len != 32) return OWM_ACT_CODE_NOT_A_MAINTAINER;
    if (act->signature.len != 64) return OWM_ACT_CODE_BAD_SIGNATURE;
    memcpy(saying->act.maintainer_key, act->maintainer_key.data, 32);
    memcpy(saying->act.signature, act->signature.data, 64);
    memcpy(saying->act.reason, act->reason, strlen(act->reason) + 1);
    saying->act.at_ms = act->at_ms;
    return OWM_ACT_CODE_TAKEN;
}

void on_decide(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct saying saying;
    memset(&saying, 0, sizeof(saying));
    PBI(DecideCaseRequest) *request =
        wire_unpack(app, call, "DecideCase", &owm__internal__v1__decide_case_request__descriptor,
                    bytes, length);
    if (!request) return;
    enum owm_act_code code = read_saying(request, &saying);
    if (code == OWM_ACT_CODE_TAKEN)
        wire_read(app, call, "DecideCase", say, &saying, sizeof(saying));
    else
        reply_decided(app, call, code, "");
    owm__internal__v1__decide_case_request__free_unpacked(request, NULL);
}

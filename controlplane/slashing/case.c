/* case.c: see case.h. */
#include "controlplane/slashing/case.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "controlplane/slashing/canonical.h"

static const char *const state_names[] = {
#define X(name, text) [OWM_CASE_##name] = (text),
    OWM_CASE_STATE_MAP(X)
#undef X
};
static const char *const act_names[] = {
#define X(name, text) [OWM_ACT_##name] = (text),
    OWM_ACT_MAP(X)
#undef X
};
static const struct {
    const char *name, *text;
} codes[] = {
#define X(name, text, sentence) [OWM_ACT_CODE_##name] = {text, sentence},
    OWM_ACT_CODE_MAP(X)
#undef X
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *owm_case_state_name(enum owm_case_state state)
{
    return (unsigned)state < COUNT(state_names) ? state_names[state] : "unknown";
}

const char *owm_act_name(enum owm_act act)
{
    return (unsigned)act < COUNT(act_names) ? act_names[act] : "unknown";
}

const char *owm_act_code_name(enum owm_act_code code)
{
    return (unsigned)code < COUNT(codes) ? codes[code].name : "UNKNOWN";
}

const char *owm_act_code_text(enum owm_act_code code)
{
    return (unsigned)code < COUNT(codes) ? codes[code].text : "unknown";
}

owm_status owm_case_state_parse(const char *text, enum owm_case_state *state)
{
    for (size_t i = 0; i < COUNT(state_names); i++) {
        if (strcmp(text, state_names[i]) != 0) continue;
        *state = (enum owm_case_state)i;
        return OWM_OK;
    }
    return OWM_E_PROTO;
}

owm_status owm_act_parse(const char *text, enum owm_act *act)
{
    for (size_t i = 0; i < COUNT(act_names); i++) {
        if (strcmp(text, act_names[i]) != 0) continue;
        *act = (enum owm_act)i;
        return OWM_OK;
    }
    return OWM_E_PROTO;
}

/* ---------------------------------------------------------------------------- policy */

owm_status owm_maintainers_parse(const char *text, uint8_t keys[OWM_MAINTAINERS_MAX][32],
                                 size_t *count, struct owm_error *error)
{
    *count = 0;
    while (*text) {
        size_t length = strcspn(text, ", ");
        char hex[65];
        if (length) {
            snprintf(hex, sizeof(hex), "%.*s", (int)(length < 64 ? length : 64), text);
            if (*count == OWM_MAINTAINERS_MAX)
                return owm_fail(error, OWM_E_CONFIG, "slashing.maintainers: at most %d keys",
                                OWM_MAINTAINERS_MAX);
            if (length != 64 || owm_hex_decode(hex, keys[*count], 32) != OWM_OK)
                return owm_fail(error, OWM_E_CONFIG,
                                "slashing.maintainers: '%.*s' is no key of 64 hex digits; "
                                "'owm-admin key --key FILE' prints one",
                                (int)(length < 80 ? length : 80), text);
            (*count)++;
        }
        text += length;
        text += strspn(text, ", ");
    }
    return OWM_OK;
}

owm_status owm_case_policy_check(const struct owm_case_policy *policy, struct owm_error *error)
{
    for (size_t i = 0; i < policy->maintainer_count; i++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(policy->maintainers[i], policy->maintainers[j], 32) == 0)
                return owm_fail(error, OWM_E_CONFIG,
                                "slashing.maintainers: a key stands there twice; one person is "
                                "one key");
    if (policy->acks_needed < OWM_CASE_ACKS_MIN)
        return owm_fail(error, OWM_E_CONFIG, "slashing.acks_needed: at least %d (SRS-SEC-14)",
                        OWM_CASE_ACKS_MIN);
    if (policy->maintainer_count && policy->maintainer_count < policy->acks_needed)
        return owm_fail(error, OWM_E_CONFIG,
                        "slashing.acks_needed is %u, but slashing.maintainers has %zu keys",
                        policy->acks_needed, policy->maintainer_count);
    return OWM_OK;
}

static bool is_maintainer(const struct owm_case_policy *policy, const uint8_t key[32])
{
    for (size_t i = 0; i < policy->maintainer_count; i++)
        if (memcmp(policy->maintainers[i], key, 32) == 0) return true;
    return false;
}

/* ---------------------------------------------------------------------------- counting */

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return false;
    return true;
}

uint32_t owm_case_distinct_signals(const struct owm_case *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->signal_count; i++) {
        bool seen = is_zero(c->signals[i].evidence_hash, 32);
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = memcmp(c->signals[i].evidence_hash, c->signals[j].evidence_hash, 32) == 0;
        count += !seen;
    }
    return count;
}

uint32_t owm_case_votes(const struct owm_case *c, const struct owm_case_policy *policy,
                        enum owm_act act)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->act_count; i++) {
        const struct owm_case_act *said = &c->acts[i];
        bool counts = said->act == act && is_maintainer(policy, said->maintainer_key);
        for (uint32_t j = 0; j < i && counts; j++)
            counts = c->acts[j].act != act
                     || memcmp(c->acts[j].maintainer_key, said->maintainer_key, 32) != 0;
        if (counts && owm_act_verify(c, policy->coordinator_key, said) == OWM_OK) count++;
    }
    return count;
}

bool owm_case_proven(const struct owm_case *c, const struct owm_case_policy *policy)
{
    if (owm_case_distinct_signals(c) == 0) return false;
    if (c->tier == OWM_TIER_T1) return owm_case_distinct_signals(c) >= policy->signals_needed;
    return owm_case_votes(c, policy, OWM_ACT_ACKNOWLEDGE) >= policy->acks_needed;
}

/* ---------------------------------------------------------------------------- acts */

static enum owm_act_code fits_state(const struct owm_case *c, enum owm_act act)
{
    bool decided = c->state == OWM_CASE_DECIDED || c->state == OWM_CASE_EVICTING
                   || c->state == OWM_CASE_CLOSED;
    if (act == OWM_ACT_OVERTURN) return decided ? OWM_ACT_CODE_TAKEN : OWM_ACT_CODE_WRONG_STATE;
    if (c->state != OWM_CASE_OPEN) return OWM_ACT_CODE_WRONG_STATE;
    if (act == OWM_ACT_ACKNOWLEDGE && c->tier == OWM_TIER_T1) return OWM_ACT_CODE_AUTOMATIC;
    return OWM_ACT_CODE_TAKEN;
}

static bool has_said(const struct owm_case *c, const struct owm_case_act *act)
{
    for (uint32_t i = 0; i < c->act_count; i++)
        if (c->acts[i].act == act->act
            && memcmp(c->acts[i].maintainer_key, act->maintainer_key, 32) == 0)
            return true;
    return false;
}

enum owm_act_code owm_case_judge_act(const struct owm_case *c, const struct owm_case_policy *policy,
                                     const struct owm_case_act *act, int64_t now_ms)
{
    if (!is_maintainer(policy, act->maintainer_key)) return OWM_ACT_CODE_NOT_A_MAINTAINER;
    if (owm_act_verify(c, policy->coordinator_key, act) != OWM_OK)
        return OWM_ACT_CODE_BAD_SIGNATURE;
    if (has_said(c, act)) return OWM_ACT_CODE_REPEATED;
    if (act->at_ms > now_ms + OWM_CASE_FUTURE_MS || act->at_ms < c->opened_ms - OWM_CASE_FUTURE_MS)
        return OWM_ACT_CODE_BAD_TIME;
    return fits_state(c, act->act);
}

/* ---------------------------------------------------------------------------- next */

static enum owm_case_step next_of_decided(const struct owm_case *c, int64_t now_ms, bool in_grace,
                                          bool evicted)
{
    if (c->state == OWM_CASE_DECIDED)
        return now_ms >= c->appeal_until_ms && !in_grace ? OWM_CASE_STEP_EVICT : OWM_CASE_STEP_NONE;
    if (c->state == OWM_CASE_EVICTING && (evicted || is_zero(c->ln_key, 33)))
        return OWM_CASE_STEP_CLOSE;
    return OWM_CASE_STEP_NONE;
}

enum owm_case_step owm_case_next(const struct owm_case *c, const struct owm_case_policy *policy,
                                 int64_t now_ms, bool in_grace, bool evicted)
{
    switch (c->state) {
    case OWM_CASE_OPEN:
        if (owm_case_votes(c, policy, OWM_ACT_DISMISS) >= policy->acks_needed)
            return OWM_CASE_STEP_DISMISS;
        return !in_grace && owm_case_proven(c, policy) ? OWM_CASE_STEP_DECIDE : OWM_CASE_STEP_NONE;
    case OWM_CASE_DECIDED:
    case OWM_CASE_EVICTING:
    case OWM_CASE_CLOSED:
        if (owm_case_votes(c, policy, OWM_ACT_OVERTURN) >= policy->acks_needed)
            return OWM_CASE_STEP_OVERTURN;
        return next_of_decided(c, now_ms, in_grace, evicted);
    case OWM_CASE_OVERTURNED:
    case OWM_CASE_DISMISSED:
        break;
    }
    return OWM_CASE_STEP_NONE;
}

void owm_case_reason(const struct owm_case *c, char reason[OWM_REASON_BYTES])
{
    uint32_t of[2] = {0, 0};
    for (uint32_t i = 0; i < c->signal_count; i++) of[c->signals[i].type & 1]++;
    const char *poisoned = owm_signal_type_name(OWM_SIGNAL_POISONED_GRADIENT);
    const char *faked = owm_signal_type_name(OWM_SIGNAL_FAKE_TASK_PROOF);
    if (of[OWM_SIGNAL_POISONED_GRADIENT] && of[OWM_SIGNAL_FAKE_TASK_PROOF])
        snprintf(reason, OWM_REASON_BYTES, "%u x %s, %u x %s", of[OWM_SIGNAL_POISONED_GRADIENT],
                 poisoned, of[OWM_SIGNAL_FAKE_TASK_PROOF], faked);
    else
        snprintf(reason, OWM_REASON_BYTES, "%u x %s", c->signal_count,
                 of[OWM_SIGNAL_FAKE_TASK_PROOF] ? faked : poisoned);
}

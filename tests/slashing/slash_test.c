/* slash_test.c: see slash_test.h. */
#include "slash_test.h"

#include <string.h>

#include "base/sha256.h"
#include "test.h"

owm_identity *coordinator, *maintainer[MAINTAINERS], *stranger;
uint8_t maintainer_keys[OWM_MAINTAINERS_MAX][32];

static owm_identity *identity_of(uint8_t byte)
{
    owm_identity *identity = NULL;
    uint8_t seed[32];
    memset(seed, byte, sizeof(seed));
    assert_ok(owm_identity_from_seed(seed, &identity));
    return identity;
}

void cast_open(void)
{
    coordinator = identity_of(1);
    stranger = identity_of(2);
    for (int i = 0; i < MAINTAINERS; i++) {
        maintainer[i] = identity_of((uint8_t)(10 + i));
        memcpy(maintainer_keys[i], owm_identity_public_key(maintainer[i]), 32);
    }
}

void cast_close(void)
{
    owm_identity_close(coordinator);
    owm_identity_close(stranger);
    for (int i = 0; i < MAINTAINERS; i++) owm_identity_close(maintainer[i]);
}

struct owm_case_policy test_policy(void)
{
    struct owm_case_policy policy = {.maintainers = (const uint8_t(*)[32])maintainer_keys,
                                     .maintainer_count = MAINTAINERS,
                                     .acks_needed = 2,
                                     .signals_needed = 3,
                                     .appeal_ms = 86400000,
                                     .cooldown_ms = INT64_C(30) * 86400000};
    memcpy(policy.coordinator_key, owm_identity_public_key(coordinator), 32);
    return policy;
}

void make_case(struct owm_case *c, enum owm_tier tier, uint32_t signals)
{
    memset(c, 0, sizeof(*c));
    memset(c->case_id, 0xc1, 16);
    memset(c->node_id, 0xa1, 16);
    memset(c->public_key, 0xb1, 32);
    c->ln_key[0] = 2;
    memset(c->ln_key + 1, 0xd1, 32);
    c->tier = tier;
    c->opened_ms = 1000000;
    c->signal_count = signals;
    for (uint32_t i = 0; i < signals; i++) {
        c->signals[i].type = OWM_SIGNAL_POISONED_GRADIENT;
        memset(c->signals[i].evidence_hash, (int)(i + 1), 32);
        c->signals[i].round = i + 1;
        memset(c->signals[i].task_id, (int)(i + 1), 16);
        c->signals[i].detected_ms = 900000 + i;
    }
}

struct owm_case_act *sign_act(struct owm_case *c, const owm_identity *who, enum owm_act act,
                              int64_t at_ms)
{
    struct owm_case_act *made = &c->acts[c->act_count++];
    memset(made, 0, sizeof(*made));
    made->act = act;
    made->at_ms = at_ms;
    snprintf(made->reason, sizeof(made->reason), "seen it");
    owm_act_sign(c, owm_identity_public_key(coordinator), who, made);
    return made;
}

void make_decision(struct owm_case *c, int64_t now_ms, int64_t appeal_ms, uint8_t *bytes,
                   size_t *count, uint8_t signature[64])
{
    c->decided_ms = now_ms;
    c->appeal_until_ms = now_ms + appeal_ms;
    c->cooldown_until_ms = now_ms + test_policy().cooldown_ms;
    owm_case_reason(c, c->reason);
    assert_ok(owm_decision_encode(c, owm_identity_public_key(coordinator), bytes, count));
    owm_sha256(bytes, *count, c->decision_hash);
    owm_identity_sign(coordinator, OWM_DOMAIN_SLASH_DECISION, bytes, *count, signature);
    c->state = OWM_CASE_DECIDED;
}

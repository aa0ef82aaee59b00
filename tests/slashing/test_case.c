/* test_case.c: cases without a database: who may say what, when a case is decided, what is signed,
 * and the chain of the public log. */
#include "slash_test.h"
#include "test.h"

#include "base/bytes.h"
#include "base/sha256.h"
#include "controlplane/slashing/log.h"

#define NOW 2000000

static struct owm_case c, back;
static uint8_t bytes[OWM_DECISION_BYTES_MAX], signature[64];
static size_t count;

/* SRS-STAKE-04: three independent signals decide a T1 case; the same evidence twice is one. */
static void test_t1_by_signals(void **state)
{
    (void)state;
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T1, 2);
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_NONE);
    make_case(&c, OWM_TIER_T1, 3);
    memcpy(c.signals[2].evidence_hash, c.signals[1].evidence_hash, 32);
    assert_int_equal(owm_case_distinct_signals(&c), 2);
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_NONE);
    make_case(&c, OWM_TIER_T1, 3);
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_DECIDE);
    memset(c.signals[0].evidence_hash, 0, 32); /* no evidence, no signal */
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_NONE);
}

/* Promise 6: in the grace window nothing is decided and nobody evicted. */
static void test_grace(void **state)
{
    (void)state;
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T1, 3);
    assert_int_equal(owm_case_next(&c, &policy, NOW, true, false), OWM_CASE_STEP_NONE);
    make_decision(&c, NOW, 0, bytes, &count, signature);
    assert_int_equal(owm_case_next(&c, &policy, NOW, true, false), OWM_CASE_STEP_NONE);
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_EVICT);
}

/* SRS-SEC-14, TST-20: a T2 case waits for two maintainers, whatever the number of signals. One
 * person's two signatures, a stranger's, and a spoilt one do not count. */
static void test_t2_by_maintainers(void **state)
{
    (void)state;
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T2, 7);
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_NONE);
    sign_act(&c, maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW);
    sign_act(&c, maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW + 1);
    sign_act(&c, stranger, OWM_ACT_ACKNOWLEDGE, NOW);
    sign_act(&c, maintainer[1], OWM_ACT_DISMISS, NOW);
    assert_int_equal(owm_case_votes(&c, &policy, OWM_ACT_ACKNOWLEDGE), 1);
    struct owm_case_act *spoilt = sign_act(&c, maintainer[1], OWM_ACT_ACKNOWLEDGE, NOW);
    spoilt->signature[9] ^= 1;
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_NONE);
    spoilt->signature[9] ^= 1;
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_DECIDE);
    /* A maintainer who is taken off the list does not count any more. */
    policy.maintainer_count = 1;
    assert_int_equal(owm_case_votes(&c, &policy, OWM_ACT_ACKNOWLEDGE), 1);
}

/* An acknowledgement is for the case as it was: with other signals, keys or times it is void. */
static void test_signed_facts(void **state)
{
    (void)state;
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T3, 2);
    sign_act(&c, maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW);
    sign_act(&c, maintainer[1], OWM_ACT_ACKNOWLEDGE, NOW);
    const struct owm_case whole = c;
    assert_true(owm_case_proven(&c, &policy));
    for (int i = 0; i < 8; i++) {
        c = whole;
        switch (i) {
        case 0:
            c.case_id[0] ^= 1;
            break;
        case 1:
            c.public_key[5] ^= 1;
            break;
        case 2:
            c.ln_key[7] ^= 1;
            break;
        case 3:
            c.tier = OWM_TIER_T2;
            break;
        case 4:
            c.signals[1].evidence_hash[0] ^= 1;
            break;
        case 5:
            c.signal_count = 1;
            break;
        case 6:
            c.signals[0].round++;
            break;
        case 7:
            c.acts[1].at_ms++;
            break;
        }
        assert_false(owm_case_proven(&c, &policy));
    }
    c = whole;
    policy.coordinator_key[0] ^= 1; /* and for another network */
    assert_false(owm_case_proven(&c, &policy));
}

static enum owm_act_code judge(const owm_identity *who, enum owm_act act, int64_t at_ms)
{
    struct owm_case_policy policy = test_policy();
    struct owm_case_act made = *sign_act(&c, who, act, at_ms);
    c.act_count--;
    return owm_case_judge_act(&c, &policy, &made, NOW);
}

/* Each wrong act has its own code. */
static void test_act_codes(void **state)
{
    (void)state;
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T2, 1);
    assert_int_equal(judge(maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW), OWM_ACT_CODE_TAKEN);
    assert_int_equal(judge(maintainer[0], OWM_ACT_DISMISS, NOW), OWM_ACT_CODE_TAKEN);
    assert_int_equal(judge(stranger, OWM_ACT_ACKNOWLEDGE, NOW), OWM_ACT_CODE_NOT_A_MAINTAINER);
    assert_int_equal(judge(maintainer[0], OWM_ACT_OVERTURN, NOW), OWM_ACT_CODE_WRONG_STATE);
    assert_int_equal(judge(maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW + 2 * OWM_CASE_FUTURE_MS),
                     OWM_ACT_CODE_BAD_TIME);
    assert_int_equal(judge(maintainer[0], OWM_ACT_ACKNOWLEDGE, 0), OWM_ACT_CODE_BAD_TIME);
    struct owm_case_act act = *sign_act(&c, maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW);
    assert_int_equal(owm_case_judge_act(&c, &policy, &act, NOW), OWM_ACT_CODE_REPEATED);
    act.reason[0] ^= 1;
    assert_int_equal(owm_case_judge_act(&c, &policy, &act, NOW), OWM_ACT_CODE_BAD_SIGNATURE);
    make_case(&c, OWM_TIER_T1, 3);
    assert_int_equal(judge(maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW), OWM_ACT_CODE_AUTOMATIC);
    make_decision(&c, NOW, 0, bytes, &count, signature);
    assert_int_equal(judge(maintainer[0], OWM_ACT_OVERTURN, NOW), OWM_ACT_CODE_TAKEN);
    assert_int_equal(judge(maintainer[0], OWM_ACT_DISMISS, NOW), OWM_ACT_CODE_WRONG_STATE);
}

/* Appeal, eviction, the end; and two maintainers take it back at any time after the decision. */
static void test_after_the_decision(void **state)
{
    (void)state;
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T1, 3);
    make_decision(&c, NOW, 5000, bytes, &count, signature);
    assert_int_equal(owm_case_next(&c, &policy, NOW + 4999, false, false), OWM_CASE_STEP_NONE);
    assert_int_equal(owm_case_next(&c, &policy, NOW + 5000, false, false), OWM_CASE_STEP_EVICT);
    c.state = OWM_CASE_EVICTING;
    assert_int_equal(owm_case_next(&c, &policy, NOW + 5000, false, false), OWM_CASE_STEP_NONE);
    assert_int_equal(owm_case_next(&c, &policy, NOW + 5000, false, true), OWM_CASE_STEP_CLOSE);
    memset(c.ln_key, 0, 33); /* nothing to evict */
    assert_int_equal(owm_case_next(&c, &policy, NOW + 5000, false, false), OWM_CASE_STEP_CLOSE);
    const enum owm_case_state after[] = {OWM_CASE_DECIDED, OWM_CASE_EVICTING, OWM_CASE_CLOSED};
    sign_act(&c, maintainer[2], OWM_ACT_OVERTURN, NOW);
    assert_int_equal(owm_case_next(&c, &policy, NOW, true, false), OWM_CASE_STEP_CLOSE);
    sign_act(&c, maintainer[1], OWM_ACT_OVERTURN, NOW);
    for (int i = 0; i < 3; i++) {
        c.state = after[i];
        assert_int_equal(owm_case_next(&c, &policy, NOW, true, false), OWM_CASE_STEP_OVERTURN);
    }
    make_case(&c, OWM_TIER_T1, 3);
    sign_act(&c, maintainer[2], OWM_ACT_DISMISS, NOW);
    sign_act(&c, maintainer[1], OWM_ACT_DISMISS, NOW);
    assert_int_equal(owm_case_next(&c, &policy, NOW, false, false), OWM_CASE_STEP_DISMISS);
}

/* A decision comes back as it was; every changed byte and every cut is refused. */
static void test_decision_bytes(void **state)
{
    (void)state;
    struct owm_error error;
    const uint8_t *key = owm_identity_public_key(coordinator);
    struct owm_case_policy policy = test_policy();
    make_case(&c, OWM_TIER_T2, OWM_CASE_SIGNALS_MAX);
    sign_act(&c, maintainer[0], OWM_ACT_ACKNOWLEDGE, NOW);
    sign_act(&c, maintainer[1], OWM_ACT_ACKNOWLEDGE, NOW);
    sign_act(&c, maintainer[2], OWM_ACT_DISMISS, NOW);
    make_decision(&c, NOW, 5000, bytes, &count, signature);
    assert_ok(owm_decision_open(bytes, count, signature, key, &back, &error));
    assert_memory_equal(back.decision_hash, c.decision_hash, 32);
    assert_memory_equal(back.signals, c.signals, sizeof(c.signals));
    assert_memory_equal(back.ln_key, c.ln_key, 33);
    assert_string_equal(back.reason, c.reason);
    assert_int_equal(back.act_count, 2);
    assert_true(owm_case_proven(&back, &policy));
    assert_true(back.appeal_until_ms == NOW + 5000);
    for (size_t i = 0; i < count; i += 7) {
        bytes[i] ^= 0x20;
        assert_int_not_equal(owm_decision_open(bytes, count, signature, key, &back, &error),
                             OWM_OK);
        bytes[i] ^= 0x20;
    }
    for (size_t i = 0; i < count; i += 5)
        assert_int_equal(owm_decision_decode(bytes, i, key, &back, &error), OWM_E_PROTO);
    signature[0] ^= 1;
    assert_int_equal(owm_decision_open(bytes, count, signature, key, &back, &error), OWM_E_CRYPTO);
}

static void test_policy_check(void **state)
{
    (void)state;
    struct owm_error error = {""};
    struct owm_case_policy policy = test_policy();
    uint8_t keys[OWM_MAINTAINERS_MAX][32];
    size_t found = 0;
    char text[200], hex[65];
    assert_ok(owm_case_policy_check(&policy, &error));
    policy.acks_needed = 1;
    assert_int_equal(owm_case_policy_check(&policy, &error), OWM_E_CONFIG);
    policy.acks_needed = 4;
    assert_int_equal(owm_case_policy_check(&policy, &error), OWM_E_CONFIG);
    policy.maintainer_count = 0; /* nobody yet: T2 and T3 cases stay open */
    assert_ok(owm_case_policy_check(&policy, &error));
    owm_hex_encode(maintainer_keys[0], 32, hex);
    snprintf(text, sizeof(text), "%s, %s", hex, hex);
    assert_ok(owm_maintainers_parse(text, keys, &found, &error));
    assert_int_equal(found, 2);
    policy = test_policy();
    policy.maintainers = (const uint8_t(*)[32])keys;
    policy.maintainer_count = 2;
    assert_int_equal(owm_case_policy_check(&policy, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "twice"));
    assert_int_equal(owm_maintainers_parse("abc", keys, &found, &error), OWM_E_CONFIG);
}

/* ---------------------------------------------------------------------------- the log */

#define ENTRIES 40

static struct owm_slash_entry entry[ENTRIES], read_back[OWM_SLASH_PAGE_MAX];

static void make_chain(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        struct owm_slash_entry *e = &entry[i];
        memset(e, 0, sizeof(*e));
        e->sequence = (uint64_t)i + 1;
        e->kind = (enum owm_slash_kind)(i % 3);
        memset(e->case_id, i, 16);
        owm_slash_pseudonym(maintainer_keys[i % MAINTAINERS], e->node);
        snprintf(e->channel_id, sizeof(e->channel_id), "%064x:%d", i, i);
        e->tier = (enum owm_tier)(OWM_TIER_T1 + i % 3);
        snprintf(e->reason, sizeof(e->reason), "%d x poisoned_gradient \"quoted\"", i);
        memset(e->evidence_hash, i + 1, 32);
        e->signal_count = (uint32_t)i;
        e->at_ms = INT64_C(1700000000123) + i;
        e->cooldown_until_ms = e->at_ms + 5;
        if (i) memcpy(e->previous_hash, entry[i - 1].hash, 32);
        owm_slash_log_seal(e, coordinator);
    }
}

static owm_status check_chain(size_t entries, struct owm_error *error)
{
    uint8_t hash[32] = {0};
    uint64_t sequence = 0;
    owm_status status = OWM_OK;
    for (size_t i = 0; i < entries && status == OWM_OK; i++) {
        status = owm_slash_log_check(&entry[i], sequence, hash,
                                     owm_identity_public_key(coordinator), error);
        sequence = entry[i].sequence;
        memcpy(hash, entry[i].hash, 32);
    }
    return status;
}

/* SRS-LN-13, SRS-STAKE-06: no field of any entry can be changed, none left out, added or moved. */
static void test_log_chain(void **state)
{
    (void)state;
    struct owm_error error = {""};
    make_chain();
    assert_ok(check_chain(ENTRIES, &error));
    for (int i = 0; i < ENTRIES; i++) {
        const struct owm_slash_entry whole = entry[i];
        for (int field = 0; field < 12; field++) {
            switch (field) {
            case 0:
                entry[i].kind = (enum owm_slash_kind)((i + 1) % 3);
                break;
            case 1:
                entry[i].case_id[3] ^= 1;
                break;
            case 2:
                entry[i].node[3] ^= 1;
                break;
            case 3:
                entry[i].channel_id[3] ^= 1;
                break;
            case 4:
                entry[i].tier = (enum owm_tier)(OWM_TIER_T1 + (i + 1) % 3);
                break;
            case 5:
                entry[i].reason[0] ^= 1;
                break;
            case 6:
                entry[i].evidence_hash[0] ^= 1;
                break;
            case 7:
                entry[i].signal_count++;
                break;
            case 8:
                entry[i].at_ms++;
                break;
            case 9:
                entry[i].cooldown_until_ms++;
                break;
            case 10:
                entry[i].detail[0] = 'x';
                break;
            case 11:
                entry[i].signature[0] ^= 1;
                break;
            }
            assert_int_equal(check_chain(ENTRIES, &error), OWM_E_CRYPTO);
            entry[i] = whole;
        }
        entry[i].previous_hash[0] ^= 1;
        assert_int_equal(check_chain(ENTRIES, &error), OWM_E_STATE);
        entry[i] = whole;
        owm_slash_log_seal(&entry[i], stranger); /* resealed by another */
        assert_int_equal(check_chain(ENTRIES, &error), OWM_E_CRYPTO);
        entry[i] = whole;
    }
    const struct owm_slash_entry moved = entry[5];
    entry[5] = entry[6];
    assert_int_equal(check_chain(ENTRIES, &error), OWM_E_STATE);
    entry[5] = moved;
}

static void test_log_page(void **state)
{
    (void)state;
    struct owm_error error = {""};
    size_t found = 0;
    bool more = false;
    make_chain();
    json_t *page = owm_slash_page_json(entry, ENTRIES, owm_identity_public_key(coordinator), true);
    char *text = json_dumps(page, JSON_COMPACT);
    assert_ok(owm_slash_page_read(text, strlen(text), read_back, &found, &more, &error));
    assert_int_equal(found, ENTRIES);
    assert_true(more);
    for (int i = 0; i < ENTRIES; i++) assert_memory_equal(read_back[i].hash, entry[i].hash, 32);
    memcpy(entry, read_back, sizeof(entry));
    assert_ok(check_chain(ENTRIES, &error));
    text[10] = '?';
    assert_int_equal(owm_slash_page_read(text, strlen(text), read_back, &found, &more, &error),
                     OWM_E_PROTO);
    free(text);
    json_decref(page);
}

static int setup(void **state)
{
    (void)state;
    cast_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cast_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t1_by_signals),     cmocka_unit_test(test_grace),
        cmocka_unit_test(test_t2_by_maintainers), cmocka_unit_test(test_signed_facts),
        cmocka_unit_test(test_act_codes),         cmocka_unit_test(test_after_the_decision),
        cmocka_unit_test(test_decision_bytes),    cmocka_unit_test(test_policy_check),
        cmocka_unit_test(test_log_chain),         cmocka_unit_test(test_log_page),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

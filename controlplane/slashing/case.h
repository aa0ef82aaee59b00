/* case.h: a slashing case: what it holds, what maintainers may say, and what has to happen next.
 *
 *   open --decide--> decided --appeal window over--> evicting --all channels closed--> closed
 *     |                 |                               |                               |
 *     +--> dismissed    +-------------- overturned <----+-------------------------------+
 *
 * A T1 case is decided by signals alone (SRS-STAKE-04); a T2 or T3 case by the signatures of at
 * least two maintainers (SRS-SEC-14, TST-20). Eviction, the force-close of the node's channels,
 * takes nothing from it (docs/slashing.md), comes last, and is done by owm-slasher, which judges
 * the signed decision with the same functions and its own list of maintainers.
 *
 * Sans-IO: reads no clock, no database. Every function is pure. Thread: any.
 */
#ifndef OWM_SLASHING_CASE_H
#define OWM_SLASHING_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/engine/effect.h"

#define OWM_CASE_SIGNALS_MAX  64 /* in one case; more stay out of it */
#define OWM_MAINTAINERS_MAX   32
#define OWM_CASE_ACTS_MAX     (3 * OWM_MAINTAINERS_MAX) /* one of each kind of each maintainer */
#define OWM_CASE_REASON_BYTES 160                       /* a maintainer's words, with terminator */
#define OWM_CASE_ACKS_MIN     2                         /* SRS-SEC-14 */
#define OWM_CASE_FUTURE_MS    300000 /* how far ahead of our clock an act may be dated */

#define OWM_CASE_STATE_MAP(X)                                                                      \
    X(OPEN, "open")                                                                                \
    X(DECIDED, "decided")                                                                          \
    X(EVICTING, "evicting")                                                                        \
    X(CLOSED, "closed")                                                                            \
    X(OVERTURNED, "overturned")                                                                    \
    X(DISMISSED, "dismissed")

#define OWM_ACT_MAP(X)                                                                             \
    X(ACKNOWLEDGE, "acknowledge")                                                                  \
    X(OVERTURN, "overturn")                                                                        \
    X(DISMISS, "dismiss")

/** Why an act was not taken: the wire shows the name, people read the sentence. */
#define OWM_ACT_CODE_MAP(X)                                                                        \
    X(TAKEN, "", "")                                                                               \
    X(UNKNOWN_CASE, "UNKNOWN_CASE", "there is no case with this id")                               \
    X(UNKNOWN_ACT, "UNKNOWN_ACT", "an act is acknowledge, overturn or dismiss")                    \
    X(NOT_A_MAINTAINER, "NOT_A_MAINTAINER",                                                        \
      "this key is not in slashing.maintainers of the coordinator")                                \
    X(BAD_SIGNATURE, "BAD_SIGNATURE",                                                              \
      "the signature is not that of this key over this act; if the case has changed since it was " \
      "looked at, look again and sign again")                                                      \
    X(OTHER_CASE, "OTHER_CASE", "this signature is a good one, but for another case")              \
    X(REPEATED, "REPEATED", "this maintainer has said so already, and counts once")                \
    X(WRONG_STATE, "WRONG_STATE",                                                                  \
      "open cases are acknowledged or dismissed, decided ones overturned")                         \
    X(AUTOMATIC, "AUTOMATIC",                                                                      \
      "a T1 case is decided by its signals, not by acknowledgements; it can be dismissed or "      \
      "overturned")                                                                                \
    X(BAD_TIME, "BAD_TIME",                                                                        \
      "the act is dated before the case or in the future: check the clock and sign again")

enum owm_case_state {
#define X(name, text) OWM_CASE_##name,
    OWM_CASE_STATE_MAP(X)
#undef X
};
enum owm_act {
#define X(name, text) OWM_ACT_##name,
    OWM_ACT_MAP(X)
#undef X
};
enum owm_act_code {
#define X(name, text, sentence) OWM_ACT_CODE_##name,
    OWM_ACT_CODE_MAP(X)
#undef X
};

const char *owm_case_state_name(enum owm_case_state state);
const char *owm_act_name(enum owm_act act);
const char *owm_act_code_name(enum owm_act_code code);
const char *owm_act_code_text(enum owm_act_code code);

/** owm_case_state_parse, owm_act_parse: OWM_OK; OWM_E_PROTO no such name. */
OWM_MUST_USE owm_status owm_case_state_parse(const char *text, enum owm_case_state *state);
OWM_MUST_USE owm_status owm_act_parse(const char *text, enum owm_act *act);

/** owm_case_signal: as in enum owm_signal_row, without what the case says itself. */
struct owm_case_signal {
    enum owm_signal_type type;
    uint8_t evidence_hash[32];
    uint32_t round;
    uint8_t task_id[16];
    int64_t detected_ms;
};

struct owm_case_act {
    uint8_t maintainer_key[32];
    enum owm_act act;
    int64_t at_ms;
    char reason[OWM_CASE_REASON_BYTES];
    uint8_t signature[64]; /* owm_act_sign */
};

/** owm_case: what the rows say. Signals in the order of their evidence hash, acts by key. */
struct owm_case {
    uint8_t case_id[16], node_id[16], public_key[32];
    uint8_t ln_key[33]; /* zero: the node has none, so there is nothing to evict */
    enum owm_tier tier;
    enum owm_case_state state;
    int64_t opened_ms;
    uint32_t signal_count, act_count;
    struct owm_case_signal signals[OWM_CASE_SIGNALS_MAX];
    struct owm_case_act acts[OWM_CASE_ACTS_MAX];
    /* decided */
    int64_t decided_ms, appeal_until_ms, cooldown_until_ms;
    char reason[OWM_REASON_BYTES];
    uint8_t decision_hash[32]; /* of the signed bytes; zero while open */
};

/** owm_case_policy: who may say what, and how many it takes. Keys are borrowed. */
struct owm_case_policy {
    uint8_t coordinator_key[32];
    const uint8_t (*maintainers)[32];
    size_t maintainer_count;
    uint32_t acks_needed;    /* T2, T3, and every dismissal and overturning; at least 2 */
    uint32_t signals_needed; /* T1: 3 */
    int64_t appeal_ms;
    int64_t cooldown_ms;
};

/** owm_case_policy_check: Returns: OWM_OK; OWM_E_CONFIG a key twice (one person is one key), fewer
 *  than two acknowledgements, or more than there are maintainers (with none at all: T2 and T3 cases
 *  stay open). */
OWM_MUST_USE owm_status owm_case_policy_check(const struct owm_case_policy *policy,
                                              struct owm_error *error);

/** owm_maintainers_parse: comma-separated 64-digit hex keys. keys [OWM_MAINTAINERS_MAX] written.
 *  Returns: OWM_OK; OWM_E_CONFIG naming the entry. */
OWM_MUST_USE owm_status owm_maintainers_parse(const char *text,
                                              uint8_t keys[OWM_MAINTAINERS_MAX][32], size_t *count,
                                              struct owm_error *error);

/** owm_case_votes: how many different maintainers of the policy have signed this act validly. */
uint32_t owm_case_votes(const struct owm_case *c, const struct owm_case_policy *policy,
                        enum owm_act act);

/** owm_case_distinct_signals: by evidence: the same bundle twice is one signal (SRS-STAKE-04). */
uint32_t owm_case_distinct_signals(const struct owm_case *c);

/** owm_case_proven: whether signals and acknowledgements suffice for a decision. */
bool owm_case_proven(const struct owm_case *c, const struct owm_case_policy *policy);

/** owm_case_judge_act: whether this act may be added to the case. OTHER_CASE is the caller's to
 *  find out. */
enum owm_act_code owm_case_judge_act(const struct owm_case *c, const struct owm_case_policy *policy,
                                     const struct owm_case_act *act, int64_t now_ms);

enum owm_case_step {
    OWM_CASE_STEP_NONE,
    OWM_CASE_STEP_DECIDE,
    OWM_CASE_STEP_DISMISS,
    OWM_CASE_STEP_EVICT, /* the appeal window is over */
    OWM_CASE_STEP_CLOSE,
    OWM_CASE_STEP_OVERTURN,
};

/** owm_case_next: what has to happen now. In the grace window nothing that punishes (promise 6).
 *  evicted: owm-slasher has confirmed that no stake channel of the node is left. */
enum owm_case_step owm_case_next(const struct owm_case *c, const struct owm_case_policy *policy,
                                 int64_t now_ms, bool in_grace, bool evicted);

/** owm_case_reason: the sentence of a decision, from its signals. reason [OWM_REASON_BYTES]. */
void owm_case_reason(const struct owm_case *c, char reason[OWM_REASON_BYTES]);

#endif

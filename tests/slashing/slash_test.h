/* slash_test.h: a case, its maintainers and its coordinator, for the tests of this folder. */
#ifndef OWM_TESTS_SLASH_TEST_H
#define OWM_TESTS_SLASH_TEST_H

#include "base/identity.h"
#include "controlplane/slashing/canonical.h"

#define MAINTAINERS 3

extern owm_identity *coordinator, *maintainer[MAINTAINERS], *stranger;
extern uint8_t maintainer_keys[OWM_MAINTAINERS_MAX][32];

/** cast_open: coordinator, three maintainers and somebody who is none, always the same. */
void cast_open(void);
void cast_close(void);

/** test_policy: two of the three maintainers, three signals, a day for appeals. */
struct owm_case_policy test_policy(void);

/** make_case: open, with this tier and so many different signals. */
void make_case(struct owm_case *c, enum owm_tier tier, uint32_t signals);

/** sign_act: made and signed by `who`, added to the case. The act, for a test that spoils it. */
struct owm_case_act *sign_act(struct owm_case *c, const owm_identity *who, enum owm_act act,
                              int64_t at_ms);

/** make_decision: decide the case at this time and sign. bytes [OWM_DECISION_BYTES_MAX]. */
void make_decision(struct owm_case *c, int64_t now_ms, int64_t appeal_ms, uint8_t *bytes,
                   size_t *count, uint8_t signature[64]);

#endif

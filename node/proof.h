/* proof.h: whether a model version may be used, judged by its OpenTimestamps proof (SRS-NODE-10,
 * SRS-OTS-05, design promise 3). Without IO of its own: block headers come from the caller.
 *
 *   model.proofs   training                             serving
 *   policy         promises of enough calendars, or     a block that this node's own headers
 *                  a block                              confirm, six deep
 *   pending        promises of enough calendars, or a block
 *   none           nothing asked for
 *
 * Whatever is asked for: a proof that is there and wrong is refused. A promise is the word of
 * whoever wrote the proof that a calendar gave it; only a block proves anything.
 */
#ifndef OWM_NODE_PROOF_H
#define OWM_NODE_PROOF_H

#include <stdbool.h>

#include "dataplane/ots/calendar.h"
#include "dataplane/ots/headers.h"
#include "node/config.h"

/** Why a model version is refused; the names are those of metrics and results. */
#define REFUSAL_MAP(X)                                                                             \
    X(NO_MANIFEST)        /* the coordinator has none for this checkpoint */                       \
    X(BAD_MANIFEST)       /* malformed */                                                          \
    X(NOT_SIGNED)         /* not by the coordinator */                                             \
    X(NOT_NAMED)          /* it names another checkpoint, or another size */                       \
    X(NO_PROOF)           /* none came with it */                                                  \
    X(BAD_PROOF)          /* malformed */                                                          \
    X(WRONG_HASH)         /* the proof of something else */                                        \
    X(TOO_FEW_PROMISES)   /* of calendars */                                                       \
    X(UNLISTED_CALENDARS) /* enough promises, but of calendars that are not on the list */         \
    X(NOT_CONFIRMED)      /* not in a block, or not deep enough */                                 \
    X(NO_HEADERS)         /* it names a block, and this node has no headers to check it with */    \
    X(WRONG_BLOCK)        /* the block that it names does not hold it */                           \
    X(DOWNGRADE)          /* older than what was used */                                           \
    X(FORK)               /* another version of a round that was used */                           \
    X(TAMPERED_FILE)      /* the bytes are not those of the checkpoint */

enum refusal_code {
    REFUSAL_NONE,
#define X(name) REFUSAL_##name,
    REFUSAL_MAP(X)
#undef X
        REFUSAL_CODES,
};

/** refusal: the answer "no", with the sentence; code REFUSAL_NONE: it is not refused. */
struct refusal {
    enum refusal_code code;
    struct owm_error why;
};

const char *refusal_name(enum refusal_code code); /**< "WRONG_HASH"; static. */

/** refusal_set: fill it. */
void refusal_set(struct refusal *refusal, enum refusal_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum model_use { MODEL_TRAINING, MODEL_SERVING };
#define MODEL_USES 2

const char *model_use_name(enum model_use use); /**< "training", "serving"; static. */

enum proof_demand { PROOF_OPTIONAL, PROOF_PROMISED, PROOF_CONFIRMED };

/** proof_calendars: those whose promises count: the reference client's, and the operator's own.
 *  Caller-owned, not to be copied. */
struct proof_calendars {
    char *text;
    const char *own[OWM_OTS_CALENDARS_MAX];
    struct owm_ots_calendars list;
};

/** proof_calendars_open: from URLs with commas.
 *  Returns: OWM_OK; OWM_E_CONFIG with the fix; OWM_E_NOMEM. After a failure nothing to close. */
OWM_MUST_USE owm_status proof_calendars_open(const char *urls, struct proof_calendars *calendars,
                                             struct owm_error *error);
void proof_calendars_close(struct proof_calendars *calendars); /**< Safe on a zeroed one. */

/** proof_policy: calendars is borrowed. */
struct proof_policy {
    enum proof_demand demand[MODEL_USES];
    const struct owm_ots_calendars *calendars;
    unsigned calendars_needed;
};

/** proof_development: whether a network of this name plays with nobody's money. */
bool proof_development(const char *network);

/** proof_demands: what model.proofs means on a network; "": not known yet, which asks for all.
 *  Returns: OWM_OK; OWM_E_CONFIG less than the policy, or blocks of a test chain, on a network that
 *  is no development one; demand is the policy then. */
OWM_MUST_USE owm_status proof_demands(const struct owm_node_config *config, const char *network,
                                      enum proof_demand demand[static MODEL_USES],
                                      struct owm_error *error);

/** proof_demand_text: a clause, as "a proof in a Bitcoin block"; static. */
const char *proof_demand_text(enum proof_demand demand);

enum proof_state { PROOF_ABSENT, PROOF_PENDING, PROOF_IN_BLOCK };

/** proof_facts: what is known of the proof of a version that was accepted. */
struct proof_facts {
    enum proof_state state;
    unsigned promises; /* of distinct calendars on the list */
    uint64_t height;   /* in block: the lowest that our headers confirm, */
    uint32_t time_s;   /* and the time in its header */
};

/** proof_question: proof_bytes 0: none came. headers NULL: this node has none; they are only asked
 *  when the proof names a block. */
struct proof_question {
    const uint8_t *sha256; /* [32], of the checkpoint */
    const uint8_t *proof;
    size_t proof_bytes;
    enum model_use use;
    const struct owm_ots_headers *headers;
};

/** proof_judge: facts and refusal written on OWM_OK.
 *  Returns: OWM_OK; what the headers' source met, where the answer hangs on it: it cannot be said
 *  now; OWM_E_NOMEM. */
OWM_MUST_USE owm_status proof_judge(const struct proof_policy *policy,
                                    const struct proof_question *question,
                                    struct proof_facts *facts, struct refusal *refusal,
                                    struct owm_error *error);

#endif

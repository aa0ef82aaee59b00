/* proof.c: the policy in its table, and the questions that a proof has to pass. */
#include "node/proof.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ots/proof.h"
#include "dataplane/ots/verify.h"

const char *refusal_name(enum refusal_code code)
{
    static const char *const names[] = {"",
#define X(name) #name,
                                        REFUSAL_MAP(X)
#undef X
    };
    return names[code];
}

void refusal_set(struct refusal *refusal, enum refusal_code code, const char *format, ...)
{
    va_list args;
    refusal->code = code;
    va_start(args, format);
    vsnprintf(refusal->why.text, sizeof refusal->why.text, format, args);
    va_end(args);
}

const char *model_use_name(enum model_use use)
{
    static const char *const names[] = {"training", "serving"};
    return names[use];
}

/* ---------------------------------------------------------------------------- calendars */

static owm_status add_calendar(struct proof_calendars *calendars, const char *url,
                               struct owm_error *error)
{
    if (calendars->list.own_count == OWM_OTS_CALENDARS_MAX)
        return owm_fail(error, OWM_E_CONFIG, "model.calendars has more than %d addresses",
                        OWM_OTS_CALENDARS_MAX);
    if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        || strlen(url) > OWM_OTS_URI_BYTES_MAX)
        return owm_fail(error, OWM_E_CONFIG,
                        "model.calendars: '%.100s' is no address of a calendar; write "
                        "https://HOST, several with commas, or nothing",
                        url);
    calendars->own[calendars->list.own_count++] = url;
    return OWM_OK;
}

owm_status proof_calendars_open(const char *urls, struct proof_calendars *calendars,
                                struct owm_error *error)
{
    *calendars = (struct proof_calendars){.text = strdup(urls)};
    calendars->list.own = calendars->own;
    if (calendars->text == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = OWM_OK;
    char *rest = calendars->text;
    for (char *url; status == OWM_OK && (url = strsep(&rest, ",")) != NULL;) {
        url += strspn(url, " ");
        url[strcspn(url, " ")] = '\0';
        if (*url != '\0') status = add_calendar(calendars, url, error);
    }
    if (status != OWM_OK) proof_calendars_close(calendars);
    return status;
}

void proof_calendars_close(struct proof_calendars *calendars)
{
    free(calendars->text);
    calendars->text = NULL;
}

/* ------------------------------------------------------------------------------- policy */

/** demands: one row for each word of model.proofs but auto, in the order of OWM_NODE_PROOFS. */
static const enum proof_demand demands[][MODEL_USES] = {
    [OWM_PROOFS_POLICY] = {[MODEL_TRAINING] = PROOF_PROMISED, [MODEL_SERVING] = PROOF_CONFIRMED},
    [OWM_PROOFS_PENDING] = {[MODEL_TRAINING] = PROOF_PROMISED, [MODEL_SERVING] = PROOF_PROMISED},
    [OWM_PROOFS_NONE] = {[MODEL_TRAINING] = PROOF_OPTIONAL, [MODEL_SERVING] = PROOF_OPTIONAL},
};

bool proof_development(const char *network)
{
    return strcmp(network, "devnet") == 0 || strcmp(network, "regtest") == 0;
}

owm_status proof_demands(const struct owm_node_config *config, const char *network,
                         enum proof_demand demand[static MODEL_USES], struct owm_error *error)
{
    bool development = proof_development(network);
    bool real = !development && *network != '\0';
    int proofs = config->proofs;
    if (proofs == OWM_PROOFS_AUTO) proofs = development ? OWM_PROOFS_NONE : OWM_PROOFS_POLICY;
    bool lax = proofs != OWM_PROOFS_POLICY && real;
    if (lax || *network == '\0') proofs = OWM_PROOFS_POLICY;
    memcpy(demand, demands[proofs], sizeof demands[proofs]);
    if (lax)
        return owm_fail(error, OWM_E_CONFIG,
                        "model.proofs = \"%s\" is for development networks; network '%.24s' asks "
                        "for proofs of model weights (SRS-NODE-10). Set model.proofs = \"auto\"",
                        config->proofs == OWM_PROOFS_NONE ? "none" : "pending", network);
    if (real && config->bitcoin_network != OWM_MAINNET) /* There anybody can make blocks. */
        return owm_fail(error, OWM_E_CONFIG,
                        "model.bitcoin_network is for development networks; network '%.24s' asks "
                        "for proofs in blocks of Bitcoin's main network (SRS-NODE-10). Set "
                        "model.bitcoin_network = \"main\"",
                        network);
    return OWM_OK;
}

const char *proof_demand_text(enum proof_demand demand)
{
    static const char *const texts[] = {
        [PROOF_OPTIONAL] = "no proof",
        [PROOF_PROMISED] = "a proof that calendars have promised, or one in a Bitcoin block",
        [PROOF_CONFIRMED] = "a proof in a Bitcoin block that this node checked",
    };
    return texts[demand];
}

/* ----------------------------------------------------------------------------- promises */

/** counted: distinct calendars of a proof; no more than can be named are told apart. */
struct counted {
    struct owm_ots_bytes seen[2 * OWM_OTS_CALENDARS_MAX];
    unsigned count;
    unsigned listed;
    struct owm_ots_bytes unlisted; /* the first one */
};

static void count_one(const struct owm_ots_calendars *calendars, struct owm_ots_bytes uri,
                      struct counted *counted)
{
    for (unsigned i = 0; i < counted->count; i++)
        if (owm_ots_calendar_same(counted->seen[i], uri)) return;
    if (counted->count == sizeof counted->seen / sizeof counted->seen[0]) return;
    counted->seen[counted->count++] = uri;
    if (owm_ots_calendar_listed(calendars, uri, NULL))
        counted->listed++;
    else if (counted->unlisted.data == NULL)
        counted->unlisted = uri;
}

/** count: calendars on the list first, so that strangers cannot push them out of the count. */
static void count(const struct owm_ots_tree *tree, const struct owm_ots_calendars *calendars,
                  struct counted *counted)
{
    *counted = (struct counted){.count = 0};
    for (int listed = 1; listed >= 0; listed--)
        for (uint32_t i = 0; i < tree->attestation_count; i++) {
            const struct owm_ots_attestation *a = &tree->attestations[i];
            if (a->kind == OWM_OTS_PENDING
                && owm_ots_calendar_listed(calendars, a->detail, NULL) == (listed != 0))
                count_one(calendars, a->detail, counted);
        }
}

/* ------------------------------------------------------------------------------ verdict */

/** judged: a proof on its way through the questions. */
struct judged {
    const struct proof_policy *policy;
    const struct proof_question *question;
    struct counted counted;
    struct owm_ots_verdict verdict;
    bool names_block;
};

static void judge_promises(const struct judged *j, struct refusal *refusal)
{
    unsigned needed = j->policy->calendars_needed;
    const struct counted *c = &j->counted;
    if (c->listed >= needed) return;
    if (j->names_block && j->question->headers == NULL)
        refusal_set(
            refusal, REFUSAL_NO_HEADERS,
            "the proof names a Bitcoin block, and this node has no block headers to check it "
            "with; set model.bitcoin_rpc or model.headers_file");
    else if (c->count >= needed)
        refusal_set(
            refusal, REFUSAL_UNLISTED_CALENDARS,
            "the proof holds promises of %u calendars on the list, %u are needed; %.*s is not "
            "on it (model.calendars)",
            c->listed, needed, (int)(c->unlisted.bytes < 100 ? c->unlisted.bytes : 100),
            (const char *)c->unlisted.data);
    else
        refusal_set(refusal, REFUSAL_TOO_FEW_PROMISES,
                    "the proof holds promises of %u calendars, %u are needed "
                    "(model.calendars_needed)",
                    c->count, needed);
}

static void judge_block(const struct judged *j, struct refusal *refusal)
{
    if (j->names_block && j->question->headers == NULL)
        refusal_set(
            refusal, REFUSAL_NO_HEADERS,
            "serving needs a proof in a Bitcoin block, and this node has no block headers to "
            "check it with; set model.bitcoin_rpc or model.headers_file");
    else
        refusal_set(
            refusal, REFUSAL_NOT_CONFIRMED,
            "serving needs a proof in a Bitcoin block, and this one is not confirmed: %.250s",
            j->verdict.why.text);
}

static void decide(const struct judged *j, struct proof_facts *facts, struct refusal *refusal)
{
    enum proof_demand demand = j->policy->demand[j->question->use];
    *facts = (struct proof_facts){.state = PROOF_PENDING, .promises = j->counted.listed};
    if (j->verdict.outcome == OWM_OTS_REFUTED) {
        refusal_set(refusal, REFUSAL_WRONG_BLOCK, "the proof is wrong: %.300s",
                    j->verdict.why.text);
    } else if (j->verdict.outcome == OWM_OTS_CONFIRMED) {
        facts->state = PROOF_IN_BLOCK;
        facts->height = j->verdict.height;
        facts->time_s = j->verdict.time_s;
    } else if (demand == PROOF_PROMISED) {
        judge_promises(j, refusal);
    } else if (demand == PROOF_CONFIRMED) {
        judge_block(j, refusal);
    }
}

static bool names_block(const struct owm_ots_tree *tree)
{
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        if (tree->attestations[i].kind == OWM_OTS_BITCOIN) return true;
    return false;
}

/** verify: against the headers where there are any. That they cannot be asked matters only where
 *  nothing else is enough. */
static owm_status verify(struct judged *j, const struct owm_ots_tree *tree, struct refusal *refusal,
                         struct owm_error *error)
{
    const struct owm_ots_headers *headers = j->question->headers;
    enum proof_demand demand = j->policy->demand[j->question->use];
    owm_ots_outlook(tree, &j->verdict);
    if (headers == NULL || !j->names_block) return OWM_OK;
    owm_status status = owm_ots_verify(tree, headers, &j->verdict, error);
    if (status == OWM_OK || status == OWM_E_NOMEM) return status;
    if (status == OWM_E_LIMIT) {
        refusal_set(refusal, REFUSAL_BAD_PROOF, "%.300s", error->text);
        return OWM_OK;
    }
    owm_ots_outlook(tree, &j->verdict);
    bool enough = demand == PROOF_OPTIONAL
                  || (demand == PROOF_PROMISED && j->counted.listed >= j->policy->calendars_needed);
    return enough ? OWM_OK : status;
}

/** judge: a proof that parses. */
static owm_status judge(struct judged *j, const struct owm_ots_proof *proof,
                        struct proof_facts *facts, struct refusal *refusal, struct owm_error *error)
{
    struct owm_ots_bytes digest = proof->tree.nodes[OWM_OTS_ROOT].message;
    if (proof->file_op != OWM_OTS_SHA256 || digest.bytes != 32
        || memcmp(digest.data, j->question->sha256, 32) != 0) {
        refusal_set(refusal, REFUSAL_WRONG_HASH,
                    "the proof that came with this checkpoint is the proof of something else");
        return OWM_OK;
    }
    j->names_block = names_block(&proof->tree);
    count(&proof->tree, j->policy->calendars, &j->counted);
    owm_status status = verify(j, &proof->tree, refusal, error);
    if (status == OWM_OK && refusal->code == REFUSAL_NONE) decide(j, facts, refusal);
    return status;
}

owm_status proof_judge(const struct proof_policy *policy, const struct proof_question *question,
                       struct proof_facts *facts, struct refusal *refusal, struct owm_error *error)
{
    struct judged judged = {.policy = policy, .question = question};
    *facts = (struct proof_facts){.state = PROOF_ABSENT};
    *refusal = (struct refusal){.code = REFUSAL_NONE};
    enum proof_demand demand = policy->demand[question->use];
    if (question->proof_bytes == 0) {
        if (demand != PROOF_OPTIONAL)
            refusal_set(refusal, REFUSAL_NO_PROOF,
                        "no proof came with this checkpoint; %s needs %s",
                        model_use_name(question->use), proof_demand_text(demand));
        return OWM_OK;
    }
    struct owm_ots_proof proof;
    struct owm_error why = {""};
    owm_status status = owm_ots_proof_read(question->proof, question->proof_bytes, &proof, &why);
    if (status == OWM_E_NOMEM) return owm_fail(error, status, "no memory for a proof");
    if (status != OWM_OK) {
        refusal_set(refusal, REFUSAL_BAD_PROOF, "the proof is malformed: %.300s", why.text);
        return OWM_OK;
    }
    status = judge(&judged, &proof, facts, refusal, error);
    owm_ots_proof_deinit(&proof);
    return status;
}

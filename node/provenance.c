/* provenance.c: ask, judge, remember, keep. */
#include "node/provenance.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "dataplane/ots/proof.h"
#include "node/headers.h"
#include "node/proof_files.h"
#include "node/versions.h"

struct node_provenance {
    struct proof_calendars calendars;
    node_headers *headers;
    node_versions *versions;
    pthread_mutex_t judging; /* One at a time: a source of headers belongs to one thread. */
};

/* ---------------------------------------------------------------------------- open, close */

/** show_marks: what was used before this start; its proof is not looked at yet. */
static void show_marks(struct node *node, node_versions *versions)
{
    for (int use = 0; use < MODEL_USES; use++) {
        struct node_model_used *used = &node->view.models.used[use];
        struct version_mark mark;
        used->known = node_versions_newest(versions, (enum model_use)use, &mark, &used->since_ms);
        used->round = mark.round;
        memcpy(used->sha256, mark.sha256, 32);
    }
}

owm_status node_provenance_open(struct node *node, struct node_provenance **provenance,
                                struct owm_error *error)
{
    struct node_provenance *p = calloc(1, sizeof *p);
    if (p == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    pthread_mutex_init(&p->judging, NULL);
    owm_status status = proof_calendars_open(node->config.calendars, &p->calendars, error);
    if (status == OWM_OK) status = node_headers_open(&node->config, &p->headers, error);
    if (status == OWM_OK)
        status =
            node_versions_open(node->config.data_dir, node->coordinator_key, &p->versions, error);
    if (status != OWM_OK) {
        node_provenance_close(p);
        return status;
    }
    show_marks(node, p->versions);
    *provenance = p;
    return OWM_OK;
}

void node_provenance_close(struct node_provenance *provenance)
{
    if (provenance == NULL) return;
    node_versions_close(provenance->versions);
    node_headers_close(provenance->headers);
    proof_calendars_close(&provenance->calendars);
    pthread_mutex_destroy(&provenance->judging);
    free(provenance);
}

owm_status node_proofs_allowed(struct node *node, const char *network, struct owm_error *error)
{
    enum proof_demand demand[MODEL_USES];
    char hex[65], key[40], before[NODE_WORD_MAX] = "";
    if (strlen(network) >= sizeof before)
        return owm_fail(error, OWM_E_PROTO, "the coordinator's network has a name of %zu letters",
                        strlen(network));
    owm_status status = proof_demands(&node->config, network, demand, error);
    if (status != OWM_OK) return status;
    owm_hex_encode(node->coordinator_key, 32, hex);
    snprintf(key, sizeof key, "network_%.16s", hex);
    status = owm_task_log_get(node->log, key, before, sizeof before);
    if (status != OWM_OK && status != OWM_E_NOTFOUND) /* Not known is not the same as none. */
        return owm_fail(error, status, "the task log could not be read");
    if (status == OWM_OK && !proof_development(before) && proof_development(network)
        && node->config.proofs == OWM_PROOFS_AUTO)
        return owm_fail(error, OWM_E_CONFIG,
                        "the coordinator's network was '%.24s' and is now said to be the "
                        "development network '%.24s', where no proofs of models are asked for. Set "
                        "model.proofs = \"none\" if that is what you want, or \"policy\"",
                        before, network);
    if (status == OWM_OK && (strcmp(before, network) == 0 || proof_development(network)))
        return OWM_OK;
    status = owm_task_log_set(node->log, key, network);
    return status == OWM_OK ? OWM_OK : owm_fail(error, status, "the task log could not be written");
}

/* --------------------------------------------------------------------------------- judge */

/** cannot_check: what the headers' source met; whether waiting may help. */
static owm_status cannot_check(owm_status status, const struct owm_error *why,
                               struct owm_error *error)
{
    bool never = status == OWM_E_CONFIG || status == OWM_E_ARG || status == OWM_E_PERM;
    if (status == OWM_E_NOMEM) return owm_fail(error, status, "no memory to check a proof");
    return owm_fail(error, never ? OWM_E_CONFIG : OWM_E_AGAIN,
                    "CANNOT_CHECK: the block of the model's proof cannot be looked up now: %.350s",
                    why->text);
}

static owm_status judge_proof(struct node *node, const struct prove *prove,
                              const struct proof_papers *papers, struct proof_facts *facts,
                              struct refusal *refusal, struct owm_error *error)
{
    struct node_provenance *p = node->provenance;
    struct node_view view;
    struct owm_error why = {""};
    node_look(node, &view);
    struct proof_policy policy = {.calendars = &p->calendars.list,
                                  .calendars_needed = (unsigned)node->config.calendars_needed};
    owm_status status = proof_demands(&node->config, view.network, policy.demand, error);
    if (status != OWM_OK) return status;
    struct owm_ots_headers source;
    if (p->headers != NULL) source = node_headers_source(p->headers);
    const struct proof_question question = {.sha256 = prove->named.sha256,
                                            .proof = papers->proof,
                                            .proof_bytes = papers->proof_bytes,
                                            .use = prove->use,
                                            .headers = p->headers ? &source : NULL};
    pthread_mutex_lock(&p->judging);
    status = proof_judge(&policy, &question, facts, refusal, &why);
    pthread_mutex_unlock(&p->judging);
    return status == OWM_OK ? OWM_OK : cannot_check(status, &why, error);
}

/** judge: manifest, signature, name, proof, policy. proven: named and use given, facts and proof
 *  written. Nothing is remembered. */
static owm_status judge(struct node *node, const struct proof_papers *papers,
                        struct models_proven *proven, struct refusal *refusal,
                        struct owm_error *error)
{
    const struct prove prove = {.use = proven->use, .named = proven->named};
    owm_status status = manifest_read(papers->manifest, node->coordinator_key, &proven->named,
                                      &proven->facts, refusal);
    if (status != OWM_OK) return owm_fail(error, status, "no memory for a manifest");
    if (refusal->code != REFUSAL_NONE) return OWM_OK;
    return judge_proof(node, &prove, papers, &proven->proof, refusal, error);
}

/* ----------------------------------------------------------------------------- the papers */

/** ask: the coordinator. OWM_OK with NO_MANIFEST where it has none. */
static owm_status ask(struct node *node, const struct prove *prove, PB(ModelVersion) * *version,
                      struct refusal *refusal, struct owm_error *error)
{
    char hex[65];
    owm_hex_encode(prove->named.sha256, 32, hex);
    PB(GetModelVersionRequest) request = OWM__COORDINATOR__V1__GET_MODEL_VERSION_REQUEST__INIT;
    request.version_id = hex;
    owm_status status = link_version(node->rpc, &request, version, error);
    bool none = status == OWM_E_NOTFOUND || (status == OWM_OK && (*version)->manifest[0] == '\0');
    if (none)
        refusal_set(refusal, REFUSAL_NO_MANIFEST,
                    "the coordinator has no manifest of checkpoint %.16s…", hex);
    return none ? OWM_OK : status;
}

/** keep_papers: beside the checkpoint, before it comes. Those of checkpoints that never came are
 *  removed first: whoever names one after another must not fill the disk. */
static void keep_papers(struct node *node, const struct prove *prove,
                        const struct proof_papers *papers)
{
    if (!owm_blob_exists(node->store, prove->named.sha256)) node_proofs_swept(node);
    proof_files_keep(node->store, prove->named.sha256, papers);
}

static owm_status judge_asked(struct node *node, const struct prove *prove, struct refusal *refusal,
                              struct owm_error *error)
{
    PB(ModelVersion) *version = NULL;
    owm_status status = ask(node, prove, &version, refusal, error);
    if (status == OWM_OK && refusal->code == REFUSAL_NONE) {
        struct models_proven proven = {.named = prove->named, .use = prove->use};
        const struct proof_papers papers = {.manifest = version->manifest,
                                            .proof = version->ots_proof.data,
                                            .proof_bytes = version->ots_proof.len};
        status = judge(node, &papers, &proven, refusal, error);
        bool accepted = status == OWM_OK && refusal->code == REFUSAL_NONE;
        if (accepted) node_models_proven(node->models, &proven);
        if (accepted && papers.proof_bytes > 0) keep_papers(node, prove, &papers);
    }
    link_free(version);
    return status;
}

/** judge_kept: whether the files beside the cached checkpoint prove it by a block. Anything less,
 *  the coordinator is asked, and what it says alone counts. */
static bool judge_kept(struct node *node, const struct prove *prove)
{
    struct models_proven proven = {.named = prove->named, .use = prove->use};
    struct proof_papers papers;
    struct refusal refusal = {.code = REFUSAL_NONE};
    struct owm_error error;
    if (proof_files_read(node->store, prove->named.sha256, &papers) != OWM_OK) return false;
    owm_status status = judge(node, &papers, &proven, &refusal, &error);
    proof_files_free(&papers);
    if (status != OWM_OK || refusal.code != REFUSAL_NONE || proven.proof.state != PROOF_IN_BLOCK)
        return false;
    node_models_proven(node->models, &proven);
    return true;
}

/** proven_before: by this process, and nothing new is to be expected. */
static bool proven_before(const struct node *node, const struct prove *prove,
                          const struct model *model)
{
    if (!model->accepted[prove->use] || model->bytes != prove->named.bytes) return false;
    return model->proof.state == PROOF_IN_BLOCK
           || owm_clock_mono_ms() - model->proven_ms < node->timing.proof_again;
}

/** prove: all but the marks. */
static owm_status prove_papers(struct node *node, const struct prove *prove,
                               struct refusal *refusal, struct owm_error *error)
{
    struct model model = {.bytes = 0};
    bool known = node_models_find(node->models, prove->named.sha256, &model);
    if (known && proven_before(node, prove, &model)) return OWM_OK;
    if (!(known && model.proven_ms) && judge_kept(node, prove)) return OWM_OK;
    owm_status status = judge_asked(node, prove, refusal, error);
    /* Asked for news of what was accepted already: without an answer that still holds. */
    bool away = status == OWM_E_NET || status == OWM_E_TIMEOUT || status == OWM_E_AGAIN;
    if (away && known && model.accepted[prove->use] && model.bytes == prove->named.bytes)
        return OWM_OK;
    return status;
}

static struct versions_use mark_of(struct node *node, const struct prove *prove)
{
    struct model model = {.bytes = 0};
    struct versions_use use = {.use = prove->use, .now_ms = owm_clock_wall_ms()};
    node_models_find(node->models, prove->named.sha256, &model);
    use.mark.round = model.facts.round;
    memcpy(use.mark.sha256, prove->named.sha256, 32);
    return use;
}

owm_status node_prove(struct node *node, const struct prove *prove, struct refusal *refusal,
                      struct owm_error *error)
{
    *refusal = (struct refusal){.code = REFUSAL_NONE};
    owm_status status = prove_papers(node, prove, refusal, error);
    if (status != OWM_OK || refusal->code != REFUSAL_NONE) return status;
    const struct versions_use use = mark_of(node, prove);
    node_versions_judge(node->provenance->versions, use.use, &use.mark, use.now_ms, refusal);
    return OWM_OK;
}

/* --------------------------------------------------------------------------- what is shown */

owm_status node_proven_used(struct node *node, const struct prove *prove, struct refusal *refusal,
                            struct owm_error *error)
{
    const struct versions_use use = mark_of(node, prove);
    node_versions *versions = node->provenance->versions;
    owm_status status = node_versions_use(versions, &use, refusal, error);
    if (status != OWM_OK || refusal->code != REFUSAL_NONE) return status;
    struct model model = {.bytes = 0};
    struct version_mark newest;
    node_models_find(node->models, prove->named.sha256, &model);
    pthread_mutex_lock(&node->lock);
    struct node_model_used *used = &node->view.models.used[prove->use];
    used->known = node_versions_newest(versions, prove->use, &newest, &used->since_ms);
    used->checked = true;
    used->round = use.mark.round;
    memcpy(used->sha256, use.mark.sha256, 32);
    memcpy(used->version, model.facts.version, sizeof used->version);
    used->proof = model.proof;
    pthread_mutex_unlock(&node->lock);
    return OWM_OK;
}

owm_status node_refused(struct node *node, const struct prove *prove, const struct refusal *refusal,
                        struct owm_error *error)
{
    char hex[65];
    const char *code = refusal_name(refusal->code);
    owm_hex_encode(prove->named.sha256, 32, hex);
    owm_counter_add(node->count.models_refused[refusal->code], 1);
    owm_log(OWM_LOG_WARN, "model_refused sha256=%s use=%s code=%s reason=\"%s\"", hex,
            model_use_name(prove->use), code, refusal->why.text);
    pthread_mutex_lock(&node->lock);
    struct node_model_refused *shown = &node->view.models.refused;
    shown->code = refusal->code;
    shown->use = prove->use;
    shown->at_ms = owm_clock_wall_ms();
    memcpy(shown->sha256, prove->named.sha256, 32);
    memcpy(shown->why, refusal->why.text, sizeof shown->why);
    pthread_mutex_unlock(&node->lock);
    return owm_fail(error, OWM_E_PERM, "UNPROVEN: %s: %.450s", code, refusal->why.text);
}

void node_proofs_swept(struct node *node)
{
    proof_files_sweep(node->config.model_cache_dir, node->store);
}

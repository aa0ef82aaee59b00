/* provenance_follow.c: a version's next step. The file is written first and the row follows it, so
 * whatever is interrupted is found again in the file:
 *
 *   file ── missing promises asked for ── file saved ── row ── block asked for ── file saved ── row
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "provenance_internal.h"

#define CATCH_UP_MS  10 /* There are more block headers to fetch. */
#define SERVABLE_MAX 64 /* proven versions among which one is on disk */

int64_t prov_pause_ms(struct owm_rng *rng, unsigned attempts, int64_t min_ms, int64_t max_ms)
{
    int64_t pause_ms = min_ms;
    for (unsigned i = 0; i < attempts && pause_ms < max_ms; i++) pause_ms *= 2;
    if (pause_ms > max_ms) pause_ms = max_ms;
    return pause_ms - pause_ms / 4 + (int64_t)owm_rng_below(rng, (uint64_t)pause_ms / 2 + 1);
}

static int64_t retry_min_ms(const struct owm_provenance *p)
{
    return 1000 * (int64_t)p->options.retry_min_s;
}

static int64_t stamp_min_ms(const struct owm_provenance *p)
{
    int64_t min_ms = retry_min_ms(p);
    return min_ms < PROV_STAMP_PAUSE_MS ? min_ms : PROV_STAMP_PAUSE_MS;
}

static int64_t pause_after(struct owm_provenance *p, unsigned attempts, int64_t min_ms)
{
    return prov_pause_ms(&p->rng, attempts, min_ms, 1000 * (int64_t)p->options.retry_max_s);
}

/* PostgreSQL takes no text that is no UTF-8, and a reason may hold anything. */
static void set_note(struct prov_standing *standing, const char *text)
{
    snprintf(standing->note, sizeof(standing->note), "%s", text);
    for (char *at = standing->note; *at; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f) *at = '?';
}

void prov_tell(struct owm_provenance *p, const struct prov_version *version)
{
    bool training = version->confirmed || version->stamped_ms != 0;
    bool serving = version->confirmed || (training && p->options.serve_pending);
    struct owm_proven proven = {
        .model_bytes = version->bytes,
        .round = version->round,
        .training = training,
        .serving = serving && owm_blob_exists(p->options.store, version->hash),
    };
    memcpy(proven.model_hash, version->hash, 32);
    if (p->options.proven) p->options.proven(p->options.ctx, &proven);
}

owm_status prov_tell_newest(struct owm_provenance *p, struct owm_error *error)
{
    struct prov_version *versions = NULL;
    size_t count = 0;
    owm_status status = prov_rows_list(p, PROV_MAY_SERVE, SERVABLE_MAX, &versions, &count, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        if (!owm_blob_exists(p->options.store, versions[i].hash)) continue;
        prov_tell(p, &versions[i]);
        break;
    }
    free(versions);
    return status;
}

/* --- the row ---------------------------------------------------------------------------------- */

static owm_status stand(struct owm_provenance *p, struct prov_version *version,
                        const struct prov_standing *standing, struct owm_error *error)
{
    bool written = false, before = version->stamped_ms != 0;
    owm_status status = prov_rows_stand(p, version, standing, &written, error);
    if (status != OWM_OK || !written) return status;
    int64_t now_ms = owm_clock_wall_ms();
    version->calendars = standing->calendars;
    version->attempts = standing->attempts;
    if (standing->stamped == before) return OWM_OK;
    version->stamped_ms = standing->stamped ? now_ms : 0;
    if (standing->stamped)
        owm_histogram_observe(p->meters.promise_s, (double)(now_ms - version->created_ms) / 1e3);
    owm_log(standing->stamped ? OWM_LOG_INFO : OWM_LOG_WARN,
            "version_%s version=%s calendars=%u needed=%u",
            standing->stamped ? "promised" : "unproven", version->id, standing->calendars,
            p->options.calendars_needed);
    prov_tell(p, version);
    return standing->stamped ? OWM_OK : prov_tell_newest(p, error);
}

/* The row with what it has, a reason, and another try later. */
static owm_status stand_still(struct owm_provenance *p, struct prov_version *version,
                              const char *why, int64_t pause_ms, struct owm_error *error)
{
    struct prov_standing standing = {.calendars = version->calendars,
                                     .attempts = version->attempts,
                                     .stamped = version->stamped_ms != 0,
                                     .pause_ms = pause_ms};
    set_note(&standing, why);
    return stand(p, version, &standing, error);
}

static owm_status try_again(struct owm_provenance *p, struct prov_version *version, const char *why,
                            struct owm_error *error)
{
    int64_t min_ms = version->stamped_ms ? retry_min_ms(p) : stamp_min_ms(p);
    int64_t pause_ms = pause_after(p, version->attempts, min_ms);
    version->attempts++;
    return stand_still(p, version, why, pause_ms, error);
}

/* --- promises --------------------------------------------------------------------------------- */

/* Whether there is nothing more to be had from calendars, but time. */
static bool is_in_block(const struct owm_ots_tree *tree)
{
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        if (tree->attestations[i].kind == OWM_OTS_BITCOIN) return true;
    return false;
}

/* What the row has and the file no longer: said before calendars are asked, which takes time. */
static owm_status follow_loss(struct owm_provenance *p, struct prov_version *version, unsigned held,
                              struct owm_error *error)
{
    const struct prov_standing standing = {.calendars = held, .note = "its promises were lost"};
    if (version->stamped_ms == 0 || held >= p->options.calendars_needed) return OWM_OK;
    return stand(p, version, &standing, error);
}

/* go_on: there may be a block. A promise that was made now needs hours, or seconds on regtest. */
static owm_status follow_promises(struct owm_provenance *p, struct prov_version *version,
                                  struct owm_ots_proof *proof, bool *go_on, struct owm_error *error)
{
    struct owm_error why = {""};
    unsigned needed = p->options.calendars_needed, held = prov_promises(p, &proof->tree);
    size_t asked = 0;
    bool changed = false;
    *go_on = held >= needed || is_in_block(&proof->tree);
    owm_status status = follow_loss(p, version, held, error);
    if (status != OWM_OK) return status;
    if (!is_in_block(&proof->tree) || held < needed) {
        status = prov_stamp(p, &proof->tree, &asked, &changed, &why);
        if (changed) status = prov_proof_save(p, version->hash, proof, &why);
        if (changed && status != OWM_OK) {
            prov_unanswered(p, version->hash);
            return try_again(p, version, why.text, error);
        }
    }
    struct prov_standing standing = {.calendars = prov_promises(p, &proof->tree)};
    standing.stamped = standing.calendars >= needed;
    if (!standing.stamped && !why.text[0])
        (void)owm_fail(&why, OWM_OK,
                       "all calendars have answered, but under other names than those in "
                       "provenance.calendars; write the URL that stands in their promises");
    if (*go_on && standing.stamped == (version->stamped_ms != 0)
        && standing.calendars == version->calendars)
        return OWM_OK;
    standing.attempts = changed ? 0 : version->attempts + 1;
    standing.pause_ms = standing.stamped
                            ? pause_after(p, 0, retry_min_ms(p))
                            : pause_after(p, standing.attempts - !changed, stamp_min_ms(p));
    set_note(&standing, why.text);
    return stand(p, version, &standing, error);
}

/* --- the block -------------------------------------------------------------------------------- */

static owm_status confirm(struct owm_provenance *p, struct prov_version *version,
                          const struct owm_ots_verdict *verdict, struct owm_error *error)
{
    const struct prov_block block = {verdict->height, verdict->time_s};
    struct owm_error why = {""};
    bool written = false;
    owm_status status = prov_rows_confirm(p, version, &block, &written, &why);
    if (status == OWM_E_CRYPTO || status == OWM_E_NOTFOUND || status == OWM_E_PROTO) {
        owm_log(OWM_LOG_ERROR, "version_not_confirmed version=%s reason=\"%s\"", version->id,
                why.text);
        return try_again(p, version, why.text, error);
    }
    if (status != OWM_OK) return owm_fail(error, status, "%s", why.text);
    if (!written) return OWM_OK;
    version->confirmed = true;
    owm_histogram_observe(p->meters.confirm_s,
                          (double)(owm_clock_wall_ms() - version->created_ms) / 1e3);
    owm_log(OWM_LOG_INFO, "version_confirmed version=%s block=%llu", version->id,
            (unsigned long long)block.height);
    prov_tell(p, version);
    return OWM_OK;
}

/* Whether a calendar could help: not while a right block only needs to grow older. */
static bool wants_block(const struct owm_ots_verdict *verdict)
{
    return verdict->outcome != OWM_OTS_CONFIRMED && verdict->height == 0;
}

/* The verdict on what is in the file, after asking calendars where that helps. */
static owm_status find_block(struct owm_provenance *p, const struct prov_version *version,
                             struct owm_ots_proof *proof, struct owm_ots_headers *headers,
                             struct owm_ots_verdict *verdict, struct owm_error *why)
{
    owm_status status = owm_ots_verify(&proof->tree, headers, verdict, why);
    if (status != OWM_OK || !wants_block(verdict)) return status;
    struct owm_error said = {""};
    status = prov_upgrade(p, &proof->tree, headers, &said);
    if (status != OWM_OK)
        return verdict->outcome == OWM_OTS_REFUTED
                   ? owm_fail(why, status, "%.150s; %.300s", verdict->why.text, said.text)
                   : owm_fail(why, status, "%s", said.text);
    status = prov_proof_save(p, version->hash, proof, why);
    if (status == OWM_OK) status = owm_ots_verify(&proof->tree, headers, verdict, why);
    return status;
}

static owm_status follow_block(struct owm_provenance *p, struct prov_version *version,
                               struct owm_ots_proof *proof, struct owm_error *error)
{
    struct owm_error why = {""};
    struct owm_ots_headers headers;
    struct owm_ots_verdict verdict;
    if (!p->source)
        return try_again(p, version, "no block headers are configured to check it with", error);
    owm_status status = owm_ots_header_source_refresh(p->source, PROV_BLOCKS_MAX, &headers, &why);
    if (status == OWM_E_AGAIN) return stand_still(p, version, why.text, CATCH_UP_MS, error);
    if (status != OWM_OK) /* That is our node's fault, so the pause does not grow. */
        return stand_still(p, version, why.text, pause_after(p, 0, retry_min_ms(p)), error);
    status = find_block(p, version, proof, &headers, &verdict, &why);
    if (status != OWM_OK) return try_again(p, version, why.text, error);
    if (verdict.outcome == OWM_OTS_CONFIRMED) return confirm(p, version, &verdict, error);
    if (wants_block(&verdict)) return try_again(p, version, verdict.why.text, error);
    version->attempts = 0;
    return stand_still(p, version, verdict.why.text, pause_after(p, 0, retry_min_ms(p)), error);
}

owm_status prov_follow(struct owm_provenance *p, struct prov_version *version,
                       struct owm_error *error)
{
    struct owm_ots_proof proof;
    struct owm_error why = {""};
    bool found = false, go_on = false;
    if (prov_proof_open(p, version->hash, &proof, &found, &why) != OWM_OK)
        return try_again(p, version, why.text, error);
    owm_status status = follow_promises(p, version, &proof, &go_on, error);
    if (status == OWM_OK && go_on && prov_going(p))
        status = follow_block(p, version, &proof, error);
    owm_ots_proof_deinit(&proof);
    return status;
}

/* --- at the start ----------------------------------------------------------------------------- */

static owm_status recheck(struct owm_provenance *p, struct prov_version *version,
                          struct owm_error *error)
{
    struct owm_ots_proof proof;
    struct owm_error why = {""};
    bool found = false, written = false;
    /* Nobody can load a checkpoint that is gone; what was signed about it stays. */
    if (version->confirmed && !owm_blob_exists(p->options.store, version->hash)) return OWM_OK;
    if (prov_proof_open(p, version->hash, &proof, &found, &why) != OWM_OK) {
        owm_log(OWM_LOG_WARN, "proof_not_read version=%s reason=\"%s\"", version->id, why.text);
        return OWM_OK;
    }
    unsigned held = prov_promises(p, &proof.tree);
    bool in_block = is_in_block(&proof.tree);
    owm_ots_proof_deinit(&proof);
    bool stamped = held >= p->options.calendars_needed;
    if (!version->confirmed)
        return held == version->calendars && stamped == (version->stamped_ms != 0)
                   ? OWM_OK
                   : prov_rows_hurry(p, version, error);
    if (in_block) return OWM_OK;
    owm_status status = prov_rows_reset(p, version, &written, error);
    if (status != OWM_OK || !written) return status;
    owm_log(OWM_LOG_ERROR, "version_unproven version=%s reason=\"its proof was lost\"",
            version->id);
    version->confirmed = false;
    version->stamped_ms = 0;
    prov_tell(p, version);
    return prov_tell_newest(p, error);
}

owm_status prov_recheck(struct owm_provenance *p, struct owm_error *error)
{
    struct prov_version *versions = NULL;
    size_t count = 0;
    owm_status status = prov_rows_list(p, PROV_ALL, PROV_RECHECKED_MAX, &versions, &count, error);
    for (size_t i = 0; status == OWM_OK && i < count && prov_going(p); i++)
        status = recheck(p, &versions[i], error);
    free(versions);
    return status;
}

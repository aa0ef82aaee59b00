/* evidence_poison.c: a poisoned gradient once more: packages, Gram matrix, screening. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/pool.h"
#include "controlplane/admin/evidence_internal.h"

#define PACKAGE_BYTES_MAX ((size_t)1 << 32)
#define GRAM_TOLERANCE    1e-9 /* relative; another order of summing would give less */

/** poison: one bundle and what it is judged by. */
struct poison {
    const struct owm_evidence_source *source;
    uint8_t node_key[32], package[32], base[32], certificate_hash[32];
    int64_t round;
    const char *reason;
    struct certificate certificate;
    struct owm_delta *delta; /* [count] */
    uint32_t decoded, at;
    struct owm_screen_report report, blind; /* blind: without the held-out losses */
};

static owm_status fails(const struct poison *p, enum owm_finding *finding, const char *why)
{
    *finding = OWM_EVIDENCE_FAILS;
    (void)fprintf(p->source->out, "The evidence does not hold: %s.\n", why);
    return OWM_OK;
}

static owm_status undecided(const struct poison *p, const char *why)
{
    (void)fprintf(p->source->out, "Undecided: %s.\n", why);
    return OWM_OK;
}

static owm_status read_bundle(const json_t *bundle, struct poison *p, struct owm_error *error)
{
    owm_status status = evidence_hex(bundle, "node_key", p->node_key, 32, error);
    if (status == OWM_OK) status = evidence_hex(bundle, "package_sha256", p->package, 32, error);
    if (status == OWM_OK) status = evidence_hex(bundle, "base_sha256", p->base, 32, error);
    if (status == OWM_OK)
        status = evidence_hex(bundle, "certificate_sha256", p->certificate_hash, 32, error);
    if (status == OWM_OK)
        status = owm_json_int(bundle, "", "round", (struct owm_json_range){0, UINT32_MAX},
                              &p->round, error);
    if (status == OWM_OK) status = owm_json_string(bundle, "", "reason", &p->reason, error);
    return status;
}

static owm_status fetch_certificate(struct poison *p, struct owm_error *error)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    owm_status status = owm_evidence_fetch(p->source, p->certificate_hash,
                                           OWM_CERTIFICATE_BYTES_MAX, &text, &bytes, error);
    if (status == OWM_OK)
        status = certificate_read((const char *)text, bytes, &p->certificate, error);
    free(text);
    return status;
}

static bool is_listed(struct poison *p)
{
    const struct certificate *c = &p->certificate;
    if (c->round != (uint64_t)p->round || memcmp(c->base_sha256, p->base, 32) != 0) return false;
    for (p->at = 0; p->at < c->count; p->at++)
        if (memcmp(c->packages[p->at].node_key, p->node_key, 32) == 0
            && memcmp(c->packages[p->at].sha256, p->package, 32) == 0)
            return true;
    return false;
}

/* Fetch and decode package i; the decoder checks its signature, round, base and node. */
static owm_status decode(struct poison *p, uint32_t i, enum owm_delta_reason *why,
                         struct owm_error *error)
{
    struct certificate *c = &p->certificate;
    struct owm_delta_expect expect = {
        .round = c->round, .parameter_count = c->parameters, .k_max = c->parameters};
    uint8_t *data = NULL;
    size_t bytes = 0;
    memcpy(expect.base_sha256, c->base_sha256, 32);
    memcpy(expect.node_key, c->packages[i].node_key, 32);
    *why = OWM_DELTA_NONE;
    owm_status status = owm_evidence_fetch(p->source, c->packages[i].sha256, PACKAGE_BYTES_MAX,
                                           &data, &bytes, error);
    if (status == OWM_OK) status = owm_delta_decode(data, bytes, &expect, &p->delta[i], why, error);
    free(data);
    if (status != OWM_OK) return status;
    c->packages[i].sparse = p->delta[i].sparse;
    p->decoded = i + 1;
    return OWM_OK;
}

static bool gram_agrees(const struct certificate *c, const double *gram)
{
    for (size_t i = 0; i < (size_t)c->count * c->count; i++)
        if (!(fabs(gram[i] - c->gram[i]) <= GRAM_TOLERANCE * (fabs(gram[i]) + fabs(c->gram[i]))))
            return false;
    return true;
}

/* The screening without what the certificate says of losses: does the verdict rest on them? */
static owm_status screen_blind(struct poison *p, const double *gram)
{
    const struct certificate *c = &p->certificate;
    struct owm_fl_package *packages = calloc(c->count, sizeof(*packages));
    if (!packages) return OWM_E_NOMEM;
    memcpy(packages, c->packages, c->count * sizeof(*packages));
    for (uint32_t i = 0; i < c->count; i++) packages[i].loss_change = NAN;
    owm_status status = owm_screen(&c->policy.screen, packages, c->count, gram, &p->blind);
    free(packages);
    return status;
}

/* Pass A on this machine, then the same screening. agrees: with the certificate's matrix. */
static owm_status screen(struct poison *p, bool *agrees, struct owm_error *error)
{
    struct certificate *c = &p->certificate;
    struct owm_pool *pool = NULL;
    struct owm_device *device = NULL;
    double *gram = calloc((size_t)c->count * c->count, sizeof(*gram));
    owm_status status = gram ? owm_pool_open(0, &pool) : OWM_E_NOMEM;
    if (status == OWM_OK)
        status = owm_device_open(
            &device, &(struct owm_device_config){.backend = "cpu", .pool = pool}, error);
    if (status == OWM_OK) status = owm_aggregate_gram(device, c->packages, c->count, gram);
    if (status == OWM_OK) {
        *agrees = gram_agrees(c, gram);
        status = owm_screen(&c->policy.screen, c->packages, c->count, gram, &p->report);
    }
    if (status == OWM_OK) status = screen_blind(p, gram);
    if (device) device->backend->close(device);
    owm_pool_close(pool);
    free(gram);
    if (status == OWM_E_ARG)
        return owm_fail(error, OWM_E_PROTO, "the certificate's packages or policy make no sense");
    return status;
}

static owm_status judge_loss(struct poison *p, enum owm_finding *finding, struct owm_error *error)
{
    bool same = false;
    if (!p->source->heldout_file)
        return undecided(p, "the verdict rests on the held-out loss; give the coordinator's text "
                            "with --heldout FILE");
    owm_status status = replay_round(p->source, &p->certificate, p->certificate_hash, &same, error);
    if (status == OWM_E_NOTFOUND)
        return undecided(p, "the base checkpoint of the round is not to be had");
    if (status == OWM_E_UNSUPPORTED)
        return undecided(p, "the server step had momentum, whose state is not public");
    if (status != OWM_OK) return status;
    if (!same)
        return fails(p, finding,
                     "the round, run again with this held-out text, gives another certificate");
    *finding = OWM_EVIDENCE_HOLDS;
    return OWM_OK;
}

static owm_status compare(struct poison *p, bool agrees, enum owm_finding *finding,
                          struct owm_error *error)
{
    const struct owm_screen_verdict *verdict = &p->report.verdict[p->at];
    owm_status status = OWM_OK;
    if (!agrees)
        return fails(p, finding,
                     "the packages do not give the Gram matrix that the certificate names");
    if (strcmp(owm_screen_reason_name(verdict->reason), p->reason) != 0)
        return fails(p, finding, "the screening, done again, gives another verdict");
    if (verdict->severity != OWM_SCREEN_SIGNAL)
        return fails(p, finding,
                     "the screening, done again, rejects the package without a signal: odd, "
                     "not proven");
    *finding = OWM_EVIDENCE_HOLDS;
    const struct owm_screen_verdict *blind = &p->blind.verdict[p->at];
    if (blind->reason != verdict->reason || blind->severity != verdict->severity) {
        *finding = OWM_EVIDENCE_UNDECIDED;
        status = judge_loss(p, finding, error);
    }
    if (status == OWM_OK && *finding == OWM_EVIDENCE_HOLDS)
        (void)fprintf(p->source->out,
                      "The evidence holds: in round %lld the node signed a package, and %s "
                      "(norm %.6g, median of %u packages %.6g, loss change %+.4f bits per byte).\n",
                      (long long)p->round, owm_screen_reason_text(verdict->reason), verdict->norm,
                      p->certificate.count, p->report.median_norm,
                      isfinite(p->certificate.packages[p->at].loss_change)
                          ? p->certificate.packages[p->at].loss_change
                          : 0.0);
    return status;
}

static owm_status judge(struct poison *p, enum owm_finding *finding, struct owm_error *error)
{
    enum owm_delta_reason why = OWM_DELTA_NONE;
    bool agrees = false;
    owm_status status = fetch_certificate(p, error);
    if (status == OWM_E_NOTFOUND) return undecided(p, "the round's certificate is not to be had");
    if (status != OWM_OK) return status;
    if (!is_listed(p))
        return fails(p, finding, "the certificate is of another round, or names no such package");
    p->delta = calloc(p->certificate.count, sizeof(*p->delta));
    if (!p->delta) return OWM_E_NOMEM;
    for (uint32_t i = 0; i < p->certificate.count; i++) {
        status = decode(p, i, &why, error);
        if (status == OWM_E_NOTFOUND)
            return undecided(p, "not every package of the round is to be had");
        if (status != OWM_OK && why != OWM_DELTA_NONE)
            return fails(p, finding, owm_delta_reason_text(why));
        if (status != OWM_OK) return status;
    }
    status = screen(p, &agrees, error);
    return status == OWM_OK ? compare(p, agrees, finding, error) : status;
}

owm_status judge_poison(const struct owm_evidence_source *source, const json_t *bundle,
                        enum owm_finding *finding, struct owm_error *error)
{
    struct poison *p = calloc(1, sizeof(*p));
    if (!p) return OWM_E_NOMEM;
    p->source = source;
    *finding = OWM_EVIDENCE_UNDECIDED;
    owm_status status = read_bundle(bundle, p, error);
    if (status == OWM_OK) status = judge(p, finding, error);
    for (uint32_t i = 0; i < p->decoded; i++) owm_delta_free(&p->delta[i]);
    free(p->delta);
    certificate_free(&p->certificate);
    free(p);
    return status;
}

/* certificate.c: a round's certificate back from its JSON (dataplane/fl/certificate.c writes it).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "controlplane/admin/evidence_internal.h"

void certificate_free(struct certificate *certificate)
{
    free(certificate->packages);
    free(certificate->gram);
    certificate->packages = NULL;
    certificate->gram = NULL;
}

static owm_status read_rule(const json_t *policy, enum owm_rule *rule, struct owm_error *error)
{
    const char *name = NULL;
    owm_status status = owm_json_string(policy, "policy", "rule", &name, error);
    if (status != OWM_OK) return status;
    for (int i = OWM_RULE_STACK; i <= OWM_RULE_MEDIAN; i++) {
        if (strcmp(name, owm_rule_name((enum owm_rule)i)) != 0) continue;
        *rule = (enum owm_rule)i;
        return OWM_OK;
    }
    return owm_fail(error, OWM_E_PROTO, "policy.rule is not known");
}

static owm_status read_policy(const json_t *root, struct owm_aggregate_policy *p,
                              struct owm_error *error)
{
    const json_t *policy = NULL;
    double rate = 0, momentum = 0;
    int64_t steps = 0;
    owm_status status = owm_json_object(root, "", "policy", &policy, error);
    if (status != OWM_OK) return status;
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"clip_norm", &p->clip_norm},
                   {"fault_share", &p->fault_share},
                   {"weight_max", &p->weight_max},
                   {"learning_rate", &rate},
                   {"momentum", &momentum},
                   {"k", &p->screen.k},
                   {"dead_band", &p->screen.dead_band},
                   {"floor", &p->screen.floor},
                   {"ceiling", &p->screen.ceiling},
                   {"duplicate_cos", &p->screen.duplicate_cos},
                   {"loss_margin", &p->screen.loss_margin},
                   {"loss_share", &p->screen.loss_share},
                   {"loss_fast", &p->screen.loss_fast}};
    for (size_t i = 0; status == OWM_OK && i < sizeof(numbers) / sizeof(numbers[0]); i++)
        status = owm_json_real(policy, "policy", numbers[i].key, numbers[i].out, error);
    if (status == OWM_OK) status = read_rule(policy, &p->rule, error);
    if (status == OWM_OK)
        status = owm_json_bool(policy, "policy", "screening", &p->screening, error);
    if (status == OWM_OK) status = owm_json_bool(policy, "policy", "clip", &p->clip, error);
    if (status == OWM_OK)
        status = owm_json_int(policy, "policy", "weiszfeld_steps", (struct owm_json_range){0, 1000},
                              &steps, error);
    p->learning_rate = (float)rate;
    p->momentum = (float)momentum;
    p->weiszfeld_steps = (uint32_t)steps;
    return status;
}

static owm_status read_package(const json_t *object, struct owm_fl_package *package,
                               struct owm_error *error)
{
    int64_t arrival = 0;
    if (!json_is_object(object))
        return owm_fail(error, OWM_E_PROTO, "packages: an object was expected");
    owm_status status = evidence_hex(object, "node", package->node_key, 32, error);
    if (status == OWM_OK) status = evidence_hex(object, "sha256", package->sha256, 32, error);
    if (status == OWM_OK)
        status = owm_json_int(object, "package", "arrival_ms",
                              (struct owm_json_range){0, INT64_MAX}, &arrival, error);
    if (status == OWM_OK)
        status = owm_json_real(object, "package", "prior", &package->prior, error);
    if (status == OWM_OK)
        status =
            owm_json_real_or(object, "package", "loss_change", NAN, &package->loss_change, error);
    package->arrival_ms = (uint64_t)arrival;
    return status;
}

static owm_status read_packages(const json_t *root, struct certificate *c, struct owm_error *error)
{
    const json_t *list = NULL;
    owm_status status = owm_json_array(root, "", "packages", &list, error);
    if (status != OWM_OK) return status;
    size_t count = json_array_size(list);
    if (count == 0 || count > OWM_SPARSE_PACKAGES_MAX)
        return owm_fail(error, OWM_E_PROTO, "packages: from 1 to %d were expected",
                        (int)OWM_SPARSE_PACKAGES_MAX);
    c->count = (uint32_t)count;
    c->packages = calloc(count, sizeof(*c->packages));
    c->gram = calloc(count * count, sizeof(*c->gram));
    if (!c->packages || !c->gram) return OWM_E_NOMEM;
    for (size_t i = 0; status == OWM_OK && i < count; i++)
        status = read_package(json_array_get(list, i), &c->packages[i], error);
    return status;
}

/* The lower triangle, row by row. */
static owm_status read_gram(const json_t *root, struct certificate *c, struct owm_error *error)
{
    const json_t *rows = NULL;
    owm_status status = owm_json_array(root, "", "gram", &rows, error);
    if (status != OWM_OK) return status;
    for (uint32_t i = 0; i < c->count; i++) {
        const json_t *row = json_array_get(rows, i);
        for (uint32_t j = 0; j <= i; j++) {
            const json_t *value = json_array_get(row, j);
            if (!json_is_number(value))
                return owm_fail(error, OWM_E_PROTO, "gram[%u][%u]: a number was expected", i, j);
            c->gram[(size_t)i * c->count + j] = c->gram[(size_t)j * c->count + i] =
                json_number_value(value);
        }
    }
    return OWM_OK;
}

owm_status certificate_read(const char *text, size_t bytes, struct certificate *c,
                            struct owm_error *error)
{
    json_t *root = NULL;
    const char *format = NULL;
    int64_t round = 0, parameters = 0;
    memset(c, 0, sizeof(*c));
    owm_status status = owm_json_parse(text, bytes, OWM_CERTIFICATE_BYTES_MAX, &root, error);
    if (status == OWM_OK) status = owm_json_string(root, "", "format", &format, error);
    if (status == OWM_OK && strcmp(format, "owm-round-certificate-1") != 0)
        status = owm_fail(error, OWM_E_PROTO, "this is no certificate of a round");
    if (status == OWM_OK)
        status =
            owm_json_int(root, "", "round", (struct owm_json_range){0, UINT32_MAX}, &round, error);
    if (status == OWM_OK)
        status =
            owm_json_int(root, "", "parameters",
                         (struct owm_json_range){1, OWM_DELTA_PARAMETERS_MAX}, &parameters, error);
    if (status == OWM_OK) status = evidence_hex(root, "base_sha256", c->base_sha256, 32, error);
    if (status == OWM_OK) status = evidence_hex(root, "new_sha256", c->new_sha256, 32, error);
    if (status == OWM_OK) status = read_policy(root, &c->policy, error);
    if (status == OWM_OK) status = read_packages(root, c, error);
    if (status == OWM_OK) status = read_gram(root, c, error);
    c->round = (uint64_t)round;
    c->parameters = (uint32_t)parameters;
    json_decref(root);
    if (status != OWM_OK) certificate_free(c);
    return status;
}

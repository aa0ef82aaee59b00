/* cln_method.c: Core Lightning's methods, which role may have which, and whether a rune fits.
 *
 * A rune is judged by asking lightningd about samples: every method of ours, every foreign one that
 * could do harm, and a name that no method has, which only a rune without a list of methods lets
 * through.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cln.h"

#define RECIPE_BYTES 512
#define ROLES        (OWM_LIGHTNING_OPERATOR + 1)

static const struct method {
    const char *name;
    unsigned may, must;
} methods[CLN_METHODS] = {
#define X(name, may, must) {#name, may, must},
    CLN_METHOD_MAP(X)
#undef X
};

/* What no role of ours may do. */
static const char *const foreign[] = {
    "owm-is-no-method", "withdraw",     "multiwithdraw",    "txprepare",  "txsend",
    "fundpsbt",         "sendpsbt",     "multifundchannel", "sendpay",    "sendonion",
    "keysend",          "renepay",      "createrune",       "showrunes",  "blacklistrune",
    "delpay",           "delinvoice",   "setconfig",        "setchannel", "plugin",
    "makesecret",       "exposesecret", "datastore",        "stop",
};

/* close with less than, and with more than the two parameters that force it: a close that the peer
 * agrees to can name an address, and takes the treasury's money there. */
static const char *const closes[] = {
    "{}",
    "{\"id\": \"1x1x1\"}",
    "{\"id\": \"1x1x1\", \"unilateraltimeout\": 172800}",
    "{\"id\": \"1x1x1\", \"unilateraltimeout\": 1, \"destination\": \"1\"}",
};
#define CLOSE_FORCED "{\"id\": \"1x1x1\", \"unilateraltimeout\": 1}"

const char *cln_method_name(enum cln_method method)
{
    return methods[method].name;
}

/* ------------------------------------------------------------------------------ recipes */

static void recipe_write(enum owm_lightning_role role, char text[RECIPE_BYTES])
{
    int at = snprintf(text, RECIPE_BYTES, "lightning-cli -k createrune restrictions='[");
    const char *before = "[";
    for (int i = 0; i < CLN_METHODS; i++) {
        if (!(methods[i].may & 1u << role)) continue;
        at += snprintf(text + at, (size_t)(RECIPE_BYTES - at), "%s\"method=%s\"", before,
                       methods[i].name);
        before = ",";
        OWM_ASSERT(at < RECIPE_BYTES);
    }
    at += snprintf(text + at, (size_t)(RECIPE_BYTES - at), "]%s]'",
                   role == OWM_LIGHTNING_SLASH ? ",[\"method/close\",\"pnameunilateraltimeout=1\"],"
                                                 "[\"method/close\",\"pnum=2\"]"
                                               : "");
    OWM_ASSERT(at < RECIPE_BYTES);
}

static char recipes[ROLES][RECIPE_BYTES];

static void recipes_write(void)
{
    for (int role = 0; role < ROLES; role++) recipe_write(role, recipes[role]);
}

const char *cln_role_recipe(enum owm_lightning_role role)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, recipes_write);
    return recipes[role];
}

/* ------------------------------------------------------------------------------- judging */

static owm_status ask_about(struct cln *cln, const char *method, const char *params, bool *allowed,
                            struct owm_error *error)
{
    struct cln_reply reply;
    struct owm_error refusal = {{0}};
    json_t *question = json_pack("{s:s, s:s, s:o}", "rune", cln->rune, "method", method, "params",
                                 json_loads(params, 0, NULL));
    owm_status status = cln_call(cln, (struct cln_ask){.method = CLN_checkrune, .params = question},
                                 &reply, &refusal);
    *allowed = status == OWM_OK && json_is_true(json_object_get(reply.result, "valid"));
    cln_reply_free(&reply);
    if (status == OWM_OK || status == OWM_E_PERM) return OWM_OK;
    return owm_fail(error, status, "%s", refusal.text);
}

static owm_status demand(struct cln *cln, const char *method, const char *params, bool wanted,
                         struct owm_error *error)
{
    bool allowed;
    owm_status status = ask_about(cln, method, params, &allowed, error);
    if (status != OWM_OK || allowed == wanted) return status;
    return owm_fail(error, OWM_E_CONFIG,
                    wanted ? "Core Lightning: this rune lacks what the role %s needs (%s); make: %s"
                           : "Core Lightning: this rune may do more than the role %s (%s); make: "
                             "%s",
                    owm_lightning_role_name(cln->role), method, cln_role_recipe(cln->role));
}

static owm_status judge_closes(struct cln *cln, struct owm_error *error)
{
    owm_status status = demand(cln, "close", CLOSE_FORCED, true, error);
    for (size_t i = 0; i < sizeof closes / sizeof closes[0] && status == OWM_OK; i++)
        status = demand(cln, "close", closes[i], false, error);
    return status;
}

owm_status cln_role_judge(struct cln *cln, struct owm_error *error)
{
    owm_status status = OWM_OK;
    if (!cln->rune) return OWM_OK;
    for (int i = 0; i < CLN_METHODS && status == OWM_OK; i++) {
        if (!(methods[i].may & 1u << cln->role))
            status = demand(cln, methods[i].name, "{}", false, error);
        else if (methods[i].must & 1u << cln->role)
            status = demand(cln, methods[i].name, "{}", true, error);
    }
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0] && status == OWM_OK; i++)
        status = demand(cln, foreign[i], "{}", false, error);
    if (status == OWM_OK && cln->role == OWM_LIGHTNING_SLASH) status = judge_closes(cln, error);
    return status;
}

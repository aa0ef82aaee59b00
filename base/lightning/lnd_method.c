/* lnd_method.c: LND's methods, which role may have which, and whether a macaroon fits. */
#include <stdio.h>
#include <string.h>

#include "lnd.h"

#define RECIPE_BYTES 512
#define ROLES        (OWM_LIGHTNING_OPERATOR + 1)
#define SHOWN_MAX    50 /* of an operation in a sentence, which also has to hold a recipe */

static const struct method {
    const char *path, *service, *name;
    const ProtobufCMessageDescriptor *answer;
    unsigned may, must;
} methods[LND_METHODS] = {
#define X(name, service, answer, may, must)                                                        \
    {"/" service "/" #name, service, #name, &lnrpc__##answer##__descriptor, may, must},
    LND_METHOD_MAP(X)
#undef X
};

const char *lnd_method_path(enum lnd_method method)
{
    return methods[method].path;
}

const char *lnd_method_name(enum lnd_method method)
{
    return methods[method].name;
}

const ProtobufCMessageDescriptor *lnd_method_answer(enum lnd_method method)
{
    return methods[method].answer;
}

/* ------------------------------------------------------------------------------ recipes */

/* Methods of one service in braces, which bash spreads into one argument each; each role has two or
 * more of a service, or the braces would stay. */
static void recipe_write(enum owm_lightning_role role, char text[RECIPE_BYTES])
{
    const char *service = NULL;
    const char *name = owm_lightning_role_name(role);
    int at = snprintf(text, RECIPE_BYTES,
                      "lncli bakemacaroon --root_key_id %d --save_to owm-%s.macaroon", 7000 + role,
                      name);
    for (int i = 0; i < LND_METHODS; i++) {
        const struct method *method = &methods[i];
        if (!(method->may & 1u << role)) continue;
        bool same = service && strcmp(service, method->service) == 0;
        if (same)
            at += snprintf(text + at, (size_t)(RECIPE_BYTES - at), ",%s", method->name);
        else
            at += snprintf(text + at, (size_t)(RECIPE_BYTES - at), "%s uri:/%s/{%s",
                           service ? "}" : "", method->service, method->name);
        OWM_ASSERT(at < RECIPE_BYTES - 1);
        service = method->service;
    }
    text[at++] = '}';
    text[at] = 0;
}

static char recipes[ROLES][RECIPE_BYTES];

static void recipes_write(void)
{
    for (int role = 0; role < ROLES; role++) recipe_write(role, recipes[role]);
}

const char *lnd_role_recipe(enum owm_lightning_role role)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, recipes_write);
    return recipes[role];
}

/* ------------------------------------------------------------------------------- judging */

/* The method that an operation grants; LND_METHODS if it is none of ours or wider than one. */
static int method_of(const struct macaroon *macaroon, const struct macaroon_op *op)
{
    const char *text = (const char *)macaroon->bytes;
    if (op->entity_bytes != 3 || memcmp(text + op->entity_at, "uri", 3) != 0) return LND_METHODS;
    int i = 0;
    while (i < LND_METHODS
           && (strlen(methods[i].path) != op->action_bytes
               || memcmp(text + op->action_at, methods[i].path, op->action_bytes) != 0))
        i++;
    return i;
}

static owm_status too_wide(enum owm_lightning_role role, const struct macaroon *macaroon,
                           const struct macaroon_op *op, struct owm_error *error)
{
    const char *bytes = (const char *)macaroon->bytes;
    int entity = op->entity_bytes < SHOWN_MAX ? op->entity_bytes : SHOWN_MAX;
    int action = op->action_bytes < SHOWN_MAX ? op->action_bytes : SHOWN_MAX;
    return owm_fail(error, OWM_E_CONFIG,
                    "LND: this macaroon may do more than the role %s (%.*s:%.*s); bake: %s",
                    owm_lightning_role_name(role), entity, bytes + op->entity_at, action,
                    bytes + op->action_at, lnd_role_recipe(role));
}

owm_status lnd_role_judge(enum owm_lightning_role role, const struct macaroon *macaroon,
                          uint32_t *granted, struct owm_error *error)
{
    *granted = 1u << LND_GetState;
    for (size_t i = 0; i < macaroon->op_count; i++) {
        const struct macaroon_op *op = &macaroon->ops[i];
        int method = method_of(macaroon, op);
        if (method == LND_METHODS || !(methods[method].may & 1u << role))
            return too_wide(role, macaroon, op, error);
        *granted |= 1u << method;
    }
    for (int i = 0; i < LND_METHODS; i++)
        if (methods[i].must & 1u << role && !(*granted & 1u << i))
            return owm_fail(error, OWM_E_CONFIG,
                            "LND: this macaroon lacks what the role %s needs (uri:%s); bake: %s",
                            owm_lightning_role_name(role), methods[i].path, lnd_role_recipe(role));
    return OWM_OK;
}

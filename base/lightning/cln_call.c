/* cln_call.c: calls of lightningd, each after its rune was asked about. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cln.h"

#define CODE_RUNE_FIRST 1501 /* not authorised, not permitted, blacklisted */
#define CODE_RUNE_LAST  1503

/* What the caller's answer is to be if no reply came, or none that could be read. */
static owm_status no_reply(const struct cln *cln, enum cln_method method, owm_status status,
                           struct owm_error *error)
{
    const char *name = cln_method_name(method);
    switch (status) {
    case OWM_E_TIMEOUT:
        return owm_fail(error, status,
                        "Core Lightning at %s: %s: no answer in time; the request may have been "
                        "taken",
                        cln->path, name);
    case OWM_E_NET:
        return owm_fail(error, OWM_E_TIMEOUT,
                        "Core Lightning at %s: %s: lightningd hung up before it had answered; the "
                        "request may have been taken",
                        cln->path, name);
    case OWM_E_LIMIT:
        return owm_fail(error, OWM_E_PROTO,
                        "Core Lightning at %s: %s: an answer of more than %d "
                        "MiB",
                        cln->path, name, CLN_REPLY_BYTES_MAX >> 20);
    default:
        return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    }
}

static owm_status refused(const struct cln *cln, enum cln_method method,
                          const struct cln_reply *reply, struct owm_error *error)
{
    owm_status status = OWM_E_STATE;
    if (reply->code == CLN_CODE_NO_METHOD) status = OWM_E_UNSUPPORTED;
    if (reply->code >= CODE_RUNE_FIRST && reply->code <= CODE_RUNE_LAST) status = OWM_E_PERM;
    return owm_fail(error, status, "Core Lightning at %s: %s: %.200s (%" PRId64 ")", cln->path,
                    cln_method_name(method), reply->message, reply->code);
}

owm_status cln_nonsense(enum cln_method method, owm_status status, struct owm_error *error)
{
    if (status == OWM_E_NOMEM) return owm_fail(error, status, "Core Lightning: out of memory");
    if (status != OWM_E_PROTO) return status;
    return owm_fail(error, status, "Core Lightning: %s: an answer that makes no sense",
                    cln_method_name(method));
}

/* The request's text, malloc'ed; NULL: out of memory. Takes params. */
static char *request_text(struct cln_ask *ask)
{
    json_t *filter = ask->filter ? json_loads(ask->filter, 0, NULL) : NULL;
    OWM_ASSERT(!ask->filter || filter);
    json_t *request =
        json_pack("{s:s, s:s, s:s, s:o?, s:o*}", "jsonrpc", "2.0", "id", "owm", "method",
                  cln_method_name(ask->method), "params", ask->params, "filter", filter);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    return text;
}

static owm_status send_request(const struct cln *cln, struct cln_ask *ask, uint64_t until_ms,
                               struct cln_wire *wire, struct owm_error *error)
{
    *wire = (struct cln_wire){.fd = -1};
    if (!ask->params) return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    char *text = request_text(ask);
    if (!text) return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    owm_status status = cln_wire_send(cln->path, text, until_ms, wire, error);
    free(text);
    return status;
}

owm_status cln_call_end(struct cln *cln, enum cln_method method, struct cln_wire *wire,
                        uint64_t until_ms, struct cln_reply *reply, struct owm_error *error)
{
    *reply = (struct cln_reply){0};
    owm_status status = cln_wire_receive(wire, until_ms);
    if (status != OWM_OK) return no_reply(cln, method, status, error);
    struct owm_error why = {{0}};
    status = cln_reply_parse(wire->bytes, wire->count, reply, &why);
    if (status == OWM_E_NOMEM) return cln_nonsense(method, status, error);
    if (status != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "Core Lightning at %s: %s: no JSON-RPC reply: %s",
                        cln->path, cln_method_name(method), why.text);
    return reply->result ? OWM_OK : refused(cln, method, reply, error);
}

static unsigned timeout_of(const struct cln *cln, const struct cln_ask *ask)
{
    return ask->timeout_ms ? ask->timeout_ms : cln->timeout_ms;
}

/* Does the rune let it through? The answer is an error if not. */
static owm_status check_rune(struct cln *cln, const struct cln_ask *ask, struct owm_error *error)
{
    if (!cln->rune || ask->method == CLN_checkrune) return OWM_OK;
    struct cln_reply reply;
    json_t *params = json_pack("{s:s, s:s, s:O}", "rune", cln->rune, "method",
                               cln_method_name(ask->method), "params", ask->params);
    owm_status status =
        cln_call(cln, (struct cln_ask){.method = CLN_checkrune, .params = params}, &reply, error);
    cln_reply_free(&reply);
    /* The call itself was not made, whatever became of the question. */
    return status == OWM_E_TIMEOUT ? OWM_E_NET : status;
}

owm_status cln_call_begin(struct cln *cln, struct cln_ask ask, struct cln_wire *wire,
                          struct owm_error *error)
{
    *wire = (struct cln_wire){.fd = -1};
    owm_status status = ask.params ? check_rune(cln, &ask, error) : OWM_OK;
    if (status != OWM_OK) {
        json_decref(ask.params);
        return status;
    }
    return send_request(cln, &ask, owm_clock_mono_ms() + timeout_of(cln, &ask), wire, error);
}

owm_status cln_call(struct cln *cln, struct cln_ask ask, struct cln_reply *reply,
                    struct owm_error *error)
{
    uint64_t until_ms = owm_clock_mono_ms() + timeout_of(cln, &ask);
    struct cln_wire wire;
    *reply = (struct cln_reply){0};
    owm_status status = cln_call_begin(cln, ask, &wire, error);
    if (status == OWM_OK) status = cln_call_end(cln, ask.method, &wire, until_ms, reply, error);
    cln_wire_close(&wire);
    return status;
}

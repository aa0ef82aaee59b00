/* bitcoin_reply.c: the envelope of a reply, and what is in it. */
#include "bitcoin_reply.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define CONFIRMATIONS_MAX 100000000

static const char *const network_names[] = {
    [OWM_MAINNET] = "main",
    [OWM_TESTNET4] = "testnet4",
    [OWM_SIGNET] = "signet",
    [OWM_REGTEST] = "regtest",
};

/* A copy that is safe in a sentence, a log and a label. */
static void copy_printable(char *out, size_t room, const char *text)
{
    size_t n = 0;
    for (; text[n] && n + 1 < room; n++)
        out[n] = (unsigned char)text[n] >= ' ' && (unsigned char)text[n] < 0x7f ? text[n] : '?';
    out[n] = 0;
}

/* --- the envelope: a walk over the top level, strings skipped, brackets counted ------------- */

struct walk {
    const char *at, *end;
};

static void skip_space(struct walk *walk)
{
    while (walk->at < walk->end && strchr(" \t\r\n", *walk->at) && *walk->at) walk->at++;
}

static bool skip_char(struct walk *walk, char wanted)
{
    skip_space(walk);
    if (walk->at == walk->end || *walk->at != wanted) return false;
    walk->at++;
    return true;
}

/* From an opening quote to behind the closing one. An odd run of backslashes escapes a quote. */
static bool skip_string(struct walk *walk)
{
    const char *begin = ++walk->at, *quote;
    while ((quote = memchr(walk->at, '"', (size_t)(walk->end - walk->at)))) {
        const char *slash = quote;
        while (slash > begin && slash[-1] == '\\') slash--;
        walk->at = quote + 1;
        if ((quote - slash) % 2 == 0) return true;
    }
    return false;
}

static bool skip_nested(struct walk *walk)
{
    size_t depth = 0;
    while (walk->at < walk->end) {
        char c = *walk->at;
        if (c == '"') {
            if (!skip_string(walk)) return false;
            continue;
        }
        walk->at++;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) return true;
    }
    return false;
}

static bool skip_value(struct walk *walk)
{
    skip_space(walk);
    if (walk->at == walk->end) return false;
    if (*walk->at == '"') return skip_string(walk);
    if (*walk->at == '{' || *walk->at == '[') return skip_nested(walk);
    const char *begin = walk->at;
    while (walk->at < walk->end && !strchr(",]} \t\r\n", *walk->at)) walk->at++;
    return walk->at > begin;
}

struct view {
    const char *text;
    size_t bytes;
};

static bool view_is(const struct view *view, const char *text)
{
    return view->bytes == strlen(text) && memcmp(view->text, text, view->bytes) == 0;
}

/* One member; false: malformed, or `result` or `error` twice. */
static bool take_member(struct walk *walk, struct view *result, struct view *failure)
{
    skip_space(walk);
    if (walk->at == walk->end || *walk->at != '"') return false;
    struct view key = {walk->at, 0}, value;
    if (!skip_string(walk)) return false;
    key.bytes = (size_t)(walk->at - key.text);
    if (!skip_char(walk, ':')) return false;
    skip_space(walk);
    value.text = walk->at;
    if (!skip_value(walk)) return false;
    value.bytes = (size_t)(walk->at - value.text);
    struct view *place = view_is(&key, "\"result\"")  ? result
                         : view_is(&key, "\"error\"") ? failure
                                                      : NULL;
    if (!place) return true;
    if (place->text) return false;
    *place = value;
    return true;
}

static bool cut_envelope(const char *text, size_t bytes, struct view *result, struct view *failure)
{
    struct walk walk = {text, text + bytes};
    if (!skip_char(&walk, '{')) return false;
    do {
        if (!take_member(&walk, result, failure)) return false;
    } while (skip_char(&walk, ','));
    if (!skip_char(&walk, '}')) return false;
    skip_space(&walk);
    return walk.at == walk.end && (result->text || failure->text);
}

/* --- parts ----------------------------------------------------------------------------------- */

static owm_status parse(const char *json, size_t bytes, json_t **value, struct owm_error *error)
{
    return owm_json_parse(json, bytes, OWM_BITCOIN_RESULT_BYTES_MAX, value, error);
}

static owm_status read_failure(const struct view *failure, struct owm_bitcoin_reply *reply,
                               struct owm_error *error)
{
    json_t *value = NULL;
    const char *message = "";
    owm_status status = parse(failure->text, failure->bytes, &value, error);
    if (status == OWM_OK)
        status = owm_json_int(value, "error", "code", (struct owm_json_range){INT32_MIN, INT32_MAX},
                              &reply->code, error);
    if (status == OWM_OK)
        status = owm_json_string_or(value, "error", "message", "", &message, error);
    if (status == OWM_OK) {
        reply->failed = true;
        copy_printable(reply->message, sizeof reply->message, message);
    }
    json_decref(value);
    return status;
}

owm_status owm_bitcoin_reply_read(const char *text, size_t bytes, struct owm_bitcoin_reply *reply,
                                  struct owm_error *error)
{
    struct view result = {0}, failure = {0};
    *reply = (struct owm_bitcoin_reply){.result = "null", .result_bytes = 4};
    if (!cut_envelope(text, bytes, &result, &failure))
        return owm_fail(error, OWM_E_PROTO, "the reply is no JSON-RPC envelope");
    if (result.text) {
        reply->result = result.text;
        reply->result_bytes = result.bytes;
    }
    if (!failure.text || view_is(&failure, "null")) return OWM_OK;
    return read_failure(&failure, reply, error);
}

static owm_status read_count(const json_t *value, const char *where, const char *key,
                             uint32_t *count, struct owm_error *error)
{
    int64_t number = 0;
    owm_status status =
        owm_json_int_or(value, where, key, (struct owm_json_range){0, UINT32_MAX}, &number, error);
    *count = (uint32_t)number;
    return status;
}

static owm_status read_chain(const json_t *value, struct owm_bitcoin_chain *chain,
                             struct owm_error *error)
{
    static const char *const where = "getblockchaininfo";
    const char *name = "";
    owm_status status = owm_json_string(value, where, "chain", &name, error);
    if (status != OWM_OK) return status;
    copy_printable(chain->name, sizeof chain->name, name);
    status = read_count(value, where, "blocks", &chain->blocks, error);
    if (status != OWM_OK) return status;
    status = read_count(value, where, "headers", &chain->headers, error);
    if (status != OWM_OK) return status;
    return owm_json_bool_or(value, where, "initialblockdownload", false, &chain->downloading,
                            error);
}

owm_status owm_bitcoin_chain_read(const char *json, size_t bytes, struct owm_bitcoin_chain *chain,
                                  struct owm_error *error)
{
    json_t *value = NULL;
    *chain = (struct owm_bitcoin_chain){0};
    owm_status status = parse(json, bytes, &value, error);
    if (status == OWM_OK) status = read_chain(value, chain, error);
    json_decref(value);
    return status;
}

static owm_status read_peer(const json_t *value, struct owm_bitcoin_peer *peer,
                            struct owm_error *error)
{
    static const char *const where = "getnetworkinfo";
    const char *subversion = "";
    owm_status status = owm_json_string_or(value, where, "subversion", "", &subversion, error);
    if (status != OWM_OK) return status;
    copy_printable(peer->subversion, sizeof peer->subversion, subversion);
    status = read_count(value, where, "version", &peer->version, error);
    if (status != OWM_OK) return status;
    return read_count(value, where, "connections", &peer->connections, error);
}

owm_status owm_bitcoin_peer_read(const char *json, size_t bytes, struct owm_bitcoin_peer *peer,
                                 struct owm_error *error)
{
    json_t *value = NULL;
    *peer = (struct owm_bitcoin_peer){0};
    owm_status status = parse(json, bytes, &value, error);
    if (status == OWM_OK) status = read_peer(value, peer, error);
    json_decref(value);
    return status;
}

owm_status owm_bitcoin_confirmations_read(const char *json, size_t bytes, int64_t *confirmations,
                                          struct owm_error *error)
{
    json_t *value = NULL;
    owm_status status = parse(json, bytes, &value, error);
    if (status == OWM_OK)
        status = owm_json_int(value, "getblockheader", "confirmations",
                              (struct owm_json_range){-1, CONFIRMATIONS_MAX}, confirmations, error);
    json_decref(value);
    return status;
}

/* BIP 22's reasons; btcd writes "rejected: already have block …" for a duplicate. */
static enum owm_bitcoin_opinion opinion_of(const char *reason)
{
    if (strcmp(reason, "duplicate") == 0) return OWM_BITCOIN_ACCEPTED;
    if (strncmp(reason, "rejected: already have block", 28) == 0) return OWM_BITCOIN_ACCEPTED;
    if (strcmp(reason, "inconclusive") == 0) return OWM_BITCOIN_UNDECIDED;
    if (strcmp(reason, "duplicate-inconclusive") == 0) return OWM_BITCOIN_UNDECIDED;
    return OWM_BITCOIN_REJECTED;
}

owm_status owm_bitcoin_verdict_read(const char *json, size_t bytes,
                                    struct owm_bitcoin_verdict *verdict, struct owm_error *error)
{
    json_t *value = NULL;
    *verdict = (struct owm_bitcoin_verdict){OWM_BITCOIN_ACCEPTED, "accepted"};
    owm_status status = parse(json, bytes, &value, error);
    if (status != OWM_OK) return status;
    const char *reason = json_string_value(value);
    if (reason) {
        verdict->opinion = opinion_of(reason);
        copy_printable(verdict->reason, sizeof verdict->reason, reason);
    } else if (!json_is_null(value)) {
        status = owm_fail(error, OWM_E_PROTO, "submitblock: neither null nor a reason");
    }
    json_decref(value);
    return status;
}

const char *owm_bitcoin_network_name(enum owm_network network)
{
    return network_names[network];
}

bool owm_bitcoin_network_fits(enum owm_network network, const char *chain)
{
    if (strcmp(chain, network_names[network]) == 0) return true;
    if (network == OWM_MAINNET) return strcmp(chain, "mainnet") == 0; /* btcd's name for it. */
    return network == OWM_REGTEST && strcmp(chain, "simnet") == 0;
}

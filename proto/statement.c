/* statement.c: see statement.h. */
#include "proto/statement.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define HEAD          "owm-stake-1:"
#define NETWORK_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define TIME_DIGITS   10

static bool is_network(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && strspn(name, NETWORK_CHARS) == bytes;
}

owm_status owm_statement_format(const struct owm_statement *statement,
                                char text[OWM_STATEMENT_BYTES])
{
    char coordinator[17], node[65], seal[33];
    if (!is_network(statement->network) || statement->expires_s < 0
        || statement->expires_s > INT64_C(9999999999))
        return OWM_E_ARG;
    owm_hex_encode(statement->coordinator, 8, coordinator);
    owm_hex_encode(statement->node_key, 32, node);
    owm_hex_encode(statement->seal, OWM_STATEMENT_SEAL_BYTES, seal);
    snprintf(text, OWM_STATEMENT_BYTES, HEAD "%s:%s:%s:%0*" PRId64 ":%s", statement->network,
             coordinator, node, TIME_DIGITS, statement->expires_s, seal);
    return OWM_OK;
}

/* The field up to the next colon, or to the end; false if it has not exactly `chars`. */
static bool take(const char **at, char *field, size_t chars, char end)
{
    if (strnlen(*at, chars + 1) < chars || memchr(*at, ':', chars) || (*at)[chars] != end)
        return false;
    memcpy(field, *at, chars);
    field[chars] = 0;
    *at += chars + (end ? 1 : 0);
    return true;
}

owm_status owm_statement_parse(const char *text, struct owm_statement *statement)
{
    struct owm_statement s = {0};
    char coordinator[17], node[65], time[TIME_DIGITS + 1], seal[33], again[OWM_STATEMENT_BYTES];
    const char *at = text + strlen(HEAD);
    if (strncmp(text, HEAD, strlen(HEAD)) != 0) return OWM_E_PROTO;
    size_t network = strcspn(at, ":");
    if (network >= sizeof(s.network) || !take(&at, s.network, network, ':')
        || !take(&at, coordinator, 16, ':') || !take(&at, node, 64, ':')
        || !take(&at, time, TIME_DIGITS, ':') || !take(&at, seal, 32, 0)
        || strspn(time, "0123456789") != TIME_DIGITS)
        return OWM_E_PROTO;
    s.expires_s = strtoll(time, NULL, 10);
    if (owm_hex_decode(coordinator, s.coordinator, 8) != OWM_OK
        || owm_hex_decode(node, s.node_key, 32) != OWM_OK
        || owm_hex_decode(seal, s.seal, OWM_STATEMENT_SEAL_BYTES) != OWM_OK
        || owm_statement_format(&s, again) != OWM_OK || strcmp(again, text) != 0)
        return OWM_E_PROTO;
    *statement = s;
    return OWM_OK;
}

owm_status owm_statement_names(const char *text, const char *network,
                               const uint8_t coordinator_key[static 32],
                               const uint8_t node_key[static 32], struct owm_error *error)
{
    struct owm_statement statement;
    if (owm_statement_parse(text, &statement) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO,
                        "the text that the Lightning node shall sign is no "
                        "stake statement; do not sign it");
    if (strcmp(statement.network, network) != 0
        || memcmp(statement.coordinator, coordinator_key, sizeof(statement.coordinator)) != 0)
        return owm_fail(error, OWM_E_CRYPTO,
                        "the stake statement is for another network or "
                        "coordinator; do not sign it");
    if (memcmp(statement.node_key, node_key, 32) != 0)
        return owm_fail(error, OWM_E_CRYPTO,
                        "the stake statement is about another node's key; do "
                        "not sign it, it would give away your stake");
    return OWM_OK;
}

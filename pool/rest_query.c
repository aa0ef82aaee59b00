/* rest_query.c: see rest_query.h. */
#include "rest_query.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** parameter: the next field of a query as key and value; both are cut out of `query`. */
static bool parameter(char **query, char **key, char **value)
{
    if (!*query || !**query) return false;
    *key = strsep(query, "&");
    *value = strchr(*key, '=');
    if (*value)
        *(*value)++ = '\0';
    else
        *value = *key + strlen(*key);
    return true;
}

static bool is_hex(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

owm_status owm_query_miner(const char *name, const char *kind, struct owm_miner *miner,
                           struct owm_error *error)
{
    char text[OWM_MINER_TEXT_BYTES];
    size_t bytes = strlen(name);
    bool node = strcmp(kind, "node") == 0 || (kind[0] == '\0' && is_hex(name));
    if (kind[0] != '\0' && !node && strcmp(kind, "name") != 0)
        return owm_fail(error, OWM_E_ARG, "kind is 'node' or 'name'");
    if (!node) bytes = strcspn(name, ".");
    if (bytes >= sizeof text)
        return owm_fail(error, OWM_E_ARG, "a miner's name has at most %zu bytes", sizeof text - 1);
    memcpy(text, name, bytes);
    text[bytes] = '\0';
    if (node && !is_hex(text))
        return owm_fail(error, OWM_E_ARG, "a node's id is its key: 64 hex digits");
    for (char *at = text; node && *at; at++) *at = (char)tolower((unsigned char)*at);
    if (!owm_miner_of(node ? OWM_MINER_NODE : OWM_MINER_NAMED, text, miner))
        return owm_fail(error, OWM_E_ARG,
                        "a miner is a name without control characters, or a node's key");
    return OWM_OK;
}

owm_status owm_query_node(const char *name, char *query, struct owm_miner *miner,
                          struct owm_error *error)
{
    const char *kind = "";
    char *key, *value;
    while (parameter(&query, &key, &value)) {
        if (strcmp(key, "kind") != 0)
            return owm_fail(error, OWM_E_ARG, "the only parameter here is kind=node or kind=name");
        kind = value;
    }
    return owm_query_miner(name, kind, miner, error);
}

owm_status owm_query_page_miner(const char *query, const char **name, struct owm_miner *miner,
                                struct owm_error *error)
{
    char kind[8] = "";
    *name = "";
    if (strncmp(query, "kind=", 5) == 0) {
        size_t bytes = strcspn(query + 5, "&");
        snprintf(kind, sizeof kind, "%.*s", bytes < sizeof kind ? (int)bytes : 7, query + 5);
        query += 5 + bytes;
        if (*query == '&') query++;
    }
    if (strncmp(query, "id=", 3) == 0) *name = query + 3;
    return owm_query_miner(*name, kind, miner, error);
}

owm_status owm_query_payouts(char *query, struct owm_query_page *page, struct owm_error *error)
{
    char *key, *value;
    *page = (struct owm_query_page){.limit = OWM_REST_PAYOUTS_DEFAULT, .before = ""};
    while (parameter(&query, &key, &value)) {
        if (strcmp(key, "before") == 0) {
            page->before = value;
        } else if (strcmp(key, "limit") == 0) {
            if (!value[0] || strlen(value) > 3 || strspn(value, "0123456789") != strlen(value))
                return owm_fail(error, OWM_E_ARG, "limit is a number");
            page->limit = strtoul(value, NULL, 10);
        } else {
            return owm_fail(error, OWM_E_ARG, "parameters here are limit and before");
        }
    }
    if (page->limit < 1 || page->limit > OWM_REST_PAYOUTS_MAX)
        return owm_fail(error, OWM_E_ARG, "limit is from 1 to %d", OWM_REST_PAYOUTS_MAX);
    return OWM_OK;
}

/* url.c: the address of a pool, taken apart. */
#include "url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataplane/sv2/authority.h"

#define SCHEME "stratum2+tcp://"

static owm_status check_scheme(const char *url, struct owm_error *error)
{
    if (strncmp(url, SCHEME, strlen(SCHEME)) == 0) return OWM_OK;
    if (strncmp(url, "stratum+", 8) == 0)
        return owm_fail(error, OWM_E_CONFIG,
                        "%.200s is a Stratum v1 address; give one that begins with " SCHEME, url);
    return owm_fail(error, OWM_E_CONFIG,
                    "'%.200s' is no pool: write " SCHEME "HOST:PORT/AUTHORITY_KEY", url);
}

static owm_status parse_port(const char *text, size_t length, uint16_t *port)
{
    char digits[6] = "";
    if (length == 0 || length >= sizeof digits) return OWM_E_CONFIG;
    memcpy(digits, text, length);
    char *end;
    unsigned long value = strtoul(digits, &end, 10);
    if (*end != '\0' || digits[0] < '0' || digits[0] > '9' || value == 0 || value > UINT16_MAX)
        return OWM_E_CONFIG;
    *port = (uint16_t)value;
    return OWM_OK;
}

static bool is_onion(const char *host)
{
    size_t length = strlen(host);
    if (length > 0 && host[length - 1] == '.') length--;
    return length >= 6 && strncasecmp(host + length - 6, ".onion", 6) == 0;
}

owm_status owm_mine_pool_parse(const char *url, struct owm_mine_pool *pool, struct owm_error *error)
{
    owm_status status = check_scheme(url, error);
    if (status != OWM_OK) return status;
    *pool = (struct owm_mine_pool){.port = OWM_MINE_PORT_DEFAULT};
    const char *place = url + strlen(SCHEME);
    size_t length = strcspn(place, "/");
    const char *key = place[length] == '/' ? place + length + 1 : "";

    bool bracketed = place[0] == '[';
    const char *host = bracketed ? place + 1 : place;
    size_t host_bytes = strcspn(host, bracketed ? "]/" : ":/");
    const char *behind = host + host_bytes + (bracketed && host[host_bytes] == ']' ? 1 : 0);
    if (host_bytes == 0 || host_bytes >= sizeof pool->host
        || (bracketed && host[host_bytes] != ']'))
        return owm_fail(error, OWM_E_CONFIG, "'%.200s' names no host", url);
    memcpy(pool->host, host, host_bytes);
    if (is_onion(pool->host))
        return owm_fail(error, OWM_E_CONFIG,
                        "%.200s: mining connections are clearnet only (latency); name the pool's "
                        "clearnet host",
                        pool->host);
    if (behind < place + length
        && (*behind != ':'
            || parse_port(behind + 1, (size_t)(place + length - behind - 1), &pool->port)
                   != OWM_OK))
        return owm_fail(error, OWM_E_CONFIG, "'%.200s': the port is a number from 1 to 65535", url);
    pool->has_authority = *key != '\0';
    return pool->has_authority ? owm_sv2_authority_parse(key, pool->authority, error) : OWM_OK;
}

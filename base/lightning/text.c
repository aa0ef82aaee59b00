/* text.c: funding points and node addresses as people write them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "lightning.h"

#define TXID_DIGITS 64
#define KEY_DIGITS  66
#define HOST_MAX    160

static void reverse(const uint8_t in[32], uint8_t out[32])
{
    for (size_t i = 0; i < 32; i++) out[i] = in[31 - i];
}

void owm_lightning_point_format(const struct owm_lightning_point *point,
                                char text[OWM_LIGHTNING_POINT_TEXT])
{
    uint8_t shown[32];
    reverse(point->txid, shown);
    owm_hex_encode(shown, sizeof shown, text);
    snprintf(text + TXID_DIGITS, OWM_LIGHTNING_POINT_TEXT - TXID_DIGITS, ":%" PRIu32, point->index);
}

/* Digits alone, no sign, no leading zero but "0" itself. */
static owm_status parse_u32(const char *text, uint32_t *value)
{
    uint64_t sum = 0;
    size_t digits = strlen(text);
    if (digits == 0 || digits > 10 || (digits > 1 && text[0] == '0')) return OWM_E_PROTO;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') return OWM_E_PROTO;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    if (sum > UINT32_MAX) return OWM_E_PROTO;
    *value = (uint32_t)sum;
    return OWM_OK;
}

/* The hex digits in front of `mark`; *rest is what follows it. */
static owm_status hex_before(const char *text, size_t digits, char mark, uint8_t *bytes,
                             const char **rest)
{
    char hex[KEY_DIGITS + 1];
    if (strnlen(text, digits) < digits || text[digits] != mark) return OWM_E_PROTO;
    memcpy(hex, text, digits);
    hex[digits] = 0;
    *rest = text + digits + 1;
    return owm_hex_decode(hex, bytes, digits / 2);
}

owm_status owm_lightning_point_parse(const char *text, struct owm_lightning_point *point)
{
    uint8_t shown[32];
    const char *index;
    owm_status status = hex_before(text, TXID_DIGITS, ':', shown, &index);
    if (status != OWM_OK) return status;
    reverse(shown, point->txid);
    return parse_u32(index, &point->index);
}

/* "host:port" with a port of 1 to 65535 and a host without anything but what host names, IPv4, IPv6
 * in brackets and onion addresses are written with. */
static owm_status check_host(const char *host)
{
    const char *colon = strrchr(host, ':');
    uint32_t port;
    if (!colon || colon == host || strlen(host) > HOST_MAX) return OWM_E_PROTO;
    size_t length = (size_t)(colon - host);
    bool brackets = host[0] == '[' && host[length - 1] == ']' && length > 2;
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    for (size_t i = brackets; i < length - brackets; i++)
        if (!strchr(letters, host[i]) && !(brackets && host[i] == ':')) return OWM_E_PROTO;
    owm_status status = parse_u32(colon + 1, &port);
    return status == OWM_OK && port >= 1 && port <= 65535 ? OWM_OK : OWM_E_PROTO;
}

owm_status owm_lightning_uri_parse(const char *uri, uint8_t key[OWM_LIGHTNING_KEY_BYTES],
                                   const char **host)
{
    owm_status status = hex_before(uri, KEY_DIGITS, '@', key, host);
    if (status != OWM_OK) return status;
    if (key[0] != 2 && key[0] != 3) return OWM_E_PROTO;
    return check_host(*host);
}

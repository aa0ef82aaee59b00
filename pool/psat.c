/* psat.c: see psat.h. */
#include "psat.h"

#include <string.h>

char *owm_psat_format(unsigned __int128 value, char text[OWM_PSAT_TEXT_BYTES])
{
    char *at = text + OWM_PSAT_TEXT_BYTES - 1;
    *at = 0;
    do *--at = (char)('0' + (int)(value % 10));
    while (value /= 10);
    return memmove(text, at, strlen(at) + 1);
}

owm_status owm_psat_parse(const char *text, unsigned __int128 *value)
{
    const unsigned __int128 most = ~(unsigned __int128)0;
    *value = 0;
    if (!*text) return OWM_E_PROTO;
    for (; *text; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (digit > 9 || *value > (most - digit) / 10) return OWM_E_PROTO;
        *value = *value * 10 + digit;
    }
    return OWM_OK;
}

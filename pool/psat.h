/* psat.h: whole numbers of 128 bits as decimal text: how money and work travel to the database. */
#ifndef OWM_POOL_PSAT_H
#define OWM_POOL_PSAT_H

#include "base/status.h"

#define OWM_PSAT_TEXT_BYTES 40 /* 39 digits and the terminator. */
#define OWM_PSAT_PER_SAT    1000000000000u
#define OWM_PSAT_PER_MSAT   1000000000u

/** owm_psat_format: decimal digits, terminated. Returns text. */
char *owm_psat_format(unsigned __int128 value, char text[OWM_PSAT_TEXT_BYTES]);

/** owm_psat_parse: digits alone. Returns: OWM_OK; OWM_E_PROTO other text, or beyond 128 bits. */
OWM_MUST_USE owm_status owm_psat_parse(const char *text, unsigned __int128 *value);

#endif

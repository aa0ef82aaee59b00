/* conf_internal.h: what conf.c, conf_value.c and conf_print.c share; nobody else includes it. */
#ifndef OWM_BASE_CONF_INTERNAL_H
#define OWM_BASE_CONF_INTERNAL_H

#include "conf.h"
#include "conf_toml.h"

/** owm_conf_set_text: parse `text` as row's type and store it. `source` begins the error's
 * sentence. */
OWM_MUST_USE owm_status owm_conf_set_text(const struct owm_conf_row *row, void *values,
                                          const char *text, const char *source,
                                          struct owm_error *error);

/** owm_conf_set_leaf: the same for a TOML value, whose own type must fit. */
OWM_MUST_USE owm_status owm_conf_set_leaf(const struct owm_conf_row *row, void *values,
                                          const struct owm_conf_leaf *leaf, const char *source,
                                          struct owm_error *error);

/** owm_conf_allowed: "an integer from 1 to 65535": what may be written for a row. */
#define OWM_CONF_ALLOWED_BYTES 160
void owm_conf_allowed(const struct owm_conf_row *row, char text[static OWM_CONF_ALLOWED_BYTES]);

/** owm_conf_section_bytes: length of the part of a key before its last dot. */
size_t owm_conf_section_bytes(const char *key);

bool owm_conf_is_text(enum owm_conf_type type);

#endif

/* json.h: small helpers over jansson for input that is not trusted.
 *
 * Getters come in pairs: `owm_json_x` demands the field, `owm_json_x_or` takes a fallback when the
 * field is missing or null. `where` is the path of the object for error texts ("task.input"; "" for
 * the root). All return OWM_OK, or OWM_E_PROTO with a sentence that names the full path, what was
 * expected and what was found. Views live as long as the object.
 */
#ifndef OWM_BASE_JSON_H
#define OWM_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_JSON_DEPTH_MAX 64

/** owm_json_parse: RFC 8259 text to a value; duplicate keys, trailing text and invalid UTF-8 are
 * refused.
 *
 *  bytes_max  longest text accepted.
 *  value      new reference; json_decref it.
 *  Returns: OWM_OK; OWM_E_LIMIT longer than bytes_max or deeper than OWM_JSON_DEPTH_MAX;
 * OWM_E_PROTO (error says line and column).
 */
OWM_MUST_USE owm_status owm_json_parse(const char *text, size_t bytes, size_t bytes_max,
                                       json_t **value, struct owm_error *error);

OWM_MUST_USE owm_status owm_json_string(const json_t *object, const char *where, const char *key,
                                        const char **out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_string_or(const json_t *object, const char *where, const char *key,
                                           const char *fallback, const char **out,
                                           struct owm_error *error);

/** owm_json_range: what an integer field may be. */
struct owm_json_range {
    int64_t min, max;
};
OWM_MUST_USE owm_status owm_json_int(const json_t *object, const char *where, const char *key,
                                     struct owm_json_range range, int64_t *out,
                                     struct owm_error *error);

/** owm_json_int_or: *out holds the fallback on entry and keeps it if the field is missing. */
OWM_MUST_USE owm_status owm_json_int_or(const json_t *object, const char *where, const char *key,
                                        struct owm_json_range range, int64_t *out,
                                        struct owm_error *error);

/** owm_json_real: any finite number, integers included. */
OWM_MUST_USE owm_status owm_json_real(const json_t *object, const char *where, const char *key,
                                      double *out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_real_or(const json_t *object, const char *where, const char *key,
                                         double fallback, double *out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_bool(const json_t *object, const char *where, const char *key,
                                      bool *out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_bool_or(const json_t *object, const char *where, const char *key,
                                         bool fallback, bool *out, struct owm_error *error);

/** Borrowed references. The _or forms give NULL when the field is missing. */
OWM_MUST_USE owm_status owm_json_object(const json_t *object, const char *where, const char *key,
                                        const json_t **out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_object_or(const json_t *object, const char *where, const char *key,
                                           const json_t **out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_array(const json_t *object, const char *where, const char *key,
                                       const json_t **out, struct owm_error *error);
OWM_MUST_USE owm_status owm_json_array_or(const json_t *object, const char *where, const char *key,
                                          const json_t **out, struct owm_error *error);

/** owm_json_text: a string value from text of any origin: what is not UTF-8 becomes "?". New
 * reference; NULL without memory. */
json_t *owm_json_text(const char *text);

/** owm_json_canonical: one text per value, for hashes and signatures: keys sorted by bytes, no
 * white space, UTF-8 unescaped, numbers as jansson prints them (17 digits). text  malloc'ed,
 * terminated; caller frees. bytes may be NULL. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_json_canonical(const json_t *value, char **text, size_t *bytes);

#endif

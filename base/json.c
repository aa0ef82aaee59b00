/* json.c: parsing with limits, typed getters, canonical text. */
#include "json.h"

#include <string.h>

/* jansson has a depth limit of its own, too deep for input that is not trusted: count brackets
 * first. */
static bool too_deep(const char *text, size_t bytes)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > OWM_JSON_DEPTH_MAX) return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

owm_status owm_json_parse(const char *text, size_t bytes, size_t bytes_max, json_t **value,
                          struct owm_error *error)
{
    json_error_t cause;
    *value = NULL;
    if (bytes > bytes_max)
        return owm_fail(error, OWM_E_LIMIT, "JSON of %zu bytes is longer than the %zu allowed here",
                        bytes, bytes_max);
    if (too_deep(text, bytes))
        return owm_fail(error, OWM_E_LIMIT, "JSON is nested deeper than %d", OWM_JSON_DEPTH_MAX);
    *value = json_loadb(text ? text : "", bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &cause);
    if (*value) return OWM_OK;
    return owm_fail(error, OWM_E_PROTO, "line %d, column %d: %s", cause.line, cause.column,
                    cause.text);
}

static const char *type_name(const json_t *value)
{
    if (!value) return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

/* A field to be read: where it is, and what is there (NULL for missing or null). */
struct field {
    const json_t *value;
    const char *where, *dot, *key;
    struct owm_error *error;
};

static struct field find(const json_t *object, const char *where, const char *key,
                         struct owm_error *error)
{
    json_t *value = json_object_get(object, key);
    return (struct field){
        .value = json_is_null(value) ? NULL : value,
        .where = where,
        .dot = where[0] ? "." : "",
        .key = key,
        .error = error,
    };
}

static owm_status wrong_type(const struct field *field, const char *expected)
{
    if (!field->value)
        return owm_fail(field->error, OWM_E_PROTO, "field '%s%s%s' is missing: expected %s",
                        field->where, field->dot, field->key, expected);
    return owm_fail(field->error, OWM_E_PROTO, "field '%s%s%s': expected %s, found %s",
                    field->where, field->dot, field->key, expected, type_name(field->value));
}

static owm_status read_string(const struct field *field, const char **out)
{
    if (!json_is_string(field->value)) return wrong_type(field, "a string");
    *out = json_string_value(field->value);
    return OWM_OK;
}

owm_status owm_json_string(const json_t *object, const char *where, const char *key,
                           const char **out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return read_string(&field, out);
}

owm_status owm_json_string_or(const json_t *object, const char *where, const char *key,
                              const char *fallback, const char **out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    *out = fallback;
    return field.value ? read_string(&field, out) : OWM_OK;
}

static owm_status read_int(const struct field *field, struct owm_json_range range, int64_t *out)
{
    if (!json_is_integer(field->value)) return wrong_type(field, "an integer");
    int64_t value = json_integer_value(field->value);
    if (value < range.min || value > range.max)
        return owm_fail(field->error, OWM_E_PROTO,
                        "field '%s%s%s': %lld is not within %lld to %lld", field->where, field->dot,
                        field->key, (long long)value, (long long)range.min, (long long)range.max);
    *out = value;
    return OWM_OK;
}

owm_status owm_json_int(const json_t *object, const char *where, const char *key,
                        struct owm_json_range range, int64_t *out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return read_int(&field, range, out);
}

owm_status owm_json_int_or(const json_t *object, const char *where, const char *key,
                           struct owm_json_range range, int64_t *out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return field.value ? read_int(&field, range, out) : OWM_OK;
}

static owm_status read_real(const struct field *field, double *out)
{
    if (!json_is_number(field->value)) return wrong_type(field, "a number");
    *out = json_number_value(field->value);
    return OWM_OK;
}

owm_status owm_json_real(const json_t *object, const char *where, const char *key, double *out,
                         struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return read_real(&field, out);
}

owm_status owm_json_real_or(const json_t *object, const char *where, const char *key,
                            double fallback, double *out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    *out = fallback;
    return field.value ? read_real(&field, out) : OWM_OK;
}

static owm_status read_bool(const struct field *field, bool *out)
{
    if (!json_is_boolean(field->value)) return wrong_type(field, "true or false");
    *out = json_is_true(field->value);
    return OWM_OK;
}

owm_status owm_json_bool(const json_t *object, const char *where, const char *key, bool *out,
                         struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return read_bool(&field, out);
}

owm_status owm_json_bool_or(const json_t *object, const char *where, const char *key, bool fallback,
                            bool *out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    *out = fallback;
    return field.value ? read_bool(&field, out) : OWM_OK;
}

static owm_status read_object(const struct field *field, const json_t **out)
{
    if (!json_is_object(field->value)) return wrong_type(field, "an object");
    *out = field->value;
    return OWM_OK;
}

owm_status owm_json_object(const json_t *object, const char *where, const char *key,
                           const json_t **out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return read_object(&field, out);
}

owm_status owm_json_object_or(const json_t *object, const char *where, const char *key,
                              const json_t **out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    *out = NULL;
    return field.value ? read_object(&field, out) : OWM_OK;
}

static owm_status read_array(const struct field *field, const json_t **out)
{
    if (!json_is_array(field->value)) return wrong_type(field, "an array");
    *out = field->value;
    return OWM_OK;
}

owm_status owm_json_array(const json_t *object, const char *where, const char *key,
                          const json_t **out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    return read_array(&field, out);
}

owm_status owm_json_array_or(const json_t *object, const char *where, const char *key,
                             const json_t **out, struct owm_error *error)
{
    struct field field = find(object, where, key, error);
    *out = NULL;
    return field.value ? read_array(&field, out) : OWM_OK;
}

/* Length of the letter at `at`, 0 if there is none; jansson is the judge. */
static size_t letter_bytes(const char *at)
{
    size_t left = strnlen(at, 4);
    for (size_t bytes = 1; bytes <= left; bytes++) {
        json_t *letter = json_stringn(at, bytes);
        json_decref(letter);
        if (letter) return bytes;
    }
    return 0;
}

json_t *owm_json_text(const char *text)
{
    json_t *value = json_string(text);
    char *clean = value ? NULL : strdup(text);
    if (!clean) return value;
    for (char *at = clean; *at;) {
        size_t bytes = letter_bytes(at);
        if (bytes == 0) *at = '?';
        at += bytes ? bytes : 1;
    }
    value = json_string(clean);
    free(clean);
    return value;
}

owm_status owm_json_canonical(const json_t *value, char **text, size_t *bytes)
{
    *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (!*text) return OWM_E_NOMEM;
    if (bytes) *bytes = strlen(*text);
    return OWM_OK;
}

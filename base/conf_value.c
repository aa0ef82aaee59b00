/* conf_value.c: one value: parse it, check it, store it. */
#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_internal.h"
#include "fs.h"

#define SHOWN_BYTES_MAX 64 /* of a wrong value in an error */

bool owm_conf_is_text(enum owm_conf_type type)
{
    return type == OWM_CONF_STRING || type == OWM_CONF_PATH || type == OWM_CONF_SECRET;
}

static bool has_range(const struct owm_conf_row *row)
{
    return row->min != 0 || row->max != 0;
}

void owm_conf_allowed(const struct owm_conf_row *row, char text[static OWM_CONF_ALLOWED_BYTES])
{
    const size_t bytes = OWM_CONF_ALLOWED_BYTES;
    switch (row->type) {
    case OWM_CONF_INT:
        if (has_range(row))
            snprintf(text, bytes, "an integer from %.0f to %.0f", row->min, row->max);
        else
            snprintf(text, bytes, "an integer");
        break;
    case OWM_CONF_REAL:
        if (has_range(row))
            snprintf(text, bytes, "a number from %g to %g", row->min, row->max);
        else
            snprintf(text, bytes, "a number");
        break;
    case OWM_CONF_BOOL:
        snprintf(text, bytes, "true or false");
        break;
    case OWM_CONF_CHOICE:
        snprintf(text, bytes, "one of %s", row->choices);
        break;
    case OWM_CONF_STRING:
    case OWM_CONF_SECRET:
    case OWM_CONF_PATH: {
        const char *noun = row->type == OWM_CONF_PATH ? "a path" : "a text";
        if (row->max > 0)
            snprintf(text, bytes, "%s of %.0f to %.0f bytes", noun, row->min, row->max);
        else
            snprintf(text, bytes, "%s of up to %d bytes", noun, OWM_CONF_VALUE_BYTES_MAX);
        break;
    }
    }
}

/* The sentence for a wrong value; a secret is never part of it. */
static owm_status refuse(const struct owm_conf_row *row, const char *shown, const char *source,
                         struct owm_error *error)
{
    char allowed[OWM_CONF_ALLOWED_BYTES];
    owm_conf_allowed(row, allowed);
    if (row->type == OWM_CONF_SECRET)
        return owm_fail(error, OWM_E_CONFIG, "%s: the value of '%s' is not allowed: give %s",
                        source, row->key, allowed);
    char clean[SHOWN_BYTES_MAX + 1];
    size_t count = 0;
    for (; shown[count] && count < SHOWN_BYTES_MAX; count++)
        clean[count] =
            (unsigned char)shown[count] < 0x20 || shown[count] == 0x7f ? '?' : shown[count];
    clean[count] = 0;
    return owm_fail(error, OWM_E_CONFIG, "%s: '%s' is not allowed for '%s': give %s", source, clean,
                    row->key, allowed);
}

static void *field_of(const struct owm_conf_row *row, void *values)
{
    return (char *)values + row->offset;
}

static owm_status set_string(const struct owm_conf_row *row, void *values, const char *text,
                             const char *source, struct owm_error *error)
{
    char **field = field_of(row, values);
    char *copy = NULL;
    size_t bytes = strlen(text);
    if (bytes > OWM_CONF_VALUE_BYTES_MAX) return refuse(row, text, source, error);
    if (row->max > 0 && ((double)bytes < row->min || (double)bytes > row->max))
        return refuse(row, text, source, error);
    if (row->type == OWM_CONF_PATH) {
        struct owm_error why = {0};
        owm_status status = owm_fs_expand(text, &copy, &why);
        if (status != OWM_OK)
            return owm_fail(error, OWM_E_CONFIG, "%s: '%s': %.300s", source, row->key, why.text);
    } else if (row->type == OWM_CONF_SECRET) {
        OWM_ASSERT(sodium_init() >= 0);
        copy = sodium_malloc(bytes + 1);
        if (copy) memcpy(copy, text, bytes + 1);
    } else {
        copy = strdup(text);
    }
    if (!copy) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    if (row->type == OWM_CONF_SECRET)
        sodium_free(*field);
    else
        free(*field);
    *field = copy;
    return OWM_OK;
}

static bool in_range(const struct owm_conf_row *row, double value)
{
    return !has_range(row) || (value >= row->min && value <= row->max);
}

static bool parse_int(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *out = value;
    return errno == 0 && end != text && *end == 0 && (unsigned char)text[0] > ' ';
}

static bool parse_real(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0 && (unsigned char)text[0] > ' ';
}

static bool parse_bool(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static bool parse_choice(const char *choices, const char *text, int *out)
{
    size_t bytes = strlen(text);
    for (int index = 0;; index++) {
        size_t length = strcspn(choices, "|");
        if (length == bytes && bytes && strncasecmp(choices, text, length) == 0) {
            *out = index;
            return true;
        }
        if (choices[length] == 0) return false;
        choices += length + 1;
    }
}

owm_status owm_conf_set_text(const struct owm_conf_row *row, void *values, const char *text,
                             const char *source, struct owm_error *error)
{
    int64_t integer = 0;
    double real = 0;
    bool boolean = false, good = false;
    int choice = 0;
    switch (row->type) {
    case OWM_CONF_STRING:
    case OWM_CONF_PATH:
    case OWM_CONF_SECRET:
        return set_string(row, values, text, source, error);
    case OWM_CONF_INT:
        good = parse_int(text, &integer) && in_range(row, (double)integer);
        if (good) *(int64_t *)field_of(row, values) = integer;
        break;
    case OWM_CONF_REAL:
        good = parse_real(text, &real) && isfinite(real) && in_range(row, real);
        if (good) *(double *)field_of(row, values) = real;
        break;
    case OWM_CONF_BOOL:
        good = parse_bool(text, &boolean);
        if (good) *(bool *)field_of(row, values) = boolean;
        break;
    case OWM_CONF_CHOICE:
        good = parse_choice(row->choices, text, &choice);
        if (good) *(int *)field_of(row, values) = choice;
        break;
    }
    return good ? OWM_OK : refuse(row, text, source, error);
}

owm_status owm_conf_set_leaf(const struct owm_conf_row *row, void *values,
                             const struct owm_conf_leaf *leaf, const char *source,
                             struct owm_error *error)
{
    char shown[64];
    bool is_text = owm_conf_is_text(row->type) || row->type == OWM_CONF_CHOICE;
    switch (leaf->kind) {
    case OWM_CONF_KIND_STRING:
        if (is_text) return owm_conf_set_text(row, values, leaf->text, source, error);
        snprintf(shown, sizeof shown, "\"%.48s\"", leaf->text);
        break;
    case OWM_CONF_KIND_INT:
        snprintf(shown, sizeof shown, "%lld", (long long)leaf->integer);
        if (row->type == OWM_CONF_INT || row->type == OWM_CONF_REAL)
            return owm_conf_set_text(row, values, shown, source, error);
        break;
    case OWM_CONF_KIND_REAL:
        snprintf(shown, sizeof shown, "%.17g", leaf->real);
        if (row->type == OWM_CONF_REAL) return owm_conf_set_text(row, values, shown, source, error);
        break;
    case OWM_CONF_KIND_BOOL:
        snprintf(shown, sizeof shown, "%s", leaf->boolean ? "true" : "false");
        if (row->type == OWM_CONF_BOOL) return owm_conf_set_text(row, values, shown, source, error);
        break;
    default:
        snprintf(shown, sizeof shown, "this kind of value");
        break;
    }
    return refuse(row, shown, source, error);
}

/* cln_rune.c: whether a rune's restrictions let a call through: as createrune's manual says, for
 * the fields method, pnum, pname… and pinv…_amount, and the operators = / ^ < !. */
#include <stdlib.h>
#include <string.h>

#include "cln_state.h"

#define VALUE_BYTES 600

/* The field's value as text; false: there is none. */
static bool field_of(const char *name, size_t length, const char *method, const json_t *params,
                     char value[VALUE_BYTES])
{
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)length, name);
    const json_t *param = NULL;
    if (strcmp(key, "method") == 0) {
        snprintf(value, VALUE_BYTES, "%s", method);
        return true;
    }
    if (strcmp(key, "pnum") == 0) {
        snprintf(value, VALUE_BYTES, "%zu", json_object_size(params));
        return true;
    }
    if (strcmp(key, "pinvinvstring_amount") == 0) {
        const char *text = json_string_value(json_object_get(params, "invstring"));
        json_t *invoice = text ? cln_decode_text(text) : NULL;
        json_int_t msat = json_integer_value(json_object_get(invoice, "amount_msat"));
        json_decref(invoice);
        snprintf(value, VALUE_BYTES, "%lld", (long long)msat);
        return invoice != NULL;
    }
    if (strncmp(key, "pname", 5) == 0) param = json_object_get(params, key + 5);
    if (json_is_integer(param))
        snprintf(value, VALUE_BYTES, "%lld", (long long)json_integer_value(param));
    else
        snprintf(value, VALUE_BYTES, "%s", param ? json_string_value(param) : "");
    return param != NULL;
}

static bool passes(const char *alternative, const char *method, const json_t *params)
{
    char value[VALUE_BYTES];
    size_t length = strcspn(alternative, "=/^<!");
    const char *against = alternative + length + 1;
    bool there = field_of(alternative, length, method, params, value);
    char operator= alternative[length];
    if (operator== '!') return !there;
    if (!there) return false;
    if (operator== '=') return strcmp(value, against) == 0;
    if (operator== '/') return strcmp(value, against) != 0;
    if (operator== '^') return strncmp(value, against, strlen(against)) == 0;
    return strtoll(value, NULL, 10) < strtoll(against, NULL, 10);
}

bool cln_allows(const json_t *restrictions, const char *method, const json_t *params)
{
    const json_t *group, *alternative;
    size_t i, k;
    json_array_foreach(restrictions, i, group)
    {
        bool one = false;
        json_array_foreach(group, k, alternative) one =
            one || passes(json_string_value(alternative), method, params);
        if (!one) return false;
    }
    return true;
}

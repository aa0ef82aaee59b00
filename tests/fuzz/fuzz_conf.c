/* fuzz_conf.c: the configuration file's text, over a table with every type of key. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"

struct values {
    char *text, *path, *secret;
    int64_t number;
    double real;
    bool flag;
    int choice;
};

#define AT(field) offsetof(struct values, field)
static const struct owm_conf_row rows[] = {
    {"a.text", OWM_CONF_STRING, AT(text), "x", 0, 0, NULL, NULL, ""},
    {"a.path", OWM_CONF_PATH, AT(path), "/x", 0, 0, NULL, NULL, ""},
    {"a.secret", OWM_CONF_SECRET, AT(secret), NULL, 0, 0, NULL, NULL, ""},
    {"b.number", OWM_CONF_INT, AT(number), "1", 1, 9, NULL, NULL, ""},
    {"b.real", OWM_CONF_REAL, AT(real), "1", 0, 0, NULL, NULL, ""},
    {"b.flag", OWM_CONF_BOOL, AT(flag), NULL, 0, 0, NULL, NULL, ""},
    {"b.choice", OWM_CONF_CHOICE, AT(choice), NULL, 0, 0, "one|two", NULL, ""},
};
static const struct owm_conf_table table = {"fuzz", "", NULL, NULL, rows, 7};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct values values;
    struct owm_error error;
    error.text[0] = 0;
    if (owm_conf_parse(&table, "fuzz.toml", (const char *)data, bytes, &values, &error) == OWM_OK) {
        if (!values.text || !values.path || !values.secret || values.number < 1) abort();
        owm_conf_deinit(&table, &values);
    } else if (!error.text[0]) {
        abort(); /* a refusal without a sentence */
    }
    return 0;
}

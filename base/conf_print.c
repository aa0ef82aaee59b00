/* conf_print.c: the texts of --help and --print-config. */
#include <string.h>

#include "conf_internal.h"

static const char *kind_word(const struct owm_conf_row *row)
{
    switch (row->type) {
    case OWM_CONF_INT:
        return "INT";
    case OWM_CONF_REAL:
        return "NUMBER";
    case OWM_CONF_BOOL:
        return "BOOL";
    case OWM_CONF_CHOICE:
        return row->choices;
    case OWM_CONF_PATH:
        return "PATH";
    default:
        return "TEXT";
    }
}

static void print_help(const struct owm_conf_table *table, FILE *out)
{
    fprintf(out, "Usage: %s [--config FILE] [--section.key=value …]%s%s\n\n%s\n\n", table->program,
            table->operands ? " " : "", table->operands ? table->operands : "", table->about);
    fprintf(out, "  --config FILE     read this file%s%s%s\n", table->file ? " instead of " : "",
            table->file ? table->file : "", table->file ? " (read when it exists)" : "");
    fprintf(out, "  --print-config    print an example file with every key and its default\n"
                 "  --help            this text\n\n"
                 "Keys: a flag goes before the environment, that before the file.\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct owm_conf_row *row = &table->rows[i];
        char allowed[OWM_CONF_ALLOWED_BYTES];
        owm_conf_allowed(row, allowed);
        if (row->type == OWM_CONF_SECRET)
            fprintf(out, "\n  %s (secret: file%s only)\n", row->key,
                    row->env ? " or environment" : "");
        else
            fprintf(out, "\n  --%s=%s\n", row->key, kind_word(row));
        fprintf(out, "      %s\n      %s", row->help, allowed);
        if (row->fallback && row->fallback[0] && row->type != OWM_CONF_SECRET)
            fprintf(out, "; default %s", row->fallback);
        if (row->env) fprintf(out, "; environment %s", row->env);
        fputc('\n', out);
    }
}

static void print_toml_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

static void print_default(const struct owm_conf_row *row, FILE *out)
{
    const char *text = row->fallback ? row->fallback : "";
    if (row->type == OWM_CONF_SECRET) {
        fputs("\"\"", out);
    } else if (row->type == OWM_CONF_CHOICE && !row->fallback) {
        fprintf(out, "\"%.*s\"", (int)strcspn(row->choices, "|"), row->choices);
    } else if (owm_conf_is_text(row->type) || row->type == OWM_CONF_CHOICE) {
        print_toml_string(text, out);
    } else if (row->fallback) {
        fputs(text, out);
    } else {
        fputs(row->type == OWM_CONF_BOOL ? "false" : "0", out);
    }
}

static void print_row(const struct owm_conf_row *row, FILE *out)
{
    char allowed[OWM_CONF_ALLOWED_BYTES];
    owm_conf_allowed(row, allowed);
    fprintf(out, "# %s\n# %s%s%s\n#%s = ", row->help, allowed, row->env ? "; environment " : "",
            row->env ? row->env : "", row->key + owm_conf_section_bytes(row->key) + 1);
    print_default(row, out);
    fputs("\n\n", out);
}

static bool same_section(const char *a, const char *b)
{
    size_t bytes = owm_conf_section_bytes(a);
    return bytes == owm_conf_section_bytes(b) && strncmp(a, b, bytes) == 0;
}

static void print_example(const struct owm_conf_table *table, FILE *out)
{
    fprintf(out, "# %s: every key with its default. Remove the # before a key to change it.\n\n",
            table->program);
    for (size_t i = 0; i < table->count; i++) {
        const char *key = table->rows[i].key;
        bool seen = false;
        for (size_t k = 0; k < i; k++) seen = seen || same_section(table->rows[k].key, key);
        if (seen) continue;
        fprintf(out, "[%.*s]\n", (int)owm_conf_section_bytes(key), key);
        for (size_t k = i; k < table->count; k++)
            if (same_section(table->rows[k].key, key)) print_row(&table->rows[k], out);
    }
}

void owm_conf_print(const struct owm_conf_table *table, enum owm_conf_action action, FILE *out)
{
    if (action == OWM_CONF_HELP) print_help(table, out);
    if (action == OWM_CONF_PRINT) print_example(table, out);
}

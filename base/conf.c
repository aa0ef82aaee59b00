/* conf.c: from table, file, environment and flags to values. */
#include "conf.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf_internal.h"
#include "fs.h"

#define KEY_BYTES_MAX    128 /* of a key that is compared with the known ones */
#define SOURCE_BYTES_MAX 256

struct loader {
    const struct owm_conf_table *table;
    const char *name; /* of the file in errors */
    void *values;
    bool secret_in_file;
    struct owm_error *error;
};

/* What a scan of the command line finds. */
struct command {
    const char *file;
    enum owm_conf_action action;
    int operands;
};

size_t owm_conf_section_bytes(const char *key)
{
    const char *dot = strrchr(key, '.');
    OWM_ASSERT(dot != NULL);
    return (size_t)(dot - key);
}

static const struct owm_conf_row *find_row(const struct owm_conf_table *table, const char *key,
                                           size_t key_bytes)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *known = table->rows[i].key;
        if (strlen(known) == key_bytes && memcmp(known, key, key_bytes) == 0)
            return &table->rows[i];
    }
    return NULL;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, with one row of the matrix. */
static size_t distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t row[KEY_BYTES_MAX + 1];
    if (a_bytes > KEY_BYTES_MAX || b_bytes > KEY_BYTES_MAX) return SIZE_MAX;
    for (size_t k = 0; k <= b_bytes; k++) row[k] = k;
    for (size_t i = 0; i < a_bytes; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < b_bytes; k++) {
            size_t above = row[k + 1];
            row[k + 1] = smallest(above + 1, row[k] + 1, diagonal + (a[i] != b[k]));
            diagonal = above;
        }
    }
    return row[b_bytes];
}

/* Fails with the nearest known key (or section) as a suggestion. */
static owm_status unknown(const struct loader *loader, const char *source, const char *key,
                          bool is_section)
{
    const char *best = NULL;
    size_t best_bytes = 0, best_distance = SIZE_MAX, key_bytes = strlen(key);
    for (size_t i = 0; i < loader->table->count; i++) {
        const char *known = loader->table->rows[i].key;
        size_t bytes = is_section ? owm_conf_section_bytes(known) : strlen(known);
        size_t away = distance(key, key_bytes, known, bytes);
        /* The right key without its section, or in a wrong one, is near as well. */
        const char *dot = strrchr(key, '.');
        if (!is_section && away > 1
            && strcmp(dot ? dot + 1 : key, known + owm_conf_section_bytes(known) + 1) == 0)
            away = 1;
        if (away >= best_distance) continue;
        best = known;
        best_bytes = bytes;
        best_distance = away;
    }
    char clean[KEY_BYTES_MAX + 1];
    size_t count = 0;
    for (; key[count] && count < KEY_BYTES_MAX; count++)
        clean[count] = (unsigned char)key[count] < 0x20 || key[count] == 0x7f ? '?' : key[count];
    clean[count] = 0;
    const char *noun = is_section ? "section" : "key";
    if (best && best_distance <= 2 + key_bytes / 4)
        return owm_fail(loader->error, OWM_E_CONFIG, "%s: unknown %s '%s'; did you mean '%.*s'?",
                        source, noun, clean, (int)best_bytes, best);
    return owm_fail(loader->error, OWM_E_CONFIG, "%s: unknown %s '%s'; %s --help lists all keys",
                    source, noun, clean, loader->table->program);
}

static bool is_section(const struct owm_conf_table *table, const char *path)
{
    size_t bytes = strlen(path);
    for (size_t i = 0; i < table->count; i++) {
        const char *key = table->rows[i].key;
        if (strncmp(key, path, bytes) == 0 && key[bytes] == '.') return true;
    }
    return false;
}

static owm_status take_leaf(void *ctx, const struct owm_conf_leaf *leaf)
{
    struct loader *loader = ctx;
    char source[SOURCE_BYTES_MAX];
    snprintf(source, sizeof source, "%.200s:%u", loader->name, leaf->line);
    if (leaf->kind == OWM_CONF_KIND_SECTION && is_section(loader->table, leaf->key)) return OWM_OK;
    const struct owm_conf_row *row = find_row(loader->table, leaf->key, strlen(leaf->key));
    if (!row) return unknown(loader, source, leaf->key, leaf->kind == OWM_CONF_KIND_SECTION);
    if (row->type == OWM_CONF_SECRET && leaf->kind == OWM_CONF_KIND_STRING && leaf->text[0])
        loader->secret_in_file = true;
    return owm_conf_set_leaf(row, loader->values, leaf, source, loader->error);
}

static owm_status set_defaults(struct loader *loader)
{
    const struct owm_conf_table *table = loader->table;
    OWM_ASSERT(table->count <= OWM_CONF_ROWS_MAX);
    for (size_t i = 0; i < table->count; i++)
        if (owm_conf_is_text(table->rows[i].type))
            *(char **)(void *)((char *)loader->values + table->rows[i].offset) = NULL;
    for (size_t i = 0; i < table->count; i++) {
        const struct owm_conf_row *row = &table->rows[i];
        void *field = (char *)loader->values + row->offset;
        owm_status status = OWM_OK;
        if (row->fallback) {
            status =
                owm_conf_set_text(row, loader->values, row->fallback, "default", loader->error);
        } else if (owm_conf_is_text(row->type)) {
            struct owm_conf_row any_length = *row;
            any_length.max = 0;
            status = owm_conf_set_text(&any_length, loader->values, "", "default", loader->error);
        } else if (row->type == OWM_CONF_INT) {
            *(int64_t *)field = 0;
        } else if (row->type == OWM_CONF_REAL) {
            *(double *)field = 0;
        } else if (row->type == OWM_CONF_BOOL) {
            *(bool *)field = false;
        } else {
            *(int *)field = 0;
        }
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

static owm_status load_file(struct loader *loader, const char *given)
{
    const char *wanted = given ? given : loader->table->file;
    char *path = NULL;
    uint8_t *text = NULL;
    size_t bytes = 0;
    struct owm_error why = {0};
    struct stat info;
    if (!wanted) return OWM_OK;
    owm_status status = owm_fs_expand(wanted, &path, &why);
    if (status == OWM_OK) status = owm_fs_read(path, OWM_CONF_FILE_BYTES_MAX, &text, &bytes, &why);
    if (status == OWM_E_NOTFOUND && !given) {
        free(path);
        return OWM_OK;
    }
    if (status != OWM_OK) {
        free(path);
        return owm_fail(loader->error, OWM_E_CONFIG, "configuration file: %.400s", why.text);
    }
    loader->name = path;
    status = owm_conf_toml(path, (const char *)text, bytes, take_leaf, loader, loader->error);
    if (status == OWM_OK && loader->secret_in_file && stat(path, &info) == 0
        && (info.st_mode & 077))
        status = owm_fail(loader->error, OWM_E_CONFIG,
                          "%s holds a secret and can be read by others: chmod 600 %s", path, path);
    explicit_bzero(text, bytes);
    free(text);
    free(path);
    return status;
}

static owm_status load_environment(struct loader *loader)
{
    for (size_t i = 0; i < loader->table->count; i++) {
        const struct owm_conf_row *row = &loader->table->rows[i];
        const char *text = row->env ? getenv(row->env) : NULL;
        if (!text || !text[0]) continue;
        owm_status status = owm_conf_set_text(row, loader->values, text, row->env, loader->error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

/* The value of the flag at argv[*at]: behind "=", or the next argument. A BOOL alone means true. */
static owm_status flag_value(const struct loader *loader, const struct owm_conf_row *row, int argc,
                             char **argv, int *at, const char **value)
{
    const char *equals = strchr(argv[*at], '=');
    const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
    if (equals) {
        *value = equals + 1;
    } else if (row && row->type == OWM_CONF_BOOL
               && !(next && (strcmp(next, "true") == 0 || strcmp(next, "false") == 0))) {
        *value = "true";
    } else if (next) {
        *value = next;
        ++*at;
    } else {
        return owm_fail(loader->error, OWM_E_CONFIG, "%s: the value is missing", argv[*at]);
    }
    return OWM_OK;
}

/* Reads flags up to the first operand. `store` is false in the pass that looks for --config only.
 */
static owm_status scan_flags(const struct loader *loader, int argc, char **argv, bool store,
                             struct command *command)
{
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        char *flag = argv[at];
        const char *value = NULL;
        if (strcmp(flag, "--") == 0) {
            at++;
            break;
        }
        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0) {
            command->action = OWM_CONF_HELP;
            continue;
        }
        if (strcmp(flag, "--print-config") == 0) {
            if (command->action == OWM_CONF_RUN) command->action = OWM_CONF_PRINT;
            continue;
        }
        const char *key = strncmp(flag, "--", 2) == 0 ? flag + 2 : flag + 1;
        size_t key_bytes = strcspn(key, "=");
        bool is_file = key_bytes == 6 && memcmp(key, "config", 6) == 0;
        const struct owm_conf_row *row = find_row(loader->table, key, key_bytes);
        if (!row && !is_file) {
            flag[key_bytes + (size_t)(key - flag)] = 0; /* so that no value reaches the error */
            return unknown(loader, "command line", key, false);
        }
        if (row && row->type == OWM_CONF_SECRET)
            return owm_fail(loader->error, OWM_E_CONFIG,
                            "--%s: a secret on the command line is seen by every user of the "
                            "machine; use the file%s%s",
                            row->key, row->env ? " or the environment variable " : "",
                            row->env ? row->env : "");
        owm_status status = flag_value(loader, row, argc, argv, &at, &value);
        if (status != OWM_OK) return status;
        if (is_file) command->file = value;
        if (!store || is_file) continue;
        char source[SOURCE_BYTES_MAX];
        snprintf(source, sizeof source, "--%s", row->key);
        status = owm_conf_set_text(row, loader->values, value, source, loader->error);
        if (status != OWM_OK) return status;
    }
    command->operands = at;
    if (at < argc && !loader->table->operands && command->action == OWM_CONF_RUN)
        return owm_fail(loader->error, OWM_E_CONFIG,
                        "'%.64s': only --section.key=value is understood here; %s --help lists all",
                        argv[at], loader->table->program);
    return OWM_OK;
}

owm_status owm_conf_load(const struct owm_conf_table *table, int argc, char **argv, void *values,
                         enum owm_conf_action *action, int *operands, struct owm_error *error)
{
    struct loader loader = {.table = table, .values = values, .error = error};
    struct command command = {.action = OWM_CONF_RUN};
    owm_status status = set_defaults(&loader);
    if (status == OWM_OK) status = scan_flags(&loader, argc, argv, false, &command);
    if (status == OWM_OK && command.action == OWM_CONF_RUN) {
        status = load_file(&loader, command.file);
        if (status == OWM_OK) status = load_environment(&loader);
        if (status == OWM_OK) status = scan_flags(&loader, argc, argv, true, &command);
    }
    if (status != OWM_OK) {
        owm_conf_deinit(table, values);
        return status;
    }
    *action = command.action;
    if (operands) *operands = command.operands;
    return OWM_OK;
}

owm_status owm_conf_parse(const struct owm_conf_table *table, const char *name, const char *text,
                          size_t text_bytes, void *values, struct owm_error *error)
{
    struct loader loader = {.table = table, .name = name, .values = values, .error = error};
    owm_status status = set_defaults(&loader);
    if (status == OWM_OK && text_bytes > OWM_CONF_FILE_BYTES_MAX)
        status = owm_fail(error, OWM_E_CONFIG, "%s is larger than the %d bytes allowed", name,
                          OWM_CONF_FILE_BYTES_MAX);
    if (status == OWM_OK) status = owm_conf_toml(name, text, text_bytes, take_leaf, &loader, error);
    if (status != OWM_OK) owm_conf_deinit(table, values);
    return status;
}

void owm_conf_deinit(const struct owm_conf_table *table, void *values)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct owm_conf_row *row = &table->rows[i];
        if (!owm_conf_is_text(row->type)) continue;
        char **field = (void *)((char *)values + row->offset);
        if (row->type == OWM_CONF_SECRET)
            sodium_free(*field);
        else
            free(*field);
        *field = NULL;
    }
}

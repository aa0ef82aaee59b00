/* conf.h: one table row per configuration key feeds everything: the TOML file,
 * `--section.key=value` flags, the environment, `--help` and the example file of `--print-config`.
 *
 * Precedence: flag > environment > file > fallback. An unknown key or section is an error that
 * names file:line and the nearest known key; a wrong type or value is an error that names what is
 * allowed.
 */
#ifndef OWM_BASE_CONF_H
#define OWM_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

#define OWM_CONF_FILE_BYTES_MAX  (256 * 1024)
#define OWM_CONF_VALUE_BYTES_MAX 4096
#define OWM_CONF_ROWS_MAX        256

/** Type of a key, and the field type it needs at `offset` in the values struct. */
enum owm_conf_type {
    OWM_CONF_STRING, /**< char *; min..max: length in bytes if max > 0 */
    OWM_CONF_PATH,   /**< char *; "~" expanded */
    OWM_CONF_INT,    /**< int64_t, min..max */
    OWM_CONF_REAL,   /**< double, min..max */
    OWM_CONF_BOOL,   /**< bool */
    OWM_CONF_CHOICE, /**< int: index into `choices` */
    OWM_CONF_SECRET, /**< char * in guarded memory; never printed, not in errors, not in
                        --print-config */
};

/** One key. Strings are borrowed for the life of the table (literals). */
struct owm_conf_row {
    const char *key; /**< "section.key" */
    enum owm_conf_type type;
    size_t offset; /**< offsetof(struct values, field) */
    const char
        *fallback;   /**< as it would be written in a flag; NULL: "" / 0 / false / first choice */
    double min, max; /**< INT and REAL: allowed range (both 0: any); within ±2^53 */
    const char *choices; /**< CHOICE: "one|two|three" */
    const char *env;     /**< environment variable (SRS 10.3), or NULL */
    const char *help;    /**< one sentence */
};

struct owm_conf_table {
    const char *program; /**< "owm-node" */
    const char *about;   /**< one or two sentences for --help */
    const char
        *file; /**< file read when it exists, "~" allowed; --config FILE overrides and must exist */
    const char
        *operands; /**< usage text of positional arguments, e.g. "[TEXT…]"; NULL: none allowed */
    const struct owm_conf_row *rows;
    size_t count;
};

/** What the command line asks for. For all but RUN: call owm_conf_print and exit 0. */
enum owm_conf_action {
    OWM_CONF_RUN,
    OWM_CONF_HELP,
    OWM_CONF_PRINT,
};

/** owm_conf_load: fill `values` from defaults, file, environment and flags.
 *
 *  values    struct the rows point into; written whole, previous content is not freed.
 *            Strings in it belong to it: owm_conf_deinit frees them. No string is NULL after
 * OWM_OK. action    what to do next. operands  index in argv of the first positional argument (argc
 * if none); may be NULL. Returns: OWM_OK; OWM_E_CONFIG with a sentence that names place, cause and
 * fix; OWM_E_NOMEM. On failure `values` holds nothing to free.
 */
OWM_MUST_USE owm_status owm_conf_load(const struct owm_conf_table *table, int argc, char **argv,
                                      void *values, enum owm_conf_action *action, int *operands,
                                      struct owm_error *error);

/** owm_conf_parse: the file part alone, on a text: defaults, then `text`; no environment, no flags.
 *  `name` stands for the file in errors. For tests, tools and the fuzz target. Same contract. */
OWM_MUST_USE owm_status owm_conf_parse(const struct owm_conf_table *table, const char *name,
                                       const char *text, size_t text_bytes, void *values,
                                       struct owm_error *error);

/** owm_conf_deinit: free the strings, wiping secrets. Safe on a zeroed struct and twice. */
void owm_conf_deinit(const struct owm_conf_table *table, void *values);

/** owm_conf_print: the text for OWM_CONF_HELP or the example file for OWM_CONF_PRINT. */
void owm_conf_print(const struct owm_conf_table *table, enum owm_conf_action action, FILE *out);

#endif

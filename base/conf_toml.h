/* conf_toml.h: TOML text to a list of leaves, so that only conf_toml.cpp sees C++. */
#ifndef OWM_BASE_CONF_TOML_H
#define OWM_BASE_CONF_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/** Dots outside comment lines: bounds how deep dotted keys nest. */
#define OWM_CONF_DOTS_MAX 4096

enum owm_conf_kind {
    OWM_CONF_KIND_SECTION,
    OWM_CONF_KIND_STRING,
    OWM_CONF_KIND_INT,
    OWM_CONF_KIND_REAL,
    OWM_CONF_KIND_BOOL,
    OWM_CONF_KIND_OTHER, /**< array, date, … */
};

/** One section or value; borrowed for the call. */
struct owm_conf_leaf {
    const char *key; /**< dotted path */
    unsigned line;
    enum owm_conf_kind kind;
    const char *text; /**< STRING: terminated, without zero bytes inside */
    int64_t integer;
    double real;
    bool boolean;
};

#ifdef __cplusplus
extern "C" {
#endif

typedef owm_status (*owm_conf_leaf_fn)(void *ctx, const struct owm_conf_leaf *leaf);

/** owm_conf_toml: call `fn` for every section and value, in order of their keys; stops at its first
 *  failure and returns it.
 *  Returns: OWM_OK; OWM_E_CONFIG not TOML 1.0 (the error says name:line and what is wrong). */
OWM_MUST_USE owm_status owm_conf_toml(const char *name, const char *text, size_t text_bytes,
                                      owm_conf_leaf_fn fn, void *ctx, struct owm_error *error);

#ifdef __cplusplus
}
#endif
#endif

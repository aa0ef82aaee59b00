/* options.h: the command line of owm-admin. */
#ifndef OWM_ADMIN_OPTIONS_H
#define OWM_ADMIN_OPTIONS_H

#include <stdbool.h>

#include "base/status.h"

#define OWM_ADMIN_WORDS_MAX 3

struct owm_admin_options {
    const char *words[OWM_ADMIN_WORDS_MAX]; /* "slash", "ack", "8f0c…"; "" where there is none */
    const char *coordinator;                /* host:port of its internal service */
    const char *certificate;                /* its coordinator.crt */
    const char *key;                        /* of the maintainer */
    const char *coordinator_key;            /* hex; NULL: the certificate's */
    const char *reason;
    const char *heldout;
    unsigned long heldout_bytes;
    bool anyway, help;
};

/** owm_admin_options_parse: Returns: OWM_OK; OWM_E_CONFIG with what is not understood. */
OWM_MUST_USE owm_status owm_admin_options_parse(int argc, char **argv,
                                                struct owm_admin_options *options,
                                                struct owm_error *error);

void owm_admin_help(void);

#endif

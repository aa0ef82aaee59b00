/* options.h: owm-ots' command line. */
#ifndef OWM_OTS_OPTIONS_H
#define OWM_OTS_OPTIONS_H

#include <stdio.h>

#include "dataplane/ots/calendar.h"
#include "dataplane/ots/headers.h"

#define OPTIONS_FILES_MAX OWM_OTS_LEAVES_MAX

struct options {
    const struct command *command;
    const char *own[OWM_OTS_CALENDARS_MAX]; /* Calendars named with --calendar. */
    size_t own_count;
    unsigned needed, timeout_s;
    const char *ca_file, *bitcoin_rpc, *bitcoin_cookie, *headers, *target;
    enum owm_network network;
    bool json, help;
    char *const *files; /* Of argv. */
    size_t file_count;
};

/** command: one word behind owm-ots. run returns the exit code. */
struct command {
    const char *name;
    int (*run)(const struct options *options);
};
extern const struct command commands[];

/** Exit codes. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_OPTIONS = 2, EXIT_PENDING = 3 };

/** options_parse: strings point into argv. Returns: OWM_OK; OWM_E_CONFIG with a sentence. */
OWM_MUST_USE owm_status options_parse(int argc, char **argv, struct options *options,
                                      struct owm_error *error);
void options_help(FILE *out);

/** options_calendars: who may be asked, borrowed from the options. */
struct owm_ots_calendars options_calendars(const struct options *options);

#endif

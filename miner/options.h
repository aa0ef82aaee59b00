/* options.h: owm-mine's command line. */
#ifndef OWM_MINER_OPTIONS_H
#define OWM_MINER_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "dataplane/mine/mine.h"

struct options {
    struct owm_mine_pool pools[OWM_MINE_POOLS_MAX];
    const char *urls[OWM_MINE_POOLS_MAX]; /* As they were given, for people. */
    size_t pool_count;
    const char *identity; /* File; NULL: none. */
    const char *user, *worker, *devices;
    unsigned threads, intensity;
    bool extended, benchmark, json, help;
    unsigned seconds; /* Of the benchmark; of mining, 0: until a signal. */
};

/** options_parse: strings point into argv. Returns: OWM_OK; OWM_E_CONFIG with a sentence. */
OWM_MUST_USE owm_status options_parse(int argc, char **argv, struct options *options,
                                      struct owm_error *error);
void options_help(FILE *out);

#endif

/* options.h: the command line of owm-devnet, which is that of `./owm up|ask|status|admin`. */
#ifndef OWM_DEVNET_OPTIONS_H
#define OWM_DEVNET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define DEVNET_NODES_MAX 64

enum verb { VERB_HELP, VERB_UP, VERB_ASK, VERB_STATUS, VERB_ADMIN };

struct options {
    enum verb verb;
    const char *folder; /* Everything the network keeps. */
    unsigned nodes;
    unsigned rounds;       /* 0: until Ctrl-C. */
    unsigned poison;       /* How many of the nodes send poisoned updates. */
    unsigned tier2;        /* How many of them, from the last, are of tier 2; the others of 1. */
    bool fresh;            /* Start a new network; the old folder is kept under another name. */
    bool no_mining;        /* Without source of blocks, pool and miner. */
    const char *lightning; /* The folder of lnd, lncli and btcd; NULL: no stake, nothing paid. */
    double target;         /* Held-out bits per byte that a finite run must get below. */
    const char *text;
    unsigned tokens;
    double temperature;
    uint64_t seed;
    const char *from, *to, *journal; /* Of recompute, as owm-pool takes them; NULL: not said. */
};

/** options_parse: returns OWM_E_CONFIG with a sentence for anything it does not know. */
owm_status options_parse(int argc, char **argv, struct options *options,
                         struct owm_error *error) OWM_MUST_USE;

/** options_tier: "t1" or "t2", of node `index`, from 0. */
const char *options_tier(const struct options *options, unsigned index);

void options_help(void);

#endif

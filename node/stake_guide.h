/* stake_guide.h: from an operator with a machine to a node with a stake, one step at a time
 * (SRS-NODE-11). Looks at what is done and names the one next step, with its command lines. */
#ifndef OWM_NODE_STAKE_GUIDE_H
#define OWM_NODE_STAKE_GUIDE_H

#include <stdio.h>

#include "node/config.h"
#include "node/node.h"
#include "proto/statement.h"

#define STAKE_COMMANDS_MAX 6
#define STAKE_COMMAND_MAX  420
/** A channel this much above the minimum survives the payments and fees of a while. */
#define STAKE_MARGIN_PERCENT 10

/** stake_facts: what is known. Borrowed texts live as long as the config. */
struct stake_facts {
    const struct owm_node_config *config;
    const char *tier; /* "t1" … */

    bool answered; /* the coordinator, to Hello */
    char coordinator_error[OWM_ERROR_BYTES_MAX];
    char network[NODE_WORD_MAX], policy[NODE_WORD_MAX];
    char statement[OWM_STATEMENT_BYTES];
    int64_t minimum_sats;
    bool bound; /* the coordinator knows which Lightning node stands for this one */

    bool uri_ok;   /* lightning.node_uri is pubkey@host:port */
    bool can_sign; /* lightning.backend answers, and is that node */
    bool signed_by_hand;
    char lightning_error[OWM_ERROR_BYTES_MAX];

    bool running; /* the daemon, and what it says */
    char link[NODE_WORD_MAX], status[NODE_WORD_MAX], reason[OWM_ERROR_BYTES_MAX];

    struct node_stake stake; /* by Hello and the daemon; by the own Lightning node if looked_ms */
};

enum stake_step {
    STAKE_COORDINATOR,    /* it does not answer */
    STAKE_NOT_ASKED,      /* this network wants none */
    STAKE_LIGHTNING_NODE, /* which one is it? */
    STAKE_IDENTITY,       /* it has to vouch for this node */
    STAKE_CHANNEL,        /* to be opened */
    STAKE_MORE,           /* there is one, with too little in it */
    STAKE_CONFIRMATIONS,  /* wait */
    STAKE_START,          /* everything is there but the daemon */
    STAKE_ACTIVE,
};

struct stake_guide {
    enum stake_step step;
    char what[OWM_ERROR_BYTES_MAX]; /* the next step, in a sentence */
    char command[STAKE_COMMANDS_MAX][STAKE_COMMAND_MAX];
    size_t commands;
};

/** stake_guide_decide: the one next step. Looks at nothing but the facts. */
void stake_guide_decide(const struct stake_facts *facts, struct stake_guide *guide);

/** stake_channel_sats: what to fund for this minimum: with the margin, in full thousands, and not
 *  below lightning.min_payment_channel_sat. */
int64_t stake_channel_sats(const struct owm_node_config *config, int64_t minimum_sats);

/** stake_guide_print: the steps with a mark each, then the next one; or JSON. */
void stake_guide_print(const struct stake_facts *facts, const struct stake_guide *guide, bool json,
                       FILE *out);

const char *stake_step_name(enum stake_step step); /* "channel" */

#endif

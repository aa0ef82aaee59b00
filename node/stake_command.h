/* stake_command.h: `owm-node stake …`: the commands around the stake, for people at a terminal. */
#ifndef OWM_NODE_STAKE_COMMAND_H
#define OWM_NODE_STAKE_COMMAND_H

#include "node/contact.h"
#include "node/stake_guide.h"

#define STAKE_WORDS_MAX 3

/** stake_options: what stands behind `owm-node stake`. */
struct stake_options {
    const char *word[STAKE_WORDS_MAX + 1]; /* NULL behind the last */
    bool json, leave;
    const char *tier;      /* --tier; NULL: this machine's */
    const char *base_sats; /* --base-sats; NULL: the specification's example */
};

/** node_stake_command: the exit code; speaks on stdout, and on stderr when it fails.
 *
 *     (nothing)                what is done, and the next step
 *     statement                the text that the Lightning node signs, alone on a line
 *     prove SIGNATURE          take a signature that was made by hand
 *     can-join                 before any sat is locked: needs, forecast, costs
 *     bond [hold|paid SATS]    what else can be forfeited; --leave takes it back
 */
int node_stake_command(const struct owm_node_config *config, const struct stake_options *options);

/** stake_facts_gather: ask everyone there is. contact must be open; it may not answer. */
void stake_facts_gather(const struct owm_node_config *config, struct node_contact *contact,
                        struct stake_facts *facts);

/** stake_tier: of this machine, or the named one; "none" below T1. */
enum owm_tier stake_tier(const struct owm_node_config *config, const char *named);

/* stake_join.c, stake_bond.c. Returns: OWM_OK after printing. */
OWM_MUST_USE owm_status stake_can_join(const struct owm_node_config *config,
                                       const struct stake_options *options,
                                       struct owm_error *error);
OWM_MUST_USE owm_status stake_bond(const struct owm_node_config *config,
                                   const struct stake_options *options, struct owm_error *error);

#endif

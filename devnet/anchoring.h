/* anchoring.h: the provenance part of a development network: a calendar of its own, which promises
 * every version of the model a place in the chain of our source of blocks, and puts it there.
 *
 *   folder/calendar/…    its promises, its key, and the port that they name
 *
 * Everything else is the programs' own work: the coordinator has each version stamped and follows
 * it into a block, the nodes check what they load. Where there is no Bitcoin node with a wallet
 * (--no-mining, btcd) promises stay promises.
 */
#ifndef OWM_DEVNET_ANCHORING_H
#define OWM_DEVNET_ANCHORING_H

#include <stdbool.h>

#include "process.h"

#define ANCHORING_WALLET "owm-calendar" /* Of a bitcoind; our own source has one without a name. */

struct client;
struct network;

struct anchoring {
    struct process calendar;
    unsigned port;
    char uri[64];
    bool anchors; /* There is a Bitcoin node with a wallet. */
};

/** anchoring_up: the calendar, told on stdout; it answers when this returns. After mining_choose.
 *  Returns: with a sentence. Call anchoring_down all the same. anchoring_start: again. */
owm_status anchoring_up(struct network *network, struct owm_error *error) OWM_MUST_USE;
owm_status anchoring_start(struct network *network, unsigned index, struct owm_error *error);

/** anchoring_wallet: sees to it that a bitcoind has a wallet with coins. After mining_up.
 *  Returns: with a sentence. */
owm_status anchoring_wallet(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** anchoring_login: the node's URL and cookie file, for configurations and commands; both "" where
 *  nothing is anchored. url [64], cookie borrowed from the network. */
const char *anchoring_login(const struct network *network, char url[static 64]);

/** anchoring_wait: until every version has its promises and the oldest one is in a block, at most
 *  30 s. */
void anchoring_wait(struct network *network, struct client *client);

/** anchoring_agree: whether owm-ots finds a well-formed proof beside each of the newest versions,
 *  and the block where the coordinator names one.
 *
 *  sentence, note  [256] out: what was found; what is not yet as it will be, or "". */
bool anchoring_agree(const struct network *network, struct client *client,
                     char sentence[static 256], char note[static 256]);

void anchoring_down(struct anchoring *anchoring);

#endif

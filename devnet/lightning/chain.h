/* chain.h: the Bitcoin node of a Lightning network on this machine: a btcd on simnet that mines
 * when it is told to.
 *
 * Simnet, since btcd begins its regtest anew at each start. Thread: one.
 */
#ifndef OWM_DEVNET_CHAIN_H
#define OWM_DEVNET_CHAIN_H

#include "base/uuid.h"
#include "process.h"

#define CHAIN_PATH_MAX 640

struct chain {
    struct process process;
    char program[CHAIN_PATH_MAX], folder[CHAIN_PATH_MAX], log[CHAIN_PATH_MAX];
    char certificate[CHAIN_PATH_MAX + 16]; /* rpc.cert, which btcd makes. */
    char user[8], password[OWM_UUID_TEXT_BYTES];
    char address[128]; /* Whom its blocks pay; "": it cannot mine. */
    unsigned port;
};

/** chain_start: on chain->port with chain->address; returns when it answers.
 *  Returns: OWM_E_IO; OWM_E_TIMEOUT, with the log to read. */
owm_status chain_start(struct chain *chain, struct owm_error *error) OWM_MUST_USE;

/** chain_mine: this many blocks on top. Returns: as chain_call. */
owm_status chain_mine(struct chain *chain, unsigned blocks, struct owm_error *error) OWM_MUST_USE;

/** chain_height: of the tip. chain_waiting: transactions that no block has yet. */
owm_status chain_height(struct chain *chain, unsigned *height,
                        struct owm_error *error) OWM_MUST_USE;
owm_status chain_waiting(struct chain *chain, unsigned *transactions,
                         struct owm_error *error) OWM_MUST_USE;

#endif

/* daemon.h: one lnd on simnet as a child process, and what its operator does with lncli.
 *
 * Its folder has tls.cert, the macaroons of the roles (owm-stake.macaroon …) and a script `lncli`,
 * which is lncli for this node. The wallet opens by itself, which is for networks without money.
 * Thread: one.
 */
#ifndef OWM_DEVNET_DAEMON_H
#define OWM_DEVNET_DAEMON_H

#include <jansson.h>
#include <stdint.h>

#include "base/lightning/lightning.h"
#include "chain.h"

#define DAEMON_PATH_MAX 640

struct daemon {
    struct process process;
    const struct chain *chain;
    char programs[DAEMON_PATH_MAX]; /* Where lnd and lncli are. */
    char folder[DAEMON_PATH_MAX], log[DAEMON_PATH_MAX], script[DAEMON_PATH_MAX + 16];
    char name[16];
    char key[2 * OWM_LIGHTNING_KEY_BYTES + 1]; /* Hex; after daemon_wait. */
    unsigned rpc_port, peer_port;
    bool locked; /* At the next start: the wallet waits for its password. */
};

/** daemon_start: returns at once. Makes the script. */
owm_status daemon_start(struct daemon *daemon, struct owm_error *error) OWM_MUST_USE;

/** daemon_wait: until it takes calls; sets the key.
 *  daemon_wait_height: and is synced to a chain of this height.
 *  Returns: OWM_E_IO it ended; OWM_E_TIMEOUT, with the log to read. */
owm_status daemon_wait(struct daemon *daemon, struct owm_error *error) OWM_MUST_USE;
owm_status daemon_wait_height(struct daemon *daemon, unsigned height,
                              struct owm_error *error) OWM_MUST_USE;

void daemon_stop(struct daemon *daemon);
void daemon_kill(struct daemon *daemon); /* SIGKILL */

/** daemon_ask: one lncli command; words end with NULL.
 *  reply  Out: new reference, NULL where it printed no object; NULL pointer: not wanted.
 *  Returns: OWM_E_STATE it was refused, in lncli's words. */
#define DAEMON_WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
owm_status daemon_ask(const struct daemon *daemon, const char *const *words, json_t **reply,
                      struct owm_error *error) OWM_MUST_USE;

/** daemon_bake: a role's macaroon, by the command that OWM gives to operators.
 *  path [DAEMON_PATH_MAX + 32] written. */
owm_status daemon_bake(const struct daemon *daemon, enum owm_lightning_role role, char *path,
                       struct owm_error *error) OWM_MUST_USE;

/** daemon_address: a new one of its wallet; address [128] written. */
owm_status daemon_address(const struct daemon *daemon, char *address,
                          struct owm_error *error) OWM_MUST_USE;

/** daemon_received: its settled invoices, keysends among them; those that the filter lets through.
 *  daemon_sent: its payments that arrived, without fees.
 *  Returns: as daemon_ask. */
struct books {
    int64_t msat;
    unsigned count;
};
struct books_filter {
    const uint8_t *hash; /* [32]; NULL: any */
    bool owm;            /* only what a coordinator sent by keysend */
};
owm_status daemon_received(const struct daemon *daemon, const struct books_filter *filter,
                           struct books *books, struct owm_error *error) OWM_MUST_USE;
owm_status daemon_sent(const struct daemon *daemon, struct books *books,
                       struct owm_error *error) OWM_MUST_USE;

/** daemon_uri: "key@127.0.0.1:port"; uri [OWM_LIGHTNING_TEXT_BYTES] written. */
void daemon_uri(const struct daemon *daemon, char *uri);

#endif

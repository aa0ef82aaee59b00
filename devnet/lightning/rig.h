/* rig.h: a Lightning network on this machine: one btcd, the treasury's lnd, and one lnd for each
 * operator.
 *
 *   folder/btcd/…        the chain
 *   folder/treasury/…    the treasury's node: tls.cert, owm-stake.macaroon …, lncli
 *   folder/operator-N/…  the operators'
 *   folder/logs/…        one log per program
 *
 * All of it is real, its money is not: simnet coins that the network mines for itself. Started
 * again in the same folder, it goes on where it was. Thread: one.
 */
#ifndef OWM_DEVNET_RIG_H
#define OWM_DEVNET_RIG_H

#include "chain.h"
#include "daemon.h"

#define RIG_OPERATORS_MAX 16
#define RIG_CONFIRMATIONS 6 /* Mined onto each channel that is opened here. */

struct rig {
    char folder[CHAIN_PATH_MAX / 2];
    struct chain chain;
    struct daemon treasury;
    struct daemon operators[RIG_OPERATORS_MAX];
    unsigned operator_count;
    int lock_fd;
};

/** rig_up: start everything, mine, give each operator coins, connect them to the treasury, and bake
 *  the treasury's macaroons of all roles and the operators' of theirs.
 *
 *  folder          made if missing; an absolute path.
 *  programs        where lnd, lncli and btcd are (tests/peers/lightning.sh).
 *  operator_count  1 to RIG_OPERATORS_MAX.
 *  Returns: OWM_E_STATE one runs in this folder; OWM_E_IO, OWM_E_TIMEOUT with the log to read; call
 *  rig_down all the same. */
owm_status rig_up(struct rig *rig, const char *folder, const char *programs,
                  unsigned operator_count, struct owm_error *error) OWM_MUST_USE;

/** rig_down: lnds first, then btcd. */
void rig_down(struct rig *rig);

/** rig_tend: start again what ended by itself. Returns: whether something had. */
bool rig_tend(struct rig *rig);

/** rig_open: a channel that `from` funds, mined until it can be used.
 *
 *  push_sats  become the acceptor's.
 *  point      [OWM_LIGHTNING_POINT_TEXT], or NULL.
 *  Returns: OWM_E_STATE refused; OWM_E_TIMEOUT not usable within 60 s. */
struct rig_channel {
    struct daemon *from, *to;
    int64_t sats, push_sats;
};
owm_status rig_open(struct rig *rig, const struct rig_channel *channel, char *point,
                    struct owm_error *error) OWM_MUST_USE;

/** rig_has_channel: one that `from` opened to `to` and that is open or opening. */
bool rig_has_channel(const struct daemon *from, const struct daemon *to);

/** rig_can_pay: `from` knows a way to `to`, over whatever channels. */
bool rig_can_pay(const struct daemon *from, const struct daemon *to);

/** rig_connect: `from` connects to `to`, or is connected already. */
owm_status rig_connect(const struct daemon *from, const struct daemon *to,
                       struct owm_error *error) OWM_MUST_USE;

/** rig_close: cooperatively, by `by`; mined. `point` as rig_open gave it. */
owm_status rig_close(struct rig *rig, const struct daemon *by, const char *point,
                     struct owm_error *error) OWM_MUST_USE;

/** rig_mine: blocks, and wait until every node that runs has seen the tip. */
owm_status rig_mine(struct rig *rig, unsigned blocks, struct owm_error *error) OWM_MUST_USE;

#endif

/* lnd_double.h: a test double of an LND node: LND's gRPC answers on a port, without a chain,
 * without peers, without money.
 *
 * What it promises: it answers as LND 0.21 does, down to codes and texts, in what our code relies
 * on: the State service without macaroon, macaroons that are verified (chain of HMACs, operations,
 * time-before), the order of channel states, net balances, the control tower that pays a hash once,
 * the replay rules of invoice subscriptions, streams that end half-way. What a real node would hear
 * from peers and from the chain, a test tells it by commands. Doubles of one process are peers:
 * they pay each other's invoices and see each other's channels.
 *
 * The folder is the node: key, certificate, macaroons, and a journal of everything that LND keeps
 * in its database, written before each answer. A double opened again on its folder goes on where it
 * was, so `kill -9` of the program is a crash of LND.
 *
 *   tls.cert tls.key               P-256, for localhost, 127.0.0.1 and ::1
 *   admin|stake|invoice|pay|slash|operator.macaroon
 *                                  a role's is baked from owm_lightning_role_recipe's own words
 *   node.key journal
 *
 * What it is not: payments move no channel balance. Its payment requests have the network's prefix
 * and the amount as BOLT11 has them, but their data is no bech32: "1double" and hex digits. They
 * say their preimage (but for hold invoices), so that a double of another process settles them too;
 * a hold invoice of another process stays in flight until `end`.
 *
 * Commands, one line each; words are separated by blanks, [word] may be left out. POINT is
 * "txid:index", HASH, KEY and PREIMAGE are hex, amounts are satoshis unless named msat. METHOD is
 * "GetInfo" and so on. `->` says what is answered.
 *
 *   state none|waiting|locked|starting|rpc|active   what GetState says, and what calls meet
 *   synced yes|no, graph yes|no, network NAME, version TEXT, invoicesrpc yes|no
 *   wallet SATS                      confirmed on-chain balance
 *   fault METHOD CODE TIMES TEXT…    the next TIMES calls fail so (CODE is gRPC's number)
 *   delay METHOD MS                  every call of it waits so long
 *   cut METHOD MESSAGES|none         its streams break after so many messages
 *   calls METHOD                     -> how many have come
 *   certificate new|expired          a new key and certificate, by a restart of the server
 *   macaroon revoke ROLE             its root key is deleted: refused from now on
 *   restart                          as after a crash: only the journal is left, and settings
 *   down, up                         stops listening, listens again
 *
 *   mine BLOCKS                      on every double of the process; the first confirms
 *   channel peer=KEY capacity=SATS [by=us|peer] [push=SATS] [private] [zeroconf] [pending]
 *           [type=anchors|static|legacy|taproot]    -> POINT; open unless `pending`, by the peer
 *                                                   unless `by=us`
 *   channels COUNT [capacity=SATS]   COUNT open ones, of COUNT peers
 *   move POINT MSAT                  the peer pays us; negative: we pay the peer
 *   hold POINT MSAT                  the peer's HTLC is in flight; 0: it is gone
 *   active POINT yes|no, flags POINT ChanStatusBorked|…
 *   close POINT us|peer|force-us|force-peer|breach    broadcast; `mine` confirms
 *   channel-state POINT              -> pending|open|closing|forced|closed
 *
 *   pay KEY|default succeed|fail|hang|stall [after=MS] [fee=MSAT] [reason=NAME] [cut=MESSAGES]
 *       [refuse=TIMES]               how payments to KEY end. hang: an HTLC that does not come
 *                                    back; stall: none has left yet; refuse: so many are not even
 *                                    heard (the connection broke before LND had read them)
 *   end HASH succeed|fail [reason=NAME] [preimage=PREIMAGE]      a payment in flight
 *   payment HASH, payments           -> HASH STATE KEY amount=MSAT fee=MSAT accepted=N refused=N
 *                                       settled=N at=US record=HEX: how often it was taken, refused
 *                                       as a duplicate, and paid; when it first came (wall clock,
 *                                       microseconds); its first custom record
 *   paid-twice                       -> those paid twice, by hash or by record; empty: none
 *   invoice value=MSAT [memo=WORD] [expiry=S] [hash=HASH]   -> payment request; a hash: hold
 *   arrive HASH [msat=MSAT]          a payment for our invoice comes in
 *   invoice-state HASH               -> open|held|settled|cancelled
 *   expire HASH                      its time is over
 */
#ifndef TESTS_LIGHTNING_LND_DOUBLE_H
#define TESTS_LIGHTNING_LND_DOUBLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define LND_DOUBLE_PATH_BYTES   512
#define LND_DOUBLE_CHANNELS_MAX 20000
#define LND_DOUBLE_PAYMENTS_MAX (1u << 20)
#define LND_DOUBLE_INVOICES_MAX (1u << 16)
#define LND_DOUBLE_STREAMS_MAX  4096
#define LND_DOUBLE_RULES_MAX    256 /* destinations with a `pay` of their own */
#define LND_DOUBLE_FAULTS_MAX   32

struct lnd_double;

struct lnd_double_config {
    const char *folder;  /* made if it is not there; its last part is the node's name and alias */
    const char *address; /* "127.0.0.1:0" */
    const char *network; /* regtest, … */
};

/** lnd_double_open: start, or start again.
 *  Returns: OWM_OK; OWM_E_NET the address is taken; OWM_E_IO; OWM_E_PROTO a folder of another
 *  build of the double; OWM_E_NOMEM. */
OWM_MUST_USE owm_status lnd_double_open(const struct lnd_double_config *config,
                                        struct lnd_double **node, struct owm_error *error);
void lnd_double_close(struct lnd_double *node); /* NULL is allowed; the folder stays */

const char *lnd_double_name(const struct lnd_double *node);
const char *lnd_double_address(const struct lnd_double *node); /* "127.0.0.1:10009" */
const char *lnd_double_key(const struct lnd_double *node);     /* 66 hex digits */

/** lnd_double_file: the path of a file of its folder. */
void lnd_double_file(const struct lnd_double *node, const char *name,
                     char path[LND_DOUBLE_PATH_BYTES]);

/** lnd_double_command: one command line.
 *
 *  answer  Out: what it says, lines without the last line break, or why it failed; malloc'ed.
 *  Returns: OWM_OK; else the command was refused.
 *  Thread: any, not from a callback of the node. */
OWM_MUST_USE owm_status lnd_double_command(struct lnd_double *node, const char *line,
                                           char **answer);

/** lnd_double_do: a command of a test that must succeed: it aborts otherwise. Returns the answer,
 *  in a buffer of the node's that lives until its next lnd_double_do. */
const char *lnd_double_do(struct lnd_double *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

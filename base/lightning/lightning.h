/* lightning.h: one Lightning node, whichever it is: LND over gRPC or Core Lightning over JSON-RPC.
 *
 * A handle has one role, and a credential that can do that role and no more (SRS-SEC-13): opening
 * it reads what the credential may do and refuses one that may do anything else. A process that
 * only reads stakes cannot be made to pay, whatever goes wrong in it.
 *
 * Amounts are millisats in int64_t and never negative. Public keys are 33-byte compressed points,
 * hashes are raw. Every call blocks for at most `timeout_ms` of the config unless it says
 * otherwise.
 * Thread: a handle is used by any number of threads at a time; a watch by one.
 *
 * Errors of every call, each with a sentence:
 *   OWM_E_NET          the node does not answer; nothing is known to have happened
 *   OWM_E_TIMEOUT      as NET, but the request may have been taken
 *   OWM_E_AGAIN        it answers and is not ready: wallet locked, starting, or behind the chain
 *   OWM_E_PERM         the credential is refused, or the certificate is not the pinned one
 *   OWM_E_UNSUPPORTED  this backend or build has no such call (the sentence names the build tag)
 *   OWM_E_PROTO        an answer that makes no sense
 *   OWM_E_STATE        the node refuses the request in its own words
 *   OWM_E_NOMEM
 * Sources: LND's lightning.proto, router.proto, invoices.proto; Core Lightning's JSON-RPC manual.
 */
#ifndef OWM_BASE_LIGHTNING_H
#define OWM_BASE_LIGHTNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_LIGHTNING_KEY_BYTES     33
#define OWM_LIGHTNING_INVOICE_BYTES 4096 /* a BOLT11 string with its terminator */
#define OWM_LIGHTNING_TEXT_BYTES    200

enum owm_lightning_backend { OWM_LIGHTNING_LND, OWM_LIGHTNING_CLN };

/** What a handle may do. The calls below name the roles that have them. */
enum owm_lightning_role {
    OWM_LIGHTNING_STAKE,    /* the treasury's channels, read only */
    OWM_LIGHTNING_INVOICE,  /* invoices of the treasury: make, watch, settle, cancel */
    OWM_LIGHTNING_PAY,      /* pay out; with the direct channels of SRS-LN-03 */
    OWM_LIGHTNING_SLASH,    /* force-close, and read channels */
    OWM_LIGHTNING_OPERATOR, /* an operator's own node: sign, read channels, pay a bond invoice */
};

struct owm_lightning_config {
    enum owm_lightning_backend backend;
    enum owm_lightning_role role;
    const char *address;     /* LND "host:10009"; CLN the path of the socket lightning-rpc */
    const char *certificate; /* LND: path of tls.cert, pinned; read again when the file changes */
    const char *credential;  /* LND: path of the macaroon; CLN: path of a file with a rune, or
                                    NULL where the socket's permissions are the credential */
    const char *network;     /* mainnet, testnet, testnet4, signet, regtest, simnet */
    unsigned timeout_ms;     /* 0: 10,000 */
};

typedef struct owm_lightning owm_lightning;

/** owm_lightning_open: connect, and judge the node: it is unlocked and ready, speaks a version this
 *  code knows, is on `network`, and the credential fits the role.
 *  Returns: as above; OWM_E_CONFIG another network, or a credential that may do more than its role
 *  (with the command that bakes the right one); OWM_E_IO a file cannot be read; OWM_E_CRYPTO the
 *  certificate is no certificate or has expired; OWM_E_AGAIN as above: try again later. */
OWM_MUST_USE owm_status owm_lightning_open(const struct owm_lightning_config *config,
                                           owm_lightning **lightning, struct owm_error *error);
void owm_lightning_close(owm_lightning *lightning); /* NULL is allowed; close its watches first */

enum owm_lightning_backend owm_lightning_backend_of(const owm_lightning *lightning);

/** owm_lightning_role_recipe: the command line that makes the credential of a role, for messages
 *  and documents. Static string. */
const char *owm_lightning_role_recipe(enum owm_lightning_backend backend,
                                      enum owm_lightning_role role);

struct owm_lightning_info {
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    char alias[64];
    char version[64];
    char network[16];
    uint32_t block_height;
    bool synced_to_chain;
    bool synced_to_graph;
    char uri[OWM_LIGHTNING_TEXT_BYTES]; /* "" if it announces none */
};

/** owm_lightning_info: every role. */
OWM_MUST_USE owm_status owm_lightning_get_info(owm_lightning *lightning,
                                               struct owm_lightning_info *info,
                                               struct owm_error *error);

/* --- channels: STAKE, SLASH, PAY, OPERATOR --------------------------------------------------- */

/** A funding output. txid is in the order of the chain (reversed from how it is displayed). */
struct owm_lightning_point {
    uint8_t txid[32];
    uint32_t index;
};

#define OWM_LIGHTNING_POINT_TEXT 76 /* "txid:index" as displayed, with its terminator */
void owm_lightning_point_format(const struct owm_lightning_point *point,
                                char text[OWM_LIGHTNING_POINT_TEXT]);
OWM_MUST_USE owm_status owm_lightning_point_parse(const char *text,
                                                  struct owm_lightning_point *point);

enum owm_lightning_channel_state {
    OWM_LIGHTNING_OPENING, /* its funding is not confirmed */
    OWM_LIGHTNING_NORMAL,
    OWM_LIGHTNING_CLOSING, /* a close is on its way, of whatever kind */
    OWM_LIGHTNING_BROKEN, /* borked, restored from a backup, data lost: its balance means nothing */
    OWM_LIGHTNING_CLOSED,
};

enum owm_lightning_close_kind {
    OWM_LIGHTNING_CLOSE_NONE, /* or not known yet */
    OWM_LIGHTNING_CLOSE_COOPERATIVE,
    OWM_LIGHTNING_CLOSE_FORCED_BY_US,
    OWM_LIGHTNING_CLOSE_FORCED_BY_PEER,
    OWM_LIGHTNING_CLOSE_BREACH,
    OWM_LIGHTNING_CLOSE_OTHER, /* funding cancelled, abandoned */
};

/** A channel as the node that answers sees it: "local" is that node, "remote" its peer. */
struct owm_lightning_channel {
    struct owm_lightning_point point;
    uint64_t short_id; /* block << 40 | transaction << 16 | output; 0: not confirmed */
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
    enum owm_lightning_channel_state state;
    bool opened_by_peer; /* the peer funded it */
    bool active;         /* the peer is connected and the link is up */
    bool is_private;
    int64_t capacity_msat;
    int64_t local_msat;     /* settled and spendable, ours */
    int64_t remote_msat;    /* the peer's, gross: what its opener pays for the commitment
                                transaction and for anchors is counted as the opener's, so that a
                                channel just opened with 1,000,000 sats shows 1,000,000 (LND reports
                                net values, Core Lightning gross ones) */
    int64_t unsettled_msat; /* in HTLCs, in neither balance */
    int64_t remote_reserve_msat;
    int64_t pushed_msat; /* given to the acceptor at opening */
    uint32_t confirmations;
    /* CLOSING and CLOSED */
    enum owm_lightning_close_kind close_kind;
    bool closed_by_peer;
    uint8_t closing_txid[32]; /* zero: not known */
    char note[64];            /* the node's own word for a state that is not normal */
};

/** owm_lightning_channels: open, opening and closing channels; with `closed` also the closed ones.
 *
 *  peer      NULL: all.
 *  channels  Out: malloc'ed, count long, by funding point; the caller frees it.
 *  Returns: as above; OWM_E_AGAIN the node is not synced: its view is old and is not given. */
OWM_MUST_USE owm_status owm_lightning_channels(owm_lightning *lightning, const uint8_t *peer,
                                               bool closed, struct owm_lightning_channel **channels,
                                               size_t *count, struct owm_error *error);

/** owm_lightning_force_close: SLASH. Broadcast our commitment transaction. Each side gets its own
 *  balance back: this evicts and takes nothing from anybody (docs/slashing.md). Returns as soon as
 *  the transaction is known; look at owm_lightning_channels for the rest.
 *  Before calling, look there whether it is closing already: that is how a crash in between is
 *  survived.
 *  Returns: as above; OWM_E_EXISTS it is closing already; OWM_E_NOTFOUND no such channel. */
OWM_MUST_USE owm_status owm_lightning_force_close(owm_lightning *lightning,
                                                  const struct owm_lightning_point *point,
                                                  uint8_t closing_txid[32],
                                                  struct owm_error *error);

/** owm_lightning_open_channel: PAY. Connect to the peer ("host:port") and fund a channel to it from
 *  the node's wallet (SRS-LN-03); `push_msat` becomes the peer's.
 *  Returns: as above; OWM_E_LIMIT the wallet has not enough. */
OWM_MUST_USE owm_status owm_lightning_open_channel(owm_lightning *lightning, const uint8_t *peer,
                                                   const char *host, int64_t capacity_sats,
                                                   int64_t push_msat,
                                                   struct owm_lightning_point *point,
                                                   struct owm_error *error);

struct owm_lightning_funds {
    int64_t wallet_confirmed_msat, wallet_unconfirmed_msat;
    int64_t outbound_msat; /* we can send over open channels */
    int64_t inbound_msat;  /* we can receive */
    int64_t pending_msat;  /* in channels that open or close */
};

/** owm_lightning_funds: PAY. */
OWM_MUST_USE owm_status owm_lightning_get_funds(owm_lightning *lightning,
                                                struct owm_lightning_funds *funds,
                                                struct owm_error *error);

/** A watch says that something about channels has changed, not what: look again. Nothing is
 *  replayed after a reconnect, so look again then, too. */
struct owm_lightning_watch;
OWM_MUST_USE owm_status owm_lightning_watch_channels(owm_lightning *lightning,
                                                     struct owm_lightning_watch **watch,
                                                     struct owm_error *error);
/** owm_lightning_watch_next: peer out: whose channel; zero: not known, look at all.
 *  Returns: OWM_OK; OWM_E_TIMEOUT nothing within wait_ms; else the watch has ended: close it. */
OWM_MUST_USE owm_status owm_lightning_watch_next(struct owm_lightning_watch *watch,
                                                 unsigned wait_ms,
                                                 uint8_t peer[OWM_LIGHTNING_KEY_BYTES],
                                                 struct owm_error *error);
void owm_lightning_watch_close(struct owm_lightning_watch *watch); /* NULL is allowed */

/* --- payments: PAY, OPERATOR ----------------------------------------------------------------- */

enum owm_lightning_payment_state {
    OWM_LIGHTNING_IN_FLIGHT,
    OWM_LIGHTNING_SUCCEEDED,
    OWM_LIGHTNING_FAILED, /* the node says so: no HTLC of it is left, it may be tried again */
};

/** owm_lightning_outcome: what became of a payment hash. */
struct owm_lightning_outcome {
    enum owm_lightning_payment_state state;
    uint8_t preimage[32]; /* SUCCEEDED; checked against the hash */
    int64_t amount_msat, fee_msat;
    char reason[OWM_LIGHTNING_TEXT_BYTES]; /* FAILED: NO_ROUTE, TIMEOUT … */
};

/** The type of the custom record that carries record_id: "OWM" in ASCII. Odd: a receiver that does
 *  not know it ignores it (BOLT 1). */
#define OWM_LIGHTNING_RECORD_ID 0x4f574d

/** owm_lightning_order: exactly one of `invoice` and `destination` is set. A keysend carries its
 *  own preimage, so that the same order twice is the same payment. */
struct owm_lightning_order {
    const char *invoice;        /* BOLT11; the amount must be in it, or amount_msat is used */
    const uint8_t *destination; /* keysend */
    uint8_t payment_hash[32];
    uint8_t preimage[32]; /* keysend */
    int64_t amount_msat;
    int64_t fee_limit_msat;
    unsigned deadline_s;   /* the node gives up after this; 0: 60 */
    uint8_t record_id[16]; /* keysend: goes along as a custom record, so that the receiver can
                              tell what it was paid for; zero: none */
};

/** owm_lightning_pay: start it and wait up to wait_ms for its end.
 *
 *  The node refuses a hash that it has in flight or has paid, durably (that is what makes retries
 *  safe); such a refusal is not an error here: the outcome of the first attempt is looked up.
 *  Returns: OWM_OK outcome is set (IN_FLIGHT after wait_ms); errors as above. After NET, TIMEOUT or
 *  PROTO the payment may be under way: look with owm_lightning_track before anything else.
 *  OWM_E_STATE and OWM_E_ARG: refused, nothing was started. OWM_E_UNSUPPORTED: Core Lightning has
 *  no keysend with a preimage of ours. */
OWM_MUST_USE owm_status owm_lightning_pay(owm_lightning *lightning,
                                          const struct owm_lightning_order *order, unsigned wait_ms,
                                          struct owm_lightning_outcome *outcome,
                                          struct owm_error *error);

/** owm_lightning_track: what became of it. OWM_E_NOTFOUND: the node never heard of this hash. */
OWM_MUST_USE owm_status owm_lightning_track(owm_lightning *lightning,
                                            const uint8_t payment_hash[32],
                                            struct owm_lightning_outcome *outcome,
                                            struct owm_error *error);

struct owm_lightning_request {
    uint8_t destination[OWM_LIGHTNING_KEY_BYTES];
    uint8_t payment_hash[32];
    int64_t amount_msat;          /* 0: the payer chooses */
    int64_t created_s, expires_s; /* Unix time */
    char description[OWM_LIGHTNING_TEXT_BYTES];
};

/** owm_lightning_decode: a BOLT11 string of the handle's network; OWM_E_ARG: it is not one. */
OWM_MUST_USE owm_status owm_lightning_decode(owm_lightning *lightning, const char *invoice,
                                             struct owm_lightning_request *request,
                                             struct owm_error *error);

/** owm_lightning_fetch_invoice: an invoice from a BOLT12 offer (Core Lightning only). */
OWM_MUST_USE owm_status owm_lightning_fetch_invoice(owm_lightning *lightning, const char *offer,
                                                    int64_t amount_msat,
                                                    char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                                    struct owm_error *error);

/* --- invoices: INVOICE ----------------------------------------------------------------------- */

enum owm_lightning_invoice_state {
    OWM_LIGHTNING_INVOICE_OPEN,
    OWM_LIGHTNING_INVOICE_HELD, /* a hold invoice: the HTLC has come and waits for us */
    OWM_LIGHTNING_INVOICE_SETTLED,
    OWM_LIGHTNING_INVOICE_CANCELLED, /* or expired */
};

struct owm_lightning_invoice {
    uint8_t payment_hash[32];
    enum owm_lightning_invoice_state state;
    int64_t asked_msat;
    int64_t paid_msat; /* credit this: payers may pay more than was asked */
    int64_t settled_s;
    uint64_t settle_index;  /* grows; what a watch begins after */
    uint32_t expiry_height; /* HELD: block at which the HTLC's time is over; 0: not known */
    char invoice[OWM_LIGHTNING_INVOICE_BYTES];
};

/** owm_lightning_ask: what an invoice is to say. Hold invoices know the hash only; they are an LND
 *  feature (OWM_E_UNSUPPORTED on Core Lightning). */
struct owm_lightning_ask {
    const uint8_t *preimage;     /* [32]; NULL: a hold invoice */
    const uint8_t *payment_hash; /* [32] hold */
    int64_t amount_msat;
    unsigned expiry_s;
    unsigned cltv_blocks; /* hold: how long it may be held; 0: the node's default */
    const char *memo;
    bool route_hints; /* the payer may need private channels */
};

/** owm_lightning_invoice_add: idempotent by hash: a repeat gives the invoice that is there.
 *  OWM_E_EXISTS: the hash is there with another amount. */
OWM_MUST_USE owm_status owm_lightning_invoice_add(owm_lightning *lightning,
                                                  const struct owm_lightning_ask *ask,
                                                  char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                                  struct owm_error *error);
/** owm_lightning_invoice_find: OWM_E_NOTFOUND: no such invoice. */
OWM_MUST_USE owm_status owm_lightning_invoice_find(owm_lightning *lightning,
                                                   const uint8_t payment_hash[32],
                                                   struct owm_lightning_invoice *invoice,
                                                   struct owm_error *error);
/** owm_lightning_invoice_settle, _cancel: hold invoices; may be repeated. OWM_E_STATE: the other
 *  has happened before, or nothing is held yet (settle). */
OWM_MUST_USE owm_status owm_lightning_invoice_settle(owm_lightning *lightning,
                                                     const uint8_t preimage[32],
                                                     struct owm_error *error);
OWM_MUST_USE owm_status owm_lightning_invoice_cancel(owm_lightning *lightning,
                                                     const uint8_t payment_hash[32],
                                                     struct owm_error *error);

/** owm_lightning_watch_invoices: settled invoices with an index above `settle_index`, all of them,
 *  in order (LND itself replays nothing for 0: this call lists those first). _next: OWM_OK one
 *  more; OWM_E_TIMEOUT; else ended. */
struct owm_lightning_invoices;
OWM_MUST_USE owm_status owm_lightning_watch_invoices(owm_lightning *lightning,
                                                     uint64_t settle_index,
                                                     struct owm_lightning_invoices **watch,
                                                     struct owm_error *error);
OWM_MUST_USE owm_status owm_lightning_invoices_next(struct owm_lightning_invoices *watch,
                                                    unsigned wait_ms,
                                                    struct owm_lightning_invoice *invoice,
                                                    struct owm_error *error);
void owm_lightning_invoices_close(struct owm_lightning_invoices *watch); /* NULL is allowed */

/* --- proof of a node key: OPERATOR signs, anyone verifies ------------------------------------ */

#define OWM_LIGHTNING_SIGNATURE_TEXT 128 /* zbase32 of 65 bytes, with its terminator */

OWM_MUST_USE owm_status owm_lightning_sign(owm_lightning *lightning, const char *message,
                                           char signature[OWM_LIGHTNING_SIGNATURE_TEXT],
                                           struct owm_error *error);

/** owm_lightning_recover: the key that signed, from "Lightning Signed Message:" signatures of LND
 *  and Core Lightning; without any node. OWM_E_CRYPTO: not a signature. Compare the key. */
OWM_MUST_USE owm_status owm_lightning_recover(const char *message, const char *signature,
                                              uint8_t key[OWM_LIGHTNING_KEY_BYTES]);

/** owm_lightning_uri_parse: "66 hex digits@host:port" to its key and where host:port begins.
 *  OWM_E_PROTO: it is not one. */
OWM_MUST_USE owm_status owm_lightning_uri_parse(const char *uri,
                                                uint8_t key[OWM_LIGHTNING_KEY_BYTES],
                                                const char **host);

#endif

/* cln.h: the Core Lightning backend's own shapes: methods, handle, calls. Private to cln*.c.
 *
 * Each call has a connection of its own to the unix socket lightning-rpc: JSON-RPC 2.0, one
 * request, one reply that ends with an empty line. So calls do not wait for each other, and a
 * handle has nothing that changes.
 *
 * Who can open the socket can do everything: the permissions of the file are the wall. A rune,
 * where one is given, is a promise on top: lightningd itself is asked with `checkrune` whether it
 * lets this method with these parameters through, at opening for all that the role must and must
 * not do, and again before every call. So a limit in it holds, and blacklisting it takes effect at
 * once.
 * Sources: Core Lightning's JSON-RPC manual (doc/schemas), read at v26.06.
 */
#ifndef OWM_BASE_LIGHTNING_CLN_H
#define OWM_BASE_LIGHTNING_CLN_H

#include "backend.h"
#include "cln_read.h"

#define CLN_STAKE    (1u << OWM_LIGHTNING_STAKE)
#define CLN_INVOICE  (1u << OWM_LIGHTNING_INVOICE)
#define CLN_PAY      (1u << OWM_LIGHTNING_PAY)
#define CLN_SLASH    (1u << OWM_LIGHTNING_SLASH)
#define CLN_OPERATOR (1u << OWM_LIGHTNING_OPERATOR)
#define CLN_ALL      (CLN_STAKE | CLN_INVOICE | CLN_PAY | CLN_SLASH | CLN_OPERATOR)
#define CLN_READERS  (CLN_STAKE | CLN_PAY | CLN_SLASH | CLN_OPERATOR)
#define CLN_PAYERS   (CLN_PAY | CLN_OPERATOR)

/* A method, the roles that may have it, and those whose rune must let it through with no
 * parameters. xpay and pay are nobody's must: a rune may limit the invoice's amount, and whether it
 * lets a payment through shows with the invoice. The same goes for close, which is judged with its
 * parameters (cln_method.c). */
#define CLN_METHOD_MAP(X)                                                                          \
    X(getinfo, CLN_ALL, CLN_ALL)                                                                   \
    X(listpeerchannels, CLN_READERS, CLN_STAKE | CLN_SLASH)                                        \
    X(listclosedchannels, CLN_READERS, CLN_STAKE | CLN_SLASH)                                      \
    X(disconnect, CLN_SLASH, CLN_SLASH)                                                            \
    X(close, CLN_SLASH, 0)                                                                         \
    X(connect, CLN_PAY, 0)                                                                         \
    X(fundchannel, CLN_PAY, 0)                                                                     \
    X(listfunds, CLN_PAY, CLN_PAY)                                                                 \
    X(decode, CLN_PAYERS, CLN_PAY)                                                                 \
    X(listpays, CLN_PAYERS, CLN_PAY)                                                               \
    X(xpay, CLN_PAYERS, 0)                                                                         \
    X(pay, CLN_PAYERS, 0)                                                                          \
    X(fetchinvoice, CLN_PAYERS, 0)                                                                 \
    X(signmessage, CLN_OPERATOR, CLN_OPERATOR)                                                     \
    X(invoice, CLN_INVOICE, CLN_INVOICE)                                                           \
    X(listinvoices, CLN_INVOICE, CLN_INVOICE)                                                      \
    X(waitanyinvoice, CLN_INVOICE, CLN_INVOICE)                                                    \
    X(checkrune, 0, 0)

enum cln_method {
#define X(name, may, must) CLN_##name,
    CLN_METHOD_MAP(X)
#undef X
};

#define CLN_METHODS (CLN_checkrune + 1)

/** cln_method_name: "getinfo". cln_role_recipe: "lightning-cli createrune …". Static strings. */
const char *cln_method_name(enum cln_method method);
const char *cln_role_recipe(enum owm_lightning_role role);

struct cln {
    struct owm_lightning base; /* first */
    char *path;                /* of the socket */
    char *rune;                /* NULL: none */
    char network[16];
    unsigned timeout_ms;
    enum owm_lightning_role role;
};

/** cln_role_judge: whether the handle's rune lets through what the role must do, and none of what
 *  it must not do; nothing to judge without a rune.
 *  Returns: OWM_OK; OWM_E_CONFIG, with the command that makes the right one; as cln_call. */
OWM_MUST_USE owm_status cln_role_judge(struct cln *cln, struct owm_error *error);

/* ----------------------------------------------------------------------------- the socket */

/** cln_wire: one connection. Treat the fields as read-only. */
struct cln_wire {
    int fd; /* -1: closed */
    char *bytes;
    size_t count, room;
};

/** cln_wire_send: connect and send all of `text`.
 *  Returns: OWM_OK: close it; else it is closed: OWM_E_NET nobody listens there, or it hung up
 *  before it had the request; OWM_E_PERM no right to open it; OWM_E_CONFIG; OWM_E_NOMEM. */
OWM_MUST_USE owm_status cln_wire_send(const char *path, const char *text, uint64_t until_ms,
                                      struct cln_wire *wire, struct owm_error *error);

/** cln_wire_receive: read until the reply is whole.
 *  Returns: OWM_OK bytes and count are the reply; OWM_E_TIMEOUT not yet: it may be called again;
 *  OWM_E_NET it hung up first; OWM_E_LIMIT more than CLN_REPLY_BYTES_MAX; OWM_E_NOMEM. */
OWM_MUST_USE owm_status cln_wire_receive(struct cln_wire *wire, uint64_t until_ms);
void cln_wire_close(struct cln_wire *wire);

/* ------------------------------------------------------------------------------- the calls */

/** cln_ask: what to call.  params  Taken, also on failure; NULL: out of memory.
 *  filter  JSON of the fields that are wanted; NULL: all.  timeout_ms  0: the handle's. */
struct cln_ask {
    enum cln_method method;
    json_t *params;
    const char *filter;
    unsigned timeout_ms;
};

/** cln_call: Returns: OWM_OK, reply->result is the answer; as lightning.h says of every call;
 *  OWM_E_STATE with reply->code, Core Lightning's own. cln_reply_free the reply in any case. */
OWM_MUST_USE owm_status cln_call(struct cln *cln, struct cln_ask ask, struct cln_reply *reply,
                                 struct owm_error *error);

/** cln_call_begin, cln_call_end: the same in two, so that a slow answer can be waited for in
 *  parts. end: OWM_E_TIMEOUT not yet; it may be called again. Close the wire afterwards. */
OWM_MUST_USE owm_status cln_call_begin(struct cln *cln, struct cln_ask ask, struct cln_wire *wire,
                                       struct owm_error *error);
OWM_MUST_USE owm_status cln_call_end(struct cln *cln, enum cln_method method, struct cln_wire *wire,
                                     uint64_t until_ms, struct cln_reply *reply,
                                     struct owm_error *error);

/** cln_info: getinfo's answer. */
OWM_MUST_USE owm_status cln_info(struct cln *cln, struct owm_lightning_info *info,
                                 struct owm_error *error);

/** cln_nonsense: OWM_E_PROTO with the sentence of an answer that makes no sense; any other status
 *  as it is, with a sentence where it is OWM_E_NOMEM. */
owm_status cln_nonsense(enum cln_method method, owm_status status, struct owm_error *error);

/* The table's functions, by file. Contracts in lightning.h. */

owm_status cln_channels(owm_lightning *lightning, const uint8_t *peer, bool closed,
                        struct owm_lightning_channel **channels, size_t *count,
                        struct owm_error *error);
owm_status cln_watch_channels(owm_lightning *lightning, struct owm_lightning_watch **watch,
                              struct owm_error *error);
owm_status cln_watch_next(struct owm_lightning_watch *watch, unsigned wait_ms,
                          uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error);
void cln_watch_close(struct owm_lightning_watch *watch);

owm_status cln_force_close(owm_lightning *lightning, const struct owm_lightning_point *point,
                           uint8_t closing_txid[32], struct owm_error *error);
owm_status cln_open_channel(owm_lightning *lightning, const uint8_t *peer, const char *host,
                            int64_t capacity_sats, int64_t push_msat,
                            struct owm_lightning_point *point, struct owm_error *error);
owm_status cln_get_funds(owm_lightning *lightning, struct owm_lightning_funds *funds,
                         struct owm_error *error);

owm_status cln_pay(owm_lightning *lightning, const struct owm_lightning_order *order,
                   unsigned wait_ms, struct owm_lightning_outcome *outcome,
                   struct owm_error *error);
owm_status cln_track(owm_lightning *lightning, const uint8_t payment_hash[32],
                     struct owm_lightning_outcome *outcome, struct owm_error *error);
owm_status cln_decode(owm_lightning *lightning, const char *invoice,
                      struct owm_lightning_request *request, struct owm_error *error);
owm_status cln_fetch_invoice(owm_lightning *lightning, const char *offer, int64_t amount_msat,
                             char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error);

owm_status cln_invoice_add(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                           char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error);
owm_status cln_invoice_find(owm_lightning *lightning, const uint8_t payment_hash[32],
                            struct owm_lightning_invoice *invoice, struct owm_error *error);
owm_status cln_watch_invoices(owm_lightning *lightning, uint64_t settle_index,
                              struct owm_lightning_invoices **watch, struct owm_error *error);
owm_status cln_invoices_next(struct owm_lightning_invoices *watch, unsigned wait_ms,
                             struct owm_lightning_invoice *invoice, struct owm_error *error);
void cln_invoices_close(struct owm_lightning_invoices *watch);

#endif

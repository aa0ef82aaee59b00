/* lnd.h: the LND backend's own shapes: methods, handle, calls, streams. Private to lnd*.c.
 *
 * One gRPC connection per handle, to a node whose self-signed certificate is the only one trusted.
 * Each call carries the macaroon with one more condition, an end of life in a minute (macaroon.h),
 * so that what leaks on the way is soon worth nothing. When the certificate's file changes, the
 * next call opens a new connection; calls and streams under way keep the old one until they end.
 */
#ifndef OWM_BASE_LIGHTNING_LND_H
#define OWM_BASE_LIGHTNING_LND_H

#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <sys/stat.h>

#include "backend.h"
#include "base/rpc/rpc.h"
#include "lnd.pb-c.h"
#include "macaroon.h"

/* A method: its name, service and answer, the roles that may have it, and those that cannot do
 * without. What a role's macaroon may hold is the fourth column and nothing else: LND grants a
 * method by "uri:/service/method", or by wider kinds of permission, which no role may have.
 * GetState needs no macaroon. */
#define LND_STAKE    (1u << OWM_LIGHTNING_STAKE)
#define LND_INVOICE  (1u << OWM_LIGHTNING_INVOICE)
#define LND_PAY      (1u << OWM_LIGHTNING_PAY)
#define LND_SLASH    (1u << OWM_LIGHTNING_SLASH)
#define LND_OPERATOR (1u << OWM_LIGHTNING_OPERATOR)
#define LND_ALL      (LND_STAKE | LND_INVOICE | LND_PAY | LND_SLASH | LND_OPERATOR)
#define LND_READERS  (LND_STAKE | LND_PAY | LND_SLASH | LND_OPERATOR)
#define LND_PAYERS   (LND_PAY | LND_OPERATOR)

#define LND_METHOD_MAP(X)                                                                          \
    X(GetInfo, "lnrpc.Lightning", get_info_response, LND_ALL, LND_ALL)                             \
    X(ListChannels, "lnrpc.Lightning", list_channels_response, LND_READERS, LND_STAKE | LND_SLASH) \
    X(PendingChannels, "lnrpc.Lightning", pending_channels_response, LND_READERS,                  \
      LND_STAKE | LND_SLASH)                                                                       \
    X(ClosedChannels, "lnrpc.Lightning", closed_channels_response, LND_READERS,                    \
      LND_STAKE | LND_SLASH)                                                                       \
    X(SubscribeChannelEvents, "lnrpc.Lightning", channel_event_update, LND_READERS, LND_STAKE)     \
    X(CloseChannel, "lnrpc.Lightning", close_status_update, LND_SLASH, LND_SLASH)                  \
    X(ConnectPeer, "lnrpc.Lightning", connect_peer_response, LND_PAY, 0)                           \
    X(OpenChannelSync, "lnrpc.Lightning", channel_point, LND_PAY, 0)                               \
    X(WalletBalance, "lnrpc.Lightning", wallet_balance_response, LND_PAY, 0)                       \
    X(ChannelBalance, "lnrpc.Lightning", channel_balance_response, LND_PAY, 0)                     \
    X(DecodePayReq, "lnrpc.Lightning", pay_req, LND_PAYERS, LND_PAY)                               \
    X(SignMessage, "lnrpc.Lightning", sign_message_response, LND_OPERATOR, LND_OPERATOR)           \
    X(AddInvoice, "lnrpc.Lightning", add_invoice_response, LND_INVOICE, LND_INVOICE)               \
    X(LookupInvoice, "lnrpc.Lightning", invoice, LND_INVOICE, LND_INVOICE)                         \
    X(ListInvoices, "lnrpc.Lightning", list_invoice_response, LND_INVOICE, LND_INVOICE)            \
    X(SubscribeInvoices, "lnrpc.Lightning", invoice, LND_INVOICE, LND_INVOICE)                     \
    X(SendPaymentV2, "routerrpc.Router", payment, LND_PAYERS, LND_PAY)                             \
    X(TrackPaymentV2, "routerrpc.Router", payment, LND_PAYERS, LND_PAY)                            \
    X(AddHoldInvoice, "invoicesrpc.Invoices", add_hold_invoice_resp, LND_INVOICE, 0)               \
    X(SettleInvoice, "invoicesrpc.Invoices", settle_invoice_resp, LND_INVOICE, 0)                  \
    X(CancelInvoice, "invoicesrpc.Invoices", cancel_invoice_resp, LND_INVOICE, 0)                  \
    X(GetState, "lnrpc.State", get_state_response, 0, 0)

enum lnd_method {
#define X(name, service, answer, may, must) LND_##name,
    LND_METHOD_MAP(X)
#undef X
};

#define LND_METHODS (LND_GetState + 1)

/** lnd_method_path: "/lnrpc.Lightning/GetInfo". lnd_method_name: "GetInfo". Static strings. */
const char *lnd_method_path(enum lnd_method method);
const char *lnd_method_name(enum lnd_method method);
const ProtobufCMessageDescriptor *lnd_method_answer(enum lnd_method method);

/** lnd_role_recipe: "lncli bakemacaroon …" for bash. Static string. */
const char *lnd_role_recipe(enum owm_lightning_role role);

/** lnd_role_judge: whether the macaroon may do what the role must, and nothing that it may not.
 *  granted  Out: one bit for each lnd_method.
 *  Returns: OWM_OK; OWM_E_CONFIG, with the command that bakes the right one. */
OWM_MUST_USE owm_status lnd_role_judge(enum owm_lightning_role role,
                                       const struct macaroon *macaroon, uint32_t *granted,
                                       struct owm_error *error);

/** lnd_certificate_check: a PEM certificate that has not expired.
 *  Returns: OWM_OK; OWM_E_CRYPTO, the sentence names `path` and says what to do. */
OWM_MUST_USE owm_status lnd_certificate_check(const char *pem, const char *path,
                                              struct owm_error *error);

/** lnd_link: one connection and who uses it. */
struct lnd_link {
    struct owm_rpc_client *client;
    unsigned users; /* under the handle's lock; the handle itself is one */
};

struct lnd {
    struct owm_lightning base; /* first */
    char *address, *certificate;
    unsigned timeout_ms;
    uint32_t granted;
    enum owm_lightning_role role;
    struct macaroon macaroon;
    pthread_mutex_t lock;
    struct lnd_link *link; /* under lock: it and what follows */
    struct stat file;      /* of the certificate that `link` trusts */
    uint64_t looked_ms;    /* when the file was last looked at */
};

/** lnd_link_open: read the certificate, check it, and open a connection; replaces lnd->link.
 *  Returns: OWM_OK; OWM_E_IO; OWM_E_CRYPTO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status lnd_link_open(struct lnd *lnd, struct owm_error *error);

/** lnd_link_drop: give up one use; NULL is allowed. The last one closes the connection. */
void lnd_link_drop(struct lnd *lnd, struct lnd_link *link);

/** lnd_call: a unary call. *reply is the method's answer (lnd_method_answer); lnd_free it.
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_EXISTS; as lightning.h says of every call. */
OWM_MUST_USE owm_status lnd_call(struct lnd *lnd, enum lnd_method method,
                                 const ProtobufCMessage *request, ProtobufCMessage **reply,
                                 struct owm_error *error);

/** lnd_free: an answer; NULL is allowed. */
void lnd_free(ProtobufCMessage *message);

/** lnd_stream: answers one after the other. */
struct lnd_stream {
    struct lnd *lnd;
    struct lnd_link *link;
    struct owm_rpc_stream *rpc;
    enum lnd_method method;
};

OWM_MUST_USE owm_status lnd_stream_open(struct lnd *lnd, enum lnd_method method,
                                        const ProtobufCMessage *request, struct lnd_stream *stream,
                                        struct owm_error *error);

/** lnd_stream_read: the next answer; lnd_free it.
 *  Returns: OWM_OK; OWM_E_TIMEOUT none within wait_ms, and the stream goes on; else it has ended:
 *  as lnd_call, OWM_E_NET also if the node ended it without an error. */
OWM_MUST_USE owm_status lnd_stream_read(struct lnd_stream *stream, unsigned wait_ms,
                                        ProtobufCMessage **reply, struct owm_error *error);
void lnd_stream_close(struct lnd_stream *stream);

/** lnd_nonsense: the sentence of an answer that makes no sense. Returns: OWM_E_PROTO. */
owm_status lnd_nonsense(enum lnd_method method, const char *what, struct owm_error *error);

/** lnd_info: GetInfo's answer, for the height and whether the node is synced; lnd_free it. */
OWM_MUST_USE owm_status lnd_info(struct lnd *lnd, Lnrpc__GetInfoResponse **info,
                                 struct owm_error *error);

/* The table's functions, by file. Contracts in lightning.h. */

owm_status lnd_channels(owm_lightning *lightning, const uint8_t *peer, bool closed,
                        struct owm_lightning_channel **channels, size_t *count,
                        struct owm_error *error);

owm_status lnd_force_close(owm_lightning *lightning, const struct owm_lightning_point *point,
                           uint8_t closing_txid[32], struct owm_error *error);
owm_status lnd_open_channel(owm_lightning *lightning, const uint8_t *peer, const char *host,
                            int64_t capacity_sats, int64_t push_msat,
                            struct owm_lightning_point *point, struct owm_error *error);
owm_status lnd_get_funds(owm_lightning *lightning, struct owm_lightning_funds *funds,
                         struct owm_error *error);

owm_status lnd_watch_channels(owm_lightning *lightning, struct owm_lightning_watch **watch,
                              struct owm_error *error);
owm_status lnd_watch_next(struct owm_lightning_watch *watch, unsigned wait_ms,
                          uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error);
void lnd_watch_close(struct owm_lightning_watch *watch);

owm_status lnd_pay(owm_lightning *lightning, const struct owm_lightning_order *order,
                   unsigned wait_ms, struct owm_lightning_outcome *outcome,
                   struct owm_error *error);
owm_status lnd_track(owm_lightning *lightning, const uint8_t payment_hash[32],
                     struct owm_lightning_outcome *outcome, struct owm_error *error);
owm_status lnd_decode(owm_lightning *lightning, const char *invoice,
                      struct owm_lightning_request *request, struct owm_error *error);

owm_status lnd_invoice_add(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                           char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error);
owm_status lnd_invoice_find(owm_lightning *lightning, const uint8_t payment_hash[32],
                            struct owm_lightning_invoice *invoice, struct owm_error *error);
owm_status lnd_invoice_settle(owm_lightning *lightning, const uint8_t preimage[32],
                              struct owm_error *error);
owm_status lnd_invoice_cancel(owm_lightning *lightning, const uint8_t payment_hash[32],
                              struct owm_error *error);
/** lnd_invoice_read: LND's message as ours. Returns: OWM_OK; OWM_E_PROTO. */
owm_status lnd_invoice_read(const Lnrpc__Invoice *from, struct owm_lightning_invoice *invoice,
                            struct owm_error *error);

owm_status lnd_watch_invoices(owm_lightning *lightning, uint64_t settle_index,
                              struct owm_lightning_invoices **watch, struct owm_error *error);
owm_status lnd_invoices_next(struct owm_lightning_invoices *watch, unsigned wait_ms,
                             struct owm_lightning_invoice *invoice, struct owm_error *error);
void lnd_invoices_close(struct owm_lightning_invoices *watch);

#endif

/* double.h: the double's own shapes. Private to this folder.
 *
 * One lock for all doubles of the process: they are each other's peers, and a test's command is one
 * step of the whole world. Functions here are called with it held unless they say otherwise.
 */
#ifndef TESTS_LIGHTNING_DOUBLE_H
#define TESTS_LIGHTNING_DOUBLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/rpc/rpc.h"
#include "lnd.pb-c.h"
#include "lnd_double.h"

#define KEY_BYTES       33
#define KEY_TEXT        67
#define POINT_TEXT      76
#define NAME_BYTES      64
#define MEMO_BYTES      640 /* what BOLT11 can carry, with a terminator */
#define PAYREQ_BYTES    2048
#define MACAROON_BYTES  4096
#define RECORD_BYTES    32
#define PEERS_MAX       1024
#define ANCHOR_SATS     330
#define COMMIT_FEE_SATS 2810 /* 1124 weight units of a commitment with anchors, at 2500 sat/kw */
#define DUST_SATS       354
#define CSV_BLOCKS      144

enum channel_state {
    CHANNEL_PENDING,
    CHANNEL_OPEN,
    CHANNEL_CLOSING,
    CHANNEL_FORCED,
    CHANNEL_CLOSED
};
enum close_kind {
    CLOSE_NONE,
    CLOSE_US,
    CLOSE_PEER,
    CLOSE_FORCE_US,
    CLOSE_FORCE_PEER,
    CLOSE_BREACH
};

struct point {
    uint8_t txid[32]; /* in the order of the chain */
    uint32_t index;
};

/* Gross balances; what LND reports is in channel_rpc.c. A record of the journal: no pointers. */
struct channel {
    struct point point;
    uint8_t peer[KEY_BYTES];
    enum channel_state state;
    enum close_kind close;
    uint32_t funding_height, close_height, resolve_height;
    bool by_peer, is_private, zero_conf, active;
    Lnrpc__CommitmentType type;
    int64_t capacity_sats, push_sats;
    int64_t local_msat, remote_msat;
    int64_t held_msat; /* in HTLCs: the peer's, or if negative ours */
    uint8_t closing_txid[32];
    char flags[NAME_BYTES]; /* "": ChanStatusDefault */
};

enum payment_plan { PLAN_SUCCEED, PLAN_FAIL, PLAN_HANG, PLAN_STALL };

/* How payments to one destination end. */
struct rule {
    uint8_t destination[KEY_BYTES];
    enum payment_plan plan;
    unsigned after_ms;
    int64_t fee_msat;
    Lnrpc__PaymentFailureReason reason;
    int cut; /* messages before the stream breaks; -1: it does not */
    unsigned refuse;
};

struct payment {
    uint8_t hash[32], preimage[32];
    bool has_preimage; /* it is known how this can succeed */
    uint8_t destination[KEY_BYTES];
    bool is_keysend;
    uint64_t record_key; /* the first record that is not the keysend preimage */
    uint8_t record[RECORD_BYTES];
    unsigned record_bytes;
    int64_t amount_msat, fee_msat, fee_limit_msat;
    Lnrpc__Payment__PaymentStatus status;
    Lnrpc__PaymentFailureReason reason;
    enum payment_plan plan;
    Lnrpc__PaymentFailureReason plan_reason;
    int64_t due_ms; /* of the plan, wall clock */
    bool delivered; /* its receiver, a double of this process, has it */
    unsigned accepted, refused, settled;
    int64_t arrived_us; /* when it was first asked for, wall clock */
};

struct invoice {
    uint8_t hash[32], preimage[32];
    bool is_hold, has_preimage, is_keysend, is_private;
    char memo[MEMO_BYTES];
    int64_t value_msat, paid_msat;
    int64_t created_s, settled_s, expiry_s;
    uint32_t cltv_blocks, accept_height, expiry_height;
    Lnrpc__Invoice__InvoiceState state;
    uint64_t add_index, settle_index;
    uint64_t record_key;
    uint8_t record[RECORD_BYTES];
    unsigned record_bytes;
};

/* Positions by hash: open addressing, a power of two, never more than half full. */
struct index {
    uint32_t *slots; /* position + 1; 0: free */
    size_t room;
};

struct message {
    struct message *next;
    size_t length;
    uint8_t bytes[];
};

enum method {
#define X(name, path, kind, request, permissions) METHOD_##name,
#include "methods.h"
#undef X
    METHODS
};

/* A server stream and what waits for its flow control. */
struct stream {
    struct stream *next;
    struct lnd_double *node;
    struct owm_rpc_call *call;
    enum method method;
    uint8_t hash[32]; /* of a payment */
    struct point point;
    bool quiet; /* no updates in flight */
    int cut;    /* messages before it breaks; -1: it does not */
    unsigned sent;
    struct message *first, **last;
    bool ended, broken;
};

struct fault {
    enum method method;
    enum owm_rpc_code code;
    unsigned times;
    char text[200];
};

struct task {
    struct task *next;
    int64_t due_ms;
    void (*run)(struct lnd_double *node, void *arg, bool dropped);
    void *arg;
};

enum role { ROLE_ADMIN, ROLE_STAKE, ROLE_INVOICE, ROLE_PAY, ROLE_SLASH, ROLE_OPERATOR, ROLES };

struct lnd_double {
    struct lnd_double *next;
    char folder[LND_DOUBLE_PATH_BYTES], name[NAME_BYTES], address[NAME_BYTES], network[NAME_BYTES];
    char version[NAME_BYTES];
    uint8_t secret[32], key[KEY_BYTES];
    char key_text[KEY_TEXT];
    char *certificate_pem, *key_pem;
    struct owm_rpc_server *server; /* under the owner's hands, not under the lock */
    int journal;

    Lnrpc__WalletState state;
    bool synced, graph_synced, has_invoicesrpc;
    bool revoked[ROLES];
    uint32_t height;
    int64_t wallet_sats;
    uint8_t peers[PEERS_MAX][KEY_BYTES];
    size_t peer_count;

    struct channel *channels;
    size_t channel_count, channel_room;
    struct payment *payments;
    size_t payment_count, payment_room;
    struct index payment_index;
    struct invoice *invoices; /* by add_index */
    size_t invoice_count, invoice_room;
    struct index invoice_index;
    uint64_t settle_index;
    struct rule default_rule;
    struct rule rules[LND_DOUBLE_RULES_MAX];
    size_t rule_count;

    struct fault faults[LND_DOUBLE_FAULTS_MAX];
    size_t fault_count;
    uint64_t calls[METHODS];
    unsigned delay_ms[METHODS];
    int cut[METHODS];
    struct stream *streams;
    size_t stream_count;

    struct task *tasks;
    pthread_t clock;
    pthread_cond_t tasks_changed;
    bool has_clock, closing;
    char *said; /* of lnd_double_do */
};

/* --- nodes.c ---------------------------------------------------------------------------------- */

void double_lock(void);
void double_unlock(void);
void double_lock_wait(pthread_cond_t *cond, int64_t until_ms); /* wall clock; 0: for ever */
struct lnd_double *node_first(void);
struct lnd_double *node_by_key(const uint8_t key[KEY_BYTES]); /* NULL: not of this process */
void node_add(struct lnd_double *node);
void node_remove(struct lnd_double *node);

/* --- server.c: calls of those without the lock ------------------------------------------------ */

/** server_start: listen on node->address, whose port 0 becomes the real one. */
OWM_MUST_USE owm_status server_start(struct lnd_double *node, struct owm_error *error);
void server_stop(struct lnd_double *node);
int method_find(const char *name); /* "GetInfo"; -1: no such */

/** answer, refuse: end a call. */
void answer(struct owm_rpc_call *call, const ProtobufCMessage *message);
void refuse(struct owm_rpc_call *call, enum owm_rpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One handler per method: its request is unpacked, and the call may be made. */
#define X(name, path, kind, request, permissions)                                                  \
    void handle_##name(struct lnd_double *node, struct owm_rpc_call *call, const void *message);
#include "methods.h"
#undef X

/* --- stream.c --------------------------------------------------------------------------------- */

/** stream_open: NULL after the call was refused: too many. */
struct stream *stream_open(struct lnd_double *node, struct owm_rpc_call *call, enum method method);
void stream_send(struct stream *stream, const ProtobufCMessage *message);
void stream_finish(struct stream *stream);
void stream_on_writable(void *app, struct owm_rpc_call *call);
void stream_on_end(void *app, struct owm_rpc_call *call, bool cancelled);

/* --- tasks.c ---------------------------------------------------------------------------------- */

/** task_add: run it at due_ms (wall clock), or drop it when the node goes down. */
void task_add(struct lnd_double *node, int64_t due_ms,
              void (*run)(struct lnd_double *node, void *arg, bool dropped), void *arg);
void tasks_drop(struct lnd_double *node);
void *tasks_run(void *node); /* the thread; without the lock */

/* --- macaroon.c ------------------------------------------------------------------------------- */

/** macaroons_bake: every role's file in the folder. */
OWM_MUST_USE owm_status macaroons_bake(struct lnd_double *node, struct owm_error *error);
int role_find(const char *name);

/** macaroon_check: whether the header "macaroon" lets the call through, as LND checks it.
 *  permissions  "onchain:write offchain:write". text [200] Out: LND's words if not. */
bool macaroon_check(struct lnd_double *node, const struct owm_rpc_call *call, const char *path,
                    const char *permissions, char text[200]);

/* --- certificate.c, sign.c -------------------------------------------------------------------- */

/** certificate_make: tls.cert and tls.key anew; expired: its time is over. */
OWM_MUST_USE owm_status certificate_make(struct lnd_double *node, bool expired,
                                         struct owm_error *error);
OWM_MUST_USE owm_status certificate_load(struct lnd_double *node, struct owm_error *error);

/** key_load: node.key, made if it is not there. */
OWM_MUST_USE owm_status key_load(struct lnd_double *node, struct owm_error *error);
/** key_derive: a public key that belongs to a number: the peers of `channels`. */
void key_derive(uint64_t number, uint8_t key[KEY_BYTES]);

/* --- journal.c -------------------------------------------------------------------------------- */

enum record { RECORD_CHANNEL = 1, RECORD_PAYMENT, RECORD_INVOICE, RECORD_CHAIN, RECORD_REVOKED };

OWM_MUST_USE owm_status journal_open(struct lnd_double *node, struct owm_error *error);
void journal_write(struct lnd_double *node, enum record kind, const void *data, size_t bytes);
void journal_chain(struct lnd_double *node); /* height and wallet */

/* --- table.c ---------------------------------------------------------------------------------- */

/** table_grow: room for one more of an array of `bytes` each; aborts when memory is over.
 *  index_slot: where a hash is or would be; NULL while the index is empty.
 *  index_add: the last of `count` entries. The hash is the first field of an entry. */
void *table_grow(void *array, size_t count, size_t *room, size_t bytes);
uint32_t *index_slot(const struct index *index, const uint8_t hash[32], const uint8_t *hashes,
                     size_t stride);
void index_add(struct index *index, size_t count, const uint8_t *hashes, size_t stride);

/* --- channels.c, channel_rpc.c ---------------------------------------------------------------- */

struct channel *channel_find(struct lnd_double *node, const struct point *point);
struct channel *channel_put(struct lnd_double *node, const struct channel *channel);
void channel_open(struct lnd_double *node, struct channel *channel);
void channel_close(struct lnd_double *node, struct channel *channel, enum close_kind close);
void channel_save(struct lnd_double *node, struct channel *channel);
void channels_mine(struct lnd_double *node);
void point_format(const struct point *point, char text[POINT_TEXT]);
bool point_parse(const char *text, struct point *point);
void txid_format(const uint8_t txid[32], char text[65]);

void channel_event(struct lnd_double *node, const struct channel *channel,
                   Lnrpc__ChannelEventUpdate__UpdateType type);
void close_confirmed(struct lnd_double *node, const struct channel *channel);

/* --- payments.c ------------------------------------------------------------------------------- */

struct payment *payment_find(struct lnd_double *node, const uint8_t hash[32]);
struct payment *payment_put(struct lnd_double *node, const struct payment *payment);
void payments_resume(struct lnd_double *node); /* after a start */
void payment_end(struct lnd_double *node, struct payment *payment, const uint8_t *preimage,
                 Lnrpc__PaymentFailureReason reason);
/** payments_resolve: an invoice of ours was settled (or not, NULL): who waits for it? */
void payments_resolve(const uint8_t hash[32], const uint8_t *preimage);
struct rule *rule_for(struct lnd_double *node, const uint8_t destination[KEY_BYTES]);

/* --- invoices.c, payreq.c --------------------------------------------------------------------- */

struct invoice *invoice_find(struct lnd_double *node, const uint8_t hash[32]);
struct invoice *invoice_put(struct lnd_double *node, const struct invoice *invoice);
/** invoice_add: under its hash. NULL: it is there. */
struct invoice *invoice_add(struct lnd_double *node, struct invoice *invoice);
/** invoice_arrive: an HTLC comes. false: refused as LND would refuse it. */
bool invoice_arrive(struct lnd_double *node, const uint8_t hash[32], int64_t msat);
void invoice_arrive_keysend(struct lnd_double *node, const struct payment *payment);
void invoice_settle(struct lnd_double *node, struct invoice *invoice, const uint8_t preimage[32]);
void invoice_cancel(struct lnd_double *node, struct invoice *invoice);
void invoices_mine(struct lnd_double *node);
void invoices_expire(struct lnd_double *node);

struct payreq {
    uint8_t payee[KEY_BYTES];
    uint8_t hash[32], preimage[32];
    bool has_preimage;
    int64_t msat, created_s, expiry_s;
    char memo[MEMO_BYTES];
};
void payreq_encode(const char *network, const struct payreq *payreq, char text[PAYREQ_BYTES]);
/** payreq_decode: NULL, or why not in LND's words. */
const char *payreq_decode(const char *network, const char *text, struct payreq *payreq);
void payreq_of(const struct lnd_double *node, const struct invoice *invoice,
               char text[PAYREQ_BYTES]);

#endif

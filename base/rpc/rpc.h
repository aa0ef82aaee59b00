/* rpc.h: gRPC as OWM uses it: mutual TLS, opaque messages, three kinds of call.
 *
 * The protobuf packing is the caller's. Both ends show a self-signed Ed25519 certificate: the
 * client trusts exactly the server certificate it was given, the server trusts nobody and reads the
 * peer's key, which the caller compares with the node's registered one (SRS-NODE-02, SRS-COORD-01).
 * A client may also show none and bring a secret in its request headers, which is how Lightning
 * nodes know their callers.
 * Only base/rpc/grpc_* includes gRPC: its C core is not stable between releases.
 *
 * Server call, as the callbacks see it:
 *
 *     on_start -> on_message ... -> [on_half_close] -> on_end
 *
 * on_end comes exactly once for each call that was admitted (known method, Ed25519 peer, below
 * calls_max), and is the last; on_message may not have run before it. One server thread owns a call
 * for life, so the callbacks of one call never overlap; those of different calls do. A callback
 * must not block: it delays every call of its thread.
 */
#ifndef OWM_BASE_RPC_RPC_H
#define OWM_BASE_RPC_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* gRPC's status codes, with its numbers. */
#define OWM_RPC_CODE_MAP(X)                                                                        \
    X(OK, 0)                                                                                       \
    X(CANCELLED, 1)                                                                                \
    X(UNKNOWN, 2)                                                                                  \
    X(INVALID_ARGUMENT, 3)                                                                         \
    X(DEADLINE_EXCEEDED, 4)                                                                        \
    X(NOT_FOUND, 5)                                                                                \
    X(ALREADY_EXISTS, 6)                                                                           \
    X(PERMISSION_DENIED, 7)                                                                        \
    X(RESOURCE_EXHAUSTED, 8)                                                                       \
    X(FAILED_PRECONDITION, 9)                                                                      \
    X(ABORTED, 10)                                                                                 \
    X(OUT_OF_RANGE, 11)                                                                            \
    X(UNIMPLEMENTED, 12)                                                                           \
    X(INTERNAL, 13)                                                                                \
    X(UNAVAILABLE, 14)                                                                             \
    X(DATA_LOSS, 15)                                                                               \
    X(UNAUTHENTICATED, 16)

enum owm_rpc_code {
#define X(name, value) OWM_RPC_##name = (value),
    OWM_RPC_CODE_MAP(X)
#undef X
};

#define OWM_RPC_CODES          17
#define OWM_RPC_ADDRESSES_MAX  16
#define OWM_RPC_METHODS_MAX    64
#define OWM_RPC_THREADS_MAX    64
#define OWM_RPC_QUEUE_MAX      64   /* messages queued on one server stream */
#define OWM_RPC_TEXT_BYTES_MAX 512  /* status text, with its terminator; longer is cut */
#define OWM_RPC_KEY_BYTES      32   /* Ed25519 public key */
#define OWM_RPC_IP_BYTES_MAX   48   /* peer address without port, with its terminator */
#define OWM_RPC_PEM_BYTES_MAX  8192 /* a peer's certificate */
#define OWM_RPC_PATH_BYTES_MAX 128
#define OWM_RPC_METADATA_MAX   4 /* request headers of ours on one call */

/** owm_rpc_code_name: "UNAVAILABLE" and so on; "UNKNOWN" outside the list. Static string. */
const char *owm_rpc_code_name(int code);

/* ------------------------------------------------------------------------------ server */

struct owm_rpc_server;
struct owm_rpc_call;

enum owm_rpc_kind {
    OWM_RPC_UNARY,         /* one request, answered by owm_rpc_reply or owm_rpc_fail */
    OWM_RPC_SERVER_STREAM, /* one request, then owm_rpc_send any number of times, owm_rpc_finish */
    OWM_RPC_CLIENT_STREAM, /* any number of requests, then owm_rpc_reply */
};

/** owm_rpc_method: one row of the method table. NULL callbacks are skipped.
 *
 *  path           "/owm.coordinator.v1.CoordinatorService/Heartbeat"; must outlive the server.
 *  request_bytes_max  of one message; 0: the server's message_bytes_max.
 *  send_queue_max     of one call's stream, at most OWM_RPC_QUEUE_MAX; 0: the server's.
 *  on_start       the call arrived from a peer with an Ed25519 key; it may be failed here already.
 *  on_message     one request; bytes live until it returns. A unary call may be answered in it, or
 *                 later from any thread that holds a reference.
 *  on_half_close  CLIENT_STREAM: the client has sent its last message; answer now or later (an
 *                 earlier owm_rpc_reply is allowed and ends the call).
 *  on_writable    SERVER_STREAM: the send queue had been full (or owm_rpc_send said OWM_E_LIMIT)
 *                 and is half empty now. Once for each time it was full.
 *  on_end         last callback; `cancelled`: the peer, its deadline, the network or our shutdown
 *                 ended the call before the peer could have our whole answer.
 */
struct owm_rpc_method {
    const char *path;
    enum owm_rpc_kind kind;
    size_t request_bytes_max;
    unsigned send_queue_max;
    void (*on_start)(void *app, struct owm_rpc_call *call);
    void (*on_message)(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
    void (*on_half_close)(void *app, struct owm_rpc_call *call);
    void (*on_writable)(void *app, struct owm_rpc_call *call);
    void (*on_end)(void *app, struct owm_rpc_call *call, bool cancelled);
};

/** What a client must show. NONE is for servers that know their callers by other means, as a
 *  Lightning node does by macaroons (owm_rpc_call_metadata): the key of every peer is then zero. */
enum owm_rpc_client_certificate {
    OWM_RPC_CLIENT_CERTIFICATE_REQUIRED, /* self-signed, Ed25519 */
    OWM_RPC_CLIENT_CERTIFICATE_NONE,
};

/** owm_rpc_server_config: copied at open, but for `methods` and what it points to, which must
 *  outlive the server. 0 in a number means the default in its comment. */
struct owm_rpc_server_config {
    const char *const *addresses; /* "0.0.0.0:9000", "[::]:9000"; port 0 lets the system pick */
    size_t address_count;
    const char *certificate_pem; /* self-signed, Ed25519 or P-256 */
    const char *key_pem;
    enum owm_rpc_client_certificate client_certificate;
    const struct owm_rpc_method *methods;
    size_t method_count;
    void *app;                     /* first argument of every callback */
    unsigned threads;              /* 2 */
    unsigned calls_max;            /* 65536; beyond it calls fail with RESOURCE_EXHAUSTED */
    unsigned streams_per_peer_max; /* 64 concurrent calls on one connection */
    size_t message_bytes_max;      /* 4 MiB, of any method */
    unsigned send_queue_max;       /* 8 messages per server stream, at most OWM_RPC_QUEUE_MAX */
    size_t memory_bytes_max;       /* 0: no bound on gRPC's buffers; else peers are shed at it */
    unsigned keepalive_ms;         /* 60000: ping of a silent peer, also without calls (NAT) */
    unsigned keepalive_timeout_ms; /* 20000: no answer within it closes the connection */
    unsigned ping_interval_min_ms; /* 10000: a peer that pings oftener is closed */
};

/** owm_rpc_counters: since the server opened. `ended` is by status code, as sent or as inferred
 *  (a cancelled call counts as CANCELLED); refused calls are counted too. */
struct owm_rpc_counters {
    uint64_t started;
    uint64_t ended[OWM_RPC_CODES];
    uint64_t live;
};

/** owm_rpc_server_open: listen on every address and serve until closed.
 *
 *  Returns: OWM_OK; OWM_E_ARG for a config out of range (named in error); OWM_E_CRYPTO if
 * certificate or key is not usable PEM; OWM_E_NET if an address cannot be bound (named in error);
 * OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_rpc_server_open(struct owm_rpc_server **server,
                                            const struct owm_rpc_server_config *config,
                                            struct owm_error *error);

/** owm_rpc_server_port: the bound port of addresses[index]; 0 if there is no such index. */
int owm_rpc_server_port(const struct owm_rpc_server *server, size_t index);

/** owm_rpc_server_counters: a snapshot. Thread: any. */
void owm_rpc_server_counters(const struct owm_rpc_server *server,
                             struct owm_rpc_counters *counters);

/** owm_rpc_server_close: stop accepting, let calls end for drain_ms, cancel the rest, run every
 *  on_end, stop the threads. Never called from a callback. NULL is allowed. References to ended
 *  calls may be dropped after it. */
void owm_rpc_server_close(struct owm_rpc_server *server, unsigned drain_ms);

/* The functions on a call may be used in its callbacks, and from any thread by who holds a
 * reference. A call that has ended (on_end ran) stays readable and refuses the rest. */

/** owm_rpc_call_ref, _unref: keep the call object beyond the callback. */
void owm_rpc_call_ref(struct owm_rpc_call *call);
void owm_rpc_call_unref(struct owm_rpc_call *call);

/** owm_rpc_call_set_user, _user: one pointer of the caller's. Thread: the callbacks', or locked by
 * the caller. */
void owm_rpc_call_set_user(struct owm_rpc_call *call, void *user);
void *owm_rpc_call_user(const struct owm_rpc_call *call);

/** owm_rpc_peer_key: the Ed25519 public key whose holder opened this connection (proven by the TLS
 *  handshake). owm_rpc_peer_address: the peer's IP without port, for people and rate limits only.
 */
void owm_rpc_peer_key(const struct owm_rpc_call *call, uint8_t key[OWM_RPC_KEY_BYTES]);
const char *owm_rpc_peer_address(const struct owm_rpc_call *call);

/** owm_rpc_call_metadata: the value of a request header, whose key is written in lower case.
 *
 *  value   [value_size] Out: the value as it was sent: text without terminator, or the bytes
 *          themselves if the key ends in "-bin".
 *  length  Out: of the value; also with OWM_E_LIMIT.
 *  Thread: the callbacks', on_end the last.
 *  Returns: OWM_OK; OWM_E_NOTFOUND no such key; OWM_E_EXISTS more than one value;
 *  OWM_E_LIMIT longer than value_size. */
OWM_MUST_USE owm_status owm_rpc_call_metadata(const struct owm_rpc_call *call, const char *key,
                                              void *value, size_t value_size, size_t *length);

/** owm_rpc_send: queue one message on a server stream; bytes are copied.
 *  Returns: OWM_OK; OWM_E_LIMIT if send_queue_max messages wait (on_writable follows); OWM_E_STATE
 *  after finish, fail, cancellation or on another kind of call; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_rpc_send(struct owm_rpc_call *call, const uint8_t *bytes,
                                     size_t length);

/** owm_rpc_writable: whether owm_rpc_send would queue now. */
bool owm_rpc_writable(struct owm_rpc_call *call);

/** owm_rpc_reply: the one answer of a unary or client-stream call; bytes are copied.
 *  owm_rpc_finish: end a server stream with OK once its queue is sent.
 *  owm_rpc_fail: end any call with a code other than OK and a sentence; queued messages are
 * dropped. Returns: OWM_OK; OWM_E_STATE if the call was answered, ended or is of another kind (a
 * late reply to a cancelled call is normal: ignore it); OWM_E_ARG for code OK; OWM_E_NOMEM. */
owm_status owm_rpc_reply(struct owm_rpc_call *call, const uint8_t *bytes, size_t length);
owm_status owm_rpc_finish(struct owm_rpc_call *call);
owm_status owm_rpc_fail(struct owm_rpc_call *call, enum owm_rpc_code code, const char *text);

/** owm_rpc_pause, _resume: a client stream reads its next message only after on_message returned
 * and while it is not paused; HTTP/2 flow control then holds the peer back. */
void owm_rpc_pause(struct owm_rpc_call *call);
void owm_rpc_resume(struct owm_rpc_call *call);

/* ------------------------------------------------------------------------------ client */

struct owm_rpc_cq;
struct owm_rpc_client;
struct owm_rpc_stream;

/** owm_rpc_cq: threads that carry the I/O and completions of any number of clients. Close it after
 *  all its clients; never from a completion. Returns: OWM_OK; OWM_E_ARG; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_rpc_cq_open(struct owm_rpc_cq **cq, unsigned threads);
void owm_rpc_cq_close(struct owm_rpc_cq *cq);

/** owm_rpc_metadata_add: one more request header of the call that begins; copied. The key is lower
 *  case, the value printable ASCII. Values are secrets: nothing here logs or keeps them, and they
 *  are sent once the server has proven to be the trusted one.
 *  Returns: OWM_OK; OWM_E_LIMIT OWM_RPC_METADATA_MAX are there; OWM_E_ARG gRPC refuses key or
 *  value. */
struct owm_rpc_metadata;
OWM_MUST_USE owm_status owm_rpc_metadata_add(struct owm_rpc_metadata *metadata, const char *key,
                                             const char *value);

/** owm_rpc_metadata_fill: called for each call and stream at its start, on the thread that starts
 *  it; adds what that call is to carry. */
typedef void (*owm_rpc_metadata_fill)(void *user, const char *path,
                                      struct owm_rpc_metadata *metadata);

/** owm_rpc_client_config: copied at open. 0 means the default in the comment. */
struct owm_rpc_client_config {
    const char *target;                 /* "host:port", "[::1]:9000" */
    const char *server_certificate_pem; /* trusted alone, Ed25519 or P-256; the system's are not */
    const char *server_name;            /* NULL: "owm-coordinator", as in the certificate */
    const char *certificate_pem;        /* ours; NULL with key_pem: none is shown */
    const char *key_pem;
    struct owm_rpc_cq *cq;         /* NULL: the client opens one of its own with one thread */
    size_t message_bytes_max;      /* 4 MiB, received */
    unsigned keepalive_ms;         /* 30000, also without calls */
    unsigned keepalive_timeout_ms; /* 20000 */
    unsigned reconnect_min_ms;     /* 1000; grows by 1.6 with jitter to */
    unsigned reconnect_max_ms;     /* 30000 */
    bool wait_for_ready; /* calls wait for a connection until their deadline, not UNAVAILABLE */
    owm_rpc_metadata_fill metadata; /* NULL: calls carry no headers of ours */
    void *metadata_user;
};

/** owm_rpc_client_open: one HTTP/2 connection of its own, made at the first call and remade when
 *  lost. It succeeds while the server is away: calls then end with UNAVAILABLE.
 *  Returns: OWM_OK; OWM_E_ARG; OWM_E_CRYPTO for unusable PEM; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_rpc_client_open(struct owm_rpc_client **client,
                                            const struct owm_rpc_client_config *config,
                                            struct owm_error *error);

/** owm_rpc_client_close: every call and stream of it must have ended. NULL is allowed. */
void owm_rpc_client_close(struct owm_rpc_client *client);

/** owm_rpc_reply: what came back. bytes is NULL unless a message came. Who gets one filled frees it
 *  with owm_rpc_reply_free (a second time is harmless). */
struct owm_rpc_reply {
    enum owm_rpc_code code;
    char text[OWM_RPC_TEXT_BYTES_MAX];
    const uint8_t *bytes;
    size_t length;
    void *owner; /* private */
};

void owm_rpc_reply_free(struct owm_rpc_reply *reply);

/** owm_rpc_call_unary: send and wait. `path` must outlive the client; deadline_ms 0 means none.
 *  Thread: any number may share one client; not a cq thread.
 *  Returns: OWM_OK if the code is OK; OWM_E_TIMEOUT for DEADLINE_EXCEEDED; OWM_E_CANCELLED;
 * OWM_E_NET for UNAVAILABLE; OWM_E_PERM for UNAUTHENTICATED and PERMISSION_DENIED; OWM_E_LIMIT for
 *  RESOURCE_EXHAUSTED; OWM_E_NOTFOUND; OWM_E_EXISTS; OWM_E_ARG for INVALID_ARGUMENT; OWM_E_STATE
 * for FAILED_PRECONDITION and ABORTED; OWM_E_UNSUPPORTED for UNIMPLEMENTED; OWM_E_PROTO for any
 * other. reply is filled, and must be freed, in every case. */
OWM_MUST_USE owm_status owm_rpc_call_unary(struct owm_rpc_client *client, const char *path,
                                           const uint8_t *bytes, size_t length,
                                           unsigned deadline_ms, struct owm_rpc_reply *reply);

/** owm_rpc_call_unary_async: the same without waiting. `done` runs once, on a cq thread, and must
 *  not block; reply is freed after it returns. Returns: OWM_OK; OWM_E_NOMEM (done does not run). */
typedef void (*owm_rpc_done)(void *user, owm_status status, const struct owm_rpc_reply *reply);
OWM_MUST_USE owm_status owm_rpc_call_unary_async(struct owm_rpc_client *client, const char *path,
                                                 const uint8_t *bytes, size_t length,
                                                 unsigned deadline_ms, owm_rpc_done done,
                                                 void *user);

/** owm_rpc_stream_download: open a server stream with its request.
 *  owm_rpc_stream_upload: open a client stream.
 *  Both return before the server answered; deadline_ms (0: none) covers the whole stream. A stream
 *  is one thread's, but for _cancel. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_rpc_stream_download(struct owm_rpc_client *client, const char *path,
                                                const uint8_t *bytes, size_t length,
                                                unsigned deadline_ms,
                                                struct owm_rpc_stream **stream);
OWM_MUST_USE owm_status owm_rpc_stream_upload(struct owm_rpc_client *client, const char *path,
                                              unsigned deadline_ms, struct owm_rpc_stream **stream);

/** owm_rpc_stream_read: the next message of a download. One message is read ahead, no more.
 *  Returns: OWM_OK, the message is in reply, free it; OWM_E_TIMEOUT, none within timeout_ms and the
 *  stream goes on; OWM_E_NOTFOUND, the stream has ended and reply says how in code and text. */
OWM_MUST_USE owm_status owm_rpc_stream_read(struct owm_rpc_stream *stream, unsigned timeout_ms,
                                            struct owm_rpc_reply *reply);

/** owm_rpc_stream_write: the next message of an upload; returns once the transport took it.
 *  Returns: OWM_OK; OWM_E_STATE, the server ended the call (owm_rpc_stream_finish says how) or it
 * was finished; OWM_E_TIMEOUT, flow control held it back for timeout_ms: it is still on its way,
 * and the next write waits for it first; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_rpc_stream_write(struct owm_rpc_stream *stream, const uint8_t *bytes,
                                             size_t length, unsigned timeout_ms);

/** owm_rpc_stream_finish: close the sending side and wait for the server's answer.
 *  Returns: as owm_rpc_call_unary, or OWM_E_TIMEOUT with code DEADLINE_EXCEEDED if none came within
 *  timeout_ms (the stream is cancelled then). reply is filled; free it. */
OWM_MUST_USE owm_status owm_rpc_stream_finish(struct owm_rpc_stream *stream, unsigned timeout_ms,
                                              struct owm_rpc_reply *reply);

/** owm_rpc_stream_cancel: from any thread, any time before close; a waiting read returns at once.
 */
void owm_rpc_stream_cancel(struct owm_rpc_stream *stream);

/** owm_rpc_stream_close: cancel if still open, wait for the last completion, free. NULL allowed. */
void owm_rpc_stream_close(struct owm_rpc_stream *stream);

#endif

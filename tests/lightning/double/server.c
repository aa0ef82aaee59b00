/* server.c: the port, and what every call passes before its handler: whether LND has such a
 * service, a scripted fault, the wallet's state, the macaroon, and the request's own form. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "double.h"

typedef void handler_fn(struct lnd_double *node, struct owm_rpc_call *call, const void *message);

struct method_row {
    const char *path, *permissions;
    const ProtobufCMessageDescriptor *request;
    handler_fn *handle;
};

#define X(name, path, kind, request, permissions)                                                  \
    [METHOD_##name] = {path, permissions, &lnrpc__##request##__descriptor, handle_##name},
static const struct method_row rows[METHODS] = {
#include "methods.h"
};
#undef X

static const char *method_name(enum method method)
{
    return strrchr(rows[method].path, '/') + 1;
}

int method_find(const char *name)
{
    for (int i = 0; i < METHODS; i++)
        if (strcmp(method_name((enum method)i), name) == 0) return i;
    return -1;
}

void answer(struct owm_rpc_call *call, const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(length + 1);
    OWM_ASSERT(bytes);
    protobuf_c_message_pack(message, bytes);
    (void)owm_rpc_reply(call, bytes, length);
    free(bytes);
}

void refuse(struct owm_rpc_call *call, enum owm_rpc_code code, const char *format, ...)
{
    char text[OWM_RPC_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)owm_rpc_fail(call, code, text);
}

/* ------------------------------------------------------------------------------- the gate */

static bool fault_takes(struct lnd_double *node, enum method method, struct owm_rpc_call *call)
{
    for (size_t i = 0; i < node->fault_count; i++) {
        struct fault *fault = &node->faults[i];
        if (fault->method != method || fault->times == 0) continue;
        fault->times--;
        refuse(call, fault->code, "%s", fault->text);
        return true;
    }
    return false;
}

/* rpcperms/interceptor.go: checkRPCState; not for the State service. */
static const char *state_refusal(const struct lnd_double *node)
{
    switch (node->state) {
    case LNRPC__WALLET_STATE__NON_EXISTING:
        return "wallet not created, create one to enable full RPC access";
    case LNRPC__WALLET_STATE__LOCKED:
        return "wallet locked, unlock it to enable full RPC access";
    case LNRPC__WALLET_STATE__UNLOCKED:
        return "the RPC server is in the process of starting up, but not yet ready to accept calls";
    case LNRPC__WALLET_STATE__WAITING_TO_START:
        return "waiting to start, RPC services not available";
    default:
        return NULL;
    }
}

static bool needs_whole_server(enum method method)
{
    return method == METHOD_close_channel || method == METHOD_connect_peer
           || method == METHOD_open_channel_sync;
}

static bool admit(struct lnd_double *node, enum method method, struct owm_rpc_call *call)
{
    const struct method_row *row = &rows[method];
    char text[200];
    node->calls[method]++;
    if (!node->has_invoicesrpc && strncmp(row->path, "/invoicesrpc", 12) == 0) {
        refuse(call, OWM_RPC_UNIMPLEMENTED, "unknown service invoicesrpc.Invoices");
        return false;
    }
    if (fault_takes(node, method, call)) return false;
    if (row->permissions[0] == 0) return true;
    const char *refusal = state_refusal(node);
    if (!refusal && !macaroon_check(node, call, row->path, row->permissions, text)) refusal = text;
    if (!refusal && node->state != LNRPC__WALLET_STATE__SERVER_ACTIVE && needs_whole_server(method))
        refusal = "server is still in the process of starting";
    if (refusal) refuse(call, OWM_RPC_UNKNOWN, "%s", refusal);
    return !refusal;
}

/* ------------------------------------------------------------------------------- the calls */

struct waiting_call {
    struct owm_rpc_call *call;
    enum method method;
    size_t length;
    uint8_t bytes[];
};

static void handle(struct lnd_double *node, enum method method, struct owm_rpc_call *call,
                   const uint8_t *bytes, size_t length)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(rows[method].request, NULL, length, bytes);
    if (message)
        rows[method].handle(node, call, message);
    else
        refuse(call, OWM_RPC_INTERNAL, "grpc: error unmarshalling request");
    if (message) protobuf_c_message_free_unpacked(message, NULL);
}

static void handle_later(struct lnd_double *node, void *arg, bool dropped)
{
    struct waiting_call *waiting = arg;
    if (!dropped) handle(node, waiting->method, waiting->call, waiting->bytes, waiting->length);
    owm_rpc_call_unref(waiting->call);
    free(waiting);
}

static void arrive(void *app, enum method method, struct owm_rpc_call *call, const uint8_t *bytes,
                   size_t length)
{
    struct lnd_double *node = app;
    double_lock();
    if (!admit(node, method, call)) {
        double_unlock();
        return;
    }
    if (node->delay_ms[method] > 0) {
        struct waiting_call *waiting = malloc(sizeof *waiting + length);
        OWM_ASSERT(waiting);
        *waiting = (struct waiting_call){.call = call, .method = method, .length = length};
        if (length) memcpy(waiting->bytes, bytes, length);
        owm_rpc_call_ref(call);
        task_add(node, owm_clock_wall_ms() + node->delay_ms[method], handle_later, waiting);
    } else {
        handle(node, method, call, bytes, length);
    }
    double_unlock();
}

#define X(name, path, kind, request, permissions)                                                  \
    static void on_##name(void *app, struct owm_rpc_call *call, const uint8_t *bytes,              \
                          size_t length)                                                           \
    {                                                                                              \
        arrive(app, METHOD_##name, call, bytes, length);                                           \
    }
#include "methods.h"
#undef X

#define X(name, row_path, row_kind, request, permissions)                                          \
    [METHOD_##name] = {.path = row_path,                                                           \
                       .kind = OWM_RPC_##row_kind,                                                 \
                       .send_queue_max = OWM_RPC_QUEUE_MAX,                                        \
                       .on_message = on_##name,                                                    \
                       .on_writable = stream_on_writable,                                          \
                       .on_end = stream_on_end},
static const struct owm_rpc_method methods[METHODS] = {
#include "methods.h"
};
#undef X

owm_status server_start(struct lnd_double *node, struct owm_error *error)
{
    const char *addresses[] = {node->address};
    struct owm_rpc_server_config config = {
        .addresses = addresses,
        .address_count = 1,
        .certificate_pem = node->certificate_pem,
        .key_pem = node->key_pem,
        .client_certificate = OWM_RPC_CLIENT_CERTIFICATE_NONE,
        .methods = methods,
        .method_count = METHODS,
        .app = node,
        .ping_interval_min_ms = 5000,
    };
    owm_status status = owm_rpc_server_open(&node->server, &config, error);
    if (status != OWM_OK) return status;
    char *port = strrchr(node->address, ':');
    size_t room = sizeof node->address - (size_t)(port - node->address);
    snprintf(port, room, ":%d", owm_rpc_server_port(node->server, 0));
    return OWM_OK;
}

void server_stop(struct lnd_double *node)
{
    owm_rpc_server_close(node->server, 0);
    node->server = NULL;
}

/* grpc_core.c: helpers around gRPC's types that server and client share. */
#include "grpc_core.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Fixed windows bound what an unread stream can hold: gRPC's own probing grew them to tens of MiB
 * on loopback and was no faster. 1 MiB in flight is 80 Mbit/s at a round trip of 100 ms. */
#define WINDOW_BYTES (1 << 20)

static const char *const code_names[OWM_RPC_CODES] = {
#define X(name, value) [OWM_RPC_##name] = #name,
    OWM_RPC_CODE_MAP(X)
#undef X
};

const char *owm_rpc_code_name(int code)
{
    return code >= 0 && code < OWM_RPC_CODES ? code_names[code] : "UNKNOWN";
}

owm_status rpc_status(enum owm_rpc_code code)
{
    static const owm_status statuses[OWM_RPC_CODES] = {
        [OWM_RPC_OK] = OWM_OK,
        [OWM_RPC_CANCELLED] = OWM_E_CANCELLED,
        [OWM_RPC_UNKNOWN] = OWM_E_PROTO,
        [OWM_RPC_INVALID_ARGUMENT] = OWM_E_ARG,
        [OWM_RPC_DEADLINE_EXCEEDED] = OWM_E_TIMEOUT,
        [OWM_RPC_NOT_FOUND] = OWM_E_NOTFOUND,
        [OWM_RPC_ALREADY_EXISTS] = OWM_E_EXISTS,
        [OWM_RPC_PERMISSION_DENIED] = OWM_E_PERM,
        [OWM_RPC_RESOURCE_EXHAUSTED] = OWM_E_LIMIT,
        [OWM_RPC_FAILED_PRECONDITION] = OWM_E_STATE,
        [OWM_RPC_ABORTED] = OWM_E_STATE,
        [OWM_RPC_OUT_OF_RANGE] = OWM_E_PROTO,
        [OWM_RPC_UNIMPLEMENTED] = OWM_E_UNSUPPORTED,
        [OWM_RPC_INTERNAL] = OWM_E_PROTO,
        [OWM_RPC_UNAVAILABLE] = OWM_E_NET,
        [OWM_RPC_DATA_LOSS] = OWM_E_PROTO,
        [OWM_RPC_UNAUTHENTICATED] = OWM_E_PERM,
    };
    return (unsigned)code < OWM_RPC_CODES ? statuses[code] : OWM_E_PROTO;
}

static grpc_arg *next_arg(struct rpc_args *args, const char *key, grpc_arg_type type)
{
    OWM_ASSERT(args->count < RPC_ARGS_MAX);
    grpc_arg *arg = &args->arg[args->count++];
    *arg = (grpc_arg){.type = type, .key = (char *)key};
    return arg;
}

void rpc_args_int(struct rpc_args *args, const char *key, int value)
{
    next_arg(args, key, GRPC_ARG_INTEGER)->value.integer = value;
}

void rpc_args_text(struct rpc_args *args, const char *key, const char *value)
{
    next_arg(args, key, GRPC_ARG_STRING)->value.string = (char *)value;
}

void rpc_args_pointer(struct rpc_args *args, const char *key, void *pointer,
                      const grpc_arg_pointer_vtable *vtable)
{
    grpc_arg *arg = next_arg(args, key, GRPC_ARG_POINTER);
    arg->value.pointer.p = pointer;
    arg->value.pointer.vtable = vtable;
}

static int int_of(size_t value)
{
    return value > INT_MAX ? INT_MAX : (int)value;
}

void rpc_args_common(struct rpc_args *args, unsigned keepalive_ms, unsigned keepalive_timeout_ms,
                     size_t message_bytes_max)
{
    rpc_args_int(args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, int_of(message_bytes_max));
    rpc_args_int(args, GRPC_ARG_KEEPALIVE_TIME_MS, int_of(keepalive_ms));
    rpc_args_int(args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, int_of(keepalive_timeout_ms));
    rpc_args_int(args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    rpc_args_int(args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    rpc_args_int(args, GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    rpc_args_int(args, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    rpc_args_int(args, GRPC_ARG_ENABLE_CHANNELZ, 0);
    rpc_args_int(args, GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
    rpc_args_int(args, GRPC_ARG_ENABLE_CENSUS, 0);
    rpc_args_int(args, GRPC_ARG_ENABLE_LOAD_REPORTING, 0);
    rpc_args_int(args, GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    rpc_args_int(args, GRPC_ARG_HTTP2_BDP_PROBE, 0);
    rpc_args_int(args, GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, WINDOW_BYTES);
}

/* One piece, in place; several pieces, or wanted for longer, in a block of their own. */
owm_status rpc_message_read(grpc_byte_buffer *buffer, bool copy, struct rpc_message *message)
{
    *message = (struct rpc_message){0};
    if (buffer->data.raw.compression != GRPC_COMPRESS_NONE) return OWM_E_PROTO;
    const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
    message->length = slices->length;
    if (slices->count == 1 && !copy) {
        message->bytes = GRPC_SLICE_START_PTR(slices->slices[0]);
        return OWM_OK;
    }
    uint8_t *block = malloc(slices->length ? slices->length : 1);
    if (!block) return OWM_E_NOMEM;
    size_t at = 0;
    for (size_t i = 0; i < slices->count; i++) {
        size_t length = GRPC_SLICE_LENGTH(slices->slices[i]);
        memcpy(block + at, GRPC_SLICE_START_PTR(slices->slices[i]), length);
        at += length;
    }
    message->owner = block;
    message->bytes = block;
    return OWM_OK;
}

grpc_byte_buffer *rpc_buffer_copy(const uint8_t *bytes, size_t length)
{
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, length);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

/* A peer can make gRPC complain at will (a failed handshake is an "error" to it), so its lines are
 * ours only when someone debugs. */
static void log_line(gpr_log_func_args *args)
{
    owm_log(OWM_LOG_DEBUG, "grpc %s:%d %s", args->file, args->line, args->message);
}

static void core_prepare(void)
{
    rpc_mutex_untracked();
    gpr_set_log_function(log_line);
}

void rpc_core_ref(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, core_prepare);
    grpc_init();
}

void rpc_core_unref(void)
{
    grpc_shutdown();
}

gpr_timespec rpc_deadline(unsigned after_ms)
{
    if (after_ms == 0) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(after_ms, GPR_TIMESPAN));
}

static owm_status pem_pair_check(BIO *certificate_bio, BIO *key_bio, struct owm_error *error)
{
    X509 *certificate = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
    EVP_PKEY *key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL) : NULL;
    owm_status status = OWM_OK;
    if (!certificate)
        status = owm_fail(error, OWM_E_CRYPTO, "the certificate is not X.509 in PEM form");
    else if (key_bio && !key)
        status = owm_fail(error, OWM_E_CRYPTO, "the private key is not in PEM form");
    else if (key && X509_check_private_key(certificate, key) != 1)
        status = owm_fail(error, OWM_E_CRYPTO, "the private key is not the certificate's");
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return status;
}

owm_status rpc_pem_check(const char *certificate_pem, const char *key_pem, struct owm_error *error)
{
    if (!certificate_pem && !key_pem) return OWM_OK;
    if (!certificate_pem) return owm_fail(error, OWM_E_ARG, "a private key without certificate");
    BIO *certificate_bio = BIO_new_mem_buf(certificate_pem, -1);
    BIO *key_bio = key_pem ? BIO_new_mem_buf(key_pem, -1) : NULL;
    owm_status status = OWM_E_NOMEM;
    if (certificate_bio && (key_bio || !key_pem))
        status = pem_pair_check(certificate_bio, key_bio, error);
    BIO_free(certificate_bio);
    BIO_free(key_bio);
    return status;
}

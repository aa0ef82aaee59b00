/* grpc_core.h: what the files that include gRPC share. Private to base/rpc/grpc_*.c. */
#ifndef OWM_BASE_RPC_GRPC_CORE_H
#define OWM_BASE_RPC_GRPC_CORE_H

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdatomic.h>

#include "rpc.h"

#define RPC_ARGS_MAX 40

/** rpc_args: channel arguments under construction. Strings are borrowed. */
struct rpc_args {
    grpc_arg arg[RPC_ARGS_MAX];
    size_t count;
};

void rpc_args_int(struct rpc_args *args, const char *key, int value);
void rpc_args_text(struct rpc_args *args, const char *key, const char *value);
void rpc_args_pointer(struct rpc_args *args, const char *key, void *pointer,
                      const grpc_arg_pointer_vtable *vtable);

/** rpc_args_common: what both ends set: no compression (a small frame must not become a large
 *  message), fixed windows, no tracing of each channel, no proxy from the environment, keepalive
 * without calls. */
void rpc_args_common(struct rpc_args *args, unsigned keepalive_ms, unsigned keepalive_timeout_ms,
                     size_t message_bytes_max);

/** rpc_completion: what every tag on a client's completion queue points to. */
struct rpc_completion {
    void (*run)(struct rpc_completion *completion, bool ok);
    /* Written before the batch starts, read when it completes: the hand-over that gRPC's queue
     * does anyway, spelled out where a race detector sees it. */
    atomic_int armed;
};

/** rpc_message: the bytes of a received buffer in one piece. `bytes` points into the buffer or, if
 *  it came in several pieces or copy is set, into `owner`, which the caller frees.
 *  Returns: OWM_OK; OWM_E_PROTO for a compressed message; OWM_E_NOMEM. */
struct rpc_message {
    const uint8_t *bytes;
    size_t length;
    void *owner;
};
OWM_MUST_USE owm_status rpc_message_read(grpc_byte_buffer *buffer, bool copy,
                                         struct rpc_message *message);

/** rpc_or: a setting, where 0 stands for the default. */
static inline unsigned rpc_or(unsigned value, unsigned fallback)
{
    return value ? value : fallback;
}

grpc_byte_buffer *rpc_buffer_copy(const uint8_t *bytes, size_t length);

/** rpc_mutex_untracked: see absl_mutex.cpp. */
void rpc_mutex_untracked(void);

/** rpc_core_ref, _unref: gRPC's global state, one reference per open object. */
void rpc_core_ref(void);
void rpc_core_unref(void);

/** rpc_deadline: monotonic, from now; 0 is never. */
gpr_timespec rpc_deadline(unsigned after_ms);

/** rpc_pem_check: whether OpenSSL reads the certificate and the key, and they belong together:
 *  gRPC's own answer to bad PEM is a log line. NULL, NULL is fine. */
OWM_MUST_USE owm_status rpc_pem_check(const char *certificate_pem, const char *key_pem,
                                      struct owm_error *error);

/** rpc_status: the owm_status of a code, as listed at owm_rpc_call_unary. */
owm_status rpc_status(enum owm_rpc_code code);

#endif

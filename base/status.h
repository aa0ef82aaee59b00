/* status.h: the one error type. Everything that can fail at run time returns it.
 *
 * 0 is success, negative is failure. Where a person must act, the function that fails also
 * fills a `struct owm_error` with what happened, where, and what to do.
 */
#ifndef OWM_BASE_STATUS_H
#define OWM_BASE_STATUS_H

#include <stddef.h>

#define OWM_STATUS_MAP(X)                                                                          \
    X(OK, 0, "ok")                                                                                 \
    X(E_ARG, -1, "argument out of range")                                                          \
    X(E_NOMEM, -2, "out of memory")                                                                \
    X(E_DEVICE, -3, "device error")                                                                \
    X(E_UNSUPPORTED, -4, "not supported by this backend")                                          \
    X(E_IO, -5, "input or output error")                                                           \
    X(E_PROTO, -6, "malformed input")                                                              \
    X(E_CRYPTO, -7, "signature or decryption failed")                                              \
    X(E_NOTFOUND, -8, "not found")                                                                 \
    X(E_EXISTS, -9, "already exists")                                                              \
    X(E_LIMIT, -10, "a named limit was reached")                                                   \
    X(E_TIMEOUT, -11, "deadline passed")                                                           \
    X(E_STATE, -12, "not allowed in this state")                                                   \
    X(E_PERM, -13, "permission denied")                                                            \
    X(E_NET, -14, "network error")                                                                 \
    X(E_DB, -15, "database error")                                                                 \
    X(E_CANCELLED, -16, "cancelled")                                                               \
    X(E_CONFIG, -17, "configuration error")                                                        \
    X(E_AGAIN, -18, "not ready, try again later")

typedef enum owm_status {
#define X(name, value, text) OWM_##name = (value),
    OWM_STATUS_MAP(X)
#undef X
} owm_status;

#define OWM_MUST_USE __attribute__((warn_unused_result))

#define OWM_ERROR_BYTES_MAX 512

/** owm_error: the sentence a person reads. Caller-owned; `text` is always terminated. */
struct owm_error {
    char text[OWM_ERROR_BYTES_MAX];
};

#ifdef __cplusplus
extern "C" {
#endif

/** owm_status_text: static string, never NULL, also for values outside the list. */
const char *owm_status_text(owm_status status);

/** owm_fail: write the sentence into `error` (NULL is allowed) and return `status`.
 *  Used as `return owm_fail(err, OWM_E_CONFIG, "%s:%d: unknown key '%s'", ...)`. */
owm_status owm_fail(struct owm_error *error, owm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** OWM_ASSERT: a caller's bug. On in all builds: prints file:line and the condition, aborts. */
#define OWM_ASSERT(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) owm_assert_failed(__FILE__, __LINE__, #cond);                                 \
    } while (0)

__attribute__((noreturn)) void owm_assert_failed(const char *file, int line, const char *cond);

#ifdef __cplusplus
}
#endif
#endif

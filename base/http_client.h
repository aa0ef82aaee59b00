/* http_client.h: blocking HTTP(S) requests with a deadline and a size cap (libcurl). TLS is always
 * verified; redirects are not followed; only http and https. */
#ifndef OWM_BASE_HTTP_CLIENT_H
#define OWM_BASE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_HTTP_REPLY_BYTES_DEFAULT (16 * 1024 * 1024)
#define OWM_HTTP_DEADLINE_MS_DEFAULT 30000

/** What to ask. Everything is borrowed for the call; NULL and 0 mean the default. */
struct owm_http_call {
    const char *method; /**< default: POST with a body, else GET */
    const char *url;
    const void *body;
    size_t body_bytes;
    const char *content_type;   /**< of the body; default application/octet-stream */
    const char *const *headers; /**< "Name: value", …, NULL */
    const char *proxy;    /**< "socks5h://127.0.0.1:9050"; default none, environment ignored */
    const char *ca_file;  /**< PEM of the authorities to trust instead of the system's */
    bool public_only;     /**< the URL comes from a stranger: only addresses of the public Internet,
                               whatever its name resolves to; and HTTPS only */
    uint32_t deadline_ms; /**< for the whole exchange */
    uint32_t finish_ms;   /**< from the first byte of the body to its last; default deadline_ms */
    size_t reply_bytes_max;
};

/** What came back. `body` is terminated by a zero byte behind body_bytes. */
struct owm_http_result {
    unsigned status;
    char content_type[128];
    uint8_t *body;
    size_t body_bytes;
};

/** owm_http_fetch: one exchange. An HTTP status of 400 or above is still OWM_OK: look at
 * result->status.
 *
 *  result  caller-owned; owm_http_result_deinit after OWM_OK. Zeroed on failure.
 *  Thread: any.
 *  Returns: OWM_OK; OWM_E_ARG bad URL; OWM_E_NET no connection, name, or broken off; OWM_E_TIMEOUT;
 *           OWM_E_LIMIT larger than reply_bytes_max; OWM_E_CRYPTO certificate refused; OWM_E_NOMEM.
 *           `error` names host and cause, never the query, headers or body.
 */
OWM_MUST_USE owm_status owm_http_fetch(const struct owm_http_call *call,
                                       struct owm_http_result *result, struct owm_error *error);
void owm_http_result_deinit(struct owm_http_result *result);

/** owm_http_client: one exchange after another, over connections that stay open in between. */
typedef struct owm_http_client owm_http_client;

/** Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_http_client_open(owm_http_client **client);
void owm_http_client_close(owm_http_client *client); /**< NULL is allowed. */

/** owm_http_client_fetch: as owm_http_fetch. Thread: one at a time.
 *  Returns: also OWM_E_CANCELLED. */
OWM_MUST_USE owm_status owm_http_client_fetch(owm_http_client *client,
                                              const struct owm_http_call *call,
                                              struct owm_http_result *result,
                                              struct owm_error *error);

/** owm_http_client_cancel: the exchange in progress, and each one after it, ends at once with
 *  OWM_E_CANCELLED. Thread: any, until close. */
void owm_http_client_cancel(owm_http_client *client);

#endif

/* http_server.h: a small HTTP/1.1 server on a thread of its own (libwebsockets): health, metrics,
 * local pages, REST, and a WebSocket feed. Every limit has a name; a peer that exceeds one is
 * answered or dropped, never waited for.
 */
#ifndef OWM_BASE_HTTP_SERVER_H
#define OWM_BASE_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_HTTP_PATH_BYTES_MAX      1024
#define OWM_HTTP_QUERY_BYTES_MAX     2048
#define OWM_HTTP_HEADER_BYTES_MAX    8192 /**< all request headers together */
#define OWM_HTTP_ACCEPT_BYTES_MAX    511
#define OWM_HTTP_BODY_BYTES_DEFAULT  (1024 * 1024)
#define OWM_HTTP_CONNECTIONS_DEFAULT 256
#define OWM_HTTP_TIMEOUT_S_DEFAULT   20
#define OWM_HTTP_ROUTES_MAX          64
#define OWM_HTTP_LISTENERS_DEFAULT   64 /* Of the feed; they count as connections too. */

typedef struct owm_http_server owm_http_server;
typedef struct owm_http_response owm_http_response;

/** owm_http_request: borrowed for the handler's call. */
struct owm_http_request {
    const char *method; /**< "GET", "POST", "PUT", "DELETE" */
    const char *path;   /**< decoded path, without the query */
    const char *query;  /**< text behind "?", fields joined by &, percent-decoded; "" if none */
    const char *host;   /**< Host header, "" if none */
    const char *authorization; /**< Authorization header, "" if none; a secret: never log it */
    const char *content_type;  /**< "" if none */
    const char *accept;        /**< "" if none or longer than OWM_HTTP_ACCEPT_BYTES_MAX */
    const char *forwarded_for; /**< X-Forwarded-For header as it came, "" likewise: whoever writes
                                  it can lie, so believe it of a known proxy alone */
    const char *peer;          /**< address of the other side, numeric */
    const uint8_t *body;       /**< terminated by a zero byte behind body_bytes */
    size_t body_bytes;
};

/** owm_http_handler: answers one request through `owm_http_reply`, or puts it off through
 * `owm_http_retry`; neither is a 500.
 *  Thread: the server's own; must not block for long, all connections wait for it. */
typedef void (*owm_http_handler)(void *ctx, const struct owm_http_request *request,
                                 owm_http_response *response);

/** owm_http_reply: set the answer; the last call counts. `body` and `content_type` are copied.
 *  If memory runs out the answer becomes a 500. */
void owm_http_reply(owm_http_response *response, unsigned status, const char *content_type,
                    const void *body, size_t bytes);

/** owm_http_reply_text: the same with a terminated string. */
void owm_http_reply_text(owm_http_response *response, unsigned status, const char *content_type,
                         const char *text);

/** owm_http_reply_header: add a header (e.g. "Location:" with its colon). Up to 8; values with
 * control characters are dropped. */
void owm_http_reply_header(owm_http_response *response, const char *name, const char *value);

/** owm_http_retry: no answer yet: the handler is called again with the same request after_ms (1 to
 *  60000) later, unless the peer has left. For long polls: the connection counts against
 *  connections_max and has no deadline but the handler's own. */
void owm_http_retry(owm_http_response *response, unsigned after_ms);

/** owm_http_route: first match wins. A `path` ending in "/" matches all paths below it, another one
 * only itself. A path that matches with another method is a 405, no match is a 404. HEAD is served
 * by GET. */
struct owm_http_route {
    const char *method;
    const char *path;
    owm_http_handler handler;
    void *ctx;
};

/** Zero in a limit means its default above. All borrowed until close. */
struct owm_http_server_options {
    const char *bind;     /**< numeric address; NULL: "127.0.0.1" */
    uint16_t port;        /**< 0: pick a free one */
    const char *port_key; /**< config key to name when the port is in use: "node.http_port" */
    const struct owm_http_route *routes;
    size_t route_count;
    size_t body_bytes_max;
    unsigned connections_max;
    unsigned timeout_s;    /**< for headers, body, and idle keep-alive */
    const char *feed_path; /**< WebSocket (RFC 6455) at this path; NULL: none */
    unsigned feed_listeners_max;
};

/** owm_http_server_open: listen and start the thread; requests are answered when this returns.
 *  Returns: OWM_OK; OWM_E_EXISTS port in use (error names port and key); OWM_E_PERM port not
 * allowed; OWM_E_ARG; OWM_E_NET; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_http_server_open(const struct owm_http_server_options *options,
                                             owm_http_server **server, struct owm_error *error);

/** owm_http_server_port: the port it listens on. */
uint16_t owm_http_server_port(const owm_http_server *server);

/** owm_http_feed_publish: send `text` (UTF-8; copied) to everyone who listens at feed_path, and to
 *  whoever comes later, until the next one replaces it. A slow listener misses texts in between.
 *  Thread: any.   Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_http_feed_publish(owm_http_server *server, const char *text);

/** owm_http_server_close: drop all connections, join the thread, free. NULL is allowed. Not from a
 *  handler. */
void owm_http_server_close(owm_http_server *server);

#endif

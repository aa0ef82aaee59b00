/* http_server.c: HTTP/1.1 on libwebsockets, one service thread.
 *
 * A connection's life: HTTP (headers in; refuse, answer, or wait for the body) -> HTTP_BODY … ->
 * HTTP_BODY_COMPLETION (route, handler fills the response) -> HTTP_WRITEABLE … (body out in chunks)
 * -> next request or close. Everything but open, port and close runs on the service thread.
 */
#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http_feed.h"
#include "log.h"

#define REPLY_HEADERS_MAX    8
#define REPLY_HEADER_BYTES   512
#define REPLY_CHUNK_BYTES    16384
#define REPLY_HEAD_BYTES_MAX 8192
#define RETRY_MS_MAX         60000
#define DRAIN_BYTES_MAX      (1024 * 1024) /* of a too long body that is read in order to answer */

struct header {
    char name[64];
    char value[REPLY_HEADER_BYTES];
};

struct owm_http_response {
    unsigned status;
    unsigned retry_ms; /* The handler wants to be asked again; 0: not. */
    char content_type[128];
    uint8_t *body; /* LWS_PRE bytes of room in front */
    size_t body_bytes, sent_bytes;
    struct header *headers; /* [REPLY_HEADERS_MAX], or NULL */
    size_t header_count;
};

/* One request on one connection; allocated by libwebsockets. */
struct session {
    const char *method;
    char path[OWM_HTTP_PATH_BYTES_MAX], query[OWM_HTTP_QUERY_BYTES_MAX];
    char host[256], authorization[1024], content_type[128], peer[64];
    char accept[OWM_HTTP_ACCEPT_BYTES_MAX + 1], forwarded_for[OWM_HTTP_ACCEPT_BYTES_MAX + 1];
    uint8_t *body;
    size_t body_bytes, expected_bytes;
    unsigned refused; /* status to answer once the body is drained; 0: none */
    bool close_after;
    bool listens; /* To the feed: a WebSocket. */
    uint64_t feed_seen;
    struct owm_http_response response;
};

struct owm_http_server {
    struct owm_http_server_options options;
    struct lws_context *context;
    struct lws_protocols protocols[2];
    struct http_feed feed;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    uint16_t port;
};

static void session_clear(struct session *session)
{
    free(session->body);
    if (session->response.body) free(session->response.body - LWS_PRE);
    free(session->response.headers);
    explicit_bzero(session, sizeof *session);
}

void owm_http_reply(owm_http_response *response, unsigned status, const char *content_type,
                    const void *body, size_t bytes)
{
    uint8_t *copy = malloc(LWS_PRE + bytes + 1);
    if (response->body) free(response->body - LWS_PRE);
    response->body = NULL;
    response->body_bytes = 0;
    response->status = copy ? status : 500;
    snprintf(response->content_type, sizeof response->content_type, "%s",
             content_type ? content_type : "text/plain; charset=utf-8");
    if (!copy) return;
    if (bytes) memcpy(copy + LWS_PRE, body, bytes);
    response->body = copy + LWS_PRE;
    response->body_bytes = bytes;
}

void owm_http_reply_text(owm_http_response *response, unsigned status, const char *content_type,
                         const char *text)
{
    owm_http_reply(response, status, content_type, text, strlen(text));
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
    return true;
}

void owm_http_reply_header(owm_http_response *response, const char *name, const char *value)
{
    if (!response->headers) response->headers = calloc(REPLY_HEADERS_MAX, sizeof(struct header));
    if (!response->headers || response->header_count == REPLY_HEADERS_MAX) return;
    struct header *header = &response->headers[response->header_count];
    if (!is_plain(name) || !is_plain(value) || strlen(name) >= sizeof header->name
        || strlen(value) >= sizeof header->value)
        return;
    snprintf(header->name, sizeof header->name, "%s", name);
    snprintf(header->value, sizeof header->value, "%s", value);
    response->header_count++;
}

void owm_http_retry(owm_http_response *response, unsigned after_ms)
{
    OWM_ASSERT(after_ms >= 1 && after_ms <= RETRY_MS_MAX);
    response->retry_ms = after_ms;
}

/* Sends the head and asks for the body's turn. Returns -1 to drop the connection. */
static int send_head(struct lws *wsi, struct session *session)
{
    static const char security[] = "nosniff";
    struct owm_http_response *reply = &session->response;
    uint8_t buffer[LWS_PRE + REPLY_HEAD_BYTES_MAX];
    uint8_t *start = buffer + LWS_PRE, *at = start, *end = buffer + sizeof buffer - 1;
    if (lws_add_http_common_headers(wsi, reply->status, reply->content_type, reply->body_bytes, &at,
                                    end))
        return -1;
    if (lws_add_http_header_by_name(wsi, (const uint8_t *)"x-content-type-options:",
                                    (const uint8_t *)security, sizeof security - 1, &at, end))
        return -1;
    for (size_t i = 0; i < reply->header_count; i++) {
        const struct header *header = &reply->headers[i];
        if (lws_add_http_header_by_name(wsi, (const uint8_t *)header->name,
                                        (const uint8_t *)header->value, (int)strlen(header->value),
                                        &at, end))
            return -1;
    }
    if (lws_finalize_write_http_header(wsi, start, &at, end)) return -1;
    if (strcmp(session->method, "HEAD") == 0) reply->body_bytes = 0;
    lws_callback_on_writable(wsi);
    return 0;
}

static int finish(struct lws *wsi, struct session *session)
{
    bool close_after = session->close_after;
    session_clear(session);
    return lws_http_transaction_completed(wsi) || close_after ? -1 : 0;
}

static int send_body(struct lws *wsi, struct session *session)
{
    struct owm_http_response *reply = &session->response;
    if (reply->status == 0) return 0;
    size_t left = reply->body_bytes - reply->sent_bytes;
    if (left == 0) return finish(wsi, session);
    size_t bytes = left < REPLY_CHUNK_BYTES ? left : REPLY_CHUNK_BYTES;
    bool last = bytes == left;
    int wrote = lws_write(wsi, reply->body + reply->sent_bytes, bytes,
                          last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
    if (wrote < 0) return -1;
    reply->sent_bytes += bytes;
    if (last) return finish(wsi, session);
    lws_callback_on_writable(wsi);
    return 0;
}

static bool path_matches(const char *route, const char *path)
{
    size_t bytes = strlen(route);
    if (bytes && route[bytes - 1] == '/' && bytes > 1) return strncmp(route, path, bytes) == 0;
    return strcmp(route, path) == 0;
}

static void dispatch(const struct owm_http_server *server, struct session *session)
{
    const char *method = strcmp(session->method, "HEAD") == 0 ? "GET" : session->method;
    const struct owm_http_request request = {
        .method = session->method,
        .path = session->path,
        .query = session->query,
        .host = session->host,
        .authorization = session->authorization,
        .content_type = session->content_type,
        .accept = session->accept,
        .forwarded_for = session->forwarded_for,
        .peer = session->peer,
        .body = session->body ? session->body : (const uint8_t *)"",
        .body_bytes = session->body_bytes,
    };
    bool path_known = false;
    for (size_t i = 0; i < server->options.route_count; i++) {
        const struct owm_http_route *route = &server->options.routes[i];
        if (!path_matches(route->path, session->path)) continue;
        path_known = true;
        if (strcmp(route->method, method) != 0) continue;
        session->response.retry_ms = 0;
        route->handler(route->ctx, &request, &session->response);
        if (session->response.status == 0 && session->response.retry_ms == 0)
            owm_http_reply_text(&session->response, 500, NULL, "no answer\n");
        return;
    }
    owm_http_reply_text(&session->response, path_known ? 405 : 404, NULL,
                        path_known ? "method not allowed\n" : "not found\n");
}

static int answer(struct lws *wsi, const struct owm_http_server *server, struct session *session)
{
    if (session->refused)
        owm_http_reply_text(&session->response, session->refused, NULL, "request refused\n");
    else
        dispatch(server, session);
    if (session->response.status) return send_head(wsi, session);
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    lws_set_timer_usecs(wsi, (lws_usec_t)session->response.retry_ms * 1000);
    return 0;
}

/* The handler put the request off and its time has come. */
static int answer_late(struct lws *wsi, const struct owm_http_server *server,
                       struct session *session)
{
    if (!session->method || session->response.status || !session->response.retry_ms) return 0;
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)server->options.timeout_s);
    return answer(wsi, server, session);
}

static bool copy_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t bytes)
{
    out[0] = 0;
    int length = lws_hdr_total_length(wsi, token);
    if (length <= 0) return true;
    return lws_hdr_copy(wsi, out, (int)bytes, token) >= 0;
}

/* One that a request can do without. */
static void copy_if_it_fits(struct lws *wsi, enum lws_token_indexes token, char *out, size_t bytes)
{
    if (!copy_header(wsi, token, out, bytes)) out[0] = 0;
}

/* The query's fields come one by one; joined by "&" again. */
static bool copy_query(struct lws *wsi, char *out, size_t bytes)
{
    size_t at = 0;
    for (int field = 0;; field++) {
        int length = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, field);
        if (length <= 0) return true;
        if (at + (size_t)length + 2 > bytes) return false;
        if (field > 0) out[at++] = '&';
        int copied =
            lws_hdr_copy_fragment(wsi, out + at, (int)(bytes - at), WSI_TOKEN_HTTP_URI_ARGS, field);
        if (copied < 0) return false;
        at += (size_t)copied;
        out[at] = 0;
    }
}

static const char *method_of(struct lws *wsi)
{
    static const struct {
        enum lws_token_indexes token;
        const char *name;
    } methods[] = {
        {WSI_TOKEN_GET_URI, "GET"},       {WSI_TOKEN_POST_URI, "POST"}, {WSI_TOKEN_PUT_URI, "PUT"},
        {WSI_TOKEN_DELETE_URI, "DELETE"}, {WSI_TOKEN_HEAD_URI, "HEAD"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (lws_hdr_total_length(wsi, methods[i].token)) return methods[i].name;
    return NULL;
}

/* How long the body is: 0 none; -1 not known or not a number. */
static long long content_length(struct lws *wsi, const char *method)
{
    char text[24];
    bool wants_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING)) return -1;
    if (!lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH)) return wants_body ? -1 : 0;
    if (!copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text)) return -1;
    if (!text[0] || strspn(text, "0123456789") != strlen(text) || strlen(text) > 17) return -1;
    return strtoll(text, NULL, 10);
}

static int refuse(struct lws *wsi, struct session *session, unsigned status)
{
    session->close_after = true;
    owm_http_reply_text(&session->response, status, NULL, "request refused\n");
    return send_head(wsi, session);
}

static int begin(struct lws *wsi, const struct owm_http_server *server, struct session *session,
                 const char *path)
{
    session_clear(session);
    const char *method = method_of(wsi);
    session->method = method ? method : "?";
    if (!method) return refuse(wsi, session, 405);
    int path_bytes = snprintf(session->path, sizeof session->path, "%s", path);
    if (path_bytes < 0 || (size_t)path_bytes >= sizeof session->path
        || !copy_query(wsi, session->query, sizeof session->query))
        return refuse(wsi, session, 414);
    if (!copy_header(wsi, WSI_TOKEN_HOST, session->host, sizeof session->host)
        || !copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, session->authorization,
                        sizeof session->authorization)
        || !copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, session->content_type,
                        sizeof session->content_type))
        return refuse(wsi, session, 431);
    copy_if_it_fits(wsi, WSI_TOKEN_HTTP_ACCEPT, session->accept, sizeof session->accept);
    copy_if_it_fits(wsi, WSI_TOKEN_X_FORWARDED_FOR, session->forwarded_for,
                    sizeof session->forwarded_for);
    lws_get_peer_simple(wsi, session->peer, sizeof session->peer);
    long long expected = content_length(wsi, method);
    if (expected < 0) return refuse(wsi, session, 411);
    size_t body_bytes_max = server->options.body_bytes_max;
    if ((unsigned long long)expected > body_bytes_max + DRAIN_BYTES_MAX)
        return refuse(wsi, session, 413);
    if ((size_t)expected > body_bytes_max) session->refused = 413;
    session->expected_bytes = (size_t)expected;
    if (expected == 0) return answer(wsi, server, session);
    if (!session->refused) {
        session->body = malloc((size_t)expected + 1);
        if (!session->body) session->refused = 503;
    }
    return 0;
}

static void take_body(struct session *session, const void *data, size_t bytes)
{
    if (!session->body || bytes > session->expected_bytes - session->body_bytes) return;
    memcpy(session->body + session->body_bytes, data, bytes);
    session->body_bytes += bytes;
    session->body[session->body_bytes] = 0;
}

/* Events of WebSockets; *code is written for those. */
static bool on_feed(struct lws *wsi, enum lws_callback_reasons reason, struct session *session,
                    int *code)
{
    struct owm_http_server *server = lws_context_user(lws_get_context(wsi));
    *code = 0;
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        *code = http_feed_admit(&server->feed, wsi);
        return true;
    case LWS_CALLBACK_ESTABLISHED:
        session->listens = true;
        session->feed_seen = 0;
        *code = http_feed_begin(&server->feed, wsi);
        return true;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        *code = http_feed_write(&server->feed, wsi, &session->feed_seen);
        return true;
    case LWS_CALLBACK_RECEIVE: /* Listeners have nothing to say. */
        return true;
    case LWS_CALLBACK_CLOSED:
        if (session->listens) http_feed_end(&server->feed);
        return true;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        lws_callback_on_writable_all_protocol(server->context, &server->protocols[0]);
        return true;
    default:
        return false;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t bytes)
{
    struct session *session = user;
    const struct owm_http_server *server = lws_context_user(lws_get_context(wsi));
    int code = 0;
    if (on_feed(wsi, reason, session, &code)) return code;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return begin(wsi, server, session, in);
    case LWS_CALLBACK_HTTP_BODY:
        take_body(session, in, bytes);
        return 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return session->response.status || !session->method ? 0 : answer(wsi, server, session);
    case LWS_CALLBACK_TIMER:
        return session ? answer_late(wsi, server, session) : 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return send_body(wsi, session);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        if (session) session_clear(session);
        return 0;
    default:
        return 0;
    }
}

static void forward_log(int level, const char *line)
{
    (void)level;
    owm_log(OWM_LOG_WARN, "http_server text=%.*s", (int)strcspn(line, "\n"), line);
}

static void *serve(void *arg)
{
    struct owm_http_server *server = arg;
    while (!atomic_load(&server->stop))
        if (lws_service(server->context, 0) < 0) break;
    return NULL;
}

/* Binds once on our own, because libwebsockets does not tell why it cannot. */
static owm_status probe_port(const struct owm_http_server_options *options, struct owm_error *error)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(options->port)};
    bool is_v4 = inet_pton(AF_INET, options->bind, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, options->bind, &v6.sin6_addr) != 1)
        return owm_fail(error, OWM_E_ARG, "'%s' is not a numeric address to listen on",
                        options->bind);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return owm_fail(error, OWM_E_NET, "cannot open a socket: %s", strerror(errno));
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int failed = is_v4 ? bind(fd, (struct sockaddr *)&v4, sizeof v4)
                       : bind(fd, (struct sockaddr *)&v6, sizeof v6);
    if (!failed) failed = listen(fd, 1);
    int code = errno;
    close(fd);
    if (!failed) return OWM_OK;
    const char *key = options->port_key ? options->port_key : "another port";
    if (code == EADDRINUSE)
        return owm_fail(error, OWM_E_EXISTS, "port %u is in use on %s; set %s to a free one",
                        options->port, options->bind, key);
    return owm_fail(error, code == EACCES ? OWM_E_PERM : OWM_E_NET,
                    "cannot listen on %s port %u (%s): %s", options->bind, options->port, key,
                    strerror(code));
}

static owm_status create_context(struct owm_http_server *server, struct owm_error *error)
{
    const struct owm_http_server_options *options = &server->options;
    bool any = strcmp(options->bind, "0.0.0.0") == 0 || strcmp(options->bind, "::") == 0;
    server->protocols[0] = (struct lws_protocols){
        .name = "http", .callback = on_event, .per_session_data_size = sizeof(struct session)};
    struct lws_context_creation_info info = {
        .port = options->port,
        .iface = any ? NULL : options->bind,
        .protocols = server->protocols,
        .user = server,
        .fd_limit_per_thread = options->connections_max + 8,
        .max_http_header_data = OWM_HTTP_HEADER_BYTES_MAX,
        .max_http_header_pool = (unsigned short)options->connections_max,
        .timeout_secs = options->timeout_s,
        .keepalive_timeout = (int)options->timeout_s,
        .server_string = "owm",
        .vhost_name = "owm",
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
    };
    if (!strchr(options->bind, ':')) info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    lws_set_log_level(LLL_ERR, forward_log);
    server->context = lws_create_context(&info);
    struct lws_vhost *vhost = server->context ? lws_create_vhost(server->context, &info) : NULL;
    if (!vhost)
        return owm_fail(error, OWM_E_NET, "cannot start the HTTP server on %s port %u",
                        options->bind, options->port);
    server->port = (uint16_t)lws_get_vhost_listen_port(vhost);
    return OWM_OK;
}

static owm_status start_thread(struct owm_http_server *server, struct owm_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&server->thread, NULL, serve, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    server->started = !failed;
    return failed ? owm_fail(error, OWM_E_NOMEM, "cannot start a thread: %s", strerror(failed))
                  : OWM_OK;
}

owm_status owm_http_server_open(const struct owm_http_server_options *options,
                                owm_http_server **server_out, struct owm_error *error)
{
    *server_out = NULL;
    if (options->route_count > OWM_HTTP_ROUTES_MAX || options->connections_max > UINT16_MAX)
        return owm_fail(error, OWM_E_ARG, "too many routes or connections for the HTTP server");
    struct owm_http_server *server = calloc(1, sizeof *server);
    if (!server) return owm_fail(error, OWM_E_NOMEM, "out of memory for the HTTP server");
    server->options = *options;
    http_feed_init(&server->feed, options->feed_path,
                   options->feed_listeners_max ? options->feed_listeners_max
                                               : OWM_HTTP_LISTENERS_DEFAULT);
    struct owm_http_server_options *own = &server->options;
    if (!own->bind) own->bind = "127.0.0.1";
    if (!own->body_bytes_max) own->body_bytes_max = OWM_HTTP_BODY_BYTES_DEFAULT;
    if (!own->connections_max) own->connections_max = OWM_HTTP_CONNECTIONS_DEFAULT;
    if (!own->timeout_s) own->timeout_s = OWM_HTTP_TIMEOUT_S_DEFAULT;
    owm_status status = probe_port(own, error);
    if (status == OWM_OK) status = create_context(server, error);
    if (status == OWM_OK) status = start_thread(server, error);
    if (status != OWM_OK) {
        owm_http_server_close(server);
        return status;
    }
    *server_out = server;
    return OWM_OK;
}

owm_status owm_http_feed_publish(owm_http_server *server, const char *text)
{
    owm_status status = http_feed_set(&server->feed, text, strlen(text));
    if (status == OWM_OK) lws_cancel_service(server->context); /* Wakes the service thread. */
    return status;
}

uint16_t owm_http_server_port(const owm_http_server *server)
{
    return server->port;
}

void owm_http_server_close(owm_http_server *server)
{
    if (!server) return;
    atomic_store(&server->stop, true);
    if (server->started) {
        lws_cancel_service(server->context);
        pthread_join(server->thread, NULL);
    }
    if (server->context) lws_context_destroy(server->context);
    http_feed_deinit(&server->feed);
    free(server);
}

/* http_client.c: blocking exchanges through a curl easy handle, driven by a multi handle that keeps
 * the connections and can be woken by another thread. */
#include "http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "http_public.h"

#define HOST_BYTES_MAX    256
#define KEEPALIVE_IDLE_S  30 /* A peer that vanished is noticed within a minute. */
#define KEEPALIVE_PROBE_S 10
#define POLL_MS           1000

struct owm_http_client {
    CURLM *multi;
    CURL *curl;
    atomic_bool cancelled;
};

struct sink {
    uint8_t *data;
    size_t bytes, room, bytes_max;
    uint64_t begun_ms; /* When the first byte came; 0: not yet. */
    bool too_large, no_memory;
};

static void init_once(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t take_body(char *data, size_t one, size_t bytes, void *ctx)
{
    struct sink *sink = ctx;
    (void)one;
    if (!sink->begun_ms) sink->begun_ms = owm_clock_mono_ms();
    if (bytes > sink->bytes_max - sink->bytes) {
        sink->too_large = true;
        return 0;
    }
    if (bytes >= sink->room - sink->bytes) {
        size_t room = 2 * (sink->bytes + bytes) + 1;
        uint8_t *larger = realloc(sink->data, room);
        if (!larger) {
            sink->no_memory = true;
            return 0;
        }
        sink->data = larger;
        sink->room = room;
    }
    memcpy(sink->data + sink->bytes, data, bytes);
    sink->bytes += bytes;
    return bytes;
}

/* "host:port" of a URL for errors: the path and query may hold secrets. */
static void host_of(const char *url, char host[static HOST_BYTES_MAX])
{
    CURLU *parts = curl_url();
    char *name = NULL, *port = NULL;
    host[0] = 0;
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK
        && curl_url_get(parts, CURLUPART_HOST, &name, 0) == CURLUE_OK
        && curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        snprintf(host, HOST_BYTES_MAX, "%.200s:%.16s", name, port);
    curl_free(name);
    curl_free(port);
    curl_url_cleanup(parts);
}

static owm_status status_of(CURLcode code, const struct sink *sink)
{
    if (sink->too_large) return OWM_E_LIMIT;
    if (sink->no_memory) return OWM_E_NOMEM;
    switch (code) {
    case CURLE_OK:
        return OWM_OK;
    case CURLE_OUT_OF_MEMORY:
        return OWM_E_NOMEM;
    case CURLE_OPERATION_TIMEDOUT:
        return OWM_E_TIMEOUT;
    case CURLE_ABORTED_BY_CALLBACK:
        return OWM_E_CANCELLED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return OWM_E_ARG;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return OWM_E_CRYPTO;
    default:
        return OWM_E_NET;
    }
}

static struct curl_slist *headers_of(const struct owm_http_call *call, bool *good)
{
    char type[160];
    snprintf(type, sizeof type, "Content-Type: %.128s",
             call->content_type ? call->content_type : "application/octet-stream");
    /* "Expect:" alone keeps curl from waiting for a 100 that not every server sends. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    *good = list != NULL;
    if (call->body) *good = *good && curl_slist_append(list, type) != NULL;
    for (size_t i = 0; *good && call->headers && call->headers[i]; i++)
        *good = curl_slist_append(list, call->headers[i]) != NULL;
    return list;
}

/* After the name was resolved, so that no name can lead into our own network. */
static curl_socket_t open_public_socket(void *ctx, curlsocktype purpose,
                                        struct curl_sockaddr *address)
{
    (void)ctx;
    (void)purpose;
    if (!owm_http_address_public(&address->addr)) return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void set_options(CURL *curl, const struct owm_http_call *call, struct curl_slist *headers,
                        struct sink *sink)
{
    const char *method = call->method ? call->method : call->body ? "POST" : "GET";
    long deadline_ms = (long)(call->deadline_ms ? call->deadline_ms : OWM_HTTP_DEADLINE_MS_DEFAULT);
    curl_easy_setopt(curl, CURLOPT_URL, call->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, call->public_only ? "https" : "http,https");
    if (call->public_only) curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_public_socket);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_PROBE_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, deadline_ms);
    curl_easy_setopt(curl, CURLOPT_PROXY, call->proxy ? call->proxy : "");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
    if (call->ca_file) curl_easy_setopt(curl, CURLOPT_CAINFO, call->ca_file);
    if (call->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_bytes);
    }
    if (strcmp(method, "HEAD") == 0) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static void take_result(CURL *curl, struct sink *sink, struct owm_http_result *result)
{
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    result->status = (unsigned)status;
    snprintf(result->content_type, sizeof result->content_type, "%s", type ? type : "");
    sink->data[sink->bytes] = 0;
    result->body = sink->data;
    result->body_bytes = sink->bytes;
    sink->data = NULL;
}

/* What the exchange came to, once it is over; CURLE_AGAIN while it runs. */
static CURLcode outcome_of(CURLM *multi)
{
    int left = 0;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left)))
        if (message->msg == CURLMSG_DONE) return message->data.result;
    return CURLE_AGAIN;
}

static CURLcode drive(owm_http_client *client, const struct sink *sink, uint32_t finish_ms)
{
    for (;;) {
        int running = 0;
        CURLcode code;
        if (atomic_load(&client->cancelled)) return CURLE_ABORTED_BY_CALLBACK;
        if (curl_multi_perform(client->multi, &running) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
        if ((code = outcome_of(client->multi)) != CURLE_AGAIN) return code;
        if (finish_ms && sink->begun_ms && owm_clock_mono_ms() - sink->begun_ms > finish_ms)
            return CURLE_OPERATION_TIMEDOUT;
        if (curl_multi_poll(client->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return CURLE_OUT_OF_MEMORY;
    }
}

static owm_status exchange(owm_http_client *client, const struct owm_http_call *call,
                           struct curl_slist *headers, struct sink *sink, const char **cause)
{
    curl_easy_reset(client->curl);
    set_options(client->curl, call, headers, sink);
    if (curl_multi_add_handle(client->multi, client->curl) != CURLM_OK) return OWM_E_NOMEM;
    CURLcode code = drive(client, sink, call->finish_ms);
    owm_status status = status_of(code, sink);
    *cause = sink->too_large             ? "the reply is larger than allowed"
             : status == OWM_E_CANCELLED ? "cancelled"
                                         : curl_easy_strerror(code);
    curl_multi_remove_handle(client->multi, client->curl);
    return status;
}

owm_status owm_http_client_open(owm_http_client **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
    owm_http_client *client = calloc(1, sizeof *client);
    *out = NULL;
    if (!client) return OWM_E_NOMEM;
    client->multi = curl_multi_init();
    client->curl = curl_easy_init();
    if (!client->multi || !client->curl) {
        owm_http_client_close(client);
        return OWM_E_NOMEM;
    }
    *out = client;
    return OWM_OK;
}

void owm_http_client_close(owm_http_client *client)
{
    if (!client) return;
    curl_easy_cleanup(client->curl);
    curl_multi_cleanup(client->multi);
    free(client);
}

void owm_http_client_cancel(owm_http_client *client)
{
    atomic_store(&client->cancelled, true);
    curl_multi_wakeup(client->multi);
}

owm_status owm_http_client_fetch(owm_http_client *client, const struct owm_http_call *call,
                                 struct owm_http_result *result, struct owm_error *error)
{
    char host[HOST_BYTES_MAX];
    struct sink sink = {.bytes_max = call->reply_bytes_max ? call->reply_bytes_max
                                                           : OWM_HTTP_REPLY_BYTES_DEFAULT};
    bool good = false;
    *result = (struct owm_http_result){0};
    host_of(call->url, host);
    struct curl_slist *headers = headers_of(call, &good);
    sink.room = 1024;
    sink.data = malloc(sink.room);
    owm_status status = OWM_E_NOMEM;
    const char *cause = "out of memory";
    if (good && sink.data) status = exchange(client, call, headers, &sink, &cause);
    if (status == OWM_OK)
        take_result(client->curl, &sink, result);
    else
        owm_fail(error, status, "request to %s failed: %s", host[0] ? host : "(no valid URL)",
                 cause);
    free(sink.data);
    curl_slist_free_all(headers);
    return status;
}

owm_status owm_http_fetch(const struct owm_http_call *call, struct owm_http_result *result,
                          struct owm_error *error)
{
    owm_http_client *client;
    *result = (struct owm_http_result){0};
    owm_status status = owm_http_client_open(&client);
    if (status != OWM_OK) return owm_fail(error, status, "no memory for a request");
    status = owm_http_client_fetch(client, call, result, error);
    owm_http_client_close(client);
    return status;
}

void owm_http_result_deinit(struct owm_http_result *result)
{
    free(result->body);
    *result = (struct owm_http_result){0};
}

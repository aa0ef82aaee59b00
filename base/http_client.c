/* http_client.c: one blocking exchange through a curl easy handle. */
#include "http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BYTES_MAX 256

struct sink {
    uint8_t *data;
    size_t bytes, room, bytes_max;
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

static void set_options(CURL *curl, const struct owm_http_call *call, struct curl_slist *headers,
                        struct sink *sink)
{
    const char *method = call->method ? call->method : call->body ? "POST" : "GET";
    long deadline_ms = (long)(call->deadline_ms ? call->deadline_ms : OWM_HTTP_DEADLINE_MS_DEFAULT);
    curl_easy_setopt(curl, CURLOPT_URL, call->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
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

owm_status owm_http_fetch(const struct owm_http_call *call, struct owm_http_result *result,
                          struct owm_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char host[HOST_BYTES_MAX];
    struct sink sink = {.bytes_max = call->reply_bytes_max ? call->reply_bytes_max
                                                           : OWM_HTTP_REPLY_BYTES_DEFAULT};
    bool good = false;
    *result = (struct owm_http_result){0};
    pthread_once(&once, init_once);
    host_of(call->url, host);
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(call, &good);
    sink.room = 1024;
    sink.data = malloc(sink.room);
    owm_status status = OWM_E_NOMEM;
    const char *cause = "out of memory";
    if (curl && good && sink.data) {
        set_options(curl, call, headers, &sink);
        CURLcode code = curl_easy_perform(curl);
        status = status_of(code, &sink);
        cause = sink.too_large ? "the reply is larger than allowed" : curl_easy_strerror(code);
        if (status == OWM_OK) take_result(curl, &sink, result);
    }
    if (status != OWM_OK)
        owm_fail(error, status, "request to %s failed: %s", host[0] ? host : "(no valid URL)",
                 cause);
    free(sink.data);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

void owm_http_result_deinit(struct owm_http_result *result)
{
    free(result->body);
    *result = (struct owm_http_result){0};
}

/* http_feed.h: the WebSocket feed of an HTTP server (RFC 6455): the newest text, to everyone who
 * listens. For http_server.c; programs use owm_http_feed_publish.
 *
 * A slow listener misses texts, never delays the others, and costs no memory beyond the newest one.
 */
#ifndef OWM_BASE_HTTP_FEED_H
#define OWM_BASE_HTTP_FEED_H

#include <libwebsockets.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "status.h"

struct http_feed {
    const char *path; /* NULL: this server has no feed. */
    unsigned listeners, listeners_max;
    pthread_mutex_t lock; /* For what follows. */
    uint8_t *text;        /* LWS_PRE bytes of room in front; NULL: nothing was published yet. */
    size_t bytes;
    uint64_t number; /* Of the newest text, from 1. */
};

void http_feed_init(struct http_feed *feed, const char *path, unsigned listeners_max);
void http_feed_deinit(struct http_feed *feed);

/** http_feed_set: make `text` the newest. Thread: any. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status http_feed_set(struct http_feed *feed, const char *text, size_t bytes);

/* Of the service thread; each returns what libwebsockets' callback is to return. */
int http_feed_admit(struct http_feed *feed, struct lws *wsi);
int http_feed_begin(struct http_feed *feed, struct lws *wsi);
int http_feed_write(struct http_feed *feed, struct lws *wsi, uint64_t *seen);
void http_feed_end(struct http_feed *feed);

#endif

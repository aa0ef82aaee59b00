/* http_feed.c: who listens to the WebSocket feed, and the newest text for each of them. */
#include "http_feed.h"

#include <stdlib.h>
#include <string.h>

void http_feed_init(struct http_feed *feed, const char *path, unsigned listeners_max)
{
    *feed = (struct http_feed){.path = path, .listeners_max = listeners_max};
    pthread_mutex_init(&feed->lock, NULL);
}

void http_feed_deinit(struct http_feed *feed)
{
    free(feed->text);
    pthread_mutex_destroy(&feed->lock);
}

owm_status http_feed_set(struct http_feed *feed, const char *text, size_t bytes)
{
    uint8_t *copy = malloc(LWS_PRE + bytes);
    if (!copy) return OWM_E_NOMEM;
    memcpy(copy + LWS_PRE, text, bytes);
    pthread_mutex_lock(&feed->lock);
    uint8_t *old = feed->text;
    feed->text = copy;
    feed->bytes = bytes;
    feed->number++;
    pthread_mutex_unlock(&feed->lock);
    free(old);
    return OWM_OK;
}

int http_feed_admit(struct http_feed *feed, struct lws *wsi)
{
    char path[64];
    if (!feed->path || feed->listeners >= feed->listeners_max) return -1;
    if (lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI) < 0) return -1;
    return strcmp(path, feed->path) == 0 ? 0 : -1;
}

int http_feed_begin(struct http_feed *feed, struct lws *wsi)
{
    feed->listeners++;
    lws_callback_on_writable(wsi);
    return 0;
}

int http_feed_write(struct http_feed *feed, struct lws *wsi, uint64_t *seen)
{
    int wrote = 0;
    pthread_mutex_lock(&feed->lock);
    if (feed->text && *seen != feed->number) {
        wrote = lws_write(wsi, feed->text + LWS_PRE, feed->bytes, LWS_WRITE_TEXT);
        *seen = feed->number;
    }
    pthread_mutex_unlock(&feed->lock);
    return wrote < 0 ? -1 : 0;
}

void http_feed_end(struct http_feed *feed)
{
    feed->listeners--;
}

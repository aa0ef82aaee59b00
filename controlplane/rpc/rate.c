/* rate.c: per source a ring of the times of its last events; see rate.h. */
#include "rate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
    char name[OWM_RATE_SOURCE_BYTES_MAX]; /* "": free */
    unsigned next;                        /* the oldest of the last events_max events */
    int64_t at_ms[OWM_RATE_EVENTS_MAX];   /* 0: no event yet */
};

struct owm_rate {
    pthread_mutex_t lock;
    unsigned events_max;
    int64_t window_ms;
    struct source *sources;
};

owm_status owm_rate_open(unsigned events_max, int64_t window_ms, struct owm_rate **out)
{
    OWM_ASSERT(events_max > 0 && events_max <= OWM_RATE_EVENTS_MAX);
    struct owm_rate *rate = calloc(1, sizeof(*rate));
    if (!rate) return OWM_E_NOMEM;
    rate->sources = calloc(OWM_RATE_SOURCES_MAX, sizeof(*rate->sources));
    if (!rate->sources) {
        free(rate);
        return OWM_E_NOMEM;
    }
    rate->events_max = events_max;
    rate->window_ms = window_ms;
    pthread_mutex_init(&rate->lock, NULL);
    *out = rate;
    return OWM_OK;
}

void owm_rate_close(struct owm_rate *rate)
{
    if (!rate) return;
    pthread_mutex_destroy(&rate->lock);
    free(rate->sources);
    free(rate);
}

static int64_t newest_ms(const struct owm_rate *rate, const struct source *source)
{
    return source->at_ms[(source->next + rate->events_max - 1) % rate->events_max];
}

/* The source's slot, or one that is free because all its events are out of the window. */
static struct source *find(struct owm_rate *rate, const char *name, int64_t now_ms)
{
    struct source *unused = NULL;
    for (size_t i = 0; i < OWM_RATE_SOURCES_MAX; i++) {
        struct source *source = &rate->sources[i];
        if (strcmp(source->name, name) == 0) return source;
        if (!unused && (!source->name[0] || newest_ms(rate, source) + rate->window_ms <= now_ms))
            unused = source;
    }
    if (!unused) return NULL;
    memset(unused, 0, sizeof(*unused));
    snprintf(unused->name, sizeof(unused->name), "%s", name);
    return unused;
}

owm_status owm_rate_take(struct owm_rate *rate, const char *source, int64_t now_ms,
                         int64_t *wait_ms)
{
    char name[OWM_RATE_SOURCE_BYTES_MAX];
    snprintf(name, sizeof(name), "%s", source[0] ? source : "unknown");
    owm_status status = OWM_OK;
    pthread_mutex_lock(&rate->lock);
    struct source *slot = find(rate, name, now_ms);
    int64_t oldest_ms = slot ? slot->at_ms[slot->next] : 0;
    if (!slot) {
        status = OWM_E_NOMEM;
    } else if (oldest_ms && oldest_ms + rate->window_ms > now_ms) {
        *wait_ms = oldest_ms + rate->window_ms - now_ms;
        status = OWM_E_LIMIT;
    } else {
        slot->at_ms[slot->next] = now_ms;
        slot->next = (slot->next + 1) % rate->events_max;
    }
    pthread_mutex_unlock(&rate->lock);
    return status;
}

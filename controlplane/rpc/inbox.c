/* inbox.c: a list under a lock; see inbox.h. */
#include "inbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/rpc/rpc.h"

struct owm_inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct owm_post *first, **last;
    size_t count, max;
    bool stopping;
};

struct owm_post *owm_post_new(enum owm_event_kind kind)
{
    struct owm_post *post = calloc(1, sizeof(*post));
    if (!post) return NULL;
    post->event.kind = kind;
    post->has_event = true;
    return post;
}

void owm_post_free(struct owm_post *post)
{
    if (!post) return;
    free(post->memory);
    owm_ask_free(post->ask);
    free(post);
}

struct owm_ask *owm_ask_new(void (*answer)(struct owm_ask *, const struct owm_output *), void *ctx,
                            struct owm_rpc_call *call)
{
    struct owm_ask *ask = calloc(1, sizeof(*ask));
    if (!ask) return NULL;
    ask->answer = answer;
    ask->ctx = ctx;
    ask->call = call;
    if (call) owm_rpc_call_ref(call);
    return ask;
}

void owm_ask_free(struct owm_ask *ask)
{
    if (!ask) return;
    if (ask->call) owm_rpc_call_unref(ask->call);
    free(ask->data);
    free(ask);
}

owm_status owm_inbox_open(size_t posts_max, struct owm_inbox **out)
{
    struct owm_inbox *inbox = calloc(1, sizeof(*inbox));
    if (!inbox) return OWM_E_NOMEM;
    pthread_mutex_init(&inbox->lock, NULL);
    owm_cond_init(&inbox->filled);
    inbox->last = &inbox->first;
    inbox->max = posts_max;
    *out = inbox;
    return OWM_OK;
}

void owm_inbox_close(struct owm_inbox *inbox)
{
    if (!inbox) return;
    while (inbox->first) {
        struct owm_post *post = inbox->first;
        inbox->first = post->next;
        if (post->ask) {
            struct owm_ask *ask = post->ask;
            post->ask = NULL;
            ask->answer(ask, NULL);
        }
        owm_post_free(post);
    }
    pthread_cond_destroy(&inbox->filled);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

static owm_status put(struct owm_inbox *inbox, struct owm_post *post, bool own)
{
    owm_status status = OWM_OK;
    post->next = NULL;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->stopping && !own) {
        status = OWM_E_STATE;
    } else if (inbox->count >= inbox->max && !own) {
        status = OWM_E_LIMIT;
    } else {
        bool was_empty = inbox->first == NULL;
        *inbox->last = post;
        inbox->last = &post->next;
        inbox->count++;
        if (was_empty) pthread_cond_signal(&inbox->filled);
    }
    pthread_mutex_unlock(&inbox->lock);
    if (status != OWM_OK) owm_post_free(post);
    return status;
}

owm_status owm_inbox_put(struct owm_inbox *inbox, struct owm_post *post)
{
    return put(inbox, post, false);
}

void owm_inbox_put_own(struct owm_inbox *inbox, struct owm_post *post)
{
    owm_status status = put(inbox, post, true);
    OWM_ASSERT(status == OWM_OK);
}

struct owm_post *owm_inbox_take(struct owm_inbox *inbox, size_t count, unsigned timeout_ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + timeout_ms;
    struct owm_post *list = NULL, **last = &list;
    pthread_mutex_lock(&inbox->lock);
    while (!inbox->first && !inbox->stopping
           && owm_cond_wait(&inbox->filled, &inbox->lock, until_ms))
        continue;
    while (inbox->first && count-- > 0) {
        struct owm_post *post = inbox->first;
        inbox->first = post->next;
        post->next = NULL;
        *last = post;
        last = &post->next;
        inbox->count--;
    }
    if (!inbox->first) inbox->last = &inbox->first;
    pthread_mutex_unlock(&inbox->lock);
    return list;
}

size_t owm_inbox_length(struct owm_inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    size_t count = inbox->count;
    pthread_mutex_unlock(&inbox->lock);
    return count;
}

void owm_inbox_stop(struct owm_inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->stopping = true;
    pthread_cond_broadcast(&inbox->filled);
    pthread_mutex_unlock(&inbox->lock);
}

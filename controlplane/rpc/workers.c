/* workers.c: see workers.h. */
#include "workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct job {
    struct job *next;
    owm_work_fn *fn;
    void *ctx, *arg;
};

struct owm_workers {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, **last;
    size_t count, max;
    bool stopping;
    unsigned threads;
    pthread_t thread[OWM_WORKERS_MAX];
};

static void *work(void *arg)
{
    struct owm_workers *workers = arg;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (!workers->first && !workers->stopping)
            pthread_cond_wait(&workers->filled, &workers->lock);
        struct job *job = workers->first;
        if (!job) break;
        workers->first = job->next;
        if (!workers->first) workers->last = &workers->first;
        workers->count--;
        pthread_mutex_unlock(&workers->lock);
        job->fn(job->ctx, job->arg);
        free(job);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

owm_status owm_workers_open(unsigned threads, size_t jobs_max, struct owm_workers **out)
{
    OWM_ASSERT(threads > 0 && threads <= OWM_WORKERS_MAX);
    struct owm_workers *workers = calloc(1, sizeof(*workers));
    if (!workers) return OWM_E_NOMEM;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->filled, NULL);
    workers->last = &workers->first;
    workers->max = jobs_max;
    for (; workers->threads < threads; workers->threads++)
        if (pthread_create(&workers->thread[workers->threads], NULL, work, workers) != 0) {
            owm_workers_close(workers);
            return OWM_E_NOMEM;
        }
    *out = workers;
    return OWM_OK;
}

void owm_workers_close(struct owm_workers *workers)
{
    if (!workers) return;
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->filled);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->threads; i++) pthread_join(workers->thread[i], NULL);
    pthread_cond_destroy(&workers->filled);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

owm_status owm_workers_run(struct owm_workers *workers, owm_work_fn *fn, void *ctx, void *arg)
{
    struct job *job = malloc(sizeof(*job));
    if (!job) return OWM_E_NOMEM;
    *job = (struct job){NULL, fn, ctx, arg};
    pthread_mutex_lock(&workers->lock);
    bool full = workers->count >= workers->max || workers->stopping;
    if (!full) {
        *workers->last = job;
        workers->last = &job->next;
        workers->count++;
        pthread_cond_signal(&workers->filled);
    }
    pthread_mutex_unlock(&workers->lock);
    if (full) free(job);
    return full ? OWM_E_LIMIT : OWM_OK;
}

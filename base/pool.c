/* pool.c: the fixed thread pool.
 *
 * 1. `turn` is held for a whole owm_pool_for: one job at a time.
 * 2. A thread joins a job only under `lock` while `open` is true, and counts in `inside` until it
 * leaves.
 * 3. The caller closes the job when no chunk is left, then waits for inside == 0; a thread that
 * wakes late finds the job closed and sleeps on. So nobody waits for a thread that has no work.
 */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct job {
    size_t count, grain, chunks;
    owm_pool_fn fn;
    void *ctx;
};

struct thread {
    pthread_t id;
    struct owm_pool *pool;
    unsigned worker;
};

struct owm_pool {
    pthread_mutex_t turn, lock;
    pthread_cond_t work, left;
    struct job job;
    atomic_size_t next_chunk;
    uint64_t generation;
    unsigned inside;
    bool open, stop;
    unsigned threads;
    struct thread helpers[];
};

static void run_chunk(const struct job *job, size_t chunk, unsigned worker)
{
    size_t begin = chunk * job->grain;
    size_t left = job->count - begin;
    job->fn(job->ctx, begin, begin + (left < job->grain ? left : job->grain), worker);
}

static void run_chunks(struct owm_pool *pool, const struct job *job, unsigned worker)
{
    for (;;) {
        size_t chunk = atomic_fetch_add_explicit(&pool->next_chunk, 1, memory_order_relaxed);
        if (chunk >= job->chunks) return;
        run_chunk(job, chunk, worker);
    }
}

static void *helper_main(void *arg)
{
    struct thread *self = arg;
    struct owm_pool *pool = self->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        if (!pool->open || pool->generation == seen) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        seen = pool->generation;
        struct job job = pool->job;
        pool->inside++;
        pthread_mutex_unlock(&pool->lock);
        run_chunks(pool, &job, self->worker);
        pthread_mutex_lock(&pool->lock);
        if (--pool->inside == 0) pthread_cond_signal(&pool->left);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static unsigned usable_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) < 0) return 1;
    int cores = CPU_COUNT(&set);
    return cores < 1 ? 1 : cores > OWM_POOL_THREADS_MAX ? OWM_POOL_THREADS_MAX : (unsigned)cores;
}

owm_status owm_pool_open(unsigned threads, owm_pool **pool_out)
{
    *pool_out = NULL;
    if (threads == 0) threads = usable_cores();
    if (threads > OWM_POOL_THREADS_MAX) return OWM_E_ARG;
    struct owm_pool *pool = calloc(1, sizeof *pool + (threads - 1) * sizeof pool->helpers[0]);
    if (!pool) return OWM_E_NOMEM;
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->left, NULL);
    pool->threads = 1;

    /* Helpers take no signals: those belong to the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (unsigned i = 1; i < threads && !failed; i++) {
        struct thread *helper = &pool->helpers[i - 1];
        helper->pool = pool;
        helper->worker = i;
        failed = pthread_create(&helper->id, NULL, helper_main, helper);
        if (!failed) pool->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        owm_pool_close(pool);
        return OWM_E_NOMEM;
    }
    *pool_out = pool;
    return OWM_OK;
}

void owm_pool_close(owm_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 1; i < pool->threads; i++) pthread_join(pool->helpers[i - 1].id, NULL);
    pthread_cond_destroy(&pool->left);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    free(pool);
}

unsigned owm_pool_threads(const owm_pool *pool)
{
    return pool ? pool->threads : 1;
}

void owm_pool_for(owm_pool *pool, size_t count, size_t grain, owm_pool_fn fn, void *ctx)
{
    if (grain == 0) grain = 1;
    size_t chunks = count / grain + (count % grain != 0);
    struct job job = {.count = count, .grain = grain, .chunks = chunks, .fn = fn, .ctx = ctx};
    if (pool) pthread_mutex_lock(&pool->turn);
    if (!pool || pool->threads == 1 || chunks <= 1) {
        for (size_t i = 0; i < chunks; i++) run_chunk(&job, i, 0);
    } else {
        pthread_mutex_lock(&pool->lock);
        pool->job = job;
        atomic_store_explicit(&pool->next_chunk, 0, memory_order_relaxed);
        pool->generation++;
        pool->open = true;
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
        run_chunks(pool, &job, 0);
        pthread_mutex_lock(&pool->lock);
        pool->open = false;
        while (pool->inside > 0) pthread_cond_wait(&pool->left, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
    }
    if (pool) pthread_mutex_unlock(&pool->turn);
}

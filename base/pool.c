/* pool.c: the fixed thread pool.
 *
 * 1. `turn` is held for a whole owm_pool_for: one job at a time.
 * 2. A thread joins a job only under `lock` while `open` is true, and counts in `inside` until it
 * leaves.
 * 3. The caller closes the job when no chunk is left, then waits for inside == 0; a thread that
 * wakes late finds the job closed and sleeps on. So nobody waits for a thread that has no work.
 * 4. Loops follow each other within microseconds, and waking a thread takes tens of them. So who
 * waits, helper or caller, looks for LOOK_NS at `generation` or `inside` without `lock`, and only
 * then sleeps; what it saw counts only once it has `lock`.
 */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "clock.h"

#define LOOK_NS     50000u
#define LOOK_PAUSES 16u /* between two readings of the clock: up to a microsecond */

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
    atomic_uint generation, inside; /* written under lock */
    bool open, stop;
    bool looks; /* each thread can have a core of its own */
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

static inline void pause_core(void)
{
#if __x86_64__
    __builtin_ia32_pause();
#elif __aarch64__
    __asm__ volatile("yield");
#endif
}

static bool work_is_there(const struct owm_pool *pool, unsigned seen)
{
    return atomic_load_explicit(&pool->generation, memory_order_relaxed) != seen;
}

static bool all_have_left(const struct owm_pool *pool, unsigned unused)
{
    (void)unused;
    return atomic_load_explicit(&pool->inside, memory_order_relaxed) == 0;
}

/* Wait a little for what sleeping would take longer for. */
static inline void look(const struct owm_pool *pool,
                        bool (*there)(const struct owm_pool *, unsigned), unsigned seen)
{
    if (!pool->looks) return;
    uint64_t end_ns = owm_clock_mono_ns() + LOOK_NS;
    do {
        for (unsigned i = 0; i < LOOK_PAUSES; i++) {
            if (there(pool, seen)) return;
            pause_core();
        }
    } while (owm_clock_mono_ns() < end_ns);
}

static void *helper_main(void *arg)
{
    struct thread *self = arg;
    struct owm_pool *pool = self->pool;
    unsigned seen = 0;
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
        pthread_mutex_unlock(&pool->lock);
        look(pool, work_is_there, seen);
        pthread_mutex_lock(&pool->lock);
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

/* Held for some instructions at a time, and who looked comes when it is just being let go: a mutex
 * that tries some times before it sleeps. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(lock, &kind);
    pthread_mutexattr_destroy(&kind);
}

owm_status owm_pool_open(unsigned threads, owm_pool **pool_out)
{
    *pool_out = NULL;
    unsigned cores = usable_cores();
    if (threads == 0) threads = cores;
    if (threads > OWM_POOL_THREADS_MAX) return OWM_E_ARG;
    struct owm_pool *pool = calloc(1, sizeof *pool + (threads - 1) * sizeof pool->helpers[0]);
    if (!pool) return OWM_E_NOMEM;
    pthread_mutex_init(&pool->turn, NULL);
    init_lock(&pool->lock);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->left, NULL);
    pool->threads = 1;
    pool->looks = threads <= cores;

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
        pthread_mutex_unlock(&pool->lock);
        look(pool, all_have_left, 0);
        pthread_mutex_lock(&pool->lock);
        while (pool->inside > 0) pthread_cond_wait(&pool->left, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
    }
    if (pool) pthread_mutex_unlock(&pool->turn);
}

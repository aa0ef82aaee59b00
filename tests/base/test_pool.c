/* test_pool.c: each item once, same chunks on any number of threads, callers take turns, and an
 * idle pool takes no time. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "base/pool.h"
#include "test.h"

#define ITEMS 1000

struct work {
    unsigned hits[ITEMS];
    size_t chunk_end[ITEMS];
    unsigned threads;
};

static void touch(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct work *work = ctx;
    if (worker >= work->threads) abort();
    work->chunk_end[begin] = end;
    for (size_t i = begin; i < end; i++) work->hits[i]++;
}

static void every_item_once_in_the_same_chunks(void **state)
{
    (void)state;
    static const size_t grains[] = {0, 1, 7, 999, 1000, 5000};
    for (unsigned threads = 1; threads <= 4; threads++) {
        owm_pool *pool;
        assert_ok(owm_pool_open(threads, &pool));
        assert_int_equal(owm_pool_threads(pool), threads);
        for (size_t g = 0; g < 6; g++) {
            struct work work = {.threads = threads}, alone = {.threads = 1};
            owm_pool_for(pool, ITEMS, grains[g], touch, &work);
            owm_pool_for(NULL, ITEMS, grains[g], touch, &alone);
            for (int i = 0; i < ITEMS; i++) assert_int_equal(work.hits[i], 1);
            assert_memory_equal(work.chunk_end, alone.chunk_end, sizeof work.chunk_end);
        }
        for (int i = 0; i < 500; i++) {
            struct work work = {.threads = threads};
            owm_pool_for(pool, 16, 1, touch, &work);
            for (int k = 0; k < 16; k++) assert_int_equal(work.hits[k], 1);
        }
        owm_pool_for(pool, 0, 1, touch, NULL);
        owm_pool_close(pool);
    }
    owm_pool *pool;
    assert_int_equal(owm_pool_open(OWM_POOL_THREADS_MAX + 1, &pool), OWM_E_ARG);
    owm_pool_close(NULL);
}

static void *caller(void *pool)
{
    for (int i = 0; i < 200; i++) {
        struct work work = {.threads = owm_pool_threads(pool)};
        owm_pool_for(pool, 64, 3, touch, &work);
        for (int k = 0; k < 64; k++)
            if (work.hits[k] != 1) return pool;
    }
    return NULL;
}

static void callers_take_turns(void **state)
{
    (void)state;
    owm_pool *pool;
    pthread_t ids[3];
    assert_ok(owm_pool_open(3, &pool));
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&ids[i], NULL, caller, pool), 0);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(ids[i], &failed);
        assert_null(failed);
    }
    owm_pool_close(pool);
}

static uint64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* A loop finds the helpers busy, looking, falling asleep or asleep. */
static void loops_at_any_distance(void **state)
{
    (void)state;
    owm_pool *pool;
    assert_ok(owm_pool_open(0, &pool));
    for (uint64_t apart_ns = 0; apart_ns < 100000; apart_ns += 500) {
        uint64_t begin = owm_clock_mono_ns();
        while (owm_clock_mono_ns() < begin + apart_ns) {
        }
        struct work work = {.threads = owm_pool_threads(pool)};
        owm_pool_for(pool, 64, 1, touch, &work);
        for (int k = 0; k < 64; k++) assert_int_equal(work.hits[k], 1);
    }
    owm_pool_close(pool);
}

static void sleep_chunk(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)ctx, (void)begin, (void)end, (void)worker;
    owm_clock_sleep_ms(1); /* so that each thread gets one */
}

/* What a loop without work costs, with what comes after it; the least of some. */
static uint64_t cost_ns(unsigned threads, uint32_t idle_ms)
{
    owm_pool *pool;
    uint64_t least = UINT64_MAX;
    assert_ok(owm_pool_open(threads, &pool));
    for (int i = 0; i < 10; i++) {
        uint64_t before = cpu_ns();
        owm_pool_for(pool, threads, 1, sleep_chunk, NULL);
        owm_clock_sleep_ms(idle_ms);
        uint64_t spent = cpu_ns() - before;
        least = spent < least ? spent : least;
    }
    owm_pool_close(pool);
    return least;
}

static void an_idle_pool_sleeps(void **state)
{
    (void)state;
    assert_true(cost_ns(2, 20) < 1000000);
}

/* Eight that looked would take 50 us each. */
static void threads_without_a_core_do_not_look(void **state)
{
    (void)state;
    cpu_set_t before, one;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    uint64_t cost = cost_ns(9, 2);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_true(cost < 350000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once_in_the_same_chunks),
        cmocka_unit_test(callers_take_turns),
        cmocka_unit_test(loops_at_any_distance),
        cmocka_unit_test(an_idle_pool_sleeps),
        cmocka_unit_test(threads_without_a_core_do_not_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

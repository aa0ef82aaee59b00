/* test_pool.c: each item once, same chunks on any number of threads, callers take turns. */
#include <pthread.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once_in_the_same_chunks),
        cmocka_unit_test(callers_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

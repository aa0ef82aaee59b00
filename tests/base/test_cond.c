/* test_cond.c: a wait ends at its time, and at once when it is signalled. */
#include "base/clock.h"
#include "base/cond.h"
#include "test.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;
static bool told;

static void *tell(void *ctx)
{
    (void)ctx;
    owm_clock_sleep_ms(20);
    pthread_mutex_lock(&lock);
    told = true;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void test_time_comes(void **state)
{
    (void)state;
    const uint64_t until_ms = owm_clock_mono_ms() + 30;
    pthread_mutex_lock(&lock);
    while (owm_cond_wait(&cond, &lock, until_ms)) continue;
    assert_true(owm_clock_mono_ms() >= until_ms);
    assert_false(owm_cond_wait(&cond, &lock, 0)); /* It is long past. */
    pthread_mutex_unlock(&lock);
}

static void test_signalled(void **state)
{
    (void)state;
    pthread_t thread;
    const uint64_t until_ms = owm_clock_mono_ms() + 60000;
    assert_int_equal(pthread_create(&thread, NULL, tell, NULL), 0);
    pthread_mutex_lock(&lock);
    while (!told && owm_cond_wait(&cond, &lock, until_ms)) continue;
    pthread_mutex_unlock(&lock);
    assert_true(told && owm_clock_mono_ms() < until_ms);
    pthread_join(thread, NULL);
}

int main(void)
{
    owm_cond_init(&cond);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_comes),
        cmocka_unit_test(test_signalled),
    };
    return cmocka_run_group_tests_name("cond", tests, NULL, NULL);
}

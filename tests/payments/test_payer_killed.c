/* test_payer_killed.c: kill -9 of the payer between any two of its steps, some hundred times, and
 * at random moments: no payment is made twice, and none is lost (promise 1). */
#include "world.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define PAYMENTS   400
#define CALM_AFTER 120 /* lives; then nobody is killed any more */
#define LIVES_MAX  (CALM_AFTER + 5)

/* A life of the payer: until it kills itself at a step, or we do. */
static void one_life(struct world *world, int life)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        world->pg = world->pool = NULL; /* the parent's connections */
        if (owm_metrics_open(0, &world->metrics) != OWM_OK) _exit(1);
        world->options.metrics = world->metrics;
        if (owm_pay_open(&world->options, &world->pay) != OWM_OK) _exit(1);
        for (;;) pause();
    }
    bool last = life >= CALM_AFTER;
    uint64_t end_ms = owm_clock_mono_ms() + (last ? 10000 : 20 + (unsigned)(life * 37 % 150));
    while (owm_clock_mono_ms() < end_ms && waitpid(child, NULL, WNOHANG) == 0) {
        owm_clock_sleep_ms(5);
        if (world_number(world->pg, "SELECT count(*) FROM payments WHERE state <> 'settled'") == 0)
            break;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_killed(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[4][16];
    int64_t msat;
    world_open(&world, "killed");
    for (unsigned i = 0; i < 3; i++) world_key_node(&world, i, node[i]);
    world_node(&world, "", "frank@example.com", node[3]);
    for (int i = 0; i < PAYMENTS; i++) world_owe(&world, node[i % 4], 10000 + i);
    atomic_store(&fake->fail_percent, 10);
    atomic_store(&fake->slow_ms, 15);
    atomic_store(&fake->die_one_in, 10);
    int lives = 0;
    for (; lives < LIVES_MAX; lives++) {
        if (lives == CALM_AFTER) atomic_store(&fake->die_one_in, 0);
        if (world_number(world.pg, "SELECT count(*) FROM payments WHERE state <> 'settled'") == 0)
            break;
        one_life(&world, lives);
    }
    printf("%d lives, %u of them ended between two steps, %lld attempts\n", lives, fake->deaths,
           (long long)world_number(world.pg, "SELECT count(*) FROM payment_attempts"));
    assert_true(fake->deaths > 20);
    assert_int_equal(fake_paid(&msat), PAYMENTS);
    assert_int_equal(msat, world_number(world.pg, "SELECT sum(amount_msat) FROM payments"));
    world_sound(&world);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_killed))

/* test_payer_killed.c: kill -9 of the payer between any two of its steps, again and again, and at
 * random moments: no payment is made twice, and none is lost (promise 1).
 * tests/interop/lightning/backend_killed.c does the same with real nodes. SRS-LN-05 */
#include "base/clock.h"
#include "fake_world.h"
#include "killed.h"

#define PAYMENTS   400
#define CALM_AFTER 120   /* lives; then nobody is killed any more */
#define TIMES_MAX  9     /* a life ends at the latest when it came to its step so often */
#define LIFE_MS    10000 /* that a life waits for its step */

static int64_t unsettled(struct world *world)
{
    return world_number(world->pg, "SELECT count(*) FROM payments WHERE state <> 'settled'");
}

/* A life of the payer: until it kills itself at a step, or, every fourteenth time, we do. */
static void one_life(struct world *world, unsigned life)
{
    bool last = life >= CALM_AFTER;
    unsigned step = last ? KILLED_NEVER : life % (KILLED_STEPS + 1);
    bool random = !last && step == KILLED_NEVER;
    uint64_t end_ms = owm_clock_mono_ms() + (random ? 20 + life * 37 % 150 : LIFE_MS);
    pid_t payer =
        killed_begin(world, (enum killed_step)step, 1 + life / (KILLED_STEPS + 1) % TIMES_MAX);
    while (owm_clock_mono_ms() < end_ms && !killed_ended(payer) && unsettled(world) > 0)
        owm_clock_sleep_ms(5);
    killed_end(payer);
}

static void test_killed(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[4][16];
    int64_t msat;
    unsigned lives = 0, deaths = 0;
    world_open(&world, "killed");
    for (unsigned i = 0; i < 3; i++) world_key_node(&world, i, node[i]);
    world_node(&world, "", "frank@example.com", node[3]);
    for (int i = 0; i < PAYMENTS; i++) world_owe(&world, node[i % 4], 10000 + i);
    atomic_store(&fake->fail_percent, 10);
    atomic_store(&fake->slow_ms, 15);
    while (unsettled(&world) > 0 && lives <= CALM_AFTER) one_life(&world, lives++);
    for (int step = 0; step < KILLED_STEPS; step++) {
        unsigned here = killed_deaths((enum killed_step)step);
        printf("%3u: %s\n", here, killed_at((enum killed_step)step));
        deaths += here;
        assert_true(here > 0);
    }
    printf("%u lives, %u of them ended between two steps, %lld attempts\n", lives, deaths,
           (long long)world_number(world.pg, "SELECT count(*) FROM payment_attempts"));
    assert_int_equal(fake_paid(&msat), PAYMENTS);
    assert_int_equal(msat, world_number(world.pg, "SELECT sum(amount_msat) FROM payments"));
    world_sound(&world);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_killed))

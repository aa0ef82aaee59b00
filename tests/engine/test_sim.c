/* test_sim.c: the simulator as a test: SRS-COORD-03, SRS-SCHED-01..04, TST-02, TST-03, invariants
 * I1 to I18 (state.h of the engine, store.c); SRS-STAKE-02, 03, 04, 08 under faults.
 *
 *   test_sim                      a few seeds, each planted fault, the same run twice
 *   test_sim --seed N             replay one seed
 *   test_sim --seeds N [--from M] soak
 *   test_sim --plant I [--seed N] show that the checker of invariant I fails
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define SEEDS_DEFAULT 12
#define SEEDS_BRIEF   3

static struct sim all; /* sums over the runs without a planted fault */

static struct sim_config story(uint64_t seed)
{
    return (struct sim_config){.seed = seed, .nodes = 1000, .faulty_ms = 240000, .heal_ms = 180000};
}

static void print_run(const struct sim *sim)
{
    uint32_t complete = 0;
    for (size_t i = 0; i < sim->store.round_count; i++)
        complete += sim->store.round[i].state == OWM_ROUND_COMPLETE;
    printf("seed %llu: %llu steps (%.0f/s), %llu messages, %llu crashes, %llu outages, %zu tasks "
           "(%llu completed), rounds %u of %zu, %zu payables, %zu signals; nodes: %llu degraded, "
           "%llu suspended for it, %llu left, %llu slashed, %llu reinstated\n",
           (unsigned long long)sim->config.seed, (unsigned long long)sim->steps,
           (double)sim->steps * 1e9 / (double)(sim->step_ns + 1), (unsigned long long)sim->messages,
           (unsigned long long)sim->crashes, (unsigned long long)sim->outages,
           sim->store.task_count, (unsigned long long)sim->store.completions, complete,
           sim->store.round_count, sim->store.payable_count, sim->store.signal_count,
           (unsigned long long)sim->degraded, (unsigned long long)sim->unstaked,
           (unsigned long long)sim->left, (unsigned long long)sim->slashed,
           (unsigned long long)sim->reinstated);
    fflush(stdout);
}

/* A run without a planted fault. Returns the digest of all effects, 0 on a violation. */
static uint64_t run_clean(const struct sim_config *config)
{
    struct sim sim;
    sim_run(&sim, config);
    print_run(&sim);
    uint64_t digest = sim.store.digest | 1;
    if (sim.store.violation[0]) {
        printf("FAILED after %lld ms: %s\n  replay: test_sim --seed %llu\n",
               (long long)(sim.now_ms - 1700000000000), sim.store.violation,
               (unsigned long long)config->seed);
        digest = 0;
    }
    all.degraded += sim.degraded;
    all.unstaked += sim.unstaked;
    all.left += sim.left;
    all.slashed += sim.slashed;
    all.reinstated += sim.reinstated;
    sim_free(&sim);
    return digest;
}

/* A planted fault must be found, by the checker it was made for. `digest`: of the clean run. */
static bool run_planted(struct sim_config config, int plant, uint64_t digest)
{
    config.plant = plant;
    struct sim sim;
    sim_run(&sim, &config);
    char name[8];
    snprintf(name, sizeof(name), "I%d:", plant);
    bool found = strncmp(sim.store.violation, name, strlen(name)) == 0;
    if (plant == 10) found = (sim.store.digest | 1) != digest && !sim.store.violation[0];
    printf("planted fault %d: %s%s\n", plant,
           found ? "found" : "NOT FOUND: ", found ? "" : sim.store.violation);
    if (!sim.planted) printf("  (it never came to be planted)\n");
    sim_free(&sim);
    return found;
}

static bool run_default(void)
{
    bool good = true, brief = getenv("OWM_TEST_SMALL") != NULL; /* under a slow sanitizer */
    for (uint64_t seed = 1; seed <= (brief ? SEEDS_BRIEF : SEEDS_DEFAULT); seed++) {
        struct sim_config config = story(seed);
        good = run_clean(&config) != 0 && good;
    }
    struct sim_config small = story(77);
    small.nodes = 120;
    small.faulty_ms = 60000;
    uint64_t digest = run_clean(&small);
    bool same = digest != 0 && digest == run_clean(&small); /* I10 */
    if (!same) printf("FAILED: I10: two runs of one seed differ\n");
    good = good && same;
    /* They try the checkers, not the engine. */
    for (int plant = PLANT_FIRST; !brief && plant <= PLANT_LAST; plant++)
        good = run_planted(small, plant, digest) && good;
    bool tested = all.degraded && all.unstaked && all.left && all.slashed && all.reinstated;
    if (!tested) printf("FAILED: something never happened to any node, so it was not tested\n");
    return good && tested;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    uint64_t seeds = 0;
    int plant = 0;
    if (argc % 2 == 0) {
        fprintf(stderr, "usage: test_sim [--seed N | --seeds N [--from M] | --plant I]\n");
        return 2;
    }
    if (argc == 1) return run_default() ? 0 : 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) seed = value, seeds = 1;
        if (strcmp(argv[i], "--from") == 0) seed = value;
        if (strcmp(argv[i], "--seeds") == 0) seeds = value;
        if (strcmp(argv[i], "--plant") == 0) plant = (int)value;
    }
    struct sim_config config = story(seed);
    if (plant) return run_planted(config, plant, 0) ? 0 : 1;
    bool good = true;
    for (uint64_t i = 0; i < seeds; i++) {
        config = story(seed + i);
        good = run_clean(&config) != 0 && good;
    }
    return good ? 0 : 1;
}

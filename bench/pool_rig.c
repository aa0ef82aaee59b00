/* pool_rig.c: opening the pool on loopback, and reading what it uses. */
#include "pool_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SHARE_PLACES (1u << 23) /* Of each loop: more than a run of seconds accepts. */
#define ACKS_MAX     (1u << 20)

/** Clocks of the loops' threads, kept by each at its start. */
static clockid_t loop_clock[RIG_LOOPS_MAX];
static atomic_uint loop_clocks;

static owm_status start(void *ctx, struct owm_net_loop *loop, struct owm_error *error)
{
    unsigned i = atomic_fetch_add(&loop_clocks, 1);
    OWM_ASSERT(i < RIG_LOOPS_MAX);
    if (pthread_getcpuclockid(pthread_self(), &loop_clock[i]))
        return owm_fail(error, OWM_E_STATE, "a thread without a clock");
    return owm_pool_loop_handler.start(ctx, loop, error);
}

static owm_status open_loop(struct pool_rig *rig, unsigned i, uint32_t connections,
                            struct owm_error *error)
{
    struct owm_pool_loop_options options = {
        .credentials = &rig->world->credentials,
        .admission = {.burst = 10000000, .per_s = 1e7, .connections_per_address = connections},
    };
    char folder[160];
    snprintf(folder, sizeof folder, "%s/rig", rig->world->folder);
    owm_status status = pool_world_hall(rig->world, connections, &options.hall, error);
    if (status != OWM_OK) return status;
    rig->device[i] = options.hall.device;
    options.hall.loop = i;
    options.hall.share_table = SHARE_PLACES;
    options.hall.acks_max = ACKS_MAX;
    options.journal_folder = folder;
    return owm_pool_loop_open(&options, &rig->loop[i], error);
}

static owm_status listen_now(struct pool_rig *rig, uint32_t connections, struct owm_error *error)
{
    static struct owm_net_handler handler;
    void *ctx[RIG_LOOPS_MAX];
    handler = owm_pool_loop_handler;
    handler.start = start;
    atomic_store(&loop_clocks, 0);
    for (unsigned i = 0; i < rig->loops; i++) ctx[i] = rig->loop[i];
    return owm_net_open(&(struct owm_net_options){.bind = "127.0.0.1",
                                                  .port_key = "owm-bench",
                                                  .loops = rig->loops,
                                                  .connections_max = connections,
                                                  .handler = &handler,
                                                  .ctx = ctx},
                        &rig->net, error);
}

owm_status rig_open(struct pool_rig *rig, struct pool_world *world, unsigned loops,
                    uint32_t connections, struct owm_error *error)
{
    double ms;
    /* The kernel spreads connections over the loops by chance. */
    uint32_t each = loops > 1 ? connections / loops * 2 + 64 : connections + 64;
    *rig = (struct pool_rig){.world = world, .loops = loops ? loops : 1};
    owm_status status = OWM_OK;
    if (rig->loops > RIG_LOOPS_MAX) return owm_fail(error, OWM_E_ARG, "too many loops");
    for (unsigned i = 0; status == OWM_OK && i < rig->loops; i++)
        status = open_loop(rig, i, each, error);
    if (status == OWM_OK) status = rig_post(rig, &ms, error);
    return status == OWM_OK ? listen_now(rig, each, error) : status;
}

void rig_close(struct pool_rig *rig)
{
    owm_net_close(rig->net);
    for (unsigned i = 0; i < rig->loops; i++) {
        owm_pool_loop_close(rig->loop[i]);
        if (rig->device[i]) rig->device[i]->backend->close(rig->device[i]);
    }
}

owm_status rig_post(struct pool_rig *rig, double *ms, struct owm_error *error)
{
    struct owm_work *work;
    owm_status status = pool_world_work(rig->world, &work, error);
    if (status != OWM_OK) return status;
    *ms = (double)owm_clock_mono_ns() / 1e6;
    for (unsigned i = 0; status == OWM_OK && i < rig->loops; i++)
        status = owm_pool_loop_post_work(rig->loop[i], work);
    owm_work_release(work);
    return status;
}

static double clock_s(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%*s %lu", &pages) != 1) pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

void rig_used(const struct pool_rig *rig, struct rig_used *used)
{
    *used = (struct rig_used){.all_s = clock_s(CLOCK_PROCESS_CPUTIME_ID),
                              .resident_bytes = resident_bytes()};
    for (unsigned i = 0; i < rig->loops; i++) {
        struct owm_net_stats net;
        struct owm_journal_stats journal;
        const struct owm_pool_stats *stats = owm_pool_loop_stats(rig->loop[i]);
        owm_net_loop_stats(rig->net, i, &net);
        owm_journal_stats_get(owm_pool_loop_journal(rig->loop[i]), &journal);
        used->loops_s += clock_s(loop_clock[i]);
        used->touched_bytes += (double)net.memory_touched_bytes;
        used->accepted += owm_counted(&stats->accepted);
        used->handshakes += owm_counted(&stats->handshakes);
        used->syscalls += net.syscalls;
        used->batches += journal.batches;
        used->sync_ns += journal.sync_ns_total;
    }
}

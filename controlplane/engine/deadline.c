/* deadline.c: when a round stops waiting: min(hard, median + k x MAD) of recent delivery times.
 *
 * Median and median absolute deviation do not move when a few nodes are very slow or claim to be
 * very fast, as mean and deviation would. The hard deadline is a timer: silence cannot move it.
 */
#include "state.h"

#include <stdlib.h>

void deadline_note(owm_engine *e, int64_t offset_ms)
{
    e->arrival[e->arrival_next] = offset_ms < 0 ? 0 : offset_ms;
    e->arrival_next = (e->arrival_next + 1) % ARRIVALS_KEPT;
    if (e->arrival_count < ARRIVALS_KEPT) e->arrival_count++;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The upper one of the two middle values where the count is even. */
static int64_t median(int64_t *values, uint32_t count)
{
    qsort(values, count, sizeof(values[0]), ascending);
    return values[count / 2];
}

int64_t deadline_soft_ms(const owm_engine *e, int64_t started_ms, int64_t hard_ms)
{
    if (e->arrival_count < ARRIVALS_NEEDED) return hard_ms;
    int64_t values[ARRIVALS_KEPT];
    for (uint32_t i = 0; i < e->arrival_count; i++) values[i] = e->arrival[i];
    int64_t middle = median(values, e->arrival_count);
    for (uint32_t i = 0; i < e->arrival_count; i++) values[i] = llabs(values[i] - middle);
    int64_t spread = median(values, e->arrival_count);
    int64_t wait_ms = middle + spread * (int64_t)e->config.rounds.deadline_mad_milli / 1000;
    if (wait_ms < e->config.rounds.deadline_min_ms) wait_ms = e->config.rounds.deadline_min_ms;
    int64_t soft_ms = started_ms + wait_ms;
    return soft_ms < hard_ms ? soft_ms : hard_ms;
}

/* timers.c: a wheel of lists. */
#include "timers.h"

#include <stdlib.h>
#include <string.h>

owm_status owm_timers_open(uint32_t count, int64_t now_ms, struct owm_timers *timers)
{
    *timers = (struct owm_timers){.count = count, .turned_ms = now_ms};
    timers->after = malloc(count * sizeof *timers->after);
    timers->before = malloc(count * sizeof *timers->before);
    timers->step = malloc(count);
    if (!timers->after || !timers->before || !timers->step) {
        owm_timers_close(timers);
        return OWM_E_NOMEM;
    }
    memset(timers->step, OWM_TIMERS_STEPS, count);
    for (int i = 0; i < OWM_TIMERS_STEPS; i++) timers->first[i] = OWM_TIMER_NONE;
    return OWM_OK;
}

void owm_timers_close(struct owm_timers *timers)
{
    free(timers->after);
    free(timers->before);
    free(timers->step);
    *timers = (struct owm_timers){0};
}

void owm_timers_clear(struct owm_timers *timers, uint32_t timer)
{
    OWM_ASSERT(timer < timers->count);
    uint8_t step = timers->step[timer];
    if (step == OWM_TIMERS_STEPS) return;
    uint32_t before = timers->before[timer], after = timers->after[timer];
    if (before == OWM_TIMER_NONE)
        timers->first[step] = after;
    else
        timers->after[before] = after;
    if (after != OWM_TIMER_NONE) timers->before[after] = before;
    timers->step[timer] = OWM_TIMERS_STEPS;
}

static uint8_t step_of(int64_t time_ms)
{
    return (uint8_t)((uint64_t)time_ms / OWM_TIMERS_STEP_MS % OWM_TIMERS_STEPS);
}

void owm_timers_set(struct owm_timers *timers, uint32_t timer, int64_t due_ms)
{
    int64_t reach_ms = (int64_t)OWM_TIMERS_STEP_MS * (OWM_TIMERS_STEPS - 2);
    owm_timers_clear(timers, timer);
    due_ms += OWM_TIMERS_STEP_MS - 1; /* Never early within the wheel's reach. */
    if (due_ms < timers->turned_ms + OWM_TIMERS_STEP_MS)
        due_ms = timers->turned_ms + OWM_TIMERS_STEP_MS;
    if (due_ms > timers->turned_ms + reach_ms) due_ms = timers->turned_ms + reach_ms;
    uint8_t step = step_of(due_ms);
    uint32_t first = timers->first[step];
    timers->step[timer] = step;
    timers->before[timer] = OWM_TIMER_NONE;
    timers->after[timer] = first;
    if (first != OWM_TIMER_NONE) timers->before[first] = timer;
    timers->first[step] = timer;
}

uint32_t owm_timers_due(struct owm_timers *timers, int64_t now_ms)
{
    while (timers->turned_ms <= now_ms) {
        uint32_t timer = timers->first[step_of(timers->turned_ms)];
        if (timer != OWM_TIMER_NONE) {
            owm_timers_clear(timers, timer);
            return timer;
        }
        timers->turned_ms += OWM_TIMERS_STEP_MS;
    }
    return OWM_TIMER_NONE;
}

int64_t owm_timers_next_ms(const struct owm_timers *timers)
{
    return timers->turned_ms;
}

/* timers.h: one timer for each of a fixed number of things, in a wheel of half seconds.
 *
 * A timer that is further away than the wheel reaches comes due early; whoever it belongs to looks
 * at its true deadline and sets it again. So setting one again and again (an idle timer at each
 * share) is not needed: the deadline is a field, the timer comes round. Thread: one loop.
 */
#ifndef OWM_POOL_TIMERS_H
#define OWM_POOL_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_TIMERS_STEP_MS 500
#define OWM_TIMERS_STEPS   64 /* The wheel reaches 32 s. */
#define OWM_TIMER_NONE     UINT32_MAX

struct owm_timers {
    uint32_t first[OWM_TIMERS_STEPS];
    uint32_t *after, *before; /* [count] */
    uint8_t *step;            /* [count]; OWM_TIMERS_STEPS: not set. */
    uint32_t count;
    int64_t turned_ms; /* Everything before this was looked at. */
};

/** owm_timers_open: timers 0 .. count - 1, none set. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_timers_open(uint32_t count, int64_t now_ms, struct owm_timers *timers);
void owm_timers_close(struct owm_timers *timers);

/** owm_timers_set: due at due_ms or, if that is far, earlier; replaces what was set. */
void owm_timers_set(struct owm_timers *timers, uint32_t timer, int64_t due_ms);
void owm_timers_clear(struct owm_timers *timers, uint32_t timer);

/** owm_timers_due: take one that is due (it is then not set); OWM_TIMER_NONE when there is none. */
uint32_t owm_timers_due(struct owm_timers *timers, int64_t now_ms);

/** owm_timers_next_ms: when to look again. */
int64_t owm_timers_next_ms(const struct owm_timers *timers);

#endif

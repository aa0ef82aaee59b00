/* clock.h: time. Monotonic for durations and deadlines, wall for what people and signatures see. */
#ifndef OWM_BASE_CLOCK_H
#define OWM_BASE_CLOCK_H

#include <stdint.h>

/** owm_clock_mono_ns: nanoseconds since an arbitrary start; never goes back. Thread: any. */
uint64_t owm_clock_mono_ns(void);
uint64_t owm_clock_mono_ms(void);

/** owm_clock_wall_ms: milliseconds since 1970-01-01 UTC; may jump. Thread: any. */
int64_t owm_clock_wall_ms(void);

/** owm_clock_sleep_ms: sleep at least this long, signals notwithstanding. */
void owm_clock_sleep_ms(uint32_t duration_ms);

#endif

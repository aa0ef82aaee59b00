/* clock.c: time from clock_gettime. */
#include "clock.h"

#include <errno.h>
#include <time.h>

uint64_t owm_clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t owm_clock_mono_ms(void)
{
    return owm_clock_mono_ns() / 1000000u;
}

int64_t owm_clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void owm_clock_sleep_ms(uint32_t duration_ms)
{
    uint64_t end_ns = owm_clock_mono_ns() + (uint64_t)duration_ms * 1000000u;
    struct timespec until = {.tv_sec = (time_t)(end_ns / 1000000000u),
                             .tv_nsec = (long)(end_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

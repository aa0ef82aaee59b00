/* peak.h: loops that keep one pipe of a processor busy and do nothing else. */
#ifndef OWM_BENCH_PEAK_H
#define OWM_BENCH_PEAK_H

#include "bench.h"

struct bench_pipe_loop {
    owm_pool_fn run;   /* some milliseconds of it, whatever the range */
    double operations; /* in one run */
};

/** bench_pipe_loop: NULL where this processor lacks the pipe or the system refuses it. */
const struct bench_pipe_loop *bench_pipe_loop(enum bench_pipe pipe);

#endif

/* benchmark.h: how fast the devices scan, through the same engine that mines, without a pool. */
#ifndef OWM_MINER_BENCHMARK_H
#define OWM_MINER_BENCHMARK_H

#include "options.h"

/** benchmark_run: scan a header that has no hits for options->seconds (0: 10) and print rates.
 *  Returns: as owm_mine_engine_open; OWM_E_DEVICE when a device failed. */
OWM_MUST_USE owm_status benchmark_run(const struct options *options, struct owm_error *error);

#endif

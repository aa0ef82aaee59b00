/* telemetry.h: temperature, fan and power of NVIDIA GPUs, where NVML, the driver's, tells. */
#ifndef OWM_MINER_TELEMETRY_H
#define OWM_MINER_TELEMETRY_H

#include <stdbool.h>

struct telemetry; /* The opened library. */

/** telemetry_reading: -1 in a field: not told. */
struct telemetry_reading {
    int temperature_c, fan_percent, power_w;
};

/** telemetry_open: NULL when there is no driver: then nothing is shown. */
struct telemetry *telemetry_open(void);
void telemetry_close(struct telemetry *telemetry); /* NULL is allowed. */

/** telemetry_read: of CUDA device `index` in the order of the bus (main sets CUDA_DEVICE_ORDER).
 *  false: nothing to show. telemetry may be NULL. */
bool telemetry_read(struct telemetry *telemetry, unsigned index, struct telemetry_reading *reading);

#endif

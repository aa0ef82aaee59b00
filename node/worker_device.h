/* worker_device.h: what a worker computes on, and the order in which device and fences come up.
 *
 *     cpu   fences, then the device.
 *     GPU   what can be given up at once; driver, device, self-test; lower fences (sandbox.h); the
 *           self-test again, since a driver may not work behind them. Then, and only then, tasks.
 *     auto  the same for each plug-in in a child process that tries and ends, so that a machine
 *           where no GPU works gets the cpu with its full fences; the reasons are logged.
 *
 * Any other word is refused: nothing but "cuda" and "hip" is ever behind the lower fences.
 */
#ifndef OWM_NODE_WORKER_DEVICE_H
#define OWM_NODE_WORKER_DEVICE_H

#include "node/sandbox.h"
#include "node/worker_job.h"

struct worker_device_options {
    const char *backend; /* auto, cuda, hip, cpu */
    int device;
    unsigned threads;
    uint64_t memory_bytes_max; /* 0: no limit */
};

/** worker_device_open: worker->pool and worker->device, behind the fences.
 *  Thread: the process must have one thread only.
 *  Returns: as owm_device_open and owm_sandbox_enter;
 *  OWM_E_ARG another word. On failure the process must exit. */
OWM_MUST_USE owm_status worker_device_open(struct worker *worker,
                                           const struct worker_device_options *options,
                                           struct owm_sandbox_report *report,
                                           struct owm_error *error);

/** worker_device_describe: "cuda device 0 (NVIDIA H200, sm_90); fences": the first word is the
 *  backend. */
void worker_device_describe(const struct worker *worker, const struct owm_sandbox_report *report,
                            char text[static OWM_WORKER_TEXT_BYTES_MAX]);

#endif

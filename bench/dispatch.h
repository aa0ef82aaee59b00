/* dispatch.h: how long a task takes from the asker to a node's stream (SRS-PERF-09). */
#ifndef OWM_BENCH_DISPATCH_H
#define OWM_BENCH_DISPATCH_H

#include "sim_node.h"

struct dispatch_config {
    struct owm_rpc_client *operator_rpc; /* To the internal service. */
    struct sim_fleet *fleet;             /* Registered. */
    unsigned workers;                    /* Nodes that open a stream and answer. */
    unsigned tasks;
    unsigned interval_ms; /* Between two submissions. */
};

/** dispatch_run: submit `tasks`, one every interval, and have nodes answer each.
 *  latency_ms  [tasks]; written: from the call of SubmitTask to the task on a node's stream.
 *  count       how many were measured (all, on OWM_OK).
 *  Returns: OWM_E_TIMEOUT when a task did not arrive within 30 s; OWM_E_STATE a refusal. */
owm_status dispatch_run(const struct dispatch_config *config, double *latency_ms, size_t *count,
                        struct owm_error *error) OWM_MUST_USE;

#endif

/* doctor.h: look for what keeps this machine from earning, before and while it runs.
 * Each finding has a severity, a cause and the exact fix. */
#ifndef OWM_NODE_DOCTOR_H
#define OWM_NODE_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "node/config.h"

#define DOCTOR_FINDINGS_MAX 32

enum doctor_severity { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor_finding {
    enum doctor_severity severity;
    char check[32]; /* "tier" */
    char what[OWM_ERROR_BYTES_MAX];
    char fix[OWM_ERROR_BYTES_MAX]; /* "" for OK */
};

struct doctor_report {
    struct doctor_finding finding[DOCTOR_FINDINGS_MAX];
    size_t count;
};

/** doctor_run: all checks on a checked config. Changes nothing; starts one worker for a moment and
 *  says Hello to the coordinator. */
void doctor_run(const struct owm_node_config *config, struct doctor_report *report);

/** doctor_print: for people, or as JSON. Returns whether there is no error among the findings. */
bool doctor_print(const struct doctor_report *report, bool json, FILE *out);

#endif

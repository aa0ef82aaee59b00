/* report.h: one line for each file: a sentence for people, or a JSON object. */
#ifndef OWM_OTS_REPORT_H
#define OWM_OTS_REPORT_H

#include <jansson.h>

#include "dataplane/ots/verify.h"
#include "options.h"

/** report: "FILE: SENTENCE", or {"file", "outcome", "text", …details}.
 *  details  Takes; NULL: none. */
void report(const struct options *options, const char *file, const char *outcome,
            const char *sentence, json_t *details);

/** report_failure: outcome "failed". Returns: EXIT_FAILED. */
int report_failure(const struct options *options, const char *file, const struct owm_error *error);

/** report_verdict: pending, confirmed, or fails. Returns: the exit code. */
int report_verdict(const struct options *options, const char *file,
                   const struct owm_ots_verdict *verdict);

/** report_worse: of two exit codes the one that weighs more: failed, pending, done. */
int report_worse(int a, int b);

#endif

/* workers.h: threads for what would hold up an RPC thread or the engine: files, checks, questions
 * to the database. First come, first served; bounded. */
#ifndef OWM_RPC_WORKERS_H
#define OWM_RPC_WORKERS_H

#include "base/status.h"

#define OWM_WORKERS_MAX 64

struct owm_workers;
typedef void owm_work_fn(void *ctx, void *arg);

OWM_MUST_USE owm_status owm_workers_open(unsigned threads, size_t jobs_max,
                                         struct owm_workers **workers);

/** owm_workers_close: finish what runs and what waits, then join. NULL is allowed. */
void owm_workers_close(struct owm_workers *workers);

/** owm_workers_run: Returns: OWM_OK; OWM_E_LIMIT jobs_max wait; OWM_E_NOMEM. fn does not run then.
 */
OWM_MUST_USE owm_status owm_workers_run(struct owm_workers *workers, owm_work_fn *fn, void *ctx,
                                        void *arg);

#endif

/* pool.h: a fixed set of threads and one parallel loop, for kernels.
 *
 * Partition: chunk i is [i * grain, min(count, (i + 1) * grain)) whatever the number of threads, so
 * a loop whose chunks write disjoint places gives the same bits on one thread and on many. Which
 * thread takes a chunk is not fixed.
 *
 * Waiting: a thread that has run out of chunks looks for the next loop, and a caller for the end of
 * its own, for up to 50 us before it sleeps. So loops that follow each other wake nobody, and an
 * idle pool takes no time. A pool with more threads than cores this process may use sleeps at once.
 */
#ifndef OWM_BASE_POOL_H
#define OWM_BASE_POOL_H

#include <stddef.h>

#include "status.h"

#define OWM_POOL_THREADS_MAX 256

typedef struct owm_pool owm_pool;

/** owm_pool_fn: work on items [begin, end) of one chunk. `worker` < owm_pool_threads(): index for
 *  per-thread scratch; the same index never runs twice at once. Must not call owm_pool_for. */
typedef void (*owm_pool_fn)(void *ctx, size_t begin, size_t end, unsigned worker);

/** owm_pool_open: start `threads` - 1 threads; the caller of owm_pool_for is the last one.
 *
 *  threads  1..OWM_POOL_THREADS_MAX; 0: the cores this process may use.
 *  Returns: OWM_OK; OWM_E_ARG; OWM_E_NOMEM no memory or no thread to be had.
 */
OWM_MUST_USE owm_status owm_pool_open(unsigned threads, owm_pool **pool);

/** owm_pool_close: join the threads and free. NULL is allowed. */
void owm_pool_close(owm_pool *pool);

unsigned owm_pool_threads(const owm_pool *pool);

/** owm_pool_for: run fn over [0, count) in chunks of `grain` items and return when all are done.
 *
 *  pool   NULL: run inline on the caller, as with one thread.
 *  grain  items in a chunk; 0 counts as 1.
 *  No allocation; one chunk, or one thread, runs inline without waking anyone.
 *  Thread: any; calls from several threads on one pool take turns.
 *  Exact: see Partition above.
 */
void owm_pool_for(owm_pool *pool, size_t count, size_t grain, owm_pool_fn fn, void *ctx);

#endif

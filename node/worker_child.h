/* worker_child.h: owm-node's side of a worker: start it, give it a task, replace it when it fails.
 *
 * One handle belongs to one task slot and one thread; it outlives the processes behind it. A
 * worker that crashed, broke the protocol, was silent too long or did not stop when told to is
 * killed, and the next run starts a new one.
 */
#ifndef OWM_NODE_WORKER_CHILD_H
#define OWM_NODE_WORKER_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "node/worker_message.h"

#define OWM_WORKER_BACKEND_BYTES 8

struct owm_worker_options {
    const char *path;      /* the owm-worker program; borrowed */
    unsigned slot;         /* for the log */
    unsigned threads;      /* >= 1 */
    uint64_t memory_mb;    /* 0: no limit */
    unsigned silence_ms;   /* killed after this long without a message */
    unsigned vram_percent; /* 0: no GPU; else CUDA MPS shares (SRS-NODE-05) */
    uint64_t vram_bytes;   /* of the GPU; with vram_percent */
    const char *backend;   /* auto, cuda, hip, cpu; NULL: cpu */
    unsigned device;       /* of that backend */
};

typedef struct owm_worker owm_worker;

/** owm_worker_call: one request. Callbacks run on the caller's thread. */
struct owm_worker_call {
    const struct owm_worker_message *request; /* INFER or TRAIN */
    const int *fds;                           /* as owm_worker_fds says; stay the caller's */
    uint64_t deadline_ms;                     /* monotonic; 0: none */
    const atomic_bool *cancel;                /* set: the worker is told to stop */
    void (*on_chunk)(void *ctx, const uint8_t *bytes, size_t count); /* NULL: dropped */
    void (*on_progress)(void *ctx, const struct owm_worker_progress *progress);
    void *ctx;
};

/** owm_worker_open: no process yet. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_worker_open(const struct owm_worker_options *options, owm_worker **out);

/** owm_worker_warm: start the process now if there is none, and wait until it is ready.
 *  Returns: OWM_OK; OWM_E_IO, OWM_E_TIMEOUT with the reason. */
OWM_MUST_USE owm_status owm_worker_warm(owm_worker *worker, struct owm_error *error);

/** owm_worker_run: do one request (starting a process if there is none).
 *  Returns: OWM_OK with `done`; OWM_E_CANCELLED; OWM_E_TIMEOUT deadline or silence; OWM_E_IO the
 *  worker crashed (with signal or exit code) or could not start; OWM_E_PROTO it broke the protocol;
 *  OWM_E_STATE it reports that the task failed. `error` has the sentence. */
OWM_MUST_USE owm_status owm_worker_run(owm_worker *worker, const struct owm_worker_call *call,
                                       struct owm_worker_done *done, struct owm_error *error);

/** owm_worker_pid: of the process, 0 if none. owm_worker_starts: how many were started.
 *  Thread: any. */
int owm_worker_pid(const owm_worker *worker);
unsigned owm_worker_starts(const owm_worker *worker);

/** owm_worker_runs_on: backend and fences, as the worker said when it was ready; "" before. */
const char *owm_worker_runs_on(const owm_worker *worker);

/** owm_worker_backend: its first word, the backend: "cuda", "hip" or "cpu". */
void owm_worker_backend(const owm_worker *worker, char name[static OWM_WORKER_BACKEND_BYTES]);

/** owm_worker_memory: a memory file for a call's fds, sealed, so that a worker that went wrong can
 *  neither fill the machine's memory through it nor take it away under the reader's hands.
 *
 *  data   its content, then read-only; NULL: room for `bytes` zero bytes that may be overwritten.
 *  Returns: the caller's descriptor, or -1 with errno.
 */
int owm_worker_memory(const char *name, const void *data, size_t bytes);

/** owm_worker_close: end the process and free. NULL is allowed. */
void owm_worker_close(owm_worker *worker);

#endif

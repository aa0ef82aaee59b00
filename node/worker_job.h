/* worker_job.h: the two kinds of work inside owm-worker, and the weights it keeps between them. */
#ifndef OWM_NODE_WORKER_JOB_H
#define OWM_NODE_WORKER_JOB_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/pool.h"
#include "dataplane/model/model.h"
#include "node/worker_message.h"

/** worker: one process, one thread of control. The loaded model is `sha256` with its weights
 *  unchanged, opened for passes up to batch x seq (and for training if `train`). */
struct worker {
    int socket;
    owm_pool *pool;
    struct owm_device *device;
    owm_model *model; /* NULL: none loaded */
    uint8_t sha256[32];
    bool train;
    uint32_t batch, seq;
    atomic_bool cancel;
    uint64_t said_ms; /* last message sent, monotonic */
    uint8_t request[OWM_WORKER_MESSAGE_BYTES_MAX];
    uint8_t poll[OWM_WORKER_MESSAGE_BYTES_MAX];
};

/** worker_say: post a message to the node; the process ends if the node is gone. */
void worker_say(struct worker *worker, const struct owm_worker_message *message);

/** worker_listen: take a CANCEL that came meanwhile; sets worker->cancel. */
void worker_listen(struct worker *worker);

/** worker_infer / worker_train: do it, post CHUNK, PROGRESS and DONE. fds stay the caller's.
 *  Returns: OWM_OK after DONE was posted; otherwise the caller posts FAILED with error's text. */
OWM_MUST_USE owm_status worker_infer(struct worker *worker, const struct owm_worker_infer *request,
                                     const int *fds, struct owm_error *error);
OWM_MUST_USE owm_status worker_train(struct worker *worker, const struct owm_worker_train *request,
                                     const int *fds, struct owm_error *error);

#endif

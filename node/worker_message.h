/* worker_message.h: what owm-node and owm-worker say to each other over their socket pair.
 *
 * One message is one SOCK_SEQPACKET datagram: u32 magic, u8 kind, then the fields of that kind in
 * the order of the struct, little-endian, a length before bytes. Descriptors travel beside it
 * (SCM_RIGHTS) in the order of the enums below. Both sides parse as if the other were hostile.
 *
 *     worker: READY, then for each request: (CHUNK | PROGRESS)…, DONE | FAILED
 *     node:   INFER or TRAIN while the worker is idle; CANCEL any time
 */
#ifndef OWM_NODE_WORKER_MESSAGE_H
#define OWM_NODE_WORKER_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_WORKER_MAGIC             0x314d574fu /* "OWM1" */
#define OWM_WORKER_MESSAGE_BYTES_MAX 65536
#define OWM_WORKER_FDS_MAX           5
#define OWM_WORKER_TEXT_BYTES_MAX    400   /* reasons, names; with the final 0 */
#define OWM_WORKER_CHUNK_BYTES_MAX   32768 /* one piece of output text */

/* Limits of a task, shared with the schema check. */
#define OWM_PROMPT_BYTES_MAX  32768
#define OWM_TOKENS_MAX        4096
#define OWM_TEMPERATURE_MAX   10.0f
#define OWM_TOP_K_MAX         65535
#define OWM_TRAIN_ROUND_MAX   1000000000
#define OWM_TRAIN_BATCH_MAX   4096
#define OWM_TRAIN_SEQ_MAX     4096
#define OWM_TRAIN_STEPS_LIMIT 100000
#define OWM_CHECKPOINT_MAX    (UINT64_C(64) << 30)
#define OWM_PACKAGE_BYTES_MAX (UINT64_C(8) << 30)

enum owm_worker_kind {
    OWM_WORKER_INFER = 1,
    OWM_WORKER_TRAIN = 2,
    OWM_WORKER_CANCEL = 3,
    OWM_WORKER_READY = 16,
    OWM_WORKER_CHUNK = 17,
    OWM_WORKER_PROGRESS = 18,
    OWM_WORKER_DONE = 19,
    OWM_WORKER_FAILED = 20,
};

/* Descriptors of INFER: the first alone. Of TRAIN: all. */
enum owm_worker_fd {
    OWM_WORKER_FD_CHECKPOINT,   /* read-only file */
    OWM_WORKER_FD_SHARD,        /* read-only, sealed memfd */
    OWM_WORKER_FD_RESIDUAL_IN,  /* f32 per parameter, read-only memfd */
    OWM_WORKER_FD_PACKAGE,      /* memfd, written */
    OWM_WORKER_FD_RESIDUAL_OUT, /* memfd, written */
};

struct owm_worker_infer {
    uint8_t model_sha256[32];
    uint64_t model_bytes;
    uint32_t max_tokens;
    uint32_t top_k;
    float temperature;
    uint64_t seed;
    uint32_t prompt_bytes;
    const uint8_t *prompt; /* borrowed from the datagram */
};

struct owm_worker_train {
    uint8_t model_sha256[32];
    uint64_t model_bytes;
    uint32_t round, steps, batch, seq, warmup_steps;
    float lr, weight_decay;
    uint32_t topk_permille;
    uint8_t values; /* enum owm_delta_values */
    uint64_t seed;
    uint64_t package_bytes_max;
    uint8_t nonce[16];
    uint8_t node_key[32];
};

struct owm_worker_progress {
    uint32_t step, steps;
    float loss;
};

struct owm_worker_done {
    uint32_t tokens;
    char finish[16]; /* inference: length | stop | cancelled */
    uint64_t package_bytes;
    float loss_first, loss_last; /* training; nats per byte */
};

/** owm_worker_message: `bytes` (CHUNK) and infer.prompt point into the parsed datagram. */
struct owm_worker_message {
    enum owm_worker_kind kind;
    union {
        struct owm_worker_infer infer;
        struct owm_worker_train train;
        struct owm_worker_progress progress;
        struct owm_worker_done done;
        char text[OWM_WORKER_TEXT_BYTES_MAX]; /* READY: what it runs on; FAILED: why */
        struct {
            const uint8_t *bytes;
            uint32_t count;
        } chunk;
    };
};

/** owm_worker_encode: Returns: OWM_OK; OWM_E_LIMIT it does not fit; OWM_E_ARG unknown kind. */
OWM_MUST_USE owm_status owm_worker_encode(const struct owm_worker_message *message, uint8_t *out,
                                          size_t capacity, size_t *bytes);

/** owm_worker_decode: check everything: magic, kind, lengths, ranges, no byte left over.
 *  Returns: OWM_OK; OWM_E_PROTO with the field that is wrong. */
OWM_MUST_USE owm_status owm_worker_decode(const uint8_t *data, size_t bytes,
                                          struct owm_worker_message *message,
                                          struct owm_error *error);

/** owm_worker_fds: how many descriptors a message of this kind carries. */
unsigned owm_worker_fds(enum owm_worker_kind kind);

/** owm_worker_post: encode and send one message with its descriptors (not closed).
 *  Returns: OWM_OK; OWM_E_IO the other side is gone; OWM_E_TIMEOUT it does not read;
 *  OWM_E_LIMIT. */
OWM_MUST_USE owm_status owm_worker_post(int socket, const struct owm_worker_message *message,
                                        const int *fds);

/** owm_worker_take: receive and parse one message.
 *
 *  buffer  [OWM_WORKER_MESSAGE_BYTES_MAX]; message points into it.
 *  fds     [OWM_WORKER_FDS_MAX]; owm_worker_fds(kind) of them are the caller's, close them.
 *  timeout_ms  -1: for ever.
 *  Returns: OWM_OK; OWM_E_TIMEOUT; OWM_E_NOTFOUND the other side closed; OWM_E_IO; OWM_E_PROTO
 *  malformed, or another number of descriptors than its kind has (all are closed then).
 */
OWM_MUST_USE owm_status owm_worker_take(int socket, uint8_t *buffer, int timeout_ms,
                                        struct owm_worker_message *message,
                                        int fds[static OWM_WORKER_FDS_MAX],
                                        struct owm_error *error);

#endif

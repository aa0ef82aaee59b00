/* backend.h: what a compute device can do, as one table of functions.
 *
 * A backend is a const table; a device is one opened instance of it and the first argument of
 * every op. Op arguments travel in structs (ops.h) so that a call reads like its contract and a
 * table entry keeps its type when an op grows a field. Nothing here logs or exits.
 *
 *     owm_device_open(&device, &config, &error);
 *     device->backend->gemm(device, &gemm);
 *     device->backend->close(device);
 *
 * "cpu" and "reference" are compiled in. "cuda" and "hip" are plug-ins, libowm-cuda.so and
 * libowm-hip.so, looked for beside the program, then in ../lib; or, if it is set, in
 * $OWM_PLUGIN_DIR alone (never in a setuid program). A machine without them, or without a driver,
 * runs the same program on the cpu.
 */
#ifndef OWM_KERNELS_BACKEND_H
#define OWM_KERNELS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/agg.h"
#include "kernels/decode.h"
#include "kernels/linear.h"
#include "kernels/ops.h"
#include "kernels/sha256d.h"
#include "kernels/sparse.h"

#ifdef __cplusplus
extern "C" {
#endif

struct owm_backend;
struct owm_pool;

/** owm_device: one opened device. Each backend puts this first in a struct of its own. Ops are
 * called through `backend` here: open may choose a table more special than the one it was called
 * on. Thread: all calls on one device come from one thread at a time. */
struct owm_device {
    const struct owm_backend *backend;
    struct owm_pool *pool; /* Host threads of the cpu backend; NULL: the calling thread alone. */
    int index;
};

/** owm_device_config: zero is a good default. Keeps: pool until close. */
struct owm_device_config {
    const char *backend; /* owm_device_open alone: a name, or "auto" (NULL too). */
    int index;
    struct owm_pool *pool;
    const char *isa; /* cpu: "generic", "avx2", "avx512"; NULL: the best this processor has. */
};

/** Counts up with every change of struct owm_backend or of an op's struct; a plug-in with another
 *  number is refused. */
#define OWM_BACKEND_ABI 1

/** owm_device_info: what was found, whether or not it can be used. */
struct owm_device_info {
    char name[96];   /* "NVIDIA H200", "AMD EPYC …" */
    char arch[32];   /* "sm_90", "gfx90a", "avx512" */
    char driver[48]; /* "CUDA driver 13.0"; "" where there is none */
    uint64_t memory_bytes, memory_free_bytes;
    bool usable;
    char refusal[160]; /* Why it is not usable, and what to do; "" if it is. */
};

/** Queues of a device. Ops run in order on COMPUTE; copies in order on their own queue, at the same
 *  time. */
enum owm_queue { OWM_QUEUE_COMPUTE, OWM_QUEUE_UPLOAD, OWM_QUEUE_DOWNLOAD, OWM_QUEUES };

/** Pipes of a GPU: three-input logic, shifts and additions; fused multiply-add in f32. */
enum owm_pipe { OWM_PIPE_INTEGER, OWM_PIPE_FMA };

#define OWM_EVENTS_MAX 64 /* Events of a device, named 0 .. 63 by the caller. */

struct owm_backend {
    uint32_t abi;     /* OWM_BACKEND_ABI */
    const char *name; /* "cuda", "hip", "cpu", "reference": the value of the config key. */

    int (*device_count)(void); /* Found, usable or not; 0 when driver or hardware is missing. */
    /** device_info. Returns: OWM_OK; OWM_E_ARG for an unknown index. */
    owm_status (*device_info)(int index, struct owm_device_info *info);

    /** open/close: a device with its work space; no op allocates afterwards.
     *  Returns: OWM_E_ARG for an unknown index; OWM_E_UNSUPPORTED for an isa that this machine
     *  lacks; OWM_E_NOMEM; each with a sentence. close accepts NULL. */
    owm_status (*open)(struct owm_device **device, const struct owm_device_config *config,
                       struct owm_error *error);
    void (*close)(struct owm_device *device);

    /** Memory of the device, 64-byte aligned, zeroed. put, get and zero are ordered with the ops.
     *  Returns: OWM_E_NOMEM; OWM_E_DEVICE. mem_free accepts NULL. */
    owm_status (*mem_alloc)(struct owm_device *device, void **mem, size_t bytes);
    void (*mem_free)(struct owm_device *device, void *mem);
    owm_status (*mem_put)(struct owm_device *device, void *dst_dev, const void *src, size_t bytes);
    owm_status (*mem_get)(struct owm_device *device, void *dst, const void *src_dev, size_t bytes);
    owm_status (*mem_zero)(struct owm_device *device, void *mem, size_t bytes);
    owm_status (*sync)(struct owm_device *device); /* Waits for all queues of the device. */

    /** Host memory that the device reads and writes directly (pinned), 64-byte aligned.
     *  Returns: OWM_E_NOMEM; OWM_E_DEVICE. host_free accepts NULL. */
    owm_status (*host_alloc)(struct owm_device *device, void **mem, size_t bytes);
    void (*host_free)(struct owm_device *device, void *mem);

    /** Copies that return at once, on UPLOAD and DOWNLOAD. The host side is from host_alloc and
     * must not be touched until an event after the copy, or sync. Not ordered with the ops: use
     * events. Returns: OWM_E_DEVICE. */
    owm_status (*put_async)(struct owm_device *, void *dst_dev, const void *src, size_t bytes);
    owm_status (*get_async)(struct owm_device *, void *dst, const void *src_dev, size_t bytes);

    /** Events: record marks what was asked of a queue so far; wait makes a queue (not the caller)
     *  wait for the mark; elapsed waits itself and gives the time between two marks.
     *  Returns: OWM_E_ARG for an event out of range; OWM_E_STATE for one never recorded (wait,
     *  elapsed); OWM_E_DEVICE. */
    owm_status (*event_record)(struct owm_device *, enum owm_queue queue, unsigned event);
    owm_status (*event_wait)(struct owm_device *, enum owm_queue queue, unsigned event);
    owm_status (*event_elapsed)(struct owm_device *, unsigned from, unsigned to, double *ms);

    /** all_sum: buffer[i] on device[i] becomes the sum over all of them, in every one; `count`
     *  devices of this backend. Synchronous. Not Exact: the order of the sum is the library's.
     *  Returns: OWM_E_ARG; OWM_E_UNSUPPORTED when the library (NCCL, RCCL) is missing;
     * OWM_E_DEVICE. */
    owm_status (*all_sum)(struct owm_device *const *device, float *const *buffer, uint32_t count,
                          size_t n);

    /** pipe_rate: instructions/s (of one lane each) of a pipe when nothing waits, the limit that
     *  owm-bench prints. Synchronous, about 50 ms. NULL on a cpu: owm-bench has its own.
     *  Returns: OWM_E_ARG; OWM_E_DEVICE. */
    owm_status (*pipe_rate)(struct owm_device *, enum owm_pipe pipe, double *rate);

    /* Ops. NULL: not supported here. Contracts are in ops.h, one paragraph per op. */
    owm_status (*gemm)(struct owm_device *, const struct owm_gemm *);
    owm_status (*rmsnorm)(struct owm_device *, const struct owm_rmsnorm *);
    owm_status (*rmsnorm_bwd)(struct owm_device *, const struct owm_rmsnorm_bwd *);
    owm_status (*rope)(struct owm_device *, const struct owm_rope *);
    owm_status (*swiglu)(struct owm_device *, const struct owm_swiglu *);
    owm_status (*swiglu_bwd)(struct owm_device *, const struct owm_swiglu_bwd *);
    owm_status (*attention)(struct owm_device *, const struct owm_attention *);
    owm_status (*attention_bwd)(struct owm_device *, const struct owm_attention_bwd *);
    owm_status (*attention_decode)(struct owm_device *, const struct owm_attention_decode *);
    owm_status (*embedding)(struct owm_device *, const struct owm_embedding *);
    owm_status (*embedding_bwd)(struct owm_device *, const struct owm_embedding_bwd *);
    owm_status (*cross_entropy)(struct owm_device *, const struct owm_cross_entropy *);
    owm_status (*adamw)(struct owm_device *, const struct owm_adamw *);
    owm_status (*add)(struct owm_device *, float *out, const float *a, const float *b,
                      size_t count);
    owm_status (*sum_squares)(struct owm_device *, double *sum_host, const float *x, size_t count);

    /* Packed weights: contracts in linear.h. */
    size_t (*packed_bytes)(struct owm_device *, enum owm_format, uint32_t rows, uint32_t cols);
    owm_status (*pack)(struct owm_device *, const struct owm_pack *);
    owm_status (*linear)(struct owm_device *, const struct owm_linear *);
    owm_status (*linear_bwd)(struct owm_device *, const struct owm_linear_bwd *);

    /* Inference: contracts in decode.h. */
    owm_status (*kv_put)(struct owm_device *, const struct owm_kv_put *);
    owm_status (*attention_paged)(struct owm_device *, const struct owm_attention_paged *);
    owm_status (*softmax)(struct owm_device *, const struct owm_softmax *);
    owm_status (*sample)(struct owm_device *, const struct owm_sample *);

    /* Dense aggregation: contracts in agg.h. */
    owm_status (*weighted_sum)(struct owm_device *, const struct owm_weighted_sum *);
    owm_status (*trimmed_mean)(struct owm_device *, const struct owm_trimmed_mean *);
    owm_status (*gram)(struct owm_device *, const struct owm_gram *);
    owm_status (*clip)(struct owm_device *, const struct owm_clip *);

    /* Federated learning: contracts in sparse.h. */
    owm_status (*topk)(struct owm_device *, const struct owm_topk *);
    owm_status (*threshold)(struct owm_device *, const struct owm_threshold *);
    owm_status (*feedback)(struct owm_device *, const struct owm_feedback_step *);
    owm_status (*quantise)(struct owm_device *, const struct owm_quantise *);
    owm_status (*scatter_add)(struct owm_device *, const struct owm_scatter_add *);
    owm_status (*sparse_sum)(struct owm_device *, const struct owm_sparse_sum *);
    owm_status (*sparse_gram)(struct owm_device *, const struct owm_sparse_gram *);
    owm_status (*apply_update)(struct owm_device *, const struct owm_apply_update *);

    /* Bitcoin: contracts in sha256d.h. */
    owm_status (*sha256d_scan)(struct owm_device *, const struct owm_sha256d_scan *);
    owm_status (*sha256d_batch)(struct owm_device *, const struct owm_sha256d_batch *);
    owm_status (*sha256d_merkle)(struct owm_device *, const struct owm_sha256d_merkle *);
    owm_status (*sha256)(struct owm_device *, const struct owm_sha256 *);
};

extern const struct owm_backend owm_backend_cpu;       /* SIMD, chosen by cpuid at open. */
extern const struct owm_backend owm_backend_reference; /* Plain C, double: the judge of tests. */

/** owm_backend_at: what this program can use, fastest first: plug-ins that opened, then those
 *  compiled in; NULL past the end. The first call opens the plug-ins. Thread: any. */
const struct owm_backend *owm_backend_at(size_t index);

/** owm_backend_missing: why the plug-in `name` ("cuda", "hip") is not in that list: a sentence, or
 *  NULL if it is. */
const char *owm_backend_missing(const char *name);

/** owm_backend_load: open a plug-in by its file, outside the list (tests do).
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_UNSUPPORTED for another ABI; each with a sentence. */
OWM_MUST_USE owm_status owm_backend_load(const char *path, const struct owm_backend **backend,
                                         struct owm_error *error);

/** owm_backend_pick: by name, or for "auto" the first with a usable device. NULL when there is
 *  none, with the reason and the names there are in `error`. Never another one than was named. */
const struct owm_backend *owm_backend_pick(const char *name, struct owm_error *error);

/** owm_device_open: pick, open, and the self-test of every op (selftest.h) before anyone uses it.
 *  "auto" goes on to the next backend when a device fails its self-test; a named one does not.
 *  Returns: OWM_OK; as pick and open; OWM_E_DEVICE when the self-test fails, naming the op. */
OWM_MUST_USE owm_status owm_device_open(struct owm_device **device,
                                        const struct owm_device_config *config,
                                        struct owm_error *error);

#ifdef __cplusplus
}
#endif
#endif

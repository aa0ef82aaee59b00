/* backend.h: what a compute device can do, as one table of functions.
 *
 * A backend is a const table; a device is one opened instance of it and the first argument of
 * every op. Op arguments travel in structs (ops.h) so that a call reads like its contract and a
 * table entry keeps its type when an op grows a field. Nothing here logs or exits.
 *
 *     owm_backend_pick("auto", &backend, &error);
 *     backend->open(&device, &(struct owm_device_config){.pool = pool}, &error);
 *     device->backend->gemm(device, &(struct owm_gemm){...});
 *     device->backend->close(device);
 */
#ifndef OWM_KERNELS_BACKEND_H
#define OWM_KERNELS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
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
    int index;
    struct owm_pool *pool;
    const char *isa; /* cpu: "generic", "avx2", "avx512"; NULL: the best this processor has. */
};

struct owm_backend {
    const char *name; /* "cpu", "reference"; later "cuda", "hip": the value of the config key. */

    int (*device_count)(void); /* 0 when the driver or the hardware is missing. */

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
    owm_status (*sync)(struct owm_device *device); /* Waits for all that was asked of the device. */

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

    /* Federated learning: contracts in sparse.h. */
    owm_status (*topk)(struct owm_device *, const struct owm_topk *);
    owm_status (*quantise_i8)(struct owm_device *, const struct owm_quantise_i8 *);
    owm_status (*quantise_bf16)(struct owm_device *, const struct owm_quantise_bf16 *);
    owm_status (*sparse_sum)(struct owm_device *, const struct owm_sparse_sum *);
    owm_status (*sparse_gram)(struct owm_device *, const struct owm_sparse_gram *);
    owm_status (*apply_update)(struct owm_device *, const struct owm_apply_update *);

    /* Bitcoin: contracts in sha256d.h. */
    owm_status (*sha256d_scan)(struct owm_device *, const struct owm_sha256d_scan *);
    owm_status (*sha256d_batch)(struct owm_device *, const struct owm_sha256d_batch *);
    owm_status (*sha256d_merkle)(struct owm_device *, const struct owm_sha256d_merkle *);
};

extern const struct owm_backend owm_backend_cpu;       /* SIMD, chosen by cpuid at open. */
extern const struct owm_backend owm_backend_reference; /* Plain C, double: the judge of tests. */

/** owm_backend_at: the compiled-in backends, fastest first; NULL past the end. */
const struct owm_backend *owm_backend_at(size_t index);

/** owm_backend_pick: by name, or for "auto" the first with a device. NULL when there is none,
 *  with the reason and the names there are in `error`. Never another one than was named. */
const struct owm_backend *owm_backend_pick(const char *name, struct owm_error *error);

#ifdef __cplusplus
}
#endif
#endif

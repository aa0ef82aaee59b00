/* selftest_trial.h: what the cases of the self-test share: tensors that exist twice, on the device
 * under trial and on the reference, and their comparison. */
#ifndef OWM_KERNELS_SELFTEST_TRIAL_H
#define OWM_KERNELS_SELFTEST_TRIAL_H

#include <stddef.h>

#include "base/rng.h"
#include "selftest.h"

enum side { TRIED, JUDGE, SIDES };

#define TRIAL_TENSORS_MAX 64

/** tensor: the same bytes in both memories. */
struct tensor {
    void *at[SIDES];
    size_t bytes;
};

struct trial {
    struct owm_device *device[SIDES];
    struct owm_rng rng;
    struct tensor made[TRIAL_TENSORS_MAX]; /* Freed when the case is over. */
    size_t made_count;
    owm_status status; /* The first failure of making a tensor. */
    char why[256];
};

/** trial_case: one op, and the function that tries it: OWM_OK, or a failure with t->why. */
struct trial_case {
    const char *name;
    size_t slot;
    owm_status (*run)(struct trial *t);
};

#define TRIAL_CASE(op)                                                                             \
    {                                                                                              \
#op, offsetof(struct owm_backend, op), try_##op                                            \
    }

/* The cases, by file; each list ends with a NULL name. */
extern const struct trial_case trial_model[], trial_decode[], trial_learning[], trial_sha256d[];

/** Tensors: random in [-1, 1); poisoned (all bits set: NaN); with given bytes. After a failure they
 *  are empty and t->status says why: ask TRIAL_READY before an op is called. */
struct tensor trial_numbers(struct trial *t, size_t count);
struct tensor trial_poison(struct trial *t, size_t bytes);
struct tensor trial_bytes(struct trial *t, const void *data, size_t bytes);

/** trial_same: the tensors are alike to the bit. trial_close: as f32, within `within` of the
 *  reference, absolutely. trial_host: the same for results that came to the host. */
owm_status trial_same(struct trial *t, struct tensor x);
owm_status trial_close(struct trial *t, struct tensor x, double within);
owm_status trial_host(struct trial *t, const void *tried, const void *judge, size_t bytes);

/** trial_fetch: a tensor's bytes as the device under trial has them. */
owm_status trial_fetch(struct trial *t, void *host, struct tensor x);

#define TRIAL_READY(t)                                                                             \
    do {                                                                                           \
        if ((t)->status != OWM_OK) return (t)->status;                                             \
    } while (0)

/** TRIAL_CALL: the op on one side; a refusal ends the case. */
#define TRIAL_CALL(t, side, op, ...)                                                               \
    do {                                                                                           \
        struct owm_device *on_ = (t)->device[side];                                                \
        owm_status status_ = on_->backend->op(on_, __VA_ARGS__);                                   \
        if (status_ != OWM_OK) return trial_refused(t, side, status_);                             \
    } while (0)

owm_status trial_refused(struct trial *t, enum side side, owm_status status);

/** TRIAL_ALL: go on to the next check only when this one passed. */
#define TRIAL_ALL(check)                                                                           \
    do {                                                                                           \
        owm_status status_ = (check);                                                              \
        if (status_ != OWM_OK) return status_;                                                     \
    } while (0)

#endif

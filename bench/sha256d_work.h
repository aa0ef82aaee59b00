/* sha256d_work.h: what the SHA-256d benchmarks scan: the genesis block's header. */
#ifndef OWM_BENCH_SHA256D_WORK_H
#define OWM_BENCH_SHA256D_WORK_H

#include "bench.h"

#define SHA256D_WORK_MIDSTATES 64

struct sha256d_work {
    struct owm_sha256d_hit hit[16];
    uint32_t found, midstate[SHA256D_WORK_MIDSTATES][8];
    uint8_t header[OWM_HEADER_BYTES], target[32];
    struct owm_sha256d_scan scan; /* Points into this struct. */
};

/** sha256d_work_init: the header with versions 1, 2, …, and a target that few nonces meet. */
OWM_MUST_USE owm_status sha256d_work_init(struct sha256d_work *work);

/** sha256d_work_known: set the scan to a short range in which one nonce, the block's own, meets the
 *  target; sha256d_work_found: whether the scan found it and no other. */
void sha256d_work_known(struct sha256d_work *work, uint32_t midstates);
bool sha256d_work_found(const struct sha256d_work *work);

/** bench_sha256d_device: the rows of a GPU. */
OWM_MUST_USE owm_status bench_sha256d_device(const struct bench_options *options,
                                             const struct bench_device *opened,
                                             struct owm_error *error);

#endif

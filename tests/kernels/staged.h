/* staged.h: a device whose memory is the host's, made of one whose memory is not: before each op
 * its arrays are copied there, afterwards back. With it a test that is written with plain arrays
 * runs on every backend; and since each array is exactly as large as the contract says, an emulated
 * device finds the first byte that an op touches beyond. */
#ifndef OWM_TESTS_KERNELS_STAGED_H
#define OWM_TESTS_KERNELS_STAGED_H

#include "kernels/backend.h"

/** staged_open: Takes `real`; closed with the table's own close. */
struct owm_device *staged_open(struct owm_device *real);

#endif

/* selftest.h: every op of an opened device, once, on small fixed data, against the reference in
 * plain C and against published answers. Run before a device is used: a broken driver, a bad memory
 * chip or a plug-in that was built wrong shows here, not in somebody's model. Under half a second
 * on a cpu.
 */
#ifndef OWM_KERNELS_SELFTEST_H
#define OWM_KERNELS_SELFTEST_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/** owm_selftest: try all ops that the device's table has.
 *
 *  Returns: OWM_OK; OWM_E_DEVICE when an op fails or is wrong, with a sentence that names it;
 *           OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_selftest(struct owm_device *device, struct owm_error *error);

/** owm_selftest_name: the op that the case `index` tries; NULL past the end. *slot: where the op
 *  stands in struct owm_backend (bytes from its begin). */
const char *owm_selftest_name(size_t index, size_t *slot);

#ifdef __cplusplus
}
#endif
#endif

/* manifest.h: the signed manifest of a model version (SRS 4.5.2; how it is signed:
 * proto/canonical.h). */
#ifndef OWM_NODE_MANIFEST_H
#define OWM_NODE_MANIFEST_H

#include <stdint.h>

#include "base/status.h"

#define MANIFEST_BYTES_MAX (256 * 1024)

/** manifest_check: signed by the coordinator, and it names this checkpoint with this size.
 *  Safe for hostile text. Returns: OWM_OK; OWM_E_PROTO malformed, or it does not name the
 *  checkpoint; OWM_E_CRYPTO not signed by that key; OWM_E_LIMIT; OWM_E_NOMEM. */
OWM_MUST_USE owm_status manifest_check(const char *json, const uint8_t coordinator_key[static 32],
                                       const uint8_t sha256[static 32], uint64_t bytes,
                                       struct owm_error *error);

#endif

/* canonical.h: the exact bytes that are signed, one function per signed message.
 *
 * A text is a domain string followed by each field, length first (u32 LE) for strings and bytes,
 * 8 bytes LE for integers, IEEE-754 bits LE for floats. So two different messages never give the
 * same bytes, and a signature made for one purpose means nothing for another (owm_identity_sign
 * adds the domain again as its context).
 */
#ifndef OWM_PROTO_CANONICAL_H
#define OWM_PROTO_CANONICAL_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include <coordinator.pb-c.h>

#define OWM_DOMAIN_REGISTER "owm register v1"
#define OWM_DOMAIN_MANIFEST "owm manifest v1"
#define OWM_DOMAIN_RESULT   "owm result v1"

#define OWM_CANONICAL_BYTES_MAX 4096

/** owm_canonical_register: what RegisterNodeRequest.signature covers: all other fields.
 *
 *  out   [OWM_CANONICAL_BYTES_MAX]; written.
 *  bytes out; length written.
 *  coordinator_key [32] binds the signature to one coordinator: it cannot be replayed at another.
 *  Returns: OWM_OK; OWM_E_LIMIT when the fields do not fit.
 */
owm_status owm_canonical_register(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                  const Owm__Coordinator__V1__RegisterNodeRequest *request,
                                  const uint8_t coordinator_key[static 32]) OWM_MUST_USE;

/** owm_canonical_manifest: what CapabilityManifest.signature covers. As above. */
owm_status owm_canonical_manifest(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                  const Owm__Coordinator__V1__CapabilityManifest *manifest,
                                  const uint8_t coordinator_key[static 32]) OWM_MUST_USE;

/** owm_canonical_result: what TaskResult.signature covers: task_id, node_id, output_hash,
 *  execution_ms, lease_token, error (SRS 6.1: "over task_id + output_hash"). As above. */
owm_status owm_canonical_result(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                const Owm__Coordinator__V1__TaskResult *result,
                                const uint8_t coordinator_key[static 32]) OWM_MUST_USE;

#endif

/* manifest.h: the signed manifest of a model version (SRS 4.5.2; how it is signed:
 * proto/model_manifest.h). */
#ifndef OWM_NODE_MANIFEST_H
#define OWM_NODE_MANIFEST_H

#include <stdint.h>

#include "node/proof.h"

#define MANIFEST_BYTES_MAX   (256 * 1024)
#define MANIFEST_VERSION_MAX 48

/** manifest_facts: what the coordinator signed of a version. */
struct manifest_facts {
    char version[MANIFEST_VERSION_MAX]; /* "owm-v0.1.142"; cut if it is longer */
    uint32_t round;
};

/** manifest_named: the checkpoint that it must name. */
struct manifest_named {
    const uint8_t *sha256; /* [32] */
    uint64_t bytes;
};

/** manifest_read: signed by the coordinator, and it names this checkpoint with this size. Safe for
 *  hostile text. facts and refusal (BAD_MANIFEST, NOT_SIGNED, NOT_NAMED) written on OWM_OK.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status manifest_read(const char *json, const uint8_t coordinator_key[static 32],
                                      const struct manifest_named *named,
                                      struct manifest_facts *facts, struct refusal *refusal);

#endif

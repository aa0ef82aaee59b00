/* digest.h: hashes of files, several at once. */
#ifndef OWM_OTS_DIGEST_H
#define OWM_OTS_DIGEST_H

#include "dataplane/ots/file_hash.h"

/** digest: path and tag in, the rest out. */
struct digest {
    const char *path;
    uint8_t tag;
    uint8_t value[OWM_OTS_DIGEST_BYTES_MAX];
    owm_status status;
    struct owm_error error;
};

/** digest_all: on all cores, one file each; of 256 MiB or more in all, the progress stands on a
 *  terminal. */
void digest_all(struct digest *digests, size_t count);

#endif

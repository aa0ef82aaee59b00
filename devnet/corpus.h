/* corpus.h: real text that every Debian machine has, split into shards that differ.
 *
 * /usr/share/common-licenses and /usr/share/doc/<package>/copyright, sorted by name and freed of
 * identical files. Every tenth file is held out for the coordinator; the others are dealt to the
 * nodes as runs of neighbouring names, so that each node has other packages: not identically
 * distributed, as in real life.
 */
#ifndef OWM_DEVNET_CORPUS_H
#define OWM_DEVNET_CORPUS_H

#include <stdint.h>

#include "base/status.h"

#define CORPUS_FILES_MAX         20000
#define CORPUS_FILE_BYTES_MAX    (256 * 1024) /* Longer files are cut. */
#define CORPUS_HELDOUT_BYTES_MAX (64 * 1024)

struct corpus_summary {
    unsigned files, duplicates;
    uint64_t bytes, heldout_bytes;
};

/** corpus_write: write folder/node-1.txt … node-<shards>.txt and folder/heldout.txt.
 *  Returns: OWM_E_NOTFOUND less than 100 kB of text on this machine; OWM_E_IO; OWM_E_NOMEM. */
owm_status corpus_write(const char *folder, unsigned shards, struct corpus_summary *summary,
                        struct owm_error *error) OWM_MUST_USE;

#endif

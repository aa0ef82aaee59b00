/* proof.h: OpenTimestamps on disk and on the wire: the tree in its bytes, and the file that stands
 * beside what it proves (FILE.ots).
 *
 * What is written is what the reference implementation (python-opentimestamps) writes; what it
 * rejects is rejected. Stricter than it: numbers of at most 64 bits, sizes and items with a limit,
 * the version as the one byte 1.
 */
#ifndef OWM_OTS_PROOF_H
#define OWM_OTS_PROOF_H

#include "tree.h"

#define OWM_OTS_FILE_BYTES_MAX  (1024 * 1024)
#define OWM_OTS_MAGIC_BYTES     31
#define OWM_OTS_REPLY_BYTES_MAX 10000 /* Of a calendar. */

/** owm_ots_parse: a tree in its bytes, as calendars answer, with its first message from elsewhere.
 *
 *  tree  as after owm_ots_tree_init, or with what it holds already, to which this is added at the
 *        root; after a failure still to be deinit.
 *  Returns: OWM_OK; OWM_E_PROTO with a sentence that says at which byte and why; OWM_E_LIMIT a
 *  named limit; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_ots_parse(struct owm_ots_tree *tree, struct owm_ots_bytes data,
                                      struct owm_error *error);

/** owm_ots_serialise: canonical bytes. data  malloc'ed; caller frees.
 *  Returns: OWM_OK; OWM_E_STATE a node leads nowhere; OWM_E_LIMIT over the largest file;
 *  OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_serialise(const struct owm_ots_tree *tree, uint8_t **data,
                                          size_t *bytes, struct owm_error *error);

/** owm_ots_proof: a detached proof. Caller-owned. The root's message is the file's digest. */
struct owm_ots_proof {
    uint8_t file_op; /* The hash that the file went through. */
    struct owm_ots_tree tree;
    uint8_t *original; /* As read: kept, because others need not write canonically. */
    size_t original_bytes;
    bool canonical; /* Writing what was read gives the same bytes. */
};

/** owm_ots_proof_init: nothing but a digest. Returns: OWM_OK; OWM_E_PROTO file_op is no hash, or
 *  the digest is not of its length; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_proof_init(struct owm_ots_proof *proof, uint8_t file_op,
                                           struct owm_ots_bytes digest, struct owm_error *error);

/** owm_ots_proof_read: the bytes of a .ots file. Returns: as owm_ots_parse; after a failure nothing
 *  needs a deinit. */
OWM_MUST_USE owm_status owm_ots_proof_read(const void *data, size_t bytes,
                                           struct owm_ots_proof *proof, struct owm_error *error);

/** owm_ots_proof_write: the bytes for a .ots file: the original ones unless something was added.
 *  data  malloc'ed; caller frees.   Returns: as owm_ots_serialise. */
OWM_MUST_USE owm_status owm_ots_proof_write(const struct owm_ots_proof *proof, uint8_t **data,
                                            size_t *bytes, struct owm_error *error);

void owm_ots_proof_deinit(struct owm_ots_proof *proof); /**< Safe on a zeroed one, and twice. */

#endif

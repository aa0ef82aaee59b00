/* proof_internal.h: the bytes of a proof while they are read. Private to dataplane/ots. */
#ifndef OWM_OTS_PROOF_INTERNAL_H
#define OWM_OTS_PROOF_INTERNAL_H

#include "tree.h"

struct input {
    struct owm_ots_bytes data;
    uint32_t at;
    size_t offset; /* Of data in the file, for sentences. */
};

/* input_take: the next bytes, or a sentence that says inside what the proof ends. */
OWM_MUST_USE owm_status input_take(struct input *in, uint32_t bytes, const char *what,
                                   const uint8_t **view, struct owm_error *error);

/* input_tree: items at the root of `tree`, to the last byte. */
OWM_MUST_USE owm_status input_tree(struct input *in, struct owm_ots_tree *tree,
                                   struct owm_error *error);

#endif

/* text.h: a shard of training text: bytes in one block, and batches drawn from it by a seed. */
#ifndef OWM_MODEL_TEXT_H
#define OWM_MODEL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_TEXT_BYTES_MAX (UINT64_C(1) << 32)
#define OWM_TEXT_FILES_MAX 65536u

/** owm_text: caller-owned, open to close. */
struct owm_text {
    const uint8_t *bytes;
    size_t count;
    void *owned; /* What close frees or unmaps; NULL when borrowed. */
    size_t mapped_bytes;
};

/** owm_text_from_bytes: Keeps: bytes, until close. */
void owm_text_from_bytes(struct owm_text *text, const uint8_t *bytes, size_t count);

/** owm_text_from_fd: map a regular file or memfd read-only; fd may be closed at once.
 *  Returns: OWM_E_IO; OWM_E_ARG empty; OWM_E_LIMIT. */
OWM_MUST_USE owm_status owm_text_from_fd(struct owm_text *text, int fd, struct owm_error *error);

/** owm_text_from_files: the files one after the other, in the order given, up to bytes_max (0: the
 *  limit above). A file that cannot be read fails the call by name.
 *  Returns: OWM_E_IO; OWM_E_ARG nothing in them; OWM_E_LIMIT; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_text_from_files(struct owm_text *text, const char *const *paths,
                                            size_t path_count, uint64_t bytes_max,
                                            struct owm_error *error);

void owm_text_close(struct owm_text *text);

/** owm_text_batch: batch windows of seq + 1 bytes, drawn uniformly. Step s of a seed is the same
 *  batch on every machine, whichever steps were drawn before.
 *  tokens  [batch][seq + 1]; written.   Returns: OWM_E_ARG fewer than seq + 1 bytes of text. */
OWM_MUST_USE owm_status owm_text_batch(const struct owm_text *text, uint64_t seed, uint64_t step,
                                       uint32_t batch, uint32_t seq, uint16_t *tokens);

#endif

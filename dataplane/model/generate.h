/* generate.h: text from a model, one byte per call (SRS-MODEL-04).
 *
 *     owm_session_open(&s, model, &sampling, &error);
 *     owm_session_feed(s, prompt, prompt_bytes);
 *     while (owm_session_next(s, &byte) == OWM_OK) send(byte);
 *
 * A session owns its KV cache. When the context is full it goes on with the last half of it, so a
 * stream has no end of its own: the caller counts. Deterministic: same weights, prompt, sampling
 * and machine give the same bytes.
 */
#ifndef OWM_MODEL_GENERATE_H
#define OWM_MODEL_GENERATE_H

#include "dataplane/model/model.h"

typedef struct owm_session owm_session;

/** owm_sampling: temperature 0 takes the most likely byte; top_k 0 means all. */
struct owm_sampling {
    float temperature;
    uint32_t top_k;
    uint64_t seed;
};

/** owm_session_open: Keeps: model, until close; its weights may change between tokens only if the
 *  caller accepts a mixed cache.   Returns: OWM_E_ARG temperature negative or not finite, or a
 *  vocabulary below 256; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_session_open(owm_session **session, owm_model *model,
                                         const struct owm_sampling *sampling,
                                         struct owm_error *error);
void owm_session_close(owm_session *session); /* NULL is allowed. */

/** owm_session_feed: read bytes as if they had been generated. Only the last `context` count. */
OWM_MUST_USE owm_status owm_session_feed(owm_session *session, const uint8_t *bytes, size_t count);

/** owm_session_next: sample one byte and feed it.
 *  Returns: OWM_E_STATE nothing fed yet, or the model gives no finite logits; OWM_E_DEVICE. */
OWM_MUST_USE owm_status owm_session_next(owm_session *session, uint8_t *byte);

#endif

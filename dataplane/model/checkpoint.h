/* checkpoint.h: flat weights to and from a safetensors file, without a device. For whoever moves
 * weights but does not run them: the coordinator that aggregates, the node that applies a delta.
 */
#ifndef OWM_MODEL_CHECKPOINT_H
#define OWM_MODEL_CHECKPOINT_H

#include "dataplane/model/config.h"
#include "dataplane/model/safetensors.h"

/** owm_checkpoint_config: the config in the metadata, checked, and the file's tensors against it.
 *  Returns: OWM_E_PROTO; OWM_E_CONFIG. */
OWM_MUST_USE owm_status owm_checkpoint_config(const owm_safetensors *file,
                                              struct owm_model_config *config,
                                              struct owm_error *error);

/** owm_checkpoint_params: the flat vector of a file that passed owm_checkpoint_config.
 *  params  [owm_model_config_params]; written.   Returns: OWM_E_PROTO for a weight that is not
 *  finite, with its tensor. */
OWM_MUST_USE owm_status owm_checkpoint_params(const owm_safetensors *file,
                                              const struct owm_model_config *config, float *params,
                                              struct owm_error *error);

/** owm_checkpoint_load: both in one call. params  malloc'ed; the caller frees. */
OWM_MUST_USE owm_status owm_checkpoint_load(const char *path, struct owm_model_config *config,
                                            float **params, struct owm_error *error);

/** owm_checkpoint_encode / _save: as owm_safetensors_encode and _write, f32. */
OWM_MUST_USE owm_status owm_checkpoint_encode(const struct owm_model_config *config,
                                              const float *params, uint8_t **bytes, size_t *count,
                                              struct owm_error *error);
OWM_MUST_USE owm_status owm_checkpoint_save(const char *path, const struct owm_model_config *config,
                                            const float *params, struct owm_error *error);

#endif

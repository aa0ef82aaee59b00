/* fuzz_safetensors.c: a checkpoint file of any bytes: refused, or read to its last weight. */
#include <stdlib.h>

#include "dataplane/model/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    owm_safetensors *file;
    struct owm_error error;
    struct owm_model_config config;
    if (owm_safetensors_open_bytes(&file, bytes, count, &error) != OWM_OK) return 0;
    const struct owm_tensor *t;
    for (size_t i = 0; (t = owm_safetensors_at(file, i)); i++) {
        float *values = malloc(t->count * sizeof *values);
        if (values) owm_tensor_read_f32(t, values);
        free(values);
    }
    if (owm_checkpoint_config(file, &config, &error) == OWM_OK) {
        float *params = malloc(owm_model_config_params(&config) * sizeof *params);
        if (params) (void)!owm_checkpoint_params(file, &config, params, &error);
        free(params);
    }
    owm_safetensors_close(file);
    return 0;
}

/* checkpoint.c: a config and its flat weights as a safetensors file. */
#include "checkpoint.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define FORMAT                                                                                     \
    "owm-decoder-1" /* Names, order and meaning of the tensors; raised when they change. */

/** u32_fields: the sizes in a config, by metadata key. */
struct u32_field {
    const char *key;
    size_t offset;
};
static const struct u32_field u32_fields[] = {
    {"vocab", offsetof(struct owm_model_config, vocab)},
    {"dim", offsetof(struct owm_model_config, dim)},
    {"layers", offsetof(struct owm_model_config, layers)},
    {"heads", offsetof(struct owm_model_config, heads)},
    {"kv_heads", offsetof(struct owm_model_config, kv_heads)},
    {"ffn_dim", offsetof(struct owm_model_config, ffn_dim)},
    {"context", offsetof(struct owm_model_config, context)},
};
enum { U32_FIELDS = sizeof u32_fields / sizeof *u32_fields };

static owm_status missing(struct owm_error *error, const char *key)
{
    return owm_fail(error, OWM_E_PROTO, "checkpoint: metadata '%s' is missing or malformed", key);
}

static owm_status read_u32(const owm_safetensors *file, const char *key, uint32_t *out,
                           struct owm_error *error)
{
    const char *text = owm_safetensors_metadata(file, key);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    if (digits == 0 || digits > 9 || text[digits]) return missing(error, key);
    *out = (uint32_t)strtoul(text, NULL, 10);
    return OWM_OK;
}

static owm_status read_float(const owm_safetensors *file, const char *key, float *out,
                             struct owm_error *error)
{
    const char *text = owm_safetensors_metadata(file, key);
    char *end = NULL;
    if (!text || !isdigit((unsigned char)*text)) return missing(error, key);
    *out = strtof(text, &end);
    return *end ? missing(error, key) : OWM_OK;
}

/** check_tensors: those of the config, each with its shape, and no other. */
static owm_status check_tensors(const owm_safetensors *file, const struct owm_model_config *config,
                                struct owm_error *error)
{
    struct owm_tensor_range table[OWM_MODEL_TENSORS_MAX];
    uint32_t count = owm_model_tensors(config, table);
    for (uint32_t i = 0; i < count; i++) {
        const struct owm_tensor *t = owm_safetensors_find(file, table[i].name);
        if (!t)
            return owm_fail(error, OWM_E_PROTO, "checkpoint: tensor '%s' is missing",
                            table[i].name);
        uint32_t rank = table[i].cols ? 2 : 1;
        if (t->rank != rank || t->shape[0] != table[i].rows
            || (rank == 2 && t->shape[1] != table[i].cols))
            return owm_fail(error, OWM_E_PROTO,
                            "checkpoint: the shape of '%s' is not that of the "
                            "config, %u x %u",
                            t->name, table[i].rows, table[i].cols);
    }
    if (owm_safetensors_at(file, count))
        return owm_fail(error, OWM_E_PROTO,
                        "checkpoint: it has tensors beyond those of its config");
    return OWM_OK;
}

owm_status owm_checkpoint_config(const owm_safetensors *file, struct owm_model_config *config,
                                 struct owm_error *error)
{
    const char *format = owm_safetensors_metadata(file, "format");
    *config = (struct owm_model_config){0};
    if (!format || strcmp(format, FORMAT) != 0)
        return owm_fail(error, OWM_E_PROTO, "checkpoint: format is '%.32s', not '%s'",
                        format ? format : "", FORMAT);
    owm_status status = OWM_OK;
    for (int i = 0; i < U32_FIELDS && status == OWM_OK; i++)
        status = read_u32(file, u32_fields[i].key,
                          (uint32_t *)((char *)config + u32_fields[i].offset), error);
    if (status == OWM_OK) status = read_float(file, "rope_theta", &config->rope_theta, error);
    if (status == OWM_OK) status = read_float(file, "norm_eps", &config->norm_eps, error);
    if (status == OWM_OK) status = owm_model_config_check(config, error);
    if (status == OWM_OK) status = check_tensors(file, config, error);
    return status;
}

owm_status owm_checkpoint_params(const owm_safetensors *file, const struct owm_model_config *config,
                                 float *params, struct owm_error *error)
{
    struct owm_tensor_range table[OWM_MODEL_TENSORS_MAX];
    uint32_t count = owm_model_tensors(config, table);
    for (uint32_t i = 0; i < count; i++) {
        float *out = params + table[i].offset;
        owm_tensor_read_f32(owm_safetensors_find(file, table[i].name), out);
        for (uint64_t k = 0; k < table[i].count; k++)
            if (!isfinite(out[k]))
                return owm_fail(error, OWM_E_PROTO, "checkpoint: weight %llu of '%s' is not finite",
                                (unsigned long long)k, table[i].name);
    }
    return OWM_OK;
}

owm_status owm_checkpoint_load(const char *path, struct owm_model_config *config, float **params,
                               struct owm_error *error)
{
    owm_safetensors *file;
    *params = NULL;
    owm_status status = owm_safetensors_open_file(&file, path, error);
    if (status != OWM_OK) return status;
    status = owm_checkpoint_config(file, config, error);
    if (status == OWM_OK) {
        *params = malloc(owm_model_config_params(config) * sizeof **params);
        status = *params ? owm_checkpoint_params(file, config, *params, error)
                         : owm_fail(error, OWM_E_NOMEM, "checkpoint: no memory for the weights");
    }
    owm_safetensors_close(file);
    if (status != OWM_OK) {
        free(*params);
        *params = NULL;
    }
    return status;
}

/** write_metadata: the config as text; 9 digits carry every f32. Returns the count. */
static size_t write_metadata(const struct owm_model_config *config, struct owm_metadata *out)
{
    size_t n = 0;
    out[n++] = (struct owm_metadata){"format", FORMAT};
    for (int i = 0; i < U32_FIELDS; i++, n++) {
        out[n] = (struct owm_metadata){0};
        (void)snprintf(out[n].key, sizeof out[n].key, "%s", u32_fields[i].key);
        (void)snprintf(out[n].value, sizeof out[n].value, "%u",
                       *(const uint32_t *)((const char *)config + u32_fields[i].offset));
    }
    out[n] = (struct owm_metadata){.key = "rope_theta"};
    (void)snprintf(out[n].value, sizeof out[n].value, "%.9g", (double)config->rope_theta);
    n++;
    out[n] = (struct owm_metadata){.key = "norm_eps"};
    (void)snprintf(out[n].value, sizeof out[n].value, "%.9g", (double)config->norm_eps);
    return n + 1;
}

owm_status owm_checkpoint_encode(const struct owm_model_config *config, const float *params,
                                 uint8_t **bytes, size_t *count, struct owm_error *error)
{
    struct owm_metadata metadata[U32_FIELDS + 3];
    struct owm_tensor_range table[OWM_MODEL_TENSORS_MAX];
    owm_status status = owm_model_config_check(config, error);
    if (status != OWM_OK) return status;
    uint32_t tensor_count = owm_model_tensors(config, table);
    struct owm_tensor *tensors = calloc(tensor_count, sizeof *tensors);
    if (!tensors) return owm_fail(error, OWM_E_NOMEM, "checkpoint: no memory");
    for (uint32_t i = 0; i < tensor_count; i++) {
        tensors[i] = (struct owm_tensor){.rank = table[i].cols ? 2 : 1,
                                         .shape = {table[i].rows, table[i].cols},
                                         .count = table[i].count,
                                         .data = params + table[i].offset};
        memcpy(tensors[i].name, table[i].name, sizeof table[i].name);
    }
    struct owm_safetensors_content content = {tensors, tensor_count, metadata,
                                              write_metadata(config, metadata)};
    status = owm_safetensors_encode(&content, bytes, count, error);
    free(tensors);
    return status;
}

owm_status owm_checkpoint_save(const char *path, const struct owm_model_config *config,
                               const float *params, struct owm_error *error)
{
    uint8_t *bytes;
    size_t count;
    owm_status status = owm_checkpoint_encode(config, params, &bytes, &count, error);
    if (status != OWM_OK) return status;
    status = owm_fs_write_atomic(path, bytes, count, 0644, error);
    free(bytes);
    return status;
}

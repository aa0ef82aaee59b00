/* safetensors.h: read and write the safetensors format (huggingface/safetensors, format of 0.4).
 *
 *   u64 LE header bytes | JSON header, padded with spaces | tensor data
 *
 * Reading is for hostile files: the header is checked completely before anything is used, no
 * allocation exceeds the limits below, tensor data is never copied. As in the reference reader the
 * tensors must cover the data exactly: no hole, no overlap, no rest.
 */
#ifndef OWM_MODEL_SAFETENSORS_H
#define OWM_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_SAFETENSORS_HEADER_BYTES_MAX (1u << 20)
#define OWM_SAFETENSORS_TENSORS_MAX      4096u
#define OWM_SAFETENSORS_METADATA_MAX     64u
#define OWM_SAFETENSORS_RANK_MAX         4u
#define OWM_SAFETENSORS_NAME_BYTES_MAX   128u /* With the final 0; for names and metadata keys. */
#define OWM_SAFETENSORS_VALUE_BYTES_MAX  1024u

typedef enum owm_dtype { OWM_DTYPE_F32, OWM_DTYPE_BF16 } owm_dtype;

struct owm_tensor {
    char name[OWM_SAFETENSORS_NAME_BYTES_MAX];
    owm_dtype dtype;
    uint32_t rank;
    uint64_t shape[OWM_SAFETENSORS_RANK_MAX];
    uint64_t count;   /* Elements. */
    const void *data; /* Little-endian; aligned to 1 only. */
};

struct owm_metadata {
    char key[OWM_SAFETENSORS_NAME_BYTES_MAX];
    char value[OWM_SAFETENSORS_VALUE_BYTES_MAX];
};

typedef struct owm_safetensors owm_safetensors;

/** owm_safetensors_open_bytes: check the header. Keeps: bytes, until close.
 *  Returns: OWM_E_PROTO with the reason and the offset for every malformed header; OWM_E_LIMIT for
 *  a well-formed one beyond the limits above; OWM_E_UNSUPPORTED for another dtype; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_safetensors_open_bytes(owm_safetensors **file, const void *bytes,
                                                   size_t count, struct owm_error *error);

/** owm_safetensors_open_file / _fd: the same over a read-only map. fd stays the caller's and may be
 *  closed at once; the file must not shrink while open (give a sealed memfd or an immutable blob).
 *  Returns: as above; OWM_E_IO; OWM_E_NOTFOUND. */
OWM_MUST_USE owm_status owm_safetensors_open_file(owm_safetensors **file, const char *path,
                                                  struct owm_error *error);
OWM_MUST_USE owm_status owm_safetensors_open_fd(owm_safetensors **file, int fd,
                                                struct owm_error *error);

void owm_safetensors_close(owm_safetensors *file); /* NULL is allowed. */

/** Tensors in the order of their data. NULL past the end, or when there is no such name or key. */
const struct owm_tensor *owm_safetensors_at(const owm_safetensors *file, size_t index);
const struct owm_tensor *owm_safetensors_find(const owm_safetensors *file, const char *name);
const char *owm_safetensors_metadata(const owm_safetensors *file, const char *key);

/** owm_tensor_read_f32: all elements as f32 (BF16 widened). out  [tensor->count]; written. */
void owm_tensor_read_f32(const struct owm_tensor *tensor, float *out);

/** owm_safetensors_content: what a writer writes. Tensors and metadata in any order: both are
 *  sorted by name, so the same weights give the same bytes and the same SHA-256 (SRS-MODEL-09).
 *  A tensor's data is f32 in host memory; dtype says how it is stored (BF16: nearest even). */
struct owm_safetensors_content {
    const struct owm_tensor *tensors;
    size_t tensor_count;
    const struct owm_metadata *metadata;
    size_t metadata_count;
};

/** owm_safetensors_encode: the whole file in one malloc'ed block; the caller frees it.
 *  Returns: OWM_E_ARG duplicate or unprintable names, counts beyond the limits; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_safetensors_encode(const struct owm_safetensors_content *content,
                                               uint8_t **bytes, size_t *count,
                                               struct owm_error *error);

/** owm_safetensors_write: encode, then write beside `path`, sync and rename: whole or not at all.
 *  Returns: as encode; OWM_E_IO. */
OWM_MUST_USE owm_status owm_safetensors_write(const char *path,
                                              const struct owm_safetensors_content *content,
                                              struct owm_error *error);

#endif

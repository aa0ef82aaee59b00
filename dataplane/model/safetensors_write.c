/* safetensors_write.c: the same tensors in, the same bytes out, whatever their order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "safetensors.h"

/** plain: printable ASCII without what JSON would have to escape. */
static bool plain(const char *text, size_t room)
{
    size_t i = 0;
    for (; i < room && text[i]; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') return false;
    return i > 0 && i < room;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct owm_tensor *const *)a)->name,
                  (*(const struct owm_tensor *const *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct owm_metadata *const *)a)->key,
                  (*(const struct owm_metadata *const *)b)->key);
}

/** sorted: pointers to the content in the order of the file. */
struct sorted {
    const struct owm_tensor **tensors;
    const struct owm_metadata **metadata;
    size_t tensor_count, metadata_count;
};

static owm_status check_sorted(const struct sorted *s, struct owm_error *error)
{
    for (size_t i = 0; i < s->tensor_count; i++) {
        const struct owm_tensor *t = s->tensors[i];
        if (!plain(t->name, sizeof t->name) || strcmp(t->name, "__metadata__") == 0
            || (i && strcmp(s->tensors[i - 1]->name, t->name) == 0))
            return owm_fail(error, OWM_E_ARG,
                            "safetensors: '%.64s' is no name for a tensor, or is there twice",
                            t->name);
    }
    for (size_t i = 0; i < s->metadata_count; i++) {
        const struct owm_metadata *m = s->metadata[i];
        if (!plain(m->key, sizeof m->key) || !plain(m->value, sizeof m->value)
            || (i && strcmp(s->metadata[i - 1]->key, m->key) == 0))
            return owm_fail(error, OWM_E_ARG,
                            "safetensors: metadata '%.64s' is not plain text, or is there twice",
                            m->key);
    }
    return OWM_OK;
}

static size_t stored_bytes(const struct owm_tensor *t)
{
    return t->count * (t->dtype == OWM_DTYPE_F32 ? 4 : 2);
}

static void print_tensor(FILE *out, const struct owm_tensor *t, size_t at)
{
    fprintf(out, "\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name,
            t->dtype == OWM_DTYPE_F32 ? "F32" : "BF16");
    for (uint32_t d = 0; d < t->rank; d++) fprintf(out, "%s%" PRIu64, d ? "," : "", t->shape[d]);
    fprintf(out, "],\"data_offsets\":[%zu,%zu]}", at, at + stored_bytes(t));
}

/** header_text: the JSON, padded so that the data begins at a multiple of 8. malloc'ed. */
static owm_status header_text(const struct sorted *s, char **text, size_t *count)
{
    FILE *out = open_memstream(text, count);
    if (!out) return OWM_E_NOMEM;
    size_t at = 0;
    fputc('{', out);
    if (s->metadata_count) fputs("\"__metadata__\":{", out);
    for (size_t i = 0; i < s->metadata_count; i++)
        fprintf(out, "%s\"%s\":\"%s\"", i ? "," : "", s->metadata[i]->key, s->metadata[i]->value);
    if (s->metadata_count) fputc('}', out);
    for (size_t i = 0; i < s->tensor_count; i++) {
        if (i || s->metadata_count) fputc(',', out);
        print_tensor(out, s->tensors[i], at);
        at += stored_bytes(s->tensors[i]);
    }
    fputc('}', out);
    for (long used = ftell(out); used % 8; used++) fputc(' ', out);
    return fclose(out) == 0 ? OWM_OK : OWM_E_NOMEM;
}

/** store: f32 to the file's dtype, little-endian; BF16 rounds to nearest, ties to even. */
static void store(uint8_t *to, const struct owm_tensor *t)
{
    const float *from = t->data;
    size_t width = t->dtype == OWM_DTYPE_F32 ? 4 : 2;
    for (uint64_t i = 0; i < t->count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], 4);
        if (width == 2) {
            bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
            bits = nan ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
        }
        for (size_t b = 0; b < width; b++) to[width * i + b] = (uint8_t)(bits >> 8 * b);
    }
}

static owm_status assemble(const struct sorted *s, uint8_t **bytes, size_t *count,
                           struct owm_error *error)
{
    char *text = NULL;
    size_t text_bytes = 0, total = 8;
    if (header_text(s, &text, &text_bytes) != OWM_OK) {
        free(text);
        return owm_fail(error, OWM_E_NOMEM, "safetensors: no memory for the header");
    }
    if (text_bytes > OWM_SAFETENSORS_HEADER_BYTES_MAX) {
        free(text);
        return owm_fail(error, OWM_E_ARG, "safetensors: a header above %u bytes",
                        OWM_SAFETENSORS_HEADER_BYTES_MAX);
    }
    total += text_bytes;
    for (size_t i = 0; i < s->tensor_count; i++) total += stored_bytes(s->tensors[i]);
    uint8_t *out = malloc(total);
    if (!out) {
        free(text);
        return owm_fail(error, OWM_E_NOMEM, "safetensors: no memory for %zu bytes", total);
    }
    for (int b = 0; b < 8; b++) out[b] = (uint8_t)((uint64_t)text_bytes >> 8 * b);
    memcpy(out + 8, text, text_bytes);
    free(text);
    uint8_t *at = out + 8 + text_bytes;
    for (size_t i = 0; i < s->tensor_count; at += stored_bytes(s->tensors[i]), i++)
        store(at, s->tensors[i]);
    *bytes = out;
    *count = total;
    return OWM_OK;
}

owm_status owm_safetensors_encode(const struct owm_safetensors_content *content, uint8_t **bytes,
                                  size_t *count, struct owm_error *error)
{
    if (content->tensor_count > OWM_SAFETENSORS_TENSORS_MAX
        || content->metadata_count > OWM_SAFETENSORS_METADATA_MAX)
        return owm_fail(error, OWM_E_ARG, "safetensors: more than %u tensors or %u metadata keys",
                        OWM_SAFETENSORS_TENSORS_MAX, OWM_SAFETENSORS_METADATA_MAX);
    struct sorted s = {.tensor_count = content->tensor_count,
                       .metadata_count = content->metadata_count};
    s.tensors = calloc(s.tensor_count + 1, sizeof *s.tensors);
    s.metadata = calloc(s.metadata_count + 1, sizeof *s.metadata);
    owm_status status = OWM_E_NOMEM;
    if (!s.tensors || !s.metadata) {
        (void)owm_fail(error, status, "safetensors: no memory");
        goto out;
    }
    for (size_t i = 0; i < s.tensor_count; i++) s.tensors[i] = &content->tensors[i];
    for (size_t i = 0; i < s.metadata_count; i++) s.metadata[i] = &content->metadata[i];
    qsort(s.tensors, s.tensor_count, sizeof *s.tensors, by_name);
    qsort(s.metadata, s.metadata_count, sizeof *s.metadata, by_key);
    status = check_sorted(&s, error);
    if (status == OWM_OK) status = assemble(&s, bytes, count, error);
out:
    free(s.tensors);
    free(s.metadata);
    return status;
}

owm_status owm_safetensors_write(const char *path, const struct owm_safetensors_content *content,
                                 struct owm_error *error)
{
    uint8_t *bytes;
    size_t count;
    owm_status status = owm_safetensors_encode(content, &bytes, &count, error);
    if (status != OWM_OK) return status;
    status = owm_fs_write_atomic(path, bytes, count, 0644, error);
    free(bytes);
    return status;
}

/* safetensors.c: reading files that are not trusted. Writing is safetensors_write.c. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/json.h"

struct owm_safetensors {
    const uint8_t *bytes;
    size_t count;
    void *map; /* What close unmaps; NULL when the bytes are the caller's. */
    const uint8_t *data;
    size_t data_bytes;
    struct owm_tensor *tensors;
    size_t tensor_count;
    struct owm_metadata *metadata;
    size_t metadata_count;
};

static size_t dtype_bytes(owm_dtype dtype)
{
    return dtype == OWM_DTYPE_F32 ? 4 : 2;
}

/** copy_text: a JSON string into a fixed field. */
static bool copy_text(char *to, size_t room, const char *from)
{
    size_t count = strlen(from);
    if (count >= room) return false;
    memcpy(to, from, count + 1);
    return true;
}

static owm_status read_metadata(owm_safetensors *f, json_t *object, struct owm_error *error)
{
    if (!json_is_object(object))
        return owm_fail(error, OWM_E_PROTO, "safetensors: __metadata__ is no object");
    if (json_object_size(object) > OWM_SAFETENSORS_METADATA_MAX)
        return owm_fail(error, OWM_E_LIMIT, "safetensors: more than %u metadata keys",
                        OWM_SAFETENSORS_METADATA_MAX);
    f->metadata = calloc(json_object_size(object) + 1, sizeof *f->metadata);
    if (!f->metadata) return owm_fail(error, OWM_E_NOMEM, "safetensors: no memory for metadata");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        struct owm_metadata *m = &f->metadata[f->metadata_count++];
        if (!json_is_string(value))
            return owm_fail(error, OWM_E_PROTO, "safetensors: metadata '%.64s' is no string", key);
        if (!copy_text(m->key, sizeof m->key, key)
            || !copy_text(m->value, sizeof m->value, json_string_value(value)))
            return owm_fail(error, OWM_E_LIMIT, "safetensors: metadata '%.64s' is too long", key);
    }
    return OWM_OK;
}

static owm_status read_dtype(struct owm_tensor *t, const json_t *value, struct owm_error *error)
{
    const char *name = json_string_value(value);
    if (!name) return owm_fail(error, OWM_E_PROTO, "safetensors: '%s' has no dtype", t->name);
    t->dtype = OWM_DTYPE_F32;
    if (strcmp(name, "F32") == 0) return OWM_OK;
    t->dtype = OWM_DTYPE_BF16;
    if (strcmp(name, "BF16") == 0) return OWM_OK;
    return owm_fail(error, OWM_E_UNSUPPORTED,
                    "safetensors: '%s' has dtype %.16s; this reader knows F32 and BF16", t->name,
                    name);
}

static owm_status read_shape(struct owm_tensor *t, const json_t *shape, struct owm_error *error)
{
    if (!json_is_array(shape))
        return owm_fail(error, OWM_E_PROTO, "safetensors: '%s' has no shape", t->name);
    if (json_array_size(shape) > OWM_SAFETENSORS_RANK_MAX)
        return owm_fail(error, OWM_E_LIMIT, "safetensors: '%s' has more than %u dimensions",
                        t->name, OWM_SAFETENSORS_RANK_MAX);
    t->rank = (uint32_t)json_array_size(shape);
    t->count = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        const json_t *side = json_array_get(shape, i);
        if (!json_is_integer(side) || json_integer_value(side) <= 0)
            return owm_fail(error, OWM_E_PROTO,
                            "safetensors: '%s' has a dimension that is no positive integer",
                            t->name);
        t->shape[i] = (uint64_t)json_integer_value(side);
        if (__builtin_mul_overflow(t->count, t->shape[i], &t->count) || t->count > SIZE_MAX / 4)
            return owm_fail(error, OWM_E_PROTO, "safetensors: the shape of '%s' overflows",
                            t->name);
    }
    return OWM_OK;
}

/** read_offsets: data_offsets must lie in the file and be as long as the shape says. */
static owm_status read_offsets(const owm_safetensors *f, struct owm_tensor *t,
                               const json_t *offsets, struct owm_error *error)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return owm_fail(error, OWM_E_PROTO,
                        "safetensors: data_offsets of '%s' are not two integers", t->name);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > f->data_bytes)
        return owm_fail(error, OWM_E_PROTO,
                        "safetensors: '%s' lies at %lld..%lld, outside of the %zu data bytes",
                        t->name, (long long)begin, (long long)end, f->data_bytes);
    if ((uint64_t)(end - begin) != t->count * dtype_bytes(t->dtype))
        return owm_fail(error, OWM_E_PROTO,
                        "safetensors: '%s' has %" PRId64 " bytes, its shape needs %" PRIu64,
                        t->name, (int64_t)(end - begin), t->count * dtype_bytes(t->dtype));
    t->data = f->data + begin;
    return OWM_OK;
}

static owm_status read_tensor(owm_safetensors *f, const char *name, json_t *entry,
                              struct owm_error *error)
{
    struct owm_tensor *t = &f->tensors[f->tensor_count++];
    if (!copy_text(t->name, sizeof t->name, name))
        return owm_fail(error, OWM_E_LIMIT, "safetensors: tensor name '%.64s' is too long", name);
    if (!json_is_object(entry))
        return owm_fail(error, OWM_E_PROTO, "safetensors: '%s' is no object", t->name);
    if (json_object_size(entry) != 3)
        return owm_fail(error, OWM_E_PROTO,
                        "safetensors: '%s' must have dtype, shape and data_offsets, only", t->name);
    owm_status status = read_dtype(t, json_object_get(entry, "dtype"), error);
    if (status == OWM_OK) status = read_shape(t, json_object_get(entry, "shape"), error);
    if (status == OWM_OK)
        status = read_offsets(f, t, json_object_get(entry, "data_offsets"), error);
    return status;
}

static int by_place(const void *a, const void *b)
{
    const struct owm_tensor *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

/** check_cover: sorted by place, the tensors follow each other from the first byte to the last. */
static owm_status check_cover(owm_safetensors *f, struct owm_error *error)
{
    size_t at = 0;
    if (f->tensor_count) qsort(f->tensors, f->tensor_count, sizeof *f->tensors, by_place);
    for (size_t i = 0; i < f->tensor_count; i++) {
        const struct owm_tensor *t = &f->tensors[i];
        size_t begin = (size_t)((const uint8_t *)t->data - f->data);
        if (begin != at)
            return owm_fail(
                error, OWM_E_PROTO, "safetensors: '%s' begins at %zu, %s %zu", t->name, begin,
                begin < at ? "but the tensor before it ends at" : "leaving a hole behind", at);
        at += t->count * dtype_bytes(t->dtype);
    }
    if (at != f->data_bytes)
        return owm_fail(error, OWM_E_PROTO, "safetensors: %zu bytes of data belong to no tensor",
                        f->data_bytes - at);
    return OWM_OK;
}

static owm_status read_header(owm_safetensors *f, json_t *root, struct owm_error *error)
{
    if (!json_is_object(root))
        return owm_fail(error, OWM_E_PROTO, "safetensors: the header is no JSON object");
    if (json_object_size(root) > OWM_SAFETENSORS_TENSORS_MAX + 1)
        return owm_fail(error, OWM_E_LIMIT, "safetensors: more than %u tensors",
                        OWM_SAFETENSORS_TENSORS_MAX);
    f->tensors = calloc(json_object_size(root) + 1, sizeof *f->tensors);
    if (!f->tensors) return owm_fail(error, OWM_E_NOMEM, "safetensors: no memory for the table");
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        owm_status status = strcmp(key, "__metadata__") == 0 ? read_metadata(f, value, error)
                                                             : read_tensor(f, key, value, error);
        if (status != OWM_OK) return status;
    }
    return check_cover(f, error);
}

/** parse: the length field, then the header. */
static owm_status parse(owm_safetensors *f, struct owm_error *error)
{
    if (f->count < 8)
        return owm_fail(error, OWM_E_PROTO, "safetensors: %zu bytes are too few for a header",
                        f->count);
    struct owm_reader r;
    owm_reader_init(&r, f->bytes, f->count);
    uint64_t header = owm_read_u64_le(&r);
    if (header > OWM_SAFETENSORS_HEADER_BYTES_MAX)
        return owm_fail(error, OWM_E_LIMIT,
                        "safetensors: a header of %" PRIu64 " bytes; at most %u", header,
                        OWM_SAFETENSORS_HEADER_BYTES_MAX);
    if (header > f->count - 8)
        return owm_fail(error, OWM_E_PROTO,
                        "safetensors: the header says %" PRIu64 " bytes, %zu are left", header,
                        f->count - 8);
    f->data = f->bytes + 8 + header;
    f->data_bytes = f->count - 8 - (size_t)header;
    if (header == 0 || f->bytes[8] != '{')
        return owm_fail(error, OWM_E_PROTO, "safetensors: the header does not begin with '{'");
    json_t *root = NULL;
    struct owm_error cause = {""};
    owm_status status = owm_json_parse((const char *)f->bytes + 8, (size_t)header,
                                       OWM_SAFETENSORS_HEADER_BYTES_MAX, &root, &cause);
    if (status != OWM_OK) return owm_fail(error, status, "safetensors: header: %.400s", cause.text);
    status = read_header(f, root, error);
    json_decref(root);
    return status;
}

static owm_status open_over(owm_safetensors **file, const void *bytes, size_t count, void *map,
                            struct owm_error *error)
{
    *file = NULL;
    owm_safetensors *f = calloc(1, sizeof *f);
    if (!f) {
        if (map) (void)munmap(map, count);
        return owm_fail(error, OWM_E_NOMEM, "safetensors: no memory");
    }
    f->bytes = bytes;
    f->count = count;
    f->map = map;
    owm_status status = parse(f, error);
    if (status == OWM_OK)
        *file = f;
    else
        owm_safetensors_close(f);
    return status;
}

owm_status owm_safetensors_open_bytes(owm_safetensors **file, const void *bytes, size_t count,
                                      struct owm_error *error)
{
    return open_over(file, bytes, count, NULL, error);
}

owm_status owm_safetensors_open_fd(owm_safetensors **file, int fd, struct owm_error *error)
{
    struct stat st;
    *file = NULL;
    if (fstat(fd, &st) != 0) return owm_fail(error, OWM_E_IO, "safetensors: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return owm_fail(error, OWM_E_IO, "safetensors: the descriptor is no regular file");
    if (st.st_size == 0) return owm_fail(error, OWM_E_PROTO, "safetensors: the file is empty");
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return owm_fail(error, OWM_E_IO, "safetensors: mmap: %s", strerror(errno));
    return open_over(file, map, (size_t)st.st_size, map, error);
}

owm_status owm_safetensors_open_file(owm_safetensors **file, const char *path,
                                     struct owm_error *error)
{
    *file = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return owm_fail(error, errno == ENOENT ? OWM_E_NOTFOUND : OWM_E_IO, "%s: %s", path,
                        strerror(errno));
    owm_status status = owm_safetensors_open_fd(file, fd, error);
    (void)close(fd);
    return status;
}

void owm_safetensors_close(owm_safetensors *f)
{
    if (!f) return;
    if (f->map) (void)munmap(f->map, f->count);
    free(f->tensors);
    free(f->metadata);
    free(f);
}

const struct owm_tensor *owm_safetensors_at(const owm_safetensors *f, size_t index)
{
    return index < f->tensor_count ? &f->tensors[index] : NULL;
}

const struct owm_tensor *owm_safetensors_find(const owm_safetensors *f, const char *name)
{
    for (size_t i = 0; i < f->tensor_count; i++)
        if (strcmp(f->tensors[i].name, name) == 0) return &f->tensors[i];
    return NULL;
}

const char *owm_safetensors_metadata(const owm_safetensors *f, const char *key)
{
    for (size_t i = 0; i < f->metadata_count; i++)
        if (strcmp(f->metadata[i].key, key) == 0) return f->metadata[i].value;
    return NULL;
}

void owm_tensor_read_f32(const struct owm_tensor *t, float *out)
{
    const uint8_t *p = t->data;
    for (uint64_t i = 0; i < t->count; i++) {
        uint32_t bits;
        if (t->dtype == OWM_DTYPE_F32)
            bits = p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16
                   | (uint32_t)p[4 * i + 3] << 24;
        else
            bits = (uint32_t)p[2 * i] << 16 | (uint32_t)p[2 * i + 1] << 24;
        memcpy(&out[i], &bits, 4);
    }
}

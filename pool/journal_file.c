/* journal_file.c: the segments of a folder as files; see journal_file.h. */
#include "journal_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fs.h"
#include "journal_format.h"

#define BUFFER_BYTES      (2 * OWM_JOURNAL_WINDOW_BYTES)
#define NUMBER_DIGITS     16
#define COMPRESSION_LEVEL 3

static owm_status file_failed(const char *folder, const char *name, const char *what,
                              struct owm_error *error)
{
    return owm_fail(error, errno == ENOENT ? OWM_E_NOTFOUND : OWM_E_IO, "journal: %s/%s: %s: %s",
                    folder, name, what, strerror(errno));
}

static char *path_of(const char *folder, const char *name, const char *suffix)
{
    char *path;
    return asprintf(&path, "%s/%s%s", folder, name, suffix) < 0 ? NULL : path;
}

/* ---------------------------------------------------------------------------- list */

static bool read_digits(const char **at, int count, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, ++*at) {
        if (**at < '0' || **at > '9') return false;
        *value = *value * 10 + (uint64_t)(**at - '0');
    }
    return true;
}

static bool parse_name(const char *name, struct owm_journal_segment *segment)
{
    const char *at = name;
    uint64_t loop;
    if (!read_digits(&at, 2, &loop) || *at++ != '-'
        || !read_digits(&at, NUMBER_DIGITS, &segment->number))
        return false;
    segment->loop = (unsigned)loop;
    segment->compressed = strcmp(at, JOURNAL_SUFFIX_ZSTD) == 0;
    segment->newest = false;
    if (!segment->compressed && strcmp(at, JOURNAL_SUFFIX) != 0) return false;
    memcpy(segment->name, name, strlen(name) + 1); /* The suffixes are ours: it fits. */
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct owm_journal_segment *x = a, *y = b;
    if (x->loop != y->loop) return x->loop < y->loop ? -1 : 1;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return (int)x->compressed - (int)y->compressed;
}

/* Sorted; of a segment in both forms, which a crash leaves, the plain one; the newest marked. */
static size_t put_in_order(struct owm_journal_segment *list, size_t count)
{
    size_t kept = 0;
    if (count > 0) qsort(list, count, sizeof(*list), compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || list[kept - 1].loop != list[i].loop
            || list[kept - 1].number != list[i].number)
            list[kept++] = list[i];
    for (size_t i = 0; i < kept; i++)
        list[i].newest = i + 1 == kept || list[i + 1].loop != list[i].loop;
    return kept;
}

static owm_status read_folder(DIR *dir, struct owm_journal_segment **list, size_t *count)
{
    struct owm_journal_segment segment;
    struct dirent *entry;
    size_t room = 0;
    while ((entry = readdir(dir))) {
        if (!parse_name(entry->d_name, &segment)) continue;
        if (*count == OWM_JOURNAL_SEGMENTS_MAX) return OWM_E_LIMIT;
        if (*count == room) {
            room = room ? 2 * room : 64;
            void *more = realloc(*list, room * sizeof(**list));
            if (!more) return OWM_E_NOMEM;
            *list = more;
        }
        (*list)[(*count)++] = segment;
    }
    return OWM_OK;
}

owm_status owm_journal_list(const char *folder, struct owm_journal_segment **segments,
                            size_t *count, struct owm_error *error)
{
    *segments = NULL;
    *count = 0;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) return OWM_OK;
    if (!dir) return file_failed(folder, "", "cannot be read", error);
    owm_status status = read_folder(dir, segments, count);
    closedir(dir);
    if (status != OWM_OK) {
        free(*segments);
        *segments = NULL;
        return owm_fail(error, status, "journal: %s: %s", folder,
                        status == OWM_E_LIMIT ? "too many segments; keep fewer days"
                                              : "out of memory");
    }
    *count = put_in_order(*segments, *count);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- source */

struct owm_journal_source {
    struct owm_journal_header header;
    struct owm_journal_reader *reader;
    char *folder;
    struct owm_journal_segment segment;
    int fd;
    uint64_t offset; /* Of the next batch; buffer + at is what lies there. */
    uint8_t *buffer; /* [BUFFER_BYTES] */
    size_t at, end;
    ZSTD_DStream *zstd;
    uint8_t *packed; /* [ZSTD_DStreamInSize()] */
    ZSTD_inBuffer packed_in;
};

static owm_status fill_plain(struct owm_journal_source *source, struct owm_error *error)
{
    source->at = source->end = 0;
    while (source->end < OWM_JOURNAL_WINDOW_BYTES) {
        ssize_t got = pread(source->fd, source->buffer + source->end, BUFFER_BYTES - source->end,
                            (off_t)(source->offset + source->end));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return file_failed(source->folder, source->segment.name, "cannot be read", error);
        if (got == 0) break;
        source->end += (size_t)got;
    }
    return OWM_OK;
}

/* More compressed bytes; none at the end of the file. */
static owm_status fill_packed(struct owm_journal_source *source, struct owm_error *error)
{
    ssize_t got;
    do got = read(source->fd, source->packed, ZSTD_DStreamInSize());
    while (got < 0 && errno == EINTR);
    if (got < 0) return file_failed(source->folder, source->segment.name, "cannot be read", error);
    source->packed_in = (ZSTD_inBuffer){source->packed, (size_t)got, 0};
    return OWM_OK;
}

static owm_status fill_zstd(struct owm_journal_source *source, struct owm_error *error)
{
    memmove(source->buffer, source->buffer + source->at, source->end - source->at);
    source->end -= source->at;
    source->at = 0;
    while (source->end < OWM_JOURNAL_WINDOW_BYTES) {
        if (source->packed_in.pos == source->packed_in.size) {
            owm_status status = fill_packed(source, error);
            if (status != OWM_OK) return status;
            if (source->packed_in.size == 0) break;
        }
        ZSTD_outBuffer out = {source->buffer, BUFFER_BYTES, source->end};
        size_t left = ZSTD_decompressStream(source->zstd, &out, &source->packed_in);
        if (ZSTD_isError(left))
            return owm_fail(error, OWM_E_IO, "journal: %s/%s: damaged: %s", source->folder,
                            source->segment.name, ZSTD_getErrorName(left));
        source->end = out.pos;
    }
    return OWM_OK;
}

static owm_status fill(struct owm_journal_source *source, struct owm_error *error)
{
    return source->zstd ? fill_zstd(source, error) : fill_plain(source, error);
}

/* The header is durable before anything follows it: without one, nothing is lost with the file. */
static bool header_written(const struct owm_journal_source *source)
{
    static const uint8_t zeros[OWM_JOURNAL_HEADER_BYTES];
    return source->end >= sizeof(zeros) && memcmp(source->buffer, zeros, sizeof(zeros)) != 0;
}

static owm_status begin(struct owm_journal_source *source, struct owm_error *error)
{
    source->buffer = malloc(BUFFER_BYTES);
    if (!source->folder || !source->buffer) return OWM_E_NOMEM;
    if (source->segment.compressed) {
        source->zstd = ZSTD_createDStream();
        source->packed = malloc(ZSTD_DStreamInSize());
        if (!source->zstd || !source->packed) return OWM_E_NOMEM;
    }
    char *path = path_of(source->folder, source->segment.name, "");
    if (!path) return OWM_E_NOMEM;
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (source->fd < 0)
        return file_failed(source->folder, source->segment.name, "cannot be opened", error);
    owm_status status = fill(source, error);
    if (status == OWM_OK && !header_written(source)) return OWM_E_NOTFOUND;
    if (status == OWM_OK) status = owm_journal_header_read(source->buffer, &source->header);
    if (status == OWM_OK) status = owm_journal_reader_open(source->buffer, &source->reader);
    source->at = source->offset = OWM_JOURNAL_HEADER_BYTES;
    if (status == OWM_E_PROTO)
        return owm_fail(error, status, "journal: %s/%s: no whole header", source->folder,
                        source->segment.name);
    return status;
}

owm_status owm_journal_source_open(const char *folder, const struct owm_journal_segment *segment,
                                   struct owm_journal_source **out, struct owm_error *error)
{
    struct owm_journal_source *source = calloc(1, sizeof(*source));
    if (!source) return OWM_E_NOMEM;
    source->fd = -1;
    source->folder = strdup(folder);
    source->segment = *segment;
    owm_status status = begin(source, error);
    if (status != OWM_OK) {
        owm_journal_source_close(source);
        return status;
    }
    *out = source;
    return OWM_OK;
}

void owm_journal_source_close(struct owm_journal_source *source)
{
    if (!source) return;
    if (source->fd >= 0) close(source->fd);
    owm_journal_reader_close(source->reader);
    ZSTD_freeDStream(source->zstd);
    free(source->packed);
    free(source->buffer);
    free(source->folder);
    free(source);
}

const struct owm_journal_header *owm_journal_source_header(const struct owm_journal_source *source)
{
    return &source->header;
}

uint64_t owm_journal_source_offset(const struct owm_journal_source *source)
{
    return source->offset;
}

/* A segment that grows is asked often: one byte tells that nothing has been written there yet. */
static bool nothing_there(const struct owm_journal_source *source)
{
    uint8_t type;
    if (source->zstd) return false;
    ssize_t got = pread(source->fd, &type, 1, (off_t)source->offset);
    return got == 0 || (got == 1 && type == JOURNAL_NONE);
}

static owm_status read_batch(struct owm_journal_source *source, const struct owm_journal_sink *sink)
{
    size_t used = 0;
    owm_status status = owm_journal_reader_batch(source->reader, source->buffer + source->at,
                                                 source->end - source->at, &used, sink);
    source->at += used;
    source->offset += used;
    return status;
}

owm_status owm_journal_source_next(struct owm_journal_source *source,
                                   const struct owm_journal_sink *sink, struct owm_error *error)
{
    owm_status status = read_batch(source, sink);
    if (status == OWM_E_NOTFOUND && !source->zstd) source->at = source->end; /* It may be stale. */
    if (status == OWM_E_NOTFOUND && !nothing_there(source)) {
        status = fill(source, error);
        if (status == OWM_OK) status = read_batch(source, sink);
    }
    if (status == OWM_E_PROTO)
        owm_fail(error, status, "journal: %s/%s: nonsense at byte %llu; keep the file",
                 source->folder, source->segment.name, (unsigned long long)source->offset);
    return status;
}

owm_status owm_journal_source_damaged(struct owm_journal_source *source, bool *damaged,
                                      struct owm_error *error)
{
    const size_t overlap = JOURNAL_RECORD_BYTES + JOURNAL_COMMIT_BYTES - 1;
    owm_status status = source->zstd ? OWM_OK : fill(source, error);
    *damaged = false;
    while (status == OWM_OK && !*damaged) {
        size_t left = source->end - source->at;
        *damaged = owm_journal_has_commit(source->buffer + source->at, left);
        if (left <= overlap || source->end < OWM_JOURNAL_WINDOW_BYTES) break;
        source->at += left - overlap;
        source->offset += left - overlap;
        status = fill(source, error);
    }
    return status;
}

/* ---------------------------------------------------------------------------- compress, remove */

static bool write_out(FILE *out, const ZSTD_outBuffer *buffer)
{
    return fwrite(buffer->dst, 1, buffer->pos, out) == buffer->pos;
}

static bool compress_stream(FILE *in, FILE *out, ZSTD_CCtx *zstd)
{
    static _Thread_local uint8_t plain[1 << 16], packed[1 << 17];
    size_t left;
    bool last;
    do {
        size_t got = fread(plain, 1, sizeof(plain), in);
        if (ferror(in)) return false;
        last = got < sizeof(plain);
        ZSTD_inBuffer from = {plain, got, 0};
        do {
            ZSTD_outBuffer to = {packed, sizeof(packed), 0};
            left = ZSTD_compressStream2(zstd, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
            if (ZSTD_isError(left) || !write_out(out, &to)) return false;
        } while (last ? left > 0 : from.pos < from.size);
    } while (!last);
    return fflush(out) == 0 && fsync(fileno(out)) == 0;
}

static bool compress_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rbe"), *out = fopen(to, "wbe");
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    bool ok = in && out && zstd;
    if (ok) {
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, COMPRESSION_LEVEL);
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
        ok = compress_stream(in, out, zstd);
    }
    int cause = errno;
    ZSTD_freeCCtx(zstd);
    if (in) fclose(in);
    if (out) fclose(out);
    errno = cause;
    return ok;
}

owm_status owm_journal_compress(const char *folder, const struct owm_journal_segment *segment,
                                struct owm_error *error)
{
    if (segment->compressed) return OWM_OK;
    char *from = path_of(folder, segment->name, ""), *to = path_of(folder, segment->name, ".zst");
    char *half = path_of(folder, segment->name, ".half");
    owm_status status = from && to && half ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK && (!compress_file(from, half) || rename(half, to) != 0))
        status = file_failed(folder, segment->name, "cannot be compressed", error);
    if (status == OWM_OK) status = owm_fs_sync_parent(to, error);
    if (status == OWM_OK && unlink(from) != 0)
        status = file_failed(folder, segment->name, "cannot be removed", error);
    if (status != OWM_OK && half) unlink(half);
    free(from);
    free(to);
    free(half);
    return status;
}

owm_status owm_journal_remove(const char *folder, const struct owm_journal_segment *segment,
                              struct owm_error *error)
{
    char *path = path_of(folder, segment->name, "");
    if (!path) return OWM_E_NOMEM;
    owm_status status = OWM_OK;
    if (unlink(path) != 0 && errno != ENOENT)
        status = file_failed(folder, segment->name, "cannot be removed", error);
    free(path);
    return status;
}

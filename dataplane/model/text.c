/* text.c: a shard's bytes, and batches drawn from them. */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"

void owm_text_from_bytes(struct owm_text *text, const uint8_t *bytes, size_t count)
{
    *text = (struct owm_text){.bytes = bytes, .count = count};
}

owm_status owm_text_from_fd(struct owm_text *text, int fd, struct owm_error *error)
{
    struct stat st;
    *text = (struct owm_text){0};
    if (fstat(fd, &st) != 0) return owm_fail(error, OWM_E_IO, "text shard: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return owm_fail(error, OWM_E_IO, "text shard: the descriptor is no regular file");
    if (st.st_size == 0) return owm_fail(error, OWM_E_ARG, "text shard: the file is empty");
    if ((uint64_t)st.st_size > OWM_TEXT_BYTES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "text shard: above %llu bytes; split it",
                        (unsigned long long)OWM_TEXT_BYTES_MAX);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return owm_fail(error, OWM_E_IO, "text shard: mmap: %s", strerror(errno));
    *text = (struct owm_text){map, (size_t)st.st_size, map, (size_t)st.st_size};
    return OWM_OK;
}

/** append_file: read at most `room` bytes of a file to `to`; *count is what came. */
static owm_status append_file(const char *path, uint8_t *to, size_t room, size_t *count,
                              struct owm_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return owm_fail(error, OWM_E_IO, "text shard: %s: %s", path, strerror(errno));
    ssize_t got = 1;
    *count = 0;
    while (*count < room && got != 0) {
        got = read(fd, to + *count, room - *count);
        if (got < 0 && errno != EINTR) break;
        if (got > 0) *count += (size_t)got;
    }
    int cause = errno;
    (void)close(fd);
    if (got < 0) return owm_fail(error, OWM_E_IO, "text shard: %s: %s", path, strerror(cause));
    return OWM_OK;
}

/** total_bytes: sum of the files' sizes, cut at bytes_max. */
static owm_status total_bytes(const char *const *paths, size_t path_count, uint64_t bytes_max,
                              uint64_t *total, struct owm_error *error)
{
    *total = 0;
    for (size_t i = 0; i < path_count && *total < bytes_max; i++) {
        struct stat st;
        if (stat(paths[i], &st) != 0)
            return owm_fail(error, OWM_E_IO, "text shard: %s: %s", paths[i], strerror(errno));
        if (!S_ISREG(st.st_mode))
            return owm_fail(error, OWM_E_IO, "text shard: %s is no regular file", paths[i]);
        *total += (uint64_t)st.st_size;
    }
    if (*total > bytes_max) *total = bytes_max;
    return *total ? OWM_OK
                  : owm_fail(error, OWM_E_ARG, "text shard: nothing in %zu files", path_count);
}

owm_status owm_text_from_files(struct owm_text *text, const char *const *paths, size_t path_count,
                               uint64_t bytes_max, struct owm_error *error)
{
    uint64_t room;
    *text = (struct owm_text){0};
    if (bytes_max == 0 || bytes_max > OWM_TEXT_BYTES_MAX) bytes_max = OWM_TEXT_BYTES_MAX;
    if (path_count > OWM_TEXT_FILES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "text shard: %zu files; at most %u", path_count,
                        OWM_TEXT_FILES_MAX);
    owm_status status = total_bytes(paths, path_count, bytes_max, &room, error);
    if (status != OWM_OK) return status;
    uint8_t *bytes = malloc(room);
    if (!bytes)
        return owm_fail(error, OWM_E_NOMEM, "text shard: no memory for %llu bytes",
                        (unsigned long long)room);
    size_t used = 0;
    for (size_t i = 0; i < path_count && used < room; i++) {
        size_t count = 0;
        status = append_file(paths[i], bytes + used, room - used, &count, error);
        if (status != OWM_OK) {
            free(bytes);
            return status;
        }
        used += count;
    }
    *text = (struct owm_text){.bytes = bytes, .count = used, .owned = bytes};
    return OWM_OK;
}

void owm_text_close(struct owm_text *text)
{
    if (text->mapped_bytes)
        (void)munmap(text->owned, text->mapped_bytes);
    else
        free(text->owned);
    *text = (struct owm_text){0};
}

owm_status owm_text_batch(const struct owm_text *text, uint64_t seed, uint64_t step, uint32_t batch,
                          uint32_t seq, uint16_t *tokens)
{
    size_t window = (size_t)seq + 1;
    if (!batch || !seq || text->count < window) return OWM_E_ARG;
    struct owm_rng rng; /* The golden ratio keeps the seeds of neighbouring steps far apart. */
    owm_rng_seed(&rng, seed ^ (step + 1) * UINT64_C(0x9e3779b97f4a7c15));
    for (size_t b = 0; b < batch; b++) {
        const uint8_t *from = text->bytes + owm_rng_below(&rng, text->count - window + 1);
        for (size_t t = 0; t < window; t++) tokens[b * window + t] = from[t];
    }
    return OWM_OK;
}

/* shard.c: collect text files into a sealed memfd. */
#include "node/shard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "dataplane/model/text.h"

/** build: a shard under construction. */
struct build {
    struct shard *shard;
    uint64_t left;
    struct owm_error *error;
};

static owm_status add_file(struct build *b, const char *path, bool must)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && !must) return OWM_OK; /* An unreadable file inside a folder is passed over. */
    if (fd < 0)
        return owm_fail(b->error, OWM_E_CONFIG, "data.shard_paths: %s: %s", path, strerror(errno));
    owm_status status = OWM_OK;
    uint64_t before = b->left;
    char buffer[65536];
    while (b->left > 0 && status == OWM_OK) {
        size_t want = b->left < sizeof buffer ? (size_t)b->left : sizeof buffer;
        ssize_t got = read(fd, buffer, want);
        if (got <= 0) break;
        if (write(b->shard->fd, buffer, (size_t)got) != got)
            status = owm_fail(b->error, OWM_E_NOMEM,
                              "no memory for the text of data.shard_paths; lower shard_max_mb");
        b->left -= (uint64_t)got;
    }
    close(fd);
    if (before > b->left && ++b->shard->files > OWM_TEXT_FILES_MAX)
        status = owm_fail(b->error, OWM_E_LIMIT, "data.shard_paths has more than %u files",
                          OWM_TEXT_FILES_MAX);
    return status;
}

static owm_status add(struct build *b, const char *path, int depth);

static owm_status add_folder(struct build *b, const char *path, int depth)
{
    struct dirent **names = NULL;
    int count = depth < SHARD_DEPTH_MAX ? scandir(path, &names, NULL, alphasort) : 0;
    owm_status status = OWM_OK;
    for (int i = 0; i < count; i++) {
        char *child = NULL;
        if (status == OWM_OK && names[i]->d_name[0] != '.') {
            if (asprintf(&child, "%s/%s", path, names[i]->d_name) < 0)
                status = OWM_E_NOMEM;
            else
                status = add(b, child, depth + 1);
            free(child);
        }
        free(names[i]);
    }
    free(names);
    return status;
}

/** add: a file or a folder; below the top only real ones, so that links cannot lead elsewhere. */
static owm_status add(struct build *b, const char *path, int depth)
{
    struct stat st;
    int failed = depth == 0 ? stat(path, &st) : lstat(path, &st);
    if (failed && depth == 0)
        return owm_fail(b->error, OWM_E_CONFIG, "data.shard_paths: %s: %s", path, strerror(errno));
    if (failed) return OWM_OK;
    if (S_ISDIR(st.st_mode)) return add_folder(b, path, depth);
    return S_ISREG(st.st_mode) ? add_file(b, path, depth == 0) : OWM_OK;
}

static owm_status add_list(struct build *b, const char *paths)
{
    char *list = strdup(paths), *rest = list;
    owm_status status = list ? OWM_OK : OWM_E_NOMEM;
    for (char *item; status == OWM_OK && (item = strsep(&rest, ",")) != NULL;) {
        while (*item == ' ') item++;
        for (size_t n = strlen(item); n > 0 && item[n - 1] == ' ';) item[--n] = '\0';
        if (*item == '\0') continue;
        char *path = NULL;
        status = owm_fs_expand(item, &path, b->error);
        if (status == OWM_OK) status = add(b, path, 0);
        free(path);
    }
    free(list);
    return status;
}

owm_status shard_open(const char *paths, const char *extra, uint64_t bytes_max, struct shard *shard,
                      struct owm_error *error)
{
    *shard = (struct shard){.fd = -1};
    bool none = (paths == NULL || *paths == '\0') && (extra == NULL || *extra == '\0');
    if (none) return OWM_OK;
    shard->fd = memfd_create("owm-shard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (shard->fd < 0) return owm_fail(error, OWM_E_IO, "memfd_create: %s", strerror(errno));
    struct build b = {shard, bytes_max, error};
    owm_status status = paths ? add_list(&b, paths) : OWM_OK;
    if (status == OWM_OK && extra && *extra) status = add(&b, extra, 0);
    shard->bytes = bytes_max - b.left;
    if (status == OWM_OK && shard->bytes == 0)
        status = owm_fail(error, OWM_E_CONFIG, "data.shard_paths holds no text that can be read");
    int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    if (status == OWM_OK && fcntl(shard->fd, F_ADD_SEALS, seals) != 0)
        status = owm_fail(error, OWM_E_IO, "sealing the shard: %s", strerror(errno));
    if (status != OWM_OK) shard_close(shard);
    return status;
}

void shard_close(struct shard *shard)
{
    if (shard->fd >= 0) close(shard->fd);
    *shard = (struct shard){.fd = -1};
}

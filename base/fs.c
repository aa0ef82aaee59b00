/* fs.c: atomic writes, bounded reads, folders, home expansion. */
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES_FIRST 4096
#define TEMPORARY        ".tmp.XXXXXX" /* behind the path, as mkstemp wants it */

/* Turns errno into a status and a sentence: the one place where this boundary does so. */
static owm_status fail_errno(struct owm_error *error, const char *doing, const char *path)
{
    int code = errno;
    owm_status status = OWM_E_IO;
    if (code == EACCES || code == EPERM || code == EROFS) status = OWM_E_PERM;
    if (code == ENOENT) status = OWM_E_NOTFOUND;
    if (code == EEXIST || code == ENOTDIR) status = OWM_E_EXISTS;
    if (code == ENOMEM) status = OWM_E_NOMEM;
    return owm_fail(error, status, "cannot %s %s: %s", doing, path, strerror(code));
}

char *owm_fs_parent(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    while (end > 0 && path[end - 1] != '/') end--;
    if (end == 0) return strdup(".");
    while (end > 1 && path[end - 1] == '/') end--;
    return strndup(path, end);
}

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(fd, data, bytes);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return -1;
        data += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

owm_status owm_fs_sync_parent(const char *path, struct owm_error *error)
{
    char *folder = owm_fs_parent(path);
    if (!folder) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = OWM_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) status = fail_errno(error, "sync folder", folder);
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

/* Moves the finished temporary file into place; link() is what refuses to replace. */
static owm_status publish(const char *temporary, const char *path, bool replace,
                          struct owm_error *error)
{
    if (replace) {
        if (rename(temporary, path) < 0) return fail_errno(error, "write", path);
        return OWM_OK;
    }
    if (link(temporary, path) < 0) return fail_errno(error, "create", path);
    unlink(temporary);
    return OWM_OK;
}

static owm_status write_file(const char *path, const void *data, size_t bytes, mode_t mode,
                             bool replace, struct owm_error *error)
{
    char *temporary = NULL;
    int fd = -1;
    owm_status status = OWM_OK;
    if (asprintf(&temporary, "%s" TEMPORARY, path) < 0)
        return owm_fail(error, OWM_E_NOMEM, "out of memory");
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        status = fail_errno(error, "write", path);
        free(temporary);
        return status;
    }
    if (fchmod(fd, mode) < 0 || write_all(fd, data, bytes) < 0 || fsync(fd) < 0)
        status = fail_errno(error, "write", path);
    if (close(fd) < 0 && status == OWM_OK) status = fail_errno(error, "write", path);
    if (status == OWM_OK) status = publish(temporary, path, replace, error);
    if (status != OWM_OK)
        unlink(temporary);
    else
        status = owm_fs_sync_parent(path, error);
    free(temporary);
    return status;
}

owm_status owm_fs_write_atomic(const char *path, const void *data, size_t bytes, mode_t mode,
                               struct owm_error *error)
{
    return write_file(path, data, bytes, mode, true, error);
}

owm_status owm_fs_create_atomic(const char *path, const void *data, size_t bytes, mode_t mode,
                                struct owm_error *error)
{
    return write_file(path, data, bytes, mode, false, error);
}

void owm_fs_sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t bytes = strlen(name), tail = strlen(TEMPORARY);
    char *folder = owm_fs_parent(path);
    DIR *dir = folder ? opendir(folder) : NULL;
    free(folder);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strlen(entry->d_name) == bytes + tail && strncmp(entry->d_name, name, bytes) == 0
            && strncmp(entry->d_name + bytes, TEMPORARY, tail - 6) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

/* Reads to the end: the size that stat tells is a hint only (files of /proc say 0). */
static owm_status read_all(int fd, const char *path, size_t size_hint, size_t bytes_max,
                           uint8_t **data, size_t *bytes, struct owm_error *error)
{
    size_t room = size_hint < READ_BYTES_FIRST ? READ_BYTES_FIRST : size_hint;
    if (room > bytes_max) room = bytes_max;
    size_t at = 0;
    uint8_t *buffer = malloc(room + 1);
    owm_status status = buffer ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "out of memory");
    while (status == OWM_OK) {
        ssize_t got = read(fd, buffer + at, room + 1 - at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = fail_errno(error, "read", path);
        if (got <= 0) break;
        at += (size_t)got;
        if (at <= room) continue;
        if (room == bytes_max) {
            status = owm_fail(error, OWM_E_LIMIT, "%s is larger than the %zu bytes allowed here",
                              path, bytes_max);
            break;
        }
        room = room > bytes_max / 2 ? bytes_max : room * 2;
        uint8_t *larger = realloc(buffer, room + 1);
        if (larger)
            buffer = larger;
        else
            status = owm_fail(error, OWM_E_NOMEM, "out of memory");
    }
    if (status != OWM_OK) {
        free(buffer);
        return status;
    }
    buffer[at] = 0;
    *data = buffer;
    *bytes = at;
    return OWM_OK;
}

owm_status owm_fs_read(const char *path, size_t bytes_max, uint8_t **data, size_t *bytes,
                       struct owm_error *error)
{
    *data = NULL;
    *bytes = 0;
    OWM_ASSERT(bytes_max < SIZE_MAX);
    /* Non-blocking, so that a pipe in the place of a file cannot hang us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail_errno(error, "read", path);
    struct stat info;
    owm_status status;
    if (fstat(fd, &info) < 0)
        status = fail_errno(error, "read", path);
    else if (!S_ISREG(info.st_mode))
        status = owm_fail(error, OWM_E_IO, "cannot read %s: it is not a regular file", path);
    else if ((uint64_t)info.st_size > bytes_max)
        status = owm_fail(error, OWM_E_LIMIT, "%s is larger than the %zu bytes allowed here", path,
                          bytes_max);
    else
        status = read_all(fd, path, (size_t)info.st_size, bytes_max, data, bytes, error);
    close(fd);
    return status;
}

static owm_status make_folder(const char *path, mode_t mode, struct owm_error *error)
{
    if (mkdir(path, mode) == 0) {
        if (chmod(path, mode) < 0) return fail_errno(error, "create folder", path);
        return OWM_OK;
    }
    int code = errno;
    struct stat info;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) return OWM_OK;
        return owm_fail(error, OWM_E_EXISTS, "cannot create folder %s: a file has this name", path);
    }
    errno = code;
    return fail_errno(error, "create folder", path);
}

owm_status owm_fs_mkdirs(const char *path, mode_t mode, struct owm_error *error)
{
    char *copy = strdup(path);
    if (!copy) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = OWM_OK;
    for (char *p = copy + 1; *copy && *p && status == OWM_OK; p++) {
        if (*p != '/') continue;
        *p = 0;
        status = make_folder(copy, mode | 0700, error);
        *p = '/';
    }
    if (status == OWM_OK) status = make_folder(copy, mode, error);
    free(copy);
    return status;
}

owm_status owm_fs_expand(const char *path, char **path_out, struct owm_error *error)
{
    *path_out = NULL;
    if (path[0] != '~') {
        *path_out = strdup(path);
    } else if (path[1] != '/' && path[1] != 0) {
        return owm_fail(error, OWM_E_ARG, "%s: only \"~/\" is expanded, write the full path", path);
    } else {
        const char *home = getenv("HOME");
        struct passwd entry, *found = NULL;
        char buffer[4096];
        if (!home || !home[0]) {
            getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found);
            home = found ? found->pw_dir : NULL;
        }
        if (!home)
            return owm_fail(error, OWM_E_NOTFOUND, "%s: no home folder known; set HOME", path);
        if (asprintf(path_out, "%s%s", home, path + 1) < 0) *path_out = NULL;
    }
    return *path_out ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "out of memory");
}

/* key.c: 32 random bytes; see key.h. */
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/sha256.h"

#define KEY_BYTES  32
#define LINE_BEGIN "owm-calendar-key-1 "
#define HEX_AT     (sizeof LINE_BEGIN - 1)
#define LINE_BYTES (HEX_AT + 2 * KEY_BYTES + 1)

struct key {
    uint8_t secret[KEY_BYTES];
    char line[LINE_BYTES + 1]; /* While it is read or written. */
};

static owm_status make(struct key *key, const char *path, struct owm_error *error)
{
    randombytes_buf(key->secret, sizeof key->secret);
    memcpy(key->line, LINE_BEGIN, HEX_AT);
    owm_hex_encode(key->secret, sizeof key->secret, key->line + HEX_AT);
    key->line[LINE_BYTES - 1] = '\n';
    return owm_fs_create_atomic(path, key->line, LINE_BYTES, 0600, error);
}

static owm_status check_owner(int fd, const char *path, struct owm_error *error)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return owm_fail(error, OWM_E_IO, "%.500s: %s", path, strerror(errno));
    if (stat.st_uid != geteuid() || !S_ISREG(stat.st_mode))
        return owm_fail(error, OWM_E_PERM, "%.500s is not a file of this user", path);
    if (stat.st_mode & 077)
        return owm_fail(error, OWM_E_PERM,
                        "others can read the secret in %.500s; it may be known, so be sure, then: "
                        "chmod 600 %.500s",
                        path, path);
    return OWM_OK;
}

static owm_status read_line(struct key *key, int fd, const char *path, struct owm_error *error)
{
    owm_status status = check_owner(fd, path, error);
    if (status != OWM_OK) return status;
    ssize_t bytes = read(fd, key->line, sizeof key->line);
    if (bytes < 0) return owm_fail(error, OWM_E_IO, "%.500s: %s", path, strerror(errno));
    bool whole = (size_t)bytes == LINE_BYTES && memcmp(key->line, LINE_BEGIN, HEX_AT) == 0
                 && key->line[LINE_BYTES - 1] == '\n';
    key->line[LINE_BYTES - 1] = 0;
    if (!whole || owm_hex_decode(key->line + HEX_AT, key->secret, KEY_BYTES) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO,
                        "%.500s holds no key of a calendar; restore it from a backup", path);
    return OWM_OK;
}

static owm_status read_or_make(struct key *key, const char *path, bool *made,
                               struct owm_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *made = true;
        return make(key, path, error);
    }
    if (fd < 0)
        return owm_fail(error, errno == EACCES || errno == ELOOP ? OWM_E_PERM : OWM_E_IO,
                        "%.500s: %s", path, strerror(errno));
    owm_status status = read_line(key, fd, path, error);
    close(fd);
    return status;
}

owm_status key_open(const char *folder, struct key **key_out, bool *made, struct owm_error *error)
{
    char path[PATH_MAX];
    *key_out = NULL;
    *made = false;
    struct key *key = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *key);
    if (!key) return owm_fail(error, OWM_E_NOMEM, "no locked memory for the calendar's key");
    int bytes = snprintf(path, sizeof path, "%s/hmac-key", folder);
    owm_status status = bytes < 0 || (size_t)bytes >= sizeof path
                            ? owm_fail(error, OWM_E_IO, "the name of the folder is too long")
                            : read_or_make(key, path, made, error);
    sodium_memzero(key->line, sizeof key->line);
    if (status == OWM_OK)
        *key_out = key;
    else
        key_close(key);
    return status;
}

void key_close(struct key *key)
{
    sodium_free(key);
}

static void mac_of(const struct key *key, const uint8_t *commitment, uint8_t mac[static 32])
{
    owm_hmac_sha256(key->secret, KEY_BYTES, commitment, JOURNAL_COMMITMENT_BYTES - KEY_MAC_BYTES,
                    mac);
}

void key_seal(const struct key *key, uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    uint8_t mac[32];
    mac_of(key, commitment, mac);
    memcpy(commitment + JOURNAL_COMMITMENT_BYTES - KEY_MAC_BYTES, mac, KEY_MAC_BYTES);
}

bool key_sealed(const struct key *key, const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    uint8_t mac[32];
    mac_of(key, commitment, mac);
    return owm_bytes_equal(mac, commitment + JOURNAL_COMMITMENT_BYTES - KEY_MAC_BYTES,
                           KEY_MAC_BYTES);
}

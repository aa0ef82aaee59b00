/* authority.c: the authority key: its file, its public half. */
#include "certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <secp256k1_extrakeys.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "curve.h"

#define FILE_TAG       "owm-sv2-authority-1 "
#define FILE_TAG_BYTES (sizeof FILE_TAG - 1)
#define DIGITS         (2 * OWM_SV2_KEY_BYTES)
#define FILE_BYTES     (FILE_TAG_BYTES + DIGITS + 1)

owm_status owm_sv2_authority_from_secret(const uint8_t secret[32],
                                         struct owm_sv2_authority **authority)
{
    const secp256k1_context *context = owm_sv2_curve();
    secp256k1_keypair pair;
    secp256k1_xonly_pubkey x;
    *authority = NULL;
    if (!secp256k1_keypair_create(context, &pair, secret)) return OWM_E_ARG;
    struct owm_sv2_authority *made = sodium_malloc(sizeof *made);
    if (made) {
        memcpy(made->secret, secret, sizeof made->secret);
        OWM_ASSERT(secp256k1_keypair_xonly_pub(context, &x, NULL, &pair) == 1);
        OWM_ASSERT(secp256k1_xonly_pubkey_serialize(context, made->xonly, &x) == 1);
        sodium_mprotect_readonly(made);
    }
    sodium_memzero(&pair, sizeof pair);
    *authority = made;
    return made ? OWM_OK : OWM_E_NOMEM;
}

void owm_sv2_authority_close(struct owm_sv2_authority *authority)
{
    sodium_free(authority);
}

void owm_sv2_authority_public(const struct owm_sv2_authority *authority, uint8_t xonly[32])
{
    memcpy(xonly, authority->xonly, OWM_SV2_KEY_BYTES);
}

static owm_status check_file(int fd, const char *path, struct owm_error *error)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return owm_fail(error, OWM_E_IO, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return owm_fail(error, OWM_E_PROTO, "%s is not a regular file; move it away", path);
    if (info.st_mode & 077)
        return owm_fail(error, OWM_E_PERM,
                        "%s can be read by others (mode %04o), and who has it can pose as this "
                        "pool; to keep it: chmod 600 %s",
                        path, (unsigned)info.st_mode & 07777, path);
    return OWM_OK;
}

static owm_status parse_file(const char *text, size_t bytes, const char *path,
                             struct owm_sv2_authority **authority, struct owm_error *error)
{
    char digits[DIGITS + 1] = {0};
    uint8_t secret[OWM_SV2_KEY_BYTES];
    owm_status status = OWM_E_PROTO;
    if (bytes == FILE_BYTES && memcmp(text, FILE_TAG, FILE_TAG_BYTES) == 0
        && text[FILE_BYTES - 1] == '\n') {
        memcpy(digits, text + FILE_TAG_BYTES, DIGITS);
        status = owm_hex_decode(digits, secret, sizeof secret);
    }
    if (status == OWM_OK) status = owm_sv2_authority_from_secret(secret, authority);
    sodium_memzero(digits, sizeof digits);
    sodium_memzero(secret, sizeof secret);
    if (status == OWM_E_NOMEM)
        return owm_fail(error, status, "out of memory for the authority key");
    if (status != OWM_OK)
        return owm_fail(error, OWM_E_PROTO,
                        "%s is not an authority key (one line \"%s<64 hex digits>\"); restore it "
                        "from a backup: with a new key, every miner has to be set anew",
                        path, FILE_TAG);
    return OWM_OK;
}

/* OWM_E_NOTFOUND means: no such file, so one may be created. */
static owm_status load(const char *path, struct owm_sv2_authority **authority,
                       struct owm_error *error)
{
    char text[FILE_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) return OWM_E_NOTFOUND;
    if (fd < 0 && errno == ELOOP)
        return owm_fail(error, OWM_E_PERM, "%s is a symbolic link; set the path to the file itself",
                        path);
    if (fd < 0) {
        int code = errno;
        return owm_fail(error, code == EACCES ? OWM_E_PERM : OWM_E_IO, "cannot read %s: %s", path,
                        strerror(code));
    }
    owm_status status = check_file(fd, path, error);
    if (status == OWM_OK) {
        ssize_t got = read(fd, text, sizeof text);
        if (got < 0)
            status = owm_fail(error, OWM_E_IO, "cannot read %s: %s", path, strerror(errno));
        else
            status = parse_file(text, (size_t)got, path, authority, error);
        sodium_memzero(text, sizeof text);
    }
    close(fd);
    return status;
}

static owm_status create(const char *path, struct owm_sv2_authority **authority,
                         struct owm_error *error)
{
    uint8_t secret[OWM_SV2_KEY_BYTES], ellswift[OWM_SV2_ELLSWIFT_BYTES];
    char text[FILE_BYTES + 1];
    owm_status status = owm_sv2_key_make(secret, ellswift);
    if (status == OWM_OK) status = owm_sv2_authority_from_secret(secret, authority);
    if (status != OWM_OK) {
        owm_fail(error, status, "no new authority key: %s", owm_status_text(status));
        goto out;
    }
    memcpy(text, FILE_TAG, FILE_TAG_BYTES);
    owm_hex_encode(secret, sizeof secret, text + FILE_TAG_BYTES);
    text[FILE_BYTES - 1] = '\n';
    status = owm_fs_create_atomic(path, text, FILE_BYTES, 0600, error);
    if (status != OWM_OK) {
        owm_sv2_authority_close(*authority);
        *authority = NULL;
    }
out:
    sodium_memzero(text, sizeof text);
    sodium_memzero(secret, sizeof secret);
    return status;
}

owm_status owm_sv2_authority_load_or_create(const char *path, struct owm_sv2_authority **authority,
                                            bool *created, struct owm_error *error)
{
    *authority = NULL;
    if (created) *created = false;
    owm_status status = load(path, authority, error);
    if (status != OWM_E_NOTFOUND) return status;
    status = create(path, authority, error);
    if (status == OWM_E_EXISTS) return load(path, authority, error); /* Another was first. */
    if (status == OWM_OK && created) *created = true;
    return status;
}

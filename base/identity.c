/* identity.c: the Ed25519 identity: key file, signatures, boxes. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "fs.h"
#include "identity_internal.h"

#define FILE_TAG       "owm-ed25519-seed-1 "
#define FILE_TAG_BYTES (sizeof FILE_TAG - 1)
#define FILE_BYTES     (FILE_TAG_BYTES + 2 * OWM_SEED_BYTES + 1)
#define SIGN_TAG       "OWM-SIG-1"
#define NONCE_BYTES    crypto_box_NONCEBYTES

_Static_assert(OWM_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519 public key");
_Static_assert(OWM_SEED_BYTES == crypto_sign_SEEDBYTES, "Ed25519 seed");
_Static_assert(OWM_SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519 signature");
_Static_assert(OWM_BOX_EXTRA_BYTES == crypto_box_NONCEBYTES + crypto_box_MACBYTES, "NaCl box");

/* Memory for a secret; libsodium falls back to a plain page where locking is not allowed. */
static void *secret_alloc(size_t bytes)
{
    OWM_ASSERT(sodium_init() >= 0);
    return sodium_malloc(bytes);
}

owm_status owm_identity_from_seed(const uint8_t seed[static 32], owm_identity **identity)
{
    *identity = secret_alloc(sizeof **identity);
    if (!*identity) return OWM_E_NOMEM;
    crypto_sign_seed_keypair((*identity)->public_key, (*identity)->secret, seed);
    crypto_sign_ed25519_sk_to_curve25519((*identity)->box_secret, (*identity)->secret);
    sodium_mprotect_readonly(*identity);
    return OWM_OK;
}

owm_status owm_identity_generate(owm_identity **identity)
{
    *identity = NULL;
    uint8_t *seed = secret_alloc(OWM_SEED_BYTES);
    if (!seed) return OWM_E_NOMEM;
    randombytes_buf(seed, OWM_SEED_BYTES);
    owm_status status = owm_identity_from_seed(seed, identity);
    sodium_free(seed);
    return status;
}

void owm_identity_close(owm_identity *identity)
{
    sodium_free(identity);
}

const uint8_t *owm_identity_public_key(const owm_identity *identity)
{
    return identity->public_key;
}

static owm_status check_file(int fd, const char *path, struct owm_error *error)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return owm_fail(error, OWM_E_IO, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return owm_fail(error, OWM_E_PROTO, "%s is not a regular file; move it away", path);
    if (info.st_uid != geteuid())
        return owm_fail(error, OWM_E_PERM,
                        "%s belongs to user %u, not to the user who runs this (%u): "
                        "run as its owner, or: chown %u %s",
                        path, (unsigned)info.st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
                        path);
    if (info.st_mode & 077)
        return owm_fail(error, OWM_E_PERM,
                        "%s can be read by others (mode %04o); a key that was exposed should be "
                        "replaced; to keep it: chmod 600 %s",
                        path, (unsigned)info.st_mode & 07777, path);
    return OWM_OK;
}

static owm_status parse_file(const char *text, size_t bytes, const char *path,
                             owm_identity **identity, struct owm_error *error)
{
    char digits[2 * OWM_SEED_BYTES + 1];
    uint8_t seed[OWM_SEED_BYTES];
    owm_status status = OWM_E_PROTO;
    if (bytes == FILE_BYTES && memcmp(text, FILE_TAG, FILE_TAG_BYTES) == 0
        && text[FILE_BYTES - 1] == '\n') {
        memcpy(digits, text + FILE_TAG_BYTES, 2 * OWM_SEED_BYTES);
        digits[2 * OWM_SEED_BYTES] = 0;
        status = owm_hex_decode(digits, seed, sizeof seed);
        sodium_memzero(digits, sizeof digits);
    }
    if (status != OWM_OK)
        return owm_fail(error, OWM_E_PROTO,
                        "%s is not an identity key (one line \"%s<64 hex digits>\"); restore it "
                        "from a backup, or move it away to get a new identity",
                        path, FILE_TAG);
    status = owm_identity_from_seed(seed, identity);
    sodium_memzero(seed, sizeof seed);
    if (status != OWM_OK) owm_fail(error, status, "out of memory for the identity key");
    return status;
}

/* OWM_E_NOTFOUND means: no such file, so one may be created. */
static owm_status load(const char *path, owm_identity **identity, struct owm_error *error)
{
    char text[FILE_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) return OWM_E_NOTFOUND;
    if (fd < 0 && errno == ELOOP)
        return owm_fail(error, OWM_E_PERM,
                        "%s is a symbolic link; set the key's path to the file itself", path);
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
            status = parse_file(text, (size_t)got, path, identity, error);
        sodium_memzero(text, sizeof text);
    }
    close(fd);
    return status;
}

static owm_status make_parent(const char *path, struct owm_error *error)
{
    char *folder = owm_fs_parent(path);
    if (!folder) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = owm_fs_mkdirs(folder, 0700, error);
    free(folder);
    return status;
}

static owm_status create(const char *path, owm_identity **identity, struct owm_error *error)
{
    owm_identity *fresh = NULL;
    owm_status status = make_parent(path, error);
    if (status != OWM_OK) return status;
    char *text = secret_alloc(FILE_BYTES + 1);
    if (!text || owm_identity_generate(&fresh) != OWM_OK) {
        status = owm_fail(error, OWM_E_NOMEM, "out of memory for the identity key");
        goto out;
    }
    memcpy(text, FILE_TAG, FILE_TAG_BYTES);
    owm_hex_encode(fresh->secret, OWM_SEED_BYTES, text + FILE_TAG_BYTES);
    text[FILE_BYTES - 1] = '\n';
    status = owm_fs_create_atomic(path, text, FILE_BYTES, 0600, error);
    if (status == OWM_OK) {
        *identity = fresh;
        fresh = NULL;
    }
out:
    owm_identity_close(fresh);
    sodium_free(text);
    return status;
}

owm_status owm_identity_load_or_create(const char *path, owm_identity **identity, bool *created,
                                       struct owm_error *error)
{
    *identity = NULL;
    if (created) *created = false;
    owm_status status = load(path, identity, error);
    if (status != OWM_E_NOTFOUND) return status;
    status = create(path, identity, error);
    if (status == OWM_E_EXISTS) return load(path, identity, error); /* another process was first */
    if (status == OWM_OK && created) *created = true;
    return status;
}

static void signed_digest(const char *context, const void *message, size_t bytes,
                          uint8_t digest[static 64])
{
    size_t context_bytes = strlen(context);
    OWM_ASSERT(context_bytes >= 1 && context_bytes <= OWM_CONTEXT_MAX);
    uint8_t length = (uint8_t)context_bytes;
    crypto_hash_sha512_state state;
    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, (const uint8_t *)SIGN_TAG, sizeof SIGN_TAG - 1);
    crypto_hash_sha512_update(&state, &length, 1);
    crypto_hash_sha512_update(&state, (const uint8_t *)context, context_bytes);
    crypto_hash_sha512_update(&state, message, bytes);
    crypto_hash_sha512_final(&state, digest);
}

void owm_identity_sign(const owm_identity *identity, const char *context, const void *message,
                       size_t bytes, uint8_t signature[static 64])
{
    uint8_t digest[64];
    signed_digest(context, message, bytes, digest);
    crypto_sign_detached(signature, NULL, digest, sizeof digest, identity->secret);
}

owm_status owm_verify(const uint8_t public_key[static 32], const char *context, const void *message,
                      size_t bytes, const uint8_t signature[static 64])
{
    uint8_t digest[64];
    signed_digest(context, message, bytes, digest);
    int bad = crypto_sign_verify_detached(signature, digest, sizeof digest, public_key);
    return bad ? OWM_E_CRYPTO : OWM_OK;
}

owm_status owm_identity_box(const owm_identity *sender, const uint8_t recipient[static 32],
                            const void *in, size_t bytes, uint8_t *out)
{
    uint8_t key[32];
    if (crypto_sign_ed25519_pk_to_curve25519(key, recipient)) return OWM_E_CRYPTO;
    randombytes_buf(out, NONCE_BYTES);
    int bad = crypto_box_easy(out + NONCE_BYTES, in, bytes, out, key, sender->box_secret);
    return bad ? OWM_E_CRYPTO : OWM_OK;
}

owm_status owm_identity_unbox(const owm_identity *recipient, const uint8_t sender[static 32],
                              const uint8_t *in, size_t bytes, uint8_t *out)
{
    uint8_t key[32];
    if (bytes < OWM_BOX_EXTRA_BYTES) return OWM_E_PROTO;
    if (crypto_sign_ed25519_pk_to_curve25519(key, sender)) return OWM_E_CRYPTO;
    int bad = crypto_box_open_easy(out, in + NONCE_BYTES, bytes - NONCE_BYTES, in, key,
                                   recipient->box_secret);
    return bad ? OWM_E_CRYPTO : OWM_OK;
}

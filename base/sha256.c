/* sha256.c: SHA-256 and HMAC on OpenSSL.
 *
 * The block interface (SHA256_Update) is used rather than EVP because it neither allocates nor
 * fails; it runs the same CPU-specific code. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sha256.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_CHUNK_BYTES 65536
#define HMAC_BLOCK_BYTES 64

static_assert(sizeof(SHA256_CTX) <= sizeof(struct owm_sha256_ctx), "opaque state too small");

static SHA256_CTX *inner(struct owm_sha256_ctx *ctx)
{
    return (SHA256_CTX *)(void *)ctx->opaque;
}

void owm_sha256(const void *data, size_t bytes, uint8_t hash[static 32])
{
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, data, bytes);
    owm_sha256_final(&ctx, hash);
}

void owm_sha256_init(struct owm_sha256_ctx *ctx)
{
    SHA256_Init(inner(ctx));
}

void owm_sha256_update(struct owm_sha256_ctx *ctx, const void *data, size_t bytes)
{
    if (bytes) SHA256_Update(inner(ctx), data, bytes);
}

void owm_sha256_final(struct owm_sha256_ctx *ctx, uint8_t hash[static 32])
{
    SHA256_Final(hash, inner(ctx));
    OPENSSL_cleanse(ctx, sizeof *ctx);
}

static owm_status fail_errno(struct owm_error *error, const char *path)
{
    int code = errno;
    owm_status status = OWM_E_IO;
    if (code == ENOENT) status = OWM_E_NOTFOUND;
    if (code == EACCES || code == EPERM) status = OWM_E_PERM;
    return owm_fail(error, status, "cannot hash %s: %s", path, strerror(code));
}

owm_status owm_sha256_file(const char *path, uint8_t hash[static 32], uint64_t *bytes,
                           struct owm_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail_errno(error, path);
    uint8_t chunk[FILE_CHUNK_BYTES];
    struct owm_sha256_ctx ctx;
    uint64_t total = 0;
    ssize_t got;
    owm_sha256_init(&ctx);
    for (;;) {
        got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        owm_sha256_update(&ctx, chunk, (size_t)got);
        total += (uint64_t)got;
    }
    owm_status status = got < 0 ? fail_errno(error, path) : OWM_OK;
    close(fd);
    owm_sha256_final(&ctx, hash);
    if (bytes) *bytes = total;
    return status;
}

void owm_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                     uint8_t mac[static 32])
{
    uint8_t pad[HMAC_BLOCK_BYTES] = {0};
    struct owm_sha256_ctx ctx;
    if (key_bytes > sizeof pad)
        owm_sha256(key, key_bytes, pad);
    else if (key_bytes)
        memcpy(pad, key, key_bytes);
    for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, pad, sizeof pad);
    owm_sha256_update(&ctx, data, bytes);
    owm_sha256_final(&ctx, mac);
    for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36 ^ 0x5c;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, pad, sizeof pad);
    owm_sha256_update(&ctx, mac, 32);
    owm_sha256_final(&ctx, mac);
    OPENSSL_cleanse(pad, sizeof pad);
}

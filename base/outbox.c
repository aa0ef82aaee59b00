/* outbox.c: payment ids, preimages and hashes; see outbox.h. */
#include "outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "base/uuid.h"

#define MAGIC      "owm-payment-secret-1 "
#define FILE_BYTES (sizeof(MAGIC) - 1 + 64 + 1)
#define PAGE_BYTES 4096

struct owm_payment_secret {
    uint8_t key[32];
};

static struct owm_payment_secret *secret_alloc(void)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return NULL;
    (void)mlock(page,
                PAGE_BYTES); /* refused under a small RLIMIT_MEMLOCK: then it may be swapped */
    (void)madvise(page, PAGE_BYTES, MADV_DONTDUMP);
    return page;
}

void owm_payment_secret_close(struct owm_payment_secret *secret)
{
    if (!secret) return;
    explicit_bzero(secret, sizeof(*secret));
    munmap(secret, PAGE_BYTES);
}

static owm_status parse(const char *path, const uint8_t *text, size_t bytes, uint8_t key[32],
                        struct owm_error *error)
{
    char hex[65] = "";
    owm_status status = OWM_E_PROTO;
    if (bytes == FILE_BYTES && memcmp(text, MAGIC, sizeof(MAGIC) - 1) == 0
        && text[FILE_BYTES - 1] == '\n') {
        memcpy(hex, text + sizeof(MAGIC) - 1, 64);
        status = owm_hex_decode(hex, key, 32);
    }
    explicit_bzero(hex, sizeof(hex));
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(
        error, OWM_E_PROTO,
        "%s is not a payment secret; put the right file back from your backup (payments "
        "that are owed depend on it)",
        path);
}

static owm_status create(const char *path, struct owm_error *error)
{
    uint8_t key[32];
    char text[FILE_BYTES + 1] = MAGIC;
    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
        return owm_fail(error, OWM_E_IO, "the system gave no random bytes");
    owm_hex_encode(key, sizeof(key), text + sizeof(MAGIC) - 1);
    text[FILE_BYTES - 1] = '\n';
    owm_status status = owm_fs_create_atomic(path, text, FILE_BYTES, 0600, error);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(text, sizeof(text));
    return status;
}

static owm_status check_mode(const char *path, struct owm_error *error)
{
    struct stat info;
    if (lstat(path, &info) != 0) return owm_fail(error, OWM_E_IO, "%s: cannot be read", path);
    if (!S_ISREG(info.st_mode) || (info.st_mode & 077) != 0)
        return owm_fail(error, OWM_E_PERM, "%s can be read by others; run: chmod 600 %s", path,
                        path);
    return OWM_OK;
}

owm_status owm_payment_secret_load_or_create(const char *path, struct owm_payment_secret **secret,
                                             bool *created, struct owm_error *error)
{
    bool made = false;
    struct stat info;
    if (lstat(path, &info) != 0) {
        owm_status status = create(path, error);
        if (status != OWM_OK && status != OWM_E_EXISTS) return status;
        made = status == OWM_OK;
    }
    owm_status status = check_mode(path, error);
    uint8_t *text = NULL;
    size_t bytes = 0;
    if (status == OWM_OK) status = owm_fs_read(path, 4096, &text, &bytes, error);
    if (status != OWM_OK) return status;
    struct owm_payment_secret *fresh = secret_alloc();
    status = fresh ? parse(path, text, bytes, fresh->key, error) : OWM_E_NOMEM;
    explicit_bzero(text, bytes);
    free(text);
    if (status != OWM_OK) {
        owm_payment_secret_close(fresh);
        return status;
    }
    *secret = fresh;
    if (created) *created = made;
    return OWM_OK;
}

void owm_payment_id(const uint8_t source_id[16], const char *purpose, uint8_t id[16])
{
    static const uint8_t space[16] = "owm payment v1\0";
    uint8_t data[16 + OWM_PAYMENT_PURPOSE_BYTES_MAX];
    size_t bytes = strlen(purpose);
    OWM_ASSERT(bytes > 0 && bytes <= OWM_PAYMENT_PURPOSE_BYTES_MAX);
    memcpy(data, source_id, 16);
    memcpy(data + 16, purpose, bytes);
    owm_uuid_derive(space, data, 16 + bytes, id);
}

void owm_payment_preimage(const struct owm_payment_secret *secret, const uint8_t id[16],
                          uint8_t preimage[32])
{
    owm_hmac_sha256(secret->key, sizeof(secret->key), id, 16, preimage);
}

void owm_payment_hash(const struct owm_payment_secret *secret, const uint8_t id[16],
                      uint8_t hash[32])
{
    uint8_t preimage[32];
    owm_payment_preimage(secret, id, preimage);
    owm_sha256(preimage, sizeof(preimage), hash);
    explicit_bzero(preimage, sizeof(preimage));
}

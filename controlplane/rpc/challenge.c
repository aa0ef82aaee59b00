/* challenge.c: expiry (8 bytes LE) | random (8) | MAC (16). The used ones lie in an open-addressing
 * table by their random part; an expired slot is free. */
#include "challenge.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/sha256.h"

#define PROBES_MAX 64

struct used {
    uint64_t random;
    int64_t expires_ms; /* 0: free */
};

struct owm_challenges {
    pthread_mutex_t lock;
    uint8_t secret[32];
    size_t count;
    struct used *used;
};

owm_status owm_challenges_open(size_t used_max, struct owm_challenges **out)
{
    OWM_ASSERT(used_max > 0 && used_max <= OWM_CHALLENGE_USED_MAX);
    struct owm_challenges *c = calloc(1, sizeof(*c));
    if (!c) return OWM_E_NOMEM;
    c->count = used_max;
    c->used = calloc(used_max, sizeof(*c->used));
    if (!c->used || getrandom(c->secret, sizeof(c->secret), 0) != (ssize_t)sizeof(c->secret)) {
        free(c->used);
        free(c);
        return OWM_E_NOMEM;
    }
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return OWM_OK;
}

void owm_challenges_close(struct owm_challenges *c)
{
    if (!c) return;
    pthread_mutex_destroy(&c->lock);
    explicit_bzero(c->secret, sizeof(c->secret));
    free(c->used);
    free(c);
}

static void mac(const struct owm_challenges *c, const uint8_t *head, const uint8_t *tls_key,
                uint8_t out[16])
{
    uint8_t text[16 + 32], full[32];
    memcpy(text, head, 16);
    memcpy(text + 16, tls_key, 32);
    owm_hmac_sha256(c->secret, sizeof(c->secret), text, sizeof(text), full);
    memcpy(out, full, 16);
}

void owm_challenge_issue(struct owm_challenges *c, const uint8_t tls_key[static 32], int64_t now_ms,
                         uint8_t challenge[static 32], int64_t *expires_ms)
{
    struct owm_writer writer;
    uint64_t random = 0;
    while (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
    }
    *expires_ms = now_ms + OWM_CHALLENGE_LIFE_MS;
    owm_writer_init(&writer, challenge, OWM_CHALLENGE_BYTES);
    owm_write_u64_le(&writer, (uint64_t)*expires_ms);
    owm_write_u64_le(&writer, random);
    mac(c, challenge, tls_key, challenge + 16);
}

static owm_status spend(struct owm_challenges *c, uint64_t random, int64_t expires_ms,
                        int64_t now_ms)
{
    struct used *free_slot = NULL;
    for (size_t i = 0; i < PROBES_MAX && i < c->count; i++) {
        struct used *slot = &c->used[(random + i) % c->count];
        if (slot->expires_ms < now_ms) {
            if (!free_slot) free_slot = slot;
        } else if (slot->random == random) {
            return OWM_E_EXISTS;
        }
    }
    if (!free_slot) return OWM_E_LIMIT;
    *free_slot = (struct used){random, expires_ms};
    return OWM_OK;
}

owm_status owm_challenge_use(struct owm_challenges *c, const uint8_t tls_key[static 32],
                             int64_t now_ms, const uint8_t *challenge, size_t bytes)
{
    uint8_t expected[16];
    if (bytes != OWM_CHALLENGE_BYTES) return OWM_E_CRYPTO;
    mac(c, challenge, tls_key, expected);
    if (!owm_bytes_equal(expected, challenge + 16, sizeof(expected))) return OWM_E_CRYPTO;
    struct owm_reader reader;
    owm_reader_init(&reader, challenge, bytes);
    int64_t expires_ms = (int64_t)owm_read_u64_le(&reader);
    uint64_t random = owm_read_u64_le(&reader);
    if (expires_ms < now_ms) return OWM_E_TIMEOUT;
    pthread_mutex_lock(&c->lock);
    owm_status status = spend(c, random, expires_ms, now_ms);
    pthread_mutex_unlock(&c->lock);
    return status;
}

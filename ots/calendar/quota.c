/* quota.c: sets of WAYS buckets; a keyed hash of the address picks the set, so that nobody can
 * choose addresses that meet in one. */
#include "quota.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS  8
#define SETS  (QUOTA_ADDRESSES_MAX / WAYS)
#define TOKEN UINT64_C(60000) /* One request, in parts: a minute has so many milliseconds. */

struct bucket {
    uint8_t address[8]; /* IPv4 behind four bytes ff, or the first half of IPv6. */
    bool used;
    uint64_t parts, filled_ms;
};

struct quota {
    unsigned per_minute, per_second;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct bucket all;
    struct bucket sets[SETS][WAYS];
};

owm_status quota_open(unsigned per_minute, unsigned per_second, struct quota **quota)
{
    *quota = sodium_init() < 0 ? NULL : calloc(1, sizeof **quota);
    if (!*quota) return OWM_E_NOMEM;
    (*quota)->per_minute = per_minute;
    (*quota)->per_second = per_second;
    randombytes_buf((*quota)->hash_key, sizeof(*quota)->hash_key);
    return OWM_OK;
}

void quota_close(struct quota *quota)
{
    free(quota);
}

static void key_of(const char *text, uint8_t address[static 8])
{
    struct in_addr v4;
    struct in6_addr v6;
    memset(address, 0, 8);
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memset(address, 0xff, 4);
        memcpy(address + 4, &v4, 4);
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        if (IN6_IS_ADDR_V4MAPPED(&v6)) {
            memset(address, 0xff, 4);
            memcpy(address + 4, v6.s6_addr + 12, 4);
        } else {
            memcpy(address, v6.s6_addr, 8);
        }
    }
}

/* Parts that a bucket has now, when it gets `rate` requests a minute and holds `room` at most. */
static uint64_t parts_now(const struct bucket *bucket, uint64_t rate, uint64_t room,
                          uint64_t now_ms)
{
    uint64_t full = room * TOKEN;
    uint64_t passed_ms = now_ms > bucket->filled_ms ? now_ms - bucket->filled_ms : 0;
    if (!bucket->used || passed_ms > full / rate) return full;
    uint64_t parts = bucket->parts + passed_ms * rate;
    return parts < full ? parts : full;
}

static struct bucket *bucket_of(struct quota *quota, const uint8_t address[static 8],
                                uint64_t now_ms)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, address, 8, quota->hash_key);
    struct bucket *set = quota->sets[(hash[0] | hash[1] << 8) % SETS], *fullest = &set[0];
    uint64_t most = 0;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].used && memcmp(set[i].address, address, 8) == 0) return &set[i];
        uint64_t parts = parts_now(&set[i], quota->per_minute, quota->per_minute, now_ms);
        if (!set[i].used) parts = UINT64_MAX;
        if (parts > most) most = parts, fullest = &set[i];
    }
    *fullest = (struct bucket){.used = false};
    memcpy(fullest->address, address, 8);
    return fullest;
}

static bool take(struct bucket *bucket, uint64_t rate, uint64_t room, uint64_t now_ms,
                 unsigned *retry_s)
{
    uint64_t parts = parts_now(bucket, rate, room, now_ms);
    bool enough = parts >= TOKEN;
    bucket->parts = enough ? parts - TOKEN : parts;
    bucket->filled_ms = now_ms;
    bucket->used = true;
    if (!enough) *retry_s = (unsigned)((TOKEN - parts) / rate / 1000 + 1);
    return enough;
}

enum quota_verdict quota_take(struct quota *quota, const char *address, uint64_t now_ms,
                              unsigned *retry_s)
{
    uint8_t key[8];
    key_of(address, key);
    if (quota->per_minute > 0
        && !take(bucket_of(quota, key, now_ms), quota->per_minute, quota->per_minute, now_ms,
                 retry_s))
        return QUOTA_ADDRESS;
    uint64_t rate = UINT64_C(60) * quota->per_second;
    if (rate > 0 && !take(&quota->all, rate, quota->per_second, now_ms, retry_s)) return QUOTA_ALL;
    return QUOTA_PASS;
}

/* admission.c: buckets of tokens in a table of small sets, and a tally of open connections. */
#include "admission.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tally.h"

#define WAYS 4

struct bucket {
    uint64_t key; /* Of the address; 0: free. */
    int64_t seen_ms;
    float tokens;
    bool told;
};

struct owm_admission {
    struct bucket *bucket;
    struct owm_tally open; /* Connections of each address. */
    uint32_t sets, handshakes, handshakes_max, per_address;
    float burst, per_ms;
    uint64_t seed; /* So that nobody can aim at a set. */
};

static owm_status take_tables(struct owm_admission *admission, uint32_t connections_max)
{
    admission->bucket = calloc((size_t)admission->sets * WAYS, sizeof *admission->bucket);
    if (!admission->bucket) return OWM_E_NOMEM;
    if (getrandom(&admission->seed, sizeof admission->seed, 0) != (ssize_t)sizeof admission->seed)
        return OWM_E_CRYPTO;
    return owm_tally_open(connections_max, &admission->open);
}

owm_status owm_admission_open(const struct owm_admission_options *options,
                              struct owm_admission **out)
{
    uint32_t max = options->addresses_max ? options->addresses_max : 16384;
    if (max > OWM_ADMISSION_ADDRESSES_MAX) return OWM_E_ARG;
    struct owm_admission *admission = calloc(1, sizeof *admission);
    if (!admission) return OWM_E_NOMEM;
    admission->sets = 1;
    while (admission->sets * WAYS < max) admission->sets *= 2;
    admission->burst = (float)(options->burst ? options->burst : 1000);
    admission->per_ms = (float)(options->per_s > 0 ? options->per_s : 20) / 1000;
    admission->handshakes_max = options->handshakes_max ? options->handshakes_max : 4096;
    admission->per_address =
        options->connections_per_address ? options->connections_per_address : 20000;
    owm_status status =
        take_tables(admission, options->connections_max ? options->connections_max : 65536);
    if (status != OWM_OK) {
        owm_admission_close(admission);
        return status;
    }
    *out = admission;
    return OWM_OK;
}

void owm_admission_close(struct owm_admission *admission)
{
    if (!admission) return;
    owm_tally_close(&admission->open);
    free(admission->bucket);
    free(admission);
}

/** Mixed with the seed by the finisher of splitmix64. Of a mapped /32 the last 8 bytes, which begin
 *  as no network of IPv6 does. */
uint64_t owm_admission_key(const struct owm_admission *admission, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint64_t key = 0;
    memcpy(&key, address + (memcmp(address, mapped, sizeof mapped) == 0 ? 8 : 0), sizeof key);
    key ^= admission->seed;
    key = (key ^ key >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ key >> 27) * UINT64_C(0x94d049bb133111eb);
    key ^= key >> 31;
    return key ? key : 1;
}

static struct bucket *bucket_of(struct owm_admission *admission, uint64_t key, int64_t now_ms)
{
    struct bucket *set = &admission->bucket[(size_t)(key % admission->sets) * WAYS];
    struct bucket *oldest = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key) return &set[i];
        if (!set[i].key || (oldest->key && set[i].seen_ms < oldest->seen_ms)) oldest = &set[i];
    }
    *oldest = (struct bucket){.key = key, .seen_ms = now_ms, .tokens = admission->burst};
    return oldest;
}

static void refill(const struct owm_admission *admission, struct bucket *bucket, int64_t now_ms)
{
    if (now_ms <= bucket->seen_ms) return;
    bucket->tokens += (float)(now_ms - bucket->seen_ms) * admission->per_ms;
    if (bucket->tokens > admission->burst) bucket->tokens = admission->burst;
    bucket->seen_ms = now_ms;
}

enum owm_admission_answer owm_admission_enter(struct owm_admission *admission,
                                              const uint8_t address[16], int64_t now_ms)
{
    uint64_t key = owm_admission_key(admission, address);
    struct bucket *bucket = bucket_of(admission, key, now_ms);
    refill(admission, bucket, now_ms);
    if (bucket->tokens < 1) return OWM_REFUSED_RATE;
    if (admission->handshakes >= admission->handshakes_max) return OWM_REFUSED_HANDSHAKES;
    if (owm_tally_count(&admission->open, key) >= admission->per_address)
        return OWM_REFUSED_ADDRESS;
    if (!owm_tally_add(&admission->open, key)) return OWM_REFUSED_FULL;
    bucket->tokens -= 1;
    admission->handshakes++;
    return OWM_ADMITTED;
}

void owm_admission_done(struct owm_admission *admission)
{
    OWM_ASSERT(admission->handshakes > 0);
    admission->handshakes--;
}

void owm_admission_leave(struct owm_admission *admission, const uint8_t address[16])
{
    owm_tally_drop(&admission->open, owm_admission_key(admission, address));
}

uint32_t owm_admission_handshakes(const struct owm_admission *admission)
{
    return admission->handshakes;
}

bool owm_admission_tell_once(struct owm_admission *admission, const uint8_t address[16],
                             int64_t now_ms)
{
    struct bucket *bucket = bucket_of(admission, owm_admission_key(admission, address), now_ms);
    bool first = !bucket->told;
    bucket->told = true;
    return first;
}

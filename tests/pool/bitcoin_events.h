/* bitcoin_events.h: what a struct owm_bitcoin told, kept for a test to look at. */
#ifndef OWM_TESTS_BITCOIN_EVENTS_H
#define OWM_TESTS_BITCOIN_EVENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "pool/bitcoin.h"

#define EVENTS_MAX 64

struct told_submit {
    uint8_t hash[32];
    char node[128], reason[256];
    bool accepted;
};

struct told_block {
    uint8_t hash[32];
    enum owm_block_fate fate;
    uint32_t confirmations;
};

/** bitcoin_events: init, give `bitcoin_events_of` to the options; deinit at the end. The client's
 *  threads write to it until it is closed, so read it with TOLD. */
struct bitcoin_events {
    pthread_mutex_t lock;
    struct owm_template *last; /* One reference. */
    unsigned templates, tips, submits, blocks;
    uint64_t template_ns; /* When the last one came. */
    struct told_submit submit[EVENTS_MAX];
    struct told_block block[EVENTS_MAX];
};

/** TOLD: one field as it is now, by value: a count, a told_submit, a told_block. */
#define TOLD(events, field)                                                                        \
    ({                                                                                             \
        pthread_mutex_lock(&(events)->lock);                                                       \
        __auto_type told_value = (events)->field;                                                  \
        pthread_mutex_unlock(&(events)->lock);                                                     \
        told_value;                                                                                \
    })

void bitcoin_events_init(struct bitcoin_events *events);
void bitcoin_events_deinit(struct bitcoin_events *events);
struct owm_bitcoin_events bitcoin_events_of(struct bitcoin_events *events);

/** bitcoin_events_have: wait until a counter is at least `wanted`; the test fails at limit_ms. */
void bitcoin_events_have(struct bitcoin_events *events, const unsigned *counter, unsigned wanted,
                         unsigned limit_ms);

/** bitcoin_events_height: of the last template. */
uint32_t bitcoin_events_height(struct bitcoin_events *events);

/** bitcoin_events_median: of these durations, which it sorts: a test that shares its machine judges
 *  the median. */
uint64_t bitcoin_events_median(uint64_t *took_ns, size_t count);

/** WAIT_FOR: look every millisecond until it is so; fails the test after limit_ms. */
#define WAIT_FOR(condition, limit_ms)                                                              \
    do {                                                                                           \
        uint64_t wait_until_ms = owm_clock_mono_ms() + (limit_ms);                                 \
        while (!(condition)) {                                                                     \
            if (owm_clock_mono_ms() > wait_until_ms)                                               \
                fail_msg("not within %u ms: %s", (unsigned)(limit_ms), #condition);                \
            owm_clock_sleep_ms(1);                                                                 \
        }                                                                                          \
    } while (0)

#endif

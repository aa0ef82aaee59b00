/* anchor_bench.h: a calendar's journal and anchors beside the double of a wallet, for tests. */
#ifndef OWM_TEST_ANCHOR_BENCH_H
#define OWM_TEST_ANCHOR_BENCH_H

#include "ots/calendar/anchor.h"
#include "wallet_double.h"

struct anchor_bench {
    char folder[64];
    struct wallet_double wallet;
    struct journal *journal;
    struct anchor *anchor;
    struct anchor_options options;
    uint64_t seed;
};

/** bench_open: coins of a tenth of a bitcoin; the anchors are not open yet. */
void bench_open(struct anchor_bench *bench, uint32_t coins);
void bench_close(struct anchor_bench *bench);

/** bench_set: a knob of the wallet, which its node's thread reads. */
void bench_set(struct anchor_bench *bench, uint32_t *knob, uint32_t value);

/** bench_promise: so many random promises more. */
void bench_promise(struct anchor_bench *bench, uint32_t count);

void bench_start(struct anchor_bench *bench);
void bench_stop(struct anchor_bench *bench);
void bench_restart(struct anchor_bench *bench);

/** bench_wait: until all promises are at least that far, or fail after some seconds. */
void bench_wait(struct anchor_bench *bench, enum anchor_state state);

/** bench_wait_confirmations: until promise 0 has so many. */
void bench_wait_confirmations(struct anchor_bench *bench, uint64_t confirmations);

/** bench_wait_trouble: until the trouble holds `words`; "": until there is none. */
void bench_wait_trouble(struct anchor_bench *bench, const char *words);

/** bench_wait_sent: until the node has taken so many transactions. */
void bench_wait_sent(struct anchor_bench *bench, uint32_t count);

/** bench_verify_one: the proof of a promise leads to a block of the node, by its headers.
 *  bench_verify: of every promise. */
void bench_verify_one(struct anchor_bench *bench, uint32_t index);
void bench_verify(struct anchor_bench *bench);

#endif

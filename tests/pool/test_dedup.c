/* test_dedup.c: the tables of shares, workers, timers, addresses, counts, against plain models. */
#include "base/rng.h"
#include "pool/admission.h"
#include "pool/dedup.h"
#include "pool/histogram.h"
#include "pool/tally.h"
#include "pool/timers.h"
#include "pool/workers.h"
#include "test.h"

static void make_hash(uint64_t n, uint8_t hash[32])
{
    struct owm_rng rng;
    owm_rng_seed(&rng, n);
    for (int i = 0; i < 4; i++) {
        uint64_t word = owm_rng_u64(&rng);
        memcpy(hash + 8 * i, &word, 8);
    }
}

static enum owm_dedup_answer add(struct owm_dedup *dedup, uint64_t n)
{
    uint8_t hash[32];
    uint32_t place;
    make_hash(n, hash);
    enum owm_dedup_answer answer = owm_dedup_find(dedup, hash, &place);
    if (answer == OWM_DEDUP_NEW) owm_dedup_put(dedup, hash, place);
    return answer;
}

static void set_tip(struct owm_dedup *dedup, uint8_t tip)
{
    uint8_t previous[32] = {tip};
    owm_dedup_tip(dedup, previous);
}

static void each_share_counts_once(void **state)
{
    (void)state;
    struct owm_dedup *dedup;
    assert_ok(owm_dedup_open(1024, &dedup));
    set_tip(dedup, 1);
    for (uint64_t n = 0; n < 768; n++) assert_int_equal(add(dedup, n), OWM_DEDUP_NEW);
    for (uint64_t n = 0; n < 768; n++) assert_int_equal(add(dedup, n), OWM_DEDUP_KNOWN);
    /* Full: nothing is pushed out, so what is there stays known. */
    for (uint64_t n = 768; n < 900; n++) assert_int_equal(add(dedup, n), OWM_DEDUP_FULL);
    for (uint64_t n = 0; n < 768; n++) assert_int_equal(add(dedup, n), OWM_DEDUP_KNOWN);
    assert_int_equal(owm_dedup_count(dedup), 768);
    owm_dedup_close(dedup);
    assert_int_equal(owm_dedup_open(OWM_DEDUP_ENTRIES_MAX + 1, &dedup), OWM_E_ARG);
}

static void tips_come_back(void **state)
{
    (void)state;
    struct owm_dedup *dedup;
    assert_ok(owm_dedup_open(64, &dedup));
    for (uint8_t round = 0; round < 3; round++) {
        set_tip(dedup, 1);
        assert_int_equal(add(dedup, 10), round ? OWM_DEDUP_KNOWN : OWM_DEDUP_NEW);
        set_tip(dedup, 1); /* Said again: nothing changes. */
        assert_int_equal(add(dedup, 10), OWM_DEDUP_KNOWN);
        set_tip(dedup, 2);
        assert_int_equal(add(dedup, 20), round ? OWM_DEDUP_KNOWN : OWM_DEDUP_NEW);
    }
    set_tip(dedup, 3);
    assert_int_equal(add(dedup, 30), OWM_DEDUP_NEW);
    set_tip(dedup, 1); /* Two tips ago. */
    assert_int_equal(add(dedup, 10), OWM_DEDUP_KNOWN);
    set_tip(dedup, 4); /* Takes the place of 2, left longest ago. */
    set_tip(dedup, 2);
    assert_int_equal(add(dedup, 20), OWM_DEDUP_NEW);
    owm_dedup_close(dedup);
}

/* Emptying is a count of 16 bits: what comes after it went round is still right. */
static void turns_go_round(void **state)
{
    (void)state;
    struct owm_dedup *dedup;
    assert_ok(owm_dedup_open(8, &dedup));
    for (uint32_t tip = 0; tip < 3 * 65536 + 10; tip++) {
        uint8_t previous[32];
        memcpy(previous, &tip, sizeof tip);
        memset(previous + 4, 1, 28);
        owm_dedup_tip(dedup, previous);
        assert_int_equal(add(dedup, 1), OWM_DEDUP_NEW);
        assert_int_equal(add(dedup, 1), OWM_DEDUP_KNOWN);
    }
    owm_dedup_close(dedup);
}

static void pair(unsigned n, struct owm_miner *miner, struct owm_worker *worker)
{
    char text[16];
    snprintf(text, sizeof text, "m%u", n / 3);
    assert_true(owm_miner_of(OWM_MINER_NAMED, text, miner));
    snprintf(text, sizeof text, "w%u", n % 3);
    assert_true(owm_worker_of(text, worker));
}

/* The table against a list: random claims and releases of more pairs than there are places. */
static void workers_are_kept_while_held(void **state)
{
    (void)state;
    enum { PLACES = 16, PAIRS = 40 };
    struct owm_workers *workers;
    struct owm_rng rng;
    uint32_t held[PAIRS] = {0}, at[PAIRS], distinct = 0;
    owm_rng_seed(&rng, 1);
    assert_ok(owm_workers_open(PLACES, &workers));
    for (int i = 0; i < 20000; i++) {
        unsigned n = (unsigned)owm_rng_below(&rng, PAIRS);
        struct owm_miner miner;
        struct owm_worker worker;
        pair(n, &miner, &worker);
        if (held[n] && owm_rng_below(&rng, 2)) {
            owm_workers_release(workers, at[n]);
            if (--held[n] == 0) distinct--;
            continue;
        }
        uint32_t place = owm_workers_claim(workers, &miner, &worker, 0);
        if (place == OWM_WORKER_NONE) {
            assert_int_equal(held[n], 0);
            assert_int_equal(distinct, PLACES);
            continue;
        }
        if (held[n]++)
            assert_int_equal(place, at[n]);
        else
            distinct++;
        at[n] = place;
        struct owm_worker_entry *entry = owm_workers_at(workers, place);
        assert_string_equal(entry->miner.text, miner.text);
        assert_string_equal(entry->worker.text, worker.text);
        assert_int_equal(entry->channels, held[n]);
    }
    struct owm_worker_view view[PLACES];
    assert_int_equal(owm_workers_copy(workers, 0, view, PLACES, 0), PLACES);
    assert_int_equal(owm_workers_copy(workers, 10, view, PLACES, 0), 6);
    owm_workers_close(workers);
}

static void rates_of_a_steady_miner(void **state)
{
    (void)state;
    struct owm_rate rate;
    owm_rate_init(&rate, 0);
    for (int64_t ms = 0; ms < 7200 * 1000; ms += 3333) owm_rate_add(&rate, 1000000, ms);
    double truth = 1000000 / 3.333;
    for (int w = 0; w < OWM_RATE_WINDOWS; w++) {
        double got = owm_rate_get(&rate, (enum owm_rate_window)w, 7200 * 1000);
        if (got < truth * 0.9 || got > truth * 1.1) fail_msg("window %d: %g of %g", w, got, truth);
    }
    assert_true(owm_rate_get(&rate, OWM_RATE_1M, 7200 * 1000 + 600 * 1000) < truth / 1000);
}

static void quantiles_of_latencies(void **state)
{
    (void)state;
    static struct owm_latency latency;
    assert_int_equal(owm_latency_quantile(&latency, 0.5), 0);
    for (uint64_t ns = 1; ns <= 100000; ns++) owm_latency_add(&latency, ns, 1);
    static const double q[] = {0.01, 0.5, 0.99, 0.999};
    for (int i = 0; i < 4; i++) {
        double got = (double)owm_latency_quantile(&latency, q[i]);
        assert_true(got >= q[i] * 100000 && got <= q[i] * 100000 * 1.26);
    }
    for (unsigned i = 1; i < OWM_HISTOGRAM_BUCKETS; i++)
        assert_true(owm_latency_bound(i) > owm_latency_bound(i - 1));
}

static void timers_come_due(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct owm_timers timers;
    struct owm_rng rng;
    int64_t due[COUNT], now = 12345, reach = OWM_TIMERS_STEP_MS * (OWM_TIMERS_STEPS - 3);
    owm_rng_seed(&rng, 3);
    assert_ok(owm_timers_open(COUNT, now, &timers));
    for (int i = 0; i < COUNT; i++) due[i] = -1;
    for (int round = 0; round < 5000; round++) {
        uint32_t i = (uint32_t)owm_rng_below(&rng, COUNT);
        if (owm_rng_below(&rng, 4) == 0) {
            owm_timers_clear(&timers, i);
            due[i] = -1;
        } else {
            due[i] = now + (int64_t)owm_rng_below(&rng, (uint64_t)reach);
            owm_timers_set(&timers, i, due[i]);
        }
        now += (int64_t)owm_rng_below(&rng, 300);
        for (uint32_t t; (t = owm_timers_due(&timers, now)) != OWM_TIMER_NONE;) {
            assert_true(due[t] >= 0 && due[t] <= now);
            due[t] = -1;
        }
        for (int t = 0; t < COUNT; t++) /* None is late by more than two steps. */
            assert_true(due[t] < 0 || due[t] + 2 * OWM_TIMERS_STEP_MS >= now);
    }
    owm_timers_set(&timers, 0, now + 3600 * 1000); /* Far: early, and to be set again. */
    int fired = 0;
    for (int64_t end = now + 60 * 1000; now < end; now += 500)
        for (uint32_t t; (t = owm_timers_due(&timers, now)) != OWM_TIMER_NONE;) fired += t == 0;
    assert_int_equal(fired, 1);
    owm_timers_close(&timers);
}

static void addresses_have_buckets(void **state)
{
    (void)state;
    struct owm_admission *admission;
    uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1};
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    assert_ok(owm_admission_open(
        &(struct owm_admission_options){.burst = 5, .per_s = 2, .handshakes_max = 8}, &admission));
    for (int i = 0; i < 5; i++)
        assert_int_equal(owm_admission_enter(admission, v4, 1000), OWM_ADMITTED);
    assert_int_equal(owm_admission_enter(admission, v4, 1000), OWM_REFUSED_RATE);
    v4[15] = 2; /* Another address of IPv4 is another miner; */
    assert_int_equal(owm_admission_enter(admission, v4, 1000), OWM_ADMITTED);
    for (int i = 0; i < 2; i++) { /* the lower half of IPv6 is one network. */
        v6[15]++;
        assert_int_equal(owm_admission_enter(admission, v6, 1000), OWM_ADMITTED);
    }
    v6[0] = 0x26;
    assert_int_equal(owm_admission_enter(admission, v6, 1000), OWM_REFUSED_HANDSHAKES);
    for (int i = 0; i < 8; i++) owm_admission_done(admission);
    v4[15] = 1;
    assert_int_equal(owm_admission_enter(admission, v4, 900), OWM_REFUSED_RATE);
    assert_int_equal(owm_admission_enter(admission, v4, 1500), OWM_ADMITTED); /* 2 a second. */
    assert_int_equal(owm_admission_enter(admission, v4, 1500), OWM_REFUSED_RATE);
    assert_true(owm_admission_tell_once(admission, v4, 1500));
    assert_false(owm_admission_tell_once(admission, v4, 1500));
    owm_admission_close(admission);
}

static void tally_counts_like_a_model(void **state)
{
    (void)state;
    enum { KEYS = 96, ROOM = 64 };
    struct owm_tally tally;
    struct owm_rng rng;
    uint32_t model[KEYS] = {0}, keys = 0;
    owm_rng_seed(&rng, 5);
    assert_int_equal(owm_tally_open(0, &tally), OWM_E_ARG);
    assert_int_equal(owm_tally_open(OWM_TALLY_KEYS_MAX + 1, &tally), OWM_E_ARG);
    assert_ok(owm_tally_open(ROOM, &tally));
    for (int i = 0; i < 200000; i++) {
        uint32_t k = (uint32_t)(owm_rng_u64(&rng) % KEYS);
        bool add = owm_rng_u64(&rng) % 5 < 3 || i < 1000; /* Mostly full, and often a new key. */
        if (add && model[k] < 4) {
            bool fits = model[k] || keys < ROOM;
            assert_int_equal(owm_tally_add(&tally, k * UINT64_C(0x100000000)), fits);
            keys += fits && !model[k];
            model[k] += fits;
        } else if (model[k]) {
            owm_tally_drop(&tally, k * UINT64_C(0x100000000));
            keys -= --model[k] == 0;
        }
        for (uint32_t j = i % 7; j < KEYS; j += 7)
            assert_int_equal(owm_tally_count(&tally, j * UINT64_C(0x100000000)), model[j]);
    }
    owm_tally_close(&tally);
}

static enum owm_admission_answer enter_v6(struct owm_admission *admission, uint32_t network)
{
    uint8_t address[16] = {0x20, 0x01};
    memcpy(address + 2, &network, sizeof network);
    enum owm_admission_answer answer = owm_admission_enter(admission, address, 1000);
    if (answer == OWM_ADMITTED) owm_admission_done(admission);
    return answer;
}

static void leave_v6(struct owm_admission *admission, uint32_t network)
{
    uint8_t address[16] = {0x20, 0x01, [15] = 7}; /* Another host of the same /64. */
    memcpy(address + 2, &network, sizeof network);
    owm_admission_leave(admission, address);
}

/* One address never has all places, gets them back as its connections close, and one more address
 * than there are connections finds none. */
static void addresses_have_places(void **state)
{
    (void)state;
    struct owm_admission *admission;
    assert_ok(owm_admission_open(
        &(struct owm_admission_options){.connections_per_address = 3, .connections_max = 4},
        &admission));
    for (int i = 0; i < 3; i++) assert_int_equal(enter_v6(admission, 1), OWM_ADMITTED);
    assert_int_equal(enter_v6(admission, 1), OWM_REFUSED_ADDRESS);
    assert_int_equal(owm_admission_handshakes(admission), 0); /* A refusal counts as none. */
    assert_int_equal(enter_v6(admission, 2), OWM_ADMITTED);
    leave_v6(admission, 1);
    assert_int_equal(enter_v6(admission, 1), OWM_ADMITTED);
    assert_int_equal(enter_v6(admission, 1), OWM_REFUSED_ADDRESS);
    assert_int_equal(enter_v6(admission, 3), OWM_ADMITTED);
    assert_int_equal(enter_v6(admission, 4), OWM_ADMITTED);
    assert_int_equal(enter_v6(admission, 5), OWM_REFUSED_FULL);
    assert_int_equal(enter_v6(admission, 1), OWM_REFUSED_ADDRESS);
    leave_v6(admission, 4);
    assert_int_equal(enter_v6(admission, 5), OWM_ADMITTED);
    for (int i = 0; i < 3; i++) leave_v6(admission, 1);
    assert_int_equal(enter_v6(admission, 6), OWM_ADMITTED);
    owm_admission_close(admission);
}

/* Four times as many addresses as there are buckets: none that has a connection is forgotten. */
static void addresses_are_kept_while_open(void **state)
{
    (void)state;
    enum { ADDRESSES = 65536 };
    struct owm_admission *admission;
    assert_ok(owm_admission_open(
        &(struct owm_admission_options){.connections_per_address = 1, .addresses_max = 16384},
        &admission));
    for (uint32_t i = 0; i < ADDRESSES; i++) assert_int_equal(enter_v6(admission, i), OWM_ADMITTED);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(enter_v6(admission, i), OWM_REFUSED_ADDRESS);
    assert_int_equal(enter_v6(admission, ADDRESSES), OWM_REFUSED_FULL);
    for (uint32_t i = 0; i < ADDRESSES; i++) leave_v6(admission, i);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(enter_v6(admission, ADDRESSES + i), OWM_ADMITTED);
    owm_admission_close(admission);
}

/* The /32 of IPv4 that has the same first bytes as a /64 of IPv6 is another address. */
static void v4_is_not_v6(void **state)
{
    (void)state;
    struct owm_admission *admission;
    uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 0x20, [13] = 0x01, [14] = 0x0d, [15] = 0xb8};
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};
    assert_ok(owm_admission_open(&(struct owm_admission_options){.connections_per_address = 1},
                                 &admission));
    assert_int_equal(owm_admission_enter(admission, v6, 1000), OWM_ADMITTED);
    assert_int_equal(owm_admission_enter(admission, v4, 1000), OWM_ADMITTED);
    assert_int_equal(owm_admission_enter(admission, v4, 1000), OWM_REFUSED_ADDRESS);
    owm_admission_close(admission);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_share_counts_once),
        cmocka_unit_test(tips_come_back),
        cmocka_unit_test(turns_go_round),
        cmocka_unit_test(workers_are_kept_while_held),
        cmocka_unit_test(rates_of_a_steady_miner),
        cmocka_unit_test(quantiles_of_latencies),
        cmocka_unit_test(timers_come_due),
        cmocka_unit_test(addresses_have_buckets),
        cmocka_unit_test(tally_counts_like_a_model),
        cmocka_unit_test(addresses_have_places),
        cmocka_unit_test(addresses_are_kept_while_open),
        cmocka_unit_test(v4_is_not_v6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

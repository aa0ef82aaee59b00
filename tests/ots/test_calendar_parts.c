/* test_calendar_parts.c: a calendar's secret, its limits, and how it puts many digests under one
 * promise (SRS-OTS-03). */
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "dataplane/ots/proof.h"
#include "ots/calendar/aggregate.h"
#include "ots/calendar/quota.h"

#define URI "https://ots.example.org"

static char folder[] = "/tmp/owm-calendar-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int empty_the_folder(void **state)
{
    (void)state;
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.') unlink(path_of(entry->d_name));
    if (entries) closedir(entries);
    return 0;
}

/* ---------------------------------------------------------------------------- the secret */

static void a_key_is_made_once_and_for_its_owner_alone(void **state)
{
    (void)state;
    struct key *first, *second;
    struct stat stat_of;
    bool made;
    uint8_t a[JOURNAL_COMMITMENT_BYTES] = {1, 2, 3}, b[JOURNAL_COMMITMENT_BYTES] = {1, 2, 3};
    assert_ok(key_open(folder, &first, &made, NULL));
    assert_true(made);
    assert_int_equal(stat(path_of("hmac-key"), &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0600);
    assert_ok(key_open(folder, &second, &made, NULL));
    assert_false(made);
    key_seal(first, a);
    key_seal(second, b);
    assert_memory_equal(a, b, sizeof a);
    key_close(second);
    for (size_t at = 0; at < sizeof a; at++) { /* No byte can be another. */
        assert_true(key_sealed(first, a));
        a[at] ^= 1;
        assert_false(key_sealed(first, a));
        a[at] ^= 1;
    }
    unlink(path_of("hmac-key"));
    assert_ok(key_open(folder, &second, &made, NULL));
    assert_true(made);
    assert_false(key_sealed(second, a));
    key_close(second);
    key_close(first);
}

static void a_key_that_is_not_well_kept_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "owm-calendar-key-1 00\n",
        "owm-calendar-key-1 000000000000000000000000000000000000000000000000000000000000000g\n",
        "owm-calendar-key-2 0000000000000000000000000000000000000000000000000000000000000000\n",
        "owm-calendar-key-1 0000000000000000000000000000000000000000000000000000000000000000\nx",
    };
    struct key *key;
    struct owm_error error;
    bool made;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_ok(owm_fs_write_atomic(path_of("hmac-key"), bad[i], strlen(bad[i]), 0600, NULL));
        assert_int_equal(key_open(folder, &key, &made, &error), OWM_E_PROTO);
        assert_non_null(strstr(error.text, "holds no key of a calendar"));
        assert_null(key);
    }
    unlink(path_of("hmac-key"));
    assert_ok(key_open(folder, &key, &made, NULL));
    key_close(key);
    chmod(path_of("hmac-key"), 0640);
    assert_int_equal(key_open(folder, &key, &made, &error), OWM_E_PERM);
    assert_non_null(strstr(error.text, "chmod 600"));
    chmod(path_of("hmac-key"), 0600);
    char target[512];
    snprintf(target, sizeof target, "%s", path_of("real"));
    assert_int_equal(rename(path_of("hmac-key"), target), 0);
    assert_int_equal(symlink(target, path_of("hmac-key")), 0);
    assert_int_equal(key_open(folder, &key, &made, &error), OWM_E_PERM);
}

/* ---------------------------------------------------------------------------- limits */

static void an_address_gets_what_it_may_and_no_more(void **state)
{
    (void)state;
    struct quota *quota;
    unsigned retry_s = 0;
    assert_ok(quota_open(6, 0, &quota));
    for (int i = 0; i < 6; i++)
        assert_int_equal(quota_take(quota, "192.0.2.1", 1000, &retry_s), QUOTA_PASS);
    assert_int_equal(quota_take(quota, "192.0.2.1", 1000, &retry_s), QUOTA_ADDRESS);
    assert_in_range(retry_s, 10, 11);
    assert_int_equal(quota_take(quota, "192.0.2.2", 1000, &retry_s), QUOTA_PASS);
    assert_int_equal(quota_take(quota, "192.0.2.1", 10999, &retry_s), QUOTA_ADDRESS);
    assert_int_equal(quota_take(quota, "192.0.2.1", 11000, &retry_s), QUOTA_PASS);
    assert_int_equal(quota_take(quota, "192.0.2.1", 11000, &retry_s), QUOTA_ADDRESS);
    /* A customer's IPv6 network is one; an IPv4 address is the same one in IPv6. */
    for (int i = 0; i < 6; i++)
        assert_int_equal(quota_take(quota, i % 2 ? "2001:db8::1" : "2001:db8::ffff:2", 1, &retry_s),
                         QUOTA_PASS);
    assert_int_equal(quota_take(quota, "2001:db8:0:0:9::", 1, &retry_s), QUOTA_ADDRESS);
    assert_int_equal(quota_take(quota, "2001:db8:0:1::", 1, &retry_s), QUOTA_PASS);
    assert_int_equal(quota_take(quota, "::ffff:192.0.2.1", 11000, &retry_s), QUOTA_ADDRESS);
    for (int i = 0; i < 6; i++)
        assert_int_equal(quota_take(quota, "no address", 5, &retry_s), QUOTA_PASS);
    assert_int_equal(quota_take(quota, "neither", 5, &retry_s), QUOTA_ADDRESS);
    quota_close(quota);
}

/* Property: in no history one address, or all together, get more than burst + rate * time. */
static void no_history_gets_more_than_the_rates(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 3);
    for (int history = 0; history < 40; history++) {
        struct quota *quota;
        unsigned per_minute = 1 + (unsigned)owm_rng_below(&rng, 200), retry_s;
        unsigned per_second = 1 + (unsigned)owm_rng_below(&rng, 20);
        uint64_t now_ms = 0, passed[4] = {0}, all = 0;
        assert_ok(quota_open(per_minute, per_second, &quota));
        for (int i = 0; i < 3000; i++) {
            char address[16];
            size_t who = (size_t)owm_rng_below(&rng, 4);
            now_ms += owm_rng_below(&rng, 40);
            snprintf(address, sizeof address, "10.0.0.%zu", who);
            if (quota_take(quota, address, now_ms, &retry_s) == QUOTA_PASS) {
                passed[who]++;
                all++;
            } else {
                assert_in_range(retry_s, 1, 61);
            }
            assert_true(passed[who] <= per_minute + now_ms * per_minute / 60000);
            assert_true(all <= per_second + now_ms * per_second / 1000);
        }
        assert_true(all > 0);
        quota_close(quota);
    }
}

/* A flood of addresses in a table of fixed size: whoever is at his limit is not forgotten. */
static void a_flood_of_addresses_does_not_clear_the_table(void **state)
{
    (void)state;
    struct quota *quota;
    unsigned retry_s, passed = 0;
    assert_ok(quota_open(100, 0, &quota));
    for (int i = 0; i < 100; i++) (void)quota_take(quota, "192.0.2.1", 1, &retry_s);
    for (unsigned i = 0; i < 4 * QUOTA_ADDRESSES_MAX; i++) {
        char address[24];
        snprintf(address, sizeof address, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        passed += quota_take(quota, address, 1, &retry_s) == QUOTA_PASS;
    }
    assert_int_equal(passed, 4 * QUOTA_ADDRESSES_MAX);
    assert_int_equal(quota_take(quota, "192.0.2.1", 1, &retry_s), QUOTA_ADDRESS);
    quota_close(quota);
    assert_ok(quota_open(0, 0, &quota));
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(quota_take(quota, "192.0.2.1", 1, &retry_s), QUOTA_PASS);
    quota_close(quota);
}

/* ---------------------------------------------------------------------------- many digests */

struct promising {
    struct key *key;
    struct journal *journal;
    struct aggregate *aggregate;
};

static void begin(struct promising *promising)
{
    bool made;
    assert_ok(journal_open(folder, &promising->journal, NULL));
    assert_ok(key_open(folder, &promising->key, &made, NULL));
    const struct aggregate_options options = {promising->journal, promising->key, URI};
    assert_ok(aggregate_open(&options, &promising->aggregate, NULL));
}

static void end(struct promising *promising)
{
    aggregate_close(promising->aggregate);
    key_close(promising->key);
    journal_close(promising->journal);
}

static void digest_of(uint32_t n, uint8_t digest[static 64], struct aggregate_digest *out)
{
    struct owm_rng rng;
    owm_rng_seed(&rng, n);
    for (size_t i = 0; i < 64; i++) digest[i] = (uint8_t)owm_rng_u64(&rng);
    *out = (struct aggregate_digest){digest, 4 + n % 61};
}

static enum aggregate_state wait_for(struct promising *promising,
                                     const struct aggregate_digest *digest, uint8_t *answer,
                                     size_t *bytes)
{
    for (int i = 0; i < 2000; i++) {
        enum aggregate_state state = aggregate_look(promising->aggregate, digest, answer, bytes);
        if (state != AGGREGATE_GATHERED && state != AGGREGATE_WORKING) return state;
        owm_clock_sleep_ms(5);
    }
    fail_msg("no answer within ten seconds");
    return AGGREGATE_UNKNOWN;
}

/* The answer is a tree of the digest with one leaf, our promise, of a commitment that we keep. */
static uint32_t check_answer(struct promising *promising, const struct aggregate_digest *digest,
                             const uint8_t *answer, size_t bytes)
{
    struct owm_ots_tree tree;
    struct owm_error error;
    uint32_t index = 0;
    const struct owm_ots_bytes root = {digest->data, (uint32_t)digest->bytes};
    assert_ok(owm_ots_tree_init(&tree, root, NULL));
    if (owm_ots_parse(&tree, (struct owm_ots_bytes){answer, (uint32_t)bytes}, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(tree.attestation_count, 1);
    assert_int_equal(tree.attestations[0].kind, OWM_OTS_PENDING);
    struct owm_ots_bytes uri = tree.attestations[0].detail;
    assert_int_equal(uri.bytes, strlen(URI));
    assert_memory_equal(uri.data, URI, uri.bytes);
    struct owm_ots_bytes commitment = tree.nodes[tree.attestations[0].node].message;
    assert_int_equal(commitment.bytes, JOURNAL_COMMITMENT_BYTES);
    assert_true(key_sealed(promising->key, commitment.data));
    assert_true(journal_find(promising->journal, commitment.data, &index));
    int64_t time = (int64_t)commitment.data[0] << 24 | commitment.data[1] << 16
                   | commitment.data[2] << 8 | commitment.data[3];
    assert_in_range(time, owm_clock_wall_ms() / 1000 - 60, owm_clock_wall_ms() / 1000);
    owm_ots_tree_deinit(&tree);
    return index;
}

static void every_digest_of_a_second_is_under_one_promise(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 3, 100};
    struct promising promising;
    uint8_t digest[64], answer[AGGREGATE_ANSWER_BYTES_MAX];
    struct aggregate_digest one;
    size_t bytes;
    begin(&promising);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint32_t before = journal_count(promising.journal);
        owm_clock_sleep_ms((uint32_t)(1000 - owm_clock_wall_ms() % 1000));
        for (uint32_t n = 0; n < counts[i]; n++) {
            digest_of(1000 * (uint32_t)i + n, digest, &one);
            assert_ok(aggregate_add(promising.aggregate, &one));
        }
        for (uint32_t n = 0; n < counts[i]; n++) {
            digest_of(1000 * (uint32_t)i + n, digest, &one);
            assert_int_equal(wait_for(&promising, &one, answer, &bytes), AGGREGATE_PROMISED);
            assert_int_equal(check_answer(&promising, &one, answer, bytes), before);
        }
        assert_int_equal(journal_count(promising.journal), before + 1);
    }
    end(&promising);
}

static void a_second_that_is_full_refuses_and_the_next_takes(void **state)
{
    (void)state;
    struct promising promising;
    uint8_t digest[64], answer[AGGREGATE_ANSWER_BYTES_MAX];
    struct aggregate_digest one;
    size_t bytes;
    begin(&promising);
    owm_clock_sleep_ms((uint32_t)(1000 - owm_clock_wall_ms() % 1000));
    for (uint32_t n = 0; n < AGGREGATE_DIGESTS_MAX; n++) {
        digest_of(n, digest, &one);
        assert_ok(aggregate_add(promising.aggregate, &one));
    }
    digest_of(AGGREGATE_DIGESTS_MAX, digest, &one);
    assert_int_equal(aggregate_add(promising.aggregate, &one), OWM_E_LIMIT);
    for (uint32_t n = 0; n < AGGREGATE_DIGESTS_MAX; n += 111) {
        digest_of(n, digest, &one);
        assert_int_equal(wait_for(&promising, &one, answer, &bytes), AGGREGATE_PROMISED);
        assert_int_equal(check_answer(&promising, &one, answer, bytes), 0);
    }
    digest_of(AGGREGATE_DIGESTS_MAX, digest, &one);
    assert_int_equal(aggregate_look(promising.aggregate, &one, answer, &bytes), AGGREGATE_UNKNOWN);
    assert_ok(aggregate_add(promising.aggregate, &one));
    assert_int_equal(wait_for(&promising, &one, answer, &bytes), AGGREGATE_PROMISED);
    assert_int_equal(check_answer(&promising, &one, answer, bytes), 1);
    end(&promising);
}

static void stopping_promises_what_is_gathered_and_no_more(void **state)
{
    (void)state;
    struct promising promising;
    uint8_t digest[64], answer[AGGREGATE_ANSWER_BYTES_MAX];
    struct aggregate_digest one, other;
    uint8_t more[64];
    size_t bytes;
    begin(&promising);
    digest_of(1, digest, &one);
    digest_of(2, more, &other);
    assert_ok(aggregate_add(promising.aggregate, &one));
    aggregate_stop(promising.aggregate);
    assert_int_equal(aggregate_add(promising.aggregate, &other), OWM_E_STATE);
    assert_int_equal(wait_for(&promising, &one, answer, &bytes), AGGREGATE_PROMISED);
    check_answer(&promising, &one, answer, bytes);
    end(&promising);
    begin(&promising); /* And closing alone does the same. */
    assert_ok(aggregate_add(promising.aggregate, &other));
    end(&promising);
    assert_ok(journal_open(folder, &promising.journal, NULL));
    assert_int_equal(journal_count(promising.journal), 2);
    journal_close(promising.journal);
}

int main(void)
{
    if (!mkdtemp(folder)) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_key_is_made_once_and_for_its_owner_alone, empty_the_folder),
        cmocka_unit_test_setup(a_key_that_is_not_well_kept_is_refused, empty_the_folder),
        cmocka_unit_test(an_address_gets_what_it_may_and_no_more),
        cmocka_unit_test(no_history_gets_more_than_the_rates),
        cmocka_unit_test(a_flood_of_addresses_does_not_clear_the_table),
        cmocka_unit_test_setup(every_digest_of_a_second_is_under_one_promise, empty_the_folder),
        cmocka_unit_test_setup(a_second_that_is_full_refuses_and_the_next_takes, empty_the_folder),
        cmocka_unit_test_setup(stopping_promises_what_is_gathered_and_no_more, empty_the_folder),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    empty_the_folder(NULL);
    return rmdir(folder) == 0 ? failed : 1;
}

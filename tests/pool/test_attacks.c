/* test_attacks.c: what has been tried on Stratum v2 pools, by name; numbers are of issues and
 * commits in the trackers of stratum-mining/stratum and sv2-apps. None needs a socket; those that
 * do are in test_loop.c, those below the frame in test_link.c. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "dataplane/chain/target.h"
#include "hall_world.h"
#include "test.h"

static struct world world;

static int set_up(void **state)
{
    (void)state;
    world_open(&world, NULL);
    world_work(&world, 1, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(owm_hall_stats(world.hall)->sessions, 0);
    assert_int_equal(owm_hall_stats(world.hall)->channels, 0);
    world_close(&world);
    return 0;
}

static void reopen(const struct owm_hall_options *options, uint32_t bits)
{
    world_close(&world);
    world_open(&world, options);
    world_work(&world, 1, bits);
}

static uint64_t rejected(enum owm_reject reject)
{
    return owm_hall_stats(world.hall)->rejected[reject];
}

/* sv2-apps 876: whatever follows a refusal is not read. */
static void frames_behind_a_refusal(void **state)
{
    (void)state;
    struct visitor visitor, next;
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, OWM_SV2_REQUIRES_WORK_SELECTION);
    assert_int_equal(visitor.reason, OWM_CLOSE_SETUP);
    assert_true(visitor.flushed);
    uint64_t frames = visitor.client.frames;
    for (int i = 0; i < 10; i++) sv2client_setup(&visitor.client, 0);
    sv2client_open(&visitor.client, &(struct sv2client_opening){.identity = "a"});
    assert_int_equal(visitor.client.frames, frames);
    visitor_enter(&next, &world);
    assert_int_not_equal(visitor_open(&next, 0, true, "alice")->id, 0);
    visitor_leave(&visitor);
    visitor_leave(&next);
}

/* All flags that are not there are named, whatever else is asked for. */
static void flags_are_probed(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, UINT32_MAX);
    assert_int_equal(visitor.client.refused_flags, UINT32_MAX & ~5u);
    assert_string_equal(visitor.client.code, "unsupported-feature-flags");
    visitor_leave(&visitor);
}

static void setup_for_something_else(void **state)
{
    (void)state;
    static const struct {
        uint8_t protocol;
        uint16_t min, max;
        const char *code;
    } cases[] = {{1, 2, 2, "unsupported-protocol"},
                 {2, 2, 2, "unsupported-protocol"},
                 {0, 3, 9, "protocol-version-mismatch"},
                 {0, 0, 1, "protocol-version-mismatch"}};
    for (int i = 0; i < 4; i++) {
        struct visitor visitor;
        uint8_t out[64];
        struct owm_sv2_setup_connection setup = {.protocol = cases[i].protocol,
                                                 .min_version = cases[i].min,
                                                 .max_version = cases[i].max};
        visitor_enter(&visitor, &world);
        size_t bytes = owm_sv2_write_setup_connection(out, sizeof out, &setup);
        visitor_say(&visitor, 0, OWM_SV2_TYPE_setup_connection, out, (uint32_t)bytes);
        assert_string_equal(visitor.client.code, cases[i].code);
        assert_int_equal(visitor.reason, OWM_CLOSE_SETUP);
        visitor_leave(&visitor);
    }
}

/* sv2-apps 776: each silence has a deadline of its own. */
static void the_silent_are_reaped(void **state)
{
    (void)state;
    struct visitor v[4];
    visitor_connect(&v[0], &world);
    visitor_enter(&v[1], &world);
    visitor_enter(&v[2], &world);
    sv2client_setup(&v[2].client, 0);
    visitor_enter(&v[3], &world);
    visitor_open(&v[3], 0, true, "alice");
    world_idle(&world, 9000);
    for (int i = 0; i < 4; i++) assert_false(v[i].closed);
    world_idle(&world, 3000);
    assert_int_equal(v[0].reason, OWM_CLOSE_LATE_HANDSHAKE);
    assert_int_equal(v[1].reason, OWM_CLOSE_LATE_SETUP);
    assert_false(v[2].closed);
    world_idle(&world, 20000);
    assert_true(v[2].closed);
    assert_int_equal(v[2].reason, OWM_CLOSE_LATE_CHANNEL);
    world_idle(&world, 29 * 60 * 1000 - 20000);
    assert_false(v[3].closed);
    world_idle(&world, 2 * 60 * 1000);
    assert_int_equal(v[3].reason, OWM_CLOSE_IDLE);
    for (int i = 0; i < 4; i++) visitor_leave(&v[i]);
}

/* Shares keep a session alive. */
static void the_busy_are_not(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    for (int i = 0; i < 6; i++) {
        world_idle(&world, 20 * 60 * 1000);
        assert_false(visitor.closed);
        world_work(&world, 0, 0);
        assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
    }
    visitor_leave(&visitor);
}

/* sv2-apps 819, 730: channels, prefixes, workers and sessions run out for who takes too many, and
 * for nobody else; the pool goes on. */
static void channels_run_out(void **state)
{
    (void)state;
    struct visitor greedy, modest;
    reopen(&(struct owm_hall_options){.channels_per_session = 3}, 0);
    visitor_enter(&greedy, &world);
    for (int i = 0; i < 5; i++) visitor_open(&greedy, 0, i % 2, "greedy");
    assert_string_equal(greedy.client.code, "channel-capacity-exhausted");
    assert_int_equal(owm_hall_stats(world.hall)->channels, 3);
    visitor_enter(&modest, &world);
    assert_int_not_equal(visitor_open(&modest, 0, true, "modest")->id, 0);
    sv2client_close_channel(&greedy.client, greedy.channel[0].id);
    assert_int_not_equal(visitor_open(&greedy, 0, true, "greedy")->id, 0);
    visitor_leave(&greedy);
    visitor_leave(&modest);
}

/* sv2-apps 819, by miner: channels of several connections are counted together, a refusal costs no
 * prefix, and a closed channel or a lost connection gives its place back. */
static void channels_of_a_miner_run_out(void **state)
{
    (void)state;
    struct visitor one, two, modest;
    reopen(&(struct owm_hall_options){.channels_per_miner = 3, .prefixes_max = 7}, 0);
    visitor_enter(&one, &world);
    visitor_enter(&two, &world);
    visitor_enter(&modest, &world);
    assert_int_not_equal(visitor_open(&one, 0, true, "greedy.a")->id, 0);
    assert_int_not_equal(visitor_open(&one, 0, false, "greedy.b")->id, 0);
    assert_int_not_equal(visitor_open(&two, 0, true, "greedy.a")->id, 0);
    for (int i = 0; i < 3; i++) visitor_open(&two, 0, i % 2, "greedy.c");
    assert_string_equal(two.client.code, "channel-capacity-exhausted");
    assert_int_equal(owm_hall_stats(world.hall)->channels, 3);
    assert_int_equal(owm_hall_stats(world.hall)->channels_refused, 3);
    assert_int_not_equal(visitor_open(&modest, 0, true, "modest")->id, 0);
    sv2client_close_channel(&one.client, one.channel[1].id);
    assert_int_not_equal(visitor_open(&two, 0, true, "greedy.c")->id, 0);
    visitor_leave(&two);
    for (int i = 0; i < 2; i++)
        assert_int_not_equal(visitor_open(&one, 0, true, "greedy.c")->id, 0);
    assert_int_equal(owm_hall_stats(world.hall)->channels, 4);
    visitor_leave(&one);
    visitor_leave(&modest);
}

/* sv2-apps 819, by address: a liar with another name for each channel leaves room for others. */
static void channels_of_an_address_run_out(void **state)
{
    (void)state;
    struct visitor one, two, elsewhere;
    reopen(&(struct owm_hall_options){.channels_per_address = 3}, 0);
    visitor_enter(&one, &world);
    visitor_enter(&two, &world);
    world.address++;
    visitor_enter(&elsewhere, &world);
    assert_int_not_equal(visitor_open(&one, 0, true, "liar1")->id, 0);
    assert_int_not_equal(visitor_open(&one, 0, false, "liar2")->id, 0);
    assert_int_not_equal(visitor_open(&two, 0, true, "liar3")->id, 0);
    visitor_open(&two, 0, true, "liar4");
    assert_string_equal(two.client.code, "channel-capacity-exhausted");
    assert_int_not_equal(visitor_open(&elsewhere, 0, true, "modest")->id, 0);
    visitor_leave(&one);
    assert_int_not_equal(visitor_open(&two, 0, true, "liar4")->id, 0);
    visitor_leave(&two);
    visitor_leave(&elsewhere);
}

/* Without a limit of its own: a quarter of the channels, at least 64. */
static void miners_share_by_default(void **state)
{
    (void)state;
    static struct visitor greedy[10], modest; /* Of 8 channels each. */
    reopen(&(struct owm_hall_options){.channels_max = 100}, 0);
    for (int i = 0; i < 10; i++) {
        visitor_enter(&greedy[i], &world);
        for (int k = 0; k < VISITOR_CHANNELS; k++) visitor_open(&greedy[i], 0, true, "greedy");
    }
    assert_int_equal(owm_hall_stats(world.hall)->channels, 64);
    visitor_enter(&modest, &world);
    assert_int_not_equal(visitor_open(&modest, 0, true, "modest")->id, 0);
    for (int i = 0; i < 10; i++) visitor_leave(&greedy[i]);
    visitor_leave(&modest);
}

static void prefixes_run_out(void **state)
{
    (void)state;
    struct visitor visitor;
    reopen(&(struct owm_hall_options){.prefixes_max = 2}, 0);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *a = visitor_open(&visitor, 0, true, "a");
    visitor_open(&visitor, 0, true, "b");
    sv2client_close_channel(&visitor.client, visitor.channel[1].id);
    visitor_open(&visitor, 0, true, "c");
    assert_string_equal(visitor.client.code, "channel-capacity-exhausted");
    assert_string_equal(visitor_answer_new(&visitor, a), "accepted");
    visitor_leave(&visitor);
}

static void workers_and_sessions_run_out(void **state)
{
    (void)state;
    struct visitor a, b, c;
    reopen(&(struct owm_hall_options){.workers_max = 1, .sessions_max = 2}, 0);
    visitor_enter(&a, &world);
    visitor_enter(&b, &world);
    visitor_connect(&c, &world);
    assert_null(c.session);
    assert_int_not_equal(visitor_open(&a, 0, true, "a")->id, 0);
    visitor_open(&b, 0, true, "b");
    assert_string_equal(b.client.code, "channel-capacity-exhausted");
    visitor_leave(&a);
    assert_int_not_equal(visitor_open(&b, 0, true, "b")->id, 0);
    visitor_leave(&b);
}

/* 2336, 6ae6b218: a prefix is never given out twice, so no two channels share a space. */
static void prefixes_are_never_reused(void **state)
{
    (void)state;
    struct visitor visitor;
    uint8_t seen[40][8];
    visitor_enter(&visitor, &world);
    for (int i = 0; i < 40; i++) {
        struct sv2client_channel *channel = visitor_open(&visitor, 0, i % 2, "alice");
        memcpy(seen[i], channel->prefix, 8);
        for (int k = 0; k < i; k++) assert_memory_not_equal(seen[i], seen[k], 8);
        sv2client_close_channel(&visitor.client, channel->id);
        channel->request_id = channel->id = 0;
    }
    static const uint8_t start[] = {0, 7, 3}; /* Epoch and loop. */
    assert_memory_equal(seen[39], start, 3);
    visitor_leave(&visitor);
}

/* sv2-apps 683, 768, 731: who does not read is dropped, alone. */
static void the_deaf_are_dropped(void **state)
{
    (void)state;
    struct visitor deaf, good;
    visitor_enter(&deaf, &world);
    visitor_enter(&good, &world);
    visitor_open(&deaf, 0, true, "deaf");
    struct sv2client_channel *channel = visitor_open(&good, 0, true, "good");
    deaf.deaf = true;
    deaf.reads_left = 3;
    for (int i = 0; i < 5; i++) world_work(&world, 0, 0);
    assert_int_equal(deaf.reason, OWM_CLOSE_SLOW);
    assert_false(deaf.flushed);
    assert_int_equal(channel->job.id, 6);
    visitor_leave(&deaf);
    visitor_leave(&good);
}

/* sv2-apps 817: malformed input costs a few lines of log, not a disk. */
static void log_has_a_budget(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share share = {.job_id = 77};
    int file = memfd_create("log", 0);
    reopen(&(struct owm_hall_options){.log_lines = 3}, 0);
    owm_log_fd_set(file);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    for (int i = 0; i < 500; i++) sv2client_submit(&visitor.client, channel, &share);
    visitor_say(&visitor, 0, OWM_SV2_TYPE_submit_extended, "x", 1);
    owm_log_fd_set(2);
    char text[8192];
    ssize_t bytes = pread(file, text, sizeof text - 1, 0);
    assert_true(bytes > 0);
    text[bytes] = 0;
    int lines = 0;
    for (ssize_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    assert_int_equal(lines, 3);
    assert_non_null(strstr(text, "invalid-job-id")); /* SRS-POOL-06: logged with its reason, */
    assert_int_equal(rejected(OWM_REJECT_JOB), 500); /* and counted. */
    assert_int_equal(visitor.reason, OWM_CLOSE_MALFORMED);
    visitor_leave(&visitor);
    close(file);
}

static void nothing_but_rejects(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share share = {.job_id = 77};
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    for (int i = 0; i < 1500; i++) sv2client_submit(&visitor.client, channel, &share);
    assert_int_equal(rejected(OWM_REJECT_JOB), 1000);
    assert_int_equal(visitor.reason, OWM_CLOSE_REJECTS);
    visitor_leave(&visitor);
}

/* stratum 2096: a share that solves a block is credited once, and the block is handed on once. */
static void block_share_again_and_again(void **state)
{
    (void)state;
    struct visitor visitor;
    reopen(NULL, WORLD_BITS_EASY);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share = visitor_find(channel);
    uint8_t header[80];
    sv2client_header(channel, &share, header);
    assert_string_equal(visitor_answer(&visitor, channel, &share), "accepted");
    for (int i = 0; i < 10; i++)
        assert_string_equal(visitor_answer(&visitor, channel, &share), "duplicate-share");
    assert_int_equal(world.blocks, 1);
    assert_int_equal(world.appended, 1);
    assert_true(world.share[0].share.block);
    assert_memory_equal(world.block_header, header, 80);
    visitor_leave(&visitor);
}

/* Facts 16: a block is a block, though its share is stale or worth nothing here. */
static void stale_block_is_handed_on_first(void **state)
{
    (void)state;
    struct visitor visitor;
    uint8_t network[32], harder[32];
    reopen(NULL, 0x1f00ffff); /* 2^16 hashes. */
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share;
    sv2client_share_start(channel, &share);
    assert_true(owm_target_from_compact(0x1f00ffff, network));
    assert_true(sv2client_mine(channel, network, NULL, &share));
    world_work(&world, 2, 0x1f00ffff);
    assert_string_equal(visitor_answer(&visitor, channel, &share), "stale-share");
    assert_int_equal(world.blocks, 1);
    assert_int_equal(world.appended, 0);
    owm_target_of_hashes(UINT64_C(1) << 20, harder); /* Harder than the network is refused. */
    sv2client_update(&visitor.client, channel->id, 1, harder);
    assert_string_equal(visitor.client.code, "max-target-out-of-range");
    visitor_leave(&visitor);
}

/* stratum 2297: the table of shares does not forget; when it is full it says so. */
static void share_table_is_full(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share first = {0}, share;
    reopen(&(struct owm_hall_options){.share_table = 16, .vardiff = {.settle_s = 1e9}}, 0);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    sv2client_share_start(channel, &share);
    for (int i = 0; i < 14; i++, share.nonce++) {
        assert_true(sv2client_mine(channel, channel->target, NULL, &share));
        assert_string_equal(visitor_answer(&visitor, channel, &share),
                            i < 12 ? "accepted" : "share-limit");
        if (i == 0) first = share;
    }
    assert_string_equal(visitor_answer(&visitor, channel, &first), "duplicate-share");
    world_work(&world, 2, 0);
    assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
    visitor_leave(&visitor);
}

/* ... but miners that do as they are told never come there: on a tip that lasts, shares get harder
 * as its table fills. This miner would fill it in 640 s. */
static void share_table_lasts(void **state)
{
    (void)state;
    struct visitor visitor;
    reopen(&(struct owm_hall_options){.share_table = 256}, 0);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    for (uint64_t passed_ms = 0; passed_ms < 2400000;) {
        uint64_t took_ms = (uint64_t)((double)owm_target_hashes_u64(channel->target) * 1000
                                      / (double)world_rate(64));
        world_idle(&world, took_ms);
        passed_ms += took_ms;
        assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
        world_work(&world, 0, 0); /* From here on a new target holds. */
    }
    visitor_leave(&visitor);
}

/* stratum 2329, 2396: the same proof under a new job, and after the tip went away and came back. */
static void proof_under_another_job(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share = visitor_find(channel);
    assert_string_equal(visitor_answer(&visitor, channel, &share), "accepted");
    world_work(&world, 0, 0); /* The same template again: the same header under job 2. */
    share.job_id = channel->job.id;
    assert_string_equal(visitor_answer(&visitor, channel, &share), "duplicate-share");
    world_work(&world, 2, 0);
    assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
    world_work(&world, 1, 0); /* A reorganisation, back to the first tip. */
    share.job_id = channel->job.id;
    assert_string_equal(visitor_answer(&visitor, channel, &share), "duplicate-share");
    assert_int_equal(world.appended, 2);
    visitor_leave(&visitor);
}

/* b6074793: bits of the version that are not the miner's. */
static void version_bits(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    for (int bit = 0; bit < 32; bit++) {
        struct sv2client_share share;
        sv2client_share_start(channel, &share);
        share.version ^= 1u << bit;
        assert_true(sv2client_mine(channel, channel->target, NULL, &share));
        bool rollable = bit >= 5 && bit <= 28;
        assert_string_equal(visitor_answer(&visitor, channel, &share),
                            rollable ? "accepted" : "invalid-non-rollable-version-bit");
    }
    visitor_leave(&visitor);
}

/* stratum 2240, 2303: time below the job's minimum and more than two hours ahead. */
static void time_bounds(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    world_turn(&world, 10000); /* The bound ahead moves with the clock. */
    static const struct {
        int32_t by;
        const char *answer;
    } cases[] = {
        {-1, "invalid-ntime"}, {0, "accepted"}, {7210, "accepted"}, {7211, "invalid-ntime"}};
    for (int i = 0; i < 4; i++) {
        struct sv2client_share share;
        sv2client_share_start(channel, &share);
        share.ntime += (uint32_t)cases[i].by;
        assert_true(sv2client_mine(channel, channel->target, NULL, &share));
        assert_string_equal(visitor_answer(&visitor, channel, &share), cases[i].answer);
    }
    visitor_leave(&visitor);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(frames_behind_a_refusal),
        T(flags_are_probed),
        T(setup_for_something_else),
        T(the_silent_are_reaped),
        T(the_busy_are_not),
        T(channels_run_out),
        T(channels_of_a_miner_run_out),
        T(channels_of_an_address_run_out),
        T(miners_share_by_default),
        T(prefixes_run_out),
        T(workers_and_sessions_run_out),
        T(prefixes_are_never_reused),
        T(the_deaf_are_dropped),
        T(log_has_a_budget),
        T(nothing_but_rejects),
        T(block_share_again_and_again),
        T(stale_block_is_handed_on_first),
        T(share_table_is_full),
        T(share_table_lasts),
        T(proof_under_another_job),
        T(version_bits),
        T(time_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

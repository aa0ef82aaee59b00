/* test_attacks_messages.c: messages that lie, and messages out of place; see test_attacks.c. */
#include <math.h>

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

/* f9c5101b: hashrates that are none, targets that are none, extranonces that are too long. */
static void openings_that_make_no_sense(void **state)
{
    (void)state;
    struct visitor visitor;
    static const uint8_t zero[32];
    uint8_t hard[32];
    owm_target_of_hashes(UINT64_C(1) << 40, hard);
    const struct {
        struct sv2client_opening opening;
        const char *code;
    } cases[] = {
        {{.identity = "a", .rate = NAN}, "invalid-nominal-hashrate"},
        {{.identity = "a", .rate = INFINITY}, "invalid-nominal-hashrate"},
        {{.identity = "a", .rate = -1}, "invalid-nominal-hashrate"},
        {{.identity = "a", .max_target = zero}, "max-target-out-of-range"},
        {{.identity = "a", .max_target = hard}, "max-target-out-of-range"},
        {{.identity = "a", .extended = true, .min_extranonce = 25},
         "min-extranonce-size-too-large"},
        {{.identity = ""}, "invalid-user-identity"},
        {{.identity = ".rig"}, "invalid-user-identity"},
        {{.identity = "<b>\x1b[31m"}, "invalid-user-identity"}, /* Control characters. */
        {{.identity = "a.\n"}, "invalid-user-identity"},
        {{.identity = "\xff\xfe"}, "invalid-user-identity"},
    };
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        visitor.client.code[0] = 0;
        sv2client_open(&visitor.client, &cases[i].opening);
        assert_string_equal(visitor.client.code, cases[i].code);
    }
    assert_int_equal(owm_hall_stats(world.hall)->channels, 0);
    static const float fine[] = {0, 1e-45f, 3e38f};
    for (int i = 0; i < 3; i++) {
        struct sv2client_channel *channel = sv2client_open(
            &visitor.client, &(struct sv2client_opening){.identity = "a", .rate = fine[i]});
        assert_int_not_equal(channel->id, 0);
        sv2client_update(&visitor.client, channel->id, NAN, NULL);
        assert_string_equal(visitor.client.code, "invalid-nominal-hashrate");
    }
    visitor_leave(&visitor);
    visitor_enter(&visitor, &world);
    visitor_open(&visitor, OWM_SV2_REQUIRES_STANDARD_JOBS, true, "a");
    assert_string_equal(visitor.client.code, "extended-channels-not-supported-for-standard-jobs");
    visitor_leave(&visitor);
}

/* Channels of another connection, groups, closed ones and the other kind are no channels. */
static void channels_of_others(void **state)
{
    (void)state;
    struct visitor a, b;
    visitor_enter(&a, &world);
    visitor_enter(&b, &world);
    struct sv2client_channel *mine = visitor_open(&a, 0, true, "a"), other;
    struct sv2client_channel *theirs = visitor_open(&b, 0, true, "b");
    struct sv2client_share share = visitor_find(theirs);
    const uint32_t ids[] = {theirs->id, mine->group, theirs->group, 0, UINT32_MAX, mine->id + 1};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        other = *mine;
        other.id = ids[i];
        a.client.code[0] = mine->code[0] = 0;
        sv2client_submit(&a.client, &other, &share);
        world_turn(&world, 0);
        assert_string_equal(ids[i] == mine->group ? mine->code : a.client.code,
                            "invalid-channel-id");
        sv2client_update(&a.client, ids[i], 1, NULL);
        assert_string_equal(a.client.code, "invalid-channel-id");
        if (ids[i] != mine->group) sv2client_close_channel(&a.client, ids[i]);
    }
    other = *mine;
    other.extended = false; /* A standard submit on an extended channel. */
    sv2client_submit(&a.client, &other, &share);
    assert_string_equal(mine->code, "invalid-channel-id");
    assert_int_equal(owm_hall_stats(world.hall)->channels, 2);
    assert_string_equal(visitor_answer(&b, theirs, &share), "accepted");
    visitor_leave(&a);
    visitor_leave(&b);
}

/* Connections of standard jobs have no groups: 0 names none. */
static void close_of_no_group(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel =
        visitor_open(&visitor, OWM_SV2_REQUIRES_STANDARD_JOBS, false, "alice");
    sv2client_close_channel(&visitor.client, channel->group);
    assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
    visitor_leave(&visitor);
}

/* A share that came before CloseChannel is credited; one behind it has no channel. */
static void close_with_shares_in_flight(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share = visitor_find(channel);
    world.disk_stuck = true;
    sv2client_submit(&visitor.client, channel, &share);
    sv2client_close_channel(&visitor.client, channel->id);
    sv2client_submit(&visitor.client, channel, &share);
    world_turn(&world, 0);
    assert_int_equal(world.appended, 1);
    assert_string_equal(channel->code, "invalid-channel-id");
    struct sv2client_channel *again = visitor_open(&visitor, 0, true, "alice");
    world.durable = 1; /* Its ack finds the channel gone, though its place has a new one. */
    owm_hall_acks(world.hall);
    assert_int_equal(again->successes, 0);
    visitor_leave(&visitor);
}

static void leaving_with_shares_in_flight(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share = visitor_find(channel);
    sv2client_submit(&visitor.client, channel, &share);
    visitor_leave(&visitor);
    world_turn(&world, 0);
    assert_int_equal(world.appended, 1);
}

static void extranonce_sizes(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share = visitor_find(channel);
    for (uint32_t size = 0; size <= 32; size++) {
        channel->rolled_bytes = size;
        assert_string_equal(visitor_answer(&visitor, channel, &share),
                            size == 8 ? "accepted" : "bad-extranonce-size");
    }
    visitor_leave(&visitor);
}

static void custom_jobs_are_refused(void **state)
{
    (void)state;
    struct visitor visitor;
    static const uint8_t job[40] = {1, 0, 0, 0, 2, 0, 0, 0};
    visitor_enter(&visitor, &world);
    visitor_open(&visitor, 0, true, "alice");
    visitor_say(&visitor, 0, OWM_SV2_TYPE_SET_CUSTOM_JOB, job, sizeof job);
    assert_string_equal(visitor.client.code, "invalid-mining-job-token");
    assert_false(visitor.closed);
    visitor_say(&visitor, 0, OWM_SV2_TYPE_SET_CUSTOM_JOB, job, 7);
    assert_int_equal(visitor.reason, OWM_CLOSE_MALFORMED);
    visitor_leave(&visitor);
}

/* Frames before set-up, a second set-up, other protocols, our own messages: closed, with a
 * reason. */
static void messages_out_of_place(void **state)
{
    (void)state;
    static const uint8_t early[] = {0x10, 0x13, 0x1a, 0x1b, 0x16, 0x18, 0x22, 0x50};
    static const uint8_t late[] = {0x00, 0x01, 0x11, 0x15, 0x1c, 0x50, 0x57, 0x70, 0xff};
    uint8_t nothing[64] = {0};
    struct visitor visitor;
    for (size_t i = 0; i < sizeof early; i++) {
        visitor_enter(&visitor, &world);
        visitor_say(&visitor, 0, early[i], nothing, sizeof nothing);
        assert_int_equal(visitor.reason, OWM_CLOSE_UNEXPECTED);
        assert_int_equal(visitor.client.frames, 0);
        visitor_leave(&visitor);
    }
    for (size_t i = 0; i < sizeof late; i++) {
        visitor_enter(&visitor, &world);
        sv2client_setup(&visitor.client, 0);
        visitor_say(&visitor, 0, late[i], nothing, sizeof nothing);
        assert_int_equal(visitor.reason, OWM_CLOSE_UNEXPECTED);
        visitor_leave(&visitor);
    }
}

static void unknown_extensions_are_ignored(void **state)
{
    (void)state;
    struct visitor visitor;
    uint8_t nothing[64] = {0};
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    uint64_t frames = visitor.client.frames;
    visitor_say(&visitor, 0x4abc, 0, nothing, sizeof nothing);
    visitor_say(&visitor, 0x4abc | OWM_SV2_CHANNEL_BIT, 0, nothing, sizeof nothing);
    visitor_say(&visitor, OWM_SV2_EXT_NODE_IDENTITY, 0, nothing, sizeof nothing);
    visitor_say(&visitor, OWM_SV2_EXT_WORKER, 0, nothing, 0);
    assert_int_equal(visitor.client.frames, frames);
    assert_int_equal(owm_hall_stats(world.hall)->ignored_frames, 4);
    assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
    visitor_leave(&visitor);
}

/* Every message cut at every byte, and with one byte too many. */
static void messages_cut_short(void **state)
{
    (void)state;
    uint8_t out[256], hash[32] = {0};
    struct owm_sv2_open_extended open = {.user_identity = {(const uint8_t *)"ab", 2}};
    struct owm_sv2_submit_extended submit = {.extranonce = {hash, 8}};
    struct owm_sv2_submit_standard standard = {0};
    struct owm_sv2_update_channel update = {0};
    struct owm_sv2_close_channel close = {.reason_code = {(const uint8_t *)"ab", 2}};
    const struct {
        uint8_t type;
        uint32_t bytes;
        bool may_be_longer;
    } cases[] = {
#define CASE(name, value, longer)                                                                  \
    {OWM_SV2_TYPE_##name, (uint32_t)owm_sv2_write_##name(out, sizeof out, &value), longer}
        CASE(open_extended, open, false),       CASE(submit_extended, submit, true),
        CASE(submit_standard, standard, false), CASE(update_channel, update, false),
        CASE(close_channel, close, false),
    };
    memset(out, 0, sizeof out);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint32_t bytes = 0; bytes <= cases[i].bytes + 1; bytes++) {
            struct visitor visitor;
            if (cases[i].type == OWM_SV2_TYPE_open_extended)
                owm_sv2_write_open_extended(out, sizeof out, &open);
            if (cases[i].type == OWM_SV2_TYPE_submit_extended)
                owm_sv2_write_submit_extended(out, sizeof out, &submit);
            if (cases[i].type == OWM_SV2_TYPE_close_channel)
                owm_sv2_write_close_channel(out, sizeof out, &close);
            visitor_enter(&visitor, &world);
            sv2client_setup(&visitor.client, 0);
            visitor_say(&visitor, 0x8000, cases[i].type, out, bytes);
            bool good =
                bytes == cases[i].bytes || (cases[i].may_be_longer && bytes > cases[i].bytes);
            assert_int_equal(visitor.closed, !good);
            if (!good) assert_int_equal(visitor.reason, OWM_CLOSE_MALFORMED);
            visitor_leave(&visitor);
        }
}

static void oversized_frame(void **state)
{
    (void)state;
    static uint8_t big[OWM_HALL_PAYLOAD_BYTES + 1];
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, 0);
    visitor_say(&visitor, 0x4abc, 0, big, OWM_HALL_PAYLOAD_BYTES);
    assert_false(visitor.closed);
    visitor_say(&visitor, 0x4abc, 0, big, OWM_HALL_PAYLOAD_BYTES + 1);
    assert_int_equal(visitor.reason, OWM_CLOSE_LONG);
    visitor_leave(&visitor);
}

/* TLVs: wrong lengths, names that are none, and some that were never negotiated, harm nobody. */
static void tlvs_that_lie(void **state)
{
    (void)state;
    static const uint8_t tails[][6] = {{2, 0, 1, 200, 0, 'x'},
                                       {2, 0, 1, 1, 0, 7},
                                       {2, 0, 1},
                                       {9, 9, 9, 0xff, 0xff, 1},
                                       {2, 0, 1, 1, 0, 0}};
    for (int negotiated = 0; negotiated < 2; negotiated++) {
        struct visitor visitor;
        struct sv2client_share share;
        uint16_t extension = OWM_SV2_EXT_WORKER;
        uint8_t out[128];
        visitor_enter(&visitor, &world);
        sv2client_setup(&visitor.client, 0);
        if (negotiated) sv2client_request_extensions(&visitor.client, &extension, 1);
        struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice.rig");
        sv2client_share_start(channel, &share);
        for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++, share.nonce++) {
            assert_true(sv2client_mine(channel, channel->target, NULL, &share));
            struct owm_sv2_submit_extended m = {.channel_id = channel->id,
                                                .sequence_number = (uint32_t)i,
                                                .job_id = share.job_id,
                                                .nonce = share.nonce,
                                                .ntime = share.ntime,
                                                .version = share.version,
                                                .extranonce = {share.rolled, 8}};
            size_t bytes = owm_sv2_write_submit_extended(out, sizeof out, &m);
            memcpy(out + bytes, tails[i], 6);
            visitor_say(&visitor, 0x8000, OWM_SV2_TYPE_submit_extended, out, (uint32_t)bytes + 6);
            world_turn(&world, 0);
            assert_int_equal(channel->accepted, i + 1);
            assert_string_equal(world.share[world.appended - 1].worker.text, "rig");
        }
        visitor_leave(&visitor);
    }
}

/* A disk that does not keep up refuses shares, which can be sent again; a broken one says so. */
static void disk_in_trouble(void **state)
{
    (void)state;
    struct visitor visitor;
    reopen(&(struct owm_hall_options){.acks_max = 2}, 0);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    struct sv2client_share share;
    world.disk_stuck = true;
    sv2client_share_start(channel, &share);
    for (int i = 0; i < 3; i++) {
        share.nonce += i != 0;
        assert_true(sv2client_mine(channel, channel->target, NULL, &share));
        assert_string_equal(visitor_answer(&visitor, channel, &share), i < 2 ? "" : "journal-busy");
    }
    world.disk_stuck = false;
    world.durable = world.appended;
    owm_hall_acks(world.hall);
    assert_string_equal(visitor_answer(&visitor, channel, &share), "accepted");
    world.disk_answer = OWM_E_LIMIT;
    share.nonce++;
    assert_true(sv2client_mine(channel, channel->target, NULL, &share));
    assert_string_equal(visitor_answer(&visitor, channel, &share), "journal-busy");
    world.disk_answer = OWM_E_IO;
    assert_string_equal(visitor_answer(&visitor, channel, &share), "internal-error");
    world.disk_answer = OWM_OK;
    assert_string_equal(visitor_answer(&visitor, channel, &share), "accepted");
    visitor_leave(&visitor);
}

/* A server must never set a target that is easier than the miner's maximum. */
/* On a network whose blocks are too easy for anything else, shares may be harder than blocks. */
static void shares_past_the_network(void **state)
{
    (void)state;
    struct visitor visitor;
    reopen(&(struct owm_hall_options){.past_network = true}, WORLD_BITS_EASY);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    assert_int_equal(owm_target_hashes_u64(channel->target), 64);
    assert_string_equal(visitor_answer_new(&visitor, channel), "accepted");
    assert_int_equal(world.blocks, 1);
    visitor_leave(&visitor);
    reopen(NULL, WORLD_BITS_EASY);
    visitor_enter(&visitor, &world);
    channel = visitor_open(&visitor, 0, true, "alice");
    assert_int_equal(owm_target_hashes_u64(channel->target), 2);
    visitor_leave(&visitor);
}

static void target_is_never_easier_than_asked(void **state)
{
    (void)state;
    for (uint64_t hashes = 3; hashes < UINT64_C(1) << 24; hashes = hashes * 3 / 2 + 1) {
        struct visitor visitor;
        uint8_t max_target[32];
        owm_target_of_hashes(hashes, max_target);
        max_target[0] ^= 0x55; /* Not of a whole number of hashes. */
        visitor_enter(&visitor, &world);
        sv2client_setup(&visitor.client, 0);
        struct sv2client_channel *channel = sv2client_open(
            &visitor.client,
            &(struct sv2client_opening){.identity = "a", .rate = 1e-9f, .max_target = max_target});
        if (channel->id)
            assert_true(owm_sha256d_meets(channel->target, max_target));
        else
            assert_true(hashes >= UINT64_C(1) << 23);
        visitor_leave(&visitor);
    }
}

/* A low-difficulty flood behind a lie about the hashrate is ended by the vardiff within seconds of
 * the next job. */
static void flood_of_easy_shares(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, 0);
    struct sv2client_channel *channel = sv2client_open(
        &visitor.client, &(struct sv2client_opening){.identity = "a", .rate = world_rate(2)});
    for (int second = 0; second < 8; second++)
        for (int i = 0; i < 20; i++) {
            visitor_mine(&visitor, channel);
            world_turn(&world, 50);
        }
    assert_true(channel->targets >= 1);
    assert_true(owm_target_hashes_u64(channel->target) > 50);
    visitor_leave(&visitor);
}

/* The vardiff changes a target while a full batch is judged, between two shares of one read: the
 * later one still has the target of its job. */
static void target_changes_within_a_batch(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share share;
    uint8_t first[32], later[32];
    reopen(&(struct owm_hall_options){.batch_max = 16}, 0);
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    memcpy(first, channel->target, 32);
    world_turn(&world, 6000);
    sv2client_share_start(channel, &share);
    for (int i = 0; i < 16; i++, share.nonce++) {
        assert_true(sv2client_mine(channel, first, NULL, &share));
        sv2client_submit(&visitor.client, channel, &share);
    }
    owm_target_of_hashes(100, later);
    assert_true(sv2client_mine(channel, first, later, &share));
    assert_int_equal(channel->targets, 0);
    sv2client_submit(&visitor.client, channel, &share);
    assert_int_equal(channel->targets, 1);
    assert_true(owm_target_hashes_u64(channel->target) > 100);
    world_turn(&world, 0);
    assert_int_equal(channel->accepted, 17);
    assert_int_equal(world.share[16].share.hashes, owm_target_hashes_u64(first));
    visitor_leave(&visitor);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(openings_that_make_no_sense),
        T(channels_of_others),
        T(close_of_no_group),
        T(close_with_shares_in_flight),
        T(leaving_with_shares_in_flight),
        T(extranonce_sizes),
        T(custom_jobs_are_refused),
        T(messages_out_of_place),
        T(unknown_extensions_are_ignored),
        T(messages_cut_short),
        T(oversized_frame),
        T(tlvs_that_lie),
        T(disk_in_trouble),
        T(shares_past_the_network),
        T(target_is_never_easier_than_asked),
        T(flood_of_easy_shares),
        T(target_changes_within_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

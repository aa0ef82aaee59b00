/* test_session.c: whole conversations with the pool: set-up, extensions, channels, jobs, shares. */
#include "base/bytes.h"
#include "base/identity.h"
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
    world_close(&world);
    return 0;
}

/** Mine on a channel: accepted, credited with what its target stands for, acknowledged. */
static void mine_and_check(struct visitor *visitor, struct sv2client_channel *channel)
{
    uint64_t appended = world.appended, accepted = channel->accepted;
    visitor_mine(visitor, channel);
    assert_int_equal(world.appended, appended + 1);
    assert_int_equal(channel->accepted, accepted + 1);
    assert_int_equal(channel->last_sequence, channel->sequence - 1);
    const struct world_share *share = &world.share[appended % WORLD_SHARES_MAX];
    assert_int_equal(share->share.hashes, owm_target_hashes_u64(channel->target));
}

static void one_flow(uint32_t flags, bool extended)
{
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, flags, extended, "alice.rig1");
    assert_true(visitor.client.set_up);
    assert_int_not_equal(channel->id, 0);
    assert_int_equal(channel->job.id, 1);
    assert_int_equal(channel->prefix_bytes + channel->rolled_bytes, 16);
    assert_int_equal(channel->group != 0, !(flags & OWM_SV2_REQUIRES_STANDARD_JOBS));
    for (int i = 0; i < 3; i++) mine_and_check(&visitor, channel);
    world_work(&world, 0, 0); /* A newer template on the same tip: a job alone. */
    assert_int_equal(channel->job.id, 2);
    mine_and_check(&visitor, channel);
    world_work(&world, 2, 0); /* A new tip: a future job and SetNewPrevHash. */
    assert_int_equal(channel->job.id, 3);
    assert_int_equal(channel->future.id, 0);
    mine_and_check(&visitor, channel);
    assert_int_equal(visitor.client.malformed, 0);
    assert_int_equal(channel->rejected, 0);
    assert_string_equal(world.share[0].miner.text, "alice");
    assert_string_equal(world.share[0].worker.text, "rig1");
    visitor_leave(&visitor);
    assert_int_equal(owm_hall_stats(world.hall)->accepted, 5);
}

static void standard_channel(void **state)
{
    (void)state;
    one_flow(OWM_SV2_REQUIRES_STANDARD_JOBS, false);
}

static void standard_channel_in_a_group(void **state)
{
    (void)state;
    one_flow(0, false);
}

static void extended_channel(void **state)
{
    (void)state;
    one_flow(OWM_SV2_REQUIRES_VERSION_ROLLING, true);
}

/* All channels of a form are served by one message; both kinds and both forms mine beside. */
static void group_channels(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel[6];
    for (int i = 0; i < 4; i++) channel[i] = visitor_open(&visitor, 0, i % 2, "alice.rig");
    for (int i = 4; i < 6; i++)
        channel[i] = sv2client_open(&visitor.client, &(struct sv2client_opening){
                                                         .identity = "alice.proxy",
                                                         .rate = world_rate(64),
                                                         .extended = true,
                                                         .min_extranonce = 9,
                                                     });
    assert_int_equal(channel[0]->group, channel[3]->group);
    assert_int_equal(channel[4]->group, channel[5]->group);
    assert_int_not_equal(channel[0]->group, channel[4]->group);
    assert_int_equal(channel[4]->rolled_bytes, 24);
    uint64_t frames = visitor.client.frames;
    world_work(&world, 2, 0);
    assert_int_equal(visitor.client.frames, frames + 4); /* Two groups, two messages each. */
    for (int i = 0; i < 6; i++) mine_and_check(&visitor, channel[i]);
    for (int i = 1; i < 6; i++) assert_memory_not_equal(channel[0]->prefix, channel[i]->prefix, 8);
    sv2client_close_channel(&visitor.client, channel[0]->group);
    assert_int_equal(owm_hall_stats(world.hall)->channels, 2);
    visitor_mine(&visitor, channel[1]);
    assert_string_equal(channel[1]->code, "invalid-channel-id");
    mine_and_check(&visitor, channel[4]);
    visitor_leave(&visitor);
    assert_int_equal(owm_hall_stats(world.hall)->channels, 0);
    assert_int_equal(owm_hall_stats(world.hall)->sessions, 0);
}

static void extension_of(struct visitor *visitor, uint16_t extension)
{
    sv2client_setup(&visitor->client, 0);
    sv2client_request_extensions(&visitor->client, &extension, 1);
}

/* SRS-POOL-02: shares of a connection that proved a node's key belong to that node. */
static void node_is_credited_by_its_key(void **state)
{
    (void)state;
    struct visitor visitor;
    uint8_t seed[32] = {5};
    owm_identity *identity;
    struct owm_sv2_binding binding = {.handshake_hash = {9}};
    struct owm_sv2_node_auth auth;
    uint8_t out[128];
    char key[65];
    assert_ok(owm_identity_from_seed(seed, &identity));
    visitor_enter(&visitor, &world);
    extension_of(&visitor, OWM_SV2_EXT_NODE_IDENTITY);
    assert_int_equal(visitor.client.extension[0], OWM_SV2_EXT_NODE_IDENTITY);
    owm_sv2_node_auth_sign(identity, &binding, (uint64_t)world.now.wall_ms / 1000, &auth);
    size_t bytes = owm_sv2_write_node_auth(out, sizeof out, &auth);
    visitor_say(&visitor, OWM_SV2_EXT_NODE_IDENTITY, OWM_SV2_TYPE_node_auth, out, (uint32_t)bytes);
    assert_true(visitor.client.node_proven);
    mine_and_check(&visitor, visitor_open(&visitor, 0, true, "somebody-else.gpu0"));
    mine_and_check(&visitor, visitor_open(&visitor, 0, true, "gpu1"));
    owm_hex_encode(auth.public_key.byte, 32, key);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world.share[i].miner.kind, OWM_MINER_NODE);
        assert_string_equal(world.share[i].miner.text, key);
    }
    assert_string_equal(world.share[0].worker.text, "gpu0");
    assert_string_equal(world.share[1].worker.text, "gpu1");
    visitor_say(&visitor, OWM_SV2_EXT_NODE_IDENTITY, OWM_SV2_TYPE_node_auth, out, (uint32_t)bytes);
    assert_int_equal(visitor.reason, OWM_CLOSE_UNEXPECTED); /* Not behind a channel. */
    visitor_leave(&visitor);

    /* SRS-SEC-15: the same signature is worthless in another connection. */
    struct owm_sv2_binding other = {.handshake_hash = {10}};
    owm_sv2_node_auth_sign(identity, &other, (uint64_t)world.now.wall_ms / 1000, &auth);
    bytes = owm_sv2_write_node_auth(out, sizeof out, &auth);
    visitor_enter(&visitor, &world);
    extension_of(&visitor, OWM_SV2_EXT_NODE_IDENTITY);
    visitor_say(&visitor, OWM_SV2_EXT_NODE_IDENTITY, OWM_SV2_TYPE_node_auth, out, (uint32_t)bytes);
    assert_true(visitor.client.node_refused);
    assert_int_equal(visitor.reason, OWM_CLOSE_IDENTITY);
    visitor_leave(&visitor);
    owm_identity_close(identity);
}

static void worker_of_a_share(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share share;
    visitor_enter(&visitor, &world);
    extension_of(&visitor, OWM_SV2_EXT_WORKER);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "farm.proxy");
    static const char *const names[] = {"bitaxe-1", "bitaxe-2", "bitaxe-1", NULL};
    for (int i = 0; i < 4; i++) {
        sv2client_share_start(channel, &share);
        share.rolled[0] = (uint8_t)i;
        share.worker = names[i];
        assert_true(sv2client_mine(channel, channel->target, NULL, &share));
        sv2client_submit(&visitor.client, channel, &share);
    }
    world_turn(&world, 0);
    assert_int_equal(world.appended, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(world.share[i].miner.text, "farm");
        assert_string_equal(world.share[i].worker.text, names[i] ? names[i] : "proxy");
    }
    assert_int_equal(channel->successes, 1); /* One message for all that became durable together. */
    visitor_leave(&visitor);
}

static void extensions_are_answered(void **state)
{
    (void)state;
    struct visitor visitor;
    static const uint16_t asked[] = {0x0003, OWM_SV2_EXT_WORKER, 0x7777, OWM_SV2_EXT_NODE_IDENTITY};
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, 0);
    sv2client_request_extensions(&visitor.client, asked, 4);
    assert_int_equal(visitor.client.extensions, 2);
    assert_false(visitor.client.extensions_refused);
    sv2client_request_extensions(&visitor.client, asked, 4);
    assert_int_equal(visitor.reason, OWM_CLOSE_UNEXPECTED);
    visitor_leave(&visitor);
    visitor_enter(&visitor, &world);
    sv2client_setup(&visitor.client, 0);
    sv2client_request_extensions(&visitor.client, asked, 1);
    assert_true(visitor.client.extensions_refused);
    assert_int_equal(visitor.client.extensions, 0); /* None is required here. */
    mine_and_check(&visitor, visitor_open(&visitor, 0, true, "alice"));
    visitor_leave(&visitor);
}

static void private_port_wants_a_node(void **state)
{
    (void)state;
    struct world private;
    struct visitor visitor;
    uint16_t asked = OWM_SV2_EXT_WORKER;
    world_open(&private, &(struct owm_hall_options){.require_node = true});
    world_work(&private, 1, 0);
    visitor_enter(&visitor, &private);
    sv2client_setup(&visitor.client, 0);
    visitor_open(&visitor, 0, true, "alice");
    assert_string_equal(visitor.client.code, "unknown-user");
    sv2client_request_extensions(&visitor.client, &asked, 1);
    assert_true(visitor.client.extensions_refused);
    assert_int_equal(visitor.client.extension[0], OWM_SV2_EXT_NODE_IDENTITY);
    assert_false(visitor.closed);
    sv2client_request_extensions(&visitor.client, &asked, 1);
    assert_int_equal(visitor.reason, OWM_CLOSE_EXTENSION);
    visitor_leave(&visitor);
    world_close(&private);
}

/* TST-19: a share of a template from before the current block is rejected as stale work. */
static void stale_template_is_stale_share(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share share;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    sv2client_share_start(channel, &share);
    assert_true(sv2client_mine(channel, channel->target, NULL, &share));
    world_work(&world, 2, 0);
    sv2client_submit(&visitor.client, channel, &share);
    world_turn(&world, 0);
    assert_string_equal(channel->code, "stale-share");
    assert_int_equal(world.appended, 0);
    assert_int_equal(owm_hall_stats(world.hall)->rejected[OWM_REJECT_STALE], 1);
    share.job_id = 99;
    sv2client_submit(&visitor.client, channel, &share);
    assert_string_equal(channel->code, "invalid-job-id");
    for (int i = 0; i < 40; i++) world_work(&world, 0, 0);
    share.job_id = 1; /* Forgotten by now, but it was ours once. */
    sv2client_submit(&visitor.client, channel, &share);
    assert_string_equal(channel->code, "stale-share");
    visitor_leave(&visitor);
}

/* Promise 2: nothing is acknowledged before it is durable. */
static void success_follows_the_journal(void **state)
{
    (void)state;
    struct visitor visitor;
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    world.disk_stuck = true;
    for (int i = 0; i < 3; i++) visitor_mine(&visitor, channel);
    world_turn(&world, 1000);
    assert_int_equal(channel->accepted, 0);
    assert_int_equal(world.committed, 3);
    world.durable = 2;
    owm_hall_acks(world.hall);
    assert_int_equal(channel->accepted, 2);
    assert_int_equal(channel->last_sequence, 1);
    world.durable = 3;
    owm_hall_acks(world.hall);
    assert_int_equal(channel->accepted, 3);
    assert_int_equal(channel->successes, 2);
    visitor_leave(&visitor);
}

/* A target holds for the jobs that were sent behind it, and only for them. */
static void targets_are_of_a_job(void **state)
{
    (void)state;
    struct visitor visitor;
    struct sv2client_share share;
    uint8_t old_target[32], harder[32];
    visitor_enter(&visitor, &world);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    memcpy(old_target, channel->target, 32);
    owm_target_of_hashes(1000, harder);
    sv2client_update(&visitor.client, channel->id, world_rate(64), harder);
    assert_int_equal(channel->targets, 1);
    assert_true(owm_target_hashes_u64(channel->target) >= 1000);
    sv2client_share_start(channel, &share);
    assert_true(sv2client_mine(channel, old_target, channel->target, &share));
    sv2client_submit(&visitor.client, channel, &share);
    world_turn(&world, 0);
    assert_int_equal(channel->accepted, 1); /* Job 1 still has its old target and price. */
    assert_int_equal(world.share[0].share.hashes, owm_target_hashes_u64(old_target));
    world_work(&world, 0, 0);
    sv2client_share_start(channel, &share);
    assert_true(sv2client_mine(channel, old_target, channel->target, &share));
    sv2client_submit(&visitor.client, channel, &share);
    world_turn(&world, 0);
    assert_string_equal(channel->code, "difficulty-too-low");
    mine_and_check(&visitor, channel);
    visitor_leave(&visitor);
}

/* Difficulty sums of all Success messages are exact to within one, below one as well. */
static void difficulty_is_carried(void **state)
{
    (void)state;
    struct visitor visitor;
    struct world easy;
    uint8_t target[32];
    world_open(&easy, NULL);
    world_work(&easy, 1, WORLD_BITS);
    visitor_enter(&visitor, &easy);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    for (int i = 0; i < 20; i++) visitor_mine(&visitor, channel);
    uint64_t hashes = 0;
    memcpy(target, channel->target, 32);
    for (int i = 0; i < 20; i++) hashes += easy.share[i].share.hashes;
    assert_int_equal(channel->accepted_difficulty, hashes >> 32);
    assert_int_equal(channel->accepted, 20);
    visitor_leave(&visitor);
    world_close(&easy);
}

/* Works that come late or twice change nothing; miners of a pool without work wait for it. */
static void work_comes_when_it_comes(void **state)
{
    (void)state;
    struct world empty;
    struct visitor visitor;
    world_open(&empty, NULL);
    visitor_enter(&visitor, &empty);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice");
    assert_int_not_equal(channel->id, 0);
    assert_int_equal(channel->job.id, 0);
    world_work(&empty, 1, 0);
    assert_int_equal(channel->job.id, 1);
    visitor_mine(&visitor, channel);
    assert_int_equal(channel->accepted, 1);
    empty.works = 0; /* An older number. */
    world_work(&empty, 0, 0);
    assert_int_equal(channel->job.id, 1);
    visitor_leave(&visitor);
    world_close(&empty);
}

/* A miner that comes back and says nothing of its hashrate starts where it was. */
static void targets_are_remembered(void **state)
{
    (void)state;
    struct visitor visitor;
    struct world past;
    world_open(&past, &(struct owm_hall_options){.vardiff = {.start_rate = world_rate(2)}});
    world_work(&past, 1, 0);
    visitor_enter(&visitor, &past);
    struct sv2client_channel *channel = visitor_open(&visitor, 0, true, "alice.rig");
    for (int i = 0; i < 100; i++) {
        visitor_mine(&visitor, channel);
        world_turn(&past, 3333);
    }
    visitor_leave(&visitor);
    visitor_enter(&visitor, &past);
    sv2client_setup(&visitor.client, 0);
    const char *const names[] = {"alice.rig", "bob.rig"};
    for (int i = 0; i < 2; i++) {
        channel =
            sv2client_open(&visitor.client, &(struct sv2client_opening){.identity = names[i]});
        uint64_t hashes = owm_target_hashes_u64(channel->target);
        assert_true(i == 0 ? hashes > 50 && hashes < 80 : hashes == 2);
    }
    visitor_leave(&visitor);
    world_close(&past);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(standard_channel),
        T(standard_channel_in_a_group),
        T(extended_channel),
        T(group_channels),
        T(node_is_credited_by_its_key),
        T(worker_of_a_share),
        T(extensions_are_answered),
        T(private_port_wants_a_node),
        T(stale_template_is_stale_share),
        T(success_follows_the_journal),
        T(targets_are_of_a_job),
        T(difficulty_is_carried),
        T(targets_are_remembered),
        T(work_comes_when_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

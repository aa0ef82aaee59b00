/* test_fanout.c: new jobs to thousands of miners: each gets every tip once, in order, with its own
 * merkle root, over as many turns as it takes; who joins or leaves meanwhile does no harm. */
#include <stdlib.h>

#include "hall_world.h"
#include "test.h"

#define MINERS 3000

/** mute: a miner that only counts what it hears, light enough for thousands of them. */
struct mute {
    struct owm_session *session;
    uint8_t payload[8192];
    uint32_t channel_id, job_id, future_id;
    uint8_t root[32], prefix[32], previous0;
    uint32_t jobs, tips, wrong;
};

static struct world world;
static struct mute *mutes;

static uint8_t *reserve(void *ctx, uint32_t bytes)
{
    struct mute *mute = ctx;
    assert_true(bytes <= sizeof mute->payload);
    return mute->payload;
}

static void hear_job(struct mute *mute, uint32_t bytes)
{
    struct owm_sv2_new_job job;
    assert_int_equal(owm_sv2_read_new_job(mute->payload, bytes, &job), bytes);
    mute->jobs++;
    memcpy(mute->root, job.merkle_root.byte, 32);
    if (job.min_ntime.present)
        mute->job_id = job.job_id;
    else
        mute->future_id = job.job_id;
}

static void hear_tip(struct mute *mute, uint32_t bytes)
{
    struct owm_sv2_set_prev_hash tip;
    assert_int_equal(owm_sv2_read_set_prev_hash(mute->payload, bytes, &tip), bytes);
    mute->tips++;
    mute->wrong += tip.job_id != mute->future_id || tip.channel_id != mute->channel_id;
    mute->job_id = tip.job_id;
    mute->previous0 = tip.prev_hash.byte[0];
}

static void hear_opened(struct mute *mute, uint32_t bytes)
{
    struct owm_sv2_open_standard_success opened;
    assert_int_equal(owm_sv2_read_open_standard_success(mute->payload, bytes, &opened), bytes);
    mute->channel_id = opened.channel_id;
    assert_int_equal(opened.extranonce_prefix.count, OWM_EXTRANONCE_SHORT_BYTES);
    memcpy(mute->prefix, opened.extranonce_prefix.data, OWM_EXTRANONCE_SHORT_BYTES);
}

static void commit(void *ctx, uint16_t extension, uint8_t type, uint32_t bytes)
{
    (void)extension;
    if (type == OWM_SV2_TYPE_new_job) hear_job(ctx, bytes);
    if (type == OWM_SV2_TYPE_set_prev_hash) hear_tip(ctx, bytes);
    if (type == OWM_SV2_TYPE_open_standard_success) hear_opened(ctx, bytes);
}

static void closed(void *ctx, enum owm_close reason, bool flush)
{
    (void)ctx;
    (void)flush;
    fail_msg("closed: %s", owm_close_text(reason));
}

static void say(struct mute *mute, uint8_t type, uint8_t *payload, size_t bytes)
{
    struct owm_sv2_frame frame = {0, type, (uint32_t)bytes, payload};
    owm_session_frame(mute->session, &frame);
}

static void join(struct mute *mute)
{
    static const uint8_t hash[32];
    struct owm_sink sink = {reserve, commit, closed, mute};
    struct owm_sv2_setup_connection setup = {
        .min_version = 2, .max_version = 2, .flags = OWM_SV2_REQUIRES_STANDARD_JOBS};
    struct owm_sv2_open_standard open = {.user_identity = owm_sv2_view_of("a.b", 3),
                                         .nominal_hash_rate = world_rate(64)};
    uint8_t out[256];
    memset(open.max_target.byte, 0xff, 32);
    memset(mute, 0, sizeof *mute);
    mute->session = owm_session_enter(world.hall, &sink, &(struct owm_peer){"peer", 2});
    assert_non_null(mute->session);
    owm_session_secured(mute->session, hash);
    say(mute, OWM_SV2_TYPE_setup_connection, out,
        owm_sv2_write_setup_connection(out, sizeof out, &setup));
    say(mute, OWM_SV2_TYPE_open_standard, out, owm_sv2_write_open_standard(out, sizeof out, &open));
    assert_int_not_equal(mute->channel_id, 0);
}

/** The work of the newest job, as its maker sees it. */
static struct owm_work *make_work(uint64_t number, uint64_t tip)
{
    struct owm_work_options options = {
        .script = {0x51}, .script_bytes = 1, .tag = "/x/", .halving_interval = 150};
    struct owm_work *work;
    assert_ok(owm_work_make(world_template(&world, 0), &options,
                            (struct owm_work_place){number, tip}, &work, NULL));
    return work;
}

static void check_all(const struct owm_work *work, uint32_t job_id, uint32_t jobs, uint32_t tips)
{
    for (int i = 0; i < MINERS; i++) {
        struct mute *mute = &mutes[i];
        uint8_t root[32];
        assert_int_equal(mute->job_id, job_id);
        assert_int_equal(mute->wrong, 0);
        assert_int_equal(mute->jobs, jobs);
        assert_int_equal(mute->tips, tips);
        owm_merkle_root(work->block, &work->coinbase[OWM_COINBASE_SHORT], mute->prefix, root);
        assert_memory_equal(mute->root, root, 32);
    }
}

static void every_miner_gets_every_job(void **state)
{
    (void)state;
    world_open(&world, &(struct owm_hall_options){.sessions_max = MINERS + 8,
                                                  .channels_max = MINERS + 8,
                                                  .channels_per_address = MINERS,
                                                  .channels_per_miner = MINERS});
    mutes = calloc(MINERS, sizeof *mutes);
    assert_non_null(mutes);
    struct owm_work *work = make_work(1, 1);
    owm_hall_work(world.hall, owm_work_retain(work), world.now.mono_ns);
    for (int i = 0; i < MINERS; i++) join(&mutes[i]);
    check_all(work, 1, 1, 1);
    owm_work_release(work);

    world.tip_byte = 2;
    work = make_work(2, 2); /* A new tip takes several turns; one more joins and one leaves. */
    owm_hall_work(world.hall, owm_work_retain(work), world.now.mono_ns);
    int turns = 1;
    assert_int_equal(owm_hall_turn(world.hall), 0);
    owm_session_leave(mutes[MINERS - 1].session);
    join(&mutes[MINERS - 1]); /* In the same place, which has not been reached yet. */
    assert_int_equal(mutes[MINERS - 1].job_id, 2);
    mutes[MINERS - 1].jobs = mutes[MINERS - 1].tips = 2; /* It saw no other. */
    while (owm_hall_turn(world.hall) == 0) turns++;
    assert_true(turns >= MINERS / OWM_HALL_TURN_SESSIONS);
    check_all(work, 2, 2, 2);
    owm_work_release(work);

    work = make_work(3, 2); /* The same tip, and at once another one before all have the first. */
    owm_hall_work(world.hall, work, world.now.mono_ns);
    assert_int_equal(owm_hall_turn(world.hall), 0);
    world.tip_byte = 3;
    work = make_work(4, 3);
    owm_hall_work(world.hall, owm_work_retain(work), world.now.mono_ns);
    while (owm_hall_turn(world.hall) == 0) {
    }
    assert_int_equal(mutes[0].jobs, 4);
    assert_int_equal(mutes[MINERS - 1].jobs, 3); /* Job 3 was old before its turn came. */
    for (int i = 0; i < MINERS; i++) mutes[i].jobs = 3;
    check_all(work, 4, 3, 3);
    owm_work_release(work);
    for (int i = 0; i < MINERS; i++) owm_session_leave(mutes[i].session);
    free(mutes);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_miner_gets_every_job)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

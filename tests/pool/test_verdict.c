/* test_verdict.c: verdicts against a slow model that knows only what a miner was told, on random
 * shares, valid and invalid, of every kind of channel, over changing jobs, tips and targets.
 */
#include "base/rng.h"
#include "dataplane/chain/target.h"
#include "hall_world.h"
#include "test.h"

#define SHARES       20000
#define CHANNELS     6
#define RECORDS      24
#define ACCEPTED_MAX SHARES
#define NETWORK_BITS 0x2003ffffu /* 64 hashes a block. */
#define SHARE_HASHES 8

/** record: a job as a channel was told of it, with the target that held when it came. */
struct record {
    struct sv2client_job job;
    uint8_t target[32];
    uint64_t tip;
};

struct history {
    struct record record[RECORDS];
    uint32_t records;
    struct sv2client_share last; /* To be sent again. */
};

static struct world world;
static struct visitor visitor[2];
static struct sv2client_channel *channel[CHANNELS];
static struct history history[CHANNELS];
static struct owm_rng rng;

/* The model. */
static uint8_t accepted[ACCEPTED_MAX][32];
static uint64_t accepted_count, rejected[OWM_REJECTS], block_hits;
static uint64_t tip = 1;
static uint32_t newest;

static void note_jobs(void)
{
    for (int i = 0; i < CHANNELS; i++) {
        struct history *h = &history[i];
        if (h->records && h->record[(h->records - 1) % RECORDS].job.id == channel[i]->job.id)
            continue;
        struct record *record = &h->record[h->records++ % RECORDS];
        record->job = channel[i]->job;
        record->tip = tip;
        memcpy(record->target, channel[i]->target, 32);
        newest = channel[i]->job.id;
    }
}

static const struct record *find_record(int c, uint32_t job_id)
{
    for (int i = 0; i < RECORDS; i++)
        if (job_id && history[c].record[i].job.id == job_id) return &history[c].record[i];
    return NULL;
}

static bool le(const uint8_t *a, const uint8_t *b)
{
    for (int i = 31; i >= 0; i--)
        if (a[i] != b[i]) return a[i] < b[i];
    return true;
}

static bool is_accepted(const uint8_t *hash)
{
    for (uint64_t i = 0; i < accepted_count; i++)
        if (memcmp(accepted[i], hash, 32) == 0) return true;
    return false;
}

/** -1: accepted. */
static int model(int c, const struct sv2client_share *share)
{
    const struct record *record = find_record(c, share->job_id);
    static struct sv2client_channel as_it_was;
    uint8_t header[80], hash[32], network[32];
    if (!record) return share->job_id && share->job_id <= newest ? -2 : OWM_REJECT_JOB;
    as_it_was = *channel[c];
    as_it_was.job = record->job;
    sv2client_header(&as_it_was, share, header);
    sv2client_hash(header, hash);
    assert_true(owm_target_from_compact(NETWORK_BITS, network));
    if (le(hash, network)) block_hits++;
    if (record->tip != tip || newest - share->job_id >= 8) return OWM_REJECT_STALE;
    if ((share->version & 0xe000001f) != (record->job.version & 0xe000001f))
        return OWM_REJECT_VERSION;
    if (share->ntime < record->job.ntime || share->ntime > record->job.ntime + 7200)
        return OWM_REJECT_NTIME;
    if (!le(hash, record->target)) return OWM_REJECT_LOW;
    if (is_accepted(hash)) return OWM_REJECT_DUPLICATE;
    memcpy(accepted[accepted_count++], hash, 32);
    return -1;
}

static void spoil(int c, struct sv2client_share *share)
{
    switch (owm_rng_below(&rng, 12)) {
    case 0:
        share->job_id -= (uint32_t)owm_rng_below(&rng, 10);
        break;
    case 1:
        share->job_id += 1 + (uint32_t)owm_rng_below(&rng, 3);
        break;
    case 2:
        share->version ^= 1u << owm_rng_below(&rng, 32);
        break;
    case 3:
        share->ntime -= (uint32_t)owm_rng_below(&rng, 2);
        break;
    case 4:
        share->ntime += 7200 + (uint32_t)owm_rng_below(&rng, 2);
        break;
    case 5:
        *share = history[c].last;
        break;
    case 6:
        share->ntime += (uint32_t)owm_rng_below(&rng, 7200);
        break;
    case 7:
        share->version ^= 0x1fffffe0 & (uint32_t)owm_rng_u64(&rng);
        break;
    default:
        break;
    }
}

static void send_one(int c)
{
    struct sv2client_share share;
    struct visitor *who = &visitor[c / 3];
    sv2client_share_start(channel[c], &share);
    share.nonce = (uint32_t)owm_rng_u64(&rng);
    share.rolled[0] = (uint8_t)owm_rng_u64(&rng);
    spoil(c, &share);
    history[c].last = share;
    int expected = model(c, &share);
    if (expected == -2) return; /* Older than the model's memory. */
    if (expected >= 0) rejected[expected]++;
    sv2client_submit(&who->client, channel[c], &share);
}

static void compare(uint64_t *seen)
{
    world_turn(&world, 0);
    assert_int_equal(world.appended, accepted_count);
    for (; *seen < accepted_count; ++*seen)
        assert_memory_equal(world.share[*seen % WORLD_SHARES_MAX].share.hash, accepted[*seen], 32);
    for (int i = 0; i < OWM_REJECTS; i++)
        assert_int_equal(owm_hall_stats(world.hall)->rejected[i], rejected[i]);
    assert_true(world.blocks <= block_hits);
}

/** A share's price is that of its job's target, whatever was asked for since. */
static void change_a_target(void)
{
    int c = (int)owm_rng_below(&rng, CHANNELS);
    uint8_t target[32];
    owm_target_of_hashes(4 + owm_rng_below(&rng, 12), target);
    sv2client_update(&visitor[c / 3].client, channel[c]->id, world_rate(SHARE_HASHES), target);
}

static void open_channels(void)
{
    for (int c = 0; c < CHANNELS; c++) {
        struct visitor *who = &visitor[c / 3];
        if (c % 3 == 0) {
            visitor_enter(who, &world);
            sv2client_setup(&who->client, c ? 0 : OWM_SV2_REQUIRES_STANDARD_JOBS);
        }
        channel[c] = sv2client_open(&who->client, &(struct sv2client_opening){
                                                      .identity = "alice.rig",
                                                      .rate = world_rate(SHARE_HASHES),
                                                      .extended = c > 3,
                                                      .min_extranonce = c == 5 ? 20 : 0,
                                                  });
        assert_int_not_equal(channel[c]->id, 0);
    }
}

static void verdicts_are_those_of_the_model(void **state)
{
    (void)state;
    uint64_t seen = 0;
    owm_rng_seed(&rng, 2026);
    world_open(&world, &(struct owm_hall_options){.share_table = 65536,
                                                  .rejects_in_row_max = UINT32_MAX,
                                                  .log_lines = 1,
                                                  .vardiff = {.settle_s = 1e9, .hurry_s = 1e9}});
    world_work(&world, 1, NETWORK_BITS);
    open_channels();
    note_jobs();
    for (int i = 0; i < SHARES; i++) {
        uint64_t draw = owm_rng_below(&rng, 400);
        if (draw == 0) compare(&seen);
        if (draw == 1) change_a_target();
        if (draw == 2 || draw == 3) {
            compare(&seen);
            if (draw == 3) tip++;
            world_work(&world, draw == 3 ? 1 + (uint32_t)owm_rng_below(&rng, 4) : 0, NETWORK_BITS);
            note_jobs();
        }
        send_one((int)owm_rng_below(&rng, CHANNELS));
    }
    compare(&seen);
    assert_true(accepted_count > SHARES / 50 && world.blocks > 100);
    for (int i = 0; i <= OWM_REJECT_NTIME; i++)
        if (i != OWM_REJECT_CHANNEL && i != OWM_REJECT_EXTRANONCE) assert_true(rejected[i] > 10);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(visitor[i].client.malformed, 0);
        visitor_leave(&visitor[i]);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts_are_those_of_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

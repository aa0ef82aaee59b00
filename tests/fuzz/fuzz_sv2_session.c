/* fuzz_sv2_session.c: the pool's sessions behind their handshake: any frames in any order, from two
 * miners, between new works, passing time and a disk that hangs.
 *
 * Input: a sequence of steps. A step is a byte (its low 4 bits choose, its highest bit picks the
 * miner) and what it takes. Frames are raw, or raw with the id of a channel that is really open, or
 * what the test miner would say.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "pool/hall_world.h"

static struct world world;
static struct visitor visitor[2];

static void enter(struct visitor *who)
{
    visitor_enter(who, &world);
}

static void raw_frame(struct owm_reader *in, struct visitor *who, bool of_a_channel)
{
    uint32_t channel = of_a_channel ? owm_read_u8(in) % VISITOR_CHANNELS : 0;
    uint16_t extension = owm_read_u16_le(in);
    uint8_t type = owm_read_u8(in);
    size_t bytes = owm_read_u16_le(in);
    if (bytes > owm_reader_left(in)) bytes = owm_reader_left(in);
    const uint8_t *view = owm_read_view(in, bytes);
    uint8_t payload[65536];
    if (view && bytes) memcpy(payload, view, bytes);
    if (of_a_channel && bytes >= 4) memcpy(payload, &who->channel[channel].id, 4);
    visitor_say(who, extension, type, payload, (uint32_t)bytes);
}

static void open_one(struct owm_reader *in, struct visitor *who)
{
    uint8_t how = owm_read_u8(in);
    static const char *const names[] = {"alice.rig", "bob", "", "a.b.c"};
    sv2client_open(&who->client, &(struct sv2client_opening){
                                     .identity = names[how & 3],
                                     .rate = world_rate(UINT64_C(1) << (how >> 5)),
                                     .extended = how & 4,
                                     .min_extranonce = how & 8 ? 20 : 0,
                                 });
}

static void submit_one(struct owm_reader *in, struct visitor *who)
{
    struct sv2client_channel *channel = &who->channel[owm_read_u8(in) % VISITOR_CHANNELS];
    struct sv2client_share share;
    uint8_t how = owm_read_u8(in);
    sv2client_share_start(channel, &share);
    share.nonce = owm_read_u32_le(in);
    share.job_id += (uint32_t)(how & 3) - 1;
    if (how & 4) share.version ^= 1u << (how >> 3);
    if (how & 8) share.ntime += (uint32_t)how * 100;
    if (how & 16) share.worker = how & 32 ? "worker-1" : "worker-2";
    sv2client_submit(&who->client, channel, &share);
}

static void mine_one(struct owm_reader *in, struct visitor *who)
{
    struct sv2client_channel *channel = &who->channel[owm_read_u8(in) % VISITOR_CHANNELS];
    struct sv2client_share share;
    if (!channel->id || !channel->job.id) return;
    sv2client_share_start(channel, &share);
    share.nonce = owm_read_u32_le(in);
    if (channel->target[31] && sv2client_mine(channel, channel->target, NULL, &share))
        sv2client_submit(&who->client, channel, &share);
}

static void extensions(struct owm_reader *in, struct visitor *who)
{
    static const uint16_t list[] = {0x0002, 0x4f57, 0x0003};
    uint8_t how = owm_read_u8(in);
    sv2client_request_extensions(&who->client, list + how % 2, 1 + how / 2 % 2);
}

static void step(struct owm_reader *in)
{
    uint8_t what = owm_read_u8(in);
    struct visitor *who = &visitor[what >> 7];
    switch (what & 15) {
    case 0:
        raw_frame(in, who, false);
        break;
    case 1:
        raw_frame(in, who, true);
        break;
    case 2:
        sv2client_setup(&who->client, owm_read_u8(in) & 7);
        break;
    case 3:
        open_one(in, who);
        break;
    case 4:
        extensions(in, who);
        break;
    case 5:
        submit_one(in, who);
        break;
    case 6:
        mine_one(in, who);
        break;
    case 7:
        world_work(&world, owm_read_u8(in) & 3, 0);
        break;
    case 8:
        world_idle(&world, 500u * (owm_read_u8(in) & 15));
        break;
    case 9:
        world_turn(&world, 0);
        break;
    case 10:
        world.disk_stuck = !world.disk_stuck;
        break;
    case 11:
        sv2client_close_channel(&who->client, who->channel[owm_read_u8(in) & 7].id);
        break;
    case 12:
        sv2client_update(&who->client, who->channel[owm_read_u8(in) & 7].id, 1e3f, NULL);
        break;
    case 13:
        visitor_leave(who);
        enter(who);
        break;
    case 14:
        who->deaf = !who->deaf;
        break;
    default:
        break;
    }
}

static void open_once(void)
{
    if (world.hall) return;
    owm_log_level_set(OWM_LOG_OFF);
    world_open(&world, NULL);
    world_work(&world, 1, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct owm_reader in;
    open_once();
    owm_reader_init(&in, data, size);
    world.disk_stuck = false;
    for (int i = 0; i < 2; i++) enter(&visitor[i]);
    for (int steps = 0; steps < 200 && owm_reader_left(&in); steps++) step(&in);
    world_turn(&world, 0);
    for (int i = 0; i < 2; i++) visitor_leave(&visitor[i]);
    const struct owm_pool_stats *stats = owm_hall_stats(world.hall);
    if (stats->sessions || stats->channels || stats->accepted != world.appended) abort();
    if (visitor[0].client.malformed || visitor[1].client.malformed) abort();
    return 0;
}

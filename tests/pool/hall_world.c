/* hall_world.c: a hall and what surrounds it, all of it in memory. */
#include "hall_world.h"

#include <stdlib.h>
#include <string.h>

#include "chain/template_text.h"
#include "dataplane/chain/target.h"

#define WORLD_WALL_MS INT64_C(1790000000000)

static owm_status log_append(void *ctx, const struct owm_share *share,
                             const struct owm_miner *miner, const struct owm_worker *worker,
                             uint64_t *sequence)
{
    struct world *world = ctx;
    if (world->disk_answer != OWM_OK) return world->disk_answer;
    world->share[world->appended % WORLD_SHARES_MAX] =
        (struct world_share){*share, *miner, *worker};
    *sequence = ++world->appended;
    return OWM_OK;
}

static void log_commit(void *ctx)
{
    struct world *world = ctx;
    world->committed = world->appended;
    if (!world->disk_stuck) world->durable = world->committed;
}

static uint64_t log_durable(void *ctx)
{
    return ((struct world *)ctx)->durable;
}

static void on_block(void *ctx, const struct owm_found *found)
{
    struct world *world = ctx;
    world->blocks++;
    world->block_form = found->form;
    memcpy(world->block_hash, found->hash, 32);
    memcpy(world->block_header, found->header, 80);
    memcpy(world->block_extranonce, found->extranonce,
           found->work->coinbase[found->form].extranonce_bytes);
}

static void small_defaults(struct owm_hall_options *options)
{
    if (!options->sessions_max) options->sessions_max = 64;
    if (!options->channels_max) options->channels_max = 256;
    if (!options->workers_max) options->workers_max = 64;
    if (!options->share_table) options->share_table = 4096;
    if (!options->batch_max) options->batch_max = 256;
    if (!options->acks_max) options->acks_max = 1024;
    options->epoch = 7;
    options->loop = 3;
}

void world_open(struct world *world, const struct owm_hall_options *options)
{
    struct owm_error error;
    memset(world, 0, sizeof *world);
    if (options) world->options = *options;
    small_defaults(&world->options);
    OWM_ASSERT(owm_backend_reference.open(&world->device, &(struct owm_device_config){0}, &error)
               == OWM_OK);
    world->options.device = world->device;
    world->options.log = (struct owm_share_log){log_append, log_commit, log_durable, world};
    world->options.on_block = on_block;
    world->options.ctx = world;
    world->now = (struct owm_pool_time){UINT64_C(1000000000000), WORLD_WALL_MS};
    OWM_ASSERT(owm_hall_open(&world->options, world->now, &world->hall, &error) == OWM_OK);
}

void world_close(struct world *world)
{
    owm_hall_close(world->hall);
    world->device->backend->close(world->device);
}

static void set_bits(json_t *root, uint32_t bits)
{
    uint8_t target[32];
    char text[65];
    OWM_ASSERT(owm_target_from_compact(bits, target));
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", target[31 - i]);
    json_object_set_new(root, "target", json_string(text));
    snprintf(text, sizeof text, "%08x", bits);
    json_object_set_new(root, "bits", json_string(text));
}

struct owm_template *world_template(const struct world *world, uint32_t bits)
{
    json_t *root = template_json(3);
    char previous[65];
    snprintf(previous, sizeof previous, "%064x", world->tip_byte);
    json_object_set_new(root, "previousblockhash", json_string(previous));
    json_object_set_new(root, "curtime", json_integer(world->now.wall_ms / 1000));
    json_object_set_new(root, "mintime", json_integer(world->now.wall_ms / 1000 - 3600));
    set_bits(root, bits ? bits : WORLD_BITS);
    struct owm_template *block = template_parsed(root);
    json_decref(root);
    return block;
}

void world_work(struct world *world, uint32_t tip, uint32_t bits)
{
    struct owm_work_options options = {
        .script = {0x51},
        .script_bytes = 1,
        .tag = "/OWM test/",
        .pay_basis_points = OWM_PAY_BASIS_POINTS,
        .halving_interval = 150,
    };
    struct owm_work *work;
    struct owm_error error;
    if (tip) world->tip_byte = tip;
    if (tip || !world->tip) world->tip++;
    struct owm_work_place place = {++world->works, world->tip};
    OWM_ASSERT(owm_work_make(world_template(world, bits), &options, place, &work, &error)
               == OWM_OK);
    work->made_ms = (int64_t)(world->now.mono_ns / 1000000);
    owm_hall_work(world->hall, work, world->now.mono_ns);
    world_turn(world, 0);
}

void world_turn(struct world *world, uint64_t ms)
{
    world->now.mono_ns += ms * 1000000;
    world->now.wall_ms += (int64_t)ms;
    owm_hall_clock(world->hall, world->now);
    while (owm_hall_turn(world->hall) == 0) {
    }
    owm_hall_acks(world->hall);
}

void world_idle(struct world *world, uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 500) world_turn(world, 500);
}

static uint8_t *sink_reserve(void *ctx, uint32_t bytes)
{
    struct visitor *visitor = ctx;
    OWM_ASSERT(!visitor->closed && bytes <= sizeof visitor->payload);
    if (visitor->deaf && visitor->reads_left == 0) return NULL;
    if (visitor->deaf) visitor->reads_left--;
    return visitor->payload;
}

static void sink_commit(void *ctx, uint16_t extension, uint8_t type, uint32_t bytes)
{
    struct visitor *visitor = ctx;
    struct owm_sv2_frame frame = {extension, type, bytes, visitor->payload};
    sv2client_frame(&visitor->client, &frame);
}

static void sink_close(void *ctx, enum owm_close reason, bool flush)
{
    struct visitor *visitor = ctx;
    OWM_ASSERT(!visitor->closed);
    visitor->closed = true;
    visitor->flushed = flush;
    visitor->reason = reason;
}

static void say(void *ctx, uint16_t extension, uint8_t type, const uint8_t *payload, uint32_t bytes)
{
    struct visitor *visitor = ctx;
    /* An exact copy on the heap, so that a read past the end is seen by the sanitizer. */
    uint8_t *copy = malloc(bytes ? bytes : 1);
    OWM_ASSERT(copy);
    if (bytes) memcpy(copy, payload, bytes);
    struct owm_sv2_frame frame = {extension, type, bytes, copy};
    owm_session_frame(visitor->session, &frame);
    free(copy);
}

void visitor_say(struct visitor *visitor, uint16_t extension, uint8_t type, const void *payload,
                 uint32_t bytes)
{
    say(visitor, extension, type, payload, bytes);
}

void visitor_connect(struct visitor *visitor, struct world *world)
{
    struct owm_sink sink = {sink_reserve, sink_commit, sink_close, visitor};
    memset(visitor, 0, sizeof *visitor);
    visitor->world = world;
    visitor->client = (struct sv2client){
        .send = say,
        .ctx = visitor,
        .channel = visitor->channel,
        .channels = VISITOR_CHANNELS,
    };
    struct owm_peer peer = {"198.51.100.7:4242", world->address};
    visitor->session = owm_session_enter(world->hall, &sink, &peer);
}

void visitor_enter(struct visitor *visitor, struct world *world)
{
    static const uint8_t hash[32] = {9};
    visitor_connect(visitor, world);
    OWM_ASSERT(visitor->session);
    owm_session_secured(visitor->session, hash);
}

void visitor_leave(struct visitor *visitor)
{
    if (!visitor->left) owm_session_leave(visitor->session);
    visitor->left = true;
}

float world_rate(uint64_t hashes)
{
    return (float)hashes * OWM_VARDIFF_SHARES_PER_MINUTE / 60;
}

struct sv2client_channel *visitor_open(struct visitor *visitor, uint32_t flags, bool extended,
                                       const char *identity)
{
    if (!visitor->client.set_up) sv2client_setup(&visitor->client, flags);
    return sv2client_open(&visitor->client, &(struct sv2client_opening){
                                                .identity = identity,
                                                .rate = world_rate(64),
                                                .extended = extended,
                                            });
}

struct sv2client_share visitor_mine(struct visitor *visitor, struct sv2client_channel *channel)
{
    struct sv2client_share share;
    sv2client_share_start(channel, &share);
    share.nonce = channel->sequence * 0x10000;
    OWM_ASSERT(sv2client_mine(channel, channel->target, NULL, &share));
    sv2client_submit(&visitor->client, channel, &share);
    world_turn(visitor->world, 0);
    return share;
}

struct sv2client_share visitor_find(const struct sv2client_channel *channel)
{
    struct sv2client_share share;
    sv2client_share_start(channel, &share);
    OWM_ASSERT(sv2client_mine(channel, channel->target, NULL, &share));
    return share;
}

const char *visitor_answer(struct visitor *visitor, struct sv2client_channel *channel,
                           const struct sv2client_share *share)
{
    uint64_t accepted = channel->accepted;
    channel->code[0] = 0;
    sv2client_submit(&visitor->client, channel, share);
    world_turn(visitor->world, 0);
    return channel->accepted > accepted ? "accepted" : channel->code;
}

const char *visitor_answer_new(struct visitor *visitor, struct sv2client_channel *channel)
{
    struct sv2client_share share = visitor_find(channel);
    return visitor_answer(visitor, channel, &share);
}

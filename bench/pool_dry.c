/* pool_dry.c: miners without sockets: opening, shares, jobs. */
#include "pool_dry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dataplane/sv2/messages.h"

#define ROLLED_BYTES 8
#define HALL_PLACES  (1u << 21) /* For shares: more than all runs of one shape together. */

/* ------------------------------------------------------------------ what the pool answers */

static void hear(struct dry_miner *miner, const struct owm_sv2_frame *frame)
{
    struct dry *dry = miner->dry;
    struct owm_sv2_open_standard_success standard;
    struct owm_sv2_open_extended_success extended;
    struct owm_sv2_submit_success success;
    switch (frame->type) {
    case OWM_SV2_TYPE_open_standard_success:
        if (owm_sv2_read_open_standard_success(frame->payload, frame->bytes, &standard))
            miner->channel_id = standard.channel_id;
        break;
    case OWM_SV2_TYPE_open_extended_success:
        if (owm_sv2_read_open_extended_success(frame->payload, frame->bytes, &extended))
            miner->channel_id = extended.channel_id;
        break;
    case OWM_SV2_TYPE_submit_success:
        if (owm_sv2_read_submit_success(frame->payload, frame->bytes, &success))
            dry->accepted += success.new_submits_accepted_count;
        dry->successes++;
        break;
    case OWM_SV2_TYPE_submit_error:
        dry->refused++;
        break;
    default:
        break;
    }
}

static uint8_t *wire_reserve(void *ctx, size_t bytes)
{
    struct dry_miner *miner = ctx;
    return bytes <= DRY_ANSWER_BYTES ? miner->dry->answer : NULL;
}

/** Header and payload have a nonce each, read or not. */
static void wire_commit(void *ctx, size_t bytes)
{
    struct dry_miner *miner = ctx;
    struct dry *dry = miner->dry;
    struct owm_sv2_frame frame;
    size_t used;
    uint32_t payload = (uint32_t)(bytes - OWM_SV2_SEALED_HEADER_BYTES - OWM_SV2_MAC_BYTES);
    dry->frames++;
    if (payload > dry->longest) dry->longest = payload;
    if (!dry->reading) {
        miner->transport.receive.nonce += 2;
        return;
    }
    if (owm_sv2_open(&miner->transport, dry->answer, bytes, DRY_ANSWER_BYTES, &frame, &used)
        == OWM_SV2_FRAME)
        hear(miner, &frame);
    else
        dry->refused++;
}

static void wire_close(void *ctx, const char *reason, bool flush)
{
    (void)reason;
    (void)flush;
    ((struct dry_miner *)ctx)->dry->refused++;
}

/* ------------------------------------------------------------------ the journal, not waited for */

static owm_status log_append(void *ctx, const struct owm_share *share,
                             const struct owm_miner *miner, const struct owm_worker *worker,
                             uint64_t *sequence)
{
    struct dry *dry = ctx;
    owm_status status = owm_journal_append(dry->journal, share, miner, worker, sequence);
    if (status == OWM_OK) dry->appended = *sequence;
    return status;
}

static void log_commit(void *ctx)
{
    owm_journal_commit(((struct dry *)ctx)->journal);
}

static uint64_t log_durable(void *ctx)
{
    return ((struct dry *)ctx)->appended;
}

/* ------------------------------------------------------------------ opening */

static struct owm_pool_time time_now(void)
{
    uint64_t mono_ns = owm_clock_mono_ns();
    return (struct owm_pool_time){mono_ns, (int64_t)(mono_ns / 1000000)};
}

static void deliver(struct dry_miner *miner, uint8_t *data, size_t bytes)
{
    owm_hall_clock(miner->dry->hall, time_now());
    size_t used = owm_link_receive(&miner->link, data, bytes);
    if (used != bytes) miner->dry->refused++;
}

/** SEND(miner, name, …): one message, at once. */
#define SEND(miner_, name, ...)                                                                    \
    do {                                                                                           \
        const struct owm_sv2_##name message_ = {__VA_ARGS__};                                      \
        uint8_t payload_[512], sealed_[600];                                                       \
        size_t bytes_ = owm_sv2_write_##name(payload_, sizeof payload_, &message_);                \
        deliver(miner_, sealed_,                                                                   \
                owm_sv2_seal(&(miner_)->transport, (uint16_t)OWM_SV2_FRAME_EXT_##name,             \
                             OWM_SV2_TYPE_##name, payload_, (uint32_t)bytes_, sealed_));           \
    } while (0)

static struct owm_sv2_view text(const char *string)
{
    return owm_sv2_view_of(string, strlen(string));
}

static void make_up_keys(struct dry_miner *miner, uint32_t number)
{
    struct owm_sv2_cipher *in = &miner->link.transport.receive, *out = &miner->link.transport.send;
    memcpy(in->key, &number, sizeof number);
    memcpy(out->key + 8, &number, sizeof number);
    miner->transport = (struct owm_sv2_transport){.send = *in, .receive = *out};
}

static void open_channel(struct dry_miner *miner, const uint8_t *easiest, uint32_t number)
{
    bool extended = miner->dry->shape.extended;
    char name[32];
    owm_sv2_u256 target;
    snprintf(name, sizeof name, "miner%u.rig", number % 4096);
    memcpy(target.byte, easiest, sizeof target.byte);
    SEND(miner, setup_connection, .min_version = 2, .max_version = 2,
         .flags = extended ? 0 : OWM_SV2_REQUIRES_STANDARD_JOBS, .endpoint_host = text("bench"),
         .vendor = text("owm-bench"));
    if (extended)
        SEND(miner, open_extended, .request_id = 1, .user_identity = text(name),
             .nominal_hash_rate = 1, .max_target = target, .min_extranonce_size = ROLLED_BYTES);
    else
        SEND(miner, open_standard, .request_id = 1, .user_identity = text(name),
             .nominal_hash_rate = 1, .max_target = target);
}

static bool enter(struct dry *dry, const uint8_t *easiest, uint32_t number)
{
    static const uint8_t hash[32];
    struct dry_miner *miner = &dry->miner[number];
    struct owm_link_owner owner = {dry->hall, NULL};
    struct owm_wire wire = {
        .reserve = wire_reserve, .commit = wire_commit, .close = wire_close, .ctx = miner};
    miner->dry = dry;
    struct owm_peer peer = {"bench", number}; /* As if each came from elsewhere. */
    if (!owm_link_open(&miner->link, &owner, &wire, &peer)) return false;
    make_up_keys(miner, number);
    miner->link.state = OWM_LINK_OPEN;
    owm_session_secured(miner->link.session, hash);
    open_channel(miner, easiest, number);
    return miner->channel_id != 0 && dry->refused == 0;
}

static owm_status next_work(struct dry *dry, struct pool_world *world, struct owm_error *error)
{
    struct owm_work *work;
    owm_status status = pool_world_work(world, &work, error);
    if (status != OWM_OK) return status;
    dry->work = work;
    dry->job_id++;
    owm_hall_clock(dry->hall, time_now());
    owm_hall_work(dry->hall, work, owm_clock_mono_ns());
    return OWM_OK;
}

static owm_status open_parts(struct dry *dry, struct pool_world *world, struct owm_error *error)
{
    struct owm_hall_options hall;
    char folder[160];
    snprintf(folder, sizeof folder, "%s/dry", world->folder);
    owm_status status = pool_world_hall(world, dry->shape.miners, &hall, error);
    if (status != OWM_OK) return status;
    dry->device = hall.device;
    hall.share_table = HALL_PLACES;
    hall.log = (struct owm_share_log){log_append, log_commit, log_durable, dry};
    status =
        owm_journal_open(&(struct owm_journal_options){.folder = folder}, &dry->journal, error);
    if (status == OWM_OK) status = owm_hall_open(&hall, time_now(), &dry->hall, error);
    dry->miner = calloc(dry->shape.miners, sizeof *dry->miner);
    return status == OWM_OK && !dry->miner ? OWM_E_NOMEM : status;
}

owm_status dry_open(struct dry *dry, struct pool_world *world, const struct dry_shape *shape,
                    struct owm_error *error)
{
    memset(dry, 0, sizeof *dry);
    dry->shape = *shape;
    owm_status status = open_parts(dry, world, error);
    if (status == OWM_OK) status = next_work(dry, world, error);
    dry->reading = true;
    for (uint32_t i = 0; status == OWM_OK && i < shape->miners; i++)
        if (!enter(dry, world->easiest, i))
            status = owm_fail(error, OWM_E_STATE, "miner %u did not get a channel", i);
    dry->reading = false;
    return status;
}

void dry_close(struct dry *dry)
{
    for (uint32_t i = 0; dry->miner && i < dry->shape.miners; i++)
        if (dry->miner[i].link.session) owm_link_gone(&dry->miner[i].link);
    owm_hall_close(dry->hall);
    owm_journal_close(dry->journal);
    if (dry->device) dry->device->backend->close(dry->device);
    free(dry->miner);
}

/* ------------------------------------------------------------------ shares */

static size_t write_share(const struct dry *dry, struct dry_miner *miner, uint8_t *payload)
{
    const struct owm_template *block = dry->work->block;
    uint8_t rolled[ROLLED_BYTES] = {0};
    uint32_t number = miner->shares++;
    memcpy(rolled, &number, sizeof number);
    struct owm_sv2_submit_extended share = {
        .channel_id = miner->channel_id,
        .sequence_number = number,
        .job_id = dry->job_id,
        .nonce = number,
        .ntime = block->current_time_s,
        .version = block->version,
        .extranonce = owm_sv2_view_of(rolled, sizeof rolled),
    };
    size_t bytes = owm_sv2_write_submit_extended(payload, DRY_FRAME_BYTES, &share);
    return dry->shape.extended ? bytes : bytes - 1 - sizeof rolled; /* Standard: the same before. */
}

static size_t seal_share(const struct dry *dry, struct dry_miner *miner, uint8_t *out)
{
    uint8_t payload[DRY_FRAME_BYTES];
    size_t bytes = write_share(dry, miner, payload);
    return owm_sv2_seal(&miner->transport, OWM_SV2_CHANNEL_BIT,
                        dry->shape.extended ? OWM_SV2_TYPE_submit_extended
                                            : OWM_SV2_TYPE_submit_standard,
                        payload, (uint32_t)bytes, out);
}

struct read {
    struct dry_miner *miner;
    uint8_t *data;
    size_t bytes;
};

/** The miners of a turn are far apart in memory, as those of a real one are. */
static struct dry_miner *next_miner(struct dry *dry)
{
    dry->next = (uint32_t)(((uint64_t)dry->next + 40503) % dry->shape.miners);
    return &dry->miner[dry->next];
}

double dry_turn(struct dry *dry)
{
    static struct read read[DRY_BATCH];
    uint32_t reads = DRY_BATCH / dry->shape.shares_a_read;
    uint8_t *at = dry->sealed;
    for (uint32_t i = 0; i < reads; i++) {
        read[i] = (struct read){.miner = next_miner(dry), .data = at};
        for (uint32_t s = 0; s < dry->shape.shares_a_read; s++)
            at += seal_share(dry, read[i].miner, at);
        read[i].bytes = (size_t)(at - read[i].data);
    }
    double start = pool_cpu_s();
    for (uint32_t i = 0; i < reads; i++) deliver(read[i].miner, read[i].data, read[i].bytes);
    owm_hall_clock(dry->hall, time_now());
    owm_hall_turn(dry->hall);
    double seconds = pool_cpu_s() - start;
    while (dry->appended > owm_journal_durable(dry->journal) + DRY_JOURNAL_AHEAD
           && !owm_journal_failed(dry->journal))
        owm_clock_sleep_ms(1);
    return seconds;
}

/* ------------------------------------------------------------------ jobs */

owm_status dry_job(struct dry *dry, struct pool_world *world, double *seconds,
                   struct owm_error *error)
{
    const struct owm_pool_stats *stats = owm_hall_stats(dry->hall);
    uint64_t before = owm_counted(&stats->fanout.count), frames = dry->frames;
    double start = pool_cpu_s();
    owm_status status = next_work(dry, world, error);
    while (status == OWM_OK && owm_counted(&stats->fanout.count) == before) {
        owm_hall_clock(dry->hall, time_now());
        owm_hall_turn(dry->hall);
    }
    *seconds = pool_cpu_s() - start;
    if (status == OWM_OK && dry->frames - frames != 2 * (uint64_t)dry->shape.miners)
        status = owm_fail(error, OWM_E_STATE, "%llu frames were sent to %u miners",
                          (unsigned long long)(dry->frames - frames), dry->shape.miners);
    return status;
}

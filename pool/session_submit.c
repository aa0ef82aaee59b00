/* session_submit.c: a share on its way into the batch: everything that needs no hashing. */
#include <string.h>

#include "hall_internal.h"

/** submission: what both kinds of submit carry. */
struct submission {
    uint32_t channel_id, sequence, job_id, nonce, ntime, version;
    const uint8_t *rolled; /* The miner's part of the extranonce; NULL: standard. */
    struct owm_sv2_view worker;
};

static bool version_ok(const struct owm_job *job, uint32_t version)
{
    return ((version ^ job->work->block->version) & ~OWM_SV2_VERSION_MASK) == 0;
}

/** From what the job said to two hours ahead of the node's clock, which went on since. */
static bool ntime_ok(const struct owm_hall *hall, const struct owm_job *job, uint32_t ntime)
{
    int64_t aged_ms = hall->now_ms - job->work->made_ms;
    uint64_t latest =
        (uint64_t)job->min_ntime + 7200 + (uint64_t)(aged_ms > 0 ? aged_ms : 0) / 1000;
    return ntime >= job->min_ntime && ntime <= latest;
}

/** A verdict that is certain before the hash; the hash is still looked at for a block. -1: none. */
static int preset_of(const struct owm_hall *hall, const struct owm_job *job, bool stale,
                     const struct submission *submission)
{
    if (stale) return OWM_REJECT_STALE;
    if (!version_ok(job, submission->version)) return OWM_REJECT_VERSION;
    if (!ntime_ok(hall, job, submission->ntime)) return OWM_REJECT_NTIME;
    return -1;
}

static const uint8_t *known_root(const struct owm_channel *channel, uint32_t job)
{
    if (channel->extended) return NULL;
    for (int i = 0; i < 2; i++)
        if (channel->root[i].job == job) return channel->root[i].root;
    return NULL;
}

static void write_header(struct owm_pending *share, const struct submission *submission)
{
    static const uint8_t later[32]; /* The batch fills in roots that are not known yet. */
    const struct owm_template *block = share->job->work->block;
    const uint8_t *root = known_root(share->channel, share->job->id);
    struct owm_header_fields fields = {
        .version = submission->version,
        .time_s = submission->ntime,
        .bits = block->bits,
        .nonce = submission->nonce,
        .previous = block->previous,
        .root = root ? root : later,
    };
    share->rooted = root != NULL;
    owm_header_write(&fields, share->header);
}

/** The worker that extension 0x0002 names, remembered until the channel's shares name another. */
static uint32_t worker_of(struct owm_channel *channel, const struct owm_sv2_view *name)
{
    struct owm_hall *hall = channel->session->hall;
    char text[33];
    struct owm_worker worker;
    if (!name->count || name->count > 32 || memchr(name->data, 0, name->count))
        return channel->worker;
    memcpy(text, name->data, name->count);
    text[name->count] = 0;
    if (channel->named_worker != OWM_WORKER_NONE
        && strcmp(owm_workers_at(hall->workers, channel->named_worker)->worker.text, text) == 0)
        return channel->named_worker;
    if (!owm_worker_of(text, &worker)) return channel->worker;
    const struct owm_miner *miner = &owm_workers_at(hall->workers, channel->worker)->miner;
    uint32_t named = owm_workers_claim(hall->workers, miner, &worker, hall->now_ms);
    if (named == OWM_WORKER_NONE) return channel->worker;
    owm_workers_release(hall->workers, channel->named_worker);
    channel->named_worker = named;
    return named;
}

static void submit(struct owm_session *session, struct owm_channel *channel,
                   const struct submission *submission)
{
    struct owm_hall *hall = session->hall;
    struct owm_job *job = NULL;
    enum owm_job_find found = job_find(hall, channel, submission->job_id, &job);
    const struct owm_snapshot *target = channel_target(channel, submission->job_id);
    if (found == JOB_UNKNOWN || found == JOB_GONE) {
        enum owm_reject reject = found == JOB_GONE ? OWM_REJECT_STALE : OWM_REJECT_JOB;
        verdict_reject(session, channel->id, submission->sequence, reject);
        return;
    }
    struct owm_pending *share = verdict_slot(hall);
    share->channel = channel;
    share->job = job;
    share->sequence = submission->sequence;
    share->received_ns = hall->now.mono_ns;
    share->preset = preset_of(hall, job, found == JOB_STALE || !target, submission);
    share->worker = worker_of(channel, &submission->worker);
    owm_workers_hold(hall->workers, share->worker);
    share->hashes = target ? target->hashes : 0;
    if (target) memcpy(share->target, target->target, sizeof share->target);
    channel_extranonce(channel, submission->rolled, share->extranonce);
    write_header(share, submission);
}

void session_on_submit_standard(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_submit_standard in;
    verdict_make_room(session->hall);
    if (session->state == SESSION_CLOSED) return;
    if (!SESSION_READ(frame, submit_standard, &in)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    struct owm_channel *channel = channel_find(session, in.channel_id);
    if (!channel || channel->extended) {
        verdict_reject(session, in.channel_id, in.sequence_number, OWM_REJECT_CHANNEL);
        return;
    }
    submit(session, channel,
           &(struct submission){in.channel_id,
                                in.sequence_number,
                                in.job_id,
                                in.nonce,
                                in.ntime,
                                in.version,
                                NULL,
                                {NULL, 0}});
}

/** Bytes behind the message are TLVs; those that were not negotiated are ignored. */
void session_on_submit_extended(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_submit_extended in;
    struct owm_sv2_view worker = {NULL, 0};
    verdict_make_room(session->hall);
    if (session->state == SESSION_CLOSED) return;
    size_t used = owm_sv2_read_submit_extended(frame->payload, frame->bytes, &in);
    if (!used) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    struct owm_channel *channel = channel_find(session, in.channel_id);
    if (!channel || !channel->extended) {
        verdict_reject(session, in.channel_id, in.sequence_number, OWM_REJECT_CHANNEL);
        return;
    }
    uint32_t whole = channel->form == OWM_COINBASE_SHORT ? OWM_EXTRANONCE_SHORT_BYTES
                                                         : OWM_EXTRANONCE_LONG_BYTES;
    if (in.extranonce.count != whole - OWM_EXTRANONCE_PREFIX_BYTES) {
        verdict_reject(session, in.channel_id, in.sequence_number, OWM_REJECT_EXTRANONCE);
        return;
    }
    if (session->worker_names)
        owm_sv2_worker_name(frame->payload + used, frame->bytes - used, &worker);
    submit(session, channel,
           &(struct submission){in.channel_id, in.sequence_number, in.job_id, in.nonce, in.ntime,
                                in.version, in.extranonce.data, worker});
}

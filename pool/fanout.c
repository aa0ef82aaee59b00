/* fanout.c: a new job on its way to every miner: made once, sent to groups or to standard channels.
 *
 * A miner that does not know the tip yet gets the job as a future one and then SetNewPrevHash,
 * which makes it the only valid job; a newer job on the same tip comes alone, with its min_ntime.
 */
#include <string.h>

#include "base/log.h"
#include "hall_internal.h"

static void send_encoded(struct owm_session *session, const struct owm_encoded *encoded,
                         uint32_t channel_id, uint8_t type)
{
    uint8_t *out = session_reserve(session, encoded->bytes);
    if (!out) return;
    memcpy(out, encoded->payload, encoded->bytes);
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(channel_id >> 8 * i);
    session_commit(session, OWM_SV2_CHANNEL_BIT, type, encoded->bytes);
}

static void send_extended(struct owm_session *session, enum owm_coinbase_form form, uint32_t id,
                          bool fresh)
{
    struct owm_hall *hall = session->hall;
    send_encoded(session, fresh ? &hall->future[form] : &hall->present[form], id,
                 OWM_SV2_TYPE_new_extended_job);
    if (fresh) send_encoded(session, &hall->prev_hash, id, OWM_SV2_TYPE_set_prev_hash);
}

static const uint8_t *row_extranonce(void *ctx, uint32_t i)
{
    struct owm_hall *hall = ctx;
    static _Thread_local uint8_t extranonce[OWM_EXTRANONCE_BYTES_MAX];
    channel_extranonce(hall->row[i].channel, NULL, extranonce);
    return extranonce;
}

static void send_standard(struct owm_hall *hall, const struct owm_row *row,
                          const struct owm_job *job, const uint8_t *root)
{
    struct owm_channel *channel = row->channel;
    owm_sv2_u256 root_field;
    memcpy(root_field.byte, root, sizeof root_field.byte);
    channel->root[1] = channel->root[0];
    channel->root[0].job = job->id;
    memcpy(channel->root[0].root, root, sizeof channel->root[0].root);
    SESSION_SEND(channel->session, new_job, .channel_id = channel->id, .job_id = job->id,
                 .min_ntime = {.present = !row->fresh, .value = job->min_ntime},
                 .version = job->work->block->version, .merkle_root = root_field);
    if (row->fresh)
        send_encoded(channel->session, &hall->prev_hash, channel->id, OWM_SV2_TYPE_set_prev_hash);
}

/** Roots of the rows at once, then their messages. */
static void flush_rows(struct owm_hall *hall)
{
    const struct owm_job *job = job_newest(hall);
    uint32_t rows = hall->rows;
    hall->rows = 0;
    if (!rows) return;
    if (!job_roots(hall, job, OWM_COINBASE_SHORT, rows, row_extranonce, hall)) {
        owm_log(OWM_LOG_ERROR,
                "job_not_sent job=%u channels=%u reason=\"the hashing device failed\"", job->id,
                rows);
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        send_standard(hall, &hall->row[i], job, hall->merkle_root[i]);
}

static void add_row(struct owm_channel *channel, bool fresh)
{
    struct owm_hall *hall = channel->session->hall;
    hall->row[hall->rows++] = (struct owm_row){channel, fresh};
    if (hall->rows == MERKLE_ROWS) flush_rows(hall);
}

/** Rows that this leaves behind are the caller's to flush. */
static void send_newest(struct owm_session *session)
{
    struct owm_hall *hall = session->hall;
    bool fresh = session->sent_tip != hall->tip;
    if (session->state != SESSION_OPEN || session->sent_job == hall->newest) return;
    session->sent_job = hall->newest;
    session->sent_tip = hall->tip;
    if (session->flags & OWM_SV2_REQUIRES_STANDARD_JOBS) {
        for (uint32_t i = session->first_channel; i != NONE; i = hall->channel[i].next)
            add_row(&hall->channel[i], fresh);
        return;
    }
    for (int form = 0; form < OWM_COINBASE_FORMS; form++)
        if (session->members[form])
            send_extended(session, (enum owm_coinbase_form)form,
                          group_id(session, (enum owm_coinbase_form)form), fresh);
}

void fanout_session(struct owm_session *session)
{
    send_newest(session);
    flush_rows(session->hall);
}

/** A channel's first job is a future one of its own, whatever group it is in. */
void fanout_channel(struct owm_channel *channel)
{
    struct owm_hall *hall = channel->session->hall;
    channel->first_job = hall->newest ? hall->newest : 1;
    if (!hall->newest) return;
    if (channel->extended) {
        send_extended(channel->session, channel->form, channel->id, true);
        return;
    }
    add_row(channel, true);
    flush_rows(hall);
}

void fanout_begin(struct owm_hall *hall, uint64_t posted_ns)
{
    hall->fanout_at = 0;
    hall->fanout_posted_ns = posted_ns;
}

/** Some of the sessions, so that the loop can hand over to the kernel what they were sent. */
bool fanout_turn(struct owm_hall *hall)
{
    uint32_t left = OWM_HALL_TURN_SESSIONS;
    if (hall->fanout_at == NONE) return false;
    for (; hall->fanout_at < hall->sessions_high && left; hall->fanout_at++) {
        struct owm_session *session = &hall->session[hall->fanout_at];
        uint32_t cost = 1 + session->channels / 8;
        if (session->state != SESSION_OPEN || session->sent_job == hall->newest) continue;
        send_newest(session);
        left -= left < cost ? left : cost;
    }
    flush_rows(hall);
    if (hall->fanout_at < hall->sessions_high) return true;
    hall->fanout_at = NONE;
    uint64_t now_ns = hall->options.clock_ns ? hall->options.clock_ns() : hall->now.mono_ns;
    owm_latency_add(&hall->stats.fanout,
                    now_ns > hall->fanout_posted_ns ? now_ns - hall->fanout_posted_ns : 0, 1);
    return false;
}

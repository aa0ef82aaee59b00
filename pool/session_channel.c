/* session_channel.c: what a miner changes on open channels, and custom jobs, which we refuse. */
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/target.h"
#include "hall_internal.h"

static void refuse_update(struct owm_session *session, uint32_t channel_id, const char *code)
{
    SESSION_SEND(session, update_error, .channel_id = channel_id,
                 .error_code = owm_sv2_view_of(code, strlen(code)));
}

/** No answer but a SetTarget where the new maximum asks for one. */
void session_on_update(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_hall *hall = session->hall;
    struct owm_sv2_update_channel update;
    static const uint8_t zero[32];
    if (!SESSION_READ(frame, update_channel, &update)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    struct owm_channel *channel = channel_find(session, update.channel_id);
    if (!channel) {
        refuse_update(session, update.channel_id, "invalid-channel-id");
        return;
    }
    if (!owm_vardiff_rate_valid(update.nominal_hash_rate)) {
        refuse_update(session, update.channel_id, "invalid-nominal-hashrate");
        return;
    }
    uint64_t easiest = owm_target_hashes_u64(update.maximum_target.byte);
    if (memcmp(update.maximum_target.byte, zero, sizeof zero) == 0
        || easiest > channel_hardest(hall)) {
        refuse_update(session, update.channel_id, "max-target-out-of-range");
        return;
    }
    memcpy(channel->max_target, update.maximum_target.byte, sizeof channel->max_target);
    channel->easiest = easiest;
    owm_vardiff_hint(&channel->vardiff, &hall->options.vardiff, update.nominal_hash_rate,
                     hall->now_ms);
    channel_retarget(channel);
}

static void close_group(struct owm_session *session, enum owm_coinbase_form form)
{
    struct owm_hall *hall = session->hall;
    for (uint32_t i = session->first_channel, next; i != NONE; i = next) {
        next = hall->channel[i].next;
        if (hall->channel[i].form == form) channel_release(&hall->channel[i]);
    }
}

/** Shares that came before are judged first, and credited; those behind it find no channel. */
void session_on_close_channel(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_close_channel close;
    if (!SESSION_READ(frame, close_channel, &close)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    verdict_flush(session->hall);
    if (session->state == SESSION_CLOSED) return;
    struct owm_channel *channel = channel_find(session, close.channel_id);
    if (channel) {
        channel_release(channel);
        return;
    }
    for (int form = 0; form < OWM_COINBASE_FORMS && (close.channel_id & GROUP_BIT); form++)
        if (group_id(session, (enum owm_coinbase_form)form) == close.channel_id)
            close_group(session, (enum owm_coinbase_form)form);
}

/** SetCustomMiningJob {channel_id u32, request_id u32, …}: needs the flag that setup refuses. */
void session_on_custom_job(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    static const char code[] = "invalid-mining-job-token";
    struct owm_reader reader;
    owm_reader_init(&reader, frame->payload, frame->bytes);
    uint32_t channel_id = owm_read_u32_le(&reader), request_id = owm_read_u32_le(&reader);
    if (!owm_reader_ok(&reader)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    SESSION_SEND(session, custom_job_error, .channel_id = channel_id, .request_id = request_id,
                 .error_code = owm_sv2_view_of(code, sizeof code - 1));
}

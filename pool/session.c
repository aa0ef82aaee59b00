/* session.c: the life of one connection: what is heard in which state, deadlines, the end. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hall_internal.h"

static uint32_t index_of(const struct owm_session *session)
{
    return (uint32_t)(session - session->hall->session);
}

uint8_t *session_reserve(struct owm_session *session, uint32_t bytes)
{
    if (session->state == SESSION_CLOSED) return NULL;
    uint8_t *out = session->sink.reserve(session->sink.ctx, bytes);
    if (!out) owm_session_end(session, OWM_CLOSE_SLOW);
    return out;
}

/** A message that does not fit is our own bug: every one of ours has a known bound. */
void session_commit(struct owm_session *session, uint16_t extension, uint8_t type, size_t bytes)
{
    OWM_ASSERT(bytes > 0);
    session->sink.commit(session->sink.ctx, extension, type, (uint32_t)bytes);
}

static void set_timer(struct owm_session *session)
{
    int64_t due_ms = session->deadline_ms;
    if (session->channels && due_ms > session->hall->now_ms + TICK_MS)
        due_ms = session->hall->now_ms + TICK_MS;
    owm_timers_set(&session->hall->timers, index_of(session), due_ms);
}

void session_deadline(struct owm_session *session, uint32_t in_ms)
{
    session->deadline_ms = session->hall->now_ms + in_ms;
    set_timer(session);
}

/** A few lines of one session, and a few a second of all of them. */
bool session_may_log(struct owm_session *session)
{
    struct owm_hall *hall = session->hall;
    if (session->log_left == 0) return false;
    if (hall->now_ms - hall->log_since_ms >= 1000) {
        hall->log_since_ms = hall->now_ms;
        hall->log_lines = 0;
    }
    if (hall->log_lines == OWM_HALL_LOG_LINES_PER_S) return false;
    hall->log_lines++;
    session->log_left--;
    return true;
}

struct owm_session *owm_session_enter(struct owm_hall *hall, const struct owm_sink *sink,
                                      const struct owm_peer *peer)
{
    uint32_t i = hall->free_session;
    if (i == NONE) return NULL;
    struct owm_session *session = &hall->session[i];
    hall->free_session = session->next_free;
    if (i >= hall->sessions_high) hall->sessions_high = i + 1;
    *session = (struct owm_session){
        .hall = hall,
        .sink = *sink,
        .state = SESSION_HANDSHAKE,
        .first_channel = NONE,
        .log_left = hall->options.log_lines,
        .address = peer->address,
    };
    snprintf(session->peer, sizeof session->peer, "%s", peer->text);
    owm_level(&hall->stats.sessions, ++hall->open_sessions);
    owm_count(&hall->stats.sessions_opened, 1);
    session_deadline(session, hall->options.handshake_ms);
    return session;
}

void owm_session_secured(struct owm_session *session, const uint8_t handshake_hash[32])
{
    OWM_ASSERT(session->state == SESSION_HANDSHAKE);
    memcpy(session->handshake_hash, handshake_hash, sizeof session->handshake_hash);
    session->state = SESSION_SETUP;
    owm_count(&session->hall->stats.handshakes, 1);
    session_deadline(session, session->hall->options.setup_ms);
}

/** What the peer must still be able to read: why it was refused. */
static bool worth_flushing(enum owm_close reason)
{
    return reason != OWM_CLOSE_SLOW && reason != OWM_CLOSE_MAC && reason != OWM_CLOSE_PEER;
}

static bool is_noteworthy(enum owm_close reason)
{
    return reason != OWM_CLOSE_PEER && reason != OWM_CLOSE_IDLE
           && reason != OWM_CLOSE_LATE_HANDSHAKE && reason != OWM_CLOSE_STRATUM_V1;
}

void owm_session_end(struct owm_session *session, enum owm_close reason)
{
    if (session->state == SESSION_CLOSED) return;
    if (is_noteworthy(reason) && session_may_log(session))
        owm_log(OWM_LOG_INFO, "session_closed peer=%s reason=\"%s\" meaning=\"%s\"", session->peer,
                owm_close_text(reason), owm_close_help(reason));
    session->state = SESSION_CLOSED;
    owm_timers_clear(&session->hall->timers, index_of(session));
    owm_count(&session->hall->stats.closed[reason], 1);
    session->sink.close(session->sink.ctx, reason, worth_flushing(reason));
}

void owm_session_leave(struct owm_session *session)
{
    struct owm_hall *hall = session->hall;
    verdict_flush(hall);
    if (session->state != SESSION_CLOSED) {
        owm_timers_clear(&hall->timers, index_of(session));
        owm_count(&hall->stats.closed[OWM_CLOSE_PEER], 1);
        session->state = SESSION_CLOSED;
    }
    while (session->first_channel != NONE) channel_release(&hall->channel[session->first_channel]);
    session->state = SESSION_FREE;
    session->next_free = hall->free_session;
    hall->free_session = index_of(session);
    owm_level(&hall->stats.sessions, --hall->open_sessions);
}

static enum owm_close lateness(const struct owm_session *session)
{
    if (session->state == SESSION_HANDSHAKE) return OWM_CLOSE_LATE_HANDSHAKE;
    if (session->state == SESSION_SETUP) return OWM_CLOSE_LATE_SETUP;
    return session->had_channel ? OWM_CLOSE_IDLE : OWM_CLOSE_LATE_CHANNEL;
}

/** Its timer has come round: is a deadline over, are targets due? */
void session_tick(struct owm_session *session)
{
    struct owm_hall *hall = session->hall;
    if (session->had_channel) session->deadline_ms = session->last_share_ms + hall->options.idle_ms;
    if (hall->now_ms >= session->deadline_ms) {
        owm_session_end(session, lateness(session));
        return;
    }
    for (uint32_t i = session->first_channel; i != NONE; i = hall->channel[i].next)
        channel_retarget(&hall->channel[i]);
    if (session->state != SESSION_CLOSED) set_timer(session);
}

typedef void (*handler)(struct owm_session *session, const struct owm_sv2_frame *frame);

/** Messages of the core protocol that a miner may send once it is set up. */
static handler core_handler(uint8_t type)
{
    switch (type) {
    case OWM_SV2_TYPE_submit_standard:
        return session_on_submit_standard;
    case OWM_SV2_TYPE_submit_extended:
        return session_on_submit_extended;
    case OWM_SV2_TYPE_open_standard:
        return session_on_open_standard;
    case OWM_SV2_TYPE_open_extended:
        return session_on_open_extended;
    case OWM_SV2_TYPE_update_channel:
        return session_on_update;
    case OWM_SV2_TYPE_close_channel:
        return session_on_close_channel;
    case OWM_SV2_TYPE_SET_CUSTOM_JOB:
        return session_on_custom_job;
    default:
        return NULL;
    }
}

static void ignore(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    (void)frame;
    owm_count(&session->hall->stats.ignored_frames, 1);
}

/** An extension that is unknown or was not negotiated is discarded, as the protocol says. */
static handler extension_handler(const struct owm_session *session, uint16_t extension,
                                 uint8_t type)
{
    if (extension == OWM_SV2_EXT_NEGOTIATION)
        return type == OWM_SV2_TYPE_request_extensions ? session_on_extensions : NULL;
    if (extension == OWM_SV2_EXT_NODE_IDENTITY && session->node_identity)
        return type == OWM_SV2_TYPE_node_auth ? session_on_node_auth : NULL;
    return ignore;
}

static handler handler_of(const struct owm_session *session, const struct owm_sv2_frame *frame)
{
    uint16_t extension = frame->extension & (uint16_t)~OWM_SV2_CHANNEL_BIT;
    if (session->state == SESSION_SETUP) {
        bool setup = extension == OWM_SV2_EXT_CORE && frame->type == OWM_SV2_TYPE_setup_connection;
        return setup ? session_on_setup : NULL;
    }
    if (session->state != SESSION_OPEN) return NULL;
    if (extension == OWM_SV2_EXT_CORE) return core_handler(frame->type);
    return extension_handler(session, extension, frame->type);
}

void owm_session_frame(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    if (session->state == SESSION_CLOSED) return;
    owm_count(&session->hall->stats.frames, 1);
    if (frame->bytes > OWM_HALL_PAYLOAD_BYTES) {
        owm_session_end(session, OWM_CLOSE_LONG);
        return;
    }
    handler handle = handler_of(session, frame);
    if (handle)
        handle(session, frame);
    else
        owm_session_end(session, OWM_CLOSE_UNEXPECTED);
}

/* session.c: the life of a miner's connection: bytes into frames, frames to steps, deadlines. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "session_internal.h"

#define INPUT_BYTES_START 4096

owm_status owm_mine_session_open(const struct owm_mine_session_options *options,
                                 const struct owm_mine_session_events *events, int64_t now_ms,
                                 struct owm_mine_session **out)
{
    struct owm_mine_session *session = calloc(1, sizeof *session);
    if (session == NULL) return OWM_E_NOMEM;
    session->options = *options;
    session->events = *events;
    session->now_ms = session->heard_ms = now_ms;
    session->told_rate = options->rate_hashes_per_s;
    session->input_max = INPUT_BYTES_START;
    session->input = malloc(session->input_max);
    owm_status status = session->input == NULL ? OWM_E_NOMEM : OWM_OK;
    if (status == OWM_OK) status = owm_sv2_initiate(&session->initiator, session->output);
    if (status != OWM_OK) {
        owm_mine_session_close(session);
        return status;
    }
    session->output_bytes = OWM_SV2_ACT1_BYTES;
    session_step(session, STEP_HANDSHAKE);
    *out = session;
    return OWM_OK;
}

void owm_mine_session_close(struct owm_mine_session *session)
{
    if (session == NULL) return;
    session_drop_jobs(session);
    owm_sv2_transport_wipe(&session->transport);
    explicit_bzero(&session->initiator, sizeof session->initiator);
    free(session->input);
    free(session);
}

void session_step(struct owm_mine_session *session, enum step step)
{
    session->step = step;
    session->step_ms = session->now_ms;
}

owm_status session_put(struct owm_mine_session *session, struct message_kind kind,
                       const void *message)
{
    uint8_t *out = session->output + session->output_bytes;
    size_t room = sizeof session->output - session->output_bytes;
    size_t around = OWM_SV2_SEALED_HEADER_BYTES + OWM_SV2_MAC_BYTES;
    if (room <= around) return OWM_E_LIMIT;
    uint8_t *payload = out + OWM_SV2_SEALED_HEADER_BYTES;
    size_t bytes = kind.write(payload, room - around, message);
    if (bytes == 0) return OWM_E_LIMIT;
    session->output_bytes +=
        owm_sv2_seal(&session->transport, kind.extension, kind.type, payload, (uint32_t)bytes, out);
    return OWM_OK;
}

void session_text(struct owm_sv2_view view, char text[OWM_MINE_CODE_BYTES])
{
    size_t bytes = view.count < OWM_MINE_CODE_BYTES - 1 ? view.count : OWM_MINE_CODE_BYTES - 1;
    for (size_t i = 0; i < bytes; i++)
        text[i] = view.data[i] >= ' ' && view.data[i] < 0x7f ? (char)view.data[i] : '?';
    text[bytes] = '\0';
}

static owm_status handle(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                         struct owm_error *error)
{
    session->heard_ms = session->now_ms;
    return session->step == STEP_MINING ? session_mining_frame(session, frame, error)
                                        : session_setup_frame(session, frame, error);
}

/* Works through `data`; *used is how much of it is done with. */
static owm_status take(struct owm_mine_session *session, uint8_t *data, size_t bytes, size_t *used,
                       struct owm_error *error)
{
    *used = 0;
    if (session->step == STEP_HANDSHAKE) {
        if (bytes < OWM_SV2_ACT2_BYTES) return OWM_OK;
        owm_status status = session_act2(session, data, error);
        if (status != OWM_OK) return status;
        *used = OWM_SV2_ACT2_BYTES;
    }
    for (;;) {
        struct owm_sv2_frame frame;
        size_t frame_used = 0;
        enum owm_sv2_receipt receipt =
            owm_sv2_open(&session->transport, data + *used, bytes - *used, OWM_MINE_PAYLOAD_MAX,
                         &frame, &frame_used);
        *used += frame_used;
        if (receipt == OWM_SV2_MORE) return OWM_OK;
        if (receipt == OWM_SV2_BAD_MAC)
            return owm_fail(error, OWM_E_CRYPTO, "what the pool sent cannot be decrypted");
        if (receipt == OWM_SV2_TOO_LONG)
            return owm_fail(error, OWM_E_LIMIT, "the pool sent a message of over %d bytes",
                            OWM_MINE_PAYLOAD_MAX);
        owm_status status = handle(session, &frame, error);
        if (status != OWM_OK) return status;
    }
}

static owm_status keep(struct owm_mine_session *session, const uint8_t *data, size_t bytes,
                       struct owm_error *error)
{
    size_t wanted = session->input_bytes + bytes;
    if (wanted > session->input_max) {
        size_t room = wanted + session->input_max;
        uint8_t *more = realloc(session->input, room);
        if (more == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for the pool's messages");
        session->input = more;
        session->input_max = room;
    }
    memcpy(session->input + session->input_bytes, data, bytes);
    session->input_bytes = wanted;
    return OWM_OK;
}

owm_status owm_mine_session_receive(struct owm_mine_session *session, uint8_t *data, size_t bytes,
                                    int64_t now_ms, struct owm_error *error)
{
    session->now_ms = now_ms;
    size_t used = 0;
    if (session->input_bytes == 0) { /* The usual case: whole frames, where they lie. */
        owm_status status = take(session, data, bytes, &used, error);
        return status != OWM_OK ? status : keep(session, data + used, bytes - used, error);
    }
    owm_status status = keep(session, data, bytes, error);
    if (status != OWM_OK) return status;
    status = take(session, session->input, session->input_bytes, &used, error);
    session->input_bytes -= used;
    memmove(session->input, session->input + used, session->input_bytes);
    return status;
}

static const char *const step_names[] = {
    [STEP_HANDSHAKE] = "the handshake",          [STEP_SETUP] = "the answer to our set-up",
    [STEP_EXTENSIONS] = "its extensions",        [STEP_NODE_AUTH] = "its word on our identity",
    [STEP_OPENING] = "the opening of a channel", [STEP_MINING] = "any sign of life",
};

owm_status owm_mine_session_tick(struct owm_mine_session *session, int64_t now_ms, int64_t *next_ms,
                                 struct owm_error *error)
{
    session->now_ms = now_ms;
    if (session->step == STEP_EXTENSIONS && now_ms >= session->step_ms + OWM_MINE_EXTENSION_MS) {
        owm_status status = session_go_on(session);
        if (status != OWM_OK) return owm_fail(error, status, "the output is full");
    }
    if (session->step == STEP_MINING)
        *next_ms = session->heard_ms + OWM_MINE_SILENCE_MS;
    else if (session->step == STEP_EXTENSIONS)
        *next_ms = session->step_ms + OWM_MINE_EXTENSION_MS;
    else
        *next_ms = session->step_ms + OWM_MINE_ANSWER_MS;
    if (now_ms < *next_ms) return OWM_OK;
    return owm_fail(error, OWM_E_TIMEOUT, "waited in vain for %s", step_names[session->step]);
}

const uint8_t *owm_mine_session_output(const struct owm_mine_session *session, size_t *bytes)
{
    *bytes = session->output_bytes;
    return session->output;
}

void owm_mine_session_taken(struct owm_mine_session *session, size_t bytes)
{
    session->output_bytes -= bytes;
    memmove(session->output, session->output + bytes, session->output_bytes);
}

bool owm_mine_session_wants_extended(const struct owm_mine_session *session)
{
    return session->wants_extended;
}

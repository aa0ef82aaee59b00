/* session_setup.c: from the pool's handshake to an open channel. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "session_internal.h"

#define VENDOR "OWM"

static struct owm_sv2_view text_view(const char *text)
{
    size_t bytes = text == NULL ? 0 : strnlen(text, OWM_SV2_STRING_BYTES_MAX);
    return owm_sv2_view_of(text, bytes);
}

static owm_status put_setup(struct owm_mine_session *session)
{
    struct owm_sv2_setup_connection setup = {
        .protocol = OWM_SV2_PROTOCOL_MINING,
        .min_version = OWM_SV2_VERSION,
        .max_version = OWM_SV2_VERSION,
        .flags = session->options.extended ? 0 : OWM_SV2_REQUIRES_STANDARD_JOBS,
        .endpoint_host = text_view(session->options.host),
        .endpoint_port = session->options.port,
        .vendor = text_view(VENDOR),
        .hardware_version = text_view(""),
        .firmware = text_view("owm-mine"),
        .device_id = text_view(session->options.device_id),
    };
    session_step(session, STEP_SETUP);
    return session_put(session, MESSAGE_KIND(setup_connection), &setup);
}

owm_status session_act2(struct owm_mine_session *session, const uint8_t act2[OWM_SV2_ACT2_BYTES],
                        struct owm_error *error)
{
    struct owm_sv2_expectation expect = {
        .authority = session->options.authority,
        .now_s = (uint64_t)owm_clock_wall_ms() / 1000,
    };
    owm_status status = owm_sv2_initiate_finish(
        &session->initiator, act2, &expect, &session->transport, session->handshake_hash, error);
    if (status != OWM_OK) return status;
    if (session->options.authority != NULL)
        memcpy(session->authority, session->options.authority, 32);
    return put_setup(session);
}

/* The node's key is proven over the authority that we checked; without one there is nothing to bind
 * the proof to, and the key goes as a name. */
static bool can_prove(const struct owm_mine_session *session)
{
    return session->options.identity != NULL && session->options.authority != NULL;
}

static owm_status ask_extension(struct owm_mine_session *session)
{
    static const uint8_t wanted[2] = {OWM_SV2_EXT_NODE_IDENTITY & 0xff,
                                      OWM_SV2_EXT_NODE_IDENTITY >> 8};
    struct owm_sv2_request_extensions request = {
        .request_id = 1,
        .extensions = {.data = wanted, .count = 1},
    };
    session_step(session, STEP_EXTENSIONS);
    return session_put(session, MESSAGE_KIND(request_extensions), &request);
}

static void write_identity(const struct owm_mine_session *session, char *text, size_t bytes)
{
    if (session->options.identity == NULL) {
        snprintf(text, bytes, "%s", session->options.user);
        return;
    }
    char key[65];
    owm_hex_encode(owm_identity_public_key(session->options.identity), 32, key);
    snprintf(text, bytes, "%s.%s", key, session->options.worker);
}

owm_status session_go_on(struct owm_mine_session *session)
{
    char identity[OWM_SV2_STRING_BYTES_MAX + 1];
    write_identity(session, identity, sizeof identity);
    struct owm_sv2_open_extended open = {
        .request_id = 1,
        .user_identity = text_view(identity),
        .nominal_hash_rate = (float)session->told_rate,
        .min_extranonce_size = 4,
    };
    memset(open.max_target.byte, 0xff, sizeof open.max_target.byte);
    session_step(session, STEP_OPENING);
    if (session->options.extended) return session_put(session, MESSAGE_KIND(open_extended), &open);
    struct owm_sv2_open_standard standard = {
        .request_id = open.request_id,
        .user_identity = open.user_identity,
        .nominal_hash_rate = open.nominal_hash_rate,
        .max_target = open.max_target,
    };
    return session_put(session, MESSAGE_KIND(open_standard), &standard);
}

static owm_status refuse(const char *what, struct owm_sv2_view code, struct owm_error *error)
{
    char text[OWM_MINE_CODE_BYTES];
    session_text(code, text);
    return owm_fail(error, OWM_E_UNSUPPORTED, "the pool refused %s: %s", what, text);
}

static owm_status malformed(const char *what, struct owm_error *error)
{
    return owm_fail(error, OWM_E_PROTO, "the pool's %s is malformed", what);
}

static owm_status on_setup(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                           struct owm_error *error)
{
    struct owm_sv2_setup_success success;
    struct owm_sv2_setup_error refusal;
    if (frame->type == OWM_SV2_TYPE_setup_error) {
        if (owm_sv2_read_setup_error(frame->payload, frame->bytes, &refusal) == 0)
            return malformed("refusal", error);
        session->wants_extended =
            !session->options.extended && (refusal.flags & OWM_SV2_REQUIRES_STANDARD_JOBS) != 0;
        return refuse("the connection", refusal.error_code, error);
    }
    if (frame->type != OWM_SV2_TYPE_setup_success) return OWM_OK;
    if (owm_sv2_read_setup_success(frame->payload, frame->bytes, &success) == 0)
        return malformed("answer to our set-up", error);
    session->fixed_version = (success.flags & OWM_SV2_REQUIRES_FIXED_VERSION) != 0;
    if ((success.flags & OWM_SV2_REQUIRES_EXTENDED_CHANNELS) != 0 && !session->options.extended) {
        session->wants_extended = true;
        return owm_fail(error, OWM_E_UNSUPPORTED, "the pool takes extended channels only");
    }
    return can_prove(session) ? ask_extension(session) : session_go_on(session);
}

static owm_status prove(struct owm_mine_session *session)
{
    struct owm_sv2_binding binding;
    struct owm_sv2_node_auth auth;
    memcpy(binding.handshake_hash, session->handshake_hash, 32);
    memcpy(binding.authority, session->authority, 32);
    owm_sv2_node_auth_sign(session->options.identity, &binding,
                           (uint64_t)owm_clock_wall_ms() / 1000, &auth);
    session_step(session, STEP_NODE_AUTH);
    return session_put(session, MESSAGE_KIND(node_auth), &auth);
}

static owm_status on_extensions(struct owm_mine_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_extensions_success success;
    if (frame->extension != OWM_SV2_EXT_NEGOTIATION) return OWM_OK;
    if (frame->type != OWM_SV2_TYPE_extensions_success) return session_go_on(session);
    if (owm_sv2_read_extensions_success(frame->payload, frame->bytes, &success) == 0)
        return session_go_on(session);
    for (uint32_t i = 0; i < success.supported.count; i++) {
        const uint8_t *at = success.supported.data + 2 * (size_t)i;
        if ((at[0] | at[1] << 8) == OWM_SV2_EXT_NODE_IDENTITY) return prove(session);
    }
    return session_go_on(session);
}

static owm_status on_node_auth(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                               struct owm_error *error)
{
    struct owm_sv2_node_auth_error refusal;
    if (frame->extension != OWM_SV2_EXT_NODE_IDENTITY) return OWM_OK;
    if (frame->type == OWM_SV2_TYPE_node_auth_error) {
        if (owm_sv2_read_node_auth_error(frame->payload, frame->bytes, &refusal) == 0)
            return malformed("word on our identity", error);
        return refuse("our identity", refusal.error_code, error);
    }
    session->proven = true;
    return session_go_on(session);
}

static owm_status opened(struct owm_mine_session *session, uint32_t channel_id, uint32_t group_id,
                         struct owm_sv2_view prefix, struct owm_error *error)
{
    if (prefix.count + session->rolled_bytes > OWM_SV2_EXTRANONCE_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "the pool's extranonce has over %d bytes",
                        OWM_SV2_EXTRANONCE_BYTES_MAX);
    session->channel_id = channel_id;
    session->group_id = group_id;
    session->prefix_bytes = prefix.count;
    memcpy(session->extranonce_prefix, prefix.data, prefix.count);
    session_step(session, STEP_MINING);
    session->events.on_open(session->events.ctx, channel_id, session->proven);
    return OWM_OK;
}

static owm_status on_opening(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                             struct owm_error *error)
{
    if (frame->type == OWM_SV2_TYPE_open_error) {
        struct owm_sv2_open_error refusal;
        if (owm_sv2_read_open_error(frame->payload, frame->bytes, &refusal) == 0)
            return malformed("refusal of a channel", error);
        return refuse("a channel", refusal.error_code, error);
    }
    if (frame->type == OWM_SV2_TYPE_open_standard_success && !session->options.extended) {
        struct owm_sv2_open_standard_success m;
        if (owm_sv2_read_open_standard_success(frame->payload, frame->bytes, &m) == 0)
            return malformed("channel", error);
        memcpy(session->target, m.target.byte, 32);
        return opened(session, m.channel_id, m.group_channel_id, m.extranonce_prefix, error);
    }
    if (frame->type == OWM_SV2_TYPE_open_extended_success && session->options.extended) {
        struct owm_sv2_open_extended_success m;
        if (owm_sv2_read_open_extended_success(frame->payload, frame->bytes, &m) == 0)
            return malformed("channel", error);
        memcpy(session->target, m.target.byte, 32);
        session->rolled_bytes = m.extranonce_size;
        return opened(session, m.channel_id, m.group_channel_id, m.extranonce_prefix, error);
    }
    return OWM_OK;
}

owm_status session_setup_frame(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                               struct owm_error *error)
{
    switch (session->step) {
    case STEP_SETUP:
        return on_setup(session, frame, error);
    case STEP_EXTENSIONS:
        return on_extensions(session, frame);
    case STEP_NODE_AUTH:
        return on_node_auth(session, frame, error);
    case STEP_OPENING:
        return on_opening(session, frame, error);
    default:
        return OWM_OK;
    }
}

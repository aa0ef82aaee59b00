/* session_setup.c: SetupConnection, extensions, and a node's proof of its identity. */
#include <string.h>

#include "hall_internal.h"

#define FLAGS_KNOWN    (OWM_SV2_REQUIRES_STANDARD_JOBS | OWM_SV2_REQUIRES_VERSION_ROLLING)
#define EXTENSIONS_MAX 64 /* In one request. */

static struct owm_sv2_view text(const char *string)
{
    return owm_sv2_view_of(string, strlen(string));
}

/** Why this SetupConnection is refused; NULL: it is not. All flags that we lack are named. */
static const char *setup_fault(const struct owm_sv2_setup_connection *setup, uint32_t *lacking)
{
    *lacking = 0;
    if (setup->protocol != OWM_SV2_PROTOCOL_MINING) return "unsupported-protocol";
    if (setup->min_version > OWM_SV2_VERSION || setup->max_version < OWM_SV2_VERSION)
        return "protocol-version-mismatch";
    *lacking = setup->flags & ~FLAGS_KNOWN;
    return *lacking ? "unsupported-feature-flags" : NULL;
}

void session_on_setup(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_setup_connection setup;
    uint32_t lacking;
    if (!SESSION_READ(frame, setup_connection, &setup)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    const char *fault = setup_fault(&setup, &lacking);
    if (fault) {
        SESSION_SEND(session, setup_error, .flags = lacking, .error_code = text(fault));
        owm_session_end(session, OWM_CLOSE_SETUP);
        return;
    }
    session->flags = setup.flags;
    session->state = SESSION_OPEN;
    session_deadline(session, session->hall->options.channel_ms);
    SESSION_SEND(session, setup_success, .used_version = OWM_SV2_VERSION, .flags = 0);
}

/** negotiation: what was asked for, split. */
struct negotiation {
    uint8_t supported[2 * EXTENSIONS_MAX], unsupported[2 * EXTENSIONS_MAX];
    uint32_t supported_count, unsupported_count;
    bool worker_names, node_identity;
};

static void put_u16(uint8_t *list, uint32_t *count, uint16_t value)
{
    list[2 * *count] = (uint8_t)value;
    list[2 * *count + 1] = (uint8_t)(value >> 8);
    ++*count;
}

static void negotiate(const struct owm_sv2_view *asked, struct negotiation *result)
{
    *result = (struct negotiation){0};
    for (uint32_t i = 0; i < asked->count; i++) {
        uint16_t extension = (uint16_t)(asked->data[2 * i] | asked->data[2 * i + 1] << 8);
        if (extension == OWM_SV2_EXT_WORKER)
            result->worker_names = true;
        else if (extension == OWM_SV2_EXT_NODE_IDENTITY)
            result->node_identity = true;
        else {
            put_u16(result->unsupported, &result->unsupported_count, extension);
            continue;
        }
        put_u16(result->supported, &result->supported_count, extension);
    }
}

static void refuse_extensions(struct owm_session *session, uint16_t request_id,
                              const struct negotiation *result, bool missing)
{
    const uint8_t required[2] = {OWM_SV2_EXT_NODE_IDENTITY & 0xff, OWM_SV2_EXT_NODE_IDENTITY >> 8};
    SESSION_SEND(session, extensions_error, .request_id = request_id,
                 .unsupported = {result->unsupported, result->unsupported_count},
                 .required = {required, missing});
    if (missing && session->missing_extension) owm_session_end(session, OWM_CLOSE_EXTENSION);
    session->missing_extension = missing;
}

/** Answered at once: a server that is silent sends a client into its timeouts. Must come before
 *  everything else; after an error the client may ask once more. */
void session_on_extensions(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_request_extensions request;
    struct negotiation result;
    if (session->negotiated || session->had_channel) {
        owm_session_end(session, OWM_CLOSE_UNEXPECTED);
        return;
    }
    if (!SESSION_READ(frame, request_extensions, &request)
        || request.extensions.count > EXTENSIONS_MAX) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    negotiate(&request.extensions, &result);
    bool missing = session->hall->options.require_node && !result.node_identity;
    if (missing || !result.supported_count) {
        refuse_extensions(session, request.request_id, &result, missing);
        session->negotiated = !missing;
        return;
    }
    session->negotiated = true;
    session->worker_names = result.worker_names;
    session->node_identity = result.node_identity;
    SESSION_SEND(session, extensions_success, .request_id = request.request_id,
                 .supported = {result.supported, result.supported_count});
}

static const char *auth_fault(owm_status status)
{
    return status == OWM_E_TIMEOUT ? "clock-skew" : "invalid-signature";
}

/** One try: an Ed25519 check costs more than all else here. */
void session_on_node_auth(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_hall *hall = session->hall;
    struct owm_sv2_node_auth auth;
    struct owm_sv2_binding binding;
    if (session->node_proven || session->had_channel) {
        owm_session_end(session, OWM_CLOSE_UNEXPECTED);
        return;
    }
    if (!SESSION_READ(frame, node_auth, &auth)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    memcpy(binding.handshake_hash, session->handshake_hash, sizeof binding.handshake_hash);
    memcpy(binding.authority, hall->options.authority, sizeof binding.authority);
    uint64_t now_s = (uint64_t)(hall->now.wall_ms / 1000);
    owm_status status = owm_sv2_node_auth_check(&auth, &binding, now_s);
    if (status != OWM_OK) {
        SESSION_SEND(session, node_auth_error, .error_code = text(auth_fault(status)));
        owm_session_end(session, OWM_CLOSE_IDENTITY);
        return;
    }
    session->node_proven = true;
    memcpy(session->node_key, auth.public_key.byte, sizeof session->node_key);
    owm_count(&hall->stats.node_auths, 1);
    SESSION_SEND(session, node_auth_success, .time_s = now_s);
}

/* session_open.c: opening channels: who mines, how much extranonce, and the first target. */
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/target.h"
#include "hall_internal.h"

/** opening: what both kinds of channel ask for. */
struct opening {
    uint32_t request_id;
    struct owm_sv2_view identity;
    float rate;
    const uint8_t *max_target;
    bool extended;
    enum owm_coinbase_form form;
};

static void refuse(struct owm_session *session, uint32_t request_id, const char *code)
{
    owm_count(&session->hall->stats.channels_refused, 1);
    SESSION_SEND(session, open_error, .request_id = request_id,
                 .error_code = owm_sv2_view_of(code, strlen(code)));
}

/** "miner.worker"; from a node, whose miner is its key, "anything.worker" or "worker". */
static bool identify(const struct owm_session *session, const struct owm_sv2_view *identity,
                     struct owm_miner *miner, struct owm_worker *worker)
{
    char whole[OWM_SV2_STRING_BYTES_MAX + 1], key[2 * 32 + 1];
    if (memchr(identity->data, 0, identity->count)) return false;
    memcpy(whole, identity->data, identity->count);
    whole[identity->count] = 0;
    char *dot = strchr(whole, '.');
    if (session->node_proven) {
        owm_hex_encode(session->node_key, sizeof session->node_key, key);
        return owm_miner_of(OWM_MINER_NODE, key, miner)
               && owm_worker_of(dot ? dot + 1 : whole, worker);
    }
    if (dot) *dot = 0;
    return owm_miner_of(OWM_MINER_NAMED, whole, miner) && owm_worker_of(dot ? dot + 1 : "", worker);
}

/** The name of the fault, NULL: none. */
static const char *fault_of(const struct owm_session *session, const struct opening *opening)
{
    const struct owm_hall *hall = session->hall;
    static const uint8_t zero[32];
    if (hall->options.require_node && !session->node_proven) return "unknown-user";
    if (!owm_vardiff_rate_valid(opening->rate)) return "invalid-nominal-hashrate";
    if (memcmp(opening->max_target, zero, sizeof zero) == 0) return "max-target-out-of-range";
    bool too_hard = owm_target_hashes_u64(opening->max_target) > channel_hardest(hall);
    return too_hard ? "max-target-out-of-range" : NULL;
}

/** A miner that says nothing of its hashrate is taken for what it was lately, if it was here. */
static float rate_of(const struct owm_channel *channel, const struct opening *opening)
{
    struct owm_hall *hall = channel->session->hall;
    const struct owm_worker_entry *entry = owm_workers_at(hall->workers, channel->worker);
    if (opening->rate > 0) return opening->rate;
    return (float)owm_rate_get(&entry->rate, OWM_RATE_1H, hall->now_ms);
}

static void start(struct owm_channel *channel, const struct opening *opening)
{
    struct owm_hall *hall = channel->session->hall;
    channel->extended = opening->extended;
    channel->form = opening->form;
    channel->session->members[opening->form]++;
    memcpy(channel->max_target, opening->max_target, sizeof channel->max_target);
    channel->easiest = owm_target_hashes_u64(opening->max_target);
    struct owm_vardiff_limits limits = channel_limits(channel);
    owm_vardiff_start(&channel->vardiff, &hall->options.vardiff, &limits, rate_of(channel, opening),
                      hall->now_ms);
    channel_set_target(channel);
}

/** All members of a group have a whole extranonce of one length: a standard channel's prefix
 * alone. */
static void welcome(struct owm_channel *channel, uint32_t request_id)
{
    struct owm_session *session = channel->session;
    uint8_t prefix[OWM_EXTRANONCE_BYTES_MAX];
    owm_sv2_u256 target;
    memcpy(target.byte, channel->snapshot[0].target, sizeof target.byte);
    channel_extranonce(channel, NULL, prefix);
    if (!channel->extended) {
        SESSION_SEND(session, open_standard_success, .request_id = request_id,
                     .channel_id = channel->id, .target = target,
                     .extranonce_prefix = {prefix, OWM_EXTRANONCE_SHORT_BYTES},
                     .group_channel_id = group_id(session, channel->form));
        return;
    }
    uint16_t rolled = channel->form == OWM_COINBASE_SHORT ? OWM_EXTRANONCE_SHORT_BYTES
                                                          : OWM_EXTRANONCE_LONG_BYTES;
    SESSION_SEND(session, open_extended_success, .request_id = request_id,
                 .channel_id = channel->id, .target = target,
                 .extranonce_size = (uint16_t)(rolled - OWM_EXTRANONCE_PREFIX_BYTES),
                 .extranonce_prefix = {prefix, OWM_EXTRANONCE_PREFIX_BYTES},
                 .group_channel_id = group_id(session, channel->form));
}

static void open_channel(struct owm_session *session, const struct opening *opening)
{
    struct owm_hall *hall = session->hall;
    struct owm_miner miner;
    struct owm_worker worker;
    const char *fault = fault_of(session, opening);
    if (!fault && !identify(session, &opening->identity, &miner, &worker))
        fault = "invalid-user-identity";
    if (fault) {
        refuse(session, opening->request_id, fault);
        return;
    }
    fanout_session(session); /* So that a new channel's first job is the session's newest. */
    struct owm_channel *channel = channel_take(session, &miner, &worker);
    if (!channel) {
        refuse(session, opening->request_id, "channel-capacity-exhausted");
        return;
    }
    owm_level(&hall->stats.workers, owm_workers_count(hall->workers));
    owm_count(&hall->stats.channels_opened, 1);
    session->had_channel = true;
    session->last_share_ms = hall->now_ms;
    start(channel, opening);
    welcome(channel, opening->request_id);
    fanout_channel(channel);
    if (session->state == SESSION_OPEN) session_deadline(session, hall->options.idle_ms);
}

void session_on_open_standard(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_open_standard open;
    if (!SESSION_READ(frame, open_standard, &open)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    open_channel(session, &(struct opening){
                              .request_id = open.request_id,
                              .identity = open.user_identity,
                              .rate = open.nominal_hash_rate,
                              .max_target = open.max_target.byte,
                              .form = OWM_COINBASE_SHORT,
                          });
}

void session_on_open_extended(struct owm_session *session, const struct owm_sv2_frame *frame)
{
    struct owm_sv2_open_extended open;
    if (!SESSION_READ(frame, open_extended, &open)) {
        owm_session_end(session, OWM_CLOSE_MALFORMED);
        return;
    }
    uint32_t size = open.min_extranonce_size;
    if (session->flags & OWM_SV2_REQUIRES_STANDARD_JOBS) {
        refuse(session, open.request_id, "extended-channels-not-supported-for-standard-jobs");
        return;
    }
    if (size > OWM_EXTRANONCE_LONG_BYTES - OWM_EXTRANONCE_PREFIX_BYTES) {
        refuse(session, open.request_id, "min-extranonce-size-too-large");
        return;
    }
    bool is_short = size <= OWM_EXTRANONCE_SHORT_BYTES - OWM_EXTRANONCE_PREFIX_BYTES;
    open_channel(session, &(struct opening){
                              .request_id = open.request_id,
                              .identity = open.user_identity,
                              .rate = open.nominal_hash_rate,
                              .max_target = open.max_target.byte,
                              .extended = true,
                              .form = is_short ? OWM_COINBASE_SHORT : OWM_COINBASE_LONG,
                          });
}

/* session_jobs.c: what a channel is told to mine, and what becomes of its shares.
 *
 * Rules of the specification that are easy to get wrong (section 5.3):
 * 1. A job without min_ntime is for later: it counts from the SetNewPrevHash that names it.
 * 2. SetNewPrevHash makes every other job worthless.
 * 3. SetTarget is for jobs that begin later, not for the one being mined.
 * 4. Messages may name our channel or its group.
 */
#include <string.h>

#include "dataplane/chain/target.h"
#include "session_internal.h"

void session_drop_jobs(struct owm_mine_session *session)
{
    for (uint32_t i = 0; i < OWM_MINE_JOBS_MAX; i++) {
        owm_mine_work_release(session->future[i]);
        session->future[i] = NULL;
    }
}

static bool is_ours(const struct owm_mine_session *session, uint32_t channel_id)
{
    return channel_id == session->channel_id
           || (session->group_id != 0 && channel_id == session->group_id);
}

/* `work` becomes what is mined. Takes: work. */
static void begin(struct owm_mine_session *session, struct owm_mine_work *work)
{
    work->connection = session->options.connection;
    work->generation = ++session->generation;
    work->tip = session->tip_count;
    work->received_ms = session->tip_ms;
    work->bits = session->tip.nbits;
    memcpy(work->previous, session->tip.prev_hash.byte, 32);
    memcpy(work->target, session->target, 32);
    if (!owm_target_from_compact(work->bits, work->network_target))
        memset(work->network_target, 0, 32);
    session->events.on_work(session->events.ctx, work);
}

/* A job has come: for later, or for now. Takes: work. */
static void add_job(struct owm_mine_session *session, struct owm_mine_work *work,
                    struct owm_sv2_option min_ntime)
{
    if (min_ntime.present && session->has_tip) {
        work->min_time_s = min_ntime.value;
        session->tip_ms = session->now_ms;
        begin(session, work);
        return;
    }
    uint32_t slot = session->future_next++ % OWM_MINE_JOBS_MAX;
    owm_mine_work_release(session->future[slot]);
    session->future[slot] = work;
}

static struct owm_mine_work *new_work(const struct owm_mine_session *session, uint32_t job_id,
                                      uint32_t version, bool may_roll)
{
    struct owm_mine_work *work = owm_mine_work_new();
    if (work == NULL) return NULL;
    work->job_id = job_id;
    work->version = version;
    work->version_mask = may_roll && !session->fixed_version ? OWM_SV2_VERSION_MASK : 0;
    return work;
}

static owm_status on_job(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                         struct owm_error *error)
{
    struct owm_sv2_new_job job;
    if (owm_sv2_read_new_job(frame->payload, frame->bytes, &job) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's job is malformed");
    if (session->options.extended || !is_ours(session, job.channel_id)) return OWM_OK;
    struct owm_mine_work *work = new_work(session, job.job_id, job.version, true);
    if (work == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for a job");
    memcpy(work->root, job.merkle_root.byte, 32);
    add_job(session, work, job.min_ntime);
    return OWM_OK;
}

static bool fill_extended(const struct owm_mine_session *session,
                          const struct owm_sv2_new_extended_job *job,
                          struct owm_mine_extended *extended)
{
    uint32_t extranonce = session->prefix_bytes + session->rolled_bytes;
    uint32_t bytes = job->coinbase_prefix.count + extranonce + job->coinbase_suffix.count;
    if (bytes > OWM_MINE_COINBASE_BYTES_MAX || job->merkle_path.count > OWM_MINE_BRANCHES_MAX)
        return false;
    uint8_t *at = extended->coinbase;
    memcpy(at, job->coinbase_prefix.data, job->coinbase_prefix.count);
    at += job->coinbase_prefix.count;
    memcpy(at, session->extranonce_prefix, session->prefix_bytes);
    memset(at + session->prefix_bytes, 0, session->rolled_bytes);
    extended->rolled_at = job->coinbase_prefix.count + session->prefix_bytes;
    extended->rolled_bytes = session->rolled_bytes;
    memcpy(at + extranonce, job->coinbase_suffix.data, job->coinbase_suffix.count);
    extended->coinbase_bytes = bytes;
    extended->branches = job->merkle_path.count;
    if (extended->branches > 0)
        memcpy(extended->branch, job->merkle_path.data, 32 * (size_t)extended->branches);
    return true;
}

static owm_status on_extended_job(struct owm_mine_session *session,
                                  const struct owm_sv2_frame *frame, struct owm_error *error)
{
    struct owm_sv2_new_extended_job job;
    if (owm_sv2_read_new_extended_job(frame->payload, frame->bytes, &job) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's job is malformed");
    if (!session->options.extended || !is_ours(session, job.channel_id)) return OWM_OK;
    struct owm_mine_work *work =
        new_work(session, job.job_id, job.version, job.version_rolling_allowed);
    if (work == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for a job");
    work->is_extended = true;
    if (!fill_extended(session, &job, &work->extended)) {
        owm_mine_work_release(work);
        return owm_fail(error, OWM_E_LIMIT, "the pool's coinbase or merkle path is too long");
    }
    add_job(session, work, job.min_ntime);
    return OWM_OK;
}

static owm_status on_prev_hash(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                               struct owm_error *error)
{
    struct owm_sv2_set_prev_hash tip;
    if (owm_sv2_read_set_prev_hash(frame->payload, frame->bytes, &tip) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's new tip is malformed");
    if (!is_ours(session, tip.channel_id)) return OWM_OK;
    struct owm_mine_work *work = NULL;
    for (uint32_t i = 0; i < OWM_MINE_JOBS_MAX; i++) {
        struct owm_mine_work *job = session->future[i];
        if (job != NULL && job->job_id == tip.job_id) {
            owm_mine_work_release(work); /* A pool that gave one id twice. */
            work = job;
            session->future[i] = NULL;
        }
    }
    session_drop_jobs(session);
    session->tip = tip;
    session->has_tip = true;
    session->tip_ms = session->now_ms;
    session->tip_count++;
    if (work == NULL)
        return owm_fail(error, OWM_E_PROTO, "the pool's new tip names job %u, which never came",
                        tip.job_id);
    work->min_time_s = tip.min_ntime;
    begin(session, work);
    return OWM_OK;
}

static double latency(const struct owm_mine_session *session, uint32_t sequence)
{
    const struct submit_time *submit = &session->submits[sequence % SUBMITS_KEPT];
    return submit->sequence == sequence ? (double)(session->now_ms - submit->at_ms) : 0;
}

static owm_status on_success(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                             struct owm_error *error)
{
    struct owm_sv2_submit_success m;
    if (owm_sv2_read_submit_success(frame->payload, frame->bytes, &m) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's acknowledgement is malformed");
    session->events.on_accepted(session->events.ctx, m.new_submits_accepted_count, m.new_shares_sum,
                                latency(session, m.last_sequence_number));
    return OWM_OK;
}

static owm_status on_error(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                           struct owm_error *error)
{
    struct owm_sv2_submit_error m;
    if (owm_sv2_read_submit_error(frame->payload, frame->bytes, &m) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's refusal of a share is malformed");
    char code[OWM_MINE_CODE_BYTES];
    session_text(m.error_code, code);
    session->events.on_rejected(session->events.ctx, m.sequence_number, code);
    return OWM_OK;
}

static owm_status on_target(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                            struct owm_error *error)
{
    struct owm_sv2_set_target m;
    if (owm_sv2_read_set_target(frame->payload, frame->bytes, &m) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's target is malformed");
    if (is_ours(session, m.channel_id)) memcpy(session->target, m.maximum_target.byte, 32);
    return OWM_OK;
}

static owm_status on_prefix(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                            struct owm_error *error)
{
    struct owm_sv2_set_extranonce m;
    if (owm_sv2_read_set_extranonce(frame->payload, frame->bytes, &m) == 0
        || m.extranonce_prefix.count + session->rolled_bytes > OWM_SV2_EXTRANONCE_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "the pool's extranonce is malformed");
    if (m.channel_id != session->channel_id) return OWM_OK;
    session->prefix_bytes = m.extranonce_prefix.count;
    memcpy(session->extranonce_prefix, m.extranonce_prefix.data, session->prefix_bytes);
    return OWM_OK;
}

static owm_status on_close(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                           struct owm_error *error)
{
    struct owm_sv2_close_channel m;
    if (owm_sv2_read_close_channel(frame->payload, frame->bytes, &m) == 0
        || !is_ours(session, m.channel_id))
        return OWM_OK;
    char code[OWM_MINE_CODE_BYTES];
    session_text(m.reason_code, code);
    return owm_fail(error, OWM_E_CANCELLED, "the pool closed our channel: %s", code);
}

static owm_status on_reconnect(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                               struct owm_error *error)
{
    struct owm_sv2_reconnect m;
    if (owm_sv2_read_reconnect(frame->payload, frame->bytes, &m) == 0)
        return owm_fail(error, OWM_E_PROTO, "the pool's request to reconnect is malformed");
    for (uint32_t i = 0; i < m.new_host.count; i++)
        if (m.new_host.data[i] <= ' ' || m.new_host.data[i] >= 0x7f)
            return owm_fail(error, OWM_E_PROTO, "the pool asks to reconnect to what is no host");
    char host[OWM_SV2_STRING_BYTES_MAX + 1];
    memcpy(host, m.new_host.data, m.new_host.count);
    host[m.new_host.count] = '\0';
    session->events.on_reconnect(session->events.ctx, host, m.new_port);
    return owm_fail(error, OWM_E_CANCELLED, "the pool asks to reconnect");
}

owm_status session_mining_frame(struct owm_mine_session *session, const struct owm_sv2_frame *frame,
                                struct owm_error *error)
{
    if ((frame->extension & ~OWM_SV2_CHANNEL_BIT) != OWM_SV2_EXT_CORE) return OWM_OK;
    switch (frame->type) {
    case OWM_SV2_TYPE_new_job:
        return on_job(session, frame, error);
    case OWM_SV2_TYPE_new_extended_job:
        return on_extended_job(session, frame, error);
    case OWM_SV2_TYPE_set_prev_hash:
        return on_prev_hash(session, frame, error);
    case OWM_SV2_TYPE_set_target:
        return on_target(session, frame, error);
    case OWM_SV2_TYPE_submit_success:
        return on_success(session, frame, error);
    case OWM_SV2_TYPE_submit_error:
        return on_error(session, frame, error);
    case OWM_SV2_TYPE_set_extranonce:
        return on_prefix(session, frame, error);
    case OWM_SV2_TYPE_close_channel:
        return on_close(session, frame, error);
    case OWM_SV2_TYPE_reconnect:
        return on_reconnect(session, frame, error);
    default:
        return OWM_OK; /* What we do not know is not for us. */
    }
}

static owm_status put_share(struct owm_mine_session *session, const struct owm_mine_share *share)
{
    uint8_t extranonce[OWM_SV2_EXTRANONCE_BYTES_MAX] = {0};
    uint32_t rolled = session->rolled_bytes;
    for (uint32_t i = 0; i < rolled && i < 8; i++)
        extranonce[rolled - 1 - i] = (uint8_t)(share->extranonce >> (8 * i));
    struct owm_sv2_submit_extended m = {
        .channel_id = session->channel_id,
        .sequence_number = session->sequence,
        .job_id = share->work->job_id,
        .nonce = share->nonce,
        .ntime = share->time_s,
        .version = share->version,
        .extranonce = owm_sv2_view_of(extranonce, rolled),
    };
    if (session->options.extended) return session_put(session, MESSAGE_KIND(submit_extended), &m);
    struct owm_sv2_submit_standard standard = {
        .channel_id = m.channel_id,
        .sequence_number = m.sequence_number,
        .job_id = m.job_id,
        .nonce = m.nonce,
        .ntime = m.ntime,
        .version = m.version,
    };
    return session_put(session, MESSAGE_KIND(submit_standard), &standard);
}

owm_status owm_mine_session_submit(struct owm_mine_session *session,
                                   const struct owm_mine_share *share, int64_t now_ms,
                                   uint32_t *sequence)
{
    session->now_ms = now_ms;
    if (session->step != STEP_MINING || share->work->connection != session->options.connection)
        return OWM_E_STATE;
    if (share->work->tip != session->tip_count && !share->block) return OWM_E_STATE;
    owm_status status = put_share(session, share);
    if (status != OWM_OK) return status;
    *sequence = session->sequence;
    session->submits[session->sequence % SUBMITS_KEPT] =
        (struct submit_time){.sequence = session->sequence, .at_ms = now_ms};
    session->sequence++;
    return OWM_OK;
}

void owm_mine_session_rate(struct owm_mine_session *session, double rate)
{
    double change = rate - session->told_rate;
    if (session->step != STEP_MINING || (change < 0 ? -change : change) * 4 < session->told_rate)
        return;
    struct owm_sv2_update_channel update = {
        .channel_id = session->channel_id,
        .nominal_hash_rate = (float)rate,
    };
    memset(update.maximum_target.byte, 0xff, sizeof update.maximum_target.byte);
    if (session_put(session, MESSAGE_KIND(update_channel), &update) == OWM_OK)
        session->told_rate = rate;
}

double owm_mine_session_difficulty(const struct owm_mine_session *session)
{
    return session->step == STEP_MINING ? owm_target_difficulty(session->target) : 0;
}

/* sv2client_frame.c: what the test miner hears. */
#include <string.h>

#include "sv2client.h"

/** READ(name): read a message into m or count it as malformed and return. */
#define READ(name)                                                                                 \
    struct owm_sv2_##name m;                                                                       \
    if (!frame->bytes || owm_sv2_read_##name(frame->payload, frame->bytes, &m) != frame->bytes) {  \
        client->malformed++;                                                                       \
        return;                                                                                    \
    }

static void keep_code(char code[SV2CLIENT_CODE_BYTES], struct owm_sv2_view view)
{
    size_t bytes = view.count < SV2CLIENT_CODE_BYTES - 1 ? view.count : SV2CLIENT_CODE_BYTES - 1;
    memcpy(code, view.data, bytes);
    code[bytes] = 0;
}

static struct sv2client_channel *by_request(struct sv2client *client, uint32_t request_id)
{
    for (uint32_t i = 0; i < client->channels; i++)
        if (client->channel[i].request_id == request_id) return &client->channel[i];
    return NULL;
}

/** The next channel of this id or in this group, behind `after` (NULL: from the first). */
static struct sv2client_channel *next_of(struct sv2client *client, uint32_t id,
                                         struct sv2client_channel *after)
{
    for (uint32_t i = after ? (uint32_t)(after - client->channel) + 1 : 0; i < client->channels;
         i++) {
        struct sv2client_channel *channel = &client->channel[i];
        if (channel->id && (channel->id == id || (channel->group && channel->group == id)))
            return channel;
    }
    return NULL;
}

static void on_setup_success(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(setup_success);
    client->set_up = m.used_version == OWM_SV2_VERSION;
}

static void on_setup_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(setup_error);
    client->setup_refused = true;
    client->refused_flags = m.flags;
    keep_code(client->code, m.error_code);
}

static void keep_extensions(struct sv2client *client, struct owm_sv2_view list)
{
    client->extensions = list.count < 8 ? list.count : 8;
    for (uint32_t i = 0; i < client->extensions; i++)
        client->extension[i] = (uint16_t)(list.data[2 * i] | list.data[2 * i + 1] << 8);
}

static void on_extensions_success(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(extensions_success);
    client->extensions_answered = true;
    keep_extensions(client, m.supported);
}

static void on_extensions_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(extensions_error);
    client->extensions_answered = client->extensions_refused = true;
    keep_extensions(client, m.required);
}

static void on_open_standard_success(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(open_standard_success);
    struct sv2client_channel *channel = by_request(client, m.request_id);
    if (!channel) return;
    channel->id = m.channel_id;
    channel->group = m.group_channel_id;
    memcpy(channel->target, m.target.byte, 32);
    memcpy(channel->prefix, m.extranonce_prefix.data, m.extranonce_prefix.count);
    channel->prefix_bytes = m.extranonce_prefix.count;
}

static void on_open_extended_success(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(open_extended_success);
    struct sv2client_channel *channel = by_request(client, m.request_id);
    if (!channel) return;
    channel->id = m.channel_id;
    channel->group = m.group_channel_id;
    channel->rolled_bytes = m.extranonce_size;
    memcpy(channel->target, m.target.byte, 32);
    memcpy(channel->prefix, m.extranonce_prefix.data, m.extranonce_prefix.count);
    channel->prefix_bytes = m.extranonce_prefix.count;
}

static void on_open_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(open_error);
    struct sv2client_channel *channel = by_request(client, m.request_id);
    keep_code(client->code, m.error_code);
    if (channel) channel->request_id = 0;
}

/** A job with min_ntime is mined at once, on the tip that is known; one without waits for it. */
static struct sv2client_job *place(struct sv2client_channel *channel, bool future, uint32_t ntime)
{
    channel->jobs++;
    if (future) return &channel->future;
    channel->job.ntime = ntime;
    return &channel->job;
}

static void on_new_job(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(new_job);
    struct sv2client_channel *channel = next_of(client, m.channel_id, NULL);
    if (!channel || channel->extended) return;
    struct sv2client_job *job = place(channel, !m.min_ntime.present, m.min_ntime.value);
    job->id = m.job_id;
    job->version = m.version;
    job->standard = true;
    memcpy(job->root, m.merkle_root.byte, 32);
}

static void on_new_extended_job(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(new_extended_job);
    struct sv2client_channel *channel = NULL;
    if (m.coinbase_prefix.count > OWM_COINBASE_PART_BYTES_MAX
        || m.coinbase_suffix.count > OWM_COINBASE_PART_BYTES_MAX
        || m.merkle_path.count > OWM_TEMPLATE_BRANCHES_MAX) {
        client->malformed++;
        return;
    }
    while ((channel = next_of(client, m.channel_id, channel))) {
        struct sv2client_job *job = place(channel, !m.min_ntime.present, m.min_ntime.value);
        job->id = m.job_id;
        job->version = m.version;
        job->standard = false;
        job->branches = m.merkle_path.count;
        job->prefix_bytes = m.coinbase_prefix.count;
        job->suffix_bytes = m.coinbase_suffix.count;
        if (job->branches) memcpy(job->path, m.merkle_path.data, (size_t)job->branches * 32);
        memcpy(job->prefix, m.coinbase_prefix.data, job->prefix_bytes);
        memcpy(job->suffix, m.coinbase_suffix.data, job->suffix_bytes);
    }
}

static void on_set_prev_hash(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(set_prev_hash);
    struct sv2client_channel *channel = NULL;
    while ((channel = next_of(client, m.channel_id, channel))) {
        if (channel->future.id != m.job_id) {
            client->malformed++; /* Only a future job may be named. */
            continue;
        }
        channel->job = channel->future;
        channel->future.id = 0;
        channel->job.ntime = m.min_ntime;
        channel->job.nbits = m.nbits;
        memcpy(channel->job.previous, m.prev_hash.byte, 32);
    }
}

static void on_set_target(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(set_target);
    struct sv2client_channel *channel = next_of(client, m.channel_id, NULL);
    if (!channel) return;
    channel->targets++;
    memcpy(channel->target, m.maximum_target.byte, 32);
}

static void on_submit_success(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(submit_success);
    struct sv2client_channel *channel = next_of(client, m.channel_id, NULL);
    if (!channel) return;
    channel->successes++;
    channel->accepted += m.new_submits_accepted_count;
    channel->accepted_difficulty += m.new_shares_sum;
    channel->last_sequence = m.last_sequence_number;
}

static void on_submit_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(submit_error);
    struct sv2client_channel *channel = next_of(client, m.channel_id, NULL);
    keep_code(channel ? channel->code : client->code, m.error_code);
    if (channel) channel->rejected++;
}

static void on_update_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(update_error);
    keep_code(client->code, m.error_code);
}

static void on_custom_job_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(custom_job_error);
    keep_code(client->code, m.error_code);
}

static void on_reconnect(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(reconnect);
    client->told_to_go = true;
    client->new_port = m.new_port;
    keep_code(client->new_host, m.new_host);
}

static void on_node_auth_success(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(node_auth_success);
    client->node_proven = true;
}

static void on_node_auth_error(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    READ(node_auth_error);
    client->node_refused = true;
    keep_code(client->code, m.error_code);
}

#define HEARD(H)                                                                                   \
    H(setup_success)                                                                               \
    H(setup_error)                                                                                 \
    H(extensions_success)                                                                          \
    H(extensions_error)                                                                            \
    H(open_standard_success)                                                                       \
    H(open_extended_success)                                                                       \
    H(open_error)                                                                                  \
    H(new_job)                                                                                     \
    H(new_extended_job)                                                                            \
    H(set_prev_hash)                                                                               \
    H(set_target)                                                                                  \
    H(submit_success)                                                                              \
    H(submit_error)                                                                                \
    H(update_error)                                                                                \
    H(custom_job_error)                                                                            \
    H(reconnect)                                                                                   \
    H(node_auth_success)                                                                           \
    H(node_auth_error)

void sv2client_frame(struct sv2client *client, const struct owm_sv2_frame *frame)
{
    static const struct {
        uint16_t extension;
        uint8_t type;
        void (*hear)(struct sv2client *client, const struct owm_sv2_frame *frame);
    } heard[] = {
#define H(name) {(uint16_t)OWM_SV2_FRAME_EXT_##name, OWM_SV2_TYPE_##name, on_##name},
        HEARD(H)
#undef H
    };
    client->frames++;
    for (size_t i = 0; i < sizeof heard / sizeof heard[0]; i++)
        if (heard[i].extension == frame->extension && heard[i].type == frame->type) {
            heard[i].hear(client, frame);
            return;
        }
    client->malformed++;
}

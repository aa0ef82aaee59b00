/* sv2client.c: what the test miner says, and how it mines. */
#include "sv2client.h"

#include <string.h>

#include "base/sha256.h"
#include "base/status.h"

#define OUT_BYTES_MAX 2048

/** SEND(client, name, .field = …): one message. */
#define SEND(client_, name, ...)                                                                   \
    do {                                                                                           \
        const struct owm_sv2_##name message_ = {__VA_ARGS__};                                      \
        uint8_t out_[OUT_BYTES_MAX];                                                               \
        size_t bytes_ = owm_sv2_write_##name(out_, sizeof out_, &message_);                        \
        OWM_ASSERT(bytes_ > 0);                                                                    \
        (client_)->send((client_)->ctx, (uint16_t)OWM_SV2_FRAME_EXT_##name, OWM_SV2_TYPE_##name,   \
                        out_, (uint32_t)bytes_);                                                   \
    } while (0)

static struct owm_sv2_view text(const char *string)
{
    return owm_sv2_view_of(string, strlen(string));
}

void sv2client_setup(struct sv2client *client, uint32_t flags)
{
    SEND(client, setup_connection, .protocol = OWM_SV2_PROTOCOL_MINING, .min_version = 2,
         .max_version = 2, .flags = flags, .endpoint_host = text("127.0.0.1"),
         .endpoint_port = 3333, .vendor = text("owm-test"), .hardware_version = text("1"),
         .firmware = text("1"), .device_id = text("test miner"));
}

void sv2client_request_extensions(struct sv2client *client, const uint16_t *extension,
                                  uint32_t count)
{
    uint8_t list[2 * 64];
    OWM_ASSERT(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        list[2 * i] = (uint8_t)extension[i];
        list[2 * i + 1] = (uint8_t)(extension[i] >> 8);
    }
    SEND(client, request_extensions, .request_id = 7, .extensions = {list, count});
}

static owm_sv2_u256 u256(const uint8_t *bytes)
{
    owm_sv2_u256 value;
    if (bytes)
        memcpy(value.byte, bytes, sizeof value.byte);
    else
        memset(value.byte, 0xff, sizeof value.byte);
    return value;
}

struct sv2client_channel *sv2client_open(struct sv2client *client,
                                         const struct sv2client_opening *opening)
{
    struct sv2client_channel *channel = NULL;
    for (uint32_t i = 0; i < client->channels && !channel; i++)
        if (!client->channel[i].request_id) channel = &client->channel[i];
    if (!channel) return NULL;
    memset(channel, 0, sizeof *channel);
    channel->request_id = ++client->next_request;
    channel->extended = opening->extended;
    if (opening->extended)
        SEND(client, open_extended, .request_id = channel->request_id,
             .user_identity = text(opening->identity), .nominal_hash_rate = opening->rate,
             .max_target = u256(opening->max_target),
             .min_extranonce_size = opening->min_extranonce);
    else
        SEND(client, open_standard, .request_id = channel->request_id,
             .user_identity = text(opening->identity), .nominal_hash_rate = opening->rate,
             .max_target = u256(opening->max_target));
    return channel;
}

static void submit_extended(struct sv2client *client, const struct sv2client_channel *channel,
                            const struct sv2client_share *share)
{
    uint8_t out[256];
    struct owm_sv2_submit_extended message = {
        .channel_id = channel->id,
        .sequence_number = channel->sequence,
        .job_id = share->job_id,
        .nonce = share->nonce,
        .ntime = share->ntime,
        .version = share->version,
        .extranonce = {share->rolled, channel->rolled_bytes},
    };
    size_t bytes = owm_sv2_write_submit_extended(out, sizeof out, &message);
    if (share->worker)
        bytes += owm_sv2_write_worker_name(out + bytes, sizeof out - bytes, text(share->worker));
    client->send(client->ctx, (uint16_t)OWM_SV2_FRAME_EXT_submit_extended,
                 OWM_SV2_TYPE_submit_extended, out, (uint32_t)bytes);
}

uint32_t sv2client_submit(struct sv2client *client, struct sv2client_channel *channel,
                          const struct sv2client_share *share)
{
    if (channel->extended)
        submit_extended(client, channel, share);
    else
        SEND(client, submit_standard, .channel_id = channel->id,
             .sequence_number = channel->sequence, .job_id = share->job_id, .nonce = share->nonce,
             .ntime = share->ntime, .version = share->version);
    return channel->sequence++;
}

void sv2client_update(struct sv2client *client, uint32_t channel_id, float rate,
                      const uint8_t *max_target)
{
    SEND(client, update_channel, .channel_id = channel_id, .nominal_hash_rate = rate,
         .maximum_target = u256(max_target));
}

void sv2client_close_channel(struct sv2client *client, uint32_t channel_id)
{
    SEND(client, close_channel, .channel_id = channel_id, .reason_code = text("done"));
}

void sv2client_share_start(const struct sv2client_channel *channel, struct sv2client_share *share)
{
    *share = (struct sv2client_share){
        .job_id = channel->job.id,
        .ntime = channel->job.ntime,
        .version = channel->job.version,
    };
}

static void root_of(const struct sv2client_channel *channel, const struct sv2client_share *share,
                    uint8_t root[32])
{
    const struct sv2client_job *job = &channel->job;
    struct owm_sha256_ctx sha;
    owm_sha256_init(&sha);
    owm_sha256_update(&sha, job->prefix, job->prefix_bytes);
    owm_sha256_update(&sha, channel->prefix, channel->prefix_bytes);
    owm_sha256_update(&sha, share->rolled, channel->rolled_bytes);
    owm_sha256_update(&sha, job->suffix, job->suffix_bytes);
    owm_sha256_final(&sha, root);
    owm_sha256(root, 32, root);
    for (uint32_t i = 0; i < job->branches; i++) {
        uint8_t pair[64];
        memcpy(pair, root, 32);
        memcpy(pair + 32, job->path[i], 32);
        owm_sha256(pair, sizeof pair, root);
        owm_sha256(root, 32, root);
    }
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

void sv2client_header(const struct sv2client_channel *channel, const struct sv2client_share *share,
                      uint8_t header[80])
{
    const struct sv2client_job *job = &channel->job;
    put_u32(header, share->version);
    memcpy(header + 4, job->previous, 32);
    if (job->standard)
        memcpy(header + 36, job->root, 32);
    else
        root_of(channel, share, header + 36);
    put_u32(header + 68, share->ntime);
    put_u32(header + 72, job->nbits);
    put_u32(header + 76, share->nonce);
}

void sv2client_hash(const uint8_t header[80], uint8_t hash[32])
{
    uint8_t first[32];
    owm_sha256(header, 80, first);
    owm_sha256(first, 32, hash);
}

static bool at_or_below(const uint8_t *hash, const uint8_t *target)
{
    for (int i = 31; i >= 0; i--)
        if (hash[i] != target[i]) return hash[i] < target[i];
    return true;
}

bool sv2client_mine(const struct sv2client_channel *channel, const uint8_t *at_most,
                    const uint8_t *above, struct sv2client_share *share)
{
    uint8_t header[80], hash[32];
    sv2client_header(channel, share, header);
    for (uint32_t tries = 0; tries < 1u << 24; tries++, share->nonce++) {
        put_u32(header + 76, share->nonce);
        sv2client_hash(header, hash);
        if (at_or_below(hash, at_most) && !(above && at_or_below(hash, above))) return true;
    }
    return false;
}

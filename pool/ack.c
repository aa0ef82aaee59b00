/* ack.c: accepted shares that wait for the journal, and the Success that follows (promise 2).
 *
 * Once durable, all shares of a channel that became so together are acknowledged by one message:
 * the count, the highest sequence number, and the sum of their difficulty. A share of h hashes is
 * h / 2^32 in difficulty; what is below a whole unit is carried into the channel's next message,
 * so the sums of all messages are exact to within one (on a test network most messages then say 0).
 */
#include "hall_internal.h"

#define AHEAD 8 /* Shares of which the channel is fetched before it is needed. */

void ack_push(struct owm_hall *hall, const struct owm_pending *share, uint64_t sequence)
{
    uint32_t at = (hall->ack_from + hall->acks) % hall->options.acks_max;
    hall->ack[at] = (struct owm_ack){
        .sequence = sequence,
        .received_ns = share->received_ns,
        .hashes = share->hashes,
        .channel = channel_index(share->channel),
        .channel_id = share->channel->id,
        .share = share->sequence,
    };
    owm_level(&hall->stats.shares_waiting, ++hall->acks);
}

/** With many miners, each is out of the cache by the time its share is durable. */
static void fetch_channel(const struct owm_hall *hall)
{
    if (hall->acks <= AHEAD) return;
    uint32_t at = (hall->ack_from + AHEAD) % hall->options.acks_max;
    const struct owm_channel *channel = &hall->channel[hall->ack[at].channel];
    __builtin_prefetch(&channel->session);
    __builtin_prefetch(&channel->ack_count, 1);
}

/** What the sink of the channel after this one starts with: keys, and where to write. */
static void fetch_sink(const struct owm_hall *hall, uint32_t next)
{
    if (next == NONE) return;
    const char *ctx = hall->channel[next].session->sink.ctx;
    __builtin_prefetch(ctx);
    __builtin_prefetch(ctx + 64, 1);
}

/** Into the channel's next Success, if it is still open. */
static void gather(struct owm_hall *hall, const struct owm_ack *ack)
{
    struct owm_channel *channel = &hall->channel[ack->channel];
    if (!channel->session || channel->id != ack->channel_id) return;
    uint64_t low = (uint64_t)channel->ack_carry + (ack->hashes & UINT32_MAX);
    channel->ack_sum += (ack->hashes >> 32) + (low >> 32);
    channel->ack_carry = (uint32_t)low;
    if (!channel->ack_count++ || (int32_t)(ack->share - channel->ack_last) > 0)
        channel->ack_last = ack->share;
    if (channel->ack_listed) return;
    __builtin_prefetch(&channel->session->sink);
    channel->ack_listed = true;
    channel->ack_next = hall->ack_first;
    hall->ack_first = ack->channel;
}

static void send_success(struct owm_channel *channel)
{
    SESSION_SEND(channel->session, submit_success, .channel_id = channel->id,
                 .last_sequence_number = channel->ack_last,
                 .new_submits_accepted_count = channel->ack_count,
                 .new_shares_sum = channel->ack_sum);
    channel->ack_count = 0;
    channel->ack_sum = 0;
    channel->ack_listed = false;
}

void owm_hall_acks(struct owm_hall *hall)
{
    if (!hall->acks) return;
    uint64_t durable = hall->options.log.durable(hall->options.log.ctx);
    uint64_t now_ns = hall->options.clock_ns ? hall->options.clock_ns() : hall->now.mono_ns;
    hall->ack_first = NONE;
    while (hall->acks && hall->ack[hall->ack_from].sequence <= durable) {
        const struct owm_ack *ack = &hall->ack[hall->ack_from];
        fetch_channel(hall);
        gather(hall, ack);
        owm_latency_add(&hall->stats.ack, now_ns - ack->received_ns, 1);
        hall->ack_from = (hall->ack_from + 1) % hall->options.acks_max;
        hall->acks--;
    }
    owm_level(&hall->stats.shares_waiting, hall->acks);
    while (hall->ack_first != NONE) {
        struct owm_channel *channel = &hall->channel[hall->ack_first];
        hall->ack_first = channel->ack_next;
        fetch_sink(hall, hall->ack_first);
        send_success(channel);
    }
}

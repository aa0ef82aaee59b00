/* channel.c: a channel's place in the tables, its extranonce prefix, and its targets over time. */
#include <math.h>
#include <string.h>

#include "dataplane/chain/target.h"
#include "hall_internal.h"

#define RARER_MAX (1.0 / 1024) /* Of the usual number of shares. */

uint32_t channel_index(const struct owm_channel *channel)
{
    return (uint32_t)(channel - channel->session->hall->channel);
}

/** epoch u16 | loop u8 | number u40, big endian (work.h). Numbers only grow: a prefix is never
 * given
 *  out again while a share on it could still be credited. */
static void write_prefix(const struct owm_hall *hall, uint64_t number, uint8_t *prefix)
{
    prefix[0] = (uint8_t)(hall->options.epoch >> 8);
    prefix[1] = (uint8_t)hall->options.epoch;
    prefix[2] = (uint8_t)hall->options.loop;
    for (int i = 0; i < 5; i++) prefix[3 + i] = (uint8_t)(number >> (32 - 8 * i));
}

/** Ids are cut SHA-256: nobody finds a name that shares a part of this length with another's. */
static uint64_t key_of(const struct owm_miner *miner)
{
    uint64_t key;
    memcpy(&key, miner->id, sizeof key);
    return key;
}

static bool has_room(const struct owm_session *session, const struct owm_miner *miner)
{
    const struct owm_hall *hall = session->hall;
    return hall->free_channel != NONE && hall->prefixes < hall->options.prefixes_max
           && session->channels < hall->options.channels_per_session
           && owm_tally_count(&hall->miners, key_of(miner)) < hall->options.channels_per_miner
           && owm_tally_count(&hall->addresses, session->address)
                  < hall->options.channels_per_address;
}

struct owm_channel *channel_take(struct owm_session *session, const struct owm_miner *miner,
                                 const struct owm_worker *worker)
{
    struct owm_hall *hall = session->hall;
    uint32_t i = hall->free_channel;
    if (!has_room(session, miner)) return NULL;
    uint32_t claimed = owm_workers_claim(hall->workers, miner, worker, hall->now_ms);
    if (claimed == OWM_WORKER_NONE) return NULL;
    bool counted = owm_tally_add(&hall->miners, key_of(miner));
    counted = owm_tally_add(&hall->addresses, session->address) && counted;
    OWM_ASSERT(counted); /* Both have a key for each channel. */
    struct owm_channel *channel = &hall->channel[i];
    uint8_t generation = (uint8_t)(channel->generation + 1);
    hall->free_channel = channel->next;
    *channel = (struct owm_channel){
        .session = session,
        .id = (uint32_t)generation << CHANNEL_BITS | (i + 1),
        .next = session->first_channel,
        .generation = generation,
        .worker = claimed,
        .named_worker = OWM_WORKER_NONE,
    };
    session->first_channel = i;
    session->channels++;
    write_prefix(hall, hall->prefixes++, channel->prefix);
    owm_level(&hall->stats.channels, ++hall->open_channels);
    return channel;
}

static void unlink_from_session(struct owm_channel *channel)
{
    struct owm_hall *hall = channel->session->hall;
    uint32_t i = channel_index(channel), *at = &channel->session->first_channel;
    while (*at != i) at = &hall->channel[*at].next;
    *at = channel->next;
}

void channel_release(struct owm_channel *channel)
{
    struct owm_session *session = channel->session;
    struct owm_hall *hall = session->hall;
    uint32_t i = channel_index(channel);
    unlink_from_session(channel);
    session->channels--;
    session->members[channel->form]--;
    owm_tally_drop(&hall->addresses, session->address);
    owm_tally_drop(&hall->miners, key_of(&owm_workers_at(hall->workers, channel->worker)->miner));
    owm_workers_release(hall->workers, channel->worker);
    owm_workers_release(hall->workers, channel->named_worker);
    channel->session = NULL;
    channel->next = hall->free_channel;
    hall->free_channel = i;
    owm_level(&hall->stats.channels, --hall->open_channels);
}

struct owm_channel *channel_find(struct owm_session *session, uint32_t id)
{
    struct owm_hall *hall = session->hall;
    uint32_t i = (id & ((1u << CHANNEL_BITS) - 1)) - 1;
    if (i >= hall->options.channels_max) return NULL;
    struct owm_channel *channel = &hall->channel[i];
    return channel->session == session && channel->id == id ? channel : NULL;
}

uint32_t group_id(const struct owm_session *session, enum owm_coinbase_form form)
{
    if (session->flags & OWM_SV2_REQUIRES_STANDARD_JOBS) return 0;
    uint32_t i = (uint32_t)(session - session->hall->session);
    return GROUP_BIT | (i * OWM_COINBASE_FORMS + (uint32_t)form);
}

uint64_t channel_hardest(const struct owm_hall *hall)
{
    bool bound = hall->network_hashes && !hall->options.past_network;
    return bound ? hall->network_hashes : UINT64_MAX;
}

struct owm_vardiff_limits channel_limits(const struct owm_channel *channel)
{
    return (struct owm_vardiff_limits){
        .easiest = channel->easiest,
        .hardest = channel_hardest(channel->session->hall),
    };
}

/** Never easier than max_target: rounding may have made it so by a little, so compare all 256
 * bits. */
static void write_target(const struct owm_channel *channel, uint8_t *target)
{
    owm_target_of_hashes(channel->vardiff.hashes, target);
    if (!owm_sha256d_meets(target, channel->max_target))
        memcpy(target, channel->max_target, sizeof channel->max_target);
}

/** The vardiff's target holds for the jobs that are sent from now on. With more changes than
 *  snapshots, the jobs of the oldest can no longer be credited: they are stale (channel_target). */
void channel_set_target(struct owm_channel *channel)
{
    struct owm_session *session = channel->session;
    struct owm_snapshot *newest = &channel->snapshot[0];
    uint32_t since_job = channel->snapshots ? session->sent_job + 1 : 0; /* The first: all. */
    if (!channel->snapshots || newest->since_job != since_job) {
        memmove(&channel->snapshot[1], newest, (SNAPSHOTS - 1) * sizeof *newest);
        if (channel->snapshots < SNAPSHOTS) channel->snapshots++;
    }
    newest->since_job = since_job;
    newest->hashes = channel->vardiff.hashes;
    write_target(channel, newest->target);
    struct owm_worker_entry *entry = owm_workers_at(session->hall->workers, channel->worker);
    atomic_store_explicit(&entry->hashes, newest->hashes, memory_order_relaxed);
}

const struct owm_snapshot *channel_target(const struct owm_channel *channel, uint32_t job)
{
    for (uint32_t i = 0; i < channel->snapshots; i++)
        if (channel->snapshot[i].since_job <= job) return &channel->snapshot[i];
    return NULL;
}

static void send_target(struct owm_channel *channel)
{
    struct owm_session *session = channel->session;
    owm_sv2_u256 target;
    channel_set_target(channel);
    memcpy(target.byte, channel->snapshot[0].target, sizeof target.byte);
    owm_count(&session->hall->stats.targets_sent, 1);
    SESSION_SEND(session, set_target, .channel_id = channel->id, .maximum_target = target);
}

/** On a tip that lasts, shares get rarer and harder from half of its table on, by the square of
 *  what is left, so that it lasts many times longer: a full one refuses all until a new block. */
static struct owm_vardiff_policy policy_now(const struct owm_hall *hall)
{
    struct owm_vardiff_policy policy = hall->options.vardiff;
    double room = 2 * owm_dedup_room(hall->dedup);
    if (room < 1) policy.shares_per_minute *= fmax(room * room, RARER_MAX);
    return policy;
}

void channel_retarget(struct owm_channel *channel)
{
    struct owm_hall *hall = channel->session->hall;
    struct owm_vardiff_limits limits = channel_limits(channel);
    struct owm_vardiff_policy policy = policy_now(hall);
    bool changed = owm_vardiff_clamp(&channel->vardiff, &limits, hall->now_ms);
    changed |= owm_vardiff_check(&channel->vardiff, &policy, &limits, hall->now_ms);
    if (changed) send_target(channel);
}

void channel_extranonce(const struct owm_channel *channel, const uint8_t *rolled, uint8_t *out)
{
    uint32_t rolled_bytes = (channel->form == OWM_COINBASE_SHORT ? OWM_EXTRANONCE_SHORT_BYTES
                                                                 : OWM_EXTRANONCE_LONG_BYTES)
                            - OWM_EXTRANONCE_PREFIX_BYTES;
    memcpy(out, channel->prefix, OWM_EXTRANONCE_PREFIX_BYTES);
    if (rolled)
        memcpy(out + OWM_EXTRANONCE_PREFIX_BYTES, rolled, rolled_bytes);
    else
        memset(out + OWM_EXTRANONCE_PREFIX_BYTES, 0, rolled_bytes);
}

/* assess.c: see assess.h. */
#include "assess.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAMED_MAX         3 /* channels that the note explains; the rest is a number */
#define POINT_HEAD        8 /* hex digits by which a person tells a transaction apart */
#define REASON_BYTES      96
#define CAPACITY_MSAT_MAX INT64_C(2100000000000000000) /* all bitcoin there will be */

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* The peer's part of a channel, never more than what neither the treasury nor an HTLC has. */
static int64_t share_msat(const struct owm_lightning_channel *channel)
{
    int64_t capacity = clamp(channel->capacity_msat, 0, CAPACITY_MSAT_MAX);
    int64_t local = clamp(channel->local_msat, 0, capacity);
    int64_t unsettled = clamp(channel->unsettled_msat, 0, capacity - local);
    return clamp(channel->remote_msat, 0, capacity - local - unsettled);
}

static bool is_open(const struct owm_lightning_channel *channel)
{
    return channel->state == OWM_LIGHTNING_NORMAL || channel->state == OWM_LIGHTNING_OPENING
           || channel->state == OWM_LIGHTNING_BROKEN;
}

bool owm_stake_is_waiting(const struct owm_lightning_channel *channel, uint32_t confirmations)
{
    return channel->opened_by_peer
           && (channel->state == OWM_LIGHTNING_OPENING
               || (channel->state == OWM_LIGHTNING_NORMAL
                   && (channel->confirmations < confirmations || channel->short_id == 0)));
}

static bool counts(const struct owm_lightning_channel *channel, uint32_t confirmations)
{
    return channel->opened_by_peer && channel->state == OWM_LIGHTNING_NORMAL
           && !owm_stake_is_waiting(channel, confirmations);
}

int64_t owm_stake_channel_msat(const struct owm_lightning_channel *channel, uint32_t confirmations)
{
    return counts(channel, confirmations) ? share_msat(channel) : 0;
}

static uint32_t confirmed(const struct owm_lightning_channel *channel)
{
    return channel->state == OWM_LIGHTNING_NORMAL && channel->short_id ? channel->confirmations : 0;
}

/* --- the note --------------------------------------------------------------------------------- */

struct note {
    char *text;
    size_t at;
};

__attribute__((format(printf, 2, 3))) static void add(struct note *note, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int more = vsnprintf(note->text + note->at, OWM_STAKE_NOTE_BYTES - note->at, format, args);
    va_end(args);
    if (more > 0) note->at = (size_t)clamp((int64_t)note->at + more, 0, OWM_STAKE_NOTE_BYTES - 1);
}

static void reason_of(const struct owm_lightning_channel *channel, uint32_t confirmations,
                      char reason[REASON_BYTES])
{
    if (!channel->opened_by_peer)
        snprintf(reason, REASON_BYTES, "the treasury opened it");
    else if (channel->state == OWM_LIGHTNING_BROKEN)
        snprintf(reason, REASON_BYTES, "its state is %s",
                 channel->note[0] ? channel->note : "not known for sure");
    else
        snprintf(reason, REASON_BYTES, "waiting for confirmations: %u of %u", confirmed(channel),
                 confirmations);
}

static void explain(struct note *note, const struct owm_lightning_channel *channel,
                    uint32_t confirmations)
{
    char point[OWM_LIGHTNING_POINT_TEXT], reason[REASON_BYTES];
    owm_lightning_point_format(&channel->point, point);
    reason_of(channel, confirmations, reason);
    add(note, "; %.*s…:%u is not (%s)", POINT_HEAD, point, channel->point.index, reason);
}

/* --- the judgement ---------------------------------------------------------------------------- */

struct judging {
    const uint8_t *peer;
    uint32_t confirmations;
    const struct owm_lightning_channel *last;   /* the one before, of this peer */
    const struct owm_lightning_channel *newest; /* of its own that close or are closed */
    bool has_own;                               /* a channel of its own that is open or opening */
    int64_t counted_msat, pending_msat;
};

static int64_t sum(int64_t a, int64_t b)
{
    return a > CAPACITY_MSAT_MAX - b ? CAPACITY_MSAT_MAX : a + b;
}

static void judge_open(struct judging *judging, const struct owm_lightning_channel *channel,
                       struct owm_stake_reading *reading)
{
    reading->channels++;
    judging->has_own = judging->has_own || channel->opened_by_peer;
    if (counts(channel, judging->confirmations)) {
        reading->counted++;
        judging->counted_msat = sum(judging->counted_msat, share_msat(channel));
    } else if (owm_stake_is_waiting(channel, judging->confirmations)) {
        uint32_t to_go = judging->confirmations - confirmed(channel);
        judging->pending_msat = sum(judging->pending_msat, share_msat(channel));
        if (reading->blocks_to_go == 0 || to_go < reading->blocks_to_go)
            reading->blocks_to_go = to_go;
    }
}

/* What closes now was there longer than what is closed; else the chain's order of openings. */
static bool is_newer(const struct owm_lightning_channel *channel,
                     const struct owm_lightning_channel *than)
{
    if (!than) return true;
    if (channel->state != than->state) return channel->state == OWM_LIGHTNING_CLOSING;
    return channel->short_id >= than->short_id;
}

/* The next channel of this peer from *at on; each funding output once. */
static const struct owm_lightning_channel *next(struct judging *judging,
                                                const struct owm_lightning_channel *channels,
                                                size_t count, size_t *at)
{
    while (*at < count) {
        const struct owm_lightning_channel *channel = &channels[(*at)++];
        if (memcmp(channel->peer, judging->peer, OWM_LIGHTNING_KEY_BYTES) != 0) continue;
        if (judging->last
            && memcmp(&judging->last->point, &channel->point, sizeof(channel->point)) == 0)
            continue;
        judging->last = channel;
        return channel;
    }
    judging->last = NULL;
    return NULL;
}

static void write_note(struct judging *judging, const struct owm_lightning_channel *channels,
                       size_t count, struct owm_stake_reading *reading)
{
    struct note note = {reading->note, 0};
    const struct owm_lightning_channel *channel;
    uint32_t left = reading->channels - reading->counted, named = 0;
    if (reading->left)
        add(&note, "no channel is left: its last one was closed");
    else if (reading->channels == 0)
        add(&note, "no channel between this Lightning node and the treasury");
    else
        add(&note, "%u channel%s: %u counted", reading->channels, reading->channels == 1 ? "" : "s",
            reading->counted);
    for (size_t at = 0; (channel = next(judging, channels, count, &at)) && named < NAMED_MAX;)
        if (is_open(channel) && !counts(channel, judging->confirmations)) {
            explain(&note, channel, judging->confirmations);
            named++;
        }
    if (left > named) add(&note, "; %u more are not", left - named);
}

void owm_stake_assess(const struct owm_lightning_channel *channels, size_t count,
                      const uint8_t peer[static OWM_LIGHTNING_KEY_BYTES], uint32_t confirmations,
                      struct owm_stake_reading *reading)
{
    struct judging judging = {.peer = peer, .confirmations = confirmations};
    const struct owm_lightning_channel *channel;
    memset(reading, 0, sizeof(*reading));
    for (size_t at = 0; (channel = next(&judging, channels, count, &at));) {
        if (is_open(channel))
            judge_open(&judging, channel, reading);
        else if (channel->opened_by_peer && is_newer(channel, judging.newest))
            judging.newest = channel;
    }
    reading->stake_sats = judging.counted_msat / 1000;
    reading->pending_sats = judging.pending_msat / 1000;
    reading->left = !judging.has_own && judging.newest
                    && (judging.newest->close_kind == OWM_LIGHTNING_CLOSE_COOPERATIVE
                        || judging.newest->close_kind == OWM_LIGHTNING_CLOSE_FORCED_BY_PEER);
    write_note(&judging, channels, count, reading);
}

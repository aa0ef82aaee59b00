/* hall_internal.h: what the files of the hall share: its tables, and the functions between them.
 *
 * 1. Sessions, channels, jobs and slots of the batch live in arrays that never move.
 * 2. A slot of the batch points to a channel and a job, so the batch is judged before either goes.
 * 3. A session that ends is only marked: what it owns goes when it leaves, never below a loop.
 * 4. Ids of channels are index + 1 with a generation above; ids of groups have the top bit.
 */
#ifndef OWM_POOL_HALL_INTERNAL_H
#define OWM_POOL_HALL_INTERNAL_H

#include <assert.h>

#include "dedup.h"
#include "hall.h"
#include "tally.h"
#include "timers.h"

#define NONE             UINT32_MAX
#define JOBS_KEPT        16 /* Stale ones too: a block is a block. A power of two. */
#define SNAPSHOTS        4  /* Targets of a channel that a creditable job can have. */
#define MERKLE_ROWS      64
#define MERKLE_ROW_BYTES (2 * OWM_COINBASE_PART_BYTES_MAX + OWM_EXTRANONCE_BYTES_MAX + 63)
#define CHANNEL_BITS     23
#define GROUP_BIT        0x80000000u
#define TICK_MS          5000 /* Of an open session: targets of its channels. */

static_assert(OWM_HALL_CHANNELS_MAX < 1 << CHANNEL_BITS, "an index fits into an id");
static_assert(JOBS_KEPT > OWM_HALL_JOBS, "a job that can be credited is kept");

/** owm_job: one work under the id by which miners know it. */
struct owm_job {
    uint32_t id; /* 0: none. */
    uint32_t min_ntime;
    struct owm_work *work;
};

/** owm_encoded: a payload made once and sent many times; its first 4 bytes are a channel's id. */
#define ENCODED_BYTES_MAX (2 * OWM_COINBASE_PART_BYTES_MAX + OWM_TEMPLATE_BRANCHES_MAX * 32 + 64)
struct owm_encoded {
    uint8_t payload[ENCODED_BYTES_MAX];
    uint32_t bytes;
};

/** owm_snapshot: the target that holds for jobs from this id on. */
struct owm_snapshot {
    uint32_t since_job;
    uint64_t hashes;
    uint8_t target[32];
};

struct owm_root {
    uint32_t job;
    uint8_t root[32];
};

struct owm_channel {
    struct owm_session *session;   /* NULL: free. */
    uint32_t id, next;             /* next: of the session, or of the free ones. */
    uint32_t first_job;            /* Older ones were never given to it. */
    uint32_t worker, named_worker; /* named: of the last share's TLV, or none. */
    uint8_t generation;
    bool extended;
    enum owm_coinbase_form form;
    uint8_t prefix[OWM_EXTRANONCE_PREFIX_BYTES];
    uint8_t max_target[32];
    uint64_t easiest;                        /* Hashes of max_target. */
    struct owm_snapshot snapshot[SNAPSHOTS]; /* Newest first. */
    uint32_t snapshots;
    struct owm_root root[2]; /* Of a standard channel: roots of its last jobs. */
    struct owm_vardiff vardiff;
    /* Durable shares of which no Success was sent yet. */
    uint32_t ack_count, ack_last, ack_next;
    uint64_t ack_sum;   /* In units of 2^32 hashes; */
    uint32_t ack_carry; /* what is below one stays for the next batch. */
    bool ack_listed;
};

enum owm_session_state {
    SESSION_FREE,
    SESSION_HANDSHAKE,
    SESSION_SETUP,
    SESSION_OPEN,
    SESSION_CLOSED
};

struct owm_session {
    struct owm_hall *hall;
    struct owm_sink sink;
    enum owm_session_state state;
    uint32_t next_free, first_channel, channels;
    uint32_t members[OWM_COINBASE_FORMS]; /* Channels of each form: is there a group? */
    uint32_t sent_job, flags, rejects_in_row, log_left;
    uint64_t sent_tip;
    int64_t deadline_ms, last_share_ms;
    bool had_channel, negotiated, missing_extension, worker_names, node_identity, node_proven;
    uint8_t handshake_hash[32], node_key[32];
    char peer[OWM_PEER_TEXT_BYTES];
    uint64_t address; /* Of struct owm_peer. */
};

/** owm_pending: a share between its parsing and its verdict. */
struct owm_pending {
    uint8_t header[OWM_HEADER_BYTES];
    uint8_t extranonce[OWM_EXTRANONCE_BYTES_MAX];
    uint8_t target[32];
    struct owm_channel *channel;
    struct owm_job *job;
    uint64_t hashes, received_ns;
    uint32_t sequence, worker, next;
    int preset; /* A verdict that is certain already, or -1. */
    bool rooted;
};

struct owm_ack {
    uint64_t sequence, received_ns, hashes;
    uint32_t channel, channel_id, share;
};

/** owm_row: a standard channel that is being sent a job; fresh: on a tip that it does not know. */
struct owm_row {
    struct owm_channel *channel;
    bool fresh;
};

struct owm_hall {
    struct owm_hall_options options;
    struct owm_pool_time now;
    int64_t now_ms; /* mono */
    struct owm_session *session;
    struct owm_channel *channel;
    uint32_t free_session, free_channel, sessions_high;
    uint32_t open_sessions, open_channels;
    uint64_t prefixes; /* Given out. */
    struct owm_timers timers;
    struct owm_workers *workers;
    struct owm_tally miners, addresses; /* Channels of each. */
    struct owm_dedup *dedup;

    struct owm_job job[JOBS_KEPT];
    uint32_t newest; /* Id of the newest job; 0: none. */
    uint64_t tip, network_hashes;
    struct owm_encoded future[OWM_COINBASE_FORMS], present[OWM_COINBASE_FORMS], prev_hash;

    uint32_t fanout_at; /* Next session to be sent the newest job; NONE: all have it. */
    uint64_t fanout_posted_ns;
    struct owm_row row[MERKLE_ROWS]; /* Standard channels that wait for their roots. */
    uint32_t rows;

    struct owm_pending *pending;
    uint8_t (*hash)[32];
    uint32_t pendings;
    uint8_t *merkle_row, (*merkle_root)[32];
    uint32_t row_job; /* What the rows hold already around the extranonce; 0: nothing. */
    enum owm_coinbase_form row_form;
    size_t row_stride;

    struct owm_ack *ack;
    uint32_t ack_from, acks, ack_first; /* Ring; first channel that is owed a Success. */
    uint8_t block[16][32]; /* Hashes of blocks handed on, so that each is handed on once. */
    uint32_t blocks;
    uint32_t difficulty_carry, log_lines;
    int64_t log_since_ms;
    struct owm_pool_stats stats;
};

/* session.c */
uint8_t *session_reserve(struct owm_session *session, uint32_t bytes);
void session_commit(struct owm_session *session, uint16_t extension, uint8_t type, size_t bytes);
void session_deadline(struct owm_session *session, uint32_t in_ms);
void session_tick(struct owm_session *session);
bool session_may_log(struct owm_session *session);

/** SESSION_SEND(session, name, .field = …): one message. A slow reader is closed instead. */
#define SESSION_SEND(session_, name, ...)                                                          \
    do {                                                                                           \
        const struct owm_sv2_##name message_ = {__VA_ARGS__};                                      \
        uint8_t *out_ = session_reserve(session_, MESSAGE_BYTES_MAX);                              \
        if (out_)                                                                                  \
            session_commit(session_, (uint16_t)OWM_SV2_FRAME_EXT_##name, OWM_SV2_TYPE_##name,      \
                           owm_sv2_write_##name(out_, MESSAGE_BYTES_MAX, &message_));              \
    } while (0)
/** SESSION_READ(frame, name, &m): is the whole payload this message? Readers say 0 for a malformed
 *  one, which must not pass for all of an empty payload. */
#define SESSION_READ(frame_, name, message_)                                                       \
    ((frame_)->bytes > 0                                                                           \
     && owm_sv2_read_##name((frame_)->payload, (frame_)->bytes, message_) == (frame_)->bytes)

#define MESSAGE_BYTES_MAX 320 /* Of all that is not a job. */

/* session_setup.c, session_open.c, session_channel.c, session_submit.c: one for each message. */
void session_on_setup(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_extensions(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_node_auth(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_open_standard(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_open_extended(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_update(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_close_channel(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_custom_job(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_submit_standard(struct owm_session *session, const struct owm_sv2_frame *frame);
void session_on_submit_extended(struct owm_session *session, const struct owm_sv2_frame *frame);

/* channel.c */
/** A place, a prefix, a worker. NULL: none is left, or its session or miner has its share. */
struct owm_channel *channel_take(struct owm_session *session, const struct owm_miner *miner,
                                 const struct owm_worker *worker);
void channel_release(struct owm_channel *channel);
struct owm_channel *channel_find(struct owm_session *session, uint32_t id);
uint32_t channel_index(const struct owm_channel *channel);
uint32_t group_id(const struct owm_session *session, enum owm_coinbase_form form);
void channel_set_target(struct owm_channel *channel);
const struct owm_snapshot *channel_target(const struct owm_channel *channel, uint32_t job);
uint64_t channel_hardest(const struct owm_hall *hall); /* In hashes; UINT64_MAX: no bound. */
struct owm_vardiff_limits channel_limits(const struct owm_channel *channel);
void channel_retarget(struct owm_channel *channel);
void channel_extranonce(const struct owm_channel *channel, const uint8_t *rolled, uint8_t *out);

/* job.c */
void job_begin(struct owm_hall *hall, struct owm_work *work); /* Takes: the reference. */
void job_end_all(struct owm_hall *hall);
struct owm_job *job_newest(struct owm_hall *hall);
enum owm_job_find { JOB_GOOD, JOB_STALE, JOB_GONE, JOB_UNKNOWN };
enum owm_job_find job_find(struct owm_hall *hall, const struct owm_channel *channel, uint32_t id,
                           struct owm_job **job);
/** Roots for `count` <= MERKLE_ROWS extranonces of one job and form: extranonce(ctx, i) gives them;
 *  results in hall->merkle_root. false: the device failed. */
typedef const uint8_t *(*owm_extranonce_at)(void *ctx, uint32_t i);
bool job_roots(struct owm_hall *hall, const struct owm_job *job, enum owm_coinbase_form form,
               uint32_t count, owm_extranonce_at extranonce, void *ctx);

/* fanout.c */
void fanout_begin(struct owm_hall *hall, uint64_t posted_ns);
bool fanout_turn(struct owm_hall *hall); /* true: there is more. */
void fanout_session(struct owm_session *session);
void fanout_channel(struct owm_channel *channel); /* The first job of a new channel. */

/* verdict.c */
/** A slot is there after verdict_make_room, which may judge a batch and so change targets and close
 *  sessions: it comes before anything is looked up. */
void verdict_make_room(struct owm_hall *hall);
struct owm_pending *verdict_slot(struct owm_hall *hall);
void verdict_flush(struct owm_hall *hall);
void verdict_reject(struct owm_session *session, uint32_t channel_id, uint32_t sequence,
                    enum owm_reject reject);

/* ack.c */
void ack_push(struct owm_hall *hall, const struct owm_pending *share, uint64_t sequence);

#endif

/* hall.h: one loop's miners: sessions, channels, jobs and shares, without IO.
 *
 * Frames and a clock go in, frames come out through each session's sink; the loop (loop.h) does the
 * sockets, the handshake and the encryption. Everything is taken at open, from the limits: nothing
 * is allocated and no lock is taken between a share and its verdict.
 *
 * channels_per_miner keeps one name, or one node's key, from all channels of a loop. A stock miner
 * takes whatever name it likes, so that guards against accidents and a node's key more than against
 * liars; for those there are channels_per_session and channels_per_address, which leaves a quarter
 * of a loop to the rest of the world.
 *
 *   frame -> owm_session_frame: parse, cheap checks, a slot in the batch
 *   turn  -> owm_hall_turn: hash the batch, block path first, verdicts, journal, Errors
 *   later -> owm_hall_acks: what the journal has made durable is acknowledged (promise 2)
 *
 *   session: handshake -> setup -> open -> closed      (anything wrong: one answer, then closed)
 *
 * Thread: one loop, for all functions.
 */
#ifndef OWM_POOL_HALL_H
#define OWM_POOL_HALL_H

#include "base/status.h"
#include "dataplane/sv2/node_auth.h"
#include "dataplane/sv2/transport.h"
#include "kernels/backend.h"
#include "reason.h"
#include "stats.h"
#include "vardiff.h"
#include "work.h"
#include "workers.h"

#define OWM_HALL_SESSIONS_MAX  1000000
#define OWM_HALL_CHANNELS_MAX  8388607
#define OWM_HALL_BATCH_MAX     65536
#define OWM_HALL_ACKS_MAX      16777216
#define OWM_HALL_PAYLOAD_BYTES 2048 /* Longest payload of a client: 1291 for SetupConnection. */
#define OWM_HALL_JOBS          8    /* Outstanding: older ones on the same tip are stale. */
#define OWM_HALL_TURN_SESSIONS 1024 /* Sent a new job in one turn; the rest in the next. */

#define OWM_HALL_LOG_LINES_PER_S 20 /* Of all sessions together. */

struct owm_hall;
struct owm_session;

/** owm_sink: how a session answers; every pointer is set.
 *
 *  reserve  room for a frame's payload, or NULL: its reader is too slow and gets closed. A sink
 *           that knows better ends the session itself, for another reason, before it says NULL.
 *  commit   send that frame, with `bytes` of what was reserved; `extension` with its channel bit.
 *  close    end the connection, after what was committed was sent (flush). No call on this sink
 *           follows; owm_session_leave is still to be called. */
struct owm_sink {
    uint8_t *(*reserve)(void *ctx, uint32_t bytes);
    void (*commit)(void *ctx, uint16_t extension, uint8_t type, uint32_t bytes);
    void (*close)(void *ctx, enum owm_close reason, bool flush);
    void *ctx;
};

/** owm_share_log: where accepted shares are kept: the journal (journal.h), or a test's double. */
struct owm_share_log {
    owm_status (*append)(void *ctx, const struct owm_share *share, const struct owm_miner *miner,
                         const struct owm_worker *worker, uint64_t *sequence);
    void (*commit)(void *ctx);
    uint64_t (*durable)(void *ctx);
    void *ctx;
};

/** owm_found: a solved block. Borrowed for the call; retain work to keep it. */
struct owm_found {
    struct owm_work *work;
    enum owm_coinbase_form form;
    const uint8_t *extranonce; /* [work->coinbase[form].extranonce_bytes] */
    const uint8_t *header;     /* [80] */
    const uint8_t *hash;       /* [32] */
    const struct owm_miner *miner;
    const struct owm_worker *worker;
};

/** owm_hall_options: zero in a number means the default behind it. */
struct owm_hall_options {
    unsigned loop; /* These two make extranonce prefixes unique (work.h). */
    uint16_t epoch;
    uint32_t sessions_max;         /* 65536 */
    uint32_t channels_max;         /* 65536 */
    uint32_t workers_max;          /* 65536 */
    uint32_t channels_per_session; /* 64 */
    uint32_t channels_per_miner;   /* A quarter of channels_max, at least 64. */
    uint32_t channels_per_address; /* Three quarters of channels_max, at least 64. */
    uint32_t share_table;          /* Places for shares of one tip; OWM_DEDUP_ENTRIES_DEFAULT. */
    uint32_t batch_max;            /* Shares hashed at once; 1024. */
    uint32_t acks_max;             /* Shares that wait for the journal; 65536. */
    uint64_t prefixes_max;         /* Extranonce prefixes to give out; 2^40. */
    uint32_t handshake_ms;         /* 10 s to finish the handshake, */
    uint32_t setup_ms;             /* 10 s more to set up, */
    uint32_t channel_ms;           /* 30 s more to open a channel; */
    uint32_t idle_ms;              /* and 30 min without a share end a session. */
    uint32_t rejects_in_row_max;   /* 1000 */
    uint32_t log_lines;            /* Of one session; 4. */
    bool
        past_network; /* Regtest: shares may be harder than blocks, or they would flood the pool. */
    bool require_node; /* Private port: only sessions that prove a node's key. */
    struct owm_vardiff_policy vardiff;
    uint8_t authority[32];     /* Of the certificate; what a node's signature is bound to. */
    struct owm_device *device; /* Its sha256d_batch and sha256d_merkle are used. Borrows. */
    struct owm_share_log log;
    /** A solved block, before its verdict; must not block for long. */
    void (*on_block)(void *ctx, const struct owm_found *found);
    void *ctx; /* Of on_block. */
    /** For the latency of verdict and ack alone; NULL: the time of the turn. */
    uint64_t (*clock_ns)(void);
};

/** owm_pool_time: the time of this turn. */
struct owm_pool_time {
    uint64_t mono_ns;
    int64_t wall_ms;
};

/** owm_hall_open: Returns: OWM_OK; OWM_E_ARG a number above its limit, or a device without the two
 *  ops; OWM_E_NOMEM, with how much; each with a sentence. */
OWM_MUST_USE owm_status owm_hall_open(const struct owm_hall_options *options,
                                      struct owm_pool_time now, struct owm_hall **hall,
                                      struct owm_error *error);

/** owm_hall_close: NULL is allowed. Sessions must have left. */
void owm_hall_close(struct owm_hall *hall);

/** owm_hall_clock: set the time of what follows; the monotonic part never goes back. */
void owm_hall_clock(struct owm_hall *hall, struct owm_pool_time now);

/** owm_hall_work: mine this from now on, unless it is older than what is mined already. Sent by the
 *  turns that follow. Takes: one reference. posted_ns: when it was made known, for the fan-out. */
void owm_hall_work(struct owm_hall *hall, struct owm_work *work, uint64_t posted_ns);

/** owm_hall_reconnect: ask every session to go to another address, or ("" and 0) to come again: for
 *  draining and upgrades. The pool there must have a certificate by the same authority. */
void owm_hall_reconnect(struct owm_hall *hall, const char *host, uint16_t port);

/** owm_hall_turn: judge what came, send jobs that are due, look at deadlines.
 *  Returns: the time (mono, ms) of the next call at the latest; 0: at once. */
int64_t owm_hall_turn(struct owm_hall *hall);

/** owm_hall_acks: acknowledge what is durable by now. owm_hall_turn does it too. */
void owm_hall_acks(struct owm_hall *hall);

const struct owm_pool_stats *owm_hall_stats(const struct owm_hall *hall); /* Thread: any. */
struct owm_workers *owm_hall_workers(struct owm_hall *hall); /* For owm_workers_copy. */
/** For what is counted outside of it: refused connections. */
struct owm_pool_stats *owm_hall_counters(struct owm_hall *hall);

/** owm_peer: who is on the other side. text: for logs, up to OWM_PEER_TEXT_BYTES; address: the same
 *  number for all connections of one address (owm_admission_key). */
#define OWM_PEER_TEXT_BYTES 56
struct owm_peer {
    const char *text;
    uint64_t address;
};

/** owm_session_enter: a new connection, not yet through its handshake. peer: copied.
 *  Returns: NULL when the hall is full. */
struct owm_session *owm_session_enter(struct owm_hall *hall, const struct owm_sink *sink,
                                      const struct owm_peer *peer);

/** owm_session_secured: the handshake is done. hash: what a node's signature is bound to. */
void owm_session_secured(struct owm_session *session, const uint8_t handshake_hash[32]);

/** owm_session_frame: one frame. Nothing is read any more once the session is closed. */
void owm_session_frame(struct owm_session *session, const struct owm_sv2_frame *frame);

/** owm_session_end: close for a reason that was found outside, such as a bad MAC. */
void owm_session_end(struct owm_session *session, enum owm_close reason);

/** owm_session_leave: the connection is gone; the session's memory is free. */
void owm_session_leave(struct owm_session *session);

#endif

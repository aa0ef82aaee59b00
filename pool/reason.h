/* reason.h: why a share is rejected and why a connection ends: one list each, of which enums, texts
 * on the wire, log lines and metrics are made, so that none of them can be forgotten.
 *
 * Texts of rejected shares are those that miners already know (the reference implementation's);
 * peers must not depend on them, and keep them in small buffers: they stay under 60 bytes.
 */
#ifndef OWM_POOL_REASON_H
#define OWM_POOL_REASON_H

#include "base/status.h"

/* X(NAME, "text of SubmitShares.Error and metric label", "what it means and what to do") */
#define OWM_REJECTS_MAP(X)                                                                         \
    X(CHANNEL, "invalid-channel-id", "the channel is not open in this connection")                 \
    X(JOB, "invalid-job-id", "the channel was never given this job")                               \
    X(STALE, "stale-share", "the job is from before the current block or an expired template")     \
    X(LOW, "difficulty-too-low", "the hash does not meet the target of its job")                   \
    X(DUPLICATE, "duplicate-share", "this header was accepted before")                             \
    X(EXTRANONCE, "bad-extranonce-size", "the extranonce has not the size of the channel's")       \
    X(VERSION, "invalid-non-rollable-version-bit", "a version bit outside of BIP 323 was changed") \
    X(NTIME, "invalid-ntime", "the time is before the job's minimum or two hours ahead")           \
    X(LIMIT, "share-limit", "the table of this block's shares is full: raise pool.share_table")    \
    X(BUSY, "journal-busy", "the disk does not keep up with the journal")                          \
    X(BROKEN, "internal-error", "the journal or the hashing device has failed: see the log")

enum owm_reject {
#define X(name, text, help) OWM_REJECT_##name,
    OWM_REJECTS_MAP(X)
#undef X
        OWM_REJECTS
};

/* X(NAME, "metric label and reason of a closed connection", "what it means") */
#define OWM_CLOSES_MAP(X)                                                                          \
    X(PEER, "closed by peer", "the miner ended the connection, or the network did")                \
    X(STRATUM_V1, "stratum v1", "spoke Stratum v1 or HTTP: see the log line of its address")       \
    X(RATE, "too many connections", "its address opened connections faster than allowed")          \
    X(ADDRESS, "address full", "its address has as many open connections as allowed")              \
    X(HANDSHAKES, "handshakes full", "too many unfinished handshakes at once")                     \
    X(SESSIONS, "sessions full", "the table of sessions is full")                                  \
    X(NOISE, "handshake failed", "the key exchange failed")                                        \
    X(MAC, "bad mac", "a frame was not encrypted with this connection's key")                      \
    X(LONG, "frame too long", "a frame is longer than any that a miner needs")                     \
    X(LATE_HANDSHAKE, "handshake timeout", "no handshake in time")                                 \
    X(LATE_SETUP, "setup timeout", "no SetupConnection in time")                                   \
    X(LATE_CHANNEL, "channel timeout", "no channel was opened in time")                            \
    X(IDLE, "idle", "no share for a long time")                                                    \
    X(SETUP, "setup refused", "SetupConnection asked for what this pool does not do")              \
    X(MALFORMED, "malformed message", "a message's lengths or values are impossible")              \
    X(UNEXPECTED, "unexpected message", "a message that does not belong here or now")              \
    X(EXTENSION, "required extension missing", "this port wants the node identity extension")      \
    X(IDENTITY, "node identity refused",                                                           \
      "the signature of the node was wrong or its clock is off")                                   \
    X(SLOW, "slow reader", "did not read what it was sent")                                        \
    X(REJECTS, "too many rejected shares", "nothing but rejected shares, many in a row")

enum owm_close {
#define X(name, text, help) OWM_CLOSE_##name,
    OWM_CLOSES_MAP(X)
#undef X
        OWM_CLOSES
};

/** Texts of the maps above. Out of range is the caller's bug and asserts. */
const char *owm_reject_text(enum owm_reject reject);
const char *owm_reject_help(enum owm_reject reject);
const char *owm_close_text(enum owm_close close);
const char *owm_close_help(enum owm_close close);

#endif

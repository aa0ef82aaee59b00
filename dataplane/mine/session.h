/* session.h: a miner's side of one Stratum v2 connection, without sockets: bytes and a clock in,
 * bytes and events out.
 *
 *   CONNECTING -> (act 2) -> SETUP -> [EXTENSIONS -> NODE AUTH] -> OPENING -> MINING -> CLOSED
 *
 * With an identity the session offers extension 0x4f57 and proves the node's Ed25519 key to the
 * pool (SRS-POOL-02); a pool that does not know it, or does not answer within
 * OWM_MINE_EXTENSION_MS, gets the key as the name in user_identity, as stock miners do. One
 * channel per connection. Thread: one at a time.
 */
#ifndef OWM_MINE_SESSION_H
#define OWM_MINE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/status.h"
#include "work.h"

#define OWM_MINE_EXTENSION_MS 5000
#define OWM_MINE_ANSWER_MS    15000  /* For any other answer of the pool. */
#define OWM_MINE_SILENCE_MS   300000 /* Without any frame the connection counts as dead. */
#define OWM_MINE_PAYLOAD_MAX  (256 * 1024)
#define OWM_MINE_JOBS_MAX     16    /* Future jobs kept. */
#define OWM_MINE_OUT_BYTES    16384 /* Written and not yet taken by the socket. */
#define OWM_MINE_CODE_BYTES   64

struct owm_mine_session;

/** owm_mine_session_options: strings and keys are borrowed until close.
 *  user      user_identity without an identity: "account.worker".
 *  worker    behind the node's key with an identity.
 *  connection  marks this session's works; a share of another one's is not sent.
 *  extended  open an extended channel and roll the extranonce; else a standard one. */
struct owm_mine_session_options {
    const owm_identity *identity; /* NULL: a stock miner. */
    const uint8_t *authority;     /* [32] the pool's key; NULL: whoever answers is believed. */
    const char *user, *worker, *host, *device_id;
    uint16_t port;
    uint64_t connection;
    bool extended;
    double rate_hashes_per_s; /* What the devices do together; a guess is fine. */
};

/** owm_mine_session_events: called from receive and tick. Strings are terminated, printable, and
 *  live for the call. */
struct owm_mine_session_events {
    /** Mine this from now on. Takes: one reference. */
    void (*on_work)(void *ctx, struct owm_mine_work *work);
    /** The channel is open; `proven`: the pool has checked the node's key. */
    void (*on_open)(void *ctx, uint32_t channel_id, bool proven);
    /** `count` shares were acknowledged, worth `difficulty_sum`. latency_ms of the newest. */
    void (*on_accepted)(void *ctx, uint32_t count, uint64_t difficulty_sum, double latency_ms);
    void (*on_rejected)(void *ctx, uint32_t sequence, const char *code);
    /** The pool asks to go elsewhere; "" and 0 mean the same place. The session is over. */
    void (*on_reconnect)(void *ctx, const char *host, uint16_t port);
    void *ctx;
};

/** owm_mine_session_open: writes act 1 to the output. Returns: OWM_OK; OWM_E_NOMEM;
 *  OWM_E_CRYPTO. */
OWM_MUST_USE owm_status owm_mine_session_open(const struct owm_mine_session_options *options,
                                              const struct owm_mine_session_events *events,
                                              int64_t now_ms, struct owm_mine_session **session);
void owm_mine_session_close(struct owm_mine_session *session); /* NULL is allowed. */

/** owm_mine_session_receive: bytes from the pool, decrypted in place.
 *  Returns: OWM_OK; OWM_E_CRYPTO not the pool we were told; OWM_E_PROTO what it sent makes no
 *  sense; OWM_E_UNSUPPORTED the pool refused us or wants extended channels; OWM_E_LIMIT it sends
 *  more than OWM_MINE_PAYLOAD_MAX at once; each with a sentence. After a failure: close. */
OWM_MUST_USE owm_status owm_mine_session_receive(struct owm_mine_session *session, uint8_t *data,
                                                 size_t bytes, int64_t now_ms,
                                                 struct owm_error *error);

/** owm_mine_session_tick: deadlines. *next_ms: call again then at the latest.
 *  Returns: OWM_OK; OWM_E_TIMEOUT with what was waited for. */
OWM_MUST_USE owm_status owm_mine_session_tick(struct owm_mine_session *session, int64_t now_ms,
                                              int64_t *next_ms, struct owm_error *error);

/** owm_mine_session_submit: send a share. *sequence: its number, as on_rejected names it.
 *  Returns: OWM_OK; OWM_E_STATE no open channel, a share of another connection, or of an older
 *  tip without solving a block (the pool would refuse it); OWM_E_LIMIT the output is full. */
OWM_MUST_USE owm_status owm_mine_session_submit(struct owm_mine_session *session,
                                                const struct owm_mine_share *share, int64_t now_ms,
                                                uint32_t *sequence);

/** owm_mine_session_rate: tell the pool what the devices do now (UpdateChannel), if it differs by
 *  more than a quarter from what it was told. */
void owm_mine_session_rate(struct owm_mine_session *session, double rate_hashes_per_s);

/** owm_mine_session_output: bytes to send; taken() says how many the socket took. */
const uint8_t *owm_mine_session_output(const struct owm_mine_session *session, size_t *bytes);
void owm_mine_session_taken(struct owm_mine_session *session, size_t bytes);

/** owm_mine_session_wants_extended: after OWM_E_UNSUPPORTED: would an extended channel do? */
bool owm_mine_session_wants_extended(const struct owm_mine_session *session);

/** owm_mine_session_difficulty: of the channel's target; 0 before it is open. */
double owm_mine_session_difficulty(const struct owm_mine_session *session);

#endif

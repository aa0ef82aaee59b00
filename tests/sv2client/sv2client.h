/* sv2client.h: a test double of a miner: a small Stratum v2 client without sockets, for tests and
 * load generators. It believes what it is told, mines with the plain C hash, and can be made to
 * submit anything. Frames go out through a function, frames come in through sv2client_frame;
 * sv2link.h puts a handshake and encryption around both.
 */
#ifndef OWM_TESTS_SV2CLIENT_H
#define OWM_TESTS_SV2CLIENT_H

#include <stdbool.h>

#include "dataplane/chain/template.h"
#include "dataplane/sv2/messages.h"
#include "dataplane/sv2/transport.h"

#define SV2CLIENT_CODE_BYTES 64

/** sv2client_job: a job as the pool described it. */
struct sv2client_job {
    uint32_t id, version, ntime, nbits; /* id 0: none. */
    uint8_t previous[32], root[32];     /* root: of a standard job. */
    bool standard;
    uint8_t path[OWM_TEMPLATE_BRANCHES_MAX][32];
    uint32_t branches, prefix_bytes, suffix_bytes;
    uint8_t prefix[OWM_COINBASE_PART_BYTES_MAX], suffix[OWM_COINBASE_PART_BYTES_MAX];
};

struct sv2client_channel {
    uint32_t request_id, id, group; /* id 0: not open. */
    bool extended;
    uint8_t prefix[32], target[32];
    uint32_t prefix_bytes, rolled_bytes;
    struct sv2client_job job, future; /* What is mined; what waits for SetNewPrevHash. */
    uint32_t sequence;                /* Of the next share. */
    uint64_t accepted, accepted_difficulty, rejected, jobs, targets, successes;
    uint32_t last_sequence;          /* Of the last Success. */
    char code[SV2CLIENT_CODE_BYTES]; /* Of the last Error. */
};

/** sv2client: caller-owned. channel [channels] is the caller's too. */
struct sv2client {
    void (*send)(void *ctx, uint16_t extension, uint8_t type, const uint8_t *payload,
                 uint32_t bytes);
    void *ctx;
    struct sv2client_channel *channel;
    uint32_t channels;
    uint32_t next_request;
    bool set_up, setup_refused, extensions_answered, extensions_refused, node_proven, node_refused;
    bool told_to_go;
    char new_host[SV2CLIENT_CODE_BYTES];
    uint16_t new_port;
    uint32_t refused_flags;
    uint16_t extension[8]; /* That the pool agreed to, or that it requires. */
    uint32_t extensions;
    uint64_t frames, malformed;
    char code[SV2CLIENT_CODE_BYTES]; /* Of the last error that belongs to no open channel. */
};

/** sv2client_opening: what to ask for. */
struct sv2client_opening {
    const char *identity;
    float rate;
    const uint8_t *max_target; /* NULL: the easiest. */
    bool extended;
    uint16_t min_extranonce;
};

/** sv2client_share: what a submit carries. */
struct sv2client_share {
    uint32_t job_id, nonce, ntime, version;
    uint8_t rolled[32];
    const char *worker; /* As a TLV of extension 0x0002; NULL: none. */
};

/** Messages. Each returns at once; answers come through sv2client_frame. */
void sv2client_setup(struct sv2client *client, uint32_t flags);
void sv2client_request_extensions(struct sv2client *client, const uint16_t *extension,
                                  uint32_t count);
/** sv2client_open: Returns: the channel that will be filled in; NULL: no place left. */
struct sv2client_channel *sv2client_open(struct sv2client *client,
                                         const struct sv2client_opening *opening);
/** sv2client_submit: Returns: its sequence number. */
uint32_t sv2client_submit(struct sv2client *client, struct sv2client_channel *channel,
                          const struct sv2client_share *share);
void sv2client_update(struct sv2client *client, uint32_t channel_id, float rate,
                      const uint8_t *max_target);
void sv2client_close_channel(struct sv2client *client, uint32_t channel_id);

/** sv2client_frame: one frame of the pool. */
void sv2client_frame(struct sv2client *client, const struct owm_sv2_frame *frame);

/** sv2client_share_start: the first share of a channel's current job: its time, version, zeros. */
void sv2client_share_start(const struct sv2client_channel *channel, struct sv2client_share *share);

/** sv2client_header: the header that a share stands for. */
void sv2client_header(const struct sv2client_channel *channel, const struct sv2client_share *share,
                      uint8_t header[80]);

/** sv2client_hash: SHA-256d of a header. */
void sv2client_hash(const uint8_t header[80], uint8_t hash[32]);

/** sv2client_mine: the next nonce from share->nonce on whose hash is at or below `at_most` and,
 * where
 *  `above` is given, above that. Returns: false: none among 2^24. */
bool sv2client_mine(const struct sv2client_channel *channel, const uint8_t *at_most,
                    const uint8_t *above, struct sv2client_share *share);

#endif

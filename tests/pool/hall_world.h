/* hall_world.h: a hall with a clock, a double of the journal, blocks to mine and miners in it, for
 * tests of the pool that need neither sockets nor time. */
#ifndef OWM_TESTS_HALL_WORLD_H
#define OWM_TESTS_HALL_WORLD_H

#include "pool/hall.h"
#include "sv2client/sv2client.h"

#define WORLD_SHARES_MAX 4096
#define WORLD_BITS       0x1e00ffffu /* 2^24 hashes a block: hardly any share is one. */
#define WORLD_BITS_EASY  0x207fffffu /* Every second hash is a block. */
#define VISITOR_CHANNELS 8

/** world_share: what the journal's double was given. */
struct world_share {
    struct owm_share share;
    struct owm_miner miner;
    struct owm_worker worker;
};

struct world {
    struct owm_hall *hall;
    struct owm_hall_options options;
    struct owm_device *device;
    struct owm_pool_time now;
    uint64_t address; /* Of visitors that enter. */
    /* The journal's double. */
    struct world_share share[WORLD_SHARES_MAX];
    uint64_t appended, committed, durable;
    bool disk_stuck;        /* Nothing becomes durable. */
    owm_status disk_answer; /* Of append. */
    /* Blocks. */
    uint64_t blocks;
    uint8_t block_hash[32], block_header[80], block_extranonce[32];
    enum owm_coinbase_form block_form;
    uint64_t works, tip;
    uint32_t tip_byte;
};

/** visitor: one miner in the hall. */
struct visitor {
    struct world *world;
    struct owm_session *session;
    struct sv2client client;
    struct sv2client_channel channel[VISITOR_CHANNELS];
    uint8_t payload[8192];
    bool closed, flushed, left;
    enum owm_close reason;
    uint32_t reads_left; /* Frames that it still takes before it stops reading. */
    bool deaf;
};

/** world_open: options: what differs from small defaults; NULL: nothing. */
void world_open(struct world *world, const struct owm_hall_options *options);
void world_close(struct world *world);

/** world_work: a new template. tip: 0: as before; else the tip of this number (the same number
 * gives
 *  the same previous block). bits: 0: WORLD_BITS. */
void world_work(struct world *world, uint32_t tip, uint32_t bits);

/** world_template: a block on the world's tip, 3 transactions. bits: 0: WORLD_BITS. */
struct owm_template *world_template(const struct world *world, uint32_t bits);

/** world_turn: let time pass in one step, then a turn; world_idle: in steps of 500 ms. */
void world_turn(struct world *world, uint64_t ms);
void world_idle(struct world *world, uint64_t ms);

/** visitor_enter: connected, its handshake done; visitor_connect: not done. */
void visitor_enter(struct visitor *visitor, struct world *world);
void visitor_connect(struct visitor *visitor, struct world *world);
void visitor_leave(struct visitor *visitor);

/** visitor_open: set up with flags and open one channel: it is returned and mines. */
struct sv2client_channel *visitor_open(struct visitor *visitor, uint32_t flags, bool extended,
                                       const char *identity);

/** visitor_say: a raw frame. */
void visitor_say(struct visitor *visitor, uint16_t extension, uint8_t type, const void *payload,
                 uint32_t bytes);

/** visitor_mine: submit a share that meets the channel's target; turn. Returns the share. */
struct sv2client_share visitor_mine(struct visitor *visitor, struct sv2client_channel *channel);

/** visitor_find: a share of the channel's current job that meets its target. */
struct sv2client_share visitor_find(const struct sv2client_channel *channel);

/** visitor_answer: submit a share, turn: "accepted", or the code, or "" while neither came.
 *  visitor_answer_new: the same with visitor_find. */
const char *visitor_answer(struct visitor *visitor, struct sv2client_channel *channel,
                           const struct sv2client_share *share);
const char *visitor_answer_new(struct visitor *visitor, struct sv2client_channel *channel);

/** world_rate: the nominal rate for which the hall asks for `hashes` per share. */
float world_rate(uint64_t hashes);

#endif

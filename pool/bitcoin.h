/* bitcoin.h: the pool's Bitcoin nodes: templates in, blocks out, and what became of the blocks.
 *
 * Bitcoin Core or Knots 27 and newer over JSON-RPC (getblocktemplate with longpoll, submitblock,
 * getblockheader, getblockchaininfo), with ZMQ `hashblock` where the operator gives an endpoint
 * (SRS-POOL-05). Several nodes may be named: the first that answers and is synchronised gives
 * templates, the next takes over when it fails, and a solved block goes to all of them at once.
 *
 *   longpoll thread ─┐
 *   ZMQ thread ──────┼─> getblocktemplate -> parse -> on_template(block, new_tip)
 *   refresh timer ───┘
 *   submit thread per node: submitblock -> on_submitted     follow thread: -> on_block
 *
 * Thread: callbacks come from these threads, never two of one kind at once; functions: any. A
 * callback may submit and follow, but not close.
 */
#ifndef OWM_POOL_BITCOIN_H
#define OWM_POOL_BITCOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/status.h"
#include "dataplane/chain/template.h"

#define OWM_BITCOIN_NODES_MAX    8
#define OWM_BITCOIN_REFRESH_S    30 /* A new template with newer transactions. */
#define OWM_BITCOIN_SAME_S       60 /* The same work again, on a chain where nothing happens. */
#define OWM_BITCOIN_FOLLOWED_MAX 1024
#define OWM_BITCOIN_SUBMITS_MAX  64 /* Waiting to be sent, of one node. */

struct owm_bitcoin;

/** owm_bitcoin_node: one node. Credentials: a cookie file that the node renews at each start, or
 *  user and password; never in a log or an error. */
struct owm_bitcoin_node {
    const char *url;         /* "http://127.0.0.1:8332" */
    const char *cookie_path; /* "" or NULL: user and password; those of the URL if these are "". */
    const char *user, *password;
    const char *zmq_hashblock; /* "tcp://127.0.0.1:28332"; "" or NULL: longpoll alone. */
};

enum owm_block_fate { OWM_BLOCK_UNKNOWN, OWM_BLOCK_ACTIVE, OWM_BLOCK_ORPHANED };

struct owm_bitcoin_events {
    /** A template to mine. Takes: one reference. new_tip: the block before it changed. What differs
     *  in its time alone is told every OWM_BITCOIN_SAME_S, which is a sign of life for miners and
     *  lets new targets begin; in between count on from current_time_s by a clock of your own. */
    void (*on_template)(void *ctx, struct owm_template *block, bool new_tip);
    /** A node's word on a submitted block: accepted, or its reason ("duplicate" counts as
     *  accepted, "inconclusive" as not yet; "not-delivered": given up, see owm_bitcoin_submit).
     *  node: its URL without credentials. hash as SHA-256d writes it. */
    void (*on_submitted)(void *ctx, const uint8_t hash[32], const char *node, bool accepted,
                         const char *reason);
    /** A followed block's fate or number of confirmations changed. */
    void (*on_block)(void *ctx, const uint8_t hash[32], enum owm_block_fate fate,
                     uint32_t confirmations);
    void *ctx;
};

struct owm_bitcoin_options {
    const struct owm_bitcoin_node *nodes;
    size_t node_count;
    enum owm_network network;
    unsigned refresh_s;  /* 0: OWM_BITCOIN_REFRESH_S */
    unsigned timeout_ms; /* Of one call that is no longpoll; 0: 10000. */
    struct owm_bitcoin_events events;
    struct owm_metrics *metrics; /* NULL: none. */
};

/** owm_bitcoin_open: check that a node answers, has the right network and is synchronised (initial
 *  block download is over), fetch the first template (on_template is called before this returns),
 *  and start the threads. Options are copied, save events.ctx and metrics.
 *
 *  On regtest any software will do, and btcd's simnet; elsewhere only Core and Knots. A signet
 *  whose blocks are all there counts as synchronised, however old they are: a custom one starts so.
 *
 *  Returns: OWM_OK; else what is wrong with the first node, when no other is fit: OWM_E_NET,
 *  OWM_E_TIMEOUT it does not answer; OWM_E_PERM credentials refused, or no cookie; OWM_E_STATE
 *  wrong network, still starting or synchronising, busy, no peers on mainnet or testnet4;
 *  OWM_E_UNSUPPORTED too old; OWM_E_PROTO, OWM_E_LIMIT, OWM_E_IO no Bitcoin node; or OWM_E_CONFIG a
 *  ZMQ endpoint; OWM_E_ARG no node, or no URL; OWM_E_NOMEM. Each sentence names the node and the
 *  fix. */
OWM_MUST_USE owm_status owm_bitcoin_open(const struct owm_bitcoin_options *options,
                                         struct owm_bitcoin **bitcoin, struct owm_error *error);

/** owm_bitcoin_close: let usable nodes say their word on blocks that are on their way (timeout_ms
 *  at most; on_submitted is called meanwhile), then cancel every call, join the threads, free. A
 *  longpoll that is cancelled keeps a thread of Bitcoin Core busy until its next block, so do not
 *  open and close in a loop. NULL is allowed. */
void owm_bitcoin_close(struct owm_bitcoin *bitcoin);

/** owm_bitcoin_submit: send a block to every node, each on its own thread; returns at once. A node
 *  is asked again, after 0.1 s to 2 s, until it has an opinion or the tip is 6 blocks further.
 *  Takes: hex (malloc'ed). Returns: OWM_OK; OWM_E_LIMIT no node has room for it, or no memory (hex
 *  is freed). */
OWM_MUST_USE owm_status owm_bitcoin_submit(struct owm_bitcoin *bitcoin, const uint8_t hash[32],
                                           char *hex);

/** owm_bitcoin_follow: tell on_block how it goes with this block, now and whenever it changes,
 *  until it has `confirmations` (100: a coinbase can be spent), or the chain has grown by as many
 *  without it: then what was told last stays. Returns: OWM_OK; OWM_E_LIMIT. */
OWM_MUST_USE owm_status owm_bitcoin_follow(struct owm_bitcoin *bitcoin, const uint8_t hash[32],
                                           uint32_t confirmations);

/** owm_bitcoin_health: for pages: node in use, age of the newest template, tip. */
struct owm_bitcoin_health {
    char node[128]; /* URL without credentials. */
    char version[64];
    uint32_t height; /* Of the block being mined. */
    uint64_t template_age_ms;
    bool usable;
    char trouble[256]; /* "" or what is wrong. */
};
void owm_bitcoin_health_get(struct owm_bitcoin *bitcoin, struct owm_bitcoin_health *health);

#endif

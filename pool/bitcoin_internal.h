/* bitcoin_internal.h: what bitcoin*.c share: the nodes, the template in use, the threads.
 *
 *   file               thread                    what it does
 *   bitcoin_template.c template, longpoll        asks the node in use, publishes
 *   bitcoin_submit.c   one per node              sends blocks, checks the node when it is not in
 *   use bitcoin_follow.c   follow                    asks what became of blocks
 *
 * Invariants:
 *   1. `lock` guards everything below it; no call to a node and no callback happens under it.
 *   2. `changed` is broadcast whenever a thread may have something new to do.
 *   3. A client of a node is used by one thread; cancelling it is for any.
 *   4. Only the template thread changes `active`, and only publish changes `current`.
 */
#ifndef OWM_POOL_BITCOIN_INTERNAL_H
#define OWM_POOL_BITCOIN_INTERNAL_H

#include <pthread.h>

#include "bitcoin.h"
#include "bitcoin_rpc.h"
#include "zmq.h"

#define BITCOIN_TIMEOUT_MS    10000
#define BITCOIN_LONGPOLL_MS   3600000 /* An abandoned longpoll keeps a thread of the node busy. */
#define BITCOIN_RECHECK_MS    500     /* Of a node that is not usable. */
#define BITCOIN_STANDBY_MS    30000   /* Of one that is, and not in use. */
#define BITCOIN_TICK_MS       1000 /* The age of the template is brought up to date this often. */
#define BITCOIN_DEPTH_MAX     6    /* A block this far under the tip is not sent any more. */
#define BITCOIN_RETRY_MS      100  /* First pause before a block is sent again; doubles, */
#define BITCOIN_RETRY_MS_MAX  2000 /* up to here. */
#define BITCOIN_VERSION_MIN   270000
#define BITCOIN_TROUBLE_BYTES 256

/** One block on its way to all nodes; the last one frees it. Counted under `lock`. */
struct bitcoin_block {
    uint8_t hash[32];
    char *params; /* ["hex"] */
    uint32_t height;
    unsigned references;
};

struct bitcoin_followed {
    uint8_t hash[32];
    uint32_t wanted, height; /* Confirmations; of the block being mined when it was asked for. */
    enum owm_block_fate fate;
    uint32_t confirmations;
    bool told;
};

enum bitcoin_client { BITCOIN_ASK, BITCOIN_WORK, BITCOIN_FOLLOW, BITCOIN_CLIENTS };

struct bitcoin_node {
    struct owm_bitcoin *owner;
    struct owm_bitcoin_node config; /* Own copies. */
    char name[OWM_BITCOIN_NAME_BYTES];
    struct owm_bitcoin_rpc *clients[BITCOIN_CLIENTS];
    pthread_t thread;
    bool started;
    owm_counter *failures;

    bool usable;
    char trouble[BITCOIN_TROUBLE_BYTES], version[64];
    uint64_t check_ms; /* When to check it next. */
    struct bitcoin_block *queue[OWM_BITCOIN_SUBMITS_MAX];
    size_t first, count;
    uint64_t retry_ms;
    unsigned attempts;
};

struct owm_bitcoin {
    struct bitcoin_node nodes[OWM_BITCOIN_NODES_MAX];
    size_t node_count;
    enum owm_network network;
    uint32_t refresh_ms, timeout_ms;
    struct owm_bitcoin_events events;
    struct owm_metrics *metrics;
    owm_gauge *age, *height;
    owm_counter *longpolls;
    pthread_t template_thread, longpoll_thread, follow_thread;
    bool template_started, longpoll_started, follow_started;
    struct owm_zmq *zmq;
    pthread_mutex_t publishing; /* One on_template at a time, in order. Taken before lock. */
    pthread_mutex_t telling;    /* One on_submitted at a time. */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
    struct bitcoin_node *active; /* Gives templates; NULL: none is usable. */
    bool wanted;                 /* Ask for a template at once. */
    struct owm_template *current;
    char longpoll_id[OWM_LONGPOLL_ID_BYTES];
    struct bitcoin_node *source; /* Of current and longpoll_id. */
    uint64_t fetched_ms, published_ms;
    uint64_t tips;                    /* Changes of the tip. */
    struct owm_bitcoin_rpc *longpoll; /* In progress. */
    struct bitcoin_followed followed[OWM_BITCOIN_FOLLOWED_MAX];
    size_t followed_count;
    bool follow_due;
};

/* bitcoin_node.c */

/** bitcoin_check: is it alive, of our network, new enough, synchronised? version is written. */
OWM_MUST_USE owm_status bitcoin_check(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                                      char version[static 64], struct owm_error *error);

/** bitcoin_fetch: a template. longpoll_id: wait for one that differs; NULL: now. */
OWM_MUST_USE owm_status bitcoin_fetch(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                                      const char *longpoll_id, struct owm_template **block,
                                      struct owm_error *error);

/** bitcoin_try: check, then fetch: the proof that a node is usable. */
OWM_MUST_USE owm_status bitcoin_try(struct bitcoin_node *node, enum bitcoin_client client,
                                    struct owm_template **block, struct owm_error *error);

/** bitcoin_node_good/bad: note what came of it, and log when that is news. Takes lock itself. */
void bitcoin_node_good(struct bitcoin_node *node, const char *version);
void bitcoin_node_bad(struct bitcoin_node *node, const char *trouble);

/* bitcoin_template.c */

/** bitcoin_publish: hand a template on unless it says nothing new or a newer tip was seen since it
 *  was asked for (tips: what owner->tips was then). Takes: block. Returns: is the tip new? */
bool bitcoin_publish(struct bitcoin_node *node, struct owm_template *block, uint64_t tips);
void *bitcoin_template_run(void *bitcoin);
void *bitcoin_longpoll_run(void *bitcoin);

/* bitcoin_submit.c, bitcoin_follow.c */
void *bitcoin_node_run(void *node);
void bitcoin_block_drop(struct bitcoin_block *block); /* Under lock. */
void *bitcoin_follow_run(void *bitcoin);

/* bitcoin.c */

/** bitcoin_wait: wait for `changed`, at most until then (owm_clock_mono_ms). Under lock. */
void bitcoin_wait(struct owm_bitcoin *bitcoin, uint64_t until_ms);

#endif

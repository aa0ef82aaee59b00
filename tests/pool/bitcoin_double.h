/* bitcoin_double.h: a test double of a Bitcoin node: JSON-RPC over HTTP on loopback. Templates are
 * of empty regtest blocks; it does longpoll; it can misbehave in every way that a node can. It
 * checks no block. */
#ifndef OWM_TESTS_BITCOIN_DOUBLE_H
#define OWM_TESTS_BITCOIN_DOUBLE_H

#include <stdbool.h>
#include <stdint.h>

enum double_mood {
    DOUBLE_WELL,
    DOUBLE_SILENT,     /* Takes a request and says nothing. */
    DOUBLE_GARBAGE,    /* Bytes that are no JSON. */
    DOUBLE_CUT_SHORT,  /* Half an envelope. */
    DOUBLE_HUGE,       /* 40 MiB. */
    DOUBLE_ENDLESS,    /* A byte now and then, for ever. */
    DOUBLE_BUSY,       /* HTTP 503. */
    DOUBLE_WARMING_UP, /* Error -28. */
};

#define DOUBLE_VERDICTS_MAX 8

/** double_state: what it plays, and what it saw. Touch it between lock and unlock. */
struct double_state {
    enum double_mood mood;
    enum double_mood longpoll_mood; /* Of a longpoll's reply alone. */
    const char *secret;             /* "user:password"; "": anybody. */
    const char *chain, *subversion;
    bool downloading, no_networkinfo;
    uint32_t version, connections;
    uint32_t ahead;  /* Headers without their blocks. */
    uint32_t height; /* Of the block to be mined; its tip is made of it and of branch. */
    uint32_t branch;
    uint32_t block_version; /* A change of it is a new template on the same tip. */
    int64_t confirmations;  /* Of any block; 0: not found. */
    bool btcd_orphan;       /* getblockheader fails as btcd does beside the chain. */
    /* Of submitblock, one after another, then null: a reason, "!silent", "!busy" or "!error". */
    const char *verdicts[DOUBLE_VERDICTS_MAX];
    unsigned verdict_count;

    unsigned calls, refused, templates, longpolls, submits;
    unsigned longpolling; /* Now. */
    unsigned connections_made;
    char rules[64];
};

struct bitcoin_double;

struct bitcoin_double *bitcoin_double_open(void);
void bitcoin_double_close(struct bitcoin_double *node);
void bitcoin_double_url(const struct bitcoin_double *node, char url[static 64]);

/** lock/unlock: unlock wakes longpolls, which answer if the template is another one now. */
struct double_state *bitcoin_double_lock(struct bitcoin_double *node);
void bitcoin_double_unlock(struct bitcoin_double *node);

/* SET: one thing that a double plays. SEEN: one that it saw. */
#define SET(node, field, value)                                                                    \
    do {                                                                                           \
        bitcoin_double_lock(node)->field = (value);                                                \
        bitcoin_double_unlock(node);                                                               \
    } while (0)
#define SEEN(node, field)                                                                          \
    ({                                                                                             \
        typeof(bitcoin_double_lock(node)->field) seen = bitcoin_double_lock(node)->field;          \
        bitcoin_double_unlock(node);                                                               \
        seen;                                                                                      \
    })

void bitcoin_double_new_tip(struct bitcoin_double *node);

/** die: the port is closed and every connection broken; live: it listens there again. */
void bitcoin_double_die(struct bitcoin_double *node);
void bitcoin_double_live(struct bitcoin_double *node);

/** The tip's hash as SHA-256d writes it. */
void bitcoin_double_tip(uint32_t height, uint32_t branch, uint8_t hash[static 32]);

#endif

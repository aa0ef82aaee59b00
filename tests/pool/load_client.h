/* load_client.h: a miner that never gives up: it mines on a pool of this machine, connects again
 * whenever the pool goes away, and remembers the hash of every share that was acknowledged.
 */
#ifndef OWM_TESTS_LOAD_CLIENT_H
#define OWM_TESTS_LOAD_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_CHANNELS 8 /* Of one connection. */
#define LOAD_WINDOW   6 /* Shares of one channel that wait for their Success. */

/** load_client: read the atomics at any time, the rest after load_client_stop. */
struct load_client {
    uint16_t port;
    bool standard; /* Standard channels, each with jobs of its own; else extended ones. */
    char name[32]; /* user_identity: account.worker */
    _Atomic uint64_t acked;
    _Atomic uint32_t connections, rejected;
    _Atomic bool stop;
    uint8_t (*hash)[32]; /* [acked] Shares that a Success named. */
    uint64_t room;
    char code[64]; /* Of the newest rejection. */
    pthread_t thread;
};

/** load_client_start: port, standard and name are set, the rest is zero. */
void load_client_start(struct load_client *client);

/** load_client_stop: joins; load_client_free frees the hashes. */
void load_client_stop(struct load_client *client);
void load_client_free(struct load_client *client);

#endif

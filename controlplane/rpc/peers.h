/* peers.h: the registered nodes as the RPC threads see them: who belongs to a TLS key, whether a
 * heartbeat says anything new, and the open task streams.
 *
 * Most heartbeats say nothing but "still here". They are answered on the spot from this table and
 * leave one flag behind; the engine's thread collects the flags every few milliseconds. So a
 * heartbeat costs no lock that anyone contends for and no context switch.
 */
#ifndef OWM_RPC_PEERS_H
#define OWM_RPC_PEERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "controlplane/engine/engine.h"

struct owm_rpc_call;

/** owm_peer: lives as long as the table; a node's key and id never change. */
struct owm_peer {
    uint8_t public_key[32];
    uint8_t node_id[16];
    char node_id_text[37];
    atomic_int status; /* enum owm_node_status */
    atomic_llong stake_sats, required_stake_sats;
    atomic_bool seen; /* a plain heartbeat came since the last collection */
    /* what the last heartbeat that the engine saw said */
    atomic_ullong boot_id;
    atomic_uint free_slots;
    atomic_bool draining, settled; /* settled: none of the above is news, and no lease is out */
    /* under stream_lock of the table */
    struct owm_rpc_call *stream_call;
    uint64_t stream;
};

/** owm_network_view: what every answer to a heartbeat carries. */
struct owm_network_view {
    uint32_t round, pending_tasks;
    uint8_t model_hash[32];
};

struct owm_peers;

OWM_MUST_USE owm_status owm_peers_open(uint32_t nodes_max, struct owm_peers **peers);
void owm_peers_close(struct owm_peers *peers);

/** owm_peers_find: by TLS key; NULL: not registered. Thread: any. */
struct owm_peer *owm_peers_find(struct owm_peers *peers, const uint8_t public_key[static 32]);
struct owm_peer *owm_peers_by_id(struct owm_peers *peers, const uint8_t node_id[static 16]);

/** owm_peers_update: add a node, or change its status. Engine's thread only.
 *  OWM_E_LIMIT nodes_max; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_peers_update(struct owm_peers *peers,
                                         const uint8_t public_key[static 32],
                                         const uint8_t node_id[static 16],
                                         enum owm_node_status status);

/** owm_peers_note_stake: of a node that is there. Engine's thread only. */
void owm_peers_note_stake(struct owm_peers *peers, const uint8_t public_key[static 32],
                          int64_t stake_sats, int64_t required_stake_sats);

/** owm_peers_collect: call fn for each peer whose flag is set, clearing it. Engine's thread only.
 */
void owm_peers_collect(struct owm_peers *peers, void (*fn)(void *ctx, struct owm_peer *peer),
                       void *ctx);
uint32_t owm_peers_count(struct owm_peers *peers);

void owm_peers_set_view(struct owm_peers *peers, const struct owm_network_view *view);
void owm_peers_view(struct owm_peers *peers, struct owm_network_view *view);

/** owm_peer_set_stream: remember the newest stream of a node (holding a reference on the call);
 *  an older one is ended with ABORTED. Returns the number given to the stream, never 0.
 *  owm_peer_drop_stream: forget it, if it is still that one. */
uint64_t owm_peer_set_stream(struct owm_peers *peers, struct owm_peer *peer,
                             struct owm_rpc_call *call);
void owm_peer_drop_stream(struct owm_peers *peers, struct owm_peer *peer, uint64_t stream);

/** owm_peer_send: one message on that stream, if it is still the newest.
 *  Returns: as owm_rpc_send; OWM_E_STATE it is gone. */
OWM_MUST_USE owm_status owm_peer_send(struct owm_peers *peers, struct owm_peer *peer,
                                      uint64_t stream, const uint8_t *bytes, size_t length);

#endif

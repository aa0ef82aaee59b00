/* peers.c: two open-addressing indexes (by key, by id) over one array of peers. The array only
 * grows, so a pointer found once stays good. */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/rpc/rpc.h"
#include "base/uuid.h"

struct owm_peers {
    pthread_rwlock_t lock; /* both indexes */
    pthread_mutex_t stream_lock, view_lock;
    uint32_t max, count, slots;
    struct owm_peer **peer;   /* [max] */
    uint32_t *by_key, *by_id; /* [slots]: position + 1 */
    uint64_t next_stream;
    struct owm_network_view view;
};

static uint32_t hash_of(const uint8_t *bytes)
{
    uint64_t word; /* keys and ids are random already; a peer that grinds gains nothing much */
    memcpy(&word, bytes, sizeof(word));
    return (uint32_t)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

owm_status owm_peers_open(uint32_t nodes_max, struct owm_peers **out)
{
    struct owm_peers *peers = calloc(1, sizeof(*peers));
    if (!peers) return OWM_E_NOMEM;
    pthread_rwlock_init(&peers->lock, NULL);
    pthread_mutex_init(&peers->stream_lock, NULL);
    pthread_mutex_init(&peers->view_lock, NULL);
    peers->max = nodes_max;
    peers->slots = 16;
    while (peers->slots < nodes_max * 2) peers->slots *= 2;
    peers->peer = calloc(nodes_max, sizeof(*peers->peer));
    peers->by_key = calloc(peers->slots, sizeof(*peers->by_key));
    peers->by_id = calloc(peers->slots, sizeof(*peers->by_id));
    if (!peers->peer || !peers->by_key || !peers->by_id) {
        owm_peers_close(peers);
        return OWM_E_NOMEM;
    }
    *out = peers;
    return OWM_OK;
}

void owm_peers_close(struct owm_peers *peers)
{
    if (!peers) return;
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->peer[i]->stream_call) owm_rpc_call_unref(peers->peer[i]->stream_call);
        free(peers->peer[i]);
    }
    free(peers->peer);
    free(peers->by_key);
    free(peers->by_id);
    pthread_rwlock_destroy(&peers->lock);
    pthread_mutex_destroy(&peers->stream_lock);
    pthread_mutex_destroy(&peers->view_lock);
    free(peers);
}

static struct owm_peer *find_key(const struct owm_peers *peers, const uint8_t *key)
{
    for (uint32_t i = hash_of(key);; i++) {
        uint32_t at = peers->by_key[i & (peers->slots - 1)];
        if (at == 0) return NULL;
        if (memcmp(peers->peer[at - 1]->public_key, key, 32) == 0) return peers->peer[at - 1];
    }
}

static struct owm_peer *find_id(const struct owm_peers *peers, const uint8_t *id)
{
    for (uint32_t i = hash_of(id);; i++) {
        uint32_t at = peers->by_id[i & (peers->slots - 1)];
        if (at == 0) return NULL;
        if (memcmp(peers->peer[at - 1]->node_id, id, 16) == 0) return peers->peer[at - 1];
    }
}

struct owm_peer *owm_peers_find(struct owm_peers *peers, const uint8_t public_key[static 32])
{
    pthread_rwlock_rdlock(&peers->lock);
    struct owm_peer *peer = find_key(peers, public_key);
    pthread_rwlock_unlock(&peers->lock);
    return peer;
}

struct owm_peer *owm_peers_by_id(struct owm_peers *peers, const uint8_t node_id[static 16])
{
    pthread_rwlock_rdlock(&peers->lock);
    struct owm_peer *peer = find_id(peers, node_id);
    pthread_rwlock_unlock(&peers->lock);
    return peer;
}

static void index_put(const struct owm_peers *peers, uint32_t *index, const uint8_t *bytes,
                      uint32_t position)
{
    uint32_t i = hash_of(bytes);
    while (index[i & (peers->slots - 1)] != 0) i++;
    index[i & (peers->slots - 1)] = position + 1;
}

static owm_status add(struct owm_peers *peers, const uint8_t *key, const uint8_t *id, int status)
{
    if (peers->count == peers->max) return OWM_E_LIMIT;
    struct owm_peer *peer = calloc(1, sizeof(*peer));
    if (!peer) return OWM_E_NOMEM;
    memcpy(peer->public_key, key, 32);
    memcpy(peer->node_id, id, 16);
    owm_uuid_format(id, peer->node_id_text);
    atomic_store(&peer->status, status);
    pthread_rwlock_wrlock(&peers->lock);
    peers->peer[peers->count] = peer;
    index_put(peers, peers->by_key, key, peers->count);
    index_put(peers, peers->by_id, id, peers->count);
    peers->count++;
    pthread_rwlock_unlock(&peers->lock);
    return OWM_OK;
}

owm_status owm_peers_update(struct owm_peers *peers, const uint8_t public_key[static 32],
                            const uint8_t node_id[static 16], enum owm_node_status status)
{
    struct owm_peer *peer = find_key(peers, public_key);
    if (!peer) return add(peers, public_key, node_id, (int)status);
    atomic_store(&peer->status, (int)status);
    return OWM_OK;
}

void owm_peers_note_stake(struct owm_peers *peers, const uint8_t public_key[static 32],
                          int64_t stake_sats, int64_t required_stake_sats)
{
    struct owm_peer *peer = find_key(peers, public_key);
    if (!peer) return;
    atomic_store(&peer->stake_sats, stake_sats);
    atomic_store(&peer->required_stake_sats, required_stake_sats);
}

void owm_peers_collect(struct owm_peers *peers, void (*fn)(void *ctx, struct owm_peer *peer),
                       void *ctx)
{
    for (uint32_t i = 0; i < peers->count; i++)
        if (atomic_load_explicit(&peers->peer[i]->seen, memory_order_relaxed)
            && atomic_exchange(&peers->peer[i]->seen, false))
            fn(ctx, peers->peer[i]);
}

uint32_t owm_peers_count(struct owm_peers *peers)
{
    pthread_rwlock_rdlock(&peers->lock);
    uint32_t count = peers->count;
    pthread_rwlock_unlock(&peers->lock);
    return count;
}

void owm_peers_set_view(struct owm_peers *peers, const struct owm_network_view *view)
{
    pthread_mutex_lock(&peers->view_lock);
    peers->view = *view;
    pthread_mutex_unlock(&peers->view_lock);
}

void owm_peers_view(struct owm_peers *peers, struct owm_network_view *view)
{
    pthread_mutex_lock(&peers->view_lock);
    *view = peers->view;
    pthread_mutex_unlock(&peers->view_lock);
}

uint64_t owm_peer_set_stream(struct owm_peers *peers, struct owm_peer *peer,
                             struct owm_rpc_call *call)
{
    owm_rpc_call_ref(call);
    pthread_mutex_lock(&peers->stream_lock);
    struct owm_rpc_call *old = peer->stream_call;
    peer->stream_call = call;
    uint64_t stream = peer->stream = ++peers->next_stream;
    pthread_mutex_unlock(&peers->stream_lock);
    if (old) {
        owm_rpc_fail(old, OWM_RPC_ABORTED, "a newer task stream of this node took over");
        owm_rpc_call_unref(old);
    }
    return stream;
}

void owm_peer_drop_stream(struct owm_peers *peers, struct owm_peer *peer, uint64_t stream)
{
    struct owm_rpc_call *call = NULL;
    pthread_mutex_lock(&peers->stream_lock);
    if (peer->stream == stream) {
        call = peer->stream_call;
        peer->stream_call = NULL;
        peer->stream = 0;
    }
    pthread_mutex_unlock(&peers->stream_lock);
    if (call) owm_rpc_call_unref(call);
}

owm_status owm_peer_send(struct owm_peers *peers, struct owm_peer *peer, uint64_t stream,
                         const uint8_t *bytes, size_t length)
{
    struct owm_rpc_call *call = NULL;
    pthread_mutex_lock(&peers->stream_lock);
    if (peer->stream == stream && peer->stream_call) {
        call = peer->stream_call;
        owm_rpc_call_ref(call);
    }
    pthread_mutex_unlock(&peers->stream_lock);
    if (!call) return OWM_E_STATE;
    owm_status status = owm_rpc_send(call, bytes, length);
    owm_rpc_call_unref(call);
    return status;
}

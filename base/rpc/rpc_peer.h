/* rpc_peer.h: who is at the other end of a server's connection. Private to base/rpc. */
#ifndef OWM_BASE_RPC_RPC_PEER_H
#define OWM_BASE_RPC_RPC_PEER_H

#include "rpc.h"

#define RPC_PEER_CACHE_SLOTS 8192 /* power of two; 64 bytes each */

/** rpc_peer_cache: certificate text to key, so that a call costs a hash and not an X.509 parse.
 *  Direct-mapped by a BLAKE2b-256 of the text: crafted certificates can only evict. Not locked: one
 *  per server thread. */
struct rpc_peer_cache;

struct rpc_peer_cache *rpc_peer_cache_open(void);
void rpc_peer_cache_close(struct rpc_peer_cache *cache);

/** rpc_peer_key: the Ed25519 key of a peer's certificate.
 *  Returns: OWM_OK; OWM_E_PROTO if pem is longer than OWM_RPC_PEM_BYTES_MAX, no certificate, or its
 *  key is of another kind. */
OWM_MUST_USE owm_status rpc_peer_key(struct rpc_peer_cache *cache, const char *pem, size_t length,
                                     uint8_t key[OWM_RPC_KEY_BYTES]);

/** rpc_peer_ip: "ipv4:10.0.0.1:5000", "ipv6:%5B::1%5D:5000" to "10.0.0.1", "::1"; any other form
 *  is copied as far as it fits. ip [OWM_RPC_IP_BYTES_MAX] written. */
void rpc_peer_ip(const char *uri, char *ip);

#endif

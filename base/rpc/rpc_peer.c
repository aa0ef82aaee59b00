/* rpc_peer.c: the key in a peer's certificate, remembered, and its IP address. */
#include "rpc_peer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/identity.h"

#define DIGEST_BYTES 32

struct slot {
    uint8_t digest[DIGEST_BYTES]; /* all zero: free */
    uint8_t key[OWM_RPC_KEY_BYTES];
};

struct rpc_peer_cache {
    struct slot slot[RPC_PEER_CACHE_SLOTS];
};

_Static_assert((RPC_PEER_CACHE_SLOTS & (RPC_PEER_CACHE_SLOTS - 1)) == 0, "a power of two");
_Static_assert(OWM_RPC_KEY_BYTES == OWM_KEY_BYTES, "one kind of key");

struct rpc_peer_cache *rpc_peer_cache_open(void)
{
    return calloc(1, sizeof(struct rpc_peer_cache));
}

void rpc_peer_cache_close(struct rpc_peer_cache *cache)
{
    free(cache);
}

owm_status rpc_peer_key(struct rpc_peer_cache *cache, const char *pem, size_t length,
                        uint8_t key[OWM_RPC_KEY_BYTES])
{
    if (length > OWM_RPC_PEM_BYTES_MAX) return OWM_E_PROTO;
    uint8_t digest[DIGEST_BYTES];
    crypto_generichash(digest, sizeof digest, (const uint8_t *)pem, length, NULL, 0);
    uint32_t index;
    memcpy(&index, digest, sizeof index);
    struct slot *slot = &cache->slot[index & (RPC_PEER_CACHE_SLOTS - 1)];
    if (memcmp(slot->digest, digest, sizeof digest) != 0) {
        owm_status status = owm_cert_public_key(pem, length, key);
        if (status != OWM_OK) return OWM_E_PROTO;
        memcpy(slot->digest, digest, sizeof digest);
        memcpy(slot->key, key, OWM_RPC_KEY_BYTES);
    }
    memcpy(key, slot->key, OWM_RPC_KEY_BYTES);
    return OWM_OK;
}

/* The part between open and close brackets, percent-encoded as gRPC has it or plain. */
static const char *bracketed(const char *at, size_t *length)
{
    const char *end;
    if (strncmp(at, "%5B", 3) == 0) {
        at += 3;
        end = strstr(at, "%5D");
    } else if (*at == '[') {
        at += 1;
        end = strchr(at, ']');
    } else {
        end = strrchr(at, ':');
    }
    *length = end ? (size_t)(end - at) : strlen(at);
    return at;
}

void rpc_peer_ip(const char *uri, char *ip)
{
    const char *at = uri;
    size_t length = strlen(uri);
    if (strncmp(uri, "ipv4:", 5) == 0 || strncmp(uri, "ipv6:", 5) == 0)
        at = bracketed(uri + 5, &length);
    if (length >= OWM_RPC_IP_BYTES_MAX) length = OWM_RPC_IP_BYTES_MAX - 1;
    memcpy(ip, at, length);
    ip[length] = 0;
}

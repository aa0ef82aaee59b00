/* bitcoin_reply.h: what a node's JSON-RPC answers mean, bytes to structs. Every byte is foreign.
 *
 * The envelope {"result":…, "error":…, "id":…} is cut without building a tree, since the result of
 * getblocktemplate has megabytes; each part is then parsed strictly by what reads it.
 */
#ifndef OWM_POOL_BITCOIN_REPLY_H
#define OWM_POOL_BITCOIN_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "bitcoin.h"

#define OWM_BITCOIN_MESSAGE_BYTES    200
#define OWM_BITCOIN_RESULT_BYTES_MAX (1024 * 1024) /* Of every call but getblocktemplate. */

/** Codes of a node's errors that we act upon (Bitcoin Core's rpc/protocol.h). */
enum owm_bitcoin_code {
    OWM_BITCOIN_UNKNOWN_METHOD = -32601,
    OWM_BITCOIN_INTERNAL = -32603,
    OWM_BITCOIN_WARMING_UP = -28,
    OWM_BITCOIN_UNREADABLE = -22, /* "Block decode failed". */
    OWM_BITCOIN_DOWNLOADING = -10,
    OWM_BITCOIN_NO_PEERS = -9,
    OWM_BITCOIN_NO_SUCH_BLOCK = -5,
    OWM_BITCOIN_MISC = -1, /* btcd: "Command unimplemented". */
};

/** owm_bitcoin_reply: views into the reply's text. */
struct owm_bitcoin_reply {
    const char *result; /* JSON text; "null" where the node sent none. */
    size_t result_bytes;
    bool failed; /* The node sent an error: code and message. */
    int64_t code;
    char message[OWM_BITCOIN_MESSAGE_BYTES]; /* Printable; cut. */
};

/** owm_bitcoin_reply_read: Returns: OWM_OK, also for an error of the node; OWM_E_PROTO. */
OWM_MUST_USE owm_status owm_bitcoin_reply_read(const char *text, size_t bytes,
                                               struct owm_bitcoin_reply *reply,
                                               struct owm_error *error);

/** getblockchaininfo. Returns: OWM_OK; OWM_E_PROTO, OWM_E_LIMIT. */
struct owm_bitcoin_chain {
    char name[32]; /* "main", "testnet4", "signet", "regtest"; btcd: "mainnet", "simnet". */
    uint32_t blocks, headers;
    bool downloading; /* Initial block download. */
};
OWM_MUST_USE owm_status owm_bitcoin_chain_read(const char *json, size_t bytes,
                                               struct owm_bitcoin_chain *chain,
                                               struct owm_error *error);

/** getnetworkinfo. Returns: OWM_OK; OWM_E_PROTO, OWM_E_LIMIT. */
struct owm_bitcoin_peer {
    uint32_t version;    /* 270100 is 27.1 */
    char subversion[64]; /* "/Satoshi:27.1.0/Knots:20240801/"; printable. */
    uint32_t connections;
};
OWM_MUST_USE owm_status owm_bitcoin_peer_read(const char *json, size_t bytes,
                                              struct owm_bitcoin_peer *peer,
                                              struct owm_error *error);

/** getblockheader: -1 beside the chain, 1 for the tip.
 *  Returns: OWM_OK; OWM_E_PROTO, OWM_E_LIMIT. */
OWM_MUST_USE owm_status owm_bitcoin_confirmations_read(const char *json, size_t bytes,
                                                       int64_t *confirmations,
                                                       struct owm_error *error);

/** submitblock: null, or a reason (BIP 22). */
enum owm_bitcoin_opinion { OWM_BITCOIN_ACCEPTED, OWM_BITCOIN_UNDECIDED, OWM_BITCOIN_REJECTED };
struct owm_bitcoin_verdict {
    enum owm_bitcoin_opinion opinion;
    char
        reason[OWM_BITCOIN_MESSAGE_BYTES]; /* "accepted", "duplicate", "high-hash", …; printable. */
};
OWM_MUST_USE owm_status owm_bitcoin_verdict_read(const char *json, size_t bytes,
                                                 struct owm_bitcoin_verdict *verdict,
                                                 struct owm_error *error);

/** owm_bitcoin_network_fits: is that the chain's name of this network? */
bool owm_bitcoin_network_fits(enum owm_network network, const char *chain);
const char *owm_bitcoin_network_name(enum owm_network network); /* As Bitcoin Core writes it. */

#endif

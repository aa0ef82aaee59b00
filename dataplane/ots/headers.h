/* headers.h: where block headers come from, and a chain of them that needs no node.
 *
 * Nothing in a proof says which network it is of: a regtest proof looks like one of the main
 * network. So whoever gives headers is bound to a network, by the hash of its first block, and a
 * chain is believed for the work in it alone.
 *
 * The compact file: 8 bytes "OWMHDRS1", then for every block from the first one 48 bytes: version,
 * merkle root, time, bits, nonce, as in the header. The previous hash is left out, because it is
 * computed; so a changed byte anywhere breaks the work of every block behind it.
 */
#ifndef OWM_OTS_HEADERS_H
#define OWM_OTS_HEADERS_H

#include "base/status.h"
#include "dataplane/chain/template.h"
#include "dataplane/chain/uint256.h"

#define OWM_OTS_HEADER_BYTES      80
#define OWM_OTS_RECORD_BYTES      48
#define OWM_OTS_CHAIN_MAGIC_BYTES 8
#define OWM_OTS_HEIGHT_MAX        4000000 /* Some sixty years of blocks. */

/** owm_ots_headers: a source. Its functions block as long as the source does.
 *  header  OWM_OK; OWM_E_NOTFOUND no such height; what else the source meets. */
struct owm_ots_headers {
    void *ctx;
    enum owm_network network;
    owm_status (*tip)(void *ctx, uint64_t *height, struct owm_error *error);
    owm_status (*header)(void *ctx, uint64_t height, uint8_t header[static OWM_OTS_HEADER_BYTES],
                         struct owm_error *error);
};

/** owm_ots_genesis: the hash of a network's first block, in internal byte order. */
void owm_ots_genesis(enum owm_network network, uint8_t hash[static 32]);

/** owm_ots_header_work: whether a header's hash meets the target in it, and that one is no easier
 *  than the network allows.   Returns: OWM_OK; OWM_E_PROTO with a sentence. */
OWM_MUST_USE owm_status owm_ots_header_work(enum owm_network network,
                                            const uint8_t header[static OWM_OTS_HEADER_BYTES],
                                            struct owm_error *error);

/** owm_ots_retarget: the bits after 2016 blocks with `bits`, whose first and last are `seconds`
 *  apart. bits are those of a header that was checked. */
uint32_t owm_ots_retarget(enum owm_network network, uint32_t bits, int64_t seconds);

/** owm_ots_chain: headers from the first block on, each checked. Caller-owned; read the fields. */
struct owm_ots_chain {
    enum owm_network network;
    uint8_t (*headers)[OWM_OTS_HEADER_BYTES];
    size_t count, room;
    uint8_t tip[32]; /* Hash of the last one. */
    struct owm_uint256 work;
};

void owm_ots_chain_init(struct owm_ots_chain *chain, enum owm_network network);
void owm_ots_chain_deinit(struct owm_ots_chain *chain); /**< Safe twice. */

/** owm_ots_chain_push: the next header.
 *
 *  Checked: the first is the network's, each names the hash before it, its work, its time against
 *  the median of the eleven before it, and its bits: on main network and signet as Bitcoin adjusts
 *  them every 2016 blocks, on regtest constant. On testnet4, where a block after twenty
 *  minutes may be easy, bits are only held to the network's limit. Signatures of signet blocks are
 *  in their transactions, so not checked.
 *  Returns: OWM_OK; OWM_E_PROTO with a sentence that names the height; OWM_E_LIMIT; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_ots_chain_push(struct owm_ots_chain *chain,
                                           const uint8_t header[static OWM_OTS_HEADER_BYTES],
                                           struct owm_error *error);

/** owm_ots_chain_cut: forget all from `count` on, for a reorganisation. The work of what is left is
 *  counted again. */
void owm_ots_chain_cut(struct owm_ots_chain *chain, size_t count);

/** owm_ots_chain_read: a compact file behind owm_ots_chain_init. Returns: as owm_ots_chain_push. */
OWM_MUST_USE owm_status owm_ots_chain_read(struct owm_ots_chain *chain, const uint8_t *data,
                                           size_t bytes, struct owm_error *error);

/** owm_ots_chain_write: the compact file. data  malloc'ed; caller frees.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_chain_write(const struct owm_ots_chain *chain, uint8_t **data,
                                            size_t *bytes, struct owm_error *error);

/** owm_ots_chain_source: borrowed from the chain.
 *  Returns: OWM_OK; OWM_E_PROTO a chain of the main network with less work than the real one had at
 *  block 784000: anybody with a miner can make one of early, easy blocks. */
OWM_MUST_USE owm_status owm_ots_chain_source(struct owm_ots_chain *chain,
                                             struct owm_ots_headers *headers,
                                             struct owm_error *error);

#endif

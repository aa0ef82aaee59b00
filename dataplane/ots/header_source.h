/* header_source.h: block headers for programs that run for long: from a Bitcoin node, from a
 * compact file (headers.h) that somebody else extends, or from a file that we extend from a node.
 *
 * The file holds what can be had again, so it is written seldom: after many blocks, and at the
 * close. A node that takes blocks back takes them out of the file.
 */
#ifndef OWM_OTS_HEADER_SOURCE_H
#define OWM_OTS_HEADER_SOURCE_H

#include "headers.h"

typedef struct owm_ots_header_source owm_ots_header_source;

/** owm_ots_header_options: borrowed until close. */
struct owm_ots_header_options {
    const char *bitcoin_rpc, *bitcoin_cookie; /* "" or NULL: none; see bitcoin_headers.h */
    const char *headers_file;                 /* "" or NULL: none */
    enum owm_network network;
};

/** owm_ots_header_source_open: asks nobody yet.
 *  Returns: OWM_OK; OWM_E_CONFIG neither node nor file; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_header_source_open(const struct owm_ots_header_options *options,
                                                   owm_ots_header_source **source,
                                                   struct owm_error *error);
void owm_ots_header_source_close(owm_ots_header_source *source); /**< NULL is allowed. */

/** owm_ots_header_source_refresh: up to the newest block.
 *
 *  blocks_max  how many headers are fetched at most, so that the call ends in time.
 *  headers     written with OWM_OK: borrowed from the source until the next refresh.
 *  Thread: one at a time.
 *  Returns: OWM_OK; OWM_E_AGAIN blocks_max were fetched and there are more; OWM_E_CONFIG a node or
 *  file of another network; OWM_E_NET, OWM_E_TIMEOUT, OWM_E_PERM the node is away or refuses us;
 *  OWM_E_NOTFOUND, OWM_E_IO, OWM_E_PROTO the file, or a chain with too little work in it;
 *  OWM_E_STATE the node has another chain than the file; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_ots_header_source_refresh(owm_ots_header_source *source,
                                                      uint64_t blocks_max,
                                                      struct owm_ots_headers *headers,
                                                      struct owm_error *error);

/** owm_ots_header_source_save: write the file now, if it has changed.
 *  Returns: OWM_OK; as owm_fs_write_atomic; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_header_source_save(owm_ots_header_source *source,
                                                   struct owm_error *error);

#endif

/* server.h: the parts of owm-pool put together: who starts before whom, and who tells whom what.
 *
 *   journals <- loops (one per core) <- net            shares
 *   journals -> feeder -> PostgreSQL -> payer          money
 *   bitcoin  -> work -> loops                          templates
 *   loops    -> blocks -> bitcoin -> ledger            found blocks
 */
#ifndef OWM_POOL_SERVER_H
#define OWM_POOL_SERVER_H

#include "config.h"

struct pool_server;

/** pool_server_open: everything runs when this returns, or nothing does. Borrows: config.
 *  Returns: OWM_OK; what the part that failed says, with a sentence. */
OWM_MUST_USE owm_status pool_server_open(struct pool_config *config, struct pool_server **server,
                                         struct owm_error *error);

/** pool_server_tend: about once a second: renew the certificate when it is due. */
void pool_server_tend(struct pool_server *server);

/** pool_server_drain: no new connections from now on; miners are asked to connect again, which they
 *  do as soon as the next process listens. */
void pool_server_drain(struct pool_server *server);

/** pool_server_close: miners are disconnected, what was accepted is journalled and fed. NULL is
 *  allowed. */
void pool_server_close(struct pool_server *server);

#endif

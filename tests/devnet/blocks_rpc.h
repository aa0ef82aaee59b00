/* blocks_rpc.h: the block source over HTTP, in the test's own process. */
#ifndef OWM_TEST_BLOCKS_RPC_H
#define OWM_TEST_BLOCKS_RPC_H

#include <jansson.h>

#include "rpc.h"

/** blocks_serve: rpc's chain and mempool are the server's until blocks_serve_end. User and password
 *  are "user" and "secret". */
void blocks_serve(struct rpc *rpc);
void blocks_serve_end(void);

/** blocks_post: `pair` is USER:PASSWORD. The HTTP status; *reply a new reference or NULL. */
unsigned blocks_post(const char *pair, const char *body, json_t **reply);

/** blocks_call: the result of a call that works; new reference. `params` is JSON. */
json_t *blocks_call(const char *method, const char *params);

/** blocks_fails: code of the error that a call ends with. */
int blocks_fails(const char *method, const char *params, unsigned http_status);

/** blocks_text: a field that has to be a text. */
const char *blocks_text(const json_t *object, const char *key);

#endif

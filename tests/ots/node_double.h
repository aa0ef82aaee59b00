/* node_double.h: a Bitcoin node's three calls over a chain of headers, for tests; a test may add
 * more. */
#ifndef OWM_TEST_NODE_DOUBLE_H
#define OWM_TEST_NODE_DOUBLE_H

#include <jansson.h>
#include <pthread.h>

#include "base/http_server.h"
#include "dataplane/ots/headers.h"

/** node_failure: an error as a node tells it; code 0: none. */
struct node_failure {
    int code;
    char message[200];
};

struct node_double {
    pthread_mutex_t lock;
    /** more: other calls; asked first, under lock. NULL and no failure: not one of them. */
    json_t *(*more)(void *ctx, const char *method, const json_t *params,
                    struct node_failure *failure);
    void *more_ctx;
    struct owm_ots_chain chain; /* Under lock. */
    struct owm_http_route route;
    owm_http_server *server;
    char url[64], url_with_password[96];
};

/** node_open: regtest, empty. It wants the user "rpc" with the password "secret". */
void node_open(struct node_double *node);
void node_close(struct node_double *node);

/** node_mine: as regtest_mine. node_cut: as owm_ots_chain_cut. */
void node_mine(struct node_double *node, size_t blocks, uint64_t height, const uint8_t *root);
void node_cut(struct node_double *node, size_t count);

#endif

/* node_double.h: a Bitcoin node's three calls over a chain of headers, for tests. */
#ifndef OWM_TEST_NODE_DOUBLE_H
#define OWM_TEST_NODE_DOUBLE_H

#include <pthread.h>

#include "base/http_server.h"
#include "dataplane/ots/headers.h"

struct node_double {
    pthread_mutex_t lock;
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

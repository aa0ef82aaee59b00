/* node_double.h: a Bitcoin node's three calls over a chain of headers, for tests. */
#ifndef OWM_TEST_NODE_DOUBLE_H
#define OWM_TEST_NODE_DOUBLE_H

#include "base/http_server.h"
#include "dataplane/ots/headers.h"

struct node_double {
    struct owm_ots_chain chain; /* To be changed between calls alone. */
    struct owm_http_route route;
    owm_http_server *server;
    char url[64], url_with_password[96];
};

/** node_open: regtest, empty. It wants the user "rpc" with the password "secret". */
void node_open(struct node_double *node);
void node_close(struct node_double *node);

#endif

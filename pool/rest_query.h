/* rest_query.h: what is asked for in a path and a query, both from strangers. */
#ifndef OWM_POOL_REST_QUERY_H
#define OWM_POOL_REST_QUERY_H

#include <stddef.h>

#include "base/status.h"
#include "share.h"

#define OWM_REST_PAYOUTS_DEFAULT 50
#define OWM_REST_PAYOUTS_MAX     100

/** All return OWM_OK, or OWM_E_ARG with a sentence. A query that is `char *` is cut to pieces. */

/** owm_query_miner: who is meant. name up to its first dot counts, as in user_identity.
 *  kind  "node", "name", or "": a node where name is 64 hex digits. */
OWM_MUST_USE owm_status owm_query_miner(const char *name, const char *kind, struct owm_miner *miner,
                                        struct owm_error *error);

/** owm_query_node: of /v1/mining/nodes/{name}?query. */
OWM_MUST_USE owm_status owm_query_node(const char *name, char *query, struct owm_miner *miner,
                                       struct owm_error *error);

/** owm_query_page_miner: of /miner?[kind=…&]id=name. The name is the rest of the query, since it
 *  may hold any letter; *name lies in query, "" where there is none. */
OWM_MUST_USE owm_status owm_query_page_miner(const char *query, const char **name,
                                             struct owm_miner *miner, struct owm_error *error);

/** owm_query_payouts: of /v1/mining/payouts?query. before lies in query; "": from the newest. */
struct owm_query_page {
    size_t limit;
    const char *before;
};
OWM_MUST_USE owm_status owm_query_payouts(char *query, struct owm_query_page *page,
                                          struct owm_error *error);

#endif

/* versions.h: model versions and the state of their proofs over HTTP (SRS-OTS-06, 07):
 *
 *   GET /v1/model/versions?limit=N&before=ROUND   newest first
 *   GET /v1/model/versions/{id}                   one; id: version, SHA-256 in hex, or "current"
 *   GET /v1/model/versions/{id}/ots               its proof, as a file
 *   GET /v1/model/versions/{id}/manifest          the signed manifest, byte for byte
 *   GET /models?before=ROUND                      a page for people
 */
#ifndef OWM_PROVENANCE_VERSIONS_H
#define OWM_PROVENANCE_VERSIONS_H

#include "base/http_server.h"
#include "dataplane/store/blob_store.h"

#define OWM_VERSIONS_LIMIT_MAX 500
#define OWM_VERSIONS_ROUTES    3

struct owm_versions;

/** owm_version_status: "none", "pending" or "confirmed", from model_versions: btc_block, 0 without
 *  one, and ots_stamped_at, 0 before enough calendars have promised. Static. */
const char *owm_version_status(int64_t btc_block, int64_t stamped_ms);

/** owm_versions_open: its own connection to the database; answers 503 while that is away. Errors
 *  are problems of RFC 7807.
 *  database_url, store  borrowed until close.
 *  policy               for the page: what provenance a checkpoint needs on this network, in
 *                       words without a full stop; borrowed until close.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_versions_open(const char *database_url, const char *policy,
                                          const struct owm_blob_store *store,
                                          struct owm_versions **versions);

/** owm_versions_routes: for owm_page_route. _close: after the HTTP server; NULL is allowed. */
void owm_versions_routes(struct owm_versions *versions,
                         struct owm_http_route routes[static OWM_VERSIONS_ROUTES]);
void owm_versions_close(struct owm_versions *versions);

#endif

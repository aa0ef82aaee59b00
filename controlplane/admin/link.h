/* link.h: the coordinator as owm-admin talks to it: its internal service, over mutual TLS with the
 * maintainer's own key. */
#ifndef OWM_ADMIN_LINK_H
#define OWM_ADMIN_LINK_H

#include <internal.pb-c.h>

#include "base/identity.h"
#include "controlplane/admin/options.h"

struct owm_admin_link;

/** owm_admin_link_open: read certificate and key; the connection is made with the first call.
 *  Returns: OWM_OK; OWM_E_CONFIG a file that is not named or not there; as owm_identity_load. */
OWM_MUST_USE owm_status owm_admin_link_open(const struct owm_admin_options *options,
                                            struct owm_admin_link **link, struct owm_error *error);
void owm_admin_link_close(struct owm_admin_link *link); /* NULL is allowed */

const owm_identity *owm_admin_link_identity(const struct owm_admin_link *link);
const uint8_t *owm_admin_link_coordinator(const struct owm_admin_link *link); /* [32] its key */

/** owm_admin_link_cases: case_id "": all that have not ended. Free with the generated function.
 *  Returns: OWM_OK; the coordinator's refusal, with its sentence. */
OWM_MUST_USE owm_status owm_admin_link_cases(struct owm_admin_link *link, const char *case_id,
                                             Owm__Internal__V1__ListCasesResponse **reply,
                                             struct owm_error *error);
OWM_MUST_USE owm_status owm_admin_link_decide(struct owm_admin_link *link,
                                              const Owm__Internal__V1__DecideCaseRequest *request,
                                              Owm__Internal__V1__DecideCaseResponse **reply,
                                              struct owm_error *error);

/** owm_admin_link_fetch: a blob; the hash is not checked. data malloc'ed. As the `fetch` of struct
 *  owm_evidence_source, with the link as ctx. */
owm_status owm_admin_link_fetch(void *link, const uint8_t hash[32], size_t bytes_max,
                                uint8_t **data, size_t *bytes, struct owm_error *error);

/** owm_admin_coordinator_key: from --coordinator-key, else from --certificate.
 *  Returns: OWM_OK; OWM_E_CONFIG neither is there, or makes no sense. */
OWM_MUST_USE owm_status owm_admin_coordinator_key(const struct owm_admin_options *options,
                                                  uint8_t key[32], struct owm_error *error);

/** owm_admin_identity: the maintainer's, which must exist: a key that is made by accident is
 *  nobody's. Returns: OWM_OK; OWM_E_CONFIG; as owm_identity_load_or_create. */
OWM_MUST_USE owm_status owm_admin_identity(const struct owm_admin_options *options,
                                           owm_identity **identity, struct owm_error *error);

#endif

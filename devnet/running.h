/* running.h: the network in a folder as `ask`, `status` and `admin` find it: by its devnet.json. */
#ifndef OWM_DEVNET_RUNNING_H
#define OWM_DEVNET_RUNNING_H

#include "network.h"

/** network_client: connect to the network that runs in `folder`, as `ask` and `status` do.
 *  page_url [128] may be NULL.
 *  Returns: OWM_E_NOTFOUND none runs there. */
owm_status network_client(const char *folder, struct client **client, char *page_url,
                          struct owm_error *error) OWM_MUST_USE;

/** network_internal: "host:port" of the internal service of the network that runs in `folder`.
 *  address [128]. Returns: OWM_E_NOTFOUND none runs there. */
owm_status network_internal(const char *folder, char *address,
                            struct owm_error *error) OWM_MUST_USE;

/** network_pool: the pool of the network that runs in `folder`: its addresses in *figures, and
 *  database_url [MINING_URL_MAX], "" where there is none (DATABASE_URL of the user's own).
 *  Returns: OWM_E_NOTFOUND no network runs there, or it has no pool. */
owm_status network_pool(const char *folder, struct figures *figures, char *database_url,
                        struct owm_error *error) OWM_MUST_USE;

/** network_lightning: whether the network that runs in `folder` pays over Lightning.
 *
 *  database_url [MINING_URL_MAX] the coordinator's, as in network_pool.
 *  pays_pool    whether the pool's miners are paid, too.
 *  Returns: OWM_E_NOTFOUND no network runs there, or it pays nobody. */
owm_status network_lightning(const char *folder, char *database_url, bool *pays_pool,
                             struct owm_error *error) OWM_MUST_USE;

/** network_recompute: every sat of the pool once more: of the database in OWM_POOL_DATABASE_URL or
 *  DATABASE_URL, else of the network in options->folder, whether it runs or not; prints on stdout.
 *  Returns: OWM_OK equal to the last unit; else with a sentence. */
owm_status network_recompute(const struct options *options, struct owm_error *error) OWM_MUST_USE;

#endif

/* lightning.h: the operator's own Lightning node, as the settings name it. */
#ifndef OWM_NODE_LIGHTNING_H
#define OWM_NODE_LIGHTNING_H

#include "base/lightning/lightning.h"
#include "node/config.h"

/** node_lightning_open: a handle that may sign, look at channels and pay (OWM_LIGHTNING_OPERATOR).
 *
 *  network  of the coordinator; the chain's name where lightning.network is empty.
 *  Returns: as owm_lightning_open; OWM_E_NOTFOUND lightning.backend is "none"; OWM_E_CONFIG also
 *  for a macaroon that is no hex. */
OWM_MUST_USE owm_status node_lightning_open(const struct owm_node_config *config,
                                            const char *network, owm_lightning **lightning,
                                            struct owm_error *error);

#endif

/* network.h: which Bitcoin network a command line names. */
#ifndef OWM_OTS_NETWORK_H
#define OWM_OTS_NETWORK_H

#include "base/status.h"
#include "dataplane/chain/template.h"

/** network_of: main, testnet4, signet or regtest. Returns: OWM_OK; OWM_E_CONFIG. */
OWM_MUST_USE owm_status network_of(const char *name, enum owm_network *network,
                                   struct owm_error *error);

#endif

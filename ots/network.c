/* network.c: the four names. */
#include "network.h"

#include <string.h>

owm_status network_of(const char *name, enum owm_network *network, struct owm_error *error)
{
    static const char *const names[] = {[OWM_MAINNET] = "main",
                                        [OWM_TESTNET4] = "testnet4",
                                        [OWM_SIGNET] = "signet",
                                        [OWM_REGTEST] = "regtest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *network = (enum owm_network)i;
        return OWM_OK;
    }
    return owm_fail(error, OWM_E_CONFIG, "--network is main, testnet4, signet or regtest");
}

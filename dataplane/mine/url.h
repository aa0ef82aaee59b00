/* url.h: where a pool is: stratum2+tcp://HOST:PORT[/AUTHORITY_KEY]. */
#ifndef OWM_MINE_URL_H
#define OWM_MINE_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_MINE_HOST_BYTES   256
#define OWM_MINE_PORT_DEFAULT 3333

struct owm_mine_pool {
    char host[OWM_MINE_HOST_BYTES];
    uint16_t port;
    bool has_authority;
    uint8_t authority[32]; /* x-only */
};

/** owm_mine_pool_parse: HOST may be an IPv6 address in brackets; without :PORT it is 3333.
 *  Returns: OWM_OK; OWM_E_CONFIG with a sentence: another scheme (stratum+tcp is Stratum v1, which
 *  is not spoken, SRS-SEC-16), no host, a port out of range, a malformed key, or an .onion host:
 *  mining goes by clearnet only, for its latency (SRS-NET-05). */
OWM_MUST_USE owm_status owm_mine_pool_parse(const char *url, struct owm_mine_pool *pool,
                                            struct owm_error *error);

#endif

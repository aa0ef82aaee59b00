/* rate.h: at most N events per source in any window, counted exactly: new nodes per IP and hour
 * (SRS-SEC-04), or per node key behind the Tor listener (SRS-NET-07); registrations of a key that
 * is known. In memory: a restart forgets.
 */
#ifndef OWM_RPC_RATE_H
#define OWM_RPC_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_RATE_EVENTS_MAX       64
#define OWM_RATE_SOURCES_MAX      4096
#define OWM_RATE_SOURCE_BYTES_MAX 80

struct owm_rate;

/** owm_rate_open: events_max 1..OWM_RATE_EVENTS_MAX per source and window. OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_rate_open(unsigned events_max, int64_t window_ms,
                                      struct owm_rate **rate);
void owm_rate_close(struct owm_rate *rate);

/** owm_rate_take: count one event of this source, unless it has had its share.
 *  Returns: OWM_OK; OWM_E_LIMIT too many, with *wait_ms until the next is allowed; OWM_E_NOMEM if
 *  OWM_RATE_SOURCES_MAX sources were active within the window. Thread: any. */
OWM_MUST_USE owm_status owm_rate_take(struct owm_rate *rate, const char *source, int64_t now_ms,
                                      int64_t *wait_ms);

#endif

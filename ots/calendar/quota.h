/* quota.h: how often one address, and all together, may ask.
 *
 * Token buckets: one for all, and one for each address (of IPv6: each /64, which one customer has)
 * in a table of fixed size. A new address in a full set takes the place of the one that has asked
 * least, so a flood of addresses forgets nobody who is at his limit before all others.
 * Thread: one at a time.
 */
#ifndef OWM_OTS_CALENDAR_QUOTA_H
#define OWM_OTS_CALENDAR_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define QUOTA_ADDRESSES_MAX 16384
#define QUOTA_RATE_MAX      1000000

struct quota;

/** quota_open: 0 in a rate means no limit.
 *  per_minute  requests of one address; also how many at once after a pause.
 *  per_second  requests of all.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status quota_open(unsigned per_minute, unsigned per_second, struct quota **quota);
void quota_close(struct quota *quota); /**< NULL is allowed. */

enum quota_verdict { QUOTA_PASS, QUOTA_ADDRESS, QUOTA_ALL };

/** quota_take: one request of an address, numeric; what is no address counts as one.
 *  now_ms   of the monotonic clock.
 *  retry_s  written when it does not pass: when to come again, 1 or more. */
enum quota_verdict quota_take(struct quota *quota, const char *address, uint64_t now_ms,
                              unsigned *retry_s);

#endif

/* admission.h: who may start a handshake: a bucket of tokens per address, a bound on its open
 * connections, and a bound on handshakes that are not finished. Asked before any arithmetic on
 * curves, since that is what a flood wants.
 *
 * An address is a /32 of IPv4 or a /64 of IPv6. The table of buckets is fixed; in a full set the
 * address that was quiet longest is forgotten, which only gives it a full bucket again. Open
 * connections are counted in a table of their own, where an address stays while it has any: the
 * table has a place for each connection, and refuses new addresses if it were full all the same.
 *
 * What an address can take is its connections times the channels of each (hall.h): where that
 * is more than the loop has, only lower limits keep a liar with many names from taking all.
 * Thread: one loop.
 */
#ifndef OWM_POOL_ADMISSION_H
#define OWM_POOL_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_ADMISSION_ADDRESSES_MAX 4194304

struct owm_admission;

/** owm_admission_options: zero means the default behind it. Of one loop: the kernel spreads the
 *  connections of an address over all loops. */
struct owm_admission_options {
    uint32_t addresses_max; /* Remembered; 16384. */
    uint32_t burst; /* Connections of one address at once: 1000, a farm behind one router; */
    double per_s;   /* and how many more each second: 20. */
    uint32_t handshakes_max;          /* Unfinished ones of all addresses: 4096. */
    uint32_t connections_per_address; /* Open ones: 20000, a farm behind one router; */
    uint32_t connections_max;         /* and of all addresses: 65536. */
};

/** owm_admission_open: Returns: OWM_OK; OWM_E_ARG above a limit; OWM_E_NOMEM; OWM_E_CRYPTO no
 *  random bytes. */
OWM_MUST_USE owm_status owm_admission_open(const struct owm_admission_options *options,
                                           struct owm_admission **admission);
void owm_admission_close(struct owm_admission *admission); /* NULL is allowed. */

enum owm_admission_answer {
    OWM_ADMITTED,
    OWM_REFUSED_RATE,
    OWM_REFUSED_HANDSHAKES,
    OWM_REFUSED_ADDRESS, /* It has connections_per_address open. */
    OWM_REFUSED_FULL     /* No place for a new address. */
};

/** owm_admission_enter: address: IPv6, or IPv4 as ::ffff:a.b.c.d. ADMITTED takes a token, counts as
 *  a handshake until owm_admission_done and as open until owm_admission_leave. */
enum owm_admission_answer owm_admission_enter(struct owm_admission *admission,
                                              const uint8_t address[16], int64_t now_ms);
void owm_admission_done(struct owm_admission *admission);
void owm_admission_leave(struct owm_admission *admission, const uint8_t address[16]);
/** owm_admission_key: a number for the /32 or /64 of an address; never 0. */
uint64_t owm_admission_key(const struct owm_admission *admission, const uint8_t address[16]);
uint32_t owm_admission_handshakes(const struct owm_admission *admission);

/** owm_admission_tell_once: true the first time for an address, as long as it is remembered: for
 * log
 *  lines that say the same each time. */
bool owm_admission_tell_once(struct owm_admission *admission, const uint8_t address[16],
                             int64_t now_ms);

#endif

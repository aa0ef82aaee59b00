/* treasury.h: the treasury's Lightning node of a test network: the double of an LND node as a child
 * process (tests/lightning/double/lnd_double.h has its commands). */
#ifndef OWM_TESTS_TREASURY_H
#define OWM_TESTS_TREASURY_H

#include <sys/types.h>

#include "network.h"

struct treasury {
    char folder[64], control[96], address[64], key[67];
    pid_t pid;
};

/** treasury_start: started again after treasury_kill, it is the same node at the same address. */
void treasury_start(struct treasury *treasury);
void treasury_kill(struct treasury *treasury); /* SIGKILL */
void treasury_close(struct treasury *treasury);

/** treasury_do: one command, which must succeed; the first line of its answer, until the next. */
const char *treasury_do(struct treasury *treasury, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** treasury_options: policy "lightning" with this node, for a coordinator that is not started. */
void treasury_options(const struct treasury *treasury, struct coordinator *c);

#endif

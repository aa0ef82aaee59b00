/* publish.h: tells of new tips over ZeroMQ, as Bitcoin Core's -zmqpubhashblock does. */
#ifndef OWM_DEVNET_BLOCKS_PUBLISH_H
#define OWM_DEVNET_BLOCKS_PUBLISH_H

#include <stdint.h>

#include "base/status.h"

struct publisher;

/** publish_open: endpoint as "tcp://127.0.0.1:28332". Returns: OWM_OK; OWM_E_NET with why. */
OWM_MUST_USE owm_status publish_open(const char *endpoint, struct publisher **publisher,
                                     struct owm_error *error);
/** publish_tip: three parts: "hashblock", the hash with its last byte first, a counter of 32 bits.
 * */
void publish_tip(struct publisher *publisher, const uint8_t hash[32]);
void publish_close(struct publisher *publisher); /* NULL is allowed. */

#endif

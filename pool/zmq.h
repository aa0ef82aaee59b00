/* zmq.h: Bitcoin nodes' ZMQ notifications `hashblock` (zmqpubhashblock in bitcoin.conf): three
 * frames, "hashblock", the hash as it is printed, and a counter of 4 bytes. */
#ifndef OWM_POOL_ZMQ_H
#define OWM_POOL_ZMQ_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_ZMQ_ENDPOINTS_MAX 8

struct owm_zmq;

/** owm_zmq_tip: a node has a new tip. hash as SHA-256d writes it. Thread: owm_zmq's own. */
typedef void (*owm_zmq_tip)(void *ctx, const uint8_t hash[32]);

/** owm_zmq_open: subscribe to every endpoint and start the thread. A publisher that is not there
 *  yet, or comes back, is connected to when it is; anything but such a message is ignored.
 *
 *  endpoints  [count] "tcp://127.0.0.1:28332"; 1 to OWM_ZMQ_ENDPOINTS_MAX.
 *  Returns: OWM_OK; OWM_E_CONFIG an endpoint is malformed (it is named); OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_zmq_open(const char *const *endpoints, size_t count, owm_zmq_tip on_tip,
                                     void *ctx, struct owm_zmq **zmq, struct owm_error *error);
void owm_zmq_close(struct owm_zmq *zmq); /* Joins the thread. NULL is allowed. */

#endif

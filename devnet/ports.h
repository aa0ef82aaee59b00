/* ports.h: ports of the loopback address that nobody listens on. */
#ifndef OWM_DEVNET_PORTS_H
#define OWM_DEVNET_PORTS_H

/** port_choose: `wanted` if it is free, else another one, which is told on stdout. */
unsigned port_choose(unsigned wanted);

/** port_any: a free one below those that outgoing connections take, so that none of them has it
 *  before its program does. 0: none was found. */
unsigned port_any(void);

#endif

/* signals.h: SIGINT and SIGTERM as something that a program waits for, not what happens to it
 * in the middle.
 */
#ifndef OWM_BASE_SIGNALS_H
#define OWM_BASE_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/** owm_signals_block: from now on INT and TERM wait for owm_signals_wait, and a peer that went away
 *  is an error of write(), not SIGPIPE. Call from main before threads start: they inherit it. */
void owm_signals_block(void);

/** owm_signals_wait: whether INT or TERM came within timeout_ms. Thread: the main thread. */
bool owm_signals_wait(uint32_t timeout_ms);

#endif

/* cond.h: condition variables whose waits end at a time of the monotonic clock. */
#ifndef OWM_BASE_COND_H
#define OWM_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** owm_cond_init: for owm_cond_wait; pthread_cond_destroy ends it. */
void owm_cond_init(pthread_cond_t *cond);

/** owm_cond_wait: with the lock held, until the condition is signalled (or for no reason), or until
 *  owm_clock_mono_ms() is until_ms.   Returns: false: the time has come. */
bool owm_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ms);

#endif

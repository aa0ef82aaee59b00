/* arena.h: one block of a device's memory, handed out piece by piece and taken back all at once: a
 * batch, a round, a model. No piece costs a call to the driver. */
#ifndef OWM_KERNELS_ARENA_H
#define OWM_KERNELS_ARENA_H

#include "backend.h"

#define OWM_ARENA_ALIGN 256 /* What every backend's vector loads like. */

/** owm_arena: caller-owned; zero it before init. Keeps: device until deinit. Thread: one at a time.
 */
struct owm_arena {
    struct owm_device *device;
    char *base;
    size_t bytes, used, most; /* most: the highest `used` has been. */
};

#ifdef __cplusplus
extern "C" {
#endif

/** owm_arena_init: take `bytes` of the device. Returns: as mem_alloc. */
OWM_MUST_USE owm_status owm_arena_init(struct owm_arena *arena, struct owm_device *device,
                                       size_t bytes);
void owm_arena_deinit(struct owm_arena *arena);

/** owm_arena_take: `bytes` of it, aligned to OWM_ARENA_ALIGN; not zeroed again after a reset. NULL
 *  when the rest is too small. */
void *owm_arena_take(struct owm_arena *arena, size_t bytes);

/** owm_arena_reset: back to what was used at `mark` (a value of `used`; 0: all of it). Ops that
 *  still read there are the caller's care: ops run in order, copies need an event. */
void owm_arena_reset(struct owm_arena *arena, size_t mark);

#ifdef __cplusplus
}
#endif
#endif
